//! Files as a source: one or many, plain or packed, or standard input, as one dataset and one
//! partition.
//!
//! A file is known by its bytes, never by its path: what was read of it and is still there goes on
//! behind; nothing new means nothing to do; other bytes in its place are `DataLost`; a new file comes
//! after. All files must give the same columns. A file named twice, or with its own beginning, is refused.
//!
//! **The last line.** A file that may still grow (`may_grow`) holds an unterminated last line back.
//! Else it is held back only where it cannot be read and a later run goes on with the file (without one
//! it is a reject); where it can, it is counted, and the position stands behind it. If the file later goes on with
//! a line end, reading goes on behind that; if it goes on *within* that line, its reading was
//! wrong when it was counted, and the read is refused with `DataLost`.

use super::content::{Content, Steps};
use super::files::{FileContent, FileRead};
use super::mended;
use super::order::{Ordered, Setup, WAITING_ROWS};
use super::sniffed;
use super::tape::Tape;
use super::{FileName, Order, Prepare, Reader, Source};
use crate::csv::{CsvPlan, ReadOptions, SchemaChoice, Sought, Start, obstacle, resolve};
use crate::flush::{Extent, Position, Positions, ReadPlan};
use crate::input::fingerprint::{Overlap, Recognised, START, begins_with, recognise, start_hash};
use crate::input::{self, Bytes, HEAD, InputSpec, Limits, Packing, expand, read_error, refuse};
use crate::schema::{Canonical, Measure, Overrides, Role, Schema, StepSpec};
use crate::time::duration;
use crate::{Error, Kind, Result};
use arrow_schema::Fields;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// How files are read.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// How the schema of each file is found.
    pub schema: SchemaChoice,
    /// What the caller says beside.
    pub overrides: Overrides,
    /// Rejects, chunks, local times.
    pub read: ReadOptions,
    /// Limits on unpacking.
    pub limits: Limits,
    /// Folder for what has to wait on disk; `None`: the system's.
    pub spill_dir: Option<PathBuf>,
    /// Rows that may wait in memory for their turn; with more, rows are put in time order on disk.
    pub waiting_rows: usize,
    /// The files may still grow: an unterminated last line is held back.
    pub may_grow: bool,
    /// Positions with proofs, for a run that a later one continues. Off, nothing is hashed.
    pub track: bool,
    /// The name under which a later run knows standard input.
    pub stream_name: Option<String>,
}

impl Default for FileOptions {
    fn default() -> Self {
        FileOptions {
            schema: SchemaChoice::Sniff,
            overrides: Overrides::default(),
            read: ReadOptions::default(),
            limits: Limits::default(),
            spill_dir: None,
            waiting_rows: WAITING_ROWS,
            may_grow: false,
            track: true,
            stream_name: None,
        }
    }
}

/// One file with its plan.
pub(super) struct Planned {
    pub spec: InputSpec,
    pub csv: Arc<CsvPlan>,
    pub canonical: Arc<Canonical>,
    packed: bool,
    /// Its first bytes when it was named; none where no run will ask.
    pub front: Vec<u8>,
    /// It holds mended rejects.
    mended: bool,
    /// What kept every column of a sniffed file from being a measure.
    obstacle: Option<String>,
}

/// Files as one source.
pub struct FileSource {
    files: Vec<Arc<Planned>>,
    options: FileOptions,
    unnamed: String,
}

impl FileSource {
    /// The files that `inputs` name: paths, globs, `-`.
    pub fn new(inputs: &[String], options: FileOptions) -> Result<FileSource> {
        FileSource::of(expand(inputs)?, options)
    }

    /// These inputs, in this order.
    pub fn of(specs: Vec<InputSpec>, mut options: FileOptions) -> Result<FileSource> {
        options.read.hold_tail |= options.may_grow;
        let mut files: Vec<Arc<Planned>> = Vec::with_capacity(specs.len());
        let mut choice = options.schema.clone();
        let named = options.track || specs.len() > 1;
        let mut mends = Vec::new();
        for spec in specs {
            if mended::is_mend(&spec)? {
                mends.push(spec);
                continue;
            }
            let mut planned = plan(spec, &choice, &options)?;
            if named {
                planned.front = front(&planned.spec, &options.limits)?;
            }
            match files.first() {
                Some(first) => same_columns(first, &planned)?,
                None if choice == SchemaChoice::Sniff => {
                    choice = SchemaChoice::Declared(Box::new(planned.canonical.schema().clone()));
                }
                None => {}
            }
            files.push(Arc::new(planned));
        }
        for mend in mends {
            for (spec, schema) in mended::inputs(&mend, &files, &options.limits)? {
                let choice = SchemaChoice::Declared(Box::new(schema));
                let mut planned = plan(spec, &choice, &options)?;
                planned.front = front(&planned.spec, &options.limits)?;
                planned.mended = true;
                files.push(Arc::new(planned));
            }
        }
        if files.is_empty() {
            return Err(Error::new(
                Kind::NotFound,
                "no file was named; give a path, a glob or -",
            ));
        }
        once_each(&files, &options.limits)?;
        Ok(FileSource {
            files,
            options,
            unnamed: super::unnamed(),
        })
    }

