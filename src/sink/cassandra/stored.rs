//! The rows of the tables, read back partition by partition: first pages of several at once, the others one after the other.

use super::client::{Client, Level, transient};
use super::describe::{self, Found};
use crate::sink::spec::Cassandra;
use crate::sink::sql::quoted;
use crate::sink::stored::{Datum, Each, Noted, Pieces, Stored, Wanted};
use crate::{Error, Kind, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::response::PagingState;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Partitions that are asked at once.
const AT_ONCE: usize = 16;

/// The values of a partition's key.
type Key = Vec<CqlValue>;

/// A keyspace that is read.
struct CassandraStored {
    at: Cassandra,
    client: Option<Client>,
}

/// Connects to nothing yet.
pub(in crate::sink) fn stored(at: &Cassandra) -> Result<Box<dyn Stored>> {
    Ok(Box::new(CassandraStored {
        at: at.clone(),
        client: None,
    }))
}

impl CassandraStored {
    fn client(&mut self) -> Result<&Client> {
        match self.client {
            Some(ref client) => Ok(client),
            None => Ok(self.client.insert(Client::connect(&self.at)?)),
        }
    }

    fn table(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.at.keyspace), quoted(name))
    }

    fn found(&mut self, table: &str) -> Result<Found> {
        let keyspace = self.at.keyspace.clone();
        let found = describe::table(self.client()?, &keyspace, table)?;
        found.ok_or_else(|| {
            let message = format!("{}: there is no table {table:?}", self.at);
            Error::new(Kind::NotFound, message)
        })
    }

    /// The partitions of a table; of one grain, where it is a part of their key.
    fn partitions(
        &mut self,
        table: &str,
        found: &Found,
        grain: Option<&(String, String)>,
    ) -> Result<Vec<Key>> {
        let key = listed(&found.partition_key);
        let cql = format!("SELECT DISTINCT {key} FROM {}", self.table(table));
        let meant = grain.and_then(|(column, grain)| Some((place(found, column)?, grain)));
        let mut keys = Vec::new();
        let client = self.client()?;
        let statement = client.prepare(&cql, Level::Rows)?;
        pages(client, &statement, &Vec::new(), None, &mut |row| {
            let values: Key = row.columns.into_iter().flatten().collect();
            let other =
                meant.is_some_and(|(at, grain)| values.get(at).and_then(text) != Some(grain));
            if !other {
                keys.push(values);
            }
            Ok(())
        })?;
        Ok(keys)
    }
}

/// Where a column stands in the key of partitions.
fn place(found: &Found, column: &str) -> Option<usize> {
    found.partition_key.iter().position(|name| name == column)
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    names.join(", ")
}

fn of_partition(columns: &str, table: &str, found: &Found) -> String {
    let names = found.partition_key.iter();
    let key: Vec<String> = names.map(|name| format!("{} = ?", quoted(name))).collect();
    format!("SELECT {columns} FROM {table} WHERE {}", key.join(" AND "))
}

fn text(value: &CqlValue) -> Option<&String> {
    match value {
        CqlValue::Text(text) | CqlValue::Ascii(text) => Some(text),
        _ => None,
    }
}

/// A page of rows, and where the next begins.
type Page = (Vec<Row>, Option<PagingState>);

async fn page(
    client: &Client,
    statement: &PreparedStatement,
    key: &Key,
    from: PagingState,
) -> Result<Page> {
    let ask = || {
        client
            .session
            .execute_single_page(statement, key, from.clone())
    };
    let asked = super::client::repeat(client.retry_for(), ask, &transient).await;
    let (rows, next) = asked.map_err(|e| client.said(&e))?;
    let next = match next.into_paging_control_flow() {
        ControlFlow::Continue(state) => Some(state),
        ControlFlow::Break(()) => None,
    };
    Ok((client.read(rows)?, next))
}

/// Goes through the rows of one key, from its first page on where that is known.
fn pages(
    client: &Client,
    statement: &PreparedStatement,
    key: &Key,
    first: Option<Page>,
    each: &mut dyn FnMut(Row) -> Result<()>,
) -> Result<()> {
    let (mut rows, mut next) = match first {
        Some(first) => first,
        None => client.wait(page(client, statement, key, PagingState::start()))??,
    };
    loop {
        rows.into_iter().try_for_each(&mut *each)?;
        match next {
            Some(state) => (rows, next) = client.wait(page(client, statement, key, state))??,
            None => return Ok(()),
        }
    }
}

/// The first pages of several keys.
fn firsts(client: &Client, statement: &PreparedStatement, keys: &[Key]) -> Result<Vec<Page>> {
    let asked = stream::iter(keys).map(|key| page(client, statement, key, PagingState::start()));
    client.wait(asked.buffered(AT_ONCE).try_collect())?
}

