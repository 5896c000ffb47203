//! The sniffer and the household preset against every layout found in the wild.

use arrow_array::RecordBatch;
use std::fmt::Write;
use std::sync::Arc;
use wattline::csv::{
    CsvPlan, Hints, ReadOptions, SchemaChoice, Sniffed, read_table, resolve, sniff,
};
use wattline::input::{HEAD, Head, InputSpec, Limits, expand, head};
use wattline::schema::{ColumnType, DateOrder, MeasureKind, Role, Schema, StepSpec};
use wattline::{Kind, Result};

const NAMES: [&str; 7] = [
    "Global_active_power",
    "Global_reactive_power",
    "Voltage",
    "Global_intensity",
    "Sub_metering_1",
    "Sub_metering_2",
    "Sub_metering_3",
];

/// How a household file is written.
#[derive(Clone)]
struct Layout {
    delimiter: char,
    stamp: Option<&'static str>,
    date: fn(u32, u32, u32) -> String,
    padded_hours: bool,
    missing: &'static str,
    row_number: Option<&'static str>,
    quotes: u8,
    names: fn(&str) -> String,
    line_end: &'static str,
    header: bool,
}

fn uci() -> Layout {
    Layout {
        delimiter: ';',
        stamp: None,
        date: |y, m, d| format!("{d}/{m}/{y}"),
        padded_hours: true,
        missing: "?",
        row_number: None,
        quotes: 0,
        names: |n| n.to_string(),
        line_end: "\r\n",
        header: true,
    }
}

impl Layout {
    fn join(&self, fields: &[String]) -> String {
        let quote = |(i, f): (usize, &String)| match self.quotes {
            2 => format!("\"{f}\""),
            1 if i % 2 == 0 => format!("\"{f}\""),
            _ => f.clone(),
        };
        let fields: Vec<String> = fields.iter().enumerate().map(quote).collect();
        fields.join(&self.delimiter.to_string()) + self.line_end
    }

    /// Minutes from `first` (year, month, day) over `days` days, ten a day.
    fn text(&self, first: (u32, u32, u32), days: u32) -> String {
        let mut text = String::new();
        let mut header: Vec<String> = self.row_number.map(str::to_string).into_iter().collect();
        match self.stamp {
            Some(name) => header.push(name.to_string()),
            None => header.extend(["Date", "Time"].map(|n| (self.names)(n))),
        }
        header.extend(NAMES.map(|n| (self.names)(n)));
        if self.header {
            text += &self.join(&header);
        }
        let mut row = 0;
        for day in 0..days {
            for minute in 0..10 {
                text += &self.join(&self.fields(first, day, minute, row));
                row += 1;
            }
        }
        text
    }

    fn fields(&self, first: (u32, u32, u32), day: u32, minute: u32, row: u32) -> Vec<String> {
        let mut fields: Vec<String> = Vec::new();
        if self.row_number.is_some() {
            fields.push(row.to_string());
        }
        let date = (self.date)(first.0, first.1, first.2 + day);
        let hour = if self.padded_hours { "07" } else { "7" };
        let time = format!("{hour}:{minute:02}:00");
        match self.stamp {
            Some(_) => fields.push(format!("{date} {time}")),
            None => fields.extend([date, time]),
        }
        if minute == 4 {
            // As in the original: six marks and an empty seventh value.
            fields.extend((0..6).map(|_| self.missing.to_string()));
            fields.push(String::new());
        } else {
            let mut value = String::new();
            write!(value, "{}.{:03}", 1 + day, minute * 7).unwrap();
            fields.extend((0..7).map(|_| value.clone()));
        }
        fields
    }
}

/// The table that the schema gives, without a reject.
fn read(schema: &Schema, head: &Head) -> RecordBatch {
    let plan = Arc::new(CsvPlan::compile(schema, &head.bytes).unwrap());
    let opened = head.spec.open(&Limits::default()).unwrap();
    let (batches, rejects, ledger) =
        read_table(opened, plan.clone(), &ReadOptions::default()).unwrap();
    assert!(rejects.is_empty());
    ledger.balance().unwrap();
    arrow_select::concat::concat_batches(&plan.schema(), &batches).unwrap()
}

