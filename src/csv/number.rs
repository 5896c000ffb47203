//! Numbers: text to the nearest float, bit for bit what the standard library gives.
//!
//! Fields of up to eight bytes, nearly all of them, are read in one machine word without a
//! branch on their digits. A mantissa of at most 2^53 divided by an exact power of ten is
//! correctly rounded (Clinger). Everything else goes to the standard library.

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The decimal mark.
    pub decimal: u8,
    /// The thousands mark.
    pub thousands: Option<u8>,
}

const ZEROS: u64 = 0x3030_3030_3030_3030;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Powers of ten by the leading zeros of the decimal mark's bit, in bytes; 8: no mark.
const BY_MARK: [f64; 9] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1.0];

/// The powers of ten that a float holds exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Value of eight digits held as bytes 0 to 9, the first in the lowest byte.
#[inline(always)]
fn eight(x: u64) -> u64 {
    let x = x.wrapping_mul(2561) >> 8;
    let x = (x & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    (x & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32
}

/// Whether every byte is 0 to 9.
#[inline(always)]
fn all_digits(x: u64) -> bool {
    (x.wrapping_add(0x7676_7676_7676_7676) | x) & HIGH == 0
}

/// The eight bytes at `at`, if they lie within `bytes`.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at.wrapping_add(8))
        .and_then(|s| s.try_into().ok())
        .map(u64::from_le_bytes)
}

/// Reads `bytes[start..end]` as a decimal of up to eight bytes; `None`: not that simple.
#[inline(always)]
pub(crate) fn short_float(bytes: &[u8], start: usize, end: usize, decimal: u8) -> Option<f64> {
    let text = word(bytes, start)?;
    let len = end.wrapping_sub(start);
    if len.wrapping_sub(1) > 7 {
        return None;
    }
    let minus = (text as u8 == b'-') as usize;
    let len = len - minus;
    // Digits to the top, so that the last is in the highest byte; nothing below.
    let x = (text >> (8 * minus)).checked_shl(64 - 8 * len as u32)?;
    let differ = x ^ (ONES * u64::from(decimal));
    let mark = differ.wrapping_sub(ONES) & !differ & HIGH;
    let mark = mark & mark.wrapping_neg();
    let has = (mark != 0) as u64;
    let byte = mark >> 7;
    let below = byte.wrapping_sub(has);
    let x = (x & !(below | (byte * 255))) | ((x & below) << 8);
    let zeros = ZEROS.checked_shl(64 - 8 * (len as u32 - has as u32))?;
    let x = x ^ zeros;
    if !all_digits(x) {
        return None;
    }
    let value = eight(x) as f64 / BY_MARK[(mark.leading_zeros() >> 3) as usize];
    Some(if minus == 1 { -value } else { value })
}

/// Reads `bytes[start..end]` as up to eight digits with an optional minus; `None`: not that simple.
#[inline(always)]
pub(crate) fn short_integer(bytes: &[u8], start: usize, end: usize) -> Option<i64> {
    let text = word(bytes, start)?;
    let len = end.wrapping_sub(start);
    if len.wrapping_sub(1) > 7 {
        return None;
    }
    let minus = (text as u8 == b'-') as usize;
    let shift = 64 - 8 * (len - minus) as u32;
    let x = (text >> (8 * minus)).checked_shl(shift)? ^ ZEROS.checked_shl(shift)?;
    if !all_digits(x) {
        return None;
    }
    let value = eight(x) as i64;
    Some(if minus == 1 { -value } else { value })
}

/// Where the marks of a short number stand, counted from the end, and what follows from that: all
/// for the eight bytes before the end of a field, the first of them in the lowest byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// `0` for a digit, else the mark itself: what the bytes are exclusive-or'd with.
    pub pattern: u64,
    /// The most that may come of it: 9 for a digit, 0 for a mark.
    pub most: u64,
    /// Factors of the bytes, to make numbers of two.
    pub pairs: u64,
    /// Factors of these, to make numbers of four.
    pub fours: u64,
    /// Factor of the higher of these.
    pub high: u64,
    /// Least length of the field.
    pub least: u64,
    /// The power of ten of the digits behind the decimal mark.
    pub by: f64,
}