impl Stored for CassandraStored {
    fn tables(&mut self) -> Result<Vec<Noted>> {
        let keyspace = self.at.keyspace.clone();
        if describe::table(self.client()?, &keyspace, "wattline_table")?.is_none() {
            let message = format!("{}: no store of wattline", self.at);
            return Err(Error::new(Kind::NotFound, message));
        }
        let cql = format!(
            "SELECT name, what, pipeline, tz FROM {}",
            self.table("wattline_table")
        );
        let mut noted = Vec::new();
        for row in self.client()?.rows(&cql, Level::Rows, &())? {
            let mut texts = row
                .columns
                .iter()
                .map(|c| c.as_ref().and_then(text).cloned().unwrap_or_default());
            let mut next = || texts.next().unwrap_or_default();
            noted.push(Noted {
                name: next(),
                what: next(),
                pipeline: next(),
                tz: next(),
            });
        }
        noted.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(noted)
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>> {
        let keyspace = self.at.keyspace.clone();
        let found = describe::table(self.client()?, &keyspace, table)?;
        Ok(found.map_or_else(Vec::new, |f| {
            f.types.into_iter().map(|(name, _)| name).collect()
        }))
    }

    fn counts(&mut self, table: &str, grain: &str) -> Result<BTreeMap<String, u64>> {
        let found = self.found(table)?;
        let keys = self.partitions(table, &found, None)?;
        let told = place(&found, grain);
        let counted = match told {
            Some(_) => "count(*)".to_owned(),
            None => quoted(grain),
        };
        let cql = of_partition(&counted, &self.table(table), &found);
        let client = self.client()?;
        let statement = client.prepare(&cql, Level::Rows)?;
        let mut counts = BTreeMap::new();
        for keys in keys.chunks(AT_ONCE) {
            for (key, first) in keys.iter().zip(firsts(client, &statement, keys)?) {
                pages(client, &statement, key, Some(first), &mut |row| {
                    let value = row.columns.first().and_then(Option::as_ref);
                    let (name, more) = match (told, value) {
                        (Some(at), Some(CqlValue::BigInt(n))) => {
                            (key.get(at).and_then(text), *n as u64)
                        }
                        (_, value) => (value.and_then(text), 1),
                    };
                    if let Some(name) = name {
                        *counts.entry(name.clone()).or_default() += more;
                    }
                    Ok(())
                })?;
            }
        }
        Ok(counts)
    }

    fn rows(&mut self, wanted: &Wanted, each: &mut Each<'_>) -> Result<()> {
        let found = self.found(&wanted.table)?;
        let keys = self.partitions(&wanted.table, &found, wanted.grain.as_ref())?;
        let mut names: Vec<String> = wanted
            .columns
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        // A grain that is no part of the key is looked at row by row.
        let beside = wanted
            .grain
            .as_ref()
            .filter(|(column, _)| place(&found, column).is_none());
        names.extend(beside.map(|(column, _)| column.clone()));
        let cql = of_partition(&listed(&names), &self.table(&wanted.table), &found);
        let client = self.client()?;
        let statement = client.prepare(&cql, Level::Rows)?;
        let mut pieces = Pieces::new(wanted, each);
        for keys in keys.chunks(AT_ONCE) {
            for (key, first) in keys.iter().zip(firsts(client, &statement, keys)?) {
                pages(client, &statement, key, Some(first), &mut |mut row| {
                    let own = beside.map(|_| row.columns.pop().flatten());
                    let other = |(_, grain): &(String, String)| {
                        own.as_ref().and_then(Option::as_ref).and_then(text) != Some(grain)
                    };
                    match pieces.full() || beside.is_some_and(other) {
                        true => Ok(()),
                        false => pieces.push(row.columns.into_iter().map(datum)),
                    }
                })?;
            }
        }
        pieces.hand_on()
    }
}

fn datum(value: Option<CqlValue>) -> Datum {
    match value {
        None | Some(CqlValue::Empty) => Datum::Null,
        Some(CqlValue::Text(text) | CqlValue::Ascii(text)) => Datum::Text(text),
        Some(CqlValue::BigInt(n)) => Datum::Integer(n),
        Some(CqlValue::Int(n)) => Datum::Integer(n.into()),
        Some(CqlValue::SmallInt(n)) => Datum::Integer(n.into()),
        Some(CqlValue::TinyInt(n)) => Datum::Integer(n.into()),
        Some(CqlValue::Double(v)) => Datum::Real(v),
        Some(CqlValue::Float(v)) => Datum::Real(v.into()),
        Some(CqlValue::Timestamp(at)) => Datum::Integer(at.0.saturating_mul(1_000)),
        Some(CqlValue::Boolean(yes)) => Datum::Integer(yes.into()),
        // Of no kind that a column of ours has.
        Some(other) => Datum::Text(format!("{other:?}")),
    }
}
