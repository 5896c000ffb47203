//! Watermark: what of a batch counts, how far event time went, and which rows are late.

use super::plan::Plan;
use super::{BatchStats, Keep};
use crate::ledger::GrainBooks;
use crate::schema::{Quality, Readings, SensorKeys, Step};
use arrow_array::Array;
use arrow_buffer::BooleanBuffer;

/// How far event time has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Greatest end of interval admitted, µs UTC; `i64::MIN` before the first.
    pub max_end: i64,
    /// How long a reading may come after later ones, µs.
    pub lateness: i64,
    /// Rows move it up to this only: other streams may be behind. `i64::MAX`: there are none.
    pub cap: i64,
}

impl Watermark {
    /// Windows with an end up to this are final.
    pub fn value(&self) -> i64 {
        self.max_end.saturating_sub(self.lateness)
    }
}

/// End of the interval of row `row`.
#[inline]
fn end_of(readings: &Readings, row: usize) -> i64 {
    let step = match &readings.step {
        Step::Unknown => 0,
        Step::Fixed(step) => *step,
        Step::Rows(steps) => steps[row],
    };
    readings.time[row].saturating_add(step.max(0))
}

/// Which rows of a batch are late, per grain, in order of arrival: with W = greatest end before
/// the row − lateness, a row is late where W ≥ end of its window + `allow`. `allow` is 0, or
/// `correct_for` to ask which rows come too late even for a correction. Rows that `keep.rows`
/// leaves out move nothing. `beside`: the greatest end of rows that came before each but are left out of `readings`,
/// and move the watermark all the same; empty: there are none. Returns masks for [`Keep::on_time`] (`None`: no row is late there) and the
/// watermark after the batch.
pub fn late_masks(
    plan: &Plan,
    readings: &Readings,
    keep: &Keep,
    stats: &BatchStats,
    start: Watermark,
    allow: i64,
    beside: &[i64],
) -> (Vec<Option<BooleanBuffer>>, Watermark) {
    let after = Watermark {
        max_end: start.max_end.max(stats.max_end.min(start.cap)),
        ..start
    };
    let none = vec![None; plan.grains.len()];
    let slack = start.lateness.saturating_add(allow);
    let behind = start.max_end.saturating_sub(stats.min_time);
    let ordered = stats.max_lag <= slack && (start.max_end == i64::MIN || behind <= slack);
    if readings.is_empty() || (ordered && beside.is_empty()) {
        return (none, after);
    }
    let mut before = greatest_before(readings, keep, start);
    for (before, beside) in before.iter_mut().zip(beside) {
        *before = (*before).max((*beside).min(start.cap));
    }
    let masks = plan.grains.iter().map(|grain| {
        let mut cursor = grain.calendar.cursor();
        let on_time = |row: usize| {
            let (_, end) = cursor.window(readings.time[row]);
            before[row].saturating_sub(start.lateness) < end.saturating_add(allow)
        };
        let mask = BooleanBuffer::from_iter((0..readings.len()).map(on_time));
        (mask.count_set_bits() < mask.len()).then_some(mask)
    });
    (masks.collect(), after)
}

/// Greatest end of interval before each row.
fn greatest_before(readings: &Readings, keep: &Keep, start: Watermark) -> Vec<i64> {
    let mut greatest = start.max_end;
    let each = |row: usize| {
        let before = greatest;
        if keep.rows.as_ref().is_none_or(|k| k.value(row)) {
            greatest = greatest.max(end_of(readings, row).min(start.cap));
        }
        before
    };
    (0..readings.len()).map(each).collect()
}

/// What of a batch counts.
pub(crate) struct Counted {
    /// Rows that count in windows, lateness aside; `None`: all.
    rows: Option<BooleanBuffer>,
    /// Rows without any value; `None`: there are none.
    null: Option<BooleanBuffer>,
    /// Rows of quality bad, with a value.
    bad: Option<BooleanBuffer>,
    /// Number of rows without any value, of those kept.
    pub nulls: u64,
    /// Number of rows without any value, of all.
    pub empty: usize,
}

/// Finds the rows that count.
pub(crate) fn counted_rows(readings: &Readings, keep: &Keep) -> Counted {
    let kept = keep.rows.as_ref();
    let null = null_rows(readings);
    let empty = null.as_ref().map_or(0, BooleanBuffer::count_set_bits);
    let null = and(null.as_ref(), kept);
    let bad = bad_rows(readings).map(|bad| match &null {
        Some(null) => &bad & &!null,
        None => bad,
    });
    let bad = and(bad.as_ref(), kept);
    let mut rows = keep.rows.clone();
    for off in [&null, &bad, &keep.duplicates].into_iter().flatten() {
        rows = Some(match rows {
            Some(rows) => &rows & &!off,
            None => !off,
        });
    }
    let nulls = null.as_ref().map_or(0, |n| n.count_set_bits() as u64);
    Counted {
        rows,
        null,
        bad,
        nulls,
        empty,
    }
}

impl Counted {
    /// Rows that count in a grain.
    pub fn mask(&self, on_time: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
        match (&self.rows, on_time) {
            (Some(rows), Some(on_time)) => Some(rows & on_time),
            (rows, on_time) => rows.as_ref().or(on_time).cloned(),
        }
    }

