//! Zones: offsets from UTC as a table of changes, read from the compiled IANA data once.

use super::{DAY, HOUR, MAX, MIN, SECOND};
use crate::wording::edits;
use crate::{Error, Kind, Result};
use chrono::{Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The compiled tables begin after 1800-01-01Z and end before 2101-01-01Z.
const FROM: i64 = -62_091 * DAY;
const TO: i64 = 47_847 * DAY;
/// A hint every 2^44 µs, about 204 days.
const HINT: u32 = 44;
/// How far apart the compiled tables are looked at.
const LOOK: i64 = 4 * DAY;
/// No local clock is further than this from UTC.
pub(super) const REACH: i64 = 48 * HOUR;

/// An IANA time zone. Cheap to clone.
#[derive(Clone)]
pub struct Zone(Arc<Table>);

/// Offsets by range: range `i` is `starts[i]..starts[i + 1]` with `offsets[i]`.
struct Table {
    name: &'static str,
    /// The first is `i64::MIN`.
    starts: Vec<i64>,
    offsets: Vec<i64>,
    /// The range that holds the first instant of each stretch of 2^44 µs from `FROM`.
    hints: Vec<u16>,
}

/// A stretch of time with one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// First instant.
    pub start: i64,
    /// The instant after the last.
    pub end: i64,
    /// Local minus UTC, microseconds.
    pub offset: i64,
}

/// What instants a local time may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// One instant.
    One(i64),
    /// The clock showed it twice (or more): the earliest and the latest instant.
    Two(i64, i64),
    /// The clock jumped over it.
    None {
        /// Offset before the jump, microseconds.
        before_offset: i64,
        /// Offset after the jump, microseconds.
        after_offset: i64,
    },
}

impl Zone {
    /// The zone of an IANA name such as `Europe/Paris`; an unknown name is refused with the nearest one.
    pub fn parse(name: &str) -> Result<Self> {
        static TABLES: [OnceLock<Zone>; TZ_VARIANTS.len()] =
            [const { OnceLock::new() }; TZ_VARIANTS.len()];
        let at = TZ_VARIANTS
            .iter()
            .position(|tz| tz.name() == name)
            .ok_or_else(|| unknown(name))?;
        if let Some(zone) = TABLES[at].get() {
            return Ok(zone.clone());
        }
        // Two threads may both build it; neither waits for the other, so a fork cannot hang here.
        let zone = Zone(Arc::new(Table::build(TZ_VARIANTS[at])));
        let _ = TABLES[at].set(zone.clone());
        Ok(zone)
    }

    /// UTC.
    pub fn utc() -> Self {
        static UTC: OnceLock<Zone> = OnceLock::new();
        let build = || Zone(Arc::new(Table::fixed("UTC", 0)));
        UTC.get_or_init(build).clone()
    }

    /// Its IANA name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The offset if it never changes (UTC: 0).
    pub fn fixed_offset(&self) -> Option<i64> {
        match self.0.offsets[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Local minus UTC at an instant, microseconds.
    #[inline]
    pub fn offset_at(&self, utc: i64) -> i64 {
        self.0.offsets[self.index(utc)]
    }

    /// What the wall clock shows at an instant.
    #[inline]
    pub fn to_local(&self, utc: i64) -> i64 {
        utc.saturating_add(self.offset_at(utc))
    }

    /// The instants at which the offset changes, in order.
    pub fn changes(&self) -> &[i64] {
        &self.0.starts[1..]
    }

    /// The instants a local time may be (beyond [`MIN`] and [`MAX`]: those of the bound).
    pub fn local(&self, local: i64) -> Local {
        let local = local.clamp(MIN, MAX);
        let (mut first, mut last) = (None, 0);
        for range in self.ranges_from(local - REACH) {
            if range.start > local + REACH {
                break;
            }
            let utc = local - range.offset;
            if range.start <= utc && utc < range.end {
                first = first.or(Some(utc));
                last = utc;
            }
        }
        match first {
            Some(utc) if utc == last => Local::One(utc),
            Some(utc) => Local::Two(utc, last),
            None => self.jump(local),
        }
    }

    /// The jump that skips `local`: before it the clock was below, after it above.
    fn jump(&self, local: i64) -> Local {
        let mut before = self.offset_at(local - REACH);
        for range in self.ranges_from(local - REACH) {
            if range.start.saturating_add(range.offset) > local {
                return Local::None {
                    before_offset: before,
                    after_offset: range.offset,
                };
            }
            before = range.offset;
        }
        Local::None {
            before_offset: before,
            after_offset: before,
        }
    }

    /// The first instant whose local time is `local` or later.
    pub(super) fn first_at(&self, local: i64) -> i64 {
        if let Some(offset) = self.fixed_offset() {
            return local - offset;
        }
        for range in self.ranges_from(local - REACH) {
            let utc = (local - range.offset).max(range.start);
            if utc < range.end {
                return utc;
            }
        }
        local
    }

    /// The range that holds an instant.
    #[inline]
    pub(super) fn range_at(&self, utc: i64) -> Range {
        self.range(self.index(utc))
    }

    /// All stretches with one offset, in order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.ranges_from(i64::MIN)
    }

    /// The local times that the last change at or before `utc` repeated, if it set the clock back.
    pub(super) fn repeat_before(&self, utc: i64) -> (i64, i64) {
        let after = self.range_at(utc);
        let before = self.range_at(after.start.saturating_sub(1));
        (
            after.start.saturating_add(after.offset),
            after.start.saturating_add(before.offset),
        )
    }

    fn range(&self, at: usize) -> Range {
        let table = &*self.0;
        Range {
            start: table.starts[at],
            end: table.starts.get(at + 1).copied().unwrap_or(i64::MAX),
            offset: table.offsets[at],
        }
    }

    fn ranges_from(&self, utc: i64) -> impl Iterator<Item = Range> + '_ {
        (self.index(utc)..self.0.starts.len()).map(|at| self.range(at))
    }

