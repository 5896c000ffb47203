//! wattline's own tables in the database: heads, records, who applied what, whose table is whose.

use super::failure::{Failed, Step};
use super::session::{Backend, Session};
use crate::flush::{Flush, FlushId, Head};
use crate::sink::{Applied, Claim, Owned};
use crate::{Error, Kind, Result, faults};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// Version of these tables; a greater one is refused.
const FORMAT: i64 = 1;

/// The tables, and what a user must be allowed to do with each.
pub(super) const TABLES: [&str; 5] = [
    "wattline_meta",
    "wattline_table",
    "wattline_head",
    "wattline_flush",
    "wattline_applied",
];

const COLUMNS: [&str; 5] = [
    "key text PRIMARY KEY, value bigint NOT NULL",
    "name text PRIMARY KEY, what text NOT NULL, pipeline text NOT NULL, tz text NOT NULL, sensor text",
    "pipeline text, partition bigint, epoch bigint NOT NULL, token text NOT NULL, owner text NOT NULL,
     since timestamptz NOT NULL DEFAULT now(), backend integer, backend_start text, n bigint NOT NULL, head text,
     PRIMARY KEY (pipeline, partition)",
    "pipeline text, partition bigint, n bigint, record bytea NOT NULL, effects bytea,
     PRIMARY KEY (pipeline, partition, n)",
    "pipeline text, partition bigint, name text, owner_epoch bigint NOT NULL, backend integer, backend_start text,
     lineage text, epoch bigint, n bigint, PRIMARY KEY (pipeline, partition, name)",
];

/// Two who make tables at the same time wait for each other.
const MAKING: i64 = 0x7761_7474;

/// Parameters with their types: one round trip a statement.
type Told<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

async fn one(session: &Session, sql: &str, told: Told<'_>) -> Step<Option<Row>> {
    Ok(session.client.query_typed_opt(sql, told).await?)
}

async fn run(session: &Session, sql: &str, told: Told<'_>) -> Step<u64> {
    Ok(session.client.execute_typed(sql, told).await?)
}

/// Makes the tables that are missing, inside a transaction; refuses those of a newer version.
pub(super) async fn make(session: &Session) -> Step<()> {
    if !has_tables(session).await? {
        one_at_a_time(session).await?;
        let mut all = String::new();
        for (name, columns) in TABLES.iter().zip(COLUMNS) {
            let table = session.table(name);
            all += &format!("CREATE TABLE IF NOT EXISTS {table} ({columns});\n");
        }
        // What is in a record is packed already.
        all += &format!(
            "ALTER TABLE {} ALTER COLUMN record SET STORAGE EXTERNAL, ALTER COLUMN effects SET STORAGE EXTERNAL;\n",
            session.table("wattline_flush")
        );
        all += &format!(
            "INSERT INTO {} (key, value) VALUES ('format', {FORMAT}) ON CONFLICT DO NOTHING;",
            session.table("wattline_meta")
        );
        session.client.batch_execute(&all).await?;
    }
    check_format(session).await
}

/// Nobody else makes tables until this transaction ends.
pub(super) async fn one_at_a_time(session: &Session) -> Step<()> {
    let lock = "SELECT pg_advisory_xact_lock($1)";
    run(session, lock, &[(&MAKING, Type::INT8)]).await.map(drop)
}

/// Whether the schema has our tables.
pub(super) async fn has_tables(session: &Session) -> Step<bool> {
    let table = session.table("wattline_applied");
    let sql = "SELECT 1 WHERE to_regclass($1) IS NOT NULL";
    let found = one(session, sql, &[(&table, Type::TEXT)]).await?;
    Ok(found.is_some())
}

/// Refuses tables of a newer version.
pub(super) async fn check_format(session: &Session) -> Step<()> {
    let sql = format!(
        "SELECT value FROM {} WHERE key = 'format'",
        session.table("wattline_meta")
    );
    let found: Option<i64> = one(session, &sql, &[]).await?.map(|r| r.get(0));
    match found {
        Some(found) if found > FORMAT => Err(Failed::Said(Error::new(
            Kind::SpecChanged,
            format!(
                "the tables in schema {:?} were written by a newer wattline (format {found}, this one knows {FORMAT}); upgrade wattline",
                session.schema
            ),
        ))),
        _ => Ok(()),
    }
}

