//! Topics as a sink: one transaction decides. As home, it holds the rows, the record and the head; as follower, the
//! rows and what they show.
//!
//! Rows go to a topic as JSON, one message a row, key = sensor_id (or `key=`), names as in the tables. A topic keeps
//! every version of a window: the last message of (sensor_id, grain, window_start) holds. Readers of committed
//! messages see whole flushes, each once.
//!
//! Heads, records and what each topic shows lie in a compacted topic (`state_topic`), shared by all pipelines of a
//! cluster: see [`state`].
//!
//! **Owners.** Each partition of a pipeline has a transactional id; who registers it fences whoever had it, and ends
//! what that one left open. The epoch in the state topic says who is right where two register in turn: a
//! producer that finds itself fenced reads the newest epoch, and registers again only if that is its own. An owner
//! counts as alive while its signs of life are fresher than `lease` and its process on this host is there.
//!
//! **Lost answers.** A producer whose commit was not answered is thrown away. A new one of the same id
//! ends what was open, so that the state topic, read to its end, says what became of it.
//!
//! **Privileges**: Write, Describe and Read on the topic and on the state topic (Create where they are not
//! there), Write and Describe on transactional ids with the prefix `wattline-`, IdempotentWrite on the cluster.

mod home;
mod lane;
mod letters;
mod owner;
mod rows;
mod state;

use super::{Applied, Home, Kafka, Next, Sink, SinkSpec, Tables, What};
use crate::flush::Flush;
use crate::kafka::{Client, Config, Isolation, Limits, Log, NewTopic, Producer, Upto};
use crate::{Error, Kind, Result, faults};
use lane::{Lane, Role};
use letters::LetterWriter;
use owner::Signs;
use rows::RowWriter;
use state::Belongs;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most bytes of a part of a record, where the state topic takes more.
const PART: usize = 768 << 10;
/// What a message has beside its value.
const AROUND: usize = 2 << 10;
/// The most bytes of a message, and of messages sent together, unless the endpoint says otherwise.
const MESSAGE: usize = 1_000_000;
/// How long brokers may take to tell what is so: at the end of a run that its last commit is there, before it that a
/// topic is.
const SEEN: Duration = Duration::from_secs(1);

/// Opens a sink, and a home, at `at`; nothing is connected yet.
pub(super) fn open(spec: &SinkSpec, at: &Kafka) -> Result<Box<dyn Home>> {
    let topic = at.topic.clone().or_else(|| spec.table.clone());
    let topic = topic.unwrap_or_else(|| super::rows::table_name(spec.what).into());
    let mut options = at.settings.clone();
    for (name, secret) in &at.secrets {
        options.insert(name.clone(), secret.reveal()?);
    }
    let config = Config::new(&at.brokers, &topic, options)?
        // A flush is on its way at once; nobody waits for company.
        .or("linger.ms", 2);
    if topic == at.state_topic {
        return Err(Error::new(
            Kind::Usage,
            format!("{topic} keeps the state of pipelines and takes no rows; name another topic"),
        ));
    }
    Ok(Box::new(KafkaSink {
        place: config.to_string(),
        spec: spec.clone(),
        at: at.clone(),
        config,
        ready: None,
        log: None,
        plain: None,
        signs: None,
        lanes: BTreeMap::new(),
    }))
}

/// A sink, and a home, in a topic.
struct KafkaSink {
    spec: SinkSpec,
    at: Kafka,
    /// The rows' topic.
    config: Config,
    place: String,
    ready: Option<Ready>,
    log: Option<StateLog>,
    /// A producer without transactions.
    plain: Option<Producer>,
    /// Signs of life of what this home owns.
    signs: Option<Signs>,
    lanes: BTreeMap<u32, Lane>,
}

/// What `prepare` worked out.
struct Ready {
    pipeline: String,
    writer: Messages,
}

/// How a flush becomes messages.
enum Messages {
    Rows(Box<RowWriter>),
    Letters(Box<LetterWriter>),
}

impl Messages {
    fn send(&self, producer: &mut Producer, topic: usize, flush: &Flush) -> Result<()> {
        match self {
            Messages::Rows(rows) => rows.send(producer, topic, flush),
            Messages::Letters(letters) => letters.send(producer, topic, flush),
        }
    }
}

/// The state topic and how large its messages may be.
#[derive(Clone)]
struct StateLog {
    log: Log,
    /// The most bytes of a part of a record.
    part: usize,
    /// The most bytes of messages sent together.
    most: usize,
}

impl KafkaSink {
    fn lease(&self) -> Duration {
        Duration::from_secs_f64(self.at.lease.clamp(0.1, 86_400.0))
    }

    fn retry_for(&self) -> Duration {
        Duration::from_secs_f64(self.at.retry_for.clamp(0.0, 1e6))
    }

