//! Keeps other copies of SQLite in this process away from the log of a file that is open here.
//!
//! A notebook often has the same file open through Python's `sqlite3`, which is another copy of SQLite in the same
//! process. POSIX locks do not part two copies in one process: each believes that it is alone, and when it opens or
//! closes the file it empties the shared index or removes the write-ahead log under the other, which loses what is
//! committed afterwards. Locks of an open file description (Linux) are seen by all. So each connection
//! comes with two such read locks, where SQLite looks before it does either; and where another
//! copy has the file open at the end, ours leaves the log to it.
//!
//! Nor does SQLite see that another copy in the process is writing: two that write at once lose what one of them commits.
//! So before a transaction it is looked whether one that writes is open, and it is waited for, as SQLite does with
//! other processes. One that begins in the milliseconds in which ours is open is not seen: write to the file from a notebook
//! while no run does.
//!
//! Readers of another copy in the same process are not seen by a checkpoint either, so while there
//! are any, the log is folded into the file only where it has become long.

use rusqlite::Connection;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The last byte of those that SQLite locks to read a file (and all of them to have it alone).
const SHARED: i64 = 0x4000_0000 + 2 + 509;
/// The byte of the shared index (`-shm`) that every connection holds; the first to hold it empties the index.
const IN_USE: i64 = 128;
/// The byte of the shared index that a writer holds until its transaction ends.
const WRITER: i64 = 120;
/// How often it is looked whether a writer has ended.
const LOOK: Duration = Duration::from_millis(5);
/// Pages of the log after which it is folded into the file: as SQLite does, and while another copy may be reading.
const FOLD: (u32, u32) = (1_000, 16_384);

/// A connection and its guard.
pub(super) struct Guarded {
    conn: Connection,
    // After the connection: closing any handle of a file ends this process's POSIX locks on it.
    locks: Locks,
}

impl Guarded {
    /// Opens a connection by `open`, which must have read from the file when it returns.
    pub fn open(
        path: &Path,
        patience: Duration,
        open: impl FnOnce() -> rusqlite::Result<Connection>,
    ) -> rusqlite::Result<Guarded> {
        let mut early = Locks::of_index_in_use(path);
        if let Err(busy) = early.wait(patience) {
            // Closed, it would end the lock of the transaction that is open.
            std::mem::forget(early.index.take());
            return Err(busy);
        }
        let conn = open()?;
        let locks = Locks::of(path);
        drop(early);
        Ok(Guarded { conn, locks })
    }

    /// To be called before a transaction: waits for the other copy to end its own, which SQLite would not, and says how
    /// long the log may become. Errors: busy, where it writes for longer than `patience`.
    pub fn pace(&self, patience: Duration) -> rusqlite::Result<()> {
        self.locks.wait(patience)?;
        let pages = match self.locks.others() {
            true => FOLD.1,
            false => FOLD.0,
        };
        self.conn.pragma_update(None, "wal_autocheckpoint", pages)
    }
}

impl Deref for Guarded {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl Drop for Guarded {
    /// Without its locks the connection ends as any other: the last one folds the log into the file and removes it.
    fn drop(&mut self) {
        if !self.locks.others() {
            self.locks.clear();
        }
    }
}

/// `<file>-shm`.
fn index(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-shm");
    name.into()
}

/// Read locks that all copies of SQLite see.
#[derive(Default)]
struct Locks {
    main: Option<File>,
    index: Option<File>,
}

impl Locks {
    /// On a file that is open here.
    fn of(path: &Path) -> Locks {
        Locks {
            main: system::locked(path, SHARED).inspect(system::note),
            index: system::locked(&index(path), IN_USE),
        }
    }

    /// On the index, if this process has it open already.
    fn of_index_in_use(path: &Path) -> Locks {
        let index = index(path);
        let used = system::handles(&index) > 0;
        Locks {
            main: None,
            index: used.then(|| system::locked(&index, IN_USE)).flatten(),
        }
    }

    /// Whether another copy of SQLite in this process has the file open.
    fn others(&self) -> bool {
        self.main.as_ref().is_some_and(system::others)
    }

