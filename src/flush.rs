//! The flush: the unit of commit, numbered per partition from 1. A leaf: types and their encoding.
//!
//! A flush is **decided** by one atomic step in the home and then **applied** to each sink.
//! A decided flush is never recomputed from the source; an undecided one leaves no trace a
//! reader can see. Its record holds everything a replay might decide otherwise: positions,
//! changed partials, windows, late rows, rejects, counters and decisions.
//!
//! **State.** `state` is a log: each record carries the partials (and dedupe state) that changed
//! since the last flush, keyed, versioned by (epoch, n), never overwritten in place. From time to
//! time a record is a *fold*: it carries the whole state, so recovery reads records from the last
//! fold on. A fold happens when the deltas since the last one outweigh it, so a flush costs
//! what changed (amortized), not what is open.
//!
//! **Effects** (`windows`, `readings`, `late`, `rejects`) are what sinks write. A home keeps them
//! until every sink shows them (itself too); only a home without followers whose `decide` writes the rows need not.
//!
//! **Rows.** `late` also lists conflicts (reason `conflict`) and rows behind an earlier read. A window's
//! `revision` is the number of late readings merged into it (`on_late = correct`): it does not
//! depend on where batches, flushes and runs were cut.
//!
//! Encoding: see `flush::codec`. A newer version is refused with advice.

mod codec;
mod size;

pub use codec::MAX_SECTION;
pub(crate) use codec::{table, untable};
pub use size::bytes_of;

use crate::ledger::Ledger;
use crate::reject::Reject;
use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

/// Version of the encoding; a reader refuses a greater one.
pub const FORMAT: u32 = 1;

/// Names a flush: greater pairs are later; an owner writes only its own epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FlushId {
    /// Fencing number of the owner that decided it.
    pub epoch: u64,
    /// Number of the flush, continuous over epochs: n follows n − 1.
    pub n: u64,
}

/// How far one stream of a source has been counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Stable name of the stream: hex of the hash of the first 64 KiB of a file (cut at the
    /// position if it is less), `topic/partition` of a topic, `name=` of a stream.
    pub stream: String,
    /// The next byte, offset or row.
    pub at: u64,
    /// The next row number.
    pub row: u64,
    /// The next line number (text sources), from 1.
    pub line: u64,
    /// Files: hex of the hash of bytes `[0, at)`.
    #[serde(default)]
    pub proof: Option<String>,
    /// Files: the path last seen, a hint for messages and for telling replaced from new.
    #[serde(default)]
    pub path: Option<String>,
    /// Several streams under one head: the greatest admitted end of interval of this one, µs UTC. Kept by the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
}

impl Position {
    /// Topic partition and next offset, where the stream is one of a topic: `topic/partition`.
    pub fn offset(&self) -> Option<(u32, u64)> {
        let (topic, partition) = self.stream.split_once('/')?;
        if topic.is_empty() || self.proof.is_some() {
            return None;
        }
        Some((partition.parse().ok()?, self.at))
    }

    /// Whether it was left by a topic: a partition of it, or an origin of its messages.
    pub fn is_of_topic(&self) -> bool {
        self.offset().is_some() || self.stream.starts_with("origin/")
    }
}

/// Which log the positions of a topic belong to: offsets mean nothing in another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Id of the cluster.
    pub cluster: String,
    /// Id of the topic: one deleted and made anew has another.
    pub topic: String,
    /// Number of its partitions: with another number keys lie elsewhere.
    pub partitions: u32,
}

/// What a bounded read covers, kept from its first flush to its last: a run that was cut off first
/// ends the read it began, to the same extent and in the same order, and only then looks for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPlan {
    /// The streams of the read, in order, and where each ends.
    pub extents: Vec<Extent>,
    /// Edges of the buckets of time (µs) if the rows are put in time order on disk first; empty: file order.
    /// Stored, never derived again. A stream's position stays at its start until the last bucket is done.
    pub edges: Vec<i64>,
    /// Buckets already counted; a flush never ends inside a bucket unless `row` says where.
    pub done: u64,
    /// Rows of the bucket under way already counted.
    #[serde(default)]
    pub row: u64,
}

/// One stream of a bounded read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The stream, as in [`Position`].
    pub stream: String,
    /// The read covers bytes (or rows) up to here.
    pub end: u64,
    /// Hash of what the read covers, where the order of reading is not the file's (buckets).
    #[serde(default)]
    pub proof: Option<String>,
}

