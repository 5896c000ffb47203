//! Rows from Arrow columns into PostgreSQL's binary COPY format, a chunk at a time.
//!
//! Every value is written without change or refused: a `numeric` with too few digits, a `real`, an `integer`
//! or a `date` that cannot hold a value exactly is an error that names the column.

use crate::sink::cells::{Cell, Cells};
use crate::time::Zone;
use crate::{Error, Kind, Result};
use arrow_array::StringArray;

/// What begins a COPY.
pub(super) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What ends it.
pub(super) const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// A chunk is sent when it has this many bytes.
pub(super) const CHUNK: usize = 256 << 10;

/// Microseconds from 1970 to 2000, where PostgreSQL's instants begin.
const EPOCH: i64 = 946_684_800_000_000;
const DAY: i64 = 86_400_000_000;
/// Whole numbers up to here are exact in a double.
const EXACT: i64 = 1 << 53;

/// How a column keeps its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// `text`, `varchar`.
    Text,
    /// `smallint`.
    Int2,
    /// `integer`.
    Int4,
    /// `bigint`.
    Int8,
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// `numeric`, with digits after the point if it is limited.
    Numeric(Option<u16>),
    /// `boolean`.
    Bool,
    /// `timestamptz`, and `timestamp`, which gets UTC.
    Instant,
    /// `date`: a day, or a local midnight of the pipeline's zone.
    Date,
    /// `uuid`.
    Uuid,
}

impl Kept {
    /// The encoding of a type by its number, if there is one.
    pub fn of(oid: u32, modifier: i32) -> Option<Kept> {
        Some(match oid {
            25 | 1043 => Kept::Text,
            21 => Kept::Int2,
            23 => Kept::Int4,
            20 => Kept::Int8,
            700 => Kept::Float4,
            701 => Kept::Float8,
            1700 => Kept::Numeric(scale(modifier)),
            16 => Kept::Bool,
            1114 | 1184 => Kept::Instant,
            1082 => Kept::Date,
            2950 => Kept::Uuid,
            _ => return None,
        })
    }
}

/// Digits after the point of `numeric(p, s)`; none where it is not limited.
fn scale(modifier: i32) -> Option<u16> {
    let packed = u32::try_from(modifier - 4).ok()?;
    // Eleven bits, signed since version 15; a negative scale rounds before the point and holds nothing of ours.
    let scale = ((packed & 0x7ff) ^ 1024) as i32 - 1024;
    Some(scale.max(0) as u16)
}

/// Writes the rows of one table.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    /// The table, for messages.
    pub table: String,
    /// Their columns.
    pub columns: Vec<(String, Kept)>,
    /// The zone of dates.
    pub zone: Zone,
    /// Text that cannot be stored is shown instead of refused: raw lines of rejects.
    pub shows_nul: bool,
    /// A last column holds the row's place in the flush.
    pub numbered: bool,
}

impl Encoder {
    /// Makes text storable: PostgreSQL has no NUL in text.
    pub fn prepare(&self, cells: &mut Cells) -> Result<()> {
        for (cell, (name, _)) in cells.columns.iter_mut().zip(&self.columns) {
            if let Cell::Text(text) = cell
                && has_nul(text)
            {
                if !self.shows_nul {
                    return Err(self.refuse(
                        name,
                        "holds a NUL byte, which PostgreSQL's text cannot; clean the source",
                    ));
                }
                *text = text
                    .iter()
                    .map(|t| t.map(|t| t.replace('\0', "\u{2400}")))
                    .collect();
            }
        }
        Ok(())
    }

    fn refuse(&self, column: &str, why: &str) -> Error {
        Error::new(
            Kind::Schema,
            format!(
                "a value for column {column:?} of table {:?} {why}",
                self.table
            ),
        )
    }

    /// Writes one row; `place`: how many rows of the flush came before.
    pub fn row(&self, cells: &mut Cells, row: usize, place: u64, out: &mut Vec<u8>) -> Result<()> {
        let fields = self.columns.len() + usize::from(self.numbered);
        out.extend_from_slice(&(fields as i16).to_be_bytes());
        for (cell, (name, kept)) in cells.columns.iter_mut().zip(&self.columns) {
            if cell.is_null(row) {
                out.extend_from_slice(&(-1i32).to_be_bytes());
                continue;
            }
            let written = match cell {
                Cell::Text(a) if *kept == Kept::Date => date(a.value(row), out),
                Cell::Text(a) => text(a.value(row), out),
                Cell::Integer(a) => integer(a.value(row), *kept, out),
                Cell::Real(a) => real(a.value(row), *kept, out),
                Cell::Flag(a) => flag(a.value(row), *kept, out),
                Cell::Time(a, iso) if *kept == Kept::Text => text(iso.text(a.value(row)), out),
                Cell::Time(a, _) => self.time(a.value(row), *kept, out),
                Cell::Id if *kept == Kept::Text => text(&cells.identity.text(row), out),
                Cell::Id => fixed(&cells.identity.bytes(row), out),
            };
            if !written {
                return Err(self.refuse(name, "cannot be kept there without change; declare the column wider (bigint, double precision, numeric, timestamptz)"));
            }
        }
        if self.numbered {
            fixed(&(place as i64).to_be_bytes(), out);
        }
        Ok(())
    }

