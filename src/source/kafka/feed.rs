//! Feed: one partition on its way: fetched, what was counted before left out, decoded on the pool, in order again.

use super::dead::{Dead, Judge, stream};
use super::lease::Lease;
use super::model::{Models, Read, Sight};
use super::origin::Origins;
use super::queues;
use crate::flush::{Position, Positions};
use crate::kafka::{Client, Consumer, Message, Messages, ORIGIN, Polled, Spares, Start};
use crate::ledger::Ledger;
use crate::source::lanes::{Landed, Lanes};
use crate::source::{Prepare, SourceBatch};
use crate::{Result, faults};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who did not ask for so long was busy: that is no silence of the broker.
const PAUSE: Duration = Duration::from_secs(1);

/// What the feeds of a source have in common.
pub(super) struct Common {
    pub client: Client,
    pub topic: Arc<str>,
    pub judge: Judge,
    pub models: Models,
    pub share: Share,
    /// Sensors are held against their partitions.
    pub keyed: bool,
}

/// How much of the memory one partition has: many of them are read at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Messages decoded at a time.
    pub batch: usize,
    /// Batches on the pool at a time.
    pub flying: usize,
}

/// Messages on their way in one process, in all partitions together.
const ABOUT: usize = 1 << 16;

impl Share {
    /// One of `partitions`, with so many threads.
    pub(super) fn of(partitions: usize, threads: usize) -> Share {
        let partitions = partitions.max(1);
        let flying = ((threads + 2) / partitions).max(1);
        Share {
            batch: (ABOUT / partitions / flying).clamp(256, 8192),
            flying,
        }
    }
}

/// One partition on its way.
pub(super) struct Feed {
    common: Arc<Common>,
    prepare: Prepare,
    /// Before the lease: it is left first.
    consumer: Consumer,
    lanes: Lanes<Made>,
    origins: Origins,
    polled: Polled,
    spares: Spares,
    counters: Ledger,
    partition: i32,
    name: Arc<str>,
    /// The next offset.
    next: i64,
    /// The end of the positions that were given to the pool.
    given: i64,
    /// The read ends before this offset.
    end: Option<i64>,
    time: Option<i64>,
    over: bool,
    /// The broker had nothing more when it was asked last.
    caught_up: bool,
    /// Since when nothing came, and when it was asked last.
    quiet: Option<(Instant, Instant)>,
    _lease: Lease,
}

/// Where a feed begins and ends.
pub(super) struct Span {
    pub partition: i32,
    pub from: i64,
    pub end: Option<i64>,
}

/// A batch that was decoded, and what is to be checked of it.
pub(super) struct Made {
    pub batch: SourceBatch,
    dead: Vec<Dead>,
    pub sights: Vec<Sight>,
    /// Greatest end of interval.
    pub end: Option<i64>,
}

impl Feed {
    pub(super) fn open(
        common: &Arc<Common>,
        lease: Lease,
        span: &Span,
        from: &Positions,
        prepare: &Prepare,
    ) -> Result<Feed> {
        let name: Arc<str> = stream(&common.topic, span.partition).into();
        let over = span.end.is_some_and(|end| span.from >= end);
        let mut consumer = Consumer::on(&common.client)?.with_header(ORIGIN);
        if !over {
            consumer.add(span.partition, Start::At(span.from))?;
        }
        Ok(Feed {
            consumer,
            lanes: Lanes::new()?.at_most(common.share.flying),
            origins: Origins::new(span.partition, from),
            polled: Polled::default(),
            spares: Spares::default(),
            counters: Ledger::default(),
            partition: span.partition,
            next: span.from,
            given: span.from,
            end: span.end,
            time: from.iter().find(|p| p.stream == *name).and_then(|p| p.time),
            over,
            caught_up: over,
            quiet: None,
            common: common.clone(),
            prepare: prepare.clone(),
            name,
            _lease: lease,
        })
    }

    /// Its stream.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The greatest end of interval when it was opened.
    pub(super) fn time(&self) -> Option<i64> {
        self.time
    }

    /// Nothing more will come.
    pub(super) fn ended(&self) -> bool {
        self.over && self.lanes.is_empty()
    }

    /// Everything that the log holds has landed.
    pub(super) fn at_end(&self) -> bool {
        self.caught_up && self.lanes.is_empty() && self.pending().is_empty()
    }

    fn pending(&self) -> &Messages {
        &self.polled.messages
    }

    /// Fetches and hands to the pool what has come; waits at most `wait`, and only where nothing is on its way.
    pub(super) fn fill(&mut self, wait: Duration) -> Result<()> {
        while !self.over && !self.lanes.full() {
            let resting = self.lanes.is_empty() && self.pending().is_empty();
            let before = self.next;
            let wait = match self.end {
                Some(_) => wait.min(queues::ENDS),
                None => wait,
            };
            self.fetch(if resting { wait } else { Duration::ZERO })?;
            let full = self.pending().len() >= self.common.share.batch;
            // A gap before the end (marks of transactions) is a position too: lag is nothing then.
            let waits = self.next > self.given && self.lanes.is_empty();
            if full || self.over || waits {
                self.give()?;
            }
            if self.next == before {
                break;
            }
        }
        Ok(())
    }

