//! What the columns are for: time, sensor, measures with kind and unit, and the step.

use super::dates::stamp;
use super::types::{Damage, Typed, mostly_numbers};
use crate::schema::{
    ColumnType, DateOrder, MeasureKind, SENSOR_ID, SensorName, named_like_key, names_sensor,
    plain_name, sensor_name, words,
};
use crate::time::duration;
use crate::time::parse::{Parsed, time_of_day};
use std::collections::{BTreeMap, HashSet};

/// A column of the sample.
pub(super) struct Field<'a> {
    /// Its name.
    pub name: String,
    /// What its values say.
    pub typed: Typed,
    /// Its values.
    pub values: Vec<&'a [u8]>,
}

/// Words in the name of a column that holds the time as a number.
const TIME_WORDS: [&str; 6] = ["time", "epoch", "unix", "ts", "date", "utc"];

/// Units by spelling: kind of the measure, and what the unit is called.
const UNITS: [(&str, MeasureKind, &str); 16] = [
    ("w", MeasureKind::Power, "W"),
    ("kw", MeasureKind::Power, "kW"),
    ("mw", MeasureKind::Power, "MW"),
    ("wh", MeasureKind::Energy, "Wh"),
    ("kwh", MeasureKind::Energy, "kWh"),
    ("mwh", MeasureKind::Energy, "MWh"),
    ("kvar", MeasureKind::Gauge, "kvar"),
    ("kva", MeasureKind::Gauge, "kVA"),
    ("va", MeasureKind::Gauge, "VA"),
    ("v", MeasureKind::Gauge, "V"),
    ("a", MeasureKind::Gauge, "A"),
    ("hz", MeasureKind::Gauge, "Hz"),
    ("°c", MeasureKind::Gauge, "°C"),
    ("%", MeasureKind::Gauge, "%"),
    ("hpa", MeasureKind::Gauge, "hPa"),
    ("m3", MeasureKind::Energy, "m3"),
];

/// Kind and unit that a name speaks for: the unit is its last word, or stands in brackets.
pub(super) fn unit_of(name: &str) -> Option<(MeasureKind, &'static str)> {
    let words = words(name);
    // A name of one letter is a name, not a unit.
    let last = words.last().filter(|w| words.len() > 1 || w.len() > 1)?;
    let found = UNITS.iter().find(|(spelling, _, _)| spelling == last)?;
    Some((found.1, found.2))
}

/// Words in the name of a column that holds amounts.
const MEASURE_WORDS: [&str; 22] = [
    "power",
    "energy",
    "voltage",
    "volt",
    "volts",
    "current",
    "ampere",
    "amps",
    "watt",
    "watts",
    "consumption",
    "load",
    "demand",
    "import",
    "export",
    "generation",
    "production",
    "usage",
    "temperature",
    "temp",
    "humidity",
    "value",
];

/// Words in the name of a column of codes, whatever else it says.
const CODE_WORDS: [&str; 30] = [
    "id", "code", "zip", "zipcode", "postcode", "postal", "plz", "no", "nr", "number", "name",
    "type", "kind", "class", "category", "group", "status", "state", "flag", "quality", "mode",
    "version", "label", "source", "room", "floor", "address", "phone", "note", "comment",
];

fn has_word(name: &str, list: &[&str]) -> bool {
    words(name).iter().any(|w| list.contains(&w.as_str()))
}

/// Whether a column of this name holds codes or names, though they may look like numbers.
pub(super) fn is_code(name: &str) -> bool {
    has_word(name, &CODE_WORDS) || (named_like_key(name) && unit_of(name).is_none())
}

/// How many values of a column of numbers may be damaged, by its name.
pub(super) fn damage_of(name: &str) -> Damage {
    if has_word(name, &CODE_WORDS) {
        Damage::Rare
    } else if unit_of(name).is_some() || has_word(name, &MEASURE_WORDS) {
        Damage::Much
    } else if named_like_key(name) {
        Damage::Rare
    } else {
        Damage::Some
    }
}

