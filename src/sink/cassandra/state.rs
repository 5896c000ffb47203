//! wattline's own tables in the keyspace: heads, records, who applied what, whose table is whose.
//!
//! `wattline_head`, `wattline_applied` and `wattline_table` are touched by conditional steps alone and read in
//! their order (SERIAL); no plain write and no client's time stamp may come between. Records are written before
//! the decision, under an attempt's own name that nobody reads, and the head lists the attempts that were decided.

use super::client::{Client, Conditional, Level};
use crate::flush::{Flush, FlushId, Head};
use crate::sink::sql::quoted;
use crate::sink::{Applied, Owned, fenced};
use crate::{Error, Kind, Result};
use scylla::value::{CqlValue, Row};
use std::collections::BTreeMap;

/// Version of these tables; a greater one is refused.
const FORMAT: i64 = 1;

/// Bytes of a record in one row: a mutation may be half a segment of the commit log, and small ones spread better.
const PART: usize = 512 << 10;

/// The tables, in a keyspace that is put before each name.
pub(super) const TABLES: [(&str, &str); 4] = [
    (
        "wattline_head",
        "(pipeline text, partition int, format bigint, epoch bigint, n bigint, owner text, run text, renewed bigint, head text, \
         decided map<bigint, text>, PRIMARY KEY ((pipeline, partition)))",
    ),
    (
        "wattline_flush",
        "(pipeline text, partition int, n bigint, attempt text, kind text, part int, bytes blob, \
         PRIMARY KEY ((pipeline, partition, n), attempt, kind, part))",
    ),
    (
        "wattline_applied",
        "(pipeline text, partition int, name text, owner_epoch bigint, lineage text, epoch bigint, n bigint, \
         PRIMARY KEY ((pipeline, partition, name)))",
    ),
    (
        "wattline_table",
        "(name text PRIMARY KEY, what text, pipeline text, tz text, sensor text)",
    ),
];

/// The stored owner of a partition, its head and the attempts that were decided, by flush number.
pub(super) struct Stored {
    pub epoch: u64,
    pub n: u64,
    pub owner: String,
    pub token: String,
    /// When the owner last showed a sign of life, ms since 1970 by its clock.
    pub renewed: i64,
    pub head: Option<Head>,
    pub decided: BTreeMap<u64, String>,
}

/// Statements over wattline's own tables of one keyspace.
pub(super) struct State {
    keyspace: String,
}

type At<'a> = (&'a str, u32);

impl State {
    pub fn new(keyspace: &str) -> State {
        State {
            keyspace: quoted(keyspace),
        }
    }

    fn cql(&self, text: &str) -> String {
        text.replace("KS.", &format!("{}.", self.keyspace))
    }

    /// Reads who owns a partition and its head.
    pub fn stored(&self, client: &Client, at: At<'_>) -> Result<Option<Stored>> {
        let cql = self.cql("SELECT epoch, n, owner, run, renewed, head, decided, format FROM KS.wattline_head WHERE pipeline = ? AND partition = ?");
        let rows = client.rows(&cql, Level::Serial, &(at.0, at.1 as i32))?;
        rows.into_iter().next().map(read_stored).transpose()
    }

    /// Makes the row of a partition where there is none.
    pub fn open(&self, client: &Client, at: At<'_>) -> Result<()> {
        let cql = self.cql("INSERT INTO KS.wattline_head (pipeline, partition, format, epoch, n, owner, run, renewed) VALUES (?, ?, ?, 0, 0, '', '', 0) IF NOT EXISTS");
        // Whoever made it: the caller reads it next.
        client
            .conditional_again(&cql, &(at.0, at.1 as i32, FORMAT))
            .map(|_| ())
    }

    /// Takes epoch `epoch` + 1; refused where another took it first.
    pub fn take_epoch(
        &self,
        client: &Client,
        at: At<'_>,
        epoch: u64,
        owner: (&str, &str),
        now: i64,
    ) -> Result<Conditional> {
        let cql = self.cql("UPDATE KS.wattline_head SET epoch = ?, owner = ?, run = ?, renewed = ? WHERE pipeline = ? AND partition = ? IF epoch = ?");
        let next = epoch as i64 + 1;
        client.conditional_again(
            &cql,
            &(next, owner.0, owner.1, now, at.0, at.1 as i32, epoch as i64),
        )
    }

    /// Shows that the owner of `epoch` lives, or (owner "") that it gave the partition up.
    pub fn renew_cql(&self) -> String {
        self.cql("UPDATE KS.wattline_head SET owner = ?, renewed = ? WHERE pipeline = ? AND partition = ? IF epoch = ?")
    }

