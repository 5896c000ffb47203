//! Encode: the partials that changed, or all, as bytes; and back.
//!
//! ```text
//! section = version u8 · signature u32 · closed_to i64 · names · grains
//! grain   = name · removed keys · rows · tracks
//! ```
//! Integers are little endian; words of a row are written without their leading zero bytes. The caller frames
//! sections and checks their sums; still, every byte is checked here, and nothing is
//! reserved that the bytes at hand could not fill.

use super::complete::NONE;
use super::exact::{Pair, Wide};
use super::open::Open;
use super::plan::{Cell, Plan, head};
use super::rows::{MIXED, Rows, WIDE, flag};
use super::slots::Slots;
use crate::{Error, Kind, Result};
use num_bigint::BigInt;
use std::sync::Arc;

const VERSION: u8 = 1;
/// Slots and times beyond this are nonsense and could overflow.
const FAR: i64 = 1 << 62;

impl Open {
    /// What changed since the last call (or [`Open::whole`]), encoded. Costs what changed.
    pub fn take_changes(&mut self, plan: &Plan) -> Vec<u8> {
        self.fit(plan);
        self.settle(plan);
        let mut out = Writer::begin(plan, self.closed_to);
        out.names(&self.names[self.saved_names..]);
        self.saved_names = self.names.len();
        for (grain, state) in plan.grains.iter().zip(&mut self.grains) {
            out.text(&grain.name);
            out.count(state.removed.len());
            for (sensor, start) in state.removed.drain(..) {
                out.word(u64::from(sensor));
                out.word(start as u64);
            }
            let mut changed = std::mem::take(&mut state.changed);
            changed.retain(|row| {
                // A row that left may be beyond the end: the rows shrink when all have left.
                if *row as usize >= state.rows.len() {
                    return false;
                }
                let fresh = state.rows.has(*row, flag::CHANGED);
                state
                    .rows
                    .mark(*row, if fresh { flag::SAVED } else { 0 }, flag::CHANGED);
                fresh
            });
            out.rows(plan, &state.rows, &changed);
            let sensors = std::mem::take(&mut state.changed_tracks);
            out.count(sensors.len());
            for sensor in sensors {
                let track = &mut state.tracks[sensor as usize];
                track.changed = false;
                out.track(sensor, track.first, track.next, track.step);
            }
        }
        out.bytes
    }

    /// Everything, encoded; later changes are told from here on.
    pub fn whole(&mut self, plan: &Plan) -> Vec<u8> {
        self.fit(plan);
        self.settle(plan);
        self.saved_names = 0;
        for state in &mut self.grains {
            state.removed.clear();
            let rows: Vec<u32> = state.index.values().copied().collect();
            rows.into_iter().for_each(|row| state.touch(row));
            state.changed_tracks.clear();
            for (sensor, track) in state.tracks.iter_mut().enumerate() {
                track.changed = track.next != NONE;
                if track.changed {
                    state.changed_tracks.push(sensor as u32);
                }
            }
        }
        self.take_changes(plan)
    }

    /// The state that sections tell, oldest first; a fold (`true`) starts anew. Damaged or foreign bytes are
    /// an error.
    pub fn restore<'a>(
        plan: &Plan,
        sections: impl Iterator<Item = (bool, &'a [u8])>,
    ) -> Result<Open> {
        let mut open = Open::new();
        let mut images = Images::new(plan);
        for (fold, bytes) in sections {
            if fold {
                open = Open::new();
                images = Images::new(plan);
            }
            images.read(plan, &mut open, bytes)?;
        }
        open.saved_names = open.names.len();
        images.enter(plan, &mut open)?;
        Ok(open)
    }
}

/// Rows being restored: the newest image of each window.
struct Images {
    grains: Vec<Image>,
}

struct Image {
    rows: Rows,
    index: hashbrown::HashMap<(u32, i64), u32>,
}

impl Images {
    fn new(plan: &Plan) -> Self {
        let image = |_| Image {
            rows: Rows::new(plan.stride),
            index: hashbrown::HashMap::new(),
        };
        Images {
            grains: plan.grains.iter().map(image).collect(),
        }
    }

    fn read(&mut self, plan: &Plan, open: &mut Open, bytes: &[u8]) -> Result<()> {
        open.fit(plan);
        let mut from = Reader { bytes };
        match from.byte()? {
            VERSION => {}
            version if version > VERSION => {
                return Err(Error::new(
                    Kind::SpecChanged,
                    format!(
                        "the stored windows have format {version}, newer than this wattline knows; use the version that wrote them"
                    ),
                ));
            }
            _ => return Err(damaged()),
        }
        if from.u32()? != signature(plan) {
            return Err(Error::new(
                Kind::SpecChanged,
                format!(
                    "the stored windows were made with other measures, digits, aggregates, step or zone than now ({}); \
                     run with the definition that made them, or start under another pipeline name",
                    plan.told()
                ),
            ));
        }
        open.closed_to = open.closed_to.max(from.i64()?);
        for _ in 0..from.count()? {
            let before = open.names.len();
            let name: Arc<str> = from.text()?.into();
            if open.intern(&name) as usize != before {
                return Err(damaged());
            }
        }
        while !from.bytes.is_empty() {
            let name = from.text()?;
            let grain = plan.grains.iter().position(|g| g.name == name).ok_or_else(|| {
                Error::new(
                    Kind::SpecChanged,
                    format!("the stored windows have the grain {name}, which the definition no longer asks for; add it again"),
                )
            })?;
            self.grain(plan, open, grain, &mut from)?;
        }
        Ok(())
    }

