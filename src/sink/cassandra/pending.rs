//! Flushes whose rows are on their way, by partition, oldest first.

use super::client::Client;
use super::write::Sending;
use crate::Result;
use crate::flush::{Flush, FlushId};
use crate::sink::Applied;
use std::collections::{BTreeMap, VecDeque};

/// What is on its way, and what is known to be shown.
#[derive(Default)]
pub(super) struct Pending {
    sent: BTreeMap<u32, VecDeque<(Applied, Sending)>>,
    shown: BTreeMap<u32, FlushId>,
}

impl Pending {
    /// How many flushes of a partition are on their way.
    pub fn of(&self, partition: u32) -> usize {
        self.sent.get(&partition).map_or(0, VecDeque::len)
    }

    /// Partitions with any.
    pub fn partitions(&self) -> Vec<u32> {
        self.sent.keys().copied().collect()
    }

    /// The rows of `flush` are being sent.
    pub fn begin(&mut self, partition: u32, flush: &Flush, sending: Sending) {
        let named = Applied {
            lineage: flush.lineage.clone(),
            id: flush.id,
        };
        let sent = self.sent.entry(partition).or_default();
        sent.push_back((named, sending));
    }

    /// The newest on its way.
    pub fn newest(&self, partition: u32) -> Option<&Applied> {
        Some(&self.sent.get(&partition)?.back()?.0)
    }

    /// The oldest on its way.
    pub fn oldest(&self, partition: u32) -> Option<&Applied> {
        Some(&self.sent.get(&partition)?.front()?.0)
    }

    /// Whether all rows of a partition are there.
    pub fn landed(&self, partition: u32) -> bool {
        let sent = self.sent.get(&partition);
        sent.is_none_or(|sent| sent.iter().all(|(_, sending)| sending.landed()))
    }

    /// Waits for the rows of the oldest. Where they cannot be written nothing of the partition is on its way any more.
    pub fn wait(&mut self, client: &Client, partition: u32) -> Result<()> {
        let sent = self.sent.get_mut(&partition);
        let Some((_, sending)) = sent.and_then(VecDeque::front_mut) else {
            return Ok(());
        };
        if sending.landed() {
            return Ok(());
        }
        let done = client.wait(sending.done())?;
        done.map_err(|e| {
            self.forget(partition);
            client.said(&e)
        })
    }

    /// The oldest is shown.
    pub fn is_shown(&mut self, partition: u32) {
        let sent = self.sent.get_mut(&partition);
        if let Some((named, _)) = sent.and_then(VecDeque::pop_front) {
            self.shown.insert(partition, named.id);
        }
    }

    /// The store says what it shows.
    pub fn knows(&mut self, partition: u32, applied: Option<Applied>) {
        let id = applied.map(|a| a.id);
        let known = self.shown.get(&partition).copied();
        if let Some(newest) = id.max(known) {
            self.shown.insert(partition, newest);
        }
    }

    /// The newest flush that is known to be shown.
    pub fn shown(&self, partition: u32) -> Option<FlushId> {
        self.shown.get(&partition).copied()
    }

    /// Sends no more of a partition.
    pub fn forget(&mut self, partition: u32) {
        self.sent.remove(&partition);
        self.shown.remove(&partition);
    }
}
