//! Finish: partials to the columns of a windows table, one rounding a value.

use super::exact::{Small, divide, divide_wide, scale_wide, stddev_scaled};
use super::plan::{Cell, Plan, StepKnown, head};
use super::rows::{MIXED, Rows, WIDE, small, sum_of};
use crate::schema::Aggregate;
use crate::{Error, Kind, Result};
use arrow_array::builder::StringBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_select::concat::concat;
use hashbrown::HashMap;
use rayon::prelude::*;
use std::sync::Arc;

/// Partials to be written: rows of one grain, in order.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    pub plan: &'a Plan,
    pub grain: usize,
    pub rows: &'a Rows,
    pub list: &'a [u32],
    pub names: &'a [Arc<str>],
    pub last: bool,
}

/// Rows finished at a time: their partials stay in cache while all columns are made.
const BLOCK: usize = 512;

impl Output<'_> {
    /// The table. Blocks of rows are finished in parallel where the caller is on a pool of its own.
    pub fn batch(&self) -> Result<RecordBatch> {
        let blocks: Vec<Vec<ArrayRef>> =
            match self.list.len() > 4 * BLOCK && rayon::current_thread_index().is_some() {
                true => self
                    .list
                    .par_chunks(BLOCK)
                    .map(|list| self.part(list).columns())
                    .collect(),
                false => self
                    .list
                    .chunks(BLOCK)
                    .map(|list| self.part(list).columns())
                    .collect(),
            };
        let internal = |e| {
            Error::new(
                Kind::Internal,
                "window columns do not fit their table; please report it",
            )
            .because(e)
        };
        let mut columns = vec![self.sensors(), self.grain()];
        let width = blocks.first().map_or(0, Vec::len);
        for at in 0..width {
            let parts: Vec<&dyn Array> = blocks
                .iter()
                .filter_map(|b| b.get(at))
                .map(|a| a.as_ref())
                .collect();
            columns.push(concat(&parts).map_err(internal)?);
        }
        RecordBatch::try_new(self.plan.schema(), columns).map_err(internal)
    }

    fn part<'b>(&'b self, list: &'b [u32]) -> Output<'b> {
        Output { list, ..*self }
    }

    /// All columns but the sensor and the grain.
    fn columns(&self) -> Vec<ArrayRef> {
        let expected: Vec<Option<i64>> = self.list.iter().map(|row| self.expected(*row)).collect();
        let mut columns: Vec<ArrayRef> = vec![
            self.instants(head::START, false),
            self.instants(head::END, false),
            self.labels(),
            self.integers(|row| self.word(row, head::READINGS)),
            Arc::new(Int64Array::from(expected.clone())),
            self.missing(&expected),
            self.integers(|row| self.word(row, head::DUPLICATES)),
            self.integers(|row| self.word(row, head::ESTIMATED)),
            self.instants(head::FIRST, true),
            self.instants(head::LAST, true),
            self.revisions(),
            Arc::new(BooleanArray::from(vec![self.last; self.list.len()])),
        ];
        for cell in &self.plan.cells {
            columns.extend(cell.aggregates.iter().map(|a| self.measure(cell, *a)));
        }
        columns
    }

    fn revisions(&self) -> ArrayRef {
        let revision = |row: &u32| (self.rows.get(*row, head::SENSOR) >> 32) as i32;
        Arc::new(self.list.iter().map(revision).collect::<Int32Array>())
    }

    fn word(&self, row: u32, at: usize) -> i64 {
        self.rows.get(row, at) as i64
    }

    fn integers(&self, of: impl Fn(u32) -> i64) -> ArrayRef {
        let values: Vec<i64> = self.list.iter().map(|row| of(*row)).collect();
        Arc::new(Int64Array::from(values))
    }

    /// A time of the head; null in windows without a reading where `seen`.
    fn instants(&self, at: usize, seen: bool) -> ArrayRef {
        let values: Vec<i64> = self.list.iter().map(|row| self.word(*row, at)).collect();
        let valid = |row: &u32| !seen || self.word(*row, head::READINGS) > 0;
        let holes = !self.list.iter().all(valid);
        let nulls = holes.then(|| NullBuffer::from_iter(self.list.iter().map(valid)));
        Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
    }

    fn sensors(&self) -> ArrayRef {
        let mut codes: HashMap<u32, i32> = HashMap::new();
        let mut texts: Vec<&str> = Vec::new();
        let mut last = (u32::MAX, 0);
        let keys = self.list.iter().map(|row| {
            let sensor = self.rows.get(*row, head::SENSOR) as u32;
            if sensor != last.0 {
                let code = *codes.entry(sensor).or_insert_with(|| {
                    texts.push(self.names.get(sensor as usize).map_or("", |n| n));
                    texts.len() as i32 - 1
                });
                last = (sensor, code);
            }
            last.1
        });
        let keys: Vec<i32> = keys.collect();
        dictionary(keys, texts)
    }

    fn grain(&self) -> ArrayRef {
        let name = self.plan.grains[self.grain].name.as_str();
        dictionary(vec![0; self.list.len()], vec![name])
    }

    /// Windows that follow each other with one start share the text.
    fn labels(&self) -> ArrayRef {
        let calendar = &self.plan.grains[self.grain].calendar;
        let mut labels = StringBuilder::with_capacity(self.list.len(), self.list.len() * 16);
        let mut last = (i64::MIN, String::new());
        for row in self.list {
            let start = self.word(*row, head::START);
            if start != last.0 || last.1.is_empty() {
                last = (start, calendar.label(start));
            }
            labels.append_value(&last.1);
        }
        Arc::new(labels.finish())
    }

    /// The step that a row's slots are counted in.
    fn step(&self, row: u32) -> Option<i64> {
        let step = match self.plan.step {
            StepKnown::Unknown => return None,
            StepKnown::Fixed(step) => step,
            StepKnown::Rows => self.word(row, head::STEP),
        };
        (step > 0 && step != MIXED).then_some(step)
    }

    /// Slots of the whole window.
    fn expected(&self, row: u32) -> Option<i64> {
        let step = self.step(row)?;
        let (_, start, end) = self.rows.key(row);
        if step > end - start && self.plan.step == StepKnown::Rows {
            return None;
        }
        let grid = &self.plan.slots;
        Some((grid.slot(end, step) - grid.slot(start, step)).max(0))
    }

    /// Slots without a value.
    fn missing(&self, expected: &[Option<i64>]) -> ArrayRef {
        let rows = self.list.iter().zip(expected);
        let missing = |(row, expected): (&u32, &Option<i64>)| {
            expected.map(|expected| (expected - self.rows.filled(*row)).max(0))
        };
        Arc::new(rows.map(missing).collect::<Int64Array>())
    }

    fn measure(&self, cell: &Cell, aggregate: Aggregate) -> ArrayRef {
        let count = |row: u32| self.rows.get(row, cell.count) & !WIDE;
        if aggregate == Aggregate::Count {
            return self.integers(|row| count(row) as i64);
        }
        let least = if aggregate == Aggregate::Stddev { 2 } else { 1 };
        let known = aggregate != Aggregate::Energy || cell.energy_known;
        let valid = |row: &u32| known && count(*row) >= least;
        let mut holes = false;
        let value = |row: &u32| match valid(row) {
            true => self.value(*row, cell, aggregate, count(*row)),
            false => {
                holes = true;
                0.0
            }
        };
        let values: Vec<f64> = self.list.iter().map(value).collect();
        let nulls = holes.then(|| NullBuffer::from_iter(self.list.iter().map(valid)));
        Arc::new(Float64Array::new(ScalarBuffer::from(values), nulls))
    }

    #[inline]
    fn value(&self, row: u32, cell: &Cell, aggregate: Aggregate, n: u64) -> f64 {
        let words = self.rows.row(row);
        match aggregate {
            Aggregate::Min => f64::from_bits(words[cell.min]),
            Aggregate::Max => f64::from_bits(words[cell.max]),
            Aggregate::First => f64::from_bits(words[cell.first + 1]),
            Aggregate::Last => f64::from_bits(words[cell.last + 1]),
            Aggregate::Sum => self.ratio(row, cell, 1, 1),
            Aggregate::Mean => self.ratio(row, cell, 1, n),
            Aggregate::Energy => self.energy(row, cell),
            Aggregate::Stddev => self.stddev(row, cell, n),
            Aggregate::Count => n as f64,
        }
    }

    /// Sum × num / den, rounded once.
    #[inline]
    fn ratio(&self, row: u32, cell: &Cell, num: i64, den: u64) -> f64 {
        if let Some(wide) = self.rows.wide(row, cell) {
            return wide.sum.finish(cell.unit, num, den);
        }
        let sum = sum_of(cell, self.rows.row(row));
        finish(sum, cell.unit, num, den)
    }

    fn energy(&self, row: u32, cell: &Cell) -> f64 {
        let (num, den) = cell.watt_hours;
        if cell.energy == 0 {
            return self.ratio(row, cell, num, den);
        }
        match self.rows.wide(row, cell) {
            Some(wide) => wide.energy.finish(cell.unit, num, den),
            None => finish(small(self.rows.row(row), cell.energy), cell.unit, num, den),
        }
    }

    fn stddev(&self, row: u32, cell: &Cell, n: u64) -> f64 {
        let words = self.rows.row(row);
        if cell.scale > 0.0 && words[cell.count] & WIDE == 0 {
            let squares = small(words, cell.squares);
            return stddev_scaled(words[cell.sum] as i64, squares.mant, cell.unit, n);
        }
        self.rows.as_wide(row, cell).stddev(cell.unit, n)
    }
}

