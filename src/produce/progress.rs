//! Progress: what of which stream is committed in which topic.

use crate::flush::Position;
use crate::kafka::{Client, Config, Consumer, Isolation, NewTopic, Polled, Start};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Version of the record; a newer one is refused.
const FORMAT: u32 = 1;

/// How far a stream is in a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub format: u32,
    /// The topic's name, for people.
    pub topic: String,
    /// The position behind the last committed row.
    pub position: Position,
    /// Messages sent so far.
    pub messages: u64,
}

impl Progress {
    pub(super) fn new(topic: &str, position: Position, messages: u64) -> Progress {
        Progress {
            format: FORMAT,
            topic: topic.into(),
            position,
            messages,
        }
    }

    pub(super) fn value(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| {
            Error::new(
                Kind::Internal,
                format!("a progress record could not be written: {e}"),
            )
        })
    }
}

/// The key of a stream's record.
pub(super) fn key(topic_id: &str, stream: &str) -> String {
    format!("{topic_id}/{stream}")
}

/// The endpoint of the progress topic, which is made where it is not there.
pub(super) fn topic(config: &Config, name: &str) -> Result<Config> {
    let config = config.with_topic(name);
    let client = Client::new(&config, Isolation::Uncommitted)?;
    match client.describe() {
        Ok(facts) if facts.partitions.len() == 1 => return Ok(config),
        Ok(facts) => {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "the topic {name} cannot hold progress: it has {} partitions in place of one; name another progress_topic",
                    facts.partitions.len()
                ),
            ));
        }
        Err(error) if error.kind != Kind::NotFound => return Err(error),
        Err(_) => {}
    }
    let settings = [("cleanup.policy", "compact"), ("retention.ms", "-1")];
    let made = client.create(&NewTopic {
        name: name.into(),
        partitions: 1,
        replication: -1,
        settings: settings.map(|(k, v)| (k.into(), v.into())).into(),
    });
    // Another load may have made it meanwhile.
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match client.describe() {
            Ok(_) => return Ok(config),
            Err(error) if Instant::now() > until => return Err(made.err().unwrap_or(error)),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// What is committed of the streams of a topic. `end`: up to the high watermark (`Uncommitted`), or up to the
/// last stable offset, for a first look that waits for nobody. Errors: `Timeout` where a transaction that was open when we
/// began is still open after `wait`.
pub(super) fn committed(
    config: &Config,
    topic_id: &str,
    end: Isolation,
    wait: Duration,
) -> Result<BTreeMap<String, Progress>> {
    let all = Client::new(config, end)?;
    let (low, high) = all.watermarks(0)?;
    let mut found = BTreeMap::new();
    if low >= high {
        return Ok(found);
    }
    let mut consumer = Consumer::new(config, Isolation::Committed)?;
    consumer.assign(&[(0, Start::Beginning)])?;
    let (until, mut next) = (Instant::now() + wait, low);
    while next < high {
        if Instant::now() > until {
            return Err(hanging(config, &consumer, wait));
        }
        let polled: Polled = consumer.poll(10_000, Duration::from_millis(100))?;
        for message in polled.messages.iter() {
            next = message.offset + 1;
            take(&mut found, topic_id, message.key, message.value)?;
        }
        for (_, end) in polled.ends {
            next = next.max(end);
        }
    }
    Ok(found)
}

fn hanging(config: &Config, consumer: &Consumer, wait: Duration) -> Error {
    if let Some(complaint) = consumer.complaint() {
        return consumer.silent(&format!(
            "the progress topic could not be read ({complaint})"
        ));
    }
    Error::new(
        Kind::Timeout,
        format!(
            "another load has had a transaction open in {} for longer than progress_timeout ({wait:?}), and it is not known what of it counts; wait until the broker ends it (its transaction.timeout.ms), or raise progress_timeout",
            config.topic
        ),
    )
    .retryable()
}

fn take(
    found: &mut BTreeMap<String, Progress>,
    topic_id: &str,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<()> {
    let key = std::str::from_utf8(key.unwrap_or_default()).unwrap_or_default();
    let Some(stream) = key.strip_prefix(topic_id).and_then(|k| k.strip_prefix('/')) else {
        return Ok(());
    };
    let Some(value) = value else {
        found.remove(stream);
        return Ok(());
    };
    let progress: Progress = serde_json::from_slice(value).map_err(|e| {
        Error::new(
            Kind::Usage,
            format!("the progress record {key} cannot be read: {e}; name another progress_topic"),
        )
    })?;
    if progress.format > FORMAT {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "the progress record {key} is of format {}, which a newer wattline wrote; use that version",
                progress.format
            ),
        ));
    }
    found.insert(stream.into(), progress);
    Ok(())
}
