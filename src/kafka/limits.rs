//! What a topic's settings say of messages: how long they may be, which record times it takes and keeps.

use std::collections::BTreeMap;

/// What messages a topic takes, and which record times it takes and keeps, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages older than this are removed; `None`: never.
    pub retention: Option<i64>,
    /// Messages this much older than the broker's clock are refused.
    pub before: i64,
    /// Messages this much past the broker's clock are refused.
    pub after: i64,
    /// The broker sets record times itself.
    pub append: bool,
    /// Bytes of a batch of messages, as it is sent, at most.
    pub bytes: usize,
}

/// What a broker takes where nothing is said.
const BYTES: usize = 1_048_588;
/// A broker that packs a batch anew may make it longer by this part.
const SPARE: usize = 64;

impl Limits {
    /// Those in a topic's settings.
    pub fn of(settings: &BTreeMap<String, String>) -> Limits {
        let number = |name: &str| settings.get(name).and_then(|v| v.parse::<i64>().ok());
        let deletes = settings
            .get("cleanup.policy")
            .is_none_or(|p| p.contains("delete"));
        Limits {
            retention: number("retention.ms").filter(|ms| *ms >= 0 && deletes),
            before: number("message.timestamp.before.max.ms").unwrap_or(i64::MAX),
            after: number("message.timestamp.after.max.ms").unwrap_or(i64::MAX),
            append: settings
                .get("message.timestamp.type")
                .is_some_and(|t| t == "LogAppendTime"),
            bytes: number("max.message.bytes").map_or(BYTES, |n| usize::try_from(n).unwrap_or(0)),
        }
    }

    /// Bytes of a batch that the topic takes also where its broker packs it anew.
    pub fn batch(&self) -> usize {
        self.bytes - self.bytes / SPARE
    }
}
