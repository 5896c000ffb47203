//! A table or a reader as packed messages, slice by slice; a position is a row.

use super::super::options::{Mode, Options};
use super::super::pack::{Envelope, Packed, Packer};
use super::super::usage;
use super::{Pieces, choice, nameless, packer, rows_position};
use crate::codec::arrow::Packing;
use crate::csv::SchemaChoice;
use crate::flush::Position;
use crate::ledger::Ledger;
use crate::pipeline::Handed;
use crate::schema::{Canonical, Overrides, RowIds, Schema, preset};
use crate::source::{Batches, Landed, Lanes};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Rows of a table packed at a time.
const SLICE: usize = 16 * 1024;

/// A table or a reader.
pub(in crate::produce) struct TableFeed {
    rows: Rows,
    packer: Arc<Packer>,
    pub stream: String,
    pub once: bool,
}

enum Rows {
    Table(Arc<Vec<RecordBatch>>),
    Once(Mutex<Option<Batches>>),
}

/// Holds a table or a reader against its schema.
pub(super) fn hold(options: &Options, packing: Packing, handed: Handed) -> Result<TableFeed> {
    let (schema, rows, once) = match handed {
        Handed::Table { schema, batches } => (schema, Rows::Table(Arc::new(batches)), false),
        Handed::Reader { schema, batches } => (schema, Rows::Once(Mutex::new(Some(batches))), true),
    };
    if options.name.is_none() && options.mode == Mode::Exact {
        return Err(nameless(options, "a table"));
    }
    let declared: Option<Schema> = match choice(options)? {
        SchemaChoice::Sniff => None,
        SchemaChoice::Declared(schema) => Some(*schema),
        SchemaChoice::Preset(name) => Some(preset(&name)?),
    };
    let canonical = match &declared {
        Some(declared) => Canonical::new(declared, &schema, &Overrides::default())?,
        None => Canonical::infer(&schema, &Overrides::default())?,
    };
    if canonical.needs_zone() {
        return Err(Error::new(
            Kind::AmbiguousZone,
            "the table's times carry no zone, and the schema names one; give them a zone first",
        ));
    }
    Ok(TableFeed {
        rows,
        packer: packer(options, packing, canonical.named("table"), &schema)?,
        stream: options.name.clone().unwrap_or_else(crate::source::unnamed),
        once,
    })
}

impl TableFeed {
    /// Opens it behind `from`.
    pub(super) fn open(
        &self,
        from: Option<&Position>,
        envelope: Envelope,
    ) -> Result<Box<dyn Pieces>> {
        let batches: Batches = match &self.rows {
            Rows::Table(batches) => {
                let batches = batches.clone();
                Box::new((0..batches.len()).map(move |i| Ok(batches[i].clone())))
            }
            Rows::Once(once) => once
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .ok_or_else(|| usage("the reader has been read; run again with a new one"))?,
        };
        Ok(Box::new(TablePieces {
            batches,
            waiting: VecDeque::new(),
            lanes: Lanes::new()?,
            marks: VecDeque::new(),
            packer: self.packer.clone(),
            envelope,
            stream: self.stream.clone(),
            skip: from.map_or(0, |p| p.row),
            given: 0,
            at: from.map_or(0, |p| p.row),
        }))
    }
}

struct TablePieces {
    batches: Batches,
    waiting: VecDeque<RecordBatch>,
    lanes: Lanes<Packed>,
    /// The row behind each job in flight.
    marks: VecDeque<u64>,
    packer: Arc<Packer>,
    envelope: Envelope,
    stream: String,
    /// Rows that are committed already.
    skip: u64,
    /// The next row to be given to the pool.
    given: u64,
    at: u64,
}

impl TablePieces {
    /// The next slice with its first row.
    fn slice(&mut self) -> Result<Option<(u64, RecordBatch)>> {
        loop {
            let Some(batch) = self.waiting.pop_front() else {
                match self.batches.next() {
                    Some(batch) => self.waiting.push_back(batch?),
                    None => return Ok(None),
                }
                continue;
            };
            let skip = self
                .skip
                .saturating_sub(self.given)
                .min(batch.num_rows() as u64) as usize;
            let (first, n) = (
                self.given + skip as u64,
                (batch.num_rows() - skip).min(SLICE),
            );
            let rest = skip + n;
            if rest < batch.num_rows() {
                self.waiting
                    .push_front(batch.slice(rest, batch.num_rows() - rest));
            }
            self.given += rest as u64;
            if n > 0 {
                return Ok(Some((first, batch.slice(skip, n))));
            }
        }
    }
}

impl Pieces for TablePieces {
    fn next(&mut self) -> Result<Option<Packed>> {
        while !self.lanes.full()
            && let Some((first, batch)) = self.slice()?
        {
            let (packer, envelope) = (self.packer.clone(), self.envelope);
            self.marks.push_back(self.given);
            self.lanes.give(move || {
                let n = batch.num_rows() as u64;
                let counters = Ledger {
                    lines: n,
                    records: n,
                    accepted: n,
                    readings: n,
                    ..Ledger::default()
                };
                packer.pack(envelope, &batch, RowIds::Dense(first), Vec::new(), counters)
            });
        }
        loop {
            match self.lanes.next(Duration::from_secs(1))? {
                Landed::Waiting => {}
                Landed::Empty => return Ok(None),
                Landed::Value(packed) => {
                    self.at = self.marks.pop_front().unwrap_or(self.given);
                    return Ok(Some(packed));
                }
            }
        }
    }

    fn position(&mut self) -> Result<Position> {
        Ok(rows_position(&self.stream, self.at))
    }
}
