//! Rows held back, saved: one Arrow stream a batch, with the columns of a readings table and the step.

use super::tables;
use crate::flush::{table, untable};
use crate::schema::{Attributes, Readings, RowIds, SensorKeys, Step};
use crate::source::FileName;
use crate::transform::{Held, end};
use crate::window::{Plan, StepKnown};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Fields, Schema};
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

/// Reads them back, with these attributes; files not in the list are added.
pub(super) fn decode(
    mut bytes: &[u8],
    kind: (&Plan, &Fields),
    files: &mut Vec<FileName>,
) -> Result<Held> {
    let mut held = Held::default();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (part, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        bytes = rest;
        held.hold(readings(&untable(part.to_vec())?, kind, files).ok_or_else(damaged)?);
    }
    Ok(held)
}

fn readings(
    rows: &RecordBatch,
    (plan, attributes): (&Plan, &Fields),
    files: &mut Vec<FileName>,
) -> Option<Readings> {
    let measures = &plan.measures;
    // An attribute may be called step too.
    let last = rows.num_columns().checked_sub(1)?;
    let steps = rows.column(last).as_primitive_opt::<Int64Type>()?;
    let rows = &rows.project(&(0..last).collect::<Vec<_>>()).ok()?;
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
    let (sensors, quality) = (text("sensor_id")?, text("quality")?);
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
        // Rows held back before a sink asked for an attribute have none.
        attributes: Attributes::stored(rows, attributes),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Canonical, Carried, Overrides};
    use crate::time::{Grain, Zone};
    use crate::window::WindowSpec;
    use arrow_array::{ArrayRef, BooleanArray, Float64Array, TimestampMicrosecondArray};

    /// Readings of a table with the attributes `note` and `step`, of which these travel.
    fn held(carried: Carried) -> (Held, Plan, Fields) {
        let time = TimestampMicrosecondArray::from(vec![1_000_000, 2_000_000]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("sensor_id", Arc::new(StringArray::from(vec!["a", "b"]))),
            ("time", Arc::new(time.with_timezone("UTC"))),
            ("v", Arc::new(Float64Array::from(vec![1.5, 2.5]))),
            ("note", Arc::new(StringArray::from(vec![Some("x"), None]))),
            ("step", Arc::new(BooleanArray::from(vec![true, false]))),
        ];
        let table = RecordBatch::try_from_iter(columns).unwrap();
        let told = Overrides {
            carried,
            ..Overrides::default()
        };
        let canonical = Canonical::infer(&table.schema(), &told).unwrap();
        let plan = Plan::new(&WindowSpec {
            grains: vec![Grain::parse("1h").unwrap()],
            zone: Zone::utc(),
            measures: canonical.measures(),
            step: StepKnown::Unknown,
            correct_for: None,
        });
        let (readings, _) = canonical.readings(&table, RowIds::Dense(0), 0).unwrap();
        let mut held = Held::default();
        held.hold(readings);
        (held, plan.unwrap(), canonical.attributes())
    }

    fn back(held: &Held, plan: &Plan, attributes: &Fields) -> Vec<ArrayRef> {
        let bytes = encode(held, &[FileName::default()]).unwrap();
        let again = decode(&bytes, (plan, attributes), &mut Vec::new()).unwrap();
        let [readings] = again.waiting() else {
            panic!("one batch was held");
        };
        assert_eq!(readings.values[0].values(), &[1.5, 2.5]);
        assert_eq!(&readings.attributes.fields, attributes);
        readings.attributes.columns.clone()
    }

    #[test]
    fn attributes_come_back_and_those_of_a_later_spec_are_null() {
        let (with, plan, all) = held(Carried::All);
        assert_eq!(all.len(), 2);
        let came = back(&with, &plan, &all);
        assert_eq!(
            came[0].as_string::<i32>().iter().collect::<Vec<_>>(),
            [Some("x"), None]
        );
        assert!(came[1].as_boolean().value(0) && !came[1].as_boolean().value(1));
        let (without, plan, none) = held(Carried::None);
        assert!(back(&without, &plan, &none).is_empty());
        assert_eq!(back(&without, &plan, &all)[0].null_count(), 2);
    }
}
