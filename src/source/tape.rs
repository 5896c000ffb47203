//! Tape: a stream that can be read once, kept while the look ahead goes through it, so that it
//! can be gone through again.

use super::codec::{Legend, Names, to_batch, to_readings};
use super::content::{Content, Jobs, Mark, Piece, Seen, Steps, span};
use super::histogram::Histogram;
use super::lanes::Landed;
use super::spool::{Slot, Spool, Spooled};
use super::{Prepare, SourceBatch};
use crate::flush::{Extent, Position, Positions};
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::schema::{Measure, RowIds};
use crate::{Error, Kind, Result};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

struct Entry {
    slot: Slot,
    /// First row where rows follow each other.
    dense: Option<u64>,
    rejects: Vec<Reject>,
    counters: Ledger,
    after: Positions,
    mark: Mark,
}

struct Recorded {
    entries: Vec<Entry>,
    legend: Legend,
    spooled: Spooled,
}

/// The content of a stream that can be read once.
pub(super) struct Tape {
    live: Mutex<Option<Box<dyn Steps<Piece>>>>,
    recorded: Arc<Mutex<Option<Arc<Recorded>>>>,
    before: Positions,
    measures: Arc<[Measure]>,
    dir: Option<PathBuf>,
}

impl Tape {
    pub(super) fn new(
        live: Box<dyn Steps<Piece>>,
        before: Positions,
        measures: Arc<[Measure]>,
        dir: Option<PathBuf>,
    ) -> Self {
        Tape {
            live: Mutex::new(Some(live)),
            recorded: Arc::default(),
            before,
            measures,
            dir,
        }
    }
}

impl Content for Tape {
    fn look(&self) -> Result<Box<dyn Steps<Seen>>> {
        let live = self
            .live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let live =
            live.ok_or_else(|| Error::new(Kind::Internal, "a stream was looked through twice"))?;
        Ok(Box::new(Recording {
            live,
            spool: Spool::new(self.dir.clone()),
            names: Names::default(),
            entries: Vec::new(),
            before: self.before.clone(),
            to: self.recorded.clone(),
        }))
    }

    fn pieces(&self, prepare: Option<Prepare>) -> Result<Box<dyn Steps<Piece>>> {
        let recorded = self
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // A read that already has its plan needs no look: the stream as it comes.
        let Some(recorded) = recorded else {
            let live = self
                .live
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            return live.ok_or_else(|| Error::new(Kind::Internal, "a stream was read twice"));
        };
        let measures = self.measures.clone();
        let count = recorded.entries.len();
        let play = move |i| recorded.play(i, &measures, prepare.as_ref());
        Ok(Box::new(Jobs::new(count, play)?))
    }

    fn before(&self) -> Positions {
        self.before.clone()
    }
}

impl Recorded {
    fn play(
        &self,
        i: usize,
        measures: &Arc<[Measure]>,
        prepare: Option<&Prepare>,
    ) -> Result<Piece> {
        let lost = || Error::new(Kind::Internal, "a piece of a spooled stream is missing");
        let entry = self.entries.get(i).ok_or_else(lost)?;
        let batch = self.spooled.get(&entry.slot)?;
        let mut readings = to_readings(&batch, measures, &self.legend)?
            .pop()
            .ok_or_else(lost)?;
        if let Some(first) = entry.dense {
            readings.rows = RowIds::Dense(first);
        }
        let span = span(&readings.time);
        let batch = SourceBatch {
            delta: prepare.map(|p| p(&readings)).transpose()?,
            readings,
            rejects: entry.rejects.clone(),
            counters: entry.counters.clone(),
            after: entry.after.clone(),
            read: None,
            low: None,
            ends: None,
            places: 0,
        };
        Ok(Piece {
            batch,
            mark: entry.mark,
            span,
        })
    }
}

struct Recording {
    live: Box<dyn Steps<Piece>>,
    spool: Spool,
    names: Names,
    entries: Vec<Entry>,
    before: Positions,
    to: Arc<Mutex<Option<Arc<Recorded>>>>,
}

impl Recording {
    fn keep(&mut self, piece: Piece) -> Result<Seen> {
        let Piece { batch, mark, span } = piece;
        let times = Histogram::of(&batch.readings.time);
        let extent = |p: &Position| Extent {
            stream: p.stream.clone(),
            end: p.at,
            proof: None,
        };
        let extents = batch
            .after
            .iter()
            .filter(|p| !self.before.contains(p))
            .map(extent)
            .collect();
        let dense = match batch.readings.rows {
            RowIds::Dense(first) => Some(first),
            RowIds::Listed(_) => None,
        };
        let slot = self
            .spool
            .put(to_batch(&batch.readings, &mut self.names)?)?;
        let SourceBatch {
            rejects,
            counters,
            after,
            ..
        } = batch;
        self.entries.push(Entry {
            slot,
            dense,
            rejects,
            counters,
            after,
            mark,
        });
        Ok(Seen {
            mark,
            span,
            times,
            extents,
        })
    }
}

impl Steps<Seen> for Recording {
    fn next(&mut self, wait: Duration) -> Result<Landed<Seen>> {
        match self.live.next(wait)? {
            Landed::Value(piece) => self.keep(piece).map(Landed::Value),
            Landed::Waiting => Ok(Landed::Waiting),
            Landed::Empty => {
                let recorded = Recorded {
                    entries: std::mem::take(&mut self.entries),
                    legend: self.names.legend(),
                    spooled: self.spool.reader(),
                };
                *self.to.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(recorded));
                Ok(Landed::Empty)
            }
        }
    }
}
