//! Memory: tables in this process, for `wl.windows` and for tests.
//!
//! Batches are kept as they come. Most runs write each window once, and then taking a table out
//! costs nothing; only where a key may stand twice (a window written open, or a correction) the
//! rows are keyed and the last of each key stays.

use super::{Applied, Claim, Decided, Home, Owned, Sink, Tables, What, rows};
use crate::flush::{Flush, FlushId, Head};
use crate::reject::Reject;
use crate::{Error, Kind, Result, faults};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the sinks of a run keep in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    windows: BTreeMap<String, Grain>,
    readings: Vec<RecordBatch>,
    late: Vec<RecordBatch>,
    rejects: Vec<Reject>,
    /// By table and partition.
    applied: BTreeMap<(&'static str, u32), Applied>,
    /// The greatest epoch told by `fence`, by partition.
    fences: BTreeMap<u32, u64>,
    homes: BTreeMap<(String, u32), Partition>,
    /// Pipeline and zone.
    belongs: Option<(String, String)>,
}

#[derive(Debug, Default)]
struct Grain {
    batches: Vec<RecordBatch>,
    /// A key may stand twice.
    repeats: bool,
    /// Some row so far was not final.
    open: bool,
}

#[derive(Debug, Default)]
struct Partition {
    epoch: u64,
    owner: Option<String>,
    head: Option<Head>,
    records: Vec<Flush>,
    whole: Vec<Flush>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grains that hold rows, by name.
    pub fn grains(&self) -> Vec<String> {
        self.lock().windows.keys().cloned().collect()
    }

    /// The windows of a grain, each key once, its last row; the store keeps them.
    pub fn windows(&self, grain: &str) -> Result<Vec<RecordBatch>> {
        let inner = self.lock();
        inner
            .windows
            .get(grain)
            .map_or(Ok(Vec::new()), Grain::table)
    }

    /// Takes the windows of a grain out, each key once, its last row.
    pub fn take(&self, grain: &str) -> Result<Vec<RecordBatch>> {
        let taken = self.lock().windows.remove(grain);
        taken.map_or(Ok(Vec::new()), |g| g.table())
    }

    /// Takes the readings out.
    pub fn take_readings(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.lock().readings)
    }

    /// Takes the late readings out.
    pub fn take_late(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.lock().late)
    }

    /// Takes the rejects out.
    pub fn take_rejects(&self) -> Vec<Reject> {
        std::mem::take(&mut self.lock().rejects)
    }
}

impl Inner {
    fn write(&mut self, what: What, flush: &Flush) {
        match what {
            What::Windows => {
                for w in flush.windows.iter().filter(|w| w.rows.num_rows() > 0) {
                    self.windows
                        .entry(w.grain.clone())
                        .or_default()
                        .push(&w.rows);
                }
            }
            What::Readings => self.readings.extend(flush.readings.iter().cloned()),
            What::Late => self.late.extend(flush.late.iter().cloned()),
            What::Rejects => self.rejects.extend(flush.rejects.iter().cloned()),
        }
    }

    /// Writes the flush unless it, or a later one, is written already.
    fn write_once(&mut self, what: What, flush: &Flush) -> Result<()> {
        let key = (rows::table_name(what), flush.partition);
        if super::next_step(key.0, self.applied.get(&key), flush)? == super::Next::Write {
            let lineage = flush.lineage.clone();
            let id = flush.id;
            self.applied.insert(key, Applied { lineage, id });
            self.write(what, flush);
        }
        Ok(())
    }
}

impl Grain {
    fn table(&self) -> Result<Vec<RecordBatch>> {
        match self.repeats {
            true => last_of_each_key(&self.batches).map(|b| vec![b]),
            false => Ok(self.batches.clone()),
        }
    }

    fn push(&mut self, rows: &RecordBatch) {
        self.repeats |= self.open || rows::any_revised(rows);
        self.open |= rows::any_open(rows);
        self.batches.push(rows.clone());
    }
}

fn last_of_each_key(batches: &[RecordBatch]) -> Result<RecordBatch> {
    let joined = |e: ArrowError| {
        Error::new(
            Kind::Internal,
            "window rows of one grain differ in their columns",
        )
        .because(e)
    };
    let Some(first) = batches.first() else {
        return Err(Error::new(Kind::Internal, "a grain without a batch"));
    };
    let all = arrow_select::concat::concat_batches(&first.schema(), batches).map_err(joined)?;
    let (sensors, starts) = rows::window_keys(&all)?;
    let mut seen = HashSet::with_capacity(all.num_rows());
    let mut keep: Vec<bool> = (0..all.num_rows())
        .rev()
        .map(|i| seen.insert((sensors.value(i), starts.value(i))))
        .collect();
    keep.reverse();
    let kept = arrow_select::filter::filter_record_batch(&all, &BooleanArray::from(keep))
        .map_err(joined)?;
    rows::sorted_by(&kept, &["sensor_id", "window_start"])
}

/// A sink, and a home, over a [`MemoryStore`].
#[derive(Debug)]
pub struct Memory {
    store: MemoryStore,
    what: What,
    /// The partitions this home owns, with the epoch it has them under.
    owned: BTreeMap<(String, u32), u64>,
    /// The epoch this handle applies for, by partition.
    applies: BTreeMap<u32, u64>,
}

