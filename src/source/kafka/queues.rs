//! Queues: what of a topic waits in the client, shared out among the partitions that are read at once.

use crate::kafka::Config;

/// Of messages that wait in the client, KiB, and of packed bytes that the broker sends at once: for all partitions together.
const QUEUED: usize = 32 << 10;
const FETCHED: usize = 1 << 20;
/// Messages that the client has ready. Each takes some 350 bytes beside its own.
const READY: usize = 1 << 15;

/// The client's own queues, by default a good 64 MiB and 100,000 messages a partition. An answer of the broker counts in
/// them only when it is unpacked, to ten times its bytes and more, so its size is shared out too.
pub(super) fn shared(config: Config, partitions: usize) -> Config {
    let of = |all: usize, least: usize| (all / partitions.max(1)).max(least);
    config
        .or("queued.max.messages.kbytes", of(QUEUED, 1024))
        .or("queued.min.messages", of(READY, 1000))
        .or("fetch.message.max.bytes", of(FETCHED, 64 << 10))
}
