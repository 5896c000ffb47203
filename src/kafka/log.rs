//! A log by key: a compacted topic, whose newest message of a key is what holds.

use super::{Client, Config, Consumer, Isolation, Message, NewTopic, Polled, Start};
use crate::{Error, Kind, Result};
use std::time::{Duration, Instant};

/// Messages taken at a time, and how long they are gathered: a poll with fewer lasts that long.
const BATCH: usize = 10_000;
const POLL: Duration = Duration::from_millis(2);

/// A log by key, and how its user calls it in messages. Copies share their clients.
#[derive(Clone)]
pub struct Log {
    /// The endpoint of its topic.
    pub config: Config,
    words: Words,
    /// Sees all there is.
    all: Client,
    /// Sees what is committed.
    committed: Client,
}

/// What a log is for.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// What it holds: `progress`.
    pub holds: &'static str,
    /// The option that names it.
    pub option: &'static str,
    /// Who else writes to it: `load`.
    pub writer: &'static str,
    /// The option that says how long another's open transaction is waited for.
    pub timeout: &'static str,
    /// One, or so many at least: keys keep their place when more are added.
    pub partitions: i32,
}

/// How far a log is read, and what is seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upto {
    /// What is committed, up to the high watermark: waits for transactions that are open.
    End,
    /// What is committed, up to the last stable offset: waits for nobody.
    Stable,
    /// All there is, committed or not.
    Everything,
}

/// The end of a log is a marker of a transaction, which no reader sees: only a request that comes back empty says so,
/// and the broker keeps that for half a second unless told otherwise.
fn quick(config: &Config) -> Config {
    config.clone().or("fetch.wait.max.ms", 5)
}

/// Two clients of a cluster, as a log has them: connections are made once for all that looks at it.
pub struct Views {
    /// Sees all there is.
    pub all: Client,
    /// Sees what is committed.
    pub committed: Client,
}

impl Views {
    /// Clients of the endpoint's topic; both begin to connect.
    pub fn new(config: &Config) -> Result<Views> {
        let config = quick(config);
        Ok(Views {
            all: Client::new(&config, Isolation::Uncommitted)?,
            committed: Client::new(&config, Isolation::Committed)?,
        })
    }

    /// As [`Log::find`].
    pub fn find(&self, name: &str, words: Words) -> Result<Option<Log>> {
        match self.all.on(name).describe() {
            Ok(facts) => Log::of(self, name, facts.partitions.len(), words).map(Some),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Log::open`].
    pub fn open(&self, name: &str, words: Words) -> Result<Log> {
        if let Some(log) = self.find(name, words)? {
            return Ok(log);
        }
        let settings = [
            ("cleanup.policy", "compact"),
            ("retention.ms", "-1"),
            // The segment that is written to is never compacted; by default that is a gigabyte, or a week.
            ("segment.bytes", "16777216"),
            ("segment.ms", "3600000"),
        ];
        let topic = NewTopic {
            name: name.into(),
            partitions: words.partitions,
            replication: -1,
            settings: settings.map(|(k, v)| (k.into(), v.into())).into(),
        };
        let facts = self.all.on(name).make(&topic)?;
        Log::of(self, name, facts.partitions.len(), words)
    }
}

impl Log {
    /// The log in the topic `name`, if that is there. Errors: `Usage` where its partitions do not fit.
    pub fn find(config: &Config, name: &str, words: Words) -> Result<Option<Log>> {
        Views::new(config)?.find(name, words)
    }

    pub(super) fn of(views: &Views, name: &str, has: usize, words: Words) -> Result<Log> {
        let (all, committed) = (views.all.on(name), views.committed.on(name));
        let config = all.config().clone();
        let wants = words.partitions.max(1) as usize;
        if has == wants || (wants > 1 && has > wants) {
            return Ok(Log {
                config,
                words,
                all,
                committed,
            });
        }
        let many = match wants {
            1 => "one".into(),
            n => format!("{n} or more"),
        };
        Err(Error::new(
            Kind::Usage,
            format!(
                "the topic {} cannot hold {}: it has {has} partitions in place of {many}; name another {}",
                config.topic, words.holds, words.option
            ),
        ))
    }

    /// The same; the topic is made where it is not there.
    pub fn open(config: &Config, name: &str, words: Words) -> Result<Log> {
        Views::new(config)?.open(name, words)
    }

    /// For what is asked of the cluster.
    pub fn client(&self) -> &Client {
        &self.all
    }

    /// Waits until what a partition holds now can be read up to [`Upto::Stable`], for `patience` at most: a commit is
    /// seen a moment after the broker has answered it.
    pub fn settle(&self, partition: i32, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        let mut pause = || {
            std::thread::sleep(POLL);
            Instant::now() < until
        };
        self.all
            .settled(&self.committed, partition, &mut pause)
            .map(drop)
    }

    /// Hands the messages of a partition to `each`, oldest first. Errors: `Timeout` where a transaction that was
    /// open when we began is still open after `wait` in which nothing more could be read.
    pub fn read(
        &self,
        partition: i32,
        upto: Upto,
        wait: Duration,
        each: &mut dyn FnMut(&Message<'_>) -> Result<()>,
    ) -> Result<()> {
        let (end, sees) = match upto {
            Upto::End => (&self.all, &self.committed),
            Upto::Stable => (&self.committed, &self.committed),
            Upto::Everything => (&self.all, &self.all),
        };
        let (low, high) = end.watermarks(partition)?;
        if low >= high {
            return Ok(());
        }
        let mut consumer = Consumer::on(sees)?;
        consumer.assign(&[(partition, Start::Beginning)])?;
        let (mut until, mut next) = (Instant::now() + wait, low);
        while next < high {
            if Instant::now() > until {
                return Err(self.hanging(&consumer, wait));
            }
            let before = next;
            let polled: Polled = consumer.poll(BATCH, POLL)?;
            for message in polled.messages.iter() {
                next = message.offset + 1;
                each(&message)?;
            }
            for (_, end) in polled.ends {
                next = next.max(end);
            }
            // A transaction that hangs lets nobody past it; a long way is no such thing.
            if next > before {
                until = Instant::now() + wait;
            }
        }
        Ok(())
    }

    fn hanging(&self, consumer: &Consumer, wait: Duration) -> Error {
        let Words {
            holds,
            writer,
            timeout,
            ..
        } = self.words;
        if let Some(complaint) = consumer.complaint() {
            return consumer.silent(&format!(
                "the {holds} topic could not be read ({complaint})"
            ));
        }
        Error::new(
            Kind::Timeout,
            format!(
                "another {writer} has had a transaction open in {} for longer than {timeout} ({wait:?}), and it is not known what of it counts; wait until the broker ends it (its transaction.timeout.ms), or raise {timeout}",
                self.config.topic
            ),
        )
        .retryable()
    }
}
