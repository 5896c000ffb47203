//! Sensors by number, and how far each was read.

use crate::schema::{Readings, SensorKeys};
use arrow_buffer::BooleanBuffer;
use hashbrown::HashMap;
use std::sync::Arc;

/// No reading yet.
pub(super) const NEVER: i64 = i64::MIN;

/// Sensors by number; of each the greatest time of earlier reads and of the read under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Sensors {
    numbers: HashMap<Arc<str>, u32>,
    pub(super) names: Vec<Arc<str>>,
    pub(super) before: Vec<i64>,
    pub(super) now: Vec<i64>,
    /// Numbers of those that moved since the state was last saved.
    pub(super) moved: Vec<u32>,
    is_moved: Vec<bool>,
    /// Names of the last batch and their numbers: a batch is asked for more than once.
    last: Option<Numbered>,
}

/// The names of a batch and their numbers.
type Numbered = (Arc<[Arc<str>]>, Arc<[u32]>);

/// The sensors of a batch: a number for each name, and the name of each row.
pub(super) enum Rows<'a> {
    One(u32),
    Many(Arc<[u32]>, &'a [u32]),
}

impl Rows<'_> {
    /// The sensor of row `i`.
    #[inline]
    pub(super) fn of(&self, i: usize) -> u32 {
        match self {
            Rows::One(s) => *s,
            Rows::Many(names, codes) => names[codes[i] as usize],
        }
    }
}

impl Sensors {
    /// The number of a sensor, a new one if need be.
    pub(super) fn number(&mut self, name: &Arc<str>) -> u32 {
        if let Some(n) = self.numbers.get(name) {
            return *n;
        }
        let n = self.names.len() as u32;
        self.numbers.insert(name.clone(), n);
        self.names.push(name.clone());
        self.before.push(NEVER);
        self.now.push(NEVER);
        self.is_moved.push(false);
        n
    }

    /// Numbers for the sensors of a batch.
    pub(super) fn rows<'a>(&mut self, readings: &'a Readings) -> Rows<'a> {
        match &readings.sensors {
            SensorKeys::Constant(name) => Rows::One(self.number(name)),
            SensorKeys::Coded { codes, names } => Rows::Many(self.numbers_of(names), codes),
        }
    }

    fn numbers_of(&mut self, names: &Arc<[Arc<str>]>) -> Arc<[u32]> {
        if let Some((last, numbers)) = &self.last
            && Arc::ptr_eq(last, names)
        {
            return numbers.clone();
        }
        let numbers: Arc<[u32]> = names.iter().map(|n| self.number(n)).collect();
        self.last = Some((names.clone(), numbers.clone()));
        numbers
    }

    /// Notes how far the batch reads each sensor; gives the rows at or before the sensor's greatest time
    /// of an earlier read, if there are any.
    pub(super) fn read(&mut self, readings: &Readings, ordered: bool) -> Option<BooleanBuffer> {
        let rows = self.rows(readings);
        let mut behind = false;
        match &rows {
            Rows::One(s) => {
                let (least, most) = extent(readings, ordered);
                behind = least <= self.before[*s as usize];
                self.advance(*s, most);
            }
            Rows::Many(numbers, codes) => {
                let mut most = vec![NEVER; numbers.len()];
                for (code, time) in codes.iter().zip(readings.time.iter()) {
                    let code = *code as usize;
                    most[code] = most[code].max(*time);
                    behind |= *time <= self.before[numbers[code] as usize];
                }
                for (number, most) in numbers.iter().zip(most) {
                    self.advance(*number, most);
                }
            }
        }
        behind.then(|| {
            BooleanBuffer::collect_bool(readings.len(), |i| {
                readings.time[i] <= self.before[rows.of(i) as usize]
            })
        })
    }

    fn advance(&mut self, sensor: u32, to: i64) {
        let s = sensor as usize;
        if to > self.now[s] {
            self.now[s] = to;
            self.mark(sensor);
        }
    }

    pub(super) fn mark(&mut self, sensor: u32) {
        if !std::mem::replace(&mut self.is_moved[sensor as usize], true) {
            self.moved.push(sensor);
        }
    }

    pub(super) fn saved(&mut self) {
        for s in self.moved.drain(..) {
            self.is_moved[s as usize] = false;
        }
    }

    /// The greatest time of each sensor that has one.
    pub(super) fn last(&self) -> Vec<(Arc<str>, i64)> {
        let each = self.names.iter().zip(&self.now);
        let had = each.filter(|(_, now)| **now != NEVER);
        had.map(|(name, now)| (name.clone(), *now)).collect()
    }

    /// The read ended: what it read is an earlier read from now on.
    pub(super) fn end_read(&mut self) {
        for (before, now) in self.before.iter_mut().zip(&self.now) {
            *before = (*before).max(*now);
        }
    }
}

/// Whether the rows are in order of time, if each sensor's are.
pub(super) fn sorted(readings: &Readings, ordered: bool) -> bool {
    ordered && matches!(readings.sensors, SensorKeys::Constant(_))
}

/// Least and greatest time.
pub(super) fn extent(readings: &Readings, ordered: bool) -> (i64, i64) {
    if sorted(readings, ordered)
        && let (Some(first), Some(last)) = (readings.time.first(), readings.time.last())
    {
        return (*first, *last);
    }
    let times = readings.time.iter().copied();
    times.fold((i64::MAX, NEVER), |(a, b), t| (a.min(t), b.max(t)))
}
