//! Split: a block of text into records, and the guess where a record starts.
//!
//! [`Cutter::cut`] takes bytes that begin at a record start and gives the ends of the fields of
//! every complete record of the right width. Regular blocks use the marks of the scan as they are;
//! others are grouped record by record, and malformed quoting is walked byte by byte.

use super::narrow::{self, Narrow, Shape};
use super::scan::{BEFORE, Cut, mark};
use memchr::{memchr, memchr2, memchr3};

/// A record that does not have its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd {
    /// Number of the record in its block.
    pub record: u32,
    /// Its bytes in the block, without the line end.
    pub start: u32,
    /// See `start`.
    pub end: u32,
    /// Fields found.
    pub fields: u32,
}

/// The records of a block.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// Field f of row r lies between `ends[r * stride + f]` and the next entry, both exclusive.
    pub ends: Vec<u32>,
    /// Entries from one row to the next.
    pub stride: usize,
    /// Rows with the right number of fields.
    pub rows: usize,
    /// The record number of each row; empty: row i is record i.
    pub numbers: Vec<u32>,
    /// Records with another number of fields.
    pub odd: Vec<Odd>,
    /// Records, odd ones included.
    pub records: usize,
    /// Blank and comment lines.
    pub blank: usize,
    /// Bytes taken.
    pub used: usize,
    /// A line end stands inside quotes.
    pub continued: bool,
    /// The block holds a quote byte.
    pub quoted: bool,
    /// Its quoting is well formed throughout.
    pub clean: bool,
    /// The first record is complete but longer than allowed.
    pub long: bool,
    /// Fields of a row that are placed, the rest of its line counted as one.
    pub fields: usize,
    marks: Vec<u32>,
    narrow: Narrow,
    /// Blocks in a row in which the first fields alone could not be placed.
    misses: usize,
}

/// After so many blocks that are not regular, all fields are placed.
const PATIENCE: usize = 4;

/// What a block is cut into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Fields of a record.
    pub width: usize,
    /// Only the first of them are asked for.
    pub keep: usize,
    /// Only records that start before this offset.
    pub until: usize,
    /// Longest record, its line end included.
    pub max_line: usize,
}

impl Cutter {
    /// Cuts `bytes`, which begin at a record start.
    pub(crate) fn cut(&mut self, bytes: &[u8], cut: &Cut, want: Want) {
        self.clear();
        if self.first_fields(bytes, cut, want) {
            return;
        }
        self.fields = want.width;
        let mut found = mark(bytes, cut, &mut self.marks);
        // Most blocks hold no quote, and are cut and decoded faster by those who know it.
        self.quoted = found.quoted;
        let quote = cut.quote.filter(|_| found.quoted);
        let cut = &Cut { quote, ..*cut };
        // A quote in a comment means nothing, but the marks cannot know.
        let comment = cut.comment.is_some() && bytes.first() == cut.comment.as_ref();
        found.clean &= cut.quote.is_none() || !comment;
        self.continued = found.continued;
        let mut marks = found.marks;
        if !found.clean {
            self.continued = true;
            marks = walk(bytes, cut, &mut self.marks);
        }
        self.clean = found.clean;
        while marks > 0 && bytes.get(self.marks[marks] as usize) != Some(&cut.newline) {
            marks -= 1;
        }
        if found.clean && self.regular(bytes, cut, want, marks, found.records) {
            return;
        }
        let walked = !found.clean || cut.quote.is_none();
        if !self.group(bytes, cut, want, marks, walked) {
            let marks = walk(bytes, cut, &mut self.marks);
            self.clear();
            (self.continued, self.clean) = (true, false);
            self.group(bytes, cut, want, marks, true);
        }
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.odd.clear();
        (self.rows, self.records, self.blank, self.used) = (0, 0, 0, 0);
        (self.continued, self.long) = (false, false);
    }

    /// Places the fields that are asked for, if every record has its fields and there are others.
    fn first_fields(&mut self, bytes: &[u8], cut: &Cut, want: Want) -> bool {
        let shape = Shape {
            width: want.width,
            keep: want.keep,
        };
        let plain = cut.comment.is_none() && bytes.len() <= want.max_line;
        if !plain || !shape.fits() || self.misses >= PATIENCE {
            return false;
        }
        let placed = narrow::place(bytes, cut, shape, &mut self.narrow, &mut self.ends);
        let Some(records) = placed else {
            self.misses += 1;
            return false;
        };
        (self.misses, self.quoted, self.clean) = (0, false, true);
        (self.fields, self.stride) = (want.keep + 1, want.keep + 1);
        self.take(records, want.until);
        true
    }

