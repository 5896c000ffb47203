//! Rows that were decided and wait to be published, and the windows that are open.
//!
//! Final rows are written once, into a new file at each roll. Windows that are open (`final = false`)
//! live in one file a folder, `open-<partition>.parquet`, which is replaced at each publication by one that holds
//! the windows open then. A window leaves the open file before the file with its final row
//! appears: a reader may miss it for a moment, and never sees it twice.

use super::encode::Encoder;
use super::group::{Group, Piece, gather, pieces};
use super::layout::Layout;
use crate::flush::{Flush, bytes_of};
use crate::sink::{Applied, What, rows};
use crate::{Error, Kind, Result};
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Rows waiting in one partition. A clone shares the rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    /// Final rows by folder.
    pub rows: BTreeMap<String, Vec<Piece>>,
    /// Open windows by folder, and whether they changed since they were published.
    pub open: BTreeMap<String, Open>,
    /// The last flush taken in.
    pub upto: Option<Applied>,
    count: u64,
    bytes: u64,
    since: Option<Instant>,
    last: bool,
}

/// The open windows of one folder.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub rows: Vec<RecordBatch>,
    /// No rows, of the same columns.
    pub none: RecordBatch,
    pub changed: bool,
}

/// When to roll.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub rows: u64,
    pub bytes: u64,
    pub wait: Duration,
}

/// What became of the rows of a flush that were taken in.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Of each batch with rows: whether `groups` hold all of it.
    pub carried: Vec<bool>,
    /// Those groups and their folders.
    pub groups: Vec<(String, Group)>,
}

/// Final rows with their folder, and the number of the batch of the flush that they are all of or a part of.
#[derive(Default)]
struct Fresh {
    rows: Vec<(String, RecordBatch)>,
    of: Vec<usize>,
}

impl Waiting {
    /// Takes the rows of a flush in; many are encoded at once.
    pub fn take(&mut self, layout: &Layout, encoder: &Encoder, flush: &Flush) -> Result<Taken> {
        let batches = rows::batches(layout.what, flush)?;
        let mut taken = Taken::default();
        let mut fresh = Fresh::default();
        for (index, (grain, batch)) in batches.iter().enumerate() {
            let done = self.take_final(layout, grain, batch)?;
            taken.carried.push(done.num_rows() == batch.num_rows());
            if done.num_rows() > 0 {
                self.count += done.num_rows() as u64;
                self.bytes += bytes_of(&done) as u64;
                fresh.rows.extend(layout.split(grain, &done)?);
                fresh.of.resize(fresh.rows.len(), index);
            }
        }
        let made = pieces(layout.what, encoder, fresh.rows)?;
        for (index, (_, piece)) in fresh.of.iter().zip(&made) {
            taken.carried[*index] &= matches!(piece, Piece::Group(_));
        }
        for (index, (folder, piece)) in fresh.of.into_iter().zip(made) {
            if let (true, Piece::Group(group)) = (taken.carried[index], &piece) {
                taken.groups.push((folder.clone(), group.clone()));
            }
            let pieces = self.rows.entry(folder).or_default();
            pieces.push(piece);
            gather(layout.what, encoder, pieces)?;
        }
        self.since.get_or_insert_with(Instant::now);
        self.last |= flush.last;
        self.upto = Some(Applied {
            lineage: flush.lineage.clone(),
            id: flush.id,
        });
        Ok(taken)
    }

    /// Takes the rows of a group in that a manifest carried.
    pub fn take_group(&mut self, folder: String, group: Group) -> Result<()> {
        for rows in group.rows()? {
            self.count += rows.num_rows() as u64;
            self.bytes += bytes_of(&rows) as u64;
            self.forget_open_in(&folder, &rows)?;
        }
        let pieces = self.rows.entry(folder).or_default();
        pieces.push(Piece::Group(group));
        Ok(())
    }

