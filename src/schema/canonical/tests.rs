use super::*;
use crate::schema::{ColumnType, Quality, QualityMap, TimeSpec};
use arrow_array::types::Int8Type;
use arrow_array::*;
use arrow_schema::{Field, Schema as ArrowSchema, TimeUnit};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn micros(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

fn floats(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

fn infer(batch: &RecordBatch) -> Canonical {
    Canonical::infer(&batch.schema(), &Overrides::default()).unwrap()
}

fn message(columns: Vec<(&str, ArrayRef)>) -> String {
    Canonical::infer(&batch(columns).schema(), &Overrides::default())
        .err()
        .unwrap()
        .message
}

#[test]
fn fitting_columns_are_not_copied() {
    let value = floats(vec![Some(1.5), None]);
    let table = batch(vec![
        ("t", micros(vec![Some(5), Some(6)])),
        ("v", value.clone()),
    ]);
    let (readings, rejects) = infer(&table).readings(&table, RowIds::Dense(7), 3).unwrap();
    assert!(rejects.is_empty());
    assert_eq!(
        readings.values[0].values().as_ptr(),
        value.as_primitive::<Float64Type>().values().as_ptr()
    );
    assert_eq!(&readings.time[..], &[5, 6]);
    assert_eq!((readings.row(1), readings.file), (8, 3));
    assert!(matches!(&readings.sensors, SensorKeys::Constant(name) if &**name == SENSOR));
}

#[test]
fn what_no_window_takes_is_a_reject_and_neighbours_stay() {
    let table = batch(vec![
        ("t", micros(vec![Some(1), None, Some(3), Some(4), Some(5)])),
        (
            "sensor_id",
            Arc::new(StringArray::from(vec![
                Some("a"),
                Some("a"),
                None,
                Some("b"),
                Some("a"),
            ])),
        ),
        (
            "v",
            floats(vec![
                Some(1.0),
                Some(2.0),
                Some(3.0),
                Some(f64::NAN),
                Some(5.0),
            ]),
        ),
    ]);
    let (readings, rejects) = infer(&table)
        .named("x")
        .readings(&table, RowIds::Dense(10), 0)
        .unwrap();
    let seen: Vec<_> = rejects
        .iter()
        .map(|r| (r.row, r.column.as_str(), r.raw.as_str()))
        .collect();
    assert_eq!(
        seen,
        [(11, "t", ""), (12, "sensor_id", ""), (13, "v", "NaN")]
    );
    assert_eq!(&readings.time[..], &[1, 5]);
    assert_eq!((readings.row(0), readings.row(1)), (10, 14));
    assert_eq!(readings.values[0].values()[..], [1.0, 5.0]);
}

#[test]
fn infinity_is_a_reject_but_bits_under_a_null_are_not_looked_at() {
    let hidden = Float64Array::new(
        vec![f64::NAN, f64::INFINITY].into(),
        Some(vec![false, true].into()),
    );
    let table = batch(vec![
        ("t", micros(vec![Some(1), Some(2)])),
        ("v", Arc::new(hidden)),
    ]);
    let (readings, rejects) = infer(&table).readings(&table, RowIds::Dense(0), 0).unwrap();
    assert_eq!((readings.len(), rejects.len(), rejects[0].row), (1, 1, 1));
}

#[test]
fn numbers_of_other_types_are_cast() {
    let decimal = Decimal128Array::from(vec![4216, -1])
        .with_precision_and_scale(10, 3)
        .unwrap();
    let table = batch(vec![
        ("t", micros(vec![Some(1), Some(2)])),
        ("i", Arc::new(Int16Array::from(vec![7, -8]))),
        ("d", Arc::new(decimal)),
        ("f", Arc::new(Float32Array::from(vec![0.5, 2.0]))),
    ]);
    let plan = infer(&table);
    let (readings, _) = plan.readings(&table, RowIds::Dense(0), 0).unwrap();
    let digits: Vec<_> = readings.measures.iter().map(|m| m.digits).collect();
    assert_eq!(digits, [Some(0), Some(3), None]);
    assert_eq!(readings.values[0].values()[..], [7.0, -8.0]);
    assert_eq!(readings.values[1].values()[..], [4.216, -0.001]);
    assert_eq!(readings.values[2].values()[..], [0.5, 2.0]);
}

#[test]
fn timestamps_of_every_unit_are_the_same_instant() {
    let times: Vec<ArrayRef> = vec![
        Arc::new(TimestampSecondArray::from(vec![-3]).with_timezone("+02:00")),
        Arc::new(TimestampMillisecondArray::from(vec![-3_000]).with_timezone("Europe/Paris")),
        Arc::new(TimestampMicrosecondArray::from(vec![-3_000_000])),
        Arc::new(TimestampNanosecondArray::from(vec![-2_999_999_001])),
    ];
    for (i, time) in times.into_iter().enumerate() {
        let table = batch(vec![("t", time), ("v", floats(vec![Some(1.0)]))]);
        let plan = infer(&table);
        let (readings, _) = plan.readings(&table, RowIds::Dense(0), 0).unwrap();
        assert_eq!(readings.time[0], -3_000_000, "{i}");
        assert_eq!(plan.assumed(), i >= 2);
    }
    let far = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
    let table = batch(vec![("t", far), ("v", floats(vec![Some(1.0)]))]);
    assert_eq!(
        infer(&table)
            .readings(&table, RowIds::Dense(0), 0)
            .unwrap()
            .1
            .len(),
        1
    );
}

#[test]
fn sensors_of_every_text_type_and_joined_keys() {
    let names = ["b", "a", "b"];
    let dictionary: DictionaryArray<Int8Type> = names.into_iter().collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names.to_vec())),
        Arc::new(LargeStringArray::from(names.to_vec())),
        Arc::new(StringViewArray::from(names.to_vec())),
        Arc::new(dictionary.slice(0, 3)),
    ];
    let time = micros(vec![Some(1), Some(2), Some(3)]);
    let value = floats(vec![Some(1.0); 3]);
    for column in columns {
        let table = batch(vec![
            ("t", time.clone()),
            ("sensor", column),
            ("v", value.clone()),
        ]);
        let (readings, _) = infer(&table).readings(&table, RowIds::Dense(0), 0).unwrap();
        assert_eq!(seen(&readings), names);
    }
    let site: ArrayRef = Arc::new(StringArray::from(vec!["x", "x", "y"]));
    let meter: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 1]));
    let table = batch(vec![
        ("t", time),
        ("site", site),
        ("meter", meter),
        ("v", value),
    ]);
    let sensor = Some(vec!["site".to_string(), "meter".to_string()]);
    let told = Overrides {
        sensor,
        ..Overrides::default()
    };
    let plan = Canonical::infer(&table.schema(), &told).unwrap();
    assert_eq!(
        plan.measures()
            .iter()
            .map(|m| m.name.as_str())
            .collect::<Vec<_>>(),
        ["v"]
    );
    assert_eq!(
        seen(&plan.readings(&table, RowIds::Dense(0), 0).unwrap().0),
        ["x/1", "x/2", "y/1"]
    );
}

