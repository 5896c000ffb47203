//! The declaration of a dataset: columns, roles, kinds, units, step and stamp.

use super::melt::Melt;
use crate::time::DateOrder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// 64-bit integer.
    Integer,
    /// Decimal or scientific number, read to the nearest 64-bit float.
    Float,
    /// `true/false`, `yes/no`, `t/f`, `1/0` as sniffed or declared.
    Boolean,
    /// UTF-8 text.
    Text,
    /// A date without a time of day.
    Date,
    /// A time of day alone, microseconds since midnight.
    Time,
    /// A date and time; microseconds, UTC inside.
    Timestamp,
    /// Seconds since 1970-01-01T00:00:00Z (integer or decimal), read as a timestamp.
    EpochSeconds,
    /// Milliseconds since 1970-01-01T00:00:00Z, read as a timestamp.
    EpochMillis,
}

/// What a column is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Carried along to the sinks that ask for it, not used by windows.
    #[default]
    Attribute,
    /// Part of the sensor key.
    Sensor,
    /// Part of the time (see [`TimeSpec`]).
    Time,
    /// A number that windows aggregate.
    Measure,
    /// Quality of the row (see [`QualityMap`]).
    Quality,
    /// Read past, never decoded.
    Ignore,
}

/// What a measure counts, which decides its default aggregates and what may be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// Mean over the step; energy = value × step, given in Wh. Default: mean, min, max, energy.
    Power,
    /// Amount in the step. Default: sum.
    Energy,
    /// Running total; differences per sensor in time order.
    Register,
    /// An instant. Default: mean, min, max; a sum only when asked for; no energy.
    Gauge,
}

/// An aggregate of a measure over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Aggregate {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    First,
    Last,
    Stddev,
    Energy,
}

impl MeasureKind {
    /// The aggregates unless others are asked for.
    pub fn aggregates(self) -> &'static [Aggregate] {
        use Aggregate::{Energy, Max, Mean, Min, Sum};
        match self {
            MeasureKind::Power => &[Mean, Min, Max, Energy],
            MeasureKind::Energy => &[Sum],
            MeasureKind::Register => &[],
            MeasureKind::Gauge => &[Mean, Min, Max],
        }
    }
}

/// Whether a reading's time marks the start or the end of its interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stamp {
    /// The interval begins at the time.
    #[default]
    Start,
    /// The interval ends at the time: readings move back one step.
    End,
}

/// The length of a reading's interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    untagged,
    expecting = "step is a length such as \"15min\", or { column = the column that holds its seconds }, or { by_sensor = a length for each }"
)]
pub enum StepSpec {
    /// Not known: `energy`, `expected` and `missing` are null.
    #[default]
    Unknown,
    /// A fixed duration such as `1min`, `30s`, `1h`.
    Fixed(String),
    /// A column that holds seconds.
    Column {
        /// The column's name.
        column: String,
    },
    /// By sensor.
    BySensor {
        /// Duration by sensor id.
        by_sensor: BTreeMap<String, String>,
    },
}

impl StepSpec {
    /// Whether nothing is known: then nothing is written.
    pub fn is_unknown(&self) -> bool {
        *self == StepSpec::Unknown
    }
}

/// Where the time of a reading stands and how it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeSpec {
    /// One column (a stamp) or two (date, time of day).
    pub columns: Vec<String>,
    /// Order of day, month, year; `None`: ISO only, or epoch by the column's type.
    pub order: Option<DateOrder>,
}

/// Quality of a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Quality {
    #[default]
    Ok = 0,
    Estimated = 1,
    Bad = 2,
}

/// How the texts of the quality column map to [`Quality`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualityMap {
    /// The column.
    pub column: String,
    /// Text to quality; other texts are rejects.
    pub values: BTreeMap<String, Quality>,
}

/// How a text file is cut into fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dialect {
    /// The byte between fields; `None`: sniffed.
    pub delimiter: Option<char>,
    /// The quoting byte; `None`, written as an empty text: no quoting.
    #[serde(with = "maybe_mark")]
    pub quote: Option<char>,
    /// Whether the first record names the columns; `None`: sniffed.
    pub header: Option<bool>,
    /// Lines that begin with this are comments.
    pub comment: Option<char>,
    /// Lines before the header.
    pub preamble: usize,
    /// Lines of the header; the names of a column in them are joined by a space.
    #[serde(skip_serializing_if = "is_one")]
    pub header_lines: usize,
    /// Beginnings of lines that are no records where they could not be read as such: totals, signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub footer: Vec<String>,
    /// The decimal mark, `.` or `,`.
    pub decimal: char,
    /// The thousands mark, removed from numbers.
    pub thousands: Option<char>,
    /// `utf-8`, `utf-16`, `cp1252`; `None`: by byte order mark, else UTF-8.
    pub encoding: Option<String>,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect {
            delimiter: None,
            quote: Some('"'),
            header: None,
            comment: None,
            preamble: 0,
            header_lines: 1,
            footer: Vec::new(),
            decimal: '.',
            thousands: None,
            encoding: None,
        }
    }
}

fn is_one(lines: &usize) -> bool {
    *lines == 1
}

/// A mark that may be none, as a text of one sign or an empty one: TOML has no null.
mod maybe_mark {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(mark: &Option<char>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&mark.map(String::from).unwrap_or_default())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<char>, D::Error> {
        let text = Option::<String>::deserialize(from)?.unwrap_or_default();
        let mut signs = text.chars();
        match (signs.next(), signs.next()) {
            (mark, None) => Ok(mark),
            _ => Err(D::Error::custom("a quote is one sign, or empty for none")),
        }
    }
}

/// One column of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name here and in every table.
    pub name: String,
    /// Names it may have in a header, compared without case, spaces and underscores; empty: `name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
    /// Kind of a measure.
    #[serde(default)]
    pub measure: Option<MeasureKind>,
    /// Unit, such as `kW`, `V`, `Wh`.
    #[serde(default)]
    pub unit: Option<String>,
    /// Decimal digits behind the point that the measure carries; sums are then scaled integers.
    #[serde(default)]
    pub digits: Option<u8>,
    /// Least valid value; below is a reject.
    #[serde(default)]
    pub min: Option<f64>,
    /// Greatest valid value; above is a reject.
    #[serde(default)]
    pub max: Option<f64>,
    /// Where a register begins again.
    #[serde(default)]
    pub wraps_at: Option<f64>,
}

/// The declaration of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schema {
    /// Name of the schema or preset.
    pub name: String,
    /// How the text is cut.
    pub dialect: Dialect,
    /// The columns in the order of the table they give.
    pub columns: Vec<Column>,
    /// Constant sensor id where no column has the role `sensor`.
    pub sensor_id: Option<String>,
    /// Where the time stands.
    pub time: TimeSpec,
    /// IANA zone of local times; `None`: wall clock, typed UTC and marked as assumed.
    pub tz: Option<String>,
    /// Start or end stamps.
    pub stamp: Stamp,
    /// Length of a reading's interval.
    #[serde(skip_serializing_if = "StepSpec::is_unknown")]
    pub step: StepSpec,
    /// The quality column.
    pub quality: Option<QualityMap>,
    /// Several values of one measure in a record: sensors as columns, or the steps of a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub melt: Option<Melt>,
    /// Field texts that mean "no value", beside the empty field.
    pub nulls: Vec<String>,
}
