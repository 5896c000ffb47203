//! The C library behind safe types: `unsafe` stands in this folder only.
//!
//! The wrapper crate builds a record for each message, has no consumer without a group, no batches of
//! messages and no topic ids; the first alone cost a tenth of the produce rate where it was measured
//! (565 against 496 thousand messages a second of one loop). So the house calls the library itself.
//!
//! | part | does |
//! |---|---|
//! | `handle` | a client: made from settings, told of errors, destroyed |
//! | `produce` | messages out, delivery reports, transactions |
//! | `consume` | partitions read by hand into batches |
//! | `member` | a share of the partitions, in a group |
//! | `admin` | topics: described, made |

mod admin;
mod consume;
mod handle;
mod member;
mod produce;

pub use admin::{NewTopic, TopicFacts};
pub use consume::{ALL, Message, headers};
pub(super) use consume::{Queue, Sink};
pub(super) use handle::{Failure, Handle, Role, Told};
pub(super) use member::Member;
pub use member::Shift;
pub use produce::{Header, Headers, Outgoing};
pub(super) use produce::{Sent, Topic};
