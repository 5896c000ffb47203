//! Codec: batches to bytes and back. Pure but for [`write`], which owns the file it makes.
//!
//! | part | does |
//! |---|---|
//! | [`text`] | cells as people and programs read them: previews, CSV, JSON lines |
//! | [`arrow`] | Arrow IPC streams |
//! | [`json`] | one reading a message, as JSON, and back |
//! | [`message`] | messages of either kind to tables |
//! | [`write`] | a table into a file, by its ending |

pub mod arrow;
mod file;
pub mod json;
pub mod message;
pub mod text;

pub use file::{Format, write};
