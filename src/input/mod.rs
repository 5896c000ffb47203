//! Input: paths, globs and standard input to unpacked bytes; file identity.
//!
//! In: what the user named. Out: [`Opened`] inputs in a fixed order, unpacked, within limits,
//! and fingerprints of what was read. Nothing here knows records or fields.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// The bytes of one input, after unpacking.
pub enum Bytes {
    /// A plain file: read at any offset from any thread.
    At {
        /// The open file.
        file: Arc<std::fs::File>,
        /// Its length when it was opened; later growth belongs to a later run.
        len: u64,
    },
    /// Unpacked or piped: read once, front to back.
    Stream(Box<dyn Read + Send>),
}

/// One opened input.
pub struct Opened {
    /// As the user named it; `-` for standard input.
    pub name: Arc<str>,
    /// Its path, where it has one.
    pub path: Option<PathBuf>,
    /// Its bytes.
    pub bytes: Bytes,
}
