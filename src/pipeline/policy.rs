//! The policies a user can choose, `on_<noun>` everywhere: spec, TOML, flags, operators.

pub use crate::transform::{OnConflict, OnDuplicate};
use serde::{Deserialize, Serialize};

macro_rules! policy {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
    };
}

policy! {
    /// What of a topic has one head.
    State {
        /// Each partition: a key lives in one of them, and runs may share them.
        #[default]
        Keyed,
        /// All partitions together: for topics written without keys.
        Shared,
    }
}

policy! {
    /// What happens to a reading behind a final window.
    OnLate {
        /// To the late table, with the reason and the grains.
        #[default]
        Side,
        /// Counted and left out.
        Drop,
        /// Merged into the kept partial, the row written again, `revision` one up for each; after `correct_for`, side.
        Correct,
    }
}
