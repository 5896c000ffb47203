//! Build: a spec and what was handed over become the parts of a run. Opens the source, compiles
//! the windows, opens the sinks; reads no row and writes none.

use super::letters;
use super::policy::OnLate;
use super::spec::{AggregatesSpec, SchemaSpec, Spec, duration};
use super::stores::Stores;
use super::task::{self, Limits, TaskConfig, Wants};
use crate::csv::{LocalPolicy, ReadOptions, SchemaChoice};
use crate::schema::{Aggregate, Carried, Measure, MeasureKind, Overrides, Schema, StepSpec};
use crate::sink::{self, Endpoint, Memory, MemoryStore, Sink, SinkSpec, Tables, What};
use crate::source::{
    ArrowOptions, ArrowSource, FileOptions, FileSource, Order, Sequence, Simulated, Source,
};
use crate::time::parse::{Layout, Parsed};
use crate::time::{Grain, Zone};
use crate::window::{Plan, StepKnown, WindowSpec};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::collections::BTreeSet;
use std::path::PathBuf;
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
const FLUSH_BYTES: usize = 8 << 20;
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
    let source = source(spec, handed, until, keep)?;
    let schema = source.schema();
    let zone = zone(spec, &schema, source.assumed())?;
    let measures = measures(&source.measures(), spec)?;
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

fn source(
    spec: &Spec,
    handed: Option<Handed>,
    until: Until,
    keep: bool,
) -> Result<Arc<dyn Source>> {
    let overrides = Overrides {
        time: spec.time.clone(),
        sensor: spec.sensor.as_ref().map(|names| names.list()),
        measures: spec.measures.clone(),
        step: spec.step.clone(),
        tz: None,
        carried: if keep {
            carried(&spec.sinks)
        } else {
            Carried::None
        },
    };
    let spill_dir = spec.spill_dir.as_ref().map(PathBuf::from);
    no_topic(spec)?;
    if let Some(handed) = handed {
        let options = ArrowOptions {
            schema: declared(spec)?,
            overrides,
            on_repeated: spec.on_repeated,
            on_missing: spec.on_missing,
            on_reject: spec.on_reject,
            max_rejects: spec
                .max_rejects
                .unwrap_or(ReadOptions::default().max_rejects),
            waiting_rows: spec.waiting_rows,
            spill_dir,
            name: spec.stream_name.clone(),
        };
        return Ok(match handed {
            Handed::Table { schema, batches } => {
                Arc::new(ArrowSource::table(schema, batches, options)?)
            }
            Handed::Reader { schema, batches } => {
                Arc::new(ArrowSource::reader(schema, batches, options)?)
            }
        });
    }
    let inputs = spec.source.list();
    match inputs.as_slice() {
        [] => Err(Error::new(
            Kind::Usage,
            "the pipeline has no source; name a file, a glob, -, or a kafka:// or sim:// URL",
        )),
        [url] if url.starts_with("sim://") => {
            let until = match until {
                Until::Now | Until::At(_) => Some(super::run::clock()),
                Until::End => None,
            };
            let simulated = Simulated::parse(url, until)?;
            all_measures(&simulated.measures(), spec)?;
            Ok(Arc::new(simulated))
        }
        [url] if url.starts_with("kafka://") => {
            if spec.cut.is_some() {
                return Err(Error::new(
                    Kind::Usage,
                    "cut parts files from the topic that goes on from them, and there are no files; name them before the topic, or leave cut out",
                ));
            }
            topic(url, spec, overrides, until)
        }
        [files @ .., url] if url.starts_with("kafka://") => {
            let cut = spec.cut.as_deref().ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    "files and then a topic are parted at one instant; give it as cut, a time with its zone",
                )
            })?;
            let later = topic(url, spec, overrides.clone(), until)?;
            let files = FileSource::new(files, file_options(spec, overrides, spill_dir, keep)?)?;
            Ok(Arc::new(Sequence::new(files, later, instant("cut", cut)?)?))
        }
        [url, ..] if url.contains("://") => Err(Error::new(
            Kind::Usage,
            format!(
                "{} is no source of this version; name files, a glob, -, or a kafka:// or sim:// URL",
                url.split("://").next().unwrap_or_default().to_string() + "://"
            ),
        )),
        files => Ok(Arc::new(FileSource::new(
            files,
            file_options(spec, overrides, spill_dir, keep)?,
        )?)),
    }
}

