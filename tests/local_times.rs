//! `on_repeated = infer`: the instants are those of a reader that takes one row after the other, for
//! every chunk size, number of threads, kind of input and place where a read goes on.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wattline::csv::{Chunk, Chunks, CsvPlan, LocalPolicy, ReadOptions, SchemaChoice, Start};
use wattline::flush::Positions;
use wattline::input::{InputSpec, Limits};
use wattline::reject::OnReject;
use wattline::schema::{Overrides, RowIds, Schema, SensorKeys};
use wattline::source::{
    ArrowOptions, ArrowSource, FileOptions, FileSource, Order, Poll, Prepare, Source,
};
use wattline::time::{Converter, Grain, HOUR, MINUTE, OnMissing, OnRepeated, Zone};
use wattline::window::{Keep, Plan, StepKnown, WindowSpec};

const SCHEMA: &str = "tz = \"Europe/Paris\"\n[[columns]]\nname = \"meter\"\ntype = \"text\"\nrole = \"sensor\"\n[[columns]]\nname = \"at\"\ntype = \"timestamp\"\nrole = \"time\"\n[[columns]]\nname = \"v\"\ntype = \"float\"\nrole = \"measure\"\nmeasure = \"gauge\"\n";

/// 2007-10-28 01:00Z, when the clock in Paris went back from 03:00 to 02:00.
const BACK: i64 = 1_193_533_200_000_000;

/// A row of the file: sensor, local time, and whether its value can be read.
#[derive(Clone, Debug)]
struct Row {
    sensor: u8,
    local: i64,
    sound: bool,
}

/// Sensors that read every `step` around the change, interleaved, a few rows out of place.
fn files() -> impl Strategy<Value = Vec<Row>> {
    let sensor = (
        prop::sample::select(vec![5, 7, 10, 15, 30, 60]),
        0..90i64,
        1..5i64,
    );
    let rows = prop::collection::vec(sensor, 1..4).prop_flat_map(|sensors| {
        let paris = Zone::parse("Europe/Paris").unwrap();
        let mut all = Vec::new();
        for (sensor, (step, lag, hours)) in (0u8..).zip(sensors) {
            let first = BACK - hours * HOUR;
            let n = (hours + 3) * HOUR / (step * MINUTE);
            for i in 0..n {
                let utc = first + i * step * MINUTE;
                all.push((utc + lag * MINUTE, sensor, paris.to_local(utc)));
            }
        }
        all.sort();
        let n = all.len();
        let swaps = prop::collection::vec((0..n, 0..n), 0..3);
        let torn = prop::collection::vec(0..n, 0..4);
        (Just(all), swaps, torn)
    });
    rows.prop_map(|(all, swaps, torn)| {
        let row = |(_, sensor, local)| Row {
            sensor,
            local,
            sound: true,
        };
        let mut rows: Vec<Row> = all.into_iter().map(row).collect();
        swaps.into_iter().for_each(|(a, b)| rows.swap(a, b));
        torn.into_iter().for_each(|i| rows[i].sound = false);
        rows
    })
}

fn text(rows: &[Row]) -> String {
    let mut text = String::from("meter,at,v\n");
    for row in rows {
        let at = chrono::DateTime::from_timestamp_micros(row.local).unwrap();
        let value = if row.sound { "1.5" } else { "x" };
        let at = at.format("%Y-%m-%d %H:%M:%S");
        writeln!(text, "m{},{at},{value}", row.sensor).unwrap();
    }
    text
}

/// One row after the other, a converter a sensor; faulty records are not there.
fn naive(rows: &[Row]) -> Vec<i64> {
    let mut sensors: BTreeMap<u8, Converter> = BTreeMap::new();
    let zone = Zone::parse("Europe/Paris").unwrap();
    let fresh = || Converter::new(zone.clone(), OnRepeated::Infer, OnMissing::Raise, None);
    let sound = rows.iter().filter(|row| row.sound);
    sound
        .map(|row| {
            let own = sensors.entry(row.sensor).or_insert_with(fresh);
            own.convert(row.local, 0).unwrap().unwrap()
        })
        .collect()
}

fn read_options(chunk_bytes: usize, threads: usize) -> ReadOptions {
    ReadOptions {
        on_reject: OnReject::Collect,
        threads: Some(threads),
        chunk_bytes,
        local: LocalPolicy {
            on_repeated: OnRepeated::Infer,
            on_missing: OnMissing::Raise,
        },
        ..ReadOptions::default()
    }
}

