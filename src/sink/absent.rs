//! A store that this build was made without.

use super::{Home, SinkSpec};
use crate::{Error, Kind, Result};

/// Refuses: the feature is off.
pub(super) fn open<At>(spec: &SinkSpec, _at: &At) -> Result<Box<dyn Home>> {
    Err(Error::new(
        Kind::Usage,
        format!(
            "this build of wattline was made without the client for {}; install the wheel, or build with its feature",
            spec.endpoint
        ),
    ))
}
