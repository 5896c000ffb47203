//! Sink: where flushes go. A sink knows nothing of how windows were made.
//!
//! In: decided [`Flush`]es, in order. Out: rows in a store, each exactly once, and for a home
//! the head. The first sink of a pipeline is its **home**: it decides. The others are
//! followers: they apply decided flushes in order and remember the last.
//!
//! **Home.** [`Home::acquire`] takes the next epoch and fences all earlier owners: after it returns, no
//! [`Home::decide`] of an older epoch can succeed, however late it arrives. `decide` is one atomic step: it
//! succeeds only if the stored head is (this epoch or older, n − 1) and the epoch is still the
//! newest; then head, record and (where the store can) rows are durable together. A crash
//! before it leaves no visible row; after it, recovery applies what is missing. `decide` whose
//! answer was lost is settled by reading back the head: same (epoch, n) means decided.
//! Applying is idempotent: a flush applied twice leaves the store as applied once.
//!
//! An answer that is lost is [`Decided::Unclear`]; [`Home::settle`] reads back what became of it (head with the same
//! (epoch, n) and token = decided) and makes sure that the attempt cannot land afterwards. `decide` of what is the head already
//! (same id and token) answers `Yes`. A spec that differs is found by `look` before `acquire` moves the epoch.
//!
//! **Records.** A home keeps each flush's state record from the last fold on, and its effects until
//! every sink shows them, itself too (`prune`).
//!
//! **Fenced appliers.** [`Sink::fence`] comes after `acquire` and before any apply: the store keeps the greatest
//! epoch, and an `apply` through a handle of an older one fails with `Fenced` and writes nothing, checked in the step that writes.
//! With n applied: `apply` of a flush ≤ n changes nothing, of n + 1 writes, of a later one is an error.
//!
//! **Accepted and shown.** `apply` may keep rows back (Parquet files that roll) or on their way (Cassandra): then they do
//! not count as applied. `applied` answers what is durable and visible, for a home too; only that is pruned. After a crash the flushes after `applied` are applied again.
//! A roll of many files is one exclusive publish manifest (flushes from..to, all staged files, synced) written
//! before the first rename; recovery ends the renames it names, then goes on after its last flush.
//!
//! **Lineage.** Each flush names the history it belongs to. A store remembers the lineage of what it applied; a flush of another
//! lineage, or a store without any when earlier flushes were pruned, is refused with advice (new pipeline name or empty table).
//!
//! **Rows.** A windows row is keyed (sensor, grain, start): upsert. A reading is keyed (sensor, time, file, row).
//! Pipeline name and zone are in the table's metadata; another pipeline's table is refused. Attributes stand in the rows of
//! readings and late rows that some sink asks them for (`schema::Attributes`); a flush that was decided before has none.
//!
//! | part | does |
//! |---|---|
//! | `spec` | [`SinkSpec`], [`Endpoint`]: what a sink is told |
//! | `rows` | the rows of a flush that a sink takes, as batches of one schema |
//! | `mapping` | our columns onto theirs, checked before row one |
//! | [`memory`] | tables in this process, upserted when they are taken out |
//! | `sqlite` | one transaction decides and writes |
//! | `parquet` | manifests decide, files are staged and published by rename; on S3 by copy |
//! | `postgres` | one transaction decides and writes; bulk goes by COPY before |
//! | `cassandra` | a conditional step decides, rows are upserted from the record |
//! | `kafka` | one transaction decides and sends; heads and records in a compacted topic |

#[cfg(not(all(feature = "cassandra", feature = "postgres", feature = "kafka")))]
mod absent;
#[cfg(any(feature = "cassandra", feature = "cloud", feature = "kafka"))]
mod alive;
#[cfg(feature = "cassandra")]
mod cassandra;
mod cells;
mod folder;
mod instant;
#[cfg(feature = "kafka")]
mod kafka;
mod lock;
mod lost;
mod mapping;
pub mod memory;
mod parquet;
#[cfg(feature = "postgres")]
mod postgres;
mod rows;
mod spec;
mod sql;
mod sqlite;
mod stored;

#[cfg(not(feature = "cassandra"))]
use absent as cassandra;
#[cfg(not(feature = "kafka"))]
use absent as kafka;
#[cfg(not(feature = "postgres"))]
use absent as postgres;
pub use memory::{Memory, MemoryStore};
pub use spec::{
    Cassandra, Consistency, Endpoint, Kafka, OnSameTime, Parquet, PartitionBy, Postgres,
    Replication, Revisions, SinkSpec, Sqlite, SslMode, Synchronous, checked_endpoint, password_in,
};
pub use stored::{Each, Noted, Stored, Wanted, open_stored, schema as stored_schema};