/// The time column, or date and time of day; with the type of a number that is a time.
pub(super) fn time_of(fields: &[Field]) -> Option<(Vec<usize>, Option<ColumnType>)> {
    let first = |kind: ColumnType| fields.iter().position(|f| f.typed.kind == kind);
    let stamp = first(ColumnType::Timestamp);
    let date = first(ColumnType::Date);
    let pair = date.zip(first(ColumnType::Time));
    match (stamp, pair) {
        (Some(stamp), Some((date, _))) if stamp < date => Some((vec![stamp], None)),
        (_, Some((date, time))) => Some((vec![date, time], None)),
        (Some(stamp), None) => Some((vec![stamp], None)),
        (None, None) => epoch(fields).or_else(|| Some((vec![date?], None))),
    }
}

/// A number that counts seconds or milliseconds since 1970: by its name and size, or in
/// front of the row, by its size and order.
fn epoch(fields: &[Field]) -> Option<(Vec<usize>, Option<ColumnType>)> {
    let kinds = fields.iter().enumerate().filter_map(|(at, field)| {
        let number = matches!(field.typed.kind, ColumnType::Integer | ColumnType::Float);
        let named = words(&field.name).iter().any(|w| {
            TIME_WORDS
                .iter()
                .any(|t| w.starts_with(t) || w.ends_with(t))
        });
        let kind = epoch_kind(&field.values).filter(|_| number)?;
        let rises = at == 0 && field.typed.kind == ColumnType::Integer && rising(&field.values);
        (named || rises).then_some((vec![at], Some(kind)))
    });
    let mut kinds = kinds;
    kinds.next()
}

fn numbers(values: &[&[u8]]) -> Vec<f64> {
    let texts = values.iter().filter_map(|v| std::str::from_utf8(v).ok());
    texts.filter_map(|t| t.parse().ok()).collect()
}

/// Seconds from 1980 to 2100, or milliseconds of the same time.
fn epoch_kind(values: &[&[u8]]) -> Option<ColumnType> {
    const FROM: f64 = 315_532_800.0;
    const TO: f64 = 4_102_444_800.0;
    let numbers = numbers(values);
    let within = |scale: f64| {
        !numbers.is_empty()
            && numbers
                .iter()
                .all(|n| *n >= FROM * scale && *n <= TO * scale)
    };
    if within(1.0) {
        Some(ColumnType::EpochSeconds)
    } else if within(1000.0) {
        Some(ColumnType::EpochMillis)
    } else {
        None
    }
}

fn rising(values: &[&[u8]]) -> bool {
    let numbers = numbers(values);
    numbers.len() > 2
        && numbers.windows(2).all(|w| w[0] <= w[1])
        && numbers.first() < numbers.last()
}

/// Whole numbers that go up by one from row to row.
pub(super) fn counts_rows(values: &[&[u8]]) -> bool {
    let numbers = numbers(values);
    numbers.len() > 1
        && numbers.len() == values.len()
        && numbers.windows(2).all(|w| w[1] == w[0] + 1.0)
}

/// The time of each row as microseconds of its own clock.
pub(super) fn times(
    fields: &[Field],
    columns: &[usize],
    epoch: Option<&ColumnType>,
    order: Option<DateOrder>,
) -> Vec<Option<i64>> {
    let values = |i: usize| {
        columns
            .get(i)
            .and_then(|at| fields.get(*at))
            .map(|f| &f.values[..])
    };
    let order = order.unwrap_or(DateOrder::Ymd);
    let day = |v: &[u8]| match stamp(v, order) {
        Ok(Parsed::Local(at) | Parsed::Utc(at)) => Some(at),
        Err(_) => None,
    };
    match (values(0), values(1), epoch) {
        (Some(numbers), _, Some(kind)) => {
            let scale = if *kind == ColumnType::EpochMillis {
                1e3
            } else {
                1e6
            };
            let number = |v: &&[u8]| std::str::from_utf8(v).ok()?.parse::<f64>().ok();
            numbers
                .iter()
                .map(|v| Some((number(v)? * scale) as i64))
                .collect()
        }
        (Some(dates), Some(clocks), None) => {
            let both = dates.iter().zip(clocks);
            both.map(|(d, t)| Some(day(d)? + time_of_day(t).ok()?))
                .collect()
        }
        (Some(stamps), _, None) => stamps.iter().map(|v| day(v)).collect(),
        (None, ..) => Vec::new(),
    }
}

