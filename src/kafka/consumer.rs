//! Partitions assigned by hand, read in batches: no group, nothing committed.
//!
//! The caller decides where each partition begins, pauses and goes on; the consumer says what came, where
//! a partition ends for now, and what failed. Values lie in one block of bytes a batch, so that a batch
//! can be handed to the pool as it is.

use super::client::{Client, Isolation};
use super::config::Config;
use super::errors::error;
pub use super::raw::{ALL, Message, headers};
use super::raw::{Failure, Queue, Sink};
use crate::error::Place;
use crate::{Error, Result};
use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A poll ends once it has brought so many bytes, few as the messages may be.
const BYTES: usize = 16 << 20;

/// A buffer that grew beyond this is not kept.
const KEPT: usize = 4 << 20;

/// How long a first broker is waited for; a poll says what is wrong.
const REACH: Duration = Duration::from_secs(1);

/// Where a partition is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first message there is.
    Beginning,
    /// This offset. One that retention has passed is `DataLost`.
    At(i64),
}

/// Reads partitions of one topic. Owned by one thread.
pub struct Consumer {
    // Before the client: it is stopped first.
    queue: Queue,
    client: Client,
    header: Option<&'static CStr>,
    /// A first broker was waited for.
    reached: bool,
}

/// Messages in the order they came; offsets rise within a partition.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// Where a message lies among the bytes: key, value and header behind each other; a length below 0: there is none.
#[derive(Clone, Debug)]
struct Record {
    partition: i32,
    key: i32,
    value: i32,
    header: i32,
    offset: i64,
    timestamp: i64,
    start: usize,
}

/// Buffers that were used: a batch of megabytes made anew each time costs more in page faults than in copying.
#[derive(Clone, Debug, Default)]
pub struct Spares(Arc<Mutex<Vec<Messages>>>);

impl Spares {
    /// An empty batch.
    pub fn take(&self) -> Messages {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.pop().unwrap_or_default()
    }

    /// A batch that is done with.
    pub fn give(&self, mut messages: Messages) {
        messages.bytes.clear();
        messages.records.clear();
        // What one poll took in far beyond the usual is not kept.
        if messages.bytes.capacity() <= KEPT {
            let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            spares.push(messages);
        }
    }
}

/// What a poll brought.
#[derive(Debug, Default)]
pub struct Polled {
    /// Messages.
    pub messages: Messages,
    /// Partitions at their end, with the offset of the next message to come. One that came before a
    /// message of the same partition in this poll is left out.
    pub ends: Vec<(i32, i64)>,
}

impl Consumer {
    /// A consumer of the endpoint's topic, with no partition yet.
    pub fn new(config: &Config, isolation: Isolation) -> Result<Consumer> {
        Consumer::on(&Client::new(config, isolation)?)
    }

    /// A consumer beside others of the same client, with a queue of its own: a partition may be read by one of them.
    pub fn on(client: &Client) -> Result<Consumer> {
        let client = client.clone();
        let queue = Queue::new(&client.handle, &client.config.topic);
        let queue = client.told("the topic could not be opened", queue)?;
        Ok(Consumer {
            queue,
            client,
            header: None,
            reached: false,
        })
    }

    /// The same, giving the value of this header with each message, or with [`ALL`] all of them.
    pub fn with_header(mut self, name: &'static CStr) -> Self {
        self.header = Some(name);
        self
    }

    /// For what is asked of the cluster.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads these partitions from these places, in place of all before.
    pub fn assign(&mut self, partitions: &[(i32, Start)]) -> Result<()> {
        for partition in self.queue.started().to_vec() {
            self.unassign(partition)?;
        }
        partitions
            .iter()
            .try_for_each(|(p, start)| self.add(*p, *start))
    }

    /// Reads one more partition, or the same one from another place.
    pub fn add(&mut self, partition: i32, start: Start) -> Result<()> {
        let offset = match start {
            Start::Beginning => i64::from(rdkafka::bindings::RD_KAFKA_OFFSET_BEGINNING),
            Start::At(offset) => offset,
        };
        if !std::mem::replace(&mut self.reached, true) {
            self.client.handle.reach(REACH);
        }
        let begun = self.queue.start(partition, offset);
        self.client.told("a partition could not be read", begun)
    }

    /// Reads a partition no more. A poll after this brings nothing of it.
    pub fn unassign(&mut self, partition: i32) -> Result<()> {
        let ended = self.queue.stop(partition);
        self.client.told("a partition could not be left", ended)
    }

    /// Holds partitions back; what was fetched of them already may still come.
    pub fn pause(&self, partitions: &[i32]) -> Result<()> {
        let done = self
            .queue
            .pause(&self.client.config.topic, partitions, true);
        self.client.told("partitions could not be paused", done)
    }

    /// Goes on with paused partitions.
    pub fn resume(&self, partitions: &[i32]) -> Result<()> {
        let done = self
            .queue
            .pause(&self.client.config.topic, partitions, false);
        self.client.told("partitions could not be resumed", done)
    }

    /// What has come, at most about `most` messages, waiting at most `wait` for the first of them.
    pub fn poll(&mut self, most: usize, wait: Duration) -> Result<Polled> {
        let mut polled = Polled::default();
        self.poll_into(&mut polled, most, wait)?;
        Ok(polled)
    }

