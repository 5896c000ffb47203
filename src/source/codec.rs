//! Readings as Arrow record batches and back, for what waits on disk. Sensors are numbers of one
//! list that stays in memory; all else is in the batch. The file has no name and dies with its process: no other
//! version ever reads it.

use crate::schema::{Attributes, Measure, Readings, RowIds, SensorKeys, Step};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, UInt8Array, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use hashbrown::HashMap;
use std::sync::Arc;

/// Columns before the measures.
const FIXED: usize = 6;

/// The sensors of a read by number, and what kind of step its readings have.
#[derive(Default)]
pub(super) struct Names {
    codes: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    step: Option<Step>,
    attributes: Fields,
}

/// What a batch on disk does not say itself.
#[derive(Clone)]
pub(super) struct Legend {
    names: Arc<[Arc<str>]>,
    step: Step,
    attributes: Fields,
}

impl Names {
    fn code(&mut self, name: &Arc<str>) -> u32 {
        if let Some(code) = self.codes.get(name) {
            return *code;
        }
        let code = self.names.len() as u32;
        self.names.push(name.clone());
        self.codes.insert(name.clone(), code);
        code
    }

    /// One length for all rows stays one length, also for a batch without rows.
    fn note(&mut self, step: &Step) {
        self.step = Some(match (self.step.take(), step) {
            (None, Step::Rows(_)) => Step::Rows(Vec::new().into()),
            (None, step) => step.clone(),
            (Some(Step::Fixed(a)), Step::Fixed(b)) if a == *b => Step::Fixed(a),
            (Some(Step::Unknown), Step::Unknown) => Step::Unknown,
            _ => Step::Rows(Vec::new().into()),
        });
    }

    /// What reading back needs.
    pub(super) fn legend(&self) -> Legend {
        let step = self.step.clone().unwrap_or(Step::Unknown);
        Legend {
            names: self.names.clone().into(),
            step,
            attributes: self.attributes.clone(),
        }
    }
}

impl Legend {
    /// The step of a batch without rows.
    pub(super) fn step(&self) -> Step {
        self.step.clone()
    }

    /// The attributes of a batch without rows.
    pub(super) fn attributes(&self) -> Attributes {
        Attributes::none(&self.attributes)
    }
}

/// Columns: time, sensor, file, row, step (0: not known), quality, then the measures, then the attributes.
pub(super) fn to_batch(readings: &Readings, names: &mut Names) -> Result<RecordBatch> {
    let n = readings.len();
    names.note(&readings.step);
    names.attributes.clone_from(&readings.attributes.fields);
    let codes: UInt32Array = match &readings.sensors {
        SensorKeys::Constant(name) => vec![names.code(name); n].into(),
        SensorKeys::Coded {
            codes,
            names: local,
        } => {
            let map: Vec<u32> = local.iter().map(|name| names.code(name)).collect();
            codes
                .iter()
                .map(|c| map.get(*c as usize).copied())
                .collect()
        }
    };
    let steps = match &readings.step {
        Step::Unknown => vec![0; n].into(),
        Step::Fixed(step) => vec![*step; n].into(),
        Step::Rows(steps) => steps.clone(),
    };
    let quality = readings
        .quality
        .clone()
        .unwrap_or_else(|| vec![0; n].into());
    let rows: UInt64Array = (0..n).map(|i| Some(readings.row(i))).collect();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::new(readings.time.clone(), None)),
        Arc::new(codes),
        Arc::new(UInt32Array::from(vec![readings.file; n])),
        Arc::new(rows),
        Arc::new(Int64Array::new(steps, None)),
        Arc::new(UInt8Array::new(quality, None)),
    ];
    columns.extend(
        readings
            .values
            .iter()
            .map(|v| Arc::new(v.clone()) as ArrayRef),
    );
    columns.extend(readings.attributes.columns.iter().cloned());
    let schema = schema(readings.values.len(), &readings.attributes.fields);
    RecordBatch::try_new(schema, columns).map_err(broken)
}

