//! Files that are there whole and for good, or not at all.

use crate::{Error, Kind, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

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

/// Makes a folder and its parents.
pub(super) fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| failed("made", path, e))
}

/// Makes what a folder holds (its names) durable.
pub(super) fn sync_dir(path: &Path, durable: bool) -> Result<()> {
    if !durable {
        return Ok(());
    }
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| failed("synced", path, e))
}

/// Writes a file that nobody reads yet; on failure nothing of it stays.
pub(super) fn write_new(path: &Path, parts: &[&[u8]], durable: bool) -> Result<()> {
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        for part in parts {
            file.write_all(part)?;
        }
        if durable {
            file.sync_all()?;
        }
        Ok(())
    };
    written().map_err(|e| {
        remove(path);
        failed("written", path, e)
    })
}

/// Removes a file that may not be there. A failure leaves a file that no reader sees and the next owner sweeps.
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Names of the files in a folder; none where there is no folder.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("listed", path, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed("listed", path, e))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}
