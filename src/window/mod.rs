//! Window: readings to partials to window rows. Pure: no clock, no thread, no I/O.
//!
//! In: [`Readings`](crate::schema::Readings) in any order. Out: rows of a windows table, the same bits
//! however the readings were split over batches, threads and restarts: sums are exact (scaled
//! integers for measures with `digits`, exact binary otherwise), and each result is one rounding
//! of the exact value. Minus zero counts as zero.
//!
//! | part | does |
//! |---|---|
//! | [`Plan`] | what is asked for, compiled: grains, zone, ladder, aggregates; immutable, shared |
//! | [`Delta`] | mergeable partials of one batch, all grains; made on any thread |
//! | [`Open`] | the open (and, for corrections, the kept) windows of one partition; merges deltas, closes windows, encodes what changed |
//! | [`holes`](fn@holes) | where a table at hand lacks readings, in its own step |
//! | [`late_masks`] | which rows of a batch are behind the watermark, per grain |
//!
//! **Slots.** A reading fills the slot that holds its time on a grid of steps: in phase with the
//! local clock's offset for steps up to an hour, the local clock itself for longer ones. `expected`
//! counts the slots of the whole window, `missing` those not filled.

mod accumulate;
mod complete;
mod encode;
mod exact;
mod finish;
mod holes;
mod ladder;
mod open;
mod pieces;
mod plan;
mod ready;
mod rows;
mod scan;
mod slots;
mod watermark;
mod wide;

pub use accumulate::Delta;
pub use holes::{Hole, Looked, holes};
pub use open::Open;
pub use plan::{Plan, StepKnown, WindowSpec};
pub use watermark::{Watermark, late_masks};

use arrow_buffer::BooleanBuffer;

/// Rows of a batch that do not count everywhere.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// Set: the row counts (not left out by a policy); `None`: all. Null rows need not be left out.
    pub rows: Option<BooleanBuffer>,
    /// Set: the row is a duplicate: not accumulated, counted in its windows' `duplicates`.
    pub duplicates: Option<BooleanBuffer>,
    /// Per grain (plan order), set: the row is not late there; `None`: all. May be shorter than the grains.
    pub on_time: Vec<Option<BooleanBuffer>>,
}

/// What the task needs to know of a batch without looking at its rows. Null rows count here: they
/// say how far the meter's time went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchStats {
    /// Least time, µs UTC (`i64::MAX` when empty).
    pub min_time: i64,
    /// Greatest end of interval, µs UTC (`i64::MIN` when empty).
    pub max_end: i64,
    /// Greatest amount by which a row's time lies below the greatest end before it in the batch, µs (0 in order).
    pub max_lag: i64,
    /// Each sensor's times increase strictly within the batch.
    pub strictly_ordered: bool,
    /// Rows without any value.
    pub null_rows: u64,
}
