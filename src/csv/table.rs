//! A whole file as a table.

use super::{Chunk, Chunks, CsvPlan, ReadOptions};
use crate::input::Opened;
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Reads the whole input: its batches in file order, its rejects, its counters.
pub fn read_table(
    input: Opened,
    plan: Arc<CsvPlan>,
    options: &ReadOptions,
) -> Result<(Vec<RecordBatch>, Vec<Reject>, Ledger)> {
    let keep = Arc::new(|chunk: Chunk| Ok(chunk));
    let mut chunks = Chunks::open_limited(input, plan, options, None, keep, u64::MAX)?;
    let (mut batches, mut rejects, mut ledger) = (Vec::new(), Vec::new(), Ledger::default());
    while let Some(chunk) = chunks.next()? {
        if options.stop.load(Relaxed) {
            return Err(Error::new(Kind::Interrupted, "the read was stopped"));
        }
        ledger.add(&chunk.counters);
        rejects.extend(chunk.rejects);
        if chunk.batch.num_rows() > 0 {
            batches.push(chunk.batch);
        }
    }
    Ok((batches, rejects, ledger))
}
