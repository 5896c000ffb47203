//! Merge: all partitions of a topic under one head, by event time.
//!
//! The next batch is of the partition that is furthest behind. While one that has more in its log has nothing landed
//! yet, partitions ahead of it wait (the client stops fetching when its queue for them is full): so replaying years
//! keeps few windows open, and the watermark has something to follow. A partition that is read to its end holds
//! nobody back here; how long it holds the watermark back is the task's to say.

use super::feed::{Feed, Made};
use super::model::greatest_end;
use crate::Result;
use crate::flush::Positions;
use crate::source::lanes::Landed;
use crate::source::{Aligned, Poll, Reader, SourceBatch};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long nothing is done where nothing has come.
const REST: Duration = Duration::from_millis(5);

/// Reads all partitions.
pub(super) struct Merge {
    streams: Vec<Stream>,
    /// How far past the clock a reading may lie and still say where its partition is, µs.
    ahead: Option<i64>,
    /// How many partitions were said to hold more when the last batch was given.
    told: usize,
}

struct Stream {
    feed: Feed,
    landed: Option<Made>,
    /// The greatest end of interval that it has delivered.
    at: i64,
    /// What it has delivered is counted up to here.
    positions: Positions,
}

impl Stream {
    /// Its log holds more than it has delivered.
    fn behind(&self) -> bool {
        self.landed.is_some() || !self.feed.at_end()
    }
}

impl Merge {
    pub(super) fn new(feeds: Vec<Feed>, ahead: Option<i64>) -> Merge {
        let stream = |feed: Feed| Stream {
            at: feed.time().unwrap_or(i64::MIN),
            landed: None,
            positions: feed.positions(),
            feed,
        };
        Merge {
            streams: feeds.into_iter().map(stream).collect(),
            ahead,
            told: 0,
        }
    }

    /// That partitions have come to their end and nothing follows: the watermark may wait for that.
    fn news(&mut self) -> Result<Option<SourceBatch>> {
        let behind = self.streams.iter().filter(|s| s.behind()).count();
        let quiet = self.streams.iter().all(|s| s.landed.is_none());
        let Some(first) = self.streams.first().filter(|_| quiet && behind < self.told) else {
            return Ok(None);
        };
        let made = first.feed.nothing(first.positions.clone())?;
        Ok(Some(self.deliver(made, 0)))
    }

    /// Lets every partition go on, without waiting.
    fn turn(&mut self) -> Result<()> {
        for stream in &mut self.streams {
            stream.feed.fill(Duration::ZERO)?;
            if stream.landed.is_none()
                && let Landed::Value(made) = stream.feed.land(Duration::ZERO)?
            {
                stream.landed = Some(made);
            }
        }
        Ok(())
    }

    /// The partition whose turn it is, if its batch is there.
    fn choose(&self) -> Option<usize> {
        let waited = self
            .streams
            .iter()
            .filter(|s| s.landed.is_none() && s.behind());
        let limit = waited.map(|s| s.at).min().unwrap_or(i64::MAX);
        let ready = self.streams.iter().enumerate();
        let ready = ready.filter(|(_, s)| s.landed.is_some() && s.at <= limit);
        ready.min_by_key(|(_, s)| s.at).map(|(i, _)| i)
    }

    fn deliver(&mut self, made: Made, of: usize) -> SourceBatch {
        let mut batch = made.batch;
        let limit = self
            .ahead
            .map_or(i64::MAX, |ahead| now().saturating_add(ahead));
        let end = match batch.readings.time.iter().all(|t| *t <= limit) {
            true => made.end,
            false => greatest_end(&batch.readings, limit),
        };
        let stream = &mut self.streams[of];
        stream.at = stream.at.max(end.unwrap_or(i64::MIN));
        stream.positions = std::mem::take(&mut batch.after);
        let name = stream.feed.name().clone();
        let behind = self.streams.iter().filter(|s| s.behind());
        self.told = behind.clone().count();
        batch.ends = Some(Aligned {
            stream: name,
            behind: behind.map(|s| s.feed.name().clone()).collect::<Arc<[_]>>(),
        });
        let all = self
            .streams
            .iter()
            .flat_map(|s| s.positions.iter().cloned());
        batch.after = all.collect();
        batch
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |n| n.as_micros() as i64)
}

impl Reader for Merge {
    fn next(&mut self, wait: Duration) -> Result<Poll> {
        let until = Instant::now() + wait;
        loop {
            self.turn()?;
            if let Some(of) = self.choose()
                && let Some(made) = self.streams[of].landed.take()
            {
                return Ok(Poll::Batch(Box::new(self.deliver(made, of))));
            }
            if let Some(news) = self.news()? {
                return Ok(Poll::Batch(Box::new(news)));
            }
            let over = |s: &Stream| s.landed.is_none() && s.feed.ended();
            if self.streams.iter().all(over) {
                return Ok(Poll::End);
            }
            if Instant::now() >= until {
                return Ok(Poll::Idle);
            }
            std::thread::sleep(REST.min(wait));
        }
    }
}
