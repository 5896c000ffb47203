//! What a run did: ledger, timings, where it stands. Plain data, made from decided flushes only.

use crate::flush::{Decision, FlushId, Positions};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::reject::Reject;
use serde::Serialize;
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything up to the end was counted.
    Done,
    /// Stopped by the user at a decided flush.
    Interrupted,
    /// A point in a run that goes on (`follow`).
    Running,
    /// Ended by an error; what was decided stands.
    Failed,
}

/// Where one partition stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// Of the topic; 0 for files.
    pub partition: u32,
    /// The newest decided flush.
    pub head: Option<FlushId>,
    /// The next offset to be counted; `None` where the source has none, or nothing is decided.
    pub offset: Option<u64>,
    /// The next offset to be written, as last seen.
    pub end: Option<u64>,
    /// Messages between the two.
    pub lag: Option<u64>,
    /// The watermark, µs UTC.
    pub watermark: Option<i64>,
    /// Several partitions under one head: the greatest end of interval of this one, µs UTC.
    pub newest: Option<i64>,
    /// Windows still open, of all partitions under its head.
    pub open_windows: u64,
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Pipeline name.
    pub pipeline: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Counters of this run.
    pub run: Ledger,
    /// Counters of the pipeline since its beginning.
    pub totals: Ledger,
    /// Flushes decided in this run.
    pub flushes: u64,
    /// The newest decided flush, where there is one head.
    pub head: Option<FlushId>,
    /// A flush whose decision was not known when the run stopped; the next run settles it.
    pub undecided: Option<FlushId>,
    /// Where the source was left.
    pub positions: Positions,
    /// The watermark, µs UTC; of several, the least.
    pub watermark: Option<i64>,
    /// Each partition.
    pub partitions: Vec<PartitionReport>,
    /// Windows still open.
    pub open_windows: u64,
    /// The newest decisions that a replay might have made otherwise.
    pub decisions: Vec<Decision>,
    /// The first rejects (all, where they were collected and few).
    pub rejects: Vec<Reject>,
    /// Rows written by sink, as described.
    pub sinks: Vec<(String, u64)>,
    /// What the source is.
    pub source: String,
    /// Wall time.
    pub elapsed: Duration,
    /// Time by stage, summed over threads.
    pub stages: Metrics,
    /// What the reader of the report should know beside, a sentence each.
    pub notes: Vec<String>,
}

impl Report {
    /// A report of nothing yet.
    pub(super) fn empty(pipeline: String, source: String, sinks: Vec<(String, u64)>) -> Report {
        Report {
            pipeline,
            source,
            sinks,
            elapsed: Duration::ZERO,
            outcome: Outcome::Running,
            run: Ledger::default(),
            totals: Ledger::default(),
            flushes: 0,
            head: None,
            undecided: None,
            positions: Vec::default(),
            watermark: None,
            partitions: Vec::new(),
            open_windows: 0,
            decisions: Vec::new(),
            rejects: Vec::new(),
            stages: Metrics::default(),
            notes: Vec::new(),
        }
    }

    /// Says what became of readings behind final windows; `kept`: a sink takes them.
    pub(super) fn note_late(&mut self, kept: bool) {
        let late = self.run.grains.values().map(|books| books.late).max();
        let place = match kept {
            true => "where late readings go",
            false => "in no store",
        };
        if let Some(late @ 1..) = late {
            self.notes.push(format!(
                "{late} readings came behind windows that are final: they are in no window, and {place}; a pipeline with on_late = \"correct\" and correct_for takes such readings in, another time or meter wants another pipeline name"
            ));
        }
    }

    /// Readings a second of wall time.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.run.readings as f64 / seconds
        } else {
            0.0
        }
    }

    /// A small JSON dictionary: outcome, counters, seconds; fit for XCom.
    pub fn summary(&self) -> serde_json::Value {
        let stages: serde_json::Map<String, serde_json::Value> = self
            .stages
            .stages
            .iter()
            .map(|(k, v)| ((*k).to_string(), v.as_secs_f64().into()))
            .collect();
        serde_json::json!({
            "pipeline": self.pipeline,
            "outcome": match self.outcome { Outcome::Done => "done", Outcome::Interrupted => "interrupted", Outcome::Running => "running", Outcome::Failed => "failed" },
            "source": self.source,
            "ledger": self.run,
            "totals": self.totals,
            "flushes": self.flushes,
            "head": self.head,
            "undecided": self.undecided,
            "watermark": self.watermark,
            "open_windows": self.open_windows,
            "partitions": self.partitions,
            "readings_per_second": self.rate(),
            "sinks": self.sinks.iter().map(|(name, rows)| serde_json::json!({"sink": name, "rows": rows})).collect::<Vec<_>>(),
            "seconds": self.elapsed.as_secs_f64(),
            "stages": stages,
            "notes": self.notes,
        })
    }
}
