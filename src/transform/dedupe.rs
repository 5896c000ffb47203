//! Equal readings count once; readings that contradict each other are found.
//!
//! Two readings of one sensor and time are *equal* if all measures are (by a 128-bit hash of their values; two
//! different readings of one sensor and time take each other's hash once in about 10^38), else they *conflict*.
//! Rows without any value are neither. Attributes are not compared: of equal readings the first stays, with its own.
//!
//! **What is remembered.** In a bounded read, readings at or after `low` (the least time that may still come), so in-order data
//! keep only those of their last instant; in a stream, readings of the last `dedupe_for` behind the watermark.
//! A batch whose sensors' times increase strictly and which lies behind nothing seen costs one comparison, and
//! looks up only its rows at or before the greatest time remembered.
//!
//! **Across reads.** Values of earlier bounded reads are not remembered, only how far each sensor was read: a reading at or before that
//! could be one counted already, so it is put aside ([`Found::behind`]) rather than counted twice.
//!
//! **`on_conflict = last`** needs the readings themselves; [`Held`](super::Held) does it, not this.

mod sensors;
mod state;

use crate::schema::{Readings, Step};
use crate::{Error, Kind, Result};
use arrow_array::Array;
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use hashbrown::HashMap;
use sensors::{NEVER, Sensors, extent, sorted};
use std::ops::Range;

/// Policy for readings equal in sensor, time and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// They count once.
    #[default]
    Once,
    /// Each counts.
    Keep,
    /// The first one ends the run.
    Raise,
}

/// Policy for readings of the same sensor and time with other values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Each counts, and they are counted and listed.
    #[default]
    Keep,
    /// The first by position counts.
    First,
    /// The last by position counts (bounded sources only).
    Last,
    /// The first one ends the run.
    Raise,
}

/// How far back equal readings are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    /// A bounded read: no later batch holds a time below this.
    Read(i64),
    /// A stream: `span` behind the watermark, row by row.
    Stream {
        /// Greatest end of interval before the batch.
        max_end: i64,
        /// The watermark is this far behind it,
        lateness: i64,
        /// but never below this.
        closed_to: i64,
        /// `dedupe_for`.
        span: i64,
        /// Rows move the watermark as if they ended here at most.
        cap: i64,
    },
}

/// What was found in a batch; bits are set for the rows meant.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Rows equal to an earlier one.
    pub duplicates: Option<BooleanBuffer>,
    /// Rows that contradict an earlier one.
    pub conflicts: Option<BooleanBuffer>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Dedupe {
    on_duplicate: OnDuplicate,
    on_conflict: OnConflict,
    sensors: Sensors,
    seen: HashMap<(u32, i64), u128>,
    /// Further values of a sensor and time.
    others: HashMap<(u32, i64), Vec<u128>>,
    /// Not below any time in `seen`.
    newest: i64,
    /// Nothing below this is looked for.
    floor: i64,
    fresh: Vec<(u32, i64, u128)>,
    ended: bool,
    kept: usize,
}

impl Dedupe {
    /// Nothing seen yet.
    pub fn new(on_duplicate: OnDuplicate, on_conflict: OnConflict) -> Self {
        Dedupe {
            on_duplicate,
            on_conflict,
            sensors: Sensors::default(),
            seen: HashMap::new(),
            others: HashMap::new(),
            newest: NEVER,
            floor: NEVER,
            fresh: Vec::new(),
            ended: false,
            kept: 0,
        }
    }

    /// Notes how far a bounded read reads each sensor; gives the rows that an earlier read may have counted.
    /// `ordered` as in [`Dedupe::find`].
    pub fn behind(&mut self, readings: &Readings, ordered: bool) -> Option<BooleanBuffer> {
        self.sensors.read(readings, ordered)
    }

    /// The greatest time of each sensor.
    pub fn last_readings(&self) -> Vec<(std::sync::Arc<str>, i64)> {
        self.sensors.last()
    }

    /// A bounded read ended: its readings are those of an earlier read from now on.
    pub fn end_read(&mut self) {
        self.sensors.end_read();
        self.ended = true;
        self.forget(i64::MAX);
        self.newest = NEVER;
        self.floor = NEVER;
    }

