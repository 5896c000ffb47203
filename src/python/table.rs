//! `Table`: batches in memory, shared with any Arrow library without a copy.

use super::reading::{rejects_table, schema_in};
use super::rows::{rows, values};
use super::schema::Schema;
use super::{arrow, block, error};
use crate::codec::{self, text};
use crate::reject::Reject;
use crate::{Error, Kind, time, window};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList, PyTuple};

/// What a table is made from again: its bytes, its rejects.
type Pickled<'py> = (Bound<'py, PyBytes>, Option<Py<Table>>);

/// Rows in memory; see `wattline.Table`.
#[pyclass(frozen, module = "wattline")]
pub(super) struct Table {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) columns: SchemaRef,
    rejects: Option<Py<Table>>,
}

impl Table {
    /// A table without a declared schema.
    pub(super) fn new(columns: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Table {
            batches,
            columns,
            rejects: None,
        }
    }

    /// The same with the records that could not be read.
    pub(super) fn with_rejects(mut self, py: Python<'_>, rejects: &[Reject]) -> PyResult<Self> {
        self.rejects = Some(Py::new(py, rejects_table(py, rejects)?)?);
        Ok(self)
    }

    fn lacks(&self, py: Python<'_>, name: &str) -> PyErr {
        let there = self.column_names().join(", ");
        let message = format!("the table has no column {name:?}; it has {there}");
        error::exception(py, &Error::new(Kind::Usage, message))
    }

    fn shown(&self, py: Python<'_>, how: &str) -> PyResult<String> {
        py.import("wattline.display")?
            .call_method1(how, (self.preview(py)?,))?
            .extract()
    }

    fn preview<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let rows = text::rows(&self.batches, 8).map_err(|e| error::exception(py, &e))?;
        let facts: Vec<_> = text::facts(&self.columns)
            .into_iter()
            .zip(arrow::null_counts(&self.columns, &self.batches))
            .collect();
        (self.__len__(), facts, rows).into_pyobject(py)
    }
}

/// What `wattline.table` makes of it, by another library.
fn handed_on<'py>(table: &Bound<'py, Table>, how: &str) -> PyResult<Bound<'py, PyAny>> {
    let room = table.py().import("wattline.table")?;
    room.call_method1(how, (table,))
}

#[pymethods]
impl Table {
    #[new]
    #[pyo3(signature = (data, /))]
    fn from_arrow(py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Table> {
        let (columns, batches) = arrow::imported(data)?;
        let batches = block::block(py, move || batches.collect())?;
        Ok(Table::new(columns, batches))
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        arrow::names(&self.columns)
    }

    /// The same, under the name that other libraries have for it.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.column_names()
    }

    /// Rows and columns.
    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.__len__(), self.columns.fields().len())
    }

    /// The first rows.
    #[pyo3(signature = (n=5))]
    fn head(&self, py: Python<'_>, n: i64) -> PyResult<Table> {
        let mut left = usize::try_from(n).map_err(|_| {
            let refused = format!("n: {n} is not a whole number from 0 on");
            error::exception(py, &Error::new(Kind::Usage, refused))
        })?;
        let first = self.batches.iter().map_while(|batch| {
            let some = batch.slice(0, batch.num_rows().min(left));
            left -= some.num_rows();
            (some.num_rows() > 0 || batch.num_rows() == 0).then_some(some)
        });
        Ok(Table::new(self.columns.clone(), first.collect()))
    }

    /// The values of a column.
    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyList>> {
        let one = self.select(py, vec![name.to_string()])?;
        values(py, &one.batches)
    }

    /// The declaration the rows were read by, if any.
    #[getter]
    fn schema(&self) -> Option<Schema> {
        schema_in(&self.columns)
    }

    /// The same rows, only these columns, in this order.
    #[pyo3(signature = (*names))]
    fn select(&self, py: Python<'_>, names: Vec<String>) -> PyResult<Table> {
        let place = |name: &String| {
            self.columns
                .index_of(name)
                .map_err(|_| self.lacks(py, name))
        };
        let places = names.iter().map(place).collect::<PyResult<Vec<_>>>()?;
        let unfit = |e| {
            error::exception(
                py,
                &Error::new(Kind::Internal, format!("columns were not taken: {e}")),
            )
        };
        let columns = self.columns.project(&places).map_err(unfit)?;
        let some = self
            .batches
            .iter()
            .map(|b| b.project(&places))
            .collect::<std::result::Result<_, _>>();
        Ok(Table::new(columns.into(), some.map_err(unfit)?))
    }

    /// All rows, one tuple each.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        rows(py, &self.batches)
    }

    /// Records that could not be read.
    #[getter]
    fn rejects(&self, py: Python<'_>) -> Option<Py<Table>> {
        self.rejects.as_ref().map(|r| r.clone_ref(py))
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
        let batches = self.batches.clone().into_iter().map(Ok);
        arrow::stream_capsule(py, &self.columns, Box::new(batches), requested_schema)
    }

    fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        handed_on(slf, "to_arrow")
    }

    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        handed_on(slf, "to_pandas")
    }

    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        handed_on(slf, "to_polars")
    }

    /// Where rows are missing: the first slot (µs UTC) and how many, by sensor and time.
    fn _holes(
        &self,
        py: Python<'_>,
        columns: (String, Vec<String>, Vec<String>),
        step: &str,
    ) -> PyResult<Vec<(i64, u64)>> {
        let (time, sensors, measures) = columns;
        let looked = window::Looked {
            time,
            sensors,
            measures,
        };
        let found = time::duration::parse(step)
            .and_then(|step| window::holes(&self.batches, &looked, step))
            .map_err(|e| error::exception(py, &e))?;
        Ok(found.iter().map(|hole| (hole.first, hole.slots)).collect())
    }

    /// Writes the rows to a file; its ending says how: csv, json, parquet, arrow.
    #[pyo3(signature = (path, /, *, format=None))]
    fn write(
        &self,
        py: Python<'_>,
        path: std::path::PathBuf,
        format: Option<String>,
    ) -> PyResult<()> {
        let (columns, batches) = (self.columns.clone(), self.batches.clone());
        block::block(py, move || {
            codec::write(&path, format.as_deref(), &columns, &batches)
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        self.shown(py, "table_text")
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        self.shown(py, "table_html")
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Pickled<'py>)> {
        let (py, table) = (slf.py(), slf.get());
        let mut bytes = Vec::new();
        codec::arrow::encode(&mut bytes, &table.columns, &table.batches)
            .map_err(|e| error::exception(py, &e))?;
        let parts = (PyBytes::new(py, &bytes), table.rejects(py));
        Ok((slf.get_type().getattr("_from_bytes")?, parts))
    }

    #[staticmethod]
    fn _from_bytes(py: Python<'_>, bytes: &[u8], rejects: Option<Py<Table>>) -> PyResult<Table> {
        let (columns, batches) =
            codec::arrow::decode(bytes).map_err(|e| error::exception(py, &e))?;
        Ok(Table {
            batches,
            columns,
            rejects,
        })
    }
}
