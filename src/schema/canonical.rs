//! Any Arrow batch with roles to the canonical [`Readings`].
//!
//! Zero copy where the types fit: Float64 measures, `Timestamp(us, UTC)` times. Other numbers
//! are cast (integers, decimals, Float32), other timestamps brought to microseconds. What no
//! window can take is a reject with its row and column: no time, no sensor, NaN, infinity.
//! Times stand in foreign tables as written: an end stamp moves back one step here. The CSV
//! reader moves its own.
//!
//! Zones are not known in this room: times without zone go through the [`ToUtc`] that the
//! source hands in, or stay wall clock ([`Canonical::assumed`]).

mod work;

use super::attributes;
use super::keys::sensor_keys;
use super::readings::{Measure, Readings, RowIds, SensorKeys, Step};
use super::roles::{self, Overrides};
use super::{Column, MeasureKind, Role, Schema, Stamp, StepSpec, instants, plain_name};
use crate::reject::Reject;
use crate::time::duration;
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::ScalarBuffer;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Fields, SchemaRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use work::{Bad, Work};

/// Sensor id of a dataset without a sensor column and without a declared constant.
pub const SENSOR: &str = "1";

/// The column that says whose a reading is.
const SENSOR_ID: &str = "sensor_id";

/// Key of the table metadata that says whether a zone was assumed.
const ASSUMED_KEY: &str = "wattline:tz";

/// Local times to instants, both µs; a row without an answer is a reject with that reason.
pub type ToUtc = Arc<dyn Fn(&[i64]) -> Result<LocalTimes> + Send + Sync>;

/// What [`ToUtc`] gives: instants, and rows that have none.
pub type LocalTimes = (Vec<i64>, Vec<(usize, String)>);

/// Where the readings of a table stand; made once a dataset, shared by all threads.
#[derive(Clone)]
pub struct Canonical {
    name: Arc<str>,
    schema: Schema,
    measures: Arc<[Measure]>,
    values: Vec<usize>,
    times: Vec<usize>,
    sensors: Vec<usize>,
    constant: Arc<str>,
    steps: Steps,
    quality: Option<usize>,
    attributes: attributes::Plan,
    to_utc: Option<ToUtc>,
    naive: bool,
    /// Times without zone were read as UTC, here or by the reader that made the table.
    assumed: bool,
    /// The table is our reader's: end stamps are moved already.
    ours: bool,
    trusted: bool,
}

#[derive(Clone)]
enum Steps {
    Unknown,
    Fixed(i64),
    Column(usize),
    BySensor(BTreeMap<String, i64>),
}

/// The measures a schema declares, with the default aggregates of their kinds.
pub fn measures(schema: &Schema) -> Vec<Measure> {
    let columns = schema.columns.iter().filter(|c| c.role == Role::Measure);
    columns.map(measure).collect()
}

fn measure(column: &Column) -> Measure {
    let kind = column.measure.unwrap_or(MeasureKind::Gauge);
    Measure {
        name: column.name.clone(),
        kind,
        unit: column.unit.clone(),
        digits: column.digits,
        aggregates: kind.aggregates().to_vec(),
    }
}

impl Canonical {
    /// For a table of `schema`, with what the caller says put over it. Errors: `Schema` where
    /// a column is missing or its type cannot be what its role asks.
    pub fn new(schema: &Schema, arrow: &SchemaRef, overrides: &Overrides) -> Result<Canonical> {
        let schema = roles::apply(schema.clone(), arrow, overrides)?;
        Canonical::resolve(schema, arrow, overrides)
    }

    /// For any table: by its metadata where wattline wrote it, else by its types: the only
    /// timestamp is the time, `sensor_id` or the only text the sensor (a whole number named like a
    /// key is asked about), numbers are gauges.
    pub fn infer(arrow: &SchemaRef, overrides: &Overrides) -> Result<Canonical> {
        Canonical::resolve(roles::infer(arrow, overrides)?, arrow, overrides)
    }

