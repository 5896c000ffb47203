//! Ready: windows that open and close within one batch, finished where the batch was prepared.
//!
//! Rows of one sensor in time order begin and end nearly all their windows in one batch. Their table is made
//! ahead, on the pool, together with the empty windows between them; when they close right after the batch is
//! merged, its rows are written as they are and never enter the open windows. Whatever does not
//! fit (a window known before, other windows due in between, a watermark that stays behind) takes the usual
//! way, with the same bits.

use super::accumulate::Delta;
use super::complete::{NONE, between};
use super::finish::Output;
use super::open::{GrainState, Open};
use super::plan::{Plan, StepKnown};
use super::rows::Rows;
use crate::Result;
use arrow_array::RecordBatch;

/// The table of a grain of a delta: rows of one sensor, finished.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    table: RecordBatch,
    /// The partial of each row of the table; those at or beyond `real` are empty windows.
    list: Vec<u32>,
    real: u32,
}

/// Merged and not yet closed: the next close takes it, anything else settles it.
#[derive(Debug)]
pub(crate) struct Ready {
    rows: Rows,
    ahead: Ahead,
    sensor: u32,
    /// Rows of the table before this one are in the open windows.
    from: usize,
}

/// Windows that leave as they are.
pub(crate) struct Leaving {
    pub table: RecordBatch,
    pub sensor: u32,
    /// From the first instant to the one after the last.
    pub span: (i64, i64),
}

impl Delta {
    /// Makes the tables of windows that may close as they are: those of a batch of one sensor in time order.
    pub fn finished(mut self, plan: &Plan) -> Result<Delta> {
        let stats = self.stats();
        let fit = self.names.len() == 1 && stats.strictly_ordered && stats.max_lag == 0;
        if !fit || plan.correct_for.is_some() || plan.step == StepKnown::Rows {
            return Ok(self);
        }
        let mut made = Vec::with_capacity(self.grains.len());
        for (grain, rows) in self.grains.iter_mut().enumerate() {
            let real = rows.len() as u32;
            let list = order(plan, grain, rows, &self.names[0]);
            if list.is_none() {
                rows.truncate(real);
            }
            made.push(match list {
                Some(list) if real > 1 => Some(Ahead {
                    table: Output {
                        plan,
                        grain,
                        rows,
                        list: &list,
                        names: &self.names,
                        last: true,
                    }
                    .batch_alone()?,
                    list,
                    real,
                }),
                _ => None,
            });
        }
        self.ahead = made;
        Ok(self)
    }
}

/// Empty windows made ahead beside as many others; with more, they are made when the windows close, in pieces.
const EMPTY: i64 = 16 << 10;

/// The rows in order of time, with empty windows put between them; `None`: they are in no order, or too many are empty.
fn order(plan: &Plan, grain: usize, rows: &mut Rows, name: &str) -> Option<Vec<u32>> {
    let real = rows.len() as u32;
    let mut list = Vec::with_capacity(real as usize);
    let (mut before, mut left) = (None, EMPTY + i64::from(real));
    for row in 0..real {
        let (sensor, start, end) = rows.key(row);
        match before {
            Some(before) if before > start => return None,
            Some(before) if before < start && plan.grains[grain].gaps => {
                let calendar = &plan.grains[grain].calendar;
                left -= (start - before) / calendar.grain().nominal_us();
                if left < 0 {
                    return None;
                }
                for window in between(calendar, name, before, start).ok()? {
                    list.push(rows.push(sensor, window.0, window.1));
                }
            }
            _ => {}
        }
        list.push(row);
        before = Some(end);
    }
    Some(list)
}

impl Ahead {
    pub fn bytes(&self) -> usize {
        crate::flush::bytes_of(&self.table) + self.list.capacity() * 4
    }
}

impl Ready {
    /// Its sensor.
    pub fn sensor(&self) -> u32 {
        self.sensor
    }

    /// First instant of the first window that waits.
    pub fn start(&self) -> i64 {
        self.rows.key(self.ahead.list[self.from]).1
    }

    fn end(&self, at: usize) -> i64 {
        self.rows.key(self.ahead.list[at]).2
    }

    /// The partials that wait.
    fn partials(&self) -> impl Iterator<Item = u32> {
        let list = self.ahead.list.get(self.from..).unwrap_or(&[]);
        list.iter().copied().filter(|row| *row < self.ahead.real)
    }

    /// Number of windows that wait.
    pub fn len(&self) -> usize {
        self.partials().count()
    }

    /// Whether a window that waits ends after `from` and not after `to`.
    pub fn ends_within(&self, from: i64, to: i64) -> bool {
        self.partials()
            .any(|row| (from + 1..=to).contains(&self.rows.key(row).2))
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.ahead.bytes()
    }
}

impl GrainState {
    /// Merges the rows of a delta that has its table: the first as usual where its window is known, the others wait.
    /// Gives the delta's rows back where that cannot be.
    pub(super) fn wait(
        &mut self,
        plan: &Plan,
        grain: usize,
        mut rows: Rows,
        ahead: Ahead,
        sensor: u32,
    ) -> Option<Rows> {
        let begins = |row: u32| rows.key(row).1;
        let within = begins(1)..=begins(ahead.real - 1);
        let known = match self.index.len() < ahead.list.len() {
            true => self
                .index
                .keys()
                .any(|k| k.0 == sensor && within.contains(&k.1)),
            false => (1..ahead.real).any(|row| self.index.contains_key(&(sensor, begins(row)))),
        };
        if known {
            rows.truncate(ahead.real);
            return Some(rows);
        }
        let mut from = 0;
        if self.index.contains_key(&(sensor, begins(0))) {
            self.merge(plan, grain, &rows, 0, sensor);
            // Empty windows behind it stand in the table too.
            from = 1;
        }
        self.ready = Some(Ready {
            rows,
            ahead,
            sensor,
            from,
        });
        None
    }

