//! Window edges against brute force: a walk over every minute of 1970 to 2037 that knows only
//! the offset of each minute (asked of `chrono_tz`: every quarter hour, and every minute of one
//! in which it changes) and the definitions, and shares no code with
//! `src/time`. Python's `zoneinfo` is asked by `tests/python/oracle_time.py`.

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use wattline::time::{Calendar, Grain, Zone, ladder};

const ZONES: [&str; 8] = [
    "Europe/Paris",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/St_Johns",
    "Pacific/Apia",
    "UTC",
];
const GRAINS: &str = "1min 5min 15min 30min 1h 2h 3h 6h 12h 24h 1d 1w 1mo 1q 1y \
                      1d@06:00 1d@23:30 1w@sun 1w@thu 1q@apr 1q@feb 1y@apr 1y@oct";

/// Offset from UTC in seconds at a second since 1970.
fn offset(tz: Tz, second: i64) -> i64 {
    let instant = DateTime::from_timestamp(second, 0).unwrap().naive_utc();
    i64::from(
        tz.offset_from_utc_datetime(&instant)
            .fix()
            .local_minus_utc(),
    )
}

fn date(days: i64) -> NaiveDate {
    NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::Duration::days(days)
}

fn grains() -> Vec<Grain> {
    GRAINS
        .split_whitespace()
        .map(|name| name.parse().unwrap())
        .collect()
}

fn month_number(name: &str) -> u32 {
    1 + [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]
    .iter()
    .position(|known| *known == name)
    .unwrap() as u32
}

/// Whether a window of a week, month, quarter or year begins on this date.
fn begins(grain: &str, day: NaiveDate) -> bool {
    let (base, anchor) = grain.split_once('@').unwrap_or((grain, ""));
    let month = |fallback| month_number(if anchor.is_empty() { fallback } else { anchor });
    match base {
        "1w" => {
            let name = day.weekday().to_string().to_lowercase();
            name == if anchor.is_empty() { "mon" } else { anchor }
        }
        "1mo" => day.day() == 1,
        "1q" => day.day() == 1 && (day.month() + 12 - month("jan")).is_multiple_of(3),
        "1y" => day.day() == 1 && day.month() == month("jan"),
        _ => unreachable!(),
    }
}

/// Edges from the definitions, one list a grain, in minutes since 1970.
struct Walk {
    tz: Tz,
    names: Vec<String>,
    edges: Vec<Vec<i64>>,
    /// Dates of the edges of `1d`.
    dates: Vec<NaiveDate>,
    /// Offset in minutes of the minute before.
    last: i64,
    /// The greatest date begun, for days that begin at 00:00, 06:00 and 23:30.
    begun: [i64; 3],
}

const STARTS: [i64; 3] = [0, 360, 1410];

impl Walk {
    fn new(tz: Tz, from: i64) -> Self {
        let names: Vec<String> = grains().iter().map(Grain::to_string).collect();
        let last = offset(tz, (from - 1) * 60) / 60;
        let begun = STARTS.map(|start| (from - 1 + last - start).div_euclid(1440));
        Walk {
            tz,
            edges: vec![Vec::new(); names.len()],
            names,
            dates: Vec::new(),
            last,
            begun,
        }
    }

    fn mark(&mut self, minute: i64, hit: impl Fn(&str) -> bool) {
        for (name, edges) in self.names.iter().zip(&mut self.edges) {
            if hit(name) {
                edges.push(minute);
            }
        }
    }

    fn run(&mut self, from: i64, to: i64) {
        let mut quarter = (0, 0);
        for minute in from..to {
            if minute % 15 == 0 {
                quarter = (
                    offset(self.tz, minute * 60),
                    offset(self.tz, minute * 60 + 900),
                );
            }
            let even = quarter.0 == quarter.1;
            let seconds = if even {
                quarter.0
            } else {
                offset(self.tz, minute * 60)
            };
            assert_eq!(seconds % 60, 0, "{}: the walk is too coarse", self.tz);
            self.step(minute, seconds / 60);
        }
    }

