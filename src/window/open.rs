//! Open: the open and kept windows of one partition.
//!
//! Deltas come in, final windows leave. A delta's sensors are codes of its batch; each distinct
//! name is looked up once a batch. All changes are marked, so that storing them costs what
//! changed.
//!
//! | part | does |
//! |---|---|
//! | `gaps` | empty windows between those of a sensor |
//! | `write` | rows as tables, in order |

mod gaps;
mod write;

use super::accumulate::Delta;
use super::complete::{NONE, Track};
use super::plan::{Plan, head};
use super::ready::Ready;
use super::rows::{Rows, flag};
use crate::flush::WindowRows;
use crate::{Error, Kind, Result};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The open and kept windows of one partition.
#[derive(Debug, Default)]
pub struct Open {
    pub(crate) names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
    /// Names that a record holds.
    pub(crate) saved_names: usize,
    /// Place of each name in the order of names; made when needed.
    ranks: Vec<u32>,
    pub(crate) grains: Vec<GrainState>,
    /// Windows that end here or before have been closed.
    pub(crate) closed_to: i64,
}

/// The windows of one grain.
#[derive(Debug)]
pub(crate) struct GrainState {
    pub rows: Rows,
    pub index: HashMap<(u32, i64), u32>,
    /// Open windows by end.
    pub due: BTreeMap<i64, Vec<u32>>,
    /// Closed windows kept for corrections, by end.
    pub kept: BTreeMap<i64, Vec<u32>>,
    pub changed: Vec<u32>,
    pub removed: Vec<(u32, i64)>,
    corrected: Vec<u32>,
    /// By sensor; empty for grains without empty windows.
    pub tracks: Vec<Track>,
    pub changed_tracks: Vec<u32>,
    /// Sensors with a hole before an open window that the watermark may pass.
    pub holes: HashSet<u32>,
    /// Windows of the last batch that may close as they are.
    pub ready: Option<Ready>,
}

impl GrainState {
    fn new(plan: &Plan) -> Self {
        GrainState {
            rows: Rows::new(plan.stride),
            index: HashMap::new(),
            due: BTreeMap::new(),
            kept: BTreeMap::new(),
            changed: Vec::new(),
            removed: Vec::new(),
            corrected: Vec::new(),
            tracks: Vec::new(),
            changed_tracks: Vec::new(),
            holes: HashSet::new(),
            ready: None,
        }
    }

    pub fn touch(&mut self, row: u32) {
        if !self.rows.has(row, flag::CHANGED) {
            self.rows.mark(row, flag::CHANGED, 0);
            self.changed.push(row);
        }
    }

    #[inline]
    pub fn touch_track(&mut self, sensor: u32) {
        if let Some(track) = self.tracks.get_mut(sensor as usize)
            && !track.changed
        {
            track.changed = true;
            self.changed_tracks.push(sensor);
        }
    }

    /// Notes a row that came in, open or kept.
    pub fn enter(&mut self, plan: &Plan, grain: usize, row: u32) {
        let (sensor, start, end) = self.rows.key(row);
        self.index.insert((sensor, start), row);
        if self.rows.has(row, flag::CLOSED) {
            self.kept.entry(end).or_default().push(row);
            return;
        }
        self.due.entry(end).or_default().push(row);
        if plan.grains[grain].gaps {
            let track = self.track(sensor);
            track.open += 1;
            let next = track.next;
            if next != NONE && start > next && !self.index.contains_key(&(sensor, next)) {
                self.holes.insert(sensor);
            }
        }
    }

    #[inline]
    pub fn track(&mut self, sensor: u32) -> &mut Track {
        let at = sensor as usize;
        if self.tracks.len() <= at {
            self.tracks.resize(at + 1, Track::default());
        }
        &mut self.tracks[at]
    }

    /// A row leaves for good.
    pub fn leave(&mut self, plan: &Plan, row: u32) {
        let (sensor, start, _) = self.rows.key(row);
        self.index.remove(&(sensor, start));
        if self.rows.has(row, flag::SAVED) {
            self.removed.push((sensor, start));
        }
        self.rows.mark(row, 0, flag::CHANGED | flag::CORRECTED);
        self.rows.remove(&plan.cells, row);
    }

    /// Merges a row of a delta; gives the row it went to.
    pub fn merge(
        &mut self,
        plan: &Plan,
        grain: usize,
        delta: &Rows,
        from: u32,
        sensor: u32,
    ) -> u32 {
        let (_, start, _) = delta.key(from);
        if let Some(&row) = self.index.get(&(sensor, start)) {
            self.rows.merge(&plan.cells, row, delta, from);
            self.touch(row);
            if self.rows.has(row, flag::CLOSED) && !self.rows.has(row, flag::CORRECTED) {
                self.rows.mark(row, flag::CORRECTED, 0);
                self.corrected.push(row);
            }
            return row;
        }
        let row = self.rows.copy(&plan.cells, delta, from);
        self.rows.set(row, head::SENSOR, u64::from(sensor));
        self.enter(plan, grain, row);
        self.touch(row);
        row
    }

