//! Finish: partials to the columns of a windows table, one rounding a value.

use super::exact::{Small, divide, divide_wide, scale_wide, stddev_scaled};
use super::plan::{Cell, Plan, StepKnown, head};
use super::rows::{MIXED, Rows, WIDE, small, sum_of};
use crate::schema::Aggregate;
use crate::{Error, Kind, Result};
use arrow_array::builder::StringBuilder;
use arrow_array::types::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, PrimitiveArray, RecordBatch,
    StringArray,
};
use arrow_buffer::{Buffer, NullBuffer, NullBufferBuilder, ScalarBuffer};
use arrow_select::concat::concat;
use hashbrown::HashMap;
use rayon::prelude::*;
use std::sync::{Arc, LazyLock};

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

/// Rows finished at a time: their partials stay in cache while all columns are filled.
const BLOCK: usize = 512;
/// Rows that one thread finishes where several do.
const SHARE: usize = 8192;

/// A column of 64-bit values being filled.
struct Column<'a> {
    bits: &'a mut [u64],
    filled: usize,
    nulls: NullBufferBuilder,
}

impl<'a> Column<'a> {
    fn new(bits: &'a mut [u64]) -> Self {
        Column {
            nulls: NullBufferBuilder::new(bits.len()),
            bits,
            filled: 0,
        }
    }

    fn all(&mut self, list: &[u32], value: impl Fn(u32) -> u64) {
        let room = self.bits.iter_mut().skip(self.filled);
        room.zip(list).for_each(|(to, row)| *to = value(*row));
        self.filled += list.len();
        self.nulls.append_n_non_nulls(list.len());
    }

    /// The value of each row that has one.
    fn some(&mut self, list: &[u32], valid: impl Fn(u32) -> bool, value: impl Fn(u32) -> u64) {
        if list.iter().all(|row| valid(*row)) {
            return self.all(list, value);
        }
        let each = |row: &u32| valid(*row).then(|| value(*row));
        list.iter().for_each(|row| self.one(each(row)));
    }

    fn one(&mut self, value: Option<u64>) {
        if let (Some(to), Some(value)) = (self.bits.get_mut(self.filled), value) {
            *to = value;
        }
        self.filled += 1;
        self.nulls.append(value.is_some());
    }
}

/// Columns of 64-bit values in the head of a table.
const HEAD: usize = 9;

/// The columns of a table being filled. Those of 64-bit values lie one behind the other: a table of a few rows in
/// pieces of memory for each of forty columns cost more to make and to free than to compute.
struct Filling<'a> {
    starts: Column<'a>,
    ends: Column<'a>,
    labels: StringBuilder,
    readings: Column<'a>,
    expected: Column<'a>,
    missing: Column<'a>,
    duplicates: Column<'a>,
    estimated: Column<'a>,
    first: Column<'a>,
    last: Column<'a>,
    revisions: Vec<i32>,
    measures: Vec<Column<'a>>,
    /// The label of the window before.
    label: (i64, String),
}

/// What of a filled table lies beside its 64-bit values.
struct Beside {
    labels: StringArray,
    revisions: Vec<i32>,
    /// Of each 64-bit column.
    nulls: Vec<Option<NullBuffer>>,
}

impl<'a> Filling<'a> {
    /// `bits`: room for [`HEAD`] columns and one for each aggregate, `len` rows each.
    fn new(plan: &Plan, bits: &'a mut [u64], len: usize) -> Self {
        let mut rooms = bits.chunks_mut(len.max(1));
        let aggregates: usize = plan.cells.iter().map(|c| c.aggregates.len()).sum();
        let mut column = || Column::new(rooms.next().unwrap_or_default());
        Filling {
            starts: column(),
            ends: column(),
            labels: StringBuilder::with_capacity(len, len * 18),
            readings: column(),
            expected: column(),
            missing: column(),
            duplicates: column(),
            estimated: column(),
            first: column(),
            last: column(),
            revisions: Vec::with_capacity(len),
            measures: (0..aggregates).map(|_| column()).collect(),
            label: (i64::MIN, String::new()),
        }
    }