/// The attributes that some sink of readings or late rows asks for: those of its mapping, or all for a table of ours.
fn carried(sinks: &[SinkSpec]) -> Carried {
    let mut names = BTreeSet::new();
    let rows = |s: &&SinkSpec| matches!(s.what, What::Readings | What::Late);
    for sink in sinks.iter().filter(rows) {
        let Some(columns) = &sink.columns else {
            return Carried::All;
        };
        names.extend(columns.values().cloned());
        if let (Endpoint::Kafka(_), Some(key)) = (&sink.endpoint, &sink.key) {
            names.extend(key.iter().cloned());
        }
    }
    match names.is_empty() {
        true => Carried::None,
        false => Carried::Named(names),
    }
}

fn file_options(
    spec: &Spec,
    overrides: Overrides,
    spill_dir: Option<PathBuf>,
    keep: bool,
) -> Result<FileOptions> {
    Ok(FileOptions {
        schema: choice(spec)?,
        overrides,
        read: read_options(spec),
        spill_dir,
        may_grow: spec.may_grow,
        track: keep,
        waiting_rows: spec.waiting_rows,
        stream_name: spec.stream_name.clone(),
        ..FileOptions::default()
    })
}

fn topic(url: &str, spec: &Spec, overrides: Overrides, until: Until) -> Result<Arc<dyn Source>> {
    let cut = spec.cut.as_deref().map(|cut| instant("cut", cut));
    let read = read_options(spec);
    super::topics::source(
        url,
        spec,
        choice(spec)?,
        overrides,
        read,
        (until, cut.transpose()?),
    )
}

/// Where the log of the source ends, by partition.
pub(super) fn ends(spec: &Spec) -> Result<Vec<(u32, u64)>> {
    source(spec, None, Until::Now, true)?.ends()
}

/// Options of topics are refused where no topic is read.
fn no_topic(spec: &Spec) -> Result<()> {
    match spec.of_topics().filter(|_| spec.topic().is_none()) {
        None => Ok(()),
        Some(option) => Err(Error::new(
            Kind::Usage,
            format!("{option} has a meaning for topics only, and the source is none; leave it out"),
        )),
    }
}

fn read_options(spec: &Spec) -> ReadOptions {
    let usual = ReadOptions::default();
    ReadOptions {
        on_reject: spec.on_reject,
        max_rejects: spec.max_rejects.unwrap_or(usual.max_rejects),
        chunk_bytes: spec.chunk_bytes,
        max_line_bytes: spec.max_line_bytes.unwrap_or(usual.max_line_bytes),
        local: LocalPolicy {
            on_repeated: spec.on_repeated,
            on_missing: spec.on_missing,
        },
        ..usual
    }
}

fn choice(spec: &Spec) -> Result<SchemaChoice> {
    Ok(match &spec.schema {
        None => SchemaChoice::Sniff,
        Some(SchemaSpec::Declared(schema)) => SchemaChoice::Declared(schema.clone()),
        Some(SchemaSpec::Named(name)) if name.ends_with(".toml") => {
            SchemaChoice::Declared(Box::new(schema_file(name)?))
        }
        Some(SchemaSpec::Named(name)) => SchemaChoice::Preset(name.clone()),
    })
}

/// A schema that the caller declared or named, for tables.
fn declared(spec: &Spec) -> Result<Option<Schema>> {
    Ok(match choice(spec)? {
        SchemaChoice::Sniff => None,
        SchemaChoice::Declared(schema) => Some(*schema),
        SchemaChoice::Preset(name) => Some(crate::schema::preset(&name)?),
    })
}

/// Reads a schema's TOML file.
pub fn schema_file(path: &str) -> Result<Schema> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Endpoint };
        Error::new(kind, format!("the schema file {path} cannot be read ({e}); name a preset or a readable .toml file")).because(e)
    })?;
    Schema::from_toml(&text)
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

/// A simulation has the measures it has: others cannot be asked for, and none is left out.
fn all_measures(has: &[Measure], spec: &Spec) -> Result<()> {
    let Some(asked) = &spec.measures else {
        return Ok(());
    };
    if has.len() == asked.len() && has.iter().all(|m| asked.contains(&m.name)) {
        return Ok(());
    }
    let names: Vec<&str> = has.iter().map(|m| m.name.as_str()).collect();
    Err(Error::new(
        Kind::Schema,
        format!(
            "measures = {asked:?} cannot be chosen of a simulation, which has {}; leave measures out, or name some under aggregates",
            names.join(", ")
        ),
    ))
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
