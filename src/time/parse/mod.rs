//! Dates, times of day and stamps from the bytes of a field. No allocation.
//!
//! **Dates** are day-month-year, month-day-year or year-month-day as the [`Layout`] says, with
//! one of `/ - . ,` twice; day and month have one or two digits, the year four or two. A
//! two-digit year 70 to 99 is 1970 to 1999, 00 to 69 is 2000 to 2069. A date that begins with four digits is
//! year-month-day in every layout, since it can be read in no other way.
//!
//! **Times of day** are `H:MM`, `H:MM:SS` with a fraction after `.` or `,` (digits beyond
//! microseconds are dropped), each part with one or two digits, then perhaps `AM` or `PM`. `24:00` is
//! the midnight that ends the day. A leap second (`:60`) is not a time of this clock.
//!
//! **Stamps** are a date, then spaces or `T`, then a time, then perhaps `Z`, `±HH`, `±HHMM` or
//! `±HH:MM`: with one of these the result is an instant, otherwise a local time. A date alone
//! is its midnight. Spaces around a field do not matter.

mod fast;

use super::civil::{days_from_civil, month_length};
use super::{DAY, HOUR, MINUTE, SECOND};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first and the last instant of the years 1 to 9999, µs.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

/// Order of day, month and year where digits alone do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum DateOrder {
    Dmy,
    Mdy,
    Ymd,
}

/// Why a field is not a date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeError {
    /// Not written as a date in this layout.
    NotDate,
    /// Written as a date, but no such day.
    NoSuchDay,
    /// Not written as a time of day.
    NotTime,
    /// Written as a time, but no such time of day.
    NoSuchTime,
    /// The offset from UTC is not one.
    BadOffset,
}

impl TimeError {
    /// One clause for a reject.
    pub fn reason(self) -> &'static str {
        match self {
            TimeError::NotDate => "not a date in this layout",
            TimeError::NoSuchDay => "no such day in the calendar",
            TimeError::NotTime => "not a time of day",
            TimeError::NoSuchTime => "no such time of day",
            TimeError::BadOffset => "not an offset from UTC",
        }
    }
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for TimeError {}

/// What a stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A wall clock's time, microseconds as if it were UTC.
    Local(i64),
    /// An instant: the field carried its offset.
    Utc(i64),
}

/// How dates are written; chosen once a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    order: DateOrder,
}

impl Layout {
    /// The layout for an order of day, month and year; `None`: year-month-day.
    pub fn new(order: Option<DateOrder>) -> Self {
        Layout {
            order: order.unwrap_or(DateOrder::Ymd),
        }
    }

    /// A date as days since 1970-01-01.
    #[inline]
    pub fn date(&self, text: &[u8]) -> Result<i64, TimeError> {
        match fast::date(self.order, text) {
            Some(days) => Ok(days),
            None => self.any_date(text),
        }
    }

    /// A date with perhaps a time and an offset, in one field.
    #[inline]
    pub fn stamp(&self, text: &[u8]) -> Result<Parsed, TimeError> {
        match self.usual_stamp(text) {
            Some(parsed) => Ok(parsed),
            None => self.any_stamp(text),
        }
    }

    /// A date of 6 to 10 bytes, one space or `T`, a time of the usual forms, perhaps `Z`.
    #[inline]
    fn usual_stamp(&self, text: &[u8]) -> Option<Parsed> {
        let is_mark = |at: &usize| matches!(byte(text, *at), b' ' | b'T');
        let at = if is_mark(&10) {
            10
        } else {
            [8, 9, 6, 7].into_iter().find(is_mark)?
        };
        let (date, rest) = text.split_at_checked(at)?;
        let (time, zoned) = match rest.get(1..)? {
            [time @ .., b'Z'] => (time, true),
            time => (time, false),
        };
        let local = fast::date(self.order, date)? * DAY + fast::time(time)?;
        Some(if zoned {
            Parsed::Utc(local)
        } else {
            Parsed::Local(local)
        })
    }

    #[cold]
    fn any_date(&self, text: &[u8]) -> Result<i64, TimeError> {
        let text = text.trim_ascii();
        let (days, used) = self.leading_date(text)?;
        if used == text.len() {
            Ok(days)
        } else {
            Err(TimeError::NotDate)
        }
    }

    #[cold]
    fn any_stamp(&self, text: &[u8]) -> Result<Parsed, TimeError> {
        let text = text.trim_ascii();
        let (days, used) = self.leading_date(text)?;
        let midnight = days * DAY;
        let Some((mark, rest)) = text[used..].split_first() else {
            return Ok(Parsed::Local(midnight));
        };
        let rest = match mark {
            b'T' | b't' => rest,
            b' ' => rest.trim_ascii_start(),
            _ => return Err(TimeError::NotDate),
        };
        let (time, used) = leading_time(rest)?;
        match offset(rest[used..].trim_ascii_start())? {
            None => Ok(Parsed::Local(midnight + time)),
            Some(offset) => in_years(midnight + time - offset).map(Parsed::Utc),
        }
    }

    /// Days of the date that `text` begins with, and its length.
    fn leading_date(&self, text: &[u8]) -> Result<(i64, usize), TimeError> {
        let (first, a) = digits(text, 4);
        let mark = byte(text, a);
        let (second, b) = digits(text.get(a + 1..).unwrap_or_default(), 2);
        let (third, c) = digits(text.get(a + b + 2..).unwrap_or_default(), 4);
        let marked = matches!(mark, b'/' | b'-' | b'.' | b',') && byte(text, a + b + 1) == mark;
        if !marked || b == 0 {
            return Err(TimeError::NotDate);
        }
        let ((year, width), month, day, other) = match self.order {
            _ if a == 4 => ((first, a), second, third, c),
            DateOrder::Dmy => ((third, c), second, first, a),
            DateOrder::Mdy => ((third, c), first, second, a),
            DateOrder::Ymd => ((first, a), second, third, c),
        };
        if other == 0 || other > 2 {
            return Err(TimeError::NotDate);
        }
        let year = i64::from(full_year(year, width).ok_or(TimeError::NotDate)?);
        if year == 0 || day == 0 || day > month_length(year, month) {
            return Err(TimeError::NoSuchDay);
        }
        Ok((days_from_civil(year, month, day), a + b + c + 2))
    }
}

