//! Attributes on their way: from files and tables, in order and out of it, to the sinks that ask for them.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, LargeStringArray, RecordBatch,
    TimestampMicrosecondArray, UInt64Array,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use wattline::pipeline::{self, Control, Handed, Level, Report, Spec, Until};
use wattline::{Error, Kind, Result};

const SCHEMA: &str = r#"
[schema]
name = "meters"
tz = "UTC"
[schema.time]
columns = ["at"]
[[schema.columns]]
name = "meter"
type = "text"
role = "sensor"
[[schema.columns]]
name = "at"
type = "timestamp"
role = "time"
[[schema.columns]]
name = "kwh"
type = "float"
role = "measure"
measure = "energy"
unit = "kWh"
[[schema.columns]]
name = "status"
type = "text"
[[schema.columns]]
name = "valve"
type = "boolean"
[[schema.columns]]
name = "seen"
type = "date"
"#;

const HEADER: &str = "meter,at,kwh,status,valve,seen\n";
const MINUTE: i64 = 60_000_000;
/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

/// A record: its minute of the year, and what the store must show of it.
fn line(minute: usize) -> String {
    let at = chrono::DateTime::from_timestamp_micros(NEW_YEAR + minute as i64 * MINUTE).unwrap();
    let (status, valve, seen) = shown(minute);
    format!(
        "m{},{},{}.25,{},{},{}\n",
        minute % 3,
        at.format("%Y-%m-%dT%H:%M:%SZ"),
        minute,
        status.unwrap_or_default(),
        valve.map_or(String::new(), |v| (v == 1).to_string()),
        seen.unwrap_or_default()
    )
}

type Shown = (Option<String>, Option<i64>, Option<String>);

fn shown(minute: usize) -> Shown {
    let status = match minute % 5 {
        0 => None,
        1 => Some("\"zu spät, sehr\"".to_string()),
        n => Some(format!("status {n}")),
    };
    let valve = (!minute.is_multiple_of(7)).then_some((minute % 2) as i64);
    let seen = (!minute.is_multiple_of(11)).then(|| format!("2026-01-{:02}", 1 + minute % 28));
    (status, valve, seen)
}

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, minutes: impl Iterator<Item = usize>) -> PathBuf {
        let text: String = minutes.map(line).collect();
        fs::write(self.path(name), format!("{HEADER}{text}")).unwrap();
        self.path(name)
    }

    /// A pipeline from files to `sinks`, each `what` and where.
    fn spec(&self, files: &[&str], sinks: &str, more: &str) -> Spec {
        let files: Vec<String> = files
            .iter()
            .map(|f| self.path(f).display().to_string())
            .collect();
        let sinks = sinks.replace("HERE", &self.0.path().display().to_string());
        let text = format!(
            "name = \"p\"\nsource = {files:?}\ngrains = [\"1h\"]\n{more}\n{sinks}\n{SCHEMA}"
        );
        Spec::from_toml(&text).unwrap()
    }

    fn store(&self) -> Connection {
        Connection::open(self.path("out.db")).unwrap()
    }

    /// Each reading's minute and attributes, as SQLite shows them.
    fn rows(&self, table: &str) -> Vec<(usize, Shown)> {
        let store = self.store();
        let sql = format!("SELECT kwh, status, valve, seen FROM {table} ORDER BY kwh");
        let mut rows = store.prepare(&sql).unwrap();
        let row = |r: &rusqlite::Row<'_>| {
            let kwh: f64 = r.get(0)?;
            Ok((kwh as usize, (r.get(1)?, r.get(2)?, r.get(3)?)))
        };
        rows.query_map([], row)
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap()
    }
}

fn expected(minutes: impl Iterator<Item = usize>) -> Vec<(usize, Shown)> {
    let plain = |(status, valve, seen): Shown| (status.map(|s| s.replace('"', "")), valve, seen);
    minutes.map(|m| (m, plain(shown(m)))).collect()
}

const BOTH: &str = "[[sinks]]\nendpoint = \"HERE/out.db\"\nwhat = \"readings\"\n[[sinks]]\nendpoint = \"HERE/files\"\nwhat = \"readings\"\n";

fn run(spec: &Spec) -> Result<Report> {
    pipeline::run(spec, None, Until::End, &Control::new())
}

