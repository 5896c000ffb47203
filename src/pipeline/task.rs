//! One partition as a pure state machine: `step(event) → effects`. No I/O, no clock, no thread.
//!
//! Files, topics, a resume, a re-run and a rebalance all enter here and nowhere else. The run
//! feeds events in the order they happened and carries effects out in the order given.
//!
//! ```text
//!            Owned(epoch, head, records)          Batch · Tick · EndOfRead · Stop
//!  Waiting ───────────────────────────► Running ─────────────────────────────────► Running
//!     ▲                                    │  Decide(flush n) ── at most one in flight
//!     │ Fenced                             ▼
//!     └──────────────────────────── Decided(n) → Apply(n) to every sink, in order → Applied(sink, n)
//!                                          │ last flush decided and applied
//!                                          ▼
//!                                       Finish → Done
//! ```
//!
//! **Rules** (each is checked by the simulation in `tests/simulate`, by a model that shares no code with this):
//! 1. Positions in a flush cover exactly the batches whose effects are in flushes ≤ n. They move with the decision, never before.
//! 2. Flush n + 1 gathers while n is in flight; it is sent only after n is decided.
//! 3. A refused flush (`Fenced`) ends the task: its state is dropped, never reused; the run
//!    takes the partition again from the head.
//! 4. An answer that is unclear (`Unclear`) is settled by `Settle`: the run reads the head; same
//!    (epoch, n) = decided, n − 1 = not decided and the *same* record is sent again.
//! 5. On `Owned` with unapplied flushes: first every sink applies them in order (from records, never recomputed),
//!    then reading begins at the head's positions with the state folded from the records.
//! 6. What a clock decided (idle, ahead) is in the record.
//!
//! **A batch** goes: ahead (reject) → behind an earlier read (put aside) → duplicates and conflicts → late, per
//! grain → merge into open windows → watermark → windows that close by it. The delta prepared on the pool is merged
//! as it is if no row is left out; otherwise the rows left are accumulated here. Both ways give the same bits. Every
//! row that is not rejected moves the greatest end of interval; rows without a value, late and equal ones too.
//!
//! **Late** is decided row by row in arrival order: with W = the watermark before the row (greatest admitted end of
//! interval − lateness, and never back), the row is late for grain g if W ≥ end of its window in g. This does not
//! depend on batch borders nor on which other grains exist. In a bounded read W moves only by `low` and at the end of
//! the read, so nothing is late in it; but a window that an earlier run closed for good is behind it.
//!
//! **An earlier read.** A reading of a bounded read at or before the greatest time that an *earlier* read had of its
//! sensor may have been counted then (overlapping files); it is put aside for all grains, with that reason. This is
//! the one exception to "late per grain". Mended rejects were never counted, so they are not put aside for that.
//!
//! **Several streams under one head** (topics, `state = shared`): W follows the least of them, see `streams`; in a batch of
//! one, its rows move W one by one as far as the others allow.
//!
//! **Conflicts** are listed with the late rows (reason `conflict`, no grains). `on_conflict = last` holds the rows of
//! a bounded read back until `low` has passed them (`pending` in the books, kept in the state); a stream refuses it.
//!
//! **Closing.** A window is final when W ≥ its end. Final windows leave memory (kept until W ≥ end + `correct_for`
//! under `on_late = correct`; a row's `revision` is the number of late readings merged into its window). At the end of a
//! bounded read, W becomes the greatest end of interval, if that is further; windows still open are written with
//! `final = false` and stay in the state. Where more is due than a flush holds (empty windows over decades), it is closed
//! in pieces, a flush each, and the reader waits; W is where it is, and a later run closes on. The end of a stream moves W
//! to the instant of `until`, if one is given, as a decision, else not at all. In silence (`idle`) W goes
//! on at the pace of the clock from where the last batch left it: a decision, made only when a window closes by it.
//! While the task itself has paused the reader there is no silence.
//!
//! **When to flush**: enough rows or bytes of effects, or `interval` since the last one, or the end; the first flush of a
//! run with an eighth of them, so that the stores begin while the source has hardly begun. Only when
//! something changed (a re-run of a counted file decides nothing). A stop drops what gathered: the next run reads it
//! again. An optimistic read is one flush, at its end; if it outgrows its limit it fails with `Kind::Disorder`, and the
//! run reads it scanned. An unfinished read found in the head is first ended, scanned and to its extent; then a new one
//! is asked for.

mod admit;
mod answers;
mod build;
mod ends;
mod events;
mod gather;
mod held;
mod live;
pub mod repair;
mod sending;
mod streams;
pub mod tables;
mod watermark;

pub use events::{Effect, Event, Limits, Outcome, TaskConfig, Wants};

use crate::faults;
use crate::flush::FlushId;
use crate::pipeline::policy::OnLate;
use crate::sink::Owned;
use crate::source::{Order, Prepare, SourceBatch};
use crate::window::Keep;
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use build::Built;
use live::Live;
use std::collections::VecDeque;

