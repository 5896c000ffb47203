//! The reader thread of a run: polls the source, waits while too many bytes are on their way.
//!
//! Backpressure is one byte-bounded queue from the source to the task: a batch takes its bytes
//! from the [`Budget`] before it is sent, and the run gives them back when the task has it.

use super::lane::Key;
use super::run::{Message, Told};
use crate::reject::Reject;
use crate::source::{Poll, Reader, SourceBatch};
use crate::{Result, faults, runtime};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a reader waits for a batch before it looks whether it shall end.
const WAIT: Duration = Duration::from_millis(50);

/// How long a reader waits for room before it looks whether its batch would fit though less than half is free: what others
/// hold back may wait for it.
const AGAIN: Duration = Duration::from_millis(50);

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

    /// Gives bytes back. Readers are woken once half is free: one that is woken for each batch sends one for each.
    pub(super) fn give(&self, bytes: usize) {
        let mut used = self.lock();
        *used -= bytes;
        let wake = *used <= self.limit / 2;
        drop(used);
        if wake {
            self.changed.notify_all();
        }
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
            let waited = self.budget.changed.wait_timeout(used, AGAIN);
            used = waited.unwrap_or_else(PoisonError::into_inner).0;
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

/// About how many bytes of memory a batch holds; a reject holds its record's whole text.
pub(super) fn size_of(batch: &SourceBatch) -> usize {
    let row = 16 + 9 * batch.readings.values.len();
    let delta = batch.delta.as_ref().map_or(0, |d| d.size_bytes());
    let rejects = batch.rejects.iter().map(Reject::size_bytes).sum::<usize>();
    batch.readings.len() * row + batch.readings.attributes.bytes() + delta + rejects
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flush::Positions;
    use crate::ledger::Ledger;
    use crate::schema::{Readings, RowIds, SensorKeys, Step};
    use std::sync::mpsc::channel;

    const RAW: usize = 1 << 20;

    /// Batches that hold a reject each and nothing else.
    struct Unreadable(usize);

    impl Reader for Unreadable {
        fn next(&mut self, _wait: Duration) -> Result<Poll> {
            let Some(left) = self.0.checked_sub(1) else {
                return Ok(Poll::End);
            };
            self.0 = left;
            Ok(Poll::Batch(Box::new(unreadable())))
        }
    }

    fn unreadable() -> SourceBatch {
        let reject = Reject {
            file: "power".into(),
            line: 1,
            byte: 0,
            row: 0,
            column: String::new(),
            raw: "x".repeat(RAW),
            reason: "no JSON".into(),
        };
        SourceBatch {
            readings: Readings {
                measures: Vec::new().into(),
                sensors: SensorKeys::Constant("a".into()),
                time: Vec::new().into(),
                values: Vec::new(),
                quality: None,
                step: Step::Unknown,
                file: 0,
                rows: RowIds::Dense(0),
                attributes: Default::default(),
            },
            delta: None,
            rejects: vec![reject],
            counters: Ledger::default(),
            after: Positions::new(),
            read: None,
            low: None,
            ends: None,
            places: 0,
        }
    }

    #[test]
    fn rejects_take_from_the_budget_what_they_hold() {
        const BATCHES: usize = 40;
        let budget = Budget::new(4 * RAW);
        let share = Share::new(budget.clone());
        let key = Key {
            partition: 0,
            turn: 1,
        };
        let (to, from) = channel();
        let reader = Box::new(Unreadable(BATCHES));
        let thread = start(reader, share, key, to).unwrap();
        let mut under_way = Vec::new();
        while let Ok(message) = from.recv_timeout(Duration::from_millis(500)) {
            under_way.push(message);
        }
        assert_eq!(under_way.len(), 3, "a fourth would not fit into 4 MiB");
        let mut seen = 0;
        while let Message::Lane(_, Told::Batch(_, bytes)) = under_way.remove(0) {
            budget.give(bytes);
            seen += 1;
            under_way.extend(from.recv_timeout(Duration::from_secs(60)));
        }
        assert_eq!(seen, BATCHES);
        thread.join().unwrap();
    }
}
