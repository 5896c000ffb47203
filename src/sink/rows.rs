//! The rows of a flush that a sink takes, as batches of one schema.
//!
//! Rejects become a table here: one row a reject, keyed (partition, flush, ord), which names it for
//! good, since a decided flush is never made again. File and line would not do: two standard
//! inputs are both called `-`.

use super::{Tables, What};
use crate::flush::{Flush, FlushId};
use crate::reject::Reject;
use crate::schema::is_attribute;
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    new_null_array,
};
use arrow_ord::sort::{LexicographicalComparator, SortColumn, lexsort_to_indices};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// Columns that name a row of `what` in a table of our own. A reading's file is told by its stream's
/// number where the rows have it, since two files may have one name.
pub(super) fn natural_key(what: What, schema: &Schema) -> Vec<&'static str> {
    let key: &[&str] = match what {
        What::Windows => &["sensor_id", "grain", "window_start"],
        What::Readings | What::Late if schema.index_of("stream").is_ok() => {
            &["sensor_id", "time", "stream", "row"]
        }
        What::Readings | What::Late => &["sensor_id", "time", "file", "row"],
        What::Rejects => &["partition", "flush", "ord"],
    };
    key.to_vec()
}

/// The default name of a table.
pub(super) fn table_name(what: What) -> &'static str {
    match what {
        What::Windows => "windows",
        What::Readings => "readings",
        What::Late => "late",
        What::Rejects => "rejects",
    }
}

/// Columns of the rows of `what`.
pub(super) fn schema(what: What, tables: &Tables) -> SchemaRef {
    match what {
        What::Windows => tables.windows.clone(),
        What::Readings => tables.readings.clone(),
        What::Late => tables.late.clone(),
        What::Rejects => reject_schema(),
    }
}

/// The batches of `what` in a flush, in order; window rows with their grain. Empty batches are left out.
pub(super) fn batches(what: What, flush: &Flush) -> Result<Vec<(String, RecordBatch)>> {
    let unnamed = |b: &RecordBatch| (String::new(), b.clone());
    let mut out: Vec<(String, RecordBatch)> = match what {
        What::Windows => {
            let named = |w: &crate::flush::WindowRows| (w.grain.clone(), w.rows.clone());
            flush.windows.iter().map(named).collect()
        }
        What::Readings => flush.readings.iter().map(unnamed).collect(),
        What::Late => flush.late.iter().map(unnamed).collect(),
        What::Rejects if flush.rejects.is_empty() => Vec::new(),
        What::Rejects => {
            let table = rejects(&flush.rejects, flush.partition, flush.id)?;
            vec![(String::new(), table)]
        }
    };
    out.retain(|(_, rows)| rows.num_rows() > 0);
    Ok(out)
}

/// Rows of readings under the columns of `schema`, whatever attributes travelled when their flush was decided.
pub(super) fn fitted(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let own = rows.schema();
    let names = own.fields().iter().map(|f| f.name());
    if names.eq(schema.fields().iter().map(|f| f.name())) {
        return Ok(rows.clone());
    }
    let column = |f: &Arc<Field>| match rows.column_by_name(f.name()) {
        Some(column) => Ok(column.clone()),
        None if is_attribute(f) => Ok(new_null_array(f.data_type(), rows.num_rows())),
        None => Err(lacks(f.name())),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
    RecordBatch::try_new(schema.clone(), columns)
        .map_err(|e| Error::new(Kind::Internal, "readings do not fit their table").because(e))
}

/// Columns of a rejects table.
pub(super) fn reject_schema() -> SchemaRef {
    let int = |name| Field::new(name, DataType::Int64, false);
    let text = |name| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        int("partition"),
        int("flush"),
        int("ord"),
        text("file"),
        int("line"),
        int("byte"),
        int("row"),
        text("column"),
        text("raw"),
        text("reason"),
    ]))
}

