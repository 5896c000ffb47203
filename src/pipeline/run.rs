//! Run: feeds the tasks with what happens and carries out what they ask. Decides nothing itself.
//!
//! One loop over lanes, one for each partition this run has: files, tables, the simulator and topics under one head
//! are one lane, partition 0; the partitions of a topic are one each. The loop is the caller's thread; each lane has
//! one that polls its source, all have one that owns the sinks, and where a group shares the partitions, one is its
//! member. They end with the run. An optimistic read that meets disorder begins again, scanned, in a new lane: the
//! same path as a resume, a rebalance, and a partition that was lost and is taken again.

use super::agree::Agreement;
use super::books::Books;
use super::build::Parts;
use super::control::Control;
use super::lane::{Hands, Key, Lane, Phase};
use super::reader::Budget;
use super::report::{Outcome, Report};
use super::share::{Member, Watch};
use super::stores::{self, Job, Stores, Thread};
use super::task::{self, Event};
use crate::sink::{Claim, Home, Owned, What};
use crate::source::{Change, SourceBatch};
use crate::{Error, Kind, Result, runtime};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of batches between source and tasks, all lanes together.
const IN_FLIGHT: usize = 8 << 20;
/// How often the clock reaches the tasks, and how soon a stop is seen.
const TICK: Duration = Duration::from_millis(50);
/// How long a stop waits for decisions in flight, and a run that failed or was stopped for rows still to be applied.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a partition that others are to have waits for its decision in flight.
const LEAVE: Duration = Duration::from_secs(1);
/// How often the home is shown that the owner lives.
const RENEW: Duration = Duration::from_secs(1);

