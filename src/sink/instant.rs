//! Instants as text, `2007-01-01 00:00:00` UTC, fast: the day is worked out once a day.

/// Formats microseconds since 1970 as ISO text that sorts like time; the fraction is written only
/// where there is one, six digits long, which keeps the order.
#[derive(Clone, Debug)]
pub(super) struct IsoText {
    day: i64,
    buffer: [u8; 40],
    date: usize,
}

const DAY: i64 = 86_400_000_000;

impl IsoText {
    /// A formatter with no day worked out yet.
    pub fn new() -> Self {
        IsoText {
            day: i64::MIN,
            buffer: [b'0'; 40],
            date: 0,
        }
    }

    /// The text of an instant.
    pub fn text(&mut self, micros: i64) -> &str {
        let day = micros.div_euclid(DAY);
        if day != self.day {
            self.date = write_date(&mut self.buffer, day);
            self.day = day;
        }
        let rest = micros.rem_euclid(DAY);
        let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
        let tail = &mut self.buffer[self.date..];
        tail[0] = b' ';
        two(&mut tail[1..], seconds / 3600);
        tail[3] = b':';
        two(&mut tail[4..], seconds / 60 % 60);
        tail[6] = b':';
        two(&mut tail[7..], seconds % 60);
        let mut end = self.date + 9;
        if fraction != 0 {
            tail[9] = b'.';
            for (i, power) in [10_000, 100, 1].into_iter().enumerate() {
                two(&mut tail[10 + 2 * i..], fraction / power % 100);
            }
            end += 7;
        }
        std::str::from_utf8(&self.buffer[..end]).unwrap_or("")
    }
}

fn two(at: &mut [u8], n: i64) {
    at[0] = b'0' + (n / 10) as u8;
    at[1] = b'0' + (n % 10) as u8;
}

/// Writes the date of a day since 1970, `2007-01-31`; gives its length.
fn write_date(buffer: &mut [u8; 40], day: i64) -> usize {
    let (year, month, d) = date(day);
    let text = format!("{year:04}-{month:02}-{d:02}");
    buffer[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

/// Year, month, day of a day since 1970 in the proleptic Gregorian calendar.
pub(super) fn date(day: i64) -> (i64, i64, i64) {
    // Years from March, in eras of 400: the leap day is then the last of its year.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let d = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_agrees_with_chrono_and_sorts() {
        let mut iso = IsoText::new();
        let mut last = String::new();
        for i in -2000..40_000i64 {
            let micros = i * 40_000_123_457;
            let text = iso.text(micros).to_owned();
            let t = chrono::DateTime::from_timestamp_micros(micros).unwrap();
            assert_eq!(
                text,
                t.format("%Y-%m-%d %H:%M:%S%.6f")
                    .to_string()
                    .replace(".000000", "")
            );
            assert!(last < text);
            last = text;
        }
        assert_eq!(iso.text(0), "1970-01-01 00:00:00");
        assert_eq!(iso.text(500_000), "1970-01-01 00:00:00.500000");
    }

    #[test]
    fn years_of_any_length_fit() {
        let mut iso = IsoText::new();
        assert!(!iso.text(i64::MAX).is_empty() && !iso.text(i64::MIN).is_empty());
    }
}
