//! Arrow PyCapsules in and out.

use crate::{Error, Kind, Result};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_schema::{ArrowError, Field, SchemaRef};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use pyo3_arrow::ffi::{ArrayIterator, to_schema_pycapsule, to_stream_pycapsule};
use pyo3_arrow::input::AnyRecordBatch;
use std::sync::Arc;

/// A stream of batches that another library handed over, or will take.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The columns as a capsule.
pub(super) fn schema_capsule<'py>(
    py: Python<'py>,
    schema: &SchemaRef,
) -> PyResult<Bound<'py, PyCapsule>> {
    Ok(to_schema_pycapsule(py, schema.as_ref())?)
}

/// Batches as a stream capsule; other libraries pull from it.
pub(super) fn stream_capsule<'py>(
    py: Python<'py>,
    schema: &SchemaRef,
    batches: Batches,
    requested: Option<Bound<'py, PyCapsule>>,
) -> PyResult<Bound<'py, PyCapsule>> {
    let field = Field::new_struct("", schema.fields().clone(), false)
        .with_metadata(schema.metadata().clone());
    let arrays = batches.map(|batch| match batch {
        Ok(batch) => Ok(Arc::new(StructArray::from(batch)) as ArrayRef),
        Err(error) => Err(plain(&error)),
    });
    Ok(to_stream_pycapsule(
        py,
        Box::new(ArrayIterator::new(arrays, field.into())),
        requested,
    )?)
}

/// An error as the stream interface can carry it: text without a zero byte.
fn plain(error: &Error) -> ArrowError {
    ArrowError::ExternalError(error.message.replace('\0', "\u{fffd}").into())
}

/// What another library handed over: its columns and its batches, pulled later.
pub(super) fn imported(data: &Bound<'_, PyAny>) -> PyResult<(SchemaRef, Batches)> {
    let reader = data
        .extract::<AnyRecordBatch>()
        .and_then(AnyRecordBatch::into_reader)
        .map_err(|e| no_table(data, e))?;
    let schema = reader.schema();
    Ok((
        schema,
        Box::new(reader.map(|batch| batch.map_err(|e| broken(&e)))),
    ))
}

/// What has no columns (a series, an array) fails in the words of an interface; ours say what to do.
fn no_table(data: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = data.py();
    let foreign =
        error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyTypeError>(py);
    if !foreign || super::error::is_ours(py, &error) {
        return error;
    }
    let name = data
        .get_type()
        .name()
        .map_or_else(|_| "this".into(), |n| n.to_string());
    let message = format!(
        "{name} is no table with columns; give a table, a data frame or a stream of record batches"
    );
    super::error::exception(py, &Error::new(Kind::Usage, message))
}

/// A stream's failure in its own words, without the lines of code that some libraries add.
fn broken(error: &ArrowError) -> Error {
    let told = error.to_string();
    let told = told
        .rsplit("C Data interface error: ")
        .next()
        .unwrap_or_default();
    let told = told
        .split("Traceback (most recent call last)")
        .next()
        .unwrap_or_default();
    let told = told
        .trim_end()
        .trim_end_matches("Detail: Python exception:")
        .trim_end();
    Error::new(
        Kind::Endpoint,
        format!("the Arrow stream that was handed over failed: {told}; look into what makes it"),
    )
}

/// Names of the columns.
pub(super) fn names(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|f| f.name().clone()).collect()
}

/// Nulls of each column.
pub(super) fn null_counts(schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<usize> {
    let nulls = |i: usize| {
        batches
            .iter()
            .map(|b| b.column(i).logical_null_count())
            .sum()
    };
    (0..schema.fields().len()).map(nulls).collect()
}
