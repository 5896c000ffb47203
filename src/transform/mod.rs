//! Transform: readings to readings, before windows.
//!
//! | part | does |
//! |---|---|
//! | [`ranges`] | which rows count at all: quality `bad` does not |
//! | [`Dedupe`] | equal readings and conflicts, over batches, flushes and reads; its state is saved with the flush |
//! | [`Held`] | rows held back until no other of their instant can come (`on_conflict = last`) |
//! | [`select()`] | some rows of a batch |

mod dedupe;
mod held;
pub mod ranges;
mod select;

pub use dedupe::{Dedupe, Found, OnConflict, OnDuplicate, Reach, end};
pub use held::{Held, Released};
pub use select::select;
