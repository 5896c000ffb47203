//! Pieces: closing windows a bounded number at a time.
//!
//! Between two readings of a sensor that lie decades apart there are hundreds of thousands of empty windows, and
//! all of them are due at once. Where there may be more than fit in a piece, the empty ones are written first,
//! sensor by sensor, each sensor's track moved on behind them, so that any piece may be stored and the rest made
//! by another run; then the windows that hold readings close as usual, with nothing left in between.

use super::complete::{NONE, some_between};
use super::open::Open;
use super::plan::Plan;
use crate::Result;
use crate::flush::WindowRows;

/// An open window: sensor, start, end, row.
type Due = (u32, i64, i64, u32);

impl Open {
    /// Closes as [`Open::close`] does, but stops when about `most` empty windows are written; whether all is closed.
    /// Called again, it goes on. Windows come in no order beyond that of each piece.
    pub fn close_some(
        &mut self,
        plan: &Plan,
        watermark: i64,
        most: usize,
    ) -> Result<(Vec<WindowRows>, bool)> {
        self.fit(plan);
        if self.empties(plan, watermark) <= most as u64 {
            return Ok((self.close(plan, watermark)?, true));
        }
        self.settle(plan);
        let (mut written, mut left) = (Vec::new(), most.max(1));
        for grain in (0..plan.grains.len()).filter(|g| plan.grains[*g].gaps) {
            let gaps = self.fill(plan, grain, watermark, left)?;
            left -= gaps.len();
            written.extend(self.put(plan, grain, Vec::new(), gaps)?);
            if left == 0 {
                return Ok((written, false));
            }
        }
        written.extend(self.close(plan, watermark)?);
        Ok((written, true))
    }

    /// Not less than the number of empty windows that closing would write.
    fn empties(&self, plan: &Plan, watermark: i64) -> u64 {
        let gaps = (0..plan.grains.len()).filter(|g| plan.grains[*g].gaps);
        gaps.fold(0, |sum: u64, grain| {
            sum.saturating_add(self.empties_of(plan, grain, watermark))
        })
    }

    fn empties_of(&self, plan: &Plan, grain: usize, watermark: i64) -> u64 {
        let state = &self.grains[grain];
        let next = |sensor: u32| state.tracks.get(sensor as usize).map_or(NONE, |t| t.next);
        let length = plan.grains[grain].calendar.grain().nominal_us();
        let apart = |from: i64, to: i64| match from {
            NONE => 0,
            from => (to.saturating_sub(from) / length).max(0) as u64,
        };
        let (mut before, mut behind) = (0u64, 0u64);
        let (mut least, mut last, mut rows) = (i64::MAX, i64::MIN, 0u64);
        for row in state.due.range(..=watermark).flat_map(|(_, rows)| rows) {
            let (sensor, start, end) = state.rows.key(*row);
            let from = match next(sensor) {
                NONE => least.min(start),
                next => next,
            };
            before = before.saturating_add(apart(from, start));
            behind = behind.saturating_add(apart(end, watermark));
            (least, last, rows) = (least.min(from), last.max(start), rows + 1);
        }
        let sensors = rows.min(self.names.len() as u64);
        let all = |to: i64| match rows {
            0 => 0,
            _ => sensors.saturating_mul(apart(least, to)),
        };
        // Behind a window that closes there are empty ones where another is open beyond the watermark.
        let beyond = state.due.range(watermark.saturating_add(1)..).next();
        let behind = beyond.map_or(0, |_| behind.min(all(watermark)));
        let before = before.min(all(last));
        let holes = state.holes.iter().map(|s| apart(next(*s), watermark));
        let ready = state
            .ready
            .as_ref()
            .map(|r| apart(next(r.sensor()), r.start()));
        let more = holes.chain(ready).fold(0, u64::saturating_add);
        before.saturating_add(behind).saturating_add(more)
    }

    /// Makes up to `most` empty windows that lie before windows which are open or due.
    fn fill(&mut self, plan: &Plan, grain: usize, watermark: i64, most: usize) -> Result<Vec<u32>> {
        let state = &self.grains[grain];
        let all = state.due.values().flatten();
        let key = |row: &u32| {
            let (sensor, start, end) = state.rows.key(*row);
            (sensor, start, end, *row)
        };
        let mut order: Vec<Due> = all.map(key).collect();
        order.sort_unstable();
        let mut gaps = Vec::new();
        for windows in order.chunk_by(|a, b| a.0 == b.0) {
            self.fill_sensor(plan, grain, windows, (watermark, most), &mut gaps)?;
            if gaps.len() >= most {
                break;
            }
        }
        Ok(gaps)
    }

