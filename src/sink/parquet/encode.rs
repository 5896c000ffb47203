//! Rows to a Parquet file: columns in parallel on the pool.
//!
//! zstd at a low level; text and small counts dictionary-encoded, instants as deltas (sorted rows
//! make them nearly free), floats plain (they hardly repeat); statistics for every column.

use super::disk;
use crate::{Error, Kind, Result, runtime};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// Rows of one row group.
const GROUP: usize = 1 << 18;

/// How files of a table are written.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    /// zstd level.
    pub level: i32,
    /// Sync each file.
    pub durable: bool,
    /// Metadata of each file.
    pub facts: Vec<(String, String)>,
}

impl Encoder {
    /// Writes `rows`, batches of the same columns in their order, to a new file.
    pub fn write(&self, path: &Path, rows: &[RecordBatch]) -> Result<()> {
        let written = self.try_write(path, rows);
        written.map_err(|e| {
            disk::remove(path);
            match e {
                Failed::Io(e) => disk::failed("written", path, e),
                Failed::Said(e) => e,
                Failed::Parquet(e) => unwritable(path, e),
            }
        })
    }

    fn try_write(&self, path: &Path, rows: &[RecordBatch]) -> std::result::Result<(), Failed> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let schema = plain_schema(&first.schema());
        let props = Arc::new(self.properties(&schema)?);
        let described = ArrowSchemaConverter::new().convert(&schema)?;
        let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut writer =
            SerializedFileWriter::new(file, described.root_schema_ptr(), props.clone())?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, schema.clone());
        for (group, parts) in groups(rows).iter().enumerate() {
            let columns = factory.create_column_writers(group)?;
            let chunks = encode(parts, &schema, columns)?;
            let mut row_group = writer.next_row_group()?;
            for chunk in chunks {
                chunk.append_to_row_group(&mut row_group)?;
            }
            row_group.close()?;
        }
        let mut file = writer.into_inner()?;
        file.flush()?;
        if self.durable {
            file.get_ref().sync_all()?;
        }
        Ok(())
    }

    fn properties(&self, schema: &Schema) -> std::result::Result<WriterProperties, ParquetError> {
        let facts = self.facts.iter();
        let facts = facts.map(|(k, v)| KeyValue::new(k.clone(), v.clone()));
        let mut builder = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(self.level)?))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("wattline ", env!("CARGO_PKG_VERSION")).into())
            .set_key_value_metadata(Some(facts.collect()));
        for field in schema.fields() {
            let column = ColumnPath::from(field.name().as_str());
            builder = match field.data_type() {
                DataType::Float64 | DataType::Float32 | DataType::Boolean => builder,
                DataType::Timestamp(..) => {
                    builder.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
                }
                _ => builder.set_column_dictionary_enabled(column, true),
            };
        }
        Ok(builder.build())
    }
}

enum Failed {
    Io(std::io::Error),
    Parquet(ParquetError),
    Said(Error),
}

impl From<std::io::Error> for Failed {
    fn from(e: std::io::Error) -> Self {
        Failed::Io(e)
    }
}

impl From<ParquetError> for Failed {
    fn from(e: ParquetError) -> Self {
        Failed::Parquet(e)
    }
}

/// Parquet wraps what the file system said; the words of it are kept apart again here.
fn unwritable(path: &Path, e: ParquetError) -> Error {
    if let ParquetError::External(inner) = &e
        && let Some(io) = inner.downcast_ref::<std::io::Error>()
    {
        let again = io.raw_os_error().map(std::io::Error::from_raw_os_error);
        return disk::failed("written", path, again.unwrap_or_else(|| io.kind().into()));
    }
    let message = format!("{} cannot be written as Parquet: {e}", path.display());
    Error::new(Kind::Endpoint, message).because(e)
}

/// The rows of each row group, not put together.
fn groups(rows: &[RecordBatch]) -> Vec<Vec<RecordBatch>> {
    let (mut groups, mut room): (Vec<Vec<RecordBatch>>, usize) = (Vec::new(), 0);
    for batch in rows {
        let mut at = 0;
        while at < batch.num_rows() {
            if room == 0 {
                groups.push(Vec::new());
                room = GROUP;
            }
            let n = room.min(batch.num_rows() - at);
            if let Some(last) = groups.last_mut() {
                last.push(batch.slice(at, n));
            }
            (at, room) = (at + n, room - n);
        }
    }
    groups
}

fn encode(
    parts: &[RecordBatch],
    schema: &SchemaRef,
    writers: Vec<ArrowColumnWriter>,
) -> std::result::Result<Vec<ArrowColumnChunk>, Failed> {
    let one = |(at, mut writer): (usize, ArrowColumnWriter)| {
        let field = &schema.fields()[at];
        for part in parts {
            let column = arrow_cast::cast(part.column(at), field.data_type())?;
            for leaf in compute_leaves(field, &column)? {
                writer.write(&leaf)?;
            }
        }
        writer.close()
    };
    let pool = runtime::pool().map_err(Failed::Said)?;
    let chunks: std::result::Result<Vec<_>, ParquetError> =
        pool.install(|| writers.into_par_iter().enumerate().map(one).collect());
    Ok(chunks?)
}

/// Text without Arrow's dictionary form, which some readers would show as a category of its own;
/// the file has its own dictionaries.
pub(super) fn plain(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = plain_schema(&rows.schema());
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(c, f)| arrow_cast::cast(c, f.data_type()));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>();
    let made = columns.and_then(|c| RecordBatch::try_new(schema, c));
    made.map_err(|e| Error::new(Kind::Internal, "rows do not fit their file").because(e))
}

fn plain_schema(schema: &Schema) -> SchemaRef {
    let one = |f: &Arc<Field>| match f.data_type() {
        DataType::Dictionary(_, value) => f.as_ref().clone().with_data_type(value.as_ref().clone()),
        _ => f.as_ref().clone(),
    };
    Arc::new(Schema::new(
        schema.fields().iter().map(one).collect::<Vec<_>>(),
    ))
}

/// Reads a small file whole.
pub(super) fn read(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).map_err(|e| disk::failed("read", path, e))?;
    let unreadable = |e: &dyn std::fmt::Display| {
        let message = format!(
            "{} is not a Parquet file of this table ({e})",
            path.display()
        );
        Error::new(Kind::DataLost, format!("{message}; restore it from a copy"))
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|e| unreadable(&e))?;
    reader.map(|b| b.map_err(|e| unreadable(&e))).collect()
}
