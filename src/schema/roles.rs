//! Which column of an Arrow table is what: from a schema, from what the caller says, or from
//! the types alone. Nothing that could be read two ways is guessed.

use super::attributes::Carried;
use super::columns::{Column, ColumnType, MeasureKind, Role, Schema, StepSpec, TimeSpec};
use super::names::named_like_key;
use crate::time::duration;
use crate::{Error, Kind, Result};
use arrow_schema::{DataType, Field, Schema as ArrowSchema};

/// Key of the table metadata that holds the schema as JSON.
pub const METADATA_KEY: &str = "wattline:schema";

/// What the caller says about a table; it wins over the schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// The time column.
    pub time: Option<String>,
    /// The columns of the sensor key.
    pub sensor: Option<Vec<String>>,
    /// The measures; other numbers are attributes.
    pub measures: Option<Vec<String>>,
    /// The step, such as `1min`.
    pub step: Option<String>,
    /// IANA zone of times without one.
    pub tz: Option<String>,
    /// The attributes that travel with the readings.
    pub carried: Carried,
}

/// The schema of a table: its metadata where wattline wrote it, else inferred from the types.
/// Errors: `Schema`, naming the candidates, where two columns could be meant.
pub fn infer(arrow: &ArrowSchema, overrides: &Overrides) -> Result<Schema> {
    match arrow.metadata().get(METADATA_KEY) {
        Some(json) => apply(read_metadata(json)?, arrow, overrides),
        None => from_types(arrow, overrides),
    }
}

fn read_metadata(json: &str) -> Result<Schema> {
    serde_json::from_str(json).map_err(|e| {
        Error::new(
            Kind::Schema,
            format!(
                "the table's metadata {METADATA_KEY:?} is no schema: {e}; remove it or pass schema="
            ),
        )
    })
}

/// The schema with what the caller says put over it.
pub fn apply(mut schema: Schema, arrow: &ArrowSchema, overrides: &Overrides) -> Result<Schema> {
    told_apart(&schema.time, overrides)?;
    if let Some(time) = &overrides.time {
        set_role(&mut schema, arrow, std::slice::from_ref(time), Role::Time)?;
        schema.time = TimeSpec {
            columns: vec![time.clone()],
            order: schema.time.order,
        };
    }
    if let Some(sensor) = &overrides.sensor {
        set_role(&mut schema, arrow, sensor, Role::Sensor)?;
    }
    if let Some(measures) = &overrides.measures {
        set_role(&mut schema, arrow, measures, Role::Measure)?;
        order_measures(&mut schema, measures);
    }
    if let Some(step) = &overrides.step {
        duration::positive(step)?;
        schema.step = StepSpec::Fixed(step.clone());
    }
    if overrides.tz.is_some() {
        schema.tz.clone_from(&overrides.tz);
    }
    Ok(schema)
}

