//! Topics as sources.
//!
//! | part | does |
//! |---|---|
//! | [`Scan`] | a range of a topic as tables: no group, nothing committed |
//! | `range` | where a range begins and ends |

mod range;
mod scan;

pub use range::Bound;
pub use scan::{Scan, ScanOptions};
