//! Who owns a partition of the keyspace, and the signs of life that say so.
//!
//! The epoch keeps a stale owner out. The lease only gives a second run a clear word early: an owner whose
//! last sign of life is older than `lease`, or whose process on this host is gone, is taken for dead.

use super::client::Client;
use super::state::{State, Stored};
use crate::Result;
use crate::sink::alive::died_here;
pub(super) use crate::sink::alive::now_ms;
use scylla::frame::types::{Consistency, SerialConsistency};
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// A partition that is owned; signs of life end with it.
pub(super) struct Ownership {
    pub pipeline: String,
    pub epoch: u64,
    renewing: AbortHandle,
    give_up: PreparedStatement,
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Ownership {
    /// Begins to show signs of life, three in a lease.
    pub fn begin(
        client: &Arc<Client>,
        state: &State,
        at: (&str, u32),
        epoch: u64,
        owner: &str,
        lease: Duration,
    ) -> Result<Ownership> {
        let mut renew = client.prepare(&state.renew_cql(), super::client::Level::Quorum)?;
        renew.set_consistency(Consistency::Quorum);
        renew.set_serial_consistency(Some(SerialConsistency::Serial));
        let (shared, statement) = (client.clone(), renew.clone());
        let (pipeline, partition, owner) = (at.0.to_owned(), at.1 as i32, owner.to_owned());
        let renewing = client.beside(async move {
            loop {
                tokio::time::sleep(lease / 3).await;
                let values = (
                    owner.as_str(),
                    now_ms(),
                    pipeline.as_str(),
                    partition,
                    epoch as i64,
                );
                // A sign that does not arrive is followed by the next one; the epoch decides what counts.
                let _ = shared.session.execute_unpaged(&statement, &values).await;
            }
        });
        Ok(Ownership {
            pipeline: at.0.to_owned(),
            epoch,
            renewing,
            give_up: renew,
        })
    }

    /// Gives the partition up, so that the next owner need not wait.
    pub fn end(self, client: &Client, partition: u32) -> Result<()> {
        self.renewing.abort();
        let values = (
            "",
            now_ms(),
            self.pipeline.as_str(),
            partition as i32,
            self.epoch as i64,
        );
        // Without it the next owner waits for the lease to run out, no more.
        let _ = client.wait(client.session.execute_unpaged(&self.give_up, &values))?;
        Ok(())
    }
}

/// Whether the stored owner seems to be alive.
pub(super) fn alive(stored: &Stored, token: &str, us: &str, lease: Duration) -> bool {
    if stored.owner.is_empty() || stored.token == token {
        return false;
    }
    if died_here(&stored.owner, us) {
        return false;
    }
    now_ms().saturating_sub(stored.renewed) < lease.as_millis() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(owner: &str, renewed: i64) -> Stored {
        Stored {
            epoch: 1,
            n: 0,
            owner: owner.into(),
            token: "theirs".into(),
            renewed,
            head: None,
            decided: Default::default(),
        }
    }

    #[test]
    fn an_owner_lives_while_its_signs_are_fresh_and_its_process_is_there() {
        let lease = Duration::from_secs(10);
        let us = format!("process {} on here", std::process::id());
        let seen =
            |owner: &str, ago: i64| alive(&stored(owner, now_ms() - ago), "ours", &us, lease);
        assert!(seen("process 1 on there", 1_000) && !seen("process 1 on there", 11_000));
        assert!(seen(&us, 1_000) && !seen("process 4194999 on here", 1_000));
        assert!(!seen("", 0));
        assert!(!alive(
            &stored("process 1 on there", now_ms()),
            "theirs",
            &us,
            lease
        ));
    }
}
