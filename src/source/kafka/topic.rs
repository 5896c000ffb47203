//! A topic as a source of readings that never ends, or ends at what there is when the run begins.

use super::concerns;
use super::dead::{Judge, stream};
use super::feed::{Common, Feed, Share, Span};
use super::group::Membership;
use super::lease::Leases;
use super::merge::Merge;
use super::model::{Models, Reading, SAMPLE};
use super::places::{Places, Seen};
use super::queues;
use super::range::{self, Bound};
use super::reader::Keyed;
use crate::csv::{LocalPolicy, SchemaChoice};
use crate::flush::{Position, Positions, ReadPlan};
use crate::kafka::{Client, Config, Consumer, Isolation, Messages, Polled, Start, TopicFacts};
use crate::reject::OnReject;
use crate::schema::{Measure, Overrides, Schema};
use crate::source::{Concern, FileName, Group, Identity, Order, Prepare, Reader, Source};
use crate::{Error, Kind, Result, runtime};
use arrow_schema::Fields;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// How a topic is read as a source.
#[derive(Clone, Debug)]
pub struct TopicOptions {
    /// How the schema is found.
    pub schema: SchemaChoice,
    /// What the caller says beside.
    pub overrides: Overrides,
    /// Local times.
    pub local: LocalPolicy,
    /// Messages that cannot be read.
    pub on_reject: OnReject,
    /// More of them than this end the run.
    pub max_rejects: u64,
    /// One head for all partitions.
    pub shared: bool,
    /// Where the first run begins; `None`: at the first message there is.
    pub since: Option<Bound>,
    /// The read ends at what there is now.
    pub until_now: bool,
    /// Readings before this instant (µs) are another source's.
    pub cut: Option<i64>,
    /// The consumer group that shares the partitions among runs, and this run's fixed name in it.
    pub group: Option<(String, Option<String>)>,
    /// How far past the clock a reading may lie, µs: one beyond does not say how far its partition is.
    pub ahead: Option<i64>,
}

impl Default for TopicOptions {
    fn default() -> Self {
        TopicOptions {
            schema: SchemaChoice::Sniff,
            overrides: Overrides::default(),
            local: LocalPolicy::default(),
            on_reject: OnReject::Raise,
            max_rejects: 10_000,
            shared: false,
            since: None,
            until_now: false,
            cut: None,
            group: None,
            ahead: None,
        }
    }
}

/// A topic as a source.
pub struct TopicSource {
    config: Config,
    options: TopicOptions,
    facts: TopicFacts,
    cluster: String,
    /// Where each partition ends, where the read has an end.
    ends: Option<BTreeMap<i32, i64>>,
    common: Arc<Common>,
    leases: Arc<Leases>,
    places: Arc<Places>,
}

impl TopicSource {
    /// Asks the cluster for the topic and looks at its first messages.
    ///
    /// Errors: `NotFound`, `Endpoint`, `Usage`; `Schema` where the columns can neither be told nor found.
    pub fn new(url: &str, options: TopicOptions) -> Result<TopicSource> {
        let config = Config::parse(url)?;
        let facts = Client::new(&config, Isolation::Committed)?.describe()?;
        let count = facts.partitions.len();
        let queued = queues::shared(config.clone(), count);
        let queued = match options.until_now {
            true => queues::ending(queued),
            false => queued,
        };
        let client = Client::new(&queued, Isolation::Committed)?;
        let marks = match options.until_now {
            true => Some(marks(&client, &facts.partitions)?),
            false => None,
        };
        let reading = Reading {
            schema: options.schema.clone(),
            overrides: options.overrides.clone(),
            local: options.local,
            cut: options.cut,
        };
        let samples = look(&client, &facts.partitions, marks.as_ref())?;
        let models = Models::new(&config.topic, reading, &samples)
            .map_err(|error| nothing_yet(error, &samples, &config))?;
        let common = Common {
            topic: config.topic.as_str().into(),
            judge: Judge::new(&config.topic, options.on_reject, options.max_rejects),
            share: Share::of(count, runtime::default_threads()),
            keyed: !options.shared && count > 1,
            models,
            client,
        };
        Ok(TopicSource {
            places: Arc::new(Places::new(&config.topic, count, config.partitioner()?)),
            cluster: common.client.cluster_id()?,
            common: Arc::new(common),
            leases: Arc::default(),
            ends: marks.map(|all| all.into_iter().map(|(p, (_, end))| (p, end)).collect()),
            facts,
            options,
            config,
        })
    }

