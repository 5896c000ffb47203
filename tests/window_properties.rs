//! Windows against a slow oracle that shares no code with them, over random readings: any split, order
//! and restart gives the same bits.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, Float64Array, RecordBatch};
use arrow_buffer::BooleanBuffer;
use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wattline::flush::WindowRows;
use wattline::schema::{Aggregate, Measure, MeasureKind, Readings, RowIds, SensorKeys, Step};
use wattline::time::{Calendar, Grain, Zone};
use wattline::window::{Delta, Keep, Open, Plan, StepKnown, WindowSpec};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const ALL: [Aggregate; 9] = [
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Mean,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::First,
    Aggregate::Last,
    Aggregate::Stddev,
    Aggregate::Energy,
];

/// A small generator: the same seed gives the same case on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

// ---------------------------------------------------------------- a case

#[derive(Clone, Debug)]
struct Row {
    sensor: usize,
    time: i64,
    values: Vec<Option<f64>>,
    duplicate: bool,
    estimated: bool,
    step: i64,
}

struct Case {
    spec: WindowSpec,
    rows: Vec<Row>,
    sensors: Vec<Arc<str>>,
}

fn measure(
    name: &str,
    kind: MeasureKind,
    unit: &str,
    digits: Option<u8>,
    dice: &mut Dice,
) -> Measure {
    let mut aggregates: Vec<Aggregate> = ALL.into_iter().filter(|_| !dice.one_in(3)).collect();
    if kind == MeasureKind::Gauge {
        aggregates.retain(|a| *a != Aggregate::Energy);
    }
    if aggregates.is_empty() {
        aggregates.push(Aggregate::Count);
    }
    Measure {
        name: name.into(),
        kind,
        unit: Some(unit.into()),
        digits,
        aggregates,
    }
}

fn value(dice: &mut Dice, style: usize) -> f64 {
    let k = (dice.next() >> 44) as i64 - (1 << 19);
    match style {
        0 => k as f64 / 1000.0,
        1 => k as f64 * 0.1,
        2 if dice.one_in(9) => {
            dice.pick(&[1e308, -1e308, 5e-324, 0.1 + 0.2, -0.0, 1e15, 2.5e-310, 1e22])
        }
        2 => k as f64 / 1000.0,
        _ => f64::from_bits(dice.next() & !(1 << 62)),
    }
}

fn case(seed: u64) -> Case {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let zone = dice.pick(&[
        "UTC",
        "Europe/Paris",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Pacific/Apia",
    ]);
    let names = [
        "1min", "5min", "15min", "30min", "1h", "3h", "24h", "1d", "1d@06:00", "1w", "1mo",
        "1q@apr", "1y",
    ];
    let mut grains: Vec<&str> = names.to_vec();
    dice.shuffle(&mut grains);
    grains.truncate(1 + dice.below(5));
    let step = match dice.below(4) {
        0 => StepKnown::Unknown,
        1 => StepKnown::Rows,
        _ => StepKnown::Fixed(MINUTE),
    };
    let measures = vec![
        measure("power", MeasureKind::Power, "kW", Some(3), &mut dice),
        measure("load", MeasureKind::Power, "W", None, &mut dice),
        measure("amount", MeasureKind::Energy, "Wh", Some(1), &mut dice),
        measure("volts", MeasureKind::Gauge, "V", None, &mut dice),
    ];
    let sensors: Vec<Arc<str>> = ["b", "a", "sensor-with-a-long-name"]
        .iter()
        .map(|s| (*s).into())
        .collect();
    let base: i64 = dice.pick(&[
        1_711_800_000_000_000,
        1_729_900_000_000_000,
        -3_000_000_000,
        1_325_000_000_000_000,
    ]);
    let base = base - base.rem_euclid(MINUTE);
    let span = dice.pick(&[90usize, 3000, 40_000]);
    let styles: Vec<usize> = (0..4).map(|_| dice.below(4)).collect();
    let most = if dice.one_in(4) { 400 } else { 60 };
    let n = 1 + dice.below(most);
    let mut rows: Vec<Row> = (0..n)
        .map(|i| Row {
            sensor: dice.below(3),
            time: base
                + if dice.one_in(2) {
                    i as i64
                } else {
                    dice.below(span) as i64
                } * MINUTE,
            values: styles
                .iter()
                .map(|s| (!dice.one_in(7)).then(|| value(&mut dice, *s)))
                .collect(),
            duplicate: false,
            estimated: dice.one_in(5),
            step: if dice.one_in(30) { 15 * MINUTE } else { MINUTE },
        })
        .collect();
    for _ in 0..dice.below(4) {
        let mut row = dice.pick(&rows);
        row.duplicate = row.values.iter().any(Option::is_some);
        rows.push(row);
    }
    let spec = WindowSpec {
        grains: grains.iter().map(|g| g.parse().unwrap()).collect(),
        zone: Zone::parse(zone).unwrap(),
        measures: measures.into(),
        step,
        correct_for: None,
    };
    Case {
        spec,
        rows,
        sensors,
    }
}

