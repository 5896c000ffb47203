//! Buckets of time: rows that came in any order are put aside by time and come back bucket by
//! bucket, each in the order of (time, file, row).
//!
//! Positions stay where the read began until the last bucket is done; the plan says how far it is. What
//! belongs to no row (headers, blank lines, rejects) comes with the first batch of the first bucket.

use super::codec::{Legend, Names, broken, to_batch, to_readings};
use super::content::Piece;
use super::lanes::{Landed, Lanes};
use super::order::Setup;
use super::spool::{Slot, Spool, Spooled};
use super::{Poll, Prepare, SourceBatch};
use crate::flush::{Positions, ReadPlan};
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::runtime;
use crate::schema::{Measure, Readings, RowIds, SENSOR, SensorKeys};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type, UInt64Type};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of rows held back to be written together.
const STAGED: usize = 12 << 20;

/// Rows within which rows of one file stand together; part of the order, so a constant.
const SLICE: usize = 32 * 1024;

/// Rows on their way into buckets.
pub(super) struct Spill {
    plan: ReadPlan,
    spool: Spool,
    names: Names,
    staged: Vec<Vec<RecordBatch>>,
    bytes: usize,
    slots: Vec<Vec<Slot>>,
    rest: Ledger,
    rejects: Vec<Reject>,
    after: Positions,
    melted: bool,
}

impl Spill {
    pub(super) fn new(plan: ReadPlan, dir: Option<PathBuf>, melted: bool) -> Self {
        let buckets = plan.edges.len() + 1;
        Spill {
            plan,
            spool: Spool::on_disk(dir),
            names: Names::default(),
            staged: vec![Vec::new(); buckets],
            bytes: 0,
            slots: vec![Vec::new(); buckets],
            rest: Ledger::default(),
            rejects: Vec::new(),
            after: Positions::new(),
            melted,
        }
    }

    pub(super) fn add(&mut self, piece: Piece) -> Result<()> {
        let batch = piece.batch;
        let rows = batch.readings.len() as u64;
        self.rest.add(&batch.counters);
        // Rows are counted when they come back, and their records too, where each is one row.
        let alone = [
            &mut self.rest.lines,
            &mut self.rest.records,
            &mut self.rest.accepted,
        ];
        for counter in alone.into_iter().filter(|_| !self.melted) {
            *counter = counter.saturating_sub(rows);
        }
        self.rest.readings = self.rest.readings.saturating_sub(rows);
        if self.melted {
            self.rest.melted -= rows as i64;
        }
        if self.plan.done == 0 && self.plan.row == 0 {
            self.rejects.extend(batch.rejects);
        }
        self.after = batch.after;
        if rows > 0 {
            let rows = to_batch(&batch.readings, &mut self.names)?;
            self.part(rows)?;
        }
        Ok(())
    }

    /// Gives each bucket its rows of a batch.
    fn part(&mut self, batch: RecordBatch) -> Result<()> {
        let times = batch.column(0).as_primitive::<Int64Type>().values();
        let bucket = |t: &i64| self.plan.edges.partition_point(|e| e <= t);
        let of: Vec<usize> = times.iter().map(bucket).collect();
        let mut order: Vec<u32> = (0..of.len() as u32).collect();
        order.sort_by_key(|i| of[*i as usize]);
        let sorted =
            take_record_batch(&batch, &UInt32Array::from(order.clone())).map_err(broken)?;
        let mut from = 0;
        while from < order.len() {
            let bucket = of[order[from] as usize];
            let n = order
                .iter()
                .skip(from)
                .take_while(|i| of[**i as usize] == bucket)
                .count();
            if bucket as u64 >= self.plan.done {
                self.staged[bucket].push(sorted.slice(from, n));
            }
            from += n;
        }
        self.bytes += sorted.get_array_memory_size();
        if self.bytes > STAGED {
            self.write()
        } else {
            Ok(())
        }
    }

