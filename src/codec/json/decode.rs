//! Decode: JSON messages into tables, by a schema that is declared or found in the first messages.

use super::scan::{Keys, Scanner, keys_of};
use crate::csv::{CsvPlan, Hints, LocalPolicy, ReadOptions, Records, SchemaChoice, sniff};
use crate::input::Head;
use crate::schema::{Column, ColumnType, Role, SENSOR, SENSOR_ID, Schema, plain_name, preset};
use crate::time::OnRepeated;
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::sync::Arc;

/// Names that a stamp may have where the schema has a date and a time of day.
const STAMPS: [&str; 5] = ["time", "timestamp", "datetime", "ts", "event_time"];

/// Decodes messages of one schema; shared by threads.
pub struct Decoder {
    keys: Keys,
    records: Records,
    schema: Schema,
}

/// Messages as a table.
pub struct Decoded {
    /// One row a message that could be read.
    pub batch: RecordBatch,
    /// The message of each row, counted from 0.
    pub messages: Vec<u32>,
    /// Messages that could not be read, in their order.
    pub unread: Vec<Unread>,
}

/// A message that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which, counted from 0.
    pub message: u32,
    /// The column at fault, empty where it is the whole message.
    pub column: String,
    /// Why, as one clause.
    pub reason: String,
}

impl Decoder {
    /// For messages like `samples`. A declared schema needs none; a proposed one comes from them.
    ///
    /// Errors: `Schema` where nothing can be proposed, `AmbiguousDates`, `Usage`.
    pub fn new(choice: &SchemaChoice, samples: &[&[u8]], local: LocalPolicy) -> Result<Decoder> {
        if local.on_repeated == OnRepeated::Infer {
            return Err(Error::new(
                Kind::Usage,
                "on_repeated = infer goes by the order of a file's rows; for messages say earliest, latest or null, or give their times a zone",
            ));
        }
        let seen = keys_seen(samples);
        let found = *choice == SchemaChoice::Sniff;
        let (schema, constant) = match choice {
            SchemaChoice::Sniff => (proposed(&seen, samples)?, None),
            SchemaChoice::Preset(name) => fitted(preset(name)?, &seen),
            SchemaChoice::Declared(schema) => fitted((**schema).clone(), &seen),
        };
        schema.check()?;
        let names: Vec<Vec<String>> = schema.columns.iter().map(answers).collect();
        let header: Vec<String> = schema.columns.iter().map(|c| guarded(&c.name)).collect();
        let plan = CsvPlan::compile(&schema, format!("{}\n", header.join(",")).as_bytes())?;
        let options = ReadOptions {
            local,
            ..ReadOptions::default()
        };
        let keys = Keys::new(&names);
        let named = sensors(&schema);
        let keys = match constant {
            Some(sensor) => keys.with_constant(guarded(&sensor)),
            None if found && named.is_empty() => keys.nameless(),
            None => keys,
        };
        Ok(Decoder {
            keys: keys.naming(named),
            records: Records::new(Arc::new(plan), "messages".into(), &options),
            schema,
        })
    }

    /// The columns of its tables.
    pub fn columns(&self) -> SchemaRef {
        self.records.plan().schema()
    }

    /// The schema in force.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Decodes the messages.
    pub fn decode<'m>(&self, messages: impl Iterator<Item = &'m [u8]>) -> Result<Decoded> {
        let mut scanner = Scanner::new(&self.keys);
        let (mut text, mut of_record, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for (n, message) in messages.enumerate() {
            let n = n as u32;
            match scanner.record(message, &mut text) {
                Ok(()) => of_record.push(n),
                Err(fault) => unread.push(Unread {
                    message: n,
                    column: String::new(),
                    reason: fault.into(),
                }),
            }
        }
        let chunk = self.records.decode(text)?;
        let place = |record: usize| of_record.get(record).copied().unwrap_or(u32::MAX);
        let rejected: Vec<usize> = chunk.rejects.iter().map(|r| r.row as usize).collect();
        unread.extend(chunk.rejects.into_iter().map(|reject| Unread {
            message: place(reject.row as usize),
            column: reject.column,
            reason: reject.reason,
        }));
        unread.sort_by_key(|u| u.message);
        let accepted = (0..of_record.len()).filter(|r| rejected.binary_search(r).is_err());
        let messages: Vec<u32> = match rejected.is_empty() {
            true => of_record,
            false => accepted.map(place).collect(),
        };
        if messages.len() != chunk.batch.num_rows() {
            return Err(Error::new(
                Kind::Internal,
                format!(
                    "{} messages gave {} rows; please report it",
                    messages.len(),
                    chunk.batch.num_rows()
                ),
            ));
        }
        Ok(Decoded {
            batch: chunk.batch,
            messages,
            unread,
        })
    }
}