/// The rows of a folder of Parquet files.
fn files(folder: &Path) -> Vec<RecordBatch> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    let read = |path: &PathBuf| {
        let file = fs::File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        reader.map(|b| b.unwrap()).collect::<Vec<_>>()
    };
    names.iter().flat_map(read).collect()
}

/// What Parquet shows, as SQLite does.
fn filed(folder: &Path) -> Vec<(usize, Shown)> {
    let mut rows = Vec::new();
    for batch in files(folder) {
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        let (kwh, status, valve) = (column("kwh"), column("status"), column("valve"));
        let seen = arrow_cast::cast(&column("seen"), &arrow_schema::DataType::Utf8).unwrap();
        let text = |c: &ArrayRef, i: usize| {
            c.is_valid(i)
                .then(|| c.as_string::<i32>().value(i).to_string())
        };
        for i in 0..batch.num_rows() {
            let minute = kwh
                .as_primitive::<arrow_array::types::Float64Type>()
                .value(i) as usize;
            let valve = valve
                .is_valid(i)
                .then(|| i64::from(valve.as_boolean().value(i)));
            rows.push((minute, (text(&status, i), valve, text(&seen, i))));
        }
    }
    rows.sort();
    rows
}

#[test]
fn a_file_in_two_halves_and_again_lands_each_attribute_once() {
    let place = Place::new();
    place.write("a.csv", 0..500);
    let spec = place.spec(&["a.csv"], BOTH, "flush_rows = 100");
    run(&spec).unwrap();
    assert_eq!(place.rows("readings"), expected(0..500));
    place.write("a.csv", 0..1000);
    run(&spec).unwrap();
    assert_eq!(run(&spec).unwrap().run.readings, 0);
    assert_eq!(place.rows("readings"), expected(0..1000));
    assert_eq!(filed(&place.path("files")), expected(0..1000));
}

#[test]
fn readings_out_of_order_keep_their_attributes_through_buckets() {
    let place = Place::new();
    place.write("a.csv", (0..2000).map(|i| i * 7919 % 2000));
    let more = "waiting_rows = 100\nchunk_bytes = 4096\nflush_rows = 300";
    let report = run(&place.spec(&["a.csv"], BOTH, more)).unwrap();
    assert_eq!(report.run.readings, 2000);
    assert_eq!(place.rows("readings"), expected(0..2000));
    assert_eq!(filed(&place.path("files")), expected(0..2000));
}

#[test]
fn late_rows_and_conflicts_are_listed_with_their_attributes() {
    let place = Place::new();
    place.write("a.csv", 300..600);
    let sinks = BOTH.replace(
        "\"HERE/files\"\nwhat = \"readings\"",
        "\"HERE/out.db\"\nwhat = \"late\"",
    );
    run(&place.spec(&["a.csv"], &sinks, "")).unwrap();
    // Before what is counted of these meters; and one instant with another value.
    place.write("b.csv", (0..30).chain(900..930));
    let mut text = fs::read_to_string(place.path("b.csv")).unwrap();
    text.push_str(&line(929).replace("929.25", "950.25"));
    fs::write(place.path("b.csv"), text).unwrap();
    run(&place.spec(&["a.csv", "b.csv"], &sinks, "on_conflict = \"first\"")).unwrap_err();
    run(&place.spec(&["a.csv", "b.csv"], &sinks, "")).unwrap();
    let mut late = expected(0..30);
    late.push((950, expected(929..930)[0].1.clone()));
    assert_eq!(place.rows("late"), late);
}

#[test]
fn of_equal_readings_the_first_stays_with_its_own() {
    for (more, left) in [("", vec![1, 5]), ("on_conflict = \"last\"", vec![5])] {
        let place = Place::new();
        let first = line(1);
        let other = first
            .replace("zu spät, sehr", "another")
            .replace("true", "false");
        let conflict = other.replace("1.25", "5.25");
        fs::write(
            place.path("a.csv"),
            format!("{HEADER}{first}{other}{conflict}"),
        )
        .unwrap();
        let report = run(&place.spec(&["a.csv"], BOTH, more)).unwrap();
        let rows = place.rows("readings");
        assert_eq!(rows.iter().map(|r| r.0).collect::<Vec<_>>(), left);
        assert_eq!(report.run.conflicts, if left.len() == 2 { 1 } else { 2 });
        if left.len() == 2 {
            assert_eq!(rows[0].1, expected(1..2)[0].1);
        }
        assert_eq!(rows.last().unwrap().1.0.as_deref(), Some("another"));
    }
}

