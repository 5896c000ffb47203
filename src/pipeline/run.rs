//! Run: feeds the task with what happens and carries out what it asks. Decides nothing itself.
//!
//! Three threads: the caller's (the task), one that polls the source, one that owns the sinks.
//! They end with the run. An optimistic read that meets disorder is started again, scanned: the same
//! path as a resume.

use super::build::Parts;
use super::control::Control;
use super::reader::{self, Budget};
use super::report::{Outcome, Report};
use super::stores::{self, Job, Stores};
use super::task::{self, Effect, Event, Task};
use crate::flush::{Flush, FlushId, Head};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::sink::{Claim, Home, Owned, What};
use crate::source::{Order, SourceBatch};
use crate::{Error, Kind, Result, runtime};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of batches between source and task.
const IN_FLIGHT: usize = 16 << 20;
/// How often the clock reaches the task, and how soon a stop is seen.
const TICK: Duration = Duration::from_millis(50);
/// How long a stop waits for a decision in flight.
const PATIENCE: Duration = Duration::from_millis(800);

/// What the threads tell the run.
pub(super) enum Message {
    Batch(Box<SourceBatch>, usize),
    End,
    Store(Vec<Event>, &'static str, Duration),
    Failed(Error),
}

/// Runs `parts` with `stores` to the end of the source or a stop. Errors leave every decided
/// flush in place. `Ok` with [`Outcome::Interrupted`]: stopped on request.
pub(super) fn run(parts: &Parts, mut stores: Stores, control: &Arc<Control>) -> Result<Report> {
    let began = Instant::now();
    super::memory::give_back();
    let size = parts.source.size().unwrap_or(0);
    control.total_bytes.store(size, Relaxed);
    let refused = stores.sinks().find_map(|s| s.prepare(&parts.tables).err());
    if let Some(error) = refused {
        return Err(explained(error, parts, stores.home.as_mut()));
    }
    let owned = acquire(parts, &mut stores)?;
    let mut order = parts.order;
    loop {
        let mut session = Session::new(parts, stores, control, order, began)?;
        let ended = session.drive(owned.clone());
        let (report, back) = session.close();
        match (ended, back) {
            (Err(error), Some(kept))
                if error.kind == Kind::Disorder && order == Order::Optimistic =>
            {
                stores = kept;
                order = Order::Scanned;
            }
            (ended, back) => {
                let released = back.map_or(Ok(()), |mut s| s.home.release(parts.config.partition));
                let outcome = ended.and_then(|outcome| released.map(|()| outcome));
                let report = Report {
                    outcome: *outcome.as_ref().unwrap_or(&Outcome::Failed),
                    elapsed: began.elapsed(),
                    ..report
                };
                let done = outcome.and_then(|_| report.run.balance());
                return match done {
                    Ok(()) => Ok(report),
                    Err(error) => {
                        control.fail(Report {
                            outcome: Outcome::Failed,
                            ..report
                        });
                        Err(error)
                    }
                };
            }
        }
    }
}

/// Why the tables do not fit: a changed definition comes before its columns, and so does another source.
fn explained(error: Error, parts: &Parts, home: &mut dyn Home) -> Error {
    let seen = home.look(&parts.config.pipeline, parts.config.partition);
    let Some(head) = seen.ok().flatten().and_then(|owned| owned.head) else {
        return error;
    };
    match parts.agrees_with(&head) {
        Err(changed) => changed,
        Ok(()) if error.kind == Kind::Usage && head.totals.readings > 0 => Error {
            message: format!(
                "{}; if the source now has other columns than the {} readings that are counted (a file was replaced by another), give the pipeline a new name",
                error.message, head.totals.readings
            ),
            ..error
        },
        Ok(()) => error,
    }
}

/// Takes the partition: looks first, so that a run that cannot go on fences nobody.
fn acquire(parts: &Parts, stores: &mut Stores) -> Result<Owned> {
    let partition = parts.config.partition;
    if let Some(head) = stores
        .home
        .look(&parts.config.pipeline, partition)?
        .and_then(|seen| seen.head)
    {
        parts.agrees_with(&head)?;
    }
    let claim = Claim {
        pipeline: parts.config.pipeline.clone(),
        partition,
        token: parts.config.token.clone(),
        owner: owner(),
        take_over: parts.take_over,
        spec: parts.config.spec.clone(),
        spec_json: parts.config.spec_json.clone(),
    };
    let owned = stores.home.acquire(&claim)?;
    for sink in stores.sinks() {
        sink.fence(partition, owned.epoch)?;
    }
    follows(&owned, stores, partition)?;
    Ok(owned)
}

/// A follower must hold this history, and no older than what the home still keeps.
fn follows(owned: &Owned, stores: &mut Stores, partition: u32) -> Result<()> {
    let Some(head) = &owned.head else {
        return Ok(());
    };
    let oldest = owned
        .unapplied
        .first()
        .map_or(head.id.n + 1, |flush| flush.id.n);
    for follower in &mut stores.followers {
        let shown = follower.applied(partition)?;
        let same = shown.as_ref().is_none_or(|a| a.lineage == head.lineage);
        let next = shown.map_or(1, |a| a.id.n + 1);
        if !same || next < oldest {
            return Err(Error::new(
                Kind::SpecChanged,
                format!(
                    "{} does not hold the flushes before number {oldest} of pipeline {:?}, and the home no longer keeps them; run under a new pipeline name, or leave this sink out",
                    follower.describe(),
                    head.pipeline
                ),
            ));
        }
    }
    Ok(())
}

fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!(
        "process {} on {}",
        std::process::id(),
        if host.trim().is_empty() {
            "this host"
        } else {
            host.trim()
        }
    )
}

