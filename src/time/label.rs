//! Labels: the name of a window for people, unique within its grain and zone.
//!
//! | grain | label |
//! |---|---|
//! | `1min` to `12h` | `2007-01-31T13:15+01:00`: local start with its offset (`Z` in UTC) |
//! | `24h` | `2007-01-31Z`: the UTC day |
//! | `1d`, `1d@06:00` | `2007-01-31`, `2007-01-31@06:00` |
//! | `1w`, `1w@sun` | `2007-W05` (ISO), `2007-02-04@sun` (its first date) |
//! | `1mo` | `2007-01` |
//! | `1q`, `1q@apr` | `2007-Q1`, `2007-Q1@apr` (first quarter of the year that begins in April 2007) |
//! | `1y`, `1y@apr` | `2007`, `2007@apr` (the year that begins in April 2007) |

use super::calendar::{Calendar, edge};
use super::civil::{civil_from_days, iso_date, iso_week, iso_year};
use super::grain::Rule;
use super::{DAY, HOUR, MAX, MIN, MINUTE, SECOND};

impl Calendar {
    /// The label of the window that begins at `start`.
    pub fn label(&self, start: i64) -> String {
        let mut text = String::with_capacity(22);
        self.label_into(start, &mut text);
        text
    }

    /// The same in place of what `text` holds, for labels by the million.
    pub fn label_into(&self, start: i64, text: &mut String) {
        text.clear();
        let start = start.clamp(MIN, MAX);
        if !(matches!(self.grain().0, Rule::Clock(_)) && self.usual_label(start, text)) {
            text.push_str(&self.any_label(start));
        }
    }

    /// The usual label of minutes and hours; false: it is another.
    fn usual_label(&self, start: i64, text: &mut String) -> bool {
        let offset = self.zone().offset_at(start);
        let local = start + offset;
        let utc = offset == 0 && self.zone().fixed_offset().is_some();
        let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        plain_label(days, time, (!utc).then_some(offset), text)
    }

    fn any_label(&self, start: i64) -> String {
        let rule = self.grain().0;
        let suffix = self.grain().anchor();
        match rule {
            Rule::Clock(_) => self.clock_label(start),
            Rule::Elapsed => format!("{}Z", iso_date(start.div_euclid(DAY))),
            _ => {
                let unit = self.unit_at(rule, start);
                format!("{}{suffix}", unit_label(rule, unit))
            }
        }
    }

    fn clock_label(&self, start: i64) -> String {
        let offset = self.zone().offset_at(start);
        let local = start + offset;
        let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let utc = offset == 0 && self.zone().fixed_offset().is_some();
        let zone = match offset {
            0 if utc => "Z".to_string(),
            _ => offset_text(offset),
        };
        format!("{}T{}{zone}", iso_date(days), hours(time))
    }
}

/// The usual case, digit by digit: there are as many labels as windows. False: years of more
/// than four digits, seconds.
fn plain_label(days: i64, time: i64, offset: Option<i64>, text: &mut String) -> bool {
    let (year, month, day) = civil_from_days(days);
    let away = offset.unwrap_or(0);
    if !(0..=9999).contains(&year) || time % MINUTE != 0 || away % MINUTE != 0 {
        return false;
    }
    let two = |n: i64| [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
    let clock = |us: i64| (two(us / HOUR), two(us % HOUR / MINUTE));
    let ([a, b], [c, d]) = (two(year / 100), two(year % 100));
    let ([e, f], [g, h]) = (two(i64::from(month)), two(i64::from(day)));
    let ([i, j], [k, l]) = clock(time);
    let ([o, p], [q, r]) = clock(away.abs());
    let sign = if away < 0 { b'-' } else { b'+' };
    let with = [
        a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, b':', k, l, sign, o, p, b':', q, r,
    ];
    let bytes = match offset {
        Some(_) => &with[..],
        None => &with[..16],
    };
    // Digits and marks only.
    text.push_str(std::str::from_utf8(bytes).unwrap_or_default());
    if offset.is_none() {
        text.push('Z');
    }
    true
}

/// The unit's name without its anchor.
fn unit_label(rule: Rule, unit: i64) -> String {
    let first = edge(rule, unit).div_euclid(DAY);
    match rule {
        Rule::Week(0) => {
            let (year, week) = iso_week(first);
            format!("{}-W{week:02}", iso_year(year))
        }
        Rule::Month => {
            format!(
                "{}-{:02}",
                iso_year(unit.div_euclid(12)),
                unit.rem_euclid(12) + 1
            )
        }
        Rule::Quarter(_) => quarter_label(unit),
        Rule::Year(_) => iso_year(unit),
        _ => iso_date(first),
    }
}

/// Quarters are counted from year 0's anchor month, so four of them make the year of their first.
fn quarter_label(unit: i64) -> String {
    format!(
        "{}-Q{}",
        iso_year(unit.div_euclid(4)),
        unit.rem_euclid(4) + 1
    )
}

/// `+01:00`, with seconds where there are some.
fn offset_text(offset: i64) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{sign}{}", hours(offset.abs()))
}

/// `13:15`, with seconds and microseconds where there are some.
fn hours(us: i64) -> String {
    let mut text = format!("{:02}:{:02}", us / HOUR, us % HOUR / MINUTE);
    if us % MINUTE != 0 {
        text += &format!(":{:02}", us % MINUTE / SECOND);
    }
    if us % SECOND != 0 {
        text += &format!(".{:06}", us % SECOND);
    }
    text
}

/// `2007-10-28 02:30`: a local time for messages.
pub(super) fn local_text(local: i64) -> String {
    format!(
        "{} {}",
        iso_date(local.div_euclid(DAY)),
        hours(local.rem_euclid(DAY))
    )
}