    /// Index of the range that holds an instant: a hint, then at most a few steps.
    #[inline]
    fn index(&self, utc: i64) -> usize {
        let table = &*self.0;
        let stretch = (utc.clamp(FROM, TO) - FROM) >> HINT;
        let mut at = usize::from(table.hints[stretch as usize]);
        while at + 1 < table.starts.len() && table.starts[at + 1] <= utc {
            at += 1;
        }
        at
    }
}

impl Table {
    fn fixed(name: &'static str, offset: i64) -> Self {
        let hints = vec![0; hint_count()];
        Table {
            name,
            starts: vec![i64::MIN],
            offsets: vec![offset],
            hints,
        }
    }

    /// Looks at every fourth day of the compiled tables and halves down to each change. No
    /// zone changes and changes back within that; the tests look at every day.
    fn build(tz: Tz) -> Self {
        let mut table = Table::fixed(tz.name(), offset_of(tz, FROM));
        for day in (FROM..TO).step_by(LOOK as usize) {
            table.find_changes(tz, day, day + LOOK);
        }
        table.hints = (0..hint_count() as i64)
            .map(|stretch| table.hint(FROM + (stretch << HINT)))
            .collect();
        table
    }

    fn hint(&self, utc: i64) -> u16 {
        (self.starts.partition_point(|start| *start <= utc) - 1) as u16
    }

    fn find_changes(&mut self, tz: Tz, from: i64, to: i64) {
        let (mut low, mut high) = (from, to);
        let before = self.offsets[self.offsets.len() - 1];
        if offset_of(tz, to) == before {
            return;
        }
        while high - low > SECOND {
            let middle = low + (high - low) / SECOND / 2 * SECOND;
            if offset_of(tz, middle) == before {
                low = middle
            } else {
                high = middle
            }
        }
        self.starts.push(high);
        self.offsets.push(offset_of(tz, high));
        self.find_changes(tz, high, to);
    }
}

fn hint_count() -> usize {
    ((TO - FROM) >> HINT) as usize + 1
}

/// The compiled offset at a whole second.
fn offset_of(tz: Tz, utc: i64) -> i64 {
    let instant = chrono::DateTime::from_timestamp(utc.div_euclid(SECOND), 0).unwrap_or_default();
    let offset = tz.offset_from_utc_datetime(&instant.naive_utc());
    i64::from(offset.fix().local_minus_utc()) * SECOND
}

fn unknown(name: &str) -> Error {
    let advice = match fixed_name(name).or_else(|| nearest(name).map(String::from)) {
        Some(known) => format!("did you mean {known}?"),
        None => "use a name such as Europe/Paris or UTC".to_string(),
    };
    Error::new(
        Kind::Usage,
        format!("{name:?} is not an IANA time zone: {advice}"),
    )
}

/// The name of a fixed offset in whole hours: `+01:00`, `UTC+1` are `Etc/GMT-1` (its sign is the other way round).
fn fixed_name(name: &str) -> Option<String> {
    let offset = name
        .trim()
        .trim_start_matches("UTC")
        .trim_start_matches("GMT");
    let (sign, rest) = match offset.as_bytes().first()? {
        b'+' => ('-', &offset[1..]),
        b'-' => ('+', &offset[1..]),
        _ => return None,
    };
    let hours = rest
        .strip_suffix("00")
        .map_or(rest, |h| h.trim_end_matches(':'));
    let hours: u8 = hours.parse().ok()?;
    let named = format!("Etc/GMT{sign}{hours}");
    let there = TZ_VARIANTS.iter().any(|tz| tz.name() == named);
    (hours > 0 && there).then(|| {
        format!(
            "{named} (which is UTC{}; the sign in its name is the other way round)",
            offset
        )
    })
}

