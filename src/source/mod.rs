//! Source: where readings come from, as batches with positions.
//!
//! In: an endpoint and the positions after the newest decided flush. Out: [`SourceBatch`]es in
//! a fixed order: the same content read again from the same positions gives the same batches'
//! concatenation (batch borders may differ; nothing downstream may depend on them).
//! A source never calls a window or a sink, and does not know whether a batch is committed.
//!
//! **Bounded and unbounded.** A bounded source (files, tables, a finite simulation) ends with
//! [`Poll::End`] and vouches for order through `low`: no later batch of this read holds a time
//! below it. In a bounded read nothing is late, whatever the order; so the source must know
//! `low`. It has three ways, chosen by [`Order`]:
//! - *optimistic*: rows come in file order and `low` is the end of the batch; a row below an
//!   earlier `low` ends the read with `Kind::Disorder`. The run may use it only while nothing of the read
//!   is decided, and then starts it again *scanned*.
//!   It decides nothing before the read ends; if it outgrows its memory limit it is started again scanned too.
//! - *scanned*: a first pass notes each chunk's time range; `low` is the minimum of the chunks to come.
//!   If too many rows would have to wait, rows are first put into buckets of time on disk and
//!   come back bucket by bucket ([`ReadPlan`]). One-shot streams are spooled meanwhile.
//!
//!   The first batch of a scanned read carries its [`ReadPlan`] (extents, edges), each later one its progress; it is
//!   stored with every flush until the read ends. A run that finds one in the head opens the source with it (always
//!   scanned): the source reads exactly that extent, in that order, then `End`; the task then decides the end of that
//!   read and asks for a new one, which takes in what was added meanwhile.
//! - *unbounded* sources give `low = None`; the watermark decides.
//!
//! **Counting.** Each record, line and reject is counted once, in the batch that brings it; where rows come by buckets, lines and
//! rejects come with the rows of their bucket, what belongs to no row before the first bucket. A batch may hold counters and
//! rejects and no reading. The task moves readings it rejects itself (`ahead`) from accepted to rejected.
//! `End` of an unbounded source (`until`) moves no watermark.
//!
//! | part | does |
//! |---|---|
//! | `file`, `files`, `proof` | files as one dataset: which bytes are new, their chunks, the hashes that prove positions |
//! | `arrow`, `ordering` | Arrow tables and readers; local times that go by the order of rows |
//! | [`simulate`] | seeded household load, bounded or live |
//! | `sequence` | files, and then a topic |
//! | `mended` | rejects that were put right, as files |
//! | `content`, `lanes` | content as steps, jobs on the pool that land in order |
//! | `order`, `histogram`, `buckets`, `tape`, `spool`, `codec` | the order of a bounded read, and what waits on disk |
//! | `rejecting` | what becomes of rejects |
//!
//! **Topics.** A topic has one lane a partition (`state = keyed`), or one lane for all (`state = shared`): then each batch is of
//! one topic partition and says so in [`Aligned`], and `after` holds a position for each of them. The reader merges them by event
//! time: it reads the one that is furthest behind, and pauses those far ahead. The task owns what it takes from that:
//! it keeps the greatest end of interval of each stream (`Position::time`; a reader hands back what it was given), since only
//! the task knows which readings are admitted. W follows the least of those that hold time back: a stream in `behind`, or one
//! that has delivered a reading and is not silent for `idle`. A stream in `behind` that has delivered none holds W where it is.
//!
//! **Groups.** Where others share the partitions a source gives a [`Group`]: it says which are this run's. The run opens a lane for
//! each, from the head, and tells the group when a lane is gone. A group is a membership only; data never come through it.
//!
//! **Files and then a topic** are unbounded, and yet their first batches give `low`: the task counts a batch that has it as one
//! of a bounded read.
//!
//! **Preparing.** Decoding happens on the pool, and so does the pure part of the engine that needs no state:
//! the run hands each reader a [`Prepare`] function that accumulates a batch into its own partials there.

mod arrow;
mod buckets;
mod codec;
mod content;
mod file;
mod files;
mod histogram;
#[cfg(feature = "kafka")]
pub mod kafka;
mod lanes;
mod mended;
mod order;
mod ordering;
mod proof;
mod rejecting;
mod sequence;
pub mod simulate;
mod sniffed;
mod spool;
mod tape;

#[cfg(feature = "kafka")]
pub(crate) use lanes::{Landed, Lanes};
#[cfg(feature = "kafka")]
pub(crate) use proof::Proofs;

pub use arrow::{ArrowOptions, ArrowSource, Batches};
pub use file::{FileOptions, FileSource};
pub use order::WAITING_ROWS;
pub use sequence::Sequence;
pub use simulate::Simulated;

use crate::Result;
pub use crate::flush::Identity;
use crate::flush::{Position, Positions, ReadPlan};
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::schema::{Measure, Readings, Schema};
use crate::window::Delta;
use arrow_schema::Fields;
use std::sync::Arc;
use std::time::Duration;

/// The pure, stateless part of the engine, run on the pool: accumulates one batch.
pub type Prepare = Arc<dyn Fn(&Readings) -> Result<Delta> + Send + Sync>;

/// How a bounded read learns what may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Assume time order; `Kind::Disorder` if that fails.
    Optimistic,
    /// Look ahead first.
    Scanned,
}

