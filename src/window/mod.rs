//! Window: readings to partials to window rows. Pure: no clock, no thread, no I/O.
//!
//! In: [`Readings`](crate::schema::Readings) in any order. Out: rows of a windows table, the same bits
//! however the readings were split over batches, threads and restarts: sums are exact (scaled
//! integers for measures with `digits`, exact binary otherwise), and each result is one rounding
//! of the exact value.
//!
//! | part | does |
//! |---|---|
//! | [`Plan`] | what is asked for, compiled: grains, zone, ladder, aggregates; immutable, shared |
//! | [`Delta`] | mergeable partials of one batch, all grains; made on any thread |
//! | [`Open`] | the open (and, for corrections, the kept) windows of one partition; merges deltas, closes windows, encodes what changed |

use crate::Result;
use crate::flush::WindowRows;
use crate::schema::Readings;
use arrow_buffer::BooleanBuffer;

/// What is asked for, compiled. Immutable; shared by all threads.
#[derive(Debug)]
pub struct Plan {}

/// Rows of a batch that do not count everywhere. Bits are set for rows that *do* count.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// Rows that count at all (not null, not left out by a policy); `None`: all.
    pub rows: Option<BooleanBuffer>,
    /// Rows that are duplicates: not accumulated, counted in their windows' `duplicates`.
    pub duplicates: Option<BooleanBuffer>,
    /// Per grain (plan order): rows that are not late there; `None`: all. May be shorter than the grains.
    pub on_time: Vec<Option<BooleanBuffer>>,
}

/// What the task needs to know of a batch without looking at its rows.
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

/// Mergeable partials of one batch, all grains.
#[derive(Debug)]
pub struct Delta {}

/// The open and kept windows of one partition.
#[derive(Debug)]
pub struct Open {}

impl Open {
    /// Rows of the windows that are still open, `final = false`.
    pub fn open_rows(&self, _plan: &Plan) -> Result<Vec<WindowRows>> {
        Ok(Vec::new())
    }
}

impl Plan {
    /// Accumulates a batch.
    pub fn accumulate(&self, _readings: &Readings, _keep: &Keep) -> Result<Delta> {
        Ok(Delta {})
    }
}
