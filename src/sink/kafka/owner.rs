//! Signs of life: a thread beside the run says of each owned partition that its owner lives, three times a lease,
//! however long a step takes.

use super::state::{At, Writer};
use crate::kafka::Producer;
use crate::sink::alive::now_ms;
use crate::{Result, runtime};
use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A partition that is owned.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub pipeline: String,
    pub epoch: u64,
    /// The partition of the state topic.
    pub place: i32,
}

type Shared = Arc<Mutex<BTreeMap<u32, Owned>>>;

/// The thread, and what it speaks for.
pub(super) struct Signs {
    owned: Shared,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Signs {
    /// Begins; `producer` is one without transactions, `topic` the state topic's number there.
    pub fn begin(mut producer: Producer, topic: usize, lease: Duration) -> Result<Signs> {
        let owned = Shared::default();
        let (stop, stopped) = channel::<()>();
        let told = owned.clone();
        let thread = runtime::spawn("signs", move || {
            while stopped.recv_timeout(lease / 3) == Err(RecvTimeoutError::Timeout) {
                let owned = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for (partition, own) in &owned {
                    let at: At<'_> = (&own.pipeline, *partition);
                    let mut writer = Writer {
                        producer: &mut producer,
                        topic,
                        place: own.place,
                        at,
                        part: 0,
                    };
                    // A sign that does not arrive is followed by the next one; the epoch decides what counts.
                    let _ = writer.alive(own.epoch, now_ms());
                }
            }
        })?;
        Ok(Signs {
            owned,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Speaks for one more partition.
    pub fn add(&self, partition: u32, own: Owned) {
        self.lock().insert(partition, own);
    }

    /// Speaks no more for a partition.
    pub fn remove(&self, partition: u32) {
        self.lock().remove(&partition);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Signs {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It ends within one message; a panic there has nothing to tell us.
            let _ = thread.join();
        }
    }
}