    /// Writes a record where nobody looks until it is decided.
    pub fn put_record(
        &self,
        client: &Client,
        at: At<'_>,
        n: u64,
        attempt: &str,
        kind: &str,
        bytes: &[u8],
    ) -> Result<()> {
        let cql = self.cql("INSERT INTO KS.wattline_flush (pipeline, partition, n, attempt, kind, part, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)");
        let empty: [&[u8]; 1] = [&[]];
        let parts: Vec<&[u8]> = if bytes.is_empty() {
            empty.to_vec()
        } else {
            bytes.chunks(PART).collect()
        };
        for (part, bytes) in parts.into_iter().enumerate() {
            client.rows(
                &cql,
                Level::Quorum,
                &(
                    at.0,
                    at.1 as i32,
                    n as i64,
                    attempt,
                    kind,
                    part as i32,
                    bytes,
                ),
            )?;
        }
        Ok(())
    }

    fn record(
        &self,
        client: &Client,
        at: At<'_>,
        n: u64,
        attempt: &str,
        kind: &str,
    ) -> Result<Option<Vec<u8>>> {
        let cql = self.cql("SELECT bytes FROM KS.wattline_flush WHERE pipeline = ? AND partition = ? AND n = ? AND attempt = ? AND kind = ?");
        let rows = client.rows(
            &cql,
            Level::Quorum,
            &(at.0, at.1 as i32, n as i64, attempt, kind),
        )?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for mut row in rows {
            match row.columns.pop().flatten() {
                Some(CqlValue::Blob(part)) => bytes.extend_from_slice(&part),
                _ => return Err(damaged("a part of a record is empty")),
            }
        }
        Ok(Some(bytes))
    }

    /// The decision: head `n` follows `n` − 1 of the same epoch.
    pub fn decide(
        &self,
        client: &Client,
        head: &Head,
        attempt: &str,
        now: i64,
    ) -> Result<Conditional> {
        let text = serde_json::to_string(head)
            .map_err(|e| Error::new(Kind::Internal, "a head cannot be written").because(e))?;
        let broken = crate::faults::broken("no_epoch");
        let condition = if broken {
            "IF EXISTS"
        } else {
            "IF epoch = ? AND n = ?"
        };
        let cql = format!(
            "UPDATE KS.wattline_head SET n = ?, head = ?, decided[?] = ?, renewed = ? WHERE pipeline = ? AND partition = ? {condition}"
        );
        let (n, at) = (
            head.id.n as i64,
            (head.pipeline.as_str(), head.partition as i32),
        );
        let cql = self.cql(&cql);
        if broken {
            return client.conditional(&cql, &(n, text, n, attempt, now, at.0, at.1));
        }
        client.conditional(
            &cql,
            &(
                n,
                text,
                n,
                attempt,
                now,
                at.0,
                at.1,
                head.id.epoch as i64,
                n - 1,
            ),
        )
    }

    /// A conditional step after a decision whose answer was lost: once it is written, the attempt cannot be any more.
    pub fn settle(&self, client: &Client, head: &Head, now: i64) -> Result<Conditional> {
        let cql = self.cql("UPDATE KS.wattline_head SET renewed = ? WHERE pipeline = ? AND partition = ? IF epoch = ? AND n = ?");
        let before = head.id.n as i64 - 1;
        client.conditional_again(
            &cql,
            &(
                now,
                head.pipeline.as_str(),
                head.partition as i32,
                head.id.epoch as i64,
                before,
            ),
        )
    }

    /// Head, records from the last fold on, and whole flushes whose effects are still kept.
    pub fn owned(&self, client: &Client, at: At<'_>, stored: Stored) -> Result<Owned> {
        let fold = stored.head.as_ref().map_or(0, |h| h.fold.n.max(1));
        let mut pairs = Vec::new();
        for (n, attempt) in &stored.decided {
            let record = match self.record(client, at, *n, attempt, "state")? {
                Some(bytes) => Flush::decode(&bytes)?,
                None if *n >= fold => {
                    return Err(damaged(&format!("the record of flush {n} is gone")));
                }
                None => continue,
            };
            let effects = self.record(client, at, *n, attempt, "effects")?;
            let effects = effects.map(|bytes| Flush::decode(&bytes)).transpose()?;
            pairs.push((record, effects));
        }
        let (records, unapplied) = crate::sink::unapplied(pairs, fold);
        Ok(Owned {
            epoch: stored.epoch,
            head: stored.head,
            records,
            unapplied,
        })
    }