fn rejects(rejects: &[Reject], partition: u32, id: FlushId) -> Result<RecordBatch> {
    let same = |v: i64| Arc::new(Int64Array::from_value(v, rejects.len())) as ArrayRef;
    let int = |f: fn(&Reject) -> u64| {
        let values = rejects.iter().map(|r| f(r) as i64);
        Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
    };
    let text = |f: fn(&Reject) -> &str| {
        let values = rejects.iter().map(f);
        Arc::new(StringArray::from_iter_values(values)) as ArrayRef
    };
    let ord = Int64Array::from_iter_values(0..rejects.len() as i64);
    let columns = vec![
        same(i64::from(partition)),
        same(id.n as i64),
        Arc::new(ord) as ArrayRef,
        text(|r| &r.file),
        int(|r| r.line),
        int(|r| r.byte),
        int(|r| r.row),
        text(|r| &r.column),
        text(|r| &r.raw),
        text(|r| &r.reason),
    ];
    RecordBatch::try_new(reject_schema(), columns)
        .map_err(|e| Error::new(Kind::Internal, "rejects do not fit their table").because(e))
}

/// Whether some window row is not final.
pub(super) fn any_open(rows: &RecordBatch) -> bool {
    let column = rows.column_by_name("final");
    let column = column.and_then(|c| c.as_boolean_opt());
    column.is_some_and(|c| c.false_count() > 0)
}

/// Whether some window row is a revision of an earlier one.
pub(super) fn any_revised(rows: &RecordBatch) -> bool {
    let Some(column) = rows.column_by_name("revision") else {
        return false;
    };
    let cast = arrow_cast::cast(column, &DataType::Int64);
    cast.is_ok_and(|c| {
        c.as_primitive::<Int64Type>()
            .iter()
            .flatten()
            .any(|r| r > 0)
    })
}

/// Sensor and start of each window row.
pub(super) fn window_keys(rows: &RecordBatch) -> Result<(StringArray, TimestampMicrosecondArray)> {
    let sensors = texts(rows, "sensor_id")?;
    let starts = rows
        .column_by_name("window_start")
        .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| lacks("window_start"))?;
    Ok((sensors, starts.clone()))
}

/// A text column in its plain form, whatever its encoding.
pub(super) fn texts(rows: &RecordBatch, name: &str) -> Result<StringArray> {
    let column = rows.column_by_name(name).ok_or_else(|| lacks(name))?;
    let plain = arrow_cast::cast(column, &DataType::Utf8).map_err(|e| lacks(name).because(e))?;
    plain.as_string_opt().cloned().ok_or_else(|| lacks(name))
}

fn lacks(name: &str) -> Error {
    Error::new(Kind::Internal, format!("rows without the column {name}"))
}

/// Refuses a table that belongs to another pipeline or zone.
pub(super) fn same_owner(table: &str, has: (&str, &str), asked: (&str, &str)) -> Result<()> {
    if has == asked {
        return Ok(());
    }
    Err(Error::new(
        Kind::Usage,
        format!(
            "{table} belongs to the pipeline {:?} in zone {}, not to {:?} in {}; name another table (table=, or ?table= behind its URL or path) or folder",
            has.0, has.1, asked.0, asked.1
        ),
    ))
}

/// The rows sorted by the columns `key`; rows that are in order already are not copied.
pub(super) fn sorted_by(rows: &RecordBatch, key: &[&str]) -> Result<RecordBatch> {
    match order(rows, key).map_err(unsorted)? {
        None => Ok(rows.clone()),
        Some(order) => arrow_select::take::take_record_batch(rows, &order).map_err(unsorted),
    }
}

