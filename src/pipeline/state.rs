//! State: what a pipeline's home holds, also as tables. Reads without owning.

use super::build::{self, Until};
use super::spec::Spec;
use super::task;
use crate::flush::{Head, Position};
use crate::sink::Owned;
use crate::{Error, Kind, Result};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, SchemaRef};
use std::sync::Arc;

/// What the home of a pipeline holds.
#[derive(Clone, Debug)]
pub struct State {
    /// The newest epoch taken.
    pub epoch: u64,
    /// The newest decided flush.
    pub head: Option<Head>,
    /// State records since the last fold.
    pub records: usize,
    /// Decided flushes that some sink may not show yet.
    pub unapplied: usize,
}

/// Looks into the home of `spec`. Errors: `NotFound` where the pipeline was never run there.
pub fn state(spec: &Spec) -> Result<State> {
    let seen = look(spec)?;
    Ok(State {
        epoch: seen.epoch,
        head: seen.head,
        records: seen.records.len(),
        unapplied: seen.unapplied.len(),
    })
}

fn look(spec: &Spec) -> Result<Owned> {
    let mut stores = build::stores(spec)?;
    stores.home.look(&spec.name, 0)?.ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!(
                "no pipeline {:?} in {}; run it first, or check the name",
                spec.name,
                stores.home.describe()
            ),
        )
    })
}

/// The windows that are open in the home of `spec`, as rows with `final = false`, a batch a grain. Opens the
/// source, which says what the measures are. Errors: as [`state`], and those of a source that is not there.
pub fn open_windows(spec: &Spec) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let owned = look(spec)?;
    let parts = build::parts(spec, None, Until::Now, true)?;
    if let Some(head) = &owned.head {
        parts.agreement().with(head)?;
    }
    let rows = task::open_windows(&parts.config, &owned)?;
    Ok((parts.tables.windows, rows))
}

impl State {
    /// The newest decided flush, a row; none before the first.
    pub fn head_table(&self) -> Result<RecordBatch> {
        let heads: Vec<&Head> = self.head.iter().collect();
        let int = |of: fn(&Head) -> u64| ints(heads.iter().map(|h| of(h)));
        let text = |of: fn(&Head) -> &str| texts(heads.iter().map(|h| Some(of(h))));
        table([
            ("pipeline", text(|h| &h.pipeline)),
            ("partition", int(|h| u64::from(h.partition))),
            ("epoch", int(|h| h.id.epoch)),
            ("flush", int(|h| h.id.n)),
            ("decided", instants(heads.iter().map(|h| Some(h.stamp)))),
            ("watermark", instants(heads.iter().map(|h| h.watermark))),
            ("readings", int(|h| h.totals.readings)),
            ("tzdata", text(|h| &h.tzdata)),
        ])
    }

    /// How far each stream of the source was counted, a row each.
    pub fn positions_table(&self) -> Result<RecordBatch> {
        let held: &[Position] = self.head.as_ref().map_or(&[], |h| &h.positions);
        let int = |of: fn(&Position) -> u64| ints(held.iter().map(of));
        table([
            (
                "stream",
                texts(held.iter().map(|p| Some(p.stream.as_str()))),
            ),
            ("path", texts(held.iter().map(|p| p.path.as_deref()))),
            ("at", int(|p| p.at)),
            ("row", int(|p| p.row)),
            ("line", int(|p| p.line)),
        ])
    }

    /// The watermark of each partition.
    pub fn watermarks_table(&self) -> Result<RecordBatch> {
        let heads: Vec<&Head> = self.head.iter().collect();
        table([
            (
                "partition",
                ints(heads.iter().map(|h| u64::from(h.partition))),
            ),
            ("watermark", instants(heads.iter().map(|h| h.watermark))),
        ])
    }
}

fn ints(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(values.map(|v| Some(v as i64)).collect::<Int64Array>())
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(
        values
            .collect::<TimestampMicrosecondArray>()
            .with_timezone("UTC"),
    )
}

fn table<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch> {
    let nullable = columns
        .into_iter()
        .map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(nullable).map_err(|e: ArrowError| {
        Error::new(
            Kind::Internal,
            format!("a state does not fit its table: {e}"),
        )
    })
}
