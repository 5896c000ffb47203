//! The readings of a range of steps. Each step brings what arrives in it: late readings of
//! earlier steps, then its own, doubled ones behind their first.

use super::Simulation;
use super::house::{House, Sample, mix, unit};
use crate::Result;
use crate::schema::{Attributes, Measure, Readings, RowIds, SensorKeys, Step};
use crate::time::{MINUTE, Zone};
use arrow_array::Float64Array;
use std::sync::Arc;

/// Steps in a block that is missing as a whole.
const GAP_STEPS: u64 = 8;

/// The whole course of a simulation: what arrives in which step.
pub(super) struct Course {
    options: Simulation,
    zone: Zone,
    start: i64,
    /// Steps a late reading waits at most; 0: none is late.
    delay: u64,
    /// Rows that a step may bring, so that a row's number follows from its step.
    stride: u64,
    /// Steps in all, where there is an end.
    steps: Option<u64>,
    measures: Arc<[Measure]>,
    names: Arc<[Arc<str>]>,
}

/// The readings of a range of steps and what they leave behind.
pub(super) struct Made {
    pub readings: Readings,
    /// No later step brings a time below this.
    pub low: i64,
}

#[derive(Default)]
struct Rows {
    sensors: Vec<u32>,
    steps: Vec<u64>,
    ids: Vec<u64>,
    values: [Vec<f64>; 7],
}

impl Course {
    pub(super) fn new(
        options: &Simulation,
        start: i64,
        measures: Arc<[Measure]>,
    ) -> Result<Course> {
        let delay = if options.late > 0.0 {
            (options.late_by / options.step).max(1) as u64
        } else {
            0
        };
        let copies = 1 + u64::from(options.duplicates > 0.0) + u64::from(options.conflicts > 0.0);
        let length =
            |end: i64| (end.saturating_sub(start).max(0) as u64).div_ceil(options.step as u64);
        Ok(Course {
            zone: Zone::parse(&options.tz)?,
            start,
            delay,
            stride: u64::from(options.sensors) * copies * (delay + 1),
            steps: options.end.map(length),
            measures,
            names: (1..=options.sensors)
                .map(|i| format!("house-{i}").into())
                .collect(),
            options: options.clone(),
        })
    }

    /// The end of a read in steps: of its plan, of the course, or where `until` stands.
    pub(super) fn last(&self, planned: Option<u64>, until: Option<i64>) -> Option<u64> {
        let by_time =
            |t: i64| t.saturating_sub(self.start).max(0) as u64 / self.options.step as u64;
        planned.or(match (self.steps, until.map(by_time)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        })
    }

    /// The event time of a step.
    pub(super) fn time(&self, step: u64) -> i64 {
        self.start
            .saturating_add((step as i64).saturating_mul(self.options.step))
    }

    /// The number of the first row of a step.
    pub(super) fn row(&self, step: u64) -> u64 {
        step * self.stride
    }

    /// Steps whose readings make a batch of reasonable size.
    pub(super) fn batch(&self) -> u64 {
        (32_768 / u64::from(self.options.sensors)).max(1)
    }

    /// What arrives in steps `from..to`.
    pub(super) fn make(&self, from: u64, to: u64) -> Made {
        let mut rows = Rows::default();
        let mut houses: Vec<House> = (0..self.names.len())
            .map(|s| House::new(self.seed(s as u32)))
            .collect();
        let mut waiting = self.waiting_before(from);
        for step in from..to {
            let mut next = self.row(step);
            let due = waiting
                .extract_if(.., |late: &mut Late| late.arrives == step)
                .collect::<Vec<_>>();
            for late in due {
                self.bring(&mut rows, &mut houses, late.sensor, late.step, &mut next);
            }
            for sensor in 0..self.options.sensors {
                match self.fate(sensor, step) {
                    Fate::Missing => {}
                    Fate::Late(arrives) => waiting.push(Late {
                        sensor,
                        step,
                        arrives,
                    }),
                    Fate::Now => self.bring(&mut rows, &mut houses, sensor, step, &mut next),
                }
            }
        }
        let behind = waiting.iter().map(|late| self.time(late.step)).min();
        let over = self.steps.is_some_and(|all| to >= all);
        let own = if over { i64::MAX } else { self.time(to) };
        Made {
            readings: self.readings(rows),
            low: behind.unwrap_or(own).min(own),
        }
    }