/// The batch and its masks; names in the order of first use.
fn batch(case: &Case, rows: &[Row]) -> (Readings, Keep) {
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut codes = Vec::new();
    for row in rows {
        let name = &case.sensors[row.sensor];
        let code = names.iter().position(|n| n == name).unwrap_or(names.len());
        if code == names.len() {
            names.push(name.clone());
        }
        codes.push(code as u32);
    }
    let sensors = match names.len() {
        1 => SensorKeys::Constant(names[0].clone()),
        _ => SensorKeys::Coded {
            codes: codes.into(),
            names: names.into(),
        },
    };
    let column = |m: usize| rows.iter().map(|r| r.values[m]).collect::<Float64Array>();
    let readings = Readings {
        attributes: Default::default(),
        measures: case.spec.measures.clone(),
        sensors,
        time: rows.iter().map(|r| r.time).collect::<Vec<_>>().into(),
        values: (0..case.spec.measures.len()).map(column).collect(),
        quality: Some(
            rows.iter()
                .map(|r| u8::from(r.estimated))
                .collect::<Vec<_>>()
                .into(),
        ),
        step: match case.spec.step {
            StepKnown::Unknown => Step::Unknown,
            StepKnown::Fixed(step) => Step::Fixed(step),
            StepKnown::Rows => Step::Rows(rows.iter().map(|r| r.step).collect::<Vec<_>>().into()),
        },
        file: 0,
        rows: RowIds::Dense(0),
    };
    let duplicates = rows
        .iter()
        .any(|r| r.duplicate)
        .then(|| rows.iter().map(|r| r.duplicate).collect());
    (
        readings,
        Keep {
            duplicates,
            ..Keep::default()
        },
    )
}

fn delta(case: &Case, plan: &Plan, rows: &[Row]) -> Delta {
    let (readings, keep) = batch(case, rows);
    let delta = plan.accumulate(&readings, &keep).unwrap();
    delta.finished(plan).unwrap()
}

/// The same with one sensor whose times increase: windows are finished where they are accumulated.
fn in_order(case: &mut Case) {
    case.rows.sort_by_key(|r| r.time);
    case.rows.dedup_by_key(|r| r.time);
    for row in &mut case.rows {
        (row.sensor, row.duplicate) = (0, false);
    }
}

// ---------------------------------------------------------------- plain rows of a windows table

#[derive(Clone, Debug, PartialEq)]
struct Line {
    end: i64,
    label: String,
    integers: Vec<Option<i64>>,
    seen: (Option<i64>, Option<i64>),
    revision: i32,
    last: bool,
    floats: Vec<(String, Option<u64>)>,
}

type Key = (String, i64, String);