/// The keys of all samples, in the order they come.
fn keys_seen(samples: &[&[u8]]) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for key in samples.iter().filter_map(|s| keys_of(s)).flatten() {
        if !seen.contains(&key) {
            seen.push(key);
        }
    }
    seen
}

/// Which columns name the sensor.
fn sensors(schema: &Schema) -> Vec<usize> {
    let columns = schema.columns.iter().enumerate();
    let named = columns.filter(|(_, c)| c.role == Role::Sensor);
    named.map(|(at, _)| at).collect()
}

fn answers(column: &Column) -> Vec<String> {
    let mut names = vec![column.name.clone()];
    names.extend(column.names.iter().cloned());
    names
}

fn guarded(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A declared schema as it reads messages: a date and a time of day are one stamp where the messages have
/// one, the constant sensor is the first column, for whichever of them names its own, the text is cut in our own way.
/// Beside it the constant that is a column now: the sensor of messages that do not name theirs.
fn fitted(mut schema: Schema, seen: &[String]) -> (Schema, Option<String>) {
    let told = |c: &Column| answers(c).iter().any(|n| plain_name(n) == SENSOR_ID);
    let told =
        schema.melt.is_some() || (schema.columns.iter()).any(|c| c.role == Role::Sensor || told(c));
    schema.columns.retain(|c| c.role != Role::Ignore);
    let known = |name: &str| seen.iter().any(|s| plain_name(s) == plain_name(name));
    if let [date, time] = schema.time.columns.as_slice() {
        let answered = |name: &String| {
            schema
                .column(name)
                .is_some_and(|c| answers(c).iter().any(|n| known(n)))
        };
        if !(answered(date) && answered(time)) {
            one_stamp(&mut schema, seen);
        }
    }
    let mut constant = None;
    if !told {
        let mut column = Column::new("sensor_id", ColumnType::Text);
        column.role = Role::Sensor;
        schema.columns.insert(0, column);
        constant = schema.sensor_id.take().or_else(|| Some(SENSOR.into()));
    }
    (plain(schema), constant)
}

/// In place of a date and a time of day: one stamp, under the name the messages give it.
fn one_stamp(schema: &mut Schema, seen: &[String]) {
    let first = schema
        .columns
        .iter()
        .position(|c| schema.time.columns.contains(&c.name))
        .unwrap_or(0);
    let pair = std::mem::take(&mut schema.time.columns);
    schema.columns.retain(|c| !pair.contains(&c.name));
    let mut column = Column::new("time", ColumnType::Timestamp);
    column.role = Role::Time;
    let named = |name: &&String| STAMPS.iter().any(|s| plain_name(s) == plain_name(name));
    column.names = seen.iter().filter(named).cloned().collect();
    schema.time.columns = vec![column.name.clone()];
    schema
        .columns
        .insert(first.min(schema.columns.len()), column);
}

/// Records are cut as the scanner writes them.
fn plain(mut schema: Schema) -> Schema {
    schema.dialect = crate::schema::Dialect {
        delimiter: Some(','),
        quote: Some('"'),
        header: Some(true),
        ..crate::schema::Dialect::default()
    };
    schema
}

/// A schema from messages alone.
fn proposed(seen: &[String], samples: &[&[u8]]) -> Result<Schema> {
    if seen.is_empty() {
        return Err(Error::new(
            Kind::Schema,
            "no message tells what the columns are; pass schema=",
        ));
    }
    let names: Vec<Vec<String>> = seen.iter().map(|key| vec![key.clone()]).collect();
    let keys = Keys::new(&names);
    let mut scanner = Scanner::new(&keys);
    let header: Vec<String> = seen.iter().map(|key| guarded(key)).collect();
    let mut text = format!("{}\n", header.join(",")).into_bytes();
    for sample in samples {
        // What cannot be read says nothing of the columns.
        let _ = scanner.record(sample, &mut text);
    }
    let hints = Hints {
        delimiter: Some(','),
        header: Some(true),
        order: None,
        named: true,
        measures: Vec::new(),
    };
    let found = sniff(&Head::of("messages", &text)?, &hints)?;
    Ok(plain(found.schema))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, TimestampMicrosecondType};

    fn decode(choice: &SchemaChoice, messages: &[&str]) -> (Schema, Decoded) {
        let bytes: Vec<&[u8]> = messages.iter().map(|m| m.as_bytes()).collect();
        let decoder = Decoder::new(choice, &bytes, LocalPolicy::default()).unwrap();
        let decoded = decoder.decode(bytes.into_iter()).unwrap();
        (decoder.schema().clone(), decoded)
    }

    fn column<'a>(decoded: &'a Decoded, name: &str) -> &'a arrow_array::ArrayRef {
        decoded.batch.column_by_name(name).unwrap()
    }

    const HOUSEHOLD: &str = r#"{"sensor_id":"house 7","time":"2006-12-16T17:24:00","global_active_power":4.216,"global_reactive_power":"0.418","voltage":234.840,"global_intensity":18.4,"sub_metering_1":0,"sub_metering_2":1,"sub_metering_3":"?"}"#;

    #[test]
    fn a_preset_reads_messages() {
        let choice = SchemaChoice::Preset("household".into());
        let (_, found) = decode(&choice, &[HOUSEHOLD, "{", r#"{"time":"x"}"#, HOUSEHOLD]);
        assert_eq!(found.messages, [0, 3]);
        let time = column(&found, "time").as_primitive::<TimestampMicrosecondType>();
        assert_eq!(time.value(0), 1_166_289_840_000_000);
        let power = column(&found, "global_reactive_power").as_primitive::<Float64Type>();
        assert_eq!(power.value(1), 0.418);
        assert!(column(&found, "sub_metering_3").is_null(0));
        assert_eq!(
            column(&found, "sensor_id").as_string::<i32>().value(0),
            "house 7"
        );
        let faults: Vec<_> = found
            .unread
            .iter()
            .map(|u| (u.message, u.column.as_str()))
            .collect();
        assert_eq!(faults, [(1, ""), (2, "time")]);
    }

    #[test]
    fn the_constant_is_the_sensor_of_messages_that_name_none() {
        let mut schema = preset("household").unwrap();
        schema.sensor_id = Some("home, \"north\"".into());
        let choice = SchemaChoice::Declared(Box::new(schema));
        let without = HOUSEHOLD.replace(r#""sensor_id":"house 7","#, "");
        let null = HOUSEHOLD.replace("\"house 7\"", "null");
        let (_, found) = decode(&choice, &[HOUSEHOLD, &without, &null, HOUSEHOLD]);
        assert_eq!(found.unread, []);
        let sensors = column(&found, "sensor_id").as_string::<i32>();
        let named: Vec<_> = sensors.iter().flatten().collect();
        let own = "home, \"north\"";
        assert_eq!(named, ["house 7", own, own, "house 7"]);
    }

    #[test]
    fn a_date_and_a_time_of_day_are_read_too() {
        let choice = SchemaChoice::Preset("household".into());
        let message = HOUSEHOLD.replace(
            r#""time":"2006-12-16T17:24:00""#,
            r#""Date":"16/12/2006","Time":"17:24:00""#,
        );
        let (_, found) = decode(&choice, &[&message]);
        let time = column(&found, "time").as_primitive::<TimestampMicrosecondType>();
        assert_eq!(time.value(0), 1_166_289_840_000_000);
    }

    #[test]
    fn a_schema_is_found_in_the_messages() {
        let messages = [
            r#"{"meter": "a", "ts": "2024-01-01T00:00:00Z", "kwh": 1.5}"#,
            r#"{"meter": "b", "ts": "2024-01-01T00:15:00Z", "kwh": 2.25, "note": "late, very"}"#,
            r#"{"meter": "b", "ts": "2024-01-01T00:30:00Z", "kwh": null}"#,
        ];
        let (schema, found) = decode(&SchemaChoice::Sniff, &messages);
        assert_eq!(found.unread, []);
        assert_eq!(found.batch.num_rows(), 3);
        let names: Vec<_> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        let kwh = column(&found, "kwh").as_primitive::<Float64Type>();
        assert_eq!((kwh.value(1), kwh.is_null(2)), (2.25, true));
    }

    #[test]
    fn nothing_can_be_proposed_from_nothing() {
        let none = Decoder::new(&SchemaChoice::Sniff, &[], LocalPolicy::default());
        assert_eq!(none.err().unwrap().kind, Kind::Schema);
        let preset = SchemaChoice::Preset("household".into());
        let empty = Decoder::new(&preset, &[], LocalPolicy::default()).unwrap();
        assert!(empty.columns().fields().len() > 7);
    }
}
