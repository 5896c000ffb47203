//! What a table in the keyspace looks like, which CQL type holds what, and the DDL of our own tables.

use super::client::{Client, Level};
use crate::sink::mapping::{Class, Column, Holds, Mapping, Ours, Theirs, class_of};
use crate::sink::sql::{quoted, same};
use crate::sink::{What, rows};
use crate::{Error, Kind, Result};
use arrow_schema::DataType;
use scylla::value::CqlValue;

/// A CQL type that rows can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cql {
    Text,
    BigInt,
    Int,
    SmallInt,
    TinyInt,
    Double,
    Float,
    Boolean,
    Timestamp,
    Date,
    Uuid,
}

impl Cql {
    /// The type of this name; `None`: one that nothing of ours fits.
    pub fn named(name: &str) -> Option<Cql> {
        Some(match name {
            "text" | "varchar" => Cql::Text,
            "bigint" => Cql::BigInt,
            "int" => Cql::Int,
            "smallint" => Cql::SmallInt,
            "tinyint" => Cql::TinyInt,
            "double" => Cql::Double,
            "float" => Cql::Float,
            "boolean" => Cql::Boolean,
            "timestamp" => Cql::Timestamp,
            "date" => Cql::Date,
            "uuid" => Cql::Uuid,
            _ => return None,
        })
    }

    /// Classes of ours that it can hold; values that do not fit are told apart row by row.
    fn holds(self) -> Holds {
        use Class as C;
        match self {
            Cql::Text => &[C::Text, C::Time, C::Date, C::Id],
            Cql::BigInt => &[C::Integer, C::Time],
            Cql::Int | Cql::SmallInt | Cql::TinyInt => &[C::Integer],
            Cql::Double => &[C::Real, C::Integer],
            Cql::Float => &[C::Real],
            Cql::Boolean => &[C::Flag],
            Cql::Timestamp => &[C::Time],
            Cql::Date => &[C::Time, C::Date],
            Cql::Uuid => &[C::Id],
        }
    }
}

/// How a column of ours is declared in a table of ours.
pub(super) fn declares(class: Class) -> &'static str {
    match class {
        Class::Text => "text",
        Class::Integer => "bigint",
        Class::Real => "double",
        Class::Flag => "boolean",
        Class::Time => "timestamp",
        Class::Date => "date",
        Class::Id => "uuid",
    }
}

/// An existing table: the mapping's view of it, the CQL type of each column, its partition key.
pub(super) struct Found {
    pub theirs: Theirs,
    pub types: Vec<(String, String)>,
    pub partition_key: Vec<String>,
}

impl Found {
    /// The CQL type of a column, as declared.
    pub fn declared(&self, name: &str) -> Option<&str> {
        self.types
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, t)| t.as_str())
    }
}

/// Describes a table, or `None` where there is none.
pub(super) fn table(client: &Client, keyspace: &str, table: &str) -> Result<Option<Found>> {
    let cql = "SELECT column_name, type, kind, position FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?";
    let mut types = Vec::new();
    let mut key = Vec::new();
    for row in client.rows(cql, Level::Rows, &(keyspace, table))? {
        let mut columns = row.columns.into_iter();
        let mut text = || match columns.next().flatten() {
            Some(CqlValue::Text(t) | CqlValue::Ascii(t)) => t,
            _ => String::new(),
        };
        let (name, kind, part) = (text(), text(), text());
        let place = match columns.next().flatten() {
            Some(CqlValue::Int(n)) => n,
            _ => 0,
        };
        match part.as_str() {
            "partition_key" => key.push((0, place, name.clone())),
            "clustering" => key.push((1, place, name.clone())),
            _ => {}
        }
        types.push((name, kind));
    }
    if types.is_empty() {
        return Ok(None);
    }
    key.sort();
    let primary: Vec<String> = key.iter().map(|(_, _, name)| name.clone()).collect();
    let partition_key = key
        .iter()
        .filter(|k| k.0 == 0)
        .map(|k| k.2.clone())
        .collect();
    let columns = types.iter().map(|(name, kind)| Column {
        name: name.clone(),
        declared: kind.clone(),
        holds: Cql::named(kind).map_or(&[], Cql::holds),
        required: false,
    });
    let theirs = Theirs {
        columns: columns.collect(),
        unique: vec![primary.clone()],
        primary,
    };
    Ok(Some(Found {
        theirs,
        types,
        partition_key,
    }))
}

