//! The store thread of a run: the only owner of the sinks while it lasts, for all its lanes. Carries out what the
//! tasks ask of them, in order, and answers with events.
//!
//! A run that is over does not wait for all that is queued: sinks that are well and quick show what was decided, and
//! after a moment the rest is *left*: the next run applies it, as after a crash. What was taken is given up by this
//! thread, as the last it does: also after a job that hung, when nobody waits for it any more.

use super::agree::Agreement;
use super::kept;
use super::lane::Key;
use super::run::{Message, lost_thread};
use super::task::Event;
use crate::flush::{Flush, FlushId, Head};
use crate::sink::{Claim, Decided, Home, Owned, Sink};
use crate::{Error, Kind, Result, faults, runtime};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether the thread has ended.
const LOOK: Duration = Duration::from_millis(5);
/// What is under way when the rest is left may end within this.
const LAST: Duration = Duration::from_millis(100);

/// What the run asks of the sinks.
pub(super) enum Job {
    /// Take a partition. Answered by [`Message::Owned`].
    Acquire(Key, Box<Claim>, Arc<Agreement>),
    Decide(Key, Arc<Flush>, Arc<Head>),
    Settle(Key, Arc<Head>),
    Apply(Key, usize, Arc<Flush>),
    Prune(Key, FlushId),
    /// Show all of one partition, while others go on.
    Leave(Key),
    /// Show that the owner of these lives.
    Renew(Vec<u32>),
    /// Give a partition up. Answered by [`Message::Released`].
    Release(u32),
    /// End every sink. Answered by [`Message::Finished`].
    Finish,
}

/// The sinks of a run. Sink 0 is the home.
pub(super) struct Stores {
    pub(super) home: Box<dyn Home>,
    pub(super) followers: Vec<Box<dyn Sink>>,
    /// Partitions that were taken and not given up.
    owned: BTreeSet<u32>,
}

impl Stores {
    pub(super) fn new(home: Box<dyn Home>, followers: Vec<Box<dyn Sink>>) -> Stores {
        Stores {
            home,
            followers,
            owned: BTreeSet::new(),
        }
    }

    /// All sinks, the home first.
    pub(super) fn sinks(&mut self) -> impl Iterator<Item = &mut dyn Sink> {
        let home: &mut dyn Sink = self.home.as_mut();
        std::iter::once(home).chain(
            self.followers
                .iter_mut()
                .map(|f| f.as_mut() as &mut dyn Sink),
        )
    }

    fn sink(&mut self, index: usize) -> &mut dyn Sink {
        match index.checked_sub(1) {
            None => self.home.as_mut(),
            Some(follower) => self.followers[follower].as_mut(),
        }
    }

    /// Carries a job out; what is to be told of it.
    fn carry(&mut self, job: Job) -> Option<Message> {
        let began = Instant::now();
        let (key, stage, done) = match job {
            Job::Acquire(key, claim, agreement) => {
                return Some(match self.acquire(&claim, &agreement) {
                    Ok(owned) => Message::Owned(key, Box::new(owned)),
                    Err(error) => Message::Failed(key, error),
                });
            }
            Job::Decide(key, flush, head) => (key, "decide", self.decide(&flush, &head)),
            Job::Settle(key, head) => (key, "decide", self.settle(&head)),
            Job::Apply(key, sink, flush) => (key, "apply", self.apply(sink, &flush)),
            Job::Prune(key, upto) => (key, "apply", self.prune(key.partition, upto)),
            Job::Leave(key) => (key, "apply", self.leave(key.partition)),
            Job::Renew(partitions) => return self.renew(&partitions),
            Job::Release(partition) => {
                return Some(Message::Released(partition, self.release(partition)));
            }
            Job::Finish => return Some(Message::Finished(self.finish())),
        };
        Some(match done {
            Ok(events) => Message::Spent(key, events, stage, began.elapsed()),
            Err(error) => Message::Failed(key, error),
        })
    }

    /// Takes a partition: looks first, so that a run that cannot go on fences nobody.
    fn acquire(&mut self, claim: &Claim, agreement: &Agreement) -> Result<Owned> {
        let seen = self.home.look(&claim.pipeline, claim.partition)?;
        if let Some(head) = seen.and_then(|seen| seen.head) {
            agreement.with(&head)?;
        }
        let owned = self.home.acquire(claim)?;
        self.owned.insert(claim.partition);
        let (home, head) = (self.home.describe(), owned.head.as_ref());
        let at = (home.as_str(), claim.pipeline.as_str());
        // Before the fence, which a store that is refused must not see.
        for follower in &mut self.followers {
            kept::same_history(follower.as_mut(), at, (head, claim.partition))?;
        }
        for sink in self.sinks() {
            head.map_or(Ok(()), |head| kept::rows(sink, head, &claim.pipeline))?;
            sink.fence(claim.partition, owned.epoch)?;
        }
        self.follows(&owned, at, claim.partition)?;
        Ok(owned)
    }

    /// A follower may be no older than what the home still keeps. Behind the fence nobody else writes to it.
    fn follows(&mut self, owned: &Owned, at: (&str, &str), partition: u32) -> Result<()> {
        let head = owned.head.as_ref();
        let next = head.map_or(1, |head| head.id.n + 1);
        let oldest = owned.unapplied.first().map_or(next, |flush| flush.id.n);
        for follower in &mut self.followers {
            let shown = kept::same_history(follower.as_mut(), at, (head, partition))?;
            if shown.map_or(1, |a| a.id.n + 1) < oldest {
                return Err(Error::new(
                    Kind::SpecChanged,
                    format!(
                        "{} does not hold the flushes before number {oldest} of pipeline {:?}, and the home no longer keeps them; run under a new pipeline name, or leave this sink out",
                        follower.describe(),
                        at.1
                    ),
                ));
            }
        }
        Ok(())
    }

