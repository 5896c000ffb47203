//! A member of a group: told which partitions are its share. It reads none of them.
//!
//! The library serves the rebalance callback inside its poll. Partitions that are assigned are taken and paused at
//! once; those that are revoked stay ours until the caller has left them, so that nobody else begins before.

use super::consume::List;
use super::handle::{Failure, Handle, Told, c, millis};
use rdkafka::bindings as rd;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What became of the share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shift {
    /// These belong to it now.
    Assigned(Vec<i32>),
    /// These are to go to others, once they are left.
    Revoked(Vec<i32>),
    /// These are others' already.
    Lost(Vec<i32>),
}

/// What the callback told and nobody has heard yet.
#[derive(Debug, Default)]
pub(super) struct Shares {
    shifts: Mutex<VecDeque<Shift>>,
    failure: Mutex<Option<Failure>>,
    /// The member is about to go: partitions are left at once.
    leaving: AtomicBool,
}

impl Shares {
    fn next(&self) -> Option<Shift> {
        let mut shifts = self.shifts.lock().unwrap_or_else(PoisonError::into_inner);
        shifts.pop_front()
    }

    fn push(&self, shift: Shift) {
        let mut shifts = self.shifts.lock().unwrap_or_else(PoisonError::into_inner);
        shifts.push_back(shift);
    }

    fn note(&self, done: Result<(), Failure>) {
        if let Err(failure) = done {
            let mut slot = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert(failure);
        }
    }

    /// Serves the callback of the library.
    pub(super) unsafe fn rebalance(
        &self,
        rk: *mut rd::rd_kafka_t,
        code: rd::rd_kafka_resp_err_t,
        partitions: *mut rd::rd_kafka_topic_partition_list_t,
    ) {
        use rd::rd_kafka_resp_err_t as E;
        let numbers = unsafe { numbers(partitions) };
        match code {
            E::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let taken = unsafe { rd::rd_kafka_incremental_assign(rk, partitions) };
                self.note(unsafe { Failure::take(taken) });
                let paused = unsafe { rd::rd_kafka_pause_partitions(rk, partitions) };
                self.note(Failure::check(paused));
                self.push(Shift::Assigned(numbers));
            }
            E::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let lost = unsafe { rd::rd_kafka_assignment_lost(rk) } != 0;
                if lost || self.leaving.load(Relaxed) {
                    let left = unsafe { rd::rd_kafka_incremental_unassign(rk, partitions) };
                    self.note(unsafe { Failure::take(left) });
                }
                self.push(match lost {
                    true => Shift::Lost(numbers),
                    false => Shift::Revoked(numbers),
                });
            }
            code => {
                unsafe { rd::rd_kafka_assign(rk, std::ptr::null()) };
                self.note(Err(Failure::of(code)));
            }
        }
    }
}

unsafe fn numbers(list: *const rd::rd_kafka_topic_partition_list_t) -> Vec<i32> {
    let list = unsafe { &*list };
    (0..list.cnt as usize)
        .map(|i| unsafe { (*list.elems.add(i)).partition })
        .collect()
}

/// A member.
pub(in crate::kafka) struct Member {
    handle: Handle,
    topic: String,
}

impl Member {
    /// Joins with the share of one topic; it is asked for by [`Member::poll`].
    pub fn new(handle: Handle, topic: &str) -> Result<Member, Failure> {
        let name = c(topic)?;
        unsafe {
            Failure::check(rd::rd_kafka_poll_set_consumer(handle.ptr()))?;
            let topics = List::new(topic, std::iter::empty())?;
            rd::rd_kafka_topic_partition_list_add(topics.ptr(), name.as_ptr(), -1);
            Failure::check(rd::rd_kafka_subscribe(handle.ptr(), topics.ptr()))?;
        }
        Ok(Member {
            handle,
            topic: topic.into(),
        })
    }

    /// What its threads told.
    pub fn told(&self) -> &Told {
        self.handle.told()
    }

    /// What changed, waiting at most `wait`.
    pub fn poll(&self, wait: Duration) -> Result<Option<Shift>, Failure> {
        let shares = &self.told().shares;
        if let Some(shift) = shares.next() {
            return Ok(Some(shift));
        }
        let message = unsafe { rd::rd_kafka_consumer_poll(self.handle.ptr(), millis(wait)) };
        let mut failure = None;
        if !message.is_null() {
            // Its partitions are paused: only errors come.
            failure = Failure::check(unsafe { (*message).err }).err();
            unsafe { rd::rd_kafka_message_destroy(message) };
        }
        if let Some(fatal) = self.handle.fatal() {
            return Err(fatal);
        }
        let noted = shares
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (shares.next(), noted.or(failure)) {
            (Some(shift), _) => Ok(Some(shift)),
            (None, Some(failure)) => Err(failure),
            (None, None) => Ok(None),
        }
    }

    /// Gives partitions that were revoked to the others: all of one answer at once.
    pub fn leave(&self, partitions: &[i32]) -> Result<(), Failure> {
        let list = List::new(&self.topic, partitions.iter().map(|p| (*p, 0)))?;
        unsafe {
            Failure::take(rd::rd_kafka_incremental_unassign(
                self.handle.ptr(),
                list.ptr(),
            ))
        }
    }

    /// Sends offsets; the answer is not waited for.
    pub fn commit(&self, offsets: &[(i32, i64)]) -> Result<(), Failure> {
        let list = List::new(&self.topic, offsets.iter().copied())?;
        Failure::check(unsafe { rd::rd_kafka_commit(self.handle.ptr(), list.ptr(), 1) })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.handle.ours() {
            return;
        }
        self.told().shares.leaving.store(true, Relaxed);
        // It says goodbye, so that its share goes to others without waiting for the session's end.
        unsafe { rd::rd_kafka_consumer_close(self.handle.ptr()) };
    }
}
