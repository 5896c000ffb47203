//! Which folder a row goes to.
//!
//! One folder a grain, `grain=1h/`, and nothing below it unless asked for: with a folder a date,
//! four years of days and quarter hours are thousands of files of a few rows each, which every reader
//! opens one by one. `partition_by` is for tables large enough to need it. The column `grain` is in the
//! path alone, as Hive has it: a reader that finds it in both must choose.

use super::group::Piece;
use crate::sink::instant::date;
use crate::sink::{PartitionBy, What, rows};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use chrono::{DateTime, Datelike, Offset};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a table is laid out.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub what: What,
    pub by: Option<PartitionBy>,
    pub tz: Tz,
    /// The columns of the table, `grain` among them.
    pub columns: SchemaRef,
}

impl Layout {
    /// The rows by folder, in the order they came, without the columns the path tells.
    pub fn split(&self, grain: &str, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        let folder = match self.what {
            What::Windows => format!("grain={grain}"),
            _ => String::new(),
        };
        let rows = without(batch, if folder.is_empty() { "" } else { "grain" })?;
        let time = match self.what {
            What::Windows => "window_start",
            _ => "time",
        };
        match (self.by, batch.column_by_name(time)) {
            (Some(by), Some(times)) => {
                let times = times.as_primitive_opt::<TimestampMicrosecondType>();
                let times = times.ok_or_else(|| {
                    Error::new(Kind::Internal, format!("{time} is not in microseconds"))
                })?;
                self.by_date(&folder, &rows, times.values(), by)
            }
            _ => Ok(vec![(folder, rows)]),
        }
    }

    fn by_date(
        &self,
        folder: &str,
        rows: &RecordBatch,
        times: &[i64],
        by: PartitionBy,
    ) -> Result<Vec<(String, RecordBatch)>> {
        let mut parts: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (i, time) in times.iter().enumerate() {
            parts
                .entry(self.first_day(*time, by))
                .or_default()
                .push(i as u32);
        }
        let one = |(day, indices): (i64, Vec<u32>)| {
            let name = name(day, by);
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            let taken = arrow_select::take::take_record_batch(rows, &UInt32Array::from(indices));
            let taken = taken.map_err(|e| {
                Error::new(Kind::Internal, "rows cannot be parted by date").because(e)
            })?;
            Ok((path, taken))
        };
        parts.into_iter().map(one).collect()
    }

    /// The first day, since 1970, of the local date, month or year of an instant.
    fn first_day(&self, time: i64, by: PartitionBy) -> i64 {
        let Some(utc) = DateTime::from_timestamp_micros(time) else {
            return time.div_euclid(86_400_000_000);
        };
        let local = utc.with_timezone(&self.tz);
        let seconds =
            time.div_euclid(1_000_000) + i64::from(local.offset().fix().local_minus_utc());
        let day = seconds.div_euclid(86_400);
        match by {
            PartitionBy::Date => day,
            PartitionBy::Month => day - i64::from(local.day0()),
            PartitionBy::Year => day - i64::from(local.ordinal0()),
        }
    }
}

fn name(day: i64, by: PartitionBy) -> String {
    let (year, month, d) = date(day);
    match by {
        PartitionBy::Date => format!("date={year:04}-{month:02}-{d:02}"),
        PartitionBy::Month => format!("month={year:04}-{month:02}"),
        PartitionBy::Year => format!("year={year:04}"),
    }
}

fn without(rows: &RecordBatch, column: &str) -> Result<RecordBatch> {
    let keep: Vec<usize> = (0..rows.num_columns())
        .filter(|i| rows.schema_ref().field(*i).name() != column)
        .collect();
    rows.project(&keep)
        .map_err(|e| Error::new(Kind::Internal, "a column cannot be left out").because(e))
}

/// The sensor of rows that are in the order of time, and the starts of the first and the last window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub sensor: String,
    pub first: i64,
    pub last: i64,
}

/// Whether pieces that follow each other are seen at a glance to be in the order of their file: windows of one sensor.
pub(super) fn in_order(what: What, pieces: &[Piece]) -> bool {
    match what {
        What::Windows => {}
        What::Readings => return false,
        What::Late | What::Rejects => return true,
    }
    let mut before: Option<Span> = None;
    pieces.iter().all(|piece| {
        let next = match piece {
            Piece::Rows(rows) if rows.num_rows() == 0 => return true,
            Piece::Rows(rows) => span(rows),
            Piece::Group(group) => Some(group.span.clone()),
        };
        let follows = match (&before, &next) {
            (Some(a), Some(b)) => a.sensor == b.sensor && a.last <= b.first,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        before = next;
        follows
    })
}

/// `None`: no row, more than one sensor, or not in order.
pub(super) fn span(batch: &RecordBatch) -> Option<Span> {
    let sensors = batch.column_by_name("sensor_id")?;
    let sensors = sensors.as_dictionary_opt::<Int32Type>()?;
    let names = sensors.values().as_string_opt::<i32>()?;
    let (key, rest) = sensors.keys().values().split_first()?;
    let sensor = names.value(*key as usize);
    let starts = batch.column_by_name("window_start")?;
    let starts = starts.as_primitive_opt::<TimestampMicrosecondType>()?;
    let starts = starts.values();
    // Batches that were put together have a name as often as they had it.
    let own = |k: &i32| k == key || names.value(*k as usize) == sensor;
    let one = sensors.null_count() == 0 && starts.is_sorted() && rest.iter().all(own);
    one.then(|| Span {
        sensor: sensor.to_owned(),
        first: starts[0],
        last: starts[starts.len() - 1],
    })
}

/// The order of rows inside a file, by batch and row; `None`: as they come.
pub(super) fn order(what: What, batches: &[RecordBatch]) -> Result<Option<Vec<(usize, usize)>>> {
    match what {
        What::Windows => rows::order_of(batches, &["sensor_id", "window_start"]),
        What::Readings => rows::order_of(batches, &["sensor_id", "time"]),
        What::Late | What::Rejects => Ok(None),
    }
}
