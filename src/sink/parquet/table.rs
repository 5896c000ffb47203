//! Whose table a folder is, what it holds and how it is laid out: told once, in `table.json` beside it.
//!
//! A table keeps the columns that it was begun with, since its readers take them from any of its files. One that was
//! begun before some attribute travelled goes on without it; `check` says so.

use super::store::{Created, Store};
use crate::schema::is_attribute;
use crate::sink::{Noted, Parquet, PartitionBy, SinkSpec, Tables, rows};
use crate::{Error, Kind, Result};
use arrow_schema::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Version of the layout; a greater one is refused.
const FORMAT: u32 = 1;

/// What a table says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    format: u32,
    pipeline: String,
    tz: String,
    what: String,
    partition_by: Option<PartitionBy>,
    /// Name and type of each column.
    columns: Vec<(String, String)>,
    /// Those of them that are attributes of readings.
    #[serde(skip)]
    attributes: Vec<String>,
}

impl Facts {
    /// The facts of a table that a sink would write.
    pub fn new(spec: &SinkSpec, at: &Parquet, tables: &Tables) -> Facts {
        let schema = rows::schema(spec.what, tables);
        let column = |f: &Arc<arrow_schema::Field>| (f.name().clone(), f.data_type().to_string());
        Facts {
            format: FORMAT,
            pipeline: tables.pipeline.clone(),
            tz: tables.tz.clone(),
            what: rows::table_name(spec.what).into(),
            partition_by: at.partition_by,
            columns: schema.fields().iter().map(column).collect(),
            attributes: schema
                .fields()
                .iter()
                .filter(|f| is_attribute(f))
                .map(|f| f.name().clone())
                .collect(),
        }
    }

    /// The table under this name, as a store notes it.
    pub fn noted(self, name: &str) -> Noted {
        Noted {
            name: name.to_owned(),
            what: self.what,
            pipeline: self.pipeline,
            tz: self.tz,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|(own, _)| own == name)
    }