fn chunks(input: &InputSpec, options: &ReadOptions, start: Option<Start>) -> Vec<Chunk> {
    let schema = Schema::from_toml(SCHEMA).unwrap();
    let plan = Arc::new(CsvPlan::compile(&schema, b"meter,at,v\n").unwrap());
    let opened = input.open(&Limits::default()).unwrap();
    let mut chunks = Chunks::open(opened, plan, options, start, Arc::new(Ok)).unwrap();
    std::iter::from_fn(|| chunks.next().unwrap()).collect()
}

fn times(chunks: &[Chunk]) -> Vec<i64> {
    let of = |c: &Chunk| {
        let column = c.batch.column_by_name("at").unwrap();
        column
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .to_vec()
    };
    chunks.iter().flat_map(of).collect()
}

fn prepare(source: &dyn Source) -> Prepare {
    let plan = Plan::new(&WindowSpec {
        grains: vec![Grain::parse("1h").unwrap()],
        zone: Zone::parse("Europe/Paris").unwrap(),
        measures: source.measures(),
        step: StepKnown::Unknown,
        correct_for: None,
    })
    .unwrap();
    Arc::new(move |readings| plan.accumulate(readings, &Keep::default()))
}

/// Sensor, row and instant of everything a source gives, and its positions at the end.
type Given = (Vec<(String, u64, i64)>, Positions);

fn drain(source: &dyn Source, from: &Positions, order: Order) -> Option<Given> {
    let mut reader = source.open(0, from, None, order, prepare(source)).unwrap();
    let (mut all, mut after) = (Vec::new(), from.clone());
    loop {
        match reader.next(Duration::from_secs(60)) {
            Ok(Poll::Idle) => {}
            Ok(Poll::End) => break,
            Err(error) => {
                assert_eq!(error.kind, wattline::Kind::Disorder, "{error}");
                return None;
            }
            Ok(Poll::Batch(batch)) => {
                let readings = &batch.readings;
                for i in 0..readings.len() {
                    let sensor = match &readings.sensors {
                        SensorKeys::Constant(name) => name.to_string(),
                        SensorKeys::Coded { codes, names } => names[codes[i] as usize].to_string(),
                    };
                    all.push((sensor, readings.row(i), readings.time[i]));
                }
                after = batch.after;
            }
        }
    }
    Some((all, after))
}

fn wanted(rows: &[Row]) -> Vec<(String, u64, i64)> {
    let sound = (0u64..).zip(rows).filter(|(_, row)| row.sound);
    let named = sound.map(|(i, row)| (format!("m{}", row.sensor), i));
    named
        .zip(naive(rows))
        .map(|((sensor, i), time)| (sensor, i, time))
        .collect()
}

fn file_source(path: &Path, chunk_bytes: usize) -> FileSource {
    let mut read = read_options(chunk_bytes, 2);
    read.threads = None;
    let options = FileOptions {
        schema: SchemaChoice::Declared(Box::new(Schema::from_toml(SCHEMA).unwrap())),
        read,
        ..FileOptions::default()
    };
    FileSource::new(&[path.display().to_string()], options).unwrap()
}