/// What the threads tell the run.
pub(super) enum Message {
    Lane(Key, Told),
    Failed(Key, Error),
    Spent(Key, Vec<Event>, &'static str, Duration),
    Owned(Key, Box<Owned>),
    Released(u32, Result<()>),
    Renewed,
    /// Every sink has ended; how many they are.
    Finished(Result<usize>),
    Share(Result<Change>),
}

/// What is told of one lane.
pub(super) enum Told {
    Batch(Box<SourceBatch>, usize),
    End,
    Store(Vec<Event>),
}

/// Runs `parts` with `stores` to the end of the source or a stop. Errors leave every decided
/// flush in place. `Ok` with [`Outcome::Interrupted`]: stopped on request.
pub(super) fn run(parts: &Parts, mut stores: Stores, control: &Arc<Control>) -> Result<Report> {
    let began = Instant::now();
    let size = parts.source.size().unwrap_or(0);
    control.total_bytes.store(size, Relaxed);
    control.begin();
    let refused = stores.sinks().find_map(|s| s.prepare(&parts.tables).err());
    if let Some(error) = refused {
        return Err(explained(error, parts, stores.home.as_mut()));
    }
    let keeps_late = stores.sinks().any(|s| s.what() == What::Late);
    let mut run = Run::new(parts, stores, control, began)?;
    let ended = run.drive();
    let (report, released) = run.close(matches!(ended, Ok(Outcome::Done)));
    let outcome = ended.and_then(|outcome| released.map(|()| outcome));
    let mut report = Report {
        outcome: *outcome.as_ref().unwrap_or(&Outcome::Failed),
        elapsed: began.elapsed(),
        ..report
    };
    report.note_late(keeps_late);
    match outcome.and_then(|_| report.run.balance()) {
        Ok(()) => Ok(report),
        Err(error) => {
            control.fail(Report {
                outcome: Outcome::Failed,
                ..report
            });
            Err(error)
        }
    }
}

/// Why the tables do not fit: a changed definition comes before its columns, and so does another source.
fn explained(error: Error, parts: &Parts, home: &mut dyn Home) -> Error {
    let seen = home.look(&parts.config.pipeline, parts.config.partition);
    let Some(head) = seen.ok().flatten().and_then(|owned| owned.head) else {
        return error;
    };
    match parts.agreement().with(&head) {
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

/// A run under way.
struct Run<'a> {
    hands: Hands<'a>,
    control: &'a Arc<Control>,
    books: Books,
    messages: Receiver<Message>,
    stores: Option<Thread>,
    lanes: BTreeMap<u32, Lane>,
    turns: u64,
    member: Option<Member>,
    /// Keeps the ends of the log up to date while the run lasts.
    _watch: Option<Watch>,
    agreement: Arc<Agreement>,
    /// How a lane ended that had not come to its end.
    cut_short: bool,
    stop_seen: Option<Instant>,
    ticked: Instant,
    renewed: Option<Instant>,
    finishing: bool,
}

impl<'a> Run<'a> {
    fn new(
        parts: &'a Parts,
        mut all: Stores,
        control: &'a Arc<Control>,
        began: Instant,
    ) -> Result<Self> {
        let takes: Vec<What> = all.sinks().map(|s| s.what()).collect();
        let names = all.sinks().map(|s| (s.describe(), 0)).collect();
        let (sender, messages) = channel();
        let (jobs, thread) = stores::start(all, sender.clone())?;
        let watch = Watch::start(&parts.source, parts.config.identity.is_some())?;
        let ends = watch.as_ref().map(|w| w.ends.clone()).unwrap_or_default();
        let report = Report::empty(
            parts.config.pipeline.clone(),
            parts.source.describe(),
            names,
        );
        let interval = u64::try_from(parts.config.limits.interval).unwrap_or(0);
        let interval = Duration::from_micros(interval);
        Ok(Run {
            hands: Hands {
                parts,
                sender,
                jobs: Some(jobs),
                budget: Budget::new(IN_FLIGHT),
                pool: runtime::pool()?,
            },
            control,
            books: Books::new(report, control.clone(), takes, ends, interval, began),
            messages,
            stores: Some(thread),
            lanes: BTreeMap::new(),
            turns: 0,
            member: None,
            _watch: watch,
            agreement: Arc::new(parts.agreement()),
            cut_short: false,
            stop_seen: None,
            ticked: Instant::now(),
            renewed: None,
            finishing: false,
        })
    }

    /// Messages in, steps out, until no lane is left.
    fn drive(&mut self) -> Result<Outcome> {
        self.begin()?;
        loop {
            self.stop_if_asked()?;
            if let Some(outcome) = self.over() {
                return Ok(outcome);
            }
            if self.ticked.elapsed() >= TICK {
                self.tick()?;
            }
            if self.step_held()? {
                continue;
            }
            match self.messages.recv_timeout(TICK) {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(lost_thread()),
            }
        }
    }

    /// All partitions by hand, or a place in the group.
    fn begin(&mut self) -> Result<()> {
        let parts = self.hands.parts;
        if parts.grouped {
            let group = parts.source.group()?.ok_or_else(no_group)?;
            self.member = Some(Member::join(group, self.hands.sender.clone())?);
            return Ok(());
        }
        (0..parts.source.partitions()).try_for_each(|partition| self.open(partition))
    }

    /// Asks the home for a partition.
    fn open(&mut self, partition: u32) -> Result<()> {
        if self.lanes.contains_key(&partition) || self.stop_seen.is_some() {
            return Ok(());
        }
        let parts = self.hands.parts;
        let key = self.key(partition);
        let lane = Lane::new(key, &parts.config, parts.order)?;
        let claim = Claim {
            pipeline: parts.config.pipeline.clone(),
            partition,
            token: parts.config.token.clone(),
            owner: owner(),
            // Where a group gives the partitions out, it says whose they are.
            take_over: parts.take_over || self.member.is_some(),
            spec: parts.config.spec.clone(),
            spec_json: parts.config.spec_json.clone(),
        };
        self.lanes.insert(partition, lane);
        self.hands
            .ask(Job::Acquire(key, Box::new(claim), self.agreement.clone()))
    }

    fn key(&mut self, partition: u32) -> Key {
        self.turns += 1;
        Key {
            partition,
            turn: self.turns,
        }
    }

    /// How the run ended, if it did.
    fn over(&mut self) -> Option<Outcome> {
        let goes_on = self.member.is_some() && self.stop_seen.is_none();
        if self.lanes.is_empty() && !goes_on {
            return Some(match self.cut_short || self.member.is_some() {
                true => Outcome::Interrupted,
                false => Outcome::Done,
            });
        }
        let since = self.stop_seen.filter(|s| s.elapsed() > PATIENCE)?;
        let flights = self.lanes.values().filter_map(Lane::in_flight);
        self.books.report.undecided = flights.map(|flush| flush.id).next();
        (since.elapsed() > PATIENCE).then_some(Outcome::Interrupted)
    }

    fn stop_if_asked(&mut self) -> Result<()> {
        if self.stop_seen.is_some() || !self.control.stopped() {
            return Ok(());
        }
        self.stop_seen = Some(Instant::now());
        let partitions: Vec<u32> = self.lanes.keys().copied().collect();
        for partition in partitions {
            self.with(partition, |lane, hands, books| lane.stop(hands, books))?;
        }
        Ok(())
    }

    /// Lets a lane do something, and looks at what became of it.
    fn with(
        &mut self,
        partition: u32,
        act: impl FnOnce(&mut Lane, &Hands<'a>, &mut Books) -> Result<Option<task::Outcome>>,
    ) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(&partition) else {
            return Ok(());
        };
        match act(lane, &self.hands, &mut self.books) {
            Ok(None) => self.finish_if_all_are(),
            Ok(Some(outcome)) => self.ended(partition, outcome),
            Err(error) => self.failed(partition, error),
        }
    }

    /// A lane is done.
    fn ended(&mut self, partition: u32, outcome: task::Outcome) -> Result<()> {
        let leaving = self.lanes.get(&partition).map(|l| l.phase);
        let leaving = matches!(leaving, Some(Phase::Leaving(_)));
        if !leaving {
            self.cut_short |= outcome == task::Outcome::Stopped;
        }
        self.drop_lane(partition);
        if leaving {
            self.books.forget(partition);
            self.hands.ask(Job::Release(partition))?;
        }
        self.finish_if_all_are()
    }

    fn drop_lane(&mut self, partition: u32) {
        if let Some(lane) = self.lanes.remove(&partition) {
            self.books.left_open(partition, lane.open_windows());
            // A reader that waits for a pipe ends with its next byte; it is not waited for.
            lane.close(self.stop_seen.is_none(), &self.hands, &mut self.books);
        }
    }

    /// The sinks end once, when every lane has come so far.
    fn finish_if_all_are(&mut self) -> Result<()> {
        let goes_on = self.member.is_some() && self.stop_seen.is_none();
        let all = self.lanes.values().all(|l| l.phase == Phase::Finishing);
        if self.finishing || goes_on || !all || self.lanes.is_empty() {
            return Ok(());
        }
        self.finishing = true;
        self.hands.ask(Job::Finish)
    }

    fn failed(&mut self, partition: u32, error: Error) -> Result<()> {
        if error.kind == Kind::Disorder && self.again(partition)? {
            return Ok(());
        }
        if error.kind != Kind::Fenced {
            return Err(error);
        }
        let Some(member) = &mut self.member else {
            return Err(error);
        };
        member.lost(partition, error)?;
        self.drop_lane(partition);
        self.books.forget(partition);
        Ok(())
    }

    /// Reads a lane once more, looked through first. No flush of it is decided.
    fn again(&mut self, partition: u32) -> Result<bool> {
        let key = self.key(partition);
        let parts = self.hands.parts;
        let Some(lane) = self.lanes.get_mut(&partition) else {
            return Ok(false);
        };
        let Some((fresh, owned)) = lane.again(key, &parts.config)? else {
            return Ok(false);
        };
        self.drop_lane(partition);
        self.control.again();
        self.lanes.insert(partition, fresh);
        self.with(partition, |lane, hands, books| {
            lane.take_over(owned, hands, books)
        })?;
        Ok(true)
    }

    fn tick(&mut self) -> Result<()> {
        self.ticked = Instant::now();
        let partitions: Vec<u32> = self.lanes.keys().copied().collect();
        for partition in partitions {
            self.with(partition, |lane, hands, books| lane.tick(hands, books))?;
            self.leave_at_last(partition)?;
        }
        self.renew()?;
        let again = self.member.as_mut().map(Member::due).unwrap_or_default();
        again.into_iter().try_for_each(|p| self.open(p))?;
        if let Some(member) = &self.member {
            member.commit(&self.books);
        }
        Ok(())
    }

    /// One that cannot end in time goes as it is: what is in flight is the next owner's to settle.
    fn leave_at_last(&mut self, partition: u32) -> Result<()> {
        let phase = self.lanes.get(&partition).map(|l| l.phase);
        if !matches!(phase, Some(Phase::Leaving(since)) if since.elapsed() > LEAVE) {
            return Ok(());
        }
        self.drop_lane(partition);
        self.books.forget(partition);
        self.hands.ask(Job::Release(partition))?;
        self.released(partition);
        Ok(())
    }

    fn released(&mut self, partition: u32) {
        if let Some(member) = &mut self.member {
            member.released(partition);
        }
    }

    fn renew(&mut self) -> Result<()> {
        if self.renewed.is_some_and(|at| at.elapsed() < RENEW) || self.lanes.is_empty() {
            return Ok(());
        }
        // The answer sets the next time: a busy thread is not asked twice.
        self.renewed = Some(Instant::now() + Duration::from_secs(3600));
        let owned = |l: &&Lane| l.phase == Phase::Running;
        let owned: Vec<u32> = self
            .lanes
            .values()
            .filter(owned)
            .map(|l| l.key.partition)
            .collect();
        self.hands.ask(Job::Renew(owned))
    }

    /// One batch held back by some lane; false: there is none that may go.
    fn step_held(&mut self) -> Result<bool> {
        let ready = self.lanes.values().filter(|l| l.has_held());
        let Some(partition) = ready.map(|l| l.key.partition).next() else {
            return Ok(false);
        };
        self.with(partition, |lane, hands, books| lane.step_held(hands, books))?;
        Ok(true)
    }

    fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Lane(key, told) => self.hear(key, told),
            Message::Spent(key, events, stage, spent) => {
                self.books.spent(stage, spent);
                self.hear(key, Told::Store(events))
            }
            Message::Failed(key, error) if self.is(key) => self.failed(key.partition, error),
            Message::Failed(..) => Ok(()),
            Message::Owned(key, owned) => self.owned(key, *owned),
            Message::Released(partition, done) => {
                self.released(partition);
                done
            }
            Message::Renewed => {
                self.renewed = Some(Instant::now());
                Ok(())
            }
            Message::Finished(Err(error)) => self.unfinished(error),
            Message::Finished(Ok(sinks)) => self.finished(sinks),
            Message::Share(change) => self.share(change?),
        }
    }