/// The known name with the least edits, if they are few; the city alone counts too.
fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.trim().to_ascii_lowercase().replace(' ', "_");
    let limit = 1 + wanted.len() / 4;
    if wanted.is_empty() || wanted.len() > 64 {
        return None;
    }
    let cost = |known: &str| {
        let known = known.to_ascii_lowercase();
        let city = known.rsplit('/').next().unwrap_or(&known);
        edits(&wanted, &known).min(edits(&wanted, city))
    };
    let best = TZ_VARIANTS
        .iter()
        .map(|tz| tz.name())
        .min_by_key(|known| cost(known))?;
    (cost(best) <= limit).then_some(best)
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::super::MINUTE;
    use super::super::civil::days_from_civil;
    use super::*;

    fn at(year: i64, month: u32, day: u32, hour: i64, minute: i64) -> i64 {
        days_from_civil(year, month, day) * DAY + hour * HOUR + minute * MINUTE
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        for (name, near) in [
            ("Europe/Pariss", "Europe/Paris?"),
            ("europe/paris", "Europe/Paris?"),
            ("Berlin", "Europe/Berlin?"),
            ("New York", "America/New_York?"),
            ("utc", "UTC?"),
            ("qqqqqqqqqqqq", "such as Europe/Paris"),
            ("", "such as Europe/Paris"),
            ("+01:00", "Etc/GMT-1 (which is UTC+01:00"),
            ("UTC-5", "Etc/GMT+5 (which is UTC-5"),
            ("+05:30", "such as Europe/Paris"),
        ] {
            let error = Zone::parse(name).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.message.contains(near), "{}", error.message);
        }
    }

    #[test]
    fn tables_are_shared() {
        let (first, second) = (
            Zone::parse("Asia/Tokyo").unwrap(),
            Zone::parse("Asia/Tokyo").unwrap(),
        );
        assert!(Arc::ptr_eq(&first.0, &second.0));
        assert_eq!(Zone::parse("UTC").unwrap(), Zone::utc());
        assert_eq!(Zone::utc().fixed_offset(), Some(0));
        assert_eq!(first.name(), "Asia/Tokyo");
    }

    #[test]
    fn repeated_and_missing_hours() {
        let paris = Zone::parse("Europe/Paris").unwrap();
        let repeated = at(2007, 10, 28, 2, 30);
        assert_eq!(
            paris.local(repeated),
            Local::Two(repeated - 2 * HOUR, repeated - HOUR)
        );
        let missing = at(2007, 3, 25, 2, 30);
        assert_eq!(
            paris.local(missing),
            Local::None {
                before_offset: HOUR,
                after_offset: 2 * HOUR
            }
        );
        assert_eq!(
            paris.local(missing + 30 * MINUTE),
            Local::One(missing - 90 * MINUTE)
        );
        assert_eq!(
            paris.local(repeated - 31 * MINUTE),
            Local::One(repeated - 151 * MINUTE)
        );
        assert_eq!(
            paris.local(repeated + 30 * MINUTE),
            Local::One(repeated - 30 * MINUTE)
        );
    }

    #[test]
    fn a_day_that_never_was() {
        let apia = Zone::parse("Pacific/Apia").unwrap();
        let never = at(2011, 12, 30, 12, 0);
        assert_eq!(
            apia.local(never),
            Local::None {
                before_offset: -10 * HOUR,
                after_offset: 14 * HOUR
            }
        );
    }

    #[test]
    fn every_instant_comes_back_from_its_local_time() {
        for name in [
            "Europe/Paris",
            "America/St_Johns",
            "Pacific/Apia",
            "Asia/Manila",
            "Africa/Casablanca",
            "UTC",
        ] {
            let zone = Zone::parse(name).unwrap();
            let near = zone
                .changes()
                .iter()
                .flat_map(|change| (-30..30).map(move |i| change + i * 10 * MINUTE));
            for utc in near.chain([MIN / 2, -1, 0, MAX / 2]) {
                let found = match zone.local(zone.to_local(utc)) {
                    Local::One(found) => found == utc,
                    Local::Two(first, last) => first < last && (first..=last).contains(&utc),
                    Local::None { .. } => false,
                };
                assert!(found, "{utc} in {name}");
            }
        }
    }
}
