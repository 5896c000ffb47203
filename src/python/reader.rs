//! `Reader`: batches that come once, read piece by piece.

use super::reading::{rejects_table, schema_in};
use super::schema::Schema;
use super::table::Table;
use super::{arrow, block, error};
use crate::csv::Scan;
use crate::reject::Reject;
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows that come piece by piece, from wherever.
pub(super) trait Pieces: Send {
    /// The next piece that holds rows; `None` at the end.
    fn piece(&mut self) -> Result<Option<RecordBatch>>;
    /// What could not be read so far; nothing is given twice.
    fn take_rejects(&mut self) -> Vec<Reject>;
}

impl Pieces for Scan {
    fn piece(&mut self) -> Result<Option<RecordBatch>> {
        Scan::piece(self)
    }

    fn take_rejects(&mut self) -> Vec<Reject> {
        Scan::take_rejects(self)
    }
}

/// Shared by a reader and what iterates over it.
type Shared = Arc<Mutex<dyn Pieces>>;

/// Batches that come once; see `wattline.Reader`.
#[pyclass(frozen, module = "wattline")]
pub(super) struct Reader {
    columns: SchemaRef,
    scan: Shared,
    used: Mutex<bool>,
    owner: u32,
}

impl Reader {
    /// A reader of `pieces`.
    pub(super) fn of(columns: SchemaRef, pieces: impl Pieces + 'static) -> Reader {
        Reader {
            columns,
            scan: Arc::new(Mutex::new(pieces)),
            used: Mutex::new(false),
            owner: std::process::id(),
        }
    }

    /// Takes the one use; the second is refused.
    fn take(&self, py: Python<'_>) -> PyResult<()> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = if self.owner != std::process::id() {
            "this reader was opened in another process; open it again in this one"
        } else if std::mem::replace(&mut *used, true) {
            "this reader gives its rows once and has been used; open it again, or read a Table"
        } else {
            return Ok(());
        };
        Err(error::exception(py, &Error::new(Kind::Usage, refused)))
    }

    /// Its columns and batches, for another part of the house.
    pub(super) fn handed(&self, py: Python<'_>) -> PyResult<(SchemaRef, arrow::Batches)> {
        self.take(py)?;
        let scan = self.scan.clone();
        Ok((
            self.columns.clone(),
            Box::new(std::iter::from_fn(move || next_of(&scan).transpose())),
        ))
    }
}

fn next_of(scan: &Mutex<dyn Pieces>) -> Result<Option<RecordBatch>> {
    held(scan).piece()
}

fn held<'a>(scan: &'a Mutex<dyn Pieces + 'static>) -> MutexGuard<'a, dyn Pieces + 'static> {
    scan.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl Reader {
    fn __iter__(slf: PyRef<'_, Self>) -> PyResult<Batches> {
        slf.take(slf.py())?;
        Ok(Batches {
            scan: slf.scan.clone(),
            columns: slf.columns.clone(),
            owner: slf.owner,
        })
    }

    /// Names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        arrow::names(&self.columns)
    }

    /// The declaration the rows are read by.
    #[getter]
    fn schema(&self) -> Option<Schema> {
        schema_in(&self.columns)
    }

    /// Records that could not be read, as far as the reading has come; each is given once.
    fn take_rejects(&self, py: Python<'_>) -> PyResult<Table> {
        let scan = self.scan.clone();
        let rejects = block::block(py, move || Ok(held(&scan).take_rejects()))?;
        rejects_table(py, &rejects)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema_capsule(py, &self.columns)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let (columns, batches) = self.handed(py)?;
        arrow::stream_capsule(py, &columns, batches, requested_schema)
    }

    fn __repr__(&self) -> String {
        format!(
            "Reader of {} (gives its rows once)",
            self.column_names().join(", ")
        )
    }
}

/// The batches of a reader, one `Table` each.
#[pyclass(frozen, module = "wattline._native")]
pub(super) struct Batches {
    scan: Shared,
    columns: SchemaRef,
    owner: u32,
}

#[pymethods]
impl Batches {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Table>> {
        block::same_process(py, self.owner, "this reader")?;
        let scan = self.scan.clone();
        let batch = block::block(py, move || next_of(&scan))?;
        Ok(batch.map(|b| Table::new(self.columns.clone(), vec![b])))
    }
}
