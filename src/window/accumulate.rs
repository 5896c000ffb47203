//! Accumulate: a batch of readings to mergeable partials, all grains.
//!
//! Rows are first cut into *runs*: rows that follow each other, of one sensor, in one window, at
//! increasing times one step apart. Then each measure takes a run in one tight pass. In-order data
//! gives long runs and never looks a window up; any other order gives the same partials, slower.

use super::plan::{Plan, StepKnown, head};
use super::ready::Ahead;
use super::rows::{Rows, Values};
use super::watermark::{batch_stats, by_step, counted_rows};
use super::{BatchStats, Keep, ladder};
use crate::ledger::GrainBooks;
use crate::schema::{Quality, Readings, SensorKeys, Step};
use crate::time::Calendar;
use crate::{Error, Kind, Result};
use arrow_array::Array;
use arrow_buffer::BooleanBuffer;
use hashbrown::HashMap;
use std::sync::Arc;

/// Mergeable partials of one batch, all grains; by default of no rows in no grain.
#[derive(Debug, Default)]
pub struct Delta {
    pub(crate) names: Arc<[Arc<str>]>,
    pub(crate) grains: Vec<Rows>,
    /// Tables made ahead, by grain; empty or `None`: none was.
    pub(crate) ahead: Vec<Option<Ahead>>,
    books: Vec<GrainBooks>,
    stats: BatchStats,
}

impl Delta {
    /// What the task needs to know of the batch.
    pub fn stats(&self) -> &BatchStats {
        &self.stats
    }

    /// What became of the batch's rows in grain `grain` (plan order): windowed, late (masked),
    /// null, dropped (quality bad), duplicate, crossing. Rows that `Keep::rows` leaves out are in none.
    pub fn books(&self, grain: usize) -> &GrainBooks {
        &self.books[grain]
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        let ahead = self.ahead.iter().flatten().map(Ahead::bytes);
        self.grains.iter().map(Rows::bytes).sum::<usize>() + ahead.sum::<usize>()
    }

    /// Number of partials, all grains.
    pub fn partials(&self) -> usize {
        self.grains.iter().map(Rows::len).sum()
    }
}

/// Rows `lo .. hi` of a batch, for partial `row`.
#[derive(Clone, Copy)]
struct Run {
    lo: u32,
    hi: u32,
    row: u32,
}

/// Finds the partial of (sensor, time) in a batch.
pub(crate) struct Indexer {
    cursor: crate::time::Cursor,
    /// By sensor: window and row of its latest.
    now: Vec<(i64, i64, u32)>,
    /// All windows, once something came out of order.
    all: Option<HashMap<(u32, i64), u32>>,
}

impl Indexer {
    pub fn new(calendar: &Calendar, sensors: usize) -> Self {
        let now = vec![(i64::MAX, i64::MIN, 0); sensors];
        Indexer {
            cursor: calendar.cursor(),
            now,
            all: None,
        }
    }

    /// End of the window and its row, made if it is new.
    #[inline]
    pub fn find(&mut self, rows: &mut Rows, sensor: u32, at: i64) -> (i64, u32) {
        let (start, end, row) = self.now[sensor as usize];
        if at >= start && at < end {
            return (end, row);
        }
        self.seek(rows, sensor, at)
    }

    fn seek(&mut self, rows: &mut Rows, sensor: u32, at: i64) -> (i64, u32) {
        let (start, end) = self.cursor.window(at);
        let before = self.now[sensor as usize];
        if self.all.is_none() && before.0 != i64::MAX && start < before.1 {
            self.all = Some(index_of(rows));
        }
        let row = match &mut self.all {
            None => rows.push(sensor, start, end),
            Some(all) => *all
                .entry((sensor, start))
                .or_insert_with(|| rows.push(sensor, start, end)),
        };
        self.now[sensor as usize] = (start, end, row);
        (end, row)
    }
}

fn index_of(rows: &Rows) -> HashMap<(u32, i64), u32> {
    let key = |row| {
        let (sensor, start, _) = rows.key(row);
        ((sensor, start), row)
    };
    (0..rows.len() as u32).map(key).collect()
}

/// The batch as the passes see it.
pub(crate) struct Batch<'a> {
    pub plan: &'a Plan,
    pub readings: &'a Readings,
    pub codes: Option<&'a [u32]>,
    pub sensors: usize,
    pub times: &'a [i64],
    /// Rows without any value, all of them.
    pub empty: usize,
}

