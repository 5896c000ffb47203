//! Windows and runs: a spec as JSON in, tables and reports out.

use super::reader::Reader;
use super::reading::rejects_table;
use super::spec::spec_of;
use super::table::Table;
use super::{arrow, block, error};
use crate::pipeline::{self, Control, Handed, Outcome, Report, Until};
use crate::{Error, Kind};
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

/// The exception of a run that failed, with the report of what it had done.
pub(super) fn failed(py: Python<'_>, error: &Error, control: &Control) -> PyErr {
    let report = control.failed().map(|r| report_object(py, &r)).transpose();
    report.map_or_else(
        |broken| broken,
        |report| error::with_report(py, error, report),
    )
}

/// Runs a pipeline.
#[pyfunction]
pub(super) fn run(
    py: Python<'_>,
    spec: &str,
    data: Option<&Bound<'_, PyAny>>,
    until: Option<&str>,
    control: &Bound<'_, PyControl>,
    tick: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let (spec, data, control) = (spec_of(py, spec)?, handed(data)?, control.get().0.clone());
    let wire = control.clone();
    let until = until_of(py, until)?;
    let work = move || pipeline::run(&spec, data, until, &wire);
    let waited = block::wait(py, Some(&control), tick, work)?;
    let report = waited.result.map_err(|e| failed(py, &e, &control))?;
    ended(py, &report, waited.signal)
}

/// How far a run goes: to the end, or as the text says.
pub(super) fn until_of(py: Python<'_>, text: Option<&str>) -> PyResult<Until> {
    let until = text.map(Until::parse).transpose();
    until
        .map(Option::unwrap_or_default)
        .map_err(|e| error::exception(py, &e))
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
    let made = waited.result.map_err(|e| failed(py, &e, &control))?;
    let report = ended(py, &made.report, waited.signal)?;
    let table = |batches| Table::new(made.schema.clone(), batches);
    let grains = made
        .grains
        .into_iter()
        .map(|(grain, batches)| (grain, table(batches)))
        .collect();
    Ok((grains, Table::new(made.late.0, made.late.1), report))
}
