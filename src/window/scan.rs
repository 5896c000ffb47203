//! Scan: one pass over the values of a run.

/// What one pass over scaled values gives.
pub(crate) struct Scan {
    pub sum: i64,
    pub min: f64,
    pub max: f64,
    /// Every value is a scaled one and the sum is exact.
    pub exact: bool,
}

/// Values of one lane of the pass below.
const LANES: usize = 4;
/// No more values than this at once: with scaled values below 2^31 the sum stays below 2^53.
const MOST: usize = 1 << 20;

/// Most digits for which [`Inverse`] divides exactly.
const INVERSE: f64 = 1e5;

/// Sum, least and greatest in one pass that the compiler turns into vector code: no branch, all in floats.
pub(crate) fn scan(values: &[f64], scale: f64) -> Scan {
    if scale > INVERSE {
        return scan_by(values, scale, |k| k / scale);
    }
    let inverse = Inverse::new(scale);
    scan_by(values, scale, |k| inverse.times(k))
}

/// Division of integers below 2^31 by a power of ten up to [`INVERSE`] without dividing.
///
/// `head` has 22 bits, so `k · head` is exact; `tail` holds the next 53. Their sum is off by less
/// than 2^-73 of the quotient before its one rounding, and no quotient `k / scale` lies nearer to a
/// rounding edge than 2^-54 / scale > 2^-71. So the result is the quotient, rounded to nearest.
#[derive(Clone, Copy)]
struct Inverse {
    head: f64,
    tail: f64,
}

impl Inverse {
    fn new(scale: f64) -> Self {
        let head = f64::from_bits((1.0 / scale).to_bits() & !((1 << 31) - 1));
        // Both operations before the division are exact: few bits, then close to one.
        Inverse {
            head,
            tail: (1.0 - scale * head) / scale,
        }
    }

    #[inline(always)]
    fn times(self, k: f64) -> f64 {
        k * self.head + k * self.tail
    }
}

#[inline(always)]
fn scan_by(values: &[f64], scale: f64, divide: impl Fn(f64) -> f64) -> Scan {
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    let mut sum = [0f64; LANES];
    let mut min = [f64::INFINITY; LANES];
    let mut max = [f64::NEG_INFINITY; LANES];
    let mut off = [0u64; LANES];
    let mut each = |lane: usize, v: f64| {
        let k = (v * scale + ROUNDER) - ROUNDER;
        sum[lane] += k;
        off[lane] |= (divide(k) - v).to_bits();
        min[lane] = if v < min[lane] { v } else { min[lane] };
        max[lane] = if v > max[lane] { v } else { max[lane] };
    };
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in chunk.iter().enumerate() {
            each(lane, *v);
        }
    }
    rest.iter().for_each(|v| each(0, *v));
    let min = min.into_iter().fold(f64::INFINITY, f64::min) + 0.0;
    let max = max.into_iter().fold(f64::NEG_INFINITY, f64::max) + 0.0;
    let small = max.abs().max(min.abs()) * scale < (1u64 << 31) as f64;
    let exact = small && off.iter().all(|o| *o == 0) && values.len() <= MOST;
    let sum = if exact {
        sum.into_iter().sum::<f64>() as i64
    } else {
        0
    };
    Scan {
        sum,
        min,
        max,
        exact,
    }
}

/// Least and greatest.
pub(crate) fn extremes(values: &[f64]) -> (f64, f64) {
    let min = values
        .iter()
        .fold(f64::INFINITY, |a, v| if *v < a { *v } else { a });
    let max = values
        .iter()
        .fold(f64::NEG_INFINITY, |a, v| if *v > a { *v } else { a });
    (min + 0.0, max + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_divides_as_division_does() {
        let mut state = 1u64;
        for digits in 0..=5 {
            let scale = 10f64.powi(digits);
            let inverse = Inverse::new(scale);
            for k in 0..200_000u64 {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                for k in [k as f64, (state >> 33) as f64, -((state >> 40) as f64)] {
                    assert_eq!(
                        inverse.times(k).to_bits(),
                        (k / scale).to_bits(),
                        "{k} {scale}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_pass_sums_scaled_values_and_says_where_it_cannot() {
        let values: Vec<f64> = (0..103).map(|i| f64::from(i - 50) / 1000.0).collect();
        let seen = scan(&values, 1000.0);
        assert!(seen.exact);
        assert_eq!(
            (seen.sum, seen.min, seen.max),
            ((0..103).map(|i| i - 50).sum(), -0.05, 0.052)
        );
        assert!(!scan(&[0.1, 0.1 + 0.2], 1000.0).exact);
        assert!(!scan(&[0.5, 3e6], 1000.0).exact);
        assert!(scan(&[0.5, -0.0], 1000.0).min.to_bits() == 0);
    }
}