impl Batch<'_> {
    #[inline]
    fn sensor(&self, row: usize) -> u32 {
        self.codes.map_or(0, |codes| codes[row])
    }

    /// Interval length of a row, 0 where it is not known.
    #[inline]
    fn step(&self, row: usize) -> i64 {
        match (&self.readings.step, self.plan.step) {
            (_, StepKnown::Unknown) => 0,
            (Step::Rows(steps), _) => steps[row].max(0),
            (Step::Fixed(step), _) => (*step).max(0),
            (Step::Unknown, _) => 0,
        }
    }
}

impl Plan {
    /// Accumulates a batch. Rows whose measures are all null and rows of quality `bad` count in no
    /// window; see [`Keep`] for the others.
    pub fn accumulate(&self, readings: &Readings, keep: &Keep) -> Result<Delta> {
        self.check(readings)?;
        let (codes, names): (Option<&[u32]>, Arc<[Arc<str>]>) = match &readings.sensors {
            SensorKeys::Constant(name) => (None, Arc::new([name.clone()])),
            SensorKeys::Coded { codes, names } => (Some(codes), names.clone()),
        };
        let counted = counted_rows(readings, keep);
        let (times, empty) = (&readings.time[..], counted.empty);
        let batch = Batch {
            plan: self,
            readings,
            codes,
            sensors: names.len(),
            times,
            empty,
        };
        let stats = batch_stats(readings, keep, counted.nulls);
        let twice = counted.duplicates(keep);
        let mut grains: Vec<Rows> = Vec::with_capacity(self.grains.len());
        let mut books: Vec<GrainBooks> = Vec::with_capacity(self.grains.len());
        for index in 0..self.grains.len() {
            let on_time = keep.on_time.get(index).and_then(Option::as_ref);
            let mut book = counted.books(readings.len(), keep, on_time);
            let feeder = ladder::feeder(self, index, keep, &grains, &books, readings.len());
            let rows = match feeder {
                Some(feeder) => ladder::feed(&batch, index, &grains[feeder]),
                None => {
                    let mut rows = Rows::new(self.stride);
                    let mut indexer = Indexer::new(&self.grains[index].calendar, batch.sensors);
                    direct(
                        &batch,
                        &mut rows,
                        &mut indexer,
                        &counted.mask(on_time),
                        &mut book,
                    );
                    if let Some(twice) = &twice {
                        count_duplicates(&batch, &mut rows, &mut indexer, twice, on_time);
                    }
                    rows
                }
            };
            grains.push(rows);
            books.push(book);
        }
        Ok(Delta {
            names,
            grains,
            ahead: Vec::new(),
            books,
            stats,
        })
    }

    /// The batch is what the plan was made for.
    fn check(&self, readings: &Readings) -> Result<()> {
        let internal = |message: String| Err(Error::new(Kind::Internal, message));
        let n = readings.len();
        if readings.values.len() != self.measures.len()
            || readings.values.iter().any(|v| v.len() != n)
        {
            return internal(format!(
                "a batch has {} measure columns where the plan has {}, or their lengths differ; please report it",
                readings.values.len(),
                self.measures.len()
            ));
        }
        if u32::try_from(n).is_err() {
            return internal(format!("a batch of {n} rows is too long; please report it"));
        }
        if let SensorKeys::Coded { codes, names } = &readings.sensors
            && (codes.len() != n || codes.iter().any(|c| *c as usize >= names.len()))
        {
            return internal("a batch has a sensor code without a name; please report it".into());
        }
        match (&readings.step, self.step) {
            (Step::Rows(steps), _) if steps.len() != n => {
                internal("a batch has fewer steps than rows; please report it".into())
            }
            (Step::Fixed(step), StepKnown::Fixed(known)) if *step == known => Ok(()),
            (_, StepKnown::Unknown | StepKnown::Rows) => Ok(()),
            (_, StepKnown::Fixed(known)) => Err(Error::new(
                Kind::Usage,
                format!(
                    "the step is declared as {} but a batch of readings says otherwise; declare the step by column",
                    crate::time::duration::format(known)
                ),
            )),
        }
    }
}

