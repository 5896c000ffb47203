//! Feed: files, tables and streams as packed messages with positions, made on the pool.

use super::options::{Mode, Options};
use super::pack::{Envelope, Packed, Packer};
use super::progress::Progress;
use super::usage;
use crate::codec::arrow::Packing;
use crate::csv::{Chunk, Chunks, CsvPlan, LocalPolicy, ReadOptions, SchemaChoice, Start, resolve};
use crate::flush::Position;
use crate::input::fingerprint::{Recognised, START, recognise, start_hash};
use crate::input::{self, HEAD, InputSpec, Limits, expand, refuse};
use crate::ledger::Ledger;
use crate::pipeline::{self, Handed, SchemaSpec};
use crate::reject::OnReject;
use crate::schema::{Canonical, Overrides, RowIds, Schema, preset};
use crate::source::simulate::Simulated;
use crate::source::{Batches, Landed, Lanes, Order, Poll, Proofs, Reader, Source};
use crate::{Error, Kind, Result};
use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Rows of a table packed at a time.
const SLICE: usize = 16 * 1024;

/// One stream of rows to be sent.
pub(super) enum Feed {
    File(Box<FileFeed>),
    Table(TableFeed),
    Live(Box<Simulated>, Arc<Packer>, SchemaRef),
}

/// A file, held against its schema.
pub(super) struct FileFeed {
    spec: InputSpec,
    csv: Arc<CsvPlan>,
    canonical: Arc<Canonical>,
    packer: Arc<Packer>,
    read: ReadOptions,
    name: Option<String>,
}

/// A table or a reader.
pub(super) struct TableFeed {
    rows: Rows,
    packer: Arc<Packer>,
    stream: String,
    once: bool,
}

