//! Pack: a table of rows as messages, on the pool.

use super::options::Stamps;
use super::usage;
use crate::codec::arrow::{Packing, encode_packed};
use crate::codec::json::Encoder;
use crate::codec::message::Codec;
use crate::kafka::{Config, Headers, ORIGIN};
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::schema::{Canonical, Readings, RowIds, SensorKeys};
use crate::{Error, Kind, Result};
use arrow_array::{BooleanArray, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use std::sync::Arc;

/// Rows of an Arrow message at most: half a megabyte of the household, below the broker's limit.
const ROWS: usize = 8192;

/// Makes messages of the tables of one schema; shared by threads.
pub(super) struct Packer {
    canonical: Arc<Canonical>,
    codec: Codec,
    encoder: Option<Encoder>,
    packing: Packing,
    stamps: Stamps,
}

/// How Arrow messages are packed, and the endpoint for messages that are so: they are packed on the pool, a column at a
/// time, so that neither the library's one thread nor the broker has that to do. What the URL says of compression holds.
pub(super) fn packing(config: Config, codec: Codec) -> (Config, Packing) {
    let packing = match (codec, config.compression()) {
        (Codec::Arrow, None | Some("lz4")) => Packing::Lz4,
        (Codec::Arrow, Some("zstd")) => Packing::Zstd,
        _ => Packing::Plain,
    };
    let config = match packing {
        Packing::Plain => config,
        _ => config.uncompressed(),
    };
    (config, packing)
}

/// Messages ready to be sent.
#[derive(Debug, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    parts: Vec<Part>,
    /// Keys, by the number in a part.
    pub keys: Vec<Arc<str>>,
    /// Rejects met on the way.
    pub rejects: Vec<Reject>,
    /// Lines, records, readings.
    pub counters: Ledger,
    /// Least and greatest record time, ms.
    pub span: Option<(i64, i64)>,
}

#[derive(Debug)]
struct Part {
    end: u32,
    key: u32,
    timestamp: i64,
    headers: Option<Headers>,
}

/// What goes around the values of a stream's messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    /// What every header begins with: 16 bytes that name the stream.
    name: [u8; 16],
    /// Bytes of a message with all that goes with it, at most.
    longest: usize,
}

/// Bytes of a message that is alone in its batch, beside key and value: the batch's own 61, 36 of lengths and times, and
/// the header.
const AROUND: usize = 160;

impl Envelope {
    /// For messages of `stream` with at most so many bytes.
    pub(super) fn of(stream: &str, longest: usize) -> Envelope {
        let mut name = [0; 16];
        name.copy_from_slice(&blake3::hash(stream.as_bytes()).as_bytes()[..16]);
        Envelope { name, longest }
    }

    /// The header of the message at this place, which rises from message to message.
    fn headers(&self, at: u64) -> Option<Headers> {
        let mut value = [0; 24];
        value[..16].copy_from_slice(&self.name);
        value[16..].copy_from_slice(&at.to_be_bytes());
        Some(Headers::of(ORIGIN, &value))
    }

    /// Bytes of a value under this key at most.
    fn room(&self, key: &str) -> usize {
        self.longest.saturating_sub(AROUND + key.len())
    }

    /// The row whose message alone is too long.
    fn overfull(&self, row: u64, bytes: usize) -> Error {
        usage(format!(
            "row {row} is a message of {bytes} bytes, and {} with all that goes with it are the most; raise max.message.bytes of the topic (kafka-configs --alter) and, above a million, message.max.bytes in the URL, or send fewer columns",
            self.longest
        ))
    }
}

/// One message.
pub(super) struct Piece<'a> {
    pub value: &'a [u8],
    /// Number of its key.
    pub key: usize,
    /// Record time, ms; 0: now.
    pub timestamp: i64,
    /// Says which stream it is of, and its place there.
    pub headers: &'a mut Option<Headers>,
}

impl Packer {
    pub(super) fn new(
        canonical: Arc<Canonical>,
        columns: &SchemaRef,
        codec: Codec,
        packing: Packing,
        stamps: Stamps,
    ) -> Result<Packer> {
        let encoder = match codec {
            Codec::Json => Some(Encoder::new(columns)?),
            Codec::Arrow => None,
        };
        Ok(Packer {
            canonical,
            codec,
            encoder,
            packing,
            stamps,
        })
    }