/// The stored owner of a partition.
pub(super) struct Stored {
    pub epoch: u64,
    pub token: String,
    /// `process 12 on host since ...`.
    pub owner: String,
    pub backend: Option<Backend>,
    pub n: u64,
    pub head: Option<Head>,
}

/// Reads who owns a partition and its head; `lock`: until the transaction ends nobody else moves it.
pub(super) async fn stored(session: &Session, at: (&str, u32), lock: bool) -> Step<Option<Stored>> {
    let sql = format!(
        "SELECT epoch, token, owner || ' since ' || to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SSZ'),
           backend, backend_start, n, head
         FROM {} WHERE pipeline = $1 AND partition = $2{}",
        session.table("wattline_head"),
        if lock { " FOR UPDATE" } else { "" }
    );
    let told: Told<'_> = &[(&at.0, Type::TEXT), (&i64::from(at.1), Type::INT8)];
    let Some(row) = one(session, &sql, told).await? else {
        return Ok(None);
    };
    let head: Option<String> = row.get(6);
    Ok(Some(Stored {
        epoch: row.get::<_, i64>(0) as u64,
        token: row.get(1),
        owner: row.get(2),
        backend: backend(&row, 3),
        n: row.get::<_, i64>(5) as u64,
        head: head.map(|h| parse_head(&h)).transpose()?,
    }))
}

fn backend(row: &Row, at: usize) -> Option<Backend> {
    let pid: Option<i32> = row.get(at);
    let start: Option<String> = row.get(at + 1);
    pid.map(|pid| Backend {
        pid,
        start: start.unwrap_or_default(),
    })
}

fn parse_head(text: &str) -> Result<Head> {
    serde_json::from_str(text).map_err(|e| {
        Error::new(
            Kind::DataLost,
            "the stored head cannot be read: the table was damaged or edited; restore it from a copy",
        )
        .because(e)
    })
}

/// Takes the next epoch for a claim, the row of `before` being locked; the same claim again keeps its own.
pub(super) async fn take_epoch(
    session: &Session,
    claim: &Claim,
    before: Option<&Stored>,
) -> Step<u64> {
    let epoch = match before {
        Some(s) if s.token == claim.token => s.epoch,
        Some(s) => s.epoch + 1,
        None => 1,
    };
    let sql = format!(
        "INSERT INTO {} (pipeline, partition, epoch, token, owner, backend, backend_start, n) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
         ON CONFLICT (pipeline, partition) DO UPDATE SET epoch = excluded.epoch, token = excluded.token,
           owner = excluded.owner, since = excluded.since, backend = excluded.backend, backend_start = excluded.backend_start",
        session.table("wattline_head")
    );
    let told: Told<'_> = &[
        (&claim.pipeline, Type::TEXT),
        (&i64::from(claim.partition), Type::INT8),
        (&(epoch as i64), Type::INT8),
        (&claim.token, Type::TEXT),
        (&claim.owner, Type::TEXT),
        (&session.backend.pid, Type::INT4),
        (&session.backend.start, Type::TEXT),
    ];
    run(session, &sql, told).await?;
    Ok(epoch)
}

/// Names the backend that the owner `token` has now, or none: the partition is given up.
pub(super) async fn announce(
    session: &Session,
    at: (&str, u32),
    token: &str,
    backend: Option<&Backend>,
) -> Step<()> {
    let sql = format!(
        "UPDATE {} SET backend = $4, backend_start = $5 WHERE pipeline = $1 AND partition = $2 AND token = $3",
        session.table("wattline_head")
    );
    let told: Told<'_> = &[
        (&at.0, Type::TEXT),
        (&i64::from(at.1), Type::INT8),
        (&token, Type::TEXT),
        (&backend.map(|b| b.pid), Type::INT4),
        (&backend.map(|b| b.start.as_str()), Type::TEXT),
    ];
    run(session, &sql, told).await.map(drop)
}

