//! Windows, runs, checks and states: a spec as JSON in, tables and reports out.

use super::reading::{Reader, rejects_table};
use super::table::Table;
use super::{arrow, block, error};
use crate::pipeline::{self, Control, Handed, Outcome, Report, Spec, Until};
use crate::{Error, Kind, Result};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The wire to a run under way.
#[pyclass(frozen, module = "wattline._native", name = "Control")]
pub(super) struct PyControl(pub(super) Arc<Control>);

#[pymethods]
impl PyControl {
    #[new]
    fn new() -> Self {
        PyControl(Control::new())
    }

    /// Asks the run to end at the next decided flush.
    fn stop(&self) {
        self.0.stop();
    }

    /// Bytes read, bytes to read (0: not known), readings, rejects, flushes.
    fn progress(&self) -> (u64, u64, u64, u64, u64) {
        let c = &self.0;
        let now = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        (
            now(&c.bytes),
            now(&c.total_bytes),
            now(&c.readings),
            now(&c.rejects),
            now(&c.flushes),
        )
    }
}

/// Data as the engine takes them: a table can be read again, a stream once.
pub(super) fn handed(data: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Handed>> {
    let Some(data) = data else { return Ok(None) };
    let py = data.py();
    if let Ok(table) = data.cast::<Table>() {
        let table = table.get();
        return Ok(Some(Handed::Table {
            schema: table.columns.clone(),
            batches: table.batches.clone(),
        }));
    }
    if let Ok(reader) = data.cast::<Reader>() {
        let (schema, batches) = reader.get().handed(py)?;
        return Ok(Some(Handed::Reader { schema, batches }));
    }
    let (schema, batches) = arrow::imported(data)?;
    // What has a length is in memory already: its batches are taken as they are, without a copy.
    if data.hasattr("__len__")? || data.hasattr("__arrow_c_array__")? {
        let batches = block::block(py, move || batches.collect())?;
        return Ok(Some(Handed::Table { schema, batches }));
    }
    Ok(Some(Handed::Reader { schema, batches }))
}

fn spec_of(py: Python<'_>, json: &str) -> PyResult<Spec> {
    Spec::from_json(json).map_err(|e| error::exception(py, &e))
}

/// A report as `wattline.Report`.
pub(super) fn report_object(py: Python<'_>, report: &Report) -> PyResult<Py<PyAny>> {
    let rejects = rejects_table(py, &report.rejects)?;
    let class = py.import("wattline.report")?.getattr("Report")?;
    Ok(class
        .call1((report.summary().to_string(), rejects))?
        .unbind())
}

/// A run's end: its report, or `Interrupted` with it; a signal handler's own exception wins.
pub(super) fn ended(py: Python<'_>, report: &Report, signal: Option<PyErr>) -> PyResult<Py<PyAny>> {
    let object = report_object(py, report)?;
    match signal {
        Some(raised) if !raised.is_instance_of::<PyKeyboardInterrupt>(py) => return Err(raised),
        None if report.outcome != Outcome::Interrupted => return Ok(object),
        _ => {}
    }
    let done = report.outcome == Outcome::Done;
    let how = if done {
        "at its end"
    } else {
        "at a decided flush; run it again to go on from there"
    };
    let sentence = format!("the run of {:?} was interrupted {how}", report.pipeline);
    Err(error::with_report(
        py,
        &Error::new(Kind::Interrupted, sentence),
        Some(object),
    ))
}

/// The result of waiting for a run.
fn settled(py: Python<'_>, waited: block::Waited<Report>) -> PyResult<Py<PyAny>> {
    match waited.result {
        Ok(report) => ended(py, &report, waited.signal),
        Err(error) => Err(error::exception(py, &error)),
    }
}

/// Runs a pipeline.
#[pyfunction]
pub(super) fn run(
    py: Python<'_>,
    spec: &str,
    data: Option<&Bound<'_, PyAny>>,
    now: bool,
    control: &Bound<'_, PyControl>,
    tick: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let (spec, data, control) = (spec_of(py, spec)?, handed(data)?, control.get().0.clone());
    let wire = control.clone();
    let work = move || pipeline::run(&spec, data, until(now), &wire);
    settled(py, block::wait(py, Some(&control), tick, work)?)
}

pub(super) fn until(now: bool) -> Until {
    if now { Until::Now } else { Until::End }
}

/// Tables by grain, late readings, report.
type WindowTables = (Vec<(String, Table)>, Table, Py<PyAny>);

/// Windows of data, kept nowhere.
#[pyfunction]
pub(super) fn windows(
    py: Python<'_>,
    spec: &str,
    data: Option<&Bound<'_, PyAny>>,
    control: &Bound<'_, PyControl>,
    tick: Option<&Bound<'_, PyAny>>,
) -> PyResult<WindowTables> {
    let (spec, data, control) = (spec_of(py, spec)?, handed(data)?, control.get().0.clone());
    let wire = control.clone();
    let waited = block::wait(py, Some(&control), tick, move || {
        pipeline::windows(&spec, data, &wire)
    })?;
    let made = waited.result.map_err(|e| error::exception(py, &e))?;
    let report = ended(py, &made.report, waited.signal)?;
    let table = |batches| Table::new(made.schema.clone(), batches);
    let grains = made
        .grains
        .into_iter()
        .map(|(grain, batches)| (grain, table(batches)))
        .collect();
    Ok((grains, Table::new(made.late.0, made.late.1), report))
}

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

/// What a pipeline's home holds, JSON.
#[pyfunction]
pub(super) fn state(py: Python<'_>, spec: &str) -> PyResult<String> {
    let spec = spec_of(py, spec)?;
    let state = block::block(py, move || pipeline::state(&spec))?;
    Ok(state_json(&state).to_string())
}

fn state_json(state: &pipeline::State) -> serde_json::Value {
    let head = state.head.as_ref();
    serde_json::json!({
        "pipeline": head.map(|h| &h.pipeline),
        "epoch": state.epoch,
        "head": head.map(|h| h.id),
        "watermark": head.and_then(|h| h.watermark),
        "positions": head.map(|h| &h.positions),
        "read_under_way": head.map(|h| h.read.is_some()),
        "totals": head.map(|h| &h.totals),
        "tzdata": head.map(|h| &h.tzdata),
        "records": state.records,
        "unapplied": state.unapplied,
    })
}

/// A spec read, checked and written out again with every option.
#[pyfunction]
pub(super) fn checked_spec(py: Python<'_>, json: &str) -> PyResult<String> {
    spec_of(py, json)?
        .to_json()
        .map_err(|e| error::exception(py, &e))
}

/// A spec in TOML as JSON with every option.
#[pyfunction]
pub(super) fn spec_from_toml(py: Python<'_>, text: &str) -> PyResult<String> {
    Spec::from_toml(text)
        .and_then(|s| s.to_json())
        .map_err(|e| error::exception(py, &e))
}

/// A spec in JSON as TOML, without what has its default.
#[pyfunction]
pub(super) fn spec_to_toml(py: Python<'_>, json: &str) -> PyResult<String> {
    spec_of(py, json)?
        .to_toml()
        .map_err(|e| error::exception(py, &e))
}

/// A small text file, whole.
#[pyfunction]
pub(super) fn read_text(py: Python<'_>, path: &str) -> PyResult<String> {
    let read: Result<String> =
        std::fs::read_to_string(path).map_err(|e| crate::input::read_error(path, e));
    read.map_err(|e| error::exception(py, &e))
}

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