    /// The messages of `batch`, whose rows are `rows` in the stream of `envelope`.
    pub(super) fn pack(
        &self,
        envelope: Envelope,
        batch: &RecordBatch,
        rows: RowIds,
        rejects: Vec<Reject>,
        counters: Ledger,
    ) -> Result<Packed> {
        let (readings, more) = self.canonical.readings(batch, rows.clone(), 0)?;
        let mut packed = Packed {
            counters,
            rejects,
            ..Packed::default()
        };
        let n = more.len() as u64;
        packed.counters.accepted -= n;
        packed.counters.readings -= n;
        packed.counters.rejected += n;
        let kept = match more.is_empty() {
            true => batch.clone(),
            false => without(batch, &rows, &more)?,
        };
        packed.rejects.extend(more);
        if kept.num_rows() != readings.len() {
            return Err(Error::new(
                Kind::Internal,
                "a table and its readings are not of one length; please report it",
            ));
        }
        packed.keys = match &readings.sensors {
            SensorKeys::Constant(name) => vec![name.clone()],
            SensorKeys::Coded { names, .. } => names.to_vec(),
        };
        packed.span = match self.stamps {
            Stamps::Now => None,
            Stamps::Event => span(&readings.time),
        };
        match &self.encoder {
            Some(encoder) => self.objects(envelope, encoder, &kept, &readings, &mut packed)?,
            None => self.tables(envelope, &kept, &readings, &mut packed)?,
        }
        debug_assert!(self.codec == Codec::Arrow || packed.parts.len() == readings.len());
        Ok(packed)
    }

    fn timestamp(&self, time: i64) -> i64 {
        match self.stamps {
            Stamps::Now => 0,
            Stamps::Event => time.div_euclid(1000),
        }
    }

    fn objects(
        &self,
        envelope: Envelope,
        encoder: &Encoder,
        batch: &RecordBatch,
        readings: &Readings,
        packed: &mut Packed,
    ) -> Result<()> {
        let mut ends = Vec::new();
        packed.bytes.reserve(batch.num_rows() * 200);
        encoder.encode(batch, &mut packed.bytes, &mut ends)?;
        let parts = ends.into_iter().zip(readings.time.iter()).enumerate();
        packed.parts = parts
            .map(|(i, (end, time))| Part {
                end,
                key: code(readings, i),
                timestamp: self.timestamp(*time),
                headers: envelope.headers(readings.row(i)),
            })
            .collect();
        packed.held(envelope, readings)
    }

    fn tables(
        &self,
        envelope: Envelope,
        batch: &RecordBatch,
        readings: &Readings,
        packed: &mut Packed,
    ) -> Result<()> {
        let mut of_sensor: Vec<Vec<u32>> = vec![Vec::new(); packed.keys.len()];
        for i in 0..readings.len() {
            if let Some(rows) = of_sensor.get_mut(code(readings, i) as usize) {
                rows.push(i as u32);
            }
        }
        let first = if readings.is_empty() {
            0
        } else {
            readings.row(0)
        };
        let tables = Tables {
            packer: self,
            envelope,
            batch,
            readings,
            first,
        };
        for (key, rows) in of_sensor.iter().enumerate() {
            for rows in rows.chunks(ROWS) {
                tables.add(key, rows, packed)?;
            }
        }
        Ok(())
    }
}

/// A table on its way into Arrow messages.
struct Tables<'a> {
    packer: &'a Packer,
    envelope: Envelope,
    batch: &'a RecordBatch,
    readings: &'a Readings,
    /// The place of its first message.
    first: u64,
}

impl Tables<'_> {
    /// Rows of one sensor as a message; as several where one would be too long.
    fn add(&self, key: usize, rows: &[u32], packed: &mut Packed) -> Result<()> {
        let Some(least) = rows.first().map(|row| *row as usize) else {
            return Ok(());
        };
        let (start, part) = (packed.bytes.len(), some(self.batch, rows)?);
        let packing = self.packer.packing;
        encode_packed(&mut packed.bytes, &part.schema(), &[part], packing)?;
        let bytes = packed.bytes.len() - start;
        let name = packed.keys.get(key).map_or("", |name| name);
        let room = self.envelope.room(name);
        if bytes > room {
            if rows.len() == 1 {
                return Err(self.envelope.overfull(self.readings.row(least), bytes));
            }
            packed.bytes.truncate(start);
            let mut parts = rows.chunks(fewer(rows.len(), bytes, room));
            return parts.try_for_each(|rows| self.add(key, rows, packed));
        }
        packed.parts.push(Part {
            end: packed.bytes.len() as u32,
            key: key as u32,
            timestamp: self.packer.timestamp(self.readings.time[least]),
            headers: self
                .envelope
                .headers(self.first + packed.parts.len() as u64),
        });
        Ok(())
    }
}