fn of(text: &str) -> Head {
    Head::of("power.csv", text.as_bytes()).unwrap()
}

fn sniffed(text: &str) -> Result<Sniffed> {
    sniff(&of(text), &Hints::default())
}

/// Both roads lead to the preset, and to the same schema.
fn household(layout: &Layout, first: (u32, u32, u32)) -> Schema {
    let text = layout.text(first, 3);
    let preset = resolve(&SchemaChoice::Preset("household".into()), &of(&text))
        .unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(preset.name, "household");
    if layout.header {
        let found = sniffed(&text).unwrap().schema;
        assert_eq!(found, preset, "{text}");
    }
    let measures: Vec<&str> = preset
        .columns
        .iter()
        .filter(|c| c.role == Role::Measure)
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(measures, NAMES.map(|n| n.to_lowercase()), "{text}");
    assert_eq!(preset.dialect.delimiter, Some(layout.delimiter), "{text}");
    assert_eq!(preset.step, StepSpec::Fixed("1min".into()));
    preset
}

#[test]
fn every_household_layout_is_the_preset() {
    type Written = fn(u32, u32, u32) -> String;
    let dates: [(Written, DateOrder); 4] = [
        (|y, m, d| format!("{d}/{m}/{y}"), DateOrder::Dmy),
        (|y, m, d| format!("{d:02}/{m:02}/{y}"), DateOrder::Dmy),
        (|y, m, d| format!("{d}/{m}/{:02}", y % 100), DateOrder::Dmy),
        (|y, m, d| format!("{y}-{m:02}-{d:02}"), DateOrder::Ymd),
    ];
    let names: [fn(&str) -> String; 3] = [str::to_string, str::to_uppercase, |n| {
        n.to_lowercase().replace('_', " ")
    }];
    let mut count = 0;
    let text = uci().text((2006, 12, 16), 3);
    let expected = read(&household(&uci(), (2006, 12, 16)), &of(&text));
    for delimiter in [';', ',', '\t', '|'] {
        for stamp in [None, Some("DateTime"), Some("timestamp"), Some("Date")] {
            for (date, order) in dates {
                for row_number in [None, Some("index"), Some("id"), Some("")] {
                    for quotes in 0..3 {
                        count += 1;
                        let missing = ["?", "", "NA", "NaN", "NULL"][count % 5];
                        let layout = Layout {
                            delimiter,
                            stamp,
                            date,
                            missing,
                            row_number,
                            quotes,
                            padded_hours: count % 2 == 0,
                            names: names[count % 3],
                            line_end: ["\n", "\r\n"][count / 2 % 2],
                            header: true,
                        };
                        let schema = household(&layout, (2006, 12, 16));
                        let table = read(&schema, &of(&layout.text((2006, 12, 16), 3)));
                        assert_eq!(table.columns(), expected.columns());
                        assert_eq!(schema.time.order, Some(order));
                        assert_eq!(
                            schema.time.columns.len(),
                            if stamp.is_some() { 1 } else { 2 }
                        );
                        assert_eq!(schema.dialect.header, Some(true));
                    }
                }
            }
        }
    }
    assert_eq!(count, 4 * 4 * 4 * 4 * 3);
}

#[test]
fn the_presets_dates_are_day_first_unless_one_cannot_be() {
    assert_eq!(
        household(&uci(), (2007, 1, 2)).time.order,
        Some(DateOrder::Dmy)
    );
    let american = Layout {
        date: |y, m, d| format!("{m}/{d}/{y}"),
        ..uci()
    };
    assert_eq!(
        household(&american, (2007, 1, 20)).time.order,
        Some(DateOrder::Mdy)
    );
}

