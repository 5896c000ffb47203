//! A table into a file of its own: written beside its place, then renamed, so that a reader never
//! sees half of it. A link is followed; a device or a pipe is written to as it is, never replaced.

use super::{arrow, text};
use crate::{Error, Kind, Result};
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::io::{BufWriter, Write};
use std::path::Path;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated with a header.
    Csv,
    /// One object a line.
    Json,
    /// One Parquet file, zstd.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// The format called `name`, a file's ending or what the user says.
    pub fn named(name: &str) -> Result<Format> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "csv" => Format::Csv,
            "json" | "jsonl" | "ndjson" => Format::Json,
            "parquet" => Format::Parquet,
            "arrow" | "arrows" => Format::Arrow,
            _ => {
                return Err(Error::new(
                    Kind::Usage,
                    format!("{name:?} is no format of a file; use csv, json, parquet or arrow"),
                ));
            }
        })
    }

    fn encode(
        self,
        out: impl Write + Send,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<()> {
        match self {
            Format::Csv => text::csv(out, schema, batches),
            Format::Json => text::json(out, schema, batches),
            Format::Arrow => arrow::encode(out, schema, batches),
            Format::Parquet => parquet(out, schema, batches),
        }
    }
}

/// Writes the rows to `path` (`-`: standard output), as `format` or as the ending says.
pub fn write(
    path: &Path,
    format: Option<&str>,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<()> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("csv");
    let format = Format::named(format.unwrap_or(ending))?;
    if path == Path::new("-") {
        return format.encode(BufWriter::new(std::io::stdout()), schema, batches);
    }
    let failed = |e: std::io::Error| {
        Error::new(
            Kind::Endpoint,
            format!("{} could not be written: {e}", path.display()),
        )
    };
    let there = path.canonicalize();
    let path = there.as_deref().unwrap_or(path);
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let device = std::fs::OpenOptions::new().write(true).open(path);
        return format
            .encode(BufWriter::new(device.map_err(failed)?), schema, batches)
            .map_err(|e| named(e, path));
    }
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let none = format!("there is no folder {}; make it first", folder.display());
        return Err(failed(std::io::Error::other(none)));
    }
    let mut beside = tempfile::Builder::new()
        .permissions(shared())
        .tempfile_in(folder)
        .map_err(failed)?;
    format
        .encode(BufWriter::new(beside.as_file_mut()), schema, batches)
        .map_err(|e| named(e, path))?;
    beside
        .persist(path)
        .map(|_| ())
        .map_err(|e| failed(e.error))
}

/// The same error, which says where the rows were to go.
fn named(mut error: Error, path: &Path) -> Error {
    error.message = format!("{}: {}", path.display(), error.message);
    error
}

/// The permissions a new file has by default; the process's mask still applies.
fn shared() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

fn parquet(out: impl Write + Send, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let all = || {
        let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties))?;
        batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.close()
    };
    all()
        .map(|_| ())
        .map_err(|e: ::parquet::errors::ParquetError| {
            Error::new(
                Kind::Endpoint,
                format!("the rows could not be written as Parquet: {e}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    #[test]
    fn a_device_is_written_to_and_a_link_followed() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let batch =
            RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)])
                .unwrap();
        let put = |path: &Path| {
            write(
                path,
                Some("csv"),
                &batch.schema(),
                std::slice::from_ref(&batch),
            )
        };
        put(Path::new("/dev/null")).unwrap();
        let null = std::fs::metadata("/dev/null").unwrap();
        assert!(null.file_type().is_char_device());
        assert_eq!(
            put(Path::new("/dev/full")).unwrap_err().kind,
            Kind::Endpoint
        );
        let (real, link) = (folder.path().join("real.csv"), folder.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        put(&link).unwrap();
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "a\n1\n");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let nowhere = put(&folder.path().join("none/t.csv")).unwrap_err();
        assert!(nowhere.message.contains("there is no folder"), "{nowhere}");
    }

    #[test]
    fn the_ending_says_how_and_arrow_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let batch =
            RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])
                .unwrap();
        for name in ["t.csv", "t.json", "t.parquet", "t.arrow"] {
            write(
                &folder.path().join(name),
                None,
                &batch.schema(),
                std::slice::from_ref(&batch),
            )
            .unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(folder.path().join("t.csv")).unwrap(),
            "a\n1\n2\n"
        );
        let (_, read) =
            arrow::decode(std::fs::File::open(folder.path().join("t.arrow")).unwrap()).unwrap();
        assert_eq!(read, std::slice::from_ref(&batch));
        let error = write(
            &folder.path().join("t.xls"),
            None,
            &batch.schema(),
            &[batch],
        )
        .unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            4,
            "nothing half written stays"
        );
    }
}
