//! A whole file as a table.

use super::{CsvPlan, ReadOptions};
use crate::input::Opened;
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use std::sync::Arc;

/// Reads the whole input: its batches in file order, its rejects, its counters.
pub fn read_table(
    input: Opened,
    plan: Arc<CsvPlan>,
    options: &ReadOptions,
) -> Result<(Vec<RecordBatch>, Vec<Reject>, Ledger)> {
    let _ = (input, plan, options);
    Err(Error::new(Kind::Internal, "not built yet"))
}
