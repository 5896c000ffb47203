//! Grains: names, anchors, order.
//!
//! `1min 5min 15min 30min 1h 2h 3h 6h 12h 24h 1d 1w 1mo 1q 1y`, and with an anchor
//! `1d@06:00` (a day from six to six), `1w@sun`, `1q@apr`, `1y@apr`. An anchor that is the
//! default (`1d@00:00`, `1w@mon`, `1q@jan`, `1y@jan`) is the grain without it.

use super::{DAY, HOUR, MINUTE};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

const CLOCK: [(&str, u16); 9] = [
    ("1min", 1),
    ("5min", 5),
    ("15min", 15),
    ("30min", 30),
    ("1h", 60),
    ("2h", 120),
    ("3h", 180),
    ("6h", 360),
    ("12h", 720),
];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
/// The mean Gregorian year.
const YEAR: i64 = DAY / 10_000 * 3_652_425;

/// The rule behind a grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rule {
    /// Minutes of the local clock; divides 24 hours.
    Clock(u16),
    /// 24 hours of elapsed time from 1970-01-01Z.
    Elapsed,
    /// Days; the minute of the day they begin at.
    Day(u16),
    /// Weeks; the weekday they begin on, 0 is Monday.
    Week(u8),
    /// Months.
    Month,
    /// Quarters; the month, 0 is January, that one of them begins with and years count from.
    Quarter(u8),
    /// Years; the month they begin with, 0 is January.
    Year(u8),
}

/// The length and phase of windows. Ordered by nominal length, then by rule and anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Grain(pub(super) Rule);

impl Grain {
    /// Reads a grain's name; an unknown one is refused with the list of all.
    pub fn parse(name: &str) -> Result<Self> {
        let rule = match name.split_once('@') {
            None => plain(name),
            Some((base, anchor)) => anchored(base, anchor),
        };
        rule.map(Grain).ok_or_else(|| refuse(name))
    }

    /// Mean length, microseconds: orders grains, decides nothing about a window.
    pub fn nominal_us(self) -> i64 {
        match self.0 {
            Rule::Clock(minutes) => i64::from(minutes) * MINUTE,
            Rule::Elapsed | Rule::Day(_) => DAY,
            Rule::Week(_) => 7 * DAY,
            Rule::Month => YEAR / 12,
            Rule::Quarter(_) => YEAR / 4,
            Rule::Year(_) => YEAR,
        }
    }

    /// One hour or longer: empty windows between a sensor's first and last are written.
    pub fn is_coarse(self) -> bool {
        self.nominal_us() >= HOUR
    }
}

fn plain(name: &str) -> Option<Rule> {
    if let Some((_, minutes)) = CLOCK.iter().find(|(known, _)| *known == name) {
        return Some(Rule::Clock(*minutes));
    }
    match name {
        "24h" => Some(Rule::Elapsed),
        "1d" => Some(Rule::Day(0)),
        "1w" => Some(Rule::Week(0)),
        "1mo" => Some(Rule::Month),
        "1q" => Some(Rule::Quarter(0)),
        "1y" => Some(Rule::Year(0)),
        _ => None,
    }
}

fn anchored(base: &str, anchor: &str) -> Option<Rule> {
    match base {
        "1d" => minute_of_day(anchor).map(Rule::Day),
        "1w" => index(&WEEKDAYS, anchor).map(Rule::Week),
        "1q" => index(&MONTHS, anchor).map(Rule::Quarter),
        "1y" => index(&MONTHS, anchor).map(Rule::Year),
        _ => None,
    }
}

fn index(names: &[&str], name: &str) -> Option<u8> {
    names
        .iter()
        .position(|known| *known == name)
        .map(|at| at as u8)
}

/// `06:00`, exactly five characters.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| match part.as_bytes() {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u16::from(a - b'0') * 10 + u16::from(b - b'0')),
        _ => None,
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

