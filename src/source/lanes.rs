//! Lanes: jobs run on the pool side by side, their results come back in the order they were given.

use crate::{Error, Kind, Result, runtime};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Jobs in flight on the pool, bounded by the caller through [`Lanes::full`].
pub(crate) struct Lanes<T> {
    pool: Arc<rayon::ThreadPool>,
    flying: VecDeque<Receiver<Result<T>>>,
    most: usize,
}

/// What [`Lanes::next`] found.
pub(crate) enum Landed<T> {
    /// The oldest job's result.
    Value(T),
    /// It is not done within the wait.
    Waiting,
    /// No job is in flight.
    Empty,
}

impl<T: Send + 'static> Lanes<T> {
    pub(crate) fn new() -> Result<Self> {
        let pool = runtime::pool()?;
        // Two more than threads, so that none waits for the reader to hand out the next.
        let most = pool.current_num_threads() + 2;
        Ok(Lanes {
            pool,
            flying: VecDeque::new(),
            most,
        })
    }

    /// The same with fewer in flight, for jobs that hold much.
    pub(crate) fn at_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Whether no more should be given before one is taken.
    pub(crate) fn full(&self) -> bool {
        self.flying.len() >= self.most
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    pub(crate) fn give(&mut self, job: impl FnOnce() -> Result<T> + Send + 'static) {
        let (to, from): (SyncSender<Result<T>>, _) = sync_channel(1);
        // A reader that was dropped no longer wants the result.
        self.pool.spawn(move || {
            let _seat = runtime::seat();
            drop(to.send(job()));
        });
        self.flying.push_back(from);
    }

    pub(crate) fn next(&mut self, wait: Duration) -> Result<Landed<T>> {
        let Some(oldest) = self.flying.front() else {
            return Ok(Landed::Empty);
        };
        match oldest.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(Landed::Waiting),
            Err(RecvTimeoutError::Disconnected) => Err(Error::new(
                Kind::Internal,
                "a job of the reader ended without an answer; please report it",
            )),
            Ok(result) => {
                self.flying.pop_front();
                result.map(Landed::Value)
            }
        }
    }
}