    /// The state topic; made where it is not there.
    fn log(&mut self) -> Result<StateLog> {
        if let Some(log) = &self.log {
            return Ok(log.clone());
        }
        let log = Log::open(&self.config, &self.at.state_topic, state::WORDS)?;
        let log = StateLog::of(log)?;
        self.log = Some(log.clone());
        Ok(log)
    }

    /// The state topic, if it is there.
    fn find_log(&mut self) -> Result<Option<StateLog>> {
        if self.log.is_none() {
            let found = Log::find(&self.config, &self.at.state_topic, state::WORDS)?;
            self.log = found.map(StateLog::of).transpose()?;
        }
        Ok(self.log.clone())
    }

    fn messages(&self, tables: &Tables) -> Result<Messages> {
        let rows = RowWriter::new(&self.spec, tables)?;
        let Some(topic) = &self.at.letters_of else {
            return Ok(Messages::Rows(Box::new(rows)));
        };
        letters::only_rejects(self.spec.what)?;
        let source = self.config.with_topic(topic);
        Ok(Messages::Letters(Box::new(LetterWriter::new(source, rows))))
    }

    fn ready(&self) -> Result<&Ready> {
        self.ready.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "a Kafka sink was used before it was prepared",
            )
        })
    }

    /// A producer without transactions.
    fn plain(&self, log: &StateLog) -> Result<Producer> {
        Producer::new(&log.fitting(&self.config), None)
    }

    /// Refuses a topic of another pipeline, zone or kind; `note`: says whose it is from now on.
    fn whose(&self, log: &StateLog, tables: &Tables, note: bool) -> Result<()> {
        let ours = Belongs::new(
            super::rows::table_name(self.spec.what),
            &tables.pipeline,
            &tables.tz,
        );
        let topic = self.config.topic.as_str();
        let Some(has) = state::belongs(&log.log, topic)? else {
            if !note {
                return Ok(());
            }
            let mut producer = self.plain(log)?;
            let number = producer.topic(&log.log.config.topic)?;
            let mut writer = state::Writer {
                producer: &mut producer,
                topic: number,
                place: state::place_of(topic),
                at: ("", 0),
                part: log.part,
            };
            writer.belongs(topic, &ours)?;
            return producer.flush(self.config.timeout);
        };
        let name = format!("topic {topic:?} of {}", self.at.brokers);
        super::rows::same_owner(&name, (&has.pipeline, &has.tz), (&ours.pipeline, &ours.tz))?;
        if has.what != ours.what {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "{name} holds {}, not {}; name another topic",
                    has.what, ours.what
                ),
            ));
        }
        Ok(())
    }

    /// A topic that is not there must never have been.
    fn not_lost(&self, log: &StateLog, tables: &Tables) -> Result<()> {
        let topic = self.config.topic.as_str();
        if !state::ever_shown(&log.log, &tables.pipeline, topic)? {
            return Ok(());
        }
        let name = format!("topic {topic:?} of {}", self.at.brokers);
        Err(super::lost::gone(&name, &tables.pipeline))
    }

    /// Without the state topic nobody has written to this one; what was counted into it would be counted again. Letters
    /// are no count.
    fn nobodys(&mut self) -> Result<()> {
        if self.at.letters_of.is_some() {
            return Ok(());
        }
        let client = Client::new(&self.config, Isolation::Uncommitted)?;
        for partition in client.partitions()? {
            let (low, high) = client.watermarks(partition)?;
            if low < high && !self.told_late()? {
                let name = format!("topic {:?} of {}", self.config.topic, self.at.brokers);
                return Err(super::lost::nobodys(&name, &self.at.state_topic));
            }
        }
        Ok(())
    }

    /// Brokers hear of a topic a moment apart: it is asked for again.
    fn told_late(&mut self) -> Result<bool> {
        std::thread::sleep(SEEN);
        Ok(self.find_log()?.is_some())
    }

    /// Whether the topic is there; `make`: makes it where it is not.
    fn topic(&self, make: bool) -> Result<bool> {
        let client = Client::new(&self.config, Isolation::Committed)?;
        match client.describe() {
            Err(error) if error.kind == Kind::NotFound => {}
            facts => return facts.map(|_| true),
        }
        if !make {
            return Ok(false);
        }
        let topic = NewTopic {
            name: self.config.topic.clone(),
            partitions: self.at.partitions.unwrap_or(-1),
            replication: -1,
            // Rows stay, as in a table; whoever wants less says so to the topic.
            settings: [("retention.ms".to_owned(), "-1".to_owned())].into(),
        };
        client.make(&topic).map(|_| true)
    }

    /// No batch is longer than the rows' topic takes: one that was refused would end the transaction. A topic that may
    /// not be asked is taken for one that takes the usual.
    fn hold_to(&mut self, log: &StateLog) {
        let settings = log.log.client().on(&self.config.topic).settings();
        if let Ok(settings) = settings {
            self.config = self.config.clone().within(Limits::of(&settings).batch());
        }
    }

    /// Waits until readers of committed messages see the last commit, which a broker answers a moment before; no longer
    /// where another program's open transaction hides it.
    fn wait_until_seen(&self) -> Result<()> {
        let all = Client::new(&self.config, Isolation::Uncommitted)?;
        let committed = Client::new(&self.config, Isolation::Committed)?;
        let until = Instant::now() + SEEN;
        let mut pause = || {
            std::thread::sleep(SEEN / 100);
            Instant::now() < until
        };
        all.unsettled(&committed, &mut pause).map(drop)
    }

    /// Takes a lane out while it works with the rest.
    fn with_lane<T>(
        &mut self,
        partition: u32,
        work: impl FnOnce(&mut Self, &mut Lane) -> Result<T>,
    ) -> Result<T> {
        let mut lane = self.lanes.remove(&partition).ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!("partition {partition} is applied to without a fence"),
            )
        })?;
        let done = work(self, &mut lane);
        self.lanes.insert(partition, lane);
        done
    }
}

