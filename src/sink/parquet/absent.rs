//! A build without the client of S3.

use super::store::Store;
use crate::sink::Parquet;
use crate::{Error, Kind, Result};
use std::sync::Arc;

/// Refuses: the feature is off.
pub(super) fn open(at: &Parquet) -> Result<Arc<dyn Store>> {
    let message = format!(
        "this build of wattline was made without the client for {at}; install the wheel, or build with its feature"
    );
    Err(Error::new(Kind::Usage, message))
}
