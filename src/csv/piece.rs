//! Piece: decodes the records that start in one part of a file, not yet knowing their lines
//! and row numbers.

use super::batch::{self, Zeros};
use super::decode::{Bad, Building, Why};
use super::lane::Lanes;
use super::plan::{CsvPlan, Output, What};
use super::rows::Rows;
use super::split::{Cutter, Odd, Want};
use super::stamp::TimeFault;
use super::text::{Buffer, Text, View};
use super::{ReadOptions, Start};
use crate::ledger::Ledger;
use crate::reject::{OnReject, Reject};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use memchr::{memchr, memchr_iter};
use std::sync::Arc;

/// Bytes cut and decoded at once: small enough to stay near the core with its marks.
const BLOCK: usize = 128 << 10;
/// Bytes looked at for one record at a piece's end.
const LITTLE: usize = 2 << 10;

/// Before the reason of a last line that has no line end.
const CUT: &str = "cut last line: ";

/// What all pieces of a read share.
pub(crate) struct Job {
    pub name: Arc<str>,
    pub plan: Arc<CsvPlan>,
    pub options: ReadOptions,
    pub zeros: Zeros,
}

/// Working memory of one worker, used again for the next piece.
#[derive(Default)]
pub(crate) struct Scratch {
    pub buffer: Buffer,
    cutter: Cutter,
    lanes: Lanes,
}

impl Scratch {
    /// For one piece alone, which may be small.
    pub(crate) fn once() -> Scratch {
        Scratch {
            lanes: Lanes::apart(),
            ..Scratch::default()
        }
    }
}

/// The decoded records of one piece. Lines and rows count from its beginning.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Where the next record starts.
    pub end: u64,
    pub batch: RecordBatch,
    pub rejects: Vec<Reject>,
    /// Numbers of the rejected records, increasing.
    pub rejected: Vec<u64>,
    pub counters: Ledger,
    /// Lines of the footer: they have a number among the records, and are none.
    pub passed: u64,
    /// Which accepted record each row is of, where a record gives several.
    pub of: Option<Vec<u32>>,
    /// A time had no instant, or two.
    pub ambiguous: bool,
}

/// A piece under way.
struct Work<'a> {
    job: &'a Job,
    columns: Vec<Building>,
    rejects: Vec<Reject>,
    rejected: Vec<u64>,
    counters: Ledger,
    /// Lines of the footer among the records so far.
    passed: u64,
    ambiguous: bool,
}

/// Decodes the records of `text` that start in `from..until`; `from` is a record start.
pub(crate) fn decode(
    job: &Job,
    text: &Text,
    from: u64,
    until: u64,
    scratch: &mut Scratch,
) -> Result<Decoded> {
    let mut work = Work::new(job);
    let Scratch {
        buffer,
        cutter,
        lanes,
    } = scratch;
    let until = until.min(text.end());
    let (mut at, mut grown) = (from, None);
    while at < until {
        let left = (until - at).min(usize::MAX as u64) as usize;
        let want = grown.unwrap_or(BLOCK.min(left + LITTLE));
        let view = text.view(buffer, at, want)?;
        let max_line = job.options.max_line_bytes;
        let limit = Want {
            width: job.plan.width,
            keep: job.plan.keep(),
            until: left,
            max_line,
        };
        cutter.cut(view.bytes, &job.plan.cut, limit);
        let last = view.closed.then(|| view.bytes.len() - 1);
        if cutter.used == 0 {
            let over = view.bytes.len() > max_line || cutter.long;
            if over || (view.eof && !job.options.hold_tail) {
                match work.stray(&view, at, max_line)? {
                    0 => break,
                    used => at += used as u64,
                }
                grown = None;
            } else if view.whole {
                break;
            } else {
                grown = Some((view.bytes.len() * 2).max(LITTLE));
            }
            continue;
        }
        work.reserve(left, view.bytes, cutter, lanes);
        let held = work.block(view.bytes, cutter, (at, last))?;
        at += cutter.used as u64;
        if held {
            break;
        }
        grown = None;
    }
    work.finish(from, at.min(text.end()), lanes)
}

