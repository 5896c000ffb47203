//! Arrow tables and readers as sources. Big batches are sliced and prepared on the pool.
//!
//! A table can be gone through again; its position counts rows. A reader can be read once: behind a
//! look ahead it is kept on a tape. Both are known to a later run only by `name`.

use super::content::{Content, Jobs, Piece, Seen, Sent, Steps, piece_of, span};
use super::histogram::Histogram;
use super::lanes::{Landed, Lanes};
use super::order::{Ordered, Setup, WAITING_ROWS};
use super::ordering::{NULL, Ordering};
use super::rejecting::Rejecting;
use super::tape::Tape;
use super::{FileName, Order, Prepare, Reader, Source};
use crate::flush::{Extent, Position, Positions, ReadPlan};
use crate::reject::{OnReject, Reject};
use crate::schema::{Canonical, Measure, Overrides, Readings, RowIds, Schema, StepSpec, ToUtc};
use crate::time::{Converter, OnMissing, OnRepeated, Zone, duration};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::{Fields, SchemaRef};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Rows prepared at a time.
const SLICE: usize = 64 * 1024;

/// Batches that can be read once.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// How a table or reader is taken.
#[derive(Clone, Debug)]
pub struct ArrowOptions {
    /// The schema; `None`: by the table's metadata, else by its types.
    pub schema: Option<Schema>,
    /// What the caller says beside.
    pub overrides: Overrides,
    /// What a local time means that the clock showed twice (`infer`: rows with a time and a sensor count).
    pub on_repeated: OnRepeated,
    /// What a local time means that the clock jumped over.
    pub on_missing: OnMissing,
    /// Folder for what has to wait on disk; `None`: the system's.
    pub spill_dir: Option<PathBuf>,
    /// Rows that may wait in memory for their turn; with more, rows are put in time order on disk.
    pub waiting_rows: usize,
    /// The name under which a later run knows it; `None`: each source is new.
    pub name: Option<String>,
    /// What to do with rows that cannot be readings.
    pub on_reject: OnReject,
    /// More rejects than this end the read.
    pub max_rejects: u64,
}

impl Default for ArrowOptions {
    fn default() -> Self {
        ArrowOptions {
            schema: None,
            overrides: Overrides::default(),
            on_repeated: OnRepeated::default(),
            on_missing: OnMissing::default(),
            spill_dir: None,
            waiting_rows: WAITING_ROWS,
            name: None,
            on_reject: OnReject::Raise,
            max_rejects: 10_000,
        }
    }
}

enum Held {
    Table(Vec<RecordBatch>),
    Once(Mutex<Option<Batches>>),
}

/// An Arrow table or reader as a source.
pub struct ArrowSource {
    held: Held,
    canonical: Arc<Canonical>,
    /// For times that go by the order of rows.
    ordered: Option<Converter>,
    options: ArrowOptions,
    stream: String,
}

impl ArrowSource {
    /// A table: batches of one schema.
    pub fn table(
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        options: ArrowOptions,
    ) -> Result<ArrowSource> {
        ArrowSource::new(schema, Held::Table(batches), options)
    }

    /// A reader, read once.
    pub fn reader(
        schema: SchemaRef,
        batches: Batches,
        options: ArrowOptions,
    ) -> Result<ArrowSource> {
        ArrowSource::new(schema, Held::Once(Mutex::new(Some(batches))), options)
    }

    fn new(schema: SchemaRef, held: Held, options: ArrowOptions) -> Result<ArrowSource> {
        let canonical = match &options.schema {
            Some(declared) => Canonical::new(declared, &schema, &options.overrides)?,
            None => Canonical::infer(&schema, &options.overrides)?,
        };
        let (canonical, ordered) = zoned(canonical, &options)?;
        let stream = options.name.clone().unwrap_or_else(super::unnamed);
        let canonical = Arc::new(canonical.named(options.name.as_deref().unwrap_or("table")));
        Ok(ArrowSource {
            held,
            canonical,
            ordered,
            options,
            stream,
        })
    }

