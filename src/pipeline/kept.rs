//! What the sinks must still hold before a run goes on: the history that the home tells, and rows where some were written.
//! Looked at once, when a partition is taken; a store that lost something is told of before anything is written.

use crate::flush::Head;
use crate::ledger::Ledger;
use crate::sink::{Applied, Sink, What};
use crate::{Error, Kind, Result};

/// A follower may not show another history than the home's, nor flushes that the home never decided; what it shows.
pub(super) fn same_history(
    follower: &mut dyn Sink,
    (home, pipeline): (&str, &str),
    (head, partition): (Option<&Head>, u32),
) -> Result<Option<Applied>> {
    let Some(shown) = follower.applied(partition)? else {
        return Ok(None);
    };
    let place = follower.describe();
    let (kind, why) = match head {
        Some(h) if h.lineage != shown.lineage => {
            (Kind::SpecChanged, "its position is of another history")
        }
        Some(h) if h.id.n >= shown.id.n => return Ok(Some(shown)),
        Some(_) => (Kind::DataLost, "it was put back from an older copy"),
        None => (Kind::SpecChanged, "it is new or was emptied"),
    };
    Err(Error::new(
        kind,
        unlike(&place, &shown, (home, pipeline), why),
    ))
}

fn unlike(place: &str, shown: &Applied, (home, pipeline): (&str, &str), why: &str) -> String {
    format!(
        "{place} holds rows of pipeline {pipeline:?} up to flush {}, which the first sink, {home}, knows nothing of: {why}; put the former first sink in front again as it was then, or name empty tables and give the pipeline a new name",
        shown.id.n
    )
}

/// A table of windows that shows everything decided cannot be empty where windows were written.
pub(super) fn rows(sink: &mut dyn Sink, head: &Head, pipeline: &str) -> Result<()> {
    if sink.what() != What::Windows || windows(&head.totals) == 0 {
        return Ok(());
    }
    let shown = sink.applied(head.partition)?;
    match shown.is_some_and(|a| a.id == head.id) {
        true => sink.not_emptied(pipeline),
        false => Ok(()),
    }
}

fn windows(totals: &Ledger) -> u64 {
    totals.grains.values().map(|books| books.windows).sum()
}
