//! How the times of a read lie: counts in cells that grow coarser as the span grows, so that
//! the memory is bounded. The result depends on the times alone, not on how they were split.

use hashbrown::HashMap;

/// More cells than this are joined in pairs.
const MOST: usize = 1 << 14;

/// Width of a cell at first: 2^20 µs, about a second.
const FIRST: u32 = 20;

/// Counts of times by cell.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    shift: u32,
    cells: HashMap<i64, u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            shift: FIRST,
            cells: HashMap::new(),
        }
    }
}

impl Histogram {
    pub(super) fn of(times: &[i64]) -> Self {
        let mut made = Histogram::default();
        times.iter().for_each(|t| made.count(t >> made.shift, 1));
        made
    }

    fn count(&mut self, cell: i64, n: u64) {
        *self.cells.entry(cell).or_default() += n;
        if self.cells.len() > MOST {
            self.coarser();
        }
    }

    fn coarser(&mut self) {
        let cells = std::mem::take(&mut self.cells);
        self.shift += 1;
        for (cell, n) in cells {
            *self.cells.entry(cell >> 1).or_default() += n;
        }
    }

    pub(super) fn add(&mut self, other: &Histogram) {
        while self.shift < other.shift {
            self.coarser();
        }
        for (cell, n) in &other.cells {
            self.count(cell >> (self.shift - other.shift), *n);
        }
    }

    /// Times counted.
    pub(super) fn rows(&self) -> u64 {
        self.cells.values().sum()
    }

    /// Edges of buckets of about `rows` times each: bucket 0 lies below the first edge, bucket i at
    /// or above edge i − 1.
    pub(super) fn edges(&self, rows: u64) -> Vec<i64> {
        let mut cells: Vec<_> = self.cells.iter().map(|(c, n)| (*c, *n)).collect();
        cells.sort_unstable();
        let (mut edges, mut held) = (Vec::new(), 0);
        for (cell, n) in cells {
            if held > 0 && held + n > rows {
                edges.push(cell << self.shift);
                held = 0;
            }
            held += n;
        }
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_do_not_depend_on_the_split() {
        let times: Vec<i64> = (0..60_000)
            .map(|i| (i * 7_919 % 60_000) * 60_000_000)
            .collect();
        let whole = Histogram::of(&times);
        for size in [1_000, 17_000] {
            let mut parts = Histogram::default();
            times
                .chunks(size)
                .for_each(|c| parts.add(&Histogram::of(c)));
            assert_eq!(parts.edges(5_000), whole.edges(5_000));
            assert_eq!(parts.rows(), 60_000);
        }
        let edges = whole.edges(5_000);
        assert!(edges.windows(2).all(|w| w[0] < w[1]));
        let mut counts = vec![0; edges.len() + 1];
        times
            .iter()
            .for_each(|t| counts[edges.partition_point(|e| e <= t)] += 1);
        assert!(counts.iter().all(|n| *n > 0 && *n <= 5_000), "{counts:?}");
    }

    #[test]
    fn one_instant_is_one_bucket() {
        assert!(Histogram::of(&[5; 1000]).edges(10).is_empty());
    }
}
