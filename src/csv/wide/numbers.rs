//! Numbers, eight rows at a time.
//!
//! In most columns every number has its decimal mark in the same place, counted from the end. A
//! [`Shape`] holds what follows from that place: then the eight bytes before the end of each field
//! need one comparison and three multiplications, whatever the number of digits before the mark.
//! Groups of another shape go the longer way of `floats8`, and what that cannot do is read by the
//! caller, row by row. All give the same bits.

use super::load::{can_group, fits, places, words};
use super::{Column, Float};
use crate::csv::number::Shape;
use std::arch::x86_64::*;

/// After so many groups in a row that are not of the shape seen, a block's shapes are let be.
const PATIENCE: usize = 6;

/// Numbers of whole groups of eight rows into `out`; `other(row)` reads what is not simple.
/// Returns the rows done.
#[inline]
pub(crate) fn floats(
    column: Column<'_>,
    want: Float,
    out: &mut [f64],
    other: impl FnMut(usize) -> f64,
) -> usize {
    if !can_group() || !fits(column) {
        return 0;
    }
    // SAFETY: the machine has the instructions; `fits` holds for the loads of the ends.
    unsafe {
        match want.min == f64::NEG_INFINITY && want.max == f64::INFINITY {
            true => floats_avx512::<false>(column, want, out, other),
            false => floats_avx512::<true>(column, want, out, other),
        }
    }
}

/// The same for integers of up to eight digits.
#[inline]
pub(crate) fn integers(
    column: Column<'_>,
    (min, max): (f64, f64),
    out: &mut [i64],
    other: impl FnMut(usize) -> i64,
) -> usize {
    if !can_group() || !fits(column) {
        return 0;
    }
    // SAFETY: as for `floats`.
    unsafe { integers_avx512(column, (min, max), out, other) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
unsafe fn floats_avx512<const BOUNDED: bool>(
    c: Column<'_>,
    want: Float,
    out: &mut [f64],
    mut other: impl FnMut(usize) -> f64,
) -> usize {
    let (mut row, mut misses, mut lanes) = (0, 0, None);
    while let Some(values) = out.get_mut(row..).and_then(<[f64]>::first_chunk_mut::<8>)
        && row + 8 <= c.rows
    {
        // SAFETY: same instructions; `row + 8 <= rows`.
        unsafe {
            if let Some(lanes) = &lanes
                && misses < PATIENCE
                && let Some(whole) = shaped8(&c, lanes, row)
            {
                let value = quotient_by(_mm512_cvtepi64_pd(whole), lanes);
                if !BOUNDED || outside(value, want.min, want.max) == 0 {
                    _mm512_storeu_pd(values.as_mut_ptr(), value);
                    (row, misses) = (row + 8, 0);
                    continue;
                }
            }
            let (found, mut failed) = floats8(&c, want, row);
            _mm512_storeu_pd(values.as_mut_ptr(), found);
            while failed != 0 {
                let lane = failed.trailing_zeros() as usize;
                values[lane] = other(row + lane);
                failed &= failed - 1;
            }
            misses += 1;
            if misses < PATIENCE {
                lanes = shape_at(&c, row, Some(want.decimal));
            }
        }
        row += 8;
    }
    row
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
unsafe fn integers_avx512(
    c: Column<'_>,
    (min, max): (f64, f64),
    out: &mut [i64],
    mut other: impl FnMut(usize) -> i64,
) -> usize {
    let mut row = 0;
    // SAFETY: `fits` holds.
    let Some(lanes) = (unsafe { shape_at(&c, 0, None) }) else {
        return 0;
    };
    while let Some(values) = out.get_mut(row..).and_then(<[i64]>::first_chunk_mut::<8>)
        && row + 8 <= c.rows
    {
        // SAFETY: same instructions; `row + 8 <= rows`.
        let found = unsafe { shaped8(&c, &lanes, row) };
        match found.filter(|v| outside(_mm512_cvtepi64_pd(*v), min, max) == 0) {
            // SAFETY: eight values.
            Some(found) => unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), found) },
            None => {
                for (lane, value) in values.iter_mut().enumerate() {
                    *value = other(row + lane);
                }
            }
        }
        row += 8;
    }
    row
}

/// A shape in all lanes.
struct Lanes {
    pattern: __m512i,
    most: __m512i,
    pairs: __m512i,
    fours: __m512i,
    high: __m512i,
    /// Distance of the marks around a field of the least length.
    least: __m512i,
    /// Bytes by which a field may be longer.
    spare: __m512i,
    by: __m512d,
    inverse: __m512d,
}

