//! Dead letters: rejects of a topic as the messages they were, with what was wrong with them beside.
//!
//! Key, value and headers are fetched again from where the message lies, so that nothing of it has to travel with
//! the flush; headers `topic`, `partition`, `offset`, `stage` and `reason` come behind its own. A message that
//! retention has taken meanwhile is sent with the text of its value that the reject kept.

use super::rows::RowWriter;
use crate::flush::Flush;
use crate::kafka::{ALL, Config, Consumer, Header, Isolation, Messages, Outgoing, Producer, Start};
use crate::reject::Reject;
use crate::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages fetched at a time.
const BATCH: usize = 1000;
/// A message no further on than this is reached by reading on.
const NEAR: i64 = 10_000;

/// Sends rejects as messages.
pub(super) struct LetterWriter {
    source: Config,
    fetch: Mutex<Option<Fetch>>,
    /// For rejects of other sources.
    rows: RowWriter,
}

/// A reader of single messages.
struct Fetch {
    consumer: Consumer,
    at: Option<i32>,
    held: Messages,
    /// What comes next of the partition.
    next: i64,
    timeout: Duration,
}

/// A message as it was.
struct Letter {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl LetterWriter {
    pub fn new(source: Config, rows: RowWriter) -> LetterWriter {
        LetterWriter {
            source,
            fetch: Mutex::new(None),
            rows,
        }
    }

    /// Sends the rejects of a flush; several of one message are one letter.
    pub fn send(&self, producer: &mut Producer, topic: usize, flush: &Flush) -> Result<()> {
        let mut letters: BTreeMap<(i32, i64), Vec<&Reject>> = BTreeMap::new();
        let mut others = Vec::new();
        for reject in &flush.rejects {
            match self.place(reject) {
                Some(place) => letters.entry(place).or_default().push(reject),
                None => others.push(reject.clone()),
            }
        }
        let mut slot = self.fetch.lock().unwrap_or_else(PoisonError::into_inner);
        for ((partition, offset), rejects) in letters {
            let fetch = match &mut *slot {
                Some(fetch) => fetch,
                empty => empty.insert(Fetch::new(&self.source)?),
            };
            let found = fetch.message(partition, offset)?;
            self.letter(producer, topic, (partition, offset), found, &rejects)?;
        }
        let others = Flush {
            rejects: others,
            ..Flush {
                windows: Vec::new(),
                ..flush.clone()
            }
        };
        self.rows.send(producer, topic, &others)
    }

    /// Partition and offset of a reject of the source.
    fn place(&self, reject: &Reject) -> Option<(i32, i64)> {
        let partition = reject.file.strip_prefix(self.source.topic.as_str())?;
        let partition = partition.strip_prefix('/')?.parse().ok()?;
        Some((partition, reject.row as i64))
    }

    fn letter(
        &self,
        producer: &mut Producer,
        topic: usize,
        (partition, offset): (i32, i64),
        found: Option<Letter>,
        rejects: &[&Reject],
    ) -> Result<()> {
        let first = rejects.first().map(|r| r.raw.clone().into_bytes());
        let found = found.unwrap_or_else(|| Letter {
            key: None,
            value: first,
            timestamp: 0,
            headers: Vec::new(),
        });
        let reasons: Vec<String> = rejects.iter().map(|r| told(r)).collect();
        let stage = rejects.first().map_or("", |r| stage(r));
        let own = [
            ("topic", self.source.topic.clone()),
            ("partition", partition.to_string()),
            ("offset", offset.to_string()),
            ("stage", stage.to_owned()),
            ("reason", reasons.join("; ")),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
        let named = found.headers.into_iter().chain(own);
        let named: Vec<(CString, Option<Vec<u8>>)> = named
            .filter_map(|(name, value)| Some((CString::new(name).ok()?, value)))
            .collect();
        let headers: Vec<Header<'_>> = named
            .iter()
            .map(|(name, value)| (name.as_c_str(), value.as_deref()))
            .collect();
        producer.send(
            topic,
            &Outgoing {
                partition: -1,
                key: found.key.as_deref(),
                value: found.value.as_deref(),
                timestamp: found.timestamp.max(0),
                headers: &headers,
            },
        )
    }
}

/// Where a reject was made.
fn stage(reject: &Reject) -> &'static str {
    match reject.reason.contains("ahead of the clock") {
        true => "ahead",
        false => "decode",
    }
}

fn told(reject: &Reject) -> String {
    match reject.column.as_str() {
        "" => reject.reason.clone(),
        column => format!("{column}: {}", reject.reason),
    }
}

impl Fetch {
    fn new(config: &Config) -> Result<Fetch> {
        Ok(Fetch {
            consumer: Consumer::new(config, Isolation::Committed)?.with_header(ALL),
            at: None,
            held: Messages::default(),
            next: 0,
            timeout: config.timeout,
        })
    }

    /// The message at an offset; `None`: it is gone.
    fn message(&mut self, partition: i32, offset: i64) -> Result<Option<Letter>> {
        if self.at == Some(partition)
            && let Some(found) = self.held.at(offset)
        {
            return Ok(Some(letter(&found)));
        }
        let near = self.at == Some(partition) && (self.next..self.next + NEAR).contains(&offset);
        if !near {
            self.consumer.assign(&[(partition, Start::At(offset))])?;
            (self.at, self.next) = (Some(partition), offset);
        }
        let until = Instant::now() + self.timeout;
        while Instant::now() < until {
            let polled = match self.consumer.poll(BATCH, Duration::from_millis(100)) {
                Err(error) if error.kind == Kind::DataLost => {
                    self.at = None;
                    return Ok(None);
                }
                polled => polled?,
            };
            let ended = polled.ends.first().map_or(0, |(_, end)| *end);
            if let Some(last) = polled.messages.iter().last() {
                self.next = last.offset + 1;
                self.held = polled.messages;
            }
            if let Some(found) = self.held.at(offset) {
                return Ok(Some(letter(&found)));
            }
            if self.next.max(ended) > offset {
                return Ok(None);
            }
        }
        let what = format!("partition {partition} could not be read at offset {offset}");
        Err(self.consumer.silent(&what))
    }
}

fn letter(message: &crate::kafka::Message<'_>) -> Letter {
    Letter {
        key: message.key.map(<[u8]>::to_vec),
        value: message.value.map(<[u8]>::to_vec),
        timestamp: message.timestamp,
        headers: crate::kafka::headers(message.header.unwrap_or_default()),
    }
}

/// Refuses letters of anything but rejects.
pub(super) fn only_rejects(what: crate::sink::What) -> Result<()> {
    match what {
        crate::sink::What::Rejects => Ok(()),
        _ => Err(Error::new(
            Kind::Usage,
            "letters_of sends rejects as the messages they were; it is for a sink of rejects",
        )),
    }
}