    fn feed(&self, partition: i32, from: &Positions, prepare: &Prepare) -> Result<Feed> {
        let lease = self.leases.take(partition)?;
        let end = |ends: &BTreeMap<i32, i64>| ends.get(&partition).copied().unwrap_or(0);
        let span = Span {
            partition,
            from: self.begin(partition, from)?,
            end: self.ends.as_ref().map(end),
        };
        Feed::open(&self.common, lease, &span, from, prepare)
    }

    /// The offset at which reading goes on, or begins.
    fn begin(&self, partition: i32, from: &[Position]) -> Result<i64> {
        let name = stream(&self.config.topic, partition);
        match from.iter().find(|p| p.stream == name) {
            Some(position) => self.still_there(partition, position.at as i64),
            None => range::start(&self.common.client, partition, self.options.since.as_ref()),
        }
    }

    /// The place of a head, if the log still has it.
    fn still_there(&self, partition: i32, at: i64) -> Result<i64> {
        let (low, high) = self.common.client.watermarks(partition)?;
        let lost = |what: String| {
            Err(Error::new(
                Kind::DataLost,
                format!(
                    "partition {partition} of topic {} {what}; look what was lost, then begin under another name, or move the head with state --seek",
                    self.config.topic
                ),
            ))
        };
        if at < low {
            return lost(format!(
                "was counted up to offset {at} and begins at {low} now: retention has passed {} messages that were not counted",
                low - at
            ));
        }
        if at > high {
            return lost(format!(
                "was counted up to offset {at} and ends at {high} now: its log was cut off"
            ));
        }
        Ok(at)
    }

    fn partition(&self, number: u32) -> Result<i32> {
        let known = i32::try_from(number).ok();
        known
            .filter(|p| self.facts.partitions.contains(p))
            .ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    format!(
                        "topic {} has no partition {number}; it has {}, numbered from 0",
                        self.config.topic,
                        self.facts.partitions.len()
                    ),
                )
            })
    }
}

/// Bytes of the first messages that are looked at; one of the codec `arrow` has thousands of rows.
const LOOKED: usize = 1 << 20;

/// Where partitions begin and end.
type Marks = BTreeMap<i32, (i64, i64)>;

fn marks(client: &Client, partitions: &[i32]) -> Result<Marks> {
    let marks = |p: &i32| client.watermarks(*p).map(|marks| (*p, marks));
    partitions.iter().map(marks).collect()
}

/// The first messages of the topic, as far as there are some.
fn look(client: &Client, partitions: &[i32], marks: Option<&Marks>) -> Result<Messages> {
    let all = |start: &dyn Fn(i32) -> Start| partitions.iter().map(|p| (*p, start(*p))).collect();
    let beginning = |_| Start::Beginning;
    let Some(marks) = marks else {
        return look_from(client, all(&beginning));
    };
    // A client that was just made asks for a beginning again only after half a second where it does not know yet whom.
    let low = |p| marks.get(&p).map_or(Start::Beginning, |m| Start::At(m.0));
    match look_from(client, all(&low)) {
        // Retention was quicker.
        Err(error) if error.kind == Kind::DataLost => look_from(client, all(&beginning)),
        found => found,
    }
}

fn look_from(client: &Client, from: Vec<(i32, Start)>) -> Result<Messages> {
    let mut consumer = Consumer::on(client)?;
    consumer.assign(&from)?;
    let (mut found, mut ended) = (Polled::default(), Vec::new());
    let until = Instant::now() + client.config().timeout;
    let few = |found: &Polled| found.messages.len() < SAMPLE && found.messages.bytes() < LOOKED;
    while few(&found) && ended.len() < from.len() {
        let most = SAMPLE - found.messages.len();
        let mut keep = |m: &crate::kafka::Message<'_>| m.value.is_some();
        consumer.poll_if(&mut found, most, queues::ENDS, &mut keep)?;
        for (partition, _) in found.ends.drain(..) {
            if !ended.contains(&partition) {
                ended.push(partition);
            }
        }
        if Instant::now() > until {
            return Err(consumer.silent("the first messages could not be read"));
        }
    }
    Ok(found.messages)
}

/// An empty topic says nothing of its columns.
fn nothing_yet(error: Error, samples: &Messages, config: &Config) -> Error {
    match samples.is_empty() && error.kind == Kind::Schema {
        false => error,
        true => Error::new(
            Kind::Schema,
            format!(
                "topic {} holds no message yet, so its columns are not known ({}); pass schema=",
                config.topic, error.message
            ),
        ),
    }
}

impl Source for TopicSource {
    fn describe(&self) -> String {
        self.config.to_string()
    }

    fn measures(&self) -> Arc<[Measure]> {
        self.common.models.first().measures()
    }

    fn attributes(&self) -> Fields {
        self.common.models.first().attributes()
    }

    fn partitions(&self) -> u32 {
        match self.options.shared {
            true => 1,
            false => self.facts.partitions.len() as u32,
        }
    }

