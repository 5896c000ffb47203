//! A file as packed messages: recognised by its bytes, looked through for its times, opened behind a position.

use super::super::options::{Mode, Options};
use super::super::pack::{Envelope, Packed, Packer};
use super::super::progress::Progress;
use super::{Known, Pieces, nameless, packer};
use crate::codec::arrow::Packing;
use crate::csv::{Chunk, Chunks, CsvPlan, LocalPolicy, ReadOptions, SchemaChoice, Start, resolve};
use crate::flush::Position;
use crate::input::fingerprint::{Recognised, START, recognise, start_hash};
use crate::input::{self, HEAD, InputSpec, Limits, refuse};
use crate::reject::OnReject;
use crate::schema::{Canonical, Overrides};
use crate::source::Proofs;
use crate::{Error, Kind, Result};
use arrow_array::{Array, RecordBatch};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file, held against its schema.
pub(in crate::produce) struct FileFeed {
    pub spec: InputSpec,
    csv: Arc<CsvPlan>,
    pub canonical: Arc<Canonical>,
    packer: Arc<Packer>,
    read: ReadOptions,
    pub name: Option<String>,
}

/// Holds a file against its schema.
pub(super) fn hold(
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

impl FileFeed {
    /// What is committed of it; it is known by its bytes.
    pub(super) fn recognised(&self, committed: &BTreeMap<String, Progress>) -> Result<Known> {
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

    /// Least and greatest time of its rows, ms.
    pub(super) fn span(&self, stop: &dyn Fn() -> bool) -> Result<Option<(i64, i64)>> {
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

    /// Opens it behind `from`.
    pub(super) fn open(
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
