//! Text: the bytes a piece is decoded from, whether read from a file or held in memory.

use super::ReadOptions;
use crate::{Error, Kind, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Where the bytes of a piece come from. Offsets are those of the unpacked file.
pub(crate) enum Text {
    /// A file that is read where and when its bytes are needed.
    File {
        name: Arc<str>,
        file: Arc<File>,
        len: u64,
        /// A byte that ends the last line, if that is to be a record.
        end: Option<u8>,
    },
    /// Bytes from `base` on; `last`: nothing follows, and a line end was added if one was missing.
    Memory {
        bytes: Vec<u8>,
        base: u64,
        len: usize,
        last: bool,
    },
}

/// Some bytes of a text.
pub(crate) struct View<'a> {
    pub bytes: &'a [u8],
    /// The text ends with them.
    pub whole: bool,
    /// The file ends with them.
    pub eof: bool,
    /// The last of them is a line end that the file lacks.
    pub closed: bool,
}

/// A buffer of file bytes, kept from block to block.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Where they begin: at a cache line, since marks that take 64 bytes at once took a fifth longer across two.
    front: usize,
    base: u64,
    filled: usize,
}

impl Buffer {
    /// Forgets what it holds.
    pub(crate) fn reset(&mut self) {
        self.filled = 0;
    }

    fn held(&self) -> &[u8] {
        &self.bytes[self.front..self.front + self.filled]
    }

    /// Room for `most` bytes, those it holds among them.
    fn room(&mut self, most: usize) -> &mut [u8] {
        if self.bytes.len() < self.front + most {
            let mut bytes = vec![0; most + LINE];
            let front = bytes.as_ptr().align_offset(LINE).min(LINE);
            bytes[front..front + self.filled].copy_from_slice(self.held());
            (self.bytes, self.front) = (bytes, front);
        }
        &mut self.bytes[self.front..self.front + most]
    }
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// The byte that ends an unterminated last line, unless such a line is held back.
pub(crate) fn closing(options: &ReadOptions, newline: u8) -> Option<u8> {
    (!options.hold_tail).then_some(newline)
}

impl Text {
    /// At least the `want` bytes from `at` on, or all that there are.
    pub(crate) fn view<'a>(
        &'a self,
        buffer: &'a mut Buffer,
        at: u64,
        want: usize,
    ) -> Result<View<'a>> {
        match self {
            Text::Memory {
                bytes,
                base,
                last,
                len,
            } => {
                let from = (at.saturating_sub(*base) as usize).min(bytes.len());
                let to = from.saturating_add(want).min(bytes.len());
                let whole = to == bytes.len();
                Ok(View {
                    bytes: &bytes[from..to],
                    whole,
                    eof: whole && *last,
                    closed: whole && *last && bytes.len() > *len,
                })
            }
            Text::File {
                name,
                file,
                len,
                end,
            } => {
                let whole = fill(buffer, file, name, at, want, *len)?;
                if let Some(end) = end.filter(|_| whole && buffer.filled > 0) {
                    close(buffer, end);
                }
                // Also where an earlier view of the same bytes added it.
                let closed = at + buffer.filled as u64 > *len;
                Ok(View {
                    bytes: buffer.held(),
                    whole,
                    eof: whole,
                    closed,
                })
            }
        }
    }

    /// The offset of the first byte.
    pub(crate) fn begin(&self) -> u64 {
        match self {
            Text::Memory { base, .. } => *base,
            Text::File { .. } => 0,
        }
    }

    /// The offset behind the last real byte.
    pub(crate) fn end(&self) -> u64 {
        match self {
            Text::Memory { base, len, .. } => base + *len as u64,
            Text::File { len, .. } => *len,
        }
    }
}

/// Fills `buffer` with the bytes from `at`; true if they reach the end of the file.
fn fill(
    buffer: &mut Buffer,
    file: &File,
    name: &str,
    at: u64,
    want: usize,
    len: u64,
) -> Result<bool> {
    let held = at
        .checked_sub(buffer.base)
        .map(|n| n as usize)
        .filter(|n| *n <= buffer.filled);
    match held {
        Some(skip) => {
            let (front, end) = (buffer.front, buffer.front + buffer.filled);
            buffer.bytes.copy_within(front + skip..end, front);
            buffer.filled -= skip;
        }
        None => buffer.filled = 0,
    }
    buffer.base = at;
    let left = len.saturating_sub(at) as usize;
    let want = want.min(left);
    let mut filled = buffer.filled;
    // One more for a line end that the file lacks; more than that may be held.
    let room = buffer.room(want.max(filled) + 1);
    while filled < want {
        let from = at + filled as u64;
        let read = match file.read_at(&mut room[filled..want], from) {
            Ok(0) => return Err(shorter(name)),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(crate::input::read_error(name, e)),
        };
        filled += read;
    }
    buffer.filled = filled;
    Ok(want == left)
}

/// Adds the line end that the last line lacks.
fn close(buffer: &mut Buffer, end: u8) {
    if buffer.held().last() != Some(&end) {
        let filled = buffer.filled;
        buffer.room(filled + 1)[filled] = end;
        buffer.filled += 1;
    }
}

/// The error of a file that was cut while it was read.
pub(crate) fn shorter(name: &str) -> Error {
    Error::new(
        Kind::DataLost,
        format!("`{name}` became shorter while it was read; read it again when it is complete"),
    )
}
