//! Arrow columns as CQL cells. Pure: what does not fit is an error here, before anything is sent.

use super::describe::Cql;
use crate::sink::cells::{Cell, Identity};
use crate::sink::instant::IsoText;
use crate::{Error, Kind, Result};
use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::NullBuffer;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;

/// A column in the form it is sent in.
pub(super) enum Cells {
    /// Eight bytes a value.
    Eight(Vec<[u8; 8]>, Option<NullBuffer>),
    /// Four bytes a value.
    Four(Vec<[u8; 4]>, Option<NullBuffer>),
    /// Two bytes a value.
    Two(Vec<[u8; 2]>, Option<NullBuffer>),
    /// One byte a value.
    One(Vec<[u8; 1]>, Option<NullBuffer>),
    /// Text.
    Text(StringArray),
    /// UUIDs.
    Uuid(Vec<[u8; 16]>),
}

/// The rows of a batch, ready to be sent.
pub(super) struct Encoded {
    pub columns: Vec<Cells>,
    pub rows: usize,
    /// Time stamp of the writer, µs.
    pub stamp: i64,
    /// A null leaves the column untouched; else it is written, so that an older value does not show through.
    pub unset: bool,
}

/// One row of them, as the driver takes it: the columns, then the time stamp.
pub(super) struct Row<'a> {
    pub of: &'a Encoded,
    pub at: usize,
}

impl SerializeRow for Row<'_> {
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> std::result::Result<(), SerializationError> {
        for column in &self.of.columns {
            let cell = writer.make_cell_writer();
            match column.value(self.at) {
                Some(bytes) => cell
                    .set_value(bytes)
                    .map_err(SerializationError::new)
                    .map(|_| ())?,
                None if self.of.unset => drop(cell.set_unset()),
                None => drop(cell.set_null()),
            }
        }
        let stamp = writer
            .make_cell_writer()
            .set_value(&self.of.stamp.to_be_bytes());
        stamp.map(|_| ()).map_err(SerializationError::new)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl Cells {
    /// The bytes of a value, or `None` for null.
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        fn at<'a, const N: usize>(
            values: &'a [[u8; N]],
            nulls: &Option<NullBuffer>,
            row: usize,
        ) -> Option<&'a [u8]> {
            let valid = nulls.as_ref().is_none_or(|n| n.is_valid(row));
            values.get(row).filter(|_| valid).map(|v| v.as_slice())
        }
        match self {
            Cells::Eight(values, nulls) => at(values, nulls, row),
            Cells::Four(values, nulls) => at(values, nulls, row),
            Cells::Two(values, nulls) => at(values, nulls, row),
            Cells::One(values, nulls) => at(values, nulls, row),
            Cells::Text(texts) => texts.is_valid(row).then(|| texts.value(row).as_bytes()),
            Cells::Uuid(values) => values.get(row).map(|v| v.as_slice()),
        }
    }

    /// These rows alone.
    pub fn only(&self, rows: &[usize]) -> Cells {
        fn pick<const N: usize>(values: &[[u8; N]], rows: &[usize]) -> Vec<[u8; N]> {
            rows.iter()
                .filter_map(|r| values.get(*r).copied())
                .collect()
        }
        let nulls = |nulls: &Option<NullBuffer>| {
            let kept = nulls.as_ref()?;
            Some(rows.iter().map(|r| kept.is_valid(*r)).collect())
        };
        match self {
            Cells::Eight(v, n) => Cells::Eight(pick(v, rows), nulls(n)),
            Cells::Four(v, n) => Cells::Four(pick(v, rows), nulls(n)),
            Cells::Two(v, n) => Cells::Two(pick(v, rows), nulls(n)),
            Cells::One(v, n) => Cells::One(pick(v, rows), nulls(n)),
            Cells::Text(texts) => {
                let one = |r: &usize| texts.is_valid(*r).then(|| texts.value(*r));
                Cells::Text(rows.iter().map(one).collect())
            }
            Cells::Uuid(v) => Cells::Uuid(pick(v, rows)),
        }
    }

    /// A column of ours as the CQL type of theirs. Errors: `Schema` for a value that would change.
    pub fn of(name: &str, cell: &Cell, cql: Cql) -> Result<Cells> {
        match cell {
            Cell::Flag(column) => Ok(flags(column)),
            Cell::Real(column) => reals(name, column, cql),
            Cell::Time(column, _) => times(name, column, cql),
            Cell::Integer(column) => integers(name, column, cql),
            Cell::Text(column) if cql == Cql::Date => Ok(days(column)),
            Cell::Text(column) => Ok(Cells::Text(column.clone())),
            Cell::Id => Err(Error::new(Kind::Internal, "a UUID was asked of a column")),
        }
    }
}