/// Sum × num / (unit × den), rounded once.
#[inline]
fn finish(sum: Small, unit: u64, num: i64, den: u64) -> f64 {
    let (Ok(small), Some(bottom)) = (i64::try_from(sum.mant), unit.checked_mul(den)) else {
        return finish_slow(sum, unit, num, den);
    };
    match small.checked_mul(num) {
        Some(top) if sum.exp == 0 || top == 0 => divide(top, bottom),
        _ => finish_slow(sum, unit, num, den),
    }
}

fn finish_slow(sum: Small, unit: u64, num: i64, den: u64) -> f64 {
    match unit.checked_mul(den) {
        Some(bottom) if num == 1 => divide_wide(sum.mant, bottom, sum.exp),
        Some(bottom) => scale_wide(sum.mant, num, bottom, sum.exp),
        None => {
            let wide = super::exact::Pair {
                scaled: 0.into(),
                binary: sum.wide(super::exact::UNIT),
            };
            let scaled = super::exact::Pair {
                scaled: sum.mant.into(),
                binary: 0.into(),
            };
            let pair = if unit > 1 { scaled } else { wide };
            pair.finish(unit, num, den)
        }
    }
}

fn dictionary(keys: Vec<i32>, texts: Vec<&str>) -> ArrayRef {
    let values: ArrayRef = Arc::new(StringArray::from(texts));
    // The keys were made with the values, so they fit; an empty table is the only other answer.
    match DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values) {
        Ok(array) => Arc::new(array),
        Err(_) => Arc::new(DictionaryArray::<Int32Type>::from_iter(std::iter::empty::<
            &str,
        >())),
    }
}
