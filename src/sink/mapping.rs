//! Our columns onto theirs, checked before row one. Pure: a store describes its table as [`Theirs`].
//!
//! - `columns = {theirs: ours}` picks and renames; without it every column of ours is written under its own name, the
//!   attributes of the readings among them. A table that a run without some attribute made lacks its column: it is refused
//!   with the statement that adds it, since leaving the column out would drop it silently.
//!   `id` is one more column of ours: a UUID made from the row's key, so that the same row has the
//!   same id in every run and store. It is a version 8 UUID over BLAKE3, not a version 5 one: the house
//!   has no SHA-1, and nobody needs to recompute it elsewhere. An attribute `id` can be told from it by no mapping, and is
//!   refused there.
//! - `key` (by default the table's primary key) must have a unique index and must tell rows apart:
//!   (sensor, grain, start) of a window, where one grain or one sensor in the whole run may be
//!   left out. A reading's key is (sensor, time, file, row); a target keyed by time alone
//!   needs `on_same_time`.
//! - A column of theirs that must be given and is not is refused, and so is a type that would
//!   change a value.

use super::sql::{list, quoted, same};
use super::{Endpoint, OnSameTime, SinkSpec, Tables, What, rows};
use crate::{Error, Kind, Result};
use arrow_schema::{DataType, Schema, SchemaRef};
use std::collections::BTreeMap;

/// The name of the UUID column.
pub(super) const ID: &str = "id";

/// What a column of ours holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Text.
    Text,
    /// Whole numbers.
    Integer,
    /// Decimal numbers.
    Real,
    /// Yes or no.
    Flag,
    /// Instants.
    Time,
    /// Days.
    Date,
    /// The row's UUID.
    Id,
}

/// What a column of theirs can hold without changing it.
pub(super) type Holds = &'static [Class];

/// How a store declares a column for each class.
pub(super) type Declares = fn(Class) -> &'static str;

/// A column of an existing table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name.
    pub name: String,
    /// Its type as declared, for messages.
    pub declared: String,
    /// What it holds.
    pub holds: Holds,
    /// A row without it is refused by the store.
    pub required: bool,
}

/// An existing table.
#[derive(Clone, Debug, Default)]
pub(super) struct Theirs {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its primary key.
    pub primary: Vec<String>,
    /// Column sets that are unique, the primary key among them.
    pub unique: Vec<Vec<String>>,
}

impl Theirs {
    /// The column of this name; one written otherwise in capitals only if there is no other.
    fn find(&self, name: &str) -> Option<&Column> {
        let exact = self.columns.iter().find(|c| c.name == name);
        exact.or_else(|| self.columns.iter().find(|c| same(&c.name, name)))
    }
}

/// Where a column of theirs gets its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    /// A column of the batch, by name's place in the schema.
    Column(usize),
    /// The row's UUID.
    Id,
}

/// A checked mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// The table.
    pub table: String,
    /// Columns of ours.
    pub schema: SchemaRef,
    /// Their columns and where each gets its value.
    pub columns: Vec<(String, Ours)>,
    /// Their columns that name a row.
    pub key: Vec<String>,
    /// The key does not tell sensors apart: the run may hold one.
    pub one_sensor: bool,
    /// The key does not tell readings at the same time apart.
    pub same_time: Option<OnSameTime>,
}

impl Mapping {
    /// Maps the rows of `spec.what` onto `theirs`, or onto a table to be made.
    pub fn resolve(
        spec: &SinkSpec,
        tables: &Tables,
        theirs: Option<&Theirs>,
        declares: Declares,
    ) -> Result<Mapping> {
        let schema = rows::schema(spec.what, tables);
        let table = spec.table.clone();
        let table = table.unwrap_or_else(|| rows::table_name(spec.what).into());
        let asker = Asker {
            spec,
            table: &table,
            schema: &schema,
            declares,
        };
        let columns = asker.columns(theirs)?;
        if let Some(theirs) = theirs {
            asker.fits(&columns, theirs)?;
        }
        let key = asker.key(&columns, theirs)?;
        let told = asker.told_apart(&columns, &key)?;
        let (one_sensor, same_time) = asker.determines(&told, tables)?;
        Ok(Mapping {
            table,
            schema,
            columns,
            key,
            one_sensor,
            same_time,
        })
    }
}

struct Asker<'a> {
    spec: &'a SinkSpec,
    table: &'a str,
    schema: &'a SchemaRef,
    declares: Declares,
}