#[test]
fn windows_are_the_same_bits_whether_attributes_travel_or_not() {
    let place = Place::new();
    place.write("a.csv", (0..3000).map(|i| i * 7919 % 3000));
    let windows = "[[sinks]]\nendpoint = \"HERE/out.db\"\nwhat = \"windows\"\n";
    let with = format!("{windows}{}", BOTH.replace("out.db", "readings.db"));
    let dump = || {
        let store = place.store();
        let sql =
            "SELECT sensor_id, window_start, readings, hex(kwh_sum) FROM windows ORDER BY 1, 2";
        let mut rows = store.prepare(sql).unwrap();
        let row = |r: &rusqlite::Row<'_>| {
            Ok((
                r.get::<_, String>(0)?,
                r.get::<_, String>(1)?,
                r.get::<_, i64>(2)?,
                r.get::<_, String>(3)?,
            ))
        };
        rows.query_map([], row)
            .unwrap()
            .collect::<rusqlite::Result<Vec<_>>>()
            .unwrap()
    };
    let plain = run(&place.spec(&["a.csv"], windows, "waiting_rows = 100")).unwrap();
    let due = dump();
    assert_eq!(due.iter().map(|r| r.2).sum::<i64>(), 3000);
    fs::remove_file(place.path("out.db")).unwrap();
    let beside = run(&place.spec(&["a.csv"], &with, "waiting_rows = 100")).unwrap();
    assert_eq!(dump(), due);
    assert_eq!(plain.run, beside.run);
}

fn findings(spec: &Spec) -> Vec<(Level, String)> {
    let found = pipeline::check(spec, None).unwrap();
    found.into_iter().map(|f| (f.level, f.message)).collect()
}

fn told(spec: &Spec, level: Level, what: &str) -> bool {
    findings(spec)
        .iter()
        .any(|(l, m)| *l == level && m.contains(what))
}

/// A pipeline whose sinks were made before attributes travelled: its mapping names none.
fn begun_without(place: &Place) {
    place.write("a.csv", 0..100);
    let kept = "[sinks.columns]\nsensor_id = \"sensor_id\"\ntime = \"time\"\nkwh = \"kwh\"\nquality = \"quality\"\nfile = \"file\"\nstream = \"stream\"\nrow = \"row\"\n";
    let sinks = format!(
        "{}{kept}",
        BOTH.split_inclusive("readings\"\n").next().unwrap()
    );
    run(&place.spec(&["a.csv"], &sinks, "")).unwrap();
}

#[test]
fn a_table_made_without_a_column_is_told_what_to_run_and_then_goes_on() {
    let place = Place::new();
    begun_without(&place);
    place.write("a.csv", 0..200);
    let spec = place.spec(
        &["a.csv"],
        BOTH.split_inclusive("readings\"\n").next().unwrap(),
        "",
    );
    let error = run(&spec).unwrap_err();
    assert!(
        error
            .message
            .contains("ALTER TABLE \"readings\" ADD COLUMN \"status\" TEXT"),
        "{error}"
    );
    assert!(told(&spec, Level::Error, "no column \"status\""));
    for column in ["status TEXT", "valve INTEGER", "seen TEXT"] {
        place
            .store()
            .execute(&format!("ALTER TABLE readings ADD COLUMN {column}"), [])
            .unwrap();
    }
    run(&spec).unwrap();
    let rows = place.rows("readings");
    assert!(rows[..100].iter().all(|r| r.1 == (None, None, None)));
    assert_eq!(rows[100..], expected(100..200));
}

