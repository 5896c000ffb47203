//! What must come out, computed in the plainest way over everything that was decided. It shares no code with the engine.

use crate::scenario::{AHEAD, GRAINS, HOUR, Row, STEP, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use wattline::pipeline::policy::{OnConflict, OnDuplicate, OnLate};

/// What the task was told, as far as it is decided.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    Owned {
        now: i64,
    },
    Rows {
        from: usize,
        to: usize,
        low: Option<i64>,
        now: i64,
        /// Several streams: the one of these rows, and which are not read to their end.
        of: Option<(usize, [bool; 3])>,
    },
    Tick {
        now: i64,
    },
    /// A tick while the task takes no batch: that is no silence of the source.
    Paused {
        now: i64,
    },
    EndOfRead {
        until: Option<i64>,
    },
}

/// A row of a windows table; the aggregates are `None` where nothing was read.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Window {
    pub readings: i64,
    pub missing: i64,
    pub duplicates: i64,
    /// Readings that came when it was final.
    pub revision: i64,
    pub last: bool,
    pub count: i64,
    pub sum: Option<i64>,
    pub least: Option<i64>,
    pub most: Option<i64>,
}

/// The books of a grain.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Books {
    pub windowed: u64,
    pub late: u64,
    pub null: u64,
    pub dropped: u64,
    pub duplicate: u64,
    pub corrected: u64,
}

/// Everything that must come out.
#[derive(Debug, PartialEq, Default)]
pub struct Outcome {
    /// By grain, sensor, start.
    pub windows: BTreeMap<(usize, usize, i64), Window>,
    pub books: [Books; 3],
    pub rejected: u64,
    pub readings: u64,
    pub conflicts: u64,
    /// Row numbers of the readings table.
    pub kept: BTreeSet<usize>,
    /// Late table: the grains of a row, and whether it is a conflict.
    pub aside: BTreeMap<usize, (String, bool)>,
    pub rejects: BTreeSet<usize>,
}

const NONE: i64 = i64::MIN;

/// One of several streams.
#[derive(Clone, Copy, Default)]
struct Stream {
    end: Option<i64>,
    heard: i64,
    behind: bool,
}

struct State<'a> {
    s: &'a Scenario,
    out: Outcome,
    values: BTreeMap<(usize, usize, i64), Vec<(i64, i64)>>,
    duplicates: BTreeMap<(usize, usize, i64), i64>,
    revisions: BTreeMap<(usize, usize, i64), i64>,
    mark: i64,
    /// The mark when the read began.
    began: i64,
    most: i64,
    before: BTreeMap<usize, i64>,
    /// Rows of the read under way.
    now: BTreeMap<usize, i64>,
    seen: Vec<(usize, i64, i64)>,
    floor: i64,
    heard: (i64, i64),
    streams: [Stream; 3],
    /// `on_conflict = last`: rows of the read under way.
    waiting: Vec<usize>,
}

/// What must come out of a scenario after all that was told.
pub fn outcome(s: &Scenario, told: &[Told]) -> Outcome {
    let mut m = State {
        s,
        out: Outcome::default(),
        values: BTreeMap::new(),
        duplicates: BTreeMap::new(),
        revisions: BTreeMap::new(),
        mark: NONE,
        began: NONE,
        most: NONE,
        before: BTreeMap::new(),
        now: BTreeMap::new(),
        seen: Vec::new(),
        floor: NONE,
        heard: (0, NONE),
        streams: [Stream::default(); 3],
        waiting: Vec::new(),
    };
    for t in told {
        match *t {
            Told::Owned { now } => {
                // A new owner does not know which were behind until a batch says so.
                m.streams.iter_mut().for_each(|s| s.behind = false);
                m.hear_all(now);
            }
            Told::Paused { now } => m.hear_all(now),
            Told::Rows {
                from,
                to,
                low,
                now,
                of,
            } => m.rows(from, to, low, now, of),
            Told::Tick { now } => m.tick(now),
            Told::EndOfRead { until } => m.end(until),
        }
    }
    m.finish();
    m.out
}

fn start(grain: usize, time: i64) -> i64 {
    time.div_euclid(GRAINS[grain].1) * GRAINS[grain].1
}

