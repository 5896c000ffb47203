//! The columns of the table: which the schema asks for, how each is read, and their Arrow types.

use super::super::header::{self, Found};
use super::{CsvPlan, Output, What};
use crate::schema::{Column, ColumnType, Role, Schema};
use crate::{Error, Kind, Result};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn outputs(schema: &Schema, found: &Found) -> Result<Vec<Output>> {
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

pub(super) fn arrow_schema(schema: &Schema, plan: &CsvPlan) -> Result<ArrowSchema> {
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

pub(super) fn coded_sensor() -> Field {
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
