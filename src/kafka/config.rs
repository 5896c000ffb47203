//! The endpoint: brokers, a topic, settings.
//!
//! As a URL: `kafka://host:9092,other:9092/topic?security=ssl&ca=ca.pem`. A user and password before an `@`
//! are those of SASL. Any setting of librdkafka may stand among the options by its own name
//! (`socket.timeout.ms=1000`); short names stand for the usual ones. A value `${NAME}` is taken from the
//! environment when the client is made, so that an endpoint that is stored or shown holds no secret.
//!
//! **Defaults that are not librdkafka's**, each with its reason, stand in `COMMON`, `CONSUMER` and
//! `PRODUCER`; what the URL says wins, but for what exactly-once rests upon (`HELD`).

use super::partitioner::Partitioner;
use crate::secret::{Secret, is_secret};
use crate::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Short names and the settings they stand for.
const SHORT: [(&str, &str); 10] = [
    ("security", "security.protocol"),
    ("mechanism", "sasl.mechanisms"),
    ("user", "sasl.username"),
    ("password", "sasl.password"),
    ("ca", "ssl.ca.location"),
    ("certificate", "ssl.certificate.location"),
    ("key", "ssl.key.location"),
    ("key_password", "ssl.key.password"),
    ("compression", "compression.type"),
    ("linger", "linger.ms"),
];

/// For every client.
const COMMON: [(&str, &str); 4] = [
    ("client.id", "wattline"),
    // A connection that a firewall forgot is found out before the next message waits on it.
    ("socket.keepalive.enable", "true"),
    // Nagle's wait stands between a request and its answer.
    ("socket.nagle.disable", "true"),
    // Half of it passes between a client's first broker and the next, each of its beginnings: 50 ms by default. Failures
    // in a row still wait twice as long each time.
    ("reconnect.backoff.ms", "20"),
];

/// For consumers.
const CONSUMER: [(&str, &str); 10] = [
    // Offsets belong to flushes, not to a clock of the library.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Expired offsets are lost data: an error, never a silent jump.
    ("auto.offset.reset", "error"),
    // The default trusts the network; a flipped bit would be a reading.
    ("check.crcs", "true"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
    // The default of 1000 makes a consumer sleep a second whenever its queue is full: 0.11 instead of
    // 0.85 million messages a second here.
    ("fetch.queue.backoff.ms", "1"),
    // What may wait in memory; the default is as much for each partition.
    ("queued.max.messages.kbytes", "65536"),
    ("fetch.message.max.bytes", "4194304"),
    ("allow.auto.create.topics", "false"),
];

/// For producers.
const PRODUCER: [(&str, &str); 8] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // As Java clients: the same key goes to the same partition whoever sends it.
    ("partitioner", "murmur2_random"),
    // Half the bytes for a tenth of the time; zstd costs the client twice that.
    ("compression.type", "lz4"),
    // Batches of a megabyte fill in milliseconds at full speed; a slow source waits this long.
    ("linger.ms", "20"),
    ("batch.num.messages", "100000"),
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "131072"),
];

/// For loads, which flush at each commit: nothing is seen before. A message older than its linger whose batch may not
/// go yet (five are in flight) has the library's thread ask without a pause: a core, which the broker lacks where they
/// share a machine (7.6 in place of 5.5 CPU seconds for two million messages). A full queue must hold a full batch, so
/// batches are counted, and the partitions are few.
const PATIENT: [(&str, &str); 2] = [("linger.ms", "5000"), ("batch.num.messages", "10000")];
const FEW: usize = 8;

/// Bytes of a message and of a batch at most where nobody says more: the library's own.
const BATCH: usize = 1_000_000;
/// The library takes no lesser limit of a message.
const SHORTEST: usize = 1000;

/// Who says one of these knows better: time-outs must be longer than the linger, queues longer than batches.
const TOLD: [&str; 9] = [
    "linger.ms",
    "queue.buffering.max.ms",
    "batch.num.messages",
    "batch.size",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "transaction.timeout.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
];

/// For members of groups, where the endpoint says nothing else.
const MEMBER: [(&str, &str); 2] = [
    // Whoever joins or leaves waits until the others have heard of it, with their next heartbeat.
    ("heartbeat.interval.ms", "500"),
    // One that was killed, or went while it joined (the library says no goodbye then), is waited for this long. A thread
    // of its own polls the group, so that no work makes it seem dead.
    ("session.timeout.ms", "10000"),
];

/// Settings that no endpoint may change: exactly-once rests upon them.
const HELD: [&str; 7] = [
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.idempotence",
    "acks",
    "enable.partition.eof",
    "transactional.id",
];

/// Names and values for the library.
pub(super) type Settings = Vec<(String, String)>;