use crate::flush::{Flush, FlushId, Head};
use crate::{Error, Kind, Result};
use arrow_schema::SchemaRef;

/// What a sink is given of each flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Readings.
    Readings,
    /// Window rows.
    Windows,
    /// Late readings.
    Late,
    /// Rejects.
    Rejects,
}

/// The tables a pipeline will write, told before row one so that types and keys are checked and tables made.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Pipeline name, stored in each table's metadata.
    pub pipeline: String,
    /// IANA zone of the windows, or `UTC`, stored likewise.
    pub tz: String,
    /// Grain names, finest first.
    pub grains: Vec<String>,
    /// Columns of windows rows.
    pub windows: SchemaRef,
    /// Columns of readings rows.
    pub readings: SchemaRef,
    /// Columns of late rows.
    pub late: SchemaRef,
    /// The state is about to be dropped: a table that was lost is made anew, where it would be refused.
    pub anew: bool,
}

/// A claim to own a partition.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Pipeline name.
    pub pipeline: String,
    /// Partition.
    pub partition: u32,
    /// Unique for this process and run; tells own writes from others' when an answer was lost.
    pub token: String,
    /// Host and process id, for messages.
    pub owner: String,
    /// Take over from an owner that seems alive.
    pub take_over: bool,
    /// Fingerprint and JSON of the spec, tzdata version: stored with the first head, compared by `pipeline::run` later.
    pub spec: String,
    /// The spec, JSON.
    pub spec_json: String,
}

/// What an owner takes over.
#[derive(Clone, Debug)]
pub struct Owned {
    /// The epoch now owned.
    pub epoch: u64,
    /// The newest decided flush, if any.
    pub head: Option<Head>,
    /// State records from the last fold to the head, oldest first (their effects may be empty).
    pub records: Vec<Flush>,
    /// Whole flushes (with effects) that some sink may not have applied, oldest first, without a gap up to the head.
    pub unapplied: Vec<Flush>,
}

/// How far a store shows the flushes of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The history they belong to.
    pub lineage: String,
    /// The last flush that is durable and visible.
    pub id: FlushId,
}

/// The answer to `decide`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// This flush is the head now.
    Yes,
    /// A newer owner has the partition: nothing was written. Says who.
    Fenced(String),
    /// The answer was lost; says how. `settle` tells.
    Unclear(String),
}

/// A store that takes decided flushes.
pub trait Sink: Send {
    /// What it is, for messages and reports; secrets redacted.
    fn describe(&self) -> String;
    /// What it takes.
    fn what(&self) -> What;
    /// Checks types, keys, metadata, free space and makes missing tables; before row one, writes no row.
    fn prepare(&mut self, tables: &Tables) -> Result<()>;
    /// Looks for what `prepare` would refuse, and writes nothing: for `check`.
    fn inspect(&mut self, _tables: &Tables) -> Result<()> {
        Ok(())
    }
    /// Refuses a table of windows without a row; one that cannot tell, or whose rows expire, says nothing.
    fn not_emptied(&mut self, _pipeline: &str) -> Result<()> {
        Ok(())
    }
    /// What to look at before a run, a sentence each: for `check`.
    fn concerns(&mut self, _tables: &Tables) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// The last flush whose rows are durable and visible, and its lineage; for a home too. Before the fence it waits
    /// for no other run, and may show less than that one is about to.
    fn applied(&mut self, partition: u32) -> Result<Option<Applied>>;
    /// What `applied` would say as far as it is known without waiting, after an `apply`.
    fn shown(&mut self, partition: u32) -> Result<Option<FlushId>> {
        Ok(self.applied(partition)?.map(|a| a.id))
    }
    /// This handle applies for the owner `epoch` from now on; handles of older epochs are refused.
    fn fence(&mut self, partition: u32, epoch: u64) -> Result<()>;
    /// Applies a decided flush; flushes come in order; repeating one changes nothing.
    fn apply(&mut self, flush: &Flush) -> Result<()>;
    /// Ends the run cleanly: publishes what waits (Parquet files being rolled), closes. A stopped run
    /// calls it too.
    fn finish(&mut self) -> Result<()>;
    /// This run gives one partition up while others go on: publishes what waits of it.
    fn leave(&mut self, _partition: u32) -> Result<()> {
        Ok(())
    }
    /// Publishes what has waited as long as it may (`roll_seconds`), where no flush comes that would; told by the run
    /// every second.
    fn roll(&mut self, _partition: u32) -> Result<()> {
        Ok(())
    }
    /// Whether a final window can be written again (`on_late = correct`); checked before row one.
    fn corrects(&self) -> bool {
        true
    }
    /// Readings of this run that fell on a key already taken (`on_same_time`).
    fn same_time(&self) -> u64 {
        0
    }
}