/// A batch and everything the books need to know of it.
#[derive(Debug)]
pub struct SourceBatch {
    /// The readings.
    pub readings: Readings,
    /// What `Prepare` made of all of them; the task uses it when no row is left out.
    pub delta: Option<Delta>,
    /// Rejects met on the way.
    pub rejects: Vec<Reject>,
    /// Lines, records, bytes of this batch (grain books empty).
    pub counters: Ledger,
    /// Positions after this batch.
    pub after: Positions,
    /// A scanned read: its extent and its progress after this batch.
    pub read: Option<ReadPlan>,
    /// Bounded: no later batch of this read holds a time below this, µs UTC.
    pub low: Option<i64>,
    /// Several streams under one head: which of them this batch is of.
    pub ends: Option<Aligned>,
    /// How many of the last bits of a row number are its place within a message, which a reject names whole.
    pub places: u32,
}

/// Which of several streams a batch is of, and which may still hold older readings than have come. When the last of `behind`
/// goes and no readings follow, a batch without readings says so: W may have waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aligned {
    /// The batch's stream, as in [`Position::stream`](crate::flush::Position::stream).
    pub stream: Arc<str>,
    /// The streams that were not read to their end yet when this batch was made, this one among them if so.
    pub behind: Arc<[Arc<str>]>,
}

/// Who gives out the partitions of a source among several runs.
pub trait Group: Send {
    /// What changed, waiting at most `wait`. It must be asked steadily: it is the sign of life too.
    fn poll(&mut self, wait: Duration) -> Result<Option<Change>>;
    /// The lanes of these partitions are gone: others may have them. Answers [`Change::Revoked`].
    fn released(&mut self, partitions: &[u32]) -> Result<()>;
    /// Decided positions, for those who watch lag from outside; nothing reads them back.
    fn commit(&mut self, offsets: &[(u32, u64)]) -> Result<()>;
}

/// What became of a run's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These are this run's too now.
    Assigned(Vec<u32>),
    /// These are to go to others; they wait for [`Group::released`].
    Revoked(Vec<u32>),
    /// These are others' already.
    Lost(Vec<u32>),
}

/// What a reader has.
#[derive(Debug)]
pub enum Poll {
    /// A batch.
    Batch(Box<SourceBatch>),
    /// Nothing came within the wait.
    Idle,
    /// The read is over (bounded, or `until` reached).
    End,
}

/// Reads one partition in order. Owned by one thread.
pub trait Reader: Send {
    /// The next batch, waiting at most `wait`.
    fn next(&mut self, wait: Duration) -> Result<Poll>;
}

/// What a file of a source is called: for people, and for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileName {
    /// As the user named it.
    pub name: Arc<str>,
    /// Its stream, by its bytes (see [`Position::stream`](crate::flush::Position::stream)): a part of the key of
    /// its readings, whatever path leads to it. A file below 64 KiB gets another one when it has grown.
    pub stream: Arc<str>,
    /// It holds rejects of an earlier read, mended: none of them was counted, whatever its time.
    pub mended: bool,
}

/// Something about a source that a run should not meet unprepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// A run would not start.
    pub stops: bool,
    /// One sentence.
    pub message: String,
}

/// A source of readings.
pub trait Source: Send + Sync {
    /// What it is, for messages and reports; secrets redacted.
    fn describe(&self) -> String;
    /// The measures of its readings.
    fn measures(&self) -> Arc<[Measure]>;

    /// Where there is no measure: what kept a column from being one, as far as that is known.
    fn unmeasured(&self) -> Option<&str> {
        None
    }
    /// The attributes of its readings, where some are carried.
    fn attributes(&self) -> Fields {
        Fields::empty()
    }
    /// Number of lanes: 1 for files, tables, the simulator and where one head holds all; else the topic's partitions.
    fn partitions(&self) -> u32 {
        1
    }
    /// Whether it ends.
    fn bounded(&self) -> bool;
    /// Its files, by `Readings::file`.
    fn files(&self) -> Vec<FileName> {
        Vec::new()
    }
    /// The schema in force.
    fn schema(&self) -> Schema;
    /// Whether times without zone are counted as UTC for want of one: windows in another zone
    /// are then `AmbiguousZone`.
    fn assumed(&self) -> bool {
        false
    }
    /// Bytes of a source that can be read again; `None`: not known, or it is read once.
    fn size(&self) -> Option<u64> {
        None
    }
    /// Who gives out partitions; `None`: all are this run's. Joins the group: asked once in a run.
    fn group(&self) -> Result<Option<Box<dyn Group>>> {
        Ok(None)
    }
    /// The log that positions belong to; a head of another one is refused.
    fn identity(&self) -> Result<Option<Identity>> {
        Ok(None)
    }
    /// What to look at before a run that goes on from these positions, of all partitions: what the log has forgotten or
    /// is about to, clocks that differ.
    fn concerns(&self, _from: &[Position]) -> Result<Vec<Concern>> {
        Ok(Vec::new())
    }
    /// The next offset to be written, by topic partition, now: for lag.
    fn ends(&self) -> Result<Vec<(u32, u64)>> {
        Ok(Vec::new())
    }
    /// Opens `partition` at `from` (empty: the beginning). `read`: the unfinished read to end first, to its extent
    /// and no further (`order` is then `Scanned`). Errors: `DataLost` where the data at
    /// `from` or in the extent are no longer there (replaced, truncated), `Endpoint`, `Schema`.
    fn open(
        &self,
        partition: u32,
        from: &Positions,
        read: Option<&ReadPlan>,
        order: Order,
        prepare: Prepare,
    ) -> Result<Box<dyn Reader>>;
}

/// A stream name that no later run knows, for what can be read once and has no name.
pub(crate) fn unnamed() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!(
        "unnamed/{}/{}",
        std::process::id(),
        now.map_or(0, |n| n.as_nanos())
    )
}