#[test]
fn a_parquet_table_keeps_the_columns_that_it_was_begun_with() {
    let place = Place::new();
    let home = BOTH.replace("HERE/out.db", "HERE/files2");
    place.write("a.csv", 0..100);
    let spec = place.spec(&["a.csv"], &home, "");
    // The same definition, as a version without attributes began it: its tables have none.
    for folder in ["files", "files2"] {
        let state = place.path(&format!("{folder}.wattline"));
        fs::create_dir_all(&state).unwrap();
        let columns = [
            ("sensor_id", "Utf8"),
            ("time", "Timestamp(µs, \"UTC\")"),
            ("kwh", "Float64"),
            ("quality", "Utf8"),
            ("file", "Utf8"),
            ("stream", "Utf8"),
            ("row", "Int64"),
        ];
        let facts = serde_json::json!({"format": 1, "pipeline": "p", "tz": "UTC", "what": "readings", "partition_by": null, "columns": columns});
        fs::write(state.join("table.json"), facts.to_string()).unwrap();
    }
    assert!(told(
        &spec,
        Level::Warning,
        "begun without status, valve, seen"
    ));
    run(&spec).unwrap();
    let rows = files(&place.path("files"));
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    assert!(rows.iter().all(|b| b.num_columns() == 7));
}