    fn bounded(&self) -> bool {
        false
    }

    fn files(&self) -> Vec<FileName> {
        let named = |p: &i32| {
            let name: Arc<str> = stream(&self.config.topic, *p).into();
            FileName {
                stream: name.clone(),
                name,
                mended: false,
            }
        };
        self.facts.partitions.iter().map(named).collect()
    }

    fn schema(&self) -> Schema {
        self.common.models.first().schema().clone()
    }

    fn assumed(&self) -> bool {
        self.common.models.first().assumed()
    }

    fn group(&self) -> Result<Option<Box<dyn Group>>> {
        let Some((group, instance)) = self.options.group.as_ref().filter(|_| self.ends.is_none())
        else {
            return Ok(None);
        };
        let joined = Membership::join(&self.config, group, instance.as_deref())?;
        Ok(Some(Box::new(joined)))
    }

    fn identity(&self) -> Result<Option<Identity>> {
        Ok(Some(Identity {
            cluster: self.cluster.clone(),
            topic: self.facts.id.clone(),
            partitions: self.facts.partitions.len() as u32,
        }))
    }

    fn concerns(&self, from: &[Position]) -> Result<Vec<Concern>> {
        let from: Vec<(i32, Result<i64>)> = self
            .facts
            .partitions
            .iter()
            .map(|p| (*p, self.begin(*p, from)))
            .collect();
        concerns::of(&self.common.client, from, self.options.ahead)
    }

    fn ends(&self) -> Result<Vec<(u32, u64)>> {
        let found = marks(&self.common.client, &self.facts.partitions)?;
        Ok(found
            .into_iter()
            .map(|(p, (_, end))| (p as u32, end.max(0) as u64))
            .collect())
    }

    fn open(
        &self,
        partition: u32,
        from: &Positions,
        _read: Option<&ReadPlan>,
        _order: Order,
        prepare: Prepare,
    ) -> Result<Box<dyn Reader>> {
        if self.options.shared {
            let all = self.facts.partitions.iter();
            let feeds = all
                .map(|p| self.feed(*p, from, &prepare))
                .collect::<Result<_>>()?;
            return Ok(Box::new(Merge::new(feeds, self.options.ahead)));
        }
        let partition = self.partition(partition)?;
        let feed = self.feed(partition, from, &prepare)?;
        let seen = (self.common.keyed).then(|| Seen::new(self.places.clone(), partition));
        Ok(Box::new(Keyed::new(feed, seen)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{Outgoing, Producer};
    use rdkafka::mocking::MockCluster;
    use std::time::Duration;

    /// A topic of one message.
    fn common(url: &str) -> Arc<Common> {
        let config = Config::parse(url).unwrap();
        let mut producer = Producer::new(&config, None).unwrap();
        let topic = producer.topic("power").unwrap();
        let message = Outgoing {
            partition: 0,
            key: Some(b"a"),
            value: Some(br#"{"sensor_id": "a", "time": "2026-01-01T00:00:00", "v": 1.5}"#),
            timestamp: 1_000,
            headers: &[],
        };
        producer.send(topic, &message).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
        let client = Client::new(&config, Isolation::Committed).unwrap();
        let reading = Reading {
            schema: SchemaChoice::Sniff,
            overrides: Overrides::default(),
            local: LocalPolicy::default(),
            cut: None,
        };
        let samples = look(&client, &[0], None).unwrap();
        Arc::new(Common {
            topic: "power".into(),
            judge: Judge::new("power", OnReject::Raise, 10),
            share: Share::of(1, 1),
            keyed: false,
            models: Models::new("power", reading, &samples).unwrap(),
            client,
        })
    }

    #[test]
    fn a_read_that_ends_does_not_wait_for_ever() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("power", 1, 1).unwrap();
        let url = format!("kafka://{}/power?timeout=2s", cluster.bootstrap_servers());
        let prepare: Prepare = Arc::new(|_| Ok(Default::default()));
        // What is to come never comes, as where the client has lost its brokers.
        let span = Span {
            partition: 0,
            from: 0,
            end: Some(100),
        };
        let lease = Arc::new(Leases::default()).take(0).unwrap();
        let mut feed =
            Feed::open(&common(&url), lease, &span, &Positions::default(), &prepare).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let error = loop {
            assert!(Instant::now() < until, "it still waits");
            if let Err(error) = feed.fill(Duration::from_millis(20)) {
                break error;
            }
            feed.land(Duration::ZERO).unwrap();
        };
        assert_eq!((error.kind, error.retryable), (Kind::Endpoint, true));
        let told = "nothing more could be read";
        assert!(error.message.contains(told), "{error}");
    }
}
