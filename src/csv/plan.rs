//! The plan: a schema held against the head of a file. It says which field of a record becomes
//! which column of the table, and how each is read.

use super::header::{self, Found};
use super::melt::{self, Melting};
use super::number::Marks;
use super::scan::Cut;
use super::stamp::Clock;
use crate::schema::{
    Canonical, Column, ColumnType, Melt, MeltInto, Overrides, Role, Schema, Stamp, StepSpec,
};
use crate::time::parse::Layout;
use crate::time::{Converter, DAY, OnMissing, OnRepeated, Zone, duration};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// A number within bounds.
    Float { min: f64, max: f64 },
    /// An integer within bounds.
    Integer { min: f64, max: f64 },
    /// Yes or no.
    Boolean,
    /// Text.
    Text,
    /// A date, days since 1970.
    Date,
    /// A time of day.
    Time,
    /// A whole stamp.
    Stamp,
    /// A date here, a time of day in another field.
    DateAndTime { time: usize },
    /// Seconds or milliseconds since 1970: microseconds in one.
    Epoch { unit: i64 },
}

/// One column of the table.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Its name.
    pub name: Arc<str>,
    /// Its field in a record.
    pub field: usize,
    /// How it is read.
    pub what: What,
    /// A record without it is a reject.
    pub required: bool,
    /// End stamps of this column move back a step.
    pub back: bool,
}

/// Which field of a record becomes which column of the table, decided once a file.
#[derive(Clone, Debug)]
pub struct CsvPlan {
    pub(crate) arrow: SchemaRef,
    /// The columns of a record; those of the table, where a record is one row.
    pub(crate) decoded: SchemaRef,
    pub(crate) melting: Option<Melting>,
    /// Beginnings of lines that are no records.
    pub(crate) footer: Arc<[String]>,
    pub(crate) cut: Cut,
    pub(crate) width: usize,
    pub(crate) marks: Marks,
    pub(crate) nulls: Nulls,
    pub(crate) outputs: Vec<Output>,
    /// The constant sensor, first column of the table.
    pub(crate) sensor: Option<Arc<str>>,
    /// Columns of the table that name the sensor.
    pub(crate) sensors: Vec<usize>,
    /// Lines and bytes before the first record, a byte order mark not counted.
    pub(crate) preamble: u64,
    pub(crate) header: u64,
    pub(crate) body: usize,
    pub(crate) fields: Vec<Arc<str>>,
    layout: Layout,
    zone: Option<Zone>,
    step: Option<i64>,
    back: i64,
    ends: Option<Ends>,
    /// The time is a day, and means its first instant.
    whole_days: bool,
}

/// End stamps whose steps stand in the rows, or go by sensor.
#[derive(Clone)]
struct Ends(Arc<Canonical>);

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ends")
    }
}

/// The texts that mean "no value".
#[derive(Clone, Debug, Default)]
pub(crate) struct Nulls {
    texts: Vec<Vec<u8>>,
    /// Bit n: one has n bytes (63: 63 or more).
    lengths: u64,
    /// First bytes of them.
    firsts: [u64; 4],
    /// One of them could be a number or a date, so nothing may be read before asking.
    pub first: bool,
}

impl Nulls {
    fn new(texts: &[String]) -> Self {
        let texts: Vec<Vec<u8>> = texts.iter().map(|t| t.trim().as_bytes().to_vec()).collect();
        let mut firsts = [0; 4];
        for first in texts.iter().filter_map(|t| t.first()) {
            firsts[usize::from(first >> 6)] |= 1 << (first & 63);
        }
        Nulls {
            firsts,
            lengths: texts.iter().fold(1, |bits, t| bits | 1 << t.len().min(63)),
            first: texts.iter().any(|t| t.iter().any(u8::is_ascii_digit)),
            texts,
        }
    }

    /// Whether `text` means "no value".
    #[inline(always)]
    pub(crate) fn has(&self, text: &[u8]) -> bool {
        let Some(first) = text.first() else {
            return true;
        };
        let begins = self.firsts[usize::from(first >> 6)] >> (first & 63);
        let long = self.lengths >> text.len().min(63);
        begins & long & 1 == 1 && self.texts.iter().any(|t| t == text)
    }
}

