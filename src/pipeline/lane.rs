//! Lane: one partition under way. Its task, the thread that reads it, what is held back, what is in flight.
//!
//! ```text
//! Taking ── Owned ──► Running ── Finish ──► Finishing ── Finished ──► gone
//!    │                   │ revoked                                      ▲
//!    └── revoked ──► Leaving(since) ── its decision is settled, or 1 s ─┘
//! ```
//! A lane carries out what its task asks for and decides nothing. It has a turn: what threads of an earlier lane of
//! the same partition still say is not for this one.

use super::books::Books;
use super::build::Parts;
use super::reader::{self, Budget, Share};
use super::run::{Message, Told, clock, lost_thread};
use super::stores::Job;
use super::task::{self, Effect, Event, Task, TaskConfig};
use crate::Result;
use crate::flush::Flush;
use crate::sink::Owned;
use crate::source::{Order, SourceBatch};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// Open windows from which on a batch may close enough of them to share the work out.
const MANY: u64 = 8_192;

/// Names a lane: the partition, and which of the lanes it had in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) partition: u32,
    pub(super) turn: u64,
}

/// What lanes work with.
pub(super) struct Hands<'a> {
    pub(super) parts: &'a Parts,
    pub(super) sender: Sender<Message>,
    pub(super) jobs: Option<Sender<Job>>,
    pub(super) budget: Arc<Budget>,
    pub(super) pool: Arc<rayon::ThreadPool>,
}

impl Hands<'_> {
    /// Gives the store thread something to do.
    pub(super) fn ask(&self, job: Job) -> Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(lost_thread)?;
        jobs.send(job).map_err(|_| lost_thread())
    }
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// The home is asked for the partition.
    Taking,
    /// Events are taken.
    Running,
    /// Everything is decided and taken; the sinks are to end.
    Finishing,
    /// The partition is to go to others.
    Leaving(Instant),
}

/// A partition under way.
pub(super) struct Lane {
    pub(super) key: Key,
    pub(super) phase: Phase,
    task: Task,
    order: Order,
    /// Kept while the read may have to begin again.
    owned: Option<Owned>,
    source: Option<(std::thread::JoinHandle<()>, Arc<Share>)>,
    /// Batches kept while the task wants none, with their bytes.
    held: VecDeque<(Box<SourceBatch>, usize)>,
    end_held: bool,
    paused: bool,
    stopped: bool,
    in_flight: Option<Arc<Flush>>,
}

impl Lane {
    /// A lane that waits for the home's answer.
    pub(super) fn new(key: Key, config: &TaskConfig, order: Order) -> Result<Lane> {
        let task = Task::new(TaskConfig {
            partition: key.partition,
            order,
            ..config.clone()
        })?;
        Ok(Lane {
            key,
            phase: Phase::Taking,
            task,
            order,
            owned: None,
            source: None,
            held: VecDeque::new(),
            end_held: false,
            paused: false,
            stopped: false,
            in_flight: None,
        })
    }

    /// The same partition once more, looked through first; `None` where that would change nothing.
    pub(super) fn again(&mut self, key: Key, config: &TaskConfig) -> Result<Option<(Lane, Owned)>> {
        let Some(owned) = self.owned.take() else {
            return Ok(None);
        };
        Ok(Some((Lane::new(key, config, Order::Scanned)?, owned)))
    }

    /// The home gave the partition.
    pub(super) fn take_over(
        &mut self,
        owned: Owned,
        hands: &Hands<'_>,
        books: &mut Books,
    ) -> Ended {
        if self.phase == Phase::Taking {
            self.phase = Phase::Running;
        }
        if self.order == Order::Optimistic {
            self.owned = Some(owned.clone());
        }
        books.begin(self.key.partition, owned.head.as_ref());
        if self.stopped {
            return self.step(Event::Stop, hands, books);
        }
        let now = clock();
        self.step(Event::Owned { owned, now }, hands, books)
    }

    /// The flush that is sent and not answered.
    pub(super) fn in_flight(&self) -> Option<&Arc<Flush>> {
        self.in_flight.as_ref()
    }

    /// Windows that are open.
    pub(super) fn open_windows(&self) -> u64 {
        self.task.open_windows()
    }

    /// Whether batches were held back that may go now.
    pub(super) fn has_held(&self) -> bool {
        !self.paused && !self.held.is_empty()
    }

    /// Steps with one of them.
    pub(super) fn step_held(&mut self, hands: &Hands<'_>, books: &mut Books) -> Ended {
        match self.held.pop_front() {
            Some((batch, bytes)) => self.take_batch(batch, bytes, hands, books),
            None => Ok(None),
        }
    }

    /// Takes what a thread says.
    pub(super) fn hear(&mut self, told: Told, hands: &Hands<'_>, books: &mut Books) -> Ended {
        match told {
            // Asked to stop: what the reader had under way is left for the next run.
            Told::Batch(_, bytes) if self.stopped => {
                hands.budget.give(bytes);
                Ok(None)
            }
            Told::End if self.stopped => Ok(None),
            Told::Batch(batch, bytes) if self.paused || !self.held.is_empty() => {
                self.held.push_back((batch, bytes));
                Ok(None)
            }
            Told::Batch(batch, bytes) => self.take_batch(batch, bytes, hands, books),
            Told::End if self.paused || !self.held.is_empty() => {
                self.end_held = true;
                Ok(None)
            }
            Told::End => self.step(Event::EndOfRead { now: clock() }, hands, books),
            Told::Store(events) => {
                for event in events {
                    if let Some(done) = self.step(event, hands, books)? {
                        return Ok(Some(done));
                    }
                }
                Ok(None)
            }
        }
    }