    fn done(mut self) -> Beside {
        let head = [
            self.starts,
            self.ends,
            self.readings,
            self.expected,
            self.missing,
            self.duplicates,
            self.estimated,
            self.first,
            self.last,
        ];
        let columns = head.into_iter().chain(self.measures);
        Beside {
            labels: self.labels.finish(),
            revisions: self.revisions,
            nulls: columns.map(|c| c.nulls.build()).collect(),
        }
    }
}

/// All columns but the sensor and the grain.
fn arrays(plan: &Plan, bits: Vec<u64>, beside: Beside, last: bool) -> Vec<ArrayRef> {
    let len = beside.revisions.len();
    let values = Buffer::from_vec(bits);
    let mut columns = beside
        .nulls
        .into_iter()
        .enumerate()
        .map(|(at, nulls)| Filled {
            values: values.clone(),
            from: at * len,
            len,
            nulls,
        });
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 3);
    let aggregates = plan.cells.iter().flat_map(|c| &c.aggregates);
    arrays.extend(columns.by_ref().take(2).map(Filled::instants));
    arrays.push(Arc::new(beside.labels));
    arrays.extend(columns.by_ref().take(5).map(Filled::integers));
    arrays.extend(columns.by_ref().take(HEAD - 7).map(Filled::instants));
    arrays.push(Arc::new(Int32Array::from(beside.revisions)));
    arrays.push(Arc::new(BooleanArray::from(vec![last; len])));
    arrays.extend(
        columns
            .zip(aggregates)
            .map(|(column, aggregate)| match aggregate {
                Aggregate::Count => column.integers(),
                _ => column.floats(),
            }),
    );
    arrays
}

/// A column that is filled.
struct Filled {
    values: Buffer,
    from: usize,
    len: usize,
    nulls: Option<NullBuffer>,
}

impl Filled {
    fn array<T: ArrowPrimitiveType>(self) -> PrimitiveArray<T> {
        let values = ScalarBuffer::new(self.values, self.from, self.len);
        PrimitiveArray::new(values, self.nulls)
    }

    fn instants(self) -> ArrayRef {
        static UTC: LazyLock<Arc<str>> = LazyLock::new(|| "UTC".into());
        let array = self.array::<TimestampMicrosecondType>();
        Arc::new(array.with_timezone(UTC.clone()))
    }

    fn integers(self) -> ArrayRef {
        Arc::new(self.array::<Int64Type>())
    }

    fn floats(self) -> ArrayRef {
        Arc::new(self.array::<Float64Type>())
    }
}

