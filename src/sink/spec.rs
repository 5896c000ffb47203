//! What a sink is told: an endpoint (where) and what goes there. Serde; unknown keys are refused.

mod cassandra;
mod kafka;
mod parquet;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;
mod url;

pub use cassandra::{Cassandra, Consistency, Replication};
pub use kafka::Kafka;
pub use parquet::{Parquet, PartitionBy, Revisions};
pub use postgres::{Postgres, SslMode};
pub use sqlite::{Sqlite, Synchronous};
pub use url::password_in;

use super::What;
use crate::{Error, Kind, Result};
use serde::de::Error as _;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sqlite::is_sqlite;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// One sink of a pipeline: a table, or a bare URL or path, which takes windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "SinkSpec")]
pub struct SinkSpec {
    /// Where: a URL or path, or a table with `type`.
    pub endpoint: Endpoint,
    /// What goes there; windows unless told otherwise.
    #[serde(default = "windows")]
    pub what: What,
    /// Name of the table; by default `windows`, `readings`, `late` or `rejects` in a database, and the
    /// folder itself in Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// `{theirs: ours}`: the columns that are written, by their name in the table. Without it all
    /// columns are written under their own names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<BTreeMap<String, String>>,
    /// Columns of the table that name a row; by default its primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    /// What to do with two readings that such a key does not tell apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_same_time: Option<OnSameTime>,
    /// How long a store keeps a row. The embedded stores keep rows for good and refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
}

impl Serialize for SinkSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        SinkSpec::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for SinkSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(SinkVisitor)
    }
}

struct SinkVisitor;

impl<'de> serde::de::Visitor<'de> for SinkVisitor {
    type Value = SinkSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, a path, or a table with endpoint = and what =")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<SinkSpec, E> {
        SinkSpec::parse(text).map_err(E::custom)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(
        self,
        map: A,
    ) -> std::result::Result<SinkSpec, A::Error> {
        let mut told = Value::deserialize(MapAccessDeserializer::new(map))?;
        name_table(&mut told).map_err(A::Error::custom)?;
        // The remote form: this one would come back here.
        SinkSpec::deserialize(told).map_err(A::Error::custom)
    }
}

fn windows() -> What {
    What::Windows
}

/// The table that an endpoint's text names, as a key of its own.
fn name_table(told: &mut Value) -> Result<()> {
    let Some((bare, table)) = told
        .get("endpoint")
        .and_then(Value::as_str)
        .map(named_table)
        .transpose()?
    else {
        return Ok(());
    };
    let Some(table) = table else { return Ok(()) };
    if told.get("table").is_some_and(|t| !t.is_null()) {
        return Err(Error::new(
            Kind::Usage,
            "a sink names its table twice: with table= and in its endpoint; leave one out",
        ));
    }
    told["endpoint"] = bare.into();
    told["table"] = table.into();
    Ok(())
}

/// `out.db?table=quarters` as `out.db` and `quarters`; other options stay where they are.
fn named_table(text: &str) -> Result<(String, Option<String>)> {
    let whole = || (text.to_string(), None);
    let Some((place, query)) = text.split_once('?') else {
        return Ok(whole());
    };
    let (named, kept): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|p| p.starts_with("table="));
    let tables: Vec<&str> = named
        .iter()
        .filter_map(|p| p.strip_prefix("table="))
        .collect();
    match tables[..] {
        [] => Ok(whole()),
        [table] if !table.is_empty() => {
            let kept = kept.join("&");
            let mark = if kept.is_empty() { "" } else { "?" };
            let table = url::unescaped("sink's", table)?;
            Ok((format!("{place}{mark}{kept}"), Some(table)))
        }
        _ => Err(Error::new(
            Kind::Usage,
            "?table= of a sink wants one name, such as out.db?table=quarters",
        )),
    }
}

impl SinkSpec {
    /// A URL or path, which takes windows; `?table=NAME` behind it names the table.
    ///
    /// Errors: those of [`Endpoint::parse`], and `Usage` where `?table=` names none.
    pub fn parse(text: &str) -> Result<SinkSpec> {
        let (bare, table) = named_table(text)?;
        let made = SinkSpec::new(Endpoint::parse(&bare)?);
        Ok(SinkSpec { table, ..made })
    }

    /// All windows to `endpoint`, with every default: what a bare URL or path means.
    pub fn new(endpoint: Endpoint) -> Self {
        SinkSpec {
            endpoint,
            what: What::Windows,
            table: None,
            columns: None,
            key: None,
            on_same_time: None,
            ttl: None,
        }
    }

    /// The same endpoint taking `what`.
    pub fn taking(mut self, what: What) -> Self {
        self.what = what;
        self
    }
}

/// Two readings whose key in an existing table is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSameTime {
    /// The first by position stays.
    First,
    /// The last by position stays.
    Last,
    /// The flush is refused.
    Raise,
}

/// Where rows go.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Endpoint {
    /// This process's memory.
    Memory,
    /// An SQLite file.
    Sqlite(Sqlite),
    /// A folder of Parquet files.
    Parquet(Parquet),
    /// A PostgreSQL server.
    Postgres(Postgres),
    /// A keyspace of Cassandra or ScyllaDB.
    Cassandra(Cassandra),
    /// A topic of a Kafka cluster.
    Kafka(Kafka),
}

