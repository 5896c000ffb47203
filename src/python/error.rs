//! The house's `Error` as the Python exception that says what the caller does next.

use crate::{Error, Kind};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The class in `wattline.errors` for a kind.
fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Schema => "SchemaError",
        Kind::AmbiguousDates => "AmbiguousDates",
        Kind::AmbiguousZone => "AmbiguousZone",
        Kind::RejectLimit => "RejectLimit",
        Kind::SpecChanged => "SpecChanged",
        Kind::Fenced => "Fenced",
        Kind::DataLost => "DataLost",
        Kind::Endpoint => "EndpointError",
        Kind::Ledger => "LedgerError",
        Kind::Interrupted => "Interrupted",
        Kind::NotFound => "NotFound",
        Kind::Timeout => "TimedOut",
        Kind::Usage => "UsageError",
        Kind::Disorder | Kind::Internal => "WattlineError",
    }
}

/// Whether an exception is one of ours already.
pub(super) fn is_ours(py: Python<'_>, error: &PyErr) -> bool {
    let base = py
        .import("wattline.errors")
        .and_then(|m| m.getattr("WattlineError"));
    base.is_ok_and(|base| error.value(py).is_instance(&base).unwrap_or(false))
}

/// The exception for `error`.
pub(super) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    with_report(py, error, None)
}

/// The exception for `error`, carrying the report of the run that met it.
pub(super) fn with_report(py: Python<'_>, error: &Error, report: Option<Py<PyAny>>) -> PyErr {
    build(py, error, report).map_or_else(|broken| broken, PyErr::from_value)
}

fn build<'py>(
    py: Python<'py>,
    error: &Error,
    report: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let class = py
        .import("wattline.errors")?
        .getattr(class_of(error.kind))?;
    let told = PyDict::new(py);
    if let Some(place) = &error.place {
        told.set_item("file", place.file.as_ref().map(|f| f.display().to_string()))?;
        told.set_item("line", place.line)?;
        told.set_item("byte", place.byte)?;
        told.set_item("column", place.column.as_deref())?;
        if let Some((topic, partition, offset)) = &place.message {
            told.set_item("topic", topic)?;
            told.set_item("partition", partition)?;
            told.set_item("offset", (*offset >= 0).then_some(*offset))?;
        }
    }
    told.set_item("retryable", error.retryable)?;
    told.set_item("report", report)?;
    let made = class.call((plain(&error.message),), Some(&told))?;
    if let Some(cause) = &error.cause {
        made.call_method1("add_note", (plain(&cause.to_string()),))?;
    }
    Ok(made)
}

/// The text without signs that steer a terminal: names and values in it may come from a file.
fn plain(text: &str) -> String {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| match steers(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.trim_end().chars().map(shown).collect()
}