    fn is(&self, key: Key) -> bool {
        let lane = self.lanes.get(&key.partition);
        lane.is_some_and(|lane| lane.key == key)
    }

    fn hear(&mut self, key: Key, told: Told) -> Result<()> {
        if !self.is(key) {
            if let Told::Batch(_, bytes) = told {
                self.hands.budget.give(bytes);
            }
            return Ok(());
        }
        self.with(key.partition, |lane, hands, books| {
            lane.hear(told, hands, books)
        })
    }

    fn owned(&mut self, key: Key, owned: Owned) -> Result<()> {
        if !self.is(key) {
            return self.hands.ask(Job::Release(key.partition));
        }
        self.with(key.partition, |lane, hands, books| {
            lane.take_over(owned, hands, books)
        })
    }

    fn finished(&mut self, sinks: usize) -> Result<()> {
        let partitions: Vec<u32> = self.lanes.keys().copied().collect();
        for partition in partitions {
            let events = (0..sinks).map(|sink| Event::Finished { sink }).collect();
            self.with(partition, |lane, hands, books| {
                lane.hear(Told::Store(events), hands, books)
            })?;
        }
        Ok(())
    }

    /// A member that is asked to stop may find rows of a partition under way which others took a moment before. What was
    /// decided stands, and its new owner carries it out.
    fn unfinished(&mut self, error: Error) -> Result<()> {
        if error.kind != Kind::Fenced || self.member.is_none() {
            return Err(error);
        }
        self.cut_short = true;
        let partitions: Vec<u32> = self.lanes.keys().copied().collect();
        partitions.into_iter().for_each(|p| self.drop_lane(p));
        Ok(())
    }