    fn resolve(schema: Schema, arrow: &SchemaRef, overrides: &Overrides) -> Result<Canonical> {
        let find = |column: &Column| locate(column, arrow);
        let by_role = |role| schema.columns.iter().filter(move |c| c.role == role);
        let times = time_columns(&schema, arrow)?;
        let values = by_role(Role::Measure)
            .map(find)
            .collect::<Result<Vec<_>>>()?;
        for i in &values {
            must_be_number(arrow, *i)?;
        }
        let quality = schema
            .quality
            .as_ref()
            .map(|q| index_of(arrow, &q.column))
            .transpose()?;
        let mut sensors: Vec<usize> = by_role(Role::Sensor).map(find).collect::<Result<_>>()?;
        if sensors.is_empty() && overrides.sensor.is_none() {
            sensors.extend(undeclared(&schema, arrow));
        }
        let constant = schema.sensor_id.as_deref().unwrap_or(SENSOR).into();
        let steps = steps(&schema.step, arrow)?;
        if schema.stamp == Stamp::End && matches!(steps, Steps::Unknown) {
            return Err(Error::new(
                Kind::Schema,
                "stamp = end needs the step, to move each reading back to its start; add step = \"15min\" or what it is",
            ));
        }
        let naive = instants::is_naive(arrow, &times);
        let told = arrow
            .metadata()
            .get(ASSUMED_KEY)
            .is_some_and(|v| v == "assumed");
        let assumed = told || naive && schema.tz.is_none();
        let ours = arrow.metadata().contains_key(roles::METADATA_KEY);
        let measures: Arc<[Measure]> = measures(&schema).into();
        told_apart(&measures)?;
        let attributes = attributes::Plan::new(&schema, arrow, &overrides.carried, find)?;
        Ok(Canonical {
            name: "table".into(),
            schema,
            measures,
            values,
            times,
            sensors,
            constant,
            steps,
            quality,
            attributes,
            naive,
            assumed,
            ours,
            to_utc: None,
            trusted: false,
        })
    }

    /// The same, naming the table in rejects.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The same, for batches that the CSV reader made: no NaN, infinity or missing time in them.
    pub fn trusted(mut self) -> Self {
        self.trusted = true;
        self
    }

    /// The same, with the conversion of times without zone.
    pub fn with_zone(mut self, to_utc: ToUtc) -> Self {
        self.to_utc = Some(to_utc);
        self
    }

    /// The same, with these measures (the caller's aggregates) in place of the defaults; the
    /// names must be the same.
    pub fn with_measures(mut self, measures: Arc<[Measure]>) -> Self {
        self.measures = measures;
        self
    }

    /// The schema in force.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The measures of the readings.
    pub fn measures(&self) -> Arc<[Measure]> {
        self.measures.clone()
    }

    /// The attributes that travel with the readings.
    pub fn attributes(&self) -> Fields {
        self.attributes.fields.clone()
    }

    /// Whether times without zone are counted as they stand, for want of a zone.
    pub fn assumed(&self) -> bool {
        self.assumed
    }

    /// Whether times carry no zone and one was declared: they need [`Canonical::with_zone`].
    pub fn needs_zone(&self) -> bool {
        self.naive && self.schema.tz.is_some() && self.to_utc.is_none()
    }

    /// Whether a row's instant follows from its time column alone.
    pub fn times_alone(&self) -> bool {
        self.schema.stamp == Stamp::Start || matches!(self.steps, Steps::Fixed(_))
    }

    /// The times of a batch as instants, unchecked and before stamps move: for a first look at the order.
    /// A null time is `None` in the result.
    pub fn times(&self, batch: &RecordBatch) -> Result<arrow_array::Int64Array> {
        let times = instants::of(batch, &self.times, &self.schema)?;
        Ok(match self.trusted {
            true => times,
            false => instants::in_calendar(times),
        })
    }

    /// The rows of a batch that have a time and a sensor, and their times as written.
    pub fn local_times(&self, batch: &RecordBatch) -> Result<(Vec<u32>, Vec<i64>)> {
        let times = self.times(batch)?;
        let named = |row: usize| {
            let missing = |i: &usize| batch.column(*i).is_null(row);
            !self.sensors.iter().any(missing)
        };
        let found = (0u32..).zip(times.iter());
        Ok(found
            .filter_map(|(row, time)| time.filter(|_| named(row as usize)).map(|t| (row, t)))
            .unzip())
    }

    /// The sensor of each row of a batch.
    pub fn sensors(&self, batch: &RecordBatch) -> Result<SensorKeys> {
        sensor_keys(batch, &self.sensors, &self.constant)
    }

    /// The readings of a batch and what could not be one.
    pub fn readings(
        &self,
        batch: &RecordBatch,
        rows: RowIds,
        file: u32,
    ) -> Result<(Readings, Vec<Reject>)> {
        let mut work = Work::of(self, batch, rows)?;
        let mut rejects = Vec::new();
        let bad = work.find_bad()?;
        if !bad.0.is_empty() {
            rejects = self.rejects(batch, &work.rows, &bad);
            work = work.without(batch, &bad)?;
        }
        Ok((work.finish(file)?, rejects))
    }

    fn rejects(&self, batch: &RecordBatch, rows: &RowIds, bad: &Bad) -> Vec<Reject> {
        let one = |(i, (column, reason)): (&usize, &(usize, String))| Reject {
            file: self.name.clone(),
            line: 0,
            byte: 0,
            row: row_id(rows, *i),
            column: batch.schema_ref().field(*column).name().clone(),
            raw: shown(batch.column(*column), *i),
            reason: reason.clone(),
        };
        bad.0.iter().map(one).collect()
    }
}

