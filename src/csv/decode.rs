//! Decode: the fields of a block to typed columns, one column at a time.
//!
//! Each loop reads the simple texts in a machine word and leaves everything else (nulls, quotes
//! that are not around a simple text, long numbers, faults) to a slow path. A fault does not
//! stop a column: the block's faulty rows are noted, taken out, and the block is decoded again.

use super::lane::{Lane, Lanes, Plain};
use super::number;
use super::plan::{CsvPlan, Nulls, Output, What};
use super::rows::{Rows, by_span};
use super::stamp::{Clock, TimeFault, epoch, within};
use super::texts::texts;
use super::wide;
use crate::time::DAY;
use crate::time::parse::TimeError;

/// The values of a column so far.
#[derive(Debug)]
pub(crate) enum Values {
    Float(Lane<f64>),
    Long(Lane<i64>),
    Day(Lane<i32>),
    Flag(Vec<bool>),
    Text { ends: Lane<i32>, bytes: Lane<u8> },
}

/// One column so far.
#[derive(Debug)]
pub(crate) struct Building {
    pub values: Values,
    /// Rows without a value, increasing.
    pub nulls: Vec<u32>,
    clock: Clock,
}

/// A field that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub row: usize,
    pub field: usize,
    pub reason: Why,
}

/// Why a field cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    NotNumber,
    NotInteger,
    NotFinite,
    Below,
    Above,
    NotBoolean,
    NotText,
    NotEpoch,
    Empty,
    Beyond,
    Time(TimeFault),
}

/// What one column's loop needs beside its values.
pub(crate) struct Side<'a> {
    pub rows: Rows<'a>,
    pub output: &'a Output,
    pub nulls: &'a Nulls,
    marks: number::Marks,
    /// Row of the column that row 0 of the block becomes.
    base: usize,
    gone: &'a mut Vec<u32>,
    bad: &'a mut Vec<Bad>,
}

impl Side<'_> {
    /// Reads a field the slow way: null, value, or fault.
    #[cold]
    #[inline(never)]
    fn slow<T: Default>(&mut self, row: usize, read: impl FnOnce(&[u8]) -> Result<T, Why>) -> T {
        let text = self.rows.text(row, self.output.field);
        let text = text.trim_ascii();
        if self.nulls.has(text) {
            return self.null(row);
        }
        read(text).unwrap_or_else(|why| self.fault(row, why))
    }

    pub(crate) fn null<T: Default>(&mut self, row: usize) -> T {
        if self.output.required {
            return self.fault(row, Why::Empty);
        }
        self.gone.push((self.base + row) as u32);
        T::default()
    }

    #[cold]
    pub(crate) fn fault<T: Default>(&mut self, row: usize, reason: Why) -> T {
        self.bad.push(Bad {
            row,
            field: self.output.field,
            reason,
        });
        T::default()
    }
}

impl Building {
    /// An empty column with room for `rows`, and for `bytes` of text.
    pub(crate) fn new(
        plan: &CsvPlan,
        output: &Output,
        zone: super::LocalPolicy,
        (rows, bytes): (usize, usize),
        lanes: &mut Lanes,
    ) -> Self {
        let values = match output.what {
            What::Float { .. } => Values::Float(lanes.lane(rows)),
            What::Boolean => Values::Flag(Vec::with_capacity(rows)),
            What::Date => Values::Day(lanes.lane(rows)),
            What::Text => {
                let mut ends = lanes.lane(rows + 1);
                fill(&mut ends, 1, |_| 0);
                let bytes = lanes.lane(bytes);
                Values::Text { ends, bytes }
            }
            _ => Values::Long(lanes.lane(rows)),
        };
        Building {
            values,
            nulls: Vec::new(),
            clock: plan.clock(output, zone),
        }
    }

    /// Rows so far.
    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Float(v) => v.len(),
            Values::Long(v) => v.len(),
            Values::Day(v) => v.len(),
            Values::Flag(v) => v.len(),
            Values::Text { ends, .. } => ends.len() - 1,
        }
    }

    /// Forgets the rows from `rows` on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Float(v) => v.truncate(rows),
            Values::Long(v) => v.truncate(rows),
            Values::Day(v) => v.truncate(rows),
            Values::Flag(v) => v.truncate(rows),
            Values::Text { ends, bytes } => {
                ends.truncate(rows + 1);
                bytes.truncate(ends.values().last().map_or(0, |end| *end as usize));
            }
        }
        let keep = self.nulls.partition_point(|row| (*row as usize) < rows);
        self.nulls.truncate(keep);
    }

    /// Decodes the block's field of `output` behind what is there.
    pub(crate) fn decode(
        &mut self,
        rows: Rows<'_>,
        plan: &CsvPlan,
        output: &Output,
        bad: &mut Vec<Bad>,
    ) {
        let base = self.len();
        let mut side = Side {
            rows,
            output,
            nulls: &plan.nulls,
            marks: plan.marks,
            base,
            gone: &mut self.nulls,
            bad,
        };
        let clock = &mut self.clock;
        match (&mut self.values, output.what, clock) {
            (Values::Float(out), What::Float { min, max }, _) => floats(out, &mut side, min, max),
            (Values::Long(out), What::Integer { min, max }, _) => {
                integers(out, &mut side, min, max)
            }
            (Values::Long(out), What::Stamp, clock) => stamps(out, &mut side, clock),
            (Values::Long(out), What::DateAndTime { time }, clock) => {
                pairs(out, &mut side, clock, time);
            }
            (Values::Long(out), What::Epoch { unit }, clock) => {
                epochs(out, &mut side, clock, unit);
            }
            (Values::Long(out), _, _) => times(out, &mut side),
            (Values::Day(out), _, clock) => days(out, &mut side, clock),
            (Values::Flag(out), _, _) => flags(out, &mut side),
            (Values::Text { ends, bytes }, _, _) => texts(ends, bytes, &mut side),
            _ => {}
        }
    }
}

