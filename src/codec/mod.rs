//! Codec: batches to bytes and back. Pure but for [`write`], which owns the file it makes.
//!
//! | part | does |
//! |---|---|
//! | [`text`] | cells as people and programs read them: previews, CSV, JSON lines |
//! | [`arrow`] | Arrow IPC streams |
//! | [`write`] | a table into a file, by its ending |

pub mod arrow;
mod file;
pub mod text;

pub use file::{Format, write};
