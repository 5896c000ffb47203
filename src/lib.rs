//! wattline: interval readings from files and streams into calendar windows in a store.
//!
//! The map of the house. Data flows one way, and a room uses only rooms above it in this list
//! (`tests/lint/rooms.py` holds that):
//!
//! | room | what comes in | what goes out |
//! |---|---|---|
//! | [`error`] | anything that went wrong | one `Error`: kind, where, retryable |
//! | [`faults`] | the name of a point | a fault on request, in tests only |
//! | [`runtime`] | work | threads and pools, made here only |
//! | [`ledger`], [`reject`], [`flush`], [`metrics`], [`secret`], [`wording`] | – | plain types and their encodings |
//! | [`time`] | text, instants | parsed stamps, zones, grains, calendar edges; pure |
//! | [`schema`] | a declaration, a preset | columns, measures, the canonical batch [`schema::Readings`] |
//! | [`input`] | paths, globs, stdin | unpacked bytes, fingerprints |
//! | [`csv`] | bytes | typed Arrow columns and rejects |
//! | [`codec`] | batches | text, JSON lines, Arrow, Parquet, and back |
//! | [`transform`] | readings | readings: ranges, dedupe |
//! | [`window`] | readings | partials, windows; pure |
//! | `kafka` | messages | offsets, transactions; bytes only |
//! | [`source`] | files, tables, the simulator | batches with positions |
//! | [`sink`] | flushes | rows in a store, and the head |
//! | [`pipeline`] | a spec | the engine: check, task, run, report |
//! | `produce` | files, tables, streams | messages in a topic, each row once |
//! | `python` | Python objects | the binding: translates, decides nothing |
#![deny(missing_docs)]
#![warn(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod codec;
pub mod csv;
pub mod error;
pub mod faults;
pub mod flush;
pub mod input;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod ledger;
pub mod metrics;
pub mod pipeline;
#[cfg(feature = "kafka")]
pub mod produce;
pub mod reject;
pub mod runtime;
pub mod schema;
pub mod secret;
pub mod sink;
pub mod source;
pub mod time;
pub mod transform;
pub mod window;
pub mod wording;

#[cfg(feature = "python")]
mod python;

pub use error::{Error, Kind, Result};
