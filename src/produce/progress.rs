//! Progress: what of which stream is committed in which topic.

use crate::flush::Position;
use crate::kafka::{Log, Outgoing, Producer, Upto, Views, Words};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

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

    fn value(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| {
            Error::new(
                Kind::Internal,
                format!("a progress record could not be written: {e}"),
            )
        })
    }
}

/// Puts how far a stream is into the open transaction.
pub(super) fn send(
    producer: &mut Producer,
    log: &Log,
    topic_id: &str,
    progress: &Progress,
) -> Result<()> {
    let topic = producer.topic(&log.config.topic)?;
    let (key, value) = (key(topic_id, &progress.position.stream), progress.value()?);
    let message = Outgoing {
        partition: 0,
        key: Some(key.as_bytes()),
        value: Some(&value),
        timestamp: 0,
        headers: &[],
    };
    producer.send(topic, &message)
}

/// The key of a stream's record.
fn key(topic_id: &str, stream: &str) -> String {
    format!("{topic_id}/{stream}")
}

/// How the progress topic is called in messages.
const WORDS: Words = Words {
    holds: "progress",
    option: "progress_topic",
    writer: "load",
    timeout: "progress_timeout",
    partitions: 1,
};

/// The progress topic, which is made where it is not there.
pub(super) fn topic(views: &Views, name: &str) -> Result<Log> {
    views.open(name, WORDS)
}

/// The progress topic, if it is there.
pub(super) fn find(views: &Views, name: &str) -> Result<Option<Log>> {
    views.find(name, WORDS)
}

/// What is committed of the streams of a topic; `upto` and errors as of [`Log::read`].
pub(super) fn committed(
    log: &Log,
    topic_id: &str,
    upto: Upto,
    wait: Duration,
) -> Result<BTreeMap<String, Progress>> {
    let mut found = BTreeMap::new();
    log.read(0, upto, wait, &mut |message| {
        take(&mut found, topic_id, message.key, message.value)
    })?;
    Ok(found)
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