fn seen(readings: &Readings) -> Vec<String> {
    match &readings.sensors {
        SensorKeys::Constant(name) => vec![name.to_string(); readings.len()],
        SensorKeys::Coded { codes, names } => codes
            .iter()
            .map(|c| names[*c as usize].to_string())
            .collect(),
    }
}

#[test]
fn a_dictionary_that_repeats_and_holds_unused_values() {
    let values = StringArray::from(vec!["unused", "a", "a", "b"]);
    let keys = Int8Array::from(vec![3, 1, 2]);
    let column: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(values)));
    let Coded(codes, names) = coded(&column);
    assert_eq!(codes, [0, 1, 1]);
    assert_eq!(names, ["b", "a"]);
}

struct Coded(Vec<u32>, Vec<String>);

fn coded(column: &ArrayRef) -> Coded {
    let table = batch(vec![("s", column.clone())]);
    match sensor_keys(&table, &[0], &"".into()).unwrap() {
        SensorKeys::Coded { codes, names } => Coded(
            codes.to_vec(),
            names.iter().map(|n| n.to_string()).collect(),
        ),
        SensorKeys::Constant(name) => Coded(vec![0; column.len()], vec![name.to_string()]),
    }
}

#[test]
fn nothing_ambiguous_is_guessed() {
    let time = || micros(vec![Some(1)]);
    let text = || Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
    let two = message(vec![("t", time()), ("u", time())]);
    assert!(two.contains("t, u") && two.contains("time="), "{two}");
    let none = message(vec![("v", floats(vec![Some(1.0)]))]);
    assert!(none.contains("time="), "{none}");
    let texts = message(vec![("t", time()), ("city", text()), ("meter", text())]);
    assert!(
        texts.contains("city, meter") && texts.contains("sensor="),
        "{texts}"
    );
}