#[test]
fn a_preset_with_another_zone_still_fits_every_layout() {
    let stamp = Layout {
        stamp: Some("datetime"),
        ..uci()
    };
    let text = stamp.text((2007, 1, 2), 2);
    let mut schema = wattline::schema::preset("household").unwrap();
    schema.tz = Some("Europe/Paris".into());
    schema.sensor_id = Some("sceaux".into());
    schema.time.order = Some(DateOrder::Mdy);
    let resolved = resolve(&SchemaChoice::Declared(Box::new(schema)), &of(&text)).unwrap();
    assert_eq!(resolved.tz.as_deref(), Some("Europe/Paris"));
    assert_eq!(resolved.sensor_id.as_deref(), Some("sceaux"));
    assert_eq!(resolved.time.columns, ["time"]);
    assert_eq!(resolved.time.order, Some(DateOrder::Mdy));
}

#[test]
fn a_declared_preamble_is_passed_over() {
    let schema = Schema::from_toml(
        "[dialect]\npreamble = 2\n[[columns]]\nname = \"at\"\ntype = \"date\"\nrole = \"time\"\n[[columns]]\nname = \"v\"\ntype = \"float\"\nmeasure = \"gauge\"",
    )
    .unwrap();
    let text = "x,1\ny,2\nat,v\n2007-01-02,1\n";
    let resolved = resolve(&SchemaChoice::Declared(Box::new(schema)), &of(text)).unwrap();
    assert_eq!(
        (resolved.dialect.preamble, resolved.dialect.header),
        (2, Some(true))
    );
    assert_eq!(read(&resolved, &of(text)).num_rows(), 1);
}

#[test]
fn a_contradiction_far_behind_the_head_counts() {
    let american = Layout {
        date: |y, m, d| format!("{m}/{d}/{y}"),
        ..uci()
    };
    let mut text = american.text((2007, 1, 2), 3);
    while text.len() < HEAD * 2 {
        text += &Layout {
            header: false,
            ..american.clone()
        }
        .text((2007, 1, 2), 3);
    }
    text += &Layout {
        header: false,
        ..american
    }
    .text((2007, 1, 20), 1);
    let schema = resolve(&SchemaChoice::Preset("household".into()), &of(&text)).unwrap();
    assert_eq!(schema.time.order, Some(DateOrder::Mdy));
}

#[test]
fn widths_of_dates_may_be_mixed() {
    let kaggle = Layout {
        delimiter: ',',
        row_number: Some("index"),
        date: |y, m, d| {
            if d < 13 {
                format!("{d}/{m}/{:02}", y % 100)
            } else {
                format!("{d}/{m}/{y}")
            }
        },
        padded_hours: false,
        line_end: "\n",
        ..uci()
    };
    let text = kaggle.text((2007, 1, 11), 4);
    let schema = sniffed(&text).unwrap().schema;
    assert_eq!(
        (schema.name.as_str(), schema.time.order),
        ("household", Some(DateOrder::Dmy))
    );
}

#[test]
fn without_a_header_fields_go_by_place() {
    for stamp in [None, Some("")] {
        for quotes in 0..3 {
            let plain = Layout {
                header: false,
                stamp,
                quotes,
                ..uci()
            };
            let schema = household(&plain, (2006, 12, 16));
            assert_eq!(schema.dialect.header, Some(false));
            let numbered = Layout {
                row_number: Some(""),
                ..plain
            };
            let schema = household(&numbered, (2006, 12, 16));
            assert_eq!(schema.columns[0].role, Role::Ignore);
            assert_eq!(schema.columns.len(), if stamp.is_some() { 9 } else { 10 });
        }
    }
}

#[test]
fn a_header_one_short_has_row_numbers_under_it() {
    let layout = Layout {
        row_number: Some("x"),
        delimiter: ',',
        ..uci()
    };
    let text = layout.text((2006, 12, 16), 3).replacen("x,", "", 1);
    let schema = sniffed(&text).unwrap().schema;
    assert_eq!(schema.name, "household");
    assert_eq!(
        (schema.dialect.header, schema.dialect.preamble),
        (Some(false), 1)
    );
    assert_eq!(schema.columns[0].role, Role::Ignore);
    assert_eq!(schema.columns.len(), 10);
    assert_eq!(read(&schema, &of(&text)).num_rows(), 30);
}