/// The sink that decides.
pub trait Home: Sink {
    /// Whether `decide` itself shows this home's own rows (one transaction) or keeps what it needs to
    /// show them (staged files, its manifests), whatever `keep_effects` says.
    fn decides_rows(&self) -> bool;
    /// Takes the next epoch of a partition and what was decided so far. Errors: `Fenced` while another owner is alive.
    fn acquire(&mut self, claim: &Claim) -> Result<Owned>;
    /// Decides a flush. `keep_effects`: some sink has yet to show it (there are followers, or `decides_rows` is false).
    fn decide(&mut self, head: &Head, flush: &Flush, keep_effects: bool) -> Result<Decided>;
    /// What became of a decision whose answer was lost: `Yes`, `Fenced`, or `None`: it did not happen and cannot any more.
    /// This one is right where a call that returned cannot land later (a store in this process).
    fn settle(&mut self, head: &Head) -> Result<Option<Decided>> {
        let stored = self
            .look(&head.pipeline, head.partition)?
            .and_then(|o| o.head);
        Ok(match stored {
            Some(h) if h.id == head.id && h.token == head.token => Some(Decided::Yes),
            Some(h) if h.id >= head.id => Some(Decided::Fenced("a newer run".into())),
            _ => None,
        })
    }
    /// All sinks show what is up to `upto`: effects kept until then may go, and records before the last fold.
    fn prune(&mut self, partition: u32, upto: FlushId) -> Result<()>;
    /// The owner lives; told by the run every second. For homes that do not show it themselves beside a step.
    fn renew(&mut self, _partition: u32) -> Result<()> {
        Ok(())
    }
    /// Gives the partition up, so that the next owner need not wait.
    fn release(&mut self, partition: u32) -> Result<()>;
    /// Reads head and records without owning (for `state`).
    fn look(&mut self, pipeline: &str, partition: u32) -> Result<Option<Owned>>;
}

/// Opens a sink that applies flushes decided elsewhere. Nothing is written before `prepare`.
pub fn open(spec: &SinkSpec) -> Result<Box<dyn Sink>> {
    check(spec)?;
    Ok(match &spec.endpoint {
        Endpoint::Memory => Box::new(Memory::new(MemoryStore::default(), spec.what)),
        Endpoint::Sqlite(at) => Box::new(sqlite::SqliteSink::new(spec, at)),
        Endpoint::Parquet(at) => Box::new(parquet::ParquetSink::new(spec, at)?),
        Endpoint::Postgres(at) => postgres::open(spec, at)?,
        Endpoint::Cassandra(at) => cassandra::open(spec, at)?,
        Endpoint::Kafka(at) => kafka::open(spec, at)?,
    })
}

/// Opens a sink that decides flushes. Nothing is written before `prepare`.
pub fn open_home(spec: &SinkSpec) -> Result<Box<dyn Home>> {
    check(spec)?;
    Ok(match &spec.endpoint {
        Endpoint::Memory => Box::new(Memory::new(MemoryStore::default(), spec.what)),
        Endpoint::Sqlite(at) => Box::new(sqlite::SqliteSink::new(spec, at)),
        Endpoint::Parquet(at) => Box::new(parquet::ParquetSink::new(spec, at)?),
        Endpoint::Postgres(at) => postgres::open(spec, at)?,
        Endpoint::Cassandra(at) => cassandra::open(spec, at)?,
        Endpoint::Kafka(at) => kafka::open(spec, at)?,
    })
}

/// Options that this endpoint has no meaning for are refused, not passed over.
fn check(spec: &SinkSpec) -> Result<()> {
    if spec.table.as_ref().is_some_and(|t| t.trim().is_empty()) {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "table={:?} of {} is no name; give one, or leave table out",
                spec.table.as_deref().unwrap_or_default(),
                spec.endpoint
            ),
        ));
    }
    if spec.ttl.is_some() && !matches!(spec.endpoint, Endpoint::Cassandra(_)) {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "{} keeps rows for good; leave ttl= out, it is for stores that expire rows",
                spec.endpoint
            ),
        ));
    }
    let mapped = spec.columns.is_some() || spec.key.is_some() || spec.on_same_time.is_some();
    let database = matches!(
        spec.endpoint,
        Endpoint::Sqlite(_) | Endpoint::Postgres(_) | Endpoint::Cassandra(_)
    );
    let topic = matches!(spec.endpoint, Endpoint::Kafka(_)) && spec.on_same_time.is_none();
    if mapped && !database && !topic {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "columns=, key= and on_same_time= map onto an existing table, and {} has none; leave them out",
                spec.endpoint
            ),
        ));
    }
    Ok(())
}

