//! Ladder: a coarse grain of a batch from the partials of a finer one.
//!
//! Both ways give the same partials, so the cheaper one is taken: readings are cheap to add in
//! long runs, partials are cheap where each holds many readings.

use super::Keep;
use super::accumulate::{Batch, Indexer};
use super::plan::Plan;
use super::rows::Rows;
use crate::ledger::GrainBooks;

/// The grain whose partials feed grain `index` for this batch, if any: not where rows are masked by grain,
/// not where a reading crosses an edge of the finer grain (the coarse books need the readings),
/// and not where the partials are hardly fewer than the readings.
pub(crate) fn feeder(
    plan: &Plan,
    index: usize,
    keep: &Keep,
    done: &[Rows],
    books: &[GrainBooks],
    readings: usize,
) -> Option<usize> {
    let feeder = plan.grains[index].feeder?;
    let masked = keep.on_time.iter().any(Option::is_some);
    let crossing = books.get(feeder)?.crossing > 0;
    let many = done.get(feeder)?.len() > readings / 8;
    (!masked && !crossing && !many).then_some(feeder)
}

/// Feeds the partials of `fine` to grain `index`.
pub(crate) fn feed(batch: &Batch, index: usize, fine: &Rows) -> Rows {
    let plan = batch.plan;
    let mut rows = Rows::new(plan.stride);
    let mut indexer = Indexer::new(&plan.grains[index].calendar, batch.sensors);
    for from in 0..fine.len() as u32 {
        let (sensor, start, _) = fine.key(from);
        let (_, row) = indexer.find(&mut rows, sensor, start);
        rows.merge(&plan.cells, row, fine, from);
    }
    rows
}
