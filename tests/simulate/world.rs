//! A home and sinks as plain maps, a clock, a source, and everything that can go wrong.

use crate::model::{Told, Window};
use crate::scenario::{BASE, Dice, GRAINS, Row, STEP, Scenario, measures};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, Float64Array, RecordBatch};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use wattline::flush::{Extent, Flush, FlushId, Head, Position, ReadPlan};
use wattline::ledger::Ledger;
use wattline::pipeline::task::{Effect, Event, Outcome, Task};
use wattline::schema::{Readings, RowIds, SensorKeys, Step};
use wattline::sink::Owned;
use wattline::source::{Aligned, Order, Prepare, SourceBatch};

/// A defect put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Broken {
    Nothing,
    /// The head's positions are those of the newest batch, decided or not.
    EarlyPosition,
    /// The home does not look at the epoch.
    NoEpoch,
    /// The state is overwritten before the decision.
    InPlace,
    /// Sinks take flushes of stale owners, whatever they applied.
    Unfenced,
}

pub type Result<T> = std::result::Result<T, String>;

/// What a store shows.
#[derive(Default)]
pub struct Store {
    pub windows: BTreeMap<(usize, usize, i64), Window>,
    pub kept: Vec<usize>,
    pub aside: Vec<(usize, String, String)>,
    pub rejects: Vec<usize>,
    pub applied: u64,
    epoch: u64,
}

/// What the home keeps.
#[derive(Default)]
pub struct Home {
    epoch: u64,
    pub head: Option<Head>,
    records: Vec<Arc<Flush>>,
    effects: BTreeMap<u64, Arc<Flush>>,
}

/// Everything that outlives a crash.
pub struct World {
    pub s: Scenario,
    pub dice: Dice,
    pub home: Home,
    pub stores: Vec<Store>,
    pub told: Vec<Told>,
    broken: Broken,
    pub now: i64,
    zombies: Vec<(u64, Effect)>,
    prepare: Prepare,
    pub decides: u64,
    /// Crashes, stops and lost answers happen.
    pub trouble: bool,
}

/// How an attempt ended.
#[derive(Debug, PartialEq)]
pub enum End {
    Done(Outcome),
    Crashed,
}

/// One owner from `Owned` to its end.
struct Attempt {
    task: Task,
    epoch: u64,
    told: Vec<Told>,
    /// How much of `told` each flush covers, and how many rows.
    marks: BTreeMap<u64, (usize, usize)>,
    flight: Option<(Arc<Flush>, Arc<Head>)>,
    /// Flushes on their way to each sink.
    queues: Vec<VecDeque<Arc<Flush>>>,
    /// Flushes a sink took and does not show yet.
    rolls: Vec<Vec<Arc<Flush>>>,
    /// Rows read up to here, and the end of the read; `None`: no read under way.
    reading: Option<Reading>,
    paused: bool,
    until: Option<i64>,
    end: Option<End>,
}

struct Reading {
    at: usize,
    end: usize,
    order: Order,
}

impl World {
    pub fn new(s: Scenario, dice: Dice, broken: Broken) -> World {
        let prepare = Task::prepare(&s.config(String::new(), Order::Scanned, None));
        let stores = (0..s.sinks).map(|_| Store::default()).collect();
        World {
            s,
            dice,
            home: Home::default(),
            stores,
            told: Vec::new(),
            broken,
            now: BASE,
            zombies: Vec::new(),
            prepare,
            decides: 0,
            trouble: true,
        }
    }