    /// Finds what is equal to, or contradicts, something seen. `count`: the rows that count at all;
    /// `ordered`: each sensor's times increase strictly within the batch.
    pub fn find(
        &mut self,
        readings: &Readings,
        count: Option<&BooleanBuffer>,
        ordered: bool,
        reach: Reach,
    ) -> Result<Found> {
        let (least, most) = extent(readings, ordered);
        let quick = ordered && least > self.newest;
        let keep_from = match reach {
            Reach::Read(low) => low,
            Reach::Stream { .. } => NEVER,
        };
        let mut found = Found::default();
        if !(quick && most < keep_from) {
            let look_to = if ordered { self.newest } else { i64::MAX };
            let keep_from = if ordered { keep_from } else { NEVER };
            self.walk(
                readings,
                count,
                Walk {
                    look_to,
                    keep_from,
                    reach,
                    sorted: sorted(readings, ordered),
                },
                &mut found,
            )?;
        }
        self.retire(readings, reach);
        Ok(found)
    }

    fn walk(
        &mut self,
        readings: &Readings,
        count: Option<&BooleanBuffer>,
        walk: Walk,
        found: &mut Found,
    ) -> Result<()> {
        let rows = self.sensors.rows(readings);
        let n = readings.len();
        let (mut duplicates, mut conflicts) = (Marks::new(n), Marks::new(n));
        let mut floor = Floor::new(walk.reach, self.floor);
        for i in walk.rows(&readings.time) {
            let time = readings.time[i];
            let back_to = floor.at(readings, i);
            let looks = time <= walk.look_to;
            if time < back_to
                || !(looks || time >= walk.keep_from)
                || count.is_some_and(|c| !c.value(i))
            {
                continue;
            }
            let Some(hash) = hash(readings, i) else {
                continue;
            };
            match self.meet((rows.of(i), time), hash) {
                Met::New => {}
                Met::Equal => self.duplicate(readings, i).map(|()| duplicates.set(i))?,
                Met::Other => self.conflict(readings, i).map(|()| conflicts.set(i))?,
            }
        }
        found.duplicates = duplicates.done();
        found.conflicts = conflicts.done();
        Ok(())
    }

    /// Looks a reading up and remembers it.
    fn meet(&mut self, key: (u32, i64), hash: u128) -> Met {
        use hashbrown::hash_map::Entry;
        match self.seen.entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(hash);
                self.newest = self.newest.max(key.1);
                self.fresh.push((key.0, key.1, hash));
                Met::New
            }
            Entry::Occupied(slot) if *slot.get() == hash => Met::Equal,
            Entry::Occupied(_) => {
                if self.on_conflict == OnConflict::Keep {
                    let others = self.others.entry(key).or_default();
                    if others.contains(&hash) {
                        return Met::Equal;
                    }
                    others.push(hash);
                    self.fresh.push((key.0, key.1, hash));
                }
                Met::Other
            }
        }
    }

    fn duplicate(&self, readings: &Readings, i: usize) -> Result<()> {
        match self.on_duplicate {
            OnDuplicate::Raise => Err(twice(
                readings,
                i,
                "and the same values stands twice; pass on_duplicate = once to count it once",
            )),
            _ => Ok(()),
        }
    }

    fn conflict(&self, readings: &Readings, i: usize) -> Result<()> {
        match self.on_conflict {
            OnConflict::Raise => Err(twice(
                readings,
                i,
                "stands twice with different values; pass on_conflict = keep, first or last",
            )),
            _ => Ok(()),
        }
    }

    /// Forgets what is out of reach after a batch, now and then.
    fn retire(&mut self, readings: &Readings, reach: Reach) {
        let mut floor = Floor::new(reach, self.floor);
        self.floor = match reach {
            Reach::Read(low) => self.floor.max(low),
            Reach::Stream { .. } => {
                (0..readings.len()).for_each(|i| {
                    floor.at(readings, i);
                });
                floor.after()
            }
        };
        self.forget_some();
    }

    /// No reading below `low` is looked for any more.
    pub fn pass(&mut self, low: i64) {
        self.floor = self.floor.max(low);
        self.forget_some();
    }

    fn forget_some(&mut self) {
        if self.seen.len() > 2 * self.kept + 4096 {
            self.forget(self.floor);
        }
    }

    fn forget(&mut self, below: i64) {
        self.seen.retain(|k, _| k.1 >= below && below < i64::MAX);
        self.others.retain(|k, _| k.1 >= below && below < i64::MAX);
        self.fresh.retain(|f| f.1 >= below);
        self.kept = self.seen.len();
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        self.seen.len() * 48 + self.fresh.len() * 32 + self.sensors.names.len() * 64
    }
}

