//! What a sink is told: an endpoint (where) and what goes there. Serde; unknown keys are refused.

mod cassandra;
mod kafka;
mod parquet;
mod postgres;
mod url;

pub use cassandra::{Cassandra, Consistency, Replication};
pub use kafka::Kafka;
pub use parquet::{Parquet, PartitionBy, Revisions};
pub use postgres::{Postgres, SslMode};
pub use url::password_in;

use super::What;
use crate::{Error, Kind, Result};
use serde::de::Error as _;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

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

/// An SQLite file and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sqlite {
    /// The file; made if it is not there.
    pub path: PathBuf,
    /// SQLite's `synchronous` setting.
    #[serde(default)]
    pub synchronous: Synchronous,
    /// Seconds to wait while another program holds the file.
    #[serde(default = "five")]
    pub busy_timeout: f64,
}

fn five() -> f64 {
    5.0
}

/// How surely SQLite writes before it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// A decided flush survives a power cut.
    #[default]
    Full,
    /// The newest flushes may be lost in a power cut, whole; the next run counts them again.
    Normal,
    /// A power cut may damage the file.
    Off,
}

impl Sqlite {
    /// `path` with every default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Sqlite {
            path: path.into(),
            synchronous: Synchronous::default(),
            busy_timeout: five(),
        }
    }
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

fn is_sqlite(path: &Path) -> bool {
    let end = path.extension().and_then(|e| e.to_str());
    matches!(end, Some("db" | "db3" | "sqlite" | "sqlite3"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    #[test]
    fn urls_and_paths() {
        assert_eq!(
            parsed("sqlite:///a/b.db"),
            Endpoint::Sqlite(Sqlite::new("/a/b.db"))
        );
        assert_eq!(parsed("sqlite://b"), Endpoint::Sqlite(Sqlite::new("b")));
        assert_eq!(
            parsed("b.sqlite"),
            Endpoint::Sqlite(Sqlite::new("b.sqlite"))
        );
        assert_eq!(
            parsed("parquet:///x"),
            Endpoint::Parquet(Parquet::new("/x"))
        );
        assert_eq!(parsed("out"), Endpoint::Parquet(Parquet::new("out")));
        assert_eq!(parsed("memory:"), Endpoint::Memory);
        for bad in ["", "sqlite://", "mysql://x", "a.parquet", "a.csv"] {
            assert_eq!(Endpoint::parse(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn an_endpoints_text_may_name_the_table() {
        let read = |json: &str| serde_json::from_str::<SinkSpec>(json);
        let bare = read(r#""out.db?table=quarters""#).unwrap();
        assert_eq!(
            bare.endpoint,
            Endpoint::Sqlite(Sqlite::new("out.db")),
            "{bare:?}"
        );
        assert_eq!(bare.table.as_deref(), Some("quarters"));
        let told = read(r#"{"endpoint": "sqlite:///a.db?table=raw%20data", "what": "readings"}"#);
        let told = told.unwrap();
        assert_eq!(told.table.as_deref(), Some("raw data"));
        assert_eq!(
            told.endpoint,
            Endpoint::Sqlite(Sqlite::new("/a.db")),
            "{told:?}"
        );
        let url = read(r#""postgresql://h/d?sslmode=require&table=x&schema=s""#).unwrap();
        assert_eq!(url.table.as_deref(), Some("x"));
        let Endpoint::Postgres(at) = url.endpoint else {
            panic!("{url:?}")
        };
        assert_eq!(
            (at.sslmode, at.schema.as_deref()),
            (SslMode::Require, Some("s"))
        );
        for bad in [
            r#"{"endpoint": "out.db?table=a", "table": "b"}"#,
            r#""out.db?table=""#,
            r#""out.db?tabel=a""#,
            r#""sqlite://out.db?tabel=a""#,
            r#""folder?table=a&level=3""#,
            r#""out.db?table=a&table=b""#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_spec_is_text_or_a_table_and_unknown_keys_are_refused() {
        let read = |json: &str| serde_json::from_str::<SinkSpec>(json);
        let bare = read(r#"{"endpoint": "out.db"}"#).unwrap();
        assert_eq!(bare, SinkSpec::new(Endpoint::Sqlite(Sqlite::new("out.db"))));
        let told = r#"{"endpoint": {"type": "parquet", "path": "o", "partition_by": "month"}, "what": "readings"}"#;
        let told = read(told).unwrap();
        assert_eq!(told.what, What::Readings);
        let again = serde_json::to_string(&told).unwrap();
        assert_eq!(read(&again).unwrap(), told);
        assert!(read(r#"{"endpoint": "out.db", "tabel": "x"}"#).is_err());
        assert!(read(r#"{"endpoint": {"type": "sqlite", "path": "o", "wal": 1}}"#).is_err());
        assert!(read(r#"{"endpoint": "mysql://x"}"#).is_err());
        let memory = r#"{"endpoint": {"type": "memory"}}"#;
        assert_eq!(read(memory).unwrap().endpoint, Endpoint::Memory);
    }
}