fn lines(tables: &[WindowRows]) -> BTreeMap<Key, Line> {
    let mut all = BTreeMap::new();
    for table in tables {
        let mut before: Option<(i64, String)> = None;
        for (key, line) in table_lines(&table.rows) {
            assert_eq!(key.0, table.grain);
            let place = (key.1, key.2.clone());
            assert!(
                before.as_ref().is_none_or(|b| *b < place),
                "out of order: {before:?} {place:?}"
            );
            before = Some(place);
            assert!(all.insert(key, line).is_none(), "a window twice");
        }
    }
    all
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> String {
    let array = batch.column_by_name(column).unwrap();
    match array.as_any_dictionary_opt() {
        Some(dictionary) => {
            let key = array.as_dictionary::<Int32Type>().keys().value(row) as usize;
            dictionary.values().as_string::<i32>().value(key).into()
        }
        None => array.as_string::<i32>().value(row).into(),
    }
}

fn table_lines(batch: &RecordBatch) -> Vec<(Key, Line)> {
    let instant = |name: &str, row: usize| {
        let array = batch
            .column_by_name(name)
            .unwrap()
            .as_primitive::<TimestampMicrosecondType>();
        array.is_valid(row).then(|| array.value(row))
    };
    let line = |row: usize| {
        let mut integers = Vec::new();
        let mut floats = Vec::new();
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            if let Some(array) = array.as_primitive_opt::<Int64Type>() {
                integers.push(array.is_valid(row).then(|| array.value(row)));
            }
            if let Some(array) = array.as_primitive_opt::<Float64Type>() {
                let bits = array.is_valid(row).then(|| array.value(row).to_bits());
                floats.push((field.name().clone(), bits));
            }
        }
        let line = Line {
            end: instant("window_end", row).unwrap(),
            label: text(batch, "window_label", row),
            integers,
            seen: (instant("first_reading", row), instant("last_reading", row)),
            revision: batch
                .column_by_name("revision")
                .unwrap()
                .as_primitive::<Int32Type>()
                .value(row),
            last: batch
                .column_by_name("final")
                .unwrap()
                .as_boolean()
                .value(row),
            floats,
        };
        (
            (
                text(batch, "grain", row),
                instant("window_start", row).unwrap(),
                text(batch, "sensor_id", row),
            ),
            line,
        )
    };
    (0..batch.num_rows()).map(line).collect()
}

// ---------------------------------------------------------------- the oracle

/// An exact fraction; never reduced.
#[derive(Clone)]
struct Fraction(BigInt, BigInt);

impl Fraction {
    fn whole(k: i64) -> Self {
        Fraction(k.into(), 1.into())
    }
    fn float(v: f64) -> Self {
        let bits = v.abs().to_bits();
        let (m, e) = match bits >> 52 {
            0 => (bits, -1074),
            e => (bits & ((1 << 52) - 1) | 1 << 52, e as i64 - 1075),
        };
        let m = if v < 0.0 {
            -BigInt::from(m)
        } else {
            BigInt::from(m)
        };
        match e >= 0 {
            true => Fraction(m << e as usize, 1.into()),
            false => Fraction(m, BigInt::from(1) << (-e) as usize),
        }
    }
    /// What a reading means: its decimal digits if it has them, else the float itself.
    fn meant(v: f64, digits: Option<u8>) -> Self {
        let Some(digits) = digits else {
            return Fraction::float(v);
        };
        let written = format!("{v:.*}", digits as usize);
        let far = v.abs() * 10f64.powi(digits.into()) >= (1u64 << 50) as f64;
        if far || written.parse::<f64>().unwrap() != v {
            return Fraction::float(v);
        }
        let number: BigInt = written.replace('.', "").parse().unwrap();
        Fraction(number, BigInt::from(10u64.pow(digits.into())))
    }
    fn add(&self, o: &Fraction) -> Self {
        if self.1 == o.1 {
            return Fraction(&self.0 + &o.0, self.1.clone());
        }
        let common = self.1.gcd(&o.1);
        let (mine, theirs) = (&self.1 / &common, &o.1 / &common);
        Fraction(&self.0 * &theirs + &o.0 * &mine, &self.1 * theirs)
    }
    fn times(&self, o: &Fraction) -> Self {
        Fraction(&self.0 * &o.0, &self.1 * &o.1)
    }
    fn over(&self, n: i64) -> Self {
        Fraction(self.0.clone(), &self.1 * n)
    }
    fn order(&self, o: &Fraction) -> Ordering {
        (&self.0 * &o.1).cmp(&(&o.0 * &self.1))
    }
}

