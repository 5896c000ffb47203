//! Flush records to bytes and back.
//!
//! ```text
//! "WLF1" · format u32 · header length u32 · header CRC-32 u32 · header JSON · sections
//! ```
//! All numbers little endian. The header names each section in order: what it is, its stored and
//! raw length, and the CRC-32 of its stored bytes. A section is zstd if that is shorter (stored ≠ raw length; one or
//! more frames, packed side by side on the pool), else plain; state is bytes as given, tables are Arrow IPC
//! streams, rejects are JSON.
//!
//! Bytes that are not a record give an error: lengths are checked before anything is allocated, memory grows
//! only with data that is there and at most to [`MAX_SECTION`] a section, and Arrow streams with compressed buffers
//! (which could claim any size) are refused.

use super::{Decision, FORMAT, Flush, FlushId, Positions, ReadPlan, StateDelta, WindowRows};
use crate::ledger::Ledger;
use crate::{Error, Kind, Result, runtime};
use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::Read;

const MAGIC: &[u8; 4] = b"WLF1";
const PREFIX: usize = 16;
const LEVEL: i32 = 1;
const SHORT: usize = 512;
/// Raw bytes of one zstd frame.
const FRAME: usize = 1 << 20;

/// The most raw bytes a section may have.
pub const MAX_SECTION: u64 = 4 << 30;

#[derive(Serialize, Deserialize)]
struct Header {
    partition: u32,
    id: FlushId,
    lineage: String,
    positions: Positions,
    read: Option<ReadPlan>,
    max_end: Option<i64>,
    watermark: Option<i64>,
    stamp: i64,
    fold: bool,
    counters: Ledger,
    totals: Ledger,
    decisions: Vec<Decision>,
    last: bool,
    sections: Vec<Section>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Section {
    what: Content,
    stored: u64,
    raw: u64,
    crc: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    State,
    Windows(String),
    Readings,
    Late,
    Rejects,
}

impl Flush {
    /// The whole record, effects included.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut body = Body::default();
        body.put(Content::State, &self.state.bytes)?;
        for w in &self.windows {
            body.put(Content::Windows(w.grain.clone()), &table(&w.rows)?)?;
        }
        for batch in &self.readings {
            body.put(Content::Readings, &table(batch)?)?;
        }
        if let Some(batch) = &self.late {
            body.put(Content::Late, &table(batch)?)?;
        }
        if !self.rejects.is_empty() {
            body.put(
                Content::Rejects,
                &serde_json::to_vec(&self.rejects).map_err(unwritable)?,
            )?;
        }
        self.assemble(body)
    }

    /// The record without its effects: what recovery of the state needs.
    pub fn encode_state(&self) -> Result<Vec<u8>> {
        let mut body = Body::default();
        body.put(Content::State, &self.state.bytes)?;
        self.assemble(body)
    }

    fn assemble(&self, body: Body) -> Result<Vec<u8>> {
        let header = Header {
            partition: self.partition,
            id: self.id,
            positions: self.positions.clone(),
            lineage: self.lineage.clone(),
            read: self.read.clone(),
            max_end: self.max_end,
            watermark: self.watermark,
            stamp: self.stamp,
            fold: self.state.fold,
            counters: self.counters.clone(),
            totals: self.totals.clone(),
            decisions: self.decisions.clone(),
            last: self.last,
            sections: body.sections,
        };
        let json = serde_json::to_vec(&header).map_err(unwritable)?;
        let mut out = Vec::with_capacity(PREFIX + json.len() + body.bytes.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&(json.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&json).to_le_bytes());
        out.extend_from_slice(&json);
        out.extend_from_slice(&body.bytes);
        Ok(out)
    }

