//! A batch taken in, and the watermark after it, after its silence.

use super::events::TaskConfig;
use super::live::Live;
use crate::Result;
use crate::flush::Decision;
use crate::pipeline::policy::OnLate;
use crate::source::{Aligned, SourceBatch};

impl Live {
    /// Takes a batch in: counters, rejects, readings, watermark, windows that close by it.
    pub(super) fn take_batch(
        &mut self,
        c: &TaskConfig,
        batch: SourceBatch,
        now: i64,
    ) -> Result<()> {
        let SourceBatch {
            readings,
            delta,
            rejects,
            counters,
            after,
            read,
            low,
            ends,
            places,
        } = batch;
        let mut after = after;
        let before = self.closed_to;
        let own = ends.as_ref().map(|ends| ends.stream.clone());
        if let Some(ends) = ends {
            self.align(c, &ends, now);
        }
        self.gather.changed |= counters != Default::default();
        self.gather.changed |= !readings.is_empty() || !rejects.is_empty();
        self.gather.counters.add(&counters);
        if c.wants.rejects {
            rejects.into_iter().for_each(|r| self.gather.add_reject(r));
        }
        self.own = own;
        self.vouched = c.bounded || low.is_some();
        self.places = places;
        self.admit(c, readings, delta, low, now)?;
        if self.own.is_some() {
            after
                .iter_mut()
                .for_each(|p| p.time = self.streams.end(&p.stream));
        }
        self.gather.changed |= self.gather.positions != after;
        self.gather.positions = after;
        self.gather.read = read;
        self.advance(c, low);
        self.gather.changed |= self.closed_to != before;
        if c.on_late != OnLate::Correct {
            self.close(c)?;
        }
        Ok(())
    }

    /// A batch of one of several streams: which hold time back may have changed.
    fn align(&mut self, c: &TaskConfig, ends: &Aligned, now: i64) {
        self.streams.hear(&ends.stream, ends.behind.clone(), now);
        // The first readings of a stream may lie before those of all others.
        if self.streams.end(&ends.stream).is_some() {
            self.closed_to = self.closed_to.max(self.aligned(c));
        }
    }

    /// W as the streams allow it.
    fn aligned(&self, c: &TaskConfig) -> Option<i64> {
        let least = self.streams.least(None);
        (least != i64::MIN && least != i64::MAX).then(|| least.saturating_sub(c.lateness))
    }

    /// The watermark after a batch.
    fn advance(&mut self, c: &TaskConfig, low: Option<i64>) {
        let mark = match (self.vouched, self.max_end) {
            // Beyond the last reading there is nothing to close, whatever the source vouches for.
            (true, Some(most)) => low.map(|low| low.min(most)),
            (false, Some(_)) if self.own.is_some() => self.aligned(c),
            (false, Some(most)) => Some(most.saturating_sub(c.lateness)),
            (_, None) => None,
        };
        self.closed_to = self.closed_to.max(mark);
    }

    /// A run `until` an instant is over: W is that instant, if it was not further.
    pub(super) fn assert_time(&mut self, at: i64) {
        self.closed_to = self.closed_to.max(Some(at));
        self.gather.decisions.push(Decision::Until { at });
        self.gather.changed = true;
    }

    /// Moves the watermark on in silence, if that closes a window.
    pub(super) fn idle_to(&mut self, c: &TaskConfig, mark: i64) -> Result<()> {
        if !self
            .open
            .ends_within(self.closed_to.unwrap_or(i64::MIN), mark)
        {
            return Ok(());
        }
        self.closed_to = Some(mark);
        self.gather
            .decisions
            .push(Decision::Idle { watermark: mark });
        self.gather.changed = true;
        match c.on_late {
            OnLate::Correct => Ok(()),
            _ => self.close(c),
        }
    }
}
