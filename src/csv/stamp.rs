//! Stamps: dates and times of a column, with the shortcuts that regular files allow.
//!
//! The grammar is that of [`crate::time::parse`]. Here the same date as in the row before costs
//! one comparison, and `HH:MM:SS`, `H:MM:SS` and `HH:MM` are read in one machine word.

use super::number::word;
use super::wide::Date;
use crate::time::parse::{Layout, Parsed, TimeError, time_of_day};
use crate::time::{Alone, Converter, DAY, LocalError, SECOND};

/// Added to a local time that waits for the rows before it; no written date comes near.
pub(crate) const WAITS: i64 = 1 << 62;

/// Why a field gives no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFault {
    /// It cannot be read.
    Text(TimeError),
    /// Its local time has no instant, or two.
    Local(LocalError),
    /// A policy makes it null.
    Null,
}

/// Reads the times of one column, in file order within a chunk.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    layout: Layout,
    /// Local times to instants; `None`: the wall clock is taken for UTC.
    zone: Option<Converter>,
    /// Times near a change wait for the order of the file: they stay local, plus [`WAITS`].
    ordered: bool,
    /// An end stamp moves back this far.
    back: i64,
    last: Last,
}

/// The date text read last and its midnight.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    len: usize,
    head: u64,
    tail: u64,
    midnight: i64,
}

impl Clock {
    pub(crate) fn new(layout: Layout, zone: Option<Converter>, back: i64) -> Self {
        Clock {
            layout,
            zone,
            ordered: false,
            back,
            last: Last::default(),
        }
    }

    /// The same where times near a change are settled later, in file order.
    pub(crate) fn ordered(mut self, ordered: bool) -> Self {
        self.ordered = ordered;
        self
    }

    /// Midnight of the date at `start..end`.
    #[inline(always)]
    pub(crate) fn midnight(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
    ) -> Result<i64, TimeError> {
        let len = end.wrapping_sub(start);
        let Some((head, tail)) = key(bytes, start, len) else {
            return self.read_date(bytes.get(start..end).unwrap_or_default());
        };
        let last = self.last;
        if head == last.head && tail == last.tail && len == last.len {
            return Ok(last.midnight);
        }
        let midnight = self.read_date(bytes.get(start..end).unwrap_or_default())?;
        self.last = Last {
            len,
            head,
            tail,
            midnight,
        };
        Ok(midnight)
    }

    fn read_date(&self, text: &[u8]) -> Result<i64, TimeError> {
        self.layout.date(text).map(|days| days * DAY)
    }

    /// The instant of a date field and a time field.
    #[inline(always)]
    pub(crate) fn two(
        &mut self,
        bytes: &[u8],
        date: (usize, usize),
        time: (usize, usize),
    ) -> Result<i64, TimeFault> {
        let midnight = self
            .midnight(bytes, date.0, date.1)
            .map_err(TimeFault::Text)?;
        let within = within(bytes, time.0, time.1).map_err(TimeFault::Text)?;
        self.instant(midnight + within)
    }

    /// The instant of a whole stamp in one field.
    #[inline(always)]
    pub(crate) fn one(&mut self, bytes: &[u8], start: usize, end: usize) -> Result<i64, TimeFault> {
        // A date of the same width as before, a mark and a plain time.
        let split = start + self.last.len;
        if self.last.len > 0 && split < end && matches!(bytes.get(split), Some(b' ' | b'T')) {
            let same = key(bytes, start, self.last.len) == Some((self.last.head, self.last.tail));
            if same && let Some(time) = short_time(bytes, split + 1, end) {
                return self.instant(self.last.midnight + time);
            }
        }
        self.whole(bytes, start, end)
    }

    fn whole(&mut self, bytes: &[u8], start: usize, end: usize) -> Result<i64, TimeFault> {
        let text = bytes.get(start..end).unwrap_or_default();
        if let Some(at) = text.iter().position(|b| matches!(b, b' ' | b'T'))
            && at > 0
        {
            // Remembers the date; a fault of it is named by the reading below.
            let _ = self.midnight(bytes, start, start + at);
        }
        match self.layout.stamp(text).map_err(TimeFault::Text)? {
            Parsed::Utc(instant) => Ok(instant - self.back),
            Parsed::Local(local) => self.instant(local),
        }
    }

    /// The instant of a local time, end stamps moved back.
    #[inline(always)]
    pub(crate) fn instant(&mut self, local: i64) -> Result<i64, TimeFault> {
        let utc = match &mut self.zone {
            None => local,
            Some(zone) if self.ordered => match zone.alone(local) {
                Ok(Alone::Instant(utc)) => utc,
                Ok(Alone::Ordered) => return Ok(local.saturating_add(WAITS)),
                Ok(Alone::Null) => return Err(TimeFault::Null),
                Err(fault) => return Err(TimeFault::Local(fault)),
            },
            Some(zone) => match zone.convert(local, 0) {
                Ok(Some(utc)) => utc,
                Ok(None) => return Err(TimeFault::Null),
                Err(fault) => return Err(TimeFault::Local(fault)),
            },
        };
        Ok(utc - self.back)
    }

    /// The date read last and its midnight as an instant, where no zone has a say.
    pub(crate) fn same_date(&self) -> Option<(Date, i64)> {
        let date = Date {
            len: self.last.len,
            head: self.last.head,
            tail: self.last.tail,
        };
        let plain = self.zone.is_none() && self.last.len > 0;
        plain.then_some((date, self.last.midnight - self.back))
    }

