//! Building a flush and the head after it.

use super::events::TaskConfig;
use super::gather::Gather;
use super::live::Live;
use super::tables;
use crate::Result;
use crate::flush::{Decision, FORMAT, Flush, FlushId, Head, StateDelta, WindowRows};
use crate::pipeline::policy::OnLate;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use std::sync::Arc;

/// A flush and the head after it.
pub(super) type Built = (Arc<Flush>, Arc<Head>);

impl Live {
    /// Closes what the watermark has reached, a piece of it where it is much. Under `correct` only when a flush is built: a
    /// window may change until then, and has one row in a flush.
    pub(super) fn close(&mut self, c: &TaskConfig) -> Result<()> {
        let Some(w) = self.closed_to else {
            return Ok(());
        };
        let (rows, all) = self.open.close_some(&c.plan, w, c.limits.piece())?;
        self.closing = !all;
        self.gather.changed |= !rows.is_empty();
        self.gather_windows(c, rows);
        if c.on_late == OnLate::Correct {
            let rows = self.open.take_corrected(&c.plan)?;
            self.gather_windows(c, rows);
        }
        Ok(())
    }

    fn gather_windows(&mut self, c: &TaskConfig, rows: Vec<WindowRows>) {
        for rows in rows {
            let index = c
                .plan
                .grains()
                .position(|g| g == rows.grain)
                .unwrap_or(usize::MAX);
            let (windows, gaps) = census(&rows);
            let books = self.gather.books(&rows.grain);
            books.windows += windows;
            books.gaps += gaps;
            self.gather.add_windows(index, rows);
        }
    }

    /// A bounded read ended: its end is the watermark.
    pub(super) fn end_read(&mut self, c: &TaskConfig) -> Result<()> {
        if c.bounded {
            self.let_go(c, i64::MAX)?;
            self.dedupe.end_read();
            self.closed_to = self.closed_to.max(self.max_end);
            self.gather
                .decisions
                .extend(self.closed_to.map(|at| Decision::EndOfRead { at }));
            self.gather.read = None;
        }
        self.ending = true;
        Ok(())
    }

    /// Closes what a read left, a piece at a time; then what is open is written as it stands.
    pub(super) fn end_some(&mut self, c: &TaskConfig) -> Result<()> {
        self.gather.changed = true;
        self.close(c)?;
        if !self.closing {
            let open = self.open.open_rows(&c.plan)?;
            self.gather_windows(c, open);
            (self.ending, self.ended) = (false, true);
        }
        Ok(())
    }

    /// Builds the next flush from what gathered.
    pub(super) fn build(&mut self, c: &TaskConfig, now: i64) -> Result<Built> {
        if c.on_late == OnLate::Correct {
            self.close(c)?;
        }
        for grain in c.plan.grains() {
            self.gather.books(grain);
        }
        let id = FlushId {
            epoch: self.epoch,
            n: self.id().n + 1,
        };
        let (positions, read) = (self.gather.positions.clone(), self.gather.read.clone());
        let mut g = std::mem::replace(
            &mut self.gather,
            Gather::after(positions.clone(), read.clone()),
        );
        // What is still to be closed makes another flush.
        self.gather.changed = self.closing;
        self.totals.add(&g.counters);
        self.totals.balance()?;
        let grains: Vec<String> = c.plan.grains().map(str::to_owned).collect();
        let (fold, bytes) = self.save(c, id)?;
        let stamp = self.head.as_ref().map_or(now, |h| now.max(h.stamp + 1));
        let flush = Flush {
            partition: c.partition,
            id,
            lineage: self.lineage.clone(),
            positions,
            read,
            max_end: self.max_end,
            watermark: self.closed_to,
            stamp,
            state: StateDelta { fold, bytes },
            windows: g.take_windows(&grains)?,
            late: tables::joined(std::mem::take(&mut g.late))?,
            readings: g.readings,
            rejects: g.rejects,
            counters: g.counters,
            totals: self.totals.clone(),
            decisions: g.decisions,
            last: self.ended,
        };
        let head = self.head_after(c, &flush);
        self.head = Some(head.clone());
        Ok((Arc::new(flush), Arc::new(head)))
    }

    fn head_after(&self, c: &TaskConfig, flush: &Flush) -> Head {
        Head {
            pipeline: c.pipeline.clone(),
            partition: c.partition,
            id: flush.id,
            fold: self.folds.last(),
            positions: flush.positions.clone(),
            read: flush.read.clone(),
            watermark: flush.watermark,
            stamp: flush.stamp,
            lineage: flush.lineage.clone(),
            token: c.token.clone(),
            totals: flush.totals.clone(),
            spec: c.spec.clone(),
            spec_json: c.spec_json.clone(),
            tzdata: c.tzdata.clone(),
            format: FORMAT,
            source: c.identity.clone(),
        }
    }
}

/// Rows, and those without a reading.
fn census(rows: &WindowRows) -> (u64, u64) {
    let readings = rows.rows.column_by_name("readings");
    let empty = readings
        .and_then(|r| r.as_primitive_opt::<Int64Type>())
        .map_or(0, |r| r.values().iter().filter(|n| **n == 0).count());
    (rows.rows.num_rows() as u64, empty as u64)
}