/// The last reading of each sensor of a stream, as a home holds them.
pub fn sensors(owned: &Owned) -> Result<Vec<(std::sync::Arc<str>, i64)>> {
    live::sensors(owned)
}

/// The windows that are open in what a home holds, a batch a grain.
pub fn open_windows(config: &TaskConfig, owned: &Owned) -> Result<Vec<RecordBatch>> {
    let rows = Live::restore(config, owned, 0)?
        .open
        .open_rows(&config.plan)?;
    Ok(rows.into_iter().map(|w| w.rows).collect())
}

/// Decided flushes that some sink has not taken yet: no more than these before another is sent.
const AHEAD_OF_SINKS: u64 = 4;

/// The first flush of a run is sent with this part of the rows or bytes of the others.
const FIRST: usize = 8;

/// One partition as a state machine.
#[derive(Debug)]
pub struct Task {
    config: TaskConfig,
    phase: Phase,
    live: Option<Live>,
    /// The flush in flight.
    flight: Option<Built>,
    /// Of each sink: the last flush it took, and the last it shows.
    sinks: Vec<Reached>,
    /// Flushes decided and not yet shown by all, oldest first.
    decided: VecDeque<FlushId>,
    pruned: u64,
    paused: bool,
    /// The read under way was begun by an earlier run.
    resumed: bool,
    /// A flush was sent in this run.
    sent: bool,
    /// Rejects sent in this run, and the flush that went over the budget.
    rejects: u64,
    over: Option<u64>,
    clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// For `Owned`.
    Waiting,
    /// Sinks take what was decided before.
    Recovering,
    /// Batches come.
    Reading,
    /// The read is over, its last flush is being decided.
    Ending,
    /// No more flush is sent.
    Stopping,
    /// All is decided; sinks end.
    Finishing(Outcome),
    /// Nothing is taken any more.
    Over,
}

#[derive(Clone, Debug, Default)]
struct Reached {
    taken: u64,
    shown: FlushId,
    finished: bool,
}

/// What the clock is measured from.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// The last event that told the time.
    now: i64,
    /// The last flush.
    flushed: i64,
    /// The last batch, and the watermark it left.
    heard: i64,
    mark: Option<i64>,
}

impl Task {
    /// A task that waits for [`Event::Owned`].
    pub fn new(config: TaskConfig) -> Result<Task> {
        config.check()?;
        Ok(Task {
            sinks: vec![Reached::default(); config.sinks],
            config,
            phase: Phase::Waiting,
            live: None,
            flight: None,
            decided: VecDeque::new(),
            pruned: 0,
            paused: false,
            resumed: false,
            sent: false,
            rejects: 0,
            over: None,
            clock: Clock::default(),
        })
    }

    /// The stateless part, for the pool.
    pub fn prepare(config: &TaskConfig) -> Prepare {
        let plan = config.plan.clone();
        std::sync::Arc::new(move |readings| {
            plan.accumulate(readings, &Keep::default())?.finished(&plan)
        })
    }

    /// The newest flush built, decided or not.
    pub fn newest(&self) -> FlushId {
        self.live.as_ref().map(Live::id).unwrap_or_default()
    }

    /// The flush in flight: sent to the home and not answered.
    pub fn in_flight(&self) -> Option<FlushId> {
        self.flight.as_ref().map(|f| f.0.id)
    }

    /// Windows that are open, all grains.
    pub fn open_windows(&self) -> u64 {
        let counts = self
            .live
            .as_ref()
            .map(|live| live.open.open_windows())
            .unwrap_or_default();
        counts.iter().map(|(open, _)| *open as u64).sum()
    }