    /// Puts what waits among the open windows.
    pub(super) fn settle(&mut self, plan: &Plan, grain: usize) {
        if let Some(ready) = self.ready.take() {
            for row in ready.partials() {
                self.merge(plan, grain, &ready.rows, row, ready.sensor);
            }
        }
    }

    /// What waits and closes by `watermark` as it is; the rest of it is settled.
    pub(super) fn leaving(&mut self, plan: &Plan, grain: usize, watermark: i64) -> Option<Leaving> {
        let mut ready = self.ready.take()?;
        let from = ready.from;
        let n = ready.ahead.list.len();
        let to = from
            + (from..n)
                .take_while(|at| ready.end(*at) <= watermark)
                .count();
        if to == from || !self.stands_alone(plan, grain, &ready, to, watermark) {
            self.ready = Some(ready);
            self.settle(plan, grain);
            return None;
        }
        let start = ready.rows.key(ready.ahead.list[from]).1;
        let leaving = Leaving {
            table: ready.ahead.table.slice(from, to - from),
            sensor: ready.sensor,
            span: (start, ready.end(to - 1)),
        };
        ready.from = to;
        self.ready = Some(ready);
        self.settle(plan, grain);
        Some(leaving)
    }

    /// No other window that is due stands between the rows of the table that leave, nor can come there.
    fn stands_alone(
        &self,
        plan: &Plan,
        grain: usize,
        ready: &Ready,
        to: usize,
        watermark: i64,
    ) -> bool {
        let start = ready.rows.key(ready.ahead.list[ready.from]).1;
        let end = ready.end(to - 1);
        let gaps = plan.grains[grain].gaps;
        let mut due = self.due.range(..=watermark).flat_map(|(_, rows)| rows);
        let apart = due.all(|row| {
            let (sensor, first, _) = self.rows.key(*row);
            (first < start || first >= end) && (!gaps || sensor == ready.sensor)
        });
        let track = self.tracks.get(ready.sensor as usize);
        let next = track.map_or(NONE, |t| t.next);
        let ours = self.holes.iter().all(|sensor| *sensor == ready.sensor);
        apart && (!gaps || (next == NONE || next <= start) && ours)
    }
}

impl Open {
    /// Puts all that waits among the open windows.
    pub(super) fn settle(&mut self, plan: &Plan) {
        for (grain, state) in self.grains.iter_mut().enumerate() {
            state.settle(plan, grain);
        }
    }

    /// Notes that the windows of `leaving` are written; gives the empty windows before them.
    pub(super) fn pass_over(
        &mut self,
        plan: &Plan,
        grain: usize,
        leaving: &Leaving,
    ) -> Result<Vec<u32>> {
        let mut gaps = Vec::new();
        if !plan.grains[grain].gaps {
            return Ok(gaps);
        }
        let sensor = leaving.sensor;
        let track = *self.grains[grain].track(sensor);
        if track.next != NONE {
            let part = (track.next, leaving.span.0);
            self.bridge(plan, grain, (sensor, track.step), part, &mut gaps)?;
        }
        let state = &mut self.grains[grain];
        let track = state.track(sensor);
        if track.first == NONE {
            track.first = leaving.span.0;
        }
        track.next = leaving.span.1;
        state.touch_track(sensor);
        if state.track(sensor).open > 0 {
            state.holes.insert(sensor);
        }
        Ok(gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Measure, MeasureKind, Readings, RowIds, SensorKeys, Step};
    use crate::time::{MINUTE, Zone};
    use crate::window::{Keep, WindowSpec};
    use std::sync::Arc;

    fn minutes(plan: &Plan, from: i64, to: i64) -> Delta {
        let time: Vec<i64> = (from..to).map(|m| m * MINUTE).collect();
        let readings = Readings {
            attributes: Default::default(),
            measures: plan.measures.clone(),
            sensors: SensorKeys::Constant("a".into()),
            values: vec![time.iter().map(|t| Some(*t as f64)).collect()],
            time: time.into(),
            quality: None,
            step: Step::Fixed(MINUTE),
            file: 0,
            rows: RowIds::Dense(0),
        };
        let delta = plan.accumulate(&readings, &Keep::default()).unwrap();
        delta.finished(plan).unwrap()
    }

    #[test]
    fn what_opens_and_closes_in_a_batch_never_enters() {
        let measure = Measure {
            name: "v".into(),
            kind: MeasureKind::Gauge,
            unit: None,
            digits: None,
            aggregates: MeasureKind::Gauge.aggregates().to_vec(),
        };
        let plan = Plan::new(&WindowSpec {
            grains: vec!["15min".parse().unwrap(), "1h".parse().unwrap()],
            zone: Zone::parse("UTC").unwrap(),
            measures: Arc::new([measure]),
            step: StepKnown::Fixed(MINUTE),
            correct_for: None,
        })
        .unwrap();
        let mut open = Open::new();
        let mut rows = [0, 0];
        for (from, to) in [(0, 1000), (1000, 1999), (2400, 5000)] {
            open.merge(&plan, minutes(&plan, from, to)).unwrap();
            for table in open.close(&plan, to * MINUTE).unwrap() {
                rows[usize::from(table.grain == "1h")] += table.rows.num_rows();
            }
        }
        let used: Vec<usize> = open.grains.iter().map(|g| g.rows.len()).collect();
        // 83 hours, those of the gap included; the quarters of the gap are not written.
        assert_eq!(rows, [134 + 173, 83]);
        assert!(used.iter().all(|n| *n < 12), "{used:?}");
    }
}
