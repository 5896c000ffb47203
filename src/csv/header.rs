//! The header: where the table begins in a file, how it is cut, and where each column stands.

use super::plan::ascii;
use super::scan::Cut;
use super::split::{first_record, line_end};
use crate::schema::{ColumnType, Role, Schema, plain_name};
use crate::{Error, Kind, Result};
use memchr::memchr_iter;
use std::collections::HashMap;
use std::sync::Arc;

/// A table may begin within this many records of a file.
const LOOK: usize = 100;

/// What the head of a file says.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub cut: Cut,
    /// Fields of a record.
    pub width: usize,
    /// The field of each column of the schema; `None`: not in the file, and not needed.
    pub at: Vec<Option<usize>>,
    /// Names of the fields.
    pub fields: Vec<Arc<str>>,
    /// Lines before the header.
    pub preamble: u64,
    /// Lines of the header.
    pub header: u64,
    /// Bytes before the first record.
    pub body: usize,
}

/// Finds the table that `schema` declares in a file that begins with `head`.
pub(crate) fn find(schema: &Schema, head: &[u8]) -> Result<Found> {
    let cuts = cuts(schema, head)?;
    let mut best: Option<Missing> = None;
    for cut in &cuts {
        if schema.dialect.header != Some(false) {
            match named(schema, head, cut) {
                Ok(found) => return Ok(found),
                Err(missing) => {
                    let better = best.as_ref().is_none_or(|b| missing.score > b.score);
                    best = if better { Some(missing) } else { best };
                }
            }
        }
    }
    let nameless = best.as_ref().is_none_or(|b| b.score == 0);
    if schema.dialect.header != Some(true) && nameless {
        for cut in &cuts {
            if let Some(found) = by_place(schema, head, cut) {
                return Ok(found);
            }
        }
    }
    Err(refusal(schema, head, best))
}

/// The closest header that still lacks a column.
struct Missing {
    score: usize,
    column: String,
    seen: Vec<Arc<str>>,
}

fn refusal(schema: &Schema, head: &[u8], best: Option<Missing>) -> Error {
    let message = match best {
        _ if head.trim_ascii().is_empty() => {
            "the file is empty: there is no header; check that it is the right file".to_string()
        }
        Some(missing) if missing.score > 0 => format!(
            "the file has no column `{}` (its header names {}); add the file's name for it to `names`, or check that it is the right file",
            missing.column,
            shown(&missing.seen),
        ),
        _ => format!(
            "the file is not a table of {}: no line names its columns and no line has {} fields; check the file, or declare delimiter and columns",
            if schema.name.is_empty() {
                "this schema"
            } else {
                &schema.name
            },
            needed(schema).count(),
        ),
    };
    Error::new(Kind::Schema, message)
}

/// At most a dozen names, cut to a readable length.
fn shown(names: &[Arc<str>]) -> String {
    let short = |n: &Arc<str>| format!("`{}`", n.chars().take(40).collect::<String>());
    let mut text = names
        .iter()
        .take(12)
        .map(short)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > 12 {
        text.push_str(&format!(" and {} more", names.len() - 12));
    }
    text
}

/// The ways to cut that the dialect leaves open.
fn cuts(schema: &Schema, head: &[u8]) -> Result<Vec<Cut>> {
    let dialect = &schema.dialect;
    let delimiters = match dialect.delimiter {
        Some(mark) => vec![ascii("delimiter", mark)?],
        None => vec![b';', b',', b'\t', b'|'],
    };
    let optional = |what, mark: Option<char>| mark.map(|m| ascii(what, m)).transpose();
    let quote = optional("quote", dialect.quote)?;
    let comment = optional("comment mark", dialect.comment)?;
    let newline = line_end(head);
    for delimiter in &delimiters {
        let clash = [quote, comment, Some(b'\n'), Some(b'\r')].contains(&Some(*delimiter));
        if clash || (quote.is_some() && quote == comment) {
            return Err(Error::new(
                Kind::Schema,
                "delimiter, quote, comment mark and line end must be different characters",
            ));
        }
    }
    Ok(delimiters
        .into_iter()
        .map(|delimiter| Cut {
            delimiter,
            newline,
            quote,
            comment,
        })
        .collect())
}

/// Columns that the file must have.
fn needed(schema: &Schema) -> impl Iterator<Item = usize> {
    (0..schema.columns.len()).filter(|i| schema.columns[*i].role != Role::Ignore)
}

