//! Dead letters: read as a table, sent back.

use super::table::Table;
use super::{block, error};
use crate::kafka::Config;
use crate::produce::letters;
use pyo3::prelude::*;
use std::collections::BTreeMap;

fn config(py: Python<'_>, url: &str) -> PyResult<Config> {
    Config::parse(url).map_err(|e| error::exception(py, &e))
}

/// The letters of a dead letter topic.
#[pyfunction]
fn dead_letters(py: Python<'_>, url: &str) -> PyResult<Table> {
    let config = config(py, url)?;
    let batch = block::block(py, move || letters::export(&config))?;
    Ok(Table::new(batch.schema(), vec![batch]))
}

/// Sends letters back, with these values: sent now, sent before, gone.
#[pyfunction]
fn replay_letters(
    py: Python<'_>,
    url: &str,
    mended: BTreeMap<(i32, i64), String>,
) -> PyResult<(u64, u64, u64)> {
    let config = config(py, url)?;
    let told = block::block(py, move || letters::replay(&config, &mended))?;
    Ok((told.sent, told.before, told.gone))
}

/// Registers the functions.
pub(super) fn add_to(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(dead_letters, m)?)?;
    m.add_function(wrap_pyfunction!(replay_letters, m)?)
}