    /// Of the columns of `schema` those that the table has.
    pub fn kept(&self, schema: &Schema) -> SchemaRef {
        let fields = schema.fields().iter().filter(|f| self.has(f.name()));
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    /// Metadata of each file.
    pub fn metadata(&self) -> Vec<(String, String)> {
        let pair = |k: &str, v: &str| (format!("wattline.{k}"), v.to_owned());
        vec![
            pair("pipeline", &self.pipeline),
            pair("tz", &self.tz),
            pair("what", &self.what),
        ]
    }

    fn agree(&self, table: &Path, asked: &Facts) -> Result<()> {
        let name = table.display().to_string();
        rows::same_owner(
            &name,
            (&self.pipeline, &self.tz),
            (&asked.pipeline, &asked.tz),
        )?;
        let refuse = |what: String| {
            let message = format!(
                "{name} {what}; name another folder, or one inside it with table=, or ?table= behind its path"
            );
            Err(Error::new(Kind::Usage, message))
        };
        if self.what != asked.what {
            return refuse(format!("holds {}, not {}", self.what, asked.what));
        }
        if self.partition_by != asked.partition_by {
            return refuse("was begun with another partition_by".into());
        }
        let spare = |name: &String| asked.attributes.contains(name) && !self.has(name);
        let asked: Vec<_> = asked.columns.iter().filter(|c| !spare(&c.0)).collect();
        let differs = |(has, asks): &(&(String, String), &&(String, String))| has != *asks;
        let mut pairs = self.columns.iter().zip(&asked);
        match pairs.find(differs) {
            Some((has, asks)) => refuse(format!(
                "has the column {} ({}) where {} ({}) would be written",
                has.0, has.1, asks.0, asks.1
            )),
            None if self.columns.len() != asked.len() => {
                refuse("has another number of columns".into())
            }
            None => Ok(()),
        }
    }
}

/// What a table says of itself, where it is one of ours.
pub(super) fn facts(store: &dyn Store, state: &Path) -> Result<Option<Facts>> {
    read(store, &state.join("table.json"))
}

/// The attributes that a table was begun without.
pub(super) fn left_out(store: &dyn Store, state: &Path, asked: &Facts) -> Result<Vec<String>> {
    let lacks = |has: &Facts| {
        let names = asked.attributes.iter().filter(|name| !has.has(name));
        names.cloned().collect()
    };
    Ok(facts(store, state)?.as_ref().map_or_else(Vec::new, lacks))
}

/// Refuses a table of this pipeline whose folder is gone with what was published in it.
pub(super) fn not_lost(
    store: &Arc<dyn Store>,
    table: &Path,
    state: &Path,
    asked: &Facts,
) -> Result<()> {
    match facts(&**store, state)? {
        Some(has) => {
            has.agree(table, asked)?;
            super::missing::folder(store, table, state, &asked.pipeline)
        }
        None => Ok(()),
    }
}

/// Makes the table's folder and says whose it is, or refuses one that is another's; gives what holds for the table.
pub(super) fn claim(store: &dyn Store, table: &Path, state: &Path, facts: &Facts) -> Result<Facts> {
    let path = state.join("table.json");
    if let Some(has) = read(store, &path)? {
        store.make_folder(table)?;
        return has.agree(table, facts).map(|()| has);
    }
    if let Some(name) = foreign(store, table)? {
        let message = format!(
            "{} holds {name:?}, which this pipeline did not write; name an empty folder",
            table.display()
        );
        return Err(Error::new(Kind::Usage, message));
    }
    store.make_folder(table)?;
    store.make_folder(state)?;
    let json = serde_json::to_vec_pretty(facts)
        .map_err(|e| Error::new(Kind::Internal, "a table's facts cannot be written").because(e))?;
    heeds_names(store, table, state)?;
    match create(store, &path, &format!("table-{}", super::token()), &json)? {
        Created::Yes => store.sync(state).map(|()| facts.clone()),
        // Another run was first; hold ours against its.
        Created::Taken => match read(store, &path)? {
            Some(has) => has.agree(table, facts).map(|()| has),
            None => Err(super::disk::failed(
                "made",
                &path,
                std::io::ErrorKind::AlreadyExists.into(),
            )),
        },
        Created::Unclear(e) => Err(e),
    }
}

/// Refuses a store that makes the same object twice, with an object of its own that is gone before the table is begun:
/// else a second run would find the table there and go on.
fn heeds_names(store: &dyn Store, table: &Path, state: &Path) -> Result<()> {
    if !store.late() {
        return Ok(());
    }
    let word = super::token();
    let path = state.join(format!("probe-{word}"));
    let make = || create(store, &path, &word, word.as_bytes());
    let made = make().and_then(|first| Ok((first, make()?)));
    store.discard(std::slice::from_ref(&path));
    match made? {
        (Created::Unclear(e), _) | (_, Created::Unclear(e)) => Err(e),
        (_, Created::Yes) => Err(no_exclusion(table)),
        (_, Created::Taken) => Ok(()),
    }
}

/// Makes a file where none is yet; tried once more where the answer was lost and the store answers again.
fn create(store: &dyn Store, path: &Path, temporary: &str, bytes: &[u8]) -> Result<Created> {
    match store.create(path, temporary, &[bytes])? {
        Created::Unclear(_) => {
            store.exists(path)?;
            store.create(path, temporary, &[bytes])
        }
        created => Ok(created),
    }
}

/// A store that made the same object twice: two owners would overwrite each other's manifests.
fn no_exclusion(table: &Path) -> Error {
    let message = format!(
        "the store of {} does not heed If-None-Match, so that two runs could overwrite each other; use one that does (Amazon S3, MinIO, Ceph, R2 in their newer versions)",
        table.display()
    );
    Error::new(Kind::Endpoint, message)
}

fn read(store: &dyn Store, path: &Path) -> Result<Option<Facts>> {
    let Some(bytes) = store.find(path)? else {
        return Ok(None);
    };
    let parsed: serde_json::Result<Facts> = serde_json::from_slice(&bytes);
    match parsed {
        Ok(facts) if facts.format <= FORMAT => Ok(Some(facts)),
        Ok(_) => Err(Error::new(
            Kind::SpecChanged,
            format!(
                "{} was written by a newer wattline; upgrade wattline",
                path.display()
            ),
        )),
        Err(e) => Err(Error::new(
            Kind::DataLost,
            format!(
                "{} is damaged or was edited; restore it from a copy",
                path.display()
            ),
        )
        .because(e)),
    }
}

/// A file or Hive folder that was there before.
fn foreign(store: &dyn Store, table: &Path) -> Result<Option<String>> {
    let names = store.names(table)?;
    Ok(names
        .into_iter()
        .find(|n| n.ends_with(".parquet") || n.contains('=')))
}