/// Where a topic is, and how to get there.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Brokers to begin with, `host:port` by commas.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    options: BTreeMap<String, String>,
    /// How long the cluster may take for an answer.
    pub timeout: Duration,
}

impl Config {
    /// Reads a URL. Errors: `Usage`, naming what cannot be; no secret is repeated.
    pub fn parse(url: &str) -> Result<Config> {
        let rest = url.strip_prefix("kafka://").ok_or_else(|| {
            usage("the endpoint is no kafka:// URL; write kafka://host:9092/topic".into())
        })?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (brokers, topic) = place.split_once('/').unwrap_or((place, ""));
        // A password with a / in it would be told as brokers and topic.
        if topic.contains('@') {
            return Err(usage(
                "the kafka:// URL has a / before its @; write a / of a password as %2F".into(),
            ));
        }
        let mut options = BTreeMap::new();
        let brokers = match brokers.rsplit_once('@') {
            None => brokers,
            Some((login, brokers)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                options.insert("sasl.username".into(), decoded(user)?);
                options.insert("sasl.password".into(), decoded(password)?);
                brokers
            }
        };
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| valueless(pair))?;
            options.insert(long(&decoded(name)?).to_string(), decoded(value)?);
        }
        Config::new(brokers, &decoded(topic)?, options)
    }

    /// From its parts; option names may be short.
    pub fn new(brokers: &str, topic: &str, options: BTreeMap<String, String>) -> Result<Config> {
        if brokers.is_empty() || topic.is_empty() {
            let what = if brokers.is_empty() {
                "broker"
            } else {
                "topic"
            };
            return Err(usage(format!(
                "the kafka:// URL names no {what}; write kafka://host:9092/topic"
            )));
        }
        let mut options: BTreeMap<String, String> = options
            .into_iter()
            .map(|(name, value)| (long(&name).to_string(), value))
            .collect();
        if let Some(held) = HELD.iter().find(|h| options.contains_key(**h)) {
            return Err(usage(format!(
                "the setting {held} cannot be changed: exactly-once rests upon it; leave it out"
            )));
        }
        let timeout = match options.remove("timeout") {
            None => Duration::from_secs(30),
            Some(text) => {
                Duration::from_micros(crate::time::duration::parse(&text)?.unsigned_abs())
            }
        };
        if options.contains_key("sasl.username") {
            let usual = [
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanisms", "SCRAM-SHA-512"),
            ];
            for (name, value) in usual {
                options.entry(name.into()).or_insert_with(|| value.into());
            }
        }
        Ok(Config {
            brokers: brokers.into(),
            topic: topic.into(),
            options,
            timeout,
        })
    }

    /// The same endpoint with another topic.
    pub fn with_topic(&self, topic: &str) -> Config {
        Config {
            topic: topic.into(),
            ..self.clone()
        }
    }

    /// The same endpoint with a setting where the URL says none.
    pub fn or(mut self, name: &str, value: impl ToString) -> Config {
        let entry = self.options.entry(name.into());
        entry.or_insert_with(|| value.to_string());
        self
    }

    /// The same endpoint for a producer that flushes all it sends to a topic of so many partitions: whole batches are
    /// waited for.
    pub fn patient(self, partitions: usize) -> Config {
        let told = TOLD.iter().any(|name| self.options.contains_key(*name));
        if told || partitions > FEW {
            return self;
        }
        let with = |config: Config, (name, value): &(&str, &str)| config.or(name, value);
        PATIENT.iter().fold(self, with)
    }

    /// The same endpoint for a topic that takes batches of so many bytes: none is longer, whatever the URL says.
    pub fn within(mut self, bytes: usize) -> Config {
        for (name, least) in [("batch.size", 1), ("message.max.bytes", SHORTEST)] {
            let held = self.bytes(name).min(bytes).max(least);
            self.options.insert(name.into(), held.to_string());
        }
        self
    }

    /// Bytes of a message and all that goes with it, at most.
    pub fn longest(&self) -> usize {
        self.bytes("message.max.bytes")
    }

    /// A setting that says how long messages or their batches may be.
    fn bytes(&self, name: &str) -> usize {
        let told = self.options.get(name).and_then(|text| text.parse().ok());
        told.unwrap_or(BATCH)
    }

    /// How messages are to be compressed; `None`: nothing is said of that.
    pub fn compression(&self) -> Option<&str> {
        self.options
            .get("compression.type")
            .or(self.options.get("compression.codec"))
            .map(|c| c.as_str())
    }

    /// The same endpoint for messages that are compressed already.
    pub fn uncompressed(mut self) -> Config {
        self.options.remove("compression.codec");
        self.options
            .insert("compression.type".into(), "none".into());
        self
    }

    /// Where producers of this topic put a key: `partitioner=` of the URL.
    pub fn partitioner(&self) -> Result<Partitioner> {
        let told = self.options.get("partitioner");
        told.map_or(Ok(Partitioner::Murmur2), |name| Partitioner::parse(name))
    }

    /// The settings of a consumer.
    pub(super) fn consumer(&self) -> Result<Settings> {
        self.settings(&CONSUMER, &PRODUCER)
    }

    /// The settings of a member of a group, which fetches nothing.
    pub(super) fn member(&self, group: &str, instance: Option<&str>) -> Result<Settings> {
        let mut settings = self.consumer()?;
        let mut own = vec![
            ("group.id", group),
            ("partition.assignment.strategy", "cooperative-sticky"),
            // Its partitions are paused; where it would begin to read says nothing.
            ("auto.offset.reset", "latest"),
            ("enable.partition.eof", "false"),
            ("queued.min.messages", "1"),
        ];
        // A fixed name is for restarts, which may take longer: the library's 45 s.
        let [heartbeat, session] = MEMBER;
        let quick = [Some(heartbeat), instance.is_none().then_some(session)];
        let quick = quick.into_iter().flatten();
        own.extend(quick.filter(|(name, _)| !self.options.contains_key(*name)));
        own.extend(instance.map(|name| ("group.instance.id", name)));
        settings.retain(|(name, _)| !own.iter().any(|(o, _)| o == name));
        let own = own.into_iter();
        settings.extend(own.map(|(name, value)| (name.to_string(), value.to_string())));
        Ok(settings)
    }

    /// The settings of a producer.
    pub(super) fn producer(&self) -> Result<Settings> {
        self.settings(&PRODUCER, &CONSUMER)
    }

    /// `own`: the defaults of this kind; `other`: settings that mean nothing to it.
    fn settings(&self, own: &[(&str, &str)], other: &[(&str, &str)]) -> Result<Settings> {
        let mut all: BTreeMap<String, String> = COMMON
            .iter()
            .chain(own)
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        for (name, value) in &self.options {
            if !other.iter().any(|(n, _)| n == name) {
                all.insert(name.clone(), Secret::new(value.as_str()).reveal()?);
            }
        }
        all.insert("bootstrap.servers".into(), self.brokers.clone());
        Ok(all.into_iter().collect())
    }
}

