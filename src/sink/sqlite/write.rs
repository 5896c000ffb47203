//! Rows from Arrow columns into a prepared statement: bound in place, no allocation a row.

use super::describe::declared;
use crate::Result;
use crate::sink::cells::{self, Cell, Cells};
use crate::sink::mapping::{ID, Mapping, Ours, class_of};
use crate::sink::sql::{list, quoted, same};
use crate::sink::{OnSameTime, What};
use arrow_array::RecordBatch;
use rusqlite::{Connection, Statement};

/// The statements of one table.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    mapping: Mapping,
    insert: String,
    update: Option<String>,
    what: What,
}

impl Writer {
    /// Statements for `mapping`.
    pub fn new(mapping: Mapping, what: What) -> Writer {
        Writer {
            insert: insert(&mapping),
            update: (mapping.same_time == Some(OnSameTime::Last)).then(|| update(&mapping)),
            mapping,
            what,
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
        let mut cells = Cells::of(&self.mapping, self.what, &batch)?;
        Ok(self.run(conn, batch.num_rows(), &mut cells))
    }

    fn run(&self, conn: &Connection, n: usize, cells: &mut Cells) -> rusqlite::Result<u64> {
        let mut insert = conn.prepare_cached(&self.insert)?;
        let mut update = match &self.update {
            Some(sql) => Some(conn.prepare_cached(sql)?),
            None => None,
        };
        let mut taken = 0;
        for row in 0..n {
            bind(&mut insert, cells, row)?;
            if insert.raw_execute()? > 0 || self.mapping.same_time.is_none() {
                continue;
            }
            taken += 1;
            if let Some(update) = &mut update {
                bind(update, cells, row)?;
                update.raw_execute()?;
            }
        }
        Ok(taken)
    }
}

fn bind(statement: &mut Statement<'_>, cells: &mut Cells, row: usize) -> rusqlite::Result<()> {
    for (i, cell) in cells.columns.iter_mut().enumerate() {
        let at = i + 1;
        if cell.is_null(row) {
            statement.raw_bind_parameter(at, rusqlite::types::Null)?;
            continue;
        }
        match cell {
            Cell::Text(a) => statement.raw_bind_parameter(at, a.value(row))?,
            Cell::Integer(a) => statement.raw_bind_parameter(at, a.value(row))?,
            Cell::Real(a) => statement.raw_bind_parameter(at, a.value(row))?,
            Cell::Flag(a) => statement.raw_bind_parameter(at, a.value(row))?,
            Cell::Time(a, iso) => statement.raw_bind_parameter(at, iso.text(a.value(row)))?,
            Cell::Id => {
                statement.raw_bind_parameter(at, cells.identity.text(row).as_str())?;
            }
        }
    }
    Ok(())
}

fn insert(m: &Mapping) -> String {
    let names: Vec<String> = m.columns.iter().map(|(name, _)| name.clone()).collect();
    let marks: Vec<String> = (1..=names.len()).map(|i| format!("?{i}")).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({}) {}",
        quoted(&m.table),
        list(&names),
        marks.join(", "),
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
