//! Rows of partials: one flat vector of words, and beside it what does not fit a word.
//!
//! A partial of seven measures is a few cache lines in one place, so adding to it, merging it
//! and moving it touch memory once. Wide sums and broken slot sets are rare and live in slabs.

use super::exact::{Small, UNIT, Wide, scaled, split};
use super::plan::{Cell, head};
use super::scan::{extremes, scan, sum_binary};
use super::slots::Slots;
use num_bigint::BigInt;

/// Bits of the flags word.
pub(crate) mod flag {
    /// The slots are a set beside; `SLOT_FROM` is its key.
    pub const SLOTS: u64 = 1;
    /// Closed, kept for corrections.
    pub const CLOSED: u64 = 2;
    /// Changed since the last `take_changes`.
    pub const CHANGED: u64 = 4;
    /// A record holds it.
    pub const SAVED: u64 = 8;
    /// Closed and changed since its row was last written.
    pub const CORRECTED: u64 = 16;
    /// Bits that are stored.
    pub const STORED: u64 = CLOSED;
}

/// The top bit of a count word: the sums are wide.
pub(crate) const WIDE: u64 = 1 << 63;
/// More than one step met in a window.
pub(crate) const MIXED: i64 = -1;

/// Things by small keys, keys used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            items: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, item: T) -> u64 {
        match self.free.pop() {
            Some(key) => {
                self.items[key as usize] = Some(item);
                u64::from(key)
            }
            None => {
                self.items.push(Some(item));
                self.items.len() as u64 - 1
            }
        }
    }

    pub fn get(&self, key: u64) -> Option<&T> {
        self.items.get(key as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.items.get_mut(key as usize)?.as_mut()
    }

    pub fn take(&mut self, key: u64) -> Option<T> {
        let item = self.items.get_mut(key as usize)?.take();
        if item.is_some() {
            self.free.push(key as u32);
        }
        item
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }
}

/// Partials of one grain.
#[derive(Debug)]
pub(crate) struct Rows {
    stride: usize,
    words: Vec<u64>,
    free: Vec<u32>,
    wides: Slab<Wide>,
    slots: Slab<Slots>,
}

/// Values of one sensor at increasing times, all in one window.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub values: &'a [f64],
    pub times: &'a [i64],
    /// 0: not known.
    pub step: i64,
}

impl Rows {
    pub fn new(stride: usize) -> Self {
        Rows {
            stride,
            words: Vec::new(),
            free: Vec::new(),
            wides: Slab::default(),
            slots: Slab::default(),
        }
    }

