//! Rows to a Parquet file: columns in parallel on the pool.
//!
//! zstd at a low level; text and small counts dictionary-encoded, instants as deltas (sorted rows
//! make them nearly free), floats plain (they hardly repeat); statistics for every column.

use super::disk;
use super::group::{Group, Piece};
use super::store::{self, Source, Store};
use crate::{Error, Kind, Result, runtime};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, TypePtr};
use rayon::prelude::*;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Rows of one row group.
const GROUP: usize = 1 << 18;
/// Rows that are picked at once: of one column, on each thread.
const PICKED: usize = 1 << 14;

/// A row of several batches: which of them, and which row of it.
pub(super) type Pick = (usize, usize);

/// How files of a table are written.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    /// zstd level.
    pub level: i32,
    /// Metadata of each file.
    pub facts: Vec<(String, String)>,
}

impl Encoder {
    /// Writes pieces of the same columns, in their order, to a new file.
    pub fn write(&self, store: &dyn Store, path: &Path, pieces: &[Piece]) -> Result<()> {
        let file = store.begin(path)?;
        ended(path, self.encode(file, pieces, &self.facts))
    }

    /// Writes rows of the same columns, in the order of `picks`, to a new file. They are not put together in memory.
    pub fn write_picked(
        &self,
        to: &dyn Store,
        path: &Path,
        (rows, picks): (&[RecordBatch], &[Pick]),
    ) -> Result<()> {
        let file = to.begin(path)?;
        ended(path, self.pick(file, rows, picks))
    }

    fn pick<W: Write + Send>(&self, to: W, rows: &[RecordBatch], picks: &[Pick]) -> Written<W> {
        let Some(first) = rows.first() else {
            return Ok(to);
        };
        let (mut writer, schema) = self.begin(to, &Piece::Rows(first.clone()), &self.facts)?;
        let groups = picks.chunks(GROUP).map(|group| {
            let parts = group.chunks(PICKED);
            parts.map(|part| Part::Picked(rows, part)).collect()
        });
        let groups: Vec<Vec<Part<'_>>> = groups.collect();
        add(&mut writer, &schema, &groups)?;
        Ok(writer.into_inner()?)
    }

