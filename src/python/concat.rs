//! Several tables as one.

use super::error;
use super::table::Table;
use crate::{Error, Kind};
use pyo3::prelude::*;

/// Tables of the same columns, one after the other.
#[pyfunction]
pub(super) fn concat(py: Python<'_>, tables: Vec<PyRef<'_, Table>>) -> PyResult<Table> {
    let Some(first) = tables.first() else {
        return Err(error::exception(
            py,
            &Error::new(Kind::Usage, "there is no table to give"),
        ));
    };
    let batches = tables
        .iter()
        .flat_map(|t| t.batches.iter().cloned())
        .collect();
    Ok(Table::new(first.columns.clone(), batches))
}