#[test]
fn a_header_without_rows_is_an_empty_table() {
    let text = uci().text((2006, 12, 16), 0);
    let schema = sniffed(&text).unwrap().schema;
    assert_eq!(schema.name, "household");
    assert_eq!(schema.time.columns, ["date", "time"]);
    let stamp = Layout {
        stamp: Some("datetime"),
        ..uci()
    }
    .text((2006, 12, 16), 0);
    assert_eq!(sniffed(&stamp).unwrap().schema.time.columns, ["time"]);
}

#[test]
fn a_wrong_table_is_refused_by_the_names_it_lacks() {
    let text = uci()
        .text((2006, 12, 16), 2)
        .replacen("Voltage", "Volume", 1);
    let error = resolve(&SchemaChoice::Preset("household".into()), &of(&text)).unwrap_err();
    assert_eq!(error.kind, Kind::Schema);
    assert!(error.message.contains("lacks voltage"), "{error}");
    assert!(error.message.contains("Volume"), "{error}");
}

fn shared(file: &str) -> InputSpec {
    let shared = std::env::var("WATTLINE_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").to_string());
    expand(&[format!("{shared}/data/{file}")])
        .unwrap()
        .remove(0)
}

#[test]
fn the_real_files_are_the_preset() {
    for (file, delimiter, rows) in [
        (
            "household_power_consumption_2006-12_2007-06.txt.gz",
            ';',
            (282_636, 3_775),
        ),
        (
            "household_power_consumption_kaggle.csv.gz",
            ',',
            (260_640, 3_771),
        ),
    ] {
        let head = head(&shared(file), HEAD).unwrap();
        let found = sniff(&head, &Hints::default()).unwrap();
        assert_eq!(found.schema.name, "household");
        assert_eq!(found.schema.time.order, Some(DateOrder::Dmy));
        assert_eq!(found.schema.dialect.delimiter, Some(delimiter));
        let preset = resolve(&SchemaChoice::Preset("household".into()), &head).unwrap();
        assert_eq!(found.schema, preset);
        let table = read(&preset, &head);
        let missing = table.column_by_name("voltage").unwrap().null_count();
        assert_eq!((table.num_rows(), missing), rows);
    }
}

#[test]
fn a_general_file_is_proposed_with_its_evidence() {
    let mut text = String::from("meter_id,time,power (kW),energy_kWh,temperature,ok,note\n");
    for row in 0..60 {
        for meter in ["m01", "m02"] {
            writeln!(
                text,
                "{meter},2024-03-{:02}T{:02}:00:00Z,{}.5,{},{},{},\"a, b\"",
                1 + row / 24,
                row % 24,
                row % 7,
                1000 + row,
                if row == 5 {
                    "NA".into()
                } else {
                    row.to_string()
                },
                row % 2 == 0,
            )
            .unwrap();
        }
    }
    let found = sniffed(&text).unwrap();
    let schema = &found.schema;
    let column = |name: &str| schema.column(name).unwrap();
    assert_eq!(schema.time.columns, ["time"]);
    assert_eq!(column("meter_id").role, Role::Sensor);
    assert_eq!(column("power (kW)").measure, Some(MeasureKind::Power));
    assert_eq!(column("power (kW)").unit.as_deref(), Some("kW"));
    assert_eq!(column("energy_kWh").measure, Some(MeasureKind::Register));
    assert_eq!(column("temperature").measure, Some(MeasureKind::Gauge));
    assert_eq!(column("temperature").kind, ColumnType::Integer);
    assert_eq!(column("ok").kind, ColumnType::Boolean);
    assert_eq!(column("note").kind, ColumnType::Text);
    assert_eq!(schema.step, StepSpec::Fixed("1h".into()));
    assert_eq!(schema.nulls, ["NA"]);
    assert!(!found.unknown.iter().any(|u| u.contains("zone")), "{found}");
    assert!(found.unknown.iter().any(|u| u.contains("stamp")), "{found}");
    assert!(
        found.unknown.iter().any(|u| u.contains("temperature")),
        "{found}"
    );
    assert!(
        found
            .evidence
            .iter()
            .any(|e| e.what == "delimiter" && e.value == ",")
    );
}

