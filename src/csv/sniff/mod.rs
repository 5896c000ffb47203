//! Sniffing: what a file's head says of its dialect, columns and times, and what it cannot say.

mod dates;
mod further;
mod grouped;
mod household;
mod obstacle;
mod propose;
mod resolve;
mod roles;
mod sample;
mod types;

pub use obstacle::{Sought, obstacle};
pub use resolve::{SchemaChoice, resolve};

use crate::Result;
use crate::input::{Head, refuse};
use crate::schema::{DateOrder, Schema};
use sample::{Sample, Told};
use std::fmt;

/// Records that tell a known layout.
const FEW: usize = 250;

/// Records that types are taken from.
const MANY: usize = 4_000;

/// What the caller knows already; a hint is not looked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// The delimiter.
    pub delimiter: Option<char>,
    /// Whether the first record names the columns.
    pub header: Option<bool>,
    /// Order of day, month and year.
    pub order: Option<DateOrder>,
    /// A column of texts whose name says that it names the sensor does, whether or not its values come again: the rows
    /// are the first of many.
    pub named: bool,
    /// Columns that are measures: numbers, whatever else stands among them.
    pub measures: Vec<String>,
}

/// One thing that was found, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What it is about: `delimiter`, `column Voltage`, `step`.
    pub what: String,
    /// What was found.
    pub value: String,
    /// Why.
    pub why: String,
}

/// A proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Sniffed {
    /// The schema, ready for `CsvPlan::compile`.
    pub schema: Schema,
    /// What was found, and why.
    pub evidence: Vec<Evidence>,
    /// What the file cannot say, with what is assumed and how to say otherwise.
    pub unknown: Vec<String>,
}

impl fmt::Display for Sniffed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for e in &self.evidence {
            writeln!(f, "{}: {} ({})", e.what, e.value, e.why)?;
        }
        for unknown in &self.unknown {
            writeln!(f, "not known: {unknown}")?;
        }
        Ok(())
    }
}

/// Proposes a schema for the file that begins with `head`. Errors: `Schema` where it is no CSV
/// file, `AmbiguousDates` where two date orders fit and nothing in the file decides.
pub fn sniff(head: &Head, hints: &Hints) -> Result<Sniffed> {
    refuse(head)?;
    let told = Told::hinted(hints);
    let few = Sample::take(head, &told, FEW)?;
    if let Some(found) = propose::known(head, &few, hints)? {
        return Ok(found);
    }
    let sample = Sample::take(head, &told, MANY)?;
    propose::propose(head, &sample, hints)
}