impl<'a> Work<'a> {
    fn new(job: &'a Job) -> Self {
        Work {
            job,
            columns: Vec::new(),
            rejects: Vec::new(),
            rejected: Vec::new(),
            counters: Ledger::default(),
            passed: 0,
            ambiguous: false,
        }
    }

    /// Makes the columns once the first block tells how long records and texts are.
    fn reserve(&mut self, left: usize, bytes: &[u8], cutter: &Cutter, lanes: &mut Lanes) {
        if !self.columns.is_empty() {
            return;
        }
        // In the household's file the rows of a first block are up to an eighth longer than those of its piece.
        let more = |n: usize| n + n / 6 + 64;
        let per_row = cutter.used / cutter.records.max(1) + 1;
        let seen = Rows::new(bytes, cutter, &self.job.plan);
        let text = |o: &Output| match o.what {
            What::Text => more(seen.length(o.field) * (left / cutter.used.max(1) + 1)),
            _ => 0,
        };
        self.columns = self.empty(more(left / per_row), text, lanes);
    }

    fn empty(
        &self,
        rows: usize,
        text: impl Fn(&Output) -> usize,
        lanes: &mut Lanes,
    ) -> Vec<Building> {
        let (plan, local) = (&self.job.plan, self.job.options.local);
        let make = |o: &Output| Building::new(plan, o, local, (rows, text(o)), lanes);
        plan.outputs.iter().map(make).collect()
    }

    /// Decodes one block that lies at `at`; `last`: where its last line ends if the file has no line end
    /// there. Whether that line was held back.
    fn block(
        &mut self,
        bytes: &[u8],
        cutter: &mut Cutter,
        (at, last): (u64, Option<usize>),
    ) -> Result<bool> {
        let hold = last.filter(|_| self.job.options.hold_cut);
        let mut held = hold.is_some_and(|end| cutter.hold_odd(end));
        let mut bad = self.fields(bytes, cutter);
        if let Some(end) = hold.filter(|_| !held) {
            held = self.hold_bad(bytes, cutter, end, &mut bad);
        }
        let mut faults = self.odd(bytes, cutter, (at, last));
        if !bad.is_empty() {
            faults.extend(self.take_out(bytes, cutter, at, bad));
        }
        let passed = match faults.is_empty() {
            true => 0,
            false => self.pass_footer(&mut faults),
        };
        if !faults.is_empty() {
            self.reject(bytes, at, faults)?;
        }
        if passed > 0 {
            self.passed += passed;
            self.rejected.sort_unstable();
        }
        let c = &mut self.counters;
        let lines = match cutter.continued {
            true => memchr_iter(self.job.plan.cut.newline, &bytes[..cutter.used]).count(),
            false => cutter.records + cutter.blank,
        } as u64;
        c.lines += lines;
        c.blank += cutter.blank as u64 + passed;
        c.records += cutter.records as u64 - passed;
        c.continuation += lines - (cutter.records + cutter.blank) as u64;
        Ok(held)
    }

    /// Holds the row back that ends at `end`, if it is bad.
    fn hold_bad(
        &mut self,
        bytes: &[u8],
        cutter: &mut Cutter,
        end: usize,
        bad: &mut Vec<Bad>,
    ) -> bool {
        let Some(row) = cutter.rows.checked_sub(1) else {
            return false;
        };
        let rows = Rows::new(bytes, cutter, &self.job.plan);
        let (start, stop) = rows.line(row);
        let ends = stop == end || stop + 1 == end && bytes.get(stop) == Some(&b'\r');
        if !ends || !bad.iter().any(|b| b.row == row) {
            return false;
        }
        self.forget(cutter.rows);
        cutter.retain(|r| r != row);
        (cutter.used, cutter.records) = (start, cutter.records - 1);
        *bad = self.fields(bytes, cutter);
        true
    }

    /// Forgets the columns' last `rows` rows.
    fn forget(&mut self, rows: usize) {
        let before = self.columns.first().map_or(0, |c| c.len()) - rows;
        self.columns.iter_mut().for_each(|c| c.truncate(before));
    }