    fn grain(
        &mut self,
        plan: &Plan,
        open: &mut Open,
        grain: usize,
        from: &mut Reader,
    ) -> Result<()> {
        let image = &mut self.grains[grain];
        for _ in 0..from.count()? {
            let (sensor, start) = (from.word()?, from.word()? as i64);
            let sensor = u32::try_from(sensor).map_err(|_| damaged())?;
            let row = image.index.remove(&(sensor, start)).ok_or_else(damaged)?;
            image.rows.remove(&plan.cells, row);
        }
        for _ in 0..from.count()? {
            image.row(plan, grain, open.names.len(), from)?;
        }
        for _ in 0..from.count()? {
            let sensor = from.word()?;
            if sensor >= open.names.len() as u64 {
                return Err(damaged());
            }
            let (first, next, step) = (from.time()?, from.time()?, from.time()?);
            if first > next || step < MIXED {
                return Err(damaged());
            }
            let track = open.grains[grain].track(sensor as u32);
            (track.first, track.next, track.step) = (first, next, step);
        }
        Ok(())
    }

    /// Moves the images into the open state.
    fn enter(self, plan: &Plan, open: &mut Open) -> Result<()> {
        open.fit(plan);
        for (grain, image) in self.grains.into_iter().enumerate() {
            let state = &mut open.grains[grain];
            let mut rows: Vec<u32> = image.index.into_values().collect();
            rows.sort_unstable();
            state.rows = image.rows;
            for row in rows {
                state.rows.mark(row, flag::SAVED, 0);
                state.enter(plan, grain, row);
            }
        }
        Ok(())
    }
}

impl Image {
    fn row(&mut self, plan: &Plan, grain: usize, names: usize, from: &mut Reader) -> Result<()> {
        let mut words = Vec::with_capacity(plan.stride);
        for _ in 0..plan.stride {
            words.push(from.word()?);
        }
        let (sensor, start) = (words[head::SENSOR] as u32, words[head::START] as i64);
        check(plan, grain, names, &words)?;
        let row = match self.index.get(&(sensor, start)) {
            Some(row) => {
                // The newer image stands in the place of the older.
                let old = *row;
                self.rows.remove(&plan.cells, old);
                self.rows.push(sensor, start, words[head::END] as i64)
            }
            None => self.rows.push(sensor, start, words[head::END] as i64),
        };
        self.index.insert((sensor, start), row);
        let broken = words[head::FLAGS] & flag::SLOTS != 0;
        let wide: Vec<bool> = plan
            .cells
            .iter()
            .map(|c| words[c.count] & WIDE != 0)
            .collect();
        words[head::FLAGS] &= flag::STORED;
        plan.cells.iter().for_each(|c| words[c.count] &= !WIDE);
        self.rows.row_mut(row).copy_from_slice(&words);
        if broken {
            let set = from.slots()?;
            self.rows.set_slots(row, set);
        }
        for (cell, wide) in plan.cells.iter().zip(wide) {
            if wide {
                let wide = from.wide()?;
                self.rows.set_wide(row, cell, wide);
            }
        }
        Ok(())
    }
}

/// A row whose words can be what accumulating gives.
fn check(plan: &Plan, grain: usize, names: usize, words: &[u64]) -> Result<()> {
    let time = |at: usize| words[at] as i64;
    let (start, end) = (time(head::START), time(head::END));
    let readings = words[head::READINGS];
    let count = |at: usize| words[at] & !WIDE < 1 << 48;
    let flags = words[head::FLAGS];
    let slots = (time(head::SLOT_FROM), time(head::SLOT_TO));
    let near = slots.0 <= slots.1 && slots.0 > -FAR && slots.1 < FAR;
    let seen = readings == 0 || time(head::FIRST) <= time(head::LAST);
    let good = (words[head::SENSOR] as u32 as usize) < names
        && start > -FAR
        && start < FAR
        && plan.grains[grain].calendar.window(start) == (start, end)
        && [head::READINGS, head::DUPLICATES, head::ESTIMATED]
            .into_iter()
            .all(count)
        && flags & !(flag::STORED | flag::SLOTS) == 0
        && (near || flags & flag::SLOTS != 0)
        && seen
        && time(head::STEP) >= MIXED
        && plan
            .cells
            .iter()
            .all(|cell| count(cell.count) && sums_good(cell, words));
    good.then_some(()).ok_or_else(damaged)
}

