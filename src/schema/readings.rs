//! The canonical batch of readings: what every source gives and every window takes.

use super::attributes::Attributes;
use super::columns::{Aggregate, MeasureKind};
use arrow_array::Float64Array;
use arrow_buffer::ScalarBuffer;
use std::sync::Arc;

/// A numeric column as windows see it. One shared list per dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Name, lower case with underscores.
    pub name: String,
    /// Kind.
    pub kind: MeasureKind,
    /// Unit as declared.
    pub unit: Option<String>,
    /// Decimal digits carried; `None`: any float.
    pub digits: Option<u8>,
    /// Aggregates asked for, sorted; none: windows leave the measure out.
    pub aggregates: Vec<Aggregate>,
}

/// The sensor of each row.
#[derive(Clone, Debug)]
pub enum SensorKeys {
    /// All rows are of one sensor.
    Constant(Arc<str>),
    /// `names[codes[i]]` is the sensor of row i; names are distinct within the batch.
    Coded {
        /// Index into `names`, one a row.
        codes: ScalarBuffer<u32>,
        /// The distinct sensors of the batch.
        names: Arc<[Arc<str>]>,
    },
}

/// The interval length of each row, microseconds.
#[derive(Clone, Debug)]
pub enum Step {
    /// Not known.
    Unknown,
    /// The same for all rows.
    Fixed(i64),
    /// One a row.
    Rows(ScalarBuffer<i64>),
}

/// The row number of each row in its source (file, table, partition), from 0, rejects counted.
#[derive(Clone, Debug)]
pub enum RowIds {
    /// `first + i`.
    Dense(u64),
    /// One a row.
    Listed(ScalarBuffer<u64>),
}

/// A batch of readings: one sensor at one time a row; all columns have the same length.
///
/// `time` is the start of the interval (end stamps are moved back before), microseconds since
/// 1970-01-01T00:00:00Z. Measures are `f64` with validity; NaN and infinity never occur.
#[derive(Clone, Debug)]
pub struct Readings {
    /// What the measure columns are; the same `Arc` for all batches of a source.
    pub measures: Arc<[Measure]>,
    /// The sensor of each row.
    pub sensors: SensorKeys,
    /// Start of each row's interval, microseconds UTC.
    pub time: ScalarBuffer<i64>,
    /// One column a measure.
    pub values: Vec<Float64Array>,
    /// Quality of each row (`schema::Quality` as u8); `None`: all ok.
    pub quality: Option<ScalarBuffer<u8>>,
    /// Interval length.
    pub step: Step,
    /// Index into the source's list of files (0 where there is one).
    pub file: u32,
    /// Row numbers in that file.
    pub rows: RowIds,
    /// Columns beside the measures, where some sink asks for them.
    pub attributes: Attributes,
}

impl Readings {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// Row number of row `i` in its file.
    pub fn row(&self, i: usize) -> u64 {
        match &self.rows {
            RowIds::Dense(first) => first + i as u64,
            RowIds::Listed(rows) => rows[i],
        }
    }
}
