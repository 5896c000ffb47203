//! Feed: files, tables and streams as packed messages with positions, made on the pool.
//!
//! | part | does |
//! |---|---|
//! | `file` | a file: recognised by its bytes, looked through for its times, opened behind a position |
//! | `table` | a table or a reader, cut into slices; a position is a row |

mod file;
mod table;

use super::options::Options;
use super::pack::{Envelope, Packed, Packer};
use super::progress::Progress;
use super::usage;
use crate::codec::arrow::Packing;
use crate::csv::SchemaChoice;
use crate::flush::Position;
use crate::input::expand;
use crate::pipeline::{self, Handed, SchemaSpec};
use crate::schema::{Canonical, Overrides};
use crate::source::simulate::Simulated;
use crate::source::{Order, Poll, Reader, Source};
use crate::{Error, Result};
use arrow_schema::SchemaRef;
use file::FileFeed;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use table::TableFeed;

/// One stream of rows to be sent.
pub(super) enum Feed {
    File(Box<FileFeed>),
    Table(TableFeed),
    Live(Box<Simulated>, Arc<Packer>, SchemaRef),
}

/// What is known of a feed before it is opened.
pub(super) struct Known {
    /// The name of its stream.
    pub stream: String,
    /// Where it is to go on.
    pub from: Option<Position>,
    /// Messages sent before.
    pub messages: u64,
    /// Nothing is behind `from`.
    pub whole: bool,
    /// It can be opened again after a failure.
    pub again: bool,
}

/// Packed messages in the order of their stream.
pub(super) trait Pieces: Send {
    /// The next; `None` at the end, an empty one where nothing has come yet.
    fn next(&mut self) -> Result<Option<Packed>>;
    /// The position behind what was given last.
    fn position(&mut self) -> Result<Position>;
}

/// The feeds that the options name, or of what is handed over.
pub(super) fn open(
    options: &Options,
    packing: Packing,
    handed: Option<Handed>,
) -> Result<Vec<Feed>> {
    let inputs = options.source.list();
    if let Some(handed) = handed {
        return Ok(vec![Feed::Table(table::hold(options, packing, handed)?)]);
    }
    match inputs.as_slice() {
        [] => Err(usage(
            "nothing is named to be sent; name a file, a glob, -, a sim:// URL, or hand a table over",
        )),
        [url] if url.starts_with("sim://") => {
            let source = Simulated::parse(url, None)?;
            let columns = pipeline::simulated_columns(&source)?;
            let canonical = Canonical::infer(&columns, &Overrides::default())?;
            let packer = packer(options, packing, canonical, &columns)?;
            Ok(vec![Feed::Live(Box::new(source), packer, columns)])
        }
        [url, ..] if url.contains("://") => {
            let kind = url.split("://").next().unwrap_or_default();
            Err(usage(format!(
                "{kind}:// cannot be sent to a topic; name files, a glob, - or a sim:// URL"
            )))
        }
        files => {
            let mut choice = choice(options)?;
            let mut feeds = Vec::new();
            for spec in expand(files)? {
                let feed = file::hold(options, packing, spec, &choice)?;
                if choice == SchemaChoice::Sniff {
                    choice = SchemaChoice::Declared(Box::new(feed.canonical.schema().clone()));
                }
                feeds.push(Feed::File(Box::new(feed)));
            }
            Ok(feeds)
        }
    }
}

fn choice(options: &Options) -> Result<SchemaChoice> {
    Ok(match &options.schema {
        None => SchemaChoice::Sniff,
        Some(SchemaSpec::Declared(schema)) => SchemaChoice::Declared(schema.clone()),
        Some(SchemaSpec::Named(name)) if name.ends_with(".toml") => {
            SchemaChoice::Declared(Box::new(pipeline::schema_file(name)?))
        }
        Some(SchemaSpec::Named(name)) => SchemaChoice::Preset(name.clone()),
    })
}

