//! Taking a partition: the entry by which a new owner shuts the earlier ones out, and what it finds.

use super::log::{Body, Entry, Log, Made, Why};
use super::missing;
use super::part::Owner;
use super::publish::Place;
use crate::flush::Head;
use crate::sink::{Applied, Owned, fenced};
use crate::{Result, faults};

/// Makes a fence after the newest entry; gives it and the numbers of the entries before it.
pub(super) fn make(
    log: &Log,
    owner: &Owner,
    place: &Place,
    pipeline: &str,
) -> Result<(Entry, Vec<u64>)> {
    loop {
        let numbers = log.numbers()?;
        let newest = numbers.last().map(|n| log.entry(*n)).transpose()?;
        if let (Some(newest), false) = (&newest, place.anew) {
            missing::files(log, newest, place, pipeline)?;
        }
        let epoch = next_epoch(newest.as_ref(), owner)?;
        let number = newest.as_ref().map_or(1, |e| e.number + 1);
        let mut fence = Entry::new(number, Why::Fence, epoch, &owner.token, &owner.name);
        if let Some(newest) = newest {
            fence.head = newest.head;
            fence.shown = newest.shown;
            if place.anew {
                fence.since = number;
                // What waits is dropped with the rest.
                fence.shown = fence.head.as_ref().map(shows).or(fence.shown);
            } else {
                (fence.files, fence.since) = (newest.files, newest.since);
            }
        }
        // Taken: another owner, or an old one's last flush, was first; it is the newest now.
        match log.insist(&fence, &Body::default())? {
            Made::Yes => return Ok((fence, numbers)),
            Made::Taken(_) => {}
            Made::Unclear(e) => return Err(e),
        }
    }
}

/// All that is decided counts as shown.
fn shows(head: &Head) -> Applied {
    Applied {
        lineage: head.lineage.clone(),
        id: head.id,
    }
}

fn next_epoch(newest: Option<&Entry>, owner: &Owner) -> Result<u64> {
    let stored = newest.map_or(0, |e| e.epoch);
    match owner.epoch {
        Some(epoch) if epoch < stored && !faults::broken("no_epoch") => {
            let by = newest.map_or("a newer run", |e| e.owner.as_str());
            Err(fenced("this partition", "this folder", by))
        }
        Some(epoch) => Ok(epoch),
        None if newest.is_some_and(|e| e.token == owner.token) => Ok(stored),
        None => Ok(stored + 1),
    }
}

/// Head, state records from the last fold on and the whole flushes that are kept, as of the newest entry.
/// A flush kept without its effects is shown, and so is all before it: what is to be applied comes after. One with groups is
/// kept for this table alone, and taken in from them.
pub(super) fn recover(log: &Log, newest: &Entry) -> Result<Owned> {
    let fold = newest.head.as_ref().map_or(0, |h| h.fold.n);
    let (mut records, mut unapplied) = (Vec::new(), Vec::new());
    for number in log.numbers()?.into_iter().filter(|n| *n <= newest.number) {
        let entry = log.entry(number)?;
        let (Why::Flush, Some(head)) = (entry.why, &entry.head) else {
            continue;
        };
        if head.id.n >= fold {
            records.push(log.flush(number, false)?);
        }
        match entry.effects {
            0 => unapplied.clear(),
            // Rows that only this table can take.
            _ if !entry.groups.is_empty() => unapplied.clear(),
            _ => unapplied.push(log.flush(number, true)?),
        }
    }
    Ok(Owned {
        epoch: newest.epoch,
        head: newest.head.clone(),
        records,
        unapplied,
    })
}
