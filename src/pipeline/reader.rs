//! The reader thread of a run: polls the source, waits while too many bytes are on their way.
//!
//! Backpressure is one byte-bounded queue from the source to the task: a batch takes its bytes
//! from the [`Budget`] before it is sent, and the run gives them back when the task has it.

use super::lane::Key;
use super::run::{Message, Told};
use crate::source::{Poll, Reader, SourceBatch};
use crate::{Result, faults, runtime};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a reader waits for a batch before it looks whether it shall end.
const WAIT: Duration = Duration::from_millis(50);

/// Bytes on their way, bounded over all lanes of a run.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: Mutex<usize>,
    changed: Condvar,
}

/// What one lane has of it.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    quit: AtomicBool,
    /// Nanoseconds the reader waited for batches: reading, decoding, accumulating.
    read: AtomicU64,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget {
            limit,
            used: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives bytes back.
    pub(super) fn give(&self, bytes: usize) {
        *self.lock() -= bytes;
        self.changed.notify_all();
    }
}

impl Share {
    /// A lane's share of a budget.
    pub(super) fn new(budget: Arc<Budget>) -> Arc<Share> {
        Arc::new(Share {
            budget,
            quit: AtomicBool::new(false),
            read: AtomicU64::new(0),
        })
    }

    /// Waits until `bytes` fit (one batch always fits); false: the lane is over, and they are not taken.
    fn take(&self, bytes: usize) -> bool {
        let mut used = self.budget.lock();
        while !self.over() && *used > 0 && *used + bytes > self.budget.limit {
            used = self
                .budget
                .changed
                .wait(used)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if self.over() {
            return false;
        }
        *used += bytes;
        true
    }

    /// Ends the reader.
    pub(super) fn quit(&self) {
        // Under the lock, so that a reader about to wait sees it.
        let held = self.budget.lock();
        self.quit.store(true, Relaxed);
        drop(held);
        self.budget.changed.notify_all();
    }

    /// How long the reader waited for its source.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_nanos(self.read.load(Relaxed))
    }

    fn over(&self) -> bool {
        self.quit.load(Relaxed)
    }
}

/// About how many bytes of memory a batch holds.
pub(super) fn size_of(batch: &SourceBatch) -> usize {
    let row = 16 + 9 * batch.readings.values.len();
    batch.readings.len() * row
        + batch.readings.attributes.bytes()
        + batch.delta.as_ref().map_or(0, |d| d.size_bytes())
}

/// Polls `reader` on its own thread until its end, an error or `quit`.
pub(super) fn start(
    mut reader: Box<dyn Reader>,
    share: Arc<Share>,
    key: Key,
    to: Sender<Message>,
) -> Result<JoinHandle<()>> {
    runtime::spawn("reader", move || {
        while !share.over() {
            let began = Instant::now();
            let polled = reader.next(WAIT);
            let waited = began.elapsed().as_nanos();
            share.read.fetch_add(waited as u64, Relaxed);
            let polled = polled.and_then(|polled| faults::point("after_read").map(|()| polled));
            let (message, last) = match polled {
                Ok(Poll::Idle) => continue,
                Ok(Poll::End) => (Message::Lane(key, Told::End), true),
                Err(error) => (Message::Failed(key, error), true),
                Ok(Poll::Batch(batch)) => {
                    let bytes = size_of(&batch);
                    if !share.take(bytes) {
                        return;
                    }
                    (Message::Lane(key, Told::Batch(batch, bytes)), false)
                }
            };
            if to.send(message).is_err() || last {
                return;
            }
        }
    })
}