/// The clock, µs UTC.
pub(super) fn clock() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// One pass of a run: a task, its threads and what is in flight.
struct Session<'a> {
    parts: &'a Parts,
    control: &'a Arc<Control>,
    task: Task,
    pool: Arc<rayon::ThreadPool>,
    sender: Sender<Message>,
    messages: Receiver<Message>,
    jobs: Option<Sender<Job>>,
    stores: Option<std::thread::JoinHandle<Stores>>,
    source: Option<(std::thread::JoinHandle<()>, Arc<Budget>)>,
    /// Batches kept while the task wants none, with their bytes.
    held: VecDeque<(Box<SourceBatch>, usize)>,
    end_held: bool,
    paused: bool,
    in_flight: Option<Arc<Flush>>,
    stop_seen: Option<Instant>,
    report: Report,
    rows: Vec<u64>,
    takes: Vec<What>,
}

impl<'a> Session<'a> {
    fn new(
        parts: &'a Parts,
        mut all: Stores,
        control: &'a Arc<Control>,
        order: Order,
        began: Instant,
    ) -> Result<Self> {
        let takes: Vec<What> = all.sinks().map(|s| s.what()).collect();
        let names = all.sinks().map(|s| (s.describe(), 0)).collect();
        let task = Task::new(task::TaskConfig {
            order,
            ..parts.config.clone()
        })?;
        let (sender, messages) = channel();
        let (jobs, thread) = stores::start(all, sender.clone())?;
        let report = Report::empty(
            parts.config.pipeline.clone(),
            parts.source.describe(),
            names,
            began.elapsed(),
        );
        Ok(Session {
            parts,
            control,
            task,
            pool: runtime::pool()?,
            sender,
            messages,
            jobs: Some(jobs),
            stores: Some(thread),
            source: None,
            held: VecDeque::new(),
            end_held: false,
            paused: false,
            in_flight: None,
            stop_seen: None,
            report,
            rows: vec![0; takes.len()],
            takes,
        })
    }

    /// Events in, effects out, until the task is done.
    fn drive(&mut self, owned: Owned) -> Result<Outcome> {
        if let Some(head) = &owned.head {
            let report = &mut self.report;
            report.totals = head.totals.clone();
            report.positions = head.positions.clone();
            (report.head, report.watermark) = (Some(head.id), head.watermark);
        }
        let mut done = self.step(Event::Owned {
            owned,
            now: clock(),
        })?;
        while done.is_none() {
            done = self.stop_if_asked()?;
            if done.is_some() {
                break;
            }
            if let Some((batch, bytes)) = self.next_held() {
                done = self.take_batch(batch, bytes)?;
                continue;
            }
            done = match self.messages.recv_timeout(TICK) {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => self.step(Event::Tick { now: clock() })?,
                Err(RecvTimeoutError::Disconnected) => return Err(lost_thread()),
            };
        }
        done.ok_or_else(lost_thread)
    }

