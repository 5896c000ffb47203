//! An SQLite file as an endpoint.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An SQLite file and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sqlite {
    /// The file; made if it is not there.
    pub path: PathBuf,
    /// SQLite's `synchronous` setting.
    #[serde(default)]
    pub synchronous: Synchronous,
    /// Seconds to wait while another program holds the file.
    #[serde(default = "five")]
    pub busy_timeout: f64,
}

fn five() -> f64 {
    5.0
}

/// How surely SQLite writes before it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// A decided flush survives a power cut.
    #[default]
    Full,
    /// The newest flushes may be lost in a power cut, whole; the next run counts them again.
    Normal,
    /// A power cut may damage the file.
    Off,
}

impl Sqlite {
    /// `path` with every default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Sqlite {
            path: path.into(),
            synchronous: Synchronous::default(),
            busy_timeout: five(),
        }
    }
}

/// Whether a path is that of a database, by its end.
pub(super) fn is_sqlite(path: &Path) -> bool {
    let end = path.extension().and_then(|e| e.to_str());
    matches!(end, Some("db" | "db3" | "sqlite" | "sqlite3"))
}
