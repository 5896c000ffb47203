//! The sample: the records of a head, cut and laid out by column.

use super::Hints;
use super::types::{is_data, is_null, reads_as_something};
use crate::csv::dialect::{Cut, DELIMITERS, Record, Records, best_cut, quote_of};
use crate::csv::header::joined_names;
use crate::input::Head;
use crate::schema::Dialect;
use crate::{Error, Kind, Result};
use std::borrow::Cow;

/// A wider file is no table, or is cut by the wrong sign.
const MOST_COLUMNS: usize = 10_000;

/// The records of a head.
pub(super) struct Sample<'a> {
    /// How they were cut.
    pub cut: Cut,
    /// Lines that begin with this sign were left out.
    pub comment: Option<char>,
    /// The first line says the delimiter.
    pub separator: bool,
    /// Lines before the first record.
    pub preamble: usize,
    /// Fields of the first record, which may be a header; of several lines of it, joined.
    pub first: Vec<String>,
    /// Fields of each line of a header of several.
    pub heads: Vec<Vec<String>>,
    /// The records after it, whole ones only.
    pub rows: Vec<Record<'a>>,
    /// The first record, as data.
    first_record: Record<'a>,
}

/// What is not looked for, because it is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    delimiter: Option<char>,
    /// The quote, or that there is none.
    quote: Option<Option<char>>,
    comment: Option<char>,
    preamble: Option<usize>,
    header_lines: Option<usize>,
}

impl Told {
    /// By the caller of the sniffer.
    pub fn hinted(hints: &Hints) -> Told {
        Told {
            delimiter: hints.delimiter,
            ..Told::default()
        }
    }

    /// By a declared schema: what differs from the default was meant.
    pub fn by(dialect: &Dialect) -> Told {
        let default = Dialect::default();
        Told {
            delimiter: dialect.delimiter,
            quote: (dialect.quote != default.quote).then_some(dialect.quote),
            comment: dialect.comment,
            preamble: Some(dialect.preamble).filter(|lines| *lines > 0),
            header_lines: Some(dialect.header_lines),
        }
    }
}

