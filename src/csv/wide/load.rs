//! Loads: the places and the bytes of eight rows of a column.

use super::Column;
use std::arch::x86_64::*;

/// Whether rows can be decoded in groups of eight.
pub(super) fn can_group() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

/// Whether every end of the column is there, and positions fit the instructions.
pub(super) fn fits(c: Column<'_>) -> bool {
    let last = c.rows.checked_sub(1).map(|r| r * c.stride + c.field + 1);
    c.bytes.len() < i32::MAX as usize
        && c.stride < 1 << 24
        && last.is_some_and(|at| at < c.ends.len())
}

/// The start (low half) and the end (high half) of the field in rows `row..row + 8`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) unsafe fn places(c: &Column<'_>, row: usize) -> __m512i {
    // SAFETY: the caller's word.
    let pairs = unsafe { pairs(c, row) };
    // The start is one past the mark before; the carry out of "before the first" is lost.
    let one = _mm512_set1_epi64(1);
    let start = _mm512_add_epi32(pairs, one);
    _mm512_mask_mov_epi32(pairs, 0x5555, start)
}

/// The marks before (low half) and behind (high half) the field in rows `row..row + 8`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) unsafe fn pairs(c: &Column<'_>, row: usize) -> __m512i {
    // SAFETY: `fits`, and `row + 8 <= rows`.
    unsafe {
        let base = c.ends.as_ptr().add(row * c.stride + c.field);
        let pair = |lane: usize| base.add(lane * c.stride).cast::<i64>().read_unaligned();
        eight_of(pair)
    }
}

/// Eight lanes from eight loads: gather instructions took over half of the loop of the floats
/// where this was profiled (a Xeon at 2.5 GHz).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) unsafe fn eight_of(lane: impl Fn(usize) -> i64) -> __m512i {
    let two = |i: usize| _mm_insert_epi64::<1>(_mm_cvtsi64_si128(lane(i)), lane(i + 1));
    let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(two(0)), two(2));
    let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(two(4)), two(6));
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// The eight bytes from `at[lane]` on, for each lane.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) unsafe fn words(bytes: &[u8], at: __m512i) -> __m512i {
    let mut from = [0u64; 8];
    // SAFETY: the caller checked that `at + 8 <= bytes.len()` for each lane.
    unsafe {
        _mm512_storeu_si512(from.as_mut_ptr().cast(), at);
        let base = bytes.as_ptr();
        eight_of(|i| base.add(from[i] as usize).cast::<i64>().read_unaligned())
    }
}
