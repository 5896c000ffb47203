//! Readings as rows of a table: the readings themselves, and those put aside with their reason.
//!
//! `sensor_id, time, <measures>, <attributes>, quality, file, stream, row`, and for late rows `reason, grains` (the names of the grains
//! the row is late for, comma separated).

use crate::schema::{Measure, Readings, SensorKeys};
use crate::source::FileName;
use crate::{Error, Kind, Result, runtime};
use arrow_array::builder::Int32Builder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use hashbrown::HashMap;
use rayon::prelude::*;
use std::sync::Arc;

/// Columns of a readings table.
pub fn readings_schema(measures: &[Measure], attributes: &Fields) -> SchemaRef {
    Arc::new(Schema::new(fields(measures, attributes)))
}

/// Columns of a table of late readings.
pub fn late_schema(measures: &[Measure], attributes: &Fields) -> SchemaRef {
    let mut fields = fields(measures, attributes);
    fields.push(Field::new("reason", DataType::Utf8, false));
    fields.push(Field::new("grains", DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

fn fields(measures: &[Measure], attributes: &Fields) -> Vec<Field> {
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("sensor_id", DataType::Utf8, false),
        Field::new("time", stamp, false),
    ];
    fields.extend(
        measures
            .iter()
            .map(|m| Field::new(&m.name, DataType::Float64, true)),
    );
    fields.extend(attributes.iter().map(|a| (**a).clone()));
    fields.push(Field::new("quality", DataType::Utf8, false));
    fields.push(Field::new("file", DataType::Utf8, false));
    fields.push(Field::new("stream", DataType::Utf8, false));
    fields.push(Field::new("row", DataType::Int64, false));
    fields
}

/// All rows as a table.
pub fn readings_rows(readings: &Readings, file: &FileName) -> Result<RecordBatch> {
    let schema = readings_schema(&readings.measures, &readings.attributes.fields);
    table(schema, columns(readings, file))
}

/// All rows as a table of late readings.
pub fn late_rows(
    readings: &Readings,
    file: &FileName,
    reasons: Vec<&str>,
    grains: Vec<String>,
) -> Result<RecordBatch> {
    let mut columns = columns(readings, file);
    columns.push(Arc::new(StringArray::from(reasons)));
    columns.push(Arc::new(StringArray::from(grains)));
    let schema = late_schema(&readings.measures, &readings.attributes.fields);
    table(schema, columns)
}

/// Rows that are joined by one thread: a pool is asked for more.
const ALONE: usize = 2048;

/// The batches as one.
pub fn joined(mut batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>> {
    if batches.len() < 2 {
        return Ok(batches.pop());
    }
    let schema = batches[0].schema();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let parts = || Vec::with_capacity(batches.len());
    let mut columns: Vec<Vec<ArrayRef>> = schema.fields().iter().map(|_| parts()).collect();
    for batch in batches {
        let own = batch.into_parts().1;
        columns
            .iter_mut()
            .zip(own)
            .for_each(|(to, part)| to.push(part));
    }
    // The run waits for this, and behind it the source: side by side it takes a quarter of the time.
    let columns: Result<Vec<ArrayRef>> = match rows > ALONE {
        true => runtime::pool()?.install(|| columns.into_par_iter().map(join).collect()),
        false => columns.into_iter().map(join).collect(),
    };
    table(schema, columns?).map(Some)
}

/// The parts of a column as one. They are freed with it: of thousands of pieces that takes as long as the joining.
fn join(parts: Vec<ArrayRef>) -> Result<ArrayRef> {
    let told: Vec<&dyn Array> = parts.iter().map(|p| p.as_ref()).collect();
    concat(&told).map_err(defect)
}

/// The parts as one. Arrow's own way joins dictionaries by a table that forgets names which fall on one place of it, and
/// gives those twice; pandas refuses such categories.
fn concat(parts: &[&dyn Array]) -> std::result::Result<ArrayRef, ArrowError> {
    let coded = parts.iter().map(|p| p.as_dictionary_opt::<Int32Type>());
    let coded: Option<Vec<_>> = coded.collect();
    let joined = coded
        .filter(|c| !one_dictionary(c))
        .and_then(|c| merged(&c));
    match joined {
        Some(joined) => Ok(Arc::new(joined?)),
        None => arrow_select::concat::concat(parts),
    }
}

type Coded = DictionaryArray<Int32Type>;

fn one_dictionary(parts: &[&Coded]) -> bool {
    let same = |p: &&Coded, first: &&Coded| Arc::ptr_eq(p.values(), first.values());
    parts
        .first()
        .is_none_or(|first| parts.iter().all(|p| same(p, first)))
}

/// The same texts over one dictionary that has each name once; `None`: not of texts, or some are null.
fn merged(parts: &[&Coded]) -> Option<std::result::Result<Coded, ArrowError>> {
    let mut codes: HashMap<&str, i32> = HashMap::new();
    let (mut names, mut keys) = (Vec::new(), Int32Builder::new());
    for part in parts {
        let texts = part.values().as_string_opt::<i32>();
        let texts = texts.filter(|t| t.null_count() == 0)?;
        let code = |name| {
            *codes.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() as i32 - 1
            })
        };
        let new: Vec<i32> = texts.iter().flatten().map(code).collect();
        let told = part.keys().iter();
        keys.extend(told.map(|key| key.and_then(|k| new.get(k as usize).copied())));
    }
    let names = Arc::new(StringArray::from(names));
    Some(Coded::try_new(keys.finish(), names))
}

fn table(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(defect)
}

fn defect(e: arrow_schema::ArrowError) -> Error {
    Error::new(
        Kind::Internal,
        "rows of one table differ in their columns; please report it",
    )
    .because(e)
}

fn columns(readings: &Readings, file: &FileName) -> Vec<ArrayRef> {
    let n = readings.len();
    let time = TimestampMicrosecondArray::new(readings.time.clone(), None).with_timezone("UTC");
    let mut columns: Vec<ArrayRef> = vec![Arc::new(sensors(readings)), Arc::new(time)];
    columns.extend(
        readings
            .values
            .iter()
            .map(|v| Arc::new(v.clone()) as ArrayRef),
    );
    columns.extend(readings.attributes.columns.iter().cloned());
    columns.push(Arc::new(quality(readings)));
    for text in [&file.name, &file.stream] {
        let same = std::iter::repeat_n(&**text, n);
        columns.push(Arc::new(StringArray::from_iter_values(same)));
    }
    columns.push(Arc::new(Int64Array::from_iter_values(
        (0..n).map(|i| readings.row(i) as i64),
    )));
    columns
}

fn sensors(readings: &Readings) -> StringArray {
    match &readings.sensors {
        SensorKeys::Constant(name) => {
            StringArray::from_iter_values(std::iter::repeat_n(&**name, readings.len()))
        }
        SensorKeys::Coded { codes, names } => {
            StringArray::from_iter_values(codes.iter().map(|c| &*names[*c as usize]))
        }
    }
}

fn quality(readings: &Readings) -> StringArray {
    const NAMES: [&str; 3] = ["ok", "estimated", "bad"];
    let name = |i| match &readings.quality {
        Some(q) => NAMES[usize::from(q[i]).min(2)],
        None => NAMES[0],
    };
    StringArray::from_iter_values((0..readings.len()).map(name))
}

/// The union of two optional sets of rows.
pub(super) fn either(a: Option<BooleanBuffer>, b: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (a, b) {
        (Some(a), Some(b)) => Some(&a | &b),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joined_dictionary_has_each_name_once() {
        let part = |from: usize| {
            let names = (from..from + 3_000).map(|n| (n % 7 > 0).then(|| format!("m{n}")));
            names.collect::<Vec<_>>()
        };
        let texts = [part(0), part(1_500), part(2_000)];
        let parts = texts
            .clone()
            .map(|t| -> Coded { t.iter().map(Option::as_deref).collect() });
        let joined = concat(&parts.each_ref().map(|p| p as &dyn Array)).unwrap();
        let joined = joined.as_dictionary::<Int32Type>();
        let names = joined.values().as_string::<i32>();
        let once: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(once.len(), names.len());
        let told = joined.downcast_dict::<StringArray>().unwrap().into_iter();
        let told: Vec<_> = told.map(|t| t.map(str::to_owned)).collect();
        assert_eq!(told, texts.concat());
    }
}
