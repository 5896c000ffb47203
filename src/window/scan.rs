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

/// Sum, least and greatest in one pass.
#[inline]
pub(crate) fn scan(values: &[f64], by: Scale) -> Scan {
    let inverse = by.inverse.filter(|_| values.len() <= MOST);
    let wide = inverse.and_then(|i| super::wide::scan(values, by.scale, (i.head, i.tail)));
    match wide {
        Some(found) => found.judged(values.len(), by.scale),
        None => plain(values, by),
    }
}

/// The same in a pass that the compiler turns into vector code of any machine: no branch, all in floats.
#[inline(never)]
pub(super) fn plain(values: &[f64], by: Scale) -> Scan {
    match by.inverse {
        Some(inverse) => scan_by(values, by.scale, |k| inverse.times(k)),
        None => scan_by(values, by.scale, |k| k / by.scale),
    }
}

/// What scaled values are multiplied with, and what brings them back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scale {
    scale: f64,
    inverse: Option<Inverse>,
}

impl Scale {
    /// Of `10^digits`.
    pub fn new(scale: f64) -> Self {
        let inverse = (scale > 0.0 && scale <= INVERSE).then(|| Inverse::new(scale));
        Scale { scale, inverse }
    }
}

/// What a pass found, not judged yet.
pub(super) struct Found {
    /// Of the scaled values.
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// Each value is its scaled one, scaled back.
    pub on: bool,
}

impl Found {
    #[inline(always)]
    fn judged(self, values: usize, scale: f64) -> Scan {
        let (min, max) = (self.min + 0.0, self.max + 0.0);
        let small = max.abs().max(min.abs()) * scale < (1u64 << 31) as f64;
        let exact = small && self.on && values <= MOST;
        Scan {
            sum: if exact { self.sum as i64 } else { 0 },
            min,
            max,
            exact,
        }
    }
}

/// Division of integers below 2^31 by a power of ten up to [`INVERSE`] without dividing.
///
/// `head` has 22 bits, so `k · head` is exact; `tail` holds the next 53. Their sum is off by less
/// than 2^-73 of the quotient before its one rounding, and no quotient `k / scale` lies nearer to a
/// rounding edge than 2^-54 / scale > 2^-71. So the result is the quotient, rounded to nearest.
#[derive(Clone, Copy, Debug)]
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
    let found = Found {
        sum: sum.into_iter().sum(),
        min: min.into_iter().fold(f64::INFINITY, f64::min),
        max: max.into_iter().fold(f64::NEG_INFINITY, f64::max),
        on: off.iter().all(|o| *o == 0),
    };
    found.judged(values.len(), scale)
}

/// The exact sum of floats none of which is above `most` in size, as integer and power of two; `None`
/// where their bits lie too far apart for this pass.
///
/// Each value is cut into three pieces of 24 bits on grids given by the greatest exponent. Rounding to a grid, and what
/// it leaves, are exact; so are the sums of up to [`MOST`] pieces, which have no more than 45 bits. The pass holds if
/// nothing is left after the third piece.
pub(crate) fn sum_binary(values: &[f64], most: f64) -> Option<(i128, i32)> {
    if most == 0.0 {
        return Some((0, 0));
    }
    let exponent = ((most.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    if !(-900..=900).contains(&exponent) || values.len() > MOST {
        return None;
    }
    let grid = |piece: i32| 1.5 * two(exponent + 53 - 24 * piece);
    let (first, second, third) = (grid(1), grid(2), grid(3));
    let mut sums = [[0f64; LANES]; 3];
    let mut left = [0u64; LANES];
    let mut each = |lane: usize, v: f64| {
        let a = (v + first) - first;
        let rest = v - a;
        let b = (rest + second) - second;
        let rest = rest - b;
        let c = (rest + third) - third;
        left[lane] |= (rest - c).abs().to_bits();
        sums[0][lane] += a;
        sums[1][lane] += b;
        sums[2][lane] += c;
    };
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in chunk.iter().enumerate() {
            each(lane, *v);
        }
    }
    rest.iter().for_each(|v| each(0, *v));
    if left.iter().any(|l| *l != 0) {
        return None;
    }
    let unit = exponent + 1 - 72;
    let count = |sums: [f64; LANES], piece: i32| {
        let sum: f64 = sums.into_iter().sum();
        (sum * two(24 * piece - exponent - 1)) as i64 as i128
    };
    let sum = (count(sums[0], 1) << 48) + (count(sums[1], 2) << 24) + count(sums[2], 3);
    let zeros = if sum == 0 { 0 } else { sum.trailing_zeros() };
    Some((sum >> zeros, unit + zeros as i32))
}

/// `2^e` for |e| ≤ 1022.
fn two(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
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
    fn a_binary_pass_is_exact_or_says_no() {
        use crate::window::exact::{Small, split};
        let mut state = 3u64;
        let mut passed = 0;
        for round in 0..4_000 {
            let mut values = Vec::new();
            for _ in 0..1 + round % 61 {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let exponent = 1023 - 10 + (state >> 40) % (1 + round % 25);
                let sign = state & (1 << 63);
                let thin = u64::MAX << (state % 40);
                values.push(f64::from_bits(
                    sign | exponent << 52 | ((state & 0xf_ffff_ffff_ffff) & thin),
                ));
            }
            values.push(0.0);
            values.push(-0.0);
            let mut want = Small::default();
            for v in &values {
                let (m, e) = split(*v);
                assert!(want.add(m as i128, e));
            }
            let (min, max) = extremes(&values);
            if let Some((mant, exp)) = sum_binary(&values, max.max(-min)) {
                passed += 1;
                let mut got = Small::default();
                assert!(got.add(mant, exp));
                assert_eq!(got.wide(1074), want.wide(1074), "{values:?}");
            }
        }
        assert!(passed > 2_000 && passed < 4_000, "{passed}");
        assert_eq!(sum_binary(&[1.0, f64::from_bits(1)], 1.0), None);
        assert_eq!(sum_binary(&[1e300], 1e300), None);
        assert_eq!(sum_binary(&[0.0, -0.0], 0.0), Some((0, 0)));
    }

    #[test]
    fn a_pass_sums_scaled_values_and_says_where_it_cannot() {
        let values: Vec<f64> = (0..103).map(|i| f64::from(i - 50) / 1000.0).collect();
        let seen = scan(&values, Scale::new(1000.0));
        assert!(seen.exact);
        assert_eq!(
            (seen.sum, seen.min, seen.max),
            ((0..103).map(|i| i - 50).sum(), -0.05, 0.052)
        );
        assert!(!scan(&[0.1, 0.1 + 0.2], Scale::new(1000.0)).exact);
        assert!(!scan(&[0.5, 3e6], Scale::new(1000.0)).exact);
        assert!(scan(&[0.5, -0.0], Scale::new(1000.0)).min.to_bits() == 0);
    }
}
