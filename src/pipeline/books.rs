//! Books: what a run has done, gathered from decided flushes of all its lanes, for reports.

use super::control::Control;
use super::report::{Outcome, PartitionReport, Report};
use crate::flush::{Flush, Head, Position};
use crate::ledger::Ledger;
use crate::sink::What;
use crate::source::SourceBatch;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Rejects kept in a report; all are counted, and a sink for rejects keeps all.
const KEPT_REJECTS: usize = 100_000;
/// The same where a report is made at each flush.
const KEPT_REJECTS_FOLLOWED: usize = 1_000;
/// The newest decisions kept in a report; all are in the flushes.
const KEPT_DECISIONS: usize = 1_000;

/// What a run has done.
pub(super) struct Books {
    pub(super) report: Report,
    control: Arc<Control>,
    takes: Vec<What>,
    began: Instant,
    /// What is decided of each partition.
    lanes: BTreeMap<u32, Decided>,
    ends: Arc<Ends>,
    /// Several lanes tell together, not each at each flush.
    interval: Duration,
    told: Option<Instant>,
}

/// The next offset to be written, by topic partition, as last seen.
pub(super) type Ends = std::sync::Mutex<BTreeMap<u32, u64>>;

#[derive(Default)]
struct Decided {
    totals: Ledger,
    open: u64,
    part: PartitionReport,
    positions: Vec<Position>,
}

impl Books {
    /// Nothing done yet.
    pub(super) fn new(
        report: Report,
        control: Arc<Control>,
        takes: Vec<What>,
        ends: Arc<Ends>,
        interval: Duration,
        began: Instant,
    ) -> Books {
        Books {
            report,
            control,
            takes,
            began,
            lanes: BTreeMap::new(),
            ends,
            interval,
            told: None,
        }
    }

    /// A partition is taken, with this decided.
    pub(super) fn begin(&mut self, partition: u32, head: Option<&Head>) {
        let lane = self.lanes.entry(partition).or_default();
        lane.part.partition = partition;
        if let Some(head) = head {
            lane.totals = head.totals.clone();
            lane.positions.clone_from(&head.positions);
            lane.part.head = Some(head.id);
            lane.part.watermark = head.watermark;
        }
    }

    /// A batch came in.
    pub(super) fn met(&self, batch: &SourceBatch) {
        let control = &self.control;
        control.bytes.fetch_add(batch.counters.bytes, Relaxed);
        let readings = batch.readings.len() as u64;
        control.readings.fetch_add(readings, Relaxed);
        let rejects = batch.rejects.len() as u64;
        control.rejects.fetch_add(rejects, Relaxed);
    }

    /// Time went into a stage.
    pub(super) fn spent(&mut self, stage: &'static str, spent: Duration) {
        self.report.stages.add(stage, spent);
    }

    /// A flush goes to a sink.
    pub(super) fn written(&mut self, sink: usize, flush: &Flush) {
        if let (Some(shown), Some(what)) = (self.report.sinks.get_mut(sink), self.takes.get(sink)) {
            shown.1 += rows_of(flush, *what);
        }
    }

    /// A flush is decided.
    pub(super) fn decided(&mut self, flush: &Flush, open: u64) {
        let lane = self.lanes.entry(flush.partition).or_default();
        lane.totals = flush.totals.clone();
        lane.open = open;
        lane.positions.clone_from(&flush.positions);
        lane.part.partition = flush.partition;
        lane.part.head = Some(flush.id);
        lane.part.watermark = flush.watermark;
        let follower = self.control.reports();
        let most = match follower {
            Some(_) => KEPT_REJECTS_FOLLOWED,
            None => KEPT_REJECTS,
        };
        let report = &mut self.report;
        report.run.add(&flush.counters);
        report.flushes += 1;
        report.decisions.extend(flush.decisions.iter().cloned());
        let over = report.decisions.len().saturating_sub(KEPT_DECISIONS);
        report.decisions.drain(..over);
        let room = most.saturating_sub(report.rejects.len());
        let rejects = flush.rejects.iter().take(room).cloned();
        report.rejects.extend(rejects);
        self.control.flushes.fetch_add(1, Relaxed);
        if let Some(follower) = follower {
            self.tell(&follower);
        }
    }

    /// Whoever follows gets a report of each decided flush.
    fn tell(&mut self, follower: &std::sync::mpsc::SyncSender<Report>) {
        let soon = self.lanes.len() > 1 && self.told.is_some_and(|t| t.elapsed() < self.interval);
        if soon {
            return;
        }
        self.told = Some(Instant::now());
        self.fill();
        // A follower that is slow gets the next one instead; one that went away is no reason to stop.
        drop(follower.try_send(Report {
            outcome: Outcome::Running,
            ..self.report.clone()
        }));
    }

    /// Brings the report up to date.
    pub(super) fn fill(&mut self) {
        let report = &mut self.report;
        report.elapsed = self.began.elapsed();
        report.totals = Ledger::default();
        report.positions.clear();
        report.partitions.clear();
        report.open_windows = 0;
        let ends = self.ends.lock().map(|e| e.clone()).unwrap_or_default();
        for lane in self.lanes.values() {
            report.totals.add(&lane.totals);
            report.open_windows += lane.open;
            report.positions.extend(lane.positions.iter().cloned());
            report.partitions.extend(lane.parts(&ends));
        }
        let alone = self.lanes.len() == 1;
        let only = self.lanes.values().next().filter(|_| alone);
        report.head = only.and_then(|lane| lane.part.head);
        let marks = self.lanes.values().map(|lane| lane.part.watermark);
        report.watermark = marks.min().flatten();
    }

    /// Windows open in a lane that ends.
    pub(super) fn left_open(&mut self, partition: u32, open: u64) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.open = open;
        }
    }

    /// A lane is gone; others count it from now on.
    pub(super) fn forget(&mut self, partition: u32) {
        self.lanes.remove(&partition);
    }

    /// Decided offsets of the topic partitions of a lane.
    pub(super) fn offsets(&self) -> Vec<(u32, u64)> {
        let positions = self.lanes.values().flat_map(|lane| &lane.positions);
        positions.filter_map(Position::offset).collect()
    }
}

impl Decided {
    /// A row for each topic partition that the lane counts, one for the lane where it counts none.
    fn parts(&self, ends: &BTreeMap<u32, u64>) -> Vec<PartitionReport> {
        let of_topic: Vec<(u32, &Position)> = self
            .positions
            .iter()
            .filter_map(|p| p.offset().map(|(partition, _)| (partition, p)))
            .collect();
        let row = |partition: u32, position: Option<&Position>| {
            let offset = position.map(|p| p.at);
            let end = ends.get(&partition).copied();
            PartitionReport {
                partition,
                offset,
                end,
                lag: offset.zip(end).map(|(at, end)| end.saturating_sub(at)),
                open_windows: self.open,
                newest: position.and_then(|p| p.time),
                ..self.part.clone()
            }
        };
        if of_topic.is_empty() {
            return vec![row(self.part.partition, None)];
        }
        of_topic.iter().map(|(n, p)| row(*n, Some(p))).collect()
    }
}

fn rows_of(flush: &Flush, what: What) -> u64 {
    let rows = match what {
        What::Windows => flush.windows.iter().map(|w| w.rows.num_rows()).sum(),
        What::Readings => flush.readings.iter().map(|r| r.num_rows()).sum(),
        What::Late => flush.late.as_ref().map_or(0, |l| l.num_rows()),
        What::Rejects => flush.rejects.len(),
    };
    rows as u64
}
