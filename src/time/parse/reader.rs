//! A column's reader: remembers the last date, since rows in order repeat it.

use super::{Layout, Parsed, TimeError, byte, fast, time_of_day};
use crate::time::DAY;

/// Reads the dates and stamps of a column, the same as its [`Layout`] but faster where a date
/// stands in many rows one after the other. Cheap to make: one for each thread or chunk.
#[derive(Clone, Debug)]
pub struct Reader {
    layout: Layout,
    /// Width of the date last read (8 to 16 bytes), its first and its last eight bytes.
    seen: (usize, u64, u64),
    days: i64,
}

impl Reader {
    pub(super) fn new(layout: Layout) -> Self {
        Reader {
            layout,
            seen: (0, 0, 0),
            days: 0,
        }
    }

    /// A date as days since 1970-01-01.
    #[inline]
    pub fn date(&mut self, text: &[u8]) -> Result<i64, TimeError> {
        let seen = key(text);
        if seen == self.seen && seen.0 != 0 {
            Ok(self.days)
        } else {
            self.new_date(text, seen)
        }
    }

    /// A date and a time of day from two fields, as local microseconds.
    #[inline]
    pub fn date_and_time(&mut self, date: &[u8], time: &[u8]) -> Result<i64, TimeError> {
        Ok(self.date(date)? * DAY + time_of_day(time)?)
    }

    /// A date with perhaps a time and an offset, in one field.
    #[inline]
    pub fn stamp(&mut self, text: &[u8]) -> Result<Parsed, TimeError> {
        match self.usual_stamp(text) {
            Some(parsed) => Ok(parsed),
            None => self.layout.any_stamp(text),
        }
    }

    /// A date of 6 to 10 bytes, one space or `T`, a time of the usual forms, perhaps `Z`.
    #[inline]
    fn usual_stamp(&mut self, text: &[u8]) -> Option<Parsed> {
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
        let time = fast::time(time)?;
        let local = self.date(date).ok()? * DAY + time;
        Some(if zoned {
            Parsed::Utc(local)
        } else {
            Parsed::Local(local)
        })
    }

    #[cold]
    #[inline(never)]
    fn new_date(&mut self, text: &[u8], seen: (usize, u64, u64)) -> Result<i64, TimeError> {
        self.days = self.layout.date(text).inspect_err(|_| self.seen.0 = 0)?;
        self.seen = seen;
        Ok(self.days)
    }
}

/// What tells texts of 8 to 16 bytes apart; width 0 for others.
#[inline]
fn key(text: &[u8]) -> (usize, u64, u64) {
    match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) if text.len() <= 16 => (
            text.len(),
            u64::from_le_bytes(*first),
            u64::from_le_bytes(*last),
        ),
        _ => (0, 0, 0),
    }
}