    fn write(&mut self) -> Result<()> {
        for (staged, slots) in self.staged.iter_mut().zip(&mut self.slots) {
            if let Some(first) = staged.first() {
                let joined = concat_batches(first.schema_ref(), staged.iter()).map_err(broken)?;
                staged.clear();
                slots.push(self.spool.put(joined)?);
            }
        }
        self.bytes = 0;
        Ok(())
    }

    /// All rows are in: the buckets, to be read. Errors: `DataLost` where the read began in an
    /// earlier run and its bytes are no longer the same.
    pub(super) fn finish(mut self, before: Positions, setup: &Setup) -> Result<Buckets> {
        self.write()?;
        self.prove()?;
        let first = self.plan.done;
        let lanes = Lanes::new()?.at_most(2);
        let shared = Shared {
            edges: self.plan.edges.clone(),
            spooled: self.spool.reader(),
            slots: self.slots,
            legend: self.names.legend(),
            measures: setup.measures.clone(),
            prepare: setup.prepare.clone(),
            begun: (self.plan.done, self.plan.row),
            melted: self.melted,
        };
        let fresh = self.plan.done == 0 && self.plan.row == 0;
        Ok(Buckets {
            shared: Arc::new(shared),
            lanes,
            given: first,
            ready: VecDeque::new(),
            rest: fresh.then_some((self.rest, self.rejects)),
            before,
            after: self.after,
            plan: self.plan,
        })
    }

    /// Holds what was read against the plan, or writes it there.
    fn prove(&mut self) -> Result<()> {
        for extent in &mut self.plan.extents {
            let own = self
                .after
                .iter()
                .find(|p| p.stream == extent.stream && p.at == extent.end);
            let proof = own.and_then(|p| p.proof.clone());
            match &extent.proof {
                Some(told) if proof.as_ref() != Some(told) => {
                    return Err(Error::new(
                        Kind::DataLost,
                        "the file changed since the read that was cut off began; restore it, or use another pipeline name",
                    ));
                }
                Some(_) => {}
                None => extent.proof = proof,
            }
        }
        Ok(())
    }
}

/// What the pool needs to read a bucket.
struct Shared {
    edges: Vec<i64>,
    spooled: Spooled,
    slots: Vec<Vec<Slot>>,
    legend: Legend,
    measures: Arc<[Measure]>,
    prepare: Prepare,
    /// Bucket and row where this read goes on.
    begun: (u64, u64),
    melted: bool,
}

/// Buckets being read.
pub(super) struct Buckets {
    shared: Arc<Shared>,
    lanes: Lanes<Vec<SourceBatch>>,
    given: u64,
    ready: VecDeque<SourceBatch>,
    rest: Option<(Ledger, Vec<Reject>)>,
    before: Positions,
    after: Positions,
    plan: ReadPlan,
}

impl Buckets {
    fn count(&self) -> u64 {
        self.shared.slots.len() as u64
    }

    pub(super) fn next(&mut self, wait: Duration) -> Result<Poll> {
        while self.given < self.count() && !self.lanes.full() {
            let (shared, bucket) = (self.shared.clone(), self.given);
            self.lanes.give(move || shared.bucket(bucket));
            self.given += 1;
        }
        if self.ready.is_empty() {
            match self.lanes.next(wait)? {
                Landed::Value(batches) => self.ready.extend(batches),
                Landed::Waiting => return Ok(Poll::Idle),
                Landed::Empty => return Ok(Poll::End),
            }
        }
        let Some(batch) = self.ready.pop_front() else {
            return Ok(Poll::End);
        };
        Ok(Poll::Batch(Box::new(self.place(batch))))
    }

    /// Gives a batch its place: plan, positions, and what came with no row.
    fn place(&mut self, mut batch: SourceBatch) -> SourceBatch {
        if self.ready.is_empty() {
            self.plan.done += 1;
            self.plan.row = 0;
        } else {
            self.plan.row += batch.readings.len() as u64;
        }
        if let Some((rest, rejects)) = self.rest.take() {
            batch.counters.add(&rest);
            batch.rejects = rejects;
        }
        let last = self.plan.done == self.count();
        batch.after = if last {
            self.after.clone()
        } else {
            self.before.clone()
        };
        batch.read = Some(self.plan.clone());
        batch
    }
}

