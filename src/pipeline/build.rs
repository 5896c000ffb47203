//! Build: a spec and what was handed over become the parts of a run. Opens the source (`sources`), compiles
//! the windows, opens the sinks; reads no row and writes none.

use super::letters;
use super::policy::OnLate;
use super::sources;
use super::spec::{AggregatesSpec, Spec, duration};
use super::stores::Stores;
use super::task::{self, Limits, TaskConfig, Wants};
use crate::csv::ReadOptions;
use crate::schema::{Aggregate, Measure, MeasureKind, Schema, StepSpec};
use crate::sink::{self, Memory, MemoryStore, Sink, Tables, What};
use crate::source::{Order, Source};
use crate::time::parse::{Layout, Parsed};
use crate::time::{Grain, Zone};
use crate::window::{Plan, StepKnown, WindowSpec};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Data handed over in place of a named source.
pub enum Handed {
    /// Batches that can be read again.
    Table {
        /// Their columns.
        schema: SchemaRef,
        /// The rows.
        batches: Vec<RecordBatch>,
    },
    /// Batches that come once.
    Reader {
        /// Their columns.
        schema: SchemaRef,
        /// The rows.
        batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
    },
}

/// How far a run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// To the end of the source, which an unbounded one does not have.
    #[default]
    End,
    /// To what there is at the start of the run.
    Now,
    /// The same, and then the watermark is asserted to this instant, µs UTC.
    At(i64),
}

impl Until {
    /// `now`, or a time with its zone, ISO 8601.
    pub fn parse(text: &str) -> Result<Until> {
        match text {
            "now" => Ok(Until::Now),
            _ => instant("until", text).map(Until::At),
        }
    }
}

/// A time with its zone, µs UTC.
pub(super) fn instant(option: &str, text: &str) -> Result<i64> {
    match Layout::new(None).stamp(text.as_bytes()) {
        Ok(Parsed::Utc(micros)) => Ok(micros),
        _ => Err(Error::new(
            Kind::Usage,
            format!(
                "{option}: {text:?} is no time with its zone; write one such as 2026-01-31T00:00:00Z"
            ),
        )),
    }
}

/// Everything a run is made of, but the sinks.
pub(super) struct Parts {
    pub(super) spec: Spec,
    pub(super) source: Arc<dyn Source>,
    pub(super) config: TaskConfig,
    pub(super) tables: Tables,
    pub(super) order: Order,
    pub(super) take_over: bool,
    /// A group gives the partitions out.
    pub(super) grouped: bool,
}

/// A source up to this size is read optimistically: what waits for its one decision is small, and the look ahead saved
/// is a good part of the run. A longer one is looked through first, so that its flushes are written while it is read.
/// `windows` keeps its tables in memory and decides nothing before the end: there no source that can be read again is
/// looked through unless it turns out to be in no order.
const OPTIMISTIC: u64 = 4 << 20;
/// Bytes of effects after which a flush is built, of all partitions together: each has a flush in flight, one decided and
/// one that gathers.
const FLUSH_BYTES: usize = 7 << 20;
/// Of one partition at least: smaller flushes cost the stores more than they save here.
const LEAST_BYTES: usize = 1 << 20;

/// Opens the source and compiles what is asked for. `keep`: a store must be able to continue
/// (positions carry fingerprints); off for `windows`, which keeps nothing.
pub(super) fn parts(
    spec: &Spec,
    handed: Option<Handed>,
    until: Until,
    keep: bool,
) -> Result<Parts> {
    if spec.grains.is_empty() && !spec.sinks.iter().any(|s| s.what == What::Readings) {
        return Err(Error::new(
            Kind::Usage,
            "no grain is asked for; name some, for example grains = [\"1h\", \"1d\"]",
        ));
    }
    let source = sources::source(spec, handed, until, keep)?;
    let schema = source.schema();
    let zone = zone(spec, &schema, source.assumed())?;
    let measures = measures(&source.measures(), spec)?;
    if let Some(why) = source.unmeasured().filter(|_| measures.is_empty()) {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "there is no measure to aggregate: {why}; mend the file, or declare the column in a schema with the type float and the role \"measure\""
            ),
        ));
    }
    let plan = Arc::new(Plan::new(&WindowSpec {
        grains: sorted(&spec.grains),
        zone: zone.clone(),
        measures: measures.clone(),
        step: step_known(spec, &schema)?,
        correct_for: (spec.on_late == OnLate::Correct)
            .then(|| optional("correct_for", spec.correct_for.as_deref()))
            .transpose()?
            .flatten(),
    })?);
    let tables = Tables {
        pipeline: spec.name.clone(),
        tz: zone.name().to_string(),
        grains: sorted(&spec.grains)
            .iter()
            .map(ToString::to_string)
            .collect(),
        windows: plan.schema(),
        readings: task::tables::readings_schema(&measures, &source.attributes()),
        late: task::tables::late_schema(&measures, &source.attributes()),
        anew: false,
    };
    let order = match source.size() {
        Some(bytes) if source.bounded() && (bytes <= OPTIMISTIC || !keep) => Order::Optimistic,
        _ => Order::Scanned,
    };
    let mut config = config(spec, source.as_ref(), plan, order, until)?;
    if !keep {
        // Tables in memory are whole at the end in any case: one flush makes them.
        config.limits.bytes = usize::MAX;
    }
    Ok(Parts {
        spec: spec.clone(),
        source,
        config,
        tables,
        order,
        take_over: spec.take_over,
        // A run with an end has all partitions, whoever else there is.
        grouped: spec.group.is_some() && until == Until::End,
    })
}

