//! `Schema`: a declaration, and what sniffing found.

use super::error;
use crate::csv::{Evidence, Sniffed};
use crate::pipeline::schema_file;
use crate::schema;
use crate::{Error, Kind, Result};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;

/// What the columns of a dataset are; see `wattline.Schema`.
#[pyclass(frozen, module = "wattline")]
#[derive(Clone)]
pub(super) struct Schema {
    pub(super) inner: Arc<schema::Schema>,
    evidence: Vec<Evidence>,
    unknown: Vec<String>,
}

impl Schema {
    /// A declaration without evidence.
    pub(super) fn declared(schema: schema::Schema) -> Self {
        Schema {
            inner: Arc::new(schema),
            evidence: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// What sniffing found.
    pub(super) fn sniffed(found: Sniffed) -> Self {
        Schema {
            inner: Arc::new(found.schema),
            evidence: found.evidence,
            unknown: found.unknown,
        }
    }

    fn json(&self, py: Python<'_>) -> PyResult<String> {
        let failed = |e: serde_json::Error| {
            Error::new(
                Kind::Internal,
                format!("a schema could not be written: {e}"),
            )
        };
        serde_json::to_string(&*self.inner).map_err(|e| error::exception(py, &failed(e)))
    }

    fn shown(&self, py: Python<'_>, how: &str) -> PyResult<String> {
        let evidence: Vec<_> = self
            .evidence
            .iter()
            .map(|e| (&e.what, &e.value, &e.why))
            .collect();
        let told = (self.json(py)?, evidence, &self.unknown);
        py.import("wattline.schema")?
            .call_method1(how, told)?
            .extract()
    }
}

/// Python's keyword arguments as JSON.
pub(super) fn json_of(py: Python<'_>, told: Option<&Bound<'_, PyDict>>) -> PyResult<String> {
    match told {
        Some(told) => py.import("json")?.call_method1("dumps", (told,))?.extract(),
        None => Ok("{}".into()),
    }
}

fn checked(py: Python<'_>, made: Result<schema::Schema>) -> PyResult<Schema> {
    made.map(Schema::declared)
        .map_err(|e| error::exception(py, &e))
}

#[pymethods]
impl Schema {
    #[new]
    #[pyo3(signature = (**declaration))]
    fn new(py: Python<'_>, declaration: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        checked(py, schema::Schema::from_json(&json_of(py, declaration)?))
    }

    #[staticmethod]
    fn _from_json(py: Python<'_>, text: &str) -> PyResult<Self> {
        checked(py, schema::Schema::from_json(text))
    }

    #[staticmethod]
    fn preset(py: Python<'_>, name: &str) -> PyResult<Self> {
        checked(py, schema::preset(name))
    }

    #[staticmethod]
    fn from_toml(py: Python<'_>, source: &str) -> PyResult<Self> {
        let named = !source.contains('\n') && source.ends_with(".toml");
        checked(
            py,
            if named {
                schema_file(source)
            } else {
                schema::Schema::from_toml(source)
            },
        )
    }

    fn to_toml(&self, py: Python<'_>) -> PyResult<String> {
        self.inner.to_toml().map_err(|e| error::exception(py, &e))
    }

    fn _json(&self, py: Python<'_>) -> PyResult<String> {
        self.json(py)
    }

    #[pyo3(signature = (**changes))]
    fn replace(&self, py: Python<'_>, changes: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        checked(py, self.inner.replaced(&json_of(py, changes)?))
    }

    /// Name, type, role, unit and more of each column, by name.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("wattline.schema")?
            .call_method1("columns", (self.json(py)?,))
    }

    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    #[getter]
    fn tz(&self) -> Option<&str> {
        self.inner.tz.as_deref()
    }

    /// What sniffing found (what, value, why) and what it could not know.
    fn _found(&self) -> (Vec<(&str, &str, &str)>, &[String]) {
        let evidence = self.evidence.iter();
        let told = evidence.map(|e| (e.what.as_str(), e.value.as_str(), e.why.as_str()));
        (told.collect(), &self.unknown)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Schema>()
            .is_ok_and(|other| other.get().inner == self.inner)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        pyo3::types::PyString::new(py, &self.json(py)?).hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        self.shown(py, "text")
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        self.shown(py, "html")
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let json = slf.get().json(slf.py())?;
        Ok((
            slf.get_type().getattr("_from_json")?,
            (json,).into_pyobject(slf.py())?,
        ))
    }
}
