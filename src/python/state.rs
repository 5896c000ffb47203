//! Checks and states: what a run would meet, and what a home holds.

use super::block;
use super::pipeline::handed;
use super::spec::spec_of;
use super::table::Table;
use crate::{Error, Kind, pipeline};
use arrow_array::RecordBatch;
use pyo3::prelude::*;

/// Level, place and sentence of each thing found.
#[pyfunction]
pub(super) fn check(
    py: Python<'_>,
    spec: &str,
    data: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<(String, String, String)>> {
    let (spec, data) = (spec_of(py, spec)?, handed(data)?);
    let found = block::block(py, move || pipeline::check(&spec, data))?;
    let plain = |f: pipeline::Finding| (format!("{:?}", f.level).to_lowercase(), f.at, f.message);
    Ok(found.into_iter().map(plain).collect())
}

/// What a pipeline's home holds: JSON, and its head, positions and watermarks as tables.
#[pyfunction]
pub(super) fn state(py: Python<'_>, spec: &str) -> PyResult<(String, Vec<Table>)> {
    let spec = spec_of(py, spec)?;
    let (json, tables) = block::block(py, move || {
        let state = pipeline::state(&spec)?;
        let tables = [
            state.head_table()?,
            state.positions_table()?,
            state.watermarks_table()?,
        ];
        Ok((state_json(&state).to_string(), tables))
    })?;
    let table = |batch: RecordBatch| Table::new(batch.schema(), vec![batch]);
    Ok((json, tables.map(table).into()))
}

/// Changes what a pipeline's home holds: `{"seek": {partition: offset}}`, `"reset"` or `"repartition"`; says what was done.
#[pyfunction]
pub(super) fn repair(py: Python<'_>, spec: &str, what: &str) -> PyResult<Vec<String>> {
    let (spec, what) = (spec_of(py, spec)?, what.to_owned());
    block::block(py, move || {
        let what: pipeline::Repair = serde_json::from_str(&what).map_err(|e| {
            Error::new(
                Kind::Usage,
                format!("what is to be done is not understood: {e}"),
            )
        })?;
        pipeline::repair(&spec, &what)
    })
}

/// Writes what a pipeline's home holds to a file.
#[pyfunction]
pub(super) fn export_state(py: Python<'_>, spec: &str, path: std::path::PathBuf) -> PyResult<()> {
    let spec = spec_of(py, spec)?;
    block::block(py, move || pipeline::export(&spec, &path))
}

/// The windows that are open in a pipeline's home.
#[pyfunction]
pub(super) fn open_windows(py: Python<'_>, spec: &str) -> PyResult<Table> {
    let spec = spec_of(py, spec)?;
    let (columns, batches) = block::block(py, move || pipeline::open_windows(&spec))?;
    Ok(Table::new(columns, batches))
}

/// Each partition of a pipeline's source.
#[pyfunction]
pub(super) fn partitions(py: Python<'_>, spec: &str) -> PyResult<Table> {
    let spec = spec_of(py, spec)?;
    one_table(py, move || pipeline::partitions(&spec))
}

/// The last reading of each sensor.
#[pyfunction]
pub(super) fn sensors(py: Python<'_>, spec: &str) -> PyResult<Table> {
    let spec = spec_of(py, spec)?;
    one_table(py, move || pipeline::sensors(&spec))
}

fn one_table(
    py: Python<'_>,
    made: impl FnOnce() -> crate::Result<RecordBatch> + Send + 'static,
) -> PyResult<Table> {
    let rows = block::block(py, made)?;
    Ok(Table::new(rows.schema(), vec![rows]))
}

pub(super) fn state_json(state: &pipeline::State) -> serde_json::Value {
    let any = state.heads.first();
    let heads = state.heads.iter().map(|h| {
        serde_json::json!({
            "partition": h.partition, "head": h.id, "watermark": h.watermark, "positions": h.positions,
        })
    });
    serde_json::json!({
        "pipeline": any.map(|h| &h.pipeline),
        "epoch": state.epoch,
        "head": state.head().map(|h| h.id),
        "heads": heads.collect::<Vec<_>>(),
        "watermark": state.watermark(),
        "positions": any.map(|_| state.positions()),
        "read_under_way": any.map(|_| state.heads.iter().any(|h| h.read.is_some())),
        "totals": state.totals(),
        "tzdata": any.map(|h| &h.tzdata),
        "records": state.records,
        "unapplied": state.unapplied,
    })
}