    fn time(&self, micros: i64, kept: Kept, out: &mut Vec<u8>) -> bool {
        if kept == Kept::Date {
            let local = self.zone.to_local(micros);
            let days = local.div_euclid(DAY) - EPOCH / DAY;
            return local.rem_euclid(DAY) == 0
                && i32::try_from(days).is_ok_and(|d| fixed(&d.to_be_bytes(), out));
        }
        let since = micros.checked_sub(EPOCH);
        since.is_some_and(|t| fixed(&t.to_be_bytes(), out))
    }
}

fn has_nul(text: &StringArray) -> bool {
    let offsets = text.value_offsets();
    let ends = offsets.first().zip(offsets.last());
    let (from, to) = ends.map_or((0, 0), |(a, b)| (*a as usize, *b as usize));
    let bytes = text.value_data().get(from..to);
    bytes.is_some_and(|bytes| memchr::memchr(0, bytes).is_some())
}

/// A value of known bytes; `true`: written.
fn fixed(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
    true
}

fn text(value: &str, out: &mut Vec<u8>) -> bool {
    i32::try_from(value.len()).is_ok() && fixed(value.as_bytes(), out)
}

/// A day as text, `2007-01-31`.
fn date(value: &str, out: &mut Vec<u8>) -> bool {
    let day = value.parse::<chrono::NaiveDate>();
    let since = |d: chrono::NaiveDate| i64::from(d.to_epoch_days()) - EPOCH / DAY;
    let days = day.ok().and_then(|d| i32::try_from(since(d)).ok());
    days.is_some_and(|d| fixed(&d.to_be_bytes(), out))
}

fn flag(value: bool, kept: Kept, out: &mut Vec<u8>) -> bool {
    match kept {
        Kept::Bool => fixed(&[u8::from(value)], out),
        _ => integer(i64::from(value), kept, out),
    }
}

fn integer(value: i64, kept: Kept, out: &mut Vec<u8>) -> bool {
    match kept {
        Kept::Int8 => fixed(&value.to_be_bytes(), out),
        Kept::Int4 => i32::try_from(value).is_ok_and(|v| fixed(&v.to_be_bytes(), out)),
        Kept::Int2 => i16::try_from(value).is_ok_and(|v| fixed(&v.to_be_bytes(), out)),
        Kept::Numeric(_) => numeric(&value.to_string(), None, out),
        _ => (-EXACT..=EXACT).contains(&value) && real(value as f64, kept, out),
    }
}

fn real(value: f64, kept: Kept, out: &mut Vec<u8>) -> bool {
    match kept {
        Kept::Float8 => fixed(&value.to_be_bytes(), out),
        Kept::Float4 => {
            let short = value as f32;
            same_digits(short, value) && fixed(&short.to_be_bytes(), out)
        }
        Kept::Numeric(scale) => numeric(&value.to_string(), scale, out),
        _ => false,
    }
}

/// A `real` shows the same digits: 1.5 and 0.1 do, 0.123456789 does not.
fn same_digits(short: f32, value: f64) -> bool {
    f64::from(short) == value || value.is_nan() || short.to_string() == value.to_string()
}

/// A decimal text as `numeric`: groups of four digits. `false`: it has more digits than the column.
fn numeric(text: &str, scale: Option<u16>, out: &mut Vec<u8>) -> bool {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        let kind: u16 = match (digits, negative) {
            ("NaN", _) => 0xc000,
            (_, false) => 0xd000,
            (_, true) => 0xf000,
        };
        return numeric_value(0, kind, 0, &[], out);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if scale.is_some_and(|scale| fraction.len() > usize::from(scale)) {
        return false;
    }
    let whole = whole.trim_start_matches('0');
    let before = whole.len().div_ceil(4);
    let padded = format!(
        "{whole:0>width$}{fraction:0<end$}",
        width = before * 4,
        end = fraction.len().div_ceil(4) * 4
    );
    let group = |four: &[u8]| four.iter().fold(0i16, |n, c| n * 10 + i16::from(c - b'0'));
    let groups: Vec<i16> = padded.as_bytes().chunks(4).map(group).collect();
    let first = groups.iter().take_while(|g| **g == 0).count();
    let trailing = groups.iter().rev().take_while(|g| **g == 0).count();
    let kept = groups.get(first..groups.len() - trailing).unwrap_or(&[]);
    let weight = if kept.is_empty() {
        0
    } else {
        before as i16 - 1 - first as i16
    };
    let sign = if negative && !kept.is_empty() {
        0x4000
    } else {
        0
    };
    numeric_value(weight, sign, fraction.len() as u16, kept, out)
}

fn numeric_value(weight: i16, sign: u16, scale: u16, groups: &[i16], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&(8 + 2 * groups.len() as i32).to_be_bytes());
    out.extend_from_slice(&(groups.len() as i16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
    true
}
