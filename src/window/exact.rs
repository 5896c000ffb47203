//! Exact sums and their one rounding.
//!
//! A sum is never rounded while it grows. It is an integer times a known unit: `10^-digits` for
//! measures that carry decimal digits, a power of two for all other floats. A result is one
//! rounding (to nearest, ties to even) of the exact rational, so the order of the readings and
//! the way they were split cannot show.
//!
//! A sum or an energy beyond the greatest `f64` (1.8e308) rounds to infinity, as that one rounding says; its mean is finite all
//! the same, since it is rounded once from the exact sum.
//!
//! | form | holds | grows to |
//! |---|---|---|
//! | scaled | an `i64` or `i128` count of `10^-digits` | [`Wide`] |
//! | [`Small`] | an `i128` times `2^exp` | [`Wide`] |
//! | [`Wide`] | both kinds, any size | memory |

use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use num_traits::{Signed, ToPrimitive, Zero};

/// Unit of binary sums in [`Wide`]: every finite `f64` is a multiple of `2^-UNIT`.
pub(crate) const UNIT: i32 = 1074;

/// Greatest scaled value; below it the product `v · 10^digits` rounds to an integer exactly.
pub(crate) const MAX_SCALED: f64 = (1u64 << 50) as f64;

/// Adding and taking away this rounds a float below 2^51 to the nearest integer, ties to even.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// `v = k / scale` bit for bit: the integer `k`. The test looks at one value alone, so that order cannot matter.
#[inline(always)]
pub(crate) fn scaled(v: f64, scale: f64) -> Option<i64> {
    let x = v * scale;
    if x.abs() >= MAX_SCALED {
        return None;
    }
    let k = (x + ROUNDER) - ROUNDER;
    (k / scale == v).then_some(k as i64)
}

/// `v = m · 2^e` exactly, `m` odd or zero.
#[inline]
pub(crate) fn split(v: f64) -> (i64, i32) {
    let bits = v.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let (m, e) = match exponent {
        0 => (fraction, -UNIT),
        _ => (fraction | 1 << 52, exponent - 1075),
    };
    if m == 0 {
        return (0, 0);
    }
    let zeros = m.trailing_zeros();
    let m = m >> zeros;
    (if v < 0.0 { -m } else { m }, e + zeros as i32)
}

/// A binary sum that fits 128 bits: `mant · 2^exp`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Small {
    pub mant: i128,
    pub exp: i32,
}

impl Small {
    /// Adds `m · 2^e`; `false` (and unchanged) when the result does not fit.
    #[inline]
    #[must_use]
    pub fn add(&mut self, m: i128, e: i32) -> bool {
        if m == 0 {
            return true;
        }
        if self.mant == 0 {
            *self = Small { mant: m, exp: e };
            return true;
        }
        let low = e.min(self.exp);
        let (Some(a), Some(b)) = (
            shifted(self.mant, self.exp.wrapping_sub(low)),
            shifted(m, e.wrapping_sub(low)),
        ) else {
            return false;
        };
        match a.checked_add(b) {
            Some(mant) => {
                *self = Small { mant, exp: low };
                true
            }
            None => false,
        }
    }

    /// The same sum counted in `2^-unit`.
    pub fn wide(self, unit: i32) -> BigInt {
        if self.mant == 0 {
            return BigInt::ZERO;
        }
        let by = self.exp + unit;
        match usize::try_from(by) {
            Ok(by) => BigInt::from(self.mant) << by,
            // Lower bits than the unit are zeros: every term is a multiple of the unit.
            Err(_) => BigInt::from(self.mant) >> by.unsigned_abs() as usize,
        }
    }
}

/// `m << by` if no bit is lost.
#[inline]
fn shifted(m: i128, by: i32) -> Option<i128> {
    if by == 0 {
        return Some(m);
    }
    let room = m.unsigned_abs().leading_zeros() as i32 - 1;
    (by > 0 && by < room).then(|| m << by)
}

/// Sums of any size and of both kinds: `scaled / scale + binary · 2^-unit`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wide {
    /// Values.
    pub sum: Pair,
    /// Squares; the scaled part counts `10^-2·digits`, the binary `2^-2·UNIT`.
    pub squares: Pair,
    /// Value × step (µs).
    pub energy: Pair,
}

/// One sum in two parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pair {
    pub scaled: BigInt,
    pub binary: BigInt,
}

impl Pair {
    /// Adds `other`.
    pub fn add(&mut self, other: &Pair) {
        self.scaled += &other.scaled;
        self.binary += &other.binary;
    }