impl Shared {
    /// The batches of a bucket; at least one, so that the plan goes on.
    fn bucket(&self, bucket: u64) -> Result<Vec<SourceBatch>> {
        let slots = self.slots.get(bucket as usize).map_or(&[][..], |s| s);
        let parts = slots
            .iter()
            .map(|s| self.spooled.get(s))
            .collect::<Result<Vec<_>>>()?;
        let low = self.edges.get(bucket as usize).copied().unwrap_or(i64::MAX);
        let Some(first) = parts.first() else {
            return Ok(vec![self.batch(self.nothing(), low, false)?]);
        };
        let whole = concat_batches(first.schema_ref(), &parts).map_err(broken)?;
        drop(parts);
        let skip = if bucket == self.begun.0 {
            self.begun.1 as usize
        } else {
            0
        };
        let order = order(&whole);
        let order = UInt32Array::from(order.get(skip..).unwrap_or_default().to_vec());
        let sorted = take_record_batch(&whole, &order).map_err(broken)?;
        drop(whole);
        self.cut(&sorted, skip, low)
    }

    fn cut(&self, sorted: &RecordBatch, skip: usize, low: i64) -> Result<Vec<SourceBatch>> {
        let mut readings = Vec::new();
        let mut from = 0;
        while from < sorted.num_rows() {
            let n = (SLICE - (skip + from) % SLICE).min(sorted.num_rows() - from);
            readings.extend(to_readings(
                &sorted.slice(from, n),
                &self.measures,
                &self.legend,
            )?);
            from += n;
        }
        if readings.is_empty() {
            readings.push(self.nothing());
        }
        let mut lows = vec![low; readings.len()];
        for i in (1..readings.len()).rev() {
            let least = readings[i].time.iter().min().copied().unwrap_or(low);
            lows[i - 1] = lows[i].min(least);
        }
        let made = readings.into_par_iter().zip(lows);
        runtime::pool()?.install(|| made.map(|(r, low)| self.batch(r, low, true)).collect())
    }

    fn batch(&self, readings: Readings, low: i64, prepare: bool) -> Result<SourceBatch> {
        let n = readings.len() as u64;
        let prepare = prepare && n > 0;
        let records = if self.melted { 0 } else { n };
        Ok(SourceBatch {
            delta: prepare.then(|| (self.prepare)(&readings)).transpose()?,
            counters: Ledger {
                lines: records,
                records,
                accepted: records,
                readings: n,
                melted: (n - records) as i64,
                ..Ledger::default()
            },
            readings,
            rejects: Vec::new(),
            after: Positions::new(),
            read: None,
            low: Some(low),
            ends: None,
            places: 0,
        })
    }

    fn nothing(&self) -> Readings {
        Readings {
            measures: self.measures.clone(),
            sensors: SensorKeys::Constant(SENSOR.into()),
            time: Vec::new().into(),
            values: self
                .measures
                .iter()
                .map(|_| Vec::<f64>::new().into())
                .collect(),
            quality: None,
            step: self.legend.step(),
            file: 0,
            rows: RowIds::Dense(0),
            attributes: self.legend.attributes(),
        }
    }
}

/// By (time, file, row); within each slice of that order rows of one file stand together, for a
/// batch is of one file.
fn order(batch: &RecordBatch) -> Vec<u32> {
    let times = batch.column(0).as_primitive::<Int64Type>().values();
    let files = batch.column(2).as_primitive::<UInt32Type>().values();
    let rows = batch.column(3).as_primitive::<UInt64Type>().values();
    let mut order: Vec<u32> = (0..times.len() as u32).collect();
    let key = |i: &u32| (times[*i as usize], files[*i as usize], rows[*i as usize]);
    order.sort_unstable_by_key(key);
    order
        .chunks_mut(SLICE)
        .for_each(|slice| slice.sort_by_key(|i| files[*i as usize]));
    order
}
