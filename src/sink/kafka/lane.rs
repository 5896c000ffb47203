//! One partition of a pipeline in a topic: its producer, what the topic shows, one transaction at a time.

use super::state::{self, Seen, Shown, Writer};
use super::{KafkaSink, Messages, StateLog};
use crate::flush::Flush;
use crate::kafka::{Config, Producer, Settled, Upto};
use crate::{Error, Kind, Result, faults};
use std::time::{Duration, Instant};

/// How long a commit may take before its answer counts as lost.
const COMMIT: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Registrations in turn with another producer of the same id before one gives in.
const TURNS: u32 = 20;

/// Whose transactional id is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// That of the partition's home.
    Home,
    /// That of whoever applies to the topic.
    Follower,
}

/// What a transaction came to.
pub(super) enum Step {
    /// There is nothing to do: it is aborted.
    Nothing,
    /// It may not be: it is aborted.
    Refused(Error),
    /// To be committed; then the topic shows this.
    Commit(Shown),
}

/// How one transaction ended.
pub(super) enum Once {
    Nothing,
    Done,
    /// By ourselves.
    Refused(Error),
    /// It did not happen; the producer is as good as before.
    Aborted(Error),
    /// It is not known, or the producer can do no more: there is none now.
    Unclear(Error),
}

/// A producer and the numbers of its topics.
struct Open {
    producer: Producer,
    rows: usize,
    state: usize,
}

/// One partition of a pipeline in a topic.
pub(super) struct Lane {
    pub pipeline: String,
    pub partition: u32,
    pub topic: String,
    /// The epoch it applies for.
    pub epoch: u64,
    /// What the topic shows.
    pub shown: Shown,
    /// What the home owns.
    pub own: Option<super::home::Own>,
    pub log: StateLog,
    place: String,
    config: Config,
    id: String,
    home_place: i32,
    applied_place: i32,
    open: Option<Open>,
}

impl Lane {
    pub fn new(
        sink: &KafkaSink,
        log: &StateLog,
        pipeline: &str,
        partition: u32,
        role: Role,
    ) -> Lane {
        let (name, topic) = (sink.at.state_topic.as_str(), sink.config.topic.as_str());
        let home = state::id_of(name, (pipeline, partition), None);
        let follower = state::id_of(name, (pipeline, partition), Some(topic));
        let mut id = if role == Role::Home { &home } else { &follower }.clone();
        if faults::broken("no_epoch") {
            id += &format!("-{}-{:?}", std::process::id(), Instant::now());
        }
        Lane {
            pipeline: pipeline.into(),
            partition,
            topic: topic.into(),
            epoch: 0,
            shown: Shown::default(),
            own: None,
            log: log.clone(),
            place: sink.place.clone(),
            config: log.fitting(&sink.config),
            id,
            home_place: state::place_of(&home),
            applied_place: state::place_of(&follower),
            open: None,
        }
    }

    /// The error of an owner that was overtaken.
    pub fn fenced(&self, by: &str) -> Error {
        crate::sink::fenced(&self.pipeline, &self.place, by)
    }