#[test]
fn a_mapping_takes_what_it_names_and_measures_alone_read_nothing_else() {
    let place = Place::new();
    let path = place.write("a.csv", 0..100);
    let one = BOTH.split_inclusive("readings\"\n").next().unwrap();
    let sinks = format!(
        "{one}table = \"theirs\"\nkey = [\"m\", \"t\"]\non_same_time = \"raise\"\n[sinks.columns]\nm = \"sensor_id\"\nt = \"time\"\nstate = \"status\"\n"
    );
    let spec = place.spec(&["a.csv"], &sinks, "measures = [\"kwh\"]");
    assert!(told(&spec, Level::Info, "with the readings go status"));
    assert!(!findings(&spec).iter().any(|(_, m)| m.contains("valve")));
    run(&spec).unwrap();
    let count = |sql: &str| {
        place
            .store()
            .query_row(sql, [], |r| r.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM theirs"), 100);
    assert_eq!(
        count("SELECT count(*) FROM theirs WHERE state = 'zu spät, sehr'"),
        20
    );
    let wrong = place.spec(&["a.csv"], &sinks.replace("\"status\"", "\"colour\""), "");
    assert!(told(&wrong, Level::Error, "none of ours: sensor_id"));
    drop(path);
}

#[test]
fn a_name_that_is_taken_is_refused_and_not_left_out() {
    let place = Place::new();
    place.write("a.csv", 0..10);
    let renamed = |name: &str| {
        let text = fs::read_to_string(place.path("a.csv")).unwrap();
        fs::write(place.path("b.csv"), text.replacen("status", name, 1)).unwrap();
        let schema = SCHEMA.replace("\"status\"", &format!("{name:?}"));
        let spec = place.spec(&["b.csv"], BOTH, "");
        let toml = format!("name = \"p\"\n{schema}");
        Spec {
            schema: Spec::from_toml(&toml).unwrap().schema,
            ..spec
        }
    };
    for name in ["file", "Quality"] {
        assert!(
            told(&renamed(name), Level::Error, "rename it in the schema"),
            "{name}"
        );
    }
    // `id` is a column of ours in a mapping only.
    let mut spec = renamed("id");
    run(&spec).unwrap();
    let ids = "SELECT count(*) FROM readings WHERE id = 'status 2'";
    assert_eq!(
        place
            .store()
            .query_row(ids, [], |r| r.get::<_, i64>(0))
            .unwrap(),
        2
    );
    spec.sinks.truncate(1);
    spec.sinks[0].table = Some("other".into());
    spec.sinks[0].columns = Some([("id".to_string(), "id".to_string())].into());
    assert!(told(
        &spec,
        Level::Error,
        "the row's UUID and an attribute too"
    ));
}

/// A table with an attribute `extra` beside the reading.
fn table(extra: ArrayRef) -> RecordBatch {
    let n = extra.len();
    let time =
        TimestampMicrosecondArray::from_iter_values((0..n as i64).map(|i| NEW_YEAR + i * MINUTE));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("sensor_id", Arc::new(LargeStringArray::from(vec!["a"; n]))),
        ("time", Arc::new(time.with_timezone("UTC"))),
        (
            "v",
            Arc::new(Float64Array::from_iter_values((0..n).map(|i| i as f64))),
        ),
        ("extra", extra),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn landed(extra: ArrayRef, reader: bool) -> Result<Vec<rusqlite::types::Value>> {
    let place = Place::new();
    let rows = table(extra);
    let schema = rows.schema();
    let batches = vec![rows.slice(0, 1), rows.slice(1, rows.num_rows() - 1)];
    let handed = match reader {
        false => Handed::Table { schema, batches },
        true => Handed::Reader {
            schema,
            batches: Box::new(batches.into_iter().map(Ok)),
        },
    };
    let text = format!(
        "name = \"p\"\nmeasures = [\"v\"]\ngrains = [\"1h\"]\nstream_name = \"t\"\n[[sinks]]\nendpoint = {:?}\nwhat = \"readings\"",
        place.path("out.db")
    );
    pipeline::run(
        &Spec::from_toml(&text)?,
        Some(handed),
        Until::End,
        &Control::new(),
    )?;
    let store = place.store();
    let mut rows = store
        .prepare("SELECT extra FROM readings ORDER BY v")
        .unwrap();
    let values = rows
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(|v| v.unwrap());
    Ok(values.collect())
}

#[test]
fn attributes_of_tables_and_readers_land_in_a_type_that_stores_keep() {
    use rusqlite::types::Value::{Integer, Null, Text};
    let coded: DictionaryArray<Int32Type> = [Some("x"), None, Some("x")].into_iter().collect();
    let text = |t: &str| Text(t.into());
    for reader in [false, true] {
        assert_eq!(
            landed(Arc::new(coded.clone()), reader).unwrap(),
            [text("x"), Null, text("x")]
        );
        let flags = BooleanArray::from(vec![Some(true), Some(false), None]);
        assert_eq!(
            landed(Arc::new(flags), reader).unwrap(),
            [Integer(1), Integer(0), Null]
        );
        let whole = UInt64Array::from(vec![Some(7), None, Some(1 << 40)]);
        assert_eq!(
            landed(Arc::new(whole), reader).unwrap(),
            [Integer(7), Null, Integer(1 << 40)]
        );
    }
}

#[test]
fn what_no_store_keeps_is_refused_by_name() {
    let refused = |extra: ArrayRef| -> Error { landed(extra, false).unwrap_err() };
    let large = refused(Arc::new(UInt64Array::from(vec![1, u64::MAX])));
    assert!(
        large.message.contains("\"extra\"") && large.message.contains("cast the column to text"),
        "{large}"
    );
    let bytes = refused(Arc::new(arrow_array::BinaryArray::from(vec![
        &b"x"[..],
        b"y",
    ])));
    assert!(
        bytes.kind == Kind::Schema && bytes.message.contains("\"extra\" holds Binary"),
        "{bytes}"
    );
}

#[test]
fn a_wide_file_gives_each_of_its_readings_the_attributes_of_the_record() {
    let place = Place::new();
    fs::write(
        place.path("w.csv"),
        "at,note,a,b\n2026-01-01T00:00:00Z,first,1,2\n2026-01-01T01:00:00Z,,3,4\n",
    )
    .unwrap();
    let text = format!(
        "name = \"p\"\nsource = {:?}\ngrains = [\"1h\"]\n[[sinks]]\nendpoint = {:?}\nwhat = \"readings\"\n[schema]\ntz = \"UTC\"\n[schema.time]\ncolumns = [\"at\"]\n[[schema.columns]]\nname = \"at\"\ntype = \"timestamp\"\nrole = \"time\"\n[[schema.columns]]\nname = \"note\"\ntype = \"text\"\n[schema.melt]\ninto = \"sensor\"\nvalue = {{ name = \"kwh\", type = \"float\", role = \"measure\", measure = \"energy\", unit = \"kWh\" }}\n",
        place.path("w.csv"),
        place.path("out.db")
    );
    run(&Spec::from_toml(&text).unwrap()).unwrap();
    let store = place.store();
    let mut rows = store.prepare("SELECT sensor_id || ' ' || kwh || ' ' || coalesce(note, '-') FROM readings ORDER BY kwh").unwrap();
    let rows: Vec<String> = rows
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(|v| v.unwrap())
        .collect();
    assert_eq!(rows, ["a 1.0 first", "b 2.0 first", "a 3.0 -", "b 4.0 -"]);
}
