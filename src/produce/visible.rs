//! Visible: a load that has ended must be whole for the run that comes right after it.

use super::Job;
use crate::Result;
use std::time::{Duration, Instant};

/// How long the last transaction is waited for. Another load's open transaction may stand before it for longer.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until what the topic holds now can be read by readers of committed messages; says so where it cannot yet.
/// Whoever stops the load does not wait.
pub(super) fn wait(job: &Job<'_>) -> Result<Option<String>> {
    let until = Instant::now() + PATIENCE;
    let mut pause = || {
        std::thread::sleep(PAUSE);
        Instant::now() < until && !job.control.stopped()
    };
    let hidden = (job.views.all).unsettled(&job.views.committed, &mut pause)?;
    Ok(hidden.filter(|_| !job.control.stopped()).map(|partition| {
        format!(
            "an open transaction of another program in partition {partition} of {} still hides the last rows from readers of committed messages",
            job.config.topic
        )
    }))
}
