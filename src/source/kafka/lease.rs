//! Lease: a partition is read by one reader of a client at a time; the next waits until the one before has left.

use crate::{Error, Kind, Result};
use hashbrown::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long one may take to leave.
const PATIENCE: Duration = Duration::from_secs(30);

/// The partitions that are read.
#[derive(Default)]
pub(super) struct Leases {
    taken: Mutex<HashSet<i32>>,
    left: Condvar,
}

/// One partition; given back when dropped.
pub(super) struct Lease {
    leases: Arc<Leases>,
    partition: i32,
}

impl Leases {
    pub(super) fn take(self: &Arc<Self>, partition: i32) -> Result<Lease> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |taken: &mut HashSet<i32>| taken.contains(&partition);
        let waited = self.left.wait_timeout_while(taken, PATIENCE, held);
        let (mut taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !taken.insert(partition) {
            return Err(Error::new(
                Kind::Internal,
                format!(
                    "partition {partition} is still read by an earlier reader; please report it"
                ),
            ));
        }
        Ok(Lease {
            leases: self.clone(),
            partition,
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let taken = self.leases.taken.lock();
        taken
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.partition);
        self.leases.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_reader_waits_for_the_one_before() {
        let leases = Arc::<Leases>::default();
        let first = leases.take(1).unwrap();
        drop(leases.take(2).unwrap());
        let second = std::thread::spawn({
            let leases = leases.clone();
            move || leases.take(1).map(|_| ())
        });
        assert!(leases.taken.lock().unwrap().contains(&1));
        drop(first);
        second.join().unwrap().unwrap();
        assert!(leases.taken.lock().unwrap().is_empty());
    }
}
