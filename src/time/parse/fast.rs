//! The usual forms, eight bytes at a time: `d/m/yyyy` and `yyyy-mm-dd` padded or not,
//! `HH:MM:SS` and `HH:MM`. What is not one of them, or not valid, gives `None` and is looked at again by the general
//! reader, which alone decides what is an error.

use super::super::SECOND;
use super::DateOrder;

/// A date of 6 to 10 bytes as days since 1970-01-01.
#[inline]
pub(super) fn date(order: DateOrder, text: &[u8]) -> Option<i64> {
    if order == DateOrder::Ymd {
        return year_first(text);
    }
    let Some((first, second, year)) = year_last(text) else {
        return year_first(text);
    };
    let (day, month) = if order == DateOrder::Dmy {
        (first, second)
    } else {
        (second, first)
    };
    days(year, month, day)
}

/// `HH:MM:SS`, `HH:MM`, and both with an hour of one digit, below 24:00, as microseconds.
#[inline]
pub(super) fn time(text: &[u8]) -> Option<i64> {
    const NO_SECONDS: u64 = 0x3030_3a00_0000_0000;
    let word = if let Ok(all) = text.try_into() {
        u64::from_le_bytes(all)
    } else {
        match text.len() {
            7 => word(text)? << 8 | 0x30,
            5 => word(text)? | NO_SECONDS,
            4 => word(text)? << 8 | 0x30 | NO_SECONDS,
            _ => return None,
        }
    };
    // Digits become 0 to 9 and the colons 0, so one test sees both.
    let values = word ^ 0x3030_3a30_303a_3030;
    let over = values.wrapping_add(0x0606_0006_0600_0606) | values;
    if over & 0xf0f0_fff0_f0ff_f0f0 != 0 {
        return None;
    }
    // Hour, minute, second in bytes 0, 3, 6; adding 128 less the bound sets a sign bit at it.
    let parts = pairs(values) & 0x00ff_0000_ff00_00ff;
    if (parts + 0x0044_0000_4400_0068) & 0x0080_0000_8000_0080 != 0 {
        return None;
    }
    let minutes = parts.wrapping_mul(60 << 24 | 1) >> 24 & 0xffff;
    Some((minutes * 60 + (parts >> 48)) as i64 * SECOND)
}

/// The two numbers and the year of `1/2/2007` to `31/12/2007` and `1/2/07` to `31/12/07`.
#[inline]
fn year_last(text: &[u8]) -> Option<(u32, u32, u32)> {
    let tail = u32::from_le_bytes(*text.last_chunk()?);
    let head = word(text.first_chunk::<8>().map_or(text, |head| head))?;
    let (year, width) = match four(tail) {
        Some(year) => (year, 4),
        // The byte before two digits of the year is the mark, which `padded` looks at too.
        None => (short_year(tail)?, 2),
    };
    let (first, second) = padded(head, text.len() - width)?;
    Some((first, second, year))
}

/// `1970` to `2069` from the last two of four bytes.
#[inline]
fn short_year(tail: u32) -> Option<u32> {
    let values = (tail >> 16) ^ 0x3030;
    if (values.wrapping_add(0x0606) | values) & 0xf0f0 != 0 {
        return None;
    }
    let year = (values & 255) * 10 + (values >> 8);
    Some(if year >= 70 { 1900 + year } else { 2000 + year })
}

/// The two numbers of `d/m/`, `d/mm/`, `dd/m/` or `dd/mm/`, `width` bytes long.
#[inline]
fn padded(head: u64, width: usize) -> Option<(u32, u32)> {
    match width {
        6 => two(head),
        5 if is_mark(head >> 8) => two(head << 8 | 0x30),
        5 => two(head & 0xff_ffff | 0x3000_0000 | (head >> 24 & 0xffff) << 32),
        4 => two(0x3000_0030 | (head & 0xffff) << 8 | (head >> 16 & 0xffff) << 32),
        _ => None,
    }
}

/// `yyyy-mm-dd`.
#[inline]
fn year_first(text: &[u8]) -> Option<i64> {
    let text: &[u8; 10] = text.try_into().ok()?;
    let year = four(u32::from_le_bytes(*text.first_chunk()?))?;
    let rest = u64::from_le_bytes(*text.last_chunk()?) >> 16;
    // The first mark goes behind, to make the pattern of `mm/dd/`.
    let (month, day) = two(rest >> 8 | rest << 40)?;
    days(year, month, day)
}

/// The two numbers of `dd/mm/`, if both marks are the same allowed one.
#[inline]
fn two(head: u64) -> Option<(u32, u32)> {
    let values = head ^ 0x30_3000_3030;
    let over = values.wrapping_add(0x06_0600_0606) | values;
    let same = head >> 16 & 255 == head >> 40 & 255;
    if over & 0xf0_f000_f0f0 != 0 || !is_mark(head >> 16) || !same {
        return None;
    }
    let pairs = pairs(values & 0x0f_0f00_0f0f);
    Some(((pairs & 255) as u32, (pairs >> 24 & 255) as u32))
}

/// Whether the lowest byte is one of `, - . /`, which are neighbours.
#[inline]
fn is_mark(word: u64) -> bool {
    word & 0xfc == 0x2c
}

/// Four digits.
#[inline]
fn four(word: u32) -> Option<u32> {
    let values = word ^ 0x3030_3030;
    if (values.wrapping_add(0x0606_0606) | values) & 0xf0f0_f0f0 != 0 {
        return None;
    }
    let pairs = values * 10 + (values >> 8);
    Some((pairs & 255) * 100 + (pairs >> 16 & 255))
}

/// In each byte ten times its value plus that of the next: read where a pair of digits begins.
#[inline]
fn pairs(values: u64) -> u64 {
    values * 10 + (values >> 8)
}

/// Four to eight bytes as a little-endian word, zero above them.
#[inline]
fn word(text: &[u8]) -> Option<u64> {
    if let Ok(all) = text.try_into() {
        return Some(u64::from_le_bytes(all));
    }
    let (low, high) = (text.first_chunk()?, text.last_chunk()?);
    let shift = 8 * (text.len() - 4) as u32;
    let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
    Some(u64::from(low) | u64::from(high).checked_shl(shift)?)
}

/// Days since 1970-01-01 of a valid date of the years 1 to 9999.
#[inline]
fn days(year: u32, month: u32, day: u32) -> Option<i64> {
    let valid = year > 0 && month.wrapping_sub(1) < 12 && day > 0;
    if !valid || (day > 28 && day > super::month_length(i64::from(year), month)) {
        return None;
    }
    let early = month <= 2;
    let year = year - u32::from(early);
    let month = if early { month + 12 } else { month };
    let century = year / 100;
    let count = year * 1461 / 4 - century + century / 4 + (979 * month - 2919) / 32 + day;
    Some(i64::from(count) - 719_469)
}
