//! Attributes: columns beside the measures that travel with the readings to the sinks that ask for them.
//!
//! **Who asks.** A sink of readings or late rows: with `columns=` for those that it names, without it for all that the
//! schema has. Where no sink asks, none is carried and readings are what they were: windows never see an attribute, and
//! the windows of a read are the same bits whether attributes travel beside them or not. That is also why a column is
//! read and checked whoever asks: a record that is a reject is one for every sink. Where `measures=` says what is read of
//! a file, the attributes that a sink names are read too (and a fault in one is a reject), and no others.
//!
//! **Types.** What every store keeps without change: text, yes or no, whole numbers (64 bits), floats, dates and
//! instants (µs, UTC). Others become one of these where they are one: dictionaries text, decimals floats (as measures
//! do), a time of day its text. The rest (lists, structs, bytes, durations) is refused by name before row one.
//!
//! **Names.** An attribute keeps its name of the schema. One that has the name of a column of ours (`sensor_id`, `file`,
//! ...) or of a measure is refused where all are asked for; in a mapping such a name is ours.
//!
//! **Equal readings.** Attributes are not compared: two readings are duplicates or in conflict by their measures alone.
//! Of equal ones the first by position counts, with its attributes.

use super::columns::{Role, Schema};
use super::roles::{is_number, is_text};
use crate::{Error, Kind, Result};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Fields, Schema as ArrowSchema, TimeUnit};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Metadata of a column that says what it is for.
const ROLE: &str = "wattline:role";

/// Columns of ours in tables of readings and late rows, beside the measures.
const OURS: [&str; 8] = [
    "sensor_id",
    "time",
    "quality",
    "file",
    "stream",
    "row",
    "reason",
    "grains",
];

/// Which attributes travel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Carried {
    /// None.
    #[default]
    None,
    /// Those of these names that the schema has.
    Named(BTreeSet<String>),
    /// All.
    All,
}

impl Carried {
    fn has(&self, name: &str) -> bool {
        match self {
            Carried::None => false,
            // In a mapping such a name is the column of ours.
            Carried::Named(names) => names.contains(name) && !OURS.contains(&name),
            Carried::All => true,
        }
    }

    /// Those that are asked for by name.
    pub fn named(&self) -> impl Iterator<Item = &String> {
        let names = match self {
            Carried::Named(names) => Some(names),
            Carried::None | Carried::All => None,
        };
        names.into_iter().flatten()
    }
}

/// The attributes of a batch of readings: one column a field, as long as the batch.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// What they are; the same list for all batches of a source.
    pub fields: Fields,
    /// Their values.
    pub columns: Vec<ArrayRef>,
}

impl Attributes {
    /// These of a stored table; one that it does not have is null.
    pub fn stored(rows: &RecordBatch, fields: &Fields) -> Attributes {
        let column = |field: &Arc<Field>| {
            let found = rows.column_by_name(field.name());
            let found = found.filter(|c| c.data_type() == field.data_type());
            found
                .cloned()
                .unwrap_or_else(|| new_null_array(field.data_type(), rows.num_rows()))
        };
        Attributes {
            columns: fields.iter().map(column).collect(),
            fields: fields.clone(),
        }
    }

    /// No rows of these.
    pub fn none(fields: &Fields) -> Attributes {
        let column = |field: &Arc<Field>| new_null_array(field.data_type(), 0);
        Attributes {
            columns: fields.iter().map(column).collect(),
            fields: fields.clone(),
        }
    }

    /// The rows whose bit is set.
    pub fn filter(&self, rows: &BooleanArray) -> Result<Attributes> {
        let pick = |column: &ArrayRef| {
            arrow_select::filter::filter(column, rows).map_err(super::canonical::arrow)
        };
        Ok(Attributes {
            fields: self.fields.clone(),
            columns: self.columns.iter().map(pick).collect::<Result<_>>()?,
        })
    }

    /// About how many bytes they hold.
    pub fn bytes(&self) -> usize {
        let size = |c: &ArrayRef| c.to_data().get_slice_memory_size().unwrap_or(0);
        self.columns.iter().map(size).sum()
    }
}

/// Where the attributes of a table stand, and what they become.
#[derive(Clone, Default)]
pub(super) struct Plan {
    at: Vec<usize>,
    pub(super) fields: Fields,
}