impl Output<'_> {
    /// The table. Rows are shared out where the caller is on a pool of its own.
    pub fn batch(&self) -> Result<RecordBatch> {
        if self.list.len() <= 2 * SHARE || rayon::current_thread_index().is_none() {
            return self.batch_alone();
        }
        let shares = self.list.par_chunks(SHARE);
        let shares: Vec<Vec<ArrayRef>> = shares.map(|list| self.columns(list)).collect();
        let width = shares.first().map_or(0, Vec::len);
        let joined = (0..width).map(|at| {
            let parts = shares.iter().filter_map(|b| b.get(at));
            let parts: Vec<&dyn Array> = parts.map(|a| a.as_ref()).collect();
            concat(&parts).map_err(unfit)
        });
        self.table(joined.collect::<Result<_>>()?)
    }

    /// The same on this thread alone.
    pub fn batch_alone(&self) -> Result<RecordBatch> {
        self.table(self.columns(self.list))
    }

    fn table(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let keys = [self.sensors(), self.grain()];
        let columns = keys.into_iter().chain(columns).collect();
        RecordBatch::try_new(self.plan.schema(), columns).map_err(unfit)
    }

    /// All columns but the sensor and the grain.
    fn columns(&self, list: &[u32]) -> Vec<ArrayRef> {
        let aggregates: usize = self.plan.cells.iter().map(|c| c.aggregates.len()).sum();
        let mut bits = vec![0; (HEAD + aggregates) * list.len()];
        let mut filling = Filling::new(self.plan, &mut bits, list.len());
        for block in list.chunks(BLOCK) {
            self.fill(block, &mut filling);
            let mut columns = filling.measures.iter_mut();
            for cell in &self.plan.cells {
                for (aggregate, column) in cell.aggregates.iter().zip(&mut columns) {
                    self.measure(block, cell, *aggregate, column);
                }
            }
        }
        let beside = filling.done();
        arrays(self.plan, bits, beside, self.last)
    }

    /// The columns of the head.
    fn fill(&self, list: &[u32], to: &mut Filling<'_>) {
        let word = |at: usize| move |row: u32| self.rows.get(row, at);
        to.starts.all(list, word(head::START));
        to.ends.all(list, word(head::END));
        self.labels(list, to);
        to.readings.all(list, word(head::READINGS));
        for row in list {
            let expected = self.expected(*row);
            to.expected.one(expected.map(|n| n as u64));
            // Slots without a value.
            let missing = expected.map(|n| (n - self.rows.filled(*row)).max(0));
            to.missing.one(missing.map(|n| n as u64));
        }
        to.duplicates.all(list, word(head::DUPLICATES));
        to.estimated.all(list, word(head::ESTIMATED));
        let seen = |row: u32| self.rows.get(row, head::READINGS) > 0;
        to.first.some(list, seen, word(head::FIRST));
        to.last.some(list, seen, word(head::LAST));
        let revision = |row: &u32| (self.rows.get(*row, head::SENSOR) >> 32) as i32;
        to.revisions.extend(list.iter().map(revision));
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
    fn labels(&self, list: &[u32], to: &mut Filling<'_>) {
        let calendar = &self.plan.grains[self.grain].calendar;
        for row in list {
            let start = self.rows.get(*row, head::START) as i64;
            if start != to.label.0 || to.label.1.is_empty() {
                to.label.0 = start;
                calendar.label_into(start, &mut to.label.1);
            }
            to.labels.append_value(&to.label.1);
        }
    }

    /// The step that a row's slots are counted in.
    fn step(&self, row: u32) -> Option<i64> {
        let step = match self.plan.step {
            StepKnown::Unknown => return None,
            StepKnown::Fixed(step) => step,
            StepKnown::Rows => self.rows.get(row, head::STEP) as i64,
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

    fn measure(&self, list: &[u32], cell: &Cell, aggregate: Aggregate, to: &mut Column<'_>) {
        let word = |at: usize| move |row: u32| self.rows.get(row, at);
        let count = |row: u32| self.rows.get(row, cell.count) & !WIDE;
        let any = |row: u32| count(row) > 0;
        let mean = |row: u32| self.ratio(row, cell, 1, count(row)).to_bits();
        let stddev = |row: u32| self.stddev(row, cell, count(row)).to_bits();
        match aggregate {
            Aggregate::Count => to.all(list, count),
            Aggregate::Min => to.some(list, any, word(cell.min)),
            Aggregate::Max => to.some(list, any, word(cell.max)),
            Aggregate::First => to.some(list, any, word(cell.first + 1)),
            Aggregate::Last => to.some(list, any, word(cell.last + 1)),
            Aggregate::Sum => to.some(list, any, |row| self.ratio(row, cell, 1, 1).to_bits()),
            Aggregate::Mean => to.some(list, any, mean),
            Aggregate::Stddev => to.some(list, |row| count(row) > 1, stddev),
            Aggregate::Energy => {
                let known = |row: u32| cell.energy_known && any(row);
                to.some(list, known, |row| self.energy(row, cell).to_bits());
            }
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

fn unfit(e: arrow_schema::ArrowError) -> Error {
    Error::new(
        Kind::Internal,
        "window columns do not fit their table; please report it",
    )
    .because(e)
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