/// The order of rows by the columns of a key, as batch and row; `None`: they are in it. Only the key is put together.
pub(super) fn order_of(
    batches: &[RecordBatch],
    key: &[&str],
) -> Result<Option<Vec<(usize, usize)>>> {
    let Some(first) = batches.first() else {
        return Ok(None);
    };
    let keys = |b: &RecordBatch| {
        let at = key.iter().filter_map(|name| b.schema().index_of(name).ok());
        b.project(&at.collect::<Vec<_>>())
    };
    let schema = keys(first).map_err(unsorted)?.schema();
    let parts: std::result::Result<Vec<_>, _> = batches.iter().map(keys).collect();
    let all = parts.and_then(|parts| arrow_select::concat::concat_batches(&schema, &parts));
    let order = all.and_then(|all| order(&all, key)).map_err(unsorted)?;
    let rows = batches.iter().enumerate();
    let rows =
        rows.flat_map(|(b, rows)| (0..rows.num_rows()).map(move |row| (b as u32, row as u32)));
    let places: Vec<(u32, u32)> = rows.collect();
    let pick = |at: &u32| {
        let (batch, row) = places[*at as usize];
        (batch as usize, row as usize)
    };
    Ok(order.map(|order| order.values().iter().map(pick).collect()))
}

/// Where each row stands in the order of a key; `None`: in its place.
fn order(rows: &RecordBatch, key: &[&str]) -> std::result::Result<Option<UInt32Array>, ArrowError> {
    let column = |name: &&str| {
        let values = rows.column_by_name(name)?.clone();
        Some(SortColumn {
            values,
            options: None,
        })
    };
    let keys: Vec<SortColumn> = key.iter().filter_map(column).collect();
    if keys.is_empty() || rows.num_rows() < 2 {
        return Ok(None);
    }
    let compare = LexicographicalComparator::try_new(&keys)?;
    match (1..rows.num_rows()).all(|i| compare.compare(i - 1, i).is_le()) {
        true => Ok(None),
        false => lexsort_to_indices(&keys, None).map(Some),
    }
}

fn unsorted(e: ArrowError) -> Error {
    Error::new(Kind::Internal, "rows cannot be sorted by their key").because(e)
}

/// The first distinct texts of a column, in order of appearance; two at most.
fn distinct(column: &StringArray) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = None;
    for text in column.iter().flatten() {
        if found.len() == 2 {
            break;
        }
        if last != Some(text) && !found.iter().any(|f| f == text) {
            found.push(text.to_owned());
        }
        last = Some(text);
    }
    found
}

/// The one sensor of a table whose key does not tell sensors apart: `known`, or the batch's own.
pub(super) fn only_sensor(table: &str, batch: &RecordBatch, known: Option<&str>) -> Result<String> {
    let found = distinct(&texts(batch, "sensor_id")?);
    let first = found.first().map_or("", String::as_str);
    let one = known.unwrap_or(first);
    match found.iter().find(|s| *s != one) {
        None => Ok(one.to_owned()),
        Some(other) => Err(Error::new(
            Kind::Schema,
            format!(
                "the key of table {table:?} does not tell sensors apart, and the run holds {one:?} and {other:?}; let the key hold sensor_id"
            ),
        )),
    }
}

/// Names that a store keeps for itself are no tables of rows.
pub(super) fn refuse_own_name(table: &str, taken: &[&str]) -> Result<()> {
    let lower = table.to_ascii_lowercase();
    if taken.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "{table:?} cannot be a table of rows; names beginning with {} are taken",
                taken.join(" and ")
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array, Float64Array};
    use std::collections::HashMap;

    #[test]
    fn rows_of_a_flush_from_before_an_attribute_have_none_of_it() {
        let value = Field::new("v", DataType::Float64, true);
        let role = HashMap::from([("wattline:role".to_string(), "attribute".to_string())]);
        let note = Field::new("note", DataType::Utf8, true).with_metadata(role);
        let before = Arc::new(Schema::new(vec![value.clone()]));
        let asked = Arc::new(Schema::new(vec![value.clone(), note]));
        let column = || Arc::new(Float64Array::from(vec![1.0, 2.0])) as ArrayRef;
        let old = RecordBatch::try_new(before.clone(), vec![column()]).unwrap();
        let now = fitted(&old, &asked).unwrap();
        assert_eq!((now.num_columns(), now.column(1).null_count()), (2, 2));
        // And those that a table was begun without are left out of it.
        assert_eq!(fitted(&now, &before).unwrap(), old);
        let other = Arc::new(Schema::new(vec![Field::new("w", DataType::Float64, true)]));
        assert!(fitted(&old, &other).is_err());
    }
}
