//! The simulator.

use super::block::block;
use super::table::Table;
use crate::pipeline;
use crate::source::simulate::{UCI_ROWS, write_uci as write};
use pyo3::prelude::*;
use std::path::PathBuf;

/// All readings of a `sim://` URL.
#[pyfunction]
pub(super) fn simulate(py: Python<'_>, url: String) -> PyResult<Table> {
    let (columns, batches) = block(py, move || pipeline::simulated(&url))?;
    Ok(Table::new(columns, batches))
}

/// A file of one household in the UCI layout.
#[pyfunction]
pub(super) fn write_uci(
    py: Python<'_>,
    path: PathBuf,
    rows: Option<u64>,
    seed: u64,
) -> PyResult<()> {
    block(py, move || write(&path, rows.unwrap_or(UCI_ROWS), seed))
}
