//! Reader of one partition, which has a head of its own.

use super::feed::Feed;
use super::places::Seen;
use crate::Result;
use crate::source::lanes::Landed;
use crate::source::{Poll, Reader};
use std::time::Duration;

/// Reads one partition.
pub(super) struct Keyed {
    feed: Feed,
    /// `None`: the topic has one partition.
    seen: Option<Seen>,
}

impl Keyed {
    pub(super) fn new(feed: Feed, seen: Option<Seen>) -> Keyed {
        Keyed { feed, seen }
    }
}

impl Reader for Keyed {
    fn next(&mut self, wait: Duration) -> Result<Poll> {
        self.feed.fill(wait)?;
        Ok(match self.feed.land(wait)? {
            Landed::Value(made) => {
                if let Some(seen) = &mut self.seen {
                    seen.check(&made.sights)?;
                }
                Poll::Batch(Box::new(made.batch))
            }
            Landed::Empty if self.feed.ended() => Poll::End,
            Landed::Empty | Landed::Waiting => Poll::Idle,
        })
    }
}