    pub fn at(&self) -> state::At<'_> {
        (&self.pipeline, self.partition)
    }

    /// The partition of the state topic that the home uses.
    pub fn home_place(&self) -> i32 {
        self.home_place
    }

    /// What the topic shows, read anew.
    pub fn read_shown(&self, upto: Upto) -> Result<Shown> {
        let log = &self.log.log;
        state::shown(log, self.applied_place, self.at(), &self.topic, upto)
    }

    /// Waits for a moment until the state topic shows what was committed.
    pub fn settle(&self, patience: Duration) -> Result<()> {
        self.log.log.settle(self.home_place, patience)
    }

    /// What the state topic holds of this partition, read anew.
    pub fn read(&self, upto: Upto) -> Result<Seen> {
        state::seen(&self.log.log, self.home_place, self.at(), upto)
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub fn close(&mut self) {
        self.open = None;
    }

    /// Registers the transactional id, which ends what another producer of it left open, and learns what the topic
    /// shows.
    pub fn open(&mut self) -> Result<()> {
        self.open = None;
        let mut producer = Producer::new(&self.config, Some(&self.id))?;
        let rows = producer.topic(&self.topic)?;
        let state = producer.topic(&self.log.log.config.topic)?;
        self.open = Some(Open {
            producer,
            rows,
            state,
        });
        self.shown = self.read_shown(Upto::End)?;
        Ok(())
    }

    fn opened(&mut self) -> Result<&mut Open> {
        self.open
            .as_mut()
            .ok_or_else(|| Error::new(Kind::Internal, "a transaction without a producer"))
    }

    /// Messages of the state topic, in the open transaction, where the home's are.
    pub fn writer(&mut self) -> Result<Writer<'_>> {
        let place = self.home_place;
        self.writer_at(place)
    }

    fn writer_at(&mut self, place: i32) -> Result<Writer<'_>> {
        let part = self.log.part;
        let Lane {
            open,
            pipeline,
            partition,
            ..
        } = self;
        let open = open
            .as_mut()
            .ok_or_else(|| Error::new(Kind::Internal, "a transaction without a producer"))?;
        Ok(Writer {
            producer: &mut open.producer,
            topic: open.state,
            place,
            at: (pipeline, *partition),
            part,
        })
    }

    /// Puts the rows of a flush into the open transaction.
    pub fn rows(&mut self, writer: &Messages, flush: &Flush) -> Result<()> {
        let open = self.opened()?;
        writer.send(&mut open.producer, open.rows, flush)
    }

    /// Puts what the topic shows then into the open transaction.
    pub fn show(&mut self, shown: &Shown) -> Result<()> {
        let (place, topic) = (self.applied_place, self.topic.clone());
        self.writer_at(place)?.applied(&topic, shown)
    }

    /// One transaction of the open producer. Errors of `work` are those of sending.
    pub fn once(&mut self, work: &mut dyn FnMut(&mut Lane) -> Result<Step>) -> Once {
        if let Err(error) = self.opened().and_then(|open| open.producer.begin()) {
            self.close();
            return Once::Unclear(error);
        }
        let step = work(self).and_then(|step| faults::point("committing").map(|()| step));
        let Some(open) = &self.open else {
            return Once::Unclear(Error::new(Kind::Internal, "a producer went away"));
        };
        let aborted = |why: &str| open.producer.ended(Error::new(Kind::Internal, why));
        let (settled, shown) = match step {
            Ok(Step::Commit(shown)) => (open.producer.commit(COMMIT), Some(shown)),
            Ok(Step::Nothing) => {
                return match aborted("nothing to do") {
                    Settled::Unclear(error) => self.unclear(error),
                    _ => Once::Nothing,
                };
            }
            Ok(Step::Refused(error)) => {
                if let Settled::Unclear(_) = aborted("refused") {
                    self.close();
                }
                return Once::Refused(error);
            }
            Err(error) => (open.producer.ended(error), None),
        };
        match settled {
            Settled::Committed => {
                self.shown = shown.unwrap_or_else(|| self.shown.clone());
                match faults::point("committed") {
                    Ok(()) => Once::Done,
                    Err(error) => self.unclear(error),
                }
            }
            Settled::Aborted(error) => Once::Aborted(error),
            Settled::Unclear(error) => self.unclear(error),
        }
    }

    fn unclear(&mut self, error: Error) -> Once {
        self.close();
        Once::Unclear(error)
    }

    /// A transaction that may be said twice: tried until it is committed, refused, or `limit` is over.
    pub fn attempt(
        &mut self,
        limit: Duration,
        mut work: impl FnMut(&mut Lane) -> Result<Step>,
    ) -> Result<()> {
        let (began, mut turns) = (Instant::now(), 0);
        loop {
            let failed = match self.ensure() {
                Ok(()) => match self.once(&mut work) {
                    Once::Done | Once::Nothing => return Ok(()),
                    Once::Refused(error) => return Err(error),
                    Once::Aborted(error) | Once::Unclear(error) => error,
                },
                Err(error) => error,
            };
            if failed.kind == Kind::Fenced {
                turns += 1;
                self.overtaken()?;
            }
            let again = failed.retryable || (failed.kind == Kind::Fenced && turns < TURNS);
            if !again || began.elapsed() > limit {
                return Err(failed);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ensure(&mut self) -> Result<()> {
        match self.open {
            Some(_) => Ok(()),
            None => self.open(),
        }
    }

    /// Whether a newer owner applies to the topic: then this one does not register again.
    fn overtaken(&mut self) -> Result<()> {
        let shown = self.read_shown(Upto::Stable)?;
        match shown.fence > self.epoch && !faults::broken("no_epoch") {
            true => Err(self.fenced("a newer run")),
            false => Ok(()),
        }
    }

    /// Lets only owners of its epoch and later apply. One that is overtaken itself is refused when it applies.
    pub fn fence(&mut self, limit: Duration) -> Result<()> {
        self.attempt(limit, |lane| {
            let (shown, epoch) = (lane.shown.clone(), lane.epoch);
            if shown.fence >= epoch {
                return Ok(Step::Nothing);
            }
            let shown = shown.fenced(epoch);
            lane.show(&shown)?;
            Ok(Step::Commit(shown))
        })
    }
}
