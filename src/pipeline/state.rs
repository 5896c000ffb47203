//! State: what a pipeline's home holds, also as tables. Reads without owning.

use super::build::{self, Until};
use super::policy::State as Heads;
use super::spec::Spec;
use super::task;
use crate::flush::{FlushId, Head, Position, Positions};
use crate::ledger::Ledger;
use crate::sink::{self, Home, Owned, SinkSpec};
use crate::{Error, Kind, Result};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, SchemaRef};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Partitions looked for where no head says how many there are.
const PROBED: u32 = 64;

/// What the home of a pipeline holds.
#[derive(Clone, Debug)]
pub struct State {
    /// The newest epoch taken.
    pub epoch: u64,
    /// The newest decided flush of each partition that has one.
    pub heads: Vec<Head>,
    /// State records since the last folds.
    pub records: usize,
    /// Decided flushes that some sink may not show yet.
    pub unapplied: usize,
}

/// Looks into the home of `spec`. Errors: `NotFound` where the pipeline was never run there.
pub fn state(spec: &Spec) -> Result<State> {
    Ok(State::of(&look(spec)?))
}

/// What a store holds of a pipeline whose home it is; `None` where it is not, or nothing was decided there.
pub fn stored_state(sink: &SinkSpec, pipeline: &str) -> Result<Option<State>> {
    let mut home = sink::open_home(sink)?;
    let seen = seen(home.as_mut(), pipeline, true)?;
    Ok((!seen.is_empty()).then(|| State::of(&seen)))
}

/// Each partition that the home knows.
pub(super) fn look(spec: &Spec) -> Result<Vec<Owned>> {
    let mut stores = build::stores(spec)?;
    let several = spec.state == Heads::Keyed && spec.topic().is_some();
    let found = seen(stores.home.as_mut(), &spec.name, several)?;
    if found.is_empty() {
        return Err(Error::new(
            Kind::NotFound,
            format!(
                "no pipeline {:?} in {}; run it first, or check the name",
                spec.name,
                stores.home.describe()
            ),
        ));
    }
    Ok(found)
}

/// The partitions that a home knows of a pipeline; `several`: not the first alone.
fn seen(home: &mut dyn Home, pipeline: &str, several: bool) -> Result<Vec<Owned>> {
    let mut most = if several { PROBED } else { 1 };
    let mut found = Vec::new();
    let mut partition = 0;
    while partition < most {
        if let Some(owned) = home.look(pipeline, partition)? {
            let log = owned.head.as_ref().and_then(|h| h.source.as_ref());
            if let Some(log) = log.filter(|_| several) {
                most = log.partitions;
            }
            found.push(owned);
        }
        partition += 1;
    }
    Ok(found)
}

/// The windows that are open in the home of `spec`, as rows with `final = false`, a batch a grain and partition. Opens
/// the source, which says what the measures are. Errors: as [`state`], and those of a source that is not there.
pub fn open_windows(spec: &Spec) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let seen = look(spec)?;
    let parts = build::parts(spec, None, Until::Now, true)?;
    let mut rows = Vec::new();
    for owned in &seen {
        if let Some(head) = &owned.head {
            parts.agreement().with(head)?;
        }
        rows.extend(task::open_windows(&parts.config, owned)?);
    }
    Ok((parts.tables.windows, rows))
}

/// The last reading of each sensor of a stream, the one longest silent first.
pub fn sensors(spec: &Spec) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for owned in look(spec)? {
        let partition = owned.head.as_ref().map_or(0, |h| h.partition);
        let last = task::sensors(&owned)?;
        rows.extend(last.into_iter().map(|(name, time)| (time, name, partition)));
    }
    rows.sort_unstable();
    table([
        ("sensor_id", texts(rows.iter().map(|r| Some(&*r.1)))),
        ("last_reading", instants(rows.iter().map(|r| Some(r.0)))),
        ("partition", ints(rows.iter().map(|r| Some(u64::from(r.2))))),
    ])
}

