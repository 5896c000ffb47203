//! Times of day, eight rows at a time.
//!
//! Most files go on by one step of whole minutes: then the text of each time is known before it is read, and
//! eight rows cost a comparison each ([`Steady`]).

use super::load::{can_group, fits, places, words};
use super::{Column, Date};
use crate::time::MINUTE;
use std::arch::x86_64::*;

/// Times of day of whole groups of eight rows that all have the date `date`, as microseconds plus
/// `plus`, into `out`; other groups are read row by row by `other`, which gives the value and the
/// date from then on. Returns the rows done.
#[inline]
pub(crate) fn times(
    dates: Column<'_>,
    times: Column<'_>,
    date: impl FnMut() -> Option<(Date, i64)>,
    out: &mut [i64],
    other: impl FnMut(usize) -> i64,
) -> usize {
    if !can_group() || !fits(dates) || !fits(times) || dates.rows != times.rows {
        return 0;
    }
    // SAFETY: the machine has the instructions; `fits` holds for the loads of the ends.
    unsafe { times_avx512(dates, times, date, out, other) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512cd,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
unsafe fn times_avx512(
    dates: Column<'_>,
    times: Column<'_>,
    mut date: impl FnMut() -> Option<(Date, i64)>,
    out: &mut [i64],
    mut other: impl FnMut(usize) -> i64,
) -> usize {
    let (mut row, mut steady) = (0, None::<Steady>);
    while let Some(values) = out.get_mut(row..).and_then(<[i64]>::first_chunk_mut::<8>)
        && row + 8 <= dates.rows
    {
        let known = date();
        if let (Some((date, plus)), Some(steady)) = (known, &mut steady)
            // SAFETY: `fits` holds, and `row + 8 <= rows`.
            && unsafe { steady.goes_on(&dates, &times, date, row) }
        {
            steady.take(plus, values);
            row += 8;
            continue;
        }
        // SAFETY: same instructions; `row + 8 <= rows`.
        let done = known.is_some_and(|(date, plus)| unsafe {
            let (found, fine) = times8(&dates, &times, date, plus, row);
            _mm512_storeu_si512(values.as_mut_ptr().cast(), found);
            steady = Steady::after(values, plus).filter(|_| fine);
            fine
        });
        if !done {
            steady = None;
            for (lane, value) in values.iter_mut().enumerate() {
                *value = other(row + lane);
            }
        }
        row += 8;
    }
    row
}

/// A time of day a step after the one before it, both whole minutes.
struct Steady {
    /// Minutes of the day.
    next: usize,
    step: usize,
}

const MINUTES: usize = 24 * 60;

/// The text of each minute of the day, `HH:MM:00`.
static TEXTS: [u64; MINUTES] = texts();

const fn texts() -> [u64; MINUTES] {
    let mut all = [0; MINUTES];
    let mut minute = 0;
    while minute < MINUTES {
        let (h, m) = (minute / 60, minute % 60);
        all[minute] = u64::from_le_bytes([
            b'0' + (h / 10) as u8,
            b'0' + (h % 10) as u8,
            b':',
            b'0' + (m / 10) as u8,
            b'0' + (m % 10) as u8,
            b':',
            b'0',
            b'0',
        ]);
        minute += 1;
    }
    all
}

impl Steady {
    /// What the last two of `values`, of one day that begins at `plus`, lead to.
    fn after(values: &[i64; 8], plus: i64) -> Option<Steady> {
        let (last, step) = (values[7] - plus, values[7] - values[6]);
        let whole = last % MINUTE == 0 && step % MINUTE == 0;
        let (last, step) = (last / MINUTE, step / MINUTE);
        let likely = whole && last >= 0 && (1..MINUTES as i64).contains(&step);
        likely.then(|| Steady {
            next: (last + step) as usize,
            step: step as usize,
        })
    }

    /// Whether the rows `row..row + 8` have `date`, and behind it the next eight times, as text.
    ///
    /// # Safety
    /// `fits` holds for both columns, and `row + 8 <= rows`.
    #[inline(always)]
    unsafe fn goes_on(
        &self,
        dates: &Column<'_>,
        times: &Column<'_>,
        date: Date,
        row: usize,
    ) -> bool {
        let Some(want) = TEXTS.get(self.next..=self.next + 7 * self.step) else {
            return false;
        };
        // Date, delimiter and time.
        let long = date.len + 9;
        let Some(most) = dates.bytes.len().checked_sub(long) else {
            return false;
        };
        if date.len < 8 || times.field != dates.field + 1 {
            return false;
        }
        // SAFETY: the caller's word for the ends; all loads of text lie within `long` bytes from a start up to
        // `most`; eight texts a step apart are there.
        unsafe {
            let mut ends = dates.ends.as_ptr().add(row * dates.stride + dates.field);
            let mut want = want.as_ptr();
            for _ in 0..8 {
                let start = (*ends).wrapping_add(1) as usize;
                let (end, to) = (*ends.add(1) as usize, *ends.add(2) as usize);
                if end != start + date.len || to != start + long || start > most {
                    return false;
                }
                let text = dates.bytes.as_ptr().add(start);
                let word = |at: usize| u64::from_le(text.add(at).cast::<u64>().read_unaligned());
                let other = (word(0) ^ date.head) | (word(date.len - 8) ^ date.tail);
                if other | (word(date.len + 1) ^ *want) != 0 {
                    return false;
                }
                ends = ends.add(dates.stride);
                want = want.wrapping_add(self.step);
            }
        }
        true
    }

    /// Writes the next eight times and goes on behind them.
    #[inline(always)]
    fn take(&mut self, plus: i64, values: &mut [i64; 8]) {
        let (mut time, step) = (plus + self.next as i64 * MINUTE, self.step as i64 * MINUTE);
        for value in values {
            *value = time;
            time += step;
        }
        self.next += 8 * self.step;
    }
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