    fn step(&mut self, minute: i64, offset: i64) {
        let local = minute + offset;
        let changed = offset != self.last;
        self.last = offset;
        self.clock(minute, local, changed);
        if minute % 1440 == 0 {
            self.mark(minute, |name| name == "24h");
        }
        // Days begin on a quarter hour of the clock or at a change.
        if local % 15 != 0 && !changed {
            return;
        }
        for (at, name) in [(1, "1d@06:00"), (2, "1d@23:30")] {
            let day = (local - STARTS[at]).div_euclid(1440);
            if day > self.begun[at] {
                self.begun[at] = day;
                self.mark(minute, |known| known == name);
            }
        }
        let day = local.div_euclid(1440);
        if day > self.begun[0] {
            self.dates(minute, self.begun[0] + 1, day);
            self.begun[0] = day;
        }
    }

    fn clock(&mut self, minute: i64, local: i64, changed: bool) {
        const LENGTHS: [i64; 8] = [5, 15, 30, 60, 120, 180, 360, 720];
        self.edges[0].push(minute);
        if local % 5 != 0 && !changed {
            return;
        }
        for (length, edges) in LENGTHS.into_iter().zip(&mut self.edges[1..]) {
            if changed || local % length == 0 {
                edges.push(minute);
            }
        }
    }

    /// The clock has passed into `last`; `first..=last` is one date unless some never were.
    fn dates(&mut self, minute: i64, first: i64, last: i64) {
        self.dates.push(date(last));
        self.mark(minute, |name| name == "1d");
        self.mark(minute, |name| {
            let calendar = ["1w", "1mo", "1q", "1y"]
                .iter()
                .any(|base| name.starts_with(base));
            calendar && (first..=last).any(|day| begins(name, date(day)))
        });
    }
}

const MINUTE: i64 = 60_000_000;

fn check(name: &str) {
    let to = (NaiveDate::from_ymd_opt(2038, 1, 1).unwrap() - date(0)).num_days() * 1440;
    let mut walk = Walk::new(name.parse().unwrap(), 0);
    let calendars: Vec<Calendar> = grains()
        .into_iter()
        .map(|grain| Calendar::new(grain, Zone::parse(name).unwrap()))
        .collect();
    // Two years at a time; the last edge of each grain stays for the next.
    let (mut at, mut checked) = (0, 0);
    while at < to {
        walk.run(at, to.min(at + 731 * 1440));
        at += 731 * 1440;
        check_labels(name, &walk);
        for (calendar, edges) in calendars.iter().zip(&mut walk.edges) {
            check_edges(calendar, edges);
            checked += edges.drain(..edges.len() - 1).count();
        }
        walk.dates.drain(..walk.dates.len() - 1);
    }
    assert!(checked > 45_000_000, "{checked} edges were looked at");
}

fn check_edges(calendar: &Calendar, edges: &[i64]) {
    let (first, last) = (edges[0] * MINUTE, edges[edges.len() - 1] * MINUTE);
    let mut found = calendar.windows_between(first, last).map(|window| window.0);
    let wrong = edges[..edges.len() - 1]
        .iter()
        .find(|edge| found.next() != Some(*edge * MINUTE));
    assert_eq!(wrong, None, "{calendar:?} has no edge at this minute");
    assert_eq!(found.next(), None, "{calendar:?} has more edges");
    // The same without a cursor, at both sides of every edge.
    let every = if calendar.grain().is_coarse() { 1 } else { 97 };
    for pair in edges.windows(2).step_by(every) {
        let window = (pair[0] * MINUTE, pair[1] * MINUTE);
        assert_eq!(calendar.window(window.0), window, "{calendar:?}");
        assert_eq!(calendar.window(window.1 - 1), window, "{calendar:?}");
        assert_eq!(
            calendar.window(window.0 + (window.1 - window.0) / 3),
            window,
            "{calendar:?}"
        );
    }
}

fn check_labels(name: &str, walk: &Walk) {
    let days = Calendar::new("1d".parse().unwrap(), Zone::parse(name).unwrap());
    let at = walk.names.iter().position(|known| known == "1d").unwrap();
    assert_eq!(walk.edges[at].len(), walk.dates.len());
    for (edge, date) in walk.edges[at].iter().zip(&walk.dates) {
        assert_eq!(days.label(edge * MINUTE), date.to_string(), "{name}");
    }
}

