//! A record that could not be read, with its reason. A leaf: plain type and its table form.

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use std::sync::Arc;

/// What to do with a record that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// The first one ends the read with an error.
    #[default]
    Raise,
    /// Kept in a table, up to the limit.
    Collect,
    /// Counted only.
    Skip,
}

/// One record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reject {
    /// The file as the user named it, or `-`, or the table's name.
    pub file: Arc<str>,
    /// Line, from 1, of the record's first byte.
    pub line: u64,
    /// Byte offset of the record in the unpacked file.
    pub byte: u64,
    /// Row number in the file, from 0.
    pub row: u64,
    /// Column at fault, empty where the whole record is (field count, cut line).
    pub column: String,
    /// The record's text as it stood, without the line end (bytes that are not UTF-8 replaced).
    pub raw: String,
    /// Why, as one clause: `not a number: "12,x"`.
    pub reason: String,
}

impl Reject {
    /// About how many bytes of memory it holds.
    pub fn size_bytes(&self) -> usize {
        128 + self.raw.len()
    }
}

/// Rejects as a table: file, line, byte, row, column, raw, reason.
pub fn table(rejects: &[Reject]) -> Result<RecordBatch, ArrowError> {
    let int = |f: fn(&Reject) -> u64| {
        let values = rejects.iter().map(|r| f(r) as i64);
        Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
    };
    let text = |f: fn(&Reject) -> &str| {
        Arc::new(StringArray::from_iter_values(rejects.iter().map(f))) as ArrayRef
    };
    RecordBatch::try_from_iter_with_nullable([
        ("file", text(|r| &r.file), false),
        ("line", int(|r| r.line), false),
        ("byte", int(|r| r.byte), false),
        ("row", int(|r| r.row), false),
        ("column", text(|r| &r.column), false),
        ("raw", text(|r| &r.raw), false),
        ("reason", text(|r| &r.reason), false),
    ])
}