    /// Decodes the columns of a block.
    fn fields(&mut self, bytes: &[u8], cutter: &Cutter) -> Vec<Bad> {
        let mut bad = Vec::new();
        let plan = &self.job.plan;
        let rows = Rows::new(bytes, cutter, plan);
        let base = self.columns.first().map_or(0, |c| c.len());
        for (column, output) in self.columns.iter_mut().zip(&plan.outputs) {
            column.decode(rows, plan, output, &mut bad);
        }
        if let Some(melting) = &plan.melting {
            melting.beyond(&self.columns, base, |at| plan.outputs[at].field, &mut bad);
        }
        bad
    }

    /// Rejects for the records without their fields.
    fn odd(&self, bytes: &[u8], cutter: &Cutter, (at, last): (u64, Option<usize>)) -> Vec<Reject> {
        let width = self.job.plan.width;
        let made = |odd: &Odd| {
            let (start, end) = (odd.start as usize, odd.end as usize);
            let raw = bytes.get(start..end).unwrap_or_default();
            let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
            let field = if odd.fields == 1 { "field" } else { "fields" };
            let cut = if last == Some(end) { CUT } else { "" };
            let reason = format!("{cut}{} {field} where the table has {width}", odd.fields);
            self.made(at + start as u64, odd.record, "", raw, reason)
        };
        cutter.odd.iter().map(made).collect()
    }

    /// Takes the rows of `bad` out of the block and decodes it again; gives their rejects.
    fn take_out(
        &mut self,
        bytes: &[u8],
        cutter: &mut Cutter,
        at: u64,
        mut bad: Vec<Bad>,
    ) -> Vec<Reject> {
        bad.sort_by_key(|b| (b.row, b.field));
        bad.dedup_by_key(|b| b.row);
        self.ambiguous |= bad
            .iter()
            .any(|b| matches!(b.reason, Why::Time(TimeFault::Local(_))));
        let rows = Rows::new(bytes, cutter, &self.job.plan);
        let rejects = bad
            .iter()
            .map(|b| {
                let (start, end) = rows.line(b.row);
                let raw = bytes.get(start..end).unwrap_or_default();
                let reason = b.reason.clause(&rows.text(b.row, b.field));
                let column = self.job.plan.field_name(b.field).to_string();
                self.made(
                    at + start as u64,
                    cutter.number(b.row),
                    &column,
                    raw,
                    reason,
                )
            })
            .collect();
        self.forget(cutter.rows);
        cutter.retain(|row| bad.binary_search_by_key(&row, |b| b.row).is_err());
        self.fields(bytes, cutter);
        rejects
    }

    /// Takes out what is a line of the footer and no record; gives how many.
    fn pass_footer(&mut self, faults: &mut Vec<Reject>) -> u64 {
        let marks = &self.job.plan.footer;
        let is_footer = |raw: &str| marks.iter().any(|m| raw.trim_start().starts_with(&**m));
        let before = faults.len();
        let rejected = &mut self.rejected;
        faults.retain(|fault| {
            let footer = is_footer(&fault.raw);
            if footer {
                rejected.push(fault.row);
            }
            !footer
        });
        (before - faults.len()) as u64
    }

    fn made(&self, byte: u64, record: u32, column: &str, raw: &[u8], reason: String) -> Reject {
        Reject {
            file: self.job.name.clone(),
            line: 0,
            byte,
            row: self.counters.records + self.passed + u64::from(record),
            column: column.to_string(),
            raw: String::from_utf8_lossy(raw).into_owned(),
            reason,
        }
    }

    /// Counts and keeps the rejects of the block at `at`, whose lines it works out.
    fn reject(&mut self, bytes: &[u8], at: u64, mut faults: Vec<Reject>) -> Result<()> {
        faults.sort_by_key(|f| f.row);
        let (mut seen, mut line) = (0, self.counters.lines);
        for mut fault in faults {
            let here = (fault.byte - at) as usize;
            line += memchr_iter(self.job.plan.cut.newline, &bytes[seen..here]).count() as u64;
            seen = here;
            fault.line = line;
            self.keep(fault)?;
        }
        Ok(())
    }

    fn keep(&mut self, fault: Reject) -> Result<()> {
        self.rejected.push(fault.row);
        self.counters.rejected += 1;
        let options = &self.job.options;
        match options.on_reject {
            OnReject::Raise if self.rejects.is_empty() => self.rejects.push(fault),
            OnReject::Raise => {}
            _ if self.counters.rejected > options.max_rejects => {
                return Err(too_many(&self.job.name, options.max_rejects));
            }
            OnReject::Collect => self.rejects.push(fault),
            OnReject::Skip => {}
        }
        Ok(())
    }