/// The shape of the field in `row`; `None`: it has none.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
#[inline(never)]
unsafe fn shape_at(c: &Column<'_>, row: usize, decimal: Option<u8>) -> Option<Lanes> {
    let at = row * c.stride + c.field;
    let (start, end) = (c.ends.get(at)?.wrapping_add(1), *c.ends.get(at + 1)?);
    let shape = Shape::of(c.bytes.get(start as usize..end as usize)?, decimal, c.last)?;
    let all = |word: u64| _mm512_set1_epi64(word as i64);
    Some(Lanes {
        pattern: all(shape.pattern),
        most: all(shape.most),
        pairs: all(shape.pairs),
        fours: all(shape.fours),
        high: all(shape.high),
        least: all(shape.least + 1),
        spare: all(8 - shape.least),
        by: _mm512_set1_pd(shape.by),
        inverse: _mm512_set1_pd(1.0 / shape.by),
    })
}

/// The digits of eight fields as integers; `None` unless all have the shape.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
unsafe fn shaped8(c: &Column<'_>, lanes: &Lanes, row: usize) -> Option<__m512i> {
    // SAFETY: the loads are of the eight bytes before ends that lie within the bytes.
    unsafe {
        let (before, end) = ends(c, row);
        let from = _mm512_sub_epi64(end, _mm512_set1_epi64(8));
        let last = c.bytes.len() as i64 - 8;
        if last < 0 || _mm512_cmpgt_epu64_mask(from, _mm512_set1_epi64(last)) != 0 {
            return None;
        }
        let text = words(c.bytes, from);
        // One more than the length.
        let apart = _mm512_sub_epi64(end, before);
        let long = _mm512_cmpgt_epu64_mask(_mm512_sub_epi64(apart, lanes.least), lanes.spare);
        let below = _mm512_sub_epi64(_mm512_set1_epi64(72), _mm512_slli_epi64::<3>(apart));
        let keep = _mm512_sllv_epi64(_mm512_set1_epi64(-1), below);
        let digits = _mm512_and_si512(_mm512_xor_si512(text, lanes.pattern), keep);
        let wrong = _mm512_cmpgt_epu8_mask(digits, lanes.most);
        if u64::from(long) | wrong != 0 {
            return None;
        }
        let pairs = _mm512_maddubs_epi16(digits, lanes.pairs);
        let fours = _mm512_madd_epi16(pairs, lanes.fours);
        let high = _mm512_mul_epu32(fours, lanes.high);
        Some(_mm512_add_epi64(high, _mm512_srli_epi64::<32>(fours)))
    }
}

/// The marks before and behind the field in rows `row..row + 8`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
unsafe fn ends(c: &Column<'_>, row: usize) -> (__m512i, __m512i) {
    // SAFETY: the caller's word on `row`.
    let pairs = unsafe { super::load::pairs(c, row) };
    let before = _mm512_and_si512(pairs, _mm512_set1_epi64(0xffff_ffff));
    (before, _mm512_srli_epi64::<32>(pairs))
}

#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn outside(value: __m512d, min: f64, max: f64) -> __mmask8 {
    !(_mm512_cmp_pd_mask::<_CMP_LE_OQ>(value, _mm512_set1_pd(max))
        & _mm512_cmp_pd_mask::<_CMP_GE_OQ>(value, _mm512_set1_pd(min)))
}

/// As [`quotient`], by the power of ten of a shape.
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn quotient_by(value: __m512d, lanes: &Lanes) -> __m512d {
    let near = _mm512_mul_pd(value, lanes.inverse);
    let rest = _mm512_fnmadd_pd(near, lanes.by, value);
    _mm512_fmadd_pd(rest, lanes.inverse, near)
}

