//! Durations as text: `30s`, `15min`, `1h`, `1d`, `250ms`. Calendar grains are not durations.

use super::{DAY, HOUR, MINUTE, SECOND};
use crate::{Error, Kind, Result};

/// Units by length, longest first.
const UNITS: [(&str, i64); 6] = [
    ("d", DAY),
    ("h", HOUR),
    ("min", MINUTE),
    ("s", SECOND),
    ("ms", 1000),
    ("us", 1),
];

/// Reads a duration such as `30s`, `1h` or `1h30min` as microseconds.
pub fn parse(text: &str) -> Result<i64> {
    let mut rest = text.trim();
    let mut total = 0_i64;
    if rest.is_empty() {
        return Err(refuse(text));
    }
    while !rest.is_empty() {
        let (part, after) = term(rest).ok_or_else(|| refuse(text))?;
        total = total.checked_add(part).ok_or_else(|| refuse(text))?;
        rest = after;
    }
    Ok(total)
}

/// The same for a length of something: none is refused.
pub fn positive(text: &str) -> Result<i64> {
    match parse(text)? {
        0 => Err(Error::new(
            Kind::Usage,
            format!("{text:?} has no length; give a longer one"),
        )),
        length => Ok(length),
    }
}

/// A leading `15min` as microseconds, and what follows it.
fn term(text: &str) -> Option<(i64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, after) = rest.split_at(letters);
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some((number.parse::<i64>().ok()?.checked_mul(*length)?, after))
}

fn refuse(text: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!(
            "{text:?} is not a duration: write a whole number with a unit, such as 250ms, 30s, 15min, 1h or 1d \
             (months and years have no fixed length)"
        ),
    )
}

/// Writes microseconds in the largest unit that divides them: `15min`.
pub fn format(us: i64) -> String {
    let (name, length) = UNITS
        .into_iter()
        .find(|(_, length)| us != 0 && us % length == 0)
        .unwrap_or(("s", SECOND));
    std::format!("{}{name}", us / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, us) in [
            ("250ms", 250_000),
            ("30s", 30 * SECOND),
            ("1min", MINUTE),
            ("15min", 15 * MINUTE),
            ("1h", HOUR),
            ("1d", DAY),
            ("7us", 7),
            ("1h30min", 90 * MINUTE),
            (" 0s ", 0),
        ] {
            assert_eq!(parse(text).unwrap(), us, "{text}");
        }
    }

    #[test]
    fn a_length_is_above_nothing() {
        assert_eq!(positive("1s").unwrap(), SECOND);
        assert_eq!(positive("0s").unwrap_err().kind, Kind::Usage);
        assert!(positive("fast").is_err());
    }

    #[test]
    fn refuses_what_has_no_fixed_length() {
        for text in [
            "",
            "1mo",
            "1y",
            "1q",
            "1w",
            "h",
            "15",
            "-1h",
            "1.5h",
            "1 h",
            "9999999999999d",
            "1hé",
        ] {
            assert_eq!(parse(text).unwrap_err().kind, Kind::Usage, "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in [
            "250ms", "30s", "90s", "15min", "1h", "36h", "1d", "7us", "0s",
        ] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }
}