fn schema(values: usize, attributes: &Fields) -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, true);
    let mut fields = vec![
        field("time", DataType::Int64),
        field("sensor", DataType::UInt32),
        field("file", DataType::UInt32),
        field("row", DataType::UInt64),
        field("step", DataType::Int64),
        field("quality", DataType::UInt8),
    ];
    fields.extend((0..values).map(|i| field(&format!("v{i}"), DataType::Float64)));
    let own = attributes.iter().enumerate();
    fields.extend(own.map(|(i, a)| field(&format!("a{i}"), a.data_type().clone())));
    Arc::new(Schema::new(fields))
}

/// The readings of a batch, one for each run of rows of the same file, at least one.
pub(super) fn to_readings(
    batch: &RecordBatch,
    measures: &Arc<[Measure]>,
    legend: &Legend,
) -> Result<Vec<Readings>> {
    let files = batch
        .column(2)
        .as_primitive::<UInt32Type>()
        .values()
        .clone();
    if files.is_empty() {
        return Ok(vec![one(batch, 0, measures, legend)?]);
    }
    let mut made = Vec::new();
    let mut from = 0;
    while from < files.len() {
        let same = files
            .iter()
            .skip(from)
            .take_while(|f| **f == files[from])
            .count();
        made.push(one(
            &batch.slice(from, same),
            files[from],
            measures,
            legend,
        )?);
        from += same;
    }
    Ok(made)
}

fn one(
    batch: &RecordBatch,
    file: u32,
    measures: &Arc<[Measure]>,
    legend: &Legend,
) -> Result<Readings> {
    let steps = batch.column(4).as_primitive::<Int64Type>().values().clone();
    let step = match &legend.step {
        Step::Rows(_) => Step::Rows(steps),
        step => step.clone(),
    };
    let quality = batch.column(5).as_primitive::<UInt8Type>().values().clone();
    let own = batch.columns().get(FIXED..).unwrap_or_default();
    let (values, attributes) = own
        .split_at_checked(measures.len())
        .ok_or_else(|| Error::new(Kind::Internal, "spooled readings lack a measure"))?;
    Ok(Readings {
        measures: measures.clone(),
        sensors: sensors(batch.column(1).as_primitive::<UInt32Type>(), &legend.names)?,
        time: batch.column(0).as_primitive::<Int64Type>().values().clone(),
        values: values
            .iter()
            .map(|v| v.as_primitive::<Float64Type>().clone())
            .collect::<Vec<Float64Array>>(),
        quality: quality.iter().any(|q| *q != 0).then_some(quality),
        step,
        file,
        attributes: Attributes {
            fields: legend.attributes.clone(),
            columns: attributes.to_vec(),
        },
        rows: RowIds::Listed(
            batch
                .column(3)
                .as_primitive::<UInt64Type>()
                .values()
                .clone(),
        ),
    })
}

/// Only the sensors that the batch has, numbered by first sight.
fn sensors(codes: &UInt32Array, names: &Arc<[Arc<str>]>) -> Result<SensorKeys> {
    let mut seen: HashMap<u32, u32> = HashMap::new();
    let mut used = Vec::new();
    let mut local = Vec::with_capacity(codes.len());
    for code in codes.values() {
        let next = used.len() as u32;
        let own = *seen.entry(*code).or_insert(next);
        if own == next {
            let name = names.get(*code as usize).cloned();
            used.push(
                name.ok_or_else(|| Error::new(Kind::Internal, "a spooled sensor has no name"))?,
            );
        }
        local.push(own);
    }
    Ok(match used.as_slice() {
        [only] => SensorKeys::Constant(only.clone()),
        _ => SensorKeys::Coded {
            codes: local.into(),
            names: used.into(),
        },
    })
}

pub(super) fn broken(error: arrow_schema::ArrowError) -> Error {
    Error::new(
        Kind::Internal,
        format!("spooled readings could not be put together: {error}"),
    )
}