/// Writes the next `n` values.
#[inline(always)]
fn fill<T: Plain>(out: &mut Lane<T>, n: usize, mut one: impl FnMut(usize) -> T) {
    for (row, slot) in out.room(n).iter_mut().enumerate() {
        *slot = one(row);
    }
    out.add(n);
}

fn floats(out: &mut Lane<f64>, side: &mut Side<'_>, min: f64, max: f64) {
    let (rows, decimal, quick) = (side.rows, side.marks.decimal, !side.nulls.first);
    let column = rows.wide(side.output.field).filter(|_| quick);
    let values = out.room(rows.count);
    by_span!(rows, side.output.field, span => {
        let mut one = |r: usize| {
            let (start, end) = span(r);
            match number::short_float(rows.bytes, start, end, decimal) {
                Some(v) if quick && v >= min && v <= max => v,
                _ => slow_float(side, r, min, max),
            }
        };
        let mut done = 0;
        if let Some(column) = column {
            let other: &mut dyn FnMut(usize) -> f64 = &mut one;
            done = wide::floats(column, wide::Float { decimal, min, max }, values, other);
        }
        for (r, slot) in values.iter_mut().enumerate().skip(done) {
            *slot = one(r);
        }
    });
    out.add(rows.count);
}

#[inline(never)]
fn slow_float(side: &mut Side<'_>, row: usize, min: f64, max: f64) -> f64 {
    let marks = side.marks;
    side.slow(row, |text| {
        let value = number::float(text, marks).ok_or_else(|| not_number(text))?;
        within_bounds(value, min, max).map(|()| value)
    })
}

fn not_number(text: &[u8]) -> Why {
    let plain = std::str::from_utf8(text)
        .ok()
        .and_then(|t| t.parse::<f64>().ok());
    match plain {
        Some(v) if !v.is_finite() => Why::NotFinite,
        _ => Why::NotNumber,
    }
}

fn within_bounds(value: f64, min: f64, max: f64) -> Result<(), Why> {
    match value {
        v if v < min => Err(Why::Below),
        v if v > max => Err(Why::Above),
        _ => Ok(()),
    }
}

fn integers(out: &mut Lane<i64>, side: &mut Side<'_>, min: f64, max: f64) {
    let (rows, marks, quick) = (side.rows, side.marks, !side.nulls.first);
    let column = rows.wide(side.output.field).filter(|_| quick);
    let values = out.room(rows.count);
    by_span!(rows, side.output.field, span => {
        let mut one = |r: usize| {
            let (start, end) = span(r);
            match number::short_integer(rows.bytes, start, end) {
                Some(v) if quick && v as f64 >= min && v as f64 <= max => v,
                _ => side.slow(r, |text| {
                    let value = number::integer(text, marks).ok_or(Why::NotInteger)?;
                    within_bounds(value as f64, min, max).map(|()| value)
                }),
            }
        };
        let mut done = 0;
        if let Some(column) = column {
            let other: &mut dyn FnMut(usize) -> i64 = &mut one;
            done = wide::integers(column, (min, max), values, other);
        }
        for (r, slot) in values.iter_mut().enumerate().skip(done) {
            *slot = one(r);
        }
    });
    out.add(rows.count);
}

fn stamps(out: &mut Lane<i64>, side: &mut Side<'_>, clock: &mut Clock) {
    let (rows, quick) = (side.rows, !side.nulls.first);
    by_span!(rows, side.output.field, span => fill(out, rows.count, |r| {
        let (start, end) = span(r);
        match clock.one(rows.bytes, start, end) {
            Ok(v) if quick => v,
            _ => side.slow(r, |text| clock.one(text, 0, text.len()).map_err(Why::Time)),
        }
    }));
}