    /// Late readings of steps before `from` that are still to come.
    fn waiting_before(&self, from: u64) -> Vec<Late> {
        let mut waiting = Vec::new();
        for step in from.saturating_sub(self.delay)..from {
            for sensor in 0..self.options.sensors {
                match self.fate(sensor, step) {
                    Fate::Late(arrives) if arrives >= from => waiting.push(Late {
                        sensor,
                        step,
                        arrives,
                    }),
                    _ => {}
                }
            }
        }
        waiting
    }

    fn seed(&self, sensor: u32) -> u64 {
        mix(self.options.seed, u64::from(sensor) + 1)
    }

    fn chance(&self, what: u64, sensor: u32, n: u64, share: f64) -> bool {
        share > 0.0 && unit(mix(mix(self.seed(sensor), what), n)) < share
    }

    fn fate(&self, sensor: u32, step: u64) -> Fate {
        if self.chance(11, sensor, step / GAP_STEPS, self.options.gaps) {
            return Fate::Missing;
        }
        if !self.chance(12, sensor, step, self.options.late) {
            return Fate::Now;
        }
        let wait = 1 + mix(mix(self.seed(sensor), 13), step) % self.delay.max(1);
        // The last step brings all that is still to come.
        let latest = self.steps.map_or(u64::MAX, |all| all.saturating_sub(1));
        match (step + wait).min(latest) {
            arrives if arrives > step => Fate::Late(arrives),
            _ => Fate::Now,
        }
    }

    fn bring(&self, rows: &mut Rows, houses: &mut [House], sensor: u32, step: u64, next: &mut u64) {
        let time = self.time(step);
        let minute = self.zone.to_local(time).div_euclid(MINUTE);
        let Some(house) = houses.get_mut(sensor as usize) else {
            return;
        };
        let sample = house.sample(minute);
        let mut push = |sample: &Sample| {
            rows.push(sensor, step, *next, sample, self.options.step);
            *next += 1;
        };
        push(&sample);
        if self.chance(14, sensor, step, self.options.duplicates) {
            push(&sample);
        }
        if self.chance(15, sensor, step, self.options.conflicts) {
            push(&Sample {
                active: sample.active + 2,
                ..sample
            });
        }
    }

    fn readings(&self, rows: Rows) -> Readings {
        let dense = rows.ids.windows(2).all(|w| w[1] == w[0] + 1);
        let first = rows.ids.first().copied().unwrap_or(0);
        let sensors = match self.names.first() {
            Some(only) if self.names.len() == 1 => SensorKeys::Constant(only.clone()),
            _ => SensorKeys::Coded {
                codes: rows.sensors.into(),
                names: self.names.clone(),
            },
        };
        Readings {
            measures: self.measures.clone(),
            sensors,
            time: rows.steps.iter().map(|s| self.time(*s)).collect(),
            values: rows.values.into_iter().map(Float64Array::from).collect(),
            quality: None,
            step: Step::Fixed(self.options.step),
            file: 0,
            attributes: Attributes::default(),
            rows: if dense {
                RowIds::Dense(first)
            } else {
                RowIds::Listed(rows.ids.into())
            },
        }
    }
}

struct Late {
    sensor: u32,
    step: u64,
    arrives: u64,
}

enum Fate {
    Now,
    Late(u64),
    Missing,
}

impl Rows {
    fn push(&mut self, sensor: u32, step: u64, id: u64, sample: &Sample, length: i64) {
        self.sensors.push(sensor);
        self.steps.push(step);
        self.ids.push(id);
        let thousandth = |n: i32| f64::from(n) / 1000.0;
        // A minute's watt-hours, for as long as the step is.
        let wh = |n: i32| (f64::from(n) * length as f64 / MINUTE as f64).round();
        let [kitchen, laundry, climate] = sample.sub;
        let values = [
            thousandth(sample.active),
            thousandth(sample.reactive),
            thousandth(sample.voltage),
            thousandth(sample.current),
            wh(kitchen),
            wh(laundry),
            wh(climate),
        ];
        self.values
            .iter_mut()
            .zip(values)
            .for_each(|(to, value)| to.push(value));
    }
}
