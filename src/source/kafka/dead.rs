//! Dead: messages that cannot be read, as rejects with their place; what becomes of them.

use crate::error::Place;
use crate::kafka::Message;
use crate::reject::{OnReject, Reject};
use crate::{Error, Kind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A reject and where its message lies.
#[derive(Debug)]
pub(super) struct Dead {
    pub partition: i32,
    pub offset: i64,
    pub reject: Reject,
}

impl Dead {
    /// A message of `topic`, the column at fault and why.
    pub(super) fn new(topic: &str, message: &Message<'_>, column: String, reason: String) -> Dead {
        Dead {
            partition: message.partition,
            offset: message.offset,
            reject: Reject {
                file: stream(topic, message.partition).into(),
                line: 0,
                byte: 0,
                row: message.offset.max(0) as u64,
                column,
                raw: String::from_utf8_lossy(message.value.unwrap_or_default()).into_owned(),
                reason,
            },
        }
    }
}

/// The name of a partition.
pub(super) fn stream(topic: &str, partition: i32) -> String {
    format!("{topic}/{partition}")
}

/// The policy and the count so far.
pub(super) struct Judge {
    topic: Arc<str>,
    policy: OnReject,
    most: u64,
    count: AtomicU64,
}

impl Judge {
    pub(super) fn new(topic: &str, policy: OnReject, most: u64) -> Judge {
        Judge {
            topic: topic.into(),
            policy,
            most,
            count: AtomicU64::new(0),
        }
    }

    /// Those to keep. Errors: `RejectLimit`.
    pub(super) fn judge(&self, dead: Vec<Dead>) -> Result<Vec<Reject>> {
        let Some(first) = dead.first() else {
            return Ok(Vec::new());
        };
        let n = dead.len() as u64;
        let before = self.count.fetch_add(n, Relaxed);
        match self.policy {
            OnReject::Raise => Err(self.refused(first, raised(first))),
            _ if before + n > self.most => Err(self.refused(
                first,
                format!(
                    "more than {} messages of {} cannot be read; check schema, or raise max_rejects",
                    self.most, self.topic
                ),
            )),
            OnReject::Collect => Ok(dead.into_iter().map(|d| d.reject).collect()),
            OnReject::Skip => Ok(Vec::new()),
        }
    }

    fn refused(&self, dead: &Dead, message: String) -> Error {
        Error::new(Kind::RejectLimit, message).at(Place {
            message: Some((self.topic.to_string(), dead.partition, dead.offset)),
            column: Some(dead.reject.column.clone()).filter(|c| !c.is_empty()),
            ..Place::default()
        })
    }
}

fn raised(dead: &Dead) -> String {
    let reject = &dead.reject;
    let column = match reject.column.as_str() {
        "" => String::new(),
        column => format!("{column}: "),
    };
    format!(
        "{} offset {}: {column}{}; mend it at its source, or say on_reject = \"collect\"",
        reject.file, dead.offset, reject.reason
    )
}