impl<'a> Sample<'a> {
    /// Cuts the head by what is told, else by what fits best. At most `rows` records are kept.
    pub fn take(head: &'a Head, told: &Told, rows: usize) -> Result<Sample<'a>> {
        let whole = whole_records(head);
        let separator = separator(whole);
        let before = told.preamble.unwrap_or(usize::from(separator.is_some()));
        let text = after_lines(whole, before);
        let quote = match told.quote {
            Some(quote) => quote.and_then(byte),
            None => Some(quote_of(text)),
        };
        let comment = told.comment.or(text.starts_with(b"#").then_some('#'));
        let delimiter = told.delimiter.and_then(byte).or(separator);
        let candidates = delimiter
            .as_ref()
            .map_or(&DELIMITERS[..], std::slice::from_ref);
        let mut cut = best_cut(text, candidates, quote, reads_as_something);
        if cut.width < 2 && delimiter.is_none() {
            // One column: no sign cuts it, and a comma is what a reader expects.
            cut.delimiter = b',';
        }
        let found = match (told.preamble, comment) {
            (None, None) => cut.preamble,
            (None, Some(mark)) if byte(mark) != text.first().copied() => cut.preamble,
            _ => 0,
        };
        let body = after_lines(text, found);
        let mut records = Records::new(body, cut.delimiter, cut.quote)
            .filter(|r| !r.blank() && !commented(r, comment));
        let Some(first_record) = records.next() else {
            return Err(Error::new(
                Kind::Schema,
                format!(
                    "{} holds blank lines or comments only, no table; check that it was written to the end",
                    head.name()
                ),
            ));
        };
        if cut.width > MOST_COLUMNS {
            return Err(Error::new(
                Kind::Schema,
                format!(
                    "the records of {} have {} fields and at most {MOST_COLUMNS} are read; check the delimiter and the line ends",
                    head.name(),
                    cut.width
                ),
            ));
        }
        let text_of = |f: &Cow<[u8]>| String::from_utf8_lossy(f).trim().to_string();
        let texts = |r: &Record| r.fields.iter().map(text_of).collect::<Vec<String>>();
        let mut rows: Vec<Record> = records.take(rows).collect();
        let lines = match told.header_lines {
            Some(lines) => lines,
            None => 1 + usize::from(named_twice(&first_record, &rows, cut.width)),
        };
        let more = lines.saturating_sub(1).min(rows.len());
        let more: Vec<Record> = rows.drain(..more).collect();
        let heads: Vec<Vec<String>> = match lines {
            0 | 1 => Vec::new(),
            _ => std::iter::once(&first_record)
                .chain(&more)
                .map(texts)
                .collect(),
        };
        let first = match heads.as_slice() {
            [] => texts(&first_record),
            heads => joined_names(heads),
        };
        Ok(Sample {
            first,
            heads,
            rows,
            first_record,
            cut,
            comment,
            separator: told.delimiter.is_none() && separator.is_some(),
            preamble: before + found,
        })
    }

    /// The values of field `at`, with that of the first record if it is data.
    pub fn column(&self, at: usize, header: bool) -> Vec<&[u8]> {
        let first = (!header).then_some(&self.first_record);
        first
            .into_iter()
            .chain(&self.rows)
            .filter(|r| r.fields.len() == self.width() || self.rows.len() < 2)
            .filter_map(|r| r.fields.get(at))
            .map(|f| f.trim_ascii())
            .collect()
    }

    /// Fields of most records.
    pub fn width(&self) -> usize {
        self.cut.width
    }

    /// Whether the header names all fields but the row numbers in front. Where each record ends in an empty
    /// field, the one without a name is that one.
    pub fn short_header(&self) -> bool {
        !self.rows.is_empty()
            && self.first.len() + 1 == self.width()
            && self.cut.evenness() > 50
            && !self.ends_empty()
    }

    fn ends_empty(&self) -> bool {
        let whole = |r: &&Record| r.fields.len() == self.width();
        let mut last = self
            .rows
            .iter()
            .filter(whole)
            .filter_map(|r| r.fields.last());
        last.all(|f| f.trim_ascii().is_empty())
    }
}

/// Whether the second record is a second line of the header (units, or names under groups): no field of
/// either is data, and where the records below hold data it has a word.
fn named_twice(first: &Record, rows: &[Record], width: usize) -> bool {
    let [second, below @ ..] = rows else {
        return false;
    };
    let below: Vec<&Record> = below
        .iter()
        .filter(|r| r.fields.len() == width)
        .take(FEW)
        .collect();
    if below.len() < 3 || second.fields.len() != width || first.fields.len() > width {
        return false;
    }
    let empty = |f: &Cow<[u8]>| f.trim_ascii().is_empty();
    let word = |f: &Cow<[u8]>| !empty(f) && !is_data(f.trim_ascii()) && !is_null(f.trim_ascii());
    if [first, second]
        .iter()
        .any(|r| r.fields.iter().any(|f| is_data(f.trim_ascii())))
    {
        return false;
    }
    let data = |at: usize| {
        let field = |r: &&&Record| r.fields.get(at).is_some_and(|f| is_data(f.trim_ascii()));
        below.iter().filter(field).count() * 2 > below.len()
    };
    let typed: Vec<usize> = (0..width).filter(|at| data(*at)).collect();
    let under = |at: &usize| second.fields.get(*at);
    let words = typed.iter().filter_map(under).filter(|f| word(f)).count();
    let blank = typed.iter().filter_map(under).filter(|f| empty(f)).count();
    // Units stand under numbers, and often not under the time.
    typed.len() > 1 && words + blank == typed.len() && blank < 2
}

/// Records below a header that are looked at.
const FEW: usize = 20;

/// The text up to its last line end, unless it is the whole file: a cut record proves nothing.
fn whole_records(head: &Head) -> &[u8] {
    let text = &head.bytes[..];
    if head.whole {
        return text;
    }
    match memchr::memrchr(b'\n', text) {
        Some(end) => &text[..=end],
        None => text,
    }
}

fn after_lines(text: &[u8], lines: usize) -> &[u8] {
    let Some(last) = lines.checked_sub(1) else {
        return text;
    };
    let end = memchr::memchr_iter(b'\n', text).nth(last);
    end.and_then(|at| text.get(at + 1..)).unwrap_or_default()
}

/// The delimiter that Excel writes into a first line of its own: `sep=;`, perhaps in quotes.
fn separator(text: &[u8]) -> Option<u8> {
    let line = text.split(|b| *b == b'\n').next()?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let bare = line.strip_prefix(b"\"").and_then(|l| l.strip_suffix(b"\""));
    match bare.unwrap_or(line) {
        [s, e, p, b'=', mark] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => {
            (mark.is_ascii() && !mark.is_ascii_alphanumeric()).then_some(*mark)
        }
        _ => None,
    }
}

fn commented(record: &Record, comment: Option<char>) -> bool {
    let first = record.fields.first().and_then(|f| f.first());
    comment.and_then(byte).is_some_and(|c| first == Some(&c))
}

fn byte(mark: char) -> Option<u8> {
    u8::try_from(mark).ok()
}