impl State<'_> {
    fn hear_all(&mut self, now: i64) {
        self.heard = (now, self.mark);
        self.streams.iter_mut().for_each(|s| s.heard = now);
    }

    /// W as several streams allow it: behind the least of those that hold time back.
    fn align(&mut self) {
        let holds = self.streams.iter().filter(|s| s.behind || s.end.is_some());
        if let Some(least) = holds.map(|s| s.end.unwrap_or(NONE)).min()
            && least != NONE
        {
            self.mark = self.mark.max(least - self.s.lateness);
        }
    }

    fn rows(
        &mut self,
        from: usize,
        to: usize,
        low: Option<i64>,
        now: i64,
        of: Option<(usize, [bool; 3])>,
    ) {
        if let Some((own, behind)) = of {
            for (stream, behind) in self.streams.iter_mut().zip(behind) {
                stream.behind = behind;
            }
            self.streams[own].heard = now;
            if self.streams[own].end.is_some() {
                self.align();
            }
        }
        for i in from..to {
            self.row(i, now);
        }
        // W moves only once there is a reading at all.
        if of.is_some() && self.most != NONE {
            self.align();
        }
        if self.s.bounded && self.most != NONE {
            let low = low.unwrap_or(NONE).min(self.most);
            self.mark = self.mark.max(low);
        }
        self.heard = (now, self.mark);
    }

    fn row(&mut self, i: usize, now: i64) {
        let row = self.s.rows[i];
        if !self.s.bounded && row.time > now + AHEAD {
            self.out.rejected += 1;
            self.out.rejects.insert(i);
            return;
        }
        self.out.readings += 1;
        if self.s.bounded {
            let now = self.now.entry(row.sensor).or_insert(NONE);
            *now = (*now).max(row.time);
            if self.before.get(&row.sensor).is_some_and(|b| row.time <= *b) {
                self.behind(i, row);
            } else if self.s.on_conflict == OnConflict::Last {
                self.waiting.push(i);
            } else {
                self.count(i, row);
            }
        } else {
            self.floor = self.floor.max(self.mark.saturating_sub(self.s.dedupe_for));
            self.count(i, row);
        }
        self.most = self.most.max(row.time + STEP);
        if self.s.streams > 1 {
            let own = &mut self.streams[row.stream].end;
            *own = (*own).max(Some(row.time + STEP));
            self.align();
        } else if !self.s.bounded {
            self.mark = self.mark.max(self.most - self.s.lateness);
        }
    }

    fn behind(&mut self, i: usize, row: Row) {
        for books in &mut self.out.books {
            match (row.value, row.bad, self.s.on_late) {
                (None, ..) => books.null += 1,
                (_, true, _) | (_, _, OnLate::Drop) => books.dropped += 1,
                _ => books.late += 1,
            }
        }
        if row.value.is_some() && !row.bad && self.s.on_late != OnLate::Drop {
            self.out.aside.insert(i, ("15min,1h,6h".into(), false));
        }
    }

    /// Whether the row stands in the readings table and is looked at further.
    fn count(&mut self, i: usize, row: Row) {
        let Some(value) = row.value else {
            self.out.books.iter_mut().for_each(|b| b.null += 1);
            self.out.kept.insert(i);
            return;
        };
        if row.bad {
            self.out.books.iter_mut().for_each(|b| b.dropped += 1);
            self.out.kept.insert(i);
            return;
        }
        let mut conflict = false;
        if self.s.bounded || row.time >= self.floor {
            let same: Vec<i64> = self
                .seen
                .iter()
                .filter(|x| (x.0, x.1) == (row.sensor, row.time))
                .map(|x| x.2)
                .collect();
            if same.contains(&value) {
                if self.s.on_duplicate == OnDuplicate::Once {
                    return self.duplicate(row);
                }
            } else if !same.is_empty() {
                self.out.conflicts += 1;
                if self.s.on_conflict == OnConflict::First {
                    self.out.books.iter_mut().for_each(|b| b.dropped += 1);
                    self.out.aside.insert(i, (String::new(), true));
                    return;
                }
                conflict = true;
            }
            self.seen.push((row.sensor, row.time, value));
        }
        self.out.kept.insert(i);
        let late = self.window(row, value);
        if conflict || !late.is_empty() {
            self.out.aside.insert(i, (late.join(","), conflict));
        }
    }

    fn duplicate(&mut self, row: Row) {
        for (g, books) in self.out.books.iter_mut().enumerate() {
            books.duplicate += 1;
            let start = start(g, row.time);
            if self.mark < start + GRAINS[g].1 {
                *self.duplicates.entry((g, row.sensor, start)).or_default() += 1;
            }
        }
    }

    /// Puts a value into its windows; the grains it is put aside for.
    fn window(&mut self, row: Row, value: i64) -> Vec<&'static str> {
        let mut late = Vec::new();
        for (g, (name, length)) in GRAINS.iter().enumerate() {
            let start = start(g, row.time);
            let books = &mut self.out.books[g];
            let end = start + length;
            let corrects =
                self.s.on_late == OnLate::Correct && self.mark < end + self.s.correct_for;
            if self.mark < end || corrects {
                books.windowed += 1;
                books.corrected += u64::from(self.mark >= end);
                let revision = self.revisions.entry((g, row.sensor, start)).or_default();
                *revision += i64::from(self.mark >= end);
                self.values
                    .entry((g, row.sensor, start))
                    .or_default()
                    .push((row.time, value));
            } else if self.s.on_late == OnLate::Drop {
                books.dropped += 1;
            } else {
                books.late += 1;
                late.push(*name);
            }
        }
        late
    }

    fn tick(&mut self, now: i64) {
        let Some(idle) = self.s.idle.filter(|_| !self.s.bounded) else {
            return;
        };
        let silence = now - self.heard.0;
        let speak = |s: &&Stream| s.behind || (s.end.is_some() && now - s.heard < idle);
        let slowest = self.streams.iter().filter(speak);
        let to = match slowest.map(|s| s.end.unwrap_or(NONE)).min() {
            Some(NONE) => return,
            Some(end) => end - self.s.lateness,
            None if silence < idle || self.heard.1.max(self.most) == NONE => return,
            None if self.most == NONE => self.heard.1 + silence,
            None => self.heard.1.max(self.most - self.s.lateness) + silence,
        };
        let ends = self.values.keys().map(|(g, _, start)| start + GRAINS[*g].1);
        if ends.into_iter().any(|end| self.mark < end && end <= to) {
            self.mark = to;
        }
    }

    fn end(&mut self, until: Option<i64>) {
        if !self.s.bounded {
            self.mark = self.mark.max(until.unwrap_or(NONE));
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (at, i) in waiting.iter().enumerate() {
            let row = self.s.rows[*i];
            let counts = |r: &Row| {
                r.value.is_some() && !r.bad && (r.sensor, r.time) == (row.sensor, row.time)
            };
            let last = waiting[at..].iter().map(|j| self.s.rows[*j]).rfind(counts);
            if counts(&row) && last.is_some_and(|l| l.value != row.value) {
                self.out.conflicts += 1;
                self.out.books.iter_mut().for_each(|b| b.dropped += 1);
                self.out.aside.insert(*i, (String::new(), true));
            } else {
                let mark = std::mem::replace(&mut self.mark, self.began);
                self.count(*i, row);
                self.mark = mark;
            }
        }
        self.mark = self.mark.max(self.most);
        self.began = self.mark;
        for (sensor, time) in std::mem::take(&mut self.now) {
            let before = self.before.entry(sensor).or_insert(NONE);
            *before = (*before).max(time);
        }
        self.seen.clear();
    }

    fn finish(&mut self) {
        for (key, values) in &self.values {
            let mut times: Vec<i64> = values.iter().map(|v| v.0).collect();
            times.sort_unstable();
            times.dedup();
            let length = GRAINS[key.0].1;
            let window = Window {
                readings: values.len() as i64,
                missing: length / STEP - times.len() as i64,
                duplicates: self.duplicates.get(key).copied().unwrap_or(0),
                revision: self.revisions.get(key).copied().unwrap_or(0),
                last: key.2 + length <= self.mark,
                count: values.len() as i64,
                sum: Some(values.iter().map(|v| v.1).sum()),
                least: values.iter().map(|v| v.1).min(),
                most: values.iter().map(|v| v.1).max(),
            };
            self.out.windows.insert(*key, window);
        }
        self.gaps();
    }

    fn gaps(&mut self) {
        let keys: Vec<_> = self
            .values
            .keys()
            .copied()
            .filter(|k| GRAINS[k.0].1 >= HOUR)
            .collect();
        for pair in keys
            .windows(2)
            .filter(|p| (p[0].0, p[0].1) == (p[1].0, p[1].1))
        {
            let length = GRAINS[pair[0].0].1;
            let mut at = pair[0].2 + length;
            while at < pair[1].2 {
                let last = at + length <= self.mark;
                let gap = Window {
                    missing: length / STEP,
                    last,
                    ..Window::default()
                };
                self.out.windows.insert((pair[0].0, pair[0].1, at), gap);
                at += length;
            }
        }
    }
}