#[test]
fn epochs_are_times() {
    for (scale, kind) in [
        (1_i64, ColumnType::EpochSeconds),
        (1000, ColumnType::EpochMillis),
    ] {
        let rows: String = (0..20)
            .map(|i| format!("{},{}\n", (1_700_000_000 + i * 30) * scale, i))
            .collect();
        let schema = sniffed(&format!("ts,value\n{rows}")).unwrap().schema;
        assert_eq!(schema.column("ts").unwrap().kind, kind);
        assert_eq!(schema.time.columns, ["ts"]);
        assert_eq!(schema.step, StepSpec::Fixed("30s".into()));
    }
}

#[test]
fn a_file_without_times_is_still_read() {
    let found = sniffed("a,b\n1,x\n2,y\n").unwrap();
    assert!(found.schema.time.columns.is_empty());
    assert!(found.unknown.iter().any(|u| u.starts_with("the time")));
}

#[test]
fn two_date_orders_raise_with_both_readings() {
    let error = sniffed("when,v\n1/2/2007,1\n3/2/2007,2\n").unwrap_err();
    assert_eq!(error.kind, Kind::AmbiguousDates);
    for part in [
        "1 February 2007 (dmy)",
        "2 January 2007 (mdy)",
        "13/2/2007",
        "above 12",
        "\"when\"",
    ] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    let hints = Hints {
        order: Some(DateOrder::Mdy),
        ..Hints::default()
    };
    let told = sniff(&of("when,v\n1/2/2007,1\n3/2/2007,2\n"), &hints).unwrap();
    assert_eq!(told.schema.time.order, Some(DateOrder::Mdy));
}

#[test]
fn days_like_their_months_are_shown_as_they_stand() {
    let error = sniffed("when,v\n01/01/2024,1\n01/01/2024,2\n").unwrap_err();
    assert_eq!(error.kind, Kind::AmbiguousDates);
    let why = "two ways: \"01/01/2024\" has one number for day and month, and no line";
    assert!(error.message.contains(why), "{error}");
}

#[test]
fn one_line_far_behind_decides() {
    let row = |day: u32| format!("{day}/2/2007,{day}\n");
    let mut text = String::from("when,v\n");
    while text.len() < HEAD + 1000 {
        text += &row(1 + text.len() as u32 % 12);
    }
    assert_eq!(sniffed(&text).unwrap_err().kind, Kind::AmbiguousDates);
    text += &row(13);
    assert_eq!(
        sniffed(&text).unwrap().schema.time.order,
        Some(DateOrder::Dmy)
    );
}

#[test]
fn a_declared_schema_wins() {
    let schema = Schema::from_toml(
        "[dialect]\nheader = true\n[[columns]]\nname = \"at\"\ntype = \"timestamp\"\nrole = \"time\"\n[[columns]]\nname = \"v\"\ntype = \"text\"\n[time]\norder = \"mdy\"",
    )
    .unwrap();
    let choice = SchemaChoice::Declared(Box::new(schema.clone()));
    let resolved = resolve(&choice, &of("AT;V\n1/2/2007;1\n")).unwrap();
    assert_eq!(resolved.dialect.delimiter, Some(';'));
    assert_eq!(resolved.columns, schema.columns);
    assert_eq!(resolved.time.order, Some(DateOrder::Mdy));
    let error = resolve(&choice, &of("AT;W\n1/2/2007;1\n")).unwrap_err();
    assert!(error.message.contains("lacks the columns v"), "{error}");
    let open = Schema {
        time: Default::default(),
        ..schema
    };
    let choice = SchemaChoice::Declared(Box::new(open.completed().unwrap()));
    let error = resolve(&choice, &of("AT;V\n1/2/2007;1\n")).unwrap_err();
    assert_eq!(error.kind, Kind::AmbiguousDates);
}