#[test]
fn edges_of_all_grains_1970_to_2037() {
    std::thread::scope(|scope| {
        for name in ZONES {
            scope.spawn(move || check(name));
        }
    });
}

/// A small generator, so that a failure repeats.
fn scramble(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[test]
fn offsets_of_every_zone_are_those_of_the_tables() {
    let check = |tz: &Tz| {
        let zone = Zone::parse(tz.name()).unwrap();
        for day in -62_000_i64..47_800 {
            let second = day * 86_400 + (scramble(day as u64) % 86_400) as i64;
            assert_eq!(
                zone.offset_at(second * 1_000_000),
                offset(*tz, second) * 1_000_000
            );
        }
        for change in zone.changes() {
            let second = change / 1_000_000;
            assert_eq!(change % 1_000_000, 0);
            assert_ne!(
                zone.offset_at(change - 1),
                zone.offset_at(*change),
                "{tz} {second}"
            );
            assert_eq!(
                zone.offset_at(change - 1),
                offset(*tz, second - 1) * 1_000_000
            );
            assert_eq!(zone.offset_at(*change), offset(*tz, second) * 1_000_000);
        }
    };
    std::thread::scope(|scope| {
        for part in TZ_VARIANTS.chunks(TZ_VARIANTS.len().div_ceil(4)) {
            scope.spawn(move || part.iter().for_each(check));
        }
    });
}

/// Zones whose clocks did odd things: half hours, whole days, seconds, midnights.
const ODD: [&str; 14] = [
    "UTC",
    "Europe/Paris",
    "Europe/Amsterdam",
    "Asia/Kathmandu",
    "Asia/Manila",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Juneau",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Etc/GMT-14",
];

/// Times at which the edges of a grain are looked at: all for long grains, those near changes
/// and some others for short ones.
fn stretches(grain: Grain, zone: &Zone) -> Vec<(i64, i64)> {
    const DAY: i64 = 1440 * MINUTE;
    if grain.nominal_us() >= 720 * MINUTE {
        return vec![(-66_000 * DAY, 52_000 * DAY)];
    }
    let ordinary = [-65_000 * DAY, 0, 13_000 * DAY, 50_000 * DAY];
    let near = zone.changes().iter().copied().chain(ordinary);
    near.map(|at| (at - 2 * DAY, at + 2 * DAY)).collect()
}

/// Whether all edges of `coarse` are edges of `fine`, by looking at them.
fn contains(fine: Grain, coarse: Grain, zone: &Zone) -> bool {
    let fine = Calendar::new(fine, zone.clone());
    let mut edges = stretches(coarse, zone)
        .into_iter()
        .flat_map(|(from, to)| Calendar::new(coarse, zone.clone()).windows_between(from, to));
    edges.all(|(start, _)| fine.window(start).0 == start)
}

#[test]
fn the_ladder_says_what_the_edges_say() {
    let check = |name: &str| {
        let zone = Zone::parse(name).unwrap();
        let grains = grains();
        let fed = ladder(&grains, &zone);
        for (at, grain) in grains.iter().enumerate() {
            let mut finer: Vec<usize> = (0..grains.len()).filter(|i| grains[*i] < *grain).collect();
            finer.sort_by_key(|i| std::cmp::Reverse(grains[*i]));
            let expected = finer
                .into_iter()
                .find(|i| contains(grains[*i], *grain, &zone));
            let shown = |i: Option<usize>| i.map_or("readings".into(), |i| grains[i].to_string());
            assert_eq!(shown(fed[at]), shown(expected), "{grain} in {name}");
        }
    };
    std::thread::scope(|scope| {
        for name in ODD {
            scope.spawn(move || check(name));
        }
    });
}

#[test]
fn every_pair_of_grains_alone() {
    for name in ["UTC", "Europe/Paris", "Asia/Kathmandu", "Etc/GMT-14"] {
        let zone = Zone::parse(name).unwrap();
        for fine in grains() {
            for coarse in grains().into_iter().filter(|coarse| fine < *coarse) {
                let said = ladder(&[coarse, fine], &zone) == [Some(1), None];
                assert_eq!(
                    said,
                    contains(fine, coarse, &zone),
                    "{fine} feeds {coarse} in {name}"
                );
            }
        }
    }
}