    fn share(&mut self, change: Change) -> Result<()> {
        if self.stop_seen.is_some() {
            return Ok(());
        }
        if let Some(member) = &mut self.member {
            member.note(&change);
        }
        match change {
            Change::Assigned(partitions) => partitions.into_iter().try_for_each(|p| self.open(p)),
            Change::Revoked(partitions) => partitions.into_iter().try_for_each(|p| self.leave(p)),
            Change::Lost(partitions) => {
                for partition in partitions {
                    self.drop_lane(partition);
                    self.books.forget(partition);
                }
                Ok(())
            }
        }
    }

    /// Others are to have the partition.
    fn leave(&mut self, partition: u32) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(&partition) else {
            self.released(partition);
            return Ok(());
        };
        lane.phase = Phase::Leaving(Instant::now());
        self.with(partition, |lane, hands, books| lane.stop(hands, books))
    }

    /// Ends the threads, which give up what was taken.
    fn close(mut self, done: bool) -> (Report, Result<()>) {
        let partitions: Vec<u32> = self.lanes.keys().copied().collect();
        partitions.into_iter().for_each(|p| self.drop_lane(p));
        self.books.fill();
        self.hands.jobs = None;
        let stopping = self
            .stop_seen
            .map_or(Duration::ZERO, |since| since.elapsed());
        let released = self.stores.take().map_or(Ok(()), |thread| match done {
            true => thread.end(),
            false => thread.leave(PATIENCE.saturating_sub(stopping)),
        });
        (self.books.report, released)
    }
}

/// Host and process, for messages.
pub(super) fn owner() -> String {
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

pub(super) fn lost_thread() -> Error {
    Error::new(
        Kind::Internal,
        "a thread of the run ended unexpectedly; what was decided stands, run again, and please report it",
    )
}

fn no_group() -> Error {
    Error::new(
        Kind::Usage,
        "group shares the partitions of a topic, and this source has none to share; leave group out",
    )
}

impl Parts {
    /// What stored heads are held against.
    pub(super) fn agreement(&self) -> Agreement {
        Agreement {
            spec: self.spec.clone(),
            fingerprint: self.config.spec.clone(),
            source: self.config.identity.clone(),
        }
    }
}