/// Partials of a grain straight from the readings.
fn direct(
    batch: &Batch,
    rows: &mut Rows,
    indexer: &mut Indexer,
    mask: &Option<BooleanBuffer>,
    book: &mut GrainBooks,
) {
    let mut runs = Vec::with_capacity(1024);
    let mut pass = Pass {
        batch,
        columns: columns(batch),
        runs: &mut runs,
    };
    for (lo, hi) in spans(mask, batch.times.len()) {
        let mut at = lo;
        while at < hi {
            at = pass.run(rows, indexer, at, hi, book);
        }
    }
    pass.flush(rows);
}

/// Stretches of rows that count.
fn spans(mask: &Option<BooleanBuffer>, len: usize) -> Vec<(usize, usize)> {
    match mask {
        None => vec![(0, len)],
        Some(mask) => mask.set_slices().collect(),
    }
}

/// A measure's column of the batch.
struct Column<'a> {
    values: &'a [f64],
    /// Where values may be missing in rows that count.
    valid: Option<&'a BooleanBuffer>,
}

/// Rows that count have a value in some measure; where a column's nulls are just the rows without
/// any value, it has none in them.
fn columns<'a>(batch: &Batch<'a>) -> Vec<Column<'a>> {
    let column = |cell: &super::plan::Cell| {
        let array = &batch.readings.values[cell.measure];
        let nulls = array.nulls().filter(|n| n.null_count() > batch.empty);
        Column {
            values: array.values(),
            valid: nulls.map(|n| n.inner()),
        }
    };
    batch.plan.cells.iter().map(column).collect()
}

/// One pass over the readings for one grain.
struct Pass<'a, 'b> {
    batch: &'a Batch<'a>,
    columns: Vec<Column<'a>>,
    runs: &'b mut Vec<Run>,
}

impl Pass<'_, '_> {
    /// Cuts the run that begins at `lo`; returns where it ends.
    #[inline]
    fn run(
        &mut self,
        rows: &mut Rows,
        indexer: &mut Indexer,
        lo: usize,
        limit: usize,
        book: &mut GrainBooks,
    ) -> usize {
        let batch = self.batch;
        let (sensor, first) = (batch.sensor(lo), batch.times[lo]);
        let (end, row) = indexer.find(rows, sensor, first);
        let step = batch.step(lo);
        let hi = self.extent(lo, limit, end, sensor, step);
        let last = batch.times[hi - 1];
        rows.count(row, (hi - lo) as u64, first, last);
        if step > 0 {
            self.slots(rows, row, first, hi - lo, step);
            book.crossing += u64::from(last.saturating_add(step) > end);
        }
        self.quality(rows, row, lo, hi);
        self.runs.push(Run {
            lo: lo as u32,
            hi: hi as u32,
            row,
        });
        if self.runs.len() == 64 {
            self.flush(rows);
        }
        hi
    }

    /// The row after the last that continues row `lo` in its window.
    #[inline]
    fn extent(&self, lo: usize, limit: usize, end: i64, sensor: u32, step: i64) -> usize {
        let times = &self.batch.times[..limit];
        let mut at = lo + 1;
        if matches!(self.batch.readings.step, Step::Rows(_)) || self.batch.plan.slots.wall {
            return at;
        }
        let mut before = times[lo];
        let near = |before: i64, t: i64| match step {
            0 => t > before,
            step => t.wrapping_sub(before) == step,
        };
        match self.batch.codes {
            None => {
                if (1..LONG).contains(&step) {
                    at = steps(times, lo, end, step);
                    before = times[at - 1];
                }
                while at < limit && times[at] < end && near(before, times[at]) {
                    before = times[at];
                    at += 1;
                }
            }
            Some(codes) => {
                let codes = &codes[..limit];
                while at < limit
                    && codes[at] == sensor
                    && times[at] < end
                    && near(before, times[at])
                {
                    before = times[at];
                    at += 1;
                }
            }
        }
        at
    }

    #[inline]
    fn slots(&self, rows: &mut Rows, row: u32, first: i64, n: usize, step: i64) {
        if self.batch.plan.step == StepKnown::Rows && !rows.note_step(row, step) {
            return;
        }
        let slot = self.batch.plan.slots.slot(first, step);
        rows.fill(row, slot, slot + n as i64);
    }

    fn quality(&self, rows: &mut Rows, row: u32, lo: usize, hi: usize) {
        if let Some(quality) = &self.batch.readings.quality {
            let estimated = quality[lo..hi]
                .iter()
                .filter(|q| **q == Quality::Estimated as u8)
                .count();
            rows.row_mut(row)[head::ESTIMATED] += estimated as u64;
        }
    }

