//! The content of a read of files: each file's chunks in order, decoded and prepared on the
//! pool, with positions and proofs set by the thread that takes them.

use super::content::{Content, Piece, Seen, Sent, Steps, span, span_of};
use super::file::{FileOptions, Planned};
use super::histogram::Histogram;
use super::lanes::Landed;
use super::proof::Proofs;
use super::rejecting::Rejecting;
use super::{Prepare, SourceBatch};
use crate::Result;
use crate::csv::{Chunk, Chunks, Map, ReadOptions, Start, Taken};
use crate::flush::{Extent, Position, Positions};
use crate::input::{Bytes, Opened};
use crate::ledger::Ledger;
use crate::reject::{OnReject, Reject};
use crate::schema::Canonical;
use crate::time::OnRepeated;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What of one file is to be read.
#[derive(Clone)]
pub(super) struct FileRead {
    /// Its place in the source's list.
    pub index: u32,
    pub file: Arc<Planned>,
    pub start: Option<Start>,
    /// The read ends here; `None`: where the file ends.
    pub end: Option<u64>,
    /// Its place among the positions, if it has one.
    pub slot: Option<usize>,
    /// Its first bytes.
    pub front: Vec<u8>,
}

/// The files of one read.
#[derive(Clone)]
pub(super) struct FileContent {
    reads: Arc<Vec<FileRead>>,
    before: Positions,
    options: FileOptions,
}

/// A chunk with what became of it on the pool.
struct Made {
    batch: SourceBatch,
    span: Option<(i64, i64)>,
    end: Start,
}

/// Times of a chunk.
struct Glanced {
    span: Option<(i64, i64)>,
    times: Histogram,
    end: Start,
}

impl FileContent {
    pub(super) fn new(reads: Vec<FileRead>, before: Positions, options: FileOptions) -> Self {
        FileContent {
            reads: Arc::new(reads),
            before,
            options,
        }
    }

    fn open(&self, read: &FileRead, proofs: bool) -> Result<(Proofs, Opened)> {
        let mut opened = read.file.spec.open(&self.options.limits)?;
        opened.bytes = match (opened.bytes, read.end) {
            (Bytes::At { file, len }, Some(end)) => Bytes::At {
                file,
                len: len.min(end),
            },
            (Bytes::Stream(stream), Some(end)) => Bytes::Stream(Box::new(stream.take(end))),
            (bytes, None) => bytes,
        };
        let wanted = proofs && self.options.track && read.file.spec.repeatable();
        if !wanted {
            return Ok((Proofs::Off, opened));
        }
        let (proofs, bytes) = Proofs::of(opened.bytes, read.start.map_or(0, |s| s.byte))?;
        opened.bytes = bytes;
        Ok((proofs, opened))
    }

    /// The steps as they are; on a thread that can be left behind where they may be long in coming: a stream that is silent
    /// before its first byte, and times that depend on all rows before the start.
    fn apart<T: Send + 'static>(
        &self,
        name: &str,
        ahead: usize,
        steps: impl Steps<T> + 'static,
    ) -> Result<Box<dyn Steps<T>>> {
        let infers = self.options.read.local.on_repeated == OnRepeated::Infer;
        let slow = |r: &FileRead| !r.file.spec.repeatable() || infers && r.start.is_some();
        match self.reads.iter().any(slow) {
            false => Ok(Box::new(steps)),
            true => Ok(Box::new(Sent::steps(name, ahead, steps)?)),
        }
    }

    /// How a file is read: of one that a later run goes on with, a last line that seems cut is held back.
    fn read_options(&self, read: &FileRead) -> ReadOptions {
        ReadOptions {
            hold_cut: self.options.track && read.file.spec.repeatable(),
            ..self.options.read.clone()
        }
    }

    /// The name of a file's stream at `end`.
    fn stream(&self, read: &FileRead, end: u64) -> String {
        if !read.file.spec.repeatable() {
            return self.options.stream_name.clone().unwrap_or_default();
        }
        match self.options.track {
            false => read.file.spec.name.to_string(),
            true => crate::input::fingerprint::start_hash(
                read.front.get(..end as usize).unwrap_or(&read.front),
            ),
        }
    }
}

impl Content for FileContent {
    fn look(&self) -> Result<Box<dyn Steps<Seen>>> {
        let look = Look {
            content: self.clone(),
            at: 0,
            chunks: None,
            extents: Vec::new(),
            last: None,
        };
        self.apart("look", 4, look)
    }

