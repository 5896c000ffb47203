//! What SQLite's errors mean for the caller, and transactions that end one way or the other.

use super::store::{Failed, Step};
use crate::{Error, Kind, Result};
use rusqlite::{Connection, ErrorCode};
use std::path::Path;
use std::time::{Duration, Instant};

/// How a transaction ended.
pub(super) enum Settled<T> {
    /// Committed.
    Done(T),
    /// The commit failed in a way that may have written it.
    Unclear(Error),
}

/// Runs `work` between BEGIN IMMEDIATE and COMMIT; rolls back on any failure before the commit.
pub(super) fn transact<T>(
    conn: &Connection,
    path: &Path,
    work: impl FnOnce(&Connection) -> Step<T>,
) -> Result<Settled<T>> {
    conn.execute_batch("BEGIN IMMEDIATE")
        .map_err(|e| said(path, e))?;
    let value = match work(conn) {
        Ok(value) => value,
        Err(e) => {
            roll_back(conn);
            return Err(failed(path, e));
        }
    };
    match conn.execute_batch("COMMIT") {
        Ok(()) => Ok(Settled::Done(value)),
        Err(e) => {
            let unclear = matches!(e.sqlite_error_code(), Some(ErrorCode::SystemIoFailure));
            roll_back(conn);
            let error = said(path, e);
            if unclear {
                return Ok(Settled::Unclear(error));
            }
            Err(error)
        }
    }
}

/// Opens while another program may be setting the file up or closing it: SQLite does not wait for those locks itself,
/// whatever its busy time-out.
pub(super) fn patiently<T>(
    patience: Duration,
    mut open: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let began = Instant::now();
    loop {
        match open() {
            Err(e) if busy(&e) && began.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            ended => return ended,
        }
    }
}

fn busy(e: &rusqlite::Error) -> bool {
    let code = e.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn roll_back(conn: &Connection) {
    // Some errors have rolled back already; then there is nothing left to do.
    if !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
}

/// The house's error for a failed step.
pub(super) fn failed(path: &Path, e: Failed) -> Error {
    match e {
        Failed::Sql(e) => said(path, e),
        Failed::Said(e) => e,
    }
}

/// The house's error for SQLite's.
pub(super) fn said(path: &Path, e: rusqlite::Error) -> Error {
    let file = path.display();
    let (message, retryable) = match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            format!(
                "{file} is locked by another program; close it or raise busy_timeout=, then run again"
            ),
            true,
        ),
        Some(ErrorCode::DiskFull) => (
            format!(
                "no space is left for {file}; nothing of this flush was written, free some and run again"
            ),
            true,
        ),
        Some(ErrorCode::NotADatabase) => (
            format!("{file} is not an SQLite file; name another path"),
            false,
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            format!("{file} is damaged ({e}); restore it from a copy"),
            false,
        ),
        Some(ErrorCode::CannotOpen) => (
            format!(
                "{file} cannot be opened or made; look whether its folder is there and writable"
            ),
            false,
        ),
        Some(ErrorCode::ReadOnly) => (
            format!("{file} cannot be written; look at its permissions and its folder's"),
            false,
        ),
        Some(ErrorCode::SystemIoFailure) => (
            format!("{file} cannot be read or written ({e}); look at the disk and run again"),
            true,
        ),
        _ => (format!("SQLite refused a step on {file}: {e}"), false),
    };
    let error = Error::new(Kind::Endpoint, message).because(e);
    if retryable { error.retryable() } else { error }
}

/// A row that the table refuses is the data's fault, not the store's.
pub(super) fn row(table: &str, e: rusqlite::Error) -> Failed {
    match e.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => {
            let message = format!(
                "table {table:?} refuses a row ({e}); nothing of this flush was written, change the table, the mapping or on_same_time="
            );
            Failed::Said(Error::new(Kind::Schema, message).because(e))
        }
        _ => Failed::Sql(e),
    }
}