/// The float whose `power`-th power is nearest to |q|, by bisection over all floats; ties to even.
fn nearest(q: &Fraction, power: usize) -> f64 {
    let minus = q.0.sign() == Sign::Minus;
    let q = Fraction(BigInt::from(q.0.magnitude().clone()), q.1.clone());
    let raise = |f: &Fraction| if power == 1 { f.clone() } else { f.times(f) };
    let (mut low, mut high) = (0u64, f64::MAX.to_bits() + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match raise(&Fraction::float(f64::from_bits(middle))).order(&q) {
            Ordering::Greater => high = middle,
            _ => low = middle,
        }
    }
    let above = match f64::from_bits(high).is_finite() {
        true => Fraction::float(f64::from_bits(high)),
        false => Fraction(BigInt::from(1) << 1024, 1.into()),
    };
    let half = Fraction::float(f64::from_bits(low)).add(&above).over(2);
    let bits = match raise(&half).order(&q) {
        Ordering::Greater => low,
        Ordering::Less => high,
        Ordering::Equal => low + (low & 1),
    };
    let v = f64::from_bits(bits);
    if minus && v != 0.0 { -v } else { v }
}

fn oracle(case: &Case, rows: &[Row]) -> BTreeMap<Key, Line> {
    let mut table = BTreeMap::new();
    for grain in &case.spec.grains {
        let calendar = Calendar::new(*grain, case.spec.zone.clone());
        for (code, sensor) in case.sensors.iter().enumerate() {
            let mut windows: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
            for row in rows
                .iter()
                .filter(|r| r.sensor == code && r.values.iter().any(Option::is_some))
            {
                windows
                    .entry(calendar.window(row.time).0)
                    .or_default()
                    .push(row);
            }
            fill_gaps(&calendar, *grain, &mut windows);
            let mut step = None;
            for (start, members) in windows {
                let end = calendar.window(start).1;
                let line = oracle_line(case, &calendar, (start, end), &members, step);
                let counted: Vec<&&Row> = members.iter().filter(|r| !r.duplicate).collect();
                step = step_of(case, &counted).or(step);
                table.insert((grain.to_string(), start, sensor.to_string()), line);
            }
        }
    }
    table
}

fn fill_gaps(calendar: &Calendar, grain: Grain, windows: &mut BTreeMap<i64, Vec<&Row>>) {
    let (Some(first), Some(last)) = (
        windows.keys().next().copied(),
        windows.keys().last().copied(),
    ) else {
        return;
    };
    let mut at = first;
    while grain.is_coarse() && at < last {
        windows.entry(at).or_default();
        at = calendar.window(at).1;
    }
}

