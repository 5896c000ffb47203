//! Where the time went: named spans, summed over threads. A leaf.

use std::collections::BTreeMap;
use std::time::Duration;

/// Time by stage (`read`, `decode`, `windows`, `decide`, `apply`, ...).
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Seconds by stage, in order of name.
    pub stages: BTreeMap<&'static str, Duration>,
}

impl Metrics {
    /// Adds `spent` to `stage`.
    pub fn add(&mut self, stage: &'static str, spent: Duration) {
        *self.stages.entry(stage).or_default() += spent;
    }
}
