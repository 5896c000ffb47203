//! Messages out: a full queue waits, every delivery report is counted, transactions.
//!
//! A thread of its own serves reports, so that the caller only hands messages over. After a commit or abort
//! whose answer was lost nothing is known of it here: the caller makes a new producer with the same
//! transactional id and reads what was committed.

use super::client::Client;
use super::config::Config;
use super::errors::error;
use super::raw::{Failure, Handle, Role, Sent, Topic};
pub use super::raw::{Header, Headers, Outgoing};
use crate::{Error, Kind, Result, runtime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the reports' thread waits at a time.
const SERVE: Duration = Duration::from_millis(20);

/// Messages without a report for which the library need not be told to flush yet: more than a batch.
const REST: u64 = 8192;

/// Looks without a new report after which batches are not full any more.
const STILL: u32 = 10;

/// Sends to topics of one cluster. Owned by one thread.
pub struct Producer {
    topics: Vec<(String, Topic)>,
    client: Client,
    sent: u64,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

/// How a transaction ended.
#[derive(Debug)]
pub enum Settled {
    /// It is committed.
    Committed,
    /// It is aborted; its messages are to be sent again.
    Aborted(Error),
    /// Nobody knows: the answer was lost, or this producer can do no more.
    Unclear(Error),
}

impl Producer {
    /// A producer; with `transactional` it takes the id over, which fences whoever had it.
    pub fn new(config: &Config, transactional: Option<&str>) -> Result<Producer> {
        let producer = Producer::made(config, transactional)?;
        if transactional.is_some() {
            producer.register()?;
        }
        Ok(producer)
    }

    /// The same, which begins to connect and has not taken the id yet: [`Producer::register`].
    pub fn made(config: &Config, transactional: Option<&str>) -> Result<Producer> {
        let mut settings = config.producer()?;
        if let Some(id) = transactional {
            settings.push(("transactional.id".into(), id.into()));
        }
        let client = Client::of(config, Role::Producer, &settings)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (handle, over) = (client.handle.clone(), stop.clone());
        let server = runtime::spawn("reports", move || serve(&handle, &over))?;
        Ok(Producer {
            topics: Vec::new(),
            client,
            sent: 0,
            stop,
            server: Some(server),
        })
    }

    /// Takes the transactional id over.
    pub fn register(&self) -> Result<()> {
        let until = Instant::now() + self.client.config.timeout;
        self.client.handle.reach(self.client.config.timeout);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.client.handle.init_transactions(left.max(SERVE)) {
                Err(f) if f.retriable && Instant::now() < until => std::thread::sleep(SERVE),
                done => {
                    return self.told("the transactional producer could not be registered", done);
                }
            }
        }
    }

    fn told<T>(&self, what: &str, done: std::result::Result<T, Failure>) -> Result<T> {
        done.map_err(|f| self.error(what, &f))
    }

    fn error(&self, what: &str, failure: &Failure) -> Error {
        let told = self.client.handle.told();
        error(what, &self.client.config, failure, Some(told))
    }

    /// For what is asked of the cluster.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A number for `topic`, to send to it.
    pub fn topic(&mut self, topic: &str) -> Result<usize> {
        if let Some(known) = self.topics.iter().position(|(name, _)| name == topic) {
            return Ok(known);
        }
        let opened = Topic::new(&self.client.handle, topic);
        let opened = self.told("the topic could not be opened", opened)?;
        self.topics.push((topic.into(), opened));
        Ok(self.topics.len() - 1)
    }

    /// Hands a message over. A full queue waits, as long as the cluster takes messages at all: the
    /// library's own time-out ends a message that is stuck.
    pub fn send(&mut self, topic: usize, message: &Outgoing<'_>) -> Result<()> {
        self.send_with(topic, message, &mut None)
    }

    /// The same, with headers that were `made` before, which are taken.
    pub fn send_with(
        &mut self,
        topic: usize,
        message: &Outgoing<'_>,
        made: &mut Option<Headers>,
    ) -> Result<()> {
        let Some((_, to)) = self.topics.get(topic) else {
            return Err(Error::new(Kind::Internal, "a message for an unknown topic"));
        };
        loop {
            match to.send(message, made) {
                Ok(Sent::Queued) => {
                    self.sent += 1;
                    return Ok(());
                }
                Ok(Sent::Full) => std::thread::sleep(Duration::from_micros(500)),
                Err(failure) => return Err(self.error("a message could not be sent", &failure)),
            }
        }
    }

    /// Messages handed over so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages whose delivery was reported so far.
    pub fn delivered(&self) -> u64 {
        self.client.handle.told().delivered.load(Relaxed)
    }

    /// Waits until every message has its report. Errors: `Endpoint` where one was not delivered.
    pub fn flush(&self, wait: Duration) -> Result<()> {
        let flushed = self.client.handle.flush(wait);
        self.told("messages were not all delivered in time", flushed)?;
        self.reported()
    }

    /// Holds the reports against what was sent.
    fn reported(&self) -> Result<()> {
        let reports = self.counted();
        if let Some(failure) = self.client.handle.told().failure() {
            return Err(self.error("a message was not delivered", &failure));
        }
        if reports == self.sent {
            return Ok(());
        }
        Err(Error::new(
            Kind::Ledger,
            format!(
                "{} messages were sent to {} and {reports} delivery reports came; send again, the topic holds what was committed",
                self.sent, self.client.config.topic
            ),
        ))
    }

    /// Reports so far. Their thread may have taken the last one and not counted it yet.
    fn counted(&self) -> u64 {
        let told = self.client.handle.told();
        let until = Instant::now() + Duration::from_secs(5);
        while told.reported() < self.sent && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
        told.reported()
    }

    /// Waits while full batches go out by themselves, as long as reports come. While it is told to flush, the library's
    /// thread asks without a pause whether it may send, and takes the broker's core where they share a machine.
    fn drain(&self, until: Instant) {
        let told = self.client.handle.told();
        let (mut reports, mut still) = (told.reported(), 0);
        while self.sent.saturating_sub(reports) > REST && still < STILL && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
            let now = told.reported();
            still = if now == reports { still + 1 } else { 0 };
            reports = now;
        }
    }

    /// Begins a transaction.
    pub fn begin(&self) -> Result<()> {
        let begun = self.client.handle.begin_transaction();
        self.told("a transaction could not be begun", begun)
    }

    /// Waits for every report and commits.
    pub fn commit(&self, wait: Duration) -> Settled {
        self.drain(Instant::now() + wait);
        let delivered = self.client.handle.flush(wait);
        let delivered = self
            .told("messages were not all delivered in time", delivered)
            .and_then(|()| self.reported());
        if let Err(error) = delivered {
            return self.ended(error);
        }
        if let Err(error) = crate::faults::point("before_commit") {
            return self.ended(error);
        }
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let failure = match self.client.handle.commit_transaction(left.max(SERVE)) {
                Ok(()) => return Settled::Committed,
                Err(failure) => failure,
            };
            // A retriable answer says only that it is not known yet: asking again is the same commit.
            if failure.retriable && Instant::now() < until {
                continue;
            }
            let error = self.error("the transaction could not be committed", &failure);
            return match failure.abort {
                true => self.ended(error),
                false => Settled::Unclear(error),
            };
        }
    }

    /// Aborts the transaction because of `error`.
    pub fn ended(&self, error: Error) -> Settled {
        // What failed first was perhaps only a message that went with the producer.
        if let Some(fatal) = self.client.handle.fatal() {
            return Settled::Unclear(self.error("the producer can do no more", &fatal));
        }
        if error.kind == Kind::Fenced {
            return Settled::Unclear(error);
        }
        match self
            .client
            .handle
            .abort_transaction(self.client.config.timeout)
        {
            Ok(()) => {
                // Its messages have their reports, and are no fault of the next transaction.
                self.counted();
                self.client.handle.told().forget_failure();
                Settled::Aborted(error)
            }
            Err(failure) => match self.error("the transaction could not be aborted", &failure) {
                fenced if fenced.kind == Kind::Fenced => Settled::Unclear(fenced),
                _ => Settled::Unclear(error),
            },
        }
    }
}

fn serve(handle: &Handle, over: &AtomicBool) {
    while !over.load(Relaxed) {
        handle.poll(SERVE);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // What was not flushed was not promised; waiting for it here would hide an error.
        self.client.handle.purge();
        self.stop.store(true, Relaxed);
        if let Some(server) = self.server.take() {
            self.client.handle.wake();
            // It ends at once, or within one wait; a panic there has nothing to tell us.
            let _ = server.join();
        }
    }
}