/// A column is told to be one thing only.
fn told_apart(time: &TimeSpec, overrides: &Overrides) -> Result<()> {
    let times = overrides
        .time
        .as_ref()
        .map_or(&time.columns[..], std::slice::from_ref);
    let sensors = overrides.sensor.as_deref().unwrap_or_default();
    let measures = overrides.measures.as_deref().unwrap_or_default();
    let told = [("time", times), ("sensor", sensors), ("measures", measures)];
    for (at, (what, names)) in told.iter().enumerate() {
        for (other, others) in &told[at + 1..] {
            if let Some(name) = names.iter().find(|n| others.contains(n)) {
                return Err(Error::new(
                    Kind::Schema,
                    format!(
                        "column {name:?} cannot be of {what} and of {other} at once; name another column with {other}="
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Gives exactly the columns `names` the role, adding those that only the table has.
fn set_role(schema: &mut Schema, arrow: &ArrowSchema, names: &[String], role: Role) -> Result<()> {
    for column in &mut schema.columns {
        if column.role == role {
            column.role = Role::Attribute;
        }
    }
    for name in names {
        match schema.columns.iter_mut().find(|c| c.name == *name) {
            Some(column) => column.role = role,
            None => schema.columns.push(column_of(field_of(arrow, name)?, role)),
        }
    }
    if role == Role::Measure {
        let fresh = schema
            .columns
            .iter_mut()
            .filter(|c| c.role == role && c.measure.is_none());
        fresh.for_each(|c| c.measure = Some(MeasureKind::Gauge));
    }
    Ok(())
}

/// Measures come in the order asked for.
fn order_measures(schema: &mut Schema, names: &[String]) {
    let place = |c: &Column| names.iter().position(|n| *n == c.name).map_or(0, |i| i + 1);
    schema.columns.sort_by_key(place);
}

fn field_of<'a>(arrow: &'a ArrowSchema, name: &str) -> Result<&'a Field> {
    arrow.field_with_name(name).map_err(|_| {
        Error::new(
            Kind::Schema,
            format!("the table has no column {name:?}; it has {}", listed(arrow)),
        )
    })
}

/// The table's column names, for a message.
pub(super) fn listed(arrow: &ArrowSchema) -> String {
    let names: Vec<_> = arrow.fields().iter().map(|f| f.name().as_str()).collect();
    if names.is_empty() {
        "no columns".to_string()
    } else {
        names.join(", ")
    }
}

fn from_types(arrow: &ArrowSchema, overrides: &Overrides) -> Result<Schema> {
    let time = match &overrides.time {
        Some(name) => field_of(arrow, name)?.name().clone(),
        None => only_time(arrow)?,
    };
    let sensors = match &overrides.sensor {
        Some(names) => {
            names
                .iter()
                .try_for_each(|n| field_of(arrow, n).map(drop))?;
            names.clone()
        }
        None => only_sensor(arrow, overrides.measures.as_deref().unwrap_or_default())?,
    };
    let time_of = TimeSpec {
        columns: vec![time.clone()],
        order: None,
    };
    told_apart(&time_of, overrides)?;
    let mut schema = Schema {
        name: "inferred".into(),
        time: time_of,
        tz: overrides.tz.clone(),
        ..Schema::default()
    };
    for field in arrow.fields() {
        let role = role_of(field, &time, &sensors);
        schema.columns.push(column_of(field, role));
    }
    if schema.columns.iter().all(|c| c.role != Role::Sensor) {
        schema.sensor_id = Some(super::SENSOR.into());
    }
    apply(
        schema,
        arrow,
        &Overrides {
            time: None,
            sensor: None,
            ..overrides.clone()
        },
    )
}

fn role_of(field: &Field, time: &str, sensors: &[String]) -> Role {
    if field.name() == time {
        Role::Time
    } else if sensors.contains(field.name()) {
        Role::Sensor
    } else if is_number(field.data_type()) {
        Role::Measure
    } else {
        Role::Attribute
    }
}

fn only_time(arrow: &ArrowSchema) -> Result<String> {
    let is_time = |f: &&Field| matches!(f.data_type(), DataType::Timestamp(..));
    let mut found: Vec<_> = fields(arrow).filter(is_time).collect();
    if found.is_empty() {
        found = fields(arrow)
            .filter(|f| f.data_type().is_temporal())
            .collect();
        found.retain(|f| matches!(f.data_type(), DataType::Date32 | DataType::Date64));
    }
    match found.as_slice() {
        [one] => Ok(one.name().clone()),
        [] => Err(Error::new(
            Kind::Schema,
            format!(
                "no column of the table is a timestamp ({}); convert one, or name it with time=",
                listed(arrow)
            ),
        )),
        many => Err(ambiguous("timestamps", many, "time")),
    }
}

/// The sensor: `sensor_id`, else the only text. A whole number or bytes under a key's name could be
/// it too, and is asked about; one that is named as a measure is none.
fn only_sensor(arrow: &ArrowSchema, measures: &[String]) -> Result<Vec<String>> {
    if arrow.field_with_name("sensor_id").is_ok() {
        return Ok(vec!["sensor_id".into()]);
    }
    let found: Vec<_> = fields(arrow)
        .filter(|f| is_text(f.data_type()) || (like_key(f) && !measures.contains(f.name())))
        .collect();
    match found.as_slice() {
        [] => Ok(Vec::new()),
        [one] if is_text(one.data_type()) => Ok(vec![one.name().clone()]),
        [one] => Err(unclear_key(one)),
        many => Err(ambiguous(
            "texts or keys and could name the sensor",
            many,
            "sensor",
        )),
    }
}

fn like_key(field: &Field) -> bool {
    let kind = field.data_type();
    (kind.is_integer() || is_bytes(kind)) && named_like_key(field.name())
}

fn is_bytes(kind: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    matches!(kind, Binary | BinaryView | FixedSizeBinary(_) | LargeBinary)
}

fn unclear_key(field: &Field) -> Error {
    let (name, kind) = (field.name(), field.data_type());
    let advice = match is_bytes(kind) {
        true => "cast it to text, or say sensor=[] where all rows are of one sensor".to_string(),
        false => format!(
            "say sensor={name:?} where it does, or sensor=[] where all rows are of one sensor"
        ),
    };
    Error::new(
        Kind::Schema,
        format!("column {name:?} ({kind}) is named like one that tells sensors apart; {advice}"),
    )
}

fn fields(arrow: &ArrowSchema) -> impl Iterator<Item = &Field> {
    arrow.fields().iter().map(|f| f.as_ref())
}

fn ambiguous(what: &str, many: &[&Field], option: &str) -> Error {
    let names: Vec<_> = many.iter().map(|f| f.name().as_str()).collect();
    Error::new(
        Kind::Schema,
        format!(
            "several columns are {what}: {}; say which with {option}=",
            names.join(", ")
        ),
    )
}

/// Text, plain or through a dictionary.
pub(super) fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// A type whose values windows can aggregate.
pub(super) fn is_number(kind: &DataType) -> bool {
    kind.is_integer()
        || kind.is_floating()
        || matches!(
            kind,
            DataType::Decimal32(..)
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
                | DataType::Decimal256(..)
        )
}

fn column_of(field: &Field, role: Role) -> Column {
    Column {
        name: field.name().clone(),
        names: Vec::new(),
        kind: type_of(field.data_type()),
        role,
        measure: (role == Role::Measure).then_some(MeasureKind::Gauge),
        unit: None,
        digits: if role == Role::Measure {
            digits_of(field.data_type())
        } else {
            None
        },
        min: None,
        max: None,
        wraps_at: None,
    }
}

fn type_of(kind: &DataType) -> ColumnType {
    match kind {
        DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Time,
        DataType::Boolean => ColumnType::Boolean,
        k if k.is_integer() => ColumnType::Integer,
        k if is_number(k) => ColumnType::Float,
        _ => ColumnType::Text,
    }
}

/// Digits that every value of the type is sure to fit.
fn digits_of(kind: &DataType) -> Option<u8> {
    match kind {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Some(0),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Some(0),
        DataType::Decimal128(15, scale) | DataType::Decimal64(15, scale) => digits_of_scale(*scale),
        DataType::Decimal128(p, scale) if *p < 15 => digits_of_scale(*scale),
        DataType::Decimal32(_, scale) => digits_of_scale(*scale),
        DataType::Decimal64(p, scale) if *p < 15 => digits_of_scale(*scale),
        _ => None,
    }
}

fn digits_of_scale(scale: i8) -> Option<u8> {
    u8::try_from(scale).ok().filter(|s| *s <= 9)
}