    /// Whether a transaction that writes is open, of any copy in any process.
    fn written(&self) -> bool {
        let index = self.index.as_ref();
        index.is_some_and(|file| system::taken(file, WRITER))
    }

    /// Waits until none is. Errors: busy.
    fn wait(&self, patience: Duration) -> rusqlite::Result<()> {
        let began = Instant::now();
        while self.written() {
            if began.elapsed() >= patience {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn clear(&mut self) {
        let held = [(&self.main, SHARED), (&self.index, IN_USE)];
        for (file, byte) in held {
            file.iter().for_each(|f| system::unlock(f, byte));
        }
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        self.main.iter().for_each(system::forget);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::HashMap;
    use std::fs::{self, File, Metadata};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};

    /// Device and inode.
    type Name = (u64, u64);

    /// How many guards of ours hold a file.
    static OURS: Mutex<Option<HashMap<Name, usize>>> = Mutex::new(None);

    fn name(of: &Metadata) -> Name {
        (of.dev(), of.ino())
    }

    fn count(name: Name, change: isize) -> usize {
        let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = ours.get_or_insert_default();
        let here = ours.entry(name).or_default();
        *here = here.saturating_add_signed(change);
        let left = *here;
        ours.retain(|_, n| *n > 0);
        left
    }

    pub(super) fn note(file: &File) {
        if let Ok(found) = file.metadata() {
            count(name(&found), 1);
        }
    }

    pub(super) fn forget(file: &File) {
        if let Ok(found) = file.metadata() {
            count(name(&found), -1);
        }
    }

    fn one(byte: i64, kind: libc::c_int) -> libc::flock {
        // SAFETY: all zero is a valid `flock`.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        lock.l_start = byte;
        lock.l_len = 1;
        lock
    }

    /// Whether anybody else has a lock on one byte, this process's POSIX locks among them.
    pub(super) fn taken(file: &File, byte: i64) -> bool {
        let mut lock = one(byte, libc::F_WRLCK);
        // SAFETY: the handle is open while `file` is borrowed, and the kernel writes into `lock` alone.
        let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) == 0 };
        asked && lock.l_type != libc::F_UNLCK as libc::c_short
    }

    /// Neither the standard library nor a crate of ours has these locks.
    fn set(file: &File, byte: i64, kind: libc::c_int) -> bool {
        let lock = one(byte, kind);
        // SAFETY: the handle is open while `file` is borrowed, and the kernel only reads the lock.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) == 0 }
    }

    /// The file with a read lock on one byte. `None` where that cannot be: then two copies are on their own.
    pub(super) fn locked(path: &Path, byte: i64) -> Option<File> {
        let file = File::open(path).ok()?;
        set(&file, byte, libc::F_RDLCK).then_some(file)
    }

    pub(super) fn unlock(file: &File, byte: i64) {
        set(file, byte, libc::F_UNLCK);
    }

    /// Handles of this process on a file.
    pub(super) fn handles(path: &Path) -> usize {
        fs::metadata(path).map_or(0, |found| open(name(&found)))
    }

    fn open(wanted: Name) -> usize {
        let Ok(all) = fs::read_dir("/proc/self/fd") else {
            return 0;
        };
        let same = |path: &Path| fs::metadata(path).is_ok_and(|found| name(&found) == wanted);
        all.flatten().filter(|fd| same(&fd.path())).count()
    }

    /// Each guard of ours has one handle and its connection another.
    pub(super) fn others(file: &File) -> bool {
        let Ok(found) = file.metadata() else {
            return false;
        };
        let name = name(&found);
        open(name) > 2 * count(name, 0)
    }
}

/// Elsewhere there are no such locks.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs::File;
    use std::path::Path;

    pub(super) fn note(_: &File) {}
    pub(super) fn forget(_: &File) {}
    pub(super) fn unlock(_: &File, _: i64) {}

    pub(super) fn locked(_: &Path, _: i64) -> Option<File> {
        None
    }

    pub(super) fn handles(_: &Path) -> usize {
        0
    }

    pub(super) fn others(_: &File) -> bool {
        false
    }

    pub(super) fn taken(_: &File, _: i64) -> bool {
        false
    }
}