/// How many rows a message may have where `rows`, more than one, are too long.
fn fewer(rows: usize, bytes: usize, room: usize) -> usize {
    let fitting = rows as f64 * room as f64 / bytes as f64;
    ((fitting * 0.9) as usize).clamp(1, rows - 1)
}

impl Packed {
    /// The messages in their order.
    pub(super) fn pieces(&mut self) -> impl Iterator<Item = Piece<'_>> {
        let (bytes, mut start) = (&self.bytes, 0);
        self.parts.iter_mut().map(move |part| {
            let from = std::mem::replace(&mut start, part.end as usize);
            Piece {
                value: bytes.get(from..part.end as usize).unwrap_or_default(),
                key: part.key as usize,
                timestamp: part.timestamp,
                headers: &mut part.headers,
            }
        })
    }

    /// Errors: `Usage` where a row's message is longer than the envelope lets it be.
    fn held(&self, envelope: Envelope, readings: &Readings) -> Result<()> {
        let rooms: Vec<usize> = self.keys.iter().map(|key| envelope.room(key)).collect();
        let mut start = 0;
        for (i, part) in self.parts.iter().enumerate() {
            let bytes = (part.end - std::mem::replace(&mut start, part.end)) as usize;
            if rooms
                .get(part.key as usize)
                .is_none_or(|room| bytes > *room)
            {
                return Err(envelope.overfull(readings.row(i), bytes));
            }
        }
        Ok(())
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }
}

/// These rows of a table, which rise: without a copy where they stand together.
fn some(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch> {
    if let [first, .., last] = rows
        && (last - first) as usize + 1 == rows.len()
    {
        return Ok(batch.slice(*first as usize, rows.len()));
    }
    take_record_batch(batch, &UInt32Array::from(rows.to_vec()))
        .map_err(|e| Error::new(Kind::Internal, format!("rows of one sensor: {e}")))
}

fn code(readings: &Readings, row: usize) -> u32 {
    match &readings.sensors {
        SensorKeys::Constant(_) => 0,
        SensorKeys::Coded { codes, .. } => codes[row],
    }
}

fn span(times: &[i64]) -> Option<(i64, i64)> {
    let least = times.iter().min()?.div_euclid(1000);
    Some((least, times.iter().max()?.div_euclid(1000)))
}

/// The table without the rows that are rejects.
fn without(batch: &RecordBatch, rows: &RowIds, rejects: &[Reject]) -> Result<RecordBatch> {
    let mut out: Vec<u64> = rejects.iter().map(|r| r.row).collect();
    out.sort_unstable();
    let row = |i: usize| match rows {
        RowIds::Dense(first) => first + i as u64,
        RowIds::Listed(rows) => rows[i],
    };
    let kept: BooleanArray = (0..batch.num_rows())
        .map(|i| Some(out.binary_search(&row(i)).is_err()))
        .collect();
    filter_record_batch(batch, &kept)
        .map_err(|e| usage(format!("rows could not be left out of a table: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrow_is_packed_here_and_all_else_by_the_library() {
        let told = |url: &str, codec| {
            let (config, packing) = packing(Config::parse(url).unwrap(), codec);
            let library = config.compression().map(str::to_string);
            (packing, library.unwrap_or_default())
        };
        for (url, here, library) in [
            ("kafka://a:1/t", Packing::Lz4, "none"),
            ("kafka://a:1/t?compression=lz4", Packing::Lz4, "none"),
            (
                "kafka://a:1/t?compression.codec=zstd",
                Packing::Zstd,
                "none",
            ),
            ("kafka://a:1/t?compression=none", Packing::Plain, "none"),
            ("kafka://a:1/t?compression=gzip", Packing::Plain, "gzip"),
        ] {
            assert_eq!(told(url, Codec::Arrow), (here, library.into()), "{url}");
        }
        let json = told("kafka://a:1/t?compression=zstd", Codec::Json);
        assert_eq!(json, (Packing::Plain, "zstd".into()));
    }
}
