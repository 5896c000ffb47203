//! Several streams under one head: how far each has come, and which hold time back.
//!
//! W follows the least end of those that hold time back: a stream that is not read to its end yet (`behind`, see
//! [`Aligned`](crate::source::Aligned)), and any that has delivered a reading. One in `behind` that has delivered none
//! holds W where it is. After `idle` of its own silence a stream holds nothing back; after that of all W goes on with
//! the clock. Both are decisions, made at a tick.

use crate::flush::Positions;
use std::collections::BTreeMap;
use std::sync::Arc;

/// No reading yet.
const NEVER: i64 = i64::MIN;

/// The streams of a task that has several.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by: BTreeMap<Arc<str>, Stream>,
    behind: Arc<[Arc<str>]>,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Greatest end of interval of an admitted reading.
    end: i64,
    /// The clock at its last batch.
    heard: i64,
}

impl Streams {
    /// As the head has them.
    pub fn restore(positions: &Positions, now: i64) -> Streams {
        let timed = positions.iter().filter_map(|p| {
            let end = p.time?;
            Some((p.stream.as_str().into(), Stream { end, heard: now }))
        });
        Streams {
            by: timed.collect(),
            behind: Arc::default(),
        }
    }

    /// A batch of `stream` comes; these are not read to their end.
    pub fn hear(&mut self, stream: &Arc<str>, behind: Arc<[Arc<str>]>, now: i64) {
        self.behind = behind;
        let own = self.by.entry(stream.clone()).or_insert(Stream {
            end: NEVER,
            heard: now,
        });
        own.heard = now;
    }

    /// Readings of `stream` were admitted up to this end of interval.
    pub fn reached(&mut self, stream: &str, end: i64) {
        if let Some(own) = self.by.get_mut(stream) {
            own.end = own.end.max(end);
        }
    }

    /// It is we who do not listen.
    pub fn unheard(&mut self, now: i64) {
        self.by.values_mut().for_each(|s| s.heard = now);
    }

    /// How far a stream has come.
    pub fn end(&self, stream: &str) -> Option<i64> {
        let end = self.by.get(stream).map(|s| s.end);
        end.filter(|end| *end != NEVER)
    }

    /// The least end of those that hold time back, but for `aside`; `i64::MAX`: none does.
    pub fn least(&self, aside: Option<&str>) -> i64 {
        self.least_of(|name, _| Some(name) != aside)
    }

    /// The same of those not silent for `idle`.
    pub fn least_heard(&self, idle: i64, now: i64) -> i64 {
        self.least_of(|name, stream| {
            let silent = stream.is_none_or(|s| now.saturating_sub(s.heard) >= idle);
            !silent || self.is_behind(name)
        })
    }

    fn least_of(&self, of: impl Fn(&str, Option<&Stream>) -> bool) -> i64 {
        let delivered = self.by.iter().filter(|(_, s)| s.end != NEVER);
        let delivered = delivered
            .filter(|(name, s)| of(name, Some(s)))
            .map(|(_, s)| s.end);
        let unread = self.behind.iter().filter(|name| self.end(name).is_none());
        let unread = unread
            .filter(|name| of(name, self.by.get(*name)))
            .map(|_| NEVER);
        delivered.chain(unread).min().unwrap_or(i64::MAX)
    }

    fn is_behind(&self, name: &str) -> bool {
        self.behind.iter().any(|b| &**b == name)
    }
}
