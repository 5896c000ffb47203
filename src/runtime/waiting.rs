//! The runtime on which clients of services wait: made on first use, keyed by process id, forgotten
//! after a fork like the pool. Only clients whose library needs it (PostgreSQL, Cassandra, S3) use it.

use crate::{Error, Kind, Result};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: Mutex<Option<(u32, Arc<Runtime>)>> = Mutex::new(None);

/// Threads of the runtime: they wait for sockets, and encode what is sent.
const THREADS: usize = 2;

/// The process's runtime. A client keeps the `Arc` for as long as it lives and waits with `block_on` on its own thread.
/// Errors: `Internal` where no thread can be started.
pub fn runtime() -> Result<Arc<Runtime>> {
    let mut slot = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    match &*slot {
        Some((owner, runtime)) if *owner == pid => return Ok(runtime.clone()),
        _ => {}
    }
    let made = Arc::new(start()?);
    if let Some((_, old)) = slot.replace((pid, made.clone())) {
        // Its threads live in the parent only: shutting it down here would wait for ever.
        std::mem::forget(old);
    }
    Ok(made)
}

fn start() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("wattline-wait")
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::Internal, "no thread could be started; free some").because(e))
}
