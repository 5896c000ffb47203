//! Rows as Python values, for those who have no Arrow library at hand.

use super::error;
use crate::{Error, Kind};
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::{
    date32_to_datetime, time64us_to_time, timestamp_us_to_datetime,
};
use arrow_array::types::{
    Date32Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use std::sync::Arc;

/// All rows, one tuple each: numbers, texts, `datetime` in UTC, `date`, `time`, `None`.
pub(super) fn rows<'py>(py: Python<'py>, batches: &[RecordBatch]) -> PyResult<Bound<'py, PyList>> {
    let out = PyList::empty(py);
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|c| plain(py, c))
            .collect::<PyResult<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns
                .iter()
                .map(|c| cell(py, c, row))
                .collect::<PyResult<Vec<_>>>()?;
            out.append(PyTuple::new(py, cells)?)?;
        }
    }
    Ok(out)
}

/// The values of the first column.
pub(super) fn values<'py>(
    py: Python<'py>,
    batches: &[RecordBatch],
) -> PyResult<Bound<'py, PyList>> {
    let out = PyList::empty(py);
    for column in batches.iter().filter_map(|b| b.columns().first()) {
        let column = plain(py, column)?;
        for row in 0..column.len() {
            out.append(cell(py, &column, row)?)?;
        }
    }
    Ok(out)
}

/// The column in one of the types that [`cell`] knows.
fn plain(py: Python<'_>, column: &ArrayRef) -> PyResult<ArrayRef> {
    let wanted = match column.data_type() {
        DataType::Boolean => DataType::Boolean,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        t if t.is_integer() => DataType::Int64,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) if values.is_string() => DataType::Utf8,
        _ => return texts(column).map_err(|e| unfit(py, &e)),
    };
    arrow_cast::cast(column, &wanted).map_err(|e| unfit(py, &e))
}

/// Anything else as a preview shows it.
fn texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let text = |i| {
        let missing = column.logical_nulls().is_some_and(|n| n.is_null(i));
        (!missing)
            .then(|| array_value_to_string(column, i))
            .transpose()
    };
    let texts: StringArray = (0..column.len()).map(text).collect::<Result<_, _>>()?;
    Ok(Arc::new(texts))
}

fn cell(py: Python<'_>, column: &ArrayRef, row: usize) -> PyResult<Py<PyAny>> {
    if column.is_null(row) {
        return Ok(py.None());
    }
    Ok(match column.data_type() {
        DataType::Boolean => column
            .as_boolean()
            .value(row)
            .into_pyobject(py)?
            .to_owned()
            .into_any()
            .unbind(),
        DataType::Float64 => column
            .as_primitive::<Float64Type>()
            .value(row)
            .into_pyobject(py)?
            .into_any()
            .unbind(),
        DataType::Int64 => column
            .as_primitive::<Int64Type>()
            .value(row)
            .into_pyobject(py)?
            .into_any()
            .unbind(),
        DataType::Date32 => date32_to_datetime(column.as_primitive::<Date32Type>().value(row))
            .map(|d| d.date())
            .into_pyobject(py)?
            .unbind(),
        DataType::Time64(_) => {
            time64us_to_time(column.as_primitive::<Time64MicrosecondType>().value(row))
                .into_pyobject(py)?
                .unbind()
        }
        DataType::Timestamp(_, zone) => {
            let local = timestamp_us_to_datetime(
                column.as_primitive::<TimestampMicrosecondType>().value(row),
            );
            match zone {
                Some(_) => local.map(|l| l.and_utc()).into_pyobject(py)?.unbind(),
                None => local.into_pyobject(py)?.unbind(),
            }
        }
        _ => column
            .as_string::<i32>()
            .value(row)
            .into_pyobject(py)?
            .into_any()
            .unbind(),
    })
}

fn unfit(py: Python<'_>, e: &ArrowError) -> PyErr {
    let message = format!("a column has no Python values: {e}; use to_arrow()");
    error::exception(py, &Error::new(Kind::Usage, message))
}