    /// The same, behind what `polled` holds. Errors: `DataLost` where the place to read from is gone,
    /// `NotFound`, `Endpoint`; a broken connection mends itself and is no error.
    pub fn poll_into(&mut self, polled: &mut Polled, most: usize, wait: Duration) -> Result<()> {
        self.poll_if(polled, most, wait, &mut |_| true)
    }

    /// The same, of those messages only that `keep` wants; it is shown each message once, in order.
    pub fn poll_if(
        &mut self,
        polled: &mut Polled,
        most: usize,
        wait: Duration,
        keep: &mut dyn FnMut(&Message<'_>) -> bool,
    ) -> Result<()> {
        let mut taking = Taking {
            polled,
            keep,
            failure: None,
        };
        let (mut wait, mut taken) = (wait, 0);
        while taken < most && taking.polled.messages.bytes() < BYTES {
            let want = (most - taken).min(1024);
            let got = self.queue.take(want, wait, self.header, &mut taking);
            let got = self.client.told("messages could not be read", got)?;
            wait = Duration::ZERO;
            taken += got;
            if got == 0 {
                break;
            }
        }
        self.client.handle.poll(Duration::ZERO);
        match taking.failure {
            Some((partition, failure)) if !passing(&failure) => {
                Err(self.failed(partition, &failure))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, partition: i32, failure: &Failure) -> Error {
        let what = format!("partition {partition} could not be read");
        let told = Some(self.client.handle.told());
        let place = Place {
            message: Some((self.client.config.topic.clone(), partition, -1)),
            ..Place::default()
        };
        error(&what, &self.client.config, failure, told).at(place)
    }

    /// What the connection last complained of, for whoever waits in vain.
    pub fn complaint(&self) -> Option<String> {
        self.client.handle.poll(Duration::ZERO);
        self.client
            .handle
            .told()
            .connection()
            .map(|(_, reason)| reason)
    }

    /// That nothing came within the caller's time, as an error that says why.
    pub fn silent(&self, what: &str) -> Error {
        self.client.handle.poll(Duration::ZERO);
        let late =
            Failure::of(rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT);
        error(
            what,
            &self.client.config,
            &late,
            Some(self.client.handle.told()),
        )
    }
}

/// Errors that the library itself mends.
fn passing(failure: &Failure) -> bool {
    use rdkafka::bindings::rd_kafka_resp_err_t as E;
    matches!(
        failure.code,
        E::RD_KAFKA_RESP_ERR__TRANSPORT
            | E::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
            | E::RD_KAFKA_RESP_ERR__TIMED_OUT
            | E::RD_KAFKA_RESP_ERR__RESOLVE
            | E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION
            | E::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
    )
}

struct Taking<'a> {
    polled: &'a mut Polled,
    keep: &'a mut dyn FnMut(&Message<'_>) -> bool,
    failure: Option<(i32, Failure)>,
}

impl Sink for Taking<'_> {
    fn message(&mut self, message: Message<'_>) {
        self.polled.ends.retain(|(p, _)| *p != message.partition);
        if (self.keep)(&message) {
            self.polled.messages.push(&message);
        }
    }

    fn end(&mut self, partition: i32, offset: i64) {
        self.polled.ends.retain(|(p, _)| *p != partition);
        self.polled.ends.push((partition, offset));
    }

    fn error(&mut self, partition: i32, failure: Failure) {
        let known = self.failure.as_ref().is_some_and(|(_, f)| !passing(f));
        if !known {
            self.failure = Some((partition, failure));
        }
    }
}

impl Messages {
    /// Number of messages.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a message.
    pub fn push(&mut self, message: &Message<'_>) {
        let start = self.bytes.len();
        let mut put = |part: Option<&[u8]>| {
            let part = part?;
            self.bytes.extend_from_slice(part);
            i32::try_from(part.len()).ok()
        };
        let (key, value, header) = (put(message.key), put(message.value), put(message.header));
        self.records.push(Record {
            partition: message.partition,
            key: key.unwrap_or(-1),
            value: value.unwrap_or(-1),
            header: header.unwrap_or(-1),
            offset: message.offset,
            timestamp: message.timestamp,
            start,
        });
    }

    /// The messages.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        self.records.iter().map(|r| self.message(r))
    }

    /// Message `i`.
    pub fn get(&self, i: usize) -> Option<Message<'_>> {
        self.records.get(i).map(|r| self.message(r))
    }

    /// The message at `offset`, where all are of one partition.
    pub fn at(&self, offset: i64) -> Option<Message<'_>> {
        let found = self.records.binary_search_by_key(&offset, |r| r.offset);
        self.get(found.ok()?)
    }

    fn message(&self, record: &Record) -> Message<'_> {
        let mut at = record.start;
        let mut part = |length: i32| {
            let length = usize::try_from(length).ok()?;
            let part = self.bytes.get(at..at + length)?;
            at += length;
            Some(part)
        };
        let (key, value, header) = (part(record.key), part(record.value), part(record.header));
        Message {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            value,
            header,
        }
    }
}
