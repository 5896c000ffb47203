//! The empty windows between those of a sensor: as windows close, as the watermark passes, before those still open.

use super::Open;
use crate::Result;
use crate::window::complete::{NONE, between};
use crate::window::plan::Plan;

impl Open {
    /// The empty windows that closing `due` completes.
    pub(super) fn complete(&mut self, plan: &Plan, grain: usize, due: &[u32]) -> Result<Vec<u32>> {
        let mut gaps = Vec::new();
        if !plan.grains[grain].gaps {
            return Ok(gaps);
        }
        let state = &self.grains[grain];
        let mut order: Vec<(i64, u32)> = due
            .iter()
            .map(|row| (state.rows.key(*row).1, *row))
            .collect();
        order.sort_unstable();
        // Windows before a sensor's stretch first, the nearest first: each extends it backwards.
        let mut rest = Vec::with_capacity(order.len());
        for &(start, row) in order.iter().rev() {
            let sensor = self.grains[grain].rows.key(row).0;
            let track = *self.grains[grain].track(sensor);
            if track.next != NONE && start < track.first {
                let end = self.grains[grain].rows.key(row).2;
                self.bridge(
                    plan,
                    grain,
                    (sensor, track.step),
                    (end, track.first),
                    &mut gaps,
                )?;
                let track = self.grains[grain].track(sensor);
                track.first = start;
                track.open -= 1;
                self.grains[grain].touch_track(sensor);
            } else {
                rest.push(row);
            }
        }
        for row in rest.into_iter().rev() {
            self.advance(plan, grain, row, &mut gaps)?;
        }
        Ok(gaps)
    }

    /// A window closes at or beyond its sensor's stretch, or inside it.
    fn advance(&mut self, plan: &Plan, grain: usize, row: u32, gaps: &mut Vec<u32>) -> Result<()> {
        let (sensor, start, end) = self.grains[grain].rows.key(row);
        let track = *self.grains[grain].track(sensor);
        if track.next != NONE && start < track.next {
            // It was written empty; its readings came late and counted as revisions.
            self.grains[grain].track(sensor).open -= 1;
            return Ok(());
        }
        if track.next != NONE {
            self.bridge(plan, grain, (sensor, track.step), (track.next, start), gaps)?;
        }
        let step = self.grains[grain].step_after(row, track.step);
        let track = self.grains[grain].track(sensor);
        track.first = if track.first == NONE {
            start
        } else {
            track.first
        };
        track.next = end;
        track.step = step;
        track.open -= 1;
        let more = track.open > 0;
        let state = &mut self.grains[grain];
        state.touch_track(sensor);
        if more && !state.index.contains_key(&(sensor, end)) {
            state.holes.insert(sensor);
        }
        Ok(())
    }

    /// Empty windows of a sensor in `[from, to)`.
    pub(in crate::window) fn bridge(
        &mut self,
        plan: &Plan,
        grain: usize,
        (sensor, step): (u32, i64),
        part: (i64, i64),
        gaps: &mut Vec<u32>,
    ) -> Result<()> {
        if part.0 >= part.1 {
            return Ok(());
        }
        let name = &self.names[sensor as usize];
        let windows = between(&plan.grains[grain].calendar, name, part.0, part.1)?;
        let state = &mut self.grains[grain];
        for window in windows {
            gaps.push(state.gap(sensor, window, step));
        }
        Ok(())
    }

    /// Holes that the watermark has passed, before windows that are still open.
    pub(super) fn pass(
        &mut self,
        plan: &Plan,
        grain: usize,
        watermark: i64,
        gaps: &mut Vec<u32>,
    ) -> Result<()> {
        let calendar = &plan.grains[grain].calendar;
        // A grain without empty windows has no holes.
        let mut sensors: Vec<u32> = self.grains[grain].holes.iter().copied().collect();
        sensors.sort_unstable();
        for sensor in sensors {
            let track = *self.grains[grain].track(sensor);
            if track.open == 0 || self.grains[grain].index.contains_key(&(sensor, track.next)) {
                self.grains[grain].holes.remove(&sensor);
                continue;
            }
            // An open window ends beyond the watermark: only windows up to it can be holes.
            let to = calendar.window(watermark).0;
            if track.next == NONE || track.next >= to {
                continue;
            }
            self.bridge(plan, grain, (sensor, track.step), (track.next, to), gaps)?;
            self.grains[grain].track(sensor).next = to;
            self.grains[grain].touch_track(sensor);
        }
        Ok(())
    }

    /// Empty windows between what is written of a sensor and its open windows.
    pub(super) fn open_gaps(
        &mut self,
        plan: &Plan,
        grain: usize,
        open: &[u32],
    ) -> Result<Vec<u32>> {
        let mut gaps = Vec::new();
        if !plan.grains[grain].gaps {
            return Ok(gaps);
        }
        let rows = &self.grains[grain].rows;
        let mut order: Vec<_> = open.iter().map(|row| (rows.key(*row), *row)).collect();
        order.sort_unstable();
        let (mut current, mut at, mut step) = (u32::MAX, NONE, 0);
        for ((sensor, start, end), row) in order {
            if current != sensor {
                let track = self.grains[grain].track(sensor);
                (current, at, step) = (sensor, track.next, track.step);
            }
            if at != NONE {
                self.bridge(plan, grain, (sensor, step), (at, start), &mut gaps)?;
            }
            at = at.max(end);
            step = self.grains[grain].step_after(row, step);
        }
        Ok(gaps)
    }
}
