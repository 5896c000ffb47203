//! Arrow times to microseconds: instants where a zone is known, wall clock where not.

use super::canonical::cast;
use super::{ColumnType, Schema};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Schema as ArrowSchema, TimeUnit};

/// Whether the times in these columns carry no zone.
pub(super) fn is_naive(arrow: &ArrowSchema, columns: &[usize]) -> bool {
    match columns {
        [one] => matches!(
            arrow.field(*one).data_type(),
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64
        ),
        _ => true,
    }
}

/// Whether these columns can be a time. Errors: `Schema`, saying what to do.
pub(super) fn check(arrow: &ArrowSchema, columns: &[usize], schema: &Schema) -> Result<()> {
    let kinds: Vec<_> = columns
        .iter()
        .map(|i| arrow.field(*i).data_type())
        .collect();
    let fits = match kinds.as_slice() {
        [DataType::Timestamp(..) | DataType::Date32 | DataType::Date64] => true,
        [number] => {
            number.is_numeric() && epoch_unit(arrow.field(columns[0]).name(), schema).is_some()
        }
        [
            DataType::Date32 | DataType::Date64,
            DataType::Time32(_) | DataType::Time64(_),
        ] => true,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let names: Vec<_> = columns
        .iter()
        .map(|i| arrow.field(*i).name().as_str())
        .collect();
    let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
    Err(Error::new(
        Kind::Schema,
        format!(
            "the time ({}) is {}, not a timestamp; convert it, or declare its type as epoch_seconds or epoch_millis",
            names.join(", "),
            kinds.join(" and ")
        ),
    ))
}

/// Microseconds a unit, where the schema declares the column as a count since 1970.
fn epoch_unit(name: &str, schema: &Schema) -> Option<i64> {
    let column = schema.columns.iter().find(|c| c.name == name)?;
    match column.kind {
        ColumnType::EpochSeconds => Some(1_000_000),
        ColumnType::EpochMillis => Some(1_000),
        _ => None,
    }
}

/// The times of a batch; null where there is none or it is out of range.
pub(super) fn of(batch: &RecordBatch, columns: &[usize], schema: &Schema) -> Result<Int64Array> {
    match columns {
        [date, clock] => joined(batch.column(*date), batch.column(*clock)),
        [one] => single(
            batch.column(*one),
            batch.schema_ref().field(*one).name(),
            schema,
        ),
        _ => Err(Error::new(
            Kind::Internal,
            "a time of no column went past its check",
        )),
    }
}

/// Years 1 to 9999, µs UTC: what dates can be written for.
const CALENDAR: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// The same without times that no calendar of ours holds.
pub(super) fn in_calendar(times: Int64Array) -> Int64Array {
    // One pass without branches first: such times are rare, and null slots may hold any bits.
    let outside = |odd, t| odd | !CALENDAR.contains(t);
    match times.values().iter().fold(false, outside) {
        true => times.unary_opt(|t| Some(t).filter(|t| CALENDAR.contains(t))),
        false => times,
    }
}

fn single(column: &ArrayRef, name: &str, schema: &Schema) -> Result<Int64Array> {
    match column.data_type() {
        DataType::Timestamp(unit, _) => scaled(column, *unit),
        DataType::Date32 | DataType::Date64 => days(column),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let unit = epoch_unit(name, schema).unwrap_or(1) as f64;
            let floats = cast(column, &DataType::Float64, name)?;
            let micros = |v: f64| {
                Some((v * unit).round())
                    .filter(|m| m.abs() < 9.2e18)
                    .map(|m| m as i64)
            };
            Ok(floats.as_primitive::<Float64Type>().unary_opt(micros))
        }
        _ => {
            let unit = epoch_unit(name, schema).unwrap_or(1);
            let whole = cast(column, &DataType::Int64, name)?;
            Ok(whole
                .as_primitive::<Int64Type>()
                .unary_opt(|v| v.checked_mul(unit)))
        }
    }
}

/// A timestamp column of any unit; finer than a microsecond is cut downwards.
fn scaled(column: &ArrayRef, unit: TimeUnit) -> Result<Int64Array> {
    let raw = raw(column)?;
    Ok(match unit {
        TimeUnit::Microsecond => raw,
        TimeUnit::Nanosecond => raw.unary(|v| v.div_euclid(1_000)),
        TimeUnit::Millisecond => raw.unary_opt(|v| v.checked_mul(1_000)),
        TimeUnit::Second => raw.unary_opt(|v| v.checked_mul(1_000_000)),
    })
}

/// The same bytes as integers.
fn raw(column: &ArrayRef) -> Result<Int64Array> {
    let data = column
        .to_data()
        .into_builder()
        .data_type(DataType::Int64)
        .build();
    data.map(Int64Array::from).map_err(super::canonical::arrow)
}

fn days(column: &ArrayRef) -> Result<Int64Array> {
    let days = cast(column, &DataType::Date32, "date")?;
    let days = cast(&days, &DataType::Int32, "date")?;
    let days = cast(&days, &DataType::Int64, "date")?;
    Ok(days
        .as_primitive::<Int64Type>()
        .unary(|d: i64| d * 86_400_000_000))
}

fn joined(date: &ArrayRef, clock: &ArrayRef) -> Result<Int64Array> {
    let date = days(date)?;
    let clock = cast(
        clock,
        &DataType::Time64(TimeUnit::Microsecond),
        "time of day",
    )?;
    let clock = raw(&clock)?;
    let sum = |(d, c): (Option<i64>, Option<i64>)| d.zip(c).and_then(|(d, c)| d.checked_add(c));
    Ok(date.iter().zip(clock.iter()).map(sum).collect())
}
