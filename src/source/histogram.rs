//! How the times of a read lie: counts in cells that grow coarser as the span grows, so that
//! the memory is bounded. The result depends on the times alone, not on how they were split.

/// More cells than this are joined in pairs.
const MOST: usize = 1 << 14;

/// Width of a cell at first: 2^20 µs, about a second.
const FIRST: u32 = 20;

/// Counts of times by cell, in order of the cells: times mostly come sorted, and then adding is appending.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    shift: u32,
    cells: Vec<(i64, u64)>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            shift: FIRST,
            cells: Vec::new(),
        }
    }
}

impl Histogram {
    pub(super) fn of(times: &[i64]) -> Self {
        let mut made = Histogram::default();
        if times.is_sorted() {
            times.iter().for_each(|t| made.push(t >> FIRST, 1));
        } else {
            let mut cells: Vec<i64> = times.iter().map(|t| t >> FIRST).collect();
            cells.sort_unstable();
            cells.iter().for_each(|c| made.push(*c, 1));
        }
        made.bound();
        made
    }

    /// Counts in a cell that is not below the last one.
    fn push(&mut self, cell: i64, n: u64) {
        match self.cells.last_mut() {
            Some(last) if last.0 == cell => last.1 += n,
            _ => self.cells.push((cell, n)),
        }
    }

    fn bound(&mut self) {
        while self.cells.len() > MOST {
            self.coarser();
        }
    }

    fn coarser(&mut self) {
        self.shift += 1;
        self.cells.dedup_by(|next, kept| {
            let same = next.0 >> 1 == kept.0 >> 1;
            if same {
                kept.1 += next.1;
            }
            same
        });
        self.cells.iter_mut().for_each(|c| c.0 >>= 1);
    }

    pub(super) fn add(&mut self, other: &Histogram) {
        while self.shift < other.shift {
            self.coarser();
        }
        let by = self.shift - other.shift;
        let theirs = other.cells.iter().map(|(c, n)| (c >> by, *n));
        let first = other.cells.first().map(|c| c.0 >> by);
        let behind = self
            .cells
            .partition_point(|c| first.is_none_or(|f| c.0 < f));
        let ours = self.cells.split_off(behind);
        let mut ours = ours.into_iter().peekable();
        for (cell, n) in theirs {
            while let Some(own) = ours.next_if(|own| own.0 < cell) {
                self.push(own.0, own.1);
            }
            self.push(cell, n);
        }
        ours.for_each(|own| self.push(own.0, own.1));
        self.bound();
    }

    /// Times counted.
    pub(super) fn rows(&self) -> u64 {
        self.cells.iter().map(|c| c.1).sum()
    }

    /// Edges of buckets of about `rows` times each: bucket 0 lies below the first edge, bucket i at
    /// or above edge i − 1.
    pub(super) fn edges(&self, rows: u64) -> Vec<i64> {
        let (mut edges, mut held) = (Vec::new(), 0);
        for (cell, n) in self.cells.iter().copied() {
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