fn oracle_line(
    case: &Case,
    calendar: &Calendar,
    window: (i64, i64),
    members: &[&Row],
    before: Option<i64>,
) -> Line {
    let rows: Vec<&&Row> = members.iter().filter(|r| !r.duplicate).collect();
    let duplicates = members.len() - rows.len();
    let mut integers = vec![Some(rows.len() as i64)];
    integers.extend(oracle_slots(case, window, &rows, before));
    integers.extend([
        Some(duplicates as i64),
        Some(rows.iter().filter(|r| r.estimated).count() as i64),
    ]);
    let mut floats = Vec::new();
    for (index, measure) in case.spec.measures.iter().enumerate() {
        let mut aggregates = measure.aggregates.clone();
        aggregates.sort_by_key(|a| ALL.iter().position(|b| a == b));
        for aggregate in aggregates {
            if aggregate == Aggregate::Count {
                integers.push(Some(
                    rows.iter().filter(|r| r.values[index].is_some()).count() as i64,
                ));
                continue;
            }
            let name = serde_json::to_value(aggregate).unwrap();
            let suffix = if aggregate == Aggregate::Energy {
                "energy_wh"
            } else {
                name.as_str().unwrap()
            };
            let value = oracle_value(case, index, aggregate, &rows);
            floats.push((
                format!("{}_{suffix}", measure.name),
                value.map(|v| (v + 0.0).to_bits()),
            ));
        }
    }
    Line {
        end: window.1,
        label: calendar.label(window.0),
        integers,
        seen: (
            rows.iter().map(|r| r.time).min(),
            rows.iter().map(|r| r.time).max(),
        ),
        revision: 0,
        last: true,
        floats,
    }
}

/// The one step of the rows, if they agree.
fn step_of(case: &Case, rows: &[&&Row]) -> Option<i64> {
    let steps: BTreeSet<i64> = rows.iter().map(|r| r.step).collect();
    match case.spec.step {
        StepKnown::Unknown => None,
        StepKnown::Fixed(step) => Some(step),
        StepKnown::Rows if steps.len() == 1 => steps.first().copied(),
        StepKnown::Rows => None,
    }
}

/// Expected and missing, slot by slot. All windows here begin on a whole step, or are shorter than it.
fn oracle_slots(
    case: &Case,
    window: (i64, i64),
    rows: &[&&Row],
    before: Option<i64>,
) -> [Option<i64>; 2] {
    let step = if rows.is_empty() {
        step_of(case, rows).or(before)
    } else {
        step_of(case, rows)
    };
    let Some(step) = step.filter(|s| *s <= window.1 - window.0) else {
        return [None, None];
    };
    let filled: BTreeSet<i64> = rows.iter().map(|r| (r.time - window.0) / step).collect();
    let expected = (window.1 - window.0) / step;
    let missing = (0..expected).filter(|slot| !filled.contains(slot)).count();
    [Some(expected), Some(missing as i64)]
}

fn oracle_value(case: &Case, index: usize, aggregate: Aggregate, rows: &[&&Row]) -> Option<f64> {
    let measure = &case.spec.measures[index];
    let seen: Vec<(i64, f64, i64)> = rows
        .iter()
        .filter_map(|r| r.values[index].map(|v| (r.time, v + 0.0, r.step)))
        .collect();
    let exact: Vec<Fraction> = seen
        .iter()
        .map(|s| Fraction::meant(s.1, measure.digits))
        .collect();
    let sum = exact.iter().fold(Fraction::whole(0), |a, v| a.add(v));
    let n = seen.len() as i64;
    let by_time =
        |a: &&(i64, f64, i64), b: &&(i64, f64, i64)| (a.0, a.1).partial_cmp(&(b.0, b.1)).unwrap();
    let by_value = |a: &&(i64, f64, i64), b: &&(i64, f64, i64)| a.1.partial_cmp(&b.1).unwrap();
    if n == 0 {
        return None;
    }
    Some(match aggregate {
        Aggregate::Sum => nearest(&sum, 1),
        Aggregate::Mean => nearest(&sum.over(n), 1),
        Aggregate::Min => seen.iter().min_by(by_value)?.1,
        Aggregate::Max => seen.iter().max_by(by_value)?.1,
        Aggregate::First => seen.iter().min_by(by_time)?.1,
        Aggregate::Last => seen.iter().max_by(by_time)?.1,
        Aggregate::Stddev => {
            if n < 2 {
                return None;
            }
            let mean = sum.over(-n);
            let squares = exact.iter().map(|v| v.add(&mean)).map(|d| d.times(&d));
            nearest(
                &squares
                    .fold(Fraction::whole(0), |a, d| a.add(&d))
                    .over(n - 1),
                2,
            )
        }
        Aggregate::Energy => {
            let unit = if measure.unit.as_deref() == Some("kW") {
                1000
            } else {
                1
            };
            let power = measure.kind == MeasureKind::Power;
            if power && case.spec.step == StepKnown::Unknown {
                return None;
            }
            let fixed = case.spec.step != StepKnown::Rows;
            let parts = exact.iter().zip(&seen).map(|(v, s)| match power {
                true => v.times(&Fraction(
                    BigInt::from(if fixed { MINUTE } else { s.2 }) * unit,
                    HOUR.into(),
                )),
                false => v.clone(),
            });
            nearest(&parts.fold(Fraction::whole(0), |a, p| a.add(&p)), 1)
        }
        Aggregate::Count => unreachable!(),
    })
}

