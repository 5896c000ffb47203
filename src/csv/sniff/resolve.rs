//! From what the caller chose to a schema that fits the file at hand.

use super::sample::{Sample, Told};
use super::types::typed;
use super::{FEW, Hints, further, household, propose::header_of, sniff};
use crate::input::{Encoding, Head, refuse};
use crate::schema::{Column, ColumnType, DateOrder, Role, Schema, preset};
use crate::{Error, Kind, Result};

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
/// name short) it says `header = false` and its columns are the fields of a record in order,
/// those with the role `ignore` too.
pub fn resolve(choice: &SchemaChoice, head: &Head) -> Result<Schema> {
    match choice {
        SchemaChoice::Sniff => Ok(sniff(head, &Hints::default())?.schema),
        SchemaChoice::Preset(name) => declared(preset(name)?, head),
        SchemaChoice::Declared(schema) => declared((**schema).clone(), head),
    }
}

fn declared(schema: Schema, head: &Head) -> Result<Schema> {
    schema.check()?;
    refuse(head)?;
    let sample = Sample::take(head, &Told::by(&schema.dialect), FEW)?;
    if household::is_preset(&schema)? {
        let schema = household::resolve(head, &sample, &schema)?;
        return Ok(with_dialect(schema, head, &sample));
    }
    let mut schema = schema;
    let header = match schema.dialect.header {
        Some(told) => told,
        None => named(&schema, &sample) || header_of(&sample).0,
    };
    schema.dialect.preamble = sample.preamble;
    schema.dialect.header = Some(header);
    schema.time.order = match schema.time.order {
        None => date_order(&schema, head, &sample, header)?,
        told => told,
    };
    let schema = with_dialect(schema, head, &sample);
    complete(&schema, head, &sample, header)?;
    Ok(schema)
}

/// The delimiter, quote and encoding that the file speaks for, where the schema leaves them open.
fn with_dialect(mut schema: Schema, head: &Head, sample: &Sample) -> Schema {
    let dialect = &mut schema.dialect;
    dialect
        .delimiter
        .get_or_insert(char::from(sample.cut.delimiter));
    dialect.quote = sample.cut.quote.map(char::from);
    if dialect.encoding.is_none() && head.encoding != Encoding::Utf8 {
        dialect.encoding = Some(head.encoding.name().to_string());
    }
    schema
}

/// All names that the header holds, line by line too.
fn names<'a>(sample: &'a Sample) -> impl Iterator<Item = &'a String> {
    sample.first.iter().chain(sample.heads.iter().flatten())
}

/// Whether the first record names a column of the schema.
fn named(schema: &Schema, sample: &Sample) -> bool {
    let wanted =
        |name: &String| !name.is_empty() && schema.columns.iter().any(|c| c.answers_to(name));
    names(sample).any(wanted)
}

fn wanted(schema: &Schema) -> impl Iterator<Item = &Column> {
    schema.columns.iter().filter(|c| c.role != Role::Ignore)
}

/// Refuses a file that lacks declared columns.
fn complete(schema: &Schema, head: &Head, sample: &Sample, header: bool) -> Result<()> {
    let wrong = |message: String| Err(Error::new(Kind::Schema, message));
    if !header {
        let (width, declared) = (sample.width(), schema.columns.len());
        return match declared <= width {
            true => Ok(()),
            false => wrong(format!(
                "{} has {width} fields in a record and the schema declares {declared} columns; check the file and its delimiter",
                head.name()
            )),
        };
    }
    let missing: Vec<&str> = wanted(schema)
        .filter(|c| !names(sample).any(|name| c.answers_to(name)))
        .map(|c| c.name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    wrong(format!(
        "{} lacks the columns {}; its header names {}: check the file, or give the columns other names",
        head.name(),
        missing.join(", "),
        sample
            .first
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    ))
}

/// The order of the time's dates, where the schema leaves it open.
fn date_order(
    schema: &Schema,
    head: &Head,
    sample: &Sample,
    header: bool,
) -> Result<Option<DateOrder>> {
    let dated = |c: &&Column| matches!(c.kind, ColumnType::Date | ColumnType::Timestamp);
    let listed = wanted(schema).filter(|c| schema.time.columns.contains(&c.name));
    let Some(column) = listed.chain(wanted(schema)).find(dated) else {
        return Ok(None);
    };
    let place = if header {
        sample.first.iter().position(|name| column.answers_to(name))
    } else {
        schema.columns.iter().position(|c| c.name == column.name)
    };
    let Some(at) = place else { return Ok(None) };
    let found = typed(&sample.column(at, header), false);
    if !matches!(found.kind, ColumnType::Date | ColumnType::Timestamp) {
        return Ok(None);
    }
    let orders = further::look(head, sample, at, found.orders)?;
    if orders.only().is_none() {
        return Err(further::ambiguous(
            head,
            sample,
            at,
            &column.name,
            orders,
            header,
        ));
    }
    Ok(further::told(orders))
}