impl StateLog {
    /// An endpoint whose messages the state topic takes.
    fn fitting(&self, config: &Config) -> Config {
        config.clone().within(self.most)
    }

    fn of(log: Log) -> Result<StateLog> {
        let settings = log.client().settings()?;
        let most = settings
            .get("max.message.bytes")
            .and_then(|v| v.parse().ok());
        let most = most.unwrap_or(MESSAGE).clamp(1000, MESSAGE);
        let part = most.saturating_sub(AROUND).clamp(512, PART);
        Ok(StateLog { log, part, most })
    }
}

impl Sink for KafkaSink {
    fn describe(&self) -> String {
        self.place.clone()
    }

    fn what(&self) -> What {
        self.spec.what
    }

    fn inspect(&mut self, tables: &Tables) -> Result<()> {
        self.messages(tables)?;
        let there = self.topic(false)?;
        match self.find_log()? {
            Some(log) if !there => self.not_lost(&log, tables),
            Some(log) => self.whose(&log, tables, false),
            None if there => self.nobodys(),
            None => Ok(()),
        }
    }

    fn prepare(&mut self, tables: &Tables) -> Result<()> {
        let writer = self.messages(tables)?;
        let there = self.topic(false)?;
        match self.find_log()? {
            Some(log) if !tables.anew && !there => self.not_lost(&log, tables)?,
            None if there => self.nobodys()?,
            _ => {}
        }
        let log = self.log()?;
        if !there {
            self.topic(true)?;
        }
        self.whose(&log, tables, true)?;
        self.hold_to(&log);
        self.ready = Some(Ready {
            pipeline: tables.pipeline.clone(),
            writer,
        });
        Ok(())
    }

    fn applied(&mut self, partition: u32) -> Result<Option<Applied>> {
        if let Some(lane) = self.lanes.get(&partition) {
            return Ok(lane.shown.applied());
        }
        let (log, pipeline) = (self.log()?, self.ready()?.pipeline.clone());
        let lane = Lane::new(self, &log, &pipeline, partition, Role::Follower);
        // A run that was killed left its transaction open: `fence` ends it, and knows what it came to.
        Ok(lane.read_shown(Upto::Stable)?.applied())
    }

    fn fence(&mut self, partition: u32, epoch: u64) -> Result<()> {
        let (log, pipeline) = (self.log()?, self.ready()?.pipeline.clone());
        let mut lane = match self.lanes.remove(&partition) {
            Some(lane) => lane,
            None => Lane::new(self, &log, &pipeline, partition, Role::Follower),
        };
        lane.epoch = epoch;
        let fenced = lane.fence(self.retry_for());
        self.lanes.insert(partition, lane);
        fenced
    }

    fn apply(&mut self, flush: &Flush) -> Result<()> {
        let limit = self.retry_for();
        self.with_lane(flush.partition, |sink, lane| {
            let ready = sink.ready()?;
            lane.attempt(limit, |lane| {
                if lane.epoch < lane.shown.fence && !faults::broken("no_epoch") {
                    return Err(lane.fenced("a newer run"));
                }
                let applied = lane.shown.applied();
                if super::next_step(&lane.topic, applied.as_ref(), flush)? == Next::Nothing {
                    return Ok(lane::Step::Nothing);
                }
                let shown = lane.shown.after(flush);
                lane.rows(&ready.writer, flush)?;
                lane.show(&shown)?;
                Ok(lane::Step::Commit(shown))
            })
        })
    }

    fn finish(&mut self) -> Result<()> {
        if !self.lanes.is_empty() {
            // It is committed, and will be seen: a broker that does not say so now changes nothing.
            drop(self.wait_until_seen());
        }
        Ok(())
    }
}
