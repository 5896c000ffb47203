//! The rows of the file, read back through a connection that cannot write.

use super::failure;
use super::guard::Guarded;
use crate::sink::Sqlite;
use crate::sink::sql::quoted;
use crate::sink::stored::{Datum, Each, Noted, Pieces, Stored, Wanted};
use crate::{Error, Kind, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A file that is open to be read.
pub(in crate::sink) struct SqliteStored {
    path: PathBuf,
    conn: Guarded,
}

impl SqliteStored {
    /// Errors: `NotFound` where there is no such file.
    pub(super) fn new(at: &Sqlite) -> Result<SqliteStored> {
        if !at.path.exists() {
            let message = format!("{}: no such store", at.path.display());
            return Err(Error::new(Kind::NotFound, message));
        }
        let patience = Duration::from_secs_f64(at.busy_timeout.clamp(0.0, 1e6));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Guarded::open(&at.path, patience, || {
            let conn = Connection::open_with_flags(&at.path, flags)?;
            conn.busy_timeout(patience)?;
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(conn)
        });
        Ok(SqliteStored {
            conn: conn.map_err(|e| failure::said(&at.path, e))?,
            path: at.path.clone(),
        })
    }

    fn all<T>(
        &self,
        sql: &str,
        one: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let read = || -> rusqlite::Result<Vec<T>> {
            self.conn.prepare(sql)?.query_map([], one)?.collect()
        };
        read().map_err(|e| failure::said(&self.path, e))
    }
}

impl Stored for SqliteStored {
    fn tables(&mut self) -> Result<Vec<Noted>> {
        let known = "SELECT 1 FROM sqlite_schema WHERE name = 'wattline_table'";
        if self.all(known, |_| Ok(()))?.is_empty() {
            let message = format!("{}: no store of wattline", self.path.display());
            return Err(Error::new(Kind::Usage, message));
        }
        let sql = "SELECT name, what, pipeline, tz FROM wattline_table ORDER BY name";
        self.all(sql, |row| {
            Ok(Noted {
                name: row.get(0)?,
                what: row.get(1)?,
                pipeline: row.get(2)?,
                tz: row.get(3)?,
            })
        })
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>> {
        let sql = format!("SELECT name FROM pragma_table_xinfo({})", quoted(table));
        self.all(&sql, |row| row.get(0))
    }

    fn counts(&mut self, table: &str, grain: &str) -> Result<BTreeMap<String, u64>> {
        let (table, grain) = (quoted(table), quoted(grain));
        let sql = format!("SELECT {grain}, count(*) FROM {table} GROUP BY 1");
        let pairs = self.all(&sql, |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
        Ok(pairs.into_iter().collect())
    }

    fn rows(&mut self, wanted: &Wanted, each: &mut Each<'_>) -> Result<()> {
        let said = |e| failure::said(&self.path, e);
        let columns: Vec<String> = wanted
            .columns
            .iter()
            .map(|(name, _)| quoted(name))
            .collect();
        let mut sql = format!(
            "SELECT {} FROM {}",
            columns.join(", "),
            quoted(&wanted.table)
        );
        if let Some((column, _)) = &wanted.grain {
            sql += &format!(" WHERE {} = ?1", quoted(column));
        }
        let mut statement = self.conn.prepare(&sql).map_err(said)?;
        let grain = wanted.grain.iter().map(|(_, grain)| grain);
        let mut rows = statement
            .query(rusqlite::params_from_iter(grain))
            .map_err(said)?;
        let mut pieces = Pieces::new(wanted, each);
        while let Some(row) = rows.next().map_err(said)? {
            if pieces.full() {
                break;
            }
            pieces.push((0..columns.len()).map(|i| datum(row, i)))?;
        }
        pieces.hand_on()
    }
}

fn datum(row: &Row<'_>, place: usize) -> Datum {
    match row.get_ref(place) {
        Ok(ValueRef::Integer(n)) => Datum::Integer(n),
        Ok(ValueRef::Real(v)) => Datum::Real(v),
        Ok(ValueRef::Text(text) | ValueRef::Blob(text)) => {
            Datum::Text(String::from_utf8_lossy(text).into_owned())
        }
        Ok(ValueRef::Null) | Err(_) => Datum::Null,
    }
}
