//! Spool: record batches that wait in memory while they are few, then in a temporary file that
//! has no name: it is gone when the process is, whatever ended it.

use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes kept in memory before the file is made.
const IN_MEMORY: usize = 32 << 20;

/// Where a batch waits.
#[derive(Clone)]
pub(super) enum Slot {
    Memory(Arc<RecordBatch>),
    File { at: u64, len: usize },
}

/// Batches by slot, written by one thread, read by any.
pub(super) struct Spool {
    dir: Option<PathBuf>,
    file: Option<Arc<File>>,
    end: u64,
    held: usize,
    limit: usize,
}

/// Reads slots.
#[derive(Clone)]
pub(super) struct Spooled(Option<Arc<File>>);

impl Spool {
    /// A spool whose file, if one is needed, is made in `dir` or the system's folder.
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        Spool {
            dir,
            file: None,
            end: 0,
            held: 0,
            limit: IN_MEMORY,
        }
    }

    /// The same, with everything in the file.
    pub(super) fn on_disk(dir: Option<PathBuf>) -> Self {
        Spool {
            limit: 0,
            ..Spool::new(dir)
        }
    }

    pub(super) fn put(&mut self, batch: RecordBatch) -> Result<Slot> {
        let size = batch.get_array_memory_size();
        if self.held + size <= self.limit {
            self.held += size;
            return Ok(Slot::Memory(Arc::new(batch)));
        }
        let bytes = encode(&batch)?;
        let (at, len) = (self.end, bytes.len());
        let file = self.file()?;
        file.write_all_at(&bytes, at).map_err(|e| self.failed(e))?;
        self.end += len as u64;
        Ok(Slot::File { at, len })
    }

    fn file(&mut self) -> Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let dir = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let file = Arc::new(tempfile::tempfile_in(dir).map_err(|e| self.failed(e))?);
        self.file = Some(file.clone());
        Ok(file)
    }

    fn failed(&self, error: io::Error) -> Error {
        let dir = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let why = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "the disk is full".to_string()
            }
            _ => error.to_string(),
        };
        Error::new(
            Kind::Endpoint,
            format!(
                "readings that are not in time order could not be put aside in {}: {why}; free space there or set spill_dir to another folder",
                dir.display()
            ),
        )
        .because(error)
    }

    pub(super) fn reader(&self) -> Spooled {
        Spooled(self.file.clone())
    }
}

fn encode(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer =
        StreamWriter::try_new(Vec::new(), batch.schema_ref()).map_err(super::codec::broken)?;
    writer.write(batch).map_err(super::codec::broken)?;
    writer.into_inner().map_err(super::codec::broken)
}

impl Spooled {
    pub(super) fn get(&self, slot: &Slot) -> Result<RecordBatch> {
        let (at, len) = match slot {
            Slot::Memory(batch) => return Ok((**batch).clone()),
            Slot::File { at, len } => (*at, *len),
        };
        let lost = |e: io::Error| {
            Error::new(
                Kind::Endpoint,
                format!("readings put aside could not be read back: {e}; check the disk"),
            )
            .because(e)
        };
        let file = self
            .0
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Internal, "a spool without a file"))?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, at).map_err(lost)?;
        let mut reader =
            StreamReader::try_new(bytes.as_slice(), None).map_err(super::codec::broken)?;
        let batch = reader.next().transpose().map_err(super::codec::broken)?;
        batch.ok_or_else(|| Error::new(Kind::Internal, "an empty slot in a spool"))
    }
}
