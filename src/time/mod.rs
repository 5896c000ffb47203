//! Time: text to instants, zones, grains and calendar edges. Pure integers; no clock, no I/O.
//!
//! An *instant* is microseconds since 1970-01-01T00:00:00Z (`i64`); a *local* time is the same
//! count read off a wall clock, as if the wall clock were UTC. The Gregorian calendar is used for
//! all years.
//!
//! | part | comes in | goes out |
//! |---|---|---|
//! | [`civil`] | year, month, day | days since 1970-01-01, and back |
//! | [`parse`] | bytes of a field | dates, times of day, local times, instants |
//! | [`duration`] | `15min` | microseconds |
//! | [`Zone`] | an IANA name | offsets, local ↔ UTC |
//! | [`Converter`] | local times in file order | instants, by the policies on repeated and missing hours |
//! | [`Grain`] | `1q@apr` | a checked grain |
//! | [`Calendar`] | grain and zone | windows, labels |
//! | [`ladder`] | grains and zone | which grain may feed which |
//!
//! **Range.** Offsets are those of the IANA tables compiled in ([`tzdata_version`]), from each
//! zone's first entry in the nineteenth century to the end of 2099. Before the first change the
//! zone's first offset holds, after the last change the last one, for ever: so every instant
//! has one offset, and everything built here (windows, ladders) is true for every instant by the
//! same tables. Instants beyond [`MIN`] and [`MAX`] (about 140,000 years away) are clamped.

mod calendar;
pub mod civil;
mod convert;
pub mod duration;
mod grain;
mod label;
mod ladder;
pub mod parse;
mod zone;

pub use calendar::{Calendar, Cursor, Windows};
pub use convert::{Alone, Converter, LocalError, OnMissing, OnRepeated};
pub use grain::Grain;
pub use ladder::ladder;
pub use parse::DateOrder;
pub use zone::{Local, Zone};

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day of 24 hours.
pub const DAY: i64 = 24 * HOUR;
/// The least instant that windows are computed for.
pub const MIN: i64 = -(1 << 62);
/// The greatest instant that windows are computed for.
pub const MAX: i64 = 1 << 62;

/// Version of the IANA time zone data compiled in, such as `2025b`.
pub fn tzdata_version() -> &'static str {
    chrono_tz::IANA_TZDB_VERSION
}
