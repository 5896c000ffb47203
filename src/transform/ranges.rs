//! Which rows of a batch count at all. Values out of their valid range never come here (the reader
//! makes them rejects); rows whose quality is `bad` are left out of windows and counted as dropped.

use crate::schema::{Quality, Readings};
use arrow_buffer::BooleanBuffer;

/// The rows that count; `None`: all.
pub fn keep(readings: &Readings) -> Option<BooleanBuffer> {
    let bad = Quality::Bad as u8;
    let quality = readings.quality.as_ref()?;
    quality
        .contains(&bad)
        .then(|| BooleanBuffer::collect_bool(quality.len(), |i| quality[i] != bad))
}