/// Each partition of the source: what is counted and, where the source can be asked, what there is.
pub fn partitions(spec: &Spec) -> Result<RecordBatch> {
    let state = state(spec)?;
    let ends: BTreeMap<u32, u64> = match spec.topic() {
        // A broker that is away is no reason to say nothing.
        Some(_) => build::ends(spec).unwrap_or_default().into_iter().collect(),
        None => BTreeMap::new(),
    };
    state.partitions_table(&ends)
}

/// A partition of the source, and the head that counts it.
type Part<'a> = (u32, &'a Head, Option<&'a Position>);

impl State {
    fn of(seen: &[Owned]) -> State {
        State {
            epoch: seen.iter().map(|s| s.epoch).max().unwrap_or(0),
            heads: seen.iter().filter_map(|s| s.head.clone()).collect(),
            records: seen.iter().map(|s| s.records.len()).sum(),
            unapplied: seen.iter().map(|s| s.unapplied.len()).sum(),
        }
    }

    /// The newest decided flush, where there is one head.
    pub fn head(&self) -> Option<&Head> {
        match self.heads.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Counters of all partitions.
    pub fn totals(&self) -> Option<Ledger> {
        let mut totals = self.heads.first()?.totals.clone();
        let others = self.heads.iter().skip(1);
        others.for_each(|head| totals.add(&head.totals));
        Some(totals)
    }

    /// How far each stream was counted.
    pub fn positions(&self) -> Positions {
        let all = self.heads.iter().flat_map(|h| &h.positions);
        all.cloned().collect()
    }

    /// The watermark; of several, the least.
    pub fn watermark(&self) -> Option<i64> {
        self.heads.iter().map(|h| h.watermark).min().flatten()
    }

    /// The newest decided flush of each partition, a row each; none before the first.
    pub fn head_table(&self) -> Result<RecordBatch> {
        let heads = &self.heads;
        let int = |of: fn(&Head) -> u64| ints(heads.iter().map(|h| Some(of(h))));
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
        let held = self.positions();
        let int = |of: fn(&Position) -> u64| ints(held.iter().map(|p| Some(of(p))));
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
        let heads = &self.heads;
        table([
            (
                "partition",
                ints(heads.iter().map(|h| Some(u64::from(h.partition)))),
            ),
            ("watermark", instants(heads.iter().map(|h| h.watermark))),
        ])
    }

    /// Each partition of the source, beside where it ends.
    fn partitions_table(&self, ends: &BTreeMap<u32, u64>) -> Result<RecordBatch> {
        let parts: Vec<Part<'_>> = self.heads.iter().flat_map(parts_of).collect();
        let int = |of: &dyn Fn(&Part<'_>) -> Option<u64>| ints(parts.iter().map(of));
        let offset = |p: &Part<'_>| p.2.map(|p| p.at);
        let end = |p: &Part<'_>| ends.get(&p.0).copied();
        let lag = |p: &Part<'_>| Some(end(p)?.saturating_sub(offset(p)?));
        let id = |of: fn(FlushId) -> u64| int(&move |p| Some(of(p.1.id)));
        table([
            ("partition", int(&|p| Some(u64::from(p.0)))),
            ("epoch", id(|id| id.epoch)),
            ("flush", id(|id| id.n)),
            ("offset", int(&offset)),
            ("end", int(&end)),
            ("lag", int(&lag)),
            ("watermark", instants(parts.iter().map(|p| p.1.watermark))),
            (
                "newest",
                instants(parts.iter().map(|p| p.2.and_then(|p| p.time))),
            ),
        ])
    }
}

/// The partitions of the source that a head counts; the head's own where it counts none by offset.
fn parts_of(head: &Head) -> Vec<Part<'_>> {
    let of_topic = head
        .positions
        .iter()
        .filter_map(|p| p.offset().map(|(partition, _)| (partition, head, Some(p))));
    let parts: Vec<Part<'_>> = of_topic.collect();
    match parts.is_empty() {
        true => vec![(head.partition, head, None)],
        false => parts,
    }
}

fn ints(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|v| v.map(|v| v as i64)).collect::<Int64Array>())
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