    /// Rows ever used; some may be free.
    pub fn len(&self) -> usize {
        self.words.len() / self.stride
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn bytes(&self) -> usize {
        let wide = self.wides.iter().count() * 1024;
        let slots: usize = self.slots.iter().map(Slots::bytes).sum();
        self.words.capacity() * 8 + self.free.capacity() * 4 + wide + slots
    }

    #[inline]
    pub fn row(&self, row: u32) -> &[u64] {
        let at = row as usize * self.stride;
        &self.words[at..at + self.stride]
    }

    #[inline]
    pub fn row_mut(&mut self, row: u32) -> &mut [u64] {
        let at = row as usize * self.stride;
        &mut self.words[at..at + self.stride]
    }

    #[inline]
    pub fn get(&self, row: u32, word: usize) -> u64 {
        self.words[row as usize * self.stride + word]
    }

    #[inline]
    pub fn set(&mut self, row: u32, word: usize, value: u64) {
        self.words[row as usize * self.stride + word] = value;
    }

    /// Sensor, start and end of a row's window.
    #[inline]
    pub fn key(&self, row: u32) -> (u32, i64, i64) {
        let words = self.row(row);
        (
            words[head::SENSOR] as u32,
            words[head::START] as i64,
            words[head::END] as i64,
        )
    }

    pub fn has(&self, row: u32, flags: u64) -> bool {
        self.get(row, head::FLAGS) & flags != 0
    }

    pub fn mark(&mut self, row: u32, on: u64, off: u64) {
        let flags = self.get(row, head::FLAGS);
        self.set(row, head::FLAGS, (flags | on) & !off);
    }

    /// Counts readings that came after the window was final.
    pub fn revise(&mut self, row: u32, readings: u64) {
        let word = self.get(row, head::SENSOR);
        let revision = (word >> 32).saturating_add(readings).min(i32::MAX as u64);
        self.set(
            row,
            head::SENSOR,
            word & u64::from(u32::MAX) | revision << 32,
        );
    }

    /// A new empty partial.
    #[inline]
    pub fn push(&mut self, sensor: u32, start: i64, end: i64) -> u32 {
        let row = match self.free.pop() {
            Some(row) => {
                self.row_mut(row).fill(0);
                row
            }
            None => {
                let row = self.len() as u32;
                self.words.resize(self.words.len() + self.stride, 0);
                row
            }
        };
        let words = self.row_mut(row);
        words[head::SENSOR] = u64::from(sensor);
        words[head::START] = start as u64;
        words[head::END] = end as u64;
        words[head::FIRST] = i64::MAX as u64;
        words[head::LAST] = i64::MIN as u64;
        row
    }

    /// Frees a row.
    pub fn remove(&mut self, cells: &[Cell], row: u32) {
        self.strip(cells, row);
        self.free.push(row);
    }

    /// Forgets rows from `len` on, which keep nothing beside their words.
    pub fn truncate(&mut self, len: u32) {
        self.words.truncate(len as usize * self.stride);
    }

    /// Gives back everything if no row is in use.
    pub fn shrink(&mut self) {
        if self.free.len() == self.len() && !self.is_empty() {
            *self = Rows::new(self.stride);
        }
    }

    /// Frees what a row keeps beside its words.
    fn strip(&mut self, cells: &[Cell], row: u32) {
        if self.has(row, flag::SLOTS) {
            self.slots.take(self.get(row, head::SLOT_FROM));
        }
        for cell in cells {
            if self.get(row, cell.count) & WIDE != 0 {
                self.wides.take(self.get(row, cell.sums()));
            }
        }
    }

    /// Takes row `row` of `from`, whole, as a new row here.
    pub fn copy(&mut self, cells: &[Cell], from: &Rows, row: u32) -> u32 {
        let to = match self.free.pop() {
            Some(to) => {
                self.row_mut(to).copy_from_slice(from.row(row));
                to
            }
            None => {
                self.words.extend_from_slice(from.row(row));
                self.len() as u32 - 1
            }
        };
        if from.has(row, flag::SLOTS) {
            let key = from.slots.get(from.get(row, head::SLOT_FROM)).cloned();
            let key = self.slots.insert(key.unwrap_or(Slots::Runs(Vec::new())));
            self.set(to, head::SLOT_FROM, key);
        }
        for cell in cells {
            if from.get(row, cell.count) & WIDE != 0 {
                let wide = from.wide(row, cell).cloned().unwrap_or_default();
                let key = self.wides.insert(wide);
                self.set(to, cell.sums(), key);
            }
        }
        to
    }

    /// The wide sums of a cell.
    pub fn wide(&self, row: u32, cell: &Cell) -> Option<&Wide> {
        match self.get(row, cell.count) & WIDE {
            0 => None,
            _ => self.wides.get(self.get(row, cell.sums())),
        }
    }

    /// Gives a cell wide sums.
    pub fn set_wide(&mut self, row: u32, cell: &Cell, wide: Wide) {
        let key = self.wides.insert(wide);
        self.set(row, cell.sums(), key);
        let count = self.get(row, cell.count);
        self.set(row, cell.count, count | WIDE);
    }

    /// The slot set of a row that has more than one run.
    pub fn slot_set(&self, row: u32) -> Option<&Slots> {
        match self.has(row, flag::SLOTS) {
            true => self.slots.get(self.get(row, head::SLOT_FROM)),
            false => None,
        }
    }

    /// Number of filled slots.
    pub fn filled(&self, row: u32) -> i64 {
        match self.slot_set(row) {
            Some(set) => set.filled(),
            None => self
                .get(row, head::SLOT_TO)
                .wrapping_sub(self.get(row, head::SLOT_FROM)) as i64,
        }
    }

    /// Puts a set in place of what a row has.
    pub fn set_slots(&mut self, row: u32, set: Slots) {
        let key = self.slots.insert(set);
        self.set(row, head::SLOT_FROM, key);
        self.set(row, head::SLOT_TO, key);
        self.mark(row, flag::SLOTS, 0);
    }

    /// Forgets the slots of a row.
    fn clear_slots(&mut self, row: u32) {
        if self.has(row, flag::SLOTS) {
            self.slots.take(self.get(row, head::SLOT_FROM));
            self.mark(row, 0, flag::SLOTS);
        }
        self.set(row, head::SLOT_FROM, 0);
        self.set(row, head::SLOT_TO, 0);
    }

    /// Fills slots `[from, to)`.
    #[inline]
    pub fn fill(&mut self, row: u32, from: i64, to: i64) {
        let words = self.row_mut(row);
        if words[head::FLAGS] & flag::SLOTS == 0 {
            let (low, high) = (words[head::SLOT_FROM] as i64, words[head::SLOT_TO] as i64);
            if low == high {
                words[head::SLOT_FROM] = from as u64;
                words[head::SLOT_TO] = to as u64;
                return;
            }
            if from <= high && to >= low {
                words[head::SLOT_FROM] = from.min(low) as u64;
                words[head::SLOT_TO] = to.max(high) as u64;
                return;
            }
            let mut set = Slots::run(low, high);
            set.fill(from, to);
            return self.set_slots(row, set);
        }
        let key = words[head::SLOT_FROM];
        if let Some(set) = self.slots.get_mut(key) {
            set.fill(from, to);
        }
    }

    /// Notes the step of readings of a row; `false`: the window has more than one, slots are void.
    pub fn note_step(&mut self, row: u32, step: i64) -> bool {
        let had = self.get(row, head::STEP) as i64;
        if step == had || step == 0 {
            return had != MIXED;
        }
        let now = if had == 0 { step } else { MIXED };
        self.set(row, head::STEP, now as u64);
        if now == MIXED {
            self.clear_slots(row);
        }
        now != MIXED
    }

    /// Counts readings at `first ..= last`.
    #[inline]
    pub fn count(&mut self, row: u32, readings: u64, first: i64, last: i64) {
        let words = self.row_mut(row);
        words[head::READINGS] += readings;
        words[head::FIRST] = first.min(words[head::FIRST] as i64) as u64;
        words[head::LAST] = last.max(words[head::LAST] as i64) as u64;
    }

    /// Adds values to a cell.
    #[inline]
    pub fn add(&mut self, row: u32, cell: &Cell, run: Values) {
        let (Some(&first), Some(&last)) = (run.values.first(), run.values.last()) else {
            return;
        };
        let plain = cell.scale > 0.0 && cell.squares == 0 && cell.energy == 0;
        let n = run.values.len() as u64;
        if cell.first + cell.last > 0 {
            self.add_ends(
                row,
                cell,
                (run.times[0], first),
                (run.times[run.times.len() - 1], last),
            );
        }
        if plain && n > 1 {
            let scan = scan(run.values, cell.by);
            self.add_extremes(row, cell, scan.min, scan.max);
            if cell.sum == 0 {
                self.row_mut(row)[cell.count] += n;
            } else if !scan.exact || !self.add_scaled(row, cell, n, scan.sum) {
                run.values
                    .iter()
                    .for_each(|v| self.add_value(row, cell, *v, run.step));
            }
            return;
        }
        if plain && n == 1 {
            self.add_extremes(row, cell, first + 0.0, first + 0.0);
            let k = if cell.sum == 0 {
                Some(0)
            } else {
                scaled(first, cell.scale)
            };
            if !k.is_some_and(|k| self.add_scaled(row, cell, 1, k)) {
                self.add_value(row, cell, first, run.step);
            }
            return;
        }
        self.add_slow(row, cell, run);
    }

    fn add_slow(&mut self, row: u32, cell: &Cell, run: Values) {
        let (min, max) = extremes(run.values);
        self.add_extremes(row, cell, min, max);
        let n = run.values.len() as u64;
        if cell.sums() == 0 {
            self.row_mut(row)[cell.count] += n;
            return;
        }
        if cell.scale == 0.0
            && cell.squares == 0
            && self.get(row, cell.count) & WIDE == 0
            && let Some((m, e)) = sum_binary(run.values, max.max(-min))
            && self.try_add(row, cell, m, e, run.step)
        {
            self.row_mut(row)[cell.count] += n;
            return;
        }
        run.values
            .iter()
            .for_each(|v| self.add_value(row, cell, *v, run.step));
    }

    /// Adds a scaled sum of `n` values; `false` where it does not fit.
    #[inline]
    fn add_scaled(&mut self, row: u32, cell: &Cell, n: u64, sum: i64) -> bool {
        let words = self.row_mut(row);
        if words[cell.count] & WIDE != 0 {
            return false;
        }
        if cell.sum > 0 {
            let Some(total) = (words[cell.sum] as i64).checked_add(sum) else {
                return false;
            };
            words[cell.sum] = total as u64;
        }
        words[cell.count] += n;
        true
    }

    /// Least and greatest; called before the count goes up.
    #[inline]
    fn add_extremes(&mut self, row: u32, cell: &Cell, min: f64, max: f64) {
        let words = self.row_mut(row);
        let none = words[cell.count] == 0;
        if cell.min > 0 && (none || min < f64::from_bits(words[cell.min])) {
            words[cell.min] = min.to_bits();
        }
        if cell.max > 0 && (none || max > f64::from_bits(words[cell.max])) {
            words[cell.max] = max.to_bits();
        }
    }

    /// First and last; called before the count goes up. Ties: the lesser is first, the greater last.
    fn add_ends(&mut self, row: u32, cell: &Cell, first: (i64, f64), last: (i64, f64)) {
        let words = self.row_mut(row);
        let none = words[cell.count] == 0;
        let (first, last) = ((first.0, first.1 + 0.0), (last.0, last.1 + 0.0));
        let had = |at: usize| (words[at] as i64, f64::from_bits(words[at + 1]));
        if cell.first > 0 && (none || first < had(cell.first)) {
            words[cell.first] = first.0 as u64;
            words[cell.first + 1] = first.1.to_bits();
        }
        let had = |at: usize| (words[at] as i64, f64::from_bits(words[at + 1]));
        if cell.last > 0 && (none || last > had(cell.last)) {
            words[cell.last] = last.0 as u64;
            words[cell.last + 1] = last.1.to_bits();
        }
    }

    /// Adds one value to the sums and the count.
    fn add_value(&mut self, row: u32, cell: &Cell, v: f64, step: i64) {
        if self.get(row, cell.count) & WIDE == 0 {
            let decimal = cell.scale > 0.0;
            let part = match decimal {
                true => scaled(v, cell.scale).map(|k| (k, 0)),
                false => Some(split(v)),
            };
            if part.is_some_and(|(m, e)| self.try_add(row, cell, m as i128, e, step)) {
                self.row_mut(row)[cell.count] += 1;
                return;
            }
            self.widen(row, cell);
        }
        self.row_mut(row)[cell.count] += 1;
        let key = self.get(row, cell.sums());
        if let Some(wide) = self.wides.get_mut(key) {
            add_wide(wide, cell, v, step);
        }
    }

    /// Adds `m · 2^e` to all small sums of a cell, or to none of them.
    fn try_add(&mut self, row: u32, cell: &Cell, m: i128, e: i32, step: i64) -> bool {
        let words = self.row_mut(row);
        let mut sum = sum_of(cell, words);
        let mut squares = small(words, cell.squares);
        let mut energy = small(words, cell.energy);
        let fits = (cell.sum == 0 || sum.add(m, e))
            && (cell.squares == 0 || m.checked_mul(m).is_some_and(|m| squares.add(m, 2 * e)))
            && (cell.energy == 0
                || m.checked_mul(step as i128)
                    .is_some_and(|m| energy.add(m, e)));
        fits && store(cell, words, sum, squares, energy)
    }

    /// Moves the sums of a cell to a wide form.
    fn widen(&mut self, row: u32, cell: &Cell) {
        let wide = self.as_wide(row, cell);
        self.set_wide(row, cell, wide);
    }

    /// The sums of a cell in wide form, whatever they are now.
    pub fn as_wide(&self, row: u32, cell: &Cell) -> Wide {
        if let Some(wide) = self.wide(row, cell) {
            return wide.clone();
        }
        let words = self.row(row);
        let mut wide = Wide::default();
        let (sum, squares, energy) = (
            sum_of(cell, words),
            small(words, cell.squares),
            small(words, cell.energy),
        );
        if cell.scale > 0.0 {
            wide.sum.scaled = sum.mant.into();
            wide.squares.scaled = squares.mant.into();
            wide.energy.scaled = energy.mant.into();
        } else {
            wide.sum.binary = sum.wide(UNIT);
            wide.squares.binary = squares.wide(2 * UNIT);
            wide.energy.binary = energy.wide(UNIT);
        }
        wide
    }

    /// Merges row `from` of `other` into row `row`: the same window of the same sensor, or a part of it.
    pub fn merge(&mut self, cells: &[Cell], row: u32, other: &Rows, from: u32) {
        let src = other.row(from);
        let words = self.row_mut(row);
        words[head::READINGS] += src[head::READINGS];
        words[head::DUPLICATES] += src[head::DUPLICATES];
        words[head::ESTIMATED] += src[head::ESTIMATED];
        words[head::FIRST] = (words[head::FIRST] as i64).min(src[head::FIRST] as i64) as u64;
        words[head::LAST] = (words[head::LAST] as i64).max(src[head::LAST] as i64) as u64;
        self.merge_slots(row, other, from);
        for cell in cells {
            if src[cell.count] != 0 {
                self.merge_cell(cell, row, other, from);
            }
        }
    }

    fn merge_slots(&mut self, row: u32, other: &Rows, from: u32) {
        let src = other.row(from);
        if !self.note_step(row, src[head::STEP] as i64) {
            return;
        }
        match other.slot_set(from) {
            Some(set) => set
                .runs()
                .into_iter()
                .for_each(|r| self.fill(row, r.0, r.1)),
            None if src[head::SLOT_FROM] != src[head::SLOT_TO] => {
                self.fill(row, src[head::SLOT_FROM] as i64, src[head::SLOT_TO] as i64);
            }
            None => {}
        }
    }

    #[inline]
    fn merge_cell(&mut self, cell: &Cell, row: u32, other: &Rows, from: u32) {
        let src = other.row(from);
        let value = |at: usize| f64::from_bits(src[at]);
        if cell.min + cell.max > 0 {
            // A part not kept reads word 0 of the head and is not written.
            self.add_extremes(row, cell, value(cell.min), value(cell.max));
        }
        if cell.first + cell.last > 0 {
            let end = |at: usize| (src[at] as i64, value(at + 1));
            self.add_ends(row, cell, end(cell.first), end(cell.last));
        }
        let words = self.row_mut(row);
        let n = src[cell.count] & !WIDE;
        if (words[cell.count] | src[cell.count]) & WIDE == 0 && merge_small(cell, words, src) {
            words[cell.count] += n;
            return;
        }
        if self.get(row, cell.count) & WIDE == 0 {
            self.widen(row, cell);
        }
        self.row_mut(row)[cell.count] += n;
        let part = other.as_wide(from, cell);
        let key = self.get(row, cell.sums());
        if let Some(wide) = self.wides.get_mut(key) {
            wide.add(&part);
        }
    }
}

/// Adds small sums to small sums; `false` (and unchanged) where they do not fit.
#[inline]
fn merge_small(cell: &Cell, words: &mut [u64], src: &[u64]) -> bool {
    if cell.scale > 0.0 && cell.squares + cell.energy == 0 {
        if cell.sum == 0 {
            return true;
        }
        let Some(sum) = (words[cell.sum] as i64).checked_add(src[cell.sum] as i64) else {
            return false;
        };
        words[cell.sum] = sum as u64;
        return true;
    }
    let mut sum = sum_of(cell, words);
    let mut squares = small(words, cell.squares);
    let mut energy = small(words, cell.energy);
    let (s, q, e) = (
        sum_of(cell, src),
        small(src, cell.squares),
        small(src, cell.energy),
    );
    let fits = sum.add(s.mant, s.exp) && squares.add(q.mant, q.exp) && energy.add(e.mant, e.exp);
    fits && store(cell, words, sum, squares, energy)
}

/// A small sum of three words.
#[inline]
pub(crate) fn small(words: &[u64], at: usize) -> Small {
    if at == 0 {
        return Small::default();
    }
    let mant = words[at + 1] as u128 | (words[at + 2] as u128) << 64;
    Small {
        mant: mant as i128,
        exp: words[at] as i32,
    }
}

/// The sum of a cell, scaled or binary.
#[inline]
pub(crate) fn sum_of(cell: &Cell, words: &[u64]) -> Small {
    match cell.scale > 0.0 && cell.sum > 0 {
        true => Small {
            mant: words[cell.sum] as i64 as i128,
            exp: 0,
        },
        false => small(words, cell.sum),
    }
}

/// Stores the sums of a cell; `false` (and unchanged) where the scaled sum leaves its word.
fn store(cell: &Cell, words: &mut [u64], sum: Small, squares: Small, energy: Small) -> bool {
    if cell.scale > 0.0 && cell.sum > 0 {
        let Ok(sum) = i64::try_from(sum.mant) else {
            return false;
        };
        words[cell.sum] = sum as u64;
    } else {
        put(words, cell.sum, sum);
    }
    put(words, cell.squares, squares);
    put(words, cell.energy, energy);
    true
}

fn put(words: &mut [u64], at: usize, sum: Small) {
    if at > 0 {
        words[at] = sum.exp as u64;
        words[at + 1] = sum.mant as u64;
        words[at + 2] = (sum.mant as u128 >> 64) as u64;
    }
}

fn add_wide(wide: &mut Wide, cell: &Cell, v: f64, step: i64) {
    if cell.scale > 0.0
        && let Some(k) = scaled(v, cell.scale)
    {
        let k = BigInt::from(k);
        wide.squares.scaled += &k * &k;
        wide.energy.scaled += &k * step;
        wide.sum.scaled += k;
        return;
    }
    let (m, e) = split(v);
    let k = BigInt::from(m) << (e + UNIT) as usize;
    wide.squares.binary += &k * &k;
    wide.energy.binary += &k * step;
    wide.sum.binary += k;
}