#[test]
fn preambles_comments_and_doubled_names() {
    let text =
        "Report of meter 5\n\nat;a;a\n2007-01-01;1,5;2\n2007-01-02;2,5;3\n2007-01-03;2,5;4\n";
    let schema = sniffed(text).unwrap().schema;
    // The header's names are doubled: it is passed over and fields go by place.
    assert_eq!(
        (schema.dialect.header, schema.dialect.preamble),
        (Some(false), 3)
    );
    assert_eq!(schema.dialect.decimal, ',');
    let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["at", "a", "a_2"]);
    assert_eq!(read(&schema, &of(text)).num_rows(), 3);
    let text = "# made by x\nat|v\n2007-01-01|1\n2007-01-02|2\n";
    let schema = sniffed(text).unwrap().schema;
    assert_eq!(
        (schema.dialect.comment, schema.dialect.delimiter),
        (Some('#'), Some('|'))
    );
    assert_eq!(schema.dialect.header, Some(true));
}

#[test]
fn no_bytes_make_it_panic() {
    let seeds: [&[u8]; 8] = [
        b"",
        b"\n\n",
        b"\"",
        b"\"\n\"\n;",
        b"a,b\n\"",
        b"\xff\xfe\x00",
        b"1/2/3\n",
        b";;;\n;;\n",
    ];
    let text = uci().text((2007, 1, 2), 1);
    for seed in seeds {
        let _ = Head::of("x", seed).and_then(|h| sniff(&h, &Hints::default()).map(drop));
    }
    let mut state = 1_u64;
    for round in 0..2000 {
        let mut bytes = text.as_bytes()[..text.len().min(50 + round % 400)].to_vec();
        for _ in 0..round % 9 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        let Ok(head) = Head::of("x", &bytes) else {
            continue;
        };
        let _ = sniff(&head, &Hints::default());
        let _ = resolve(&SchemaChoice::Preset("household".into()), &head);
    }
}

/// The column that names the sensor.
fn sensor(found: &Sniffed) -> Option<&str> {
    let column = found.schema.columns.iter().find(|c| c.role == Role::Sensor);
    column.map(|c| c.name.as_str())
}

fn proposed(text: &str) -> Sniffed {
    sniff(&of(text), &Hints::default()).unwrap()
}

#[test]
fn a_name_that_says_sensor_needs_no_value_twice() {
    for name in ["meter_id", "meter", "Station Name", "household", "DeviceId"] {
        let three = format!(
            "{name},timestamp,power_kw\na,2026-01-01 00:00,1\nb,2026-01-01 00:00,2\nc,2026-01-01 00:00,3\n"
        );
        assert_eq!(sensor(&proposed(&three)), Some(name));
        let one = format!("{name},timestamp,power_kw\na7,2026-01-01 00:00,1.5\n");
        assert_eq!(sensor(&proposed(&one)), Some(name));
    }
    let numbers = |name: &str, minutes: u32| {
        let mut text = format!("{name},timestamp,power_kw\n");
        for row in 0..50 {
            writeln!(text, "{},2026-01-01 00:{:02},1.5", 100 + row, row * minutes).unwrap();
        }
        proposed(&text)
    };
    assert_eq!(sensor(&numbers("meter_id", 0)), Some("meter_id"));
    assert_eq!(sensor(&numbers("meter", 0)), Some("meter"));
    // What a bare `meter` shows, and numbers of rows, are no sensors.
    assert_eq!(sensor(&numbers("meter", 1)), None);
    for weak in ["id", "row_id", "unit", "Serial No", "device_count"] {
        assert_eq!(sensor(&numbers(weak, 1)), None, "{weak}");
        assert_eq!(sensor(&numbers(weak, 0)), None, "{weak}");
    }
}

