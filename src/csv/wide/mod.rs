//! Wide: the hot loops with vector instructions, where the machine has them.
//!
//! `unsafe` stands in this room here and in `lane` only. The instructions are asked for at run time
//! before they are used, and every load is checked to lie within the bytes. By two sampled
//! profiles of the full household file on a busy machine, numbers eight at a time took about a
//! third of the time of one at a time; a quiet machine has not been asked yet. Each loop does
//! whole groups of eight rows and leaves to the caller what is left over and what is not simple;
//! the caller's code alone gives the same result.

#[cfg(target_arch = "x86_64")]
mod load;
#[cfg(target_arch = "x86_64")]
mod marks;
#[cfg(target_arch = "x86_64")]
mod numbers;
#[cfg(target_arch = "x86_64")]
mod times;

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use machine::{floats, integers, mark, place, times};
#[cfg(target_arch = "x86_64")]
pub(crate) use {
    marks::{mark, place},
    numbers::{floats, integers},
    times::times,
};

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
    use super::super::narrow::{Narrow, Shape};
    use super::super::scan::{Cut, Found};
    use super::*;

    pub(crate) fn mark(_: &[u8], _: &Cut, _: &mut [u32]) -> Option<Found> {
        None
    }

    pub(crate) fn place(
        _: &[u8],
        _: &Cut,
        _: Shape,
        _: &mut Narrow,
        _: &mut Vec<u32>,
    ) -> Option<Option<usize>> {
        None
    }

    pub(crate) fn floats(
        _: Column<'_>,
        _: Float,
        _: &mut [f64],
        _: impl FnMut(usize) -> f64,
    ) -> usize {
        0
    }

    pub(crate) fn integers(
        _: Column<'_>,
        _: (f64, f64),
        _: &mut [i64],
        _: impl FnMut(usize) -> i64,
    ) -> usize {
        0
    }

    pub(crate) fn times(
        _: Column<'_>,
        _: Column<'_>,
        _: impl FnMut() -> Option<(Date, i64)>,
        _: &mut [i64],
        _: impl FnMut(usize) -> i64,
    ) -> usize {
        0
    }
}