    fn fetch(&mut self, wait: Duration) -> Result<()> {
        let most = self.common.share.batch.saturating_sub(self.pending().len());
        let (origins, books, end) = (&mut self.origins, &mut self.counters, self.end);
        let (next, over) = (&mut self.next, &mut self.over);
        let mut came = false;
        let mut keep = |message: &Message<'_>| {
            if *over || end.is_some_and(|end| message.offset >= end) {
                *over = true;
                return false;
            }
            came = true;
            *next = message.offset + 1;
            *over = end.is_some_and(|end| *next >= end);
            take(message, origins, books)
        };
        self.consumer
            .poll_if(&mut self.polled, most.max(1), wait, &mut keep)?;
        self.caught_up &= !came;
        if let Some((_, at)) = self.polled.ends.drain(..).next_back() {
            (self.caught_up, came) = (true, true);
            self.next = self.next.max(at);
        }
        self.over |= self.end.is_some_and(|end| self.next >= end);
        if self.over {
            self.caught_up = true;
            self.consumer.unassign(self.partition)?;
        }
        self.listen(came)
    }

    /// A read that ends does so, also where the client has lost its brokers for good: what it waits for is in the log.
    fn listen(&mut self, came: bool) -> Result<()> {
        let now = Instant::now();
        let since = match self.quiet {
            Some((since, last)) if !came && now - last < PAUSE => since,
            _ => now,
        };
        self.quiet = Some((since, now));
        let late = now - since > self.common.client.config().timeout;
        match late && !self.over && self.end.is_some() {
            true => Err(self.consumer.silent("nothing more could be read")),
            false => Ok(()),
        }
    }

    fn give(&mut self) -> Result<()> {
        if self.next == self.given && self.pending().is_empty() {
            return Ok(());
        }
        self.given = self.next;
        let messages = std::mem::replace(&mut self.polled.messages, self.spares.take());
        let spares = self.spares.clone();
        let counters = std::mem::take(&mut self.counters);
        let after = self.positions();
        let model = self.common.models.of(&messages)?;
        let prepare = self.prepare.clone();
        let sights = self.common.keyed;
        self.lanes.give(move || {
            let read = model.read(&messages, &prepare, sights)?;
            spares.give(messages);
            Ok(made(read, counters, after))
        });
        Ok(())
    }

    /// Its positions behind what was given to the pool last.
    pub(super) fn positions(&self) -> Positions {
        let next = self.next.max(0) as u64;
        let own = Position {
            stream: self.name.to_string(),
            at: next,
            row: next,
            line: 0,
            time: self.time,
            ..Position::default()
        };
        std::iter::once(own)
            .chain(self.origins.positions())
            .collect()
    }

    /// A batch without readings, for news of other partitions.
    pub(super) fn nothing(&self, after: Positions) -> Result<Made> {
        let model = self.common.models.first();
        let read = model.read(&Messages::default(), &self.prepare, false)?;
        Ok(made(read, Ledger::default(), after))
    }

    /// The oldest batch on the pool. What cannot be read is judged here, in the order of the log.
    pub(super) fn land(&mut self, wait: Duration) -> Result<Landed<Made>> {
        let mut landed = self.lanes.next(wait)?;
        if let Landed::Value(made) = &mut landed {
            made.batch.rejects = self.common.judge.judge(std::mem::take(&mut made.dead))?;
        }
        Ok(landed)
    }
}

/// Counts a message that need not be decoded; whether it must be.
fn take(message: &Message<'_>, origins: &mut Origins, books: &mut Ledger) -> bool {
    let size = message.value.map_or(0, <[u8]>::len) + message.key.map_or(0, <[u8]>::len);
    books.bytes += size as u64;
    let fresh = origins.admit(message.header, message.offset);
    if !fresh && !faults::broken("no_origin") {
        books.messages += 1;
        books.repeated += 1;
        return false;
    }
    if message.value.is_none() {
        books.messages += 1;
        books.tombstones += 1;
        return false;
    }
    true
}

fn made(read: Read, mut counters: Ledger, after: Positions) -> Made {
    counters.add(&read.counters);
    Made {
        batch: SourceBatch {
            readings: read.readings,
            delta: Some(read.delta),
            rejects: Vec::new(),
            counters,
            after,
            read: None,
            low: None,
            ends: None,
            places: read.places,
        },
        dead: read.dead,
        sights: read.sights,
        end: read.end,
    }
}
