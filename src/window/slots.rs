//! Filled slots of a window: a mergeable set of integers, tiny for in-order data.
//!
//! Slots are counted on one grid per step for all windows of a plan, so the set of a coarse
//! window is the union of the sets of the finer ones. One run is two words in the partial; more
//! runs live beside it as sorted runs, and as a bitmap once that is smaller.

/// Sorted, disjoint, non-touching half-open runs, or a bitmap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Slots {
    /// `[from, to)` each.
    Runs(Vec<(i64, i64)>),
    /// Bit i stands for slot `base + i`; `base` is a multiple of 64.
    Bits { base: i64, words: Vec<u64> },
}

impl Slots {
    /// One run.
    pub fn run(from: i64, to: i64) -> Self {
        Slots::Runs(vec![(from, to)])
    }

    /// Number of filled slots.
    pub fn filled(&self) -> i64 {
        match self {
            Slots::Runs(runs) => runs
                .iter()
                .map(|r| r.1.saturating_sub(r.0))
                .fold(0, i64::saturating_add),
            Slots::Bits { words, .. } => words.iter().map(|w| i64::from(w.count_ones())).sum(),
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        match self {
            Slots::Runs(runs) => runs.capacity() * 16,
            Slots::Bits { words, .. } => words.capacity() * 8,
        }
    }

    /// Fills `[from, to)`.
    pub fn fill(&mut self, from: i64, to: i64) {
        match self {
            Slots::Runs(runs) => {
                insert(runs, from, to);
                self.settle();
            }
            Slots::Bits { base, words } => {
                if reach(base, words, from, to) {
                    set(*base, words, from, to);
                } else {
                    let mut runs = self.runs();
                    insert(&mut runs, from, to);
                    *self = Slots::Runs(runs);
                }
            }
        }
    }

    /// As sorted runs.
    pub fn runs(&self) -> Vec<(i64, i64)> {
        match self {
            Slots::Runs(runs) => runs.clone(),
            Slots::Bits { base, words } => bit_runs(*base, words),
        }
    }

    /// Becomes a bitmap where that is smaller.
    fn settle(&mut self) {
        let Slots::Runs(runs) = self else { return };
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return;
        };
        let span = last.1.saturating_sub(first.0);
        if runs.len() < 16 || span / 8 > runs.len() as i64 * 16 {
            return;
        }
        let base = first.0 & !63;
        let mut words = vec![0; ((last.1 - base) as usize).div_ceil(64)];
        runs.iter().for_each(|r| set(base, &mut words, r.0, r.1));
        *self = Slots::Bits { base, words };
    }
}

/// Inserts a run; runs at the end, the usual case, cost nothing.
fn insert(runs: &mut Vec<(i64, i64)>, from: i64, to: i64) {
    let left = match runs.last() {
        Some(last) if from > last.1 => runs.len(),
        _ => runs.partition_point(|r| r.1 < from),
    };
    let right = left
        + runs
            .get(left..)
            .map_or(0, |tail| tail.partition_point(|r| r.0 <= to));
    if left == right {
        runs.insert(left, (from, to));
        return;
    }
    let joined = (from.min(runs[left].0), to.max(runs[right - 1].1));
    runs[left] = joined;
    runs.drain(left + 1..right);
}

/// Grows the bitmap to hold `[from, to)`; `false` where that would be mostly air.
fn reach(base: &mut i64, words: &mut Vec<u64>, from: i64, to: i64) -> bool {
    let end = *base + words.len() as i64 * 64;
    let low = (*base).min(from & !63);
    let need = end.max(to).saturating_sub(low);
    if need / 64 > 4 * words.len() as i64 + 1024 {
        return false;
    }
    if low < *base {
        let more = ((*base - low) / 64) as usize;
        words.splice(0..0, std::iter::repeat_n(0, more));
        *base = low;
    }
    let size = (need as usize).div_ceil(64);
    if size > words.len() {
        words.resize(size, 0);
    }
    true
}

/// Sets the bits of `[from, to)`, which the bitmap holds.
fn set(base: i64, words: &mut [u64], from: i64, to: i64) {
    let (mut at, end) = ((from - base) as usize, (to - base) as usize);
    while at < end {
        let bit = at % 64;
        let n = (64 - bit).min(end - at);
        let mask = if n == 64 {
            u64::MAX
        } else {
            ((1u64 << n) - 1) << bit
        };
        if let Some(word) = words.get_mut(at / 64) {
            *word |= mask;
        }
        at += n;
    }
}

fn bit_runs(base: i64, words: &[u64]) -> Vec<(i64, i64)> {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for (i, &word) in words.iter().enumerate() {
        let mut rest = word;
        let mut at = base + i as i64 * 64;
        while rest != 0 {
            let skip = rest.trailing_zeros();
            rest >>= skip;
            let n = rest.trailing_ones();
            rest = if n == 64 { 0 } else { rest >> n };
            at += i64::from(skip);
            let end = at + i64::from(n);
            match runs.last_mut() {
                Some(last) if last.1 == at => last.1 = end,
                _ => runs.push((at, end)),
            }
            at = end;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn adjacent_runs_join() {
        let mut slots = Slots::run(0, 5);
        slots.fill(5, 9);
        assert_eq!(slots.runs(), [(0, 9)]);
        slots.fill(20, 21);
        slots.fill(12, 13);
        assert_eq!(slots.runs(), [(0, 9), (12, 13), (20, 21)]);
        slots.fill(8, 20);
        assert_eq!(slots.runs(), [(0, 21)]);
    }

    #[test]
    fn any_order_gives_the_same_set() {
        let mut state = 7u64;
        for round in 0..300 {
            let mut slots = Slots::run(-3, -2);
            let mut other = Slots::run(1000, 1001);
            let mut oracle = BTreeSet::from([-3i64, 1000]);
            for i in 0..round {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let from = (state >> 40) as i64 % (20 * round) - 700;
                let to = from + 1 + (state >> 20) as i64 % 3;
                oracle.extend(from..to);
                if i % 3 == 0 {
                    other.fill(from, to)
                } else {
                    slots.fill(from, to)
                }
            }
            other.runs().into_iter().for_each(|r| slots.fill(r.0, r.1));
            let got: BTreeSet<i64> = slots.runs().into_iter().flat_map(|r| r.0..r.1).collect();
            assert_eq!(got, oracle);
            assert_eq!(slots.filled(), oracle.len() as i64);
        }
    }
}