#[test]
fn of_several_keys_the_one_that_parts_the_readings_is_the_sensor() {
    let mut text = String::from("unit,building,meter_id,timestamp,power_kw\n");
    for row in 0..40 {
        writeln!(text, "kW,b{},m{row},2026-01-01 00:00,1.5", row % 4).unwrap();
    }
    assert_eq!(sensor(&proposed(&text)), Some("meter_id"));
}

#[test]
fn a_damaged_cell_near_the_top_takes_no_measure_away() {
    let kind = |name: &str, values: &[&str]| {
        let mut text = format!("meter,time,{name},volt\n");
        for (minute, value) in values.iter().enumerate() {
            writeln!(text, "a,2026-01-01 00:{minute:02},{value},230").unwrap();
        }
        proposed(&text).schema.column(name).unwrap().kind.clone()
    };
    assert_eq!(kind("kw", &["1", "2x", "2"]), ColumnType::Integer);
    assert_eq!(
        kind("load power", &["1.5", "err", "err", "2", "3"]),
        ColumnType::Float
    );
    assert_eq!(kind("kw", &["1", "2x", "3x"]), ColumnType::Text);
    let ten = ["1", "2", "3", "4", "5", "6", "7", "8x", "9", "10"];
    assert_eq!(kind("flow", &ten), ColumnType::Integer);
    assert_eq!(kind("flow", &["1", "2x", "2"]), ColumnType::Text);
    // Codes, though most of them look like numbers.
    for name in ["zip", "message_id", "room", "meter_type"] {
        assert_eq!(kind(name, &ten), ColumnType::Text, "{name}");
    }
    assert_eq!(kind("flow", &["A1", "17", "B2"]), ColumnType::Text);
    assert_eq!(kind("kw", &["01", "2x", "02", "03"]), ColumnType::Text);
}

#[test]
fn a_first_line_that_says_the_delimiter_is_no_header() {
    for (line, mark) in [
        ("sep=;", ';'),
        ("SEP=,\r", ','),
        ("\"sep=|\"", '|'),
        ("sep=^", '^'),
    ] {
        let text = format!("{line}\nmeter;at;kw\na;2026-01-01 00:00;1.5\na;2026-01-01 00:15;2.5\n");
        let found = proposed(&text.replace(';', &mark.to_string()));
        let dialect = &found.schema.dialect;
        assert_eq!(
            (dialect.delimiter, dialect.preamble),
            (Some(mark), 1),
            "{line}"
        );
        let names: Vec<_> = found
            .schema
            .columns
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(names, ["meter", "at", "kw"]);
    }
    // A declared schema leaves the line out too.
    let text = "sep=;\nmeter;at;kw\na;2026-01-01 00:00;1.5\n";
    let mut schema = proposed(text).schema;
    schema.dialect = wattline::schema::Dialect::default();
    let schema = resolve(&SchemaChoice::Declared(Box::new(schema)), &of(text)).unwrap();
    assert_eq!(
        (schema.dialect.delimiter, schema.dialect.preamble),
        (Some(';'), 1)
    );
}

#[test]
fn too_few_rows_are_not_called_uneven() {
    let step = |rows: &[u32]| {
        let mut text = String::from("meter_id,at,kw\n");
        for minute in rows {
            writeln!(text, "a,2026-01-01 00:{minute:02},1.5").unwrap();
        }
        proposed(&text)
            .unknown
            .into_iter()
            .find(|u| u.starts_with("the step"))
    };
    for few in [&[0][..], &[0, 15]] {
        assert!(
            step(few).unwrap().contains("the rows are too few"),
            "{few:?}"
        );
    }
    assert!(
        step(&[0, 7, 9, 30])
            .unwrap()
            .contains("no constant distance")
    );
    assert_eq!(step(&[0, 15, 30]), None);
}
