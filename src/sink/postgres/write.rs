//! Rows of a flush into their table: straight, where every row is new, or over a temporary table.

use super::copy::{CHUNK, Encoder, HEADER, TRAILER};
use super::describe;
use super::failure::{self, Step};
use super::session::Session;
use crate::sink::cells::{self, Cells};
use crate::sink::mapping::{Mapping, class_of};
use crate::sink::sql::{list, quoted, same};
use crate::sink::{OnSameTime, What, rows};
use crate::time::Zone;
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use futures_util::SinkExt;
use std::cell::Cell;
use std::io::Cursor;
use std::pin::pin;

/// The temporary table of a connection; emptied by each commit.
const STAGE: &str = "pg_temp.wattline_stage";
/// The place of a row in its flush.
const PLACE: &str = "wattline_place";

/// The statements of one table.
#[derive(Debug)]
pub(super) struct Writer {
    mapping: Mapping,
    what: What,
    encoder: Encoder,
    /// Rows are taken to be new, until one was not.
    straight: Cell<bool>,
}

impl Writer {
    /// Statements for `mapping`; `found`: the table as it is, if it is there.
    pub fn new(
        mapping: Mapping,
        what: What,
        found: Option<&describe::Table>,
        zone: Zone,
    ) -> Writer {
        let kept = |(name, ours): &(String, _)| {
            let theirs = found.and_then(|t| t.kept.iter().find(|(n, _)| n == name));
            let ours = || describe::kept(class_of(&mapping.schema, *ours));
            (name.clone(), theirs.map_or_else(ours, |(_, kept)| *kept))
        };
        let natural = rows::natural_key(what, &mapping.schema).len() == mapping.key.len();
        Writer {
            encoder: Encoder {
                table: mapping.table.clone(),
                columns: mapping.columns.iter().map(kept).collect(),
                zone,
                shows_nul: what == What::Rejects,
                numbered: mapping.same_time.is_some(),
            },
            // A reading is in one flush, and a flush is written once.
            straight: Cell::new(what != What::Windows && natural && mapping.same_time.is_none()),
            mapping,
            what,
        }
    }