#[test]
fn end_stamps_move_back_one_step_and_need_one() {
    let table = batch(vec![
        ("time", micros(vec![Some(900_000_000)])),
        ("v", floats(vec![Some(1.0)])),
    ]);
    let mut schema = roles::infer(&table.schema(), &Overrides::default()).unwrap();
    schema.stamp = Stamp::End;
    let plan = Canonical::new(&schema, &table.schema(), &Overrides::default());
    assert!(plan.err().unwrap().message.contains("step"));
    let told = Overrides {
        step: Some("15min".into()),
        ..Overrides::default()
    };
    let plan = Canonical::new(&schema, &table.schema(), &told).unwrap();
    let (readings, _) = plan.readings(&table, RowIds::Dense(0), 0).unwrap();
    assert_eq!(readings.time[0], 0);
    assert!(matches!(readings.step, Step::Fixed(900_000_000)));
}

#[test]
fn metadata_of_our_own_tables_wins_over_types() {
    let schema = Schema {
        columns: vec![
            column_of("v", Role::Attribute),
            column_of("w", Role::Measure),
        ],
        time: TimeSpec {
            columns: vec!["when".into()],
            order: None,
        },
        sensor_id: Some("house".into()),
        ..Schema::default()
    };
    let json = serde_json::to_string(&schema).unwrap();
    let fields = vec![
        Field::new(
            "when",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
        Field::new(
            "other",
            DataType::Timestamp(TimeUnit::Microsecond, None),
            true,
        ),
        Field::new("v", DataType::Float64, true),
        Field::new("W ", DataType::Float64, true),
    ];
    let arrow = ArrowSchema::new(fields).with_metadata([(METADATA.to_string(), json)].into());
    let plan = Canonical::infer(&Arc::new(arrow), &Overrides::default()).unwrap();
    assert_eq!(
        plan.measures()
            .iter()
            .map(|m| m.name.as_str())
            .collect::<Vec<_>>(),
        ["w"]
    );
    assert_eq!(&*plan.constant, "house");
}

const METADATA: &str = roles::METADATA_KEY;

fn column_of(name: &str, role: Role) -> Column {
    Column {
        name: name.into(),
        names: Vec::new(),
        kind: ColumnType::Float,
        role,
        measure: None,
        unit: None,
        digits: None,
        min: None,
        max: None,
        wraps_at: None,
    }
}

#[test]
fn steps_and_quality_by_column() {
    let table = batch(vec![
        ("time", micros(vec![Some(1), Some(2), Some(3)])),
        ("v", floats(vec![Some(1.0); 3])),
        ("len", Arc::new(Int32Array::from(vec![60, 0, 30]))),
        (
            "state",
            Arc::new(StringArray::from(vec![Some("E"), Some("E"), Some("?")])),
        ),
    ]);
    let mut schema = Schema {
        columns: vec![column_of("v", Role::Measure)],
        ..Schema::default()
    };
    schema.step = StepSpec::Column {
        column: "len".into(),
    };
    let values = [("E".to_string(), Quality::Estimated)].into();
    schema.quality = Some(QualityMap {
        column: "state".into(),
        values,
    });
    let plan = Canonical::new(&schema, &table.schema(), &Overrides::default()).unwrap();
    let (readings, rejects) = plan.readings(&table, RowIds::Dense(0), 0).unwrap();
    assert_eq!(rejects.iter().map(|r| r.row).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(readings.quality.unwrap()[..], [1]);
    assert!(matches!(&readings.step, Step::Rows(steps) if steps[..] == [60_000_000]));
}

#[test]
fn local_times_go_through_the_zone_that_is_handed_in() {
    let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![
        Some(10),
        None,
        Some(30),
    ]));
    let table = batch(vec![("time", time), ("v", floats(vec![Some(1.0); 3]))]);
    let told = Overrides {
        tz: Some("Europe/Paris".into()),
        ..Overrides::default()
    };
    let plan = Canonical::infer(&table.schema(), &told).unwrap();
    assert!(plan.needs_zone() && !plan.assumed());
    let zone: ToUtc = Arc::new(|local| {
        assert_eq!(local[1], 0);
        Ok((
            local.iter().map(|t| t - 1).collect(),
            vec![(1, "x".into()), (2, "no such hour".into())],
        ))
    });
    let plan = plan.with_zone(zone);
    assert!(!plan.needs_zone());
    let (readings, rejects) = plan.readings(&table, RowIds::Dense(0), 0).unwrap();
    assert_eq!(readings.time[..], [9]);
    let reasons: Vec<_> = rejects.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(reasons, ["no time, or one out of range", "no such hour"]);
}