impl Plan {
    /// Those of `schema` that travel, as far as the table has them.
    /// Errors: `Schema` for a type that cannot be carried and for a name that is taken.
    pub(super) fn new(
        schema: &Schema,
        arrow: &ArrowSchema,
        carried: &Carried,
        find: impl Fn(&super::Column) -> Result<usize>,
    ) -> Result<Plan> {
        let (mut at, mut fields) = (Vec::new(), Vec::new());
        let of_role = |role| schema.columns.iter().filter(move |c| c.role == role);
        let mut taken: BTreeSet<String> = OURS.iter().map(ToString::to_string).collect();
        taken.extend(of_role(Role::Measure).map(|c| c.name.to_lowercase()));
        for column in of_role(Role::Attribute).filter(|c| carried.has(&c.name)) {
            // A file may lack a column that nobody needs.
            let Ok(place) = find(column) else { continue };
            if !taken.insert(column.name.to_lowercase()) {
                return Err(taken_name(&column.name));
            }
            let field = arrow.field(place);
            let kind = kept_as(field.data_type()).ok_or_else(|| refused(&column.name, field))?;
            zoned(schema, &column.name, field.data_type())?;
            fields.push(described(&column.name, kind));
            at.push(place);
        }
        Ok(Plan {
            at,
            fields: fields.into(),
        })
    }

    /// Their values in a batch.
    pub(super) fn of(&self, batch: &RecordBatch) -> Result<Attributes> {
        let places = self.at.iter().zip(&self.fields);
        let columns = places.map(|(at, field)| brought(batch.column(*at), field));
        Ok(Attributes {
            columns: columns.collect::<Result<_>>()?,
            fields: self.fields.clone(),
        })
    }
}

/// A column that says that it is an attribute.
fn described(name: &str, kind: DataType) -> Field {
    let role = HashMap::from([(ROLE.to_string(), "attribute".to_string())]);
    Field::new(name, kind, true).with_metadata(role)
}

/// Whether a column of a readings table is an attribute.
pub fn is_attribute(field: &Field) -> bool {
    field.metadata().get(ROLE).is_some_and(|r| r == "attribute")
}

/// What a type is carried as; `None`: not at all.
fn kept_as(kind: &DataType) -> Option<DataType> {
    Some(match kind {
        kind if is_text(kind) => DataType::Utf8,
        DataType::Dictionary(_, values) => return kept_as(values),
        DataType::Null | DataType::Time32(_) | DataType::Time64(_) => DataType::Utf8,
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => instant(),
        kind if kind.is_integer() => DataType::Int64,
        kind if is_number(kind) => DataType::Float64,
        _ => return None,
    })
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The values of a column in the type they are carried in.
fn brought(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if column.data_type() == field.data_type() {
        return Ok(column.clone());
    }
    // A number beyond 64 bits with a sign, an instant beyond the calendar: an error, not a null.
    let exact = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(column, field.data_type(), &exact).map_err(|e| {
        Error::new(
            Kind::Schema,
            format!(
                "the attribute {:?} holds a value that no store keeps ({e}); cast the column to text",
                field.name()
            ),
        )
    })
}

/// A timestamp without zone could be read two ways where the times of the readings have one.
fn zoned(schema: &Schema, name: &str, kind: &DataType) -> Result<()> {
    match (kind, schema.tz.as_deref()) {
        (DataType::Timestamp(_, None), Some(tz)) if tz != "UTC" => Err(Error::new(
            Kind::Schema,
            format!(
                "the attribute {name:?} is a timestamp without zone, and local times of {tz} are asked for; give it a zone, cast it to text, or give it role = \"ignore\""
            ),
        )),
        _ => Ok(()),
    }
}

fn taken_name(name: &str) -> Error {
    Error::new(
        Kind::Schema,
        format!(
            "the attribute {name:?} has the name of another column of a table of readings ({}, or a measure); rename it in the schema, give it role = \"ignore\", or pick columns with columns=",
            OURS.join(", ")
        ),
    )
}

fn refused(name: &str, field: &Field) -> Error {
    Error::new(
        Kind::Schema,
        format!(
            "the attribute {name:?} holds {}, which no store keeps; cast it to text, a number, yes or no, a date or a timestamp, or give it role = \"ignore\"",
            field.data_type()
        ),
    )
}
