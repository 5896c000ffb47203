//! The ledger: counters whose books balance, or the run fails. A leaf: plain type.
//!
//! ```text
//! lines    = preamble + header + blank + continuation + records     (text sources)
//! records  = accepted + rejected
//! readings = accepted + melted          (values a record beyond its first: wide files, lines of a day)
//! messages = decoded + tombstones + dead + repeated                 (topics)
//! per grain: readings = windowed + late + null + dropped + duplicate + pending
//! ```
//! Counters live in the flush, so a replay does not count twice.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counters of one grain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrainBooks {
    /// Readings counted into a window.
    pub windowed: u64,
    /// Readings behind a final window, put aside.
    pub late: u64,
    /// Rows without any value.
    pub null: u64,
    /// Late readings dropped by `on_late = drop`, quality `bad`, and rows a policy left out.
    pub dropped: u64,
    /// Equal readings counted once.
    pub duplicate: u64,
    /// Read, not yet in a decided window (held back). In a flush: the change, below 0 when rows
    /// held back earlier were let go; in totals: how many are held now.
    pub pending: i64,
    /// Of the windowed: readings that cross their window's edge.
    pub crossing: u64,
    /// Of the windowed: late readings merged by `on_late = correct`.
    pub corrected: u64,
    /// Window rows written, empty ones included.
    pub windows: u64,
    /// Of these: windows without a reading.
    pub gaps: u64,
}

/// The counters of a run or of a whole pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ledger {
    pub bytes: u64,
    pub lines: u64,
    pub preamble: u64,
    pub header: u64,
    /// Blank and comment lines, and lines of the footer.
    pub blank: u64,
    /// Lines inside quoted fields.
    pub continuation: u64,
    pub records: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub readings: u64,
    /// Readings beyond one a record. In a flush below 0 where records were counted before their readings.
    #[serde(default)]
    pub melted: i64,
    /// Same sensor and time, other values.
    pub conflicts: u64,
    /// Messages of a topic.
    #[serde(default)]
    pub messages: u64,
    /// Of these: read, with what rows they hold.
    #[serde(default)]
    pub decoded: u64,
    /// Of these: without a value.
    #[serde(default)]
    pub tombstones: u64,
    /// Of these: they could not be read.
    #[serde(default)]
    pub dead: u64,
    /// Of these: counted before, by where they came from.
    #[serde(default)]
    pub repeated: u64,
    /// By grain name.
    pub grains: BTreeMap<String, GrainBooks>,
}

impl Ledger {
    /// Adds `other` to this.
    pub fn add(&mut self, other: &Ledger) {
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.preamble += other.preamble;
        self.header += other.header;
        self.blank += other.blank;
        self.continuation += other.continuation;
        self.records += other.records;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.readings += other.readings;
        self.melted += other.melted;
        self.conflicts += other.conflicts;
        self.messages += other.messages;
        self.decoded += other.decoded;
        self.tombstones += other.tombstones;
        self.dead += other.dead;
        self.repeated += other.repeated;
        for (name, books) in &other.grains {
            self.grains.entry(name.clone()).or_default().add(books);
        }
    }

    /// Checks every equation; the error names the first that fails, with its numbers.
    pub fn balance(&self) -> Result<()> {
        let equations = [
            (
                "lines = preamble + header + blank + continuation + records",
                self.lines,
                self.preamble + self.header + self.blank + self.continuation + self.records,
            ),
            (
                "records = accepted + rejected",
                self.records,
                self.accepted + self.rejected,
            ),
            (
                "readings = accepted + melted",
                self.readings,
                self.accepted.wrapping_add_signed(self.melted),
            ),
            (
                "messages = decoded + tombstones + dead + repeated",
                self.messages,
                self.decoded + self.tombstones + self.dead + self.repeated,
            ),
        ];
        for (name, left, right) in equations {
            equal(name, left, right)?;
        }
        for (grain, b) in &self.grains {
            let right = b.counted().wrapping_add_signed(b.pending);
            equal(
                &format!(
                    "{grain}: readings = windowed + late + null + dropped + duplicate + pending"
                ),
                self.readings,
                right,
            )?;
        }
        Ok(())
    }
}

impl GrainBooks {
    /// Readings that went somewhere: all terms of the equation but `pending`.
    pub fn counted(&self) -> u64 {
        self.windowed + self.late + self.null + self.dropped + self.duplicate
    }

    /// Adds `other` to this.
    pub fn add(&mut self, other: &GrainBooks) {
        self.windowed += other.windowed;
        self.late += other.late;
        self.null += other.null;
        self.dropped += other.dropped;
        self.duplicate += other.duplicate;
        self.pending += other.pending;
        self.crossing += other.crossing;
        self.corrected += other.corrected;
        self.windows += other.windows;
        self.gaps += other.gaps;
    }
}

fn equal(name: &str, left: u64, right: u64) -> Result<()> {
    if left == right {
        return Ok(());
    }
    Err(Error::new(
        Kind::Ledger,
        format!(
            "the books do not balance: {name}, but {left} is not {right}; nothing was committed for this flush, please report it"
        ),
    ))
}