impl Canonical {
    /// Whether times are ends that still have to move back.
    fn moves(&self, step: &Step) -> bool {
        self.schema.stamp == Stamp::End && !self.ours && !matches!(step, Step::Unknown)
    }

    /// A batch of our reader whose end stamps still have to move back by the steps of their rows or
    /// sensors: with them moved. A row whose step is none stays as it is, and is a reject later.
    pub fn started(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let &[at] = self.times.as_slice() else {
            return Ok(batch);
        };
        let step = self.step(&batch, &self.sensors(&batch)?)?;
        let column = batch.column(at);
        let times = column.as_primitive::<TimestampMicrosecondType>();
        let moved = moved_back(times.values().clone(), &step)?;
        let moved = TimestampMicrosecondArray::new(moved, column.nulls().cloned());
        let mut columns = batch.columns().to_vec();
        columns[at] = Arc::new(moved.with_timezone("UTC"));
        RecordBatch::try_new(batch.schema(), columns).map_err(arrow)
    }

    fn step(&self, batch: &RecordBatch, sensors: &SensorKeys) -> Result<Step> {
        Ok(match &self.steps {
            Steps::Unknown => Step::Unknown,
            Steps::Fixed(step) => Step::Fixed(*step),
            Steps::Column(i) => {
                let seconds = step_seconds(batch, *i)?;
                Step::Rows(
                    seconds
                        .values()
                        .iter()
                        .map(|s| s.saturating_mul(1_000_000))
                        .collect(),
                )
            }
            Steps::BySensor(steps) => step_by_sensor(steps, sensors)?,
        })
    }

    /// Quality of each row; `None` where the text is not declared.
    fn qualities(&self, batch: &RecordBatch, i: usize) -> Result<Vec<Option<u8>>> {
        let text = cast(batch.column(i), &DataType::Utf8, "quality")?;
        let Some(map) = self.schema.quality.as_ref() else {
            return Ok(vec![Some(0); text.len()]);
        };
        let of = |t: Option<&str>| map.values.get(t.unwrap_or("")).map(|q| *q as u8);
        // A table without a declared mapping for the empty text counts it as ok.
        let or_ok = |t: Option<&str>| of(t).or(t.is_none_or(str::is_empty).then_some(0));
        Ok(text.as_string::<i32>().iter().map(or_ok).collect())
    }
}

fn step_by_sensor(steps: &BTreeMap<String, i64>, sensors: &SensorKeys) -> Result<Step> {
    let of = |name: &str| {
        steps.get(name).copied().ok_or_else(|| {
            Error::new(
                Kind::Schema,
                format!("no step is declared for sensor {name:?}; add it under step.by_sensor"),
            )
        })
    };
    match sensors {
        SensorKeys::Constant(name) => of(name).map(Step::Fixed),
        SensorKeys::Coded { codes, names } => {
            let known = names.iter().map(|n| of(n)).collect::<Result<Vec<_>>>()?;
            Ok(Step::Rows(
                codes.iter().map(|c| known[*c as usize]).collect(),
            ))
        }
    }
}

fn moved_back(time: ScalarBuffer<i64>, step: &Step) -> Result<ScalarBuffer<i64>> {
    match step {
        Step::Fixed(step) => Ok(time.iter().map(|t| t.saturating_sub(*step)).collect()),
        Step::Rows(steps) => Ok(time
            .iter()
            .zip(steps)
            .map(|(t, s)| t.saturating_sub(*s))
            .collect()),
        Step::Unknown => Err(Error::new(
            Kind::Internal,
            "an end stamp without a step went past its check",
        )),
    }
}

fn steps(spec: &StepSpec, arrow: &SchemaRef) -> Result<Steps> {
    Ok(match spec {
        StepSpec::Unknown => Steps::Unknown,
        StepSpec::Fixed(text) => Steps::Fixed(duration::positive(text)?),
        StepSpec::Column { column } => Steps::Column(index_of(arrow, column)?),
        StepSpec::BySensor { by_sensor } => {
            let pairs = by_sensor
                .iter()
                .map(|(k, v)| Ok((k.clone(), duration::positive(v)?)));
            Steps::BySensor(pairs.collect::<Result<_>>()?)
        }
    })
}

fn step_seconds(batch: &RecordBatch, i: usize) -> Result<arrow_array::Int64Array> {
    let name = batch.schema_ref().field(i).name().clone();
    Ok(cast(batch.column(i), &DataType::Int64, &name)?
        .as_primitive::<Int64Type>()
        .clone())
}

