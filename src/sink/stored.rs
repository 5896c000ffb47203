//! What a store holds, read back: the one seam through which pages read any of them. Nothing is owned, made or changed,
//! and rows come piece by piece, only the columns that are asked for.

use super::spec::{Endpoint, SinkSpec};
use super::{cassandra, parquet, postgres, sqlite};
use crate::time::parse::{Layout, Parsed};
use crate::{Error, Kind, Result};
use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of a piece.
const PIECE: usize = 8_192;

/// A table that wattline wrote, as the store notes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its name; of a folder of Parquet files the way from the endpoint's folder to it, which may be empty.
    pub name: String,
    /// `windows`, `readings`, `late` or `rejects`.
    pub what: String,
    /// Whose it is.
    pub pipeline: String,
    /// Zone of its windows.
    pub tz: String,
}

/// Rows that are asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The table, as [`Noted`] names it.
    pub table: String,
    /// Columns: their name in the table, and ours.
    pub columns: Vec<(String, String)>,
    /// The one grain whose rows are meant, behind the column's name in the table.
    pub grain: Option<(String, String)>,
    /// No more rows than this.
    pub most: Option<usize>,
}

/// Takes rows, piece by piece.
pub type Each<'a> = dyn FnMut(RecordBatch) -> Result<()> + Send + 'a;

/// A store whose rows can be read back.
pub trait Stored: Send {
    /// The tables that wattline wrote in it, by name. Errors: `NotFound`, `Usage` where it is no store of ours.
    fn tables(&mut self) -> Result<Vec<Noted>>;
    /// Names of a table's columns; none where there is no such table.
    fn columns(&mut self, table: &str) -> Result<Vec<String>>;
    /// Rows by the values of the column that holds the grain.
    fn counts(&mut self, table: &str, grain: &str) -> Result<BTreeMap<String, u64>>;
    /// Gives the rows that are wanted to `each`, in no certain order, under our names.
    fn rows(&mut self, wanted: &Wanted, each: &mut Each<'_>) -> Result<()>;
}

/// Opens the store of a sink to read it. Errors: `Usage` for one that keeps no rows to be read.
pub fn open_stored(spec: &SinkSpec) -> Result<Box<dyn Stored>> {
    Ok(match &spec.endpoint {
        Endpoint::Sqlite(at) => Box::new(sqlite::stored(at)?),
        Endpoint::Parquet(at) => Box::new(parquet::stored(at)?),
        Endpoint::Postgres(at) => postgres::stored(at)?,
        Endpoint::Cassandra(at) => cassandra::stored(at)?,
        Endpoint::Memory | Endpoint::Kafka(_) => {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "{} keeps no table that could be read back; name a store (SQLite, Parquet, PostgreSQL, Cassandra) or a file",
                    spec.endpoint
                ),
            ));
        }
    })
}

/// Our names and types of the columns that are wanted.
pub fn schema(wanted: &Wanted) -> SchemaRef {
    let field = |(_, ours): &(String, String)| Field::new(ours, kind(ours), true);
    Arc::new(Schema::new(
        wanted.columns.iter().map(field).collect::<Vec<_>>(),
    ))
}

/// The type of a column of ours, which its name tells.
fn kind(ours: &str) -> DataType {
    match ours {
        "sensor_id" | "grain" | "window_label" | "file" | "column" | "raw" | "reason" => {
            DataType::Utf8
        }
        "window_start" | "window_end" | "first_reading" | "last_reading" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "readings" | "expected" | "missing" | "duplicates" | "estimated" | "revision" | "line"
        | "byte" | "row" => DataType::Int64,
        "final" => DataType::Boolean,
        _ if ours.ends_with("_count") => DataType::Int64,
        _ => DataType::Float64,
    }
}

/// A value as a store gives it.
pub(super) enum Datum {
    Null,
    Text(String),
    /// A whole number; of an instant the microseconds since 1970, of a flag 0 or 1.
    Integer(i64),
    Real(f64),
}