    /// The same readings with these measures (the caller's aggregates) in place of the defaults.
    pub fn with_measures(mut self, measures: Arc<[Measure]>) -> Self {
        for file in &mut self.files {
            let canonical = (*file.canonical).clone().with_measures(measures.clone());
            *file = Arc::new(Planned {
                spec: file.spec.clone(),
                csv: file.csv.clone(),
                canonical: Arc::new(canonical),
                packed: file.packed,
                front: file.front.clone(),
                mended: file.mended,
                obstacle: file.obstacle.clone(),
            });
        }
        self
    }

    fn first(&self) -> &Planned {
        // There is always one: `of` refuses none.
        &self.files[0]
    }

    /// What of each file is to be read, from the positions on or to the end of an unfinished read.
    fn reads(&self, from: &Positions, read: Option<&ReadPlan>) -> Result<Vec<FileRead>> {
        let mut left: Vec<&Extent> = read.map(|r| r.extents.iter().collect()).unwrap_or_default();
        let mut reads = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            let (position, more) = self.recognised(file, from)?;
            let front = self.front(file)?;
            let end = match read {
                None if !more => continue,
                None => None,
                Some(_) => match left.iter().position(|e| fits(e, &front, self, file)) {
                    Some(i) => Some(left.remove(i).end),
                    None => continue,
                },
            };
            let start = position.as_ref().map(|p| Start {
                byte: p.at,
                line: p.line,
                row: p.row,
            });
            let start = start.map(|s| behind_line(file, s)).transpose()?;
            if end.is_some_and(|end| start.map_or(0, |s| s.byte) >= end) {
                continue;
            }
            let slot = position.and_then(|p| from.iter().position(|q| *q == p));
            reads.push(FileRead {
                index: index as u32,
                file: file.clone(),
                start,
                end,
                slot,
                front,
            });
        }
        match left.first() {
            None => Ok(reads),
            Some(extent) => Err(Error::new(
                Kind::DataLost,
                format!(
                    "a file of the read that was cut off is not among the inputs, or is no longer the same ({} bytes, fingerprint {:.12}); name it again, or use another pipeline name",
                    extent.end, extent.stream
                ),
            )),
        }
    }

    /// The position of a file, and whether anything stands behind it.
    fn recognised(&self, file: &Planned, from: &Positions) -> Result<(Option<Position>, bool)> {
        if !file.spec.repeatable() {
            let own = from
                .iter()
                .find(|p| Some(&p.stream) == self.options.stream_name.as_ref());
            return Ok((own.cloned(), true));
        }
        match recognise(from, &file.spec, &self.options.limits)? {
            Recognised::New => Ok((None, true)),
            Recognised::Continue(position) => Ok((Some(position), true)),
            Recognised::Same(position) => Ok((Some(position), false)),
            Recognised::Replaced(why) | Recognised::Truncated(why) => {
                Err(Error::new(Kind::DataLost, why))
            }
        }
    }

    /// The first bytes of a file as it is now.
    fn front(&self, file: &Planned) -> Result<Vec<u8>> {
        match self.options.track {
            true => front(&file.spec, &self.options.limits),
            false => Ok(Vec::new()),
        }
    }

    /// The name of a stream that ends at `end`.
    pub(super) fn stream(&self, spec: &InputSpec, front: &[u8], end: u64) -> String {
        if !spec.repeatable() {
            return self
                .options
                .stream_name
                .clone()
                .unwrap_or_else(|| self.unnamed.clone());
        }
        if !self.options.track {
            return spec.name.to_string();
        }
        start_hash(
            usize::try_from(end)
                .ok()
                .and_then(|end| front.get(..end))
                .unwrap_or(front),
        )
    }
}

