//! The reader thread of a run: polls the source, waits while too many bytes are on their way.
//!
//! Backpressure is one byte-bounded queue from the source to the task: a batch takes its bytes
//! from the [`Budget`] before it is sent, and the run gives them back when the task has it.

use super::run::Message;
use crate::source::{Poll, Reader, SourceBatch};
use crate::{Result, faults, runtime};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a reader waits for a batch before it looks whether it shall end.
const WAIT: Duration = Duration::from_millis(50);

/// Bytes on their way, bounded.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Nanoseconds the reader waited for batches: reading, decoding, accumulating.
    read: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    quit: bool,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget {
            limit,
            state: Mutex::default(),
            changed: Condvar::new(),
            read: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` fit (one batch always fits); false: the run is over.
    fn take(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        while !state.quit && state.used > 0 && state.used + bytes > self.limit {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.used += bytes;
        !state.quit
    }

    /// Gives bytes back.
    pub(super) fn give(&self, bytes: usize) {
        self.lock().used -= bytes;
        self.changed.notify_all();
    }

    /// Ends the reader.
    pub(super) fn quit(&self) {
        self.lock().quit = true;
        self.changed.notify_all();
    }

    /// How long the reader waited for its source.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_nanos(self.read.load(Relaxed))
    }

    fn over(&self) -> bool {
        self.lock().quit
    }
}

/// About how many bytes of memory a batch holds.
pub(super) fn size_of(batch: &SourceBatch) -> usize {
    let row = 16 + 9 * batch.readings.values.len();
    batch.readings.len() * row + batch.delta.as_ref().map_or(0, |d| d.size_bytes())
}

/// Polls `reader` on its own thread until its end, an error or `quit`.
pub(super) fn start(
    mut reader: Box<dyn Reader>,
    budget: Arc<Budget>,
    to: Sender<Message>,
) -> Result<JoinHandle<()>> {
    runtime::spawn("reader", move || {
        while !budget.over() {
            let began = Instant::now();
            let polled = reader.next(WAIT);
            let waited = began.elapsed().as_nanos();
            budget.read.fetch_add(waited as u64, Relaxed);
            let polled = polled.and_then(|polled| faults::point("after_read").map(|()| polled));
            let (message, last) = match polled {
                Ok(Poll::Idle) => continue,
                Ok(Poll::End) => (Message::End, true),
                Err(error) => (Message::Failed(error), true),
                Ok(Poll::Batch(batch)) => {
                    let bytes = size_of(&batch);
                    if !budget.take(bytes) {
                        return;
                    }
                    (Message::Batch(batch, bytes), false)
                }
            };
            if to.send(message).is_err() || last {
                return;
            }
        }
    })
}
