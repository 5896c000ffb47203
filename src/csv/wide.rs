//! Wide: the hot loops with vector instructions, where the machine has them.
//!
//! `unsafe` stands in this room in this file only. The instructions are asked for at run time
//! before they are used, and every load is checked to lie within the bytes. By two sampled
//! profiles of the full household file on a busy machine, numbers eight at a time took about a
//! third of the time of one at a time; a quiet machine has not been asked yet. Each loop does
//! whole groups of eight rows and leaves to the caller what is left over and what is not simple;
//! the caller's code alone gives the same result.

use super::scan::{Cut, Found};

/// A column of a block: field f of row r lies between `ends[r * stride + f]` and the next entry,
/// both exclusive.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    pub bytes: &'a [u8],
    pub ends: &'a [u32],
    pub stride: usize,
    pub rows: usize,
    pub field: usize,
    /// A CR before the line end does not belong to the field.
    pub last: bool,
}

/// What a float must be, beside short.
#[derive(Clone, Copy)]
pub(crate) struct Float {
    pub decimal: u8,
    pub min: f64,
    pub max: f64,
}

/// The date that all rows of a group must have, as [`super::stamp`] keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Date {
    pub len: usize,
    pub head: u64,
    pub tail: u64,
}

#[cfg(not(target_arch = "x86_64"))]
mod machine {
    use super::*;

    pub(crate) fn mark(_: &[u8], _: &Cut, _: &mut [u32]) -> Option<Found> {
        None
    }

    pub(crate) fn floats(
        _: Column<'_>,
        _: Float,
        _: &mut Vec<f64>,
        _: impl FnMut(usize) -> f64,
    ) -> usize {
        0
    }

    pub(crate) fn times(
        _: Column<'_>,
        _: Column<'_>,
        _: impl FnMut() -> Option<(Date, i64)>,
        _: &mut Vec<i64>,
        _: impl FnMut(usize) -> i64,
    ) -> usize {
        0
    }
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use super::super::scan::{Kernel, Masks, run};
    use super::*;
    use std::arch::x86_64::*;

    struct Avx2;
    struct Avx512;

