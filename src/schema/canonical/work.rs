//! One batch on its way to readings: columns cast, rows that cannot be readings found and left out.

use super::{Canonical, Steps, arrow, moved_back, row_id, sensor_keys, step_seconds, to_f64};
use crate::Result;
use crate::schema::{Readings, RowIds};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, BooleanArray, Float64Array, RecordBatch};
use arrow_buffer::NullBuffer;
use std::collections::BTreeMap;

/// Rows that cannot be readings: by row, the column at fault and why; the first reason stays.
#[derive(Default)]
pub(super) struct Bad(pub BTreeMap<usize, (usize, String)>);

impl Bad {
    fn mark(&mut self, row: usize, column: usize, reason: &str) {
        self.0
            .entry(row)
            .or_insert_with(|| (column, reason.to_string()));
    }

    fn nulls(&mut self, nulls: Option<&NullBuffer>, column: usize, reason: &str) {
        let Some(nulls) = nulls.filter(|n| n.null_count() > 0) else {
            return;
        };
        (0..nulls.len())
            .filter(|row| nulls.is_null(*row))
            .for_each(|row| self.mark(row, column, reason));
    }
}

/// One batch on its way: columns cast, nothing left out yet.
pub(super) struct Work<'a> {
    plan: &'a Canonical,
    batch: RecordBatch,
    time: arrow_array::Int64Array,
    values: Vec<Float64Array>,
    pub rows: RowIds,
}

impl<'a> Work<'a> {
    pub fn of(plan: &'a Canonical, batch: &RecordBatch, rows: RowIds) -> Result<Self> {
        let time = plan.times(batch)?;
        let cast = |i: &usize| to_f64(batch.column(*i), batch.schema_ref().field(*i).name());
        let values = plan.values.iter().map(cast).collect::<Result<_>>()?;
        Ok(Work {
            plan,
            batch: batch.clone(),
            time,
            values,
            rows,
        })
    }

    /// Rows that cannot be readings.
    pub fn find_bad(&mut self) -> Result<Bad> {
        let mut bad = Bad::default();
        self.localize(&mut bad)?;
        bad.nulls(
            self.time.nulls(),
            self.plan.times[0],
            "no time, or one out of range",
        );
        for i in &self.plan.sensors {
            bad.nulls(
                self.batch.column(*i).logical_nulls().as_ref(),
                *i,
                "no sensor",
            );
        }
        if !self.plan.trusted {
            for (column, values) in self.plan.values.iter().zip(&self.values) {
                not_finite(values, |row| bad.mark(row, *column, "not a finite number"));
            }
        }
        self.bad_steps(&mut bad)?;
        self.bad_quality(&mut bad)?;
        Ok(bad)
    }

    fn localize(&mut self, bad: &mut Bad) -> Result<()> {
        let Some(to_utc) = self.plan.to_utc.as_ref().filter(|_| self.plan.naive) else {
            return Ok(());
        };
        let nulls = self.time.nulls().cloned();
        // What stands under a null may be anything; it must not be looked up.
        let or_zero = |t: Option<i64>| t.unwrap_or(0);
        let local: Option<Vec<i64>> = nulls
            .as_ref()
            .map(|_| self.time.iter().map(or_zero).collect());
        let (times, none) = to_utc(local.as_deref().unwrap_or(self.time.values()))?;
        self.time = arrow_array::Int64Array::new(times.into(), nulls);
        for (row, reason) in none.into_iter().filter(|(row, _)| self.time.is_valid(*row)) {
            bad.mark(row, self.plan.times[0], &reason);
        }
        Ok(())
    }

    fn bad_steps(&self, bad: &mut Bad) -> Result<()> {
        if let Steps::Column(i) = self.plan.steps {
            let seconds = step_seconds(&self.batch, i)?;
            let wrong = |r: &usize| seconds.is_null(*r) || seconds.value(*r) <= 0;
            let rows = (0..seconds.len()).filter(wrong);
            rows.for_each(|row| bad.mark(row, i, "not a step of one second or more"));
        }
        Ok(())
    }

    fn bad_quality(&self, bad: &mut Bad) -> Result<()> {
        if let Some(i) = self.plan.quality {
            let known = self.plan.qualities(&self.batch, i)?;
            let rows = (0..known.len()).filter(|r| known[*r].is_none());
            rows.for_each(|row| bad.mark(row, i, "not a declared quality"));
        }
        Ok(())
    }

    /// The same work without the bad rows.
    pub fn without(self, batch: &RecordBatch, bad: &Bad) -> Result<Self> {
        let good: BooleanArray = (0..batch.num_rows())
            .map(|i| Some(!bad.0.contains_key(&i)))
            .collect();
        let keep = |a: &dyn Array| arrow_select::filter::filter(a, &good).map_err(arrow);
        let rows = (0..batch.num_rows()).filter(|i| !bad.0.contains_key(i));
        let rows = RowIds::Listed(rows.map(|i| row_id(&self.rows, i)).collect());
        let values = self
            .values
            .iter()
            .map(|v| keep(v).map(|a| a.as_primitive::<Float64Type>().clone()));
        Ok(Work {
            plan: self.plan,
            batch: arrow_select::filter::filter_record_batch(batch, &good).map_err(arrow)?,
            time: keep(&self.time)?.as_primitive::<Int64Type>().clone(),
            values: values.collect::<Result<_>>()?,
            rows,
        })
    }

    pub fn finish(self, file: u32) -> Result<Readings> {
        let sensors = sensor_keys(&self.batch, &self.plan.sensors, &self.plan.constant)?;
        let step = self.plan.step(&self.batch, &sensors)?;
        let time = self.time.values().clone();
        let time = if self.plan.moves(&step) {
            moved_back(time, &step)?
        } else {
            time
        };
        let quality = self
            .plan
            .quality
            .map(|i| self.plan.qualities(&self.batch, i))
            .transpose()?;
        Ok(Readings {
            measures: self.plan.measures.clone(),
            sensors,
            time,
            values: self.values,
            quality: quality.map(|q| q.into_iter().map(|q| q.unwrap_or(0)).collect()),
            step,
            file,
            rows: self.rows,
            attributes: self.plan.attributes.of(&self.batch)?,
        })
    }
}

/// Calls `found` for each row that has a value which is no finite number.
fn not_finite(values: &Float64Array, mut found: impl FnMut(usize)) {
    // One pass without branches first: tables with NaN are rare, and null slots may hold any bits. A finite number
    // times zero is zero, anything else is NaN.
    let (chunks, rest) = values.values().as_chunks::<8>();
    let mut left = [0u64; 8];
    for chunk in chunks {
        for (left, v) in left.iter_mut().zip(chunk) {
            *left |= (v * 0.0).abs().to_bits();
        }
    }
    let odd = left.iter().any(|l| *l != 0) || rest.iter().any(|v| !v.is_finite());
    if odd {
        let wrong =
            (0..values.len()).filter(|i| values.is_valid(*i) && !values.value(*i).is_finite());
        wrong.for_each(&mut found);
    }
}
