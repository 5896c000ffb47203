//! Sources: what a spec names as its source, or was handed over, opened. Reads no row.

use super::build::{Handed, Until, instant, schema_file};
use super::spec::{SchemaSpec, Spec};
use crate::csv::{LocalPolicy, ReadOptions, SchemaChoice};
use crate::schema::{Carried, Measure, Overrides, Schema};
use crate::sink::{Endpoint, SinkSpec, What};
use crate::source::{
    ArrowOptions, ArrowSource, FileOptions, FileSource, Sequence, Simulated, Source,
};
use crate::{Error, Kind, Result};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Opens the source. `keep`: a store must be able to continue. Errors: `Usage` where the spec names none or does not fit
/// it, and those of opening it.
pub(super) fn source(
    spec: &Spec,
    handed: Option<Handed>,
    until: Until,
    keep: bool,
) -> Result<Arc<dyn Source>> {
    no_topic(spec)?;
    let overrides = overrides(spec, keep);
    if let Some(handed) = handed {
        return table(spec, handed, overrides);
    }
    let inputs = spec.source.list();
    match inputs.as_slice() {
        [] => Err(Error::new(
            Kind::Usage,
            "the pipeline has no source; name a file, a glob, -, or a kafka:// or sim:// URL",
        )),
        [url] if url.starts_with("sim://") => simulated(url, spec, until),
        [url] if url.starts_with("kafka://") && spec.cut.is_some() => Err(Error::new(
            Kind::Usage,
            "cut parts files from the topic that goes on from them, and there are no files; name them before the topic, or leave cut out",
        )),
        [url] if url.starts_with("kafka://") => topic(url, spec, overrides, until),
        [names @ .., url] if url.starts_with("kafka://") => {
            let at = cut(spec)?;
            let later = topic(url, spec, overrides.clone(), until)?;
            let earlier = files(names, spec, overrides, keep)?;
            Ok(Arc::new(Sequence::new(earlier, later, at)?))
        }
        [url, ..] if url.contains("://") => Err(Error::new(
            Kind::Usage,
            format!(
                "{} is no source of this version; name files, a glob, -, or a kafka:// or sim:// URL",
                url.split("://").next().unwrap_or_default().to_string() + "://"
            ),
        )),
        names => Ok(Arc::new(files(names, spec, overrides, keep)?)),
    }
}

fn overrides(spec: &Spec, keep: bool) -> Overrides {
    let carried = match keep {
        true => carried(&spec.sinks),
        false => Carried::None,
    };
    Overrides {
        time: spec.time.clone(),
        sensor: spec.sensor.as_ref().map(|names| names.list()),
        measures: spec.measures.clone(),
        step: spec.step.clone(),
        tz: None,
        carried,
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

/// What the caller holds in memory.
fn table(spec: &Spec, handed: Handed, overrides: Overrides) -> Result<Arc<dyn Source>> {
    let most = ReadOptions::default().max_rejects;
    let options = ArrowOptions {
        schema: declared(spec)?,
        overrides,
        on_repeated: spec.on_repeated,
        on_missing: spec.on_missing,
        on_reject: spec.on_reject,
        max_rejects: spec.max_rejects.unwrap_or(most),
        waiting_rows: spec.waiting_rows,
        spill_dir: spec.spill_dir.as_ref().map(PathBuf::from),
        name: spec.stream_name.clone(),
    };
    Ok(Arc::new(match handed {
        Handed::Table { schema, batches } => ArrowSource::table(schema, batches, options)?,
        Handed::Reader { schema, batches } => ArrowSource::reader(schema, batches, options)?,
    }))
}

fn simulated(url: &str, spec: &Spec, until: Until) -> Result<Arc<dyn Source>> {
    let until = match until {
        Until::Now | Until::At(_) => Some(super::run::clock()),
        Until::End => None,
    };
    let simulated = Simulated::parse(url, until)?;
    all_measures(&simulated.measures(), spec)?;
    Ok(Arc::new(simulated))
}

fn files(names: &[String], spec: &Spec, overrides: Overrides, keep: bool) -> Result<FileSource> {
    FileSource::new(names, file_options(spec, overrides, keep)?)
}

fn file_options(spec: &Spec, overrides: Overrides, keep: bool) -> Result<FileOptions> {
    Ok(FileOptions {
        schema: choice(spec)?,
        overrides,
        read: read_options(spec),
        spill_dir: spec.spill_dir.as_ref().map(PathBuf::from),
        may_grow: spec.may_grow,
        track: keep,
        waiting_rows: spec.waiting_rows,
        stream_name: spec.stream_name.clone(),
        ..FileOptions::default()
    })
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

/// Where files end and the topic that goes on from them begins.
fn cut(spec: &Spec) -> Result<i64> {
    let cut = spec.cut.as_deref().ok_or_else(|| {
        Error::new(
            Kind::Usage,
            "files and then a topic are parted at one instant; give it as cut, a time with its zone",
        )
    })?;
    instant("cut", cut)
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