    /// Duplicates among the rows that are kept and have a value.
    pub fn duplicates(&self, keep: &Keep) -> Option<BooleanBuffer> {
        let twice = and(keep.duplicates.as_ref(), keep.rows.as_ref());
        let off = [&self.null, &self.bad].into_iter().flatten();
        off.fold(twice, |twice, off| twice.map(|t| &t & &!off))
    }

    /// The books of a grain, crossing aside. A row is in the first that fits of: null, dropped,
    /// duplicate, late, windowed.
    pub fn books(&self, len: usize, keep: &Keep, on_time: Option<&BooleanBuffer>) -> GrainBooks {
        let ones = |mask: Option<&BooleanBuffer>| mask.map_or(0, |m| m.count_set_bits() as u64);
        let kept = keep
            .rows
            .as_ref()
            .map_or(len as u64, |k| k.count_set_bits() as u64);
        let (null, dropped) = (self.nulls, ones(self.bad.as_ref()));
        let windowed = self
            .mask(on_time)
            .map_or(len as u64, |m| m.count_set_bits() as u64);
        let duplicate = ones(self.duplicates(keep).as_ref());
        let late = kept - null - dropped - duplicate - windowed;
        GrainBooks {
            windowed,
            late,
            null,
            dropped,
            duplicate,
            ..GrainBooks::default()
        }
    }
}

fn and(a: Option<&BooleanBuffer>, b: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a & b),
        (a, None) => a.cloned(),
        (None, _) => None,
    }
}

/// Rows without any value; `None` where one measure is never null.
fn null_rows(readings: &Readings) -> Option<BooleanBuffer> {
    let mut any: Option<BooleanBuffer> = None;
    for column in &readings.values {
        let valid = column.nulls().filter(|n| n.null_count() > 0)?.inner();
        any = Some(match any {
            Some(any) => &any | valid,
            None => valid.clone(),
        });
    }
    let any = any?;
    (any.count_set_bits() < any.len()).then(|| !&any)
}

fn bad_rows(readings: &Readings) -> Option<BooleanBuffer> {
    let quality = readings.quality.as_ref()?;
    let bad = BooleanBuffer::from_iter(quality.iter().map(|q| *q == Quality::Bad as u8));
    (bad.count_set_bits() > 0).then_some(bad)
}

/// Range and order of a batch; rows that `keep.rows` leaves out aside.
pub(crate) fn batch_stats(readings: &Readings, keep: &Keep, null_rows: u64) -> BatchStats {
    let mut stats = BatchStats {
        min_time: i64::MAX,
        max_end: i64::MIN,
        max_lag: 0,
        strictly_ordered: true,
        null_rows,
    };
    match (&readings.sensors, &readings.step, &keep.rows) {
        (SensorKeys::Constant(_), Step::Unknown | Step::Fixed(_), None) if ordered(readings) => {
            if let (Some(first), Some(_)) = (readings.time.first(), readings.time.last()) {
                stats.min_time = *first;
                stats.max_end = end_of(readings, readings.len() - 1);
            }
        }
        _ => slow_stats(readings, keep, &mut stats),
    }
    stats
}

/// One sensor, each row at or after the end of the one before: nothing lags.
fn ordered(readings: &Readings) -> bool {
    let step = match &readings.step {
        Step::Fixed(step) => (*step).max(1),
        _ => 1,
    };
    let (mut rest, apart) = (&readings.time[..], |a: &i64, b: &i64| {
        b.saturating_sub(*a) >= step
    });
    while rest.len() > 1 {
        let near = rest.len().min(PART);
        let part = rest.get(..near).unwrap_or(rest);
        // Mostly the rows follow each other by just a step.
        if !by_step(part, step) && !part.is_sorted_by(apart) {
            return false;
        }
        rest = rest.get(near - 1..).unwrap_or(&[]);
    }
    true
}

/// Rows looked at together.
const PART: usize = 256;

/// Whether each time is `step` after the one before.
#[inline]
pub(super) fn by_step(times: &[i64], step: i64) -> bool {
    let pairs = times.iter().zip(times.get(1..).unwrap_or(&[]));
    let off = pairs.fold(0, |off, (a, b)| off | (b.wrapping_sub(*a) ^ step));
    off == 0
}

fn slow_stats(readings: &Readings, keep: &Keep, stats: &mut BatchStats) {
    let (codes, sensors) = match &readings.sensors {
        SensorKeys::Constant(_) => (None, 1),
        SensorKeys::Coded { codes, names } => (Some(codes), names.len()),
    };
    let mut last = vec![i64::MIN; sensors];
    for (row, &time) in readings.time.iter().enumerate() {
        if keep.rows.as_ref().is_some_and(|k| !k.value(row)) {
            continue;
        }
        let last = &mut last[codes.map_or(0, |c| c[row] as usize)];
        stats.strictly_ordered &= time > *last || *last == i64::MIN;
        *last = time.max(*last);
        if stats.max_end != i64::MIN {
            stats.max_lag = stats.max_lag.max(stats.max_end.saturating_sub(time));
        }
        stats.min_time = stats.min_time.min(time);
        stats.max_end = stats.max_end.max(end_of(readings, row));
    }
}
