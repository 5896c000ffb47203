//! Sources: the same readings however they are split, ordered, resumed or piped; changed files are
//! told apart; and the promise of `low` holds for every batch.

use arrow_array::{Float64Array, RecordBatch, TimestampMicrosecondArray};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wattline::csv::SchemaChoice;
use wattline::flush::{Positions, ReadPlan};
use wattline::input::InputSpec;
use wattline::reject::OnReject;
use wattline::schema::{SensorKeys, StepSpec};
use wattline::source::simulate::write_uci;
use wattline::source::{
    ArrowOptions, ArrowSource, FileOptions, FileSource, Order, Poll, Prepare, Source, SourceBatch,
    WAITING_ROWS,
};
use wattline::time::{Grain, Zone};
use wattline::window::{Keep, Plan, StepKnown, WindowSpec};
use wattline::{Kind, Result};

const HEADER: &str = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;Sub_metering_2;Sub_metering_3\r\n";

fn counting(source: &dyn Source) -> Prepare {
    let known = matches!(source.schema().step, StepSpec::Fixed(_));
    let step = if known {
        StepKnown::Fixed(60_000_000)
    } else {
        StepKnown::Unknown
    };
    let spec = WindowSpec {
        grains: vec![Grain::parse("1h").unwrap()],
        zone: Zone::utc(),
        measures: source.measures(),
        step,
        correct_for: None,
    };
    let plan = Plan::new(&spec).unwrap();
    Arc::new(move |readings| plan.accumulate(readings, &Keep::default()))
}

fn options() -> FileOptions {
    let mut options = FileOptions {
        schema: SchemaChoice::Preset("household".into()),
        ..FileOptions::default()
    };
    options.read.on_reject = OnReject::Collect;
    options.read.chunk_bytes = 64 * 1024;
    options
}

fn source(paths: &[&Path], options: FileOptions) -> FileSource {
    let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    FileSource::new(&names, options).unwrap()
}

/// A read to its end, holding every batch against the promises made before it.
fn drain(
    source: &dyn Source,
    from: &Positions,
    read: Option<&ReadPlan>,
    order: Order,
) -> Result<Vec<SourceBatch>> {
    let mut reader = source.open(0, from, read, order, counting(source))?;
    let (mut batches, mut low) = (Vec::new(), i64::MIN);
    loop {
        match reader.next(Duration::from_secs(60))? {
            Poll::Idle => {}
            Poll::End => return Ok(batches),
            Poll::Batch(batch) => {
                assert!(
                    batch.readings.time.iter().all(|t| *t >= low),
                    "a promise of low was broken"
                );
                low = batch.low.unwrap();
                batch.counters.balance().unwrap();
                assert_eq!(batch.counters.accepted, batch.readings.len() as u64);
                assert_eq!(batch.read.is_some(), order == Order::Scanned);
                batches.push(*batch);
            }
        }
    }
}

/// A row: its values as bits, with file and row number where they matter.
type Row = (i64, String, Vec<Option<u64>>);