fn packer(
    options: &Options,
    packing: Packing,
    canonical: Canonical,
    columns: &SchemaRef,
) -> Result<Arc<Packer>> {
    let made = Packer::new(
        Arc::new(canonical),
        columns,
        options.codec,
        packing,
        options.timestamp,
    )?;
    Ok(Arc::new(made))
}

fn nameless(options: &Options, what: &str) -> Error {
    debug_assert!(options.name.is_none());
    usage(format!(
        "{what} has no identity of its own, so that a second run could not know what is sent; say name=, or mode = \"fast\""
    ))
}
impl Feed {
    /// What it is, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Feed::File(file) => file.spec.name.to_string(),
            Feed::Table(table) => table.stream.clone(),
            Feed::Live(source, ..) => source.describe(),
        }
    }

    /// Bytes to read, where that is known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Feed::File(file) => {
                let path = file.spec.path.as_ref().filter(|_| file.spec.repeatable())?;
                std::fs::metadata(path).ok().map(|m| m.len())
            }
            _ => None,
        }
    }

    /// Least and greatest time of its rows, ms; `None`: not known before they are read. Ends early where `stop` says so.
    pub(super) fn span(&self, stop: &dyn Fn() -> bool) -> Result<Option<(i64, i64)>> {
        match self {
            Feed::File(file) if file.spec.repeatable() => file.span(stop),
            _ => Ok(None),
        }
    }

    /// Its stream, and how much of that is committed already.
    pub(super) fn known(&self, committed: &BTreeMap<String, Progress>) -> Result<Known> {
        let (stream, again) = match self {
            Feed::File(file) if file.spec.repeatable() => return file.recognised(committed),
            Feed::File(file) => (
                file.name.clone().unwrap_or_else(crate::source::unnamed),
                false,
            ),
            Feed::Table(table) => (table.stream.clone(), !table.once),
            Feed::Live(source, ..) => (source.name()?, true),
        };
        let found = committed.get(&stream);
        Ok(Known {
            from: found.map(|p| p.position.clone()),
            messages: found.map_or(0, |p| p.messages),
            whole: false,
            stream,
            again,
        })
    }

    /// Opens it behind `from`, for messages with at most so many bytes.
    pub(super) fn open(
        &self,
        stream: &str,
        from: Option<&Position>,
        longest: usize,
    ) -> Result<Box<dyn Pieces>> {
        let envelope = Envelope::of(stream, longest);
        match self {
            Feed::File(file) => file.open(stream, from, envelope),
            Feed::Table(table) => table.open(from, envelope),
            Feed::Live(source, packer, columns) => {
                let from: Vec<Position> = from.cloned().into_iter().collect();
                let prepare: crate::source::Prepare = Arc::new(|_| Ok(Default::default()));
                Ok(Box::new(LivePieces {
                    envelope,
                    reader: source.open(0, &from, None, Order::Optimistic, prepare)?,
                    packer: packer.clone(),
                    columns: columns.clone(),
                    position: from.into_iter().next(),
                }))
            }
        }
    }
}
fn rows_position(stream: &str, row: u64) -> Position {
    Position {
        stream: stream.into(),
        at: row,
        row,
        line: row + 1,
        proof: None,
        path: None,
        time: None,
    }
}

struct LivePieces {
    reader: Box<dyn Reader>,
    envelope: Envelope,
    packer: Arc<Packer>,
    columns: SchemaRef,
    position: Option<Position>,
}

impl Pieces for LivePieces {
    fn next(&mut self) -> Result<Option<Packed>> {
        let batch = match self.reader.next(Duration::from_millis(50))? {
            Poll::End => return Ok(None),
            Poll::Idle => return Ok(Some(Packed::default())),
            Poll::Batch(batch) => *batch,
        };
        self.position = batch.after.into_iter().next();
        let table = pipeline::simulated_table(&self.columns, &batch.readings)?;
        let rows = batch.readings.rows.clone();
        self.packer
            .pack(self.envelope, &table, rows, batch.rejects, batch.counters)
            .map(Some)
    }

    fn position(&mut self) -> Result<Position> {
        Ok(self
            .position
            .clone()
            .unwrap_or_else(|| rows_position("sim", 0)))
    }
}
