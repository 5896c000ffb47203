//! Local times of a table that go by the order of its rows (`on_repeated = infer`): settled slice by
//! slice, in order, before the slices become readings on the pool.

use crate::schema::{Canonical, Passes, ToUtc};
use crate::time::{Alone, Converter};
use crate::{Error, Kind, Result};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use std::sync::Arc;

/// Why a row has no instant under a `null` policy.
pub(super) const NULL: &str = "this local time is null by policy";

/// Where the sensors of a table stand near a change of the clock.
pub(super) struct Ordering {
    canonical: Arc<Canonical>,
    converter: Converter,
    passes: Passes,
}

impl Ordering {
    pub(super) fn new(canonical: Arc<Canonical>, converter: Converter) -> Self {
        Ordering {
            canonical,
            passes: Passes::new(converter.clone()),
            converter,
        }
    }

    /// Takes the next rows; the conversion of those from `offset` on, where the order had a say in one.
    pub(super) fn take(&mut self, batch: &RecordBatch, offset: usize) -> Result<Option<ToUtc>> {
        let (mut rows, mut locals) = self.canonical.local_times(batch)?;
        let ordered: Vec<bool> = locals
            .iter()
            .map(|local| self.converter.alone(*local) == Ok(Alone::Ordered))
            .collect();
        if !ordered.contains(&true) {
            return Ok(None);
        }
        let mut keep = ordered.iter();
        rows.retain(|_| keep.next() == Some(&true));
        let mut keep = ordered.iter();
        locals.retain(|_| keep.next() == Some(&true));
        let rows = UInt32Array::from(rows);
        let some = take_record_batch(batch, &rows).map_err(|e| {
            Error::new(
                Kind::Internal,
                format!("rows could not be taken out of a batch: {e}"),
            )
        })?;
        let found = self.passes.settle(&locals, &self.canonical.sensors(&some)?);
        let of_slice =
            |(row, utc): (&u32, Option<i64>)| Some(((*row as usize).checked_sub(offset)?, utc?));
        let settled = rows.values().iter().zip(found).filter_map(of_slice);
        Ok(Some(Ordering::to_utc(
            self.converter.clone(),
            settled.collect(),
        )))
    }

    /// The conversion where the instants of these rows, in order, are known.
    pub(super) fn to_utc(converter: Converter, settled: Vec<(usize, i64)>) -> ToUtc {
        Arc::new(move |local: &[i64]| {
            let mut converter = converter.clone();
            let mut known = settled.iter().copied().peekable();
            let (mut times, mut none) = (local.to_vec(), Vec::new());
            for (row, time) in times.iter_mut().enumerate() {
                if let Some((_, utc)) = known.next_if(|(known, _)| *known == row) {
                    *time = utc;
                    continue;
                }
                match converter.alone(*time) {
                    Ok(Alone::Instant(utc)) => *time = utc,
                    // A row without a sensor: it is a reject for that.
                    Ok(Alone::Ordered) => {}
                    Ok(Alone::Null) => none.push((row, NULL.to_string())),
                    Err(error) => none.push((row, error.reason().to_string())),
                }
            }
            Ok((times, none))
        })
    }
}
