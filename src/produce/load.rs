//! Load: one stream into the topic: how messages are sent, and a transaction after the other. What is done again after
//! a failure is `exact`.

use super::exact;
use super::feed::{Feed, Known};
use super::options::{Mode, Stamps};
use super::pack::Packed;
use super::progress::{self, Progress};
use super::{Done, Job};
use crate::flush::Position;
use crate::kafka::{Log, Outgoing, Producer, Settled, partition_of};
use crate::reject::OnReject;
use crate::{Error, Kind, Result, faults};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long a commit may take before its answer counts as lost.
const COMMIT: Duration = Duration::from_secs(60);

/// Sends one feed.
pub(super) fn run(job: &Job<'_>, feed: &Feed) -> Result<Done> {
    match job.options.mode {
        Mode::Exact => exact::send(job, feed),
        Mode::Fast => fast(job, feed),
    }
}

/// A load under way.
pub(super) struct Load<'a> {
    job: &'a Job<'a>,
    producer: Producer,
    topic: usize,
    /// Which partition a key goes to.
    partitions: HashMap<Arc<str>, i32>,
    /// Counted when its transaction is committed.
    pub open: Done,
    pub done: Done,
    /// The position of a transaction whose end is not known; `open` is what it holds.
    pub unsure: Option<Position>,
    /// The last position that is committed for sure.
    pub at: Option<u64>,
}

/// How an attempt ended.
pub(super) enum Attempt {
    /// Everything is committed.
    End,
    /// Stopped by the user, at a commit.
    Stopped,
    /// What was not committed is to be sent again.
    Again(Error),
}

fn fast(job: &Job<'_>, feed: &Feed) -> Result<Done> {
    let known = feed.known(&Default::default())?;
    job.times.hold()?;
    let mut load = Load::new(job, Producer::new(&job.sends, None)?)?;
    let mut pieces = feed.open(&known.stream, None, job.sends.longest())?;
    while !job.control.stopped()
        && let Some(packed) = pieces.next()?
    {
        load.send(packed)?;
    }
    load.producer.flush(Duration::from_secs(300))?;
    let open = std::mem::take(&mut load.open);
    load.done.add(open);
    load.done.interrupted = job.control.stopped();
    load.done.notes.push(
        "sent without transactions: run again after a failure it sends its rows again, and readers see what a broken run sent".into(),
    );
    Ok(load.done)
}

impl<'a> Load<'a> {
    pub fn new(job: &'a Job<'a>, mut producer: Producer) -> Result<Self> {
        let topic = producer.topic(&job.config.topic)?;
        Ok(Load {
            job,
            producer,
            topic,
            partitions: HashMap::new(),
            open: Done::default(),
            done: Done::default(),
            unsure: None,
            at: None,
        })
    }

    /// Sends what is not committed yet, a transaction after the other.
    pub fn transactions(&mut self, feed: &Feed, known: &Known, progress: &Log) -> Result<Attempt> {
        let longest = self.job.sends.longest();
        let mut pieces = feed.open(&known.stream, known.from.as_ref(), longest)?;
        let (span, mut sent) = (self.job.options.transaction()?, known.messages);
        let mut position = known.from.clone();
        self.at = position.as_ref().map(|at| at.at);
        loop {
            let begun = Instant::now();
            let mut over = false;
            let mut open = false;
            while !over && begun.elapsed() < span && !self.job.control.stopped() {
                let next = match pieces.next() {
                    Err(error) => return self.refused(open, error),
                    Ok(next) => next,
                };
                match next {
                    None => over = true,
                    Some(packed) if packed.len() == 0 => {
                        if let Err(error) = self.count(packed) {
                            return self.refused(open, error);
                        }
                    }
                    Some(packed) => {
                        if !open {
                            if let Err(error) = self.producer.begin() {
                                return Ok(Attempt::Again(error));
                            }
                            open = true;
                        }
                        if let Err(error) = self.sent_all(packed) {
                            return self.failed(error);
                        }
                    }
                }
            }
            if open {
                let at = match pieces.position() {
                    Err(error) => return self.refused(true, error),
                    Ok(at) => at,
                };
                sent += self.open.messages;
                let settled = self.settle(progress, &at, sent);
                match settled {
                    Settled::Committed => {}
                    Settled::Aborted(error) => return Ok(Attempt::Again(error)),
                    Settled::Unclear(error) => {
                        self.unsure = Some(at);
                        return Ok(Attempt::Again(error));
                    }
                }
                self.at = Some(at.at);
                position = Some(at);
                faults::point("after_commit")?;
                self.done.transactions += 1;
            }
            let open = std::mem::take(&mut self.open);
            self.done.add(open);
            if over || self.job.control.stopped() {
                self.done.positions.extend(position);
                return Ok(if over { Attempt::End } else { Attempt::Stopped });
            }
        }
    }