/// The sensors of a table whose schema names one for all rows: the reader made a column of it, and whoever had the table
/// since may have said better. As with messages, who a row is of is never passed over.
fn undeclared(schema: &Schema, arrow: &SchemaRef) -> Option<usize> {
    let (at, field) = arrow.column_with_name(SENSOR_ID)?;
    let names = roles::is_text(field.data_type()) || field.data_type().is_integer();
    (names && schema.column(SENSOR_ID).is_none()).then_some(at)
}

/// The columns of the time: as declared, or the one column `time` a reader made of two.
fn time_columns(schema: &Schema, arrow: &SchemaRef) -> Result<Vec<usize>> {
    let declared: Vec<String> = if schema.time.columns.is_empty() {
        let of_role = schema.columns.iter().filter(|c| c.role == Role::Time);
        of_role.map(|c| c.name.clone()).collect()
    } else {
        schema.time.columns.clone()
    };
    let found: Result<Vec<usize>> = declared
        .iter()
        .map(|n| time_column(schema, n, arrow))
        .collect();
    let joined = || arrow.index_of("time").map(|i| vec![i]).ok();
    let times = match found {
        Ok(found) if !found.is_empty() => found,
        Ok(_) => joined().ok_or_else(|| missing("time", arrow))?,
        Err(error) => joined().ok_or(error)?,
    };
    instants::check(arrow, &times, schema)?;
    Ok(times)
}

fn time_column(schema: &Schema, name: &str, arrow: &SchemaRef) -> Result<usize> {
    match schema.columns.iter().find(|c| c.name == name) {
        Some(column) => locate(column, arrow),
        None => index_of(arrow, name),
    }
}

/// Where a declared column stands: by its name, else by one of its other names.
fn locate(column: &Column, arrow: &SchemaRef) -> Result<usize> {
    let by_name = arrow.index_of(&column.name).ok();
    let plain = plain_name(&column.name);
    let answers =
        |f: &arrow_schema::FieldRef| column.answers_to(f.name()) || plain_name(f.name()) == plain;
    let found = by_name.or_else(|| arrow.fields().iter().position(answers));
    found.ok_or_else(|| missing(&column.name, arrow))
}

fn index_of(arrow: &SchemaRef, name: &str) -> Result<usize> {
    arrow.index_of(name).map_err(|_| missing(name, arrow))
}

fn missing(name: &str, arrow: &SchemaRef) -> Error {
    let listed = roles::listed(arrow);
    Error::new(
        Kind::Schema,
        format!("the table has no column {name:?}; it has {listed}"),
    )
}

/// Columns of windows are named after the measures, and a store compares names without case.
fn told_apart(measures: &[Measure]) -> Result<()> {
    let mut seen = std::collections::HashMap::new();
    for measure in measures {
        if let Some(other) = seen.insert(measure.name.to_lowercase(), &measure.name) {
            return Err(Error::new(
                Kind::Schema,
                format!(
                    "the measures {other:?} and {:?} have one name where case does not count; rename one, or name those you want with measures=",
                    measure.name
                ),
            ));
        }
    }
    Ok(())
}

fn must_be_number(arrow: &SchemaRef, i: usize) -> Result<()> {
    let field = arrow.field(i);
    if roles::is_number(field.data_type()) || matches!(field.data_type(), DataType::Null) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Schema,
        format!(
            "column {:?} is a measure but holds {}, not numbers; convert it first",
            field.name(),
            field.data_type()
        ),
    ))
}

fn to_f64(column: &ArrayRef, name: &str) -> Result<Float64Array> {
    Ok(cast(column, &DataType::Float64, name)?
        .as_primitive::<Float64Type>()
        .clone())
}

pub(super) fn cast(column: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    cast_with_options(column, to, &options).map_err(|e| {
        Error::new(
            Kind::Schema,
            format!("column {name:?} cannot be read as {to}: {e}; convert it first"),
        )
    })
}

pub(super) fn arrow(error: arrow_schema::ArrowError) -> Error {
    Error::new(
        Kind::Internal,
        format!("an Arrow batch could not be put together: {error}"),
    )
}

pub(super) fn row_id(rows: &RowIds, i: usize) -> u64 {
    match rows {
        RowIds::Dense(first) => first + i as u64,
        RowIds::Listed(rows) => rows.get(i).copied().unwrap_or(i as u64),
    }
}

fn shown(column: &ArrayRef, i: usize) -> String {
    use arrow_cast::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::new().with_display_error(false);
    let text = ArrayFormatter::try_new(column, &options).and_then(|f| f.value(i).try_to_string());
    text.unwrap_or_else(|_| "beyond what can be shown".into())
}

#[cfg(test)]
mod tests;
