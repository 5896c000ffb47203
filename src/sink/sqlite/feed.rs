//! Rows handed to SQLite as a table that it reads itself: one statement for thousands of rows.
//!
//! `INSERT … SELECT … FROM wattline_rows` keeps its place in the table it writes, and starts and ends once a block;
//! binding row by row cost a third of the writing thread's time. SQLite calls its readers through C functions, so
//! this file is unsafe; it holds nothing else. What the calls rely on: SQLite hands back the pointers it was given
//! here, of the kinds they were made as, and closes a cursor before its table, the table before the module.

use super::block::{Block, Value};
use rusqlite::{Connection, Result, ffi};
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the table; tables of rows cannot have it.
pub(super) const NAME: &str = "wattline_rows";

/// Where a block waits for the statement that reads it. A clone is the same place.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed(Arc<Mutex<Place>>);

#[derive(Debug, Default)]
struct Place {
    columns: usize,
    block: Option<Block>,
}

impl Feed {
    /// The rows of the next statement.
    pub fn put(&self, columns: usize, block: Block) {
        self.with(|place| {
            place.columns = columns;
            place.block = Some(block);
        });
    }

    /// Drops rows that no statement came for.
    pub fn clear(&self) {
        self.with(|place| place.block = None);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Place) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets statements of `conn` read from here.
    pub fn register(&self, conn: &Connection) -> Result<()> {
        let name = CString::new(NAME)?;
        let feed = Box::into_raw(Box::new(self.clone()));
        // SAFETY: the connection is open, the module lives for ever, and SQLite frees the feed by `free`, also on failure.
        let code = unsafe {
            let (module, aux) = (&raw const MODULE.0, feed.cast());
            ffi::sqlite3_create_module_v2(conn.handle(), name.as_ptr(), module, aux, Some(free))
        };
        match code {
            ffi::SQLITE_OK => Ok(()),
            code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
        }
    }
}

struct Module(ffi::sqlite3_module);

// SAFETY: never written; its null pointers point nowhere.
unsafe impl Sync for Module {}

static MODULE: Module = Module(ffi::sqlite3_module {
    iVersion: 1,
    xCreate: None,
    xConnect: Some(connect),
    xBestIndex: Some(best_index),
    xDisconnect: Some(disconnect),
    xDestroy: None,
    xOpen: Some(open),
    xClose: Some(close),
    xFilter: Some(filter),
    xNext: Some(next),
    xEof: Some(eof),
    xColumn: Some(column),
    xRowid: Some(rowid),
    xUpdate: None,
    xBegin: None,
    xSync: None,
    xCommit: None,
    xRollback: None,
    xFindFunction: None,
    xRename: None,
    xSavepoint: None,
    xRelease: None,
    xRollbackTo: None,
    xShadowName: None,
    xIntegrity: None,
});

#[repr(C)]
struct Table {
    /// SQLite's part; must be first.
    base: ffi::sqlite3_vtab,
    feed: Feed,
}

#[repr(C)]
struct Cursor {
    /// SQLite's part; must be first.
    base: ffi::sqlite3_vtab_cursor,
    feed: Feed,
    columns: usize,
    block: Block,
    row: usize,
    /// Where the row begins, and its next column.
    begins: usize,
    at: usize,
    next: usize,
}

impl Cursor {
    /// The value of a column; they are asked for in order, as a rule.
    fn value(&mut self, column: usize) -> Value<'_> {
        if column < self.next {
            (self.at, self.next) = (self.begins, 0);
        }
        self.skip(column);
        let (value, after) = self.block.value(self.at);
        (self.at, self.next) = (after, column + 1);
        value
    }

    fn skip(&mut self, to: usize) {
        while self.next < to {
            self.at = self.block.value(self.at).1;
            self.next += 1;
        }
    }

    fn advance(&mut self) {
        self.skip(self.columns);
        self.row += 1;
        (self.begins, self.next) = (self.at, 0);
    }
}

unsafe extern "C" fn free(feed: *mut c_void) {
    // SAFETY: made by `register`.
    drop(unsafe { Box::from_raw(feed.cast::<Feed>()) });
}