/// Another owner is alive, or has been.
fn fenced(pipeline: &str, place: &str, owner: &str) -> Error {
    Error::new(
        Kind::Fenced,
        format!(
            "the pipeline {pipeline:?} in {place} is owned by {owner}; wait for it to end, or pass take_over=True if it hangs"
        ),
    )
}

fn not_owned(pipeline: &str) -> Error {
    Error::new(
        Kind::Internal,
        format!("a flush of {pipeline:?} was decided without owning it"),
    )
}

/// The flush without its effects.
fn state_only(flush: &Flush) -> Flush {
    Flush {
        windows: Vec::new(),
        readings: Vec::new(),
        late: None,
        rejects: Vec::new(),
        ..flush.clone()
    }
}

/// The effects of a flush without its state, which is stored beside them.
fn effects_only(flush: &Flush) -> Flush {
    Flush {
        state: crate::flush::StateDelta::default(),
        ..flush.clone()
    }
}

/// Of records with the effects kept beside them, oldest first: the records from `fold` on, and the whole flushes
/// that are to be applied. One kept without its effects was for the home alone: no sink waits for it, or for what
/// lies before.
fn unapplied(pairs: Vec<(Flush, Option<Flush>)>, fold: u64) -> (Vec<Flush>, Vec<Flush>) {
    let (mut records, mut whole) = (Vec::new(), Vec::new());
    for (record, effects) in pairs {
        match effects {
            Some(effects) => whole.push(Flush {
                state: record.state.clone(),
                ..effects
            }),
            None => whole.clear(),
        }
        if record.id.n >= fold {
            records.push(record);
        }
    }
    (records, whole)
}

/// What a sink does with the flush it is given.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It is there already.
    Nothing,
    /// It is the next one.
    Write,
}

/// Holds a flush against what `table` shows or waits to show.
fn next_step(table: &str, applied: Option<&Applied>, flush: &Flush) -> Result<Next> {
    let last = applied.map_or(0, |a| a.id.n);
    if applied.is_some_and(|a| a.lineage != flush.lineage) {
        return Err(home_changed(table));
    }
    if flush.id.n <= last {
        return Ok(Next::Nothing);
    }
    if flush.id.n == last + 1 {
        return Ok(Next::Write);
    }
    Err(Error::new(
        Kind::SpecChanged,
        format!(
            "{table:?} has the flushes up to {last} of this pipeline and {} came next; those between are gone, so name an empty table and give the pipeline a new name",
            flush.id.n
        ),
    ))
}

fn home_changed(table: &str) -> Error {
    Error::new(
        Kind::SpecChanged,
        format!(
            "{table:?} holds rows of another history of this pipeline: its position is in the first sink, and that is another one now or was emptied; put the former first sink in front again, or name empty tables and give the pipeline a new name"
        ),
    )
}

/// Two sinks never write the same table: each would undo or double what the other wrote.
pub fn distinct(sinks: &[SinkSpec]) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for sink in sinks {
        if let Some(place) = place(sink)
            && !seen.insert(place)
        {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "two sinks write to the same table of {}; name it once, or give one of them another table (table=, or ?table= behind its URL or path) or folder",
                    sink.endpoint
                ),
            ));
        }
    }
    Ok(())
}

/// Where a sink writes: the store and the table in it.
fn place(sink: &SinkSpec) -> Option<(String, String)> {
    let table = || match &sink.table {
        Some(table) => table.to_lowercase(),
        None => rows::table_name(sink.what).to_string(),
    };
    Some(match &sink.endpoint {
        Endpoint::Memory => return None,
        Endpoint::Sqlite(at) => (real(&at.path), table()),
        Endpoint::Parquet(at) => {
            let place = match at.bucket() {
                Some(_) => at.to_string(),
                None => real(&at.path),
            };
            (place, sink.table.clone().unwrap_or_default())
        }
        Endpoint::Kafka(at) => {
            let topic = at.topic.clone().or_else(|| sink.table.clone());
            let usual = || rows::table_name(sink.what).to_string();
            (at.brokers.clone(), topic.unwrap_or_else(usual))
        }
        other => (other.to_string(), table()),
    })
}

/// The path without links and detours, as far as it is there already.
fn real(path: &std::path::Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let there = whole
        .ancestors()
        .find_map(|a| Some((a.canonicalize().ok()?, a)));
    let real = match &there {
        Some((real, a)) => real.join(whole.strip_prefix(a).unwrap_or(&whole)),
        None => whole,
    };
    real.components()
        .collect::<std::path::PathBuf>()
        .display()
        .to_string()
}
