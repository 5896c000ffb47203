//! The rows of the tables, read back as a stream: the server is asked for no more than was taken.

use super::failure::{self, Step};
use super::session::{Line, Session};
use super::store;
use crate::sink::Postgres;
use crate::sink::sql::quoted;
use crate::sink::stored::{Datum, Each, Noted, Pieces, Stored, Wanted, schema};
use crate::{Error, Kind, Result};
use arrow_schema::DataType;
use futures_util::{StreamExt, pin_mut};
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// A database that is read.
struct PostgresStored {
    line: Line,
    place: String,
}

/// Opens nothing yet.
pub(in crate::sink) fn stored(at: &Postgres) -> Result<Box<dyn Stored>> {
    Ok(Box::new(PostgresStored {
        line: Line::new(at),
        place: at.to_string(),
    }))
}

impl PostgresStored {
    fn ask<T>(&mut self, work: impl AsyncFnOnce(&Session) -> Step<T>) -> Result<T> {
        let asked = match self.line.open() {
            Ok((session, _)) => session.wait(work(session)),
            Err(failed) => Err(failed),
        };
        asked.map_err(|e| failure::failed(&self.place, e))
    }
}

impl Stored for PostgresStored {
    fn tables(&mut self) -> Result<Vec<Noted>> {
        let none = format!("{}: no store of wattline", self.place);
        self.ask(async |session| {
            if !store::has_tables(session).await? {
                return Err(Error::new(Kind::NotFound, none).into());
            }
            store::check_format(session).await?;
            let noted = session.table("wattline_table");
            let sql = format!("SELECT name, what, pipeline, tz FROM {noted} ORDER BY name");
            let rows = session.client.query_typed(&sql, &[]).await?;
            let one = |row: &Row| Noted {
                name: row.get(0),
                what: row.get(1),
                pipeline: row.get(2),
                tz: row.get(3),
            };
            Ok(rows.iter().map(one).collect())
        })
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>> {
        self.ask(async |session| {
            let found = super::describe::table(session, table).await?;
            let columns = found.map(|f| f.theirs.columns).unwrap_or_default();
            Ok(columns.into_iter().map(|c| c.name).collect())
        })
    }

    fn counts(&mut self, table: &str, grain: &str) -> Result<BTreeMap<String, u64>> {
        self.ask(async |session| {
            let (table, grain) = (session.table(table), quoted(grain));
            let sql = format!("SELECT {grain}::text, count(*) FROM {table} GROUP BY 1");
            let rows = session.client.query_typed(&sql, &[]).await?;
            let pair = |row: &Row| {
                Some((
                    row.get::<_, Option<String>>(0)?,
                    row.get::<_, i64>(1) as u64,
                ))
            };
            Ok(rows.iter().filter_map(pair).collect())
        })
    }

    fn rows(&mut self, wanted: &Wanted, each: &mut Each<'_>) -> Result<()> {
        let schema = schema(wanted);
        let kinds: Vec<&DataType> = schema.fields().iter().map(|f| f.data_type()).collect();
        self.ask(async |session| {
            let columns = wanted.columns.iter().zip(&kinds);
            let columns: Vec<String> = columns.map(|((name, _), kind)| cast(name, kind)).collect();
            let mut sql = format!(
                "SELECT {} FROM {}",
                columns.join(", "),
                session.table(&wanted.table)
            );
            let mut told: Vec<(&(dyn ToSql + Sync), Type)> = Vec::new();
            if let Some((column, grain)) = &wanted.grain {
                sql += &format!(" WHERE {}::text = $1", quoted(column));
                told.push((grain, Type::TEXT));
            }
            if let Some(most) = wanted.most {
                sql += &format!(" LIMIT {most}");
            }
            let rows = session.client.query_typed_raw(&sql, told).await?;
            pin_mut!(rows);
            let mut pieces = Pieces::new(wanted, each);
            while let Some(row) = rows.next().await {
                let row = row?;
                pieces.push(
                    kinds
                        .iter()
                        .enumerate()
                        .map(|(i, kind)| datum(&row, i, kind)),
                )?;
            }
            Ok(pieces.hand_on()?)
        })
    }
}

/// A column in the one type in which values of its kind are taken, whatever the table declares.
fn cast(name: &str, kind: &DataType) -> String {
    let name = quoted(name);
    match kind {
        DataType::Utf8 => format!("{name}::text"),
        DataType::Int64 => format!("{name}::bigint"),
        DataType::Boolean => format!("{name}::boolean"),
        DataType::Timestamp(..) => format!("(extract(epoch FROM {name}) * 1000000)::bigint"),
        _ => format!("{name}::double precision"),
    }
}

fn datum(row: &Row, place: usize, kind: &DataType) -> Datum {
    let found = match kind {
        DataType::Utf8 => row.get::<_, Option<String>>(place).map(Datum::Text),
        DataType::Int64 | DataType::Timestamp(..) => {
            row.get::<_, Option<i64>>(place).map(Datum::Integer)
        }
        DataType::Boolean => row
            .get::<_, Option<bool>>(place)
            .map(|yes| Datum::Integer(yes.into())),
        _ => row.get::<_, Option<f64>>(place).map(Datum::Real),
    };
    found.unwrap_or(Datum::Null)
}
