//! State: what a pipeline's home holds. Reads without owning.

use super::build;
use super::spec::Spec;
use crate::flush::Head;
use crate::{Error, Kind, Result};

/// What the home of a pipeline holds.
#[derive(Clone, Debug)]
pub struct State {
    /// The newest epoch taken.
    pub epoch: u64,
    /// The newest decided flush.
    pub head: Option<Head>,
    /// State records since the last fold.
    pub records: usize,
    /// Decided flushes that some sink may not show yet.
    pub unapplied: usize,
}

/// Looks into the home of `spec`. Errors: `NotFound` where the pipeline was never run there.
pub fn state(spec: &Spec) -> Result<State> {
    let mut stores = build::stores(spec)?;
    let seen = stores.home.look(&spec.name, 0)?.ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!(
                "no pipeline {:?} in {}; run it first, or check the name",
                spec.name,
                stores.home.describe()
            ),
        )
    })?;
    Ok(State {
        epoch: seen.epoch,
        head: seen.head,
        records: seen.records.len(),
        unapplied: seen.unapplied.len(),
    })
}
