//! Equal readings count once; readings that contradict each other are found.

/// Policy for readings equal in sensor, time and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// They count once.
    #[default]
    Once,
    /// Each counts.
    Keep,
    /// The first one ends the run.
    Raise,
}

/// Policy for readings of the same sensor and time with other values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Each counts, and they are counted and listed.
    #[default]
    Keep,
    /// The first by position counts.
    First,
    /// The last by position counts (bounded sources only).
    Last,
    /// The first one ends the run.
    Raise,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Dedupe {}