/// Exponents and floats in range.
fn sums_good(cell: &Cell, words: &[u64]) -> bool {
    let wide = words[cell.count] & WIDE != 0;
    if wide && cell.sums() == 0 {
        return false;
    }
    let exponent = |at: usize| at == 0 || wide || (-2200..2200).contains(&(words[at] as i64));
    let finite = |at: usize| at == 0 || f64::from_bits(words[at]).is_finite();
    let after = |at: usize| if at == 0 { 0 } else { at + 1 };
    let sum = if cell.scale > 0.0 { 0 } else { cell.sum };
    exponent(sum)
        && exponent(cell.squares)
        && exponent(cell.energy)
        && [cell.min, cell.max, after(cell.first), after(cell.last)]
            .into_iter()
            .all(finite)
}

fn signature(plan: &Plan) -> u32 {
    crc32fast::hash(plan.signature().as_bytes())
}

fn damaged() -> Error {
    Error::new(
        Kind::DataLost,
        "the stored windows are damaged; restore the store from a copy or start under another pipeline name",
    )
}

/// Puts things into bytes.
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn begin(plan: &Plan, closed_to: i64) -> Self {
        let mut bytes = vec![VERSION];
        bytes.extend(signature(plan).to_le_bytes());
        bytes.extend(closed_to.to_le_bytes());
        Writer { bytes }
    }

    fn count(&mut self, n: usize) {
        self.word(n as u64);
    }

    /// Length of the significant bytes, then these.
    fn word(&mut self, word: u64) {
        let n = 8 - word.leading_zeros() as usize / 8;
        self.bytes.push(n as u8);
        self.bytes.extend(&word.to_le_bytes()[..n]);
    }

    fn blob(&mut self, blob: &[u8]) {
        self.count(blob.len());
        self.bytes.extend(blob);
    }

    fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    fn names(&mut self, names: &[Arc<str>]) {
        self.count(names.len());
        names.iter().for_each(|name| self.text(name));
    }

    fn track(&mut self, sensor: u32, first: i64, next: i64, step: i64) {
        self.word(u64::from(sensor));
        [first, next, step]
            .into_iter()
            .for_each(|t| self.word(t as u64));
    }

    fn rows(&mut self, plan: &Plan, rows: &Rows, list: &[u32]) {
        self.count(list.len());
        for &row in list {
            for (at, word) in rows.row(row).iter().enumerate() {
                let kept = if at == head::FLAGS {
                    word & (flag::STORED | flag::SLOTS)
                } else {
                    *word
                };
                self.word(kept);
            }
            if let Some(set) = rows.slot_set(row) {
                self.slots(set);
            }
            for cell in &plan.cells {
                if let Some(wide) = rows.wide(row, cell) {
                    self.wide(wide);
                }
            }
        }
    }

    fn slots(&mut self, set: &Slots) {
        let runs = set.runs();
        self.count(runs.len());
        let mut at = 0i64;
        for (from, to) in runs {
            self.word(from.wrapping_sub(at) as u64);
            self.word(to.wrapping_sub(from) as u64);
            at = to;
        }
    }

    fn wide(&mut self, wide: &Wide) {
        for pair in [&wide.sum, &wide.squares, &wide.energy] {
            self.blob(&pair.scaled.to_signed_bytes_le());
            self.blob(&pair.binary.to_signed_bytes_le());
        }
    }
}

/// Takes things out of bytes.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or_else(damaged)?;
        self.bytes = tail;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.fixed::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.fixed()?))
    }

    fn word(&mut self) -> Result<u64> {
        let n = usize::from(self.byte()?);
        let mut bytes = [0; 8];
        bytes
            .get_mut(..n)
            .ok_or_else(damaged)?
            .copy_from_slice(self.take(n)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// A number of things of at least one byte each.
    fn count(&mut self) -> Result<usize> {
        let n = self.word()?;
        if n > self.bytes.len() as u64 {
            Err(damaged())
        } else {
            Ok(n as usize)
        }
    }

    /// An instant, or none.
    fn time(&mut self) -> Result<i64> {
        let time = self.word()? as i64;
        if time == NONE || (-FAR..FAR).contains(&time) {
            Ok(time)
        } else {
            Err(damaged())
        }
    }

    fn blob(&mut self) -> Result<&'a [u8]> {
        let n = self.count()?;
        self.take(n)
    }

    fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.blob()?).map_err(|_| damaged())
    }

    fn slots(&mut self) -> Result<Slots> {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        let mut at = 0i64;
        for index in 0..self.count()? {
            let from = at.checked_add(self.word()? as i64).ok_or_else(damaged)?;
            let to = from.checked_add(self.word()? as i64).ok_or_else(damaged)?;
            if to <= from || from <= -FAR || to >= FAR || (index > 0 && from <= at) {
                return Err(damaged());
            }
            runs.push((from, to));
            at = to;
        }
        Ok(Slots::Runs(runs))
    }

    fn big(&mut self) -> Result<BigInt> {
        Ok(BigInt::from_signed_bytes_le(self.blob()?))
    }

    fn wide(&mut self) -> Result<Wide> {
        let mut pair = || -> Result<Pair> {
            Ok(Pair {
                scaled: self.big()?,
                binary: self.big()?,
            })
        };
        Ok(Wide {
            sum: pair()?,
            squares: pair()?,
            energy: pair()?,
        })
    }
}