    /// Takes the records that start before `until`, of which the marks before stand in `ends`.
    fn take(&mut self, records: usize, until: usize) {
        let start = |row: usize| self.ends[row * self.stride].wrapping_add(1) as usize;
        let mut rows = records;
        while rows > 0 && start(rows - 1) >= until {
            rows -= 1;
        }
        self.used = start(rows);
        (self.rows, self.records) = (rows, rows);
    }

    /// Takes the marks as they are if every record has its fields.
    fn regular(
        &mut self,
        bytes: &[u8],
        cut: &Cut,
        want: Want,
        marks: usize,
        records: usize,
    ) -> bool {
        let w = want.width;
        if bytes.len() > want.max_line || marks != records * w || cut.comment.is_some() {
            return false;
        }
        let line_ends = self.marks[..=marks].iter().skip(w).step_by(w);
        let mut fine = true;
        for at in line_ends {
            fine &= bytes[*at as usize] == cut.newline;
        }
        if !fine || (w == 1 && self.has_empty_line(bytes, marks)) {
            return false;
        }
        self.stride = w;
        std::mem::swap(&mut self.ends, &mut self.marks);
        self.take(records, want.until);
        true
    }

    fn has_empty_line(&self, bytes: &[u8], marks: usize) -> bool {
        self.marks[..=marks].windows(2).any(|pair| {
            let text = &bytes[pair[0].wrapping_add(1) as usize..pair[1] as usize];
            text.is_empty() || text == b"\r"
        })
    }

    /// Goes record by record. False: a comment was met, and the marks did not know of comments.
    fn group(&mut self, bytes: &[u8], cut: &Cut, want: Want, marks: usize, walked: bool) -> bool {
        self.ends.clear();
        self.stride = want.width + 1;
        let mut first = 0;
        for i in 1..=marks {
            let end = self.marks[i] as usize;
            if bytes[end] != cut.newline {
                continue;
            }
            let start = self.marks[first].wrapping_add(1) as usize;
            if start >= want.until {
                break;
            }
            if end + 1 - start > want.max_line {
                self.long = self.used == 0;
                break;
            }
            if cut.comment.is_some() && bytes.get(start) == cut.comment.as_ref() {
                if !walked {
                    return false;
                }
                self.blank += 1;
            } else {
                self.record(&bytes[start..end], first, i, want.width);
            }
            self.used = end + 1;
            first = i;
        }
        true
    }

    /// Takes the record whose fields are ended by the marks after `first` up to `last`.
    fn record(&mut self, text: &[u8], first: usize, last: usize, width: usize) {
        let fields = last - first;
        if fields == 1 && is_blank(text, width) {
            self.blank += 1;
            return;
        }
        let number = self.records as u32;
        self.records += 1;
        if fields == width {
            self.rows += 1;
            self.numbers.push(number);
            self.ends.extend_from_slice(&self.marks[first..=last]);
            return;
        }
        self.odd.push(Odd {
            record: number,
            start: self.marks[first].wrapping_add(1),
            end: self.marks[last],
            fields: fields as u32,
        });
    }

    /// Takes the last record out that lacks its fields and ends at `end`; reading goes on before it.
    pub(crate) fn hold_odd(&mut self, end: usize) -> bool {
        let Some(odd) = self.odd.pop_if(|odd| odd.end as usize == end) else {
            return false;
        };
        (self.used, self.records) = (odd.start as usize, self.records - 1);
        true
    }

    /// Leaves only the rows that `keep` says.
    pub(crate) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let width = self.stride;
        let (mut ends, mut numbers) = (Vec::new(), Vec::new());
        let fields = if self.numbers.is_empty() {
            width
        } else {
            width - 1
        };
        for row in (0..self.rows).filter(|r| keep(*r)) {
            ends.extend_from_slice(&self.ends[row * width..=row * width + fields]);
            numbers.push(self.number(row));
        }
        self.rows = numbers.len();
        (self.ends, self.numbers, self.stride) = (ends, numbers, fields + 1);
    }

    /// The record number of a row.
    pub(crate) fn number(&self, row: usize) -> u32 {
        self.numbers.get(row).copied().unwrap_or(row as u32)
    }
}

