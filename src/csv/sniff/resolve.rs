//! From what the caller chose to a schema that fits the file at hand.

use super::{Hints, sniff};
use crate::Result;
use crate::input::Head;
use crate::schema::{Schema, preset};

/// How the schema of a file was chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaChoice {
    /// A preset by name.
    Preset(String),
    /// Declared by the user: it always wins, the file only fills in what it leaves open.
    Declared(Box<Schema>),
    /// Proposed from the file.
    Sniff,
}

/// The schema for the file that begins with `head`, ready for `CsvPlan::compile`: delimiter,
/// header and date order are filled in. Where the header cannot serve (none, doubled names, one
/// name short) it says `header = false` and its columns are the fields of a record in order.
pub fn resolve(choice: &SchemaChoice, head: &Head) -> Result<Schema> {
    match choice {
        SchemaChoice::Sniff => Ok(sniff(head, &Hints::default())?.schema),
        SchemaChoice::Preset(name) => preset(name),
        SchemaChoice::Declared(schema) => Ok((**schema).clone()),
    }
}