/// State records from the last fold on, and the whole flushes that are kept.
pub(super) async fn owned(
    session: &Session,
    epoch: u64,
    head: Option<Head>,
    at: (&str, u32),
) -> Step<Owned> {
    let fold = head.as_ref().map_or(0, |h| h.fold.n);
    let sql = format!(
        "SELECT record, effects FROM {} WHERE pipeline = $1 AND partition = $2 ORDER BY n",
        session.table("wattline_flush")
    );
    let told: Told<'_> = &[(&at.0, Type::TEXT), (&i64::from(at.1), Type::INT8)];
    let mut pairs = Vec::new();
    for row in session.client.query_typed(&sql, told).await? {
        let effects: Option<&[u8]> = row.get(1);
        pairs.push((
            Flush::decode(row.get(0))?,
            effects.map(Flush::decode).transpose()?,
        ));
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
pub(super) async fn put(
    session: &Session,
    head: &Head,
    record: &[u8],
    effects: Option<&[u8]>,
) -> Step<()> {
    let text = serde_json::to_string(head)
        .map_err(|e| Error::new(Kind::Internal, "a head cannot be written").because(e))?;
    let sql = format!(
        "WITH moved AS (UPDATE {} SET n = $3, head = $6 WHERE pipeline = $1 AND partition = $2)
         INSERT INTO {} (pipeline, partition, n, record, effects) VALUES ($1, $2, $3, $4, $5)",
        session.table("wattline_head"),
        session.table("wattline_flush")
    );
    let told: Told<'_> = &[
        (&head.pipeline, Type::TEXT),
        (&i64::from(head.partition), Type::INT8),
        (&(head.id.n as i64), Type::INT8),
        (&record, Type::BYTEA),
        (&effects, Type::BYTEA),
        (&text, Type::TEXT),
    ];
    run(session, &sql, told).await.map(drop)
}

/// The deliberate defect `in_place`: the newest stored record is overwritten before the decision.
pub(super) async fn overwrite_newest(session: &Session, head: &Head, record: &[u8]) -> Step<()> {
    if !faults::broken("in_place") {
        return Ok(());
    }
    let sql = format!(
        "UPDATE {} SET record = $3 WHERE pipeline = $1 AND partition = $2 AND n = $4",
        session.table("wattline_flush")
    );
    let told: Told<'_> = &[
        (&head.pipeline, Type::TEXT),
        (&i64::from(head.partition), Type::INT8),
        (&record, Type::BYTEA),
        (&(head.id.n as i64 - 1), Type::INT8),
    ];
    run(session, &sql, told).await.map(drop)
}

/// Drops effects that every sink shows, and records before the last fold.
pub(super) async fn prune(session: &Session, at: (&str, u32), upto: u64, fold: u64) -> Step<()> {
    let table = session.table("wattline_flush");
    let sql = format!(
        "WITH gone AS (DELETE FROM {table} WHERE pipeline = $1 AND partition = $2 AND n < $4 AND (n <= $3 OR effects IS NULL))
         UPDATE {table} SET effects = NULL WHERE pipeline = $1 AND partition = $2 AND n <= $3 AND n >= $4 AND effects IS NOT NULL"
    );
    let told: Told<'_> = &[
        (&at.0, Type::TEXT),
        (&i64::from(at.1), Type::INT8),
        (&(upto as i64), Type::INT8),
        (&(fold as i64), Type::INT8),
    ];
    run(session, &sql, told).await.map(drop)
}

/// What a table shows, and for whom it may be written.
#[derive(Default)]
pub(super) struct Shown {
    /// The newest epoch that may apply.
    pub fence: u64,
    /// The session that applies for it.
    pub backend: Option<Backend>,
    /// What it shows.
    pub applied: Option<Applied>,
}

/// Which table of which partition.
pub(super) type Place<'a> = (&'a str, u32, &'a str);

/// Reads what a table shows; `lock`: nobody else writes it until the transaction ends.
pub(super) async fn shown(session: &Session, at: Place<'_>, lock: bool) -> Step<Shown> {
    let sql = format!(
        "SELECT owner_epoch, backend, backend_start, lineage, epoch, n FROM {}
         WHERE pipeline = $1 AND partition = $2 AND name = $3{}",
        session.table("wattline_applied"),
        if lock { " FOR UPDATE" } else { "" }
    );
    let told: Told<'_> = &[
        (&at.0, Type::TEXT),
        (&i64::from(at.1), Type::INT8),
        (&at.2, Type::TEXT),
    ];
    let Some(row) = one(session, &sql, told).await? else {
        return Ok(Shown::default());
    };
    let number = |i: usize| row.get::<_, Option<i64>>(i).map(|v| v as u64);
    let id = number(4).zip(number(5));
    let lineage: Option<String> = row.get(3);
    Ok(Shown {
        fence: number(0).unwrap_or(0),
        backend: backend(&row, 1),
        applied: lineage.zip(id).map(|(lineage, (epoch, n))| Applied {
            lineage,
            id: FlushId { epoch, n },
        }),
    })
}