fn table(rows: &[Row]) -> RecordBatch {
    let sound = || rows.iter().filter(|r| r.sound);
    let meters = sound().map(|r| Some(format!("m{}", r.sensor)));
    let at: TimestampMicrosecondArray = sound().map(|r| Some(r.local)).collect();
    let values = Float64Array::from(vec![1.5; at.len()]);
    let columns: [(&str, ArrayRef); 3] = [
        ("meter", Arc::new(meters.collect::<StringArray>())),
        ("at", Arc::new(at)),
        ("v", Arc::new(values)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn arrow_options() -> ArrowOptions {
    ArrowOptions {
        schema: Some(Schema::from_toml(SCHEMA).unwrap()),
        on_repeated: OnRepeated::Infer,
        name: Some("t".into()),
        ..ArrowOptions::default()
    }
}

/// Without the row number: a table lacks the faulty records.
fn plain(rows: Vec<(String, u64, i64)>) -> Vec<(String, i64)> {
    let mut rows: Vec<(String, i64)> = rows.into_iter().map(|(s, _, t)| (s, t)).collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn instants_do_not_depend_on_how_a_file_is_cut(rows in files(), size in 40..3_000usize, threads in 1..4usize) {
        let text = text(&rows);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, &text).unwrap();
        let want = naive(&rows);
        let options = read_options(size, threads);
        for input in [InputSpec::file("a.csv", &path), InputSpec::memory("a.csv", text.as_bytes())] {
            let whole = chunks(&input, &options, None);
            prop_assert_eq!(times(&whole), want.clone());
            // From the end of any chunk on, with chunks of another size.
            let middle = &whole[whole.len() / 2];
            let rest = chunks(&input, &read_options(size / 2 + 30, threads), Some(middle.end));
            let done = times(&whole[..=whole.len() / 2]);
            prop_assert_eq!([done, times(&rest)].concat(), want.clone());
            let first = rest.iter().find(|c| c.batch.num_rows() > 0);
            if let (Some(first), RowIds::Dense(row)) = (first, &middle.rows) {
                prop_assert!(matches!(first.rows, RowIds::Dense(r) if r >= *row) || matches!(first.rows, RowIds::Listed(_)));
            }
        }
    }

    #[test]
    fn sources_give_the_instants_of_the_file(rows in files(), size in 40..3_000usize, cut in 0.0..1.0f64) {
        let text = text(&rows);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut want = wanted(&rows);
        want.sort();
        // The file as it was first, at a record's end; then grown.
        let records: Vec<usize> = text.match_indices('\n').map(|(i, _)| i + 1).collect();
        let at = records[((records.len() - 1) as f64 * cut) as usize];
        std::fs::write(&path, &text[..at]).unwrap();
        let (mut got, positions) = drain(&file_source(&path, size), &Positions::new(), Order::Scanned).unwrap();
        std::fs::write(&path, &text).unwrap();
        got.extend(drain(&file_source(&path, size / 2 + 30), &positions, Order::Scanned).unwrap().0);
        got.sort();
        prop_assert_eq!(&got, &want);
        if let Some((mut got, _)) = drain(&file_source(&path, size), &Positions::new(), Order::Optimistic) {
            got.sort();
            prop_assert_eq!(&got, &want);
        }
        // Tables and readers, cut anywhere.
        let whole = table(&rows);
        let n = (whole.num_rows() as f64 * cut) as usize;
        let parts = || vec![whole.slice(0, n), whole.slice(n, whole.num_rows() - n)];
        let source = ArrowSource::table(whole.schema(), parts(), arrow_options()).unwrap();
        prop_assert_eq!(plain(drain(&source, &Positions::new(), Order::Scanned).unwrap().0), plain(want.clone()));
        let once = Box::new(parts().into_iter().map(Ok));
        let source = ArrowSource::reader(whole.schema(), once, arrow_options()).unwrap();
        prop_assert_eq!(plain(drain(&source, &Positions::new(), Order::Scanned).unwrap().0), plain(want.clone()));
        // A table of which the first rows were counted by an earlier run.
        let source = ArrowSource::table(whole.schema(), vec![whole.slice(0, n)], arrow_options()).unwrap();
        let (mut got, positions) = drain(&source, &Positions::new(), Order::Scanned).unwrap();
        let source = ArrowSource::table(whole.schema(), parts(), arrow_options()).unwrap();
        got.extend(drain(&source, &positions, Order::Scanned).unwrap().0);
        prop_assert_eq!(plain(got), plain(want));
    }
}

#[test]
fn the_callers_sensor_column_tells_the_passes_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    // By `meter` the second row is meter b's first pass; by `other` it is the second pass of x.
    let text = "meter,other,at,v\na,x,2007-10-28 02:30:00,1\nb,x,2007-10-28 02:00:00,2\nb,x,2007-10-28 02:30:00,3\n";
    std::fs::write(&path, text).unwrap();
    let toml = format!("{SCHEMA}[[columns]]\nname = \"other\"\ntype = \"text\"\n");
    let schema = Schema::from_toml(&toml).unwrap();
    let of = |sensor: &str| {
        let options = FileOptions {
            schema: SchemaChoice::Declared(Box::new(schema.clone())),
            overrides: Overrides {
                sensor: Some(vec![sensor.into()]),
                ..Overrides::default()
            },
            read: read_options(1 << 20, 1),
            ..FileOptions::default()
        };
        let source = FileSource::new(&[path.display().to_string()], options).unwrap();
        let (rows, _) = drain(&source, &Positions::new(), Order::Scanned).unwrap();
        let mut hours: Vec<i64> = rows.iter().map(|r| (r.2 - BACK).div_euclid(HOUR)).collect();
        hours.sort_unstable();
        hours
    };
    assert_eq!(of("meter"), [-1, -1, -1]);
    assert_eq!(of("other"), [-1, 0, 0]);
}