    /// Takes out the rows that are final at `watermark`, in order of start.
    fn due_rows(&mut self, watermark: i64) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() > watermark {
                break;
            }
            due.extend(entry.remove());
        }
        due
    }

    /// The step that empty windows after a row are counted in: the row's, if it has one.
    #[inline]
    pub(super) fn step_after(&self, row: u32, before: i64) -> i64 {
        match self.rows.get(row, head::STEP) as i64 {
            step if step > 0 => step,
            _ => before,
        }
    }

    /// Makes an empty row for a window.
    pub(super) fn gap(&mut self, sensor: u32, window: (i64, i64), step: i64) -> u32 {
        let row = self.rows.push(sensor, window.0, window.1);
        self.rows.set(row, head::STEP, step as u64);
        row
    }
}

impl Open {
    /// No windows.
    pub fn new() -> Self {
        Open {
            closed_to: i64::MIN,
            ..Open::default()
        }
    }

    /// Makes room for the grains of the plan.
    pub(crate) fn fit(&mut self, plan: &Plan) {
        while self.grains.len() < plan.grains.len() {
            self.grains.push(GrainState::new(plan));
        }
    }

    /// The sensors that were ever seen.
    pub fn sensors(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The windows of the sensors that `keeps` wants, apart; nothing of it is saved yet.
    pub fn part(&mut self, plan: &Plan, keeps: &dyn Fn(&str) -> bool) -> Open {
        self.fit(plan);
        self.settle(plan);
        let mut part = Open::new();
        part.fit(plan);
        part.closed_to = self.closed_to;
        let names = self.names.iter();
        let ids: Vec<Option<u32>> = names
            .map(|name| keeps(name).then(|| part.intern(name)))
            .collect();
        let id = |sensor: usize| ids.get(sensor).copied().flatten();
        for (grain, state) in self.grains.iter().enumerate() {
            let into = &mut part.grains[grain];
            let tracks = state.tracks.iter().enumerate();
            for (sensor, track) in tracks.filter(|(_, t)| t.next != NONE) {
                if let Some(sensor) = id(sensor) {
                    let own = into.track(sensor);
                    (own.first, own.next, own.step) = (track.first, track.next, track.step);
                }
            }
            let mut rows: Vec<u32> = state.index.values().copied().collect();
            rows.sort_unstable();
            for row in rows {
                if let Some(sensor) = id(state.rows.key(row).0 as usize) {
                    let copy = into.rows.copy(&plan.cells, &state.rows, row);
                    into.rows.set(copy, head::SENSOR, u64::from(sensor));
                    into.rows.mark(copy, 0, flag::CHANGED | flag::SAVED);
                    into.enter(plan, grain, copy);
                }
            }
        }
        part
    }

    /// The id of a sensor, given at first sight.
    pub(crate) fn intern(&mut self, name: &Arc<str>) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.push(name.clone());
        self.ids.insert(name.clone(), id);
        id
    }

    /// Merges the partials of a batch.
    pub fn merge(&mut self, plan: &Plan, delta: Delta) -> Result<()> {
        self.merge_as(plan, delta, false)
    }

    /// Merges the partials of readings that came after their windows were final: each reading is a revision.
    pub fn merge_late(&mut self, plan: &Plan, delta: Delta) -> Result<()> {
        self.merge_as(plan, delta, true)
    }

    fn merge_as(&mut self, plan: &Plan, delta: Delta, late: bool) -> Result<()> {
        if delta.grains.len() != plan.grains.len() {
            return Err(Error::new(
                Kind::Internal,
                "a batch was accumulated with another plan; please report it",
            ));
        }
        self.fit(plan);
        self.settle(plan);
        let mut ids = vec![u32::MAX; delta.names.len()];
        let mut ahead = delta.ahead.into_iter();
        for (grain, rows) in delta.grains.into_iter().enumerate() {
            let rows = match ahead.next().flatten() {
                Some(ahead) if !late => {
                    let sensor = self.intern(&delta.names[0]);
                    self.grains[grain].wait(plan, grain, rows, ahead, sensor)
                }
                _ => Some(rows),
            };
            let Some(rows) = rows else { continue };
            for from in 0..rows.len() as u32 {
                let code = rows.key(from).0 as usize;
                if ids[code] == u32::MAX {
                    ids[code] = self.intern(&delta.names[code]);
                }
                let state = &mut self.grains[grain];
                let row = state.merge(plan, grain, &rows, from, ids[code]);
                if late {
                    state.rows.revise(row, rows.get(from, head::READINGS));
                }
            }
        }
        Ok(())
    }

