//! Numbers whose thousands are parted: `1.234,5`, `1,234.5`, `1 234,5`, `1'234.5`.

use super::types::Marks;

/// The marks that `value`, of digits, points and commas, shows beyond doubt: both kinds stand in it,
/// or one kind twice.
pub(super) fn marks(value: &[u8]) -> Option<Marks> {
    [('.', ','), (',', '.')]
        .into_iter()
        .find_map(|(thousands, decimal)| {
            let marks = Marks {
                decimal,
                thousands: Some(thousands),
            };
            let count = |mark: char| value.iter().filter(|b| **b == mark as u8).count();
            let shows = count(thousands) > 1 || (count(thousands) == 1 && count(decimal) == 1);
            (shows && fits(value, marks)).then_some(marks)
        })
}

/// The same for thousands parted by a space or an apostrophe.
pub(super) fn spaced(value: &[u8]) -> Option<Marks> {
    let mark = value.iter().find(|b| b" '".contains(b))?;
    let decimal = match value.contains(&b',') {
        true => ',',
        false => '.',
    };
    let marks = Marks {
        decimal,
        thousands: Some(char::from(*mark)),
    };
    fits(value, marks).then_some(marks)
}

/// Whether `value` is a number written with these marks: groups of three behind a thousands mark,
/// which may be absent.
pub(super) fn fits(value: &[u8], marks: Marks) -> bool {
    let unsigned = value
        .strip_prefix(b"-")
        .or(value.strip_prefix(b"+"))
        .unwrap_or(value);
    let decimal = marks.decimal as u8;
    let mut parts = unsigned.splitn(2, |b| *b == decimal);
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or(b"0");
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits(fraction) && (digits(whole) || parted(whole, marks.thousands))
}

fn parted(whole: &[u8], mark: Option<char>) -> bool {
    let Some(mark) = mark else { return false };
    let mut groups = whole.split(|b| *b == mark as u8);
    let all_digits = |g: &[u8]| g.iter().all(u8::is_ascii_digit);
    let first = groups.next().unwrap_or_default();
    matches!(first.len(), 1..=3)
        && all_digits(first)
        && groups.all(|g| g.len() == 3 && all_digits(g))
}