#[test]
fn a_table_that_says_whose_its_rows_are_is_believed() {
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let coded = |names: Vec<&str>, codes: Vec<i32>| -> ArrayRef {
        let names = Arc::new(StringArray::from(names));
        Arc::new(DictionaryArray::new(Int32Array::from(codes), names))
    };
    let of = |sensors: Option<ArrayRef>, overrides: &Overrides| {
        let mut columns = vec![
            ("time", micros(vec![Some(5), Some(6)])),
            ("global_active_power", floats(vec![Some(1.0), Some(2.0)])),
        ];
        columns.extend(sensors.map(|s| ("sensor_id", s)));
        let table = batch(columns);
        let schema = crate::schema::preset("household").unwrap();
        let declared = ["date", "time", "global_active_power"];
        let columns = schema.columns.iter().cloned();
        let schema = Schema {
            columns: columns.filter(|c| declared.contains(&&*c.name)).collect(),
            ..schema
        };
        let json = serde_json::to_string(&schema).unwrap();
        let metadata = [(roles::METADATA_KEY.to_string(), json)];
        let arrow = table.schema().as_ref().clone();
        let arrow = Arc::new(arrow.with_metadata(metadata.into()));
        let told = Canonical::new(&schema, &arrow, overrides).unwrap();
        let found = Canonical::infer(&arrow, overrides).unwrap();
        let names = |canonical: Canonical| match canonical.sensors(&table).unwrap() {
            SensorKeys::Constant(name) => vec![name.to_string(); 2],
            SensorKeys::Coded { codes, names } => codes
                .iter()
                .map(|c| names[*c as usize].to_string())
                .collect(),
        };
        let found = names(found);
        assert_eq!(names(told), found);
        found
    };
    let usual = Overrides::default();
    assert_eq!(of(Some(names.clone()), &usual), ["a", "b"]);
    assert_eq!(
        of(Some(coded(vec!["b", "a"], vec![1, 0])), &usual),
        ["a", "b"]
    );
    assert_eq!(of(Some(coded(vec!["c"], vec![0, 0])), &usual), ["c", "c"]);
    assert_eq!(of(None, &usual), ["household", "household"]);
    // What is no name, and what the caller says.
    let numbers = floats(vec![Some(1.0), Some(2.0)]);
    assert_eq!(of(Some(numbers), &usual), ["household", "household"]);
    let one = Overrides {
        sensor: Some(Vec::new()),
        ..Overrides::default()
    };
    assert_eq!(of(Some(names), &one), ["household", "household"]);
}
