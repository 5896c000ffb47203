//! What may be asked of `produce`; the one definition of its options.

use super::usage;
use crate::codec::message::Codec;
use crate::pipeline::{SchemaSpec, Texts};
use crate::reject::OnReject;
use crate::time::{OnMissing, OnRepeated, duration};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each row once in the topic, for readers of committed messages.
    #[default]
    Exact,
    /// At least once when run again.
    Fast,
}

/// The record time of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stamps {
    /// The time of the reading.
    #[default]
    Event,
    /// When it is sent.
    Now,
}

/// How a topic is made, where it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Create {
    /// Partitions; 0: one.
    pub partitions: i32,
    /// Replicas; 0: the broker's default.
    pub replication: i32,
    /// How long messages are kept, `7d`, or `forever`; `None`: for ever, as record times are those of the readings.
    pub retention: Option<String>,
    /// Other settings of the topic.
    pub settings: BTreeMap<String, String>,
}

/// Options of `produce`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Paths, globs, `-`, or a `sim://` URL; empty where the data are handed over.
    pub source: Texts,
    /// The columns; `None`: sniffed.
    pub schema: Option<SchemaSpec>,
    /// What is promised.
    pub mode: Mode,
    /// Makes a stream without identity repeatable: standard input, a table, a reader.
    pub name: Option<String>,
    /// Record times.
    pub timestamp: Stamps,
    /// How readings are written.
    pub codec: Codec,
    /// Make the topic where it is not there.
    pub create: Option<Create>,
    /// Records that cannot be read.
    pub on_reject: OnReject,
    /// Greatest number of rejects.
    pub max_rejects: Option<u64>,
    /// Local times that occur twice.
    pub on_repeated: OnRepeated,
    /// Local times that do not exist.
    pub on_missing: OnMissing,
    /// The file may grow: an unterminated last line is held back.
    pub may_grow: bool,
    /// How long a transaction is.
    pub transaction: String,
    /// The compacted topic that holds what is committed.
    pub progress_topic: String,
    /// How long another load's open transaction is waited for.
    pub progress_timeout: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            source: Texts::default(),
            schema: None,
            mode: Mode::Exact,
            name: None,
            timestamp: Stamps::Event,
            codec: Codec::Json,
            create: None,
            on_reject: OnReject::Raise,
            max_rejects: None,
            on_repeated: OnRepeated::default(),
            on_missing: OnMissing::default(),
            may_grow: false,
            transaction: "1s".into(),
            progress_topic: "wattline-progress".into(),
            progress_timeout: "90s".into(),
        }
    }
}

impl Options {
    /// Reads JSON; unknown keys and wrong types are refused by name.
    pub fn from_json(text: &str) -> Result<Options> {
        serde_json::from_str(text).map_err(|e| usage(format!("an option of produce is wrong: {e}")))
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.mode == Mode::Fast && self.codec == Codec::Arrow {
            return Err(usage(
                "mode = \"fast\" sends rows again, and an Arrow message of other rows than before has no place by which readers know them; leave mode out, or send JSON",
            ));
        }
        self.transaction()?;
        self.progress_timeout()?;
        Ok(())
    }

    pub(super) fn transaction(&self) -> Result<Duration> {
        span("transaction", &self.transaction)
    }

    pub(super) fn progress_timeout(&self) -> Result<Duration> {
        span("progress_timeout", &self.progress_timeout)
    }
}

fn span(key: &str, text: &str) -> Result<Duration> {
    let micros = duration::parse(text)
        .map_err(|e| Error::new(Kind::Usage, format!("{key}: {}", e.message)))?;
    Ok(Duration::from_micros(micros.unsigned_abs()))
}