/// A line with nothing on it; in a table of one column spaces are text.
fn is_blank(text: &[u8], width: usize) -> bool {
    match width {
        1 => text.is_empty() || text == b"\r",
        _ => text.trim_ascii().is_empty(),
    }
}

/// Marks `bytes` one field at a time: right for any quoting and for comments. Returns the
/// number of marks behind the sentinel.
pub(crate) fn walk(bytes: &[u8], cut: &Cut, out: &mut Vec<u32>) -> usize {
    out.clear();
    out.push(BEFORE);
    let (mut at, mut record_start) = (0, true);
    while at < bytes.len() {
        let comment = record_start && Some(bytes[at]) == cut.comment;
        let end = if comment {
            memchr(cut.newline, &bytes[at..]).map(|n| at + n)
        } else {
            field_end(bytes, at, cut)
        };
        let Some(end) = end else { break };
        out.push(end as u32);
        record_start = bytes[end] == cut.newline;
        at = end + 1;
    }
    out.len() - 1
}

/// Where the field that starts at `at` ends: its delimiter or line end.
fn field_end(bytes: &[u8], at: usize, cut: &Cut) -> Option<usize> {
    let mut from = at;
    if let Some(quote) = cut.quote
        && bytes.get(at) == Some(&quote)
    {
        from = at + 1;
        loop {
            from += memchr(quote, &bytes[from..])? + 1;
            if bytes.get(from) != Some(&quote) {
                break;
            }
            from += 1;
        }
    }
    memchr2(cut.delimiter, cut.newline, &bytes[from..]).map(|n| from + n)
}

/// The text of a field that begins with a quote: quotes off, doubled ones single; what follows
/// the closing quote is taken as it stands, as Python's `csv` does.
pub(crate) fn unquote(raw: &[u8], quote: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.get(1..).unwrap_or_default();
    while let Some(at) = memchr(quote, rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.split_first() {
            Some((next, more)) if *next == quote => {
                out.push(quote);
                rest = more;
            }
            _ => break,
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The likely first record start in `bytes`, which follow a byte that may be anything: after the
/// first line end whose next record has `width` fields. `None`: no line end in sight.
pub(crate) fn guess(bytes: &[u8], cut: &Cut, width: usize) -> Option<usize> {
    let first = memchr(cut.newline, bytes)? + 1;
    if cut.quote.is_none() {
        return Some(first);
    }
    let mut at = first;
    for _ in 0..16 {
        match fields(&bytes[at..], cut) {
            Some((n, _)) if n == width => return Some(at),
            _ => at += memchr(cut.newline, &bytes[at..]).map_or(bytes.len() - at, |n| n + 1),
        }
    }
    Some(first)
}

/// Number of fields of the record that `bytes` begin with, and its length with the line end.
pub(crate) fn fields(bytes: &[u8], cut: &Cut) -> Option<(usize, usize)> {
    let (mut at, mut n) = (0, 0);
    loop {
        let end = field_end(bytes, at, cut)?;
        n += 1;
        at = end + 1;
        if bytes[end] == cut.newline {
            return Some((n, at));
        }
    }
}

/// The fields of the first record of `bytes` as text; its length with the line end.
pub(crate) fn first_record(bytes: &[u8], cut: &Cut) -> (Vec<Vec<u8>>, usize) {
    let (mut at, mut out) = (0, Vec::new());
    loop {
        let end = field_end(bytes, at, cut);
        let mut raw = &bytes[at..end.unwrap_or(bytes.len())];
        let last = end.is_none_or(|e| bytes[e] == cut.newline);
        if last {
            raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        }
        out.push(match cut.quote {
            Some(quote) if raw.first() == Some(&quote) => unquote(raw, quote),
            _ => raw.to_vec(),
        });
        match end {
            Some(end) if !last => at = end + 1,
            Some(end) => return (out, end + 1),
            None => return (out, bytes.len()),
        }
    }
}

/// The byte that ends lines in a file that begins with `head`: LF, or CR where no LF is found.
pub(crate) fn line_end(head: &[u8]) -> u8 {
    match memchr3(b'\n', b'\r', b'\n', head) {
        Some(at) if head[at] == b'\r' && memchr(b'\n', head).is_none() => b'\r',
        _ => b'\n',
    }
}