impl Endpoint {
    /// Reads `memory:`, `sqlite:///abs.db`, `sqlite://rel.db`, `parquet:///folder`,
    /// `postgresql://user:${NAME}@host:port/db?sslmode=verify-full`, `kafka://host:9092/topic`, `s3://bucket/prefix?region=eu-central-1` or a path: one that ends in `.db`, `.db3`, `.sqlite`, `.sqlite3` is SQLite, else a folder of Parquet files.
    ///
    /// Errors: `Usage` for another scheme, an empty path, or a path that ends like a data file.
    pub fn parse(text: &str) -> Result<Endpoint> {
        match text.split_once("://") {
            Some(("memory", _)) => Ok(Endpoint::Memory),
            Some(("sqlite", path)) => Ok(Endpoint::Sqlite(Sqlite::new(given(text, path)?))),
            Some(("parquet" | "file", path)) => folder(text, path),
            Some(("postgresql" | "postgres", rest)) => {
                Ok(Endpoint::Postgres(Postgres::parse(rest)?))
            }
            Some(("cassandra", rest)) => Cassandra::parse(rest).map(Endpoint::Cassandra),
            Some(("kafka", rest)) => Kafka::parse(rest).map(Endpoint::Kafka),
            Some(("s3", rest)) => Parquet::parse(rest).map(Endpoint::Parquet),
            Some((scheme, _)) => Err(Error::new(
                Kind::Usage,
                format!(
                    "{scheme}:// is no endpoint of this version; use sqlite://, parquet://, postgresql://, cassandra://, kafka://, s3://, memory: or a path"
                ),
            )),
            None if text == "memory:" => Ok(Endpoint::Memory),
            None if is_sqlite(Path::new(text)) => {
                Ok(Endpoint::Sqlite(Sqlite::new(given(text, text)?)))
            }
            None => folder(text, text),
        }
    }
}

fn given<'a>(text: &str, path: &'a str) -> Result<&'a str> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    if let Some((option, _)) = query.split_once('=') {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "{text:?} has no option {option:?}: behind a path there is ?table=NAME alone; others are keys of a table with type ="
            ),
        ));
    }
    if path.is_empty() {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "{text:?} names no path; write for example sqlite://out.db (here) or sqlite:///data/out.db (from the root)"
            ),
        ));
    }
    Ok(path)
}

fn folder(text: &str, path: &str) -> Result<Endpoint> {
    let path = Path::new(given(text, path)?);
    match path.extension().and_then(|e| e.to_str()) {
        Some(end @ ("parquet" | "csv" | "txt" | "json")) => Err(Error::new(
            Kind::Usage,
            format!(
                "{} ends in .{end}, but a Parquet sink is a folder of files; name a folder",
                path.display()
            ),
        )),
        _ => Ok(Endpoint::Parquet(Parquet::new(path))),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Memory => f.write_str("memory:"),
            Endpoint::Sqlite(s) => write!(f, "sqlite://{}", s.path.display()),
            Endpoint::Parquet(p) => p.fmt(f),
            Endpoint::Postgres(p) => p.fmt(f),
            Endpoint::Cassandra(c) => c.fmt(f),
            Endpoint::Kafka(k) => k.fmt(f),
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Typed {
    Memory {},
    Sqlite(Sqlite),
    Parquet(Parquet),
    Postgres(Postgres),
    Cassandra(Cassandra),
    Kafka(Kafka),
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(EndpointVisitor)
    }
}

/// Refuses what is no endpoint (JSON), before any pipeline names it. Errors: `Usage`, with the key that is wrong.
pub fn checked_endpoint(json: &str) -> Result<()> {
    let told = match serde_json::from_str::<Value>(json) {
        Ok(Value::Object(told)) => crate::wording::fault::<Endpoint>(&told),
        Ok(_) | Err(_) => Some("an endpoint is told by its options".into()),
    };
    match told {
        None => Ok(()),
        Some(told) => Err(match told.split_once(':') {
            // What stands for a secret is never told.
            Some((name, _)) if crate::secret::is_secret(name) => Error::new(
                Kind::Usage,
                format!("{name}: what was given is no text; give the text, or best \"${{NAME}}\""),
            ),
            _ => Error::new(Kind::Usage, crate::secret::redacted(&told)),
        }),
    }
}

struct EndpointVisitor;

impl<'de> serde::de::Visitor<'de> for EndpointVisitor {
    type Value = Endpoint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, a path, or a table with type = \"sqlite\" | \"parquet\" | \"postgres\" | \"cassandra\" | \"kafka\" | \"memory\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Endpoint, E> {
        Endpoint::parse(text).map_err(E::custom)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(
        self,
        map: A,
    ) -> std::result::Result<Endpoint, A::Error> {
        Ok(match Typed::deserialize(MapAccessDeserializer::new(map))? {
            Typed::Memory {} => Endpoint::Memory,
            Typed::Sqlite(s) => Endpoint::Sqlite(s),
            Typed::Parquet(p) => Endpoint::Parquet(p.checked().map_err(A::Error::custom)?),
            Typed::Postgres(p) => Endpoint::Postgres(p),
            Typed::Cassandra(c) => Endpoint::Cassandra(c),
            Typed::Kafka(mut k) => {
                k.hide();
                Endpoint::Kafka(k)
            }
        })
    }
}