    /// One owner's life, with `length` rows in the source.
    pub fn attempt(&mut self, length: usize, number: u64, until: Option<i64>) -> Result<End> {
        self.now += 1 + self.dice.below(20) as i64 * 60_000_000;
        self.home.epoch += 1;
        let owned = self.owned()?;
        let at = owned
            .head
            .as_ref()
            .and_then(|h| h.positions.first())
            .map_or(0, |p| p.at as usize);
        let sorted = self.s.rows[at.min(length)..length].is_sorted_by_key(|r| r.time);
        let order = match sorted && self.dice.one_in(3) {
            true => Order::Optimistic,
            false => Order::Scanned,
        };
        let config = self.s.config(format!("t{number}"), order, until);
        let mut a = Attempt {
            task: Task::new(config).map_err(|e| e.to_string())?,
            epoch: self.home.epoch,
            told: vec![Told::Owned { now: self.now }],
            marks: BTreeMap::new(),
            flight: None,
            queues: vec![VecDeque::new(); self.s.sinks],
            rolls: vec![Vec::new(); self.s.sinks],
            reading: None,
            paused: false,
            until,
            end: None,
        };
        for store in &mut self.stores {
            store.epoch = self.home.epoch;
        }
        self.feed(
            &mut a,
            Event::Owned {
                owned,
                now: self.now,
            },
            length,
        )?;
        for _ in 0..10_000 {
            if let Some(end) = a.end.take() {
                return Ok(end);
            }
            self.revive()?;
            self.act(&mut a, length)?;
        }
        Err("the attempt never ends".into())
    }

    fn owned(&mut self) -> Result<Owned> {
        let fold = self.home.head.as_ref().map_or(0, |h| h.fold.n);
        let again = |f: &Arc<Flush>, dice: &mut Dice| match dice.one_in(100) {
            true => f
                .encode()
                .and_then(|b| Flush::decode(&b))
                .map_err(|e| e.to_string()),
            false => Ok((**f).clone()),
        };
        let mut records = Vec::new();
        for f in self.home.records.iter().filter(|f| f.id.n >= fold) {
            if self.dice.one_in(100) {
                let bare = f.encode_state().and_then(|b| Flush::decode(&b));
                records.push(bare.map_err(|e| e.to_string())?);
            } else {
                records.push((**f).clone());
            }
        }
        let shown = self.stores.iter().map(|s| s.applied).min().unwrap_or(0);
        let mut unapplied = Vec::new();
        for f in self.home.effects.values().filter(|f| f.id.n > shown) {
            unapplied.push(again(f, &mut self.dice)?);
        }
        Ok(Owned {
            epoch: self.home.epoch,
            head: self.home.head.clone(),
            records,
            unapplied,
        })
    }