    /// The same for one sensor, whose open windows are given in order.
    fn fill_sensor(
        &mut self,
        plan: &Plan,
        grain: usize,
        windows: &[Due],
        (watermark, most): (i64, usize),
        gaps: &mut Vec<u32>,
    ) -> Result<()> {
        let calendar = &plan.grains[grain].calendar;
        for &(sensor, start, end, row) in windows {
            let state = &mut self.grains[grain];
            let mut track = *state.track(sensor);
            let due = end <= watermark;
            // An open window ends beyond the watermark: only windows up to that can be empty.
            let to = if due {
                start
            } else {
                calendar.window(watermark).0.min(start)
            };
            if track.next != NONE && track.next < to {
                let name = &self.names[sensor as usize];
                let left = most - gaps.len();
                for window in some_between(calendar, name, track.next, to, left)? {
                    gaps.push(state.gap(sensor, window, track.step));
                    track.next = window.1;
                }
            }
            let whole = track.next == NONE || track.next >= to;
            if due && whole && track.next < end && start >= track.first {
                // The stretch goes on behind this window, which is written once it closes.
                track.first = if track.first == NONE {
                    start
                } else {
                    track.first
                };
                track.next = end;
                track.step = state.step_after(row, track.step);
            }
            let state = &mut self.grains[grain];
            *state.track(sensor) = track;
            state.touch_track(sensor);
            state.holes.insert(sensor);
            if !whole || !due {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Measure, MeasureKind, Readings, RowIds, SensorKeys, Step};
    use crate::time::{HOUR, MINUTE, Zone};
    use crate::window::{Keep, StepKnown, WindowSpec};
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int64Type, TimestampMicrosecondType};
    use std::sync::Arc;

    fn plan() -> Plan {
        let measure = Measure {
            name: "v".into(),
            kind: MeasureKind::Gauge,
            unit: None,
            digits: None,
            aggregates: MeasureKind::Gauge.aggregates().to_vec(),
        };
        let grains = ["15min", "1h", "1d", "1mo"];
        Plan::new(&WindowSpec {
            grains: grains.map(|g| g.parse().unwrap()).to_vec(),
            zone: Zone::parse("Europe/Paris").unwrap(),
            measures: Arc::new([measure]),
            step: StepKnown::Fixed(MINUTE),
            correct_for: None,
        })
        .unwrap()
    }

    fn merge(plan: &Plan, open: &mut Open, rows: &[(u32, i64)]) {
        let names = ["a", "b", "c"].map(Arc::from);
        let readings = Readings {
            attributes: Default::default(),
            measures: plan.measures.clone(),
            sensors: SensorKeys::Coded {
                codes: rows.iter().map(|r| r.0).collect(),
                names: Arc::new(names),
            },
            values: vec![rows.iter().map(|r| Some(r.1 as f64)).collect()],
            time: rows.iter().map(|r| r.1 * HOUR).collect(),
            quality: None,
            step: Step::Fixed(MINUTE),
            file: 0,
            rows: RowIds::Dense(0),
        };
        let delta = plan.accumulate(&readings, &Keep::default()).unwrap();
        open.merge(plan, delta).unwrap();
    }

    /// Grain, sensor, start and readings of each window.
    fn lines(tables: &[WindowRows]) -> Vec<(String, String, i64, i64, i64)> {
        let mut out = Vec::new();
        for table in tables {
            let rows = &table.rows;
            let sensors = arrow_cast::cast(rows.column(0), &arrow_schema::DataType::Utf8).unwrap();
            let starts = rows.column(2).as_primitive::<TimestampMicrosecondType>();
            let counts = rows.column(5).as_primitive::<Int64Type>();
            let missing = rows.column(7).as_primitive::<Int64Type>();
            for i in 0..rows.num_rows() {
                let sensor = sensors.as_string::<i32>().value(i).to_owned();
                let (start, n) = (starts.value(i), counts.value(i));
                out.push((table.grain.clone(), sensor, start, n, missing.value(i)));
            }
        }
        out.sort();
        out
    }

    #[test]
    fn pieces_are_what_one_close_gives_also_over_restarts() {
        let plan = plan();
        let batches: [&[(u32, i64)]; 3] = [
            &[
                (0, 0),
                (2, 0),
                (1, 5),
                (0, 900),
                (1, 901),
                (2, 902),
                (0, 903),
            ],
            &[(0, 4_000), (2, 4_001), (2, 4_900)],
            &[(1, 9_000), (0, 9_000), (2, 9_001), (0, 9_400)],
        ];
        // In the middle of an hour that is open.
        let marks = [902, 4_500, 9_300].map(|h| h * 60 + 30);
        let mut at_once = Open::new();
        let mut want = Vec::new();
        for (batch, mark) in batches.iter().zip(marks) {
            merge(&plan, &mut at_once, batch);
            want.extend(at_once.close(&plan, mark * MINUTE).unwrap());
        }
        want.extend(at_once.close(&plan, 10_000 * HOUR).unwrap());
        let want = lines(&want);
        assert!(want.len() > 20_000, "{}", want.len());
        for most in [1_000, 37, 100_000] {
            let mut open = Open::new();
            let mut sections: Vec<(bool, Vec<u8>)> = vec![(true, open.whole(&plan))];
            let (mut got, mut pieces) = (Vec::new(), 0);
            for (batch, mark) in batches.iter().zip(marks).chain([(&&[][..], 600_000)]) {
                if !batch.is_empty() {
                    merge(&plan, &mut open, batch);
                }
                loop {
                    let (rows, done) = open.close_some(&plan, mark * MINUTE, most).unwrap();
                    let count: usize = rows.iter().map(|r| r.rows.num_rows()).sum();
                    assert!(count < most + 100, "{count}");
                    got.extend(rows);
                    pieces += 1;
                    sections.push((false, open.take_changes(&plan)));
                    if pieces % 3 == 0 {
                        let told = sections.iter().map(|(fold, b)| (*fold, b.as_slice()));
                        open = Open::restore(&plan, told).unwrap();
                    }
                    if done {
                        break;
                    }
                }
            }
            assert!(most > 50_000 || pieces > want.len() / most / 2, "{pieces}");
            let got = lines(&got);
            assert_eq!(got.len(), want.len());
            assert!(got == want, "{most}");
        }
    }
}
