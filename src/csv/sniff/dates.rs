//! Which order of day, month and year the dates of a file allow.

use crate::schema::DateOrder;
use crate::time::parse::{Layout, Parsed, TimeError};

/// The orders that are still possible; what every value so far could be read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orders(u8);

const DMY: u8 = 1;
const MDY: u8 = 2;
const YMD: u8 = 4;

/// Likeliest first, for messages.
const ALL: [(u8, DateOrder); 3] = [
    (DMY, DateOrder::Dmy),
    (MDY, DateOrder::Mdy),
    (YMD, DateOrder::Ymd),
];

impl Orders {
    /// Any order.
    pub const ANY: Orders = Orders(DMY | MDY | YMD);

    /// The orders in which `text` is a date or a stamp; none: it is neither.
    pub fn of(text: &[u8]) -> Orders {
        let bits = ALL.iter().filter(|(_, order)| reads(text, *order));
        Orders(bits.fold(0, |all, (bit, _)| all | bit))
    }

    /// One order.
    pub fn single(order: DateOrder) -> Orders {
        let bits = ALL.iter().filter(|(_, o)| *o == order);
        Orders(bits.fold(0, |all, (bit, _)| all | bit))
    }

    /// As a number, to count by.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The orders of [`Orders::bits`].
    pub fn from_bits(bits: u8) -> Orders {
        Orders(bits)
    }

    /// Those that are in both.
    pub fn and(self, other: Orders) -> Orders {
        Orders(self.0 & other.0)
    }

    /// Whether no order is left.
    pub fn none(self) -> bool {
        self.0 == 0
    }

    /// Whether one is left, or the year stands first in all values.
    pub fn only(self) -> Option<DateOrder> {
        let mut left = ALL.iter().filter(|(bit, _)| self.0 & bit != 0);
        match (left.next(), left.next()) {
            (Some((_, order)), None) => Some(*order),
            _ => None,
        }
    }

    /// Whether `order` is among them.
    pub fn allow(self, order: DateOrder) -> bool {
        ALL.iter().any(|(bit, o)| *o == order && self.0 & bit != 0)
    }

    /// All that are left.
    pub fn list(self) -> Vec<DateOrder> {
        let left = ALL.iter().filter(|(bit, _)| self.0 & bit != 0);
        left.map(|(_, order)| *order).collect()
    }
}

/// A date that begins with four digits is read in every layout; here it speaks for one. A year
/// of two digits is taken to stand last.
fn reads(text: &[u8], order: DateOrder) -> bool {
    let text = text.trim_ascii();
    let first = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let year_first = first == 4;
    if year_first != (order == DateOrder::Ymd) {
        return false;
    }
    Layout::new(Some(order)).stamp(text).is_ok()
}

/// What `text` is as a stamp in `order`.
pub(super) fn stamp(text: &[u8], order: DateOrder) -> Result<Parsed, TimeError> {
    Layout::new(Some(order)).stamp(text)
}

/// The order's name as options write it.
pub(super) fn order_name(order: DateOrder) -> &'static str {
    match order {
        DateOrder::Dmy => "dmy",
        DateOrder::Mdy => "mdy",
        DateOrder::Ymd => "ymd",
    }
}

/// The date of `text` read in `order`, as `3 February 2007`.
pub(super) fn spelled(text: &[u8], order: DateOrder) -> Option<String> {
    let (Parsed::Local(at) | Parsed::Utc(at)) = stamp(text, order).ok()?;
    let date = chrono::DateTime::from_timestamp_micros(at)?;
    Some(date.format("%-d %B %Y").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_above_twelve_decides() {
        assert_eq!(Orders::of(b"14/1/2007").only(), Some(DateOrder::Dmy));
        assert_eq!(Orders::of(b"1/14/07").only(), Some(DateOrder::Mdy));
        assert_eq!(
            Orders::of(b"2007-01-14T10:00:00Z").only(),
            Some(DateOrder::Ymd)
        );
        assert_eq!(Orders::of(b"1/2/07 0:00").only(), None);
        assert_eq!(
            Orders::of(b"1/2/07").list(),
            [DateOrder::Dmy, DateOrder::Mdy]
        );
        assert!(Orders::of(b"31/31/2007").none());
        assert!(Orders::of(b"12.5").none());
    }

    #[test]
    fn both_readings_are_spelled() {
        assert_eq!(
            spelled(b"1/2/07", DateOrder::Dmy).unwrap(),
            "1 February 2007"
        );
        assert_eq!(
            spelled(b"1/2/07", DateOrder::Mdy).unwrap(),
            "2 January 2007"
        );
    }
}