    /// Rows as a Parquet file in memory, without the facts.
    pub fn group(&self, rows: RecordBatch) -> Result<Vec<u8>> {
        let size = crate::flush::bytes_of(&rows) / 2;
        let encoded = self.encode(Vec::with_capacity(size), &[Piece::Rows(rows)], &[]);
        let mut bytes = encoded.map_err(|e| match e {
            Failed::Said(e) => e,
            Failed::Io(e) => Error::new(Kind::Internal, UNFIT).because(e),
            Failed::Parquet(e) => Error::new(Kind::Internal, UNFIT).because(e),
        })?;
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    fn encode<W: Write + Send>(
        &self,
        to: W,
        pieces: &[Piece],
        facts: &[(String, String)],
    ) -> Written<W> {
        let Some(first) = pieces.first() else {
            return Ok(to);
        };
        let (mut writer, schema) = self.begin(to, first, facts)?;
        let same = |a: &Piece, b: &Piece| matches!((a, b), (Piece::Rows(_), Piece::Rows(_)));
        for pieces in pieces.chunk_by(same) {
            match pieces {
                [Piece::Group(group)] => append(&mut writer, group)?,
                pieces => add(&mut writer, &schema, &groups(pieces))?,
            }
        }
        Ok(writer.into_inner()?)
    }

    /// A file with the columns of `first`.
    fn begin<W: Write + Send>(
        &self,
        to: W,
        first: &Piece,
        facts: &[(String, String)],
    ) -> Written<(SerializedFileWriter<W>, SchemaRef)> {
        let (root, schema) = described(first)?;
        let props = Arc::new(self.properties(&schema, facts)?);
        Ok((SerializedFileWriter::new(to, root, props)?, schema))
    }

    fn properties(
        &self,
        schema: &Schema,
        facts: &[(String, String)],
    ) -> std::result::Result<WriterProperties, ParquetError> {
        let facts = facts.iter();
        let facts = facts.map(|(k, v)| KeyValue::new(k.clone(), v.clone()));
        let mut builder = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(self.level)?))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
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

type Written<T> = std::result::Result<T, Failed>;

const UNFIT: &str = "rows do not fit their file";

/// Rows that were made for one table and do not fit it.
pub(super) fn unfit(e: arrow_schema::ArrowError) -> Error {
    Error::new(Kind::Internal, UNFIT).because(e)
}

/// The columns of a piece, as the file and as Arrow has them.
fn described(piece: &Piece) -> Written<(TypePtr, SchemaRef)> {
    let schema = match piece {
        Piece::Rows(rows) => plain_schema(&rows.schema()),
        Piece::Group(group) => reader(group.bytes.clone())?.schema().clone(),
    };
    let described = ArrowSchemaConverter::new().convert(&schema)?;
    Ok((described.root_schema_ptr(), schema))
}

/// Encodes the rows of each row group.
fn add<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    schema: &SchemaRef,
    groups: &[Vec<Part<'_>>],
) -> Written<()> {
    let factory = ArrowRowGroupWriterFactory::new(writer, schema.clone());
    let already = writer.flushed_row_groups().len();
    for (group, parts) in groups.iter().enumerate() {
        let columns = factory.create_column_writers(already + group)?;
        let chunks = encode(parts, schema, columns)?;
        let mut row_group = writer.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
    }
    Ok(())
}

/// Copies what is encoded.
fn append<W: Write + Send>(writer: &mut SerializedFileWriter<W>, group: &Group) -> Written<()> {
    let facts = ParquetMetaDataReader::new().parse_and_finish(&group.bytes)?;
    for rows in facts.row_groups() {
        let mut row_group = writer.next_row_group()?;
        for column in rows.columns() {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size().unsigned_abs(),
                rows_written: rows.num_rows().unsigned_abs(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            row_group.append_column(&group.bytes, close)?;
        }
        row_group.close()?;
    }
    Ok(())
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

/// Makes a file durable, once all of it is written.
fn ended(path: &Path, encoded: Written<Box<dyn store::Written>>) -> Result<()> {
    let file = encoded.map_err(|e| match e {
        Failed::Io(e) => disk::failed("written", path, e),
        Failed::Said(e) => e,
        Failed::Parquet(e) => unwritable(path, e),
    })?;
    file.end()
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

/// Rows of a row group that are encoded one after the other.
enum Part<'a> {
    Whole(RecordBatch),
    Picked(&'a [RecordBatch], &'a [Pick]),
}

impl Part<'_> {
    fn column(&self, at: usize) -> std::result::Result<ArrayRef, ArrowError> {
        match self {
            Part::Whole(rows) => Ok(rows.column(at).clone()),
            Part::Picked(rows, picks) => {
                let from: Vec<&dyn Array> = rows.iter().map(|r| r.column(at).as_ref()).collect();
                interleave(&from, picks)
            }
        }
    }
}

/// The rows of each row group, not put together.
fn groups<'a>(pieces: &[Piece]) -> Vec<Vec<Part<'a>>> {
    let (mut groups, mut room): (Vec<Vec<Part<'a>>>, usize) = (Vec::new(), 0);
    for piece in pieces {
        let Piece::Rows(batch) = piece else {
            continue;
        };
        let mut at = 0;
        while at < batch.num_rows() {
            if room == 0 {
                groups.push(Vec::new());
                room = GROUP;
            }
            let n = room.min(batch.num_rows() - at);
            if let Some(last) = groups.last_mut() {
                last.push(Part::Whole(batch.slice(at, n)));
            }
            (at, room) = (at + n, room - n);
        }
    }
    groups
}

fn encode(
    parts: &[Part<'_>],
    schema: &SchemaRef,
    writers: Vec<ArrowColumnWriter>,
) -> std::result::Result<Vec<ArrowColumnChunk>, Failed> {
    let one = |(at, mut writer): (usize, ArrowColumnWriter)| {
        let field = &schema.fields()[at];
        for part in parts {
            let column = arrow_cast::cast(&part.column(at)?, field.data_type())?;
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
    made.map_err(|e| Error::new(Kind::Internal, UNFIT).because(e))
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

fn reader<R: ChunkReader + 'static>(
    from: R,
) -> std::result::Result<ParquetRecordBatchReaderBuilder<R>, ParquetError> {
    ParquetRecordBatchReaderBuilder::try_new(from)
}

/// Reads a small file whole; `name` for messages.
pub(super) fn read<R: ChunkReader + 'static>(from: R, name: &str) -> Result<Vec<RecordBatch>> {
    let unreadable = |e: &dyn std::fmt::Display| {
        let message = format!("{name} is not a Parquet file of this table ({e})");
        Error::new(Kind::DataLost, format!("{message}; restore it from a copy"))
    };
    let reader = reader(from).and_then(ParquetRecordBatchReaderBuilder::build);
    let reader = reader.map_err(|e| unreadable(&e))?;
    reader.map(|b| b.map_err(|e| unreadable(&e))).collect()
}

/// Opens a small file and reads it whole.
pub(super) fn read_file(store: &dyn Store, path: &Path) -> Result<Vec<RecordBatch>> {
    let file: Source = store.open(path)?;
    read(file, &path.display().to_string())
}