    /// The exact value as numerator and denominator.
    fn ratio(&self, scale: u64, unit: i32) -> (BigInt, BigInt) {
        if self.binary.is_zero() {
            return (self.scaled.clone(), BigInt::from(scale));
        }
        let scaled = &self.scaled << unit as usize;
        let binary = &self.binary * scale;
        (scaled + binary, BigInt::from(scale) << unit as usize)
    }

    /// The sum over a unit, times `num / den`, rounded once.
    pub fn finish(&self, scale: u64, num: i64, den: u64) -> f64 {
        let (n, d) = self.ratio(scale, UNIT);
        divide_big(&(n * num), &(d * den))
    }
}

impl Wide {
    /// Adds `other`.
    pub fn add(&mut self, other: &Wide) {
        self.sum.add(&other.sum);
        self.squares.add(&other.squares);
        self.energy.add(&other.energy);
    }

    /// Sample standard deviation of `n` values.
    pub fn stddev(&self, scale: u64, n: u64) -> f64 {
        let (s, sd) = self.sum.ratio(scale, UNIT);
        let square = scale as u128 * scale as u128;
        let (q, qd) = if self.squares.binary.is_zero() {
            (self.squares.scaled.clone(), BigInt::from(square))
        } else {
            let unit = 2 * UNIT as usize;
            let scaled = &self.squares.scaled << unit;
            (
                scaled + &self.squares.binary * square,
                BigInt::from(square) << unit,
            )
        };
        // (n·Σx² − (Σx)²) / (n (n − 1)), over the common denominator.
        let top = q * n * &sd * &sd - &s * &s * &qd;
        let bottom = qd * &sd * &sd * n * (n - 1);
        root_big(&top, &bottom)
    }
}

/// Sample standard deviation from scaled sums that fit: `√((n·q − s²) / (n (n − 1))) / scale`.
pub(crate) fn stddev_scaled(s: i64, q: i128, scale: u64, n: u64) -> f64 {
    let top = q
        .checked_mul(n as i128)
        .and_then(|x| x.checked_sub(s as i128 * s as i128));
    let n = n as u128;
    match top {
        Some(0) => 0.0,
        Some(top) => {
            let bottom = BigInt::from(n * (n - 1)) * scale * scale;
            root_big(&BigInt::from(top), &bottom)
        }
        None => {
            let top = BigInt::from(q) * n - BigInt::from(s) * s;
            root_big(&top, &(BigInt::from(n * (n - 1)) * scale * scale))
        }
    }
}

/// `num / den` rounded once; one division where both are exact floats.
#[inline]
pub(crate) fn divide(num: i64, den: u64) -> f64 {
    const EXACT: u64 = 1 << 53;
    if num.unsigned_abs() < EXACT && den < EXACT {
        return num as f64 / den as f64;
    }
    divide_wide(num as i128, den, 0)
}

/// `num · 2^exp / den` rounded once.
pub(crate) fn divide_wide(num: i128, den: u64, exp: i32) -> f64 {
    if num == 0 {
        return 0.0;
    }
    let size = num.unsigned_abs();
    let up = size.leading_zeros();
    let top = size << up;
    let (quotient, rest) = (top / den as u128, top % den as u128);
    let value = round(quotient, rest != 0, exp - up as i32);
    if num < 0 { -value } else { value }
}

/// `num · k · 2^exp / den` rounded once.
pub(crate) fn scale_wide(num: i128, k: i64, den: u64, exp: i32) -> f64 {
    match num.checked_mul(k as i128) {
        Some(product) => divide_wide(product, den, exp),
        None => {
            let (mut n, mut d) = (BigInt::from(num) * k, BigInt::from(den));
            match exp >= 0 {
                true => n <<= exp as usize,
                false => d <<= exp.unsigned_abs() as usize,
            }
            divide_big(&n, &d)
        }
    }
}

/// The float nearest to `(m + ε) · 2^e`, 0 < ε < 1 where `sticky`. With `sticky`, `m` has at least 55 bits.
fn round(m: u128, sticky: bool, e: i32) -> f64 {
    let bits = 128 - m.leading_zeros() as i32;
    if bits == 0 {
        return 0.0;
    }
    // Bits to cut so that 53 are left, or fewer where the result is subnormal.
    let cut = (bits - 53).max(-UNIT - e);
    if cut <= 0 {
        return power(m as f64, e);
    }
    if cut > 127 {
        return 0.0;
    }
    let kept = m >> cut;
    let rest = m & ((1 << cut) - 1);
    let half = 1u128 << (cut - 1);
    let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
    power((kept + u128::from(up)) as f64, e + cut)
}

