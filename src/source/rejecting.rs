//! What becomes of rejects in a read: the first one ends it, or they are kept up to a limit.

use crate::error::Place;
use crate::reject::{OnReject, Reject};
use crate::{Error, Kind, Result};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The policy and the count so far.
pub(super) struct Rejecting {
    policy: OnReject,
    most: u64,
    count: AtomicU64,
}

impl Rejecting {
    pub(super) fn new(policy: OnReject, most: u64) -> Self {
        Rejecting {
            policy,
            most,
            count: AtomicU64::new(0),
        }
    }

    /// Begins to count anew, for another pass over the same rows.
    pub(super) fn again(&self) {
        self.count.store(0, Relaxed);
    }

    /// The rejects to keep. Errors: `RejectLimit`.
    pub(super) fn judge(&self, rejects: Vec<Reject>) -> Result<Vec<Reject>> {
        let Some(first) = rejects.first() else {
            return Ok(rejects);
        };
        let n = rejects.len() as u64;
        let before = self.count.fetch_add(n, Relaxed);
        match self.policy {
            OnReject::Raise => Err(raised(first)),
            _ if before + n > self.most => Err(Error::new(
                Kind::RejectLimit,
                format!(
                    "more than {} rows of {} cannot be read; the last: {}; check the schema, or raise max_rejects",
                    self.most, first.file, first.reason
                ),
            )),
            OnReject::Collect => Ok(rejects),
            OnReject::Skip => Ok(Vec::new()),
        }
    }
}

fn raised(reject: &Reject) -> Error {
    let line = if reject.line > 0 {
        format!("line {}", reject.line)
    } else {
        format!("row {}", reject.row)
    };
    let message = format!(
        "{}, {line}, column {}: {}: {:?}; mend it, or set on_reject to collect or skip",
        reject.file, reject.column, reject.reason, reject.raw
    );
    Error::new(Kind::RejectLimit, message).at(Place {
        file: Some(reject.file.to_string().into()),
        line: (reject.line > 0).then_some(reject.line),
        byte: (reject.line > 0).then_some(reject.byte),
        column: Some(reject.column.clone()),
        message: None,
    })
}