/// One record of the head.
struct Line {
    fields: Vec<Vec<u8>>,
    start: usize,
    end: usize,
}

/// The records of the head after the declared preamble; blank and comment lines left out.
fn lines<'a>(schema: &Schema, head: &'a [u8], cut: &'a Cut) -> impl Iterator<Item = Line> + 'a {
    let skip = schema.dialect.preamble;
    let mut at = match skip {
        0 => 0,
        n => memchr_iter(cut.newline, head)
            .nth(n - 1)
            .map_or(head.len(), |end| end + 1),
    };
    std::iter::from_fn(move || {
        if at >= head.len() {
            return None;
        }
        let start = at;
        let plain = Cut {
            quote: None,
            ..*cut
        };
        let comment = cut.comment.is_some() && head.get(at) == cut.comment.as_ref();
        let (fields, used) = first_record(&head[at..], if comment { &plain } else { cut });
        at += used;
        let blank = fields.iter().all(|f| f.trim_ascii().is_empty()) && fields.len() == 1;
        let fields = if comment || blank { Vec::new() } else { fields };
        Some(Line {
            fields,
            start,
            end: at,
        })
    })
    .filter(|line| !line.fields.is_empty())
    .take(LOOK)
}

/// Lines that `text` holds.
fn count(text: &[u8], newline: u8) -> u64 {
    let unended = !text.is_empty() && text.last() != Some(&newline);
    memchr_iter(newline, text).count() as u64 + u64::from(unended)
}

/// The table under a line that names every needed column.
fn named(schema: &Schema, head: &[u8], cut: &Cut) -> std::result::Result<Found, Missing> {
    let mut best = Missing {
        score: 0,
        column: String::new(),
        seen: Vec::new(),
    };
    let all: Vec<Line> = lines(schema, head, cut).collect();
    for header in all.windows(schema.dialect.header_lines.max(1)) {
        let [line, ..] = header else { continue };
        let last = header.last().unwrap_or(line);
        let rows: Vec<Vec<String>> = header.iter().map(|l| texts(&l.fields)).collect();
        let names: Vec<Arc<str>> = joined_names(&rows).into_iter().map(Arc::from).collect();
        let mut at = places(schema, &names);
        places_in_rows(schema, &rows, &mut at);
        mend_pair(schema, &mut at);
        let lacking = needed(schema).find(|i| at[*i].is_none() && !excused(schema, &at, *i));
        let score = at.iter().flatten().count();
        match lacking {
            None if score > 0 => {
                return Ok(Found {
                    cut: *cut,
                    width: names.len(),
                    at,
                    fields: names,
                    preamble: count(&head[..line.start], cut.newline),
                    header: count(&head[line.start..last.end], cut.newline),
                    body: last.end,
                });
            }
            Some(i) if score > best.score => {
                let column = schema.columns[i].name.clone();
                best = Missing {
                    score,
                    column,
                    seen: names,
                };
            }
            _ => {}
        }
    }
    Err(best)
}

fn texts(fields: &[Vec<u8>]) -> Vec<String> {
    let text = |f: &Vec<u8>| String::from_utf8_lossy(f).trim().to_string();
    fields.iter().map(text).collect()
}

/// The names of columns over the lines of a header: what stands in each, joined by a space. A cell
/// that is empty above others belongs to the one before it, as in merged cells.
pub(crate) fn joined_names(rows: &[Vec<String>]) -> Vec<String> {
    let [above @ .., below] = rows else {
        return Vec::new();
    };
    let mut names = vec![String::new(); rows.iter().map(Vec::len).max().unwrap_or(0)];
    for row in above {
        let mut merged = "";
        for (at, name) in names.iter_mut().enumerate() {
            let own = row.get(at).map_or("", String::as_str);
            merged = if own.is_empty() { merged } else { own };
            add(name, merged);
        }
    }
    for (name, own) in names.iter_mut().zip(below) {
        add(name, own);
    }
    names
}

fn add(name: &mut String, part: &str) {
    if !name.is_empty() && !part.is_empty() {
        name.push(' ');
    }
    name.push_str(part);
}

/// A column may also be named as one line of the header alone names it.
fn places_in_rows(schema: &Schema, rows: &[Vec<String>], at: &mut [Option<usize>]) {
    if rows.len() < 2 {
        return;
    }
    for (column, at) in schema.columns.iter().zip(at).filter(|(_, at)| at.is_none()) {
        *at = rows.iter().find_map(|row| {
            let mut found = (0..row.len()).filter(|i| column.answers_to(&row[*i]));
            found.next().filter(|_| found.next().is_none())
        });
    }
}

