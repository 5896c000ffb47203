//! The columns of a batch in the few forms that stores take, in the order of a mapping.

use super::instant::IsoText;
use super::mapping::{Mapping, Ours};
use super::{What, rows};
use crate::schema::is_attribute;
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, Field, TimeUnit};

/// A column in the form it is written in.
pub(super) enum Cell {
    /// Text, and days as text, `2007-01-31`.
    Text(StringArray),
    /// Whole numbers.
    Integer(Int64Array),
    /// Decimal numbers.
    Real(Float64Array),
    /// Yes or no.
    Flag(BooleanArray),
    /// Instants, and a formatter where they are written as text.
    Time(TimestampMicrosecondArray, IsoText),
    /// The row's UUID.
    Id,
}

/// The columns of a batch as a mapping names them.
pub(super) struct Cells {
    /// One a column of theirs.
    pub columns: Vec<Cell>,
    /// What the rows' UUIDs are made of.
    pub identity: Identity,
}

/// The columns that name a row of ours.
pub(super) struct Identity(Vec<Cell>);

impl Cells {
    /// The cells of `batch`.
    pub fn of(mapping: &Mapping, what: What, batch: &RecordBatch) -> Result<Cells> {
        let one = |(_, ours): &(String, Ours)| match ours {
            Ours::Id => Ok(Cell::Id),
            Ours::Column(i) => of_ours(batch, mapping.schema.field(*i)),
        };
        let columns = mapping.columns.iter().map(one).collect::<Result<_>>()?;
        let key = rows::natural_key(what, &mapping.schema);
        let wanted = mapping.columns.iter().any(|(_, o)| *o == Ours::Id);
        let parts = key
            .iter()
            .filter(|k| wanted && mapping.schema.index_of(k).is_ok());
        let parts = parts.map(|k| named(batch, k)).collect::<Result<_>>()?;
        Ok(Cells {
            columns,
            identity: Identity(parts),
        })
    }
}

/// Window rows sorted by their key touch each page of the table once. Readings keep their
/// order where the first or last by position counts.
pub(super) fn in_key_order(
    mapping: &Mapping,
    what: What,
    batch: &RecordBatch,
) -> Result<RecordBatch> {
    if mapping.same_time.is_some() || what == What::Rejects {
        return Ok(batch.clone());
    }
    rows::sorted_by(batch, &rows::natural_key(what, &mapping.schema))
}

/// A column of ours. A flush that was decided before a sink asked for an attribute has none of it.
fn of_ours(batch: &RecordBatch, field: &Field) -> Result<Cell> {
    match batch.column_by_name(field.name()) {
        None if is_attribute(field) => cell(&new_null_array(field.data_type(), batch.num_rows())),
        _ => named(batch, field.name()),
    }
}

fn named(batch: &RecordBatch, name: &str) -> Result<Cell> {
    let column = batch.column_by_name(name).ok_or_else(|| {
        Error::new(
            Kind::Internal,
            format!("a flush came without the column {name}"),
        )
    })?;
    cell(column)
}

fn cell(column: &ArrayRef) -> Result<Cell> {
    let as_type = |kind: &DataType| {
        arrow_cast::cast(column, kind).map_err(|e| {
            Error::new(Kind::Internal, "a column has a type no table holds").because(e)
        })
    };
    Ok(match column.data_type() {
        DataType::Boolean => Cell::Flag(column.as_boolean().clone()),
        DataType::Float64 | DataType::Float32 => Cell::Real(
            as_type(&DataType::Float64)?
                .as_primitive::<Float64Type>()
                .clone(),
        ),
        DataType::Timestamp(_, zone) => {
            let micros = as_type(&DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
            Cell::Time(micros, IsoText::new())
        }
        k if k.is_integer() => Cell::Integer(
            as_type(&DataType::Int64)?
                .as_primitive::<Int64Type>()
                .clone(),
        ),
        _ => Cell::Text(as_type(&DataType::Utf8)?.as_string::<i32>().clone()),
    })
}

impl Cell {
    /// Whether the row has no value here.
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Cell::Text(a) => a.is_null(row),
            Cell::Integer(a) => a.is_null(row),
            Cell::Real(a) => a.is_null(row),
            Cell::Flag(a) => a.is_null(row),
            Cell::Time(a, _) => a.is_null(row),
            Cell::Id => false,
        }
    }
}

impl Identity {
    /// The UUID of a row: text as it is, numbers and instants as eight bytes.
    pub fn bytes(&self, row: usize) -> [u8; 16] {
        let mut numbers = [[0u8; 8]; 4];
        for (cell, number) in self.0.iter().zip(&mut numbers) {
            *number = match cell {
                Cell::Integer(a) => a.value(row).to_le_bytes(),
                Cell::Time(a, _) => a.value(row).to_le_bytes(),
                _ => continue,
            };
        }
        let mut parts: [&[u8]; 4] = [&[]; 4];
        for ((cell, number), part) in self.0.iter().zip(&numbers).zip(&mut parts) {
            *part = match cell {
                Cell::Text(a) => a.value(row).as_bytes(),
                _ => number,
            };
        }
        uuid(&parts[..self.0.len().min(4)])
    }

    /// The UUID of a row as text.
    pub fn text(&self, row: usize) -> String {
        let mut out = String::with_capacity(36);
        for (i, byte) in self.bytes(row).into_iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out.push('-');
            }
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        out
    }
}

/// A UUID from the parts of a row's key.
fn uuid(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("wattline 2026 id of a row v1");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}