    /// Reads a record written by [`Flush::encode`] or [`Flush::encode_state`].
    pub fn decode(bytes: &[u8]) -> Result<Flush> {
        let (header, mut rest) = header(bytes)?;
        let mut flush = header.flush;
        for section in &header.sections {
            let (stored, after) = split(rest, section.stored, "a section")?;
            rest = after;
            let raw = unpack(section, stored)?;
            take(&mut flush, &section.what, raw)?;
        }
        if !rest.is_empty() {
            return Err(damaged("bytes follow the last section"));
        }
        Ok(flush)
    }
}

#[derive(Default)]
struct Body {
    sections: Vec<Section>,
    bytes: Vec<u8>,
}

impl Body {
    fn put(&mut self, what: Content, raw: &[u8]) -> Result<()> {
        if raw.len() as u64 > MAX_SECTION {
            return Err(Error::new(
                Kind::Internal,
                "a flush section is over 4 GiB; set smaller flush limits",
            ));
        }
        let packed = match raw.len() {
            // Too short to be worth a compressor.
            ..SHORT => raw.to_vec(),
            SHORT..=FRAME => zstd::bulk::compress(raw, LEVEL).map_err(unwritable)?,
            _ => frames(raw)?,
        };
        let stored = if packed.len() < raw.len() {
            &packed
        } else {
            raw
        };
        self.sections.push(Section {
            what,
            stored: stored.len() as u64,
            raw: raw.len() as u64,
            crc: crc32fast::hash(stored),
        });
        self.bytes.extend_from_slice(stored);
        Ok(())
    }
}

/// A long section, packed side by side.
fn frames(raw: &[u8]) -> Result<Vec<u8>> {
    let pack = |part: &[u8]| zstd::bulk::compress(part, LEVEL).map_err(unwritable);
    let packed: Result<Vec<Vec<u8>>> =
        runtime::pool()?.install(|| raw.par_chunks(FRAME).map(pack).collect());
    Ok(packed?.concat())
}

struct Opened {
    flush: Flush,
    sections: Vec<Section>,
}

fn header(bytes: &[u8]) -> Result<(Opened, &[u8])> {
    let (magic, rest) = split(bytes, 4, "its first bytes")?;
    if magic != MAGIC {
        return Err(damaged("it does not begin with WLF1"));
    }
    let (version, rest) = number(rest)?;
    if version > FORMAT {
        return Err(Error::new(
            Kind::SpecChanged,
            format!(
                "the stored flush record has format {version}, this version of wattline knows up to {FORMAT}; use a newer wattline"
            ),
        ));
    }
    let (length, rest) = number(rest)?;
    let (crc, rest) = number(rest)?;
    let (json, rest) = split(rest, u64::from(length), "its header")?;
    if crc32fast::hash(json) != crc {
        return Err(damaged("the checksum of its header is wrong"));
    }
    let h: Header = serde_json::from_slice(json)
        .map_err(|e| damaged("its header is not understood").because(e))?;
    let flush = Flush {
        partition: h.partition,
        id: h.id,
        positions: h.positions,
        lineage: h.lineage,
        read: h.read,
        max_end: h.max_end,
        watermark: h.watermark,
        stamp: h.stamp,
        state: StateDelta {
            fold: h.fold,
            bytes: Vec::new(),
        },
        counters: h.counters,
        totals: h.totals,
        decisions: h.decisions,
        last: h.last,
        ..Flush::default()
    };
    Ok((
        Opened {
            flush,
            sections: h.sections,
        },
        rest,
    ))
}

fn take(flush: &mut Flush, what: &Content, raw: Vec<u8>) -> Result<()> {
    match what {
        Content::State => flush.state.bytes = raw,
        Content::Windows(grain) => {
            flush.windows.push(WindowRows {
                grain: grain.clone(),
                rows: untable(raw)?,
            });
        }
        Content::Readings => flush.readings.push(untable(raw)?),
        Content::Late => flush.late = Some(untable(raw)?),
        Content::Rejects => {
            flush.rejects = serde_json::from_slice(&raw)
                .map_err(|e| damaged("its rejects are not understood").because(e))?;
        }
    }
    Ok(())
}