impl Memory {
    /// A sink that puts `what` into `store`.
    pub fn new(store: MemoryStore, what: What) -> Self {
        Memory {
            store,
            what,
            owned: BTreeMap::new(),
            applies: BTreeMap::new(),
        }
    }

    fn give_up(&mut self, partition: Option<u32>) {
        let mut inner = self.store.lock();
        self.owned.retain(|key, epoch| {
            let ours = partition.is_none_or(|p| p == key.1);
            if let Some(stored) = inner.homes.get_mut(key).filter(|_| ours)
                && stored.epoch == *epoch
            {
                stored.owner = None;
            }
            !ours
        });
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.give_up(None);
    }
}

impl Sink for Memory {
    fn describe(&self) -> String {
        "memory:".into()
    }

    fn what(&self) -> What {
        self.what
    }

    fn prepare(&mut self, tables: &Tables) -> Result<()> {
        let asked = (tables.pipeline.clone(), tables.tz.clone());
        let mut inner = self.store.lock();
        let has = inner.belongs.get_or_insert_with(|| asked.clone());
        rows::same_owner("this memory store", (&has.0, &has.1), (&asked.0, &asked.1))
    }

    fn applied(&mut self, partition: u32) -> Result<Option<Applied>> {
        let key = (rows::table_name(self.what), partition);
        Ok(self.store.lock().applied.get(&key).cloned())
    }

    fn fence(&mut self, partition: u32, epoch: u64) -> Result<()> {
        self.applies.insert(partition, epoch);
        let mut inner = self.store.lock();
        let newest = inner.fences.entry(partition).or_default();
        *newest = epoch.max(*newest);
        Ok(())
    }

    fn apply(&mut self, flush: &Flush) -> Result<()> {
        let mine = self.applies.get(&flush.partition).copied();
        let mut inner = self.store.lock();
        let newest = inner.fences.get(&flush.partition).copied();
        if mine < newest && !faults::broken("no_epoch") {
            return Err(super::fenced(
                "this partition",
                "this memory store",
                "a newer run",
            ));
        }
        inner.write_once(self.what, flush)
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Home for Memory {
    fn decides_rows(&self) -> bool {
        true
    }

    fn acquire(&mut self, claim: &Claim) -> Result<Owned> {
        let key = (claim.pipeline.clone(), claim.partition);
        let mut inner = self.store.lock();
        let stored = inner.homes.entry(key.clone()).or_default();
        if let Some(owner) = stored.owner.as_ref().filter(|_| !claim.take_over) {
            return Err(super::fenced(&claim.pipeline, "this memory store", owner));
        }
        stored.epoch += 1;
        stored.owner = Some(claim.owner.clone());
        self.owned.insert(key, stored.epoch);
        Ok(stored.owned())
    }

    fn decide(&mut self, head: &Head, flush: &Flush, keep_effects: bool) -> Result<Decided> {
        let key = (head.pipeline.clone(), head.partition);
        let mut inner = self.store.lock();
        let Some(stored) = inner.homes.get_mut(&key) else {
            return Err(super::not_owned(&head.pipeline));
        };
        if stored.head.as_ref().is_some_and(|h| h.id == flush.id) {
            return Ok(Decided::Yes);
        }
        let last = stored.head.as_ref().map_or(0, |h| h.id.n);
        let stale = stored.epoch != head.id.epoch && !faults::broken("no_epoch");
        if stale || last + 1 != flush.id.n {
            let owner = stored.owner.clone();
            return Ok(Decided::Fenced(
                owner.unwrap_or_else(|| "a newer run".into()),
            ));
        }
        stored.head = Some(head.clone());
        stored.records.push(super::state_only(flush));
        match keep_effects {
            true => stored.whole.push(flush.clone()),
            false => stored.whole.clear(),
        }
        inner.write_once(self.what, flush)?;
        Ok(Decided::Yes)
    }

    fn prune(&mut self, partition: u32, upto: FlushId) -> Result<()> {
        let mut inner = self.store.lock();
        for key in self.owned.keys().filter(|key| key.1 == partition) {
            if let Some(stored) = inner.homes.get_mut(key) {
                let fold = stored.head.as_ref().map_or(0, |h| h.fold.n);
                stored.records.retain(|f| f.id.n >= fold);
                stored.whole.retain(|f| f.id.n > upto.n);
            }
        }
        Ok(())
    }

    fn release(&mut self, partition: u32) -> Result<()> {
        self.give_up(Some(partition));
        Ok(())
    }

    fn look(&mut self, pipeline: &str, partition: u32) -> Result<Option<Owned>> {
        let inner = self.store.lock();
        let stored = inner.homes.get(&(pipeline.to_owned(), partition));
        Ok(stored.filter(|s| s.head.is_some()).map(Partition::owned))
    }
}

impl Partition {
    fn owned(&self) -> Owned {
        let fold = self.head.as_ref().map_or(0, |h| h.fold.n);
        let records = self.records.iter().filter(|f| f.id.n >= fold);
        Owned {
            epoch: self.epoch,
            head: self.head.clone(),
            records: records.cloned().collect(),
            unapplied: self.whole.clone(),
        }
    }
}