    fn pieces(&self, prepare: Option<Prepare>) -> Result<Box<dyn Steps<Piece>>> {
        let walk = Walk {
            positions: self.before.clone(),
            slots: self.reads.iter().map(|r| r.slot).collect(),
            content: self.clone(),
            prepare,
            at: 0,
            chunks: None,
            carried: Carried::default(),
        };
        self.apart("files", 2, walk)
    }

    fn before(&self) -> Positions {
        self.before.clone()
    }
}

/// Books of chunks before the first record of a file: they count with it.
#[derive(Default)]
struct Carried {
    counters: Ledger,
    rejects: Vec<Reject>,
}

/// Goes through the files.
struct Walk {
    content: FileContent,
    prepare: Option<Prepare>,
    at: usize,
    chunks: Option<(Chunks<Made>, Proofs)>,
    positions: Positions,
    slots: Vec<Option<usize>>,
    carried: Carried,
}

impl Steps<Piece> for Walk {
    fn next(&mut self, wait: Duration) -> Result<Landed<Piece>> {
        let next = self.step(wait);
        if next.is_err() {
            // Nothing comes behind an error.
            (self.chunks, self.at) = (None, self.content.reads.len());
        }
        next
    }
}

impl Walk {
    fn step(&mut self, wait: Duration) -> Result<Landed<Piece>> {
        let until = Instant::now() + wait;
        loop {
            let Some(read) = self.content.reads.get(self.at).cloned() else {
                return Ok(Landed::Empty);
            };
            if self.chunks.is_none() {
                self.chunks = Some(self.open(&read)?);
                self.carried = Carried::default();
            }
            let Some((chunks, _)) = &mut self.chunks else {
                continue;
            };
            let made = match chunks.next_within(left(until))? {
                Taken::Value(made) => made,
                Taken::Waiting => return Ok(Landed::Waiting),
                Taken::End => {
                    self.chunks = None;
                    self.at += 1;
                    continue;
                }
            };
            // A position is made once a record is counted: a header alone names no file.
            if made.end.row == read.start.map_or(0, |s| s.row) {
                self.carried.counters.add(&made.batch.counters);
                self.carried.rejects.extend(made.batch.rejects);
                continue;
            }
            return self.piece(&read, made).map(Landed::Value);
        }
    }

    fn open(&self, read: &FileRead) -> Result<(Chunks<Made>, Proofs)> {
        let (proofs, opened) = self.content.open(read, true)?;
        let options = self.content.read_options(read);
        let map = decoded(read, &options, self.prepare.clone());
        let chunks = Chunks::open(opened, read.file.csv.clone(), &options, read.start, map)?;
        Ok((chunks, proofs))
    }

    fn piece(&mut self, read: &FileRead, made: Made) -> Result<Piece> {
        let Made {
            mut batch,
            span,
            end,
            ..
        } = made;
        batch
            .counters
            .add(&std::mem::take(&mut self.carried.counters));
        batch.rejects.splice(0..0, self.carried.rejects.drain(..));
        if self.content.options.track {
            self.move_on(read, end)?;
            batch.after = self.positions.clone();
        }
        Ok(Piece {
            batch,
            mark: (read.index, end.byte),
            span,
        })
    }