/// The column that says which sensor a row is of, and why.
pub(super) fn sensor_of(
    fields: &[Field],
    taken: &[usize],
    times: &[Option<i64>],
) -> Option<(usize, String)> {
    let free = || {
        fields
            .iter()
            .enumerate()
            .filter(|(at, _)| !taken.contains(at))
    };
    let parted = |f: &Field| unique(times.iter().zip(f.values.iter().copied()));
    let once = unique(times.iter().map(|t| (t, &b""[..])));
    let said = |f: &Field| says_sensor(f, !once && parted(f));
    let keyed = free().filter(|(_, f)| named_like_key(&f.name) && is_key(f) || said(f));
    // Of several the one that tells readings of one time apart; a bare `unit` says least.
    let keyed = keyed.min_by_key(|(_, f)| (!parted(f), !names_sensor(&f.name) && !is_id(&f.name)));
    if let Some((at, field)) = keyed {
        return Some((at, why_named(field)));
    }
    if once {
        return None;
    }
    let parts = free().find(|(_, f)| f.typed.kind == ColumnType::Text && is_key(f) && parted(f))?;
    Some((
        parts.0,
        "times come again, but not within one of its values".to_string(),
    ))
}

/// Whether the name of a column settles that it names the sensor, with values that come again or
/// without. Numbers under a bare `meter` may be what it shows: they must tell readings of one time `apart`.
fn says_sensor(field: &Field, apart: bool) -> bool {
    let key = matches!(field.typed.kind, ColumnType::Text | ColumnType::Integer);
    let there = field.typed.values > 0 && field.typed.values * 10 >= field.values.len() * 9;
    key && there
        && match sensor_name(&field.name) {
            Some(SensorName::Key) => true,
            Some(SensorName::Bare) => apart || !mostly_numbers(&field.values),
            None => false,
        }
}

fn is_id(name: &str) -> bool {
    words(name).iter().any(|w| w == "id")
}

fn why_named(field: &Field) -> String {
    match distinct(&field.values) {
        _ if !is_key(field) => "its name says so".to_string(),
        1 => "its name says so, and one value comes again".to_string(),
        count => format!("its name says so, and {count} values come again"),
    }
}

/// The column whose name alone says that it names the sensor.
pub(super) fn named(fields: &[Field], taken: &[usize]) -> Option<(usize, String)> {
    let said = |(at, field): &(usize, &Field)| {
        let kind = match plain_name(&field.name) == SENSOR_ID {
            true => matches!(field.typed.kind, ColumnType::Text | ColumnType::Integer),
            false => field.typed.kind == ColumnType::Text && names_sensor(&field.name),
        };
        kind && field.typed.values > 0 && !taken.contains(at)
    };
    let found = fields.iter().enumerate().find(said);
    found.map(|(at, _)| (at, "its name says so".to_string()))
}

/// Texts or whole numbers, all there, that come again.
fn is_key(field: &Field) -> bool {
    let rows = field.values.len();
    matches!(field.typed.kind, ColumnType::Text | ColumnType::Integer)
        && field.typed.values == rows
        && rows > 1
        && distinct(&field.values) * 2 <= rows
}

fn distinct(values: &[&[u8]]) -> usize {
    values.iter().collect::<HashSet<_>>().len()
}

fn unique<'a>(keys: impl Iterator<Item = (&'a Option<i64>, &'a [u8])>) -> bool {
    let mut seen = HashSet::new();
    keys.filter(|(time, _)| time.is_some())
        .all(|key| seen.insert(key))
}

