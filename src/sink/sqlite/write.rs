//! Rows from Arrow columns into a prepared statement: bound in place, no allocation a row.

use crate::sink::instant::IsoText;
use crate::sink::mapping::{ID, Mapping, Ours, quoted, same, write_id};
use crate::sink::{OnSameTime, What, rows};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use rusqlite::{Connection, Statement};

/// The statements of one table.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    mapping: Mapping,
    /// Places in the schema of the columns a UUID is made of.
    identity: Vec<usize>,
    insert: String,
    update: Option<String>,
    what: What,
}

/// A column in the form it is bound in.
enum Cell {
    Text(StringArray),
    Integer(Int64Array),
    Real(Float64Array),
    Flag(BooleanArray),
    Time(TimestampMicrosecondArray, IsoText),
    Id,
}

impl Writer {
    /// Statements for `mapping`.
    pub fn new(mapping: Mapping, what: What) -> Writer {
        let key = rows::natural_key(what, &mapping.schema);
        let identity = key.iter().filter_map(|k| mapping.schema.index_of(k).ok());
        Writer {
            identity: identity.collect(),
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
            let kind = match ours {
                Ours::Column(i) => crate::sink::mapping::declared(m.schema.field(*i).data_type()),
                Ours::Id => "TEXT",
            };
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
        let batch = self.in_key_order(batch)?;
        let mut cells = self.cells(&batch)?;
        let mut identity = self.identity_cells(&batch)?;
        Ok(self.run(conn, batch.num_rows(), &mut cells, &mut identity))
    }

    fn run(
        &self,
        conn: &Connection,
        n: usize,
        cells: &mut [Cell],
        identity: &mut [Cell],
    ) -> rusqlite::Result<u64> {
        let mut insert = conn.prepare_cached(&self.insert)?;
        let mut update = match &self.update {
            Some(sql) => Some(conn.prepare_cached(sql)?),
            None => None,
        };
        let mut taken = 0;
        for row in 0..n {
            bind(&mut insert, cells, identity, row)?;
            if insert.raw_execute()? > 0 || self.mapping.same_time.is_none() {
                continue;
            }
            taken += 1;
            if let Some(update) = &mut update {
                bind(update, cells, identity, row)?;
                update.raw_execute()?;
            }
        }
        Ok(taken)
    }

    /// Window rows sorted by their key touch each page of the table once. Readings keep their
    /// order where the first or last by position counts.
    fn in_key_order(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if self.mapping.same_time.is_some() || self.what == What::Rejects {
            return Ok(batch.clone());
        }
        let key = rows::natural_key(self.what, &self.mapping.schema);
        rows::sorted_by(batch, &key)
    }

    fn cells(&self, batch: &RecordBatch) -> Result<Vec<Cell>> {
        let one = |(_, ours): &(String, Ours)| match ours {
            Ours::Id => Ok(Cell::Id),
            Ours::Column(i) => self.cell(batch, *i),
        };
        self.mapping.columns.iter().map(one).collect()
    }

    fn identity_cells(&self, batch: &RecordBatch) -> Result<Vec<Cell>> {
        if !self.mapping.columns.iter().any(|(_, o)| *o == Ours::Id) {
            return Ok(Vec::new());
        }
        self.identity.iter().map(|i| self.cell(batch, *i)).collect()
    }

    fn cell(&self, batch: &RecordBatch, i: usize) -> Result<Cell> {
        let name = self.mapping.schema.field(i).name();
        let column = batch.column_by_name(name).ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!("a flush came without the column {name}"),
            )
        })?;
        cell(column)
    }
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

fn bind(
    statement: &mut Statement<'_>,
    cells: &mut [Cell],
    identity: &mut [Cell],
    row: usize,
) -> rusqlite::Result<()> {
    for (i, cell) in cells.iter_mut().enumerate() {
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
                let mut text = [0u8; 36];
                id(identity, row, &mut text);
                let text = std::str::from_utf8(&text).unwrap_or("");
                statement.raw_bind_parameter(at, text)?;
            }
        }
    }
    Ok(())
}

impl Cell {
    fn is_null(&self, row: usize) -> bool {
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

/// The UUID of a row: text as it is, numbers and instants as eight bytes.
fn id(identity: &[Cell], row: usize, out: &mut [u8; 36]) {
    let mut numbers = [[0u8; 8]; 4];
    for (cell, number) in identity.iter().zip(&mut numbers) {
        *number = match cell {
            Cell::Integer(a) => a.value(row).to_le_bytes(),
            Cell::Time(a, _) => a.value(row).to_le_bytes(),
            _ => continue,
        };
    }
    let mut parts: [&[u8]; 4] = [&[]; 4];
    for ((cell, number), part) in identity.iter().zip(&numbers).zip(&mut parts) {
        *part = match cell {
            Cell::Text(a) => a.value(row).as_bytes(),
            _ => number,
        };
    }
    write_id(&parts[..identity.len().min(4)], out);
}

fn list(names: &[String]) -> String {
    names
        .iter()
        .map(|n| quoted(n))
        .collect::<Vec<_>>()
        .join(", ")
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
