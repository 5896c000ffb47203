//! Silence and the end of a read: what the clock moves, what is still written, and what comes after.

use super::events::{Effect, Outcome};
use super::{Phase, Task, lost};
use crate::Result;

impl Task {
    pub(super) fn tick(&mut self, now: i64, out: &mut Vec<Effect>) -> Result<()> {
        self.clock.now = now;
        if self.phase != Phase::Reading {
            return Ok(());
        }
        self.idle()?;
        self.flush_if_due(out)
    }

    /// After a silence the watermark goes on at the clock's pace; decided only where a window closes by it.
    pub(super) fn idle(&mut self) -> Result<()> {
        let c = &self.config;
        let live = self.live.as_mut().ok_or_else(lost)?;
        if self.paused {
            // It is we who do not listen.
            self.clock.heard = self.clock.now;
            self.clock.mark = live.closed_to;
            live.streams.unheard(self.clock.now);
            return Ok(());
        }
        let silence = self.clock.now.saturating_sub(self.clock.heard);
        let Some(idle) = c.idle.filter(|_| !live.vouched) else {
            return Ok(());
        };
        // Of several streams those that still speak, or are not read to their end, say how far time is.
        let heard = live.streams.least_heard(idle, self.clock.now);
        let furthest = live.max_end.map(|end| end.saturating_sub(c.lateness));
        match (heard, self.clock.mark.max(furthest)) {
            (i64::MAX, Some(mark)) if silence >= idle => {
                live.idle_to(c, mark.saturating_add(silence))
            }
            (i64::MIN | i64::MAX, _) => Ok(()),
            (end, _) => live.idle_to(c, end.saturating_sub(c.lateness)),
        }
    }

    pub(super) fn end(&mut self, now: i64, out: &mut Vec<Effect>) -> Result<()> {
        if self.phase != Phase::Reading {
            return Ok(());
        }
        self.clock.now = now;
        let live = self.live.as_mut().ok_or_else(lost)?;
        if let Some(at) = self.config.until.filter(|at| live.closed_to < Some(*at)) {
            live.assert_time(at);
            live.ended = false;
        }
        let nothing = live.head.is_none() && !live.gather.changed;
        if !live.ended && !nothing {
            live.end_read(&self.config)?;
        }
        self.phase = Phase::Ending;
        self.go_on_ending(out)
    }

    pub(super) fn go_on_ending(&mut self, out: &mut Vec<Effect>) -> Result<()> {
        self.end_on()?;
        if self.flight.is_some() || !self.room() {
            return Ok(());
        }
        let live = self.live.as_ref().ok_or_else(lost)?;
        if live.gather.changed {
            return self.send(out);
        }
        if std::mem::take(&mut self.resumed) {
            self.phase = Phase::Reading;
            self.clock.heard = self.clock.now;
            let from = live.positions();
            out.push(Effect::Read {
                from,
                read: None,
                order: self.config.order,
            });
            return Ok(());
        }
        self.finish_if_taken(Outcome::Ended, out)
    }

    /// Writes on at the end of a read until a flush is full, or all is written.
    pub(super) fn end_on(&mut self) -> Result<()> {
        while self.live.as_ref().is_some_and(|live| live.ending) && !self.full(1)? {
            self.live
                .as_mut()
                .ok_or_else(lost)?
                .end_some(&self.config)?;
        }
        Ok(())
    }
}