fn config(
    spec: &Spec,
    source: &dyn Source,
    plan: Arc<Plan>,
    order: Order,
    until: Until,
) -> Result<TaskConfig> {
    if source.bounded() && matches!(until, Until::At(_)) {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "until a time says how far the watermark of a stream is, and {} ends by itself; leave until out",
                source.describe()
            ),
        ));
    }
    let sinks = letters::sinks(spec)?;
    let takes = |what| sinks.iter().any(|s| s.what == what);
    Ok(TaskConfig {
        pipeline: spec.name.clone(),
        partition: 0,
        token: token(),
        spec: spec.fingerprint()?,
        spec_json: serde_json::Value::Object(spec.identity()?).to_string(),
        tzdata: crate::time::tzdata_version().to_string(),
        identity: source.identity()?,
        plan,
        files: source.files(),
        bounded: source.bounded(),
        order,
        lateness: duration("lateness", &spec.lateness)?,
        on_late: spec.on_late,
        idle: optional("idle", spec.idle.as_deref())?,
        until: match until {
            Until::At(at) => Some(at),
            Until::End | Until::Now => None,
        },
        ahead: if source.bounded() {
            None
        } else {
            Some(duration("ahead", &spec.ahead)?)
        },
        on_reject: spec.on_reject,
        on_duplicate: spec.on_duplicate,
        on_conflict: spec.on_conflict,
        dedupe_for: duration("dedupe_for", &spec.dedupe_for)?,
        limits: Limits {
            rows: spec.flush_rows,
            bytes: (FLUSH_BYTES / source.partitions().max(1) as usize).max(LEAST_BYTES),
            interval: duration("flush_interval", &spec.flush_interval)?,
        },
        sinks: sinks.len(),
        budget: letters::budget(spec, ReadOptions::default().max_rejects)?,
        wants: Wants {
            readings: takes(What::Readings),
            late: takes(What::Late),
            rejects: takes(What::Rejects),
        },
        attributes: source.attributes(),
    })
}

/// Where the log of the source ends, by partition.
pub(super) fn ends(spec: &Spec) -> Result<Vec<(u32, u64)>> {
    sources::source(spec, None, Until::Now, true)?.ends()
}

/// Reads a schema's TOML file.
pub fn schema_file(path: &str) -> Result<Schema> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Endpoint };
        Error::new(kind, format!("the schema file {path} cannot be read ({e}); name a preset or a readable .toml file")).because(e)
    })?;
    Schema::from_toml(&text).map_err(|mut error| {
        error.message = format!("{path}: {}", error.message);
        error
    })
}

/// The zone of the windows: asked for, else the schema's, else UTC. Wall-clock readings have one zone only: their own.
fn zone(spec: &Spec, schema: &Schema, assumed: bool) -> Result<Zone> {
    match &spec.tz {
        Some(tz) if assumed && Zone::parse(tz)?.name() != "UTC" => Err(Error::new(
            Kind::AmbiguousZone,
            format!(
                "windows in {tz} are asked for, but the times carry no zone; say what they are: tz = \"{tz}\" in the schema where they are local times there, or tz = \"UTC\" in the schema where they are UTC"
            ),
        )),
        Some(tz) => Zone::parse(tz),
        None => schema
            .tz
            .as_deref()
            .map_or_else(|| Ok(Zone::utc()), Zone::parse),
    }
}

