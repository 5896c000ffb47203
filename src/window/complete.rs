//! Complete: empty windows between a sensor's first and last.
//!
//! For grains of an hour and coarser every sensor has a track: the stretch of calendar windows
//! already written. A window that closes beyond its end first writes the windows in between,
//! each once; one that was silent but passed by the watermark is written as soon as a later
//! window of the sensor is open. A late window before the stretch extends it backwards. Where each
//! reading brings its step, an empty window is counted in that of the nearest window before it,
//! as known when it is written.

use crate::time::Calendar;
use crate::{Error, Kind, Result};

/// No window of a sensor has been written.
pub(crate) const NONE: i64 = i64::MIN;

/// Most empty windows in one stretch: more than a century of hours is a wrong date, not a gap.
const MOST: usize = 1 << 20;

/// What of a sensor's windows of one grain is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Track {
    /// Start of the first window written; [`NONE`] before.
    pub first: i64,
    /// End of the last window written; [`NONE`] before.
    pub next: i64,
    /// Step of the readings of the last window, 0 unknown.
    pub step: i64,
    /// Windows open.
    pub open: u32,
    /// Changed since the last `take_changes`.
    pub changed: bool,
}

impl Default for Track {
    fn default() -> Self {
        Track {
            first: NONE,
            next: NONE,
            step: 0,
            open: 0,
            changed: false,
        }
    }
}

/// The calendar windows that part `[from, to)`; an error where they are too many to be meant.
pub(crate) fn between(
    calendar: &Calendar,
    sensor: &str,
    from: i64,
    to: i64,
) -> Result<Vec<(i64, i64)>> {
    let mut windows = Vec::new();
    for window in calendar.windows_between(from, to) {
        if windows.len() == MOST {
            return Err(too_many(calendar, sensor, from, to));
        }
        windows.push(window);
    }
    Ok(windows)
}

/// The first `most` of them.
pub(crate) fn some_between(
    calendar: &Calendar,
    sensor: &str,
    from: i64,
    to: i64,
    most: usize,
) -> Result<Vec<(i64, i64)>> {
    if (to - from) / calendar.grain().nominal_us() > MOST as i64 {
        return Err(too_many(calendar, sensor, from, to));
    }
    Ok(calendar.windows_between(from, to).take(most).collect())
}

fn too_many(calendar: &Calendar, sensor: &str, from: i64, to: i64) -> Error {
    Error::new(
        Kind::Schema,
        format!(
            "sensor {sensor:?} has readings at {} and {} with more than a million empty windows in between; a date \
             is probably wrong: correct it or leave that reading out",
            calendar.label(from),
            calendar.label(to)
        ),
    )
}