    /// What a failure while sending means: refused data end the load, the rest is tried again.
    fn failed(&self, error: Error) -> Result<Attempt> {
        let ours = matches!(
            error.kind,
            Kind::Usage | Kind::RejectLimit | Kind::Schema | Kind::Internal
        );
        match ours {
            true => self.refused(true, error),
            false => Ok(match self.producer.ended(error) {
                Settled::Aborted(error) | Settled::Unclear(error) => Attempt::Again(error),
                Settled::Committed => Attempt::End,
            }),
        }
    }

    /// The data end the load. An open transaction is aborted: readers of committed messages would wait for it.
    fn refused(&self, open: bool, error: Error) -> Result<Attempt> {
        if !open {
            return Err(error);
        }
        match self.producer.ended(error) {
            Settled::Aborted(error) | Settled::Unclear(error) => Err(error),
            Settled::Committed => Ok(Attempt::End),
        }
    }

    /// Puts the position into the open transaction and commits it.
    fn settle(&mut self, progress: &Log, at: &Position, messages: u64) -> Settled {
        let sent = self.progress(progress, at, messages);
        match sent.and_then(|()| faults::point("progress_sent")) {
            Ok(()) => self.producer.commit(COMMIT),
            Err(error) => self.producer.ended(error),
        }
    }

    fn progress(&mut self, progress: &Log, at: &Position, messages: u64) -> Result<()> {
        let record = Progress::new(&self.job.config.topic, at.clone(), messages);
        progress::send(&mut self.producer, progress, &self.job.topic.id, &record)
    }

    fn sent_all(&mut self, packed: Packed) -> Result<()> {
        self.send(packed)?;
        faults::point("sent")
    }

    /// Hands messages over and counts them.
    fn send(&mut self, mut packed: Packed) -> Result<()> {
        if let (Some((least, greatest)), Stamps::Event) = (packed.span, self.job.options.timestamp)
        {
            // Streams are not looked through before; files were.
            self.job.topic.limits.hold(least, greatest, "the data")?;
        }
        let keys = std::mem::take(&mut packed.keys);
        let partitions: Vec<i32> = keys.iter().map(|key| self.partition(key)).collect();
        for piece in packed.pieces() {
            let message = Outgoing {
                partition: partitions.get(piece.key).copied().unwrap_or(-1),
                key: keys.get(piece.key).map(|k| k.as_bytes()),
                value: Some(piece.value),
                timestamp: piece.timestamp,
                headers: &[],
            };
            (self.producer).send_with(self.topic, &message, piece.headers)?;
        }
        self.count(packed)
    }

    fn partition(&mut self, key: &Arc<str>) -> i32 {
        if let Some(known) = self.partitions.get(key) {
            return *known;
        }
        let partition = partition_of(key.as_bytes(), self.job.topic.partitions);
        self.partitions.insert(key.clone(), partition);
        partition
    }

    fn count(&mut self, packed: Packed) -> Result<()> {
        self.open.messages += packed.len() as u64;
        self.open.ledger.add(&packed.counters);
        let control = self.job.control;
        control.bytes.fetch_add(packed.counters.bytes, Relaxed);
        control
            .readings
            .fetch_add(packed.counters.readings, Relaxed);
        control.rejects.fetch_add(packed.counters.rejected, Relaxed);
        self.reject(packed)
    }

    fn reject(&mut self, packed: Packed) -> Result<()> {
        let options = self.job.options;
        match (options.on_reject, packed.rejects.into_iter()) {
            (OnReject::Skip, _) => {}
            (OnReject::Collect, rejects) => self.open.rejects.extend(rejects),
            (OnReject::Raise, mut rejects) => {
                if let Some(first) = rejects.next() {
                    return Err(Error::new(
                        Kind::RejectLimit,
                        format!(
                            "{}: row {} cannot be sent: {}; mend it, or say on_reject = \"collect\"",
                            first.file, first.row, first.reason
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}
