//! Texts: the fields of a text column, copied one behind the other with their quotes off.

use super::decode::{Side, Why};
use super::lane::Lane;
use super::rows::{Rows, by_span};
use super::wide::equal32;
use memchr::memchr;

/// Behind the text of a block, so that a short text is copied as a block of bytes of fixed size.
const SPARE: usize = 32;

/// Where texts go.
struct Copied<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

pub(crate) fn texts(ends: &mut Lane<i32>, bytes: &mut Lane<u8>, side: &mut Side<'_>) {
    let (rows, field) = (side.rows, side.output.field);
    let (from, slots) = (bytes.len(), ends.room(rows.count));
    let mut to = Copied {
        bytes: bytes.room(rows.length(field) + SPARE),
        len: 0,
    };
    by_span!(rows, field, span => for (row, slot) in slots.iter_mut().enumerate() {
        let before = to.len;
        if !to.short(rows, span(row)) {
            to.any(rows, row, field, span(row));
        }
        if side.nulls.has(&to.bytes[before..to.len]) {
            to.len = before;
            side.null::<bool>(row);
        }
        *slot = (from + to.len) as i32;
    });
    let len = to.len;
    if !to.bytes[..len].is_ascii() {
        check(slots, from, &to.bytes[..len], side);
    }
    bytes.add(len);
    ends.add(rows.count);
}

impl Copied<'_> {
    /// Copies a text of up to 32 bytes; false: it is longer, or its quotes are not well formed.
    #[inline(always)]
    fn short(&mut self, rows: Rows<'_>, (start, end): (usize, usize)) -> bool {
        let len = end.wrapping_sub(start);
        let Some(text) = self.block(rows.bytes, start).filter(|_| len <= SPARE) else {
            return false;
        };
        let quotes = rows.quote.map_or(0, |q| u64::from(equal32(text, q)));
        let quotes = quotes & ((1 << len) - 1);
        if quotes != 0 {
            return rows.clean && self.halved(rows.bytes, (start, end), quotes);
        }
        self.len += len;
        true
    }

    /// Copies 32 bytes to where the next text goes, and gives them.
    #[inline(always)]
    fn block<'t>(&mut self, bytes: &'t [u8], start: usize) -> Option<&'t [u8; SPARE]> {
        let text = bytes.get(start..)?.first_chunk()?;
        *self.bytes.get_mut(self.len..)?.first_chunk_mut()? = *text;
        Some(text)
    }

    /// The same for a text in which quotes are doubled.
    fn halved(&mut self, bytes: &[u8], (mut at, end): (usize, usize), mut quotes: u64) -> bool {
        let (start, before) = (at, self.len);
        while quotes != 0 {
            let first = start + quotes.trailing_zeros() as usize;
            self.len += first + 1 - at;
            at = first + 2;
            quotes &= quotes - 1;
            quotes &= quotes.wrapping_sub(1);
            if self.block(bytes, at).is_none() {
                self.len = before;
                return false;
            }
        }
        self.len += end - at;
        true
    }

    #[inline(never)]
    fn any(&mut self, rows: Rows<'_>, row: usize, field: usize, (start, end): (usize, usize)) {
        let text = rows.bytes.get(start..end).unwrap_or_default();
        match rows.quote.filter(|q| memchr(*q, text).is_some()) {
            None => self.copy(text),
            Some(quote) if rows.clean => self.singled(text, quote),
            Some(_) => self.copy(&rows.text(row, field)),
        }
    }

    fn copy(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    /// Copies the inside of a well-formed quoted field, doubled quotes as one.
    fn singled(&mut self, mut text: &[u8], quote: u8) {
        while let Some(at) = memchr(quote, text) {
            self.copy(&text[..=at]);
            text = text.get(at + 2..).unwrap_or_default();
        }
        self.copy(text);
    }
}

/// Notes the rows whose text is not UTF-8.
fn check(ends: &[i32], from: usize, bytes: &[u8], side: &mut Side<'_>) {
    let mut start = 0;
    for (row, end) in ends.iter().enumerate() {
        let end = *end as usize - from;
        let text = bytes.get(start..end).unwrap_or_default();
        if std::str::from_utf8(text).is_err() {
            side.fault::<bool>(row, Why::NotText);
        }
        start = end;
    }
}