fn same(seed: u64, what: &str, got: &BTreeMap<Key, Line>, want: &BTreeMap<Key, Line>) {
    for (key, line) in want {
        assert_eq!(got.get(key), Some(line), "seed {seed}, {what}, {key:?}");
    }
    assert_eq!(
        got.len(),
        want.len(),
        "seed {seed}, {what}: windows that should not be"
    );
}

// ---------------------------------------------------------------- properties

#[test]
fn one_batch_equals_the_oracle() {
    for seed in 1..120 {
        let case = case(seed);
        let plan = Plan::new(&case.spec).unwrap();
        let mut open = Open::new();
        open.merge(&plan, delta(&case, &plan, &case.rows)).unwrap();
        let got = lines(&open.close(&plan, i64::MAX).unwrap());
        same(seed, "one batch", &got, &oracle(&case, &case.rows));
        assert!(open.is_empty());
    }
}

#[test]
fn any_split_order_and_restart_gives_the_same_bits() {
    for seed in 1..120 {
        let case = case(seed);
        let mut dice = Dice(seed << 20 | 5);
        let plan = Plan::new(&case.spec).unwrap();
        let mut rows = case.rows.clone();
        dice.shuffle(&mut rows);
        let mut open = Open::new();
        let mut log: Vec<(bool, Vec<u8>)> = Vec::new();
        while !rows.is_empty() {
            let n = 1 + dice.below(rows.len().min(20));
            let part: Vec<Row> = rows.drain(..n).collect();
            open.merge(&plan, delta(&case, &plan, &part)).unwrap();
            if dice.one_in(3) {
                let fold = dice.one_in(5);
                let bytes = if fold {
                    open.whole(&plan)
                } else {
                    open.take_changes(&plan)
                };
                log.push((fold, bytes));
            }
            if dice.one_in(9) {
                log.push((false, open.take_changes(&plan)));
                open = Open::restore(&plan, log.iter().map(|(f, b)| (*f, b.as_slice()))).unwrap();
            }
        }
        let got = lines(&open.close(&plan, i64::MAX).unwrap());
        same(seed, "split", &got, &oracle(&case, &case.rows));
    }
}