struct Walk {
    /// Rows up to this time are looked up.
    look_to: i64,
    /// Rows from this time on are remembered.
    keep_from: i64,
    reach: Reach,
    /// The rows are in order of time.
    sorted: bool,
}

impl Walk {
    /// The rows worth a look: of rows in order of time the first and the last ones.
    fn rows(&self, times: &[i64]) -> std::iter::Chain<Range<usize>, Range<usize>> {
        let n = times.len();
        if !self.sorted {
            return (0..n).chain(n..n);
        }
        let head = times.partition_point(|t| *t <= self.look_to);
        let tail = times.partition_point(|t| *t < self.keep_from).max(head);
        (0..head).chain(tail..n)
    }
}

enum Met {
    New,
    Equal,
    Other,
}

/// The time below which a row is not looked for, as it stands before each row.
struct Floor {
    floor: i64,
    max_end: i64,
    reach: Reach,
}

impl Floor {
    fn new(reach: Reach, floor: i64) -> Self {
        let max_end = match reach {
            Reach::Stream { max_end, .. } => max_end,
            Reach::Read(_) => NEVER,
        };
        Floor {
            floor,
            max_end,
            reach,
        }
    }

    #[inline]
    fn at(&mut self, readings: &Readings, i: usize) -> i64 {
        if let Reach::Stream { cap, .. } = self.reach {
            let now = self.after();
            self.max_end = self.max_end.max(end(readings, i).min(cap));
            self.floor = now;
        }
        self.floor
    }

    fn after(&self) -> i64 {
        match self.reach {
            Reach::Stream {
                lateness,
                closed_to,
                span,
                ..
            } => {
                let mark = self.max_end.saturating_sub(lateness).max(closed_to);
                self.floor.max(mark.saturating_sub(span))
            }
            Reach::Read(_) => self.floor,
        }
    }
}

/// End of the interval of row `i`.
#[inline]
pub fn end(readings: &Readings, i: usize) -> i64 {
    readings.time[i].saturating_add(match &readings.step {
        Step::Unknown => 0,
        Step::Fixed(step) => *step,
        Step::Rows(steps) => steps[i],
    })
}

/// Bits that are only allocated when one is set.
struct Marks {
    bits: Option<BooleanBufferBuilder>,
    len: usize,
}

impl Marks {
    fn new(len: usize) -> Self {
        Marks { bits: None, len }
    }

    fn set(&mut self, i: usize) {
        let len = self.len;
        let bits = self.bits.get_or_insert_with(|| {
            let mut b = BooleanBufferBuilder::new(len);
            b.append_n(len, false);
            b
        });
        bits.set_bit(i, true);
    }

    fn done(self) -> Option<BooleanBuffer> {
        self.bits.map(|mut b| b.finish())
    }
}

/// A hash of a row's values; `None` if there is none. It is stored, so it must stay as it is.
pub(super) fn hash(readings: &Readings, i: usize) -> Option<u128> {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    const SEED: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const NULL: u64 = 0x7ff8_dead_beef_0001;
    let mut any = false;
    let mut h = SEED;
    for column in &readings.values {
        let bits = if column.is_valid(i) {
            any = true;
            // Adding zero makes −0 and 0 one value.
            (column.value(i) + 0.0).to_bits()
        } else {
            NULL
        };
        for part in [bits as u32, (bits >> 32) as u32] {
            h = (h ^ u128::from(part)).wrapping_mul(PRIME);
            h ^= h >> 57;
        }
    }
    any.then_some(h)
}

fn twice(readings: &Readings, i: usize, what: &str) -> Error {
    use crate::schema::SensorKeys;
    let sensor = match &readings.sensors {
        SensorKeys::Constant(name) => name,
        SensorKeys::Coded { codes, names } => &names[codes[i] as usize],
    };
    let time = chrono::DateTime::from_timestamp_micros(readings.time[i])
        .map_or_else(|| readings.time[i].to_string(), |t| t.to_rfc3339());
    Error::new(
        Kind::Schema,
        format!(
            "row {}: the reading of sensor {sensor:?} at {time} {what}",
            readings.row(i)
        ),
    )
}

#[cfg(test)]
mod tests;
