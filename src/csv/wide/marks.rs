//! Marks of 64 bytes at a time.

use super::super::scan::{Cut, Found, Kernel, Masks, run};
use std::arch::x86_64::*;

struct Avx2;
struct Avx512;

/// Marks with the widest instructions there are; `None`: with none.
pub(crate) fn mark(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Option<Found> {
    if is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("pclmulqdq")
    {
        // SAFETY: the machine has the instructions, as just asked.
        return Some(unsafe { mark_avx512(bytes, cut, out) });
    }
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("pclmulqdq")
    {
        // SAFETY: as above.
        return Some(unsafe { mark_avx2(bytes, cut, out) });
    }
    None
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt,pclmulqdq")]
unsafe fn mark_avx2(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Found {
    run::<Avx2>(bytes, cut, out)
}

#[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,popcnt,lzcnt,pclmulqdq")]
unsafe fn mark_avx512(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Found {
    run::<Avx512>(bytes, cut, out)
}

impl Kernel for Avx2 {
    #[inline(always)]
    fn prefix_xor(x: u64) -> u64 {
        // SAFETY: called from `mark_avx2` only.
        unsafe { carryless(x) }
    }

    #[inline(always)]
    fn masks(block: &[u8; 64], cut: &Cut) -> Masks {
        // SAFETY: called from `mark_avx2` only; both loads lie within the 64 bytes.
        unsafe {
            let low = _mm256_loadu_si256(block.as_ptr().cast());
            let high = _mm256_loadu_si256(block.as_ptr().add(32).cast());
            let equal = |byte: u8| {
                let want = _mm256_set1_epi8(byte as i8);
                let l = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, want)) as u32;
                let h = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, want)) as u32;
                u64::from(l) | (u64::from(h) << 32)
            };
            Masks {
                delimiter: equal(cut.delimiter),
                newline: equal(cut.newline),
                quote: cut.quote.map_or(0, equal),
                cr: cut.quote.map_or(0, |_| equal(b'\r')),
            }
        }
    }
}

impl Kernel for Avx512 {
    #[inline(always)]
    fn prefix_xor(x: u64) -> u64 {
        // SAFETY: called from `mark_avx512` only.
        unsafe { carryless(x) }
    }

    #[inline(always)]
    fn masks(block: &[u8; 64], cut: &Cut) -> Masks {
        // SAFETY: called from `mark_avx512` only; the load is the 64 bytes.
        unsafe {
            let text = _mm512_loadu_si512(block.as_ptr().cast());
            let equal = |byte: u8| _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8(byte as i8));
            Masks {
                delimiter: equal(cut.delimiter),
                newline: equal(cut.newline),
                quote: cut.quote.map_or(0, equal),
                cr: cut.quote.map_or(0, |_| equal(b'\r')),
            }
        }
    }

    #[inline(always)]
    fn positions(bits: u64, offset: u32, dst: &mut [u32; 64]) {
        // SAFETY: called from `mark_avx512` only; at most 16 of each 16 bits lie before, so
        // the store of 16 ends within the 64.
        unsafe {
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let mut at = 0;
            for quarter in 0..4 {
                let some = (bits >> (16 * quarter)) as u16;
                let first = _mm512_set1_epi32((offset + 16 * quarter) as i32);
                let all = _mm512_add_epi32(lanes, first);
                let found = _mm512_maskz_compress_epi32(some, all);
                _mm512_storeu_si512(dst.as_mut_ptr().add(at).cast(), found);
                at += some.count_ones() as usize;
            }
        }
    }
}

/// The carry-less product with all ones is the running exclusive-or.
#[target_feature(enable = "pclmulqdq")]
#[inline]
fn carryless(x: u64) -> u64 {
    let ones = _mm_set1_epi8(-1);
    let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, x as i64), ones);
    _mm_cvtsi128_si64(product) as u64
}
