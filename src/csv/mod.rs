//! CSV: bytes to typed Arrow columns and rejects.
//!
//! In: an opened input and a [`CsvPlan`] (a schema held against the file's header). Out:
//! [`Chunk`]s in file order, decoded on the pool, or a whole table ([`read_table`]).
//!
//! How a chunk is read: a worker guesses the first record start in its part of the file
//! (`split`), marks where the fields of a block end (`scan`), decodes column by column
//! from these marks (`decode`, `number`, `stamp`), and stops at the first record start past
//! its part. `chunks` then holds in file order that each chunk began where the one before it
//! ended; where a guess was wrong the chunk is decoded again from the right place. So the
//! result never depends on chunk size, threads, or kind of input.
//!
//! Quoting is that of Python's `csv` module: a quote is special only at the start of a field;
//! inside, a doubled quote is one quote and a line end is text.

mod batch;
mod chunks;
mod dataset;
mod decode;
mod dialect;
mod header;
mod lane;
mod local;
mod melt;
mod memory;
mod narrow;
mod number;
mod piece;
mod plan;
pub mod replay;
mod rows;
mod scan;
mod settle;
mod sniff;
mod split;
mod stamp;
mod stream;
mod table;
mod text;
mod texts;
mod wide;

pub use chunks::{Chunks, Map, Taken};
pub use dataset::{Dataset, Read, Scan};
pub use memory::Records;
pub use plan::CsvPlan;
pub use sniff::{Evidence, Hints, SchemaChoice, Sniffed, Sought, obstacle, resolve, sniff};
pub use table::read_table;

use crate::ledger::Ledger;
use crate::reject::{OnReject, Reject};
use crate::schema::RowIds;
use crate::time::{OnMissing, OnRepeated};
use arrow_array::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How a file is read, beside what its schema says.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// What to do with a record that cannot be read.
    pub on_reject: OnReject,
    /// More rejects than this end the read with `Kind::RejectLimit`.
    pub max_rejects: u64,
    /// Threads for this read; `None`: the process's pool.
    pub threads: Option<usize>,
    /// Bytes of text in a chunk.
    pub chunk_bytes: usize,
    /// A record may be this long; a quote that is not closed within it is a stray one.
    pub max_line_bytes: usize,
    /// A record may have this many fields.
    pub max_columns: usize,
    /// An unterminated last line is held back, for files that may still grow.
    pub hold_tail: bool,
    /// An unterminated last line that cannot be read is held back: it may be cut.
    pub hold_cut: bool,
    /// Set from outside to end the read with `Kind::Interrupted`.
    pub stop: Arc<AtomicBool>,
    /// What local times mean that the clock showed twice or jumped over.
    pub local: LocalPolicy,
}

/// Policies on local times.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalPolicy {
    /// Shown twice.
    pub on_repeated: OnRepeated,
    /// Jumped over.
    pub on_missing: OnMissing,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            on_reject: OnReject::Raise,
            max_rejects: 10_000,
            threads: None,
            chunk_bytes: 1 << 20,
            max_line_bytes: 16 << 20,
            max_columns: 10_000,
            hold_tail: false,
            hold_cut: false,
            stop: Arc::default(),
            local: LocalPolicy::default(),
        }
    }
}

/// Where a record starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Byte offset in the unpacked file, a byte order mark counted.
    pub byte: u64,
    /// Line, from 1.
    pub line: u64,
    /// Row number, from 0, rejects counted.
    pub row: u64,
}

/// Decoded records of one piece of a file.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The accepted records, with the columns of [`CsvPlan::schema`].
    pub batch: RecordBatch,
    /// Row numbers in the file, rejects counted.
    pub rows: RowIds,
    /// Records that could not be read (empty under `OnReject::Skip`; `counters` has them).
    pub rejects: Vec<Reject>,
    /// Lines, records and bytes of this chunk; `readings` = `accepted`.
    pub counters: Ledger,
    /// Where the chunk begins; the first chunk of a file begins before its preamble.
    pub start: Start,
    /// Where the next chunk begins.
    pub end: Start,
}