/// Bit i is set where `block[i] == byte`.
#[inline(always)]
pub(crate) fn equal32(block: &[u8; 32], byte: u8) -> u32 {
    let mut bits = 0;
    for (i, half) in block.as_chunks::<16>().0.iter().enumerate() {
        bits |= equal16(half, byte) << (16 * i);
    }
    bits
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn equal16(block: &[u8; 16], byte: u8) -> u32 {
    use std::arch::x86_64::*;
    // SAFETY: every machine of this kind has these instructions; the load is the 16 bytes.
    unsafe {
        let text = _mm_loadu_si128(block.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8(byte as i8))) as u32
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn equal16(block: &[u8; 16], byte: u8) -> u32 {
    let bit = |(i, b): (usize, &u8)| u32::from(*b == byte) << i;
    block
        .iter()
        .enumerate()
        .map(bit)
        .fold(0, |bits, bit| bits | bit)
}

#[cfg(test)]
mod tests {
    use super::super::number::{Marks, float, integer};
    use super::*;
    use proptest::prelude::*;

    /// Calls `check` with the only column of `texts`, each ended by `end`.
    fn column(texts: &[String], end: &str, check: impl FnOnce(Column<'_>)) {
        let bytes: String = texts.iter().flat_map(|t| [t, end]).collect();
        let newlines = bytes.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let before = std::iter::once(u32::MAX);
        let ends: Vec<u32> = before.chain(newlines.map(|(i, _)| i as u32)).collect();
        check(Column {
            bytes: bytes.as_bytes(),
            ends: &ends,
            stride: 1,
            rows: texts.len(),
            field: 0,
            last: true,
        });
    }

    fn numbers() -> impl Strategy<Value = Vec<String>> {
        let shape = prop::sample::select(vec![
            "[0-9]{1,4}\\.[0-9]{3}",
            "[0-9]{1,8}",
            "[0-9]{0,5}\\.[0-9]{2}",
            "-?[0-9]{1,6}\\.[0-9]",
            "[0-9]{1,7}\\.",
            "[0-9]{0,3}\\.[0-9]{5}",
            "-?[0-9.x]{0,9}",
        ]);
        (shape, "[0-9]{1,2}\\.?[0-9]{1,2}", 0..40usize).prop_flat_map(|(shape, odd, at)| {
            prop::collection::vec(shape, 0..60).prop_map(move |mut texts| {
                if let Some(text) = texts.get_mut(at) {
                    text.clone_from(&odd);
                }
                texts
            })
        })
    }

    proptest! {
        #[test]
        fn groups_of_eight_are_read_as_one_by_one(
            texts in numbers(), crlf in any::<bool>(), bounded in any::<bool>()
        ) {
            let marks = Marks { decimal: b'.', thousands: None };
            let max = if bounded { 500.0 } else { f64::INFINITY };
            let least = if bounded { 2.0 } else { f64::NEG_INFINITY };
            let within = |v: &f64| *v >= least && *v <= max;
            let one = |r: usize| float(texts[r].as_bytes(), marks).filter(within).unwrap_or(-7.0);
            let whole = |r: usize| integer(texts[r].as_bytes(), marks)
                .filter(|v| within(&(*v as f64))).unwrap_or(-7);
            column(&texts, if crlf { "\r\n" } else { "\n" }, |column| {
                let mut values = vec![0.0; texts.len()];
                let want = Float { decimal: b'.', min: least, max };
                let done = floats(column, want, &mut values, one);
                for r in 0..done {
                    assert_eq!(values[r].to_bits(), one(r).to_bits(), "{:?}", texts[r]);
                }
                let mut values = vec![0; texts.len()];
                let done = integers(column, (least, max), &mut values, whole);
                for r in 0..done {
                    assert_eq!(values[r], whole(r), "{:?}", texts[r]);
                }
            });
        }

        #[test]
        fn times_of_a_step_are_read_as_one_by_one(
            first in 0..1440u32, step in prop::sample::select(vec![1u32, 5, 15, 60, 700]), rows in 0..90usize,
            odd in prop::collection::vec((0..90usize, "[0-9]{2}:[0-9]{2}:[0-9]{2}|[0-9]:[0-9]{2}:00|x"), 0..3)
        ) {
            let clock = |row: usize| {
                let minute = first + row as u32 * step;
                let (day, minute) = (1 + minute / 1440, minute % 1440);
                [format!("{day:02}/01/2007"), format!("{:02}:{:02}:00", minute / 60, minute % 60)]
            };
            let mut texts: Vec<[String; 2]> = (0..rows).map(clock).collect();
            for (row, odd) in odd {
                if let Some(text) = texts.get_mut(row) {
                    text[1] = odd;
                }
            }
            let bytes: String = texts.iter().flatten().flat_map(|t| [t, ";"]).collect();
            let semicolons = bytes.bytes().enumerate().filter(|(_, b)| *b == b';');
            let ends: Vec<u32> = std::iter::once(u32::MAX).chain(semicolons.map(|(i, _)| i as u32)).collect();
            let column = |field| Column {
                bytes: bytes.as_bytes(), ends: &ends, stride: 2, rows, field, last: false,
            };
            let one = |row: usize| {
                let (day, text) = (texts[row][0][..2].parse::<i64>().unwrap(), &texts[row][1]);
                let time = crate::time::parse::time_of_day(text.as_bytes());
                (day, time.map_or(-1, |time| day * crate::time::DAY + time))
            };
            let word = |text: &str| u64::from_le_bytes(text.as_bytes().try_into().unwrap());
            // The date of the row that was read one by one last.
            let last = std::cell::Cell::new(None);
            let mut values = vec![0; rows];
            let date = || last.get().map(|row: usize| {
                let text = &texts[row][0];
                let date = Date { len: 10, head: word(&text[..8]), tail: word(&text[2..]) };
                (date, one(row).0 * crate::time::DAY)
            });
            let done = times(column(0), column(1), date, &mut values, |row| {
                last.set(Some(row));
                one(row).1
            });
            for row in 0..done {
                prop_assert_eq!(values[row], one(row).1, "{:?}", texts[row]);
            }
        }

        #[test]
        fn equal_bytes_are_found(text in "[ab\"]{32}") {
            let block = text.as_bytes().first_chunk().expect("32 bytes");
            let bit = |(i, b)| u32::from(b == b'"') << i;
            let want = text.bytes().enumerate().map(bit).fold(0, |all, bit| all | bit);
            prop_assert_eq!(equal32(block, b'"'), want);
        }
    }
}
