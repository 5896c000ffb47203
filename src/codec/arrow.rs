//! Arrow IPC: batches to one stream of bytes and back.

use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use std::io::{Read, Write};
use std::panic::{UnwindSafe, catch_unwind};

/// How the values in a stream are packed: a column at a time, which every reader of Arrow unpacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// As they are.
    #[default]
    Plain,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Packing {
    fn options(self) -> std::result::Result<IpcWriteOptions, ArrowError> {
        IpcWriteOptions::default().try_with_compression(match self {
            Packing::Plain => None,
            Packing::Lz4 => Some(CompressionType::LZ4_FRAME),
            Packing::Zstd => Some(CompressionType::ZSTD),
        })
    }
}

/// Writes `batches` as one IPC stream.
pub fn encode(out: impl Write, schema: &Schema, batches: &[RecordBatch]) -> Result<()> {
    encode_packed(out, schema, batches, Packing::Plain)
}

/// The same, packed.
pub fn encode_packed(
    out: impl Write,
    schema: &Schema,
    batches: &[RecordBatch],
    packing: Packing,
) -> Result<()> {
    let all = || -> std::result::Result<(), ArrowError> {
        let mut writer = StreamWriter::try_new_with_options(out, schema, packing.options()?)?;
        batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.finish()
    };
    all().map_err(|e| {
        Error::new(
            Kind::Endpoint,
            format!("the rows could not be written as Arrow: {e}"),
        )
    })
}

/// Reads a whole IPC stream. The reader of streams panics on some malformed bytes (offsets outside the body); such a
/// panic is an error here.
pub fn decode(bytes: impl Read + UnwindSafe) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let all = || -> std::result::Result<_, ArrowError> {
        let reader = StreamReader::try_new(bytes, None)?;
        Ok((
            reader.schema(),
            reader.collect::<std::result::Result<Vec<_>, _>>()?,
        ))
    };
    let broken = |why: String| {
        Error::new(
            Kind::Schema,
            format!("the bytes are no Arrow stream: {why}"),
        )
    };
    match catch_unwind(all) {
        Ok(read) => read.map_err(|e| broken(e.to_string())),
        Err(_) => Err(broken("it is malformed".into())),
    }
}