/// What may be shown: options that may hold a secret are stars.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka://{}/{}", self.brokers, self.topic)?;
        for (i, (name, value)) in self.options.iter().enumerate() {
            let sign = if i == 0 { '?' } else { '&' };
            match is_secret(name) {
                true => write!(f, "{sign}{name}={:?}", Secret::new(value.as_str()))?,
                false => write!(f, "{sign}{name}={value}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

/// The name is told where it is one: it may be the rest of a password with a & in it.
fn valueless(pair: &str) -> Error {
    let name = match pair == "timeout" || long(pair) != pair {
        true => format!("the option {pair:?}"),
        false => "an option".into(),
    };
    usage(format!(
        "{name} of the kafka:// URL has no value; write name=value, and a & of a password as %26"
    ))
}

fn long(name: &str) -> &str {
    let found = SHORT.iter().find(|(short, _)| *short == name);
    found.map_or(name, |(_, long)| long)
}

/// `%41` as `A`.
fn decoded(text: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next(), bytes.next()].map(|d| d.and_then(|d| (d as char).to_digit(16)));
        match digits {
            [Some(high), Some(low)] => out.push((high * 16 + low) as u8),
            _ => return Err(usage("a % in the kafka:// URL is not followed by two hex digits; write %25 for the sign itself".into())),
        }
    }
    String::from_utf8(out).map_err(|_| {
        usage("the kafka:// URL is not UTF-8 where it is decoded; check its % signs".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(settings: &[(String, String)], name: &str) -> Option<String> {
        let found = settings.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.clone())
    }

    #[test]
    fn a_url_names_brokers_topic_and_settings() {
        let config =
            Config::parse("kafka://a:1,b:2/power?security=ssl&ca=%2Fca.pem&timeout=5s").unwrap();
        assert_eq!((&*config.brokers, &*config.topic), ("a:1,b:2", "power"));
        assert_eq!(config.timeout, Duration::from_secs(5));
        let settings = config.consumer().unwrap();
        assert_eq!(value(&settings, "ssl.ca.location").unwrap(), "/ca.pem");
        assert_eq!(value(&settings, "enable.auto.commit").unwrap(), "false");
        assert_eq!(value(&settings, "compression.type"), None);
        let settings = config.producer().unwrap();
        assert_eq!(value(&settings, "partitioner").unwrap(), "murmur2_random");
        assert_eq!(value(&settings, "check.crcs"), None);
    }

    #[test]
    fn a_member_that_is_gone_is_missed_soon_unless_it_has_a_name() {
        let wait = |url: &str, instance| {
            let settings = Config::parse(url).unwrap().member("g", instance).unwrap();
            value(&settings, "session.timeout.ms")
        };
        assert_eq!(wait("kafka://a:1/t", None).as_deref(), Some("10000"));
        assert_eq!(wait("kafka://a:1/t", Some("a")), None);
        let told = "kafka://a:1/t?session.timeout.ms=6000";
        assert_eq!(wait(told, None).as_deref(), Some("6000"));
    }

    #[test]
    fn whole_batches_are_waited_for_where_a_full_queue_holds_one() {
        let patient = |url: &str, partitions| {
            let config = Config::parse(url).unwrap().patient(partitions);
            let settings = config.producer().unwrap();
            let number = |name| value(&settings, name).unwrap().parse::<usize>().unwrap();
            let batch = number("batch.num.messages");
            // One more partition holds the progress.
            let fits = (partitions + 1) * batch <= number("queue.buffering.max.messages");
            assert!(fits || number("linger.ms") < 5000, "{url} {partitions}");
            number("linger.ms")
        };
        assert_eq!(patient("kafka://a:1/t", 1), 5000);
        assert_eq!(patient("kafka://a:1/t", 8), 5000);
        assert_eq!(patient("kafka://a:1/t", 9), 20);
        assert_eq!(patient("kafka://a:1/t?linger=7", 1), 7);
        assert_eq!(patient("kafka://a:1/t?transaction.timeout.ms=4000", 1), 20);
        assert_eq!(
            patient("kafka://a:1/t?queue.buffering.max.messages=9000", 1),
            20
        );
    }

    #[test]
    fn no_batch_is_longer_than_the_topic_takes() {
        let held = |url: &str, bytes| {
            let config = Config::parse(url).unwrap().within(bytes);
            let settings = config.producer().unwrap();
            let number = |name| value(&settings, name).unwrap().parse::<usize>().unwrap();
            assert_eq!(number("message.max.bytes"), config.longest());
            (number("batch.size"), config.longest())
        };
        let url = "kafka://a:1/t";
        assert_eq!(held(url, 1_048_588), (1_000_000, 1_000_000));
        assert_eq!(held(url, 200_000), (200_000, 200_000));
        assert_eq!(held(url, 0), (1, 1000));
        let told = "kafka://a:1/t?batch.size=500&message.max.bytes=3000000";
        assert_eq!(held(told, 200_000), (500, 200_000));
        assert_eq!(held(told, 5_000_000), (500, 3_000_000));
    }

    #[test]
    fn secrets_are_never_shown() {
        let config =
            Config::parse("kafka://alice:top%20secret@a:1/t?ssl.key.password=x&key=k.pem").unwrap();
        let settings = config.producer().unwrap();
        assert_eq!(value(&settings, "sasl.password").unwrap(), "top secret");
        assert_eq!(value(&settings, "security.protocol").unwrap(), "sasl_ssl");
        for shown in [format!("{config}"), format!("{config:?}")] {
            assert!(!shown.contains("top") && !shown.contains("=x"), "{shown}");
            assert!(shown.contains("alice") && shown.contains("k.pem"));
        }
    }

    #[test]
    fn a_secret_may_stand_in_the_environment() {
        let config = Config::parse("kafka://a:1/t?password=${WATTLINE_NO_SUCH_THING}").unwrap();
        let error = config.producer().unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.message.contains("WATTLINE_NO_SUCH_THING"));
        let path = Config::parse("kafka://a:1/t?password=${PATH}").unwrap();
        let told = value(&path.producer().unwrap(), "sasl.password");
        assert_eq!(told, std::env::var("PATH").ok());
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (url, word) in [
            ("http://a/t", "kafka://host"),
            ("kafka://a:1", "topic"),
            ("kafka:///t", "broker"),
            ("kafka://a/t?acks=0", "acks"),
            ("kafka://a/t?linger", "linger"),
            ("kafka://a/t%4", "hex"),
        ] {
            let error = Config::parse(url).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.message.contains(word), "{url}: {error}");
        }
    }

    #[test]
    fn no_part_of_a_password_is_told() {
        for url in [
            "kafka://h/t?password=ab&cd",
            "kafka://me:ab/cd@h/t",
            "kafka://me:ab?cd@h/t",
            "kafka://me:ab&cd@/t",
        ] {
            let error = Config::parse(url).unwrap_err();
            let told = &error.message;
            assert!(!told.contains("ab") && !told.contains("cd"), "{told}");
            assert_eq!(error.kind, Kind::Usage);
        }
    }

    #[test]
    fn percent_signs_are_decoded() {
        assert_eq!(decoded("a%20b%2F%C3%BC").unwrap(), "a b/ü");
    }
}
