//! Input: paths, globs and standard input to unpacked bytes; file identity.
//!
//! In: what the user named. Out: [`Opened`] inputs in a fixed order, unpacked, within limits,
//! and fingerprints of what was read. Nothing here knows records or fields.
//!
//! **Bytes.** What [`InputSpec::open`] gives is UTF-8 (or meant to be: a broken byte in an
//! otherwise good file is left for the reader of records to reject). UTF-16 and Windows-1252
//! are transcoded on the way. Offsets count the bytes given here, so in packed and transcoded
//! inputs they count unpacked, transcoded bytes. A UTF-8 byte order mark stays where it is, so
//! that offsets in plain files are those of the file: who reads from byte 0 passes over
//! [`Head::bom`] bytes.
//!
//! **Errors of a stream** come through `std::io::Error`; [`read_error`] gives back the
//! sentence within (a cut archive, a limit) or makes one.

pub mod fingerprint;
mod head;
mod limits;
mod open;
mod text;
mod unpack;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

pub use head::{HEAD, Head, head, refuse};
pub use limits::{Limits, read_error};
pub use open::{InputSpec, expand};
pub use text::Encoding;
pub use unpack::Packing;

/// The bytes of one input, after unpacking.
pub enum Bytes {
    /// A plain file: read at any offset from any thread.
    At {
        /// The open file.
        file: Arc<std::fs::File>,
        /// Its length when it was opened; later growth belongs to a later run.
        len: u64,
    },
    /// Unpacked or piped: read once, front to back. Errors go through [`read_error`].
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
    /// How the bytes were written before they were transcoded to UTF-8.
    pub encoding: Encoding,
    /// How the input was packed.
    pub packing: Packing,
}
