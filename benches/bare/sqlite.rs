//! An upsert by SQLite's client alone: prepared, in one transaction, with the settings that the sink begins with.

use super::{Outcome, Value, names, rows};
use arrow_array::RecordBatch;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use std::time::{Duration, Instant};

/// Writes the rows, whose first `keys` columns are the key; the time it took, with the commit.
pub fn upsert(file: &str, table: &str, batches: &[RecordBatch], keys: usize) -> Outcome<Duration> {
    let names = names(batches);
    let marks = vec!["?"; names.len()].join(", ");
    let news = names[keys..].iter().map(|n| format!("{n} = excluded.{n}"));
    let sql = format!(
        "INSERT INTO {table} ({}) VALUES ({marks}) ON CONFLICT ({}) DO UPDATE SET {}",
        names.join(", "),
        names[..keys].join(", "),
        news.collect::<Vec<_>>().join(", ")
    );
    let rows = rows(batches)?;
    let mut link = Connection::open(file)?;
    link.pragma_update(None, "synchronous", "full")?;
    link.pragma_update(None, "cache_size", -16_384)?;
    let began = Instant::now();
    let step = link.transaction()?;
    {
        let mut insert = step.prepare(&sql)?;
        for row in &rows {
            insert.execute(params_from_iter(row))?;
        }
    }
    step.commit()?;
    Ok(began.elapsed())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Nothing => ValueRef::Null,
            Value::Text(v) => ValueRef::Text(v.as_bytes()),
            Value::Whole(v) | Value::Micros(v) => ValueRef::Integer(*v),
            Value::Decimal(v) => ValueRef::Real(*v),
            Value::Day(v) => ValueRef::Integer(i64::from(*v)),
        }))
    }
}