    fn next_held(&mut self) -> Option<(Box<SourceBatch>, usize)> {
        if self.paused {
            None
        } else {
            self.held.pop_front()
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Outcome>> {
        match message {
            Message::Failed(error) => Err(error),
            // Asked to stop: what the reader had under way is left for the next run.
            Message::Batch(..) | Message::End if self.stop_seen.is_some() => Ok(None),
            Message::Batch(batch, bytes) if self.paused || !self.held.is_empty() => {
                self.held.push_back((batch, bytes));
                Ok(None)
            }
            Message::Batch(batch, bytes) => self.take_batch(batch, bytes),
            Message::End if self.paused || !self.held.is_empty() => {
                self.end_held = true;
                Ok(None)
            }
            Message::End => self.step(Event::EndOfRead { now: clock() }),
            Message::Store(events, stage, spent) => {
                self.report.stages.add(stage, spent);
                for event in events {
                    if let Some(done) = self.step(event)? {
                        return Ok(Some(done));
                    }
                }
                Ok(None)
            }
        }
    }

    fn take_batch(&mut self, batch: Box<SourceBatch>, bytes: usize) -> Result<Option<Outcome>> {
        let control = self.control;
        control.bytes.fetch_add(batch.counters.bytes, Relaxed);
        control
            .readings
            .fetch_add(batch.readings.len() as u64, Relaxed);
        control
            .rejects
            .fetch_add(batch.rejects.len() as u64, Relaxed);
        let began = Instant::now();
        let done = self.step(Event::Batch {
            batch,
            now: clock(),
        });
        self.report.stages.add("windows", began.elapsed());
        if let Some((_, budget)) = &self.source {
            budget.give(bytes);
        }
        if self.end_held && self.held.is_empty() && !self.paused && matches!(done, Ok(None)) {
            self.end_held = false;
            return self.step(Event::EndOfRead { now: clock() });
        }
        done
    }

    fn stop_if_asked(&mut self) -> Result<Option<Outcome>> {
        match self.stop_seen {
            None if self.control.stopped() => {
                self.stop_seen = Some(Instant::now());
                self.held.clear();
                self.quit_reader();
                self.step(Event::Stop)
            }
            Some(since) if since.elapsed() > PATIENCE => {
                self.report.undecided = self.in_flight.as_ref().map(|flush| flush.id);
                Ok(Some(Outcome::Interrupted))
            }
            _ => Ok(None),
        }
    }

    fn quit_reader(&mut self) {
        if let Some((_, budget)) = &self.source {
            budget.quit();
        }
    }

    /// Events that may close many windows are stepped inside the pool, which finishes columns side by side.
    fn effects(&mut self, event: Event) -> Vec<Effect> {
        let task = &mut self.task;
        match event {
            Event::Batch { .. } | Event::EndOfRead { .. } => self.pool.install(|| task.step(event)),
            _ => task.step(event),
        }
    }

    /// One event through the task; its effects carried out. `Some`: the task is done.
    fn step(&mut self, event: Event) -> Result<Option<Outcome>> {
        self.note(&event);
        let mut done = None;
        for effect in self.effects(event) {
            match effect {
                Effect::Done(how) => done = Some(how),
                Effect::Fail(error) => return Err(error),
                other => self.carry(other)?,
            }
        }
        Ok(done.map(|how| match how {
            task::Outcome::Ended => Outcome::Done,
            task::Outcome::Stopped => Outcome::Interrupted,
        }))
    }

    fn carry(&mut self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Read { from, read, order } => {
                let prepare = Task::prepare(&self.parts.config);
                let reader = self.parts.source.open(
                    self.parts.config.partition,
                    &from,
                    read.as_ref(),
                    order,
                    prepare,
                )?;
                let budget = Budget::new(IN_FLIGHT);
                let thread = reader::start(reader, budget.clone(), self.sender.clone())?;
                self.source = Some((thread, budget));
                Ok(())
            }
            Effect::Decide { flush, head } => {
                self.in_flight = Some(flush.clone());
                self.ask(Job::Decide(flush, head))
            }
            Effect::Settle { head } => self.ask(Job::Settle(head)),
            Effect::Apply { sink, flush } => {
                self.rows[sink] += rows_of(&flush, self.takes[sink]);
                self.ask(Job::Apply(sink, flush))
            }
            Effect::Prune { upto } => self.ask(Job::Prune(upto)),
            Effect::Finish => self.ask(Job::Finish),
            Effect::Pause => {
                self.paused = true;
                Ok(())
            }
            Effect::Resume => {
                self.paused = false;
                self.resume()
            }
            Effect::Done(_) | Effect::Fail(_) => Ok(()),
        }
    }

    /// An end that came while the task wanted nothing is told once the held batches are gone.
    fn resume(&mut self) -> Result<()> {
        if self.end_held && self.held.is_empty() {
            self.end_held = false;
            return self.sender.send(Message::End).map_err(|_| lost_thread());
        }
        Ok(())
    }

    fn ask(&self, job: Job) -> Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(lost_thread)?;
        jobs.send(job).map_err(|_| lost_thread())
    }

