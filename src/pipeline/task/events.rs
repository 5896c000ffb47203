//! What the task is told, what it asks for, and what it is made with.

use crate::flush::{Flush, FlushId, Head, Identity, Positions, ReadPlan};
use crate::pipeline::policy::{OnConflict, OnDuplicate, OnLate};
use crate::reject::OnReject;
use crate::sink::Owned;
use crate::source::{FileName, Order, SourceBatch};
use crate::window::Plan;
use crate::{Error, Result};
use arrow_schema::Fields;
use std::sync::Arc;

/// Which effects any sink takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Readings.
    pub readings: bool,
    /// Late readings.
    pub late: bool,
    /// Rejects.
    pub rejects: bool,
}

/// When a flush is built: as soon as one of these is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of effects (windows, readings, late, rejects).
    pub rows: usize,
    /// Bytes of effects, about. An optimistic read that waits with twice as much is ended with
    /// `Kind::Disorder`, so that the run reads it again scanned.
    pub bytes: usize,
    /// Time since the last flush, µs of the clock.
    pub interval: i64,
}

/// About the bytes of a window's row.
const ROW: usize = 256;

impl Limits {
    /// Empty windows that are made at once.
    pub(super) fn piece(&self) -> usize {
        (self.bytes / ROW).max(1)
    }
}

/// All that a task is made with.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// Pipeline name.
    pub pipeline: String,
    /// Partition.
    pub partition: u32,
    /// The owner's token ([`Claim::token`](crate::sink::Claim)).
    pub token: String,
    /// Fingerprint of the spec.
    pub spec: String,
    /// The spec, JSON.
    pub spec_json: String,
    /// IANA time zone data version.
    pub tzdata: String,
    /// The log that positions belong to, where the source is one.
    pub identity: Option<Identity>,
    /// The windows asked for.
    pub plan: Arc<Plan>,
    /// The source's files, by `Readings::file`.
    pub files: Vec<FileName>,
    /// Whether the source ends by itself.
    pub bounded: bool,
    /// How the bounded read learns what may still come.
    pub order: Order,
    /// How far the watermark stays behind the greatest end of interval, µs (unbounded).
    pub lateness: i64,
    /// Policy for late readings; `correct` needs a plan that keeps windows (`WindowSpec::correct_for`).
    pub on_late: OnLate,
    /// After this silence the watermark goes on with the clock, µs; `None`: never.
    pub idle: Option<i64>,
    /// The end of a stream asserts W to this instant, µs (unbounded).
    pub until: Option<i64>,
    /// Readings further ahead of the clock are rejects, µs (unbounded); `None`: none are.
    pub ahead: Option<i64>,
    /// What becomes of such a reject.
    pub on_reject: OnReject,
    /// Policy for equal readings.
    pub on_duplicate: OnDuplicate,
    /// Policy for readings of the same sensor and time with other values.
    pub on_conflict: OnConflict,
    /// How far back of the watermark equal readings are noticed, µs of event time (unbounded).
    pub dedupe_for: i64,
    /// When to flush.
    pub limits: Limits,
    /// Dead letters: a run that has more than these fails when every sink has them.
    pub budget: Option<u64>,
    /// Number of sinks, the home included; it is sink 0.
    pub sinks: usize,
    /// Which effects any sink takes; the others are not made.
    pub wants: Wants,
    /// The attributes of the readings.
    pub attributes: Fields,
}

/// What happened.
// `Owned` is large and comes once in a run.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Event {
    /// The home gave the partition.
    Owned {
        /// What was decided so far.
        owned: Owned,
        /// The clock, µs UTC.
        now: i64,
    },
    /// The reader has a batch.
    Batch {
        /// The batch.
        batch: Box<SourceBatch>,
        /// The clock, µs UTC.
        now: i64,
    },
    /// Time went on; at least every second while the source is silent.
    Tick {
        /// The clock, µs UTC.
        now: i64,
    },
    /// The read is over.
    EndOfRead {
        /// The clock, µs UTC.
        now: i64,
    },
    /// The home decided the flush.
    Decided {
        /// Which.
        id: FlushId,
    },
    /// The answer was lost.
    Unclear {
        /// Of which flush.
        id: FlushId,
    },
    /// The home told what became of it.
    Settled {
        /// It is the head.
        decided: bool,
    },
    /// A newer owner has the partition.
    Fenced {
        /// Who.
        by: String,
    },
    /// A sink took a flush.
    Applied {
        /// Which sink.
        sink: usize,
        /// Which flush.
        id: FlushId,
        /// The last flush it shows by now ([`Sink::applied`](crate::sink::Sink::applied)).
        shown: Option<FlushId>,
    },
    /// A sink ended ([`Sink::finish`](crate::sink::Sink::finish)): it shows all it took.
    Finished {
        /// Which sink.
        sink: usize,
    },
    /// The user wants to stop.
    Stop,
}

/// What is to be done, in the order given.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Open the source and feed its batches.
    Read {
        /// From here.
        from: Positions,
        /// The unfinished read to end first.
        read: Option<ReadPlan>,
        /// How.
        order: Order,
    },
    /// Ask the home to decide.
    Decide {
        /// The flush.
        flush: Arc<Flush>,
        /// The head after it.
        head: Arc<Head>,
    },
    /// Ask the home what became of this decision.
    Settle {
        /// The head it would be.
        head: Arc<Head>,
    },
    /// Give a decided flush to a sink.
    Apply {
        /// Which sink.
        sink: usize,
        /// The flush.
        flush: Arc<Flush>,
    },
    /// Tell the home that all sinks show what is up to here.
    Prune {
        /// The last of them.
        upto: FlushId,
    },
    /// Feed no more batches for now.
    Pause,
    /// Feed batches again.
    Resume,
    /// End every sink cleanly.
    Finish,
    /// It is over; no event is taken any more.
    Done(Outcome),
    /// It failed; no event is taken any more. What was decided stands.
    Fail(Error),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The read ended and everything is decided and shown.
    Ended,
    /// Stopped on request; what was decided is shown.
    Stopped,
}

impl TaskConfig {
    /// Refuses what cannot be, with advice.
    pub fn check(&self) -> Result<()> {
        if !self.bounded && self.on_conflict == OnConflict::Last {
            return Err(Error::new(
                crate::Kind::Usage,
                "on_conflict = last needs a source that ends: in a stream the earlier reading may be in a decided window; use first, keep or raise",
            ));
        }
        if self.on_late == OnLate::Correct && self.plan.correct_for().is_none() {
            return Err(Error::new(
                crate::Kind::Usage,
                "on_late = correct needs correct_for, how long final windows are kept; give one, such as \"1h\"",
            ));
        }
        Ok(())
    }
}
