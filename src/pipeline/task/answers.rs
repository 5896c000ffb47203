//! What the home and the sinks answer: a flush is decided or not, taken, shown, and all are at their end.

use super::events::{Effect, Outcome};
use super::{Phase, Task, defect};
use crate::flush::FlushId;
use crate::{Error, Kind, Result};

impl Task {
    pub(super) fn decide(&mut self, id: FlushId, out: &mut Vec<Effect>) -> Result<()> {
        let Some((flush, _)) = self.flight.take_if(|f| f.0.id == id) else {
            return Ok(());
        };
        self.decided.push_back(id);
        let each = (0..self.config.sinks).map(|sink| Effect::Apply {
            sink,
            flush: flush.clone(),
        });
        out.extend(each);
        self.go_on(out)
    }

    pub(super) fn unclear(&mut self, id: FlushId, out: &mut Vec<Effect>) -> Result<()> {
        if let Some((_, head)) = self.flight.as_ref().filter(|f| f.0.id == id) {
            out.push(Effect::Settle { head: head.clone() });
        }
        Ok(())
    }

    pub(super) fn settled(&mut self, decided: bool, out: &mut Vec<Effect>) -> Result<()> {
        let Some((flush, head)) = self.flight.clone() else {
            return Ok(());
        };
        if decided {
            return self.decide(flush.id, out);
        }
        // The same record again, never one made anew. A stop waits for no second attempt.
        if self.phase == Phase::Stopping {
            self.flight = None;
            return self.go_on(out);
        }
        out.push(Effect::Decide { flush, head });
        Ok(())
    }

    pub(super) fn applied(
        &mut self,
        sink: usize,
        id: FlushId,
        shown: Option<FlushId>,
        out: &mut Vec<Effect>,
    ) -> Result<()> {
        let Some(reached) = self.sinks.get_mut(sink) else {
            return Err(defect("a sink that is not there applied a flush"));
        };
        reached.taken = reached.taken.max(id.n);
        reached.shown = reached.shown.max(shown.unwrap_or_default());
        self.prune(out);
        if self
            .over
            .is_some_and(|n| self.sinks.iter().all(|s| s.taken >= n))
        {
            return Err(self.spent());
        }
        self.go_on(out)
    }

    /// Whether so many more rejects are more than this run may have.
    pub(super) fn over_budget(&self, more: usize) -> bool {
        let all = self.rejects + more as u64;
        self.config.budget.is_some_and(|most| all > most)
    }

    /// The page is safe; now the run fails.
    pub(super) fn spent(&self) -> Error {
        Error::new(
            Kind::RejectLimit,
            format!(
                "{} messages could not be read, more than max_rejects ({}); they are in the dead letter topic, and what was read before stands; look at them, then run again",
                self.rejects,
                self.config.budget.unwrap_or(0)
            ),
        )
    }

    /// What all sinks show need not be kept.
    pub(super) fn prune(&mut self, out: &mut Vec<Effect>) {
        let shown = self.sinks.iter().map(|s| s.shown.n).min().unwrap_or(0);
        let mut upto = None;
        while self.decided.front().is_some_and(|id| id.n <= shown) {
            upto = self.decided.pop_front();
        }
        if let Some(upto) = upto.filter(|id| id.n > self.pruned) {
            self.pruned = upto.n;
            out.push(Effect::Prune { upto });
        }
    }

    pub(super) fn finish_if_taken(
        &mut self,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) -> Result<()> {
        let last = self.decided.back().map_or(0, |id| id.n);
        if self.flight.is_none() && self.sinks.iter().all(|s| s.taken >= last) {
            self.phase = Phase::Finishing(outcome);
            out.push(Effect::Finish);
        }
        Ok(())
    }

    pub(super) fn finished(&mut self, sink: usize, out: &mut Vec<Effect>) -> Result<()> {
        let Phase::Finishing(outcome) = self.phase else {
            return Ok(());
        };
        let last = self.decided.back().copied();
        if let Some(reached) = self.sinks.get_mut(sink) {
            reached.finished = true;
            reached.shown = reached.shown.max(last.unwrap_or_default());
        }
        if self.sinks.iter().all(|s| s.finished) {
            self.prune(out);
            self.phase = Phase::Over;
            out.push(Effect::Done(outcome));
        }
        Ok(())
    }
}