impl CsvPlan {
    /// Holds `schema` against the first bytes of a file (a byte order mark may be there or not).
    ///
    /// Errors: `Kind::Schema` where a column is missing, the dialect cannot be, or the file is
    /// empty though a header is declared.
    pub fn compile(schema: &Schema, head: &[u8]) -> Result<CsvPlan> {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        match &schema.melt {
            None => CsvPlan::of(schema, head),
            Some(melt) => {
                let (wide, names) = melt::spread(schema, melt, head)?;
                CsvPlan::of(&wide, head)?.melted(schema, melt, &names)
            }
        }
    }

    /// The plan of a file whose records give several rows, from that of its fields.
    fn melted(mut self, schema: &Schema, melt: &Melt, names: &[String]) -> Result<CsvPlan> {
        let long = schema.long();
        let first = self.outputs.len() - names.len();
        let time = |o: &Output| o.back;
        let day = self.outputs.iter().position(time).unwrap_or(0);
        let into = match (melt.into, self.step) {
            (MeltInto::Sensor, _) => melt::sensors(names),
            (MeltInto::Time, step) => melt::Into::Steps {
                step: step.unwrap_or(DAY),
                day,
                zone: self.zone.clone(),
            },
        };
        self.whole_days = melt.into == MeltInto::Time;
        // The table's columns are those of a plan with one value.
        let value = self.outputs.get(first).cloned();
        let mut one = self.clone();
        one.outputs.truncate(first);
        one.outputs.extend(value.map(|o| Output {
            name: melt.value.name.as_str().into(),
            ..o
        }));
        let mut fields: Vec<Field> = arrow_schema(&long, &one)?
            .fields()
            .iter()
            .map(|f| f.as_ref().clone())
            .collect();
        if melt.into == MeltInto::Sensor {
            let value = fields.len().saturating_sub(1);
            fields.insert(value, coded_sensor());
        }
        let metadata = arrow_schema(&long, &one)?.metadata().clone();
        self.arrow = Arc::new(ArrowSchema::new(fields).with_metadata(metadata));
        self.melting = Some(Melting {
            long: self.arrow.clone(),
            first,
            values: names.len(),
            into,
        });
        self.ends = ends(&long, &self, self.step)?;
        let of_role = long.columns.iter().filter(|c| c.role == Role::Sensor);
        let names: Vec<String> = of_role.map(|c| c.name.clone()).collect();
        Ok(self.with_sensors(&names))
    }

    fn of(schema: &Schema, head: &[u8]) -> Result<CsvPlan> {
        let found = header::find(schema, head)?;
        let step = match &schema.step {
            StepSpec::Fixed(text) => Some(duration::parse(text)?),
            _ => None,
        };
        let mut plan = CsvPlan {
            arrow: Arc::new(ArrowSchema::empty()),
            decoded: Arc::new(ArrowSchema::empty()),
            melting: None,
            whole_days: false,
            footer: schema.dialect.footer.clone().into(),
            cut: found.cut,
            width: found.width,
            marks: Marks {
                decimal: ascii("decimal mark", schema.dialect.decimal)?,
                thousands: match schema.dialect.thousands {
                    Some(mark) => Some(ascii("thousands mark", mark)?),
                    None => None,
                },
            },
            nulls: Nulls::new(&schema.nulls),
            outputs: outputs(schema, &found)?,
            sensor: schema.sensor_id.as_deref().map(Arc::from),
            sensors: Vec::new(),
            preamble: found.preamble,
            header: found.header,
            body: found.body,
            fields: found.fields.clone(),
            layout: Layout::new(schema.time.order),
            zone: schema.tz.as_deref().map(Zone::parse).transpose()?,
            step,
            back: back(schema, step)?,
            ends: None,
        };
        plan.arrow = Arc::new(arrow_schema(schema, &plan)?);
        plan.decoded = plan.arrow.clone();
        plan.ends = ends(schema, &plan, step)?;
        let of_role = schema.columns.iter().filter(|c| c.role == Role::Sensor);
        let names: Vec<String> = of_role.map(|c| c.name.clone()).collect();
        Ok(plan.with_sensors(&names))
    }

    /// The same where these columns name the sensor; those that the table lacks count for nothing.
    pub fn with_sensors(mut self, names: &[String]) -> CsvPlan {
        self.sensors = names
            .iter()
            .filter_map(|n| self.arrow.index_of(n).ok())
            .collect();
        self
    }

    /// The first fields of a record, up to the last that is read.
    pub(crate) fn keep(&self) -> usize {
        let last = |o: &Output| match o.what {
            What::DateAndTime { time } => o.field.max(time) + 1,
            _ => o.field + 1,
        };
        self.outputs.iter().map(last).max().unwrap_or(0)
    }