fn refuse(name: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!(
            "{name:?} is not a grain: use 1min 5min 15min 30min 1h 2h 3h 6h 12h 24h 1d 1w 1mo 1q 1y, or with an \
             anchor 1d@06:00 (HH:MM), 1w@sun (mon to sun), 1q@apr, 1y@apr (jan to dec)"
        ),
    )
}

impl fmt::Display for Grain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rule::Clock(minutes) if minutes < 60 => write!(f, "{minutes}min"),
            Rule::Clock(minutes) => write!(f, "{}h", minutes / 60),
            Rule::Elapsed => f.write_str("24h"),
            Rule::Month => f.write_str("1mo"),
            Rule::Day(_) | Rule::Week(_) | Rule::Quarter(_) | Rule::Year(_) => {
                write!(f, "{}{}", self.base(), self.anchor())
            }
        }
    }
}

impl Grain {
    fn base(self) -> &'static str {
        match self.0 {
            Rule::Week(_) => "1w",
            Rule::Quarter(_) => "1q",
            Rule::Year(_) => "1y",
            _ => "1d",
        }
    }

    /// `@06:00`, `@sun`, `@apr`; empty for the default.
    pub(super) fn anchor(self) -> String {
        match self.0 {
            Rule::Day(at) if at > 0 => format!("@{:02}:{:02}", at / 60, at % 60),
            Rule::Week(day) if day > 0 => format!("@{}", WEEKDAYS[usize::from(day % 7)]),
            Rule::Quarter(month) | Rule::Year(month) if month > 0 => {
                format!("@{}", MONTHS[usize::from(month % 12)])
            }
            _ => String::new(),
        }
    }
}

impl FromStr for Grain {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Grain::parse(name)
    }
}

impl TryFrom<String> for Grain {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Grain::parse(&name)
    }
}

impl From<Grain> for String {
    fn from(grain: Grain) -> String {
        grain.to_string()
    }
}

impl Ord for Grain {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.nominal_us(), self.0).cmp(&(other.nominal_us(), other.0))
    }
}

impl PartialOrd for Grain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "1min 5min 15min 30min 1h 2h 3h 6h 12h 24h 1d 1d@06:00 1d@18:30 1w 1w@sun 1mo 1q 1q@apr 1y 1y@apr";

    #[test]
    fn names_round_trip_in_order() {
        let grains: Vec<Grain> = ALL.split(' ').map(|name| name.parse().unwrap()).collect();
        let names: Vec<String> = grains.iter().map(Grain::to_string).collect();
        assert_eq!(names.join(" "), ALL);
        assert!(grains.is_sorted());
        let json = serde_json::to_string(&grains).unwrap();
        assert!(json.starts_with("[\"1min\",\"5min\""));
        assert_eq!(serde_json::from_str::<Vec<Grain>>(&json).unwrap(), grains);
    }

    #[test]
    fn a_default_anchor_is_no_anchor() {
        for (anchored, plain) in [
            ("1d@00:00", "1d"),
            ("1w@mon", "1w"),
            ("1q@jan", "1q"),
            ("1y@jan", "1y"),
        ] {
            assert_eq!(Grain::parse(anchored).unwrap().to_string(), plain);
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_list() {
        for name in [
            "",
            "1m",
            "60min",
            "1H",
            "2d",
            "1mo@apr",
            "24h@06:00",
            "1d@6:00",
            "1d@24:00",
            "1d@06:60",
            "1w@sunday",
            "1q@",
            "@",
            "1h@00:30",
            " 1h",
        ] {
            let error = Grain::parse(name).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{name}");
            assert!(error.message.contains("1min 5min") && error.message.contains("1y@apr"));
        }
    }

    #[test]
    fn coarse_begins_at_one_hour() {
        assert!(!Grain::parse("30min").unwrap().is_coarse());
        assert!(Grain::parse("1h").unwrap().is_coarse());
        assert!(Grain::parse("1y@apr").unwrap().is_coarse());
    }
}