    /// Something that was asked for by an owner long gone happens now.
    fn revive(&mut self) -> Result<()> {
        if self.zombies.is_empty() || !self.dice.one_in(4) {
            return Ok(());
        }
        let at = self.dice.below(self.zombies.len() as u64) as usize;
        match self.zombies.swap_remove(at) {
            (epoch, Effect::Decide { flush, head }) => {
                let before = self.decides;
                self.decide(epoch, &flush, &head, 0)?;
                if self.decides > before && epoch != self.home.epoch {
                    return Err("a stale owner's flush was decided".into());
                }
            }
            (epoch, Effect::Apply { sink, flush }) => {
                // One that skips a flush is an error to whoever sent it, and he is gone.
                let next = flush.id.n <= self.stores[sink].applied + 1;
                if next || self.broken == Broken::Unfenced {
                    self.apply(epoch, sink, &flush)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// One thing happens, of those that can.
    fn act(&mut self, a: &mut Attempt, length: usize) -> Result<()> {
        self.now += self.dice.below(4) as i64 * 60_000_000;
        if self.trouble && self.dice.one_in(60) {
            return self.crash(a);
        }
        if self.trouble && self.dice.one_in(300) {
            return self.feed(a, Event::Stop, length);
        }
        match self.dice.below(5) {
            0 if a.flight.is_some() => self.answer(a, length),
            1 | 2 => self.deliver(a, length),
            3 if !self.s.bounded && self.trouble => {
                let now = self.now;
                if a.reading.is_some() {
                    let told = if a.paused {
                        Told::Paused { now }
                    } else {
                        Told::Tick { now }
                    };
                    a.told.push(told);
                }
                self.feed(a, Event::Tick { now }, length)
            }
            _ => self.read(a, length),
        }
    }

    /// The home answers, or its answer is lost.
    fn answer(&mut self, a: &mut Attempt, length: usize) -> Result<()> {
        let Some((flush, head)) = a.flight.clone() else {
            return Ok(());
        };
        let done = !(self.trouble && self.dice.one_in(12));
        if done {
            let at = a.reading.as_ref().map_or(0, |r| r.at);
            if !self.decide(a.epoch, &flush, &head, at)? {
                return Err("the only owner was fenced".into());
            }
            self.commit(a, &flush)?;
        }
        let lost = !done || (self.trouble && self.dice.one_in(12));
        if !lost {
            a.flight = None;
            return self.feed(a, Event::Decided { id: flush.id }, length);
        }
        if self.dice.one_in(3) {
            return self.crash(a);
        }
        self.feed(a, Event::Unclear { id: flush.id }, length)
    }

    /// What the flush covers is decided now.
    fn commit(&mut self, a: &mut Attempt, flush: &Flush) -> Result<()> {
        let (covers, rows) = a.marks[&flush.id.n];
        let at = flush.positions.first().map_or(0, |p| p.at as usize);
        if at != rows {
            return Err(format!(
                "flush {} covers {at} rows, the task was given {rows}",
                flush.id.n
            ));
        }
        self.told.extend(a.told.drain(..covers));
        a.marks.values_mut().for_each(|m| m.0 -= covers.min(m.0));
        Ok(())
    }

    /// The home's atomic step.
    fn decide(
        &mut self,
        epoch: u64,
        flush: &Arc<Flush>,
        head: &Arc<Head>,
        read_to: usize,
    ) -> Result<bool> {
        let last = self.home.head.as_ref();
        if last.is_some_and(|h| h.id == flush.id && h.token == head.token) {
            return Ok(true);
        }
        let stale = epoch != self.home.epoch && self.broken != Broken::NoEpoch;
        if stale || last.map_or(0, |h| h.id.n) + 1 != flush.id.n {
            return Ok(false);
        }
        if last.is_some_and(|h| h.stamp >= flush.stamp || h.lineage != flush.lineage) {
            return Err("stamp or lineage of a flush do not follow those before it".into());
        }
        self.decides += 1;
        let mut head = (**head).clone();
        if self.broken == Broken::EarlyPosition
            && let Some(p) = head.positions.first_mut()
        {
            p.at = p.at.max(read_to as u64);
        }
        self.home.head = Some(head);
        if self.broken == Broken::InPlace {
            self.home.records.pop_if(|r| r.id == flush.id);
        }
        self.home.records.push(flush.clone());
        self.home.effects.insert(flush.id.n, flush.clone());
        Ok(true)
    }

    /// A sink takes a flush for an owner.
    fn apply(&mut self, epoch: u64, sink: usize, flush: &Arc<Flush>) -> Result<()> {
        let store = &mut self.stores[sink];
        if self.broken != Broken::Unfenced && (epoch < store.epoch || flush.id.n <= store.applied) {
            return Ok(());
        }
        if self.broken != Broken::Unfenced && flush.id.n != store.applied + 1 {
            return Err(format!(
                "flush {} was applied after {}",
                flush.id.n, store.applied
            ));
        }
        store.applied = flush.id.n;
        store.write(flush)
    }

    /// A sink takes the next flush on its way; some show it only later.
    fn deliver(&mut self, a: &mut Attempt, length: usize) -> Result<()> {
        let sink = self.dice.below(self.s.sinks as u64) as usize;
        let Some(flush) = a.queues[sink].pop_front() else {
            return Ok(());
        };
        let id = flush.id;
        a.rolls[sink].push(flush);
        if sink == 0 || self.dice.one_in(2) {
            self.roll(a, sink)?;
        }
        if self.trouble && self.dice.one_in(60) {
            return self.crash(a);
        }
        let shown = self.shown(sink, a);
        self.feed(a, Event::Applied { sink, id, shown }, length)
    }

    fn roll(&mut self, a: &mut Attempt, sink: usize) -> Result<()> {
        for flush in std::mem::take(&mut a.rolls[sink]) {
            self.apply(a.epoch, sink, &flush)?;
        }
        Ok(())
    }

    fn shown(&self, sink: usize, a: &Attempt) -> Option<FlushId> {
        let n = self.stores[sink].applied;
        (n > 0).then_some(FlushId { epoch: a.epoch, n })
    }

    /// The reader gives a batch, or the end.
    fn read(&mut self, a: &mut Attempt, length: usize) -> Result<()> {
        let Some(r) = a.reading.as_mut().filter(|_| !a.paused) else {
            return Ok(());
        };
        let now = self.now;
        if r.at >= r.end {
            a.reading = None;
            let until = a.until;
            a.told.push(Told::EndOfRead { until });
            return self.feed(a, Event::EndOfRead { now }, length);
        }
        let from = r.at;
        let mut to = (from + 1 + self.dice.below(6) as usize).min(r.end);
        let mut of = None;
        if self.s.streams > 1 {
            // A batch is of one stream, and may hold nothing but news of the others.
            let own = self.s.rows[from].stream;
            let run = self.s.rows[from..to].iter().take_while(|x| x.stream == own);
            to = match self.trouble && self.dice.one_in(8) {
                true => from,
                false => from + run.count(),
            };
            let behind =
                std::array::from_fn(|i| i < self.s.streams && self.trouble && self.dice.one_in(4));
            of = Some((own, behind));
        }
        r.at = to;
        let rest = self.s.rows[to..r.end].iter().map(|x| x.time).min();
        let low = match r.order {
            Order::Optimistic => self.s.rows[to.max(1) - 1].time,
            Order::Scanned => rest.unwrap_or(i64::MAX),
        };
        let low = self.s.bounded.then_some(low);
        let end = r.end as u64;
        let scanned = self.s.bounded && r.order == Order::Scanned;
        let read = scanned.then(|| ReadPlan {
            extents: vec![Extent {
                stream: "s".into(),
                end,
                proof: None,
            }],
            ..ReadPlan::default()
        });
        let mut batch = self.batch(from, to, low, read)?;
        if let Some((own, behind)) = of {
            let name = |i: usize| Arc::<str>::from(format!("t/{i}"));
            let names = (0..3).filter(|i| behind[*i]).map(name);
            batch.ends = Some(Aligned {
                stream: name(own),
                behind: names.collect(),
            });
            batch.after.extend((0..self.s.streams).map(|i| Position {
                stream: name(i).to_string(),
                ..Position::default()
            }));
        }
        a.told.push(Told::Rows {
            from,
            to,
            low,
            now,
            of,
        });
        self.feed(
            a,
            Event::Batch {
                batch: Box::new(batch),
                now,
            },
            length,
        )
    }

    fn batch(
        &mut self,
        from: usize,
        to: usize,
        low: Option<i64>,
        read: Option<ReadPlan>,
    ) -> Result<SourceBatch> {
        let readings = readings(&self.s.rows[from..to], from);
        let delta = match self.dice.one_in(2) {
            true => Some((self.prepare)(&readings)),
            false => None,
        };
        let n = (to - from) as u64;
        Ok(SourceBatch {
            readings,
            delta: delta.transpose().map_err(|e| e.to_string())?,
            rejects: Vec::new(),
            counters: Ledger {
                lines: n,
                records: n,
                accepted: n,
                readings: n,
                ..Ledger::default()
            },
            after: vec![Position {
                stream: "s".into(),
                at: to as u64,
                row: to as u64,
                line: to as u64 + 1,
                proof: None,
                path: None,
                time: None,
            }],
            read,
            low,
            ends: None,
            places: 0,
        })
    }

    /// Gives the task an event and carries out, or queues, what it asks for.
    fn feed(&mut self, a: &mut Attempt, event: Event, length: usize) -> Result<()> {
        for effect in a.task.step(event) {
            if self.trouble && self.dice.one_in(200) {
                return self.crash(a);
            }
            self.carry_out(a, effect, length)?;
            if a.end.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, a: &mut Attempt, effect: Effect, length: usize) -> Result<()> {
        match effect {
            Effect::Read { from, read, order } => {
                let at = from.first().map_or(0, |p| p.at as usize);
                let end = read.map_or(length, |r| r.extents[0].end as usize);
                a.reading = Some(Reading { at, end, order });
            }
            Effect::Decide { flush, head } => {
                let rows = a.told.iter().rev().find_map(|t| match t {
                    Told::Rows { to, .. } => Some(*to),
                    _ => None,
                });
                let before = self.home.head.as_ref().and_then(|h| h.positions.first());
                let rows = rows.unwrap_or_else(|| before.map_or(0, |p| p.at as usize));
                a.marks.entry(flush.id.n).or_insert((a.told.len(), rows));
                if self.broken == Broken::InPlace && !self.home.records.is_empty() {
                    self.overwrite(&flush);
                }
                a.flight = Some((flush, head));
            }
            Effect::Settle { head } => {
                let decided = self
                    .home
                    .head
                    .as_ref()
                    .is_some_and(|h| h.id == head.id && h.token == head.token);
                if decided {
                    a.flight = None;
                }
                self.feed(a, Event::Settled { decided }, length)?;
            }
            Effect::Apply { sink, flush } => a.queues[sink].push_back(flush),
            Effect::Prune { upto } => {
                if self.stores.iter().any(|s| s.applied < upto.n) {
                    return Err("a flush was pruned that some sink does not show".into());
                }
                self.home.effects.retain(|n, _| *n > upto.n);
                let fold = self.home.head.as_ref().map_or(0, |h| h.fold.n);
                self.home.records.retain(|r| r.id.n >= fold);
            }
            Effect::Pause => a.paused = true,
            Effect::Resume => a.paused = false,
            Effect::Finish => {
                for sink in 0..self.s.sinks {
                    self.roll(a, sink)?;
                    if self.trouble && self.dice.one_in(60) {
                        return self.crash(a);
                    }
                    self.feed(a, Event::Finished { sink }, length)?;
                    if a.end.is_some() {
                        return Ok(());
                    }
                }
            }
            Effect::Done(outcome) => a.end = Some(End::Done(outcome)),
            Effect::Fail(error) => return Err(format!("the task failed: {error:?}")),
        }
        Ok(())
    }

    /// The defect: the newest stored state becomes that of a flush that is not decided.
    fn overwrite(&mut self, flush: &Flush) {
        if let Some(last) = self.home.records.last_mut() {
            let mut changed = (**last).clone();
            changed.state.bytes = flush.state.bytes.clone();
            changed.max_end = flush.max_end;
            changed.watermark = flush.watermark;
            *last = Arc::new(changed);
        }
    }

    /// The process is gone; what it asked for may still happen, late.
    fn crash(&mut self, a: &mut Attempt) -> Result<()> {
        if let Some((flush, head)) = a.flight.take() {
            self.zombies.push((a.epoch, Effect::Decide { flush, head }));
        }
        for (sink, queue) in a.queues.iter_mut().enumerate() {
            if let Some(flush) = queue.pop_front() {
                self.zombies.push((a.epoch, Effect::Apply { sink, flush }));
            }
        }
        // Before a new owner comes, the last request may land.
        if self.dice.one_in(3)
            && let Some((epoch, Effect::Decide { flush, head })) = self.zombies.last().cloned()
            && epoch == self.home.epoch
            && self.decide(epoch, &flush, &head, 0)?
            && let Some(mark) = a.marks.get(&flush.id.n).copied()
            && mark.0 > 0
        {
            self.commit(a, &flush)?;
        }
        a.end = Some(End::Crashed);
        Ok(())
    }
}

fn readings(rows: &[Row], from: usize) -> Readings {
    static NAMES: OnceLock<Arc<[Arc<str>]>> = OnceLock::new();
    let names = NAMES.get_or_init(|| ["s0", "s1", "s2"].map(Arc::from).into());
    Readings {
        attributes: Default::default(),
        measures: measures(),
        sensors: match rows.first() {
            Some(one) if rows.iter().all(|r| r.sensor == one.sensor) => {
                SensorKeys::Constant(names[one.sensor].clone())
            }
            _ => SensorKeys::Coded {
                codes: rows.iter().map(|r| r.sensor as u32).collect(),
                names: names.clone(),
            },
        },
        time: rows.iter().map(|r| r.time).collect(),
        values: vec![Float64Array::from_iter(
            rows.iter().map(|r| r.value.map(|v| v as f64)),
        )],
        quality: Some(rows.iter().map(|r| if r.bad { 2u8 } else { 0 }).collect()),
        step: Step::Fixed(STEP),
        file: 0,
        rows: RowIds::Dense(from as u64),
    }
}

impl Store {
    fn write(&mut self, flush: &Flush) -> Result<()> {
        for w in &flush.windows {
            let grain = GRAINS
                .iter()
                .position(|g| g.0 == w.grain)
                .ok_or("an unknown grain")?;
            self.write_windows(grain, &w.rows)?;
        }
        for batch in &flush.readings {
            self.kept.extend(whole(batch, "row").map(|r| r as usize));
        }
        if let Some(batch) = &flush.late {
            let (reasons, grains) = (text(batch, "reason"), text(batch, "grains"));
            let rows = whole(batch, "row").map(|r| r as usize);
            self.aside.extend(
                rows.zip(reasons.into_iter().zip(grains))
                    .map(|(r, (a, b))| (r, a, b)),
            );
        }
        self.rejects
            .extend(flush.rejects.iter().map(|r| r.row as usize));
        Ok(())
    }

    fn write_windows(&mut self, grain: usize, rows: &RecordBatch) -> Result<()> {
        let column = |name: &str| {
            rows.column_by_name(name)
                .ok_or_else(|| format!("no column {name}"))
        };
        let sensors = column("sensor_id")?.as_dictionary::<Int32Type>();
        let names = sensors.values().as_string::<i32>();
        let starts = column("window_start")?.as_primitive::<TimestampMicrosecondType>();
        let last = column("final")?.as_boolean();
        let int = |name: &str| column(name).map(|c| c.as_primitive::<Int64Type>());
        let float = |name: &str| column(name).map(|c| c.as_primitive::<Float64Type>());
        let (readings, missing, duplicates, count) = (
            int("readings")?,
            int("missing")?,
            int("duplicates")?,
            int("v_count")?,
        );
        let revisions = column("revision")?.as_primitive::<Int32Type>();
        let (sum, least, most) = (float("v_sum")?, float("v_min")?, float("v_max")?);
        let mut keys = std::collections::BTreeSet::new();
        for i in 0..rows.num_rows() {
            let name = names.value(sensors.key(i).ok_or("no sensor")?);
            let sensor = name[1..].parse().map_err(|_| "a strange sensor")?;
            let value = |c: &Float64Array| c.is_valid(i).then(|| c.value(i) as i64);
            let key = (grain, sensor, starts.value(i));
            if !keys.insert(key) {
                return Err(format!("{key:?} stands twice in a flush"));
            }
            let window = Window {
                readings: readings.value(i),
                missing: missing.value(i),
                duplicates: duplicates.value(i),
                revision: i64::from(revisions.value(i)),
                last: last.value(i),
                count: count.value(i),
                sum: value(sum),
                least: value(least),
                most: value(most),
            };
            self.windows.insert(key, window);
        }
        Ok(())
    }
}

fn whole<'a>(batch: &'a RecordBatch, name: &str) -> impl Iterator<Item = i64> + 'a {
    batch
        .column_by_name(name)
        .map(|c| c.as_primitive::<Int64Type>().values().to_vec())
        .unwrap_or_default()
        .into_iter()
}

fn text(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).map(|c| c.as_string::<i32>());
    column
        .map(|c| c.iter().map(|v| v.unwrap_or("").to_owned()).collect())
        .unwrap_or_default()
}