enum Rows {
    Table(Arc<Vec<RecordBatch>>),
    Once(Mutex<Option<Batches>>),
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
        return Ok(vec![Feed::Table(table(options, packing, handed)?)]);
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
                let feed = file(options, packing, spec, &choice)?;
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

fn table(options: &Options, packing: Packing, handed: Handed) -> Result<TableFeed> {
    let (schema, rows, once) = match handed {
        Handed::Table { schema, batches } => (schema, Rows::Table(Arc::new(batches)), false),
        Handed::Reader { schema, batches } => (schema, Rows::Once(Mutex::new(Some(batches))), true),
    };
    if options.name.is_none() && options.mode == Mode::Exact {
        return Err(nameless(options, "a table"));
    }
    let declared: Option<Schema> = match choice(options)? {
        SchemaChoice::Sniff => None,
        SchemaChoice::Declared(schema) => Some(*schema),
        SchemaChoice::Preset(name) => Some(preset(&name)?),
    };
    let canonical = match &declared {
        Some(declared) => Canonical::new(declared, &schema, &Overrides::default())?,
        None => Canonical::infer(&schema, &Overrides::default())?,
    };
    if canonical.needs_zone() {
        return Err(Error::new(
            Kind::AmbiguousZone,
            "the table's times carry no zone, and the schema names one; give them a zone first",
        ));
    }
    Ok(TableFeed {
        rows,
        packer: packer(options, packing, canonical.named("table"), &schema)?,
        stream: options.name.clone().unwrap_or_else(crate::source::unnamed),
        once,
    })
}

fn file(
    options: &Options,
    packing: Packing,
    spec: InputSpec,
    choice: &SchemaChoice,
) -> Result<FileFeed> {
    if !spec.repeatable() && options.name.is_none() && options.mode == Mode::Exact {
        return Err(nameless(options, &spec.name));
    }
    let head = input::head(&spec, HEAD)?;
    refuse(&head)?;
    let schema = resolve(choice, &head)?;
    if schema.melt.is_some() {
        return Err(Error::new(
            Kind::Usage,
            "a record of this schema (melt) gives several readings, and a load counts by records; read it with wl.read_csv and send the table",
        ));
    }
    let csv = CsvPlan::compile(&schema, &head.bytes)?;
    let canonical = Canonical::new(&schema, &csv.schema(), &Overrides::default())?;
    let canonical = canonical.named(spec.name.clone()).trusted();
    let usual = ReadOptions::default();
    let read = ReadOptions {
        on_reject: options.on_reject,
        max_rejects: options.max_rejects.unwrap_or(usual.max_rejects),
        hold_tail: options.may_grow,
        local: LocalPolicy {
            on_repeated: options.on_repeated,
            on_missing: options.on_missing,
        },
        ..usual
    };
    Ok(FileFeed {
        packer: packer(options, packing, canonical.clone(), &csv.schema())?,
        canonical: Arc::new(canonical),
        csv: Arc::new(csv),
        name: options.name.clone().filter(|_| !spec.repeatable()),
        spec,
        read,
    })
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

impl FileFeed {
    fn recognised(&self, committed: &BTreeMap<String, Progress>) -> Result<Known> {
        let positions: Vec<Position> = committed.values().map(|p| p.position.clone()).collect();
        let (from, whole) = match recognise(&positions, &self.spec, &Limits::default())? {
            Recognised::New | Recognised::Replaced(_) => (None, false),
            Recognised::Continue(position) => (Some(position), false),
            Recognised::Same(position) => (Some(position), true),
            Recognised::Truncated(why) => return Err(Error::new(Kind::DataLost, why)),
        };
        let stream = match &from {
            Some(position) => position.stream.clone(),
            None => self.stream()?,
        };
        // Its rows would go out under orders that were used: readers would drop them as repeats.
        if let Some(before) = committed.get(&stream).filter(|_| from.is_none()) {
            return Err(Error::new(
                Kind::DataLost,
                format!(
                    "{} begins as what was sent to {} before, but does not hold the {} bytes that were sent; restore the file, or send what is new as a table with a name of its own",
                    self.spec.name, before.topic, before.position.at
                ),
            ));
        }
        Ok(Known {
            messages: committed.get(&stream).map_or(0, |p| p.messages),
            stream,
            from,
            whole,
            again: true,
        })
    }

    /// The name of a file that is new: by its first bytes, up to its last whole line if it is short.
    fn stream(&self) -> Result<String> {
        let head = input::head(&self.spec, START)?;
        let cut = match head.bytes.len() < START && self.read.hold_tail {
            true => memchr::memrchr(b'\n', &head.bytes).map_or(head.bytes.len(), |n| n + 1),
            false => head.bytes.len(),
        };
        Ok(start_hash(head.bytes.get(..cut).unwrap_or(&head.bytes)))
    }

    fn span(&self, stop: &dyn Fn() -> bool) -> Result<Option<(i64, i64)>> {
        if !self.canonical.times_alone() {
            return Ok(None);
        }
        let options = ReadOptions {
            on_reject: OnReject::Skip,
            max_rejects: u64::MAX,
            ..self.read.clone()
        };
        let map: crate::csv::Map<Option<(i64, i64)>> =
            Arc::new(|chunk: Chunk| only(&chunk.batch).map(|times| arrow_span(&times)));
        let opened = self.spec.open(&Limits::default())?;
        let plan = Arc::new(self.csv.only_time()?);
        let mut chunks = Chunks::open(opened, plan, &options, None, map)?;
        let mut all: Option<(i64, i64)> = None;
        while !stop()
            && let Some(found) = chunks.next()?
        {
            all = match (all, found) {
                (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                (all, found) => all.or(found),
            };
        }
        Ok(all.map(|(a, b)| (a.div_euclid(1000), b.div_euclid(1000))))
    }

    fn open(
        &self,
        stream: &str,
        from: Option<&Position>,
        envelope: Envelope,
    ) -> Result<Box<dyn Pieces>> {
        let start = from.map(|p| Start {
            byte: p.at,
            line: p.line,
            row: p.row,
        });
        let mut opened = self.spec.open(&Limits::default())?;
        let mut proofs = Proofs::Off;
        if self.spec.repeatable() {
            let (made, bytes) = Proofs::of(opened.bytes, start.map_or(0, |s| s.byte))?;
            (proofs, opened.bytes) = (made, bytes);
        }
        let packer = self.packer.clone();
        let map: crate::csv::Map<(Packed, Start)> = Arc::new(move |chunk: Chunk| {
            let end = chunk.end;
            let packed = packer.pack(
                envelope,
                &chunk.batch,
                chunk.rows,
                chunk.rejects,
                chunk.counters,
            )?;
            Ok((packed, end))
        });
        Ok(Box::new(FilePieces {
            chunks: Chunks::open(opened, self.csv.clone(), &self.read, start, map)?,
            proofs,
            at: start,
            stream: stream.into(),
            name: self.spec.name.to_string(),
            path: self.spec.path.as_ref().map(|p| p.display().to_string()),
        }))
    }
}

/// The times of a batch of one column.
fn only(batch: &RecordBatch) -> Result<arrow_array::Int64Array> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;
    let times = batch
        .columns()
        .first()
        .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let times = times.ok_or_else(|| Error::new(Kind::Internal, "a look at times found none"))?;
    Ok(arrow_array::Int64Array::new(
        times.values().clone(),
        times.nulls().cloned(),
    ))
}

fn arrow_span(times: &arrow_array::Int64Array) -> Option<(i64, i64)> {
    let mut known = times.iter().flatten();
    let first = known.next()?;
    Some(known.fold((first, first), |(a, b), t| (a.min(t), b.max(t))))
}

struct FilePieces {
    chunks: Chunks<(Packed, Start)>,
    proofs: Proofs,
    at: Option<Start>,
    stream: String,
    name: String,
    path: Option<String>,
}

impl Pieces for FilePieces {
    fn next(&mut self) -> Result<Option<Packed>> {
        let Some((packed, end)) = self.chunks.next()? else {
            return Ok(None);
        };
        self.at = Some(end);
        // The next piece is on its way meanwhile; left for the commit, the whole transaction would wait for it.
        self.proofs.pass(end.byte, &self.name)?;
        Ok(Some(packed))
    }

    fn position(&mut self) -> Result<Position> {
        let at = self.at.unwrap_or(Start {
            byte: 0,
            line: 1,
            row: 0,
        });
        let proof = self.proofs.at(at.byte, &self.name)?.map(|(_, proof)| proof);
        Ok(Position {
            stream: self.stream.clone(),
            at: at.byte,
            row: at.row,
            line: at.line,
            proof,
            path: self.path.clone(),
            time: None,
        })
    }
}

impl TableFeed {
    fn open(&self, from: Option<&Position>, envelope: Envelope) -> Result<Box<dyn Pieces>> {
        let batches: Batches = match &self.rows {
            Rows::Table(batches) => {
                let batches = batches.clone();
                Box::new((0..batches.len()).map(move |i| Ok(batches[i].clone())))
            }
            Rows::Once(once) => once
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .ok_or_else(|| usage("the reader has been read; run again with a new one"))?,
        };
        Ok(Box::new(TablePieces {
            batches,
            waiting: VecDeque::new(),
            lanes: Lanes::new()?,
            marks: VecDeque::new(),
            packer: self.packer.clone(),
            envelope,
            stream: self.stream.clone(),
            skip: from.map_or(0, |p| p.row),
            given: 0,
            at: from.map_or(0, |p| p.row),
        }))
    }
}

struct TablePieces {
    batches: Batches,
    waiting: VecDeque<RecordBatch>,
    lanes: Lanes<Packed>,
    /// The row behind each job in flight.
    marks: VecDeque<u64>,
    packer: Arc<Packer>,
    envelope: Envelope,
    stream: String,
    /// Rows that are committed already.
    skip: u64,
    /// The next row to be given to the pool.
    given: u64,
    at: u64,
}

impl TablePieces {
    /// The next slice with its first row.
    fn slice(&mut self) -> Result<Option<(u64, RecordBatch)>> {
        loop {
            let Some(batch) = self.waiting.pop_front() else {
                match self.batches.next() {
                    Some(batch) => self.waiting.push_back(batch?),
                    None => return Ok(None),
                }
                continue;
            };
            let skip = self
                .skip
                .saturating_sub(self.given)
                .min(batch.num_rows() as u64) as usize;
            let (first, n) = (
                self.given + skip as u64,
                (batch.num_rows() - skip).min(SLICE),
            );
            let rest = skip + n;
            if rest < batch.num_rows() {
                self.waiting
                    .push_front(batch.slice(rest, batch.num_rows() - rest));
            }
            self.given += rest as u64;
            if n > 0 {
                return Ok(Some((first, batch.slice(skip, n))));
            }
        }
    }
}

impl Pieces for TablePieces {
    fn next(&mut self) -> Result<Option<Packed>> {
        while !self.lanes.full()
            && let Some((first, batch)) = self.slice()?
        {
            let (packer, envelope) = (self.packer.clone(), self.envelope);
            self.marks.push_back(self.given);
            self.lanes.give(move || {
                let n = batch.num_rows() as u64;
                let counters = Ledger {
                    lines: n,
                    records: n,
                    accepted: n,
                    readings: n,
                    ..Ledger::default()
                };
                packer.pack(envelope, &batch, RowIds::Dense(first), Vec::new(), counters)
            });
        }
        loop {
            match self.lanes.next(Duration::from_secs(1))? {
                Landed::Waiting => {}
                Landed::Empty => return Ok(None),
                Landed::Value(packed) => {
                    self.at = self.marks.pop_front().unwrap_or(self.given);
                    return Ok(Some(packed));
                }
            }
        }
    }

    fn position(&mut self) -> Result<Position> {
        Ok(rows_position(&self.stream, self.at))
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