impl Asker<'_> {
    fn refuse<T>(&self, why: String) -> Result<T> {
        let message = format!("table {:?} of {}: {why}", self.table, self.spec.endpoint);
        Err(Error::new(Kind::Usage, message))
    }

    /// Their columns, by the name each has in the table, and ours.
    fn columns(&self, theirs: Option<&Theirs>) -> Result<Vec<(String, Ours)>> {
        let mut columns = match &self.spec.columns {
            Some(map) => self.picked(map)?,
            None => {
                let fields = self.schema.fields().iter().enumerate();
                fields
                    .map(|(i, f)| (f.name().clone(), Ours::Column(i)))
                    .collect()
            }
        };
        for (name, _) in &mut columns {
            if let Some(found) = theirs.and_then(|t| t.find(name)) {
                name.clone_from(&found.name);
            }
        }
        Ok(columns)
    }

    fn picked(&self, map: &BTreeMap<String, String>) -> Result<Vec<(String, Ours)>> {
        let one = |(theirs, ours): (&String, &String)| {
            match self.schema.index_of(ours) {
            Ok(_) if ours == ID => self.refuse(format!(
                "columns= maps {theirs:?} from \"id\", which is the row's UUID and an attribute too; rename the attribute in the schema"
            )),
            Ok(i) => Ok((theirs.clone(), Ours::Column(i))),
            Err(_) if ours == ID => Ok((theirs.clone(), Ours::Id)),
            Err(_) => self.refuse(format!(
                "columns= maps {theirs:?} from {ours:?}, which is none of ours: {}, {ID}",
                self.names().join(", ")
            )),
        }
        };
        if map.is_empty() {
            return self.refuse("columns= is empty; map at least the key".into());
        }
        map.iter().map(one).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect()
    }

    fn ours_name(&self, ours: Ours) -> &str {
        match ours {
            Ours::Column(i) => self.schema.field(i).name(),
            Ours::Id => ID,
        }
    }

    /// Every mapped column is there and holds our type; every required one is mapped.
    fn fits(&self, columns: &[(String, Ours)], theirs: &Theirs) -> Result<()> {
        for (name, ours) in columns {
            let Some(column) = theirs.find(name) else {
                return self.refuse(format!(
                    "it has no column {name:?}; run ALTER TABLE {} {} {} {}, or map the columns it has with columns=",
                    quoted(self.table),
                    match self.spec.endpoint {
                        Endpoint::Cassandra(_) => "ADD",
                        _ => "ADD COLUMN",
                    },
                    quoted(name),
                    self.declared(*ours)
                ));
            };
            if !column.holds.contains(&self.class(*ours)) {
                return self.refuse(format!(
                    "column {name:?} is declared {} and would change values of {} ({}); declare it {}",
                    if column.declared.is_empty() { "without a type" } else { &column.declared },
                    self.ours_name(*ours),
                    self.kind(*ours),
                    self.declared(*ours)
                ));
            }
        }
        let given = |c: &&Column| !columns.iter().any(|(name, _)| same(name, &c.name));
        match theirs.columns.iter().filter(|c| c.required).find(given) {
            Some(c) => self.refuse(format!(
                "column {:?} is NOT NULL without a default and nothing is mapped to it; map it in columns= or give it a default",
                c.name
            )),
            None => Ok(()),
        }
    }

    fn kind(&self, ours: Ours) -> &'static str {
        match self.class(ours) {
            Class::Id => "a UUID",
            Class::Text => "text",
            Class::Integer => "whole numbers",
            Class::Real => "decimal numbers",
            Class::Flag => "yes or no",
            Class::Time => "a time",
            Class::Date => "a date",
        }
    }

    fn class(&self, ours: Ours) -> Class {
        class_of(self.schema, ours)
    }

    fn declared(&self, ours: Ours) -> &'static str {
        (self.declares)(self.class(ours))
    }

    fn key(&self, columns: &[(String, Ours)], theirs: Option<&Theirs>) -> Result<Vec<String>> {
        let key = match (&self.spec.key, theirs) {
            (Some(key), _) => key.clone(),
            (None, Some(theirs)) => theirs.primary.clone(),
            (None, None) => self.natural(columns),
        };
        let mapped = |k: &String| columns.iter().find(|(name, _)| same(name, k));
        let unmapped = |k: &&String| mapped(k).is_none();
        if key.is_empty() {
            return self.refuse(
                "it has no primary key; name the columns of a unique index with key=".into(),
            );
        }
        if let Some(k) = key.iter().find(unmapped) {
            return self.refuse(format!(
                "its key column {k:?} is not mapped; map it in columns=, or name the columns of another unique index with key="
            ));
        }
        match theirs {
            Some(theirs) if !theirs.unique.iter().any(|u| same_set(u, &key)) => {
                self.refuse(format!(
                    "no unique index over ({}); run CREATE UNIQUE INDEX {} ON {} ({})",
                    key.join(", "),
                    quoted(&format!("{}_key", self.table)),
                    quoted(self.table),
                    list(&key)
                ))
            }
            _ => Ok(key
                .iter()
                .filter_map(|k| mapped(k).map(|(name, _)| name.clone()))
                .collect()),
        }
    }

    /// The key of a table to be made: ours, as far as it is mapped.
    fn natural(&self, columns: &[(String, Ours)]) -> Vec<String> {
        let theirs = |ours: &str| {
            let found = columns.iter().find(|(_, o)| self.ours_name(*o) == ours);
            found.map(|(name, _)| name.clone())
        };
        let key = rows::natural_key(self.spec.what, self.schema);
        let key: Vec<String> = key.iter().filter_map(|ours| theirs(ours)).collect();
        match (key.is_empty(), theirs(ID)) {
            (true, Some(id)) => vec![id],
            _ => key,
        }
    }

    /// The columns of ours that the key is made of.
    fn told_apart(&self, columns: &[(String, Ours)], key: &[String]) -> Result<Vec<&str>> {
        // An attribute may be called what the row's UUID is, and tells nothing apart.
        let names_row = |ours: &Ours| *ours == Ours::Id || self.ours_name(*ours) != ID;
        let ours = |k: &String| {
            let found = columns.iter().find(|(name, _)| same(name, k));
            let found = found.map(|(_, ours)| *ours).filter(names_row);
            found.map(|ours| self.ours_name(ours))
        };
        Ok(key.iter().filter_map(ours).collect())
    }

    /// Whether the key tells rows apart; gives `one_sensor` and `same_time`.
    fn determines(&self, key: &[&str], tables: &Tables) -> Result<(bool, Option<OnSameTime>)> {
        let has = |name: &str| key.contains(&name);
        if has(ID) {
            return Ok((false, None));
        }
        match self.spec.what {
            What::Windows => self.window_key(has, tables).map(|one| (one, None)),
            What::Readings | What::Late => self.reading_key(has),
            What::Rejects if self.naturally(&has) => Ok((false, None)),
            What::Rejects => self.refuse("a key of rejects must hold partition, flush, ord".into()),
        }
    }

    fn naturally(&self, has: &impl Fn(&str) -> bool) -> bool {
        let key = rows::natural_key(self.spec.what, self.schema);
        key.iter().all(|k| has(k))
    }

    fn window_key(&self, has: impl Fn(&str) -> bool, tables: &Tables) -> Result<bool> {
        let by_label = has("window_label") && tables.grains.iter().all(|g| label_is_unique(g));
        if !(has("window_start") || has("window_end") || by_label) {
            return self
                .refuse("its key does not tell windows apart; let it hold window_start".into());
        }
        if !has("grain") && tables.grains.len() > 1 {
            return self.refuse(format!(
                "its key does not tell the grains {} apart; let it hold grain, or run one grain",
                tables.grains.join(", ")
            ));
        }
        Ok(!has("sensor_id"))
    }

    fn reading_key(&self, has: impl Fn(&str) -> bool) -> Result<(bool, Option<OnSameTime>)> {
        if !has("time") {
            return self.refuse("its key does not tell readings apart; let it hold time".into());
        }
        let whole = self.naturally(&has);
        let same_time = self.spec.on_same_time.unwrap_or(OnSameTime::Raise);
        Ok((!has("sensor_id"), (!whole).then_some(same_time)))
    }
}

/// Labels of a day or coarser name one window of their grain; finer ones repeat when clocks go back.
fn label_is_unique(grain: &str) -> bool {
    let name = grain.split('@').next().unwrap_or(grain);
    ["d", "w", "mo", "q", "y"].iter().any(|unit| {
        name.strip_suffix(unit)
            .is_some_and(|n| n.parse::<u32>().is_ok())
    })
}

/// What a column of ours holds.
pub(super) fn class_of(schema: &Schema, ours: Ours) -> Class {
    let Ours::Column(i) = ours else {
        return Class::Id;
    };
    match schema.field(i).data_type() {
        DataType::Timestamp(..) => Class::Time,
        DataType::Date32 => Class::Date,
        DataType::Float64 | DataType::Float32 => Class::Real,
        DataType::Boolean => Class::Flag,
        k if k.is_integer() => Class::Integer,
        _ => Class::Text,
    }
}

fn same_set(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().all(|x| b.iter().any(|y| same(x, y)))
}