    /// DDL of the table, where it has to be made.
    pub fn create(&self, session: &Session) -> String {
        let m = &self.mapping;
        let column = |(name, ours): &(String, _)| {
            let must = m.key.iter().any(|k| same(k, name));
            format!(
                "{} {}{}",
                quoted(name),
                describe::declared(class_of(&m.schema, *ours)),
                if must { " NOT NULL" } else { "" }
            )
        };
        let columns: Vec<String> = m.columns.iter().map(column).collect();
        format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({}))",
            session.table(&m.table),
            columns.join(", "),
            list(&m.key)
        )
    }

    /// Their columns.
    pub fn names(&self) -> Vec<String> {
        self.mapping
            .columns
            .iter()
            .map(|(n, _)| n.clone())
            .collect()
    }

    /// The rows are taken to be new and go straight into the table.
    pub fn is_straight(&self) -> bool {
        self.straight.get()
    }

    /// Some row was there already: from now on rows go over the temporary table.
    pub fn not_straight(&self) {
        self.straight.set(false);
    }

    /// Makes the temporary table of this connection, if rows go over one; before the transaction.
    pub async fn make_stage(&self, session: &Session) -> Step<()> {
        if self.is_straight() || session.staged.get() {
            return Ok(());
        }
        let place = format!(", 0::bigint AS {PLACE}");
        let sql = format!(
            "CREATE TEMPORARY TABLE wattline_stage ON COMMIT DELETE ROWS AS SELECT {}{} FROM {} WHERE false",
            list(&self.names()),
            if self.encoder.numbered { &place } else { "" },
            session.table(&self.mapping.table)
        );
        session.client.batch_execute(&sql).await?;
        session.staged.set(true);
        Ok(())
    }

    /// Sends rows into the temporary table; touches nothing that others see. The transaction must have begun.
    pub async fn stage(&self, session: &Session, batches: &[RecordBatch]) -> Step<()> {
        let copied = self.copy(session, STAGE, batches).await;
        copied.map_err(|e| failure::row(&self.mapping.table, e))
    }

    /// Writes the rows, which are staged unless they go straight; gives how many fell on a key already taken.
    pub async fn write(&self, session: &Session, batches: &[RecordBatch]) -> Step<u64> {
        if batches.is_empty() {
            return Ok(0);
        }
        let table = session.table(&self.mapping.table);
        if self.is_straight() {
            let sent = self.copy(session, &table, batches).await;
            return match sent {
                Ok(()) => Ok(0),
                // Told as it is: another way is open then.
                Err(e) if failure::duplicate(&e) => Err(e),
                Err(e) => Err(failure::row(&self.mapping.table, e)),
            };
        }
        let written = self.unstage(session, &table).await;
        let written = written.map_err(|e| failure::row(&self.mapping.table, e))?;
        let sent: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let counts = self.mapping.same_time.is_some();
        Ok(if counts {
            (sent as u64).saturating_sub(written)
        } else {
            0
        })
    }

    async fn copy(&self, session: &Session, table: &str, batches: &[RecordBatch]) -> Step<()> {
        let columns = self.sent_columns();
        let sql = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
        let mut into = pin!(session.client.copy_in::<_, Cursor<Vec<u8>>>(&sql).await?);
        let mut chunk = Vec::with_capacity(CHUNK + 4096);
        chunk.extend_from_slice(HEADER);
        let mut place = 0;
        for batch in batches {
            let batch = cells::in_key_order(&self.mapping, self.what, batch)?;
            let mut cells = Cells::of(&self.mapping, self.what, &batch)?;
            self.encoder.prepare(&mut cells)?;
            for row in 0..batch.num_rows() {
                self.encoder.row(&mut cells, row, place, &mut chunk)?;
                place += 1;
                if chunk.len() >= CHUNK {
                    let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK + 4096));
                    into.as_mut().send(Cursor::new(full)).await?;
                }
            }
        }
        chunk.extend_from_slice(&TRAILER);
        into.as_mut().send(Cursor::new(chunk)).await?;
        into.as_mut().finish().await?;
        Ok(())
    }

    fn sent_columns(&self) -> String {
        let mut names = list(&self.names());
        if self.encoder.numbered {
            names += &format!(", {PLACE}");
        }
        names
    }

    /// Out of the temporary table; gives how many rows were new or changed.
    async fn unstage(&self, session: &Session, table: &str) -> Step<u64> {
        let inserted = session
            .client
            .execute_typed(&self.insert(table), &[])
            .await?;
        if self.mapping.same_time == Some(OnSameTime::Last) {
            session
                .client
                .execute_typed(&self.update(table), &[])
                .await?;
        }
        Ok(inserted)
    }

    fn insert(&self, table: &str) -> String {
        let m = &self.mapping;
        let (names, key) = (list(&self.names()), list(&m.key));
        let into = format!("INSERT INTO {table} AS had ({names})");
        let outside = self.outside_key();
        match m.same_time {
            Some(OnSameTime::Raise) => format!("{into} SELECT {names} FROM {STAGE}"),
            Some(on) => format!(
                "{into} {} ON CONFLICT ({key}) DO NOTHING",
                self.one_a_key(on)
            ),
            None if outside.is_empty() => {
                format!("{into} SELECT {names} FROM {STAGE} ON CONFLICT ({key}) DO NOTHING")
            }
            // A row that is the same already is left alone: no new version of it, no log.
            None => format!(
                "{into} SELECT {names} FROM {STAGE} ON CONFLICT ({key}) DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})",
                joined(&outside, ", ", |c| format!("{c} = excluded.{c}")),
                joined(&outside, ", ", |c| format!("had.{c}")),
                joined(&outside, ", ", |c| format!("excluded.{c}")),
            ),
        }
    }

    /// The first or last staged row of each key.
    fn one_a_key(&self, on: OnSameTime) -> String {
        let key = list(&self.mapping.key);
        let order = if on == OnSameTime::Last { " DESC" } else { "" };
        format!(
            "SELECT DISTINCT ON ({key}) {} FROM {STAGE} ORDER BY {key}, {PLACE}{order}",
            list(&self.names())
        )
    }

    /// Overwrites the row that holds the key: `on_same_time = last`, after the insert.
    fn update(&self, table: &str) -> String {
        let mut outside = self.outside_key();
        if outside.is_empty() {
            outside = self.mapping.key.iter().map(|k| quoted(k)).collect();
        }
        let key: Vec<String> = self.mapping.key.iter().map(|k| quoted(k)).collect();
        format!(
            "UPDATE {table} AS had SET {} FROM ({}) AS new WHERE {} AND ({}) IS DISTINCT FROM ({})",
            joined(&outside, ", ", |c| format!("{c} = new.{c}")),
            self.one_a_key(OnSameTime::Last),
            joined(&key, " AND ", |c| format!("had.{c} = new.{c}")),
            joined(&outside, ", ", |c| format!("had.{c}")),
            joined(&outside, ", ", |c| format!("new.{c}")),
        )
    }

    fn outside_key(&self) -> Vec<String> {
        let m = &self.mapping;
        let names = m.columns.iter().map(|(name, _)| name);
        let outside = names.filter(|name| !m.key.contains(name));
        outside.map(|name| quoted(name)).collect()
    }
}

fn joined(names: &[String], between: &str, one: impl Fn(&str) -> String) -> String {
    let all: Vec<String> = names.iter().map(|n| one(n)).collect();
    all.join(between)
}

/// The zone of a pipeline.
pub(super) fn zone(name: &str) -> Result<Zone> {
    Zone::parse(name).map_err(|e| Error::new(Kind::Usage, e.message))
}
