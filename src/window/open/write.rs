//! Windows as tables, ordered by start and sensor.

use super::Open;
use crate::Result;
use crate::flush::WindowRows;
use crate::window::finish::Output;
use crate::window::plan::Plan;
use crate::window::rows::flag;

impl Open {
    /// Rows of closed windows that were corrected since they were written.
    pub fn take_corrected(&mut self, plan: &Plan) -> Result<Vec<WindowRows>> {
        let mut written = Vec::new();
        for grain in 0..self.grains.len() {
            let state = &mut self.grains[grain];
            let mut list = std::mem::take(&mut state.corrected);
            list.retain(|row| state.rows.has(*row, flag::CORRECTED));
            for &row in &list {
                state.rows.mark(row, 0, flag::CORRECTED);
                state.touch(row);
            }
            written.extend(self.write(plan, grain, list, true)?);
        }
        Ok(written)
    }

    /// Rows of the windows that are still open, `final = false`, empty windows before them included.
    pub fn open_rows(&mut self, plan: &Plan) -> Result<Vec<WindowRows>> {
        self.fit(plan);
        self.settle(plan);
        let mut written = Vec::new();
        for grain in 0..plan.grains.len() {
            let state = &self.grains[grain];
            let mut list: Vec<u32> = state.due.values().flatten().copied().collect();
            let gaps = self.open_gaps(plan, grain, &list)?;
            list.extend(&gaps);
            written.extend(self.write(plan, grain, list, false)?);
            for row in gaps {
                self.grains[grain].rows.remove(&plan.cells, row);
            }
        }
        Ok(written)
    }

    /// The table of some rows, ordered by start and sensor.
    pub(super) fn write(
        &mut self,
        plan: &Plan,
        grain: usize,
        mut list: Vec<u32>,
        last: bool,
    ) -> Result<Option<WindowRows>> {
        if list.is_empty() {
            return Ok(None);
        }
        self.sort(grain, &mut list);
        let rows = &self.grains[grain].rows;
        let output = Output {
            plan,
            grain,
            rows,
            list: &list,
            names: &self.names,
            last,
        };
        Ok(Some(WindowRows {
            grain: plan.grains[grain].name.clone(),
            rows: output.batch()?,
        }))
    }

    fn sort(&mut self, grain: usize, list: &mut Vec<u32>) {
        if self.names.len() > 1 && list.len() > self.names.len() / 16 {
            self.rank();
        }
        let (rows, names, ranks) = (&self.grains[grain].rows, &self.names, &self.ranks);
        let ranked = ranks.len() == names.len();
        if ranked || names.len() == 1 {
            let place = |sensor: u32| ranks.get(sensor as usize).copied().unwrap_or(0);
            let key = |row: u32| {
                let (sensor, start, _) = rows.key(row);
                (start, place(sensor), row)
            };
            let mut keys: Vec<(i64, u32, u32)> = list.iter().map(|row| key(*row)).collect();
            if !keys.is_sorted() {
                keys.sort_unstable();
                *list = keys.into_iter().map(|k| k.2).collect();
            }
            return;
        }
        list.sort_by_cached_key(|row| {
            let (sensor, start, _) = rows.key(*row);
            (start, names[sensor as usize].clone())
        });
    }

    fn rank(&mut self) {
        if self.ranks.len() == self.names.len() {
            return;
        }
        let mut order: Vec<u32> = (0..self.names.len() as u32).collect();
        order.sort_by(|a, b| self.names[*a as usize].cmp(&self.names[*b as usize]));
        self.ranks = vec![0; order.len()];
        for (place, id) in order.into_iter().enumerate() {
            self.ranks[id as usize] = place as u32;
        }
    }
}