fn pairs(out: &mut Lane<i64>, side: &mut Side<'_>, clock: &mut Clock, time: usize) {
    let (rows, quick) = (side.rows, !side.nulls.first);
    let values = out.room(rows.count);
    by_span!(rows, side.output.field, date => by_span!(rows, time, clock_time => {
        let wide = rows.wide(side.output.field).zip(rows.wide(time));
        let clock = std::cell::RefCell::new(clock);
        let mut one = |r: usize| {
            let mut clock = clock.borrow_mut();
            match clock.two(rows.bytes, date(r), clock_time(r)) {
                Ok(v) if quick => v,
                _ => slow_pair(side, &mut clock, r, time),
            }
        };
        let mut done = 0;
        if let Some((dates, times)) = wide.filter(|(d, t)| quick && !d.last && !t.last) {
            done = wide::times(dates, times, || clock.borrow().same_date(), values, &mut one);
        }
        for (r, slot) in values.iter_mut().enumerate().skip(done) {
            *slot = one(r);
        }
    }));
    out.add(rows.count);
}

#[inline(never)]
fn slow_pair(side: &mut Side<'_>, clock: &mut Clock, row: usize, time: usize) -> i64 {
    let (rows, nulls, before) = (side.rows, side.nulls, side.bad.len());
    let mut at_time = false;
    let value = side.slow(row, |date| {
        let midnight = clock.midnight(date, 0, date.len()).map_err(text_fault)?;
        at_time = true;
        let text = rows.text(row, time);
        let text = text.trim_ascii();
        if nulls.has(text) {
            return Err(Why::Empty);
        }
        let within = within(text, 0, text.len()).map_err(text_fault)?;
        at_time = false;
        clock.instant(midnight + within).map_err(Why::Time)
    });
    if let Some(bad) = side.bad.get_mut(before).filter(|_| at_time) {
        bad.field = time;
    }
    value
}

fn text_fault(error: TimeError) -> Why {
    Why::Time(TimeFault::Text(error))
}

fn epochs(out: &mut Lane<i64>, side: &mut Side<'_>, clock: &Clock, unit: i64) {
    let (rows, quick) = (side.rows, !side.nulls.first);
    by_span!(rows, side.output.field, span => fill(out, rows.count, |r| {
        let (start, end) = span(r);
        let text = rows.bytes.get(start..end).unwrap_or_default();
        match epoch(text, unit).and_then(|t| clock.back(t)) {
            Some(v) if quick => v,
            _ => side.slow(r, |text| {
                epoch(text, unit).and_then(|t| clock.back(t)).ok_or(Why::NotEpoch)
            }),
        }
    }));
}

fn times(out: &mut Lane<i64>, side: &mut Side<'_>) {
    let (rows, quick) = (side.rows, !side.nulls.first);
    by_span!(rows, side.output.field, span => fill(out, rows.count, |r| {
        let (start, end) = span(r);
        match within(rows.bytes, start, end) {
            Ok(v) if quick && v < DAY => v,
            _ => side.slow(r, |text| match within(text, 0, text.len()) {
                Ok(v) if v < DAY => Ok(v),
                Ok(_) => Err(text_fault(TimeError::NoSuchTime)),
                Err(e) => Err(text_fault(e)),
            }),
        }
    }));
}

fn days(out: &mut Lane<i32>, side: &mut Side<'_>, clock: &mut Clock) {
    let (rows, quick) = (side.rows, !side.nulls.first);
    let day = |midnight: i64| (midnight / DAY) as i32;
    by_span!(rows, side.output.field, span => fill(out, rows.count, |r| {
        let (start, end) = span(r);
        match clock.midnight(rows.bytes, start, end) {
            Ok(v) if quick => day(v),
            _ => side.slow(r, |text| {
                let midnight = clock.midnight(text, 0, text.len());
                midnight.map(day).map_err(text_fault)
            }),
        }
    }));
}

fn flags(out: &mut Vec<bool>, side: &mut Side<'_>) {
    let (rows, quick) = (side.rows, !side.nulls.first);
    by_span!(rows, side.output.field, span => out.extend((0..rows.count).map(|r| {
        let (start, end) = span(r);
        match flag(rows.bytes.get(start..end).unwrap_or_default()) {
            Some(v) if quick => v,
            _ => side.slow(r, |text| flag(text).ok_or(Why::NotBoolean)),
        }
    })));
}

/// `true/false`, `yes/no`, `t/f`, `y/n`, `1/0`, in any case.
#[inline]
fn flag(text: &[u8]) -> Option<bool> {
    match text {
        [b't' | b'T' | b'y' | b'Y' | b'1'] => Some(true),
        [b'f' | b'F' | b'n' | b'N' | b'0'] => Some(false),
        [b't' | b'T', r, u, e] if [*r, *u, *e].eq_ignore_ascii_case(b"rue") => Some(true),
        [b'f' | b'F', rest @ ..] if rest.eq_ignore_ascii_case(b"alse") => Some(false),
        _ if text.eq_ignore_ascii_case(b"yes") => Some(true),
        _ if text.eq_ignore_ascii_case(b"no") => Some(false),
        _ => None,
    }
}
