//! `read_csv` and `scan_csv`.

use super::schema::{Schema, choice};
use super::table::Table;
use super::{arrow, block, error};
use crate::csv::{Dataset, LocalPolicy, ReadOptions, Scan};
use crate::input;
use crate::reject::{self, OnReject, Reject};
use crate::schema::{self, METADATA_KEY};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A policy by its word.
fn policy<T: serde::de::DeserializeOwned>(
    py: Python<'_>,
    name: &str,
    word: &str,
    words: &str,
) -> PyResult<T> {
    serde_json::from_value(word.into()).map_err(|_| {
        let refused = format!("{name} {word:?} is none; use {words}");
        error::exception(py, &Error::new(Kind::Usage, refused))
    })
}

/// What both functions are told: rejects, their limit, threads, repeated and missing local times.
type Told<'a> = (&'a str, Option<u64>, Option<usize>, &'a str, &'a str);

fn options(py: Python<'_>, told: Told<'_>) -> PyResult<ReadOptions> {
    let (on_reject, max_rejects, threads, on_repeated, on_missing) = told;
    let plain = ReadOptions::default();
    Ok(ReadOptions {
        on_reject: policy(py, "on_reject", on_reject, "raise, collect or skip")?,
        threads,
        max_rejects: max_rejects.unwrap_or(plain.max_rejects),
        local: LocalPolicy {
            on_repeated: policy(
                py,
                "on_repeated",
                on_repeated,
                "raise, infer, earliest, latest or null",
            )?,
            on_missing: policy(py, "on_missing", on_missing, "raise, shift or null")?,
        },
        ..plain
    })
}

fn collecting() -> ReadOptions {
    ReadOptions {
        on_reject: OnReject::Collect,
        ..ReadOptions::default()
    }
}

/// Opens a dataset: what both functions share.
fn opened(
    py: Python<'_>,
    paths: Vec<String>,
    schema: Option<&Bound<'_, PyAny>>,
    columns: Option<Vec<String>>,
    options: ReadOptions,
) -> PyResult<Dataset> {
    let choice = choice(schema)?;
    block::block(py, move || {
        Dataset::open(&paths, choice, columns.as_deref(), options)
    })
}

/// Reads text files whole.
#[pyfunction]
pub(super) fn read_csv(
    py: Python<'_>,
    paths: Vec<String>,
    schema: Option<&Bound<'_, PyAny>>,
    columns: Option<Vec<String>>,
    told: Told<'_>,
) -> PyResult<Table> {
    let dataset = opened(py, paths, schema, columns, options(py, told)?)?;
    let names = dataset.columns();
    let read = block::block(py, move || dataset.read())?;
    let rejects = Py::new(py, rejects_table(py, &read.rejects)?)?;
    Ok(Table::new(names, read.batches).with_rejects(rejects))
}

/// Reads the mended records of a mend file.
#[pyfunction]
pub(super) fn replay(
    py: Python<'_>,
    mended: PathBuf,
    paths: Vec<String>,
    schema: Option<&Bound<'_, PyAny>>,
) -> PyResult<Table> {
    let dataset = opened(py, paths, schema, None, collecting())?;
    let names = dataset.columns();
    let read = block::block(py, move || {
        let name = mended.display().to_string();
        dataset.replay(&std::fs::read(&mended).map_err(|e| input::read_error(&name, e))?)
    })?;
    let rejects = Py::new(py, rejects_table(py, &read.rejects)?)?;
    Ok(Table::new(names, read.batches).with_rejects(rejects))
}

/// Rejects as a table.
pub(super) fn rejects_table(py: Python<'_>, rejects: &[Reject]) -> PyResult<Table> {
    let batch = reject::table(rejects).map_err(|e| {
        error::exception(
            py,
            &Error::new(
                Kind::Internal,
                format!("rejects do not fit their table: {e}"),
            ),
        )
    })?;
    Ok(Table::new(batch.schema(), vec![batch]))
}

/// The schema that a table's metadata hold.
pub(super) fn schema_in(columns: &SchemaRef) -> Option<Schema> {
    let json = columns.metadata().get(METADATA_KEY)?;
    schema::Schema::from_json(json).ok().map(Schema::declared)
}

/// Opens text files to be read piece by piece.
#[pyfunction]
pub(super) fn scan_csv(
    py: Python<'_>,
    paths: Vec<String>,
    schema: Option<&Bound<'_, PyAny>>,
    columns: Option<Vec<String>>,
    told: Told<'_>,
) -> PyResult<Reader> {
    let dataset = opened(py, paths, schema, columns, options(py, told)?)?;
    Ok(Reader::of(dataset.columns(), dataset.scan()))
}

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
    scan.lock().unwrap_or_else(PoisonError::into_inner).piece()
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
        self.columns
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect()
    }

    /// The declaration the rows are read by.
    #[getter]
    fn schema(&self) -> Option<Schema> {
        schema_in(&self.columns)
    }

    /// Records that could not be read, as far as the reading has come; each is given once.
    fn take_rejects(&self, py: Python<'_>) -> PyResult<Table> {
        let scan = self.scan.clone();
        let rejects = block::block(py, move || {
            Ok(scan
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take_rejects())
        })?;
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
