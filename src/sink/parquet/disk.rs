//! A disk: files that are there whole and for good, or not at all.

use super::store::{Created, Held, Hold, Listed, Source, Store, Wants, Written};
use crate::sink::folder::takes_files;
use crate::sink::lock::{self, FileLock, Taken};
use crate::{Error, Kind, Result, runtime};
use bytes::Bytes;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The house's error for a failed step on a path.
pub(super) fn failed(doing: &str, path: &Path, e: std::io::Error) -> Error {
    let full = matches!(
        e.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    );
    let advice = match e.kind() {
        _ if full => "no space is left: free some and run again; nothing of this flush is visible",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "look at the permissions of its folder"
        }
        ErrorKind::NotFound => "look whether its folder is there",
        _ => "look at the disk and run again",
    };
    let message = format!("{} cannot be {doing} ({e}); {advice}", path.display());
    let error = Error::new(Kind::Endpoint, message).because(e);
    if full { error.retryable() } else { error }
}

/// Files on a disk.
#[derive(Debug)]
pub(super) struct Disk {
    /// Files and names reach the disk before they count.
    pub durable: bool,
}

impl Disk {
    /// Writes a file that nobody reads yet; on failure nothing of it stays.
    fn write_new(&self, path: &Path, parts: &[&[u8]]) -> Result<()> {
        let written = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)?;
            for part in parts {
                file.write_all(part)?;
            }
            if self.durable {
                file.sync_all()?;
            }
            Ok(())
        };
        written().map_err(|e| {
            forget(path);
            failed("written", path, e)
        })
    }

    /// Syncs folders and those between them and the table's.
    fn sync_all(&self, table: &Path, folders: BTreeSet<PathBuf>) -> Result<()> {
        let mut all = folders.clone();
        for folder in &folders {
            let inside = folder.ancestors().skip(1);
            all.extend(
                inside
                    .take_while(|f| f.starts_with(table))
                    .map(Path::to_owned),
            );
        }
        let all: Vec<PathBuf> = all.into_iter().collect();
        runtime::pool()?.install(|| all.par_iter().try_for_each(|f| self.sync(f)))
    }
}

/// Removes a file that may not be there. A failure leaves a file that no reader sees and the next owner sweeps.
fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

impl Store for Disk {
    fn late(&self) -> bool {
        false
    }

    fn keeps_folders(&self) -> bool {
        true
    }

    fn takes_files(&self, folder: &Path) -> Result<()> {
        takes_files(folder, true)
    }

    fn make_folder(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(|e| failed("made", folder, e))
    }

    fn sync(&self, folder: &Path) -> Result<()> {
        if !self.durable {
            return Ok(());
        }
        File::open(folder)
            .and_then(|dir| dir.sync_all())
            .map_err(|e| failed("synced", folder, e))
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed("listed", folder, e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failed("listed", folder, e))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn listed(&self, folder: &Path) -> Result<Listed> {
        let is_folder = |name: &String| folder.join(name).is_dir();
        let (folders, files) = self.names(folder)?.into_iter().partition(is_folder);
        Ok(Listed { files, folders })
    }

    fn files(&self, table: &Path) -> Result<Vec<(String, String)>> {
        let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            for entry in self.names(&table.join(&folder))? {
                if entry.ends_with(".parquet") {
                    found.push((folder.clone(), entry));
                } else if entry.contains('=') {
                    folders.push(super::publish::join(&folder, &entry));
                }
            }
        }
        Ok(found)
    }

    fn has_folder(&self, folder: &Path) -> Result<bool> {
        Ok(folder.is_dir())
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        Ok(path.exists())
    }

    fn find(&self, path: &Path) -> Result<Option<Bytes>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("read", path, e)),
        }
    }

    fn start(&self, path: &Path, length: usize) -> Result<Bytes> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut bytes = Vec::with_capacity(length);
            File::open(path)?
                .take(length as u64)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Ok(read().map_err(|e| failed("read", path, e))?.into())
    }

    fn end(&self, path: &Path) -> Result<Option<Bytes>> {
        let read = || -> Option<Bytes> {
            let mut file = File::open(path).ok()?;
            let mut end = [0; 4];
            match file.seek(SeekFrom::End(-4)) {
                Ok(_) => file.read_exact(&mut end).ok()?,
                // Shorter.
                Err(_) => return Some(Bytes::new()),
            }
            Some(Bytes::copy_from_slice(&end))
        };
        Ok(read())
    }

    fn open(&self, path: &Path) -> Result<Source> {
        let file = File::open(path).map_err(|e| failed("read", path, e))?;
        Ok(Source::File(file))
    }

    fn create(&self, path: &Path, temporary: &str, parts: &[&[u8]]) -> Result<Created> {
        let temporary = path.with_file_name(temporary);
        self.write_new(&temporary, parts)?;
        let linked = fs::hard_link(&temporary, path);
        forget(&temporary);
        match linked {
            Ok(()) => Ok(Created::Yes),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Created::Taken),
            Err(e) => Err(failed("made", path, e)),
        }
    }

    fn begin(&self, path: &Path) -> Result<Box<dyn Written>> {
        let file = File::create(path).map_err(|e| failed("written", path, e))?;
        Ok(Box::new(NewFile {
            file: BufWriter::with_capacity(1 << 18, file),
            path: path.to_owned(),
            durable: self.durable,
            whole: false,
        }))
    }

    fn publish(&self, table: &Path, files: Vec<(PathBuf, PathBuf)>) -> Result<()> {
        let mut folders = BTreeSet::new();
        for (staged, to) in files {
            // Renamed before: where its folder went since, none is made.
            if !staged.exists() {
                continue;
            }
            if let Some(folder) = to.parent()
                && folders.insert(folder.to_owned())
            {
                self.make_folder(folder)?;
            }
            match fs::rename(staged, &to) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(failed("published", &to, e));
                }
                _ => {}
            }
        }
        match folders.is_empty() {
            true => Ok(()),
            false => self.sync_all(table, folders),
        }
    }

    fn put_aside(&self, from: &Path, to: &Path) -> Result<()> {
        to.parent().map_or(Ok(()), |f| self.make_folder(f))?;
        fs::rename(from, to).map_err(|e| failed("moved", from, e))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("removed", path, e)),
            _ => Ok(()),
        }
    }

    fn discard(&self, files: &[PathBuf]) {
        files.iter().for_each(|path| forget(path));
    }

    fn hold(&self, folder: &Path, wants: &Wants) -> Result<Hold> {
        let path = folder.join("lock");
        Ok(match lock::take(&path, wants.token, wants.holder)? {
            Taken::Ours(lock) => Hold::Ours(Box::new(lock)),
            Taken::Theirs(_) if wants.take_over => {
                lock::note_taken_over(&path, wants.holder);
                Hold::TakenOver
            }
            Taken::Theirs(owner) => Hold::Theirs(owner.map(|o| o.describe())),
        })
    }
}

impl Held for Arc<FileLock> {
    /// The last of a run's sinks lets go of it.
    fn release(self: Box<Self>) {}
}

/// A file being written.
struct NewFile {
    file: BufWriter<File>,
    path: PathBuf,
    durable: bool,
    whole: bool,
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Written for NewFile {
    fn end(mut self: Box<Self>) -> Result<()> {
        let ended = self.file.flush().and_then(|()| match self.durable {
            true => self.file.get_ref().sync_all(),
            false => Ok(()),
        });
        ended.map_err(|e| failed("written", &self.path, e))?;
        self.whole = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.whole {
            forget(&self.path);
        }
    }
}