/// Whether a running total: it never falls within a sensor and mostly rises.
pub(super) fn is_register(values: &[&[u8]], sensors: Option<&[&[u8]]>) -> bool {
    let mut last: BTreeMap<&[u8], f64> = BTreeMap::new();
    let (mut rises, mut pairs) = (0, 0);
    for (row, value) in values.iter().enumerate() {
        let number = std::str::from_utf8(value)
            .ok()
            .and_then(|t| t.parse::<f64>().ok());
        let Some(number) = number else { continue };
        let sensor = sensors
            .and_then(|s| s.get(row))
            .copied()
            .unwrap_or_default();
        if let Some(before) = last.insert(sensor, number) {
            if number < before {
                return false;
            }
            pairs += 1;
            rises += usize::from(number > before);
        }
    }
    pairs >= 10 && rises * 2 > pairs
}

/// The step, where the differences from row to row of a sensor are one length or, at gaps, a
/// multiple of it; with the share of rows that follow at once, in a hundred.
pub(super) fn step_of(times: &[Option<i64>], sensors: Option<&[&[u8]]>) -> Option<(String, usize)> {
    let differences = distances(times, sensors);
    let (step, count) = differences.iter().max_by_key(|(_, n)| **n)?;
    let all: usize = differences.values().sum();
    let steady =
        all >= ENOUGH && count * 10 >= all * 9 && differences.keys().all(|d| d % step == 0);
    steady.then(|| (duration::format(*step), count * 100 / all))
}

/// Distances that can show a step.
const ENOUGH: usize = 2;

/// Whether the rows are too few to show a step.
pub(super) fn too_few(times: &[Option<i64>], sensors: Option<&[&[u8]]>) -> bool {
    distances(times, sensors).values().sum::<usize>() < ENOUGH
}

/// The differences of time from row to row of a sensor, with how often each comes.
fn distances(times: &[Option<i64>], sensors: Option<&[&[u8]]>) -> BTreeMap<i64, usize> {
    let mut last: BTreeMap<&[u8], i64> = BTreeMap::new();
    let mut differences: BTreeMap<i64, usize> = BTreeMap::new();
    for (row, time) in times.iter().enumerate() {
        let Some(time) = time else { continue };
        let sensor = sensors
            .and_then(|s| s.get(row))
            .copied()
            .unwrap_or_default();
        if let Some(before) = last.insert(sensor, *time)
            && before != *time
        {
            *differences.entry((time - before).abs()).or_default() += 1;
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR, MINUTE};

    #[test]
    fn units_stand_at_the_end_of_a_name() {
        assert_eq!(unit_of("Power (kW)"), Some((MeasureKind::Power, "kW")));
        assert_eq!(unit_of("import_kWh"), Some((MeasureKind::Energy, "kWh")));
        assert_eq!(unit_of("line [V]"), Some((MeasureKind::Gauge, "V")));
        assert_eq!(unit_of("v"), None);
        assert_eq!(unit_of("a b"), None);
    }

    #[test]
    fn a_step_bears_gaps_but_not_disorder() {
        let minutes =
            |list: &[i64]| -> Vec<Option<i64>> { list.iter().map(|m| Some(m * MINUTE)).collect() };
        let mut rows: Vec<i64> = (0..40).map(|i| i * 15).collect();
        rows.push(40 * 15 + 30);
        assert_eq!(step_of(&minutes(&rows), None), Some(("15min".into(), 97)));
        assert_eq!(step_of(&minutes(&[0, 7, 9, 30]), None), None);
        assert_eq!(step_of(&minutes(&[0]), None), None);
    }

    #[test]
    fn steps_are_taken_within_a_sensor() {
        let times: Vec<Option<i64>> = (0..20).map(|i| Some(i / 2 * HOUR)).collect();
        let sensors: Vec<&[u8]> = (0..20)
            .map(|i| if i % 2 == 0 { &b"a"[..] } else { b"b" })
            .collect();
        assert_eq!(step_of(&times, Some(&sensors)), Some(("1h".into(), 100)));
    }

    #[test]
    fn a_register_never_falls() {
        let up: Vec<String> = (0..30).map(|i| format!("{}.5", 1000 + i)).collect();
        let mut values: Vec<&[u8]> = up.iter().map(|v| v.as_bytes()).collect();
        assert!(is_register(&values, None));
        values[20] = b"3";
        assert!(!is_register(&values, None));
    }
}