    /// The next row and the positions of other streams.
    fn begin(&self, from: &Positions) -> (u64, Positions) {
        let own = |p: &&Position| p.stream == self.stream;
        let at = from.iter().find(own).map_or(0, |p| p.at);
        (
            at,
            from.iter()
                .filter(|p| p.stream != self.stream)
                .cloned()
                .collect(),
        )
    }
}

/// Gives the conversion of local times, where it is needed; with it the converter of those that go
/// by the order of rows.
pub(super) fn zoned(
    canonical: Canonical,
    options: &ArrowOptions,
) -> Result<(Canonical, Option<Converter>)> {
    let Some(tz) = canonical
        .schema()
        .tz
        .clone()
        .filter(|_| canonical.needs_zone())
    else {
        return Ok((canonical, None));
    };
    let step = match &canonical.schema().step {
        StepSpec::Fixed(text) => Some(duration::positive(text)?),
        _ => None,
    };
    let (repeated, missing) = (options.on_repeated, options.on_missing);
    let converter = Converter::new(Zone::parse(&tz)?, repeated, missing, step);
    if repeated == OnRepeated::Infer {
        let canonical = canonical.with_zone(Ordering::to_utc(converter.clone(), Vec::new()));
        return Ok((canonical, Some(converter)));
    }
    let to_utc = move |local: &[i64]| {
        let (mut times, mut none) = (local.to_vec(), Vec::new());
        converter.clone().convert_all(&mut times, &[], |row, why| {
            let reason = why.map_or(NULL, |e| e.reason());
            none.push((row, reason.to_string()));
        });
        Ok((times, none))
    };
    Ok((canonical.with_zone(Arc::new(to_utc)), None))
}

impl Source for ArrowSource {
    fn describe(&self) -> String {
        match (&self.options.name, &self.held) {
            (Some(name), _) => name.clone(),
            (None, Held::Table(_)) => "an Arrow table".into(),
            (None, Held::Once(_)) => "an Arrow reader".into(),
        }
    }

    fn measures(&self) -> Arc<[Measure]> {
        self.canonical.measures()
    }

    fn attributes(&self) -> Fields {
        self.canonical.attributes()
    }

    fn bounded(&self) -> bool {
        true
    }

    fn files(&self) -> Vec<FileName> {
        vec![FileName {
            name: self.describe().into(),
            stream: self.stream.as_str().into(),
            mended: false,
        }]
    }

    fn schema(&self) -> Schema {
        self.canonical.schema().clone()
    }

    fn assumed(&self) -> bool {
        self.canonical.assumed()
    }

    fn size(&self) -> Option<u64> {
        match &self.held {
            Held::Table(batches) => Some(
                batches
                    .iter()
                    .map(|b| b.get_array_memory_size() as u64)
                    .sum(),
            ),
            Held::Once(_) => None,
        }
    }

    fn open(
        &self,
        _partition: u32,
        from: &Positions,
        read: Option<&ReadPlan>,
        order: Order,
        prepare: Prepare,
    ) -> Result<Box<dyn Reader>> {
        let (at, others) = self.begin(from);
        let end = read
            .and_then(|r| r.extents.iter().find(|e| e.stream == self.stream))
            .map(|e| e.end);
        let rejecting = Rejecting::new(self.options.on_reject, self.options.max_rejects);
        let read_as = ReadAs {
            canonical: self.canonical.clone(),
            stream: self.stream.clone(),
            before: from.clone(),
            others,
            rejecting: Arc::new(rejecting),
        };
        let setup = Setup::new(
            self.measures(),
            prepare.clone(),
            self.options.spill_dir.clone(),
            self.options.waiting_rows,
        );
        let ordering = |c: &Converter| Ordering::new(self.canonical.clone(), c.clone());
        let ordering = self.ordered.as_ref().map(ordering);
        let content: Arc<dyn Content> = match &self.held {
            Held::Table(batches) => Arc::new(Rows {
                slices: Arc::new(slices(batches, at, end, ordering)?),
                read_as,
            }),
            Held::Once(once) => {
                let batches = once.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(|| {
                    Error::new(Kind::Usage, "an Arrow reader can be read once and has been read; make a new one, or a table of it")
                })?;
                let prepare = (order == Order::Optimistic).then_some(prepare);
                let live = Box::new(Once::new(batches, (at, end), ordering, read_as, prepare)?);
                Arc::new(Tape::new(
                    live,
                    from.clone(),
                    self.measures(),
                    self.options.spill_dir.clone(),
                ))
            }
        };
        Ordered::open(content, read, order, setup)
    }
}