    /// Whether a record gives several rows.
    pub(crate) fn melts(&self) -> bool {
        self.melting.is_some()
    }

    /// The byte between fields.
    pub(crate) fn delimiter(&self) -> u8 {
        self.cut.delimiter
    }

    /// Bytes before the first record, a byte order mark not counted.
    pub(crate) fn body(&self) -> usize {
        self.body
    }

    /// The columns of the table.
    pub fn schema(&self) -> SchemaRef {
        self.arrow.clone()
    }

    /// The same plan that decodes the time column only, for a look ahead.
    ///
    /// Records at fault elsewhere are not noticed, so it may see rows that the whole plan rejects.
    pub fn only_time(&self) -> Result<CsvPlan> {
        let mut plan = self.clone();
        plan.outputs.retain(|o| o.required && o.back);
        if plan.outputs.is_empty() {
            return Err(Error::new(
                Kind::Schema,
                "the schema has no time column; give one the role `time`",
            ));
        }
        plan.outputs.truncate(1);
        plan.sensor = None;
        plan.ends = None;
        plan.sensors = Vec::new();
        let field = self.arrow.field_with_name(&plan.outputs[0].name).cloned();
        let field = field.map_err(|e| Error::new(Kind::Internal, "no time field").because(e))?;
        plan.arrow = Arc::new(ArrowSchema::new(vec![field]));
        plan.decoded = plan.arrow.clone();
        plan.melting = None;
        Ok(plan)
    }

    /// Local times to instants; `None` where the wall clock is taken for UTC.
    pub(crate) fn converter(&self, local: super::LocalPolicy) -> Option<Converter> {
        let local = match self.whole_days {
            true => super::LocalPolicy {
                on_repeated: OnRepeated::Earliest,
                on_missing: OnMissing::Shift,
            },
            false => local,
        };
        let of = |zone| Converter::new(zone, local.on_repeated, local.on_missing, self.step);
        self.zone.clone().map(of)
    }

    /// The batch with its end stamps moved back to the starts of their rows' steps.
    pub(crate) fn started(&self, batch: RecordBatch) -> Result<RecordBatch> {
        match &self.ends {
            Some(Ends(canonical)) => canonical.started(batch),
            None => Ok(batch),
        }
    }

    /// How far the times of a column move back.
    pub(crate) fn back_of(&self, output: &Output) -> i64 {
        if output.back { self.back } else { 0 }
    }

    /// The clock of a column.
    pub(crate) fn clock(&self, output: &Output, local: super::LocalPolicy) -> Clock {
        Clock::new(self.layout, self.converter(local), self.back_of(output))
            .ordered(local.on_repeated == OnRepeated::Infer && !self.whole_days)
    }

    /// The name of a field, for rejects.
    pub(crate) fn field_name(&self, field: usize) -> &str {
        self.fields.get(field).map_or("", |name| name)
    }
}

/// A mark of the dialect as one byte.
pub(crate) fn ascii(what: &str, mark: char) -> Result<u8> {
    u8::try_from(mark).ok().filter(u8::is_ascii).ok_or_else(|| {
        Error::new(
            Kind::Schema,
            format!("the {what} {mark:?} is not an ASCII character; declare one that is"),
        )
    })
}

/// How far end stamps move back.
fn back(schema: &Schema, step: Option<i64>) -> Result<i64> {
    match (schema.stamp, &schema.step, step) {
        (Stamp::End, _, Some(step)) => Ok(step),
        (Stamp::End, StepSpec::Unknown, _) => Err(Error::new(
            Kind::Schema,
            "stamp = end moves each reading back by its step, and the step is not known; declare step",
        )),
        // Steps by row or sensor are taken off once the batch is whole: see `ends`.
        (Stamp::End, _, None) | (Stamp::Start, ..) => Ok(0),
    }
}

fn ends(schema: &Schema, plan: &CsvPlan, step: Option<i64>) -> Result<Option<Ends>> {
    let timed = plan.outputs.iter().any(|o| o.back);
    if schema.stamp == Stamp::Start || step.is_some() || !timed {
        return Ok(None);
    }
    let canonical = Canonical::new(schema, &plan.arrow, &Overrides::default())?;
    Ok(Some(Ends(Arc::new(canonical))))
}