fn step_known(spec: &Spec, schema: &Schema) -> Result<StepKnown> {
    let fixed = match (&spec.step, &schema.step) {
        (Some(step), _) | (None, StepSpec::Fixed(step)) => Some(duration("step", step)?),
        (None, StepSpec::Unknown) => return Ok(StepKnown::Unknown),
        (None, _) => None,
    };
    Ok(fixed.map_or(StepKnown::Rows, StepKnown::Fixed))
}

fn optional(key: &str, text: Option<&str>) -> Result<Option<i64>> {
    text.map(|text| duration(key, text)).transpose()
}

fn sorted(grains: &[Grain]) -> Vec<Grain> {
    let mut grains = grains.to_vec();
    grains.sort();
    grains
}

/// The measures with the aggregates that are asked for.
fn measures(found: &[Measure], spec: &Spec) -> Result<Arc<[Measure]>> {
    if let Some(AggregatesSpec::By(by)) = &spec.aggregates
        && let Some(unknown) = by
            .keys()
            .find(|name| !found.iter().any(|m| &m.name == *name))
    {
        let names: Vec<&str> = found.iter().map(|m| m.name.as_str()).collect();
        return Err(Error::new(
            Kind::Schema,
            format!(
                "aggregates are asked for {unknown:?}, which is no measure; there are {}",
                names.join(", ")
            ),
        ));
    }
    found
        .iter()
        .map(|measure| with_aggregates(measure, spec))
        .collect()
}

fn with_aggregates(measure: &Measure, spec: &Spec) -> Result<Measure> {
    let mut aggregates = match &spec.aggregates {
        None => measure.kind.aggregates().to_vec(),
        // The energy of what has none is left out where all measures are meant, and refused where it is named.
        Some(AggregatesSpec::All(all)) => all
            .iter()
            .copied()
            .filter(|a| *a != Aggregate::Energy || has_energy(measure))
            .collect(),
        Some(AggregatesSpec::By(by)) => by.get(&measure.name).cloned().unwrap_or_default(),
    };
    aggregates.sort();
    aggregates.dedup();
    if aggregates.contains(&Aggregate::Energy) && !has_energy(measure) {
        return Err(Error::new(
            Kind::Schema,
            format!(
                "the energy of {} is asked for, but a {:?} has none; leave it out or declare the measure as power or energy",
                measure.name, measure.kind
            ),
        ));
    }
    Ok(Measure {
        aggregates,
        ..measure.clone()
    })
}

fn has_energy(measure: &Measure) -> bool {
    matches!(measure.kind, MeasureKind::Power | MeasureKind::Energy)
}

/// Unique for this run.
fn token() -> String {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let seed = (
        super::run::clock(),
        std::process::id(),
        RUNS.fetch_add(1, Relaxed),
        &RUNS as *const _ as usize,
    );
    blake3::hash(format!("{seed:?}").as_bytes()).to_hex()[..32].to_string()
}

/// Opens the sinks of a spec. The first is the home.
pub(super) fn stores(spec: &Spec) -> Result<Stores> {
    let sinks = letters::sinks(spec)?;
    let Some((first, rest)) = sinks.split_first().filter(|_| !spec.sinks.is_empty()) else {
        return Err(Error::new(
            Kind::Usage,
            "the pipeline has no sink; name one, for example out.db, a folder or postgresql://host/base",
        ));
    };
    if spec.name.is_empty() {
        return Err(Error::new(
            Kind::Usage,
            "a pipeline that writes to a store needs a name; it owns the position there",
        ));
    }
    sink::distinct(&sinks)?;
    let home = sink::open_home(first)?;
    let followers: Vec<Box<dyn Sink>> = rest.iter().map(sink::open).collect::<Result<_>>()?;
    if spec.on_late == OnLate::Correct {
        let stuck = std::iter::once(home.corrects())
            .chain(followers.iter().map(|f| f.corrects()))
            .any(|can| !can);
        if stuck {
            return Err(Error::new(
                Kind::Usage,
                "on_late = correct writes final windows again, which a Parquet sink does only with revisions = \"append\"; set it, or use on_late = side",
            ));
        }
    }
    Ok(Stores::new(home, followers))
}

/// The stores of `windows`: this process's memory.
pub(super) fn memory(store: &MemoryStore) -> Stores {
    let follower = |what| Box::new(Memory::new(store.clone(), what)) as Box<dyn Sink>;
    let home = Box::new(Memory::new(store.clone(), What::Windows));
    Stores::new(home, vec![follower(What::Late), follower(What::Rejects)])
}