    /// Closes the windows that end at or before `watermark`: their final rows, finest grain first, ordered by
    /// start and sensor, empty windows included.
    pub fn close(&mut self, plan: &Plan, watermark: i64) -> Result<Vec<WindowRows>> {
        self.fit(plan);
        let mut written = Vec::new();
        for grain in 0..plan.grains.len() {
            let leaving = self.grains[grain].leaving(plan, grain, watermark);
            let due = self.grains[grain].due_rows(watermark);
            let from = leaving.as_ref().map_or(i64::MAX, |l| l.span.0);
            let (before, after): (Vec<u32>, Vec<u32>) = due
                .into_iter()
                .partition(|row| self.grains[grain].rows.key(*row).1 < from);
            let mut gaps = self.complete(plan, grain, &before)?;
            if let Some(leaving) = leaving {
                gaps.extend(self.pass_over(plan, grain, &leaving)?);
                written.extend(self.put(plan, grain, before, gaps)?);
                written.push(WindowRows {
                    grain: plan.grains[grain].name.clone(),
                    rows: leaving.table,
                });
                gaps = self.complete(plan, grain, &after)?;
                self.pass(plan, grain, watermark, &mut gaps)?;
                written.extend(self.put(plan, grain, after, gaps)?);
            } else {
                self.pass(plan, grain, watermark, &mut gaps)?;
                written.extend(self.put(plan, grain, before, gaps)?);
            }
            self.expire(plan, grain, watermark);
        }
        self.closed_to = self.closed_to.max(watermark);
        Ok(written)
    }

    /// The final rows of windows and of empty ones; the first leave or are kept, the others go.
    pub(super) fn put(
        &mut self,
        plan: &Plan,
        grain: usize,
        due: Vec<u32>,
        gaps: Vec<u32>,
    ) -> Result<Option<WindowRows>> {
        let list = due.iter().chain(&gaps).copied().collect();
        let rows = self.write(plan, grain, list, true)?;
        self.retire(plan, grain, due, gaps);
        Ok(rows)
    }

    /// Written windows leave, or stay for corrections.
    fn retire(&mut self, plan: &Plan, grain: usize, due: Vec<u32>, gaps: Vec<u32>) {
        let state = &mut self.grains[grain];
        for row in gaps {
            state.rows.remove(&plan.cells, row);
        }
        for row in due {
            if plan.correct_for.is_some() {
                state.rows.mark(row, flag::CLOSED, 0);
                let end = state.rows.key(row).2;
                state.kept.entry(end).or_default().push(row);
                state.touch(row);
            } else {
                state.leave(plan, row);
            }
        }
    }

    /// Kept windows that no correction can reach leave, unless one waits to be written.
    fn expire(&mut self, plan: &Plan, grain: usize, watermark: i64) {
        let state = &mut self.grains[grain];
        let keep = plan.correct_for.unwrap_or(0);
        let mut waiting = Vec::new();
        while let Some(entry) = state.kept.first_entry() {
            if entry.key().saturating_add(keep) > watermark {
                break;
            }
            let (end, rows) = entry.remove_entry();
            for row in rows {
                match state.rows.has(row, flag::CORRECTED) {
                    true => waiting.push((end, row)),
                    false => state.leave(plan, row),
                }
            }
        }
        for (end, row) in waiting {
            state.kept.entry(end).or_default().push(row);
        }
        state.rows.shrink();
        if state.rows.is_empty() {
            state.changed.clear();
            state.corrected.clear();
        }
    }

    /// Whether an open window ends after `from` and not after `to`.
    pub fn ends_within(&self, from: i64, to: i64) -> bool {
        use std::ops::Bound::{Excluded, Included};
        from < to
            && self.grains.iter().any(|g| {
                g.due.range((Excluded(from), Included(to))).next().is_some()
                    || g.ready.as_ref().is_some_and(|r| r.ends_within(from, to))
            })
    }

    /// Number of windows held of each grain (plan order): open, and kept for corrections.
    pub fn open_windows(&self) -> Vec<(usize, usize)> {
        let sizes = |map: &BTreeMap<i64, Vec<u32>>| map.values().map(Vec::len).sum();
        self.grains
            .iter()
            .map(|g| {
                let ready = g.ready.as_ref().map_or(0, Ready::len);
                (sizes(&g.due) + ready, sizes(&g.kept))
            })
            .collect()
    }

    /// Number of windows held, all grains, kept ones included.
    pub fn len(&self) -> usize {
        let ready = |g: &GrainState| g.ready.as_ref().map_or(0, Ready::len);
        self.grains.iter().map(|g| g.index.len() + ready(g)).sum()
    }

    /// Whether no window is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|n| n.len() + 16 + 16 + 25).sum();
        let grain = |g: &GrainState| {
            let lists = g
                .due
                .values()
                .chain(g.kept.values())
                .map(|v| v.capacity() * 4 + 48)
                .sum::<usize>();
            let marks =
                g.changed.capacity() * 4 + g.removed.capacity() * 16 + g.holes.capacity() * 5;
            let tracks = g.tracks.capacity() * size_of::<Track>();
            let ready = g.ready.as_ref().map_or(0, Ready::bytes);
            g.rows.bytes() + g.index.capacity() * 25 + lists + marks + tracks + ready
        };
        names + self.ranks.capacity() * 4 + self.grains.iter().map(grain).sum::<usize>()
    }
}