/// The CQL type of each mapped column. Errors: `Usage` where an instant would lose its time of day, or a day gain one.
pub(super) fn types(mapping: &Mapping, found: &Found, place: &str) -> Result<Vec<Cql>> {
    let one = |(name, ours): &(String, Ours)| {
        let declared = found
            .types
            .iter()
            .find(|(n, _)| same(n, name))
            .map_or("", |(_, t)| t);
        let kind = match ours {
            Ours::Column(i) => Some(mapping.schema.field(*i).data_type()),
            Ours::Id => None,
        };
        let day = kind == Some(&DataType::Date32);
        let instant = matches!(kind, Some(DataType::Timestamp(..)));
        match Cql::named(declared) {
            Some(Cql::Timestamp | Cql::BigInt) if day => {}
            Some(Cql::Date) if instant => {}
            Some(cql) => return Ok(cql),
            None => {}
        }
        Err(Error::new(
            Kind::Usage,
            format!(
                "table {:?} of {place}: column {name:?} is declared {declared} and would change values; declare it {}",
                mapping.table,
                if day { "date" } else { "timestamp" }
            ),
        ))
    };
    mapping.columns.iter().map(one).collect()
}

/// The partition key and the rest of the primary key of a table of ours, by our names.
pub(super) fn key(
    what: What,
    schema: &arrow_schema::Schema,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let all = rows::natural_key(what, schema);
    match what {
        What::Windows => (vec!["sensor_id", "grain", BUCKET], vec!["window_start"]),
        What::Readings | What::Late => {
            let rest = all.into_iter().filter(|k| *k != "sensor_id").collect();
            (vec!["sensor_id", DAY], rest)
        }
        What::Rejects => (vec!["partition", "flush"], vec!["ord"]),
    }
}

/// The column that keeps partitions of window rows small: the year, and for grains below the hour the month, of
/// `window_start` in UTC, as 2007 or 200701.
pub(super) const BUCKET: &str = "bucket";
/// The column that keeps partitions of readings small: the day of `time` in UTC.
pub(super) const DAY: &str = "day";

/// DDL of a table of ours. Readings that expire are compacted by time, so that whole files are dropped.
pub(super) fn create(mapping: &Mapping, keyspace: &str, what: What, ttl: Option<i32>) -> String {
    let column = |(name, ours): &(String, Ours)| {
        let kind = match ours {
            Ours::Column(i) if *mapping.schema.field(*i).data_type() == DataType::Date32 => "date",
            _ => declares(class_of(&mapping.schema, *ours)),
        };
        format!("{} {kind}", quoted(name))
    };
    let theirs = |ours: &&str| {
        let named = |(_, o): &&(String, Ours)| matches!(o, Ours::Column(i) if mapping.schema.field(*i).name() == ours);
        mapping
            .columns
            .iter()
            .find(named)
            .map(|(name, _)| quoted(name))
    };
    let (partition, clustering) = key(what, &mapping.schema);
    let partition: Vec<String> = partition.iter().filter_map(theirs).collect();
    let clustering: Vec<String> = clustering.iter().filter_map(theirs).collect();
    let columns: Vec<String> = mapping.columns.iter().map(column).collect();
    let mut ddl = format!(
        "CREATE TABLE IF NOT EXISTS {}.{} ({}, PRIMARY KEY ({}))",
        quoted(keyspace),
        quoted(&mapping.table),
        columns.join(", "),
        key_list(&partition, &clustering, mapping)
    );
    if let Some(ttl) = ttl {
        ddl.push_str(&expiring(ttl));
    }
    ddl
}

fn key_list(partition: &[String], clustering: &[String], mapping: &Mapping) -> String {
    if partition.is_empty() {
        return mapping
            .key
            .iter()
            .map(|k| quoted(k))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let mut list = format!("({})", partition.join(", "));
    for name in clustering {
        list.push_str(", ");
        list.push_str(name);
    }
    list
}

/// Some thirty windows of compaction over the life of a row.
fn expiring(ttl: i32) -> String {
    let minutes = (ttl / 30 / 60).max(1);
    format!(
        " WITH default_time_to_live = {ttl} AND compaction = {{'class': 'TimeWindowCompactionStrategy', \
         'compaction_window_unit': 'MINUTES', 'compaction_window_size': {minutes}}}"
    )
}