fn unpack(section: &Section, stored: &[u8]) -> Result<Vec<u8>> {
    if crc32fast::hash(stored) != section.crc {
        return Err(damaged("the checksum of a section is wrong"));
    }
    if section.stored == section.raw {
        return Ok(stored.to_vec());
    }
    if section.raw > MAX_SECTION || section.raw < section.stored {
        return Err(damaged("the length of a section cannot be"));
    }
    let mut raw = Vec::with_capacity(section.raw.min(stored.len() as u64 * 8) as usize);
    let unpacked = zstd::stream::read::Decoder::with_buffer(stored)
        .and_then(|d| d.take(section.raw + 1).read_to_end(&mut raw));
    match unpacked {
        Ok(_) if raw.len() as u64 == section.raw => Ok(raw),
        Ok(_) => Err(damaged("a section is not as long as its header says")),
        Err(e) => Err(damaged("a section cannot be unpacked").because(e)),
    }
}

/// One batch as an Arrow IPC stream.
pub(crate) fn table(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(super::bytes_of(batch).min(1 << 28));
    let mut writer = StreamWriter::try_new(&mut out, &batch.schema()).map_err(unwritable)?;
    writer
        .write(batch)
        .and_then(|()| writer.finish())
        .map_err(unwritable)?;
    drop(writer);
    Ok(out)
}

/// The one batch of an Arrow IPC stream. The reader of streams panics on some malformed messages
/// (offsets outside the body); such a panic is an error here.
pub(crate) fn untable(raw: Vec<u8>) -> Result<RecordBatch> {
    plain_messages(&raw)?;
    let read = std::panic::catch_unwind(move || {
        let mut decoder = StreamDecoder::new();
        let mut buffer = Buffer::from_vec(raw);
        let batch = decoder.decode(&mut buffer)?;
        Ok::<_, arrow_schema::ArrowError>(batch)
    });
    match read {
        Ok(Ok(Some(batch))) => Ok(batch),
        Ok(Ok(None)) => Err(damaged("a table in it has no rows section")),
        Ok(Err(e)) => Err(damaged("a table in it is not understood").because(e)),
        Err(_) => Err(damaged("a table in it is malformed")),
    }
}

/// Refuses streams whose messages claim more than is there, or hold compressed buffers.
fn plain_messages(mut rest: &[u8]) -> Result<()> {
    while !rest.is_empty() {
        let (mut size, mut after) = number(rest)?;
        if size == u32::MAX {
            (size, after) = number(after)?;
        }
        if size == 0 {
            return Ok(());
        }
        let (meta, body) = split(after, u64::from(size), "a table")?;
        let message = arrow_ipc::root_as_message(meta)
            .map_err(|_| damaged("a message of a table is not understood"))?;
        let rows = message.header_as_record_batch();
        let words = message.header_as_dictionary_batch().and_then(|d| d.data());
        let packed = rows.or(words).is_some_and(|b| b.compression().is_some());
        let length = u64::try_from(message.bodyLength()).unwrap_or(u64::MAX);
        if packed {
            return Err(damaged(
                "a table in it is stored in a way wattline does not write",
            ));
        }
        rest = split(body, length, "a table")?.1;
    }
    Ok(())
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8])> {
    let (head, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged("it is cut in its first bytes"))?;
    Ok((u32::from_le_bytes(*head), rest))
}

fn split<'a>(bytes: &'a [u8], at: u64, what: &str) -> Result<(&'a [u8], &'a [u8])> {
    usize::try_from(at)
        .ok()
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or_else(|| damaged(&format!("it is cut in {what}")))
}

fn damaged(why: &str) -> Error {
    Error::new(
        Kind::DataLost,
        format!(
            "a stored flush record is damaged: {why}; restore the store from a backup, or begin a new pipeline name"
        ),
    )
}

fn unwritable(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        Kind::Internal,
        "a flush record could not be encoded; please report it",
    )
    .because(e)
}

#[cfg(test)]
mod tests;
