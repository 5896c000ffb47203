//! Marks of 64 bytes at a time.

use super::super::narrow::{self, Narrow, Shape};
use super::super::scan::{Cut, Found, Kernel, Masks, run};
use std::arch::x86_64::*;

struct Avx2;
struct Avx512;

/// Marks with the widest instructions there are; `None`: with none.
pub(crate) fn mark(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Option<Found> {
    match widest() {
        // SAFETY: the machine has the instructions, as just asked.
        Some(64) => Some(unsafe { mark_avx512(bytes, cut, out) }),
        // SAFETY: as above.
        Some(_) => Some(unsafe { mark_avx2(bytes, cut, out) }),
        None => None,
    }
}

/// The places of the first fields with the widest instructions there are; `None`: with none.
pub(crate) fn place(
    bytes: &[u8],
    cut: &Cut,
    shape: Shape,
    narrow: &mut Narrow,
    out: &mut Vec<u32>,
) -> Option<Option<usize>> {
    match widest() {
        // SAFETY: the machine has the instructions, as just asked.
        Some(64) => Some(unsafe { place_avx512(bytes, cut, shape, narrow, out) }),
        // SAFETY: as above.
        Some(_) => Some(unsafe { place_avx2(bytes, cut, shape, narrow, out) }),
        None => None,
    }
}

/// Bytes that the widest instructions take at once; `None`: there are none.
fn widest() -> Option<usize> {
    let plain = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("pclmulqdq");
    match is_x86_feature_detected!("avx512bw") {
        true => plain.then_some(64),
        false => plain.then_some(32),
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt,pclmulqdq")]
unsafe fn place_avx2(
    bytes: &[u8],
    cut: &Cut,
    shape: Shape,
    narrow: &mut Narrow,
    out: &mut Vec<u32>,
) -> Option<usize> {
    narrow::run::<Avx2>(bytes, cut, shape, narrow, out)
}

#[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,popcnt,lzcnt,pclmulqdq")]
unsafe fn place_avx512(
    bytes: &[u8],
    cut: &Cut,
    shape: Shape,
    narrow: &mut Narrow,
    out: &mut Vec<u32>,
) -> Option<usize> {
    narrow::run::<Avx512>(bytes, cut, shape, narrow, out)
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
        // SAFETY: called from the functions above only.
        unsafe { carryless(x) }
    }

    #[inline(always)]
    fn masks(block: &[u8; 64], cut: &Cut) -> Masks {
        // SAFETY: called from the functions above only; both loads lie within the 64 bytes.
        unsafe {
            let low = _mm256_loadu_si256(block.as_ptr().cast());
            let high = _mm256_loadu_si256(block.as_ptr().add(32).cast());
            // No closure, as below.
            macro_rules! equal {
                ($byte:expr) => {{
                    let want = _mm256_set1_epi8($byte as i8);
                    let l = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, want)) as u32;
                    let h = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, want)) as u32;
                    u64::from(l) | (u64::from(h) << 32)
                }};
            }
            let (quote, cr) = match cut.quote {
                Some(quote) => (equal!(quote), equal!(b'\r')),
                None => (0, 0),
            };
            Masks {
                delimiter: equal!(cut.delimiter),
                newline: equal!(cut.newline),
                quote,
                cr,
            }
        }
    }
}

impl Kernel for Avx512 {
    #[inline(always)]
    fn prefix_xor(x: u64) -> u64 {
        // SAFETY: called from the functions above only.
        unsafe { carryless(x) }
    }

    #[inline(always)]
    fn masks(block: &[u8; 64], cut: &Cut) -> Masks {
        // SAFETY: called from the functions above only; the load is the 64 bytes.
        unsafe {
            let text = _mm512_loadu_si512(block.as_ptr().cast());
            // No closure: one is compiled without the instructions, and then it may be called.
            macro_rules! equal {
                ($byte:expr) => {
                    _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8($byte as i8))
                };
            }
            let (quote, cr) = match cut.quote {
                Some(quote) => (equal!(quote), equal!(b'\r')),
                None => (0, 0),
            };
            Masks {
                delimiter: equal!(cut.delimiter),
                newline: equal!(cut.newline),
                quote,
                cr,
            }
        }
    }

    #[inline(always)]
    fn positions(bits: u64, offset: u32, dst: &mut [u32; 64]) {
        // SAFETY: called from the functions above only; at most 16 of each 16 bits lie before, so
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