/// How rows become readings, and where they stand.
#[derive(Clone)]
struct ReadAs {
    canonical: Arc<Canonical>,
    stream: String,
    before: Positions,
    others: Positions,
    rejecting: Arc<Rejecting>,
}

impl ReadAs {
    fn readings(&self, slice: &Slice) -> Result<(Readings, Vec<Reject>)> {
        let rows = RowIds::Dense(slice.row);
        match &slice.ordered {
            None => self.canonical.readings(&slice.batch, rows, 0),
            Some(to_utc) => (*self.canonical)
                .clone()
                .with_zone(to_utc.clone())
                .readings(&slice.batch, rows, 0),
        }
    }

    fn piece(&self, slice: &Slice, prepare: Option<&Prepare>) -> Result<Piece> {
        let (readings, rejects) = self.readings(slice)?;
        let rejected = rejects.len() as u64;
        let rejects = self.rejecting.judge(rejects)?;
        let mut after = self.others.clone();
        after.push(self.position(slice.end()));
        let mut piece = piece_of(readings, rejects, after, (0, slice.end()), prepare)?;
        // Also those that are counted only.
        let books = &mut piece.batch.counters;
        (books.rejected, books.records) = (rejected, rejected + books.accepted);
        books.lines = books.records;
        Ok(piece)
    }

    fn position(&self, row: u64) -> Position {
        Position {
            stream: self.stream.clone(),
            at: row,
            row,
            line: row + 1,
            proof: None,
            path: None,
            time: None,
        }
    }

    fn seen(&self, slice: &Slice, end: u64) -> Result<Seen> {
        // Rejects are told of when the rows are read.
        let (readings, _) = self.readings(slice)?;
        let extents = vec![Extent {
            stream: self.stream.clone(),
            end,
            proof: None,
        }];
        let times = Histogram::of(&readings.time);
        Ok(Seen {
            mark: (0, slice.end()),
            span: span(&readings.time),
            times,
            extents,
        })
    }
}

/// A part of a batch and the number of its first row.
#[derive(Clone)]
struct Slice {
    batch: RecordBatch,
    row: u64,
    /// Its own conversion of local times, where some went by the order of rows.
    ordered: Option<ToUtc>,
}

impl Slice {
    fn end(&self) -> u64 {
        self.row + self.batch.num_rows() as u64
    }

    /// Its rows within `from..to`, their order heeded first.
    fn within(self, from: u64, to: u64, ordering: &mut Option<Ordering>) -> Result<Option<Slice>> {
        let (first, last) = (self.row.max(from), self.end().min(to));
        let offset = first.saturating_sub(self.row) as usize;
        let ordered = match ordering {
            Some(ordering) => ordering.take(&self.batch, offset)?,
            None => None,
        };
        Ok((last > first).then(|| Slice {
            batch: part(&self.batch, offset, (last - first) as usize),
            row: first,
            ordered,
        }))
    }
}

/// Rows of a batch. All of them are not cut out: that counts the nulls of each column anew.
fn part(batch: &RecordBatch, offset: usize, rows: usize) -> RecordBatch {
    match offset == 0 && rows == batch.num_rows() {
        true => batch.clone(),
        false => batch.slice(offset, rows),
    }
}

/// Cuts a batch at multiples of the slice size.
fn cut(batch: &RecordBatch, row: u64) -> impl Iterator<Item = Slice> + '_ {
    (0..batch.num_rows()).step_by(SLICE).map(move |offset| {
        let n = SLICE.min(batch.num_rows() - offset);
        Slice {
            batch: part(batch, offset, n),
            row: row + offset as u64,
            ordered: None,
        }
    })
}

