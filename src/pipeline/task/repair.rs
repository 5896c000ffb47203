//! Repair: flushes that no reading made. They move positions, drop what is stored, or share it out anew.

use super::build::Built;
use super::events::TaskConfig;
use super::live::Live;
use crate::flush::{Decision, Positions};
use crate::sink::Owned;
use crate::{Error, Kind, Result};

/// What is done to a partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Reading goes on here; windows, watermark and counters stay.
    Seek(Positions),
    /// Everything is dropped; reading begins at the beginning.
    Reset,
}

/// Which sensors a partition keeps.
pub type Keeps<'a> = &'a dyn Fn(&str) -> bool;

/// The flush that carries a change out, and the head after it.
pub fn repaired(c: &TaskConfig, owned: &Owned, change: &Change, now: i64) -> Result<Built> {
    let mut live = match change {
        Change::Seek(positions) => {
            let mut live = Live::restore(c, owned, now)?;
            live.gather.positions.clone_from(positions);
            live.gather.read = None;
            live
        }
        Change::Reset => empty(c, owned, now)?,
    };
    live.gather.decisions.push(match change {
        Change::Seek(_) => Decision::Seek,
        Change::Reset => Decision::Reset,
    });
    live.build(c, now)
}

/// Nothing, in the history of what is owned.
fn empty(c: &TaskConfig, owned: &Owned, now: i64) -> Result<Live> {
    let nothing = Owned {
        epoch: owned.epoch,
        head: None,
        records: Vec::new(),
        unapplied: Vec::new(),
    };
    let mut live = Live::restore(c, &nothing, now)?;
    if let Some(head) = &owned.head {
        live.lineage.clone_from(&head.lineage);
        live.head = Some(head.clone());
    }
    Ok(live)
}

/// The flush of a partition that takes over the sensors `keeps` of `from`, which is another partition or itself.
/// `owned`: what there is of it so far. `positions`: where it goes on.
pub fn moved(
    c: &TaskConfig,
    owned: &Owned,
    from: &Owned,
    keeps: Keeps<'_>,
    positions: Positions,
    now: i64,
) -> Result<Built> {
    let mut whole = Live::restore(c, from, now)?;
    if !whole.held.is_empty() {
        return Err(Error::new(
            Kind::Usage,
            "readings are held back in this partition; end the read first, then move its windows",
        ));
    }
    let mut live = empty(c, owned, now)?;
    live.open = whole.open.part(&c.plan, keeps);
    live.dedupe.take_part(&whole.dedupe, keeps)?;
    (live.max_end, live.next_max_end) = (whole.max_end, whole.max_end);
    live.closed_to = whole.closed_to;
    live.ended = whole.ended;
    // What was counted so far stays with the partition that counted it.
    live.totals = owned
        .head
        .as_ref()
        .map(|h| h.totals.clone())
        .unwrap_or_default();
    live.gather.positions = positions;
    live.gather.decisions.push(Decision::Repartition);
    live.build(c, now)
}

/// The sensors that a partition holds windows or last readings of.
pub fn names(c: &TaskConfig, owned: &Owned, now: i64) -> Result<Vec<String>> {
    let live = Live::restore(c, owned, now)?;
    let mut names: Vec<String> = live.open.sensors().map(str::to_owned).collect();
    let last = live.dedupe.last_readings();
    names.extend(last.into_iter().map(|(name, _)| name.to_string()));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