    /// Drops effects after `shown.start` up to `shown.end`, and whole records before `fold` too; gives the numbers
    /// that are gone whole.
    pub fn prune(
        &self,
        client: &Client,
        at: At<'_>,
        decided: &BTreeMap<u64, String>,
        shown: std::ops::Range<u64>,
        fold: u64,
    ) -> Result<Vec<u64>> {
        let effects = self.cql("DELETE FROM KS.wattline_flush WHERE pipeline = ? AND partition = ? AND n = ? AND attempt = ? AND kind = 'effects'");
        let whole = self
            .cql("DELETE FROM KS.wattline_flush WHERE pipeline = ? AND partition = ? AND n = ?");
        let mut gone = Vec::new();
        for (n, attempt) in decided.range(..=shown.end) {
            if *n < fold {
                client.rows(&whole, Level::Quorum, &(at.0, at.1 as i32, *n as i64))?;
                gone.push(*n);
            } else if *n > shown.start {
                client.rows(
                    &effects,
                    Level::Quorum,
                    &(at.0, at.1 as i32, *n as i64, attempt),
                )?;
            }
        }
        Ok(gone)
    }

    /// Takes numbers off the head's list, after their records are gone.
    pub fn forget(&self, client: &Client, at: At<'_>, epoch: u64, gone: &[u64]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let gone: Vec<i64> = gone.iter().map(|n| *n as i64).collect();
        let cql = self.cql("UPDATE KS.wattline_head SET decided = decided - ? WHERE pipeline = ? AND partition = ? IF epoch = ?");
        // What stays listed by an answer that was lost is taken off by the next call.
        client
            .conditional_again(&cql, &(gone, at.0, at.1 as i32, epoch as i64))
            .map(|_| ())
    }

    /// The newest epoch that may apply to a table, and what it shows.
    pub fn applied(
        &self,
        client: &Client,
        at: At<'_>,
        table: &str,
    ) -> Result<(u64, Option<Applied>)> {
        let cql = self.cql("SELECT owner_epoch, lineage, epoch, n FROM KS.wattline_applied WHERE pipeline = ? AND partition = ? AND name = ?");
        let rows = client.rows(&cql, Level::Serial, &(at.0, at.1 as i32, table))?;
        let Some(row) = rows.into_iter().next() else {
            return Ok((0, None));
        };
        let mut row = Columns::new(row);
        let newest = row.number().unwrap_or(0);
        let (lineage, epoch, n) = (row.text(), row.number(), row.number());
        let shown = lineage
            .zip(epoch)
            .zip(n)
            .map(|((lineage, epoch), n)| Applied {
                lineage,
                id: FlushId { epoch, n },
            });
        Ok((newest, shown))
    }

    /// Whether a table has shown a flush of a pipeline. Asked only where the table is gone.
    pub fn ever_shown(&self, client: &Client, pipeline: &str, table: &str) -> Result<bool> {
        let cql = self.cql("SELECT n FROM KS.wattline_applied WHERE pipeline = ? AND name = ? AND n > 0 LIMIT 1 ALLOW FILTERING");
        let rows = client.rows(&cql, Level::Quorum, &(pipeline, table))?;
        Ok(!rows.is_empty())
    }

    /// Lets only owners of `epoch` and later apply to a table.
    pub fn fence(&self, client: &Client, at: At<'_>, table: &str, epoch: u64) -> Result<()> {
        let first = self.cql("INSERT INTO KS.wattline_applied (pipeline, partition, name, owner_epoch) VALUES (?, ?, ?, ?) IF NOT EXISTS");
        let next = self.cql("UPDATE KS.wattline_applied SET owner_epoch = ? WHERE pipeline = ? AND partition = ? AND name = ? IF owner_epoch < ?");
        let (partition, epoch) = (at.1 as i32, epoch as i64);
        for _ in 0..20 {
            let unclear =
                match client.conditional_again(&first, &(at.0, partition, table, epoch))? {
                    Conditional::Applied => return Ok(()),
                    Conditional::Refused => {
                        client.conditional_again(&next, &(epoch, at.0, partition, table, epoch))?
                    }
                    unclear => unclear,
                };
            if !matches!(unclear, Conditional::Unclear(_)) {
                return Ok(());
            }
        }
        Err(Error::new(
            Kind::Endpoint,
            format!("whether table {table:?} lets this run write could not be learnt; run again"),
        )
        .retryable())
    }