    /// Marks with the widest instructions there are; `None`: with none.
    pub(crate) fn mark(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Option<Found> {
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("bmi2") {
            // SAFETY: the machine has the instructions, as just asked.
            return Some(unsafe { mark_avx512(bytes, cut, out) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
            // SAFETY: as above.
            return Some(unsafe { mark_avx2(bytes, cut, out) });
        }
        None
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
    unsafe fn mark_avx2(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Found {
        run::<Avx2>(bytes, cut, out)
    }

    #[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,popcnt,lzcnt")]
    unsafe fn mark_avx512(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Found {
        run::<Avx512>(bytes, cut, out)
    }

    impl Kernel for Avx2 {
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

    /// Whether rows can be decoded in groups of eight.
    fn can_group() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
    }

    /// Numbers of whole groups of eight rows behind `out`; `other(row)` reads what is not
    /// simple. Returns the rows done.
    #[inline]
    pub(crate) fn floats(
        column: Column<'_>,
        want: Float,
        out: &mut Vec<f64>,
        other: impl FnMut(usize) -> f64,
    ) -> usize {
        if !can_group() || !fits(column) {
            return 0;
        }
        // SAFETY: the machine has the instructions; `fits` holds for the loads of the ends.
        unsafe { floats_avx512(column, want, out, other) }
    }

    /// Times of day of whole groups of eight rows that all have the date `date`, as
    /// microseconds plus `plus`, behind `out`; other groups are read row by row by `other`,
    /// which gives the value and the date from then on. Returns the rows done.
    #[inline]
    pub(crate) fn times(
        dates: Column<'_>,
        times: Column<'_>,
        date: impl FnMut() -> Option<(Date, i64)>,
        out: &mut Vec<i64>,
        other: impl FnMut(usize) -> i64,
    ) -> usize {
        if !can_group() || !fits(dates) || !fits(times) {
            return 0;
        }
        // SAFETY: as for `floats`.
        unsafe { times_avx512(dates, times, date, out, other) }
    }

    /// Whether every end of the column is there, and positions fit the instructions.
    fn fits(c: Column<'_>) -> bool {
        let last = c.rows.checked_sub(1).map(|r| r * c.stride + c.field + 1);
        c.bytes.len() < i32::MAX as usize
            && c.stride < 1 << 24
            && last.is_some_and(|at| at < c.ends.len())
    }

    /// The start (low half) and the end (high half) of the field in rows `row..row + 8`.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    unsafe fn places(c: &Column<'_>, row: usize) -> __m512i {
        // SAFETY: `fits`, and `row + 8 <= rows`.
        let pairs = unsafe {
            let base = c.ends.as_ptr().add(row * c.stride + c.field);
            let pair = |lane: usize| base.add(lane * c.stride).cast::<i64>().read_unaligned();
            eight_of(pair)
        };
        // The start is one past the mark before; the carry out of "before the first" is lost.
        let one = _mm512_set1_epi64(1);
        let start = _mm512_add_epi32(pairs, one);
        _mm512_mask_mov_epi32(pairs, 0x5555, start)
    }

    /// Eight lanes from eight loads: gather instructions took over half of the loop of the floats
    /// where this was profiled (a Xeon at 2.5 GHz).
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    unsafe fn eight_of(lane: impl Fn(usize) -> i64) -> __m512i {
        let two = |i: usize| _mm_insert_epi64::<1>(_mm_cvtsi64_si128(lane(i)), lane(i + 1));
        let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(two(0)), two(2));
        let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(two(4)), two(6));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }

    /// The eight bytes from `at[lane]` on, for each lane.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    unsafe fn words(bytes: &[u8], at: __m512i) -> __m512i {
        let mut from = [0u64; 8];
        // SAFETY: the caller checked that `at + 8 <= bytes.len()` for each lane.
        unsafe {
            _mm512_storeu_si512(from.as_mut_ptr().cast(), at);
            let base = bytes.as_ptr();
            eight_of(|i| base.add(from[i] as usize).cast::<i64>().read_unaligned())
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn floats_avx512(
        c: Column<'_>,
        want: Float,
        out: &mut Vec<f64>,
        mut other: impl FnMut(usize) -> f64,
    ) -> usize {
        let mut row = 0;
        while row + 8 <= c.rows {
            let mut values = [0.0; 8];
            // SAFETY: same instructions; `row + 8 <= rows`.
            let mut failed = unsafe {
                let (found, failed) = floats8(&c, want, row);
                _mm512_storeu_pd(values.as_mut_ptr(), found);
                failed
            };
            while failed != 0 {
                let lane = failed.trailing_zeros() as usize;
                values[lane] = other(row + lane);
                failed &= failed - 1;
            }
            out.extend_from_slice(&values);
            row += 8;
        }
        row
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

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn times_avx512(
        dates: Column<'_>,
        times: Column<'_>,
        mut date: impl FnMut() -> Option<(Date, i64)>,
        out: &mut Vec<i64>,
        mut other: impl FnMut(usize) -> i64,
    ) -> usize {
        let mut row = 0;
        while row + 8 <= dates.rows {
            let mut values = [0; 8];
            // SAFETY: same instructions; `row + 8 <= rows`.
            let done = date().is_some_and(|(date, plus)| unsafe {
                let (found, fine) = times8(&dates, &times, date, plus, row);
                _mm512_storeu_si512(values.as_mut_ptr().cast(), found);
                fine
            });
            if !done {
                for (lane, value) in values.iter_mut().enumerate() {
                    *value = other(row + lane);
                }
            }
            out.extend_from_slice(&values);
            row += 8;
        }
        row
    }

    /// Eight times of day plus `plus`; false unless all lanes have `date` and `HH:MM:SS`.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    unsafe fn times8(
        dates: &Column<'_>,
        times: &Column<'_>,
        date: Date,
        plus: i64,
        row: usize,
    ) -> (__m512i, bool) {
        // SAFETY: all loads are checked to lie within the bytes first.
        unsafe {
            let nothing = _mm512_setzero_si512();
            let low = _mm512_set1_epi64(0xffff_ffff);
            let (date_at, time_at) = (places(dates, row), places(times, row));
            let (start, end) = (
                _mm512_and_si512(date_at, low),
                _mm512_srli_epi64::<32>(date_at),
            );
            let (from, to) = (
                _mm512_and_si512(time_at, low),
                _mm512_srli_epi64::<32>(time_at),
            );
            let eight = _mm512_set1_epi64(8);
            let room = _mm512_set1_epi64(dates.bytes.len() as i64 - 8);
            let len = _mm512_set1_epi64(date.len as i64);
            let wrong = _mm512_cmpneq_epi64_mask(_mm512_sub_epi64(end, start), len)
                | _mm512_cmpneq_epi64_mask(_mm512_sub_epi64(to, from), eight)
                | _mm512_cmpgt_epi64_mask(from, room)
                | _mm512_cmpgt_epi64_mask(end, room);
            if wrong != 0 || date.len < 8 {
                return (nothing, false);
            }
            let head = words(dates.bytes, start);
            let tail = words(dates.bytes, _mm512_sub_epi64(end, eight));
            let same = _mm512_cmpeq_epi64_mask(head, _mm512_set1_epi64(date.head as i64))
                & _mm512_cmpeq_epi64_mask(tail, _mm512_set1_epi64(date.tail as i64));
            let text = words(dates.bytes, from);
            let zeros = i64::from_le_bytes(*b"00:00:00");
            let x = _mm512_xor_si512(text, _mm512_set1_epi64(zeros));
            let most = i64::from_le_bytes([9, 9, 0, 9, 9, 0, 9, 9]);
            let digits = _mm512_cmpgt_epu8_mask(x, _mm512_set1_epi64(most)) == 0;
            let tens = _mm512_add_epi64(_mm512_slli_epi64::<3>(x), _mm512_slli_epi64::<1>(x));
            let pairs = _mm512_add_epi64(tens, _mm512_srli_epi64::<8>(x));
            let byte = _mm512_set1_epi64(255);
            let h = _mm512_and_si512(pairs, byte);
            let m = _mm512_and_si512(_mm512_srli_epi64::<24>(pairs), byte);
            let s = _mm512_and_si512(_mm512_srli_epi64::<48>(pairs), byte);
            let sixty = _mm512_set1_epi64(60);
            let real = _mm512_cmplt_epi64_mask(h, _mm512_set1_epi64(24))
                & _mm512_cmplt_epi64_mask(m, sixty)
                & _mm512_cmplt_epi64_mask(s, sixty);
            let minutes = _mm512_add_epi64(_mm512_mul_epu32(h, sixty), m);
            let seconds = _mm512_add_epi64(_mm512_mul_epu32(minutes, sixty), s);
            let micros = _mm512_mul_epu32(seconds, _mm512_set1_epi64(1_000_000));
            let value = _mm512_add_epi64(micros, _mm512_set1_epi64(plus));
            (value, same & real == 0xff && digits)
        }
    }
}

pub(crate) use machine::{floats, mark, times};