    /// Adds the values of the runs gathered so far: a few rows at a time, so that partials stay in cache.
    fn flush(&mut self, rows: &mut Rows) {
        for (cell, column) in self.batch.plan.cells.iter().zip(&self.columns) {
            for run in self.runs.iter() {
                let (lo, hi) = (run.lo as usize, run.hi as usize);
                let step = self.batch.step(lo);
                let part = |lo: usize, hi: usize| Values {
                    values: &column.values[lo..hi],
                    times: &self.batch.times[lo..hi],
                    step,
                };
                match column.valid {
                    None => rows.add(run.row, cell, part(lo, hi)),
                    Some(valid) => {
                        for (a, b) in valid.slice(lo, hi - lo).set_slices() {
                            rows.add(run.row, cell, part(lo + a, lo + b));
                        }
                    }
                }
            }
        }
        self.runs.clear();
    }
}

/// A row after `lo` up to which each is `step` after the one before and before `end`: not always the last such.
#[inline]
fn steps(times: &[i64], lo: usize, end: i64, step: i64) -> usize {
    let mut at = lo;
    // The last of so many rows is within the window, and the rows before it are.
    while let Some(part) = times.get(at..at + NEAR)
        && (part[0]..end).contains(&part[NEAR - 1])
        && by_step(part, step)
    {
        at += NEAR - 1;
    }
    at + 1
}

/// Rows looked at together.
const NEAR: usize = 33;
/// Steps below this do not lead beyond the range of times within [`NEAR`] rows.
const LONG: i64 = i64::MAX >> 8;

/// Counts duplicates in the windows of their originals.
fn count_duplicates(
    batch: &Batch,
    rows: &mut Rows,
    indexer: &mut Indexer,
    twice: &BooleanBuffer,
    on_time: Option<&BooleanBuffer>,
) {
    for at in twice.set_indices() {
        if on_time.is_none_or(|k| k.value(at)) {
            let (_, row) = indexer.find(rows, batch.sensor(at), batch.times[at]);
            rows.row_mut(row)[head::DUPLICATES] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Open, WindowSpec};
    use super::*;
    use crate::schema::{Measure, MeasureKind, RowIds};
    use crate::time::{MINUTE, Zone};

    fn plan() -> Plan {
        let measure = Measure {
            name: "v".into(),
            kind: MeasureKind::Gauge,
            unit: None,
            digits: None,
            aggregates: MeasureKind::Gauge.aggregates().to_vec(),
        };
        let spec = WindowSpec {
            grains: vec!["1h".parse().unwrap()],
            zone: Zone::parse("UTC").unwrap(),
            measures: Arc::new([measure]),
            step: StepKnown::Fixed(MINUTE),
            correct_for: None,
        };
        Plan::new(&spec).unwrap()
    }

    /// The hours of `times`, so many of which come at once.
    fn hours(plan: &Plan, times: &[i64], at_once: usize) -> Vec<arrow_array::RecordBatch> {
        let mut open = Open::new();
        for times in times.chunks(at_once) {
            let readings = Readings {
                measures: plan.measures.clone(),
                sensors: SensorKeys::Constant("a".into()),
                time: times.to_vec().into(),
                values: vec![times.iter().map(|t| Some((t / 7) as f64)).collect()],
                quality: None,
                step: Step::Fixed(MINUTE),
                file: 0,
                rows: RowIds::Dense(0),
                attributes: Default::default(),
            };
            let delta = plan.accumulate(&readings, &Keep::default()).unwrap();
            assert!(delta.stats().strictly_ordered);
            open.merge(plan, delta).unwrap();
        }
        let written = open.close(plan, 1000 * MINUTE).unwrap();
        written.into_iter().map(|w| w.rows).collect()
    }

    #[test]
    fn many_rows_of_a_window_at_once_are_those_one_by_one() {
        let plan = plan();
        for odd in 0..200 {
            for late in [0, MINUTE / 2, 40 * MINUTE, 70 * MINUTE] {
                let time = |m: i64| m * MINUTE + if m > odd { late } else { 0 };
                let times: Vec<i64> = (0..200).map(time).collect();
                let want = hours(&plan, &times, 1);
                assert_eq!(hours(&plan, &times, 200), want, "{odd} {late}");
            }
        }
    }
}
