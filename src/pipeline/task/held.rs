//! Rows held back, saved: one Arrow stream a batch, with the columns of a readings table and the step.

use super::tables;
use crate::flush::{table, untable};
use crate::schema::{Readings, RowIds, SensorKeys, Step};
use crate::source::FileName;
use crate::transform::{Held, end};
use crate::window::{Plan, StepKnown};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use hashbrown::HashMap;
use std::sync::Arc;

/// All rows held back.
pub(super) fn encode(held: &Held, files: &[FileName]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for readings in held.waiting() {
        let bytes = table(&rows(readings, files)?)?;
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(&bytes);
    }
    Ok(out)
}

fn rows(readings: &Readings, files: &[FileName]) -> Result<RecordBatch> {
    let file = files.get(readings.file as usize).cloned();
    let table = tables::readings_rows(readings, &file.unwrap_or_default())?;
    let mut fields: Vec<Field> = table
        .schema()
        .fields()
        .iter()
        .map(|f| (**f).clone())
        .collect();
    let mut columns = table.columns().to_vec();
    let known = !matches!(readings.step, Step::Unknown);
    let steps = (0..readings.len()).map(|i| known.then(|| end(readings, i) - readings.time[i]));
    fields.push(Field::new("step", DataType::Int64, true));
    columns.push(Arc::new(Int64Array::from_iter(steps)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|e| damaged().because(e))
}

/// Reads them back; files not in the list are added.
pub(super) fn decode(mut bytes: &[u8], plan: &Plan, files: &mut Vec<FileName>) -> Result<Held> {
    let mut held = Held::default();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (part, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        bytes = rest;
        held.hold(readings(&untable(part.to_vec())?, plan, files).ok_or_else(damaged)?);
    }
    Ok(held)
}

fn readings(rows: &RecordBatch, plan: &Plan, files: &mut Vec<FileName>) -> Option<Readings> {
    let measures = &plan.measures;
    let n = rows.num_rows();
    let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
    let whole = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let mut values = Vec::with_capacity(measures.len());
    for m in measures.iter() {
        values.push(
            rows.column_by_name(&m.name)?
                .as_primitive_opt::<Float64Type>()?
                .clone(),
        );
    }
    let (sensors, quality, steps) = (text("sensor_id")?, text("quality")?, whole("step")?);
    let (file, stream) = (text("file")?, text("stream")?);
    let first = |texts: &StringArray| if n > 0 { texts.value(0) } else { "" }.into();
    let named = FileName {
        name: first(file),
        stream: first(stream),
        mended: false,
    };
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut codes: HashMap<&str, u32> = HashMap::new();
    let codes = (0..n).map(|i| {
        let name = sensors.value(i);
        *codes.entry(name).or_insert_with(|| {
            names.push(name.into());
            names.len() as u32 - 1
        })
    });
    let codes = codes.collect();
    let grade = |i| match quality.value(i) {
        "estimated" => 1,
        "bad" => 2,
        _ => 0,
    };
    let time = rows
        .column_by_name("time")?
        .as_primitive_opt::<TimestampMicrosecondType>()?;
    Some(Readings {
        measures: measures.clone(),
        sensors: SensorKeys::Coded {
            codes,
            names: names.into(),
        },
        time: time.values().clone(),
        values,
        quality: Some((0..n).map(grade).collect()),
        step: match plan.step {
            StepKnown::Fixed(step) => Step::Fixed(step),
            StepKnown::Rows if steps.null_count() == 0 => Step::Rows(steps.values().clone()),
            _ => Step::Unknown,
        },
        file: number(files, named),
        rows: RowIds::Listed(whole("row")?.values().iter().map(|r| *r as u64).collect()),
    })
}

fn number(files: &mut Vec<FileName>, file: FileName) -> u32 {
    let known = files.iter().position(|f| f.stream == file.stream);
    let at = known.unwrap_or_else(|| {
        files.push(file);
        files.len() - 1
    });
    at as u32
}

fn damaged() -> Error {
    Error::new(
        Kind::DataLost,
        "the stored rows held back are damaged; restore the store from a backup, or begin a new pipeline name",
    )
}