    /// The final ones of the rows; the open ones are kept apart.
    fn take_final(
        &mut self,
        layout: &Layout,
        grain: &str,
        batch: &RecordBatch,
    ) -> Result<RecordBatch> {
        if layout.what != What::Windows {
            return rows::fitted(batch, &layout.columns);
        }
        self.forget_open(layout, grain, batch)?;
        if !rows::any_open(batch) {
            return Ok(batch.clone());
        }
        let done = finals(batch)?;
        let still = filtered(batch, &negated(&done))?;
        for (folder, rows) in layout.split(grain, &still)? {
            self.add_open(folder, rows, true);
        }
        filtered(batch, &done)
    }

    /// Adds open windows: new ones, or those found in the published file.
    pub fn add_open(&mut self, folder: String, rows: RecordBatch, changed: bool) {
        let none = rows.slice(0, 0);
        let open = self.open.entry(folder).or_insert_with(|| Open {
            rows: Vec::new(),
            none,
            changed,
        });
        open.rows.push(rows);
        open.changed |= changed;
    }

    /// Takes windows that come anew out of the open ones of their grain.
    fn forget_open(&mut self, layout: &Layout, grain: &str, batch: &RecordBatch) -> Result<()> {
        let folders: BTreeMap<String, RecordBatch> = match self.open.is_empty() {
            true => return Ok(()),
            false => layout.split(grain, batch)?.into_iter().collect(),
        };
        let mut folders = folders.iter();
        folders.try_for_each(|(folder, new)| self.forget_open_in(folder, new))
    }

    fn forget_open_in(&mut self, folder: &str, new: &RecordBatch) -> Result<()> {
        let Some(open) = self.open.get_mut(folder).filter(|o| !o.rows.is_empty()) else {
            return Ok(());
        };
        let (sensors, starts) = rows::window_keys(new)?;
        let keys: HashSet<(&str, i64)> = (0..new.num_rows())
            .map(|i| (sensors.value(i), starts.value(i)))
            .collect();
        open.forget(&keys)
    }

    /// Whether it is time to publish.
    pub fn due(&self, limits: &Limits) -> bool {
        let waited = self.since.is_some_and(|s| s.elapsed() >= limits.wait);
        self.last || waited || self.count >= limits.rows || self.bytes >= limits.bytes
    }

    /// Bytes of the final rows, counted as they came.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a publication would change what readers see.
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty() || self.open.values().any(|o| o.changed)
    }

    /// After a publication: the open windows stay known.
    pub fn published(&mut self) {
        self.rows.clear();
        self.open.values_mut().for_each(|o| o.changed = false);
        self.open.retain(|_, o| !o.rows.is_empty());
        (self.count, self.bytes, self.since, self.last) = (0, 0, None, false);
    }
}

impl Open {
    fn forget(&mut self, keys: &HashSet<(&str, i64)>) -> Result<()> {
        let mut kept = Vec::with_capacity(self.rows.len());
        for batch in &self.rows {
            let (sensors, starts) = rows::window_keys(batch)?;
            let stays = |i| !keys.contains(&(sensors.value(i), starts.value(i)));
            let mask: Vec<bool> = (0..batch.num_rows()).map(stays).collect();
            if mask.iter().all(|m| *m) {
                kept.push(batch.clone());
                continue;
            }
            self.changed = true;
            let rest = filtered(batch, &BooleanArray::from(mask))?;
            if rest.num_rows() > 0 {
                kept.push(rest);
            }
        }
        self.rows = kept;
        Ok(())
    }
}

fn finals(batch: &RecordBatch) -> Result<BooleanArray> {
    let column = batch.column_by_name("final");
    let column = column.and_then(|c| c.as_any().downcast_ref::<BooleanArray>());
    let column = column.ok_or_else(|| Error::new(Kind::Internal, "windows without final"))?;
    Ok(column.clone())
}

fn negated(mask: &BooleanArray) -> BooleanArray {
    BooleanArray::new(!mask.values(), mask.nulls().cloned())
}

fn filtered(batch: &RecordBatch, mask: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(batch, mask)
        .map_err(|e| Error::new(Kind::Internal, "windows cannot be parted").because(e))
}