/// `x · 2^e` where the result needs no rounding, or overflows.
fn power(x: f64, e: i32) -> f64 {
    let mut x = x;
    let mut e = e;
    while e > 1000 {
        x *= f64::from_bits(0x7e70_0000_0000_0000); // 2^1000
        e -= 1000;
        if x.is_infinite() {
            return x;
        }
    }
    while e < -1000 {
        // Whole steps stay exact: x is an integer whose last bit does not fall below the unit.
        let step = (-e - 74).clamp(1, 1000);
        x *= two(-step);
        e += step;
    }
    x * two(e)
}

/// `2^e` for |e| ≤ 1022.
fn two(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// `num / den` rounded once.
pub(crate) fn divide_big(num: &BigInt, den: &BigInt) -> f64 {
    let (n, d) = (num.magnitude(), den.magnitude());
    let value = quotient(n, d);
    if num.sign() == Sign::Minus {
        -value
    } else {
        value
    }
}

/// Shift that gives `n / d` about `bits` bits.
fn lift(n: &BigUint, d: &BigUint, bits: i64) -> i64 {
    bits - (n.bits() as i64 - d.bits() as i64)
}

fn quotient(n: &BigUint, d: &BigUint) -> f64 {
    if n.is_zero() || d.is_zero() {
        return 0.0;
    }
    let by = lift(n, d, 64);
    let (q, rest) = shifted_ratio(n, d, by);
    round(q.to_u128().unwrap_or(u128::MAX), rest, -by as i32)
}

/// `⌊n · 2^by / d⌋` and whether something is left.
fn shifted_ratio(n: &BigUint, d: &BigUint, by: i64) -> (BigUint, bool) {
    let (q, r) = match by >= 0 {
        true => (n << by as usize).div_rem(d),
        false => n.div_rem(&(d << by.unsigned_abs() as usize)),
    };
    (q, !r.is_zero())
}

/// `√(num / den)` rounded once; 0 for nothing.
fn root_big(num: &BigInt, den: &BigInt) -> f64 {
    if !num.is_positive() || !den.is_positive() {
        return 0.0;
    }
    let (n, d) = (num.magnitude(), den.magnitude());
    // An even shift, so that the root of the shift is whole; 120 bits give a root of 60.
    let by = lift(n, d, 120);
    let by = by + (by & 1);
    let (q, rest) = shifted_ratio(n, d, by);
    let root = q.sqrt();
    let rest = rest || &root * &root != q;
    round(root.to_u128().unwrap_or(u128::MAX), rest, (-by / 2) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_its_digits_is_scaled_and_others_are_not() {
        assert_eq!(scaled(4.216, 1000.0), Some(4216));
        assert_eq!(scaled(-0.001, 1000.0), Some(-1));
        assert_eq!(scaled(0.1 + 0.2, 1000.0), None);
        assert_eq!(scaled(1e300, 1000.0), None);
        assert_eq!(scaled(-0.0, 1000.0), Some(0));
    }

    #[test]
    fn splitting_is_exact_down_to_the_least_float() {
        assert_eq!(split(f64::from_bits(1)), (1, -1074));
        assert_eq!(split(-6.0), (-3, 1));
        assert_eq!(split(0.0), (0, 0));
    }

    #[test]
    fn one_rounding_to_nearest_even() {
        assert_eq!(divide(1, 3), 1.0 / 3.0);
        let odd = (1i64 << 54) + 2; // half way between two floats: goes to the even one
        assert_eq!(divide(odd, 1), (1i64 << 54) as f64);
        assert_eq!(
            divide(i64::MAX, 7),
            divide_big(&BigInt::from(i64::MAX), &BigInt::from(7))
        );
        assert_eq!(divide_wide(1, 1, -1074), f64::from_bits(1));
        assert_eq!(divide_wide(3, 1, -1075), f64::from_bits(2));
        assert_eq!(divide_wide(1, 1, -1075), 0.0);
        assert_eq!(divide_wide(1, 1, 1024), f64::INFINITY);
        assert_eq!(divide_wide(-1, 1, 1023), -(2f64.powi(1023)));
    }

    #[test]
    fn a_small_sum_says_when_it_is_full() {
        let mut sum = Small::default();
        assert!(sum.add(1, 0));
        assert!(!sum.add(1, 200));
        assert_eq!(sum, Small { mant: 1, exp: 0 });
        assert!(sum.add(1, -60));
        assert_eq!(sum.mant, (1 << 60) + 1);
    }

    #[test]
    fn stddev_of_one_two_three_is_one() {
        assert_eq!(stddev_scaled(6000, 14_000_000, 1000, 3), 1.0);
        assert_eq!(stddev_scaled(5, 13, 1, 2), 0.5f64.sqrt());
    }
}
