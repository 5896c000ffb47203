//! Specs as text: read, checked, written out again.

use super::error;
use crate::Result;
use crate::pipeline::Spec;
use pyo3::prelude::*;

/// The spec that Python hands over.
pub(super) fn spec_of(py: Python<'_>, json: &str) -> PyResult<Spec> {
    Spec::from_json(json).map_err(|e| error::exception(py, &e))
}

/// A spec read, checked and written out again with every option.
#[pyfunction]
pub(super) fn checked_spec(py: Python<'_>, json: &str) -> PyResult<String> {
    spec_of(py, json)?
        .to_json()
        .map_err(|e| error::exception(py, &e))
}

/// Refuses an endpoint (JSON) that is none, with the key that is wrong.
#[pyfunction]
pub(super) fn checked_endpoint(py: Python<'_>, json: &str) -> PyResult<()> {
    crate::sink::checked_endpoint(json).map_err(|e| error::exception(py, &e))
}

/// A spec in TOML as JSON with every option; `given`: the options told beside it, which win.
#[pyfunction]
#[pyo3(signature = (text, given, /))]
pub(super) fn spec_from_toml(py: Python<'_>, text: &str, given: Vec<String>) -> PyResult<String> {
    Spec::from_toml_under(text, &given)
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

/// A text with URLs in it as it may be seen: passwords hidden unless they are references.
#[pyfunction]
pub(super) fn redacted(text: &str) -> String {
    crate::secret::redacted(text)
}

/// One URL as it may be seen.
#[pyfunction]
pub(super) fn masked(url: &str) -> String {
    crate::secret::masked(url)
}

/// A small text file, whole.
#[pyfunction]
pub(super) fn read_text(py: Python<'_>, path: &str) -> PyResult<String> {
    let read: Result<String> =
        std::fs::read_to_string(path).map_err(|e| crate::input::read_error(path, e));
    read.map_err(|e| error::exception(py, &e))
}
