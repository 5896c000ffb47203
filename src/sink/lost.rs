//! What a store says when its own books name rows that are not there any more.
//!
//! A table, topic or folder that showed flushes and is gone was lost or taken away: making it anew would hide that its rows
//! are missing for good. It is refused before row one, and the next owner's state stays as it is. Only existence is looked at,
//! never the rows: deleting old ones is anybody's right.

use crate::{Error, Kind};

/// `name` is gone, and its pipeline has shown rows in it.
pub(super) fn gone(name: &str, pipeline: &str) -> Error {
    lost(&format!(
        "{name} is gone, and pipeline {pipeline:?} has written to it: its rows are lost"
    ))
}

/// `name` holds no row, and its pipeline has written windows to it.
pub(super) fn emptied(name: &str, pipeline: &str) -> Error {
    lost(&format!(
        "{name} is empty, and pipeline {pipeline:?} has written windows to it: its rows are lost"
    ))
}

/// `name` holds rows, and `state`, which would say whose they are and how far they go, is not there.
#[cfg(feature = "kafka")]
pub(super) fn nobodys(name: &str, state: &str) -> Error {
    Error::new(
        Kind::DataLost,
        format!(
            "{name} holds messages, and the topic {state:?}, which says which pipeline wrote them and how far it counted, is not there: it was lost or had another name; restore it or say its name (state_topic), or count everything again into another topic"
        ),
    )
}

/// What happened, and what can be done.
pub(super) fn lost(what: &str) -> Error {
    Error::new(
        Kind::DataLost,
        format!(
            "{what}; restore it from a copy, or count everything again: under a new pipeline name, or here after `wattline state --reset`"
        ),
    )
}
