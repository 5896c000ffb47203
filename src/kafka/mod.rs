//! Kafka: bytes and offsets; no reading is known here.
//!
//! In: an endpoint as a URL. Out: messages as they lie in the log, with partition, offset, record time and
//! its headers; messages into the log with every delivery report counted; topics described and made.
//! Nothing here decides what a message means or what is committed when.
//!
//! | part | does |
//! |---|---|
//! | [`config`](Config) | the endpoint and its settings; secrets are never shown |
//! | [`client`](Client) | topics: described with their ids, made; offsets by time |
//! | [`consumer`](Consumer) | partitions assigned by hand, batches of messages |
//! | [`member`](Member) | a share of the partitions, in a group |
//! | [`producer`](Producer) | messages out, transactions |
//! | [`limits`](Limits) | how long a topic's messages may be, which record times it takes and keeps |
//! | [`log`](Log) | compacted topics: the newest message of each key holds |
//! | `errors` | what the library says as the house's `Error` |
//! | `partitioner` | where a key goes, as Java clients have it |
//! | `raw` | the C library; the only `unsafe` of the room |

mod client;
mod config;
mod consumer;
mod errors;
mod limits;
mod log;
mod member;
mod partitioner;
mod producer;
mod raw;
#[cfg(test)]
mod tests;

pub use client::{Client, Isolation, NewTopic, TopicFacts};
pub use config::Config;
pub use consumer::{ALL, Consumer, Message, Messages, Polled, Spares, Start, headers};
pub use limits::Limits;
pub use log::{Log, Upto, Views, Words};
pub use member::{Member, Shift};
pub use partitioner::{Partitioner, murmur2, partition_of};
pub use producer::{Header, Headers, Outgoing, Producer, Settled};

/// The header that says which file and row a message came from: see `produce`.
pub const ORIGIN: &std::ffi::CStr = c"wattline";
