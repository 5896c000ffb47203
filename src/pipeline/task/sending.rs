//! When a flush is sent: what gathered is enough, the sinks keep up, and the home has answered the one before.

use super::events::Effect;
use super::{AHEAD_OF_SINKS, FIRST, Phase, Task, lost};
use crate::source::Order;
use crate::{Error, Kind, Result};

impl Task {
    pub(super) fn resume(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.paused) {
            out.push(Effect::Resume);
        }
    }

    /// An optimistic read decides nothing before its end, so it must fit in memory.
    pub(super) fn check_memory(&self) -> Result<()> {
        let live = self.live.as_ref().ok_or_else(lost)?;
        let most = self.config.limits.bytes.saturating_mul(2);
        if self.optimistic() && live.waiting() > most {
            return Err(Error::new(
                Kind::Disorder,
                "the read is too long to be held in memory to its end",
            ));
        }
        Ok(())
    }

    pub(super) fn optimistic(&self) -> bool {
        self.config.bounded && self.config.order == Order::Optimistic && !self.resumed
    }

    pub(super) fn flush_if_due(&mut self, out: &mut Vec<Effect>) -> Result<()> {
        let part = if self.sent { 1 } else { FIRST };
        let live = self.live.as_ref().ok_or_else(lost)?;
        let over = self.over_budget(live.gather.rejects.len());
        let full = self.full(part)? || self.closes() || over;
        let limits = self.config.limits;
        let old = self.clock.now.saturating_sub(self.clock.flushed) >= limits.interval;
        // While a flush is in flight, and after it where sinks are behind, one more gathers and no second.
        let mut waits = self.full(1)?;
        if live.gather.changed && (full || old) && self.free() {
            self.send(out)?;
            self.close_on(out)?;
            waits = false;
        }
        if (waits || self.closes()) && !self.paused && !self.optimistic() {
            self.paused = true;
            out.push(Effect::Pause);
            self.join_what_waits()?;
        }
        Ok(())
    }

    /// The next flush is joined while the one before it is decided, not after that.
    fn join_what_waits(&mut self) -> Result<()> {
        match &mut self.live {
            Some(live) => live.gather.join_windows(),
            None => Ok(()),
        }
    }

    /// Whether what gathered is this part of a flush.
    pub(super) fn full(&self, part: usize) -> Result<bool> {
        let live = self.live.as_ref().ok_or_else(lost)?;
        let limits = self.config.limits;
        Ok(live.gather.rows >= limits.rows / part || live.gather.bytes >= limits.bytes / part)
    }

    /// Whether a flush may be sent now.
    pub(super) fn free(&self) -> bool {
        let reading = self.phase == Phase::Reading && !self.optimistic();
        reading && self.flight.is_none() && self.room()
    }

    /// Whether the sinks are not too far behind.
    pub(super) fn room(&self) -> bool {
        let taken = self.sinks.iter().map(|s| s.taken).min().unwrap_or(0);
        self.newest().n.saturating_sub(taken) < AHEAD_OF_SINKS
    }

    /// Builds a flush and sends it.
    pub(super) fn send(&mut self, out: &mut Vec<Effect>) -> Result<()> {
        let live = self.live.as_mut().ok_or_else(lost)?;
        let built = live.build(&self.config, self.clock.now)?;
        self.clock.flushed = self.clock.now;
        self.sent = true;
        self.rejects += built.0.rejects.len() as u64;
        if self.over.is_none() && self.over_budget(0) {
            self.over = Some(built.0.id.n);
        }
        self.flight = Some(built.clone());
        out.push(Effect::Decide {
            flush: built.0,
            head: built.1,
        });
        if !self.closes() {
            self.resume(out);
        }
        Ok(())
    }
}
