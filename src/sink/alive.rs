//! Signs of life of an owner, for stores that have no session or lock of their own to show them.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether the owner was a process of this host that is no more. Owners are named `process 12 on host`.
pub(super) fn died_here(owner: &str, us: &str) -> bool {
    let part = |text: &'_ str| -> Option<(String, String)> {
        let (pid, host) = text.strip_prefix("process ")?.split_once(" on ")?;
        Some((host.to_owned(), pid.to_owned()))
    };
    match (part(owner), part(us)) {
        (Some((theirs, pid)), Some((ours, _))) if theirs == ours => {
            Path::new("/proc/self").exists() && !Path::new("/proc").join(pid).exists()
        }
        _ => false,
    }
}

/// Milliseconds since 1970 by this host's clock.
pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.as_millis() as i64
}
