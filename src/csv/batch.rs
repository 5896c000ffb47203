//! Batch: decoded columns to an Arrow record batch.

use super::decode::{Building, Values};
use super::plan::{CsvPlan, What};
use crate::{Error, Kind, Result};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, RecordBatchOptions, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use std::sync::{Arc, Mutex, PoisonError};

/// The column of the constant sensor, that all batches of a read share.
#[derive(Default)]
pub(crate) struct Zeros(Mutex<Option<DictionaryArray<Int32Type>>>);

impl Zeros {
    /// The first `rows` of it; made longer where they are more. All of it was checked once.
    fn sensor(&self, name: &str, rows: usize) -> Result<ArrayRef> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let column = match held.take() {
            Some(column) if column.len() >= rows => column,
            _ => {
                let names: ArrayRef = Arc::new(StringArray::from(vec![name]));
                let keys = Int32Array::from(vec![0i32; rows + rows / 4 + 64]);
                DictionaryArray::try_new(keys, names).map_err(broken)?
            }
        };
        let part = column.slice(0, rows);
        *held = Some(column);
        Ok(Arc::new(part))
    }
}

/// Makes the batch of `columns`, which all have `rows` rows.
pub(crate) fn finish(
    plan: &CsvPlan,
    columns: Vec<Building>,
    rows: usize,
    zeros: &Zeros,
) -> Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 1);
    if let Some(sensor) = &plan.sensor {
        arrays.push(zeros.sensor(sensor, rows)?);
    }
    for (column, output) in columns.into_iter().zip(&plan.outputs) {
        arrays.push(array(column, output.what, rows)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(plan.decoded.clone(), arrays, &options).map_err(broken)
}

fn broken(error: arrow_schema::ArrowError) -> Error {
    Error::new(
        Kind::Internal,
        format!("decoded columns do not fit together ({error}); please report it"),
    )
}

fn array(column: Building, what: What, rows: usize) -> Result<ArrayRef> {
    let nulls = nulls(&column.nulls, rows);
    Ok(match (column.values, what) {
        (Values::Float(v), _) => {
            Arc::new(Float64Array::try_new(v.finish(), nulls).map_err(broken)?)
        }
        (Values::Long(v), What::Integer { .. }) => {
            Arc::new(Int64Array::try_new(v.finish(), nulls).map_err(broken)?)
        }
        (Values::Long(v), What::Time) => {
            Arc::new(Time64MicrosecondArray::try_new(v.finish(), nulls).map_err(broken)?)
        }
        (Values::Long(v), _) => {
            let array = TimestampMicrosecondArray::try_new(v.finish(), nulls).map_err(broken)?;
            Arc::new(array.with_timezone("UTC"))
        }
        (Values::Day(v), _) => Arc::new(Date32Array::try_new(v.finish(), nulls).map_err(broken)?),
        (Values::Flag(v), _) => Arc::new(BooleanArray::new(v.into(), nulls)),
        (Values::Text { ends, bytes }, _) => {
            let offsets = OffsetBuffer::new(ends.finish());
            Arc::new(
                StringArray::try_new(offsets, bytes.finish().into_inner(), nulls)
                    .map_err(broken)?,
            )
        }
    })
}

/// The validity of `rows` rows of which `gone` have no value.
fn nulls(gone: &[u32], rows: usize) -> Option<NullBuffer> {
    if gone.is_empty() {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    for row in gone {
        valid.set_bit(*row as usize, false);
    }
    Some(NullBuffer::new(valid.finish()))
}
