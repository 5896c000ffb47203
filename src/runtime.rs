//! The only maker of threads and pools. Lazy: nothing starts at import. After a fork the child
//! forgets the parent's pool (its threads do not exist there) and makes its own; the old one is
//! never joined.

#[cfg(any(feature = "cassandra", feature = "cloud", feature = "postgres"))]
pub mod waiting;

mod seats;

pub use seats::{Seat, seat};

use crate::{Error, Kind, Result};
use std::sync::{Arc, Mutex, PoisonError};

/// More in one pool only wait for each other.
const MOST_THREADS: usize = 1_024;

static POOL: Mutex<Option<(u32, Arc<rayon::ThreadPool>)>> = Mutex::new(None);

/// Number of threads used unless told otherwise: `WATTLINE_THREADS`, else the cores this process may use.
pub fn default_threads() -> usize {
    let told = std::env::var("WATTLINE_THREADS")
        .ok()
        .and_then(|v| v.parse().ok())
        .filter(|n| *n > 0);
    told.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
}

/// The process's pool of [`default_threads`] threads, made on first use, keyed by process id.
pub fn pool() -> Result<Arc<rayon::ThreadPool>> {
    let mut slot = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    match &*slot {
        Some((owner, pool)) if *owner == pid => return Ok(pool.clone()),
        _ => {}
    }
    let made = sized(default_threads())?;
    if let Some((_, old)) = slot.replace((pid, made.clone())) {
        // Its threads live in the parent only: joining them here would wait for ever.
        std::mem::forget(old);
        seats::forget();
    }
    Ok(made)
}

/// A pool of `threads` threads for one call (`threads=` of a reader).
pub fn sized(threads: usize) -> Result<Arc<rayon::ThreadPool>> {
    if threads > MOST_THREADS {
        let most = format!("{threads} threads are too many; ask for at most {MOST_THREADS}");
        return Err(Error::new(Kind::Usage, most));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("wattline-{i}"))
        .build()
        .map(Arc::new)
        .map_err(|e| {
            Error::new(
                Kind::Internal,
                "no thread could be started; free some or set WATTLINE_THREADS lower",
            )
            .because(e)
        })
}

/// A named thread outside the pool, for a loop that waits (reader, writer).
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new()
        .name(format!("wattline-{name}"))
        .spawn(work)
        .map_err(|e| Error::new(Kind::Internal, "no thread could be started; free some").because(e))
}
