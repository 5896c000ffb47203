//! What the sink asks of the place its files are in. Two answer: `disk`, and `cloud` for S3.
//!
//! Names are paths in both: `/data/out/grain=1h/part-0.parquet`, `s3://bucket/out/grain=1h/part-0.parquet`. What differs is
//! how a file appears. On a disk it is written under another name and gets its own by a link or a rename. An object
//! appears whole when its bytes have arrived, under its own name at once where nobody may have taken it
//! (`If-None-Match`), or by a copy inside the store and the removal of the staged one. An object store has no folders, and
//! an answer of it may be lost while what was asked for still happens.

use crate::sink::Parquet;
use crate::sink::lock::Holder;
use crate::{Error, Result};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fmt::Debug;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The store of an endpoint, which is not yet asked for anything.
pub(super) fn open(at: &Parquet) -> Result<Arc<dyn Store>> {
    match at.bucket() {
        Some(_) => super::cloud::open(at),
        None => Ok(Arc::new(super::disk::Disk {
            durable: at.durable,
        })),
    }
}

/// Whether a file was made where none may be.
pub(super) enum Created {
    /// It is there, and is ours.
    Yes,
    /// The name is taken; by our own attempt, perhaps, whose answer was lost.
    Taken,
    /// The answer was lost: it may be there, or still come. No disk says so.
    #[cfg_attr(not(feature = "cloud"), expect(dead_code))]
    Unclear(Error),
}

/// What a folder holds.
#[derive(Default)]
pub(super) struct Listed {
    pub files: Vec<String>,
    pub folders: Vec<String>,
}

/// A file being written; dropped before its end, nothing of it stays.
pub(super) trait Written: Write + Send {
    /// It is whole; after this it is there for good.
    fn end(self: Box<Self>) -> Result<()>;
}

/// A sign that a partition has an owner; taken back by `release`, else it goes or fades with the process.
pub(super) trait Held: Debug + Send {
    /// Takes the sign back.
    fn release(self: Box<Self>);
}

/// Who has a partition.
pub(super) enum Hold {
    /// This run.
    Ours(Box<dyn Held>),
    /// This run, though another that hangs still holds the sign.
    TakenOver,
    /// Another (unknown where it does not say).
    Theirs(Option<String>),
}

/// A run that wants a partition.
pub(super) struct Wants<'a> {
    pub token: &'a str,
    pub holder: &'a Holder,
    pub take_over: bool,
}

/// A place for files.
pub(super) trait Store: Debug + Send + Sync {
    /// Whether an answer that was lost may be followed by what was asked for.
    fn late(&self) -> bool;
    /// Whether a folder is there though it holds nothing.
    fn keeps_folders(&self) -> bool;
    /// Refuses, for `check`, a place in which nothing can be made.
    fn takes_files(&self, folder: &Path) -> Result<()>;
    /// Makes a folder and its parents.
    fn make_folder(&self, folder: &Path) -> Result<()>;
    /// Makes the names in a folder durable.
    fn sync(&self, folder: &Path) -> Result<()>;
    /// Names of what a folder holds, sorted; none where there is no folder.
    fn names(&self, folder: &Path) -> Result<Vec<String>>;
    /// The same, files and folders apart.
    fn listed(&self, folder: &Path) -> Result<Listed>;
    /// The Parquet files of a table, each with its folder: those in `key=value` folders, however deep.
    fn files(&self, table: &Path) -> Result<Vec<(String, String)>>;
    /// Whether there is such a folder.
    fn has_folder(&self, folder: &Path) -> Result<bool>;
    /// Whether there is such a file.
    fn exists(&self, path: &Path) -> Result<bool>;
    /// A file's bytes, where it is there.
    fn find(&self, path: &Path) -> Result<Option<Bytes>>;
    /// So many of a file's first bytes, or all.
    fn start(&self, path: &Path, length: usize) -> Result<Bytes>;
    /// A file's last four bytes, or fewer; `None`: it is not there, or cannot be read.
    fn end(&self, path: &Path) -> Result<Option<Bytes>>;
    /// A Parquet file to be read.
    fn open(&self, path: &Path) -> Result<Source>;
    /// Makes a file where none is yet, in one step; `temporary` is another name in its folder.
    fn create(&self, path: &Path, temporary: &str, parts: &[&[u8]]) -> Result<Created>;
    /// Begins a file that nobody reads yet.
    fn begin(&self, path: &Path) -> Result<Box<dyn Written>>;
    /// Gives staged files the names under which readers see them in `table`, in this order, durably. One that is not
    /// there has its name already: doing it again, or by another owner at the same time, changes nothing.
    fn publish(&self, table: &Path, files: Vec<(PathBuf, PathBuf)>) -> Result<()>;
    /// Gives a file another name.
    fn put_aside(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file that may not be there.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Removes files that no reader sees; what fails is left to the next owner, who sweeps.
    fn discard(&self, files: &[PathBuf]);
    /// Takes the sign of ownership of the partition in `folder`, or says who has it.
    fn hold(&self, folder: &Path, wants: &Wants) -> Result<Hold>;
}

/// A file's bytes, where it must be there.
pub(super) fn read(store: &dyn Store, path: &Path) -> Result<Bytes> {
    let gone = || super::disk::failed("read", path, std::io::ErrorKind::NotFound.into());
    store.find(path)?.ok_or_else(gone)
}

/// A Parquet file that is read.
pub(super) enum Source {
    File(File),
    #[cfg_attr(not(feature = "cloud"), expect(dead_code))]
    Whole(Bytes),
}

impl Length for Source {
    fn len(&self) -> u64 {
        match self {
            Source::File(file) => file.len(),
            Source::Whole(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for Source {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> std::result::Result<Box<dyn Read>, ParquetError> {
        Ok(match self {
            Source::File(file) => Box::new(file.get_read(start)?),
            Source::Whole(bytes) => Box::new(bytes.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> std::result::Result<Bytes, ParquetError> {
        match self {
            Source::File(file) => file.get_bytes(start, length),
            Source::Whole(bytes) => bytes.get_bytes(start, length),
        }
    }
}