#[test]
fn windows_close_in_passing_and_gaps_are_written_once() {
    for seed in 1..360 {
        let mut case = case(seed);
        if seed > 120 {
            in_order(&mut case);
        }
        let mut dice = Dice(seed << 20 | 3);
        let plan = Plan::new(&case.spec).unwrap();
        let mut rows = case.rows.clone();
        rows.sort_by_key(|r| r.time);
        let want = oracle(&case, &rows);
        let mut got = BTreeMap::new();
        let mut open = Open::new();
        let mut log: Vec<Vec<u8>> = Vec::new();
        while !rows.is_empty() {
            let n = 1 + dice.below(rows.len().min(25));
            let part: Vec<Row> = rows.drain(..n).collect();
            open.merge(&plan, delta(&case, &plan, &part)).unwrap();
            // The batch after may hold rows of the same instant: nothing at or above it is final.
            let low = rows.first().map_or(part[n - 1].time, |r| r.time);
            for (key, line) in lines(&open.close(&plan, low).unwrap()) {
                assert!(line.end <= low && line.last);
                assert!(
                    got.insert(key.clone(), line).is_none(),
                    "seed {seed}: {key:?} written twice"
                );
            }
            log.push(open.take_changes(&plan));
            if dice.one_in(4) {
                open = Open::restore(&plan, log.iter().map(|b| (false, b.as_slice()))).unwrap();
            }
            let mut together = got.clone();
            for (key, mut line) in lines(&open.open_rows(&plan).unwrap()) {
                assert!(!line.last);
                line.last = true;
                assert!(
                    together.insert(key.clone(), line).is_none(),
                    "seed {seed}: {key:?} open and closed"
                );
            }
            if rows.is_empty() {
                same(seed, "open rows", &together, &want);
            }
        }
        got.extend(lines(&open.close(&plan, i64::MAX).unwrap()));
        same(seed, "closed in passing", &got, &want);
    }
}

/// The rows whose windows end beyond `mark`, and the others, grain by grain.
fn parted(case: &Case, plan: &Plan, rows: &[Row], mark: i64) -> (Delta, Delta) {
    let (readings, keep) = batch(case, rows);
    let late = |g: usize, late: bool| {
        let is = |r: &Row| (plan.window(g, r.time).1 <= mark) == late;
        Some(rows.iter().map(is).collect())
    };
    let part = |side: bool| {
        let on_time = (0..plan.grains().len()).map(|g| late(g, side)).collect();
        let keep = Keep {
            on_time,
            ..keep.clone()
        };
        plan.accumulate(&readings, &keep).unwrap()
    };
    (part(false), part(true))
}

#[test]
fn corrections_count_up_and_end_at_the_truth() {
    let mut corrected = 0;
    for seed in 1..120 {
        let mut case = case(seed);
        case.spec.correct_for = Some(1 << 61);
        if case.spec.step == StepKnown::Rows {
            // An empty window keeps the step known when it was written.
            case.spec.step = StepKnown::Fixed(MINUTE);
        }
        let mut dice = Dice(seed << 20 | 9);
        let plan = Plan::new(&case.spec).unwrap();
        let mut rows = case.rows.clone();
        rows.sort_by_cached_key(|r| r.time + dice.below(300) as i64 * MINUTE);
        let want = oracle(&case, &rows);
        let mut got: BTreeMap<Key, Line> = BTreeMap::new();
        let mut revisions: BTreeMap<Key, i32> = BTreeMap::new();
        let mut open = Open::new();
        let (mut mark, mut log) = (i64::MIN, Vec::new());
        while !rows.is_empty() || mark < i64::MAX {
            let n = (1 + dice.below(25)).min(rows.len());
            let part: Vec<Row> = rows.drain(..n).collect();
            let (on_time, late) = parted(&case, &plan, &part, mark);
            for (g, grain) in plan.grains().enumerate() {
                let counts = |r: &&Row| !r.duplicate && r.values.iter().any(Option::is_some);
                for row in part.iter().filter(counts) {
                    let (start, end) = plan.window(g, row.time);
                    let key = (
                        grain.to_string(),
                        start,
                        case.sensors[row.sensor].to_string(),
                    );
                    *revisions.entry(key).or_default() += i32::from(mark >= end);
                }
            }
            mark = part.iter().map(|r| r.time).fold(mark, i64::max);
            mark = if rows.is_empty() { i64::MAX } else { mark };
            open.merge(&plan, on_time).unwrap();
            open.merge_late(&plan, late).unwrap();
            let first = lines(&open.take_corrected(&plan).unwrap());
            corrected += first.len();
            let then = lines(&open.close(&plan, mark).unwrap());
            assert!(first.keys().all(|k| !then.contains_key(k)), "seed {seed}");
            for (key, line) in first.into_iter().chain(then) {
                let due = revisions.get(&key).copied().unwrap_or(0);
                assert_eq!(line.revision, due, "seed {seed} {key:?}");
                assert!(line.last);
                got.insert(key, line);
            }
            log.push(open.take_changes(&plan));
            if dice.one_in(4) {
                open = Open::restore(&plan, log.iter().map(|b| (false, b.as_slice()))).unwrap();
            }
        }
        got.values_mut().for_each(|l| l.revision = 0);
        same(seed, "corrected", &got, &want);
    }
    assert!(corrected > 500, "{corrected}");
}