    /// Takes an event, gives what is to be done, in order.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        if self.phase == Phase::Over {
            return Vec::new();
        }
        let mut out = Vec::new();
        if let Err(error) = self.take(event, &mut out) {
            self.phase = Phase::Over;
            self.live = None;
            out.push(Effect::Fail(error));
        }
        out
    }

    fn take(&mut self, event: Event, out: &mut Vec<Effect>) -> Result<()> {
        match event {
            Event::Owned { owned, now } => self.own(owned, now, out),
            Event::Batch { batch, now } => self.batch(*batch, now, out),
            Event::Tick { now } => self.tick(now, out),
            Event::EndOfRead { now } => self.end(now, out),
            Event::Decided { id } => self.decide(id, out),
            Event::Unclear { id } => self.unclear(id, out),
            Event::Settled { decided } => self.settled(decided, out),
            Event::Fenced { by } => Err(fenced(&self.config.pipeline, &by)),
            Event::Applied { sink, id, shown } => self.applied(sink, id, shown, out),
            Event::Finished { sink } => self.finished(sink, out),
            Event::Stop => self.stop(out),
        }
    }

    fn own(&mut self, owned: Owned, now: i64, out: &mut Vec<Effect>) -> Result<()> {
        if self.phase != Phase::Waiting {
            return Err(defect("the partition was given twice"));
        }
        let live = Live::restore(&self.config, &owned, now)?;
        self.clock = Clock {
            now,
            flushed: now,
            heard: now,
            mark: live.closed_to,
        };
        let first = owned.unapplied.first().map_or(live.id().n, |f| f.id.n - 1);
        if owned.unapplied.last().is_some_and(|f| f.id != live.id()) {
            return Err(defect("the home keeps older flushes than its newest"));
        }
        for reached in &mut self.sinks {
            reached.taken = first;
        }
        self.pruned = first;
        self.live = Some(live);
        self.phase = Phase::Recovering;
        for flush in owned.unapplied {
            self.decided.push_back(flush.id);
            let flush = std::sync::Arc::new(flush);
            let each = (0..self.config.sinks).map(|sink| Effect::Apply {
                sink,
                flush: flush.clone(),
            });
            out.extend(each);
        }
        self.recovered(out)
    }

    /// Reading begins when every sink has taken what was decided.
    fn recovered(&mut self, out: &mut Vec<Effect>) -> Result<()> {
        let to = self.newest().n;
        if self.sinks.iter().any(|s| s.taken < to) {
            return Ok(());
        }
        let live = self.live.as_ref().ok_or_else(lost)?;
        let read = live.gather.read.clone();
        self.resumed = read.is_some();
        let order = if self.resumed {
            Order::Scanned
        } else {
            self.config.order
        };
        self.phase = Phase::Reading;
        out.push(Effect::Read {
            from: live.positions(),
            read,
            order,
        });
        Ok(())
    }

    fn batch(&mut self, batch: SourceBatch, now: i64, out: &mut Vec<Effect>) -> Result<()> {
        if self.phase == Phase::Stopping {
            return Ok(());
        }
        if self.phase != Phase::Reading {
            return Err(defect("a batch came while nothing was read"));
        }
        self.clock.now = now;
        if faults::broken("early_position") && self.flight.is_none() {
            self.move_early(&batch, out)?;
        }
        let c = &self.config;
        let live = self.live.as_mut().ok_or_else(lost)?;
        live.ended = false;
        live.take_batch(c, batch, now)?;
        self.clock.heard = now;
        self.clock.mark = live.closed_to;
        faults::point("after_aggregate")?;
        self.check_memory()?;
        self.close_on(out)?;
        self.flush_if_due(out)
    }

    /// The defect that the fault tests must notice.
    fn move_early(&mut self, batch: &SourceBatch, out: &mut Vec<Effect>) -> Result<()> {
        let live = self.live.as_mut().ok_or_else(lost)?;
        live.gather.positions = batch.after.clone();
        live.gather.read = batch.read.clone();
        live.gather.changed = true;
        self.send(out)
    }

    /// Closes on what is due until a flush is full; the rest waits for that flush to be decided.
    fn close_on(&mut self, out: &mut Vec<Effect>) -> Result<()> {
        if self.config.on_late == OnLate::Correct {
            return Ok(());
        }
        while self.closes() && (self.optimistic() || !self.full(1)?) {
            let live = self.live.as_mut().ok_or_else(lost)?;
            live.close(&self.config)?;
            self.check_memory()?;
        }
        if !self.closes() && !self.full(1)? {
            self.resume(out);
        }
        Ok(())
    }

    /// Whether windows that are due wait to be closed.
    fn closes(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.closing)
    }

    fn go_on(&mut self, out: &mut Vec<Effect>) -> Result<()> {
        match self.phase {
            Phase::Recovering => self.recovered(out),
            Phase::Reading => self.flush_if_due(out),
            Phase::Ending => self.go_on_ending(out),
            Phase::Stopping => self.finish_if_taken(Outcome::Stopped, out),
            Phase::Waiting | Phase::Finishing(_) | Phase::Over => Ok(()),
        }
    }

    /// What is not sent yet is dropped: the next run reads it again.
    fn stop(&mut self, out: &mut Vec<Effect>) -> Result<()> {
        match self.phase {
            Phase::Waiting => {
                self.phase = Phase::Over;
                out.push(Effect::Done(Outcome::Stopped));
                Ok(())
            }
            Phase::Finishing(_) | Phase::Over => Ok(()),
            _ => {
                self.phase = Phase::Stopping;
                self.go_on(out)
            }
        }
    }
}

fn fenced(pipeline: &str, by: &str) -> Error {
    Error::new(
        Kind::Fenced,
        format!(
            "the pipeline {pipeline:?} was taken over by {by}; this run stops, nothing it had not decided was written"
        ),
    )
}

fn lost() -> Error {
    defect("the state of the partition is gone")
}

fn defect(what: &str) -> Error {
    Error::new(Kind::Internal, format!("{what}; please report it"))
}
