//! What keeps a column from being a number or a time: the value, and the line it stands in.

use super::MANY;
use super::propose::header_of;
use super::roles::is_code;
use super::sample::{Sample, Told};
use super::types::{is_null, lossy, quoted, reads_as_number, reads_as_time};
use crate::Result;
use crate::csv::dialect::Records;
use crate::input::Head;

/// What is looked for in a file that was sniffed.
#[derive(Clone, Copy, Debug)]
pub enum Sought<'a> {
    /// A measure.
    Measure,
    /// The measure of this name.
    Named(&'a str),
    /// The time.
    Time,
}

impl Sought<'_> {
    fn reads(self, value: &[u8]) -> bool {
        match self {
            Sought::Time => reads_as_time(value),
            Sought::Measure | Sought::Named(_) => reads_as_number(value),
        }
    }

    fn may_be(self, name: &str) -> bool {
        match self {
            Sought::Measure => !is_code(name),
            Sought::Named(told) => told == name,
            Sought::Time => true,
        }
    }
}

/// The column of the file that begins with `head` which is nearest to what is sought, with the first
/// value that it is not for; `None` where no value of any column is near.
pub fn obstacle(head: &Head, sought: Sought) -> Result<Option<String>> {
    let sample = Sample::take(head, &Told::default(), MANY)?;
    let header = header_of(&sample).0;
    let mut best: Option<(usize, usize, &[u8])> = None;
    for at in 0..sample.width() {
        let name = sample.first.get(at).map_or("", String::as_str);
        let values = sample.column(at, header);
        let there = |v: &&&[u8]| !v.is_empty() && !is_null(v);
        let read = values.iter().filter(|v| sought.reads(v)).count();
        let other = values.iter().filter(there).find(|v| !sought.reads(v));
        let near = read > 0 || matches!(sought, Sought::Named(_));
        if let Some(value) = other.filter(|_| near && header && sought.may_be(name))
            && best.is_none_or(|(most, ..)| read > most)
        {
            best = Some((read, at, value));
        }
    }
    Ok(best.map(|(_, at, value)| told(head, &sample, at, value, sought)))
}

fn told(head: &Head, sample: &Sample, at: usize, value: &[u8], sought: Sought) -> String {
    let name = sample.first.get(at).map_or("", String::as_str);
    let what = match sought {
        Sought::Time => "time",
        Sought::Measure | Sought::Named(_) => "number",
    };
    let line = match line_of(head, sample, at, value) {
        Some(line) => format!(" in line {line}"),
        None => String::new(),
    };
    let value = quoted(&lossy(value));
    format!("column {name:?} was taken for text, for {value}{line} is no {what}")
}

/// The line of the first record that holds `value` in field `at`.
fn line_of(head: &Head, sample: &Sample, at: usize, value: &[u8]) -> Option<usize> {
    let mut line = 1;
    for record in Records::new(&head.bytes, sample.cut.delimiter, sample.cut.quote) {
        let here = record
            .fields
            .get(at)
            .is_some_and(|f| f.trim_ascii() == value);
        if here && line > sample.preamble {
            return Some(line);
        }
        line += record.lines;
    }
    None
}