fn slices(
    batches: &[RecordBatch],
    at: u64,
    end: Option<u64>,
    mut ordering: Option<Ordering>,
) -> Result<Vec<Slice>> {
    let (mut made, mut row) = (Vec::new(), 0);
    for batch in batches {
        for slice in cut(batch, row) {
            made.extend(slice.within(at, end.unwrap_or(u64::MAX), &mut ordering)?);
        }
        row += batch.num_rows() as u64;
    }
    complete("table", row, at, end)?;
    Ok(made)
}

/// What was read of a named table or reader must still be there.
fn complete(what: &str, rows: u64, at: u64, end: Option<u64>) -> Result<()> {
    if rows >= end.unwrap_or(at).max(at) {
        return Ok(());
    }
    Err(Error::new(
        Kind::DataLost,
        format!(
            "the {what} has {rows} rows, fewer than were read of it; pass all of it, or another name"
        ),
    ))
}

/// The rows of a table.
struct Rows {
    slices: Arc<Vec<Slice>>,
    read_as: ReadAs,
}

impl Content for Rows {
    fn look(&self) -> Result<Box<dyn Steps<Seen>>> {
        let (slices, read_as) = (self.slices.clone(), self.read_as.clone());
        let end = slices.last().map_or(0, Slice::end);
        let look = move |i: usize| read_as.seen(&slices[i], end);
        Ok(Box::new(Jobs::new(self.slices.len(), look)?))
    }

    fn pieces(&self, prepare: Option<Prepare>) -> Result<Box<dyn Steps<Piece>>> {
        let (slices, read_as) = (self.slices.clone(), self.read_as.clone());
        read_as.rejecting.again();
        let read = move |i: usize| read_as.piece(&slices[i], prepare.as_ref());
        Ok(Box::new(Jobs::new(self.slices.len(), read)?))
    }

    fn before(&self) -> Positions {
        self.read_as.before.clone()
    }
}

/// The rows of a reader, pulled by a thread and prepared on the pool.
struct Once {
    from: Sent<Slice>,
    lanes: Lanes<Piece>,
    read_as: ReadAs,
    prepare: Option<Prepare>,
    over: bool,
}

impl Once {
    fn new(
        mut batches: Batches,
        (at, end): (u64, Option<u64>),
        mut ordering: Option<Ordering>,
        read_as: ReadAs,
        prepare: Option<Prepare>,
    ) -> Result<Once> {
        let (mut row, mut ready) = (0, VecDeque::new());
        let pull = move || {
            while ready.is_empty() {
                let Some(batch) = batches.next().transpose()? else {
                    return complete("reader", row, at, end).map(|()| None);
                };
                for slice in cut(&batch, row) {
                    ready.extend(slice.within(at, end.unwrap_or(u64::MAX), &mut ordering)?);
                }
                row += batch.num_rows() as u64;
            }
            Ok(ready.pop_front())
        };
        Ok(Once {
            from: Sent::spawn("arrow", 2, pull)?,
            lanes: Lanes::new()?,
            read_as,
            prepare,
            over: false,
        })
    }

    /// Hands slices to the pool as they come; waits only while nothing is in flight.
    fn fill(&mut self, wait: Duration) -> Result<bool> {
        while !self.over && !self.lanes.full() {
            let wait = if self.lanes.is_empty() {
                wait
            } else {
                Duration::ZERO
            };
            match self.from.next(wait)? {
                Landed::Value(slice) => {
                    let (read_as, prepare) = (self.read_as.clone(), self.prepare.clone());
                    self.lanes
                        .give(move || read_as.piece(&slice, prepare.as_ref()));
                }
                Landed::Waiting => return Ok(!self.lanes.is_empty()),
                Landed::Empty => self.over = true,
            }
        }
        Ok(true)
    }
}

impl Steps<Piece> for Once {
    fn next(&mut self, wait: Duration) -> Result<Landed<Piece>> {
        if self.fill(wait)? {
            self.lanes.next(wait)
        } else {
            Ok(Landed::Waiting)
        }
    }
}
