//! What a store holds, read back.

use super::state::state_json;
use super::table::Table;
use super::{block, error};
use crate::sink::{self, Noted, SinkSpec, Stored, Wanted};
use crate::{Error, Kind, Result, pipeline};
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A store that is read; nothing is opened before it is asked.
#[pyclass(frozen, module = "wattline._native", name = "Stored")]
pub(super) struct PyStored {
    spec: SinkSpec,
    opened: Arc<Mutex<Option<Box<dyn Stored>>>>,
}

impl PyStored {
    fn ask<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut dyn Stored) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let (spec, opened) = (self.spec.clone(), self.opened.clone());
        block::block(py, move || {
            let mut slot = opened.lock().unwrap_or_else(PoisonError::into_inner);
            let store = match slot.as_mut() {
                Some(store) => store,
                None => slot.insert(sink::open_stored(&spec)?),
            };
            work(store.as_mut())
        })
    }
}

#[pymethods]
impl PyStored {
    #[new]
    fn new(py: Python<'_>, sink: &str) -> PyResult<PyStored> {
        let spec = serde_json::from_str(sink).map_err(|e| {
            let message = format!("this is no sink: {e}");
            error::exception(py, &Error::new(Kind::Usage, message))
        })?;
        Ok(PyStored {
            spec,
            opened: Arc::default(),
        })
    }

    /// Where it is, secrets hidden.
    fn place(&self) -> String {
        self.spec.endpoint.to_string()
    }

    /// Name, kind, pipeline and zone of each table.
    fn tables(&self, py: Python<'_>) -> PyResult<Vec<(String, String, String, String)>> {
        let noted = self.ask(py, |store| store.tables())?;
        let plain = |n: Noted| (n.name, n.what, n.pipeline, n.tz);
        Ok(noted.into_iter().map(plain).collect())
    }

    /// Names of a table's columns.
    fn columns(&self, py: Python<'_>, table: String) -> PyResult<Vec<String>> {
        self.ask(py, move |store| store.columns(&table))
    }

    /// Rows by grain, which is in this column.
    fn counts(
        &self,
        py: Python<'_>,
        table: String,
        grain: String,
    ) -> PyResult<BTreeMap<String, u64>> {
        self.ask(py, move |store| store.counts(&table, &grain))
    }

    /// Rows: of these columns (theirs and ours), of one grain (its column and name), at most so many.
    fn rows(
        &self,
        py: Python<'_>,
        table: String,
        columns: Vec<(String, String)>,
        grain: Option<(String, String)>,
        most: Option<usize>,
    ) -> PyResult<Table> {
        let wanted = Wanted {
            table,
            columns,
            grain,
            most,
        };
        let schema = sink::stored_schema(&wanted);
        let batches = self.ask(py, move |store| {
            let mut batches = Vec::new();
            store.rows(&wanted, &mut |rows| {
                batches.push(rows);
                Ok(())
            })?;
            Ok(batches)
        })?;
        Ok(Table::new(schema, batches))
    }

    /// What it holds of a pipeline whose home is a table of it: state and definition, JSON.
    fn state(
        &self,
        py: Python<'_>,
        table: String,
        pipeline: String,
    ) -> PyResult<Option<(String, String)>> {
        let mut spec = self.spec.clone();
        spec.table = Some(table).filter(|name| !name.is_empty());
        block::block(py, move || {
            let held = pipeline::stored_state(&spec, &pipeline)?;
            Ok(held.map(|state| {
                let defined = state.heads.first().map(|h| h.spec_json.clone());
                (state_json(&state).to_string(), defined.unwrap_or_default())
            }))
        })
    }
}