enum Column {
    Text(StringBuilder),
    Integer(Int64Builder),
    Real(Float64Builder),
    Flag(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Column {
    fn new(kind: &DataType) -> Column {
        match kind {
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            DataType::Int64 => Column::Integer(Int64Builder::new()),
            DataType::Boolean => Column::Flag(BooleanBuilder::new()),
            DataType::Timestamp(..) => {
                Column::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            _ => Column::Real(Float64Builder::new()),
        }
    }

    /// Takes a value; `false`: it is none of this column's kind.
    fn push(&mut self, value: Datum) -> bool {
        match (self, value) {
            (Column::Text(to), Datum::Text(text)) => to.append_value(text),
            (Column::Text(to), Datum::Null) => to.append_null(),
            (Column::Integer(to), Datum::Integer(n)) => to.append_value(n),
            (Column::Integer(to), Datum::Real(v)) if v.fract() == 0.0 => to.append_value(v as i64),
            (Column::Integer(to), Datum::Null) => to.append_null(),
            (Column::Real(to), Datum::Real(v)) => to.append_value(v),
            (Column::Real(to), Datum::Integer(n)) => to.append_value(n as f64),
            (Column::Real(to), Datum::Null) => to.append_null(),
            (Column::Flag(to), Datum::Integer(n)) => to.append_value(n != 0),
            (Column::Flag(to), Datum::Null) => to.append_null(),
            (Column::Time(to), Datum::Integer(at)) => to.append_value(at),
            (Column::Time(to), Datum::Null) => to.append_null(),
            (Column::Time(to), Datum::Text(text)) => match instant(&text) {
                Some(at) => to.append_value(at),
                None => return false,
            },
            _ => return false,
        }
        true
    }

    fn taken(&mut self) -> ArrayRef {
        match self {
            Column::Text(from) => Arc::new(from.finish()),
            Column::Integer(from) => Arc::new(from.finish()),
            Column::Real(from) => Arc::new(from.finish()),
            Column::Flag(from) => Arc::new(from.finish()),
            Column::Time(from) => Arc::new(from.finish()),
        }
    }
}

/// An instant as text, UTC where it says nothing else.
fn instant(text: &str) -> Option<i64> {
    match Layout::new(None).stamp(text.as_bytes()) {
        Ok(Parsed::Local(at) | Parsed::Utc(at)) => Some(at),
        Err(_) => None,
    }
}

/// Rows that gather until there are enough to be handed on.
pub(super) struct Pieces<'a, 'b> {
    wanted: &'a Wanted,
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    given: usize,
    each: &'a mut Each<'b>,
}

impl<'a, 'b> Pieces<'a, 'b> {
    pub fn new(wanted: &'a Wanted, each: &'a mut Each<'b>) -> Self {
        let schema = schema(wanted);
        let columns = schema.fields().iter().map(|f| Column::new(f.data_type()));
        Pieces {
            wanted,
            columns: columns.collect(),
            schema: schema.clone(),
            rows: 0,
            given: 0,
            each,
        }
    }

    /// Whether as many rows have come as were asked for.
    pub fn full(&self) -> bool {
        self.wanted.most.is_some_and(|most| self.given >= most)
    }

    /// Takes a row, its values in the order of the wanted columns. Errors: `Usage` for a value that is not of our kind.
    pub fn push(&mut self, values: impl Iterator<Item = Datum>) -> Result<()> {
        for ((column, value), names) in self
            .columns
            .iter_mut()
            .zip(values)
            .zip(&self.wanted.columns)
        {
            if !column.push(value) {
                return Err(other_kind(&self.wanted.table, &names.0, &kind(&names.1)));
            }
        }
        self.rows += 1;
        self.given += 1;
        match self.rows < PIECE {
            true => Ok(()),
            false => self.hand_on(),
        }
    }

    /// Hands on what has gathered.
    pub fn hand_on(&mut self) -> Result<()> {
        self.rows = 0;
        let columns = self.columns.iter_mut().map(Column::taken).collect();
        let piece = RecordBatch::try_new(self.schema.clone(), columns);
        let unfit =
            |e| Error::new(Kind::Internal, "rows that were read back do not fit").because(e);
        (self.each)(piece.map_err(unfit)?)
    }
}

fn other_kind(table: &str, column: &str, due: &DataType) -> Error {
    let due = match due {
        DataType::Utf8 => "text",
        DataType::Int64 => "whole numbers",
        DataType::Boolean => "yes or no",
        DataType::Timestamp(..) => "instants",
        _ => "numbers",
    };
    Error::new(
        Kind::Usage,
        format!(
            "column {column:?} of {table:?} holds other values than {due}, so these windows cannot be read back; look at the table, or at columns= of its sink"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;

    fn wanted(columns: &[&str], most: Option<usize>) -> Wanted {
        Wanted {
            table: "t".into(),
            columns: columns
                .iter()
                .map(|c| (format!("{c}x"), (*c).into()))
                .collect(),
            grain: None,
            most,
        }
    }

    #[test]
    fn values_come_under_our_names_and_types_piece_by_piece() {
        let wanted = wanted(
            &["sensor_id", "window_start", "final", "kw_count", "kw_mean"],
            None,
        );
        let mut seen = Vec::new();
        let mut each = |piece: RecordBatch| {
            seen.push(piece);
            Ok(())
        };
        let mut pieces = Pieces::new(&wanted, &mut each);
        for i in 0..PIECE as i64 + 1 {
            let start = match i % 2 {
                0 => Datum::Text("2007-01-01 00:00:00.5".into()),
                _ => Datum::Integer(1),
            };
            let row = [
                Datum::Text("a".into()),
                start,
                Datum::Integer(i % 2),
                Datum::Real(2.0),
                Datum::Null,
            ];
            pieces.push(row.into_iter()).unwrap();
        }
        pieces.hand_on().unwrap();
        assert_eq!(
            seen.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(),
            [PIECE, 1]
        );
        let kinds = ["sensor_id", "window_start", "final", "kw_count", "kw_mean"].map(kind);
        assert!(
            seen[0]
                .columns()
                .iter()
                .zip(&kinds)
                .all(|(c, k)| c.data_type() == k)
        );
        assert_eq!(seen[0].column(4).null_count(), PIECE);
        let starts = arrow_cast::cast(seen[0].column(1), &DataType::Int64).unwrap();
        assert_eq!(
            starts.to_data().buffer::<i64>(0)[..2],
            [1_167_609_600_500_000, 1]
        );
    }

    #[test]
    fn a_value_of_another_kind_names_its_column_in_the_table() {
        let wanted = wanted(&["readings"], None);
        let mut each = |_| Ok(());
        let mut pieces = Pieces::new(&wanted, &mut each);
        let error = pieces
            .push([Datum::Text("many".into())].into_iter())
            .unwrap_err();
        assert!(error.message.contains("\"readingsx\""), "{error}");
    }
}