impl Shape {
    /// The shape of `text`; `None`: not a short number without a sign. `cr`: a CR may stand at its end.
    pub(crate) fn of(text: &[u8], decimal: Option<u8>, cr: bool) -> Option<Shape> {
        let end = text.strip_suffix(b"\r").filter(|_| cr).unwrap_or(text);
        let point = end.iter().rposition(|b| Some(*b) == decimal);
        let behind = point.map_or(0, |at| end.len() - 1 - at);
        let (cr, mark) = (text.len() - end.len(), usize::from(point.is_some()));
        let least = cr + behind + mark + usize::from(behind == 0);
        if least > 8 {
            return None;
        }
        let mut bytes = [b'0'; 8];
        if cr == 1 {
            bytes[7] = b'\r';
        }
        if let Some(decimal) = decimal.filter(|_| mark == 1) {
            bytes[7 - cr - behind] = decimal;
        }
        Some(Shape::within(bytes, least, behind))
    }

    fn within(bytes: [u8; 8], least: usize, behind: usize) -> Shape {
        let digit = bytes.map(|b| u8::from(b == b'0'));
        let (mut pairs, mut fours) = ([0u8; 8], [0u16; 4]);
        for (i, [a, b]) in digit.as_chunks::<2>().0.iter().enumerate() {
            pairs[2 * i] = a * if *b == 1 { 10 } else { 1 };
            pairs[2 * i + 1] = *b;
            fours[i] = 1;
            if i % 2 == 1 {
                fours[i - 1] = 10u16.pow(u32::from(a + b));
            }
        }
        let low: u8 = digit[4..].iter().sum();
        Shape {
            pattern: u64::from_le_bytes(bytes),
            most: u64::from_le_bytes(digit.map(|d| 9 * d)),
            pairs: u64::from_le_bytes(pairs),
            fours: fours
                .iter()
                .rev()
                .fold(0, |all, f| all << 16 | u64::from(*f)),
            high: 10u64.pow(u32::from(low)),
            least: least as u64,
            by: EXACT[behind],
        }
    }
}

/// Reads any decimal or scientific number; `None`: not one, or not finite.
pub(crate) fn float(text: &[u8], marks: Marks) -> Option<f64> {
    if let Some(value) = exact(text, marks.decimal) {
        return Some(value);
    }
    let plain = plain(text, marks)?;
    let value: f64 = std::str::from_utf8(&plain).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Reads an integer within 64 bits.
pub(crate) fn integer(text: &[u8], marks: Marks) -> Option<i64> {
    let plain = plain(text, marks)?;
    std::str::from_utf8(&plain).ok()?.parse().ok()
}

/// Digits with at most one decimal mark whose value is an exact quotient.
fn exact(text: &[u8], decimal: u8) -> Option<f64> {
    let (minus, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mut mantissa, mut behind, mut seen) = (0u64, None, 0usize);
    for &b in digits {
        if b.is_ascii_digit() {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(b - b'0'));
            seen += 1;
        } else if b == decimal && behind.is_none() {
            behind = Some(seen);
        } else {
            return None;
        }
    }
    if seen == 0 || seen > 19 || mantissa > 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / EXACT[behind.map_or(0, |b| seen - b)];
    Some(if minus { -value } else { value })
}

/// The number as the standard library reads it: thousands marks gone, `.` as the decimal
/// mark, and none of the words it would take (`inf`, `nan`).
fn plain(text: &[u8], marks: Marks) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for &b in text {
        match b {
            b if b == marks.decimal => out.push(b'.'),
            b if Some(b) == marks.thousands => {}
            b'0'..=b'9' | b'+' | b'-' | b'e' | b'E' => out.push(b),
            _ => return None,
        }
    }
    grouped(text, marks).then_some(out)
}