    fn move_on(&mut self, read: &FileRead, end: Start) -> Result<()> {
        let name = &read.file.spec.name;
        let proven = match &mut self.chunks {
            Some((_, proofs)) => proofs.at(end.byte, name)?,
            None => None,
        };
        let (stream, proof) = match proven {
            Some((stream, proof)) => (stream, Some(proof)),
            None => (self.content.stream(read, end.byte), None),
        };
        let path = read
            .file
            .spec
            .path
            .as_ref()
            .map(|p| p.display().to_string());
        let position = Position {
            stream,
            at: end.byte,
            row: end.row,
            line: end.line,
            proof,
            path,
            time: None,
        };
        match self
            .slots
            .get(self.at)
            .copied()
            .flatten()
            .and_then(|i| self.positions.get_mut(i))
        {
            Some(own) => *own = position,
            None => {
                if let Some(slot) = self.slots.get_mut(self.at) {
                    *slot = Some(self.positions.len());
                }
                self.positions.push(position);
            }
        }
        Ok(())
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Takes readings that cannot be any out of the books, and gives a reject a record: one record may hold several.
fn out_of(counters: &mut Ledger, mut rejects: Vec<Reject>) -> Vec<Reject> {
    let readings = rejects.len() as u64;
    rejects.dedup_by_key(|r| r.row);
    let records = rejects.len() as u64;
    counters.accepted -= records;
    counters.rejected += records;
    counters.readings -= readings;
    counters.melted -= readings as i64 - records as i64;
    rejects
}

fn decoded(read: &FileRead, options: &ReadOptions, prepare: Option<Prepare>) -> Map<Made> {
    let (canonical, index) = (read.file.canonical.clone(), read.index);
    let rejecting = Rejecting::new(options.on_reject, options.max_rejects);
    Arc::new(move |chunk: Chunk| {
        let Chunk {
            batch,
            rows,
            mut rejects,
            mut counters,
            end,
            ..
        } = chunk;
        let (readings, more) = canonical.readings(&batch, rows, index)?;
        let more = out_of(&mut counters, more);
        rejects.extend(rejecting.judge(more)?);
        let delta = prepare.as_ref().map(|p| p(&readings)).transpose()?;
        let span = span_of(&readings, delta.as_ref());
        let batch = SourceBatch {
            readings,
            delta,
            rejects,
            counters,
            after: Positions::new(),
            read: None,
            low: None,
            ends: None,
            places: 0,
        };
        Ok(Made { batch, span, end })
    })
}

/// Looks through the files for times.
struct Look {
    content: FileContent,
    at: usize,
    chunks: Option<Chunks<Glanced>>,
    extents: Vec<Extent>,
    /// The file of the last extent.
    last: Option<usize>,
}

impl Steps<Seen> for Look {
    fn next(&mut self, wait: Duration) -> Result<Landed<Seen>> {
        let next = self.step(wait);
        if next.is_err() {
            (self.chunks, self.at) = (None, self.content.reads.len());
        }
        next
    }
}

impl Look {
    fn step(&mut self, wait: Duration) -> Result<Landed<Seen>> {
        let until = Instant::now() + wait;
        loop {
            let Some(read) = self.content.reads.get(self.at).cloned() else {
                return Ok(Landed::Empty);
            };
            if self.chunks.is_none() {
                self.chunks = Some(self.open(&read)?);
            }
            let Some(chunks) = &mut self.chunks else {
                continue;
            };
            let glanced = match chunks.next_within(left(until))? {
                Taken::Value(glanced) => glanced,
                Taken::Waiting => return Ok(Landed::Waiting),
                Taken::End => {
                    self.chunks = None;
                    self.at += 1;
                    continue;
                }
            };
            if glanced.end.row > read.start.map_or(0, |s| s.row) {
                return Ok(Landed::Value(self.seen(&read, glanced)));
            }
        }
    }
    fn seen(&mut self, read: &FileRead, glanced: Glanced) -> Seen {
        let stream = self.content.stream(read, glanced.end.byte);
        let extent = Extent {
            stream,
            end: glanced.end.byte,
            proof: None,
        };
        // Files without a record have no extent, so the place is not the file's.
        match self
            .extents
            .last_mut()
            .filter(|_| self.last == Some(self.at))
        {
            Some(own) => *own = extent,
            None => self.extents.push(extent),
        }
        self.last = Some(self.at);
        Seen {
            mark: (read.index, glanced.end.byte),
            span: glanced.span,
            times: glanced.times,
            extents: self.extents.clone(),
        }
    }

    fn open(&self, read: &FileRead) -> Result<Chunks<Glanced>> {
        let (_, opened) = self.content.open(read, false)?;
        // What cannot be read is told of when the rows are read.
        let options = ReadOptions {
            on_reject: OnReject::Skip,
            max_rejects: u64::MAX,
            ..self.content.read_options(read)
        };
        let canonical = read.file.canonical.clone();
        // Times that depend on rows before them depend on which of these are accepted.
        let infer = self.content.options.read.local.on_repeated == OnRepeated::Infer;
        let (csv, map) = if canonical.times_alone() && !infer {
            (Arc::new(read.file.csv.only_time()?), glanced())
        } else {
            (read.file.csv.clone(), glanced_whole(canonical))
        };
        Chunks::open(opened, csv, &options, read.start, map)
    }
}

fn glanced() -> Map<Glanced> {
    Arc::new(|chunk: Chunk| {
        let column = chunk
            .batch
            .column(0)
            .as_primitive::<TimestampMicrosecondType>();
        Ok(glance(column.values(), chunk.end))
    })
}

/// Where a row's instant needs more than its time column.
fn glanced_whole(canonical: Arc<Canonical>) -> Map<Glanced> {
    Arc::new(move |chunk: Chunk| {
        let (readings, _) = canonical.readings(&chunk.batch, chunk.rows, 0)?;
        Ok(glance(&readings.time, chunk.end))
    })
}

fn glance(times: &[i64], end: Start) -> Glanced {
    Glanced {
        span: span(times),
        times: Histogram::of(times),
        end,
    }
}