/// The first bytes of a file, by which it is named.
fn front(spec: &InputSpec, limits: &Limits) -> Result<Vec<u8>> {
    let mut front = Vec::new();
    if !spec.repeatable() {
        return Ok(front);
    }
    match spec.open(limits)?.bytes {
        Bytes::At { file: open, len } => {
            front = vec![0; len.min(START as u64) as usize];
            open.read_exact_at(&mut front, 0)
                .map_err(|e| read_error(&spec.name, e))?;
        }
        Bytes::Stream(stream) => {
            let read = stream.take(START as u64).read_to_end(&mut front);
            read.map_err(|e| read_error(&spec.name, e))?;
        }
    }
    Ok(front)
}

/// Refuses files of which one is the other, or its beginning: its readings would come twice.
fn once_each(files: &[Arc<Planned>], limits: &Limits) -> Result<()> {
    for (i, file) in files.iter().enumerate() {
        for other in files.iter().skip(i + 1) {
            let (short, long) = match file.front.len() <= other.front.len() {
                true => (file, other),
                false => (other, file),
            };
            // A header alone names no file.
            let records = short.front.len() > short.csv.body() + 3;
            if !records || !long.front.starts_with(&short.front) {
                continue;
            }
            let same = begins_with(&short.spec, &long.spec, limits)?;
            let (first, second) = (&file.spec.name, &other.spec.name);
            match same {
                Overlap::None => {}
                Overlap::Same => {
                    return Err(twice(format!(
                        "{second} holds the same bytes as {first}; name the file once"
                    )));
                }
                Overlap::Begins(a, b) => {
                    return Err(twice(format!("{b} begins with all of {a}; name only {b}")));
                }
            }
        }
    }
    Ok(())
}