#[test]
fn masks_by_grain_count_what_they_let_through() {
    for seed in 1..120 {
        let mut case = case(seed);
        // A duplicate without its original in the batch would make a window of its own.
        case.rows.iter_mut().for_each(|r| r.duplicate = false);
        let mut dice = Dice(seed << 20 | 11);
        let plan = Plan::new(&case.spec).unwrap();
        let (readings, mut keep) = batch(&case, &case.rows);
        let grains: Vec<String> = plan.grains().map(String::from).collect();
        let masks: Vec<BooleanBuffer> = grains
            .iter()
            .map(|_| case.rows.iter().map(|_| !dice.one_in(3)).collect())
            .collect();
        keep.on_time = masks.iter().cloned().map(Some).collect();
        let delta = plan.accumulate(&readings, &keep).unwrap();
        let null = case
            .rows
            .iter()
            .filter(|r| r.values.iter().all(Option::is_none))
            .count() as u64;
        for grain in 0..grains.len() {
            let books = delta.books(grain);
            let sum = books.windowed + books.late + books.null + books.duplicate + books.dropped;
            assert_eq!(sum, case.rows.len() as u64, "seed {seed}");
            assert_eq!(books.null, null);
        }
        let mut open = Open::new();
        open.merge(&plan, delta).unwrap();
        let got = lines(&open.close(&plan, i64::MAX).unwrap());
        for (grain, mask) in grains.iter().zip(&masks) {
            let rows: Vec<Row> = case
                .rows
                .iter()
                .zip(mask)
                .filter(|(_, on)| *on)
                .map(|(r, _)| r.clone())
                .collect();
            case.spec.grains = vec![grain.parse().unwrap()];
            let mine = got
                .iter()
                .filter(|(k, _)| k.0 == *grain)
                .map(|(k, l)| (k.clone(), l.clone()));
            same(seed, "masked", &mine.collect(), &oracle(&case, &rows));
        }
    }
}

#[test]
fn hostile_bytes_are_an_error_and_never_a_panic() {
    let mut refused = 0;
    for seed in 1..60 {
        let case = case(seed);
        let plan = Plan::new(&case.spec).unwrap();
        let mut open = Open::new();
        open.merge(&plan, delta(&case, &plan, &case.rows)).unwrap();
        let middle = case.rows.iter().map(|r| r.time).max().unwrap();
        open.close(&plan, middle).unwrap();
        let bytes = open.whole(&plan);
        let mut dice = Dice(seed << 20 | 7);
        for _ in 0..300 {
            let mut bad = bytes.clone();
            for _ in 0..1 + dice.below(3) {
                let at = dice.below(bad.len());
                match dice.below(3) {
                    0 => bad[at] = dice.next() as u8,
                    1 => bad[at] ^= 1 << dice.below(8),
                    _ => bad.truncate(at.max(1)),
                }
            }
            match Open::restore(&plan, [(true, bad.as_slice())].into_iter()) {
                Err(_) => refused += 1,
                Ok(mut open) => {
                    // What passes must be usable: an answer or an error, no panic.
                    let _ = open.open_rows(&plan);
                    let _ = open.merge(&plan, delta(&case, &plan, &case.rows));
                    let _ = open.close(&plan, i64::MAX);
                }
            }
        }
    }
    assert!(refused > 5000, "{refused}");
}