/// The field of each column, by name.
fn places(schema: &Schema, names: &[Arc<str>]) -> Vec<Option<usize>> {
    let mut folded = HashMap::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        folded.entry(plain_name(name)).or_insert(at);
    }
    let find = |name: &str| folded.get(&plain_name(name)).copied();
    schema
        .columns
        .iter()
        .map(|c| find(&c.name).or_else(|| c.names.iter().find_map(|n| find(n))))
        .collect()
}

/// The two columns of a declared pair of date and time of day.
fn declared_pair(schema: &Schema) -> Option<(usize, usize)> {
    let [date, time] = schema.time.columns.as_slice() else {
        return None;
    };
    let find = |name: &String| schema.columns.iter().position(|c| c.name == *name);
    Some((find(date)?, find(time)?))
}

/// A file may give the pair as one stamp, under either name: it then stands as the date.
fn mend_pair(schema: &Schema, at: &mut [Option<usize>]) {
    if let Some((date, time)) = declared_pair(schema) {
        if at[date].is_none() {
            at[date] = at[time].take();
        } else if at[date] == at[time] {
            at[time] = None;
        }
    }
}

/// Whether column `i` may be missing: the time of day of a stamp in one field.
fn excused(schema: &Schema, at: &[Option<usize>], i: usize) -> bool {
    declared_pair(schema).is_some_and(|(date, time)| time == i && at[date].is_some())
}

/// The date and time columns to merge, where the file has both.
pub(crate) fn time_pair(schema: &Schema, found: &Found) -> Option<(usize, usize)> {
    let (date, time) = declared_pair(schema)?;
    (found.at[date].is_some() && found.at[time].is_some()).then_some((date, time))
}

/// A file without a header, by the number of its fields; one more in front is a row number.
fn by_place(schema: &Schema, head: &[u8], cut: &Cut) -> Option<Found> {
    let columns = schema.columns.len();
    let mut body = 0;
    let mut lines = lines(schema, head, cut);
    let first = lines.next();
    let extra = match &first {
        None if schema.dialect.header == Some(false) => 0,
        Some(line) if line.fields.len() == columns && is_data(schema, line, 0) => 0,
        Some(line)
            if line.fields.len() == columns + 1
                && is_data(schema, line, 1)
                && numbered(line, lines.next()) =>
        {
            1
        }
        _ => return None,
    };
    if let Some(line) = first.filter(|_| schema.dialect.preamble > 0) {
        body = line.start;
    }
    let names = schema.columns.iter().map(|c| Arc::from(c.name.as_str()));
    Some(Found {
        cut: *cut,
        width: columns + extra,
        at: (0..columns).map(|i| Some(i + extra)).collect(),
        fields: (0..extra).map(|_| Arc::from("")).chain(names).collect(),
        preamble: count(&head[..body], cut.newline),
        header: 0,
        body,
    })
}

/// Whether a line holds values rather than names, as far as its typed fields tell. Where the
/// schema says that there is no header, every line does.
fn is_data(schema: &Schema, line: &Line, extra: usize) -> bool {
    let typed = |c: &&crate::schema::Column| {
        !matches!(c.kind, ColumnType::Text | ColumnType::Boolean) && c.role != Role::Ignore
    };
    let value = |text: &[u8]| {
        let text = text.trim_ascii();
        let null = schema.nulls.iter().any(|n| n.as_bytes() == text);
        null || text
            .first()
            .is_none_or(|b| b.is_ascii_digit() || b"+-.,".contains(b))
    };
    let fields = line.fields.iter().skip(extra);
    schema.dialect.header == Some(false)
        || schema
            .columns
            .iter()
            .zip(fields)
            .filter(|(c, _)| typed(c))
            .all(|(_, f)| value(f))
}

/// Whether the first fields of two lines are row numbers that follow each other.
fn numbered(line: &Line, next: Option<Line>) -> bool {
    let number = |l: &Line| {
        std::str::from_utf8(l.fields.first()?)
            .ok()?
            .trim()
            .parse::<i64>()
            .ok()
    };
    match (number(line), next.map(|l| number(&l))) {
        (Some(a), Some(Some(b))) => a.checked_add(1) == Some(b),
        (Some(a), None) => a == 0 || a == 1,
        _ => false,
    }
}