    /// A quote is opened and not closed: its first line is a reject, reading goes on after it. 0: it is the
    /// last line, cut perhaps, and held back.
    fn stray(&mut self, view: &View<'_>, at: u64, max_line: usize) -> Result<usize> {
        let newline = self.job.plan.cut.newline;
        let end = memchr(newline, view.bytes).filter(|end| *end < max_line);
        let Some(end) = end else {
            return Err(self.too_long(at, max_line));
        };
        let last = view.closed && end + 1 == view.bytes.len();
        if last && self.job.options.hold_cut {
            return Ok(0);
        }
        let raw = &view.bytes[..end];
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let cut = if last { CUT } else { "" };
        let reason = format!("{cut}a quote is opened and not closed");
        let mut fault = self.made(at, 0, "", raw, reason);
        fault.line = self.counters.lines;
        self.counters.lines += 1;
        self.counters.records += 1;
        self.keep(fault)?;
        Ok(end + 1)
    }

    fn too_long(&self, at: u64, max_line: usize) -> Error {
        let place = crate::error::Place {
            file: Some(self.job.name.as_ref().into()),
            byte: Some(at),
            ..Default::default()
        };
        Error::new(
            Kind::Schema,
            format!(
                "`{}` has a line of more than {max_line} bytes at byte {at}; check that it is a text table, or raise max_line_bytes",
                self.job.name
            ),
        )
        .at(place)
    }

    fn finish(mut self, from: u64, end: u64, lanes: &mut Lanes) -> Result<Decoded> {
        if self.columns.is_empty() {
            self.columns = self.empty(0, |_| 0, lanes);
        }
        let rows = self.columns.first().map_or(0, |c| c.len());
        self.counters.bytes = end.saturating_sub(from);
        self.counters.accepted = rows as u64;
        let mut batch = batch::finish(&self.job.plan, self.columns, rows, &self.job.zeros)?;
        let mut of = None;
        if let Some(melting) = &self.job.plan.melting {
            let offset = usize::from(self.job.plan.sensor.is_some());
            let (long, records) = melting.melt(&batch, offset)?;
            (batch, of) = (long, Some(records));
        }
        let readings = batch.num_rows();
        self.counters.readings = readings as u64;
        self.counters.melted = readings as i64 - rows as i64;
        Ok(Decoded {
            end,
            batch,
            passed: self.passed,
            of,
            rejects: self.rejects,
            rejected: self.rejected,
            counters: self.counters,
            ambiguous: self.ambiguous,
        })
    }
}

/// The error of a read with too many rejects.
pub(crate) fn too_many(name: &str, limit: u64) -> Error {
    Error::new(
        Kind::RejectLimit,
        format!(
            "`{name}` has more than {limit} records that cannot be read; check schema and file, or raise max_rejects"
        ),
    )
}

impl Why {
    /// One clause for a reject of a field with this text.
    fn clause(self, text: &[u8]) -> String {
        let shown: String = String::from_utf8_lossy(text).chars().take(80).collect();
        let reason = match self {
            Why::NotNumber => "not a number",
            Why::NotInteger => "not an integer",
            Why::NotFinite => "not a finite number",
            Why::Below => "below the least valid value",
            Why::Above => "above the greatest valid value",
            Why::NotBoolean => "not true or false",
            Why::NotText => "not UTF-8",
            Why::NotEpoch => "not a count of seconds or milliseconds",
            Why::Empty => return "empty where a value is needed".to_string(),
            Why::Beyond => "a value behind the end of its day",
            Why::Time(TimeFault::Text(error)) => error.reason(),
            Why::Time(TimeFault::Local(error)) => error.reason(),
            Why::Time(TimeFault::Null) => "a local time without an instant (policy null)",
        };
        format!("{reason}: {shown:?}")
    }
}

/// Moves a piece's rejects to their place in the file.
pub(crate) fn place(decoded: &mut Decoded, start: Start) {
    for reject in &mut decoded.rejects {
        reject.line += start.line;
        reject.row += start.row;
    }
}