    /// An instant that needs no zone.
    pub(crate) fn back(&self, utc: i64) -> Option<i64> {
        utc.checked_sub(self.back)
    }
}

/// Text of up to 16 bytes as two words; `None`: empty, longer, or too near the end.
#[inline(always)]
fn key(bytes: &[u8], start: usize, len: usize) -> Option<(u64, u64)> {
    let head = word(bytes, start)?;
    match len {
        1..=7 => Some((head & ((1 << (8 * len)) - 1), 0)),
        8..=16 => Some((head, word(bytes, start + len - 8)?)),
        _ => None,
    }
}

/// The time of day at `start..end`, microseconds.
#[inline(always)]
pub(crate) fn within(bytes: &[u8], start: usize, end: usize) -> Result<i64, TimeError> {
    match short_time(bytes, start, end) {
        Some(time) => Ok(time),
        None => time_of_day(bytes.get(start..end).unwrap_or_default()),
    }
}

/// `HH:MM:SS`, `H:MM:SS` or `HH:MM` before 24:00; `None`: anything else.
#[inline(always)]
fn short_time(bytes: &[u8], start: usize, end: usize) -> Option<i64> {
    let text = word(bytes, start)?;
    let text = match end.wrapping_sub(start) {
        8 => text,
        7 => (text << 8) | u64::from(b'0'),
        5 => (text & 0xff_ffff_ffff) | 0x3030_3a00_0000_0000,
        _ => return None,
    };
    let x = text ^ u64::from_le_bytes(*b"00:00:00");
    let colons = 0x0000_ff00_00ff_0000;
    if x & colons != 0 || (x.wrapping_add(0x7676_7676_7676_7676) | x) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = x.wrapping_mul(10).wrapping_add(x >> 8);
    let (h, m, s) = (pairs & 255, (pairs >> 24) & 255, (pairs >> 48) & 255);
    (h < 24 && m < 60 && s < 60).then_some((h * 3600 + m * 60 + s) as i64 * SECOND)
}

/// Seconds (`unit` 1_000_000) or milliseconds (1_000) since 1970 as microseconds; digits beyond
/// a microsecond are dropped.
pub(crate) fn epoch(text: &[u8], unit: i64) -> Option<i64> {
    let text = text.trim_ascii();
    let (minus, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut halves = digits.splitn(2, |b| *b == b'.');
    let whole = halves.next().unwrap_or_default();
    let behind = halves.next().unwrap_or_default();
    if whole.is_empty() || !whole.iter().chain(behind).all(u8::is_ascii_digit) {
        return None;
    }
    let mut value = 0i64;
    for b in whole {
        value = value.checked_mul(10)?.checked_add(i64::from(b - b'0'))?;
    }
    value = value.checked_mul(unit)?;
    let mut place = unit;
    for b in behind {
        place /= 10;
        value = value.checked_add(i64::from(b - b'0') * place)?;
    }
    Some(if minus { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::DateOrder;
    use proptest::prelude::*;

    fn clock() -> Clock {
        Clock::new(Layout::new(Some(DateOrder::Dmy)), None, 0)
    }

    #[test]
    fn the_shortcut_reads_what_the_grammar_reads() {
        for text in [
            "00:00:00", "23:59:59", "0:01:00", "24:00:00", "24:00", "12:30", "1:2:3", "12:60",
            "1a:00:00", "12;00;00", "",
        ] {
            let padded = format!("{text};;;;;;;;");
            assert_eq!(
                within(padded.as_bytes(), 0, text.len()),
                time_of_day(text.as_bytes()),
                "{text}"
            );
        }
    }

    #[test]
    fn dates_of_mixed_width() {
        let mut clock = clock();
        for (text, days) in [
            ("1/1/07;;;;;;;;;;", 13_514),
            ("14/1/2007;;;;;;;;;", 13_527),
            ("14/1/2007;;;;;;;;;", 13_527),
            ("1/1/07;;;;;;;;;", 13_514),
        ] {
            let end = text.find(';').unwrap();
            assert_eq!(clock.midnight(text.as_bytes(), 0, end), Ok(days * DAY));
        }
    }

    #[test]
    fn epochs() {
        assert_eq!(epoch(b"1.5", 1_000_000), Some(1_500_000));
        assert_eq!(epoch(b"-1", 1_000), Some(-1_000));
        assert_eq!(
            epoch(b"1167609600123.4567", 1_000),
            Some(1_167_609_600_123_456)
        );
        for text in ["", "-", "1e3", "1.x", "99999999999999"] {
            assert_eq!(epoch(text.as_bytes(), 1_000_000), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn stamps_do_not_depend_on_the_row_before(texts in prop::collection::vec(
            "(1|16|2)/(1|12|02)/(07|2007)[ T](0|12|24):(00|1)(:30)?|20(07|08)-0[12]-[013]1[T ]1[23]:00:00(Z|\\+01:00|\\.5)?", 1..8)) {
            let mut running = clock();
            for text in texts {
                let padded = format!("{text};;;;;;;;;;;;;;;;");
                let got = running.one(padded.as_bytes(), 0, text.len());
                let want = match Layout::new(Some(DateOrder::Dmy)).stamp(text.as_bytes()) {
                    Ok(Parsed::Local(t) | Parsed::Utc(t)) => Ok(t),
                    Err(e) => Err(TimeFault::Text(e)),
                };
                prop_assert_eq!(got, want, "{}", text);
            }
        }
    }
}
