//! Dead letters: read as a table, and sent back to the topics they came from once they are mended.
//!
//! One transaction sends all that are asked for and says, in the progress topic, up to where the dead letter topic
//! is done with: sent again, the same export sends nothing.

use super::Options;
use super::progress::{self, Progress};
use crate::flush::Position;
use crate::kafka::{
    ALL, Client, Config, Consumer, Header, Isolation, Limits, Message, ORIGIN, Outgoing, Producer,
    Settled, Start, Upto, Views, headers,
};
use crate::{Error, Kind, Result};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Headers that say where a letter comes from; they stay behind when it is sent back.
const OWN: [&str; 5] = ["topic", "partition", "offset", "stage", "reason"];
/// How long a commit may take.
const COMMIT: Duration = Duration::from_secs(60);

/// Where a letter lies: partition and offset of the dead letter topic.
pub type Place = (i32, i64);

/// A dead letter.
#[derive(Clone, Debug)]
struct Letter {
    place: Place,
    time: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Letter {
    fn of(message: &Message<'_>) -> Letter {
        Letter {
            place: (message.partition, message.offset),
            time: message.timestamp,
            key: message.key.map(<[u8]>::to_vec),
            value: message.value.map(<[u8]>::to_vec),
            headers: headers(message.header.unwrap_or_default()),
        }
    }

    /// The last header of a name, as text.
    fn said(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().rev().find(|(n, _)| n == name)?;
        Some(text(found.1.as_deref()))
    }

    /// What goes back with it: neither what we added nor where its file's row was, which a pipeline has counted.
    fn kept(&self) -> Vec<(CString, Option<Vec<u8>>)> {
        let last: BTreeMap<&str, usize> = self
            .headers
            .iter()
            .enumerate()
            .map(|(i, (name, _))| (name.as_str(), i))
            .collect();
        let ours = |i: usize, name: &str| OWN.contains(&name) && last.get(name) == Some(&i);
        let origin = ORIGIN.to_str().unwrap_or_default();
        let kept = self.headers.iter().enumerate();
        kept.filter(|(i, (name, _))| !ours(*i, name) && name != origin)
            .filter_map(|(_, (name, value))| {
                Some((CString::new(name.as_str()).ok()?, value.clone()))
            })
            .collect()
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// All letters of a topic, up to now.
fn letters(config: &Config) -> Result<Vec<Letter>> {
    let client = Client::new(config, Isolation::Committed)?;
    let mut ends = BTreeMap::new();
    for partition in client.partitions()? {
        let (low, high) = client.watermarks(partition)?;
        if low < high {
            ends.insert(partition, high);
        }
    }
    let mut consumer = Consumer::on(&client)?.with_header(ALL);
    let starts: Vec<_> = ends.keys().map(|p| (*p, Start::Beginning)).collect();
    consumer.assign(&starts)?;
    let (mut found, mut until) = (Vec::new(), Instant::now() + config.timeout);
    while !ends.is_empty() {
        if Instant::now() > until {
            return Err(consumer.silent("dead letters could not be read"));
        }
        let polled = consumer.poll(1000, Duration::from_millis(100))?;
        for message in polled.messages.iter() {
            until = Instant::now() + config.timeout;
            if ends
                .get(&message.partition)
                .is_some_and(|end| message.offset < *end)
            {
                found.push(Letter::of(&message));
            }
            ends.retain(|p, end| *p != message.partition || message.offset + 1 < *end);
        }
        for (partition, at) in polled.ends {
            ends.retain(|p, end| *p != partition || at < *end);
        }
    }
    found.sort_unstable_by_key(|l| l.place);
    Ok(found)
}

/// The letters of a topic as a table: where each lies (`letter_partition`, `letter_offset`), where it came from
/// (`topic`, `partition`, `offset`), `stage`, `reason`, record time, `key` and the value as `raw` text.
pub fn export(config: &Config) -> Result<RecordBatch> {
    let all = letters(config)?;
    let int = |of: &dyn Fn(&Letter) -> Option<i64>| {
        Arc::new(all.iter().map(of).collect::<Int64Array>()) as ArrayRef
    };
    let words = |of: &dyn Fn(&Letter) -> Option<String>| {
        Arc::new(all.iter().map(of).collect::<StringArray>()) as ArrayRef
    };
    let number = |name: &'static str| int(&move |l| l.said(name)?.parse().ok());
    let times = all.iter().map(|l| (l.time >= 0).then_some(l.time * 1000));
    let times = times
        .collect::<TimestampMicrosecondArray>()
        .with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("letter_partition", int(&|l| Some(i64::from(l.place.0)))),
        ("letter_offset", int(&|l| Some(l.place.1))),
        ("topic", words(&|l| l.said("topic"))),
        ("partition", number("partition")),
        ("offset", number("offset")),
        ("stage", words(&|l| l.said("stage"))),
        ("reason", words(&|l| l.said("reason"))),
        ("timestamp", Arc::new(times)),
        ("key", words(&|l| l.key.as_deref().map(|k| text(Some(k))))),
        ("raw", words(&|l| l.value.as_deref().map(|v| text(Some(v))))),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|e| Error::new(Kind::Internal, "letters do not fit their table").because(e))
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters sent back.
    pub sent: u64,
    /// Letters that an earlier replay sent.
    pub before: u64,
    /// Places that hold no letter (any more).
    pub gone: u64,
}

/// Sends letters back to the topics they came from, with these values; what was sent by an earlier replay is
/// left out. A value that reads as the letter's own is sent as its bytes were.
pub fn replay(config: &Config, mended: &BTreeMap<Place, String>) -> Result<Replayed> {
    let options = Options::default();
    let wait = options.progress_timeout()?;
    let views = Views::new(config)?;
    let log = progress::topic(&views, &options.progress_topic)?;
    let id = views.committed.describe()?.id;
    let all = letters(config)?;
    let wanted = |l: &&Letter| mended.contains_key(&l.place);
    let sends = config
        .clone()
        .within(bytes(&views, all.iter().filter(wanted)));
    let mut producer = Producer::new(&sends, Some(&format!("wattline-replay-{id}")))?;
    let committed = progress::committed(&log, &id, Upto::End, wait)?;
    let done: BTreeSet<Place> = committed
        .keys()
        .filter_map(|stream| place(stream))
        .collect();
    let mut told = Replayed::default();
    let there: BTreeSet<Place> = all.iter().map(|l| l.place).collect();
    told.gone = mended.keys().filter(|p| !there.contains(p)).count() as u64;
    let (again, new): (Vec<_>, Vec<_>) = all
        .iter()
        .filter(wanted)
        .partition(|l| done.contains(&l.place));
    told.before = again.len() as u64;
    if new.is_empty() {
        return Ok(told);
    }
    producer.begin()?;
    let sent = new.iter().try_for_each(|letter| {
        let value = mended.get(&letter.place).map_or("", String::as_str);
        send(&mut producer, letter, value)?;
        let position = Position {
            stream: format!("letter/{}/{}", letter.place.0, letter.place.1),
            at: letter.place.1 as u64 + 1,
            ..Position::default()
        };
        let record = Progress::new(&config.topic, position, 1);
        progress::send(&mut producer, &log, &id, &record)
    });
    let settled = match sent {
        Ok(()) => producer.commit(COMMIT),
        Err(error) => producer.ended(error),
    };
    match settled {
        Settled::Committed => {
            told.sent = new.len() as u64;
            Ok(told)
        }
        // Whatever became of it: run again, it sends what is not there.
        Settled::Aborted(error) | Settled::Unclear(error) => Err(error),
    }
}

/// Bytes of a batch that all topics take which these came from; one that cannot be asked says so when it is sent to.
fn bytes<'l>(views: &Views, letters: impl Iterator<Item = &'l Letter>) -> usize {
    let topics: BTreeSet<String> = letters.filter_map(|l| l.said("topic")).collect();
    let asked = topics
        .iter()
        .filter_map(|topic| views.committed.on(topic).settings().ok());
    let bytes = asked.map(|settings| Limits::of(&settings).batch());
    bytes.min().unwrap_or(usize::MAX)
}

fn place(stream: &str) -> Option<Place> {
    let (partition, offset) = stream.strip_prefix("letter/")?.split_once('/')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

fn send(producer: &mut Producer, letter: &Letter, mended: &str) -> Result<()> {
    let Some(topic) = letter.said("topic") else {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "the message at offset {} of partition {} says no topic it came from, so it is no dead letter; leave it out of the file",
                letter.place.1, letter.place.0
            ),
        ));
    };
    let value = match letter.value.as_deref() {
        Some(own) if text(Some(own)) == mended => own,
        _ => mended.as_bytes(),
    };
    let kept = letter.kept();
    let headers: Vec<Header<'_>> = kept
        .iter()
        .map(|(name, value)| (name.as_c_str(), value.as_deref()))
        .collect();
    let to = producer.topic(&topic)?;
    producer.send(
        to,
        &Outgoing {
            partition: -1,
            key: letter.key.as_deref(),
            value: Some(value),
            timestamp: letter.time.max(0),
            headers: &headers,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_back_is_what_came() {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let letter = Letter {
            place: (0, 7),
            time: 1,
            key: None,
            value: None,
            headers: vec![
                header("reason", "its own"),
                header("wattline", "origin"),
                header("trace", "x"),
                header("topic", "power"),
                header("reason", "not a number"),
            ],
        };
        assert_eq!(letter.said("reason").unwrap(), "not a number");
        let kept: Vec<_> = letter.kept().into_iter().map(|(n, _)| n).collect();
        assert_eq!(kept, [c"reason".to_owned(), c"trace".to_owned()]);
        assert_eq!(place("letter/3/15"), Some((3, 15)));
        assert_eq!(place("abc"), None);
    }
}
