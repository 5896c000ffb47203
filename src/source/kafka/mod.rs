//! Topics as sources.
//!
//! | part | does |
//! |---|---|
//! | [`TopicSource`] | a topic as a source of a pipeline |
//! | `feed`, `model` | one partition: fetched, decoded on the pool, in order |
//! | `origin` | messages that were counted before, by where they came from |
//! | `reader`, `places` | one partition under its own head; a sensor lives in one of them, that of its name as a key |
//! | `merge` | all partitions under one head, by event time |
//! | `group` | who gives out partitions among runs |
//! | `dead` | messages that cannot be read |
//! | `queues` | the client's memory, shared out among partitions |
//! | `concerns` | what to know before a run: retention against lag, clocks |
//! | `lease` | one reader a partition |
//! | [`Scan`] | a range of a topic as tables: no group, nothing committed |
//! | `range` | where a range begins and ends |

mod concerns;
mod dead;
mod feed;
mod group;
mod lease;
mod merge;
mod model;
mod origin;
mod places;
mod queues;
mod range;
mod reader;
mod scan;
mod topic;

pub use range::Bound;
pub use scan::{Scan, ScanOptions};
pub use topic::{TopicOptions, TopicSource};