fn twice(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

fn fits(extent: &Extent, front: &[u8], source: &FileSource, file: &Planned) -> bool {
    source.stream(&file.spec, front, extent.end) == extent.stream
}

/// A start behind an unterminated line that was counted goes on behind its line end. Errors:
/// `DataLost` where the line itself went on.
fn behind_line(file: &Planned, start: Start) -> Result<Start> {
    let opened = match file.packed || start.byte == 0 || !file.spec.repeatable() {
        true => return Ok(start),
        false => file.spec.open(&Limits::default())?,
    };
    let Bytes::At { file: open, len } = opened.bytes else {
        return Ok(start);
    };
    let mut near = [b'\n'; 3];
    let n = (len - (start.byte - 1).min(len)).min(3) as usize;
    let read = open.read_exact_at(near.get_mut(..n).unwrap_or_default(), start.byte - 1);
    read.map_err(|e| read_error(&file.spec.name, e))?;
    let over = match near {
        [b'\n', ..] => 0,
        [_, b'\r', b'\n'] if n == 3 => 2,
        [_, b'\n' | b'\r', _] if n > 1 => 1,
        [b'\r', ..] => 0,
        _ if n < 2 => 0,
        _ => {
            return Err(Error::new(
                Kind::DataLost,
                format!(
                    "the last line of {} had no line end when it was counted, and went on since (byte {}); restore the file, or use another pipeline name, and set may_grow for files that are still written",
                    file.spec.name, start.byte
                ),
            ));
        }
    };
    Ok(Start {
        byte: start.byte + over,
        ..start
    })
}

fn plan(spec: InputSpec, choice: &SchemaChoice, options: &FileOptions) -> Result<Planned> {
    let head = input::head(&spec, HEAD)?;
    refuse(&head)?;
    let undeclared = *choice == SchemaChoice::Sniff;
    let mut schema = match undeclared {
        true => sniffed::proposed(&head, &options.overrides)?,
        false => resolve(choice, &head)?,
    };
    let measured = schema.columns.iter().any(|c| c.role == Role::Measure);
    let obstacle = match undeclared && !measured {
        true => obstacle(&head, Sought::Measure)?,
        false => None,
    };
    if let Some(step) = &options.overrides.step {
        duration::positive(step)?;
        schema.step = StepSpec::Fixed(step.clone());
    }
    if options.overrides.tz.is_some() {
        schema.tz.clone_from(&options.overrides.tz);
    }
    if let Some(measures) = &options.overrides.measures {
        leave_out(&mut schema, measures, &options.overrides);
    }
    if schema.time.columns.is_empty() && options.overrides.time.is_none() {
        return Err(sniffed::timeless(&head, undeclared));
    }
    let mut csv = CsvPlan::compile(&schema, &head.bytes)?;
    if let Some(sensor) = &options.overrides.sensor {
        csv = csv.with_sensors(sensor);
    }
    let canonical = Canonical::new(&schema.long(), &csv.schema(), &options.overrides)?;
    let canonical = canonical.named(spec.name.clone()).trusted();
    let packed = head.packing != Packing::Plain;
    Ok(Planned {
        spec,
        csv: Arc::new(csv),
        canonical: Arc::new(canonical),
        packed,
        front: Vec::new(),
        mended: false,
        obstacle,
    })
}

/// Where the measures are named, only they are read, with what makes a row a reading and the attributes that a
/// sink names: a fault in another column is not looked for.
fn leave_out(schema: &mut Schema, measures: &[String], told: &Overrides) {
    // What is not there is told with all that is.
    if measures.iter().any(|m| schema.column(m).is_none()) {
        return;
    }
    let mut needed: Vec<String> = measures.iter().chain(&told.time).cloned().collect();
    needed.extend(told.sensor.iter().flatten().cloned());
    needed.extend(schema.time.columns.iter().cloned());
    needed.extend(schema.quality.as_ref().map(|q| q.column.clone()));
    needed.extend(told.carried.named().cloned());
    if let StepSpec::Column { column } = &schema.step {
        needed.push(column.clone());
    }
    for column in &mut schema.columns {
        let spare = matches!(column.role, Role::Measure | Role::Attribute);
        if spare && !needed.contains(&column.name) {
            column.role = Role::Ignore;
        }
    }
}

fn same_columns(first: &Planned, other: &Planned) -> Result<()> {
    let columns = |p: &Planned| {
        p.csv
            .schema()
            .fields()
            .iter()
            .map(|f| format!("{} {}", f.name(), f.data_type()))
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (columns(first), columns(other));
    if ours == theirs {
        return Ok(());
    }
    let odd = theirs
        .iter()
        .find(|c| !ours.contains(c))
        .or_else(|| ours.iter().find(|c| !theirs.contains(c)));
    Err(Error::new(
        Kind::Schema,
        format!(
            "{} and {} do not have the same columns ({}); read them apart, or declare one schema for both",
            first.spec.name,
            other.spec.name,
            odd.map_or("their order differs", |c| c)
        ),
    ))
}

impl Source for FileSource {
    fn describe(&self) -> String {
        let name = &self.first().spec.name;
        match self.files.len() {
            1 => name.to_string(),
            n => format!("{name} and {} more", n - 1),
        }
    }

    fn measures(&self) -> Arc<[Measure]> {
        self.first().canonical.measures()
    }

    fn attributes(&self) -> Fields {
        self.first().canonical.attributes()
    }

    fn unmeasured(&self) -> Option<&str> {
        self.first().obstacle.as_deref()
    }

    fn bounded(&self) -> bool {
        true
    }

    fn files(&self) -> Vec<FileName> {
        let named = |f: &Arc<Planned>| FileName {
            name: f.spec.name.clone(),
            stream: self.stream(&f.spec, &f.front, u64::MAX).into(),
            mended: f.mended,
        };
        self.files.iter().map(named).collect()
    }

    fn schema(&self) -> Schema {
        self.first().canonical.schema().clone()
    }

    fn assumed(&self) -> bool {
        self.files.iter().any(|f| f.canonical.assumed())
    }

    fn size(&self) -> Option<u64> {
        let size = |f: &Arc<Planned>| {
            let path = f.spec.path.as_ref().filter(|_| f.spec.repeatable())?;
            let bytes = std::fs::metadata(path).ok()?.len();
            // Text of readings packs to about a seventh.
            Some(if f.packed {
                bytes.saturating_mul(7)
            } else {
                bytes
            })
        };
        self.files.iter().map(size).sum()
    }

    fn open(
        &self,
        _partition: u32,
        from: &Positions,
        read: Option<&ReadPlan>,
        order: Order,
        prepare: Prepare,
    ) -> Result<Box<dyn Reader>> {
        let reads = self.reads(from, read)?;
        let once = reads.iter().any(|r| !r.file.spec.repeatable());
        let mut options = self.options.clone();
        options.stream_name = Some(
            self.options
                .stream_name
                .clone()
                .unwrap_or_else(|| self.unnamed.clone()),
        );
        let content = FileContent::new(reads, from.clone(), options);
        let mut setup = Setup::new(
            self.measures(),
            prepare,
            self.options.spill_dir.clone(),
            self.options.waiting_rows,
        );
        setup.melted = self.files.iter().any(|f| f.csv.melts());
        let content: Arc<dyn Content> = if once && order == Order::Scanned {
            let live: Box<dyn Steps<_>> = content.pieces(None)?;
            Arc::new(Tape::new(
                live,
                from.clone(),
                self.measures(),
                self.options.spill_dir.clone(),
            ))
        } else {
            Arc::new(content)
        };
        Ordered::open(content, read, order, setup)
    }
}