/// Whether thousands marks stand where they should: every three digits before the decimal mark.
fn grouped(text: &[u8], marks: Marks) -> bool {
    let Some(mark) = marks.thousands else {
        return true;
    };
    if !text.contains(&mark) {
        return true;
    }
    let unsigned = match text {
        [b'-' | b'+', rest @ ..] => rest,
        rest => rest,
    };
    let mut halves = unsigned.splitn(2, |b| *b == marks.decimal);
    let whole = halves.next().unwrap_or_default();
    let behind = halves.next().unwrap_or_default();
    let mut groups = whole.split(|b| *b == mark);
    let first = groups.next().unwrap_or_default();
    let digits = |g: &[u8]| g.iter().all(u8::is_ascii_digit);
    !behind.contains(&mark)
        && (1..=3).contains(&first.len())
        && digits(first)
        && groups.all(|g| g.len() == 3 && digits(g))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POINT: Marks = Marks {
        decimal: b'.',
        thousands: None,
    };

    fn read(text: &str) -> Option<f64> {
        let padded = [text.as_bytes(), b";;;;;;;;"].concat();
        let quick = short_float(&padded, 0, text.len(), b'.');
        let slow = float(text.as_bytes(), POINT);
        if quick.is_some() {
            assert_eq!(quick.map(f64::to_bits), slow.map(f64::to_bits), "{text}");
        }
        slow
    }

    #[test]
    fn edges() {
        for text in [
            "0",
            "-0",
            ".5",
            "5.",
            "-.5",
            "1e5",
            "+7",
            "9007199254740993",
            "1e-400",
        ] {
            let want: f64 = text.parse().unwrap();
            assert_eq!(read(text).map(f64::to_bits), Some(want.to_bits()), "{text}");
        }
        for text in [
            "", "-", ".", "-.", "1..2", "1.2.3", "nan", "inf", "-inf", "1e999", "1 2", "0x1",
            "--1", "1-",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn marks_of_other_countries() {
        let german = Marks {
            decimal: b',',
            thousands: Some(b'.'),
        };
        assert_eq!(float(b"1.234.567,5", german), Some(1_234_567.5));
        assert_eq!(float(b"-1.234,5e1", german), Some(-12_345.0));
        for text in ["1.23", "12.34,5", ".123", "1,234.5", "1234.567.", "1,2,3"] {
            assert_eq!(float(text.as_bytes(), german), None, "{text}");
        }
        assert_eq!(integer(b"1.234", german), Some(1234));
        assert_eq!(
            float(
                b"1.5",
                Marks {
                    decimal: b',',
                    thousands: None
                }
            ),
            None
        );
    }

    #[test]
    fn integers_stay_within_64_bits() {
        assert_eq!(integer(b"-9223372036854775808", POINT), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775808", POINT), None);
        assert_eq!(integer(b"1.0", POINT), None);
        assert_eq!(short_integer(b"-1234567;", 0, 8), Some(-1_234_567));
        assert_eq!(short_integer(b"-;;;;;;;;", 0, 1), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn as_the_standard_library(text in "-?[0-9]{0,12}(\\.[0-9]{0,12})?(e-?[0-9]{1,3})?") {
            let want = text.parse::<f64>().ok().filter(|v| v.is_finite());
            prop_assert_eq!(read(&text).map(f64::to_bits), want.map(f64::to_bits));
        }

        #[test]
        fn short_ones_as_the_standard_library(text in "[-0-9.x]{1,8}") {
            let want = text.parse::<f64>().ok();
            prop_assert_eq!(read(&text).map(f64::to_bits), want.map(f64::to_bits));
        }

        #[test]
        fn long_mantissas(text in "[0-9]{15,40}\\.[0-9]{0,30}") {
            let want: f64 = text.parse().unwrap();
            prop_assert_eq!(read(&text).map(f64::to_bits), Some(want.to_bits()));
        }
    }
}