    fn take_batch(
        &mut self,
        batch: Box<SourceBatch>,
        bytes: usize,
        hands: &Hands<'_>,
        books: &mut Books,
    ) -> Ended {
        books.met(&batch);
        let began = Instant::now();
        let now = clock();
        let done = self.step(Event::Batch { batch, now }, hands, books);
        books.spent("windows", began.elapsed());
        hands.budget.give(bytes);
        if self.end_held && self.held.is_empty() && !self.paused && matches!(done, Ok(None)) {
            self.end_held = false;
            return self.step(Event::EndOfRead { now: clock() }, hands, books);
        }
        done
    }

    /// The clock went on.
    pub(super) fn tick(&mut self, hands: &Hands<'_>, books: &mut Books) -> Ended {
        match self.phase {
            Phase::Running => self.step(Event::Tick { now: clock() }, hands, books),
            _ => Ok(None),
        }
    }

    /// Ends at the newest decision; what is not sent yet is left for the next owner.
    pub(super) fn stop(&mut self, hands: &Hands<'_>, books: &mut Books) -> Ended {
        self.stopped = true;
        if self.phase == Phase::Taking {
            // The home answers first: what it holds belongs into the report.
            return Ok(None);
        }
        self.quit(hands);
        self.step(Event::Stop, hands, books)
    }

    fn quit(&mut self, hands: &Hands<'_>) {
        self.held
            .drain(..)
            .for_each(|(_, bytes)| hands.budget.give(bytes));
        if let Some((_, share)) = &self.source {
            share.quit();
        }
    }

    /// Ends the reader. Waits for it where `wait` says so, or where it has ended.
    pub(super) fn close(mut self, wait: bool, hands: &Hands<'_>, books: &mut Books) {
        self.quit(hands);
        if let Some((thread, share)) = self.source.take() {
            books.spent("read", share.spent());
            if wait || thread.is_finished() {
                drop(thread.join());
            }
        }
    }

    /// One event through the task; its effects carried out. `Some`: the task is done.
    pub(super) fn step(&mut self, event: Event, hands: &Hands<'_>, books: &mut Books) -> Ended {
        self.note(&event, books);
        let mut done = None;
        for effect in self.effects(event, hands) {
            match effect {
                Effect::Done(how) => done = Some(how),
                Effect::Fail(error) => return Err(error),
                other => self.carry(other, hands, books)?,
            }
        }
        Ok(done)
    }

    /// Events that may close many windows are stepped inside the pool, which finishes columns side by side. The others
    /// are not: there they would wait behind the chunks that the pool decodes, as the joining of a flush's tables does.
    fn effects(&mut self, event: Event, hands: &Hands<'_>) -> Vec<Effect> {
        let task = &mut self.task;
        match event {
            Event::Batch { .. } if task.open_windows() < MANY => task.step(event),
            Event::Batch { .. } | Event::EndOfRead { .. } => {
                hands.pool.install(|| task.step(event))
            }
            _ => task.step(event),
        }
    }

    fn carry(&mut self, effect: Effect, hands: &Hands<'_>, books: &mut Books) -> Result<()> {
        let key = self.key;
        match effect {
            Effect::Read { from, read, order } => {
                let prepare = Task::prepare(&hands.parts.config);
                let source = &hands.parts.source;
                let reader = source.open(key.partition, &from, read.as_ref(), order, prepare)?;
                let share = Share::new(hands.budget.clone());
                let thread = reader::start(reader, share.clone(), key, hands.sender.clone())?;
                self.source = Some((thread, share));
                Ok(())
            }
            Effect::Decide { flush, head } => {
                self.in_flight = Some(flush.clone());
                hands.ask(Job::Decide(key, flush, head))
            }
            Effect::Settle { head } => hands.ask(Job::Settle(key, head)),
            Effect::Apply { sink, flush } => {
                books.written(sink, &flush);
                hands.ask(Job::Apply(key, sink, flush))
            }
            Effect::Prune { upto } => hands.ask(Job::Prune(key, upto)),
            Effect::Finish => match self.phase {
                Phase::Leaving(_) => hands.ask(Job::Leave(key)),
                _ => {
                    self.phase = Phase::Finishing;
                    Ok(())
                }
            },
            Effect::Pause => {
                self.paused = true;
                Ok(())
            }
            Effect::Resume => {
                self.paused = false;
                self.resume(hands)
            }
            Effect::Done(_) | Effect::Fail(_) => Ok(()),
        }
    }

    /// An end that came while the task wanted nothing is told once the held batches are gone.
    fn resume(&mut self, hands: &Hands<'_>) -> Result<()> {
        if self.end_held && self.held.is_empty() {
            self.end_held = false;
            let end = Message::Lane(self.key, Told::End);
            return hands.sender.send(end).map_err(|_| lost_thread());
        }
        Ok(())
    }

    /// Books of what is decided, for the report.
    fn note(&mut self, event: &Event, books: &mut Books) {
        let decided = match event {
            Event::Decided { .. } | Event::Settled { decided: true } => self.in_flight.take(),
            _ => None,
        };
        if let Some(flush) = decided {
            books.decided(&flush, self.task.open_windows());
        }
    }
}

/// What became of a step: `Some` where the task is done.
pub(super) type Ended = Result<Option<task::Outcome>>;
