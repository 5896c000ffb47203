//! Transform: readings to readings, before windows.
//!
//! | part | does |
//! |---|---|
//! | [`ranges`] | which rows count at all: quality `bad` does not |
//! | [`Dedupe`] | equal readings and conflicts, over batches, flushes and reads; its state is saved with the flush |

mod dedupe;
pub mod ranges;

pub use dedupe::{Dedupe, OnConflict, OnDuplicate};