    /// Notes that a table shows a flush. Errors: `Fenced` where a newer owner has it.
    pub fn shows(
        &self,
        client: &Client,
        at: At<'_>,
        table: &str,
        shown: &Applied,
        epoch: u64,
    ) -> Result<()> {
        let cql = self.cql("UPDATE KS.wattline_applied SET lineage = ?, epoch = ?, n = ? WHERE pipeline = ? AND partition = ? AND name = ? IF owner_epoch = ?");
        let values = (
            shown.lineage.as_str(),
            shown.id.epoch as i64,
            shown.id.n as i64,
            at.0,
            at.1 as i32,
            table,
            epoch as i64,
        );
        match client.conditional_again(&cql, &values)? {
            Conditional::Applied => Ok(()),
            Conditional::Refused if crate::faults::broken("no_epoch") => Ok(()),
            Conditional::Refused => Err(fenced(at.0, table, "a newer run")),
            Conditional::Unclear(e) => Err(e),
        }
    }

    /// Whose a table is; claims it where it is nobody's. Gives (what, pipeline, zone, its one sensor).
    pub fn whose(
        &self,
        client: &Client,
        table: &str,
        what: &str,
        pipeline: &str,
        tz: &str,
    ) -> Result<[Option<String>; 4]> {
        let claim = self.cql("INSERT INTO KS.wattline_table (name, what, pipeline, tz) VALUES (?, ?, ?, ?) IF NOT EXISTS");
        client.conditional_again(&claim, &(table, what, pipeline, tz))?;
        let read =
            self.cql("SELECT what, pipeline, tz, sensor FROM KS.wattline_table WHERE name = ?");
        let rows = client.rows(&read, Level::Serial, &(table,))?;
        let row = rows
            .into_iter()
            .next()
            .ok_or_else(|| damaged("a table's owner is gone"))?;
        let mut row = Columns::new(row);
        Ok([row.text(), row.text(), row.text(), row.text()])
    }

    /// Notes the one sensor of a table whose key does not tell sensors apart.
    pub fn one_sensor(&self, client: &Client, table: &str, sensor: &str) -> Result<()> {
        let cql =
            self.cql("UPDATE KS.wattline_table SET sensor = ? WHERE name = ? IF sensor = null");
        client.conditional_again(&cql, &(sensor, table)).map(|_| ())
    }
}

fn read_stored(row: Row) -> Result<Stored> {
    let mut row = Columns::new(row);
    let (epoch, n) = (row.number().unwrap_or(0), row.number().unwrap_or(0));
    let (owner, token) = (
        row.text().unwrap_or_default(),
        row.text().unwrap_or_default(),
    );
    let renewed = row.number().unwrap_or(0) as i64;
    let head = row.text().map(|text| {
        serde_json::from_str(&text).map_err(|e| damaged("the head cannot be read").because(e))
    });
    let decided = match row.next() {
        Some(CqlValue::Map(pairs)) => pairs.into_iter().filter_map(pair).collect(),
        _ => BTreeMap::new(),
    };
    let format = row.number().unwrap_or(0);
    if format > FORMAT as u64 {
        return Err(Error::new(
            Kind::SpecChanged,
            format!(
                "the keyspace was written by a newer wattline (format {format}, this one knows {FORMAT}); upgrade wattline"
            ),
        ));
    }
    Ok(Stored {
        epoch,
        n,
        owner,
        token,
        renewed,
        head: head.transpose()?,
        decided,
    })
}

fn pair((key, value): (CqlValue, CqlValue)) -> Option<(u64, String)> {
    match (key, value) {
        (CqlValue::BigInt(n), CqlValue::Text(attempt)) => Some((n as u64, attempt)),
        _ => None,
    }
}

fn damaged(what: &str) -> Error {
    Error::new(
        Kind::DataLost,
        format!(
            "{what}: the tables wattline_* of the keyspace are damaged or were edited; restore them from a copy"
        ),
    )
}

/// The columns of a row, in order.
struct Columns(std::vec::IntoIter<Option<CqlValue>>);

impl Columns {
    fn new(row: Row) -> Columns {
        Columns(row.columns.into_iter())
    }

    fn next(&mut self) -> Option<CqlValue> {
        self.0.next().flatten()
    }

    fn text(&mut self) -> Option<String> {
        match self.next() {
            Some(CqlValue::Text(text) | CqlValue::Ascii(text)) => Some(text),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        match self.next() {
            Some(CqlValue::BigInt(n)) => Some(n as u64),
            _ => None,
        }
    }
}