/// Eight numbers, and the lanes that are not a short decimal within bounds. Steps as in
/// `number::short_float`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
unsafe fn floats8(c: &Column<'_>, want: Float, row: usize) -> (__m512d, __mmask8) {
    // SAFETY: the loads are of lanes whose eight bytes before the end lie within the bytes.
    unsafe {
        let places = places(c, row);
        let end = _mm512_srli_epi64::<32>(places);
        let start = _mm512_and_si512(places, _mm512_set1_epi64(0xffff_ffff));
        let eight = _mm512_set1_epi64(8);
        let mut failed = _mm512_cmplt_epu64_mask(end, eight)
            | _mm512_cmpgt_epu64_mask(end, _mm512_set1_epi64(c.bytes.len() as i64));
        if failed != 0 {
            return (_mm512_setzero_pd(), 0xff);
        }
        let text = words(c.bytes, _mm512_sub_epi64(end, eight));
        let mut len = _mm512_sub_epi64(end, start);
        let mut text = text;
        if c.last {
            let cr = _mm512_cmpeq_epi64_mask(
                _mm512_srli_epi64::<56>(text),
                _mm512_set1_epi64(i64::from(b'\r')),
            );
            // The CR leaves; the byte that comes in at the bottom is below the text, unless
            // the text had eight bytes and the CR: then it is not short.
            failed |= cr & _mm512_cmpgt_epi64_mask(len, _mm512_set1_epi64(8));
            text = _mm512_mask_slli_epi64::<8>(text, cr, text);
            len = _mm512_mask_sub_epi64(len, cr, len, _mm512_set1_epi64(1));
        }
        let one = _mm512_set1_epi64(1);
        failed |= _mm512_cmpgt_epu64_mask(_mm512_sub_epi64(len, one), _mm512_set1_epi64(7));
        // Bits below the text.
        let mut below = _mm512_sub_epi64(_mm512_set1_epi64(64), _mm512_slli_epi64::<3>(len));
        let first = _mm512_srlv_epi64(text, below);
        let minus = _mm512_cmpeq_epi64_mask(
            _mm512_and_si512(first, _mm512_set1_epi64(255)),
            _mm512_set1_epi64(i64::from(b'-')),
        );
        below = _mm512_mask_add_epi64(below, minus, below, eight);
        let ones = _mm512_set1_epi64(-1);
        let text = _mm512_and_si512(text, _mm512_sllv_epi64(ones, below));
        // The lowest decimal mark, as the lowest bit of its byte.
        let marks = _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8(want.decimal as i8));
        let marks = _mm512_movm_epi8(marks);
        let zero = _mm512_setzero_si512();
        let mark = _mm512_and_si512(marks, _mm512_sub_epi64(zero, marks));
        let has = _mm512_test_epi64_mask(mark, mark);
        let under = _mm512_maskz_sub_epi64(has, mark, one);
        let byte = _mm512_sub_epi64(_mm512_slli_epi64::<8>(mark), mark);
        let high = _mm512_andnot_si512(_mm512_or_si512(under, byte), text);
        let low = _mm512_slli_epi64::<8>(_mm512_and_si512(text, under));
        let below = _mm512_mask_add_epi64(below, has, below, eight);
        failed |= _mm512_cmpgt_epu64_mask(below, _mm512_set1_epi64(56));
        let zeros = _mm512_sllv_epi64(_mm512_set1_epi8(b'0' as i8), below);
        let digits = _mm512_xor_si512(_mm512_or_si512(high, low), zeros);
        let wrong = _mm512_cmpgt_epu8_mask(digits, _mm512_set1_epi8(9));
        if wrong != 0 {
            let wrong = _mm512_movm_epi8(wrong);
            failed |= _mm512_test_epi64_mask(wrong, wrong);
        }
        let power = _mm512_srli_epi64::<3>(_mm512_lzcnt_epi64(mark));
        let value = quotient(whole(digits), power);
        let value = _mm512_mask_xor_pd(value, minus, value, _mm512_set1_pd(-0.0));
        failed |= !(_mm512_cmp_pd_mask::<_CMP_LE_OQ>(value, _mm512_set1_pd(want.max)));
        failed |= !(_mm512_cmp_pd_mask::<_CMP_GE_OQ>(value, _mm512_set1_pd(want.min)));
        (value, failed)
    }
}

/// Eight digits, as bytes 0 to 9, in each lane: their number.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
#[inline]
unsafe fn whole(digits: __m512i) -> __m512d {
    let twos = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(0x010a));
    let fours = _mm512_madd_epi16(twos, _mm512_set1_epi32(0x0001_0064));
    let high = _mm512_mul_epu32(fours, _mm512_set1_epi64(10_000));
    _mm512_cvtepi64_pd(_mm512_add_epi64(high, _mm512_srli_epi64::<32>(fours)))
}

/// `value` / 10^`power`, correctly rounded: the product with the nearest float to 10^-power, put
/// right by the exact remainder (Markstein's theorem). Meant to be cheaper than a division; the
/// two have not been timed against each other.
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
unsafe fn quotient(value: __m512d, power: __m512i) -> __m512d {
    // A power of 8 stands for "no mark" and takes entry 0.
    let tens = _mm512_setr_pd(1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7);
    let tenths = _mm512_setr_pd(1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7);
    let by = _mm512_permutexvar_pd(power, tens);
    let inverse = _mm512_permutexvar_pd(power, tenths);
    let near = _mm512_mul_pd(value, inverse);
    let rest = _mm512_fnmadd_pd(near, by, value);
    _mm512_fmadd_pd(rest, inverse, near)
}
