//! A membership in a group: which partitions of the topic are ours. No message comes through it.

use super::config::Config;
use super::errors::error;
pub use super::raw::Shift;
use super::raw::{self, Failure, Handle, Role};
use crate::{Error, Kind, Result};
use std::time::Duration;

/// A member of a group. Owned by one thread.
pub struct Member {
    raw: raw::Member,
    config: Config,
    /// Revoked, and not all left yet.
    owed: Vec<i32>,
    left: Vec<i32>,
}

impl Member {
    /// Joins. `instance`: a fixed name, so that a restart within the session's time-out moves no partition.
    pub fn join(config: &Config, group: &str, instance: Option<&str>) -> Result<Member> {
        let settings = config.member(group, instance)?;
        let wrong = |f: Failure| error("the group could not be joined", config, &f, None);
        let handle = Handle::new(Role::Member, &settings).map_err(wrong)?;
        Ok(Member {
            raw: raw::Member::new(handle, &config.topic).map_err(wrong)?,
            config: config.clone(),
            owed: Vec::new(),
            left: Vec::new(),
        })
    }

    /// What changed, waiting at most `wait`. Asked for at least every `max.poll.interval.ms` (5 minutes), or the share
    /// goes to others. Errors: `Fenced` where another has the same instance name; passing ones are none.
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Shift>> {
        match self.raw.poll(wait) {
            Ok(shift) => {
                match &shift {
                    Some(Shift::Revoked(partitions)) => self.owed.extend(partitions),
                    Some(Shift::Lost(_)) => self.owed.clear(),
                    _ => {}
                }
                Ok(shift)
            }
            Err(failure) if passing(&failure) => Ok(None),
            Err(failure) => Err(self.wrong("the group was left", &failure)),
        }
    }

    /// These are left; once all that were revoked are, others may have them.
    pub fn released(&mut self, partitions: &[i32]) -> Result<()> {
        let owed = partitions.iter().filter(|p| self.owed.contains(p));
        self.left.extend(owed);
        self.owed.retain(|p| !self.left.contains(p));
        if self.left.is_empty() || !self.owed.is_empty() {
            return Ok(());
        }
        let left = std::mem::take(&mut self.left);
        let done = self.raw.leave(&left);
        done.map_err(|f| self.wrong("partitions could not be given back", &f))
    }

    /// Commits offsets for those who look at lag from outside. What fails is tried again with the next ones.
    pub fn commit(&mut self, offsets: &[(i32, i64)]) -> Result<()> {
        match self.raw.commit(offsets) {
            Err(failure) if failure.fatal => {
                Err(self.wrong("offsets could not be committed", &failure))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, what: &str, failure: &Failure) -> Error {
        use rdkafka::bindings::rd_kafka_resp_err_t as E;
        if failure.code == E::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID {
            return Error::new(
                Kind::Fenced,
                format!(
                    "{what}: another run has the same instance name in the group of topic {}; give each its own",
                    self.config.topic
                ),
            );
        }
        error(what, &self.config, failure, Some(self.raw.told()))
    }
}

/// Errors after which the library goes on by itself.
fn passing(failure: &Failure) -> bool {
    use rdkafka::bindings::rd_kafka_resp_err_t as E;
    !failure.fatal
        && !matches!(
            failure.code,
            E::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
                | E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
                | E::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                | E::RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL
                | E::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
                | E::RD_KAFKA_RESP_ERR__AUTHENTICATION
        )
}
