//! wattline's own tables in the file: heads, records, who applied what, whose table is whose.

use crate::flush::{Flush, Head};
use crate::sink::sql::quoted;
use crate::sink::{Applied, Claim, Owned};
use crate::{Error, Kind, Result, faults};
use rusqlite::{Connection, OptionalExtension, params};

/// Version of these tables; a greater one is refused.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS wattline_meta (
  key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wattline_table (
  name TEXT PRIMARY KEY COLLATE NOCASE, what TEXT NOT NULL, pipeline TEXT NOT NULL,
  tz TEXT NOT NULL, sensor TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wattline_head (
  pipeline TEXT NOT NULL, partition INTEGER NOT NULL, epoch INTEGER NOT NULL,
  token TEXT NOT NULL, owner TEXT NOT NULL, since TEXT NOT NULL, n INTEGER NOT NULL, head TEXT,
  PRIMARY KEY (pipeline, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wattline_flush (
  pipeline TEXT NOT NULL, partition INTEGER NOT NULL, n INTEGER NOT NULL,
  record BLOB NOT NULL, effects BLOB,
  PRIMARY KEY (pipeline, partition, n));
CREATE TABLE IF NOT EXISTS wattline_applied (
  pipeline TEXT NOT NULL, partition INTEGER NOT NULL, name TEXT NOT NULL,
  owner_epoch INTEGER NOT NULL, lineage TEXT, epoch INTEGER, n INTEGER,
  PRIMARY KEY (pipeline, partition, name)) WITHOUT ROWID;
";

/// Errors of this room's SQL steps: SQLite's own, or one of ours.
pub(super) enum Failed {
    /// SQLite's.
    Sql(rusqlite::Error),
    /// One that is said already.
    Said(Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(e: rusqlite::Error) -> Self {
        Failed::Sql(e)
    }
}

impl From<Error> for Failed {
    fn from(e: Error) -> Self {
        Failed::Said(e)
    }
}

/// The result of a step.
pub(super) type Step<T> = std::result::Result<T, Failed>;

/// Makes the tables that are missing; refuses those of a newer version.
pub(super) fn make(conn: &Connection) -> Step<()> {
    if has_tables(conn)? {
        return check_format(conn);
    }
    conn.execute_batch(TABLES)?;
    let sql = "INSERT INTO wattline_meta (key, value) VALUES ('format', ?1) ON CONFLICT DO NOTHING";
    conn.execute(sql, [FORMAT])?;
    check_format(conn)
}

/// Whether the file has our tables.
pub(super) fn has_tables(conn: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'wattline_meta'";
    conn.query_row(sql, [], |r| r.get(0))
}

fn check_format(conn: &Connection) -> Step<()> {
    let sql = "SELECT value FROM wattline_meta WHERE key = 'format'";
    let found: Option<i64> = conn.query_row(sql, [], |r| r.get(0)).optional()?;
    match found {
        Some(found) if found > FORMAT => Err(Failed::Said(Error::new(
            Kind::SpecChanged,
            format!(
                "the file was written by a newer wattline (format {found}, this one knows {FORMAT}); upgrade wattline"
            ),
        ))),
        _ => Ok(()),
    }
}

/// The stored owner of a partition.
pub(super) struct Stored {
    pub epoch: u64,
    pub token: String,
    pub owner: String,
    pub n: u64,
    pub head: Option<Head>,
}

impl Stored {
    /// `host pid 12 since ...`.
    fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Stored, Option<String>)> {
        let (owner, since): (String, String) = (row.get(2)?, row.get(3)?);
        let stored = Stored {
            epoch: row.get::<_, i64>(0)? as u64,
            token: row.get(1)?,
            owner: format!("{owner} since {since}"),
            n: row.get::<_, i64>(4)? as u64,
            head: None,
        };
        Ok((stored, row.get(5)?))
    }
}

/// Reads who owns a partition and its head.
pub(super) fn stored(conn: &Connection, pipeline: &str, partition: u32) -> Step<Option<Stored>> {
    let sql = "SELECT epoch, token, owner, since, n, head FROM wattline_head WHERE pipeline = ?1 AND partition = ?2";
    let found = conn
        .prepare_cached(sql)?
        .query_row(params![pipeline, partition], Stored::from_row)
        .optional()?;
    let Some((mut stored, head)) = found else {
        return Ok(None);
    };
    stored.head = head.map(|h| parse_head(&h)).transpose()?;
    Ok(Some(stored))
}

fn parse_head(text: &str) -> Result<Head> {
    serde_json::from_str(text).map_err(|e| {
        Error::new(
            Kind::DataLost,
            "the stored head cannot be read: the file is damaged or was edited; restore it from a copy",
        )
        .because(e)
    })
}

/// Takes the next epoch for a claim; the same claim again keeps its own.
pub(super) fn take_epoch(conn: &Connection, claim: &Claim) -> Step<(u64, Option<Head>)> {
    let before = stored(conn, &claim.pipeline, claim.partition)?;
    let epoch = match &before {
        Some(s) if s.token == claim.token => s.epoch,
        Some(s) => s.epoch + 1,
        None => 1,
    };
    let sql = "INSERT INTO wattline_head (pipeline, partition, epoch, token, owner, since, n) VALUES (?1, ?2, ?3, ?4, ?5, datetime('now'), 0)
      ON CONFLICT (pipeline, partition) DO UPDATE SET epoch = excluded.epoch, token = excluded.token, owner = excluded.owner, since = excluded.since";
    conn.execute(
        sql,
        params![
            claim.pipeline,
            claim.partition,
            epoch as i64,
            claim.token,
            claim.owner
        ],
    )?;
    Ok((epoch, before.and_then(|s| s.head)))
}

/// State records from the last fold on, and the whole flushes that are kept.
pub(super) fn owned(
    conn: &Connection,
    epoch: u64,
    head: Option<Head>,
    at: (&str, u32),
) -> Step<Owned> {
    let fold = head.as_ref().map_or(0, |h| h.fold.n);
    let mut pairs = Vec::new();
    let sql = "SELECT record, effects FROM wattline_flush WHERE pipeline = ?1 AND partition = ?2 ORDER BY n";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![at.0, at.1])?;
    while let Some(row) = rows.next()? {
        let record = Flush::decode(row.get_ref(0)?.as_blob().unwrap_or_default())?;
        let effects = row.get_ref(1)?.as_blob_or_null().unwrap_or_default();
        pairs.push((record, effects.map(Flush::decode).transpose()?));
    }
    let (records, unapplied) = crate::sink::unapplied(pairs, fold);
    Ok(Owned {
        epoch,
        head,
        records,
        unapplied,
    })
}

/// Stores the record of a flush and moves the head to it.
pub(super) fn put(
    conn: &Connection,
    head: &Head,
    record: &[u8],
    effects: Option<&[u8]>,
) -> Step<()> {
    let text = serde_json::to_string(head)
        .map_err(|e| Error::new(Kind::Internal, "a head cannot be written").because(e))?;
    let at = (&head.pipeline, head.partition, head.id.n as i64);
    conn.prepare_cached(
        "INSERT INTO wattline_flush (pipeline, partition, n, record, effects) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![at.0, at.1, at.2, record, effects])?;
    conn.prepare_cached(
        "UPDATE wattline_head SET n = ?3, head = ?4 WHERE pipeline = ?1 AND partition = ?2",
    )?
    .execute(params![at.0, at.1, at.2, text])?;
    Ok(())
}

/// The deliberate defect `in_place`: the newest stored record is overwritten before the decision.
pub(super) fn overwrite_newest(conn: &Connection, head: &Head, record: &[u8]) -> Step<()> {
    if faults::broken("in_place") {
        let sql = "UPDATE wattline_flush SET record = ?3 WHERE pipeline = ?1 AND partition = ?2 AND n = ?4";
        let n = head.id.n as i64 - 1;
        conn.execute(sql, params![head.pipeline, head.partition, record, n])?;
    }
    Ok(())
}

/// Drops effects that every sink shows, and records before the last fold.
pub(super) fn prune(conn: &Connection, pipeline: &str, partition: u32, upto: u64) -> Step<()> {
    let Some(stored) = stored(conn, pipeline, partition)? else {
        return Ok(());
    };
    let fold = stored.head.map_or(0, |h| h.fold.n);
    let at = params![pipeline, partition, upto as i64];
    conn.prepare_cached(
        "UPDATE wattline_flush SET effects = NULL WHERE pipeline = ?1 AND partition = ?2 AND n <= ?3 AND effects IS NOT NULL",
    )?
    .execute(at)?;
    let at = params![pipeline, partition, fold as i64];
    conn.prepare_cached(
        "DELETE FROM wattline_flush WHERE pipeline = ?1 AND partition = ?2 AND n < ?3 AND effects IS NULL",
    )?
    .execute(at)?;
    Ok(())
}

/// The newest epoch that may apply to a table, and what it shows.
pub(super) fn applied(
    conn: &Connection,
    pipeline: &str,
    partition: u32,
    table: &str,
) -> Step<(u64, Option<Applied>)> {
    let sql = "SELECT owner_epoch, lineage, epoch, n FROM wattline_applied WHERE pipeline = ?1 AND partition = ?2 AND name = ?3";
    let read = |row: &rusqlite::Row<'_>| {
        let fence = row.get::<_, i64>(0)? as u64;
        let lineage: Option<String> = row.get(1)?;
        let (epoch, n): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        let applied = lineage
            .zip(epoch)
            .zip(n)
            .map(|((lineage, epoch), n)| Applied {
                lineage,
                id: crate::flush::FlushId {
                    epoch: epoch as u64,
                    n: n as u64,
                },
            });
        Ok((fence, applied))
    };
    let found = conn
        .prepare_cached(sql)?
        .query_row(params![pipeline, partition, table], read)
        .optional()?;
    Ok(found.unwrap_or((0, None)))
}

/// Whether a table has shown a flush of a pipeline.
pub(super) fn ever_shown(conn: &Connection, pipeline: &str, table: &str) -> Step<bool> {
    if !has_tables(conn)? {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM wattline_applied WHERE pipeline = ?1 AND name = ?2 COLLATE NOCASE AND n > 0)";
    Ok(conn.query_row(sql, [pipeline, table], |r| r.get(0))?)
}

/// Whether a table has no row.
pub(super) fn is_empty(conn: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", quoted(table));
    conn.query_row(&sql, [], |r| r.get(0))
}

/// Lets only owners of `epoch` and later apply to a table.
pub(super) fn fence(conn: &Connection, at: (&str, u32, &str), epoch: u64) -> Step<()> {
    let sql = "INSERT INTO wattline_applied (pipeline, partition, name, owner_epoch) VALUES (?1, ?2, ?3, ?4)
      ON CONFLICT DO UPDATE SET owner_epoch = max(owner_epoch, excluded.owner_epoch)";
    conn.prepare_cached(sql)?
        .execute(params![at.0, at.1, at.2, epoch as i64])?;
    Ok(())
}

/// Notes that a table shows a flush.
pub(super) fn shows(conn: &Connection, at: (&str, u32, &str), flush: &Flush) -> Step<()> {
    let sql = "INSERT INTO wattline_applied (pipeline, partition, name, owner_epoch, lineage, epoch, n) VALUES (?1, ?2, ?3, ?5, ?4, ?5, ?6)
      ON CONFLICT DO UPDATE SET lineage = excluded.lineage, epoch = excluded.epoch, n = excluded.n";
    conn.prepare_cached(sql)?.execute(params![
        at.0,
        at.1,
        at.2,
        flush.lineage,
        flush.id.epoch as i64,
        flush.id.n as i64
    ])?;
    Ok(())
}

/// Whose a table is: what, pipeline, zone, and its one sensor where the key does not tell sensors apart.
pub(super) struct Belongs {
    pub what: String,
    pub pipeline: String,
    pub tz: String,
    pub sensor: Option<String>,
}

/// Reads whose a table is.
pub(super) fn belongs(conn: &Connection, table: &str) -> Step<Option<Belongs>> {
    let sql = "SELECT what, pipeline, tz, sensor FROM wattline_table WHERE name = ?1";
    let read = |r: &rusqlite::Row<'_>| {
        Ok(Belongs {
            what: r.get(0)?,
            pipeline: r.get(1)?,
            tz: r.get(2)?,
            sensor: r.get(3)?,
        })
    };
    Ok(conn
        .prepare_cached(sql)?
        .query_row([table], read)
        .optional()?)
}

/// Notes whose a table is.
pub(super) fn claim_table(conn: &Connection, table: &str, b: &Belongs) -> Step<()> {
    let sql =
        "INSERT INTO wattline_table (name, what, pipeline, tz, sensor) VALUES (?1, ?2, ?3, ?4, ?5)
      ON CONFLICT DO UPDATE SET sensor = excluded.sensor";
    conn.prepare_cached(sql)?
        .execute(params![table, b.what, b.pipeline, b.tz, b.sensor])?;
    Ok(())
}
