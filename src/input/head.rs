//! The head of an input: its first bytes, looked at without consuming them.

use super::limits::{Limits, read_error};
use super::open::InputSpec;
use super::text::Encoding;
use super::unpack::Packing;
use super::{Bytes, Opened};
use crate::{Error, Kind, Result};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The first unpacked bytes of an input, as UTF-8 without a byte order mark.
#[derive(Clone, Debug)]
pub struct Head {
    /// The input it belongs to; a proposal that needs to look further reads from here.
    pub spec: InputSpec,
    /// The bytes, after the mark.
    pub bytes: Vec<u8>,
    /// Bytes of a UTF-8 byte order mark before them: the offset of the first of `bytes`.
    pub bom: usize,
    /// Whether `bytes` are all there is.
    pub whole: bool,
    /// Bytes of a plain file when it was looked at.
    pub size: Option<u64>,
    /// How the text was written.
    pub encoding: Encoding,
    /// How the input was packed.
    pub packing: Packing,
}

/// Enough to tell a dialect and types.
pub const HEAD: usize = 256 * 1024;

const MARK: &[u8] = b"\xEF\xBB\xBF";

impl Head {
    /// A head of bytes in memory, for tests and fuzzing.
    pub fn of(name: &str, bytes: &[u8]) -> Result<Head> {
        head(&InputSpec::memory(name, bytes), HEAD)
    }

    /// The input's name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }
}

/// The first `n` unpacked bytes of `spec`. A one-shot input stays whole for `open`.
pub fn head(spec: &InputSpec, n: usize) -> Result<Head> {
    let opened = spec.open(&Limits::default())?;
    let (encoding, packing) = (opened.encoding, opened.packing);
    let size = match &opened.bytes {
        Bytes::At { len, .. } => Some(*len),
        Bytes::Stream(_) => None,
    };
    let (mut bytes, whole) = match &opened.bytes {
        Bytes::At { file, len } => {
            let bytes = front(file, n.min(*len as usize)).map_err(|e| read_error(&spec.name, e))?;
            let whole = bytes.len() as u64 >= *len;
            (bytes, whole)
        }
        Bytes::Stream(_) => look(spec, opened, n)?,
    };
    let bom = if bytes.starts_with(MARK) {
        MARK.len()
    } else {
        0
    };
    bytes.drain(..bom);
    Ok(Head {
        spec: spec.clone(),
        bytes,
        bom,
        whole,
        size,
        encoding,
        packing,
    })
}