    /// Books of what is decided, for the report.
    fn note(&mut self, event: &Event) {
        let decided = match event {
            Event::Decided { .. } | Event::Settled { decided: true } => self.in_flight.take(),
            _ => None,
        };
        let Some(flush) = decided else { return };
        let report = &mut self.report;
        report.run.add(&flush.counters);
        report.totals = flush.totals.clone();
        report.flushes += 1;
        report.head = Some(flush.id);
        report.positions = flush.positions.clone();
        report.watermark = flush.watermark;
        report.decisions.extend(flush.decisions.iter().cloned());
        let room = KEPT_REJECTS.saturating_sub(report.rejects.len());
        report
            .rejects
            .extend(flush.rejects.iter().take(room).cloned());
        self.control.flushes.fetch_add(1, Relaxed);
        self.tell();
    }

    /// Whoever follows gets a report of each decided flush.
    fn tell(&mut self) {
        if let Some(follower) = self.control.reports() {
            self.fill();
            // A follower that went away is no reason to stop.
            let _ = follower.send(Report {
                outcome: Outcome::Running,
                ..self.report.clone()
            });
        }
    }

    fn fill(&mut self) {
        self.report.open_windows = self.task.open_windows();
        for (sink, rows) in self.report.sinks.iter_mut().zip(&self.rows) {
            sink.1 = *rows;
        }
    }

    /// Ends the threads. The stores come back unless a decision still hangs.
    fn close(mut self) -> (Report, Option<Stores>) {
        self.fill();
        self.quit_reader();
        self.jobs = None;
        if let Some((thread, budget)) = self.source.take() {
            self.report.stages.add("read", budget.spent());
            // A reader that waits for a pipe ends with its next byte; it is not waited for.
            if thread.is_finished() || self.stop_seen.is_none() {
                drop(thread.join());
            }
        }
        let hangs = self.report.undecided.is_some();
        let stores = self
            .stores
            .take()
            .filter(|_| !hangs)
            .and_then(|thread| thread.join().ok());
        (self.report, stores)
    }
}

/// Rejects kept in a report; all are counted, and a sink for rejects keeps all.
const KEPT_REJECTS: usize = 100_000;

fn rows_of(flush: &Flush, what: What) -> u64 {
    let rows = match what {
        What::Windows => flush.windows.iter().map(|w| w.rows.num_rows()).sum(),
        What::Readings => flush.readings.iter().map(|r| r.num_rows()).sum(),
        What::Late => flush.late.as_ref().map_or(0, |l| l.num_rows()),
        What::Rejects => flush.rejects.len(),
    };
    rows as u64
}

fn lost_thread() -> Error {
    Error::new(
        Kind::Internal,
        "a thread of the run ended unexpectedly; what was decided stands, run again, and please report it",
    )
}

impl Report {
    /// A report of nothing yet.
    fn empty(
        pipeline: String,
        source: String,
        sinks: Vec<(String, u64)>,
        elapsed: Duration,
    ) -> Report {
        Report {
            pipeline,
            source,
            sinks,
            elapsed,
            outcome: Outcome::Running,
            run: Ledger::default(),
            totals: Ledger::default(),
            flushes: 0,
            head: None::<FlushId>,
            undecided: None,
            positions: Vec::default(),
            watermark: None,
            open_windows: 0,
            decisions: Vec::new(),
            rejects: Vec::new(),
            stages: Metrics::default(),
            notes: Vec::new(),
        }
    }
}

impl Parts {
    /// The stored head belongs to this spec and this build, or says what to do.
    pub(super) fn agrees_with(&self, head: &Head) -> Result<()> {
        if head.format > crate::flush::FORMAT {
            return Err(Error::new(
                Kind::SpecChanged,
                format!(
                    "pipeline {:?} was written by a newer wattline (format {}, this one reads {}); upgrade",
                    head.pipeline,
                    head.format,
                    crate::flush::FORMAT
                ),
            ));
        }
        if head.spec == self.config.spec {
            return Ok(());
        }
        let changed = self.spec.differences(&head.spec_json)?.join("; ");
        Err(Error::new(
            Kind::SpecChanged,
            format!(
                "pipeline {:?} has flushes of another definition ({changed}); go back to it, or give the new one another name so that it counts from the beginning",
                head.pipeline
            ),
        ))
    }
}
