use super::*;
use crate::csv::{Chunk, Chunks, ReadOptions};
use crate::input::{Bytes, Encoding, Opened, Packing};
use crate::reject::OnReject;
use crate::schema::{Column, ColumnType, Dialect, TimeSpec};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};

fn column(name: &str, kind: ColumnType, role: Role) -> Column {
    Column {
        name: name.into(),
        names: Vec::new(),
        kind,
        role,
        measure: None,
        unit: None,
        digits: None,
        min: Some(0.0),
        max: Some(500.0),
        wraps_at: None,
    }
}

fn schema() -> Schema {
    Schema {
        columns: vec![
            column("date", ColumnType::Date, Role::Time),
            column("time", ColumnType::Time, Role::Time),
            column("active_power", ColumnType::Float, Role::Measure),
        ],
        time: TimeSpec {
            columns: vec!["date".into(), "time".into()],
            order: Some(crate::schema::DateOrder::Dmy),
        },
        sensor_id: Some("house".into()),
        nulls: vec!["?".into()],
        dialect: Dialect::default(),
        ..Default::default()
    }
}

fn read(schema: &Schema, text: &str) -> Result<Chunk> {
    let plan = Arc::new(CsvPlan::compile(schema, text.as_bytes())?);
    let input = Opened {
        name: "x".into(),
        path: None,
        bytes: Bytes::Stream(Box::new(std::io::Cursor::new(text.to_string()))),
        encoding: Encoding::Utf8,
        packing: Packing::Plain,
    };
    let options = ReadOptions {
        on_reject: OnReject::Collect,
        threads: Some(1),
        ..Default::default()
    };
    let chunk = Chunks::open(input, plan, &options, None, Arc::new(Ok))?.next()?;
    let chunk = chunk.expect("a file has a chunk");
    chunk.counters.balance()?;
    Ok(chunk)
}

fn rows(chunk: &Chunk) -> Vec<(i64, Option<f64>)> {
    let times = chunk
        .batch
        .column(1)
        .as_primitive::<TimestampMicrosecondType>();
    let values = chunk.batch.column(2).as_primitive::<Float64Type>();
    times.values().iter().copied().zip(values.iter()).collect()
}

const FIRST: i64 = 1_167_609_600_000_000;
const MINUTE: i64 = 60_000_000;

#[test]
fn every_layout_gives_the_same_rows() {
    for text in [
        "Date;Time;Active_power\n1/1/2007;00:00:00;1.5\n1/1/2007;00:01:00;?\n",
        "\u{feff}DATE,time,Active Power\r\n01/01/2007,0:00:00,1.5\r\n1/1/07,0:01,\r\n",
        "index\tDate\tTime\tactivepower\n0\t1/1/07\t0:00\t1.50\n1\t2007-01-01\t0:01:00\t\n",
        "title|x\n|date|time|active_power\n0|1/1/2007|00:00|1.5e0\n1|1/1/2007|00:01|?",
        "\"Date\",\"Time\",\"Active_power\"\n\"1/1/2007\",\"00:00:00\",\"1.5\"\n1/1/2007,00:01:00,\"\"\n",
        "Time;active_power\n2007-01-01T00:00:00Z;1.5\n2007-01-01 01:01:00+01:00;\n",
        "date;active_power\r1/1/2007 00:00:00;1.5\r1/1/2007 00:01:00;?\r",
        "1/1/2007;00:00:00;1.5\n1/1/2007;00:01:00;?\n",
        "7,1/1/2007,00:00:00,1.5\n8,1/1/2007,00:01:00,?\n",
    ] {
        let chunk = read(&schema(), text).unwrap();
        assert_eq!(chunk.rejects, [], "{text}");
        assert_eq!(
            rows(&chunk),
            [(FIRST, Some(1.5)), (FIRST + MINUTE, None)],
            "{text}"
        );
    }
}

#[test]
fn faults_are_named() {
    let text = "Date;Time;Active_power\n1/1/2007;00:00:00;x\n32/1/2007;00:00:00;1\n1/1/2007;25:00:00;1\n1/1/2007;;1\n1/1/2007;0:00:00;500.5\n1/1/2007;0:00:00;-1\n1/1/2007;0:00:00;inf\n1/1/2007;0:00:00\n";
    let chunk = read(&schema(), text).unwrap();
    let told: Vec<_> = chunk
        .rejects
        .iter()
        .map(|r| (r.line, r.column.as_str(), r.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (2, "Active_power", "not a number: \"x\""),
            (3, "Date", "no such day in the calendar: \"32/1/2007\""),
            (4, "Time", "no such time of day: \"25:00:00\""),
            (5, "Time", "empty where a value is needed"),
            (
                6,
                "Active_power",
                "above the greatest valid value: \"500.5\""
            ),
            (7, "Active_power", "below the least valid value: \"-1\""),
            (8, "Active_power", "not a finite number: \"inf\""),
            (9, "", "2 fields where the table has 3"),
        ]
    );
}

#[test]
fn end_stamps_move_back_and_zones_apply() {
    let mut schema = schema();
    schema.stamp = Stamp::End;
    schema.step = StepSpec::Fixed("15min".into());
    schema.tz = Some("Europe/Paris".into());
    let head = "date;time;active_power\n";
    let chunk = read(
        &schema,
        &format!("{head}31/12/2006;24:00;1\n1/1/2007;00:15:00;2\n"),
    )
    .unwrap();
    let got: Vec<i64> = rows(&chunk).into_iter().map(|r| r.0).collect();
    assert_eq!(got, [FIRST - 75 * MINUTE, FIRST - 60 * MINUTE]);
    let chunk = read(
        &schema,
        &format!("{head}28/10/2007;02:30;1\n25/3/2007;02:30;1\n"),
    )
    .unwrap();
    assert_eq!((chunk.rejects.len(), chunk.batch.num_rows()), (2, 0));
}

#[test]
fn another_table_is_refused() {
    let refused = |text: &str| read(&schema(), text).unwrap_err().message;
    assert!(refused("Date;Time;Voltage\n1/1/2007;00:00;1\n").contains("no column `active_power`"));
    assert!(refused("").contains("empty"));
    assert!(refused("a,b\n1,2\n").contains("not a table"));
    assert_eq!(
        read(&schema(), "Date;Time;Active_power\n")
            .unwrap()
            .batch
            .num_rows(),
        0
    );
}

#[test]
fn a_look_ahead_reads_the_time_alone() {
    let plan = CsvPlan::compile(&schema(), b"Date;Time;Active_power\n").unwrap();
    let names: Vec<_> = plan
        .only_time()
        .unwrap()
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(names, ["time"]);
}