/// The first `n` bytes of a plain file.
fn front(file: &Arc<File>, n: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; n];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|r| !r.is_empty()) {
        match file.read_at(rest, done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Reads `n` bytes of a stream and one more, to know whether it ends there; gives a one-shot
/// stream back whole.
fn look(spec: &InputSpec, opened: Opened, n: usize) -> Result<(Vec<u8>, bool)> {
    let Bytes::Stream(mut stream) = opened.bytes else {
        return Ok((Vec::new(), true));
    };
    let mut bytes = Vec::new();
    (&mut stream)
        .take(n as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| read_error(&spec.name, e))?;
    let whole = bytes.len() <= n;
    if !spec.repeatable() {
        let chained = Cursor::new(bytes.clone()).chain(stream);
        spec.give_back(Opened {
            bytes: Bytes::Stream(Box::new(chained)),
            ..opened
        });
    }
    bytes.truncate(n);
    Ok((bytes, whole))
}

/// Refuses, in one sentence, an input that is not text in columns.
pub fn refuse(head: &Head) -> Result<()> {
    match what_else(head) {
        None => Ok(()),
        Some((what, advice)) => Err(Error::new(
            Kind::Schema,
            format!("{} {what}, not a CSV file; {advice}", head.name()),
        )),
    }
}

type Mark = (&'static [u8], &'static str, &'static str);

/// What known text at the front says, and what to do.
const TEXT_MARKS: &[Mark] = &[
    (
        b"version https://git-lfs.github.com/spec/",
        "is a Git LFS pointer",
        "fetch the file itself with \"git lfs pull\"",
    ),
    (b"%PDF-", "is a PDF document", "export its table as CSV"),
];

/// The same for formats that hold bytes no text has: their short marks could begin a header.
const BINARY_MARKS: &[Mark] = &[
    (
        b"PAR1",
        "is a Parquet file",
        "read it with a Parquet reader and pass the table",
    ),
    (
        b"ARROW1",
        "is an Arrow file",
        "read it with an Arrow reader and pass the table",
    ),
    (
        b"FEA1",
        "is a Feather file",
        "read it with an Arrow reader and pass the table",
    ),
    (
        b"ORC",
        "is an ORC file",
        "read it with an ORC reader and pass the table",
    ),
    (
        b"Obj\x01",
        "is an Avro file",
        "read it with an Avro reader and pass the table",
    ),
    (
        b"SQLite format 3\0",
        "is an SQLite database",
        "export its table as CSV",
    ),
    (
        b"\xD0\xCF\x11\xE0",
        "is an old Excel or Word document",
        "save its sheet as CSV",
    ),
    (b"\x89HDF", "is an HDF5 file", "export its table as CSV"),
    (
        b"BZh",
        "is packed by bzip2",
        "unpack it, or pack it as .gz, .zst or .zip",
    ),
    (
        b"\xFD7zXZ",
        "is packed by xz",
        "unpack it, or pack it as .gz, .zst or .zip",
    ),
    (
        b"7z\xBC\xAF",
        "is packed by 7-Zip",
        "unpack it, or pack it as .gz, .zst or .zip",
    ),
    (
        b"\x04\x22\x4D\x18",
        "is packed by lz4",
        "unpack it, or pack it as .gz, .zst or .zip",
    ),
    (b"\x7FELF", "is a program", "check the path"),
];

fn what_else(head: &Head) -> Option<(&'static str, &'static str)> {
    let bytes = &head.bytes;
    if bytes.is_empty() {
        return Some(("is empty", "check that it was written to the end"));
    }
    // Not found in most files: asked only where a mark was.
    let control = || bytes.iter().any(|b| *b < 9);
    let latin = latin_bytes(head);
    let marked = |marks: &[Mark], bytes: &[u8]| {
        let found = marks.iter().find(|(mark, _, _)| bytes.starts_with(mark));
        found.map(|(_, what, advice)| (*what, *advice))
    };
    marked(TEXT_MARKS, bytes)
        .or_else(|| marked(BINARY_MARKS, &latin).filter(|_| control()))
        .or_else(|| markup(bytes))
        .or_else(|| binary(bytes))
}

/// The first bytes as they stood before a binary file was taken for Windows-1252 text.
fn latin_bytes(head: &Head) -> Vec<u8> {
    let front = head.bytes.get(..64).unwrap_or(&head.bytes);
    match head.encoding {
        Encoding::Cp1252 => {
            let text = String::from_utf8_lossy(front);
            encoding_rs::WINDOWS_1252.encode(&text).0.into_owned()
        }
        _ => front.to_vec(),
    }
}

fn markup(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let start = bytes.trim_ascii_start();
    let begins = |with: &str| {
        start
            .get(..with.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(with.as_bytes()))
    };
    if ["<!doctype html", "<html", "<head", "<body", "<title"]
        .iter()
        .any(|t| begins(t))
    {
        return Some((
            "is an HTML page",
            "the server may have sent a login or error page: fetch it again",
        ));
    }
    if begins("<?xml") || begins("<!") {
        return Some(("is an XML document", "export its table as CSV"));
    }
    if begins("{\"") || begins("[{") || begins("{\n") || begins("{\r\n") {
        return Some(("is JSON", "read it with a JSON reader and pass the table"));
    }
    None
}

/// Zero bytes in the first line or in 256 bytes, or many other control signs (one byte in 32): not text.
fn binary(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let line = bytes
        .iter()
        .position(|b| *b == b'\n')
        .unwrap_or(bytes.len());
    let early = bytes.get(..line.min(4096)).is_some_and(|l| l.contains(&0));
    let zeros = memchr::memchr_iter(0, bytes).count();
    // Signs that steer machines are rare in text; the escape of terminals may stand in a log.
    let steers =
        |b: u8| u8::from(b < 9) | (u8::from(b > 13) & u8::from(b < 32) & u8::from(b != 27));
    // So short that a byte holds the sum, and many are counted at once.
    let few = |part: &[u8]| usize::from(part.iter().map(|b| steers(*b)).sum::<u8>());
    let steering: usize = bytes.chunks(255).map(few).sum();
    (early || zeros * 256 >= bytes.len().max(256) || steering * 32 >= bytes.len().max(2048))
        .then_some(("is a binary file", "check the path and the format"))
}
