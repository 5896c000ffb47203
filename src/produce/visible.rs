//! Visible: a broker answers a commit before readers of committed messages see what it committed; a load that has
//! ended must be whole for the run that comes right after it.

use crate::Result;
use crate::kafka::{Client, Config, Isolation};
use std::time::{Duration, Instant};

/// How long the last transaction is waited for. Another load's open transaction may stand before it for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until what the topic holds now can be read by readers of committed messages; says so where it cannot yet.
pub(super) fn wait(config: &Config, committed: &Client) -> Result<Option<String>> {
    let all = Client::new(config, Isolation::Uncommitted)?;
    let began = Instant::now();
    for partition in all.partitions()? {
        let (_, end) = all.watermarks(partition)?;
        while committed.watermarks(partition)?.1 < end {
            if began.elapsed() > PATIENCE {
                return Ok(Some(format!(
                    "an open transaction of another program in partition {partition} of {} still hides the last rows from readers of committed messages",
                    config.topic
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(None)
}
