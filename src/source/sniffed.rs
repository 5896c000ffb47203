//! Files that were not declared: their schema, and why it lacks a measure or a time.

use crate::csv::{Hints, Sought, obstacle, sniff};
use crate::input::Head;
use crate::schema::{ColumnType, Overrides, Schema};
use crate::{Error, Kind, Result};

/// The schema of a file that was not declared: a measure that is named is one, where most of its values are numbers.
pub(super) fn proposed(head: &Head, told: &Overrides) -> Result<Schema> {
    let measures = told.measures.clone().unwrap_or_default();
    let hints = Hints {
        measures: measures.clone(),
        ..Hints::default()
    };
    let schema = sniff(head, &hints)?.schema;
    let text = |name: &&String| {
        let found = schema.columns.iter().find(|c| c.name == **name);
        found.is_some_and(|c| c.kind == ColumnType::Text)
    };
    let Some(name) = measures.iter().find(text) else {
        return Ok(schema);
    };
    match obstacle(head, Sought::Named(name))? {
        None => Ok(schema),
        Some(why) => Err(Error::new(
            Kind::Schema,
            format!(
                "{}: {why}; name another measure, mend the file, or declare the column in a schema",
                head.name()
            ),
        )),
    }
}

/// No column is the time; says why, where the file was not declared.
pub(super) fn timeless(head: &Head, sniffed: bool) -> Error {
    let why = match sniffed {
        true => obstacle(head, Sought::Time).ok().flatten(),
        false => None,
    };
    let why = why.map_or(String::new(), |why| format!(" ({why})"));
    Error::new(
        Kind::Schema,
        format!(
            "{}: no column reads as a time, and windows need one{why}; check that it is the right file, or declare its time in a schema",
            head.name()
        ),
    )
}
