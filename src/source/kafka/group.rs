//! A group of the broker as the one who gives out partitions among runs.

use crate::Result;
use crate::kafka::{Config, Member, Shift};
use crate::source::{Change, Group};
use std::time::Duration;

/// A membership.
pub(super) struct Membership(Member);

impl Membership {
    pub(super) fn join(config: &Config, group: &str, instance: Option<&str>) -> Result<Self> {
        Ok(Membership(Member::join(config, group, instance)?))
    }
}

fn numbers(partitions: Vec<i32>) -> Vec<u32> {
    partitions.into_iter().map(i32::unsigned_abs).collect()
}

impl Group for Membership {
    fn poll(&mut self, wait: Duration) -> Result<Option<Change>> {
        Ok(self.0.poll(wait)?.map(|shift| match shift {
            Shift::Assigned(p) => Change::Assigned(numbers(p)),
            Shift::Revoked(p) => Change::Revoked(numbers(p)),
            Shift::Lost(p) => Change::Lost(numbers(p)),
        }))
    }

    fn released(&mut self, partitions: &[u32]) -> Result<()> {
        let partitions: Vec<i32> = partitions.iter().map(|p| *p as i32).collect();
        self.0.released(&partitions)
    }

    fn commit(&mut self, offsets: &[(u32, u64)]) -> Result<()> {
        let offsets: Vec<_> = offsets
            .iter()
            .map(|(p, at)| (*p as i32, *at as i64))
            .collect();
        self.0.commit(&offsets)
    }
}
