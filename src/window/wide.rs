//! Wide: the pass over scaled values with vector instructions, where the machine has them.
//!
//! `unsafe` stands here and nowhere else in this room. Sums of hours of readings that lie in memory spent an eighth
//! of their time in the portable pass. The instructions are asked for at run time, every load lies within
//! the values, and the two passes are checked against each other.

#[cfg(target_arch = "x86_64")]
pub(super) use machine::scan;

/// The pass, if the machine has the instructions.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn scan(_: &[f64], _: f64, _: (f64, f64)) -> Option<super::scan::Found> {
    None
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use crate::window::scan::Found;
    use std::arch::x86_64::*;

    /// The pass, if the machine has the instructions: values, their scale, and its inverse in two parts.
    #[inline]
    pub(in crate::window) fn scan(
        values: &[f64],
        scale: f64,
        inverse: (f64, f64),
    ) -> Option<Found> {
        if !is_x86_feature_detected!("avx512f") || !is_x86_feature_detected!("avx512dq") {
            return None;
        }
        // SAFETY: the machine has the instructions, as just asked.
        Some(unsafe { scan_avx512(values, scale, inverse) })
    }

    /// What eight lanes have seen.
    struct Lanes {
        sum: __m512d,
        min: __m512d,
        max: __m512d,
        off: __m512i,
    }

    #[target_feature(enable = "avx512f,avx512dq")]
    fn scan_avx512(values: &[f64], scale: f64, inverse: (f64, f64)) -> Found {
        let mut seen = Lanes {
            sum: _mm512_setzero_pd(),
            min: _mm512_set1_pd(f64::INFINITY),
            max: _mm512_set1_pd(f64::NEG_INFINITY),
            off: _mm512_setzero_si512(),
        };
        let by = (
            _mm512_set1_pd(scale),
            _mm512_set1_pd(inverse.0),
            _mm512_set1_pd(inverse.1),
        );
        let (chunks, rest) = values.as_chunks::<8>();
        for chunk in chunks {
            // SAFETY: the load is of the eight values.
            let v = unsafe { _mm512_loadu_pd(chunk.as_ptr()) };
            take(&mut seen, v, by, 0xff);
        }
        if !rest.is_empty() {
            let mask = (1u8 << rest.len()) - 1;
            // SAFETY: lanes beyond the rest are not loaded.
            let v = unsafe { _mm512_maskz_loadu_pd(mask, rest.as_ptr()) };
            take(&mut seen, v, by, mask);
        }
        Found {
            sum: _mm512_reduce_add_pd(seen.sum),
            min: _mm512_reduce_min_pd(seen.min),
            max: _mm512_reduce_max_pd(seen.max),
            on: _mm512_test_epi64_mask(seen.off, seen.off) == 0,
        }
    }

    /// Takes eight values in; a lane that is not in `mask` holds zero and does not count.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    fn take(seen: &mut Lanes, v: __m512d, by: (__m512d, __m512d, __m512d), mask: __mmask8) {
        let rounder = _mm512_set1_pd(6_755_399_441_055_744.0);
        let near = _mm512_add_pd(_mm512_mul_pd(v, by.0), rounder);
        let k = _mm512_sub_pd(near, rounder);
        seen.sum = _mm512_add_pd(seen.sum, k);
        let back = _mm512_add_pd(_mm512_mul_pd(k, by.1), _mm512_mul_pd(k, by.2));
        let off = _mm512_castpd_si512(_mm512_sub_pd(back, v));
        seen.off = _mm512_or_si512(seen.off, off);
        seen.min = _mm512_mask_min_pd(seen.min, mask, seen.min, v);
        seen.max = _mm512_mask_max_pd(seen.max, mask, seen.max, v);
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Scale, plain, scan};

    #[test]
    fn both_passes_give_the_same() {
        let mut state = 5u64;
        let mut exact = 0;
        for round in 0..20_000usize {
            let scale = 10f64.powi((round % 6) as i32);
            let odd = round % 17 == 0;
            let values: Vec<f64> = (0..round % 70)
                .map(|i| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    let k = (state >> (33 + round % 20)) as f64 / scale;
                    let v = if state & 64 == 0 { -k } else { k };
                    if odd && i == round % 23 { v + 1e-9 } else { v }
                })
                .collect();
            let (wide, narrow) = (
                scan(&values, Scale::new(scale)),
                plain(&values, Scale::new(scale)),
            );
            assert_eq!(wide.exact, narrow.exact, "{values:?}");
            assert_eq!(
                (wide.sum, wide.min.to_bits()),
                (narrow.sum, narrow.min.to_bits())
            );
            assert_eq!(wide.max.to_bits(), narrow.max.to_bits());
            exact += usize::from(wide.exact);
        }
        assert!(exact > 15_000 && exact < 20_000, "{exact}");
        for odd in [f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300] {
            for at in [0, 7, 8, 10] {
                let mut values = vec![0.5; 11];
                values[at] = odd;
                assert!(!scan(&values, Scale::new(10.0)).exact, "{odd} {at}");
            }
        }
    }
}
