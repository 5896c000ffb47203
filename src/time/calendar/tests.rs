//! Tests of windows and labels: the days that are not like others, and properties.

use super::super::{HOUR, ladder};
use super::*;
use proptest::prelude::*;

const NAMES: &str = "1min 5min 15min 30min 1h 2h 3h 6h 12h 24h 1d 1d@06:00 1d@23:30 1w 1w@sun 1mo 1q 1q@apr 1q@feb 1y 1y@apr";
const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Asia/Kathmandu",
    "Asia/Manila",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Pacific/Apia",
];

fn calendar(grain: &str, zone: &str) -> Calendar {
    Calendar::new(grain.parse().unwrap(), Zone::parse(zone).unwrap())
}

/// Labels and lengths in minutes of the windows from the local start of a date on.
fn shown(grain: &str, zone: &str, date: (i64, u32, u32), count: usize) -> Vec<(String, i64)> {
    let calendar = calendar(grain, zone);
    let start = calendar
        .zone()
        .first_at(days_from_civil(date.0, date.1, date.2) * DAY);
    let windows = calendar.windows_between(start, MAX).take(count);
    windows
        .map(|(start, end)| (calendar.label(start), (end - start) / MINUTE))
        .collect()
}

fn expect(found: Vec<(String, i64)>, expected: &[(&str, i64)]) {
    let found: Vec<(&str, i64)> = found
        .iter()
        .map(|(label, n)| (label.as_str(), *n))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn hours_are_cut_where_the_clock_changes() {
    // Paris springs from 02:00 to 03:00, so the window from 00:00 to 03:00 has two hours.
    expect(
        shown("3h", "Europe/Paris", (2007, 3, 25), 2),
        &[
            ("2007-03-25T00:00+01:00", 120),
            ("2007-03-25T03:00+02:00", 180),
        ],
    );
    // In October the hour from 02:00 comes twice, once with each offset.
    expect(
        shown("3h", "Europe/Paris", (2007, 10, 28), 3),
        &[
            ("2007-10-28T00:00+02:00", 180),
            ("2007-10-28T02:00+01:00", 60),
            ("2007-10-28T03:00+01:00", 180),
        ],
    );
    // Lord Howe goes back half an hour at 02:00.
    expect(
        shown("1h", "Australia/Lord_Howe", (2007, 3, 25), 4)[1..].to_vec(),
        &[
            ("2007-03-25T01:00+11:00", 60),
            ("2007-03-25T01:30+10:30", 30),
            ("2007-03-25T02:00+10:30", 60),
        ],
    );
}

#[test]
fn a_day_begun_is_not_unmade() {
    // At 00:01 on 2006-10-29 the clock in St John's goes back to 23:01.
    expect(
        shown("1d", "America/St_Johns", (2006, 10, 28), 3),
        &[
            ("2006-10-28", 1440),
            ("2006-10-29", 1500),
            ("2006-10-30", 1440),
        ],
    );
    expect(
        shown("1h", "America/St_Johns", (2006, 10, 29), 3),
        &[
            ("2006-10-29T00:00-02:30", 1),
            ("2006-10-28T23:01-03:30", 59),
            ("2006-10-29T00:00-03:30", 60),
        ],
    );
}

#[test]
fn a_day_without_midnight_begins_at_the_change() {
    expect(
        shown("1d", "America/Sao_Paulo", (2006, 11, 4), 3),
        &[
            ("2006-11-04", 1440),
            ("2006-11-05", 1380),
            ("2006-11-06", 1440),
        ],
    );
    assert_eq!(
        shown("1h", "America/Sao_Paulo", (2006, 11, 5), 1)[0].0,
        "2006-11-05T01:00-02:00"
    );
}

#[test]
fn a_date_that_never_was_has_no_window() {
    expect(
        shown("1d", "Pacific/Apia", (2011, 12, 29), 2),
        &[("2011-12-29", 1440), ("2011-12-31", 1440)],
    );
    expect(
        shown("1w", "Pacific/Apia", (2011, 12, 26), 1),
        &[("2011-W52", 6 * 1440)],
    );
}

#[test]
fn labels_of_long_windows() {
    for (grain, label) in [
        ("1d", "2007-02-03"),
        ("1d@06:00", "2007-02-03@06:00"),
        ("24h", "2007-02-03Z"),
        ("1w", "2007-W05"),
        ("1w@sun", "2007-01-28@sun"),
        ("1mo", "2007-02"),
        ("1q", "2007-Q1"),
        ("1q@apr", "2006-Q4@apr"),
        ("1q@feb", "2007-Q1@feb"),
        ("1y", "2007"),
        ("1y@apr", "2006@apr"),
        ("15min", "2007-02-03T12:00+01:00"),
    ] {
        let calendar = calendar(grain, "Europe/Paris");
        let noon = days_from_civil(2007, 2, 3) * DAY + 11 * HOUR;
        assert_eq!(calendar.label(calendar.window(noon).0), label);
    }
    let utc = calendar("1min", "UTC");
    assert_eq!(
        utc.label(days_from_civil(2007, 1, 31) * DAY + 795 * MINUTE),
        "2007-01-31T13:15Z"
    );
}

#[test]
fn labels_are_distinct() {
    for zone in ZONES {
        for grain in NAMES.split(' ') {
            let calendar = calendar(grain, zone);
            let from = days_from_civil(2006, 9, 1) * DAY;
            let labels: Vec<String> = calendar
                .windows_between(from, from + 80 * DAY)
                .map(|w| calendar.label(w.0))
                .collect();
            let distinct: std::collections::HashSet<&String> = labels.iter().collect();
            assert_eq!(distinct.len(), labels.len(), "{grain} in {zone}");
        }
    }
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let names: Vec<&str> = NAMES.split(' ').collect();
    (
        prop::sample::select(names),
        prop::sample::select(ZONES.to_vec()),
    )
        .prop_map(|(grain, zone)| calendar(grain, zone))
}

/// Instants of the tables' years, near changes of the zone, and anywhere.
fn instants(calendar: Calendar) -> impl Strategy<Value = (Calendar, Vec<i64>)> {
    let changes = calendar.zone().changes().to_vec();
    let near = (
        prop::sample::select([changes, vec![0]].concat()),
        -3 * DAY..3 * DAY,
    )
        .prop_map(|(c, d)| c + d);
    let instant = prop_oneof![near, -62_091 * DAY..47_847 * DAY, MIN..MAX];
    (Just(calendar), prop::collection::vec(instant, 1..20))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn windows_part_the_time_line((calendar, times) in any_calendar().prop_flat_map(instants)) {
        let mut cursor = calendar.cursor();
        for t in times {
            let (start, end) = calendar.window(t);
            prop_assert!(start <= t && t < end);
            prop_assert_eq!(calendar.window(start), (start, end));
            prop_assert_eq!(calendar.window(end - 1), (start, end));
            prop_assert_eq!(calendar.window(start - 1).1, start);
            prop_assert_eq!(calendar.next(end).0, end);
            prop_assert_eq!(cursor.window(t), (start, end));
            prop_assert_eq!(cursor.window(end), calendar.window(end));
            let few: Vec<_> = calendar.windows_between(t, end + 1).collect();
            prop_assert_eq!(few, vec![(start, end), calendar.next(end)]);
        }
    }

    #[test]
    fn a_feeder_s_window_lies_in_one_window(zone in prop::sample::select(ZONES.to_vec()), t in -62_091 * DAY..47_847 * DAY) {
        let zone = Zone::parse(zone).unwrap();
        let grains: Vec<Grain> = NAMES.split(' ').map(|name| name.parse().unwrap()).collect();
        for (grain, feeder) in grains.iter().zip(ladder(&grains, &zone)) {
            let coarse = Calendar::new(*grain, zone.clone()).window(t);
            if let Some(feeder) = feeder {
                let (start, end) = Calendar::new(grains[feeder], zone.clone()).window(t);
                prop_assert!(grains[feeder] < *grain);
                prop_assert!(coarse.0 <= start && end <= coarse.1, "{} in {grain}", grains[feeder]);
            }
        }
    }
}

#[test]
fn instants_beyond_the_bounds_are_clamped() {
    for name in NAMES.split(' ') {
        let calendar = calendar(name, "Europe/Paris");
        for t in [i64::MIN, i64::MAX] {
            let (start, end) = calendar.window(t);
            assert!(start < end && !calendar.label(t).is_empty());
            assert_eq!(calendar.cursor().window(t), (start, end));
        }
    }
}