/// All positions of one partition.
pub type Positions = Vec<Position>;

/// A decision that a replay might make otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The watermark went on to this instant (µs) after silence.
    Idle {
        /// The new watermark, µs UTC.
        watermark: i64,
    },
    /// Readings this far ahead of the clock were rejected.
    Ahead {
        /// How many.
        readings: u64,
        /// The clock then, µs UTC.
        clock: i64,
    },
    /// A run `until` an instant ended, and the watermark was asserted to that instant (µs).
    Until {
        /// The instant, µs UTC.
        at: i64,
    },
    /// A person moved the positions.
    Seek,
    /// A person dropped everything that was stored; what follows counts from the beginning.
    Reset,
    /// Partitions were added to the topic, and the sensors shared out anew.
    Repartition,
    /// A bounded read ended; windows that its end has reached became final.
    EndOfRead {
        /// Event time at its end, µs UTC.
        at: i64,
    },
}

/// Partials and dedupe state that changed, or all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateDelta {
    /// The bytes are the whole state: earlier records are not needed to recover.
    pub fold: bool,
    /// Encoded by `pipeline::task` (sections of `window::Open` and `transform::Dedupe`).
    pub bytes: Vec<u8>,
}

/// Window rows of one grain, as written to every sink: the columns of a windows table (DESIGN: "Columns of a windows table").
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRows {
    /// Grain name, `1h`.
    pub grain: String,
    /// One row a (sensor, window_start); at most one row a key in a flush.
    pub rows: RecordBatch,
}

/// One flush of one partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flush {
    /// Partition of the source (0 for files).
    pub partition: u32,
    /// Its name.
    pub id: FlushId,
    /// Which history it belongs to: the token of the owner that decided flush 1.
    pub lineage: String,
    /// Positions after it: what lies before them is counted in this or earlier flushes.
    pub positions: Positions,
    /// The bounded read under way; `None` when it ended, and for streams.
    pub read: Option<ReadPlan>,
    /// Greatest end of interval of an admitted reading, µs UTC; `None` before the first.
    pub max_end: Option<i64>,
    /// The watermark W, µs UTC: windows that end at or before it are final. Never goes back.
    pub watermark: Option<i64>,
    /// Writer's time stamp, µs: greater than that of flush n − 1, the same at every replay.
    pub stamp: i64,
    /// Changed state.
    pub state: StateDelta,
    /// Windows written or corrected, finest grain first.
    pub windows: Vec<WindowRows>,
    /// Readings counted by this flush, if a sink wants them.
    pub readings: Vec<RecordBatch>,
    /// Late readings, with `reason` and `grains` columns, if any.
    pub late: Option<RecordBatch>,
    /// Records that could not be read.
    pub rejects: Vec<Reject>,
    /// Counters of this flush alone.
    pub counters: Ledger,
    /// Counters of the pipeline's partition up to and with this flush.
    pub totals: Ledger,
    /// Decisions.
    pub decisions: Vec<Decision>,
    /// The last flush of a bounded run.
    pub last: bool,
}

/// The newest decided flush of a partition and what it belongs to. Stored by the home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Pipeline name.
    pub pipeline: String,
    /// Partition.
    pub partition: u32,
    /// The newest decided flush; n = 0: none yet.
    pub id: FlushId,
    /// The last fold at or before it: recovery reads records from here. n = 0: none.
    pub fold: FlushId,
    /// Positions after it.
    pub positions: Positions,
    /// The bounded read under way after it.
    #[serde(default)]
    pub read: Option<ReadPlan>,
    /// Watermark W after it.
    pub watermark: Option<i64>,
    /// Writer's time stamp of it.
    pub stamp: i64,
    /// The token of the owner that decided flush 1: a store that holds another history is refused.
    pub lineage: String,
    /// The token of the owner that decided this flush: settles an answer that was lost.
    pub token: String,
    /// Counters up to it.
    pub totals: Ledger,
    /// Fingerprint of the spec (windows, transforms, schema; not of tuning knobs).
    pub spec: String,
    /// The spec itself, JSON, so that a difference can be named.
    pub spec_json: String,
    /// IANA time zone data version.
    pub tzdata: String,
    /// Version of the encodings.
    pub format: u32,
    /// The log that the positions belong to, where the source is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Identity>,
}