unsafe extern "C" fn connect(
    db: *mut ffi::sqlite3,
    aux: *mut c_void,
    _: c_int,
    _: *const *const c_char,
    out: *mut *mut ffi::sqlite3_vtab,
    _: *mut *mut c_char,
) -> c_int {
    // SAFETY: `aux` was made by `register` and lives as long as the module.
    let feed = unsafe { &*aux.cast::<Feed>() }.clone();
    let columns = feed.with(|place| place.columns);
    let columns: Vec<String> = (0..columns).map(|i| format!("c{i}")).collect();
    let Ok(sql) = CString::new(format!("CREATE TABLE x({})", columns.join(", "))) else {
        return ffi::SQLITE_ERROR;
    };
    // SAFETY: called where SQLite wants it called, with a text that ends in zero.
    let code = unsafe { ffi::sqlite3_declare_vtab(db, sql.as_ptr()) };
    if code == ffi::SQLITE_OK {
        let base = ffi::sqlite3_vtab {
            pModule: ptr::null(),
            nRef: 0,
            zErrMsg: ptr::null_mut(),
        };
        let table = Box::into_raw(Box::new(Table { base, feed }));
        // SAFETY: `out` is SQLite's place for the table.
        unsafe { *out = table.cast() };
    }
    code
}

unsafe extern "C" fn best_index(
    _: *mut ffi::sqlite3_vtab,
    _: *mut ffi::sqlite3_index_info,
) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn disconnect(table: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: made by `connect`.
    drop(unsafe { Box::from_raw(table.cast::<Table>()) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn open(
    table: *mut ffi::sqlite3_vtab,
    out: *mut *mut ffi::sqlite3_vtab_cursor,
) -> c_int {
    // SAFETY: made by `connect`; only read.
    let feed = unsafe { &*table.cast::<Table>() }.feed.clone();
    let cursor = Cursor {
        base: ffi::sqlite3_vtab_cursor {
            pVtab: ptr::null_mut(),
        },
        columns: feed.with(|place| place.columns),
        feed,
        block: Block::default(),
        row: 0,
        begins: 0,
        at: 0,
        next: 0,
    };
    // SAFETY: `out` is SQLite's place for the cursor.
    unsafe { *out = Box::into_raw(Box::new(cursor)).cast() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: made by `open`.
    drop(unsafe { Box::from_raw(cursor.cast::<Cursor>()) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn filter(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    _: c_int,
    _: *const c_char,
    _: c_int,
    _: *mut *mut ffi::sqlite3_value,
) -> c_int {
    // SAFETY: made by `open`, and used by this call alone.
    let cursor = unsafe { &mut *cursor.cast::<Cursor>() };
    cursor.block = cursor
        .feed
        .with(|place| place.block.take())
        .unwrap_or_default();
    (cursor.row, cursor.begins, cursor.at, cursor.next) = (0, 0, 0, 0);
    ffi::SQLITE_OK
}

unsafe extern "C" fn next(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: made by `open`, and used by this call alone.
    unsafe { &mut *cursor.cast::<Cursor>() }.advance();
    ffi::SQLITE_OK
}

unsafe extern "C" fn eof(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: made by `open`; only read.
    let cursor = unsafe { &*cursor.cast::<Cursor>() };
    c_int::from(cursor.row >= cursor.block.rows)
}

unsafe extern "C" fn column(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    to: *mut ffi::sqlite3_context,
    i: c_int,
) -> c_int {
    // SAFETY: made by `open`, and used by this call alone.
    let cursor = unsafe { &mut *cursor.cast::<Cursor>() };
    let value = cursor.value(usize::try_from(i).unwrap_or(0));
    // SAFETY: `to` is SQLite's place for the value; a text is copied before the call returns.
    unsafe {
        match value {
            Value::Null => ffi::sqlite3_result_null(to),
            Value::Integer(v) => ffi::sqlite3_result_int64(to, v),
            Value::Real(v) => ffi::sqlite3_result_double(to, v),
            Value::Text(t) => {
                let length = t.len() as c_int;
                ffi::sqlite3_result_text(to, t.as_ptr().cast(), length, ffi::SQLITE_TRANSIENT());
            }
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn rowid(cursor: *mut ffi::sqlite3_vtab_cursor, out: *mut i64) -> c_int {
    // SAFETY: made by `open`, only read; `out` is SQLite's place for the number.
    unsafe { *out = (*cursor.cast::<Cursor>()).row as i64 };
    ffi::SQLITE_OK
}