/// Whether a table has shown a flush of a pipeline.
pub(super) async fn ever_shown(session: &Session, pipeline: &str, table: &str) -> Step<bool> {
    let sql = format!(
        "SELECT 1 FROM {} WHERE pipeline = $1 AND name = $2 AND n > 0 LIMIT 1",
        session.table("wattline_applied")
    );
    let told: Told<'_> = &[(&pipeline, Type::TEXT), (&table, Type::TEXT)];
    Ok(one(session, &sql, told).await?.is_some())
}

/// Whether a table has no row.
pub(super) async fn is_empty(session: &Session, table: &str) -> Step<bool> {
    let sql = format!("SELECT 1 FROM {} LIMIT 1", session.table(table));
    Ok(one(session, &sql, &[]).await?.is_none())
}

/// Lets only owners of `epoch` and later apply to a table.
pub(super) async fn fence(session: &Session, at: Place<'_>, epoch: u64) -> Step<()> {
    let sql = format!(
        "INSERT INTO {} AS had (pipeline, partition, name, owner_epoch, backend, backend_start) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (pipeline, partition, name) DO UPDATE SET owner_epoch = excluded.owner_epoch,
           backend = excluded.backend, backend_start = excluded.backend_start WHERE had.owner_epoch <= excluded.owner_epoch",
        session.table("wattline_applied")
    );
    let told: Told<'_> = &[
        (&at.0, Type::TEXT),
        (&i64::from(at.1), Type::INT8),
        (&at.2, Type::TEXT),
        (&(epoch as i64), Type::INT8),
        (&session.backend.pid, Type::INT4),
        (&session.backend.start, Type::TEXT),
    ];
    run(session, &sql, told).await.map(drop)
}

/// Notes that a table shows a flush.
pub(super) async fn shows(session: &Session, at: Place<'_>, flush: &Flush) -> Step<()> {
    let sql = format!(
        "INSERT INTO {} (pipeline, partition, name, owner_epoch, lineage, epoch, n) VALUES ($1, $2, $3, $5, $4, $5, $6)
         ON CONFLICT (pipeline, partition, name) DO UPDATE SET lineage = excluded.lineage, epoch = excluded.epoch, n = excluded.n",
        session.table("wattline_applied")
    );
    let told: Told<'_> = &[
        (&at.0, Type::TEXT),
        (&i64::from(at.1), Type::INT8),
        (&at.2, Type::TEXT),
        (&flush.lineage, Type::TEXT),
        (&(flush.id.epoch as i64), Type::INT8),
        (&(flush.id.n as i64), Type::INT8),
    ];
    run(session, &sql, told).await.map(drop)
}

/// Whose a table is: what, pipeline, zone, and its one sensor where the key does not tell sensors apart.
pub(super) struct Belongs {
    pub what: String,
    pub pipeline: String,
    pub tz: String,
    pub sensor: Option<String>,
}

/// Reads whose a table is.
pub(super) async fn belongs(session: &Session, table: &str) -> Step<Option<Belongs>> {
    let sql = format!(
        "SELECT what, pipeline, tz, sensor FROM {} WHERE name = $1",
        session.table("wattline_table")
    );
    let row = one(session, &sql, &[(&table, Type::TEXT)]).await?;
    Ok(row.map(|r| Belongs {
        what: r.get(0),
        pipeline: r.get(1),
        tz: r.get(2),
        sensor: r.get(3),
    }))
}

/// Notes whose a table is.
pub(super) async fn claim_table(session: &Session, table: &str, b: &Belongs) -> Step<()> {
    let sql = format!(
        "INSERT INTO {} (name, what, pipeline, tz, sensor) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name) DO UPDATE SET sensor = excluded.sensor",
        session.table("wattline_table")
    );
    let told: Told<'_> = &[
        (&table, Type::TEXT),
        (&b.what, Type::TEXT),
        (&b.pipeline, Type::TEXT),
        (&b.tz, Type::TEXT),
        (&b.sensor, Type::TEXT),
    ];
    run(session, &sql, told).await.map(drop)
}