fn changed(name: &str, value: &dyn std::fmt::Display, why: &str) -> Error {
    let message = format!(
        "column {name:?} of a Cassandra table would change {value}: {why}; nothing of this flush was shown"
    );
    Error::new(Kind::Schema, message)
}

fn flags(column: &BooleanArray) -> Cells {
    let values = (0..column.len())
        .map(|i| [u8::from(column.value(i))])
        .collect();
    Cells::One(values, column.nulls().cloned())
}

fn reals(name: &str, column: &Float64Array, cql: Cql) -> Result<Cells> {
    let nulls = column.nulls().cloned();
    if cql == Cql::Double {
        let values = column.values().iter().map(|v| v.to_be_bytes()).collect();
        return Ok(Cells::Eight(values, nulls));
    }
    let single = |i: usize| {
        let (value, float) = (column.value(i), column.value(i) as f32);
        // A float that prints the same digits shows the same value to whoever reads the table.
        match column.is_null(i)
            || f64::from(float) == value
            || float.to_string() == value.to_string()
        {
            true => Ok(float.to_be_bytes()),
            false => Err(changed(
                name,
                &value,
                "a float has seven digits; declare it double",
            )),
        }
    };
    Ok(Cells::Four(
        (0..column.len()).map(single).collect::<Result<_>>()?,
        nulls,
    ))
}

fn integers(name: &str, column: &Int64Array, cql: Cql) -> Result<Cells> {
    let nulls = column.nulls().cloned();
    let all = || {
        (0..column.len()).map(|i| {
            if column.is_null(i) {
                0
            } else {
                column.value(i)
            }
        })
    };
    let small = |v: i64| changed(name, &v, "it does not fit; declare it bigint");
    Ok(match cql {
        Cql::Double => {
            let values = all().map(|v| match (v as f64) as i64 == v {
                true => Ok((v as f64).to_be_bytes()),
                false => Err(changed(
                    name,
                    &v,
                    "a double has 15 digits; declare it bigint",
                )),
            });
            Cells::Eight(values.collect::<Result<_>>()?, nulls)
        }
        Cql::Int => {
            let values =
                all().map(|v| i32::try_from(v).map(i32::to_be_bytes).map_err(|_| small(v)));
            Cells::Four(values.collect::<Result<_>>()?, nulls)
        }
        Cql::SmallInt => {
            let values =
                all().map(|v| i16::try_from(v).map(i16::to_be_bytes).map_err(|_| small(v)));
            Cells::Two(values.collect::<Result<_>>()?, nulls)
        }
        Cql::TinyInt => {
            let values = all().map(|v| i8::try_from(v).map(i8::to_be_bytes).map_err(|_| small(v)));
            Cells::One(values.collect::<Result<_>>()?, nulls)
        }
        _ => Cells::Eight(all().map(i64::to_be_bytes).collect(), nulls),
    })
}

