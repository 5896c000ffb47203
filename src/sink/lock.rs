//! The friendly part of fencing: an operating system lock on a side file, which the kernel
//! releases with the process, however it ends.
//!
//! It only gives the second run a clear word early; what keeps a stale owner out is the epoch.
//! Sinks of one run share the lock (told by the claim's token); another run in the same process
//! is refused like one elsewhere. A child forked from the owner keeps it held until it ends too.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Who holds a lock, for messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Holder {
    /// Host and process.
    pub owner: String,
    /// Since when, UTC.
    pub since: String,
    /// For which pipeline.
    pub pipeline: String,
}

impl Holder {
    /// A holder from now on.
    pub fn now(owner: &str, pipeline: &str) -> Self {
        Holder {
            owner: owner.into(),
            since: chrono::Utc::now().format("%Y-%m-%d %H:%M:%SZ").to_string(),
            pipeline: pipeline.into(),
        }
    }

    /// `host pid 12 since 2007-01-01 00:00:00Z`.
    pub fn describe(&self) -> String {
        format!("{} since {}", self.owner, self.since)
    }
}

/// A held lock; released when the last clone goes.
#[derive(Debug)]
pub(super) struct FileLock {
    _file: File,
}

/// A lock, or who has it.
pub(super) enum Taken {
    /// Held now.
    Ours(Arc<FileLock>),
    /// Held by another (unknown where the file says nothing).
    Theirs(Option<Holder>),
}

type Held = HashMap<PathBuf, (String, Weak<FileLock>)>;
static HELD: Mutex<Option<Held>> = Mutex::new(None);

/// Takes the lock file at `path` for the run `token`, or says who has it.
pub(super) fn take(path: &Path, token: &str, holder: &Holder) -> Result<Taken> {
    let mut slot = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let held = slot.get_or_insert_default();
    let key = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(lock) = held
        .get(&key)
        .filter(|(by, _)| by == token)
        .and_then(|(_, lock)| lock.upgrade())
    {
        return Ok(Taken::Ours(lock));
    }
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Taken::Theirs(holder_of(path))),
        Err(TryLockError::Error(e)) => return Err(unlockable(path, e)),
    }
    note(&mut file, holder).map_err(|e| unlockable(path, e))?;
    let lock = Arc::new(FileLock { _file: file });
    held.insert(key, (token.to_owned(), Arc::downgrade(&lock)));
    Ok(Taken::Ours(lock))
}

/// Notes a new owner in a lock file that another still holds (taken over).
pub(super) fn note_taken_over(path: &Path, holder: &Holder) {
    // Only a message depends on it.
    if let Ok(mut file) = open(path) {
        let _ = note(&mut file, holder);
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|e| unlockable(path, e))
}

fn note(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    let text = serde_json::to_vec(holder)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&text)
}

fn holder_of(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn unlockable(path: &Path, e: std::io::Error) -> Error {
    Error::new(
        Kind::Endpoint,
        format!(
            "the lock file {} cannot be used ({e}); the folder must be writable and on a file system with locks",
            path.display()
        ),
    )
    .because(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_holds_and_shares_it_another_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let holder = Holder::now("host pid 7", "p");
        let Taken::Ours(a) = take(&path, "run-1", &holder).unwrap() else {
            panic!("free");
        };
        let Taken::Ours(b) = take(&path, "run-1", &holder).unwrap() else {
            panic!("shared");
        };
        drop(a);
        match take(&path, "run-2", &holder).unwrap() {
            Taken::Theirs(Some(h)) => assert!(h.describe().starts_with("host pid 7 since 2")),
            _ => panic!("held by run-1"),
        }
        drop(b);
        assert!(matches!(
            take(&path, "run-2", &holder).unwrap(),
            Taken::Ours(_)
        ));
    }
}
