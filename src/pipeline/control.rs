//! The wire between a run and whoever watches it: a stop flag in, progress out. All atomics, so
//! that a signal handler may set the flag while the run is on the stack.

use super::report::Report;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Reports that wait for a follower.
const WAITING: usize = 64;

/// Shared between a run and its caller.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    begun: AtomicBool,
    /// Bytes read.
    pub bytes: AtomicU64,
    /// Bytes to read; 0 where nobody knows.
    pub total_bytes: AtomicU64,
    /// Readings taken in.
    pub readings: AtomicU64,
    /// Rejects met.
    pub rejects: AtomicU64,
    /// Flushes decided.
    pub flushes: AtomicU64,
    reports: Mutex<Option<SyncSender<Report>>>,
    failed: Mutex<Option<Report>>,
}

impl Control {
    /// A new wire.
    pub fn new() -> Arc<Control> {
        Arc::new(Control::default())
    }

    /// Asks the run to end at the next decided flush. Async-signal-safe.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether the run was asked to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Sources and stores are open: from now on work that is asked to stop has something to end.
    pub fn begin(&self) {
        self.begun.store(true, Relaxed);
    }

    /// Whether work has begun.
    pub fn begun(&self) -> bool {
        self.begun.load(Relaxed)
    }

    /// The read begins again.
    pub(super) fn again(&self) {
        for counter in [&self.bytes, &self.readings, &self.rejects] {
            counter.store(0, Relaxed);
        }
    }

    /// Makes the run send a report after each decided flush.
    /// One who takes them too slowly misses some; each tells the whole.
    pub fn follow(&self) -> Receiver<Report> {
        let (sender, receiver) = sync_channel(WAITING);
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// What a run that ended with an error had done until then, if it came that far.
    pub fn failed(&self) -> Option<Report> {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Keeps what a run did that ends with an error.
    pub(super) fn fail(&self, report: Report) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    /// The sender of reports, if somebody follows.
    pub(super) fn reports(&self) -> Option<SyncSender<Report>> {
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
