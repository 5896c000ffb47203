//! Melt: records with several values of one measure become rows with one value each.
//!
//! A piece is decoded as the file has it, a column a field, and melted as a whole: record by record,
//! the values in the order of their fields. Wide files repeat the time; lines of a day go on by
//! a step from the day's first instant, and end where the next day begins.

use super::decode::{Bad, Building, Values, Why};
use super::header;
use crate::schema::{Column, Melt, Schema, plain_name};
use crate::time::{DAY, Local, Zone};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How the records of one file are melted.
#[derive(Clone, Debug)]
pub(crate) struct Melting {
    /// The columns of the rows that come out.
    pub long: SchemaRef,
    /// The first value among the outputs of a record; the others follow it.
    pub first: usize,
    /// Values of a record.
    pub values: usize,
    pub into: Into,
}

/// What tells the values of a record apart.
#[derive(Clone, Debug)]
pub(crate) enum Into {
    /// Names of the sensors.
    Sensors(ArrayRef),
    /// Steps of the day, whose first instant stands in this output.
    Steps {
        step: i64,
        day: usize,
        zone: Option<Zone>,
    },
}

/// The schema of the file's own columns: those declared, then one for each value.
pub(crate) fn spread(schema: &Schema, melt: &Melt, head: &[u8]) -> Result<(Schema, Vec<String>)> {
    let mut wide = Schema {
        melt: None,
        ..schema.clone()
    };
    let found = header::find(&wide, head)?;
    let taken: Vec<usize> = found.at.iter().flatten().copied().collect();
    let free = |at: &usize| !taken.contains(at) && !found.fields[*at].is_empty();
    let named: Vec<String> = match melt.columns.as_slice() {
        [] => (0..found.fields.len())
            .filter(free)
            .map(|at| found.fields[at].to_string())
            .collect(),
        told => told.to_vec(),
    };
    different(&named)?;
    for name in &named {
        wide.columns.push(Column {
            name: name.clone(),
            names: Vec::new(),
            ..(*melt.value).clone()
        });
    }
    Ok((wide, named))
}

fn different(names: &[String]) -> Result<()> {
    let mut seen = BTreeSet::new();
    let doubled = names.iter().find(|n| !seen.insert(plain_name(n)));
    let message = match doubled {
        Some(name) => format!(
            "two columns to melt are named {name:?} (names are compared without case, spaces and underscores); name those to take under melt.columns"
        ),
        None if names.is_empty() => {
            "no column is left to melt: all that have a name are declared; check the schema".into()
        }
        None => return Ok(()),
    };
    Err(Error::new(Kind::Schema, message))
}

/// The names of sensors as the values of a dictionary.
pub(crate) fn sensors(names: &[String]) -> Into {
    Into::Sensors(Arc::new(StringArray::from_iter_values(names)))
}

impl Melting {
    /// Values that stand behind the end of their day, in the rows from `base` on: they are faults.
    pub(crate) fn beyond(
        &self,
        columns: &[Building],
        base: usize,
        field: impl Fn(usize) -> usize,
        bad: &mut Vec<Bad>,
    ) {
        let Into::Steps { day, .. } = &self.into else {
            return;
        };
        let Some(Values::Long(days)) = columns.get(*day).map(|c| &c.values) else {
            return;
        };
        for (row, start) in days.values().iter().enumerate().skip(base) {
            for value in self.steps(*start)..self.values {
                let at = self.first + value;
                let empty = |c: &Building| c.nulls.binary_search(&(row as u32)).is_ok();
                if columns.get(at).is_some_and(|c| !empty(c)) {
                    bad.push(Bad {
                        row: row - base,
                        field: field(at),
                        reason: Why::Beyond,
                    });
                }
            }
        }
    }

    /// Values that the day that begins at `start` has room for.
    fn steps(&self, start: i64) -> usize {
        match &self.into {
            Into::Sensors(_) => self.values,
            Into::Steps { step, zone, .. } => {
                let length = zone.as_ref().map_or(DAY, |z| next_day(z, start) - start);
                usize::try_from(length / step).map_or(0, |n| n.min(self.values))
            }
        }
    }

    /// The rows of `batch`'s records, and which record each is of.
    pub(crate) fn melt(
        &self,
        batch: &RecordBatch,
        offset: usize,
    ) -> Result<(RecordBatch, Vec<u32>)> {
        let (of, which) = self.places(batch, offset);
        let rows = UInt32Array::from(of.clone());
        let first = offset + self.first;
        let mut columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .take(first)
            .map(|c| take(c, &rows, None).map_err(|e| broken(&e)))
            .collect::<Result<_>>()?;
        match &self.into {
            Into::Sensors(names) => {
                let keys = Int32Array::from_iter_values(which.iter().map(|w| *w as i32));
                let coded = DictionaryArray::try_new(keys, names.clone());
                columns.push(Arc::new(coded.map_err(|e| broken(&e))?));
            }
            Into::Steps { step, day, .. } => {
                let starts = columns[offset + day].as_primitive::<TimestampMicrosecondType>();
                let moved = starts.values().iter().zip(&which);
                let times: Vec<i64> = moved.map(|(t, w)| t + *w as i64 * step).collect();
                let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
                columns[offset + day] = Arc::new(times);
            }
        }
        let values: Vec<&dyn Array> = batch.columns()[first..].iter().map(AsRef::as_ref).collect();
        let picked: Vec<(usize, usize)> = which
            .iter()
            .zip(&of)
            .map(|(w, row)| (*w, *row as usize))
            .collect();
        columns.push(interleave(&values, &picked).map_err(|e| broken(&e))?);
        let long = RecordBatch::try_new(self.long.clone(), columns).map_err(|e| broken(&e))?;
        Ok((long, of))
    }

    /// The record of each row, and which of its values.
    fn places(&self, batch: &RecordBatch, offset: usize) -> (Vec<u32>, Vec<usize>) {
        let days = match &self.into {
            Into::Sensors(_) => None,
            Into::Steps { day, .. } => {
                let column = batch.column(offset + day);
                Some(column.as_primitive::<TimestampMicrosecondType>())
            }
        };
        let (mut of, mut which) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let n = days.map_or(self.values, |d| self.steps(d.value(row)));
            of.extend(std::iter::repeat_n(row as u32, n));
            which.extend(0..n);
        }
        (of, which)
    }
}

/// Where the local day after the one of `start` begins.
fn next_day(zone: &Zone, start: i64) -> i64 {
    let midnight = (zone.to_local(start).div_euclid(DAY) + 1) * DAY;
    match zone.local(midnight) {
        Local::One(utc) | Local::Two(utc, _) => utc,
        // The clock jumps over midnight: the day begins at the jump.
        Local::None { before_offset, .. } => midnight - before_offset,
    }
}

fn broken(error: &arrow_schema::ArrowError) -> Error {
    Error::new(
        Kind::Internal,
        format!("melted values do not fit together ({error}); please report it"),
    )
}