fn rows(batches: &[SourceBatch]) -> Vec<Row> {
    let mut all = Vec::new();
    for readings in batches.iter().map(|b| &b.readings) {
        for i in 0..readings.len() {
            let sensor = match &readings.sensors {
                SensorKeys::Constant(name) => name.to_string(),
                SensorKeys::Coded { codes, names } => names[codes[i] as usize].to_string(),
            };
            let bits = readings
                .values
                .iter()
                .map(|v| v.iter().nth(i).flatten().map(f64::to_bits));
            all.push((readings.time[i], sensor, bits.collect()));
        }
    }
    all
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

fn ids(batches: &[SourceBatch]) -> Vec<(u32, u64)> {
    let of = |b: &SourceBatch| {
        (0..b.readings.len())
            .map(|i| (b.readings.file, b.readings.row(i)))
            .collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A simulated household file of `rows` lines.
    fn uci(&self, name: &str, rows: u64) -> (PathBuf, String) {
        let path = self.0.path().join(name);
        write_uci(&path, rows, 3).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').skip(1).collect()
}

fn gz(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[test]
fn chunk_size_order_and_files_do_not_change_the_readings() {
    let dir = Folder::new();
    let (path, text) = dir.uci("all.txt", 20_000);
    let whole = rows(
        &drain(
            &source(&[&path], options()),
            &vec![],
            None,
            Order::Optimistic,
        )
        .unwrap(),
    );
    assert_eq!(whole.len(), 20_000);
    for chunk in [1_000, 50_000, 10 << 20] {
        let mut other = options();
        other.read.chunk_bytes = chunk;
        for order in [Order::Optimistic, Order::Scanned] {
            assert_eq!(
                rows(&drain(&source(&[&path], other.clone()), &vec![], None, order).unwrap()),
                whole
            );
        }
    }
    let all = lines(&text);
    let first = dir.file("1.txt", HEADER.to_string() + &all[..7_000].concat());
    let second = dir.file(
        "2.txt.gz",
        gz(&(HEADER.to_string() + &all[7_000..].concat())),
    );
    for order in [Order::Optimistic, Order::Scanned] {
        let parts = drain(&source(&[&first, &second], options()), &vec![], None, order).unwrap();
        assert_eq!(rows(&parts), whole);
        assert_eq!(parts.last().unwrap().after.len(), 2);
        assert_eq!(ids(&parts)[6_999..7_001], [(0, 6_999), (1, 0)]);
    }
}

#[test]
fn a_resume_from_every_position_gives_exactly_the_rest() {
    let dir = Folder::new();
    let (_, text) = dir.uci("all.txt", 9_000);
    let all = lines(&text);
    let a = dir.file("a.txt", HEADER.to_string() + &all[..5_000].concat());
    let b = dir.file("b.txt", HEADER.to_string() + &all[5_000..].concat());
    let packed = dir.file("c.gz", gz(&text));
    let mut small = options();
    small.read.chunk_bytes = 20_000;
    for made in [
        source(&[&a, &b], small.clone()),
        source(&[&packed], small.clone()),
    ] {
        for order in [Order::Optimistic, Order::Scanned] {
            let batches = drain(&made, &vec![], None, order).unwrap();
            assert!(batches.len() > 10);
            let whole = rows(&batches);
            let mut before = 0;
            for batch in &batches {
                before += batch.readings.len();
                let rest = drain(&made, &batch.after, batch.read.as_ref(), order).unwrap();
                assert_eq!(rows(&rest), whole[before..]);
                assert_eq!(
                    rest.last().map(|b| &b.after),
                    batches
                        .last()
                        .filter(|_| !rest.is_empty())
                        .map(|b| &b.after)
                );
            }
        }
    }
}

/// Lines in an order far from that of time, the same each time.
fn shuffled(text: &str) -> String {
    let mut all = lines(text);
    let n = all.len();
    (0..n).for_each(|i| all.swap(i, (i * 7_919 + 13) % n));
    HEADER.to_string() + &all.concat()
}

#[test]
fn disorder_is_told_and_a_scanned_read_bears_it() {
    let dir = Folder::new();
    let (path, text) = dir.uci("all.txt", 8_000);
    let mixed = dir.file("mixed.txt", shuffled(&text));
    let straight = rows(
        &drain(
            &source(&[&path], options()),
            &vec![],
            None,
            Order::Optimistic,
        )
        .unwrap(),
    );
    let made = source(&[&mixed], options());
    assert_eq!(
        drain(&made, &vec![], None, Order::Optimistic)
            .unwrap_err()
            .kind,
        Kind::Disorder
    );
    let batches = drain(&made, &vec![], None, Order::Scanned).unwrap();
    assert!(batches[0].read.as_ref().unwrap().edges.is_empty());
    assert_eq!(sorted(rows(&batches)), straight);
}

#[test]
fn rows_that_would_wait_come_back_by_time_and_each_batch_can_be_resumed() {
    let dir = Folder::new();
    let (path, text) = dir.uci("all.txt", 12_000);
    let bad = shuffled(&text).replacen("17:30:00;", "17:99:00;", 3) + "\r\n";
    let mixed = dir.file("mixed.txt", bad);
    let mut limited = options();
    limited.waiting_rows = 1_000;
    limited.spill_dir = Some(dir.0.path().to_path_buf());
    let made = source(&[&mixed], limited.clone());
    let batches = drain(&made, &vec![], None, Order::Scanned).unwrap();
    let plan = batches[0].read.clone().unwrap();
    assert!(plan.edges.len() > 5, "{plan:?}");
    let whole = rows(&batches);
    let told = drain(
        &source(&[&path], options()),
        &vec![],
        None,
        Order::Optimistic,
    )
    .unwrap();
    let rejects: u64 = batches.iter().map(|b| b.counters.rejected).sum();
    assert_eq!(whole.len() as u64 + rejects, rows(&told).len() as u64);
    assert_eq!(
        batches.iter().map(|b| b.rejects.len() as u64).sum::<u64>(),
        rejects
    );
    assert!(rejects > 0);
    assert!(whole.windows(2).all(|w| w[0].0 <= w[1].0));
    let mut before = 0;
    for batch in &batches {
        before += batch.readings.len();
        let rest = drain(&made, &batch.after, batch.read.as_ref(), Order::Scanned).unwrap();
        assert_eq!(rows(&rest), whole[before..]);
        assert!(rest.iter().all(|b| b.rejects.is_empty()));
    }
    let end = batches.last().unwrap();
    assert!(
        drain(&made, &end.after, None, Order::Scanned)
            .unwrap()
            .is_empty()
    );
    let left: Vec<_> = std::fs::read_dir(dir.0.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "a spilled file can be seen: {left:?}");
    // The same length, another value: what was read before cannot be trusted.
    let changed = std::fs::read_to_string(&mixed)
        .unwrap()
        .replacen("0.000", "0.001", 400);
    std::fs::write(&mixed, changed).unwrap();
    let half = batches[batches.len() / 2].read.as_ref();
    let error = drain(&source(&[&mixed], limited), &vec![], half, Order::Scanned).unwrap_err();
    assert_eq!(error.kind, Kind::DataLost);
}

#[test]
fn rows_of_several_files_keep_their_file_and_number_through_buckets() {
    let dir = Folder::new();
    let (_, text) = dir.uci("all.txt", 6_000);
    let all = lines(&text);
    let odd: String = all.iter().skip(1).step_by(2).copied().collect();
    let even: String = all.iter().step_by(2).copied().collect();
    let a = dir.file("a.txt", HEADER.to_string() + &even);
    let b = dir.file("b.txt", HEADER.to_string() + &odd);
    let mut limited = options();
    limited.waiting_rows = 500;
    let batches = drain(&source(&[&a, &b], limited), &vec![], None, Order::Scanned).unwrap();
    assert!(!batches[0].read.as_ref().unwrap().edges.is_empty());
    let mut seen = ids(&batches);
    seen.sort_unstable();
    let want: Vec<_> = (0..2)
        .flat_map(|f| (0..3_000).map(move |r| (f, r)))
        .collect();
    assert_eq!(seen, want);
    assert!(batches.len() < 60, "{} batches", batches.len());
}

#[test]
fn an_unfinished_read_ends_where_it_was_to_end() {
    let dir = Folder::new();
    let (_, text) = dir.uci("all.txt", 6_000);
    let all = lines(&text);
    let path = dir.file("a.txt", HEADER.to_string() + &all[..4_000].concat());
    let mut small = options();
    small.read.chunk_bytes = 20_000;
    let begun = drain(
        &source(&[&path], small.clone()),
        &vec![],
        None,
        Order::Scanned,
    )
    .unwrap();
    let cut = &begun[3];
    dir.file("a.txt", &text);
    let other = dir.file(
        "b.txt",
        HEADER.replace("Date", "date") + "1/1/2030;00:00:00;1;1;1;1;1;1;1\r\n",
    );
    let grown = source(&[&path, &other], small);
    let rest = drain(&grown, &cut.after, cut.read.as_ref(), Order::Scanned).unwrap();
    assert_eq!(rows(&rest), rows(&begun[4..]));
    let new = drain(&grown, &rest.last().unwrap().after, None, Order::Scanned).unwrap();
    assert_eq!(rows(&new).len(), 2_001);
    let gone = source(&[&other], options());
    assert_eq!(
        drain(&gone, &cut.after, cut.read.as_ref(), Order::Scanned)
            .unwrap_err()
            .kind,
        Kind::DataLost
    );
}

#[test]
fn grown_same_replaced_truncated_and_moved() {
    let dir = Folder::new();
    let (_, text) = dir.uci("all.txt", 3_000);
    let all = lines(&text);
    let half = HEADER.to_string() + &all[..1_500].concat();
    let path = dir.file("a.txt", &half);
    let first = drain(
        &source(&[&path], options()),
        &vec![],
        None,
        Order::Optimistic,
    )
    .unwrap();
    let after = first.last().unwrap().after.clone();
    let next = |path: &Path| drain(&source(&[path], options()), &after, None, Order::Optimistic);
    assert!(next(&path).unwrap().is_empty());
    let moved = dir.file("moved.txt", &half);
    assert!(next(&moved).unwrap().is_empty());
    dir.file("a.txt", &text);
    let grown = next(&path).unwrap();
    assert_eq!(ids(&grown).first(), Some(&(0, 1_500)));
    assert_eq!(rows(&grown).len(), 1_500);
    assert_eq!(grown.last().unwrap().after.len(), 1);
    for broken in [
        half.replacen("0.000", "0.001", 9),
        half[..half.len() / 2].to_string(),
    ] {
        dir.file("a.txt", broken);
        assert_eq!(next(&path).unwrap_err().kind, Kind::DataLost);
    }
    let other = dir.file("new.txt", HEADER.to_string() + &all[1_500..].concat());
    let new = next(&other).unwrap();
    assert_eq!(
        (rows(&new).len(), new.last().unwrap().after.len()),
        (1_500, 2)
    );
}

#[test]
fn an_unterminated_last_line() {
    let dir = Folder::new();
    let line = |m: u32, end: &str| format!("1/1/2007;00:{m:02}:00;1.000;0.1;240;4;0;0;12{end}");
    let cut = HEADER.to_string() + &line(0, "\r\n") + &line(1, "");
    let path = dir.file("a.txt", &cut);
    let read = |from: &Positions, grow: bool| {
        let growing = FileOptions {
            may_grow: grow,
            ..options()
        };
        drain(&source(&[&path], growing), from, None, Order::Optimistic)
    };
    let whole = read(&vec![], false).unwrap();
    assert_eq!(rows(&whole).len(), 2);
    let held = read(&vec![], true).unwrap();
    assert_eq!(rows(&held).len(), 1);
    let (after, after_held) = (&whole[0].after, &held[0].after);
    dir.file("a.txt", cut.clone() + "\r\n" + &line(2, "\r\n"));
    let rest = read(after, false).unwrap();
    assert_eq!(ids(&rest), [(0, 2)]);
    assert_eq!(rest[0].counters.lines, 1);
    assert_eq!(ids(&read(after_held, true).unwrap()), [(0, 1), (0, 2)]);
    dir.file("a.txt", cut + ".5\r\n");
    assert_eq!(read(after, false).unwrap_err().kind, Kind::DataLost);
    let mended = read(after_held, true).unwrap();
    assert_eq!(mended[0].readings.values[6].value(0), 12.5);
}

#[test]
fn a_header_alone_leaves_no_position() {
    let dir = Folder::new();
    let path = dir.file("a.txt", HEADER);
    assert!(
        drain(
            &source(&[&path], options()),
            &vec![],
            None,
            Order::Optimistic
        )
        .unwrap()
        .is_empty()
    );
}

#[test]
fn a_stream_is_kept_while_it_is_looked_through() {
    let dir = Folder::new();
    let (path, text) = dir.uci("all.txt", 6_000);
    let straight = rows(
        &drain(
            &source(&[&path], options()),
            &vec![],
            None,
            Order::Optimistic,
        )
        .unwrap(),
    );
    for (limit, text) in [
        (WAITING_ROWS, text.clone()),
        (WAITING_ROWS, shuffled(&text)),
        (500, shuffled(&text)),
    ] {
        let piped = |name: Option<&str>| {
            let spec = InputSpec::reader("-", Box::new(Cursor::new(text.clone().into_bytes())));
            let named = FileOptions {
                waiting_rows: limit,
                stream_name: name.map(str::to_string),
                ..options()
            };
            FileSource::of(vec![spec], named).unwrap()
        };
        let batches = drain(&piped(Some("pipe")), &vec![], None, Order::Scanned).unwrap();
        assert_eq!(sorted(rows(&batches)), straight);
        let whole = rows(&batches);
        let middle = batches.len() / 2;
        let before: usize = batches[..=middle].iter().map(|b| b.readings.len()).sum();
        let rest = drain(
            &piped(Some("pipe")),
            &batches[middle].after,
            batches[middle].read.as_ref(),
            Order::Scanned,
        );
        assert_eq!(rows(&rest.unwrap()), whole[before..]);
        let again = drain(
            &piped(Some("pipe")),
            &batches.last().unwrap().after,
            None,
            Order::Scanned,
        )
        .unwrap();
        assert!(again.is_empty());
        let unnamed = drain(
            &piped(None),
            &batches.last().unwrap().after,
            None,
            Order::Scanned,
        )
        .unwrap();
        assert_eq!(rows(&unnamed).len(), straight.len());
    }
}

#[test]
fn files_of_other_columns_are_refused() {
    let dir = Folder::new();
    let a = dir.file(
        "a.csv",
        "time,power\n2026-01-01T00:00:00Z,1.5\n2026-01-01T00:01:00Z,1.5\n",
    );
    let b = dir.file(
        "b.csv",
        "time,volts\n2026-01-01T00:00:00Z,230.5\n2026-01-01T00:01:00Z,230.5\n",
    );
    let names = [a.display().to_string(), b.display().to_string()];
    let error = FileSource::new(&names, FileOptions::default())
        .err()
        .unwrap();
    assert_eq!(error.kind, Kind::Schema, "{error}");
    assert!(FileSource::new(&names[..1], FileOptions::default()).is_ok());
}

fn table(times: &[i64]) -> RecordBatch {
    let values: Float64Array = times.iter().map(|t| Some(*t as f64)).collect();
    let times = TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC");
    RecordBatch::try_from_iter([("time", Arc::new(times) as _), ("v", Arc::new(values) as _)])
        .unwrap()
}

fn minutes(n: i64) -> Vec<i64> {
    (0..n).map(|i| i * 60_000_000).collect()
}

#[test]
fn tables_and_readers_in_any_order() {
    let straight = minutes(200_000);
    let mixed: Vec<i64> = (0..200_000)
        .map(|i| straight[i * 7_919 % 200_000])
        .collect();
    let named = || ArrowOptions {
        name: Some("t".into()),
        ..ArrowOptions::default()
    };
    for (times, limit) in [
        (&straight, WAITING_ROWS),
        (&mixed, WAITING_ROWS),
        (&mixed, 20_000),
    ] {
        let batch = table(times);
        let cut = [
            batch.slice(0, 3),
            batch.slice(3, 150_000),
            batch.slice(150_003, 49_997),
        ];
        let taken = ArrowOptions {
            waiting_rows: limit,
            ..named()
        };
        let as_table = || ArrowSource::table(batch.schema(), cut.to_vec(), taken.clone()).unwrap();
        let as_reader = || {
            let batches = Box::new(cut.clone().into_iter().map(Ok));
            ArrowSource::reader(batch.schema(), batches, taken.clone()).unwrap()
        };
        let made: [&dyn Fn() -> ArrowSource; 2] = [&as_table, &as_reader];
        for make in made {
            let batches = drain(&make(), &vec![], None, Order::Scanned).unwrap();
            let whole = rows(&batches);
            let seen: Vec<i64> = sorted(whole.clone()).iter().map(|r| r.0).collect();
            assert_eq!(seen, straight);
            assert_eq!(
                batches[0].read.as_ref().unwrap().edges.is_empty(),
                limit == WAITING_ROWS
            );
            let first = &batches[0];
            let rest = drain(&make(), &first.after, first.read.as_ref(), Order::Scanned).unwrap();
            assert_eq!(rows(&rest), whole[first.readings.len()..]);
            let end = &batches.last().unwrap().after;
            assert!(
                drain(&make(), end, None, Order::Scanned)
                    .unwrap()
                    .is_empty()
            );
        }
    }
    let short = ArrowSource::table(table(&[]).schema(), vec![table(&[1])], named()).unwrap();
    let long = ArrowSource::table(table(&[]).schema(), vec![table(&[1, 2])], named()).unwrap();
    let after = drain(&long, &vec![], None, Order::Optimistic).unwrap()[0]
        .after
        .clone();
    assert_eq!(
        drain(&short, &after, None, Order::Optimistic)
            .unwrap_err()
            .kind,
        Kind::DataLost
    );
}

#[test]
fn an_optimistic_table_tells_disorder_and_rejects_follow_their_policy() {
    let batch = table(&[0, 60, 120]);
    let two = vec![batch.slice(1, 2), batch.slice(0, 1)];
    let made = ArrowSource::table(batch.schema(), two, ArrowOptions::default()).unwrap();
    assert_eq!(
        drain(&made, &vec![], None, Order::Optimistic)
            .unwrap_err()
            .kind,
        Kind::Disorder
    );
    let mut columns = batch.columns().to_vec();
    columns[1] = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]));
    let odd = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let read = |on_reject, max_rejects| {
        let options = ArrowOptions {
            on_reject,
            max_rejects,
            ..ArrowOptions::default()
        };
        let made = ArrowSource::table(odd.schema(), vec![odd.clone()], options).unwrap();
        drain(&made, &vec![], None, Order::Optimistic)
    };
    assert_eq!(
        read(OnReject::Raise, 10).unwrap_err().kind,
        Kind::RejectLimit
    );
    assert_eq!(
        read(OnReject::Collect, 0).unwrap_err().kind,
        Kind::RejectLimit
    );
    let collected = read(OnReject::Collect, 1).unwrap();
    assert_eq!(
        (collected[0].rejects[0].row, collected[0].counters.records),
        (1, 3)
    );
    let skipped = read(OnReject::Skip, 1).unwrap();
    assert_eq!(
        (skipped[0].rejects.len(), skipped[0].counters.rejected),
        (0, 1)
    );
}
