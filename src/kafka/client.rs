//! A client for what is asked of the cluster: topics, offsets.

pub use super::raw::{NewTopic, TopicFacts};

use super::config::Config;
use super::errors::error;
use super::raw::{Failure, Handle, Role};
use crate::{Kind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least time for a question that had to wait for the connection.
const LEAST: Duration = Duration::from_millis(50);

/// Which messages a consumer sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions, up to the last stable offset.
    #[default]
    Committed,
    /// All.
    Uncommitted,
}

/// Asks the cluster about a topic. Copies are one client.
#[derive(Clone)]
pub struct Client {
    pub(super) handle: Arc<Handle>,
    pub(super) config: Config,
}

impl Client {
    /// A client that reads; nothing is sent to the cluster yet.
    pub fn new(config: &Config, isolation: Isolation) -> Result<Client> {
        let mut settings = config.consumer()?;
        let level = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        settings.retain(|(name, _)| name != "isolation.level");
        settings.push(("isolation.level".into(), level.into()));
        Client::of(config, Role::Consumer, &settings)
    }

    pub(super) fn of(config: &Config, role: Role, settings: &[(String, String)]) -> Result<Client> {
        let handle = Handle::new(role, settings)
            .map_err(|f| error("the Kafka client could not be made", config, &f, None))?;
        Ok(Client {
            handle: Arc::new(handle),
            config: config.clone(),
        })
    }

    /// The same client for another topic.
    pub fn on(&self, topic: &str) -> Client {
        Client {
            handle: self.handle.clone(),
            config: self.config.with_topic(topic),
        }
    }

    /// The endpoint.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn told<T>(&self, what: &str, done: std::result::Result<T, Failure>) -> Result<T> {
        done.map_err(|f| {
            // The reason may wait in the queue of callbacks.
            self.handle.poll(Duration::ZERO);
            error(what, &self.config, &f, Some(self.handle.told()))
        })
    }

    /// The name of the cluster.
    pub fn cluster_id(&self) -> Result<String> {
        let id = self.handle.cluster_id(self.config.timeout);
        let late =
            || Failure::of(rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT);
        self.told("the cluster's id could not be read", id.ok_or_else(late))
    }

    /// The topic's id and partitions. Errors: `NotFound` where there is none.
    pub fn describe(&self) -> Result<TopicFacts> {
        let facts = self
            .handle
            .describe(&self.config.topic, self.config.timeout);
        self.told("the topic could not be described", facts)
    }

    /// The topic's settings.
    pub fn settings(&self) -> Result<BTreeMap<String, String>> {
        let settings = self
            .handle
            .settings(&self.config.topic, self.config.timeout);
        self.told("the topic's settings could not be read", settings)
    }

    /// Makes a topic. Errors: `Endpoint` also where it is there already.
    pub fn create(&self, topic: &NewTopic) -> Result<()> {
        let made = self.handle.create(topic, self.config.timeout);
        self.told(&format!("the topic {} could not be made", topic.name), made)
    }

    /// Makes a topic and waits until it is known: every broker knows it a moment later, and somebody else may
    /// have made it meanwhile.
    pub fn make(&self, topic: &NewTopic) -> Result<TopicFacts> {
        let made = self.create(topic);
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match self.describe() {
                Err(error) if error.kind == Kind::NotFound && Instant::now() < until => {
                    if let Err(refused) = &made
                        && !refused.message.contains("already exists")
                    {
                        return Err(refused.clone());
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                facts => return facts,
            }
        }
    }

    /// The topic's partitions.
    pub fn partitions(&self) -> Result<Vec<i32>> {
        let found = self
            .handle
            .partitions(&self.config.topic, self.config.timeout);
        self.told("the topic could not be found", found)
    }

    /// The first offset of a partition and the one past the last that this client may see: under
    /// [`Isolation::Committed`] the last stable one.
    pub fn watermarks(&self, partition: i32) -> Result<(i64, i64)> {
        let until = Instant::now() + self.config.timeout;
        self.handle.reach(self.config.timeout);
        let ask = || {
            let left = until.saturating_duration_since(Instant::now());
            (self.handle).watermarks(&self.config.topic, partition, left.max(LEAST))
        };
        let mut found = ask();
        // A topic that was just made, or whose leader has gone, has one in a moment.
        while found.as_ref().is_err_and(leaderless) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
            found = ask();
        }
        self.told("the ends of a partition could not be read", found)
    }

    /// Whether readers of committed messages (`committed`, a client of the same topic) see all that a partition holds
    /// now; asked again after each `pause` that says `true`. A broker answers a commit before it shows what was
    /// committed, and an open transaction hides all that stands behind it.
    pub fn settled(
        &self,
        committed: &Client,
        partition: i32,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        let (_, end) = self.watermarks(partition)?;
        while committed.watermarks(partition)?.1 < end {
            if !pause() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first partition of which `committed` does not see all yet, asked again after each `pause` that says `true`.
    pub fn unsettled(
        &self,
        committed: &Client,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<Option<i32>> {
        for partition in self.partitions()? {
            if !self.settled(committed, partition, pause)? {
                return Ok(Some(partition));
            }
        }
        Ok(None)
    }

    /// The first offset of each partition whose record time is `time` (ms since 1970) or later;
    /// `None`: there is none yet.
    pub fn offsets_at(&self, partitions: &[i32], time: i64) -> Result<Vec<(i32, Option<i64>)>> {
        let until = Instant::now() + self.config.timeout;
        self.handle.reach(self.config.timeout);
        let left = until.saturating_duration_since(Instant::now()).max(LEAST);
        let found = (self.handle).offsets_at(&self.config.topic, partitions, time, left);
        let found = self.told("offsets could not be found by time", found)?;
        let known = |(p, offset): (i32, i64)| (p, (offset >= 0).then_some(offset));
        Ok(found.into_iter().map(known).collect())
    }
}

fn leaderless(failure: &Failure) -> bool {
    use rdkafka::bindings::rd_kafka_resp_err_t as E;
    matches!(
        failure.code,
        E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION | E::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
    )
}
