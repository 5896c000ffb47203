//! Queues: what of a topic waits in the client, shared out among the partitions that are read at once.

use crate::kafka::Config;
use std::time::Duration;

/// Of messages that wait in the client, KiB, and of packed bytes that the broker sends at once: for all partitions together.
const QUEUED: usize = 32 << 10;
const FETCHED: usize = 1 << 20;
/// Messages that the client has ready. Each takes some 350 bytes beside its own.
const READY: usize = 1 << 15;

/// How long a read that ends waits for messages at a time. A poll of the library waits all of its time for as many as it
/// may bring, also where the end of the log has come meanwhile.
pub(super) const ENDS: Duration = Duration::from_millis(10);

/// The client's own queues, by default a good 64 MiB and 100,000 messages a partition. An answer of the broker counts in
/// them only when it is unpacked, to ten times its bytes and more, so its size is shared out too.
pub(super) fn shared(config: Config, partitions: usize) -> Config {
    let of = |all: usize, least: usize| (all / partitions.max(1)).max(least);
    config
        .or("queued.max.messages.kbytes", of(QUEUED, 1024))
        .or("queued.min.messages", of(READY, 1000))
        .or("fetch.message.max.bytes", of(FETCHED, 64 << 10))
}

/// For a read that ends: where a log ends is known by an answer that brings nothing, and the broker holds such an answer
/// back this long. The library's 500 ms were most of a run over a thousand messages.
pub(super) fn ending(config: Config) -> Config {
    config.or("fetch.wait.max.ms", ENDS.as_millis())
}
