//! Rows from Arrow columns into a table: block by block, each by one statement that reads it from the [`Feed`], or
//! bound row by row where each row's own outcome counts (`on_same_time`). The blocks are made on the pool.

use super::block::{Block, Value};
use super::describe::declared;
use super::feed::{self, Feed};
use crate::sink::cells::{self, Cells};
use crate::sink::mapping::{ID, Mapping, Ours, class_of};
use crate::sink::sql::{list, quoted, same};
use crate::sink::{OnSameTime, What};
use crate::{Result, runtime};
use arrow_array::RecordBatch;
use rayon::prelude::*;
use rusqlite::{Connection, Statement};

/// Rows of one block.
const BLOCK: usize = 2048;
/// Blocks made at a time.
const BLOCKS: usize = 8;

/// The statements of one table.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    mapping: Mapping,
    insert: String,
    update: Option<String>,
    what: What,
    feed: Feed,
}

impl Writer {
    /// Statements for `mapping`.
    pub fn new(mapping: Mapping, what: What, feed: Feed) -> Writer {
        Writer {
            insert: insert(&mapping),
            update: (mapping.same_time == Some(OnSameTime::Last)).then(|| update(&mapping)),
            mapping,
            what,
            feed,
        }
    }

    /// DDL of the table, where it has to be made.
    pub fn create(&self) -> String {
        let m = &self.mapping;
        let column = |(name, ours): &(String, Ours)| {
            let kind = declared(class_of(&m.schema, *ours));
            let must = m.key.iter().any(|k| same(k, name));
            format!(
                "{} {kind}{}",
                quoted(name),
                if must { " NOT NULL" } else { "" }
            )
        };
        let columns: Vec<String> = m.columns.iter().map(column).collect();
        format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({})) WITHOUT ROWID",
            quoted(&m.table),
            columns.join(", "),
            list(&m.key)
        )
    }

    /// Writes the rows of a batch; gives how many fell on a key already taken.
    pub fn write(&self, conn: &Connection, batch: &RecordBatch) -> Result<rusqlite::Result<u64>> {
        let batch = cells::in_key_order(&self.mapping, self.what, batch)?;
        let cells = Cells::of(&self.mapping, self.what, &batch)?;
        let starts: Vec<usize> = (0..batch.num_rows()).step_by(BLOCK).collect();
        let pool = runtime::pool()?;
        let mut taken = 0;
        for some in starts.chunks(BLOCKS) {
            let block = |start: &usize| {
                let end = (start + BLOCK).min(batch.num_rows());
                Block::of(&cells, *start..end)
            };
            let blocks: Vec<Block> = pool.install(|| some.par_iter().map(block).collect());
            for block in blocks {
                match self.write_block(conn, block) {
                    Ok(n) => taken += n,
                    Err(e) => return Ok(Err(e)),
                }
            }
        }
        Ok(Ok(taken))
    }

    fn write_block(&self, conn: &Connection, block: Block) -> rusqlite::Result<u64> {
        if self.mapping.same_time.is_some() {
            return self.one_by_one(conn, &block);
        }
        self.feed.put(self.mapping.columns.len(), block);
        let written = conn
            .prepare_cached(&self.insert)
            .and_then(|mut insert| insert.raw_execute());
        self.feed.clear();
        written.map(|_| 0)
    }

    fn one_by_one(&self, conn: &Connection, block: &Block) -> rusqlite::Result<u64> {
        let columns = self.mapping.columns.len();
        let mut insert = conn.prepare_cached(&self.insert)?;
        let mut update = match &self.update {
            Some(sql) => Some(conn.prepare_cached(sql)?),
            None => None,
        };
        let (mut taken, mut at) = (0, 0);
        for _ in 0..block.rows {
            let after = bind(&mut insert, columns, block, at)?;
            if insert.raw_execute()? == 0 {
                taken += 1;
                if let Some(update) = &mut update {
                    bind(update, columns, block, at)?;
                    update.raw_execute()?;
                }
            }
            at = after;
        }
        Ok(taken)
    }
}

/// Binds the row that begins at `at`; gives where the next one begins.
fn bind(
    statement: &mut Statement<'_>,
    columns: usize,
    block: &Block,
    mut at: usize,
) -> rusqlite::Result<usize> {
    for i in 1..=columns {
        let (value, after) = block.value(at);
        at = after;
        match value {
            Value::Null => statement.raw_bind_parameter(i, rusqlite::types::Null)?,
            Value::Integer(v) => statement.raw_bind_parameter(i, v)?,
            Value::Real(v) => statement.raw_bind_parameter(i, v)?,
            Value::Text(t) => statement.raw_bind_parameter(i, t)?,
        }
    }
    Ok(at)
}

fn insert(m: &Mapping) -> String {
    let names: Vec<String> = m.columns.iter().map(|(name, _)| name.clone()).collect();
    let values = |of: &str, from| {
        let all = (from..from + names.len()).map(|i| format!("{of}{i}"));
        all.collect::<Vec<_>>().join(", ")
    };
    let rows = match m.same_time {
        Some(_) => format!("VALUES ({})", values("?", 1)),
        // The WHERE tells the parser that ON begins the upsert, not a join.
        None => format!("SELECT {} FROM {} WHERE true", values("c", 0), feed::NAME),
    };
    format!(
        "INSERT INTO {} ({}) {rows} {}",
        quoted(&m.table),
        list(&names),
        on_conflict(m)
    )
}

fn on_conflict(m: &Mapping) -> String {
    match m.same_time {
        Some(OnSameTime::Raise) => String::new(),
        Some(_) => format!("ON CONFLICT ({}) DO NOTHING", list(&m.key)),
        None => {
            let set = assignments(m, |name, _| format!("excluded.{}", quoted(name)));
            match set.is_empty() {
                true => format!("ON CONFLICT ({}) DO NOTHING", list(&m.key)),
                false => format!("ON CONFLICT ({}) DO UPDATE SET {set}", list(&m.key)),
            }
        }
    }
}

/// `column = value` for every column outside the key.
fn assignments(m: &Mapping, value: impl Fn(&str, usize) -> String) -> String {
    let outside = |name: &str| !m.key.iter().any(|k| same(k, name));
    let columns = m.columns.iter().enumerate();
    let set = columns.filter(|(_, (name, _))| outside(name));
    let set = set.map(|(i, (name, _))| format!("{} = {}", quoted(name), value(name, i + 1)));
    set.collect::<Vec<_>>().join(", ")
}

/// Overwrites the row that holds the key: `on_same_time = last`, after an insert that found it taken.
fn update(m: &Mapping) -> String {
    let place = |name: &String| {
        let at = m.columns.iter().position(|(n, _)| same(n, name));
        format!("{} = ?{}", quoted(name), at.map_or(0, |i| i + 1))
    };
    let keys: Vec<String> = m.key.iter().map(place).collect();
    let mut set = assignments(m, |_, i| format!("?{i}"));
    if set.is_empty() {
        set = format!("{0} = {0}", quoted(m.key.first().map_or(ID, |k| k)));
    }
    format!(
        "UPDATE {} SET {set} WHERE {}",
        quoted(&m.table),
        keys.join(" AND ")
    )
}