fn times(name: &str, column: &TimestampMicrosecondArray, cql: Cql) -> Result<Cells> {
    let nulls = column.nulls().cloned();
    match cql {
        Cql::Text => {
            let mut iso = IsoText::new();
            let texts: StringArray = column
                .iter()
                .map(|v| v.map(|v| iso.text(v).to_owned()))
                .collect();
            Ok(Cells::Text(texts))
        }
        Cql::Timestamp => {
            let milli = |i: usize| match column.is_null(i) || column.value(i) % 1000 == 0 {
                true => Ok(column.value(i).div_euclid(1000).to_be_bytes()),
                false => {
                    let text = IsoText::new().text(column.value(i)).to_owned();
                    Err(changed(
                        name,
                        &text,
                        "a timestamp has milliseconds; declare it bigint for microseconds",
                    ))
                }
            };
            Ok(Cells::Eight(
                (0..column.len()).map(milli).collect::<Result<_>>()?,
                nulls,
            ))
        }
        _ => Ok(Cells::Eight(
            column.values().iter().map(|v| v.to_be_bytes()).collect(),
            nulls,
        )),
    }
}

/// Days as text, `2007-01-31`, as days.
fn days(column: &StringArray) -> Cells {
    let day = |text: &str| {
        text.parse::<chrono::NaiveDate>()
            .map_or(0, |d| d.to_epoch_days())
    };
    // CQL counts days from -5877641-06-23: 1970-01-01 is 2^31.
    let cell = |i: usize| {
        if column.is_null(i) {
            0
        } else {
            day(column.value(i))
        }
    };
    let values = (0..column.len()).map(|i| ((cell(i) as u32) ^ 0x8000_0000).to_be_bytes());
    Cells::Four(values.collect(), column.nulls().cloned())
}

/// The UUID of each row.
pub(super) fn ids(identity: &Identity, rows: usize, cql: Cql) -> Cells {
    match cql {
        Cql::Text => Cells::Text(StringArray::from_iter_values(
            (0..rows).map(|row| identity.text(row)),
        )),
        _ => Cells::Uuid((0..rows).map(|row| identity.bytes(row)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(cell: Cell, cql: Cql) -> bool {
        matches!(Cells::of("c", &cell, cql), Err(e) if e.kind == Kind::Schema)
    }

    fn instants(values: Vec<i64>) -> Cell {
        Cell::Time(TimestampMicrosecondArray::from(values), IsoText::new())
    }

    #[test]
    fn values_that_would_change_are_refused() {
        let exact = Cell::Real(Float64Array::from(vec![Some(1.234), None, Some(243.16)]));
        let cells = Cells::of("c", &exact, Cql::Float).unwrap();
        assert_eq!(cells.value(0), Some(&1.234f32.to_be_bytes()[..]));
        assert_eq!(cells.value(1), None);
        assert!(refused(
            Cell::Real(Float64Array::from(vec![1.23456789012])),
            Cql::Float
        ));
        assert!(refused(
            Cell::Integer(Int64Array::from(vec![1 << 40])),
            Cql::Int
        ));
        assert!(refused(
            Cell::Integer(Int64Array::from(vec![(1 << 53) + 1])),
            Cql::Double
        ));
        assert!(refused(instants(vec![1_001]), Cql::Timestamp));
        let micros = Cells::of("c", &instants(vec![1_001]), Cql::BigInt).unwrap();
        assert_eq!(micros.value(0), Some(&1_001i64.to_be_bytes()[..]));
    }

    #[test]
    fn instants_before_1970_and_days_keep_their_order() {
        let early = Cells::of("c", &instants(vec![-1_000]), Cql::Timestamp).unwrap();
        assert_eq!(early.value(0), Some(&(-1i64).to_be_bytes()[..]));
        let days = Cell::Text(StringArray::from(vec!["1970-01-01", "1969-12-31"]));
        let days = Cells::of("c", &days, Cql::Date).unwrap();
        assert_eq!(days.value(0), Some(&0x8000_0000u32.to_be_bytes()[..]));
        assert_eq!(days.value(1), Some(&0x7fff_ffffu32.to_be_bytes()[..]));
    }
}
