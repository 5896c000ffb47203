//! What gathers for the next flush.

use crate::Result;
use crate::flush::{Decision, Positions, ReadPlan, WindowRows};
use crate::ledger::{GrainBooks, Ledger};
use crate::reject::Reject;
use arrow_array::RecordBatch;
use std::collections::BTreeMap;

/// Batches of window rows of this size are passed on as they are.
const BIG: usize = 16 * 1024;

/// Effects, counters and decisions since the last flush was built.
#[derive(Debug, Default)]
pub(super) struct Gather {
    pub positions: Positions,
    pub read: Option<ReadPlan>,
    pub windows: BTreeMap<usize, Vec<RecordBatch>>,
    pub readings: Vec<RecordBatch>,
    pub late: Vec<RecordBatch>,
    pub rejects: Vec<Reject>,
    pub counters: Ledger,
    pub decisions: Vec<Decision>,
    /// Something is to be decided.
    pub changed: bool,
    pub rows: usize,
    pub bytes: usize,
}

impl Gather {
    /// Nothing yet, after these positions.
    pub fn after(positions: Positions, read: Option<ReadPlan>) -> Self {
        Gather {
            positions,
            read,
            ..Gather::default()
        }
    }

    /// The books of a grain.
    pub fn books(&mut self, grain: &str) -> &mut GrainBooks {
        self.counters.grains.entry(grain.to_owned()).or_default()
    }

    /// Adds window rows of the grain at `index` of the plan.
    pub fn add_windows(&mut self, index: usize, rows: WindowRows) {
        if rows.rows.num_rows() > 0 {
            self.weigh(&rows.rows);
            self.windows.entry(index).or_default().push(rows.rows);
        }
    }

    /// Adds rows of a readings table.
    pub fn add_readings(&mut self, rows: RecordBatch) {
        self.weigh(&rows);
        self.readings.push(rows);
    }

    /// Adds rows put aside.
    pub fn add_late(&mut self, rows: RecordBatch) {
        self.weigh(&rows);
        self.late.push(rows);
    }

    /// Adds a reject.
    pub fn add_reject(&mut self, reject: Reject) {
        self.rows += 1;
        self.bytes += reject.size_bytes();
        self.rejects.push(reject);
    }

    fn weigh(&mut self, rows: &RecordBatch) {
        self.rows += rows.num_rows();
        self.bytes += crate::flush::bytes_of(rows);
    }

    /// Joins small batches of a grain.
    pub fn join_windows(&mut self) -> Result<()> {
        let big = |b: &RecordBatch| b.num_rows() >= BIG;
        for batches in self.windows.values_mut() {
            let mut parts: Vec<Vec<RecordBatch>> = Vec::new();
            for batch in std::mem::take(batches) {
                match parts.last_mut() {
                    Some(part) if !big(&batch) && !part.last().is_some_and(big) => part.push(batch),
                    _ => parts.push(vec![batch]),
                }
            }
            let joined = parts.into_iter().map(super::tables::joined);
            *batches = joined
                .filter_map(Result::transpose)
                .collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Takes the window rows out, finest grain first, joined.
    pub fn take_windows(&mut self, grains: &[String]) -> Result<Vec<WindowRows>> {
        self.join_windows()?;
        let mut out = Vec::with_capacity(self.windows.len());
        for (index, batches) in std::mem::take(&mut self.windows) {
            let grain = grains.get(index).cloned().unwrap_or_default();
            out.extend(batches.into_iter().map(|rows| WindowRows {
                grain: grain.clone(),
                rows,
            }));
        }
        Ok(out)
    }
}
