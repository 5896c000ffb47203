//! The one `Error` of the house: what the caller does next (kind), where it happened, and
//! whether trying again can help.
//!
//! Every message is one sentence that says what, where and what to do. Secrets never enter a
//! message: endpoints are shown through their redacted form.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What the caller does next decides the kind; Python maps each to one exception class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The data are not what the schema says, or the file is not data at all.
    Schema,
    /// Two date orders fit the file.
    AmbiguousDates,
    /// Local times without a zone, or a repeated or missing local hour under `raise`.
    AmbiguousZone,
    /// More rejects than the limit, or one under `on_reject = raise`.
    RejectLimit,
    /// The stored head belongs to another definition of the pipeline.
    SpecChanged,
    /// Another owner has the pipeline.
    Fenced,
    /// The source no longer holds what the head says was read (replaced, truncated, expired).
    DataLost,
    /// A store, broker or file system failed or refused.
    Endpoint,
    /// The books do not balance.
    Ledger,
    /// Stopped by the user at a decided flush.
    Interrupted,
    /// A file, table or pipeline that is not there.
    NotFound,
    /// Waited longer than allowed.
    Timeout,
    /// An option or argument that cannot be.
    Usage,
    /// A bounded read met a row out of time order while it was read optimistically; the run
    /// starts that read again with a look-ahead. Never reaches a user.
    Disorder,
    /// A defect of wattline itself.
    Internal,
}

/// Where in the data an error or a reject stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: Option<PathBuf>,
    /// Line, from 1, as an editor counts.
    pub line: Option<u64>,
    /// Byte offset in the unpacked file, from 0.
    pub byte: Option<u64>,
    /// Column name.
    pub column: Option<String>,
    /// Topic, partition, offset.
    pub message: Option<(String, i32, i64)>,
}

/// The error of every fallible function of the house.
#[derive(Clone)]
pub struct Error {
    /// What the caller does next.
    pub kind: Kind,
    /// One sentence: what, where, what to do.
    pub message: String,
    /// Where in the data.
    pub place: Option<Box<Place>>,
    /// Whether the same call may succeed later without a change by the user.
    pub retryable: bool,
    /// The error below, for `source()`.
    pub cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The result of every fallible function of the house.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` that says `message`; not retryable, no place.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            place: None,
            retryable: false,
            cause: None,
        }
    }

    /// The same error at `place`.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(Box::new(place));
        self
    }

    /// The same error, worth trying again.
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// The same error with the one below it.
    pub fn because(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|e| e as _)
    }
}
