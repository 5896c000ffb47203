//! Durations as written in schemas and options: `30s`, `15min`, `1h`, `500ms`.

use crate::{Error, Kind, Result};

/// Microseconds a second.
pub const SECOND: i64 = 1_000_000;

/// Reads a fixed duration into microseconds. Errors: `Usage` with the forms that are read.
///
/// ```
/// assert_eq!(wattline::schema::duration("15min").unwrap(), 900_000_000);
/// ```
pub fn duration(text: &str) -> Result<i64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let micros = number
        .parse::<i64>()
        .ok()
        .zip(unit_micros(unit.trim()))
        .and_then(|(n, unit)| n.checked_mul(unit));
    micros.filter(|n| *n > 0).ok_or_else(|| {
        Error::new(
            Kind::Usage,
            format!(
                "not a duration: {text:?}; write a number and a unit such as 30s, 15min, 1h, 1d"
            ),
        )
    })
}

fn unit_micros(unit: &str) -> Option<i64> {
    Some(match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" | "sec" => SECOND,
        "m" | "min" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => 86_400 * SECOND,
        "w" => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_refusals() {
        assert_eq!(duration("30s").unwrap(), 30 * SECOND);
        assert_eq!(duration(" 2 h ").unwrap(), 7_200 * SECOND);
        assert_eq!(duration("1d").unwrap(), 86_400 * SECOND);
        for bad in ["", "s", "0s", "-1s", "1mo", "1.5h", "99999999999999999d"] {
            assert_eq!(duration(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }
}