/// A time of day as microseconds since midnight, at most `24:00`.
#[inline]
pub fn time_of_day(text: &[u8]) -> Result<i64, TimeError> {
    match fast::time(text) {
        Some(time) => Ok(time),
        None => any_time(text),
    }
}

#[cold]
fn any_time(text: &[u8]) -> Result<i64, TimeError> {
    let text = text.trim_ascii();
    let (time, used) = leading_time(text)?;
    if used == text.len() {
        Ok(time)
    } else {
        Err(TimeError::NotTime)
    }
}

/// The time of day that `text` begins with, and its length.
fn leading_time(text: &[u8]) -> Result<(i64, usize), TimeError> {
    let (hour, a) = digits(text, 2);
    let (minute, b) = digits(text.get(a + 1..).unwrap_or_default(), 2);
    if a == 0 || b == 0 || byte(text, a) != b':' {
        return Err(TimeError::NotTime);
    }
    let (within, used) = seconds(text, a + b + 1)?;
    let (hour, used) = half_day(text, hour, used)?;
    let time = i64::from(hour) * HOUR + i64::from(minute) * MINUTE + within;
    if minute > 59 || within >= MINUTE || time > DAY {
        return Err(TimeError::NoSuchTime);
    }
    Ok((time, used))
}

/// `:SS` and a fraction at `at`, if there, as microseconds, and where they end.
fn seconds(text: &[u8], at: usize) -> Result<(i64, usize), TimeError> {
    if byte(text, at) != b':' {
        return Ok((0, at));
    }
    let (seconds, width) = digits(text.get(at + 1..).unwrap_or_default(), 2);
    if width == 0 {
        return Err(TimeError::NotTime);
    }
    let end = at + 1 + width;
    let whole = i64::from(seconds) * SECOND;
    match byte(text, end) {
        b'.' | b',' => fraction(text, end + 1).map(|(us, end)| (whole + us, end)),
        _ => Ok((whole, end)),
    }
}

fn fraction(text: &[u8], at: usize) -> Result<(i64, usize), TimeError> {
    let rest = text.get(at..).unwrap_or_default();
    let width = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if width == 0 {
        return Err(TimeError::NotTime);
    }
    let digit = |place: usize| {
        rest[..width]
            .get(place)
            .map_or(0, |byte| i64::from(byte - b'0'))
    };
    Ok((
        (0..6).fold(0, |us, place| us * 10 + digit(place)),
        at + width,
    ))
}

/// The hour after a following `AM` or `PM`, and where that ends.
fn half_day(text: &[u8], hour: u32, at: usize) -> Result<(u32, usize), TimeError> {
    if at == text.len() {
        return Ok((hour, at));
    }
    let spaces = usize::from(byte(text, at) == b' ');
    let base = match byte(text, at + spaces) | 0x20 {
        b'a' => 0,
        b'p' => 12,
        _ => return Ok((hour, at)),
    };
    if byte(text, at + spaces + 1) | 0x20 != b'm' {
        return Err(TimeError::NotTime);
    }
    if hour == 0 || hour > 12 {
        return Err(TimeError::NoSuchTime);
    }
    Ok((hour % 12 + base, at + spaces + 2))
}

/// `Z`, `±HH`, `±HHMM` or `±HH:MM` and nothing after it, as microseconds; `None` where nothing is.
/// An instant whose year has four digits: an offset can lead out of them.
fn in_years(instant: i64) -> Result<i64, TimeError> {
    match (FIRST..=LAST).contains(&instant) {
        true => Ok(instant),
        false => Err(TimeError::NoSuchDay),
    }
}

fn offset(text: &[u8]) -> Result<Option<i64>, TimeError> {
    let Some((sign, rest)) = text.split_first() else {
        return Ok(None);
    };
    let sign = match sign {
        b'Z' | b'z' if rest.is_empty() => return Ok(Some(0)),
        b'+' => 1,
        b'-' => -1,
        _ => return Err(TimeError::NotTime),
    };
    let (hours, a) = digits(rest, 2);
    let colon = usize::from(byte(rest, a) == b':');
    let (minutes, b) = digits(rest.get(a + colon..).unwrap_or_default(), 2);
    let shaped = a == 2 && a + colon + b == rest.len() && (b == 2 || (b == 0 && colon == 0));
    if !shaped || hours > 23 || minutes > 59 {
        return Err(TimeError::BadOffset);
    }
    Ok(Some(
        sign * (i64::from(hours) * HOUR + i64::from(minutes) * MINUTE),
    ))
}

/// The number made of up to `most` leading digits, and how many they are.
#[inline]
fn digits(text: &[u8], most: usize) -> (u32, usize) {
    let mut number = 0;
    let mut width = 0;
    for byte in text.iter().take(most) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number * 10 + u32::from(digit);
        width += 1;
    }
    (number, width)
}

/// The byte at `at`, 0 beyond the end.
#[inline]
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The year of two or four digits.
#[inline]
fn full_year(year: u32, width: usize) -> Option<u32> {
    match width {
        4 => Some(year),
        2 if year >= 70 => Some(1900 + year),
        2 => Some(2000 + year),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
