//! A store that this build was made without.

use super::{Home, SinkSpec, Stored};
use crate::{Error, Kind, Result};
use std::fmt::Display;

/// Refuses: the feature is off.
pub(super) fn open<At>(spec: &SinkSpec, _at: &At) -> Result<Box<dyn Home>> {
    Err(without(&spec.endpoint))
}

/// The same for one that is to be read.
pub(super) fn stored<At: Display>(at: &At) -> Result<Box<dyn Stored>> {
    Err(without(at))
}

fn without(at: &dyn Display) -> Error {
    Error::new(
        Kind::Usage,
        format!(
            "this build of wattline was made without the client for {}; install the wheel, or build with its feature",
            at
        ),
    )
}
