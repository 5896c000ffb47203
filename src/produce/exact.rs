//! Exact: a load whose rows are in the topic once, over all its attempts.
//!
//! The progress topic says where the stream is to go on. It is asked twice: before the transactional id is taken, so that
//! nobody who went on in our place is fenced, and after it, when nobody else can commit under that name any more.

use super::feed::{Feed, Known};
use super::load::{Attempt, Load};
use super::{Done, Job, progress};
use crate::flush::Position;
use crate::kafka::{Log, Producer, Upto};
use crate::{Error, Kind, Result};
use std::time::Duration;

/// Failures in a row without a commit in between that end a load.
const ATTEMPTS: u32 = 5;

/// Sends what is not in the topic yet.
pub(super) fn send(job: &Job<'_>, feed: &Feed) -> Result<Done> {
    let mut course = Course {
        job,
        feed,
        wait: job.options.progress_timeout()?,
        progress: progress_of(job)?,
        all: Done::default(),
        failures: 0,
        unsure: None,
        left: None,
    };
    // A first look, for the name alone: what this very load left open when it was killed is not waited for.
    let mut known = course.known(Upto::Stable)?;
    loop {
        let producer;
        (producer, known) = course.register(known)?;
        course.learn(&known)?;
        if course.is_over(&known) {
            return Ok(course.all);
        }
        match course.attempt(producer, &known)? {
            Attempt::End => return Ok(course.all),
            Attempt::Stopped => {
                course.all.interrupted = true;
                return Ok(course.all);
            }
            Attempt::Again(error) if !course.may_try_again(&known, &error) => return Err(error),
            Attempt::Again(_) => std::thread::sleep(Duration::from_millis(200) * course.failures),
        }
    }
}

/// The progress topic; it is made only when nothing else speaks against the load.
fn progress_of(job: &Job<'_>) -> Result<Log> {
    let name = &job.options.progress_topic;
    match progress::find(&job.views, name)? {
        Some(found) => Ok(found),
        None => {
            job.times.hold()?;
            progress::topic(&job.views, name)
        }
    }
}

/// All attempts of a load.
struct Course<'a> {
    job: &'a Job<'a>,
    feed: &'a Feed,
    progress: Log,
    /// How long another's open transaction is waited for.
    wait: Duration,
    all: Done,
    /// Attempts in a row that committed nothing.
    failures: u32,
    /// A commit whose answer was lost: up to where, and what it holds.
    unsure: Option<(Position, Done)>,
    left: Option<Left>,
}

impl Course<'_> {
    /// What the progress topic says of the stream.
    fn known(&self, upto: Upto) -> Result<Known> {
        let id = &self.job.topic.id;
        let committed = progress::committed(&self.progress, id, upto, self.wait)?;
        self.feed.known(&committed)
    }

    /// Takes the stream's name. What is committed then is the truth.
    fn register(&self, mut known: Known) -> Result<(Producer, Known)> {
        loop {
            if let Some(left) = &self.left {
                left.held(self.job, &self.known(Upto::Stable)?)?;
            }
            let name = name_of(&known.stream);
            let id = format!("wattline-{}-{name:.32}", self.job.topic.id);
            let producer = Producer::made(&self.job.sends, Some(&id))?;
            self.job.times.hold()?;
            producer.register()?;
            let settled = self.known(Upto::End)?;
            if settled.stream == known.stream {
                return Ok((producer, settled));
            }
            known = settled;
        }
    }

    /// What became of the attempt before. Errors: `Fenced` where somebody else has gone on from there.
    fn learn(&mut self, known: &Known) -> Result<()> {
        if let Some(left) = self.left.take() {
            left.held(self.job, known)?;
        }
        if let Some((at, held)) = self.unsure.take()
            && known.from.as_ref().is_some_and(|from| from.at == at.at)
        {
            self.all.add(held);
            self.all.transactions += 1;
            self.failures = 0;
        }
        Ok(())
    }

    /// Whether nothing is left to send; says so where nothing was.
    fn is_over(&mut self, known: &Known) -> bool {
        let Some(position) = known.from.as_ref().filter(|_| known.whole) else {
            return known.whole && self.all.transactions > 0;
        };
        if self.all.transactions == 0 {
            self.all.notes.push(format!(
                "{} is in {} already ({} rows): nothing was sent",
                self.feed.describe(),
                self.job.config.topic,
                position.row
            ));
        }
        self.all.positions.push(position.clone());
        true
    }

    fn attempt(&mut self, producer: Producer, known: &Known) -> Result<Attempt> {
        let mut load = Load::new(self.job, producer)?;
        let attempt = load.transactions(self.feed, known, &self.progress)?;
        let unsure = load.unsure.take();
        self.left = Some(Left {
            at: load.at.take(),
            unsure: unsure.as_ref().map(|at| at.at),
        });
        self.unsure = unsure.map(|at| (at, std::mem::take(&mut load.open)));
        self.failures = match load.done.transactions {
            0 => self.failures + 1,
            _ => 0,
        };
        self.all.add(load.done);
        Ok(attempt)
    }

    fn may_try_again(&self, known: &Known, error: &Error) -> bool {
        error.kind != Kind::Fenced && known.again && self.failures < ATTEMPTS
    }
}

/// Where a broken attempt left its stream.
struct Left {
    /// The last position it committed, or found.
    at: Option<u64>,
    /// The position of a commit whose answer was lost.
    unsure: Option<u64>,
}

impl Left {
    /// Errors: `Fenced` where somebody else has gone on from there.
    fn held(&self, job: &Job<'_>, known: &Known) -> Result<()> {
        let at = known.from.as_ref().map(|from| from.at);
        if at == self.at || (at.is_some() && at == self.unsure) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Fenced,
            format!(
                "another produce of the same data to {} has taken over and sent {} rows; let it end, then run again to see that all is there",
                job.config.topic,
                known.from.as_ref().map_or(0, |from| from.row)
            ),
        ))
    }
}

/// A name that fits a transactional id.
fn name_of(stream: &str) -> String {
    blake3::hash(stream.as_bytes()).to_hex().to_string()
}