fn outputs(schema: &Schema, found: &Found) -> Result<Vec<Output>> {
    let mut out = Vec::new();
    let two = header::time_pair(schema, found);
    for (i, column) in schema.columns.iter().enumerate() {
        if column.role == Role::Ignore || two.is_some_and(|(_, time)| time == i) {
            continue;
        }
        let Some(field) = found.at[i] else { continue };
        let time = two.and_then(|(date, time)| (date == i).then(|| found.at[time]).flatten());
        out.push(output(schema, column, field, time));
    }
    match out.is_empty() {
        true => Err(Error::new(
            Kind::Schema,
            "the schema has no column to read; declare at least one",
        )),
        false => Ok(out),
    }
}

fn output(schema: &Schema, column: &Column, field: usize, time: Option<usize>) -> Output {
    let times = &schema.time.columns;
    let named = times.is_empty() || times.contains(&column.name);
    let is_time = column.role == Role::Time && named;
    let pair = is_time && schema.time.columns.len() == 2;
    let name = if pair { "time" } else { &column.name };
    Output {
        name: Arc::from(name),
        field,
        what: match time {
            Some(time) => What::DateAndTime { time },
            None => what(column, is_time),
        },
        required: is_time || column.role == Role::Sensor,
        back: is_time,
    }
}

fn what(column: &Column, is_time: bool) -> What {
    let min = column.min.unwrap_or(f64::NEG_INFINITY);
    let max = column.max.unwrap_or(f64::INFINITY);
    match column.kind {
        ColumnType::EpochSeconds => What::Epoch { unit: 1_000_000 },
        ColumnType::EpochMillis => What::Epoch { unit: 1_000 },
        ColumnType::Timestamp => What::Stamp,
        _ if is_time => What::Stamp,
        ColumnType::Integer => What::Integer { min, max },
        ColumnType::Float => What::Float { min, max },
        ColumnType::Boolean => What::Boolean,
        ColumnType::Text => What::Text,
        ColumnType::Date => What::Date,
        ColumnType::Time => What::Time,
    }
}

fn arrow_schema(schema: &Schema, plan: &CsvPlan) -> Result<ArrowSchema> {
    let mut fields = Vec::new();
    if plan.sensor.is_some() {
        fields.push(coded_sensor());
    }
    for output in &plan.outputs {
        let column = schema.columns.iter().find(|c| *c.name == *output.name);
        let role = match (output.back, column) {
            (true, _) => Role::Time,
            (false, column) => column.map_or(Role::Attribute, |c| c.role),
        };
        let unit = column.and_then(|c| c.unit.clone());
        fields.push(field(
            &output.name,
            data_type(output.what),
            !output.required,
            role,
            unit,
        ));
    }
    let json = serde_json::to_string(schema)
        .map_err(|e| Error::new(Kind::Internal, "the schema cannot be written").because(e))?;
    let mut metadata = HashMap::from([("wattline:schema".to_string(), json)]);
    if plan.zone.is_none() && plan.outputs.iter().any(|o| o.what == What::Stamp || o.back) {
        metadata.insert("wattline:tz".to_string(), "assumed".to_string());
    }
    Ok(ArrowSchema::new(fields).with_metadata(metadata))
}

fn coded_sensor() -> Field {
    let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    field("sensor_id", kind, false, Role::Sensor, None)
}

fn field(name: &str, kind: DataType, nullable: bool, role: Role, unit: Option<String>) -> Field {
    let role = match role {
        Role::Attribute => "attribute",
        Role::Sensor => "sensor",
        Role::Time => "time",
        Role::Measure => "measure",
        Role::Quality => "quality",
        Role::Ignore => "ignore",
    };
    let mut metadata = HashMap::from([("wattline:role".to_string(), role.to_string())]);
    if let Some(unit) = unit {
        metadata.insert("wattline:unit".to_string(), unit);
    }
    Field::new(name, kind, nullable).with_metadata(metadata)
}

fn data_type(what: What) -> DataType {
    match what {
        What::Float { .. } => DataType::Float64,
        What::Integer { .. } => DataType::Int64,
        What::Boolean => DataType::Boolean,
        What::Text => DataType::Utf8,
        What::Date => DataType::Date32,
        What::Time => DataType::Time64(TimeUnit::Microsecond),
        What::Stamp | What::DateAndTime { .. } | What::Epoch { .. } => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::{Chunk, Chunks, ReadOptions};
    use crate::input::{Bytes, Encoding, Opened, Packing};
    use crate::reject::OnReject;
    use crate::schema::{Dialect, TimeSpec};
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
        assert!(
            refused("Date;Time;Voltage\n1/1/2007;00:00;1\n").contains("no column `active_power`")
        );
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
}
