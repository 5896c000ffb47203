//! A batch taken in, and the watermark after it, after its silence.

use super::events::TaskConfig;
use super::live::Live;
use crate::Result;
use crate::flush::Decision;
use crate::pipeline::policy::OnLate;
use crate::source::SourceBatch;

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
            ends: _,
        } = batch;
        self.gather.changed |= self.gather.positions != after || counters != Default::default();
        self.gather.changed |= !readings.is_empty() || !rejects.is_empty();
        self.gather.counters.add(&counters);
        if c.wants.rejects {
            rejects.into_iter().for_each(|r| self.gather.add_reject(r));
        }
        self.admit(c, readings, delta, low, now)?;
        self.gather.positions = after;
        self.gather.read = read;
        self.advance(c, low);
        if c.on_late != OnLate::Correct {
            self.close(c)?;
        }
        Ok(())
    }

    /// The watermark after a batch.
    fn advance(&mut self, c: &TaskConfig, low: Option<i64>) {
        let mark = match (c.bounded, self.max_end) {
            // Beyond the last reading there is nothing to close, whatever the source vouches for.
            (true, Some(most)) => low.map(|low| low.min(most)),
            (false, Some(most)) => Some(most.saturating_sub(c.lateness)),
            (_, None) => None,
        };
        self.closed_to = self.closed_to.max(mark);
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
