//! Pipeline: the engine. Spec → check → run; `task` decides, `run` moves.
//!
//! | part | does |
//! |---|---|
//! | [`spec`], [`policy`] | the one definition of every option (serde, unknown keys refused), its fingerprint |
//! | `environment` | what a definition in TOML takes from the environment |
//! | `build`, `sources` | a spec becomes source, plan, task config and sinks |
//! | [`check()`] | what would run, and what is wrong, before row one |
//! | [`task`] | one partition as a pure state machine: `step(event) → effects` |
//! | `run`, `lane`, `reader`, `stores` | the loop over partitions and its threads; carry effects out |
//! | `share` | a place in a group that gives partitions out; the ends of the log |
//! | `agree`, `books` | whether a head belongs to this run; what was decided, for the report |
//! | `kept` | what sinks must still hold before a run goes on |
//! | `letters` | the dead letter topic of a spec, one more sink |
//! | `repair`, `places` | what a person does to a stored pipeline: seek, reset, repartition, export |
//! | `topics` | a `kafka://` source of a spec |
//! | `memory` | what large buffers took goes back to the system |
//! | [`control`] | stop flag in, progress out |
//! | [`report`] | ledger, timings, summary |
//!
//! In: a [`Spec`], and data where they are handed over. Out: a [`Report`], tables for `windows`.
//! Nothing above this room may call it.

mod agree;
mod books;
mod build;
mod check;
pub mod control;
mod environment;
mod kept;
mod lane;
mod letters;
mod memory;
mod places;
pub mod policy;
mod reader;
mod repair;
pub mod report;
mod run;
mod share;
mod simulated;
mod sources;
pub mod spec;
mod state;
mod stores;
pub mod task;
mod topics;

pub use build::{Handed, Until, schema_file};
pub use check::{Finding, Level, check};
pub use control::Control;
pub use repair::{Repair, export, repair};
pub use report::{Outcome, Report};
pub use simulated::simulated;
#[cfg(feature = "kafka")]
pub(crate) use simulated::{columns as simulated_columns, table as simulated_table};
pub use spec::{Dlq, SchemaSpec, Spec, Texts};
pub use state::{State, open_windows, partitions, sensors, state, stored_state};

use crate::sink::{Endpoint, MemoryStore, SinkSpec, What};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::sync::Arc;

/// Runs a pipeline to the end of its source, or `until`, or until `control` stops it.
/// Errors leave every decided flush in place; the next run goes on from there.
pub fn run(
    spec: &Spec,
    handed: Option<Handed>,
    until: Until,
    control: &Arc<Control>,
) -> Result<Report> {
    // Tables in memory gain nothing by it.
    if spec
        .sinks
        .iter()
        .any(|sink| !matches!(sink.endpoint, Endpoint::Memory))
    {
        memory::give_back();
    }
    let stores = build::stores(spec)?;
    let parts = build::parts(spec, handed, until, true)?;
    run::run(&parts, stores, control)
}

/// Windows as tables.
pub struct Windowed {
    /// Columns of every grain's table.
    pub schema: SchemaRef,
    /// Rows by grain, finest first; batches in order of (window_start, sensor).
    pub grains: Vec<(String, Vec<RecordBatch>)>,
    /// Late readings and their columns.
    pub late: (SchemaRef, Vec<RecordBatch>),
    /// What the run did.
    pub report: Report,
}

/// The windows of data, kept nowhere: the same code and the same bits as [`run`].
pub fn windows(spec: &Spec, handed: Option<Handed>, control: &Arc<Control>) -> Result<Windowed> {
    let store = MemoryStore::default();
    let named = |what| SinkSpec::new(Endpoint::Memory).taking(what);
    let sinks = [What::Windows, What::Late, What::Rejects]
        .map(named)
        .to_vec();
    let spec = Spec {
        name: "windows".into(),
        sinks,
        ..spec.clone()
    };
    let parts = build::parts(&spec, handed, Until::End, false)?;
    if !parts.source.bounded() {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "{} never ends, and windows are given when all is read; give it an end, or run a Pipeline with a sink",
                parts.source.describe()
            ),
        ));
    }
    let report = run::run(&parts, build::memory(&store), control)?;
    let take = |grain: &String| Ok((grain.clone(), store.take(grain)?));
    Ok(Windowed {
        schema: parts.tables.windows.clone(),
        grains: parts
            .tables
            .grains
            .iter()
            .map(take)
            .collect::<Result<_>>()?,
        late: (parts.tables.late.clone(), store.take_late()),
        report,
    })
}