    fn decide(&mut self, flush: &Flush, head: &Head) -> Result<Vec<Event>> {
        let keep = !self.followers.is_empty() || !self.home.decides_rows();
        faults::point("before_decide")?;
        let answer = self.home.decide(head, flush, keep)?;
        faults::point("after_decide")?;
        Ok(vec![match answer {
            Decided::Yes => Event::Decided { id: flush.id },
            Decided::Fenced(by) => Event::Fenced { by },
            Decided::Unclear(_) => Event::Unclear { id: flush.id },
        }])
    }

    fn settle(&mut self, head: &Head) -> Result<Vec<Event>> {
        Ok(vec![match self.home.settle(head)? {
            Some(Decided::Fenced(by)) => Event::Fenced { by },
            Some(_) => Event::Settled { decided: true },
            None => Event::Settled { decided: false },
        }])
    }

    fn apply(&mut self, sink: usize, flush: &Flush) -> Result<Vec<Event>> {
        let target = self.sink(sink);
        faults::point("before_apply")?;
        target.apply(flush)?;
        faults::point("after_apply")?;
        let shown = target.shown(flush.partition)?;
        Ok(vec![Event::Applied {
            sink,
            id: flush.id,
            shown,
        }])
    }

    fn prune(&mut self, partition: u32, upto: FlushId) -> Result<Vec<Event>> {
        self.home.prune(partition, upto).map(|()| Vec::new())
    }

    fn leave(&mut self, partition: u32) -> Result<Vec<Event>> {
        let each = self.sinks().enumerate().map(|(sink, store)| {
            store.leave(partition)?;
            Ok(Event::Finished { sink })
        });
        each.collect()
    }

    /// One that cannot be renewed is found out at its next decision, rows that cannot be shown at the next flush.
    fn renew(&mut self, partitions: &[u32]) -> Option<Message> {
        for partition in partitions {
            drop(self.home.renew(*partition));
            self.sinks().for_each(|sink| drop(sink.roll(*partition)));
        }
        Some(Message::Renewed)
    }

    fn finish(&mut self) -> Result<usize> {
        // Those behind one that fails end too.
        let each: Vec<Result<()>> = self.sinks().map(|store| store.finish()).collect();
        let ended: Result<Vec<()>> = each.into_iter().collect();
        ended.map(|all| all.len())
    }

    fn release(&mut self, partition: u32) -> Result<()> {
        self.owned.remove(&partition);
        self.home.release(partition)
    }

    /// Gives up all that was taken; the first error.
    fn release_all(&mut self) -> Result<()> {
        let owned = std::mem::take(&mut self.owned);
        let each: Vec<_> = owned.iter().map(|p| self.home.release(*p)).collect();
        each.into_iter().collect()
    }
}

/// Every job is carried out.
const ALL: u8 = 0;
/// The run is over: nothing is taken any more.
const ENDING: u8 = 1;
/// What has not begun is left.
const LEFT: u8 = 2;
/// No job is left; what was taken is being given up.
const RELEASING: u8 = 3;

/// Whether a job is still worth doing. What was given up is given up at once, that others need not wait.
fn due(job: &Job, phase: u8) -> bool {
    match job {
        Job::Release(_) => true,
        Job::Acquire(..) => phase == ALL,
        _ => phase < LEFT,
    }
}

/// The thread, and how far its end has come.
pub(super) struct Thread {
    handle: JoinHandle<Result<()>>,
    phase: Arc<AtomicU8>,
}

impl Thread {
    /// Waits until every job is carried out, whose sender is gone, and what was taken is given up.
    pub(super) fn end(self) -> Result<()> {
        self.handle.join().unwrap_or_else(|_| Err(lost_thread()))
    }

    /// Waits so long, then leaves the jobs that have not begun. One that hangs is not waited for: what becomes of it is
    /// the next owner's to find out.
    pub(super) fn leave(self, patience: Duration) -> Result<()> {
        self.phase.fetch_max(ENDING, Relaxed);
        self.wait(patience);
        self.phase.fetch_max(LEFT, Relaxed);
        self.wait(LAST);
        match self.is_done() {
            true => self.end(),
            false => Ok(()),
        }
    }

    fn is_done(&self) -> bool {
        self.handle.is_finished() || self.phase.load(Relaxed) == RELEASING
    }

    fn wait(&self, patience: Duration) {
        let began = Instant::now();
        while !self.is_done() && began.elapsed() < patience {
            std::thread::sleep(LOOK);
        }
    }
}

/// Starts the thread; it ends when the sender of jobs is dropped.
pub(super) fn start(mut stores: Stores, to: Sender<Message>) -> Result<(Sender<Job>, Thread)> {
    let (jobs, work): (Sender<Job>, Receiver<Job>) = channel();
    let phase = Arc::new(AtomicU8::new(ALL));
    let now = phase.clone();
    let handle = runtime::spawn("stores", move || {
        for job in work {
            if due(&job, now.load(Relaxed))
                && let Some(message) = stores.carry(job)
            {
                // A run that no longer listens leaves by the phase.
                drop(to.send(message));
            }
        }
        now.store(RELEASING, Relaxed);
        stores.release_all()
    })?;
    Ok((jobs, Thread { handle, phase }))
}
