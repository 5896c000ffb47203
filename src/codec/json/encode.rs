//! Tables to JSON objects.

use crate::schema::{METADATA_KEY, Schema, Stamp, StepSpec};
use crate::time::{DAY, HOUR, MINUTE, SECOND, civil};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_cast::cast;
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use std::io::Write;

/// Writes the rows of tables of one schema as JSON objects.
#[derive(Clone, Debug)]
pub struct Encoder {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    /// `,"name":`, with a brace in place of the comma for the first.
    lead: Word,
    /// The type it is brought to.
    kind: DataType,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A float, with these digits where that is the same number.
    Float(Option<u8>),
    Integer,
    Boolean,
    Text,
    /// A time in µs, moved on by so much; with `Z` or without.
    Stamp {
        forward: i64,
        zoned: bool,
    },
    Date,
    Time,
}

impl Encoder {
    /// For tables of these columns. Errors: `Schema` where a column has a type without a JSON form.
    pub fn new(arrow: &SchemaRef) -> Result<Encoder> {
        let schema: Option<Schema> = arrow
            .metadata()
            .get(METADATA_KEY)
            .and_then(|json| Schema::from_json(json).ok());
        let assumed = arrow
            .metadata()
            .get("wattline:tz")
            .is_some_and(|v| v == "assumed");
        let forward = schema.as_ref().map_or(Ok(0), forward)?;
        let mut columns = Vec::new();
        for field in arrow.fields() {
            let digits = schema
                .as_ref()
                .and_then(|s| s.column(field.name()))
                .and_then(|c| c.digits);
            let time = field
                .metadata()
                .get("wattline:role")
                .is_some_and(|r| r == "time");
            let forward = if time { forward } else { 0 };
            let (kind, what) =
                form(field.data_type(), digits, forward, assumed).ok_or_else(|| {
                    Error::new(
                        Kind::Schema,
                        format!(
                            "column {:?} is {}, which has no form in JSON; leave it out or cast it",
                            field.name(),
                            field.data_type()
                        ),
                    )
                })?;
            let sign = if columns.is_empty() { '{' } else { ',' };
            let name = serde_json::Value::from(field.name().as_str());
            columns.push(Column {
                lead: Word::new(format!("{sign}{name}:").into_bytes()),
                kind,
                what,
            });
        }
        Ok(Encoder { columns })
    }

    /// Adds one object a row to `out`, and where each ends to `ends`.
    pub fn encode(
        &self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<u32>,
    ) -> Result<()> {
        let mut cells = self
            .columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| cells(column, array))
            .collect::<Result<Vec<_>>>()?;
        ends.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            for (column, cells) in self.columns.iter().zip(&mut cells) {
                column.lead.write(out);
                cells.write(row, column.what, out);
            }
            if cells.is_empty() {
                out.push(b'{');
            }
            out.push(b'}');
            ends.push(out.len() as u32);
        }
        Ok(())
    }
}

/// Bytes that are written again and again.
#[derive(Clone, Debug)]
struct Word {
    all: Vec<u8>,
    /// The first of them.
    start: [u8; WIDE],
}

/// Words up to this length are copied as this many bytes: two moves in place of a call.
const WIDE: usize = 32;

impl Word {
    fn new(all: Vec<u8>) -> Word {
        let mut start = [0; WIDE];
        start
            .iter_mut()
            .zip(&all)
            .for_each(|(to, from)| *to = *from);
        Word { all, start }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        match self.all.len() <= WIDE {
            true => put(&self.start, self.all.len(), out),
            false => out.extend_from_slice(&self.all),
        }
    }
}

/// The first bytes of a text whose length is known when this is compiled.
#[inline]
fn put<const N: usize>(text: &[u8; N], len: usize, out: &mut Vec<u8>) {
    let end = out.len() + len;
    out.extend_from_slice(text);
    out.truncate(end);
}

/// What the reader of files took from end stamps is given back, so that the message fits the schema.
fn forward(schema: &Schema) -> Result<i64> {
    match (schema.stamp, &schema.step) {
        (Stamp::End, StepSpec::Fixed(step)) => crate::time::duration::parse(step),
        _ => Ok(0),
    }
}

fn form(
    kind: &DataType,
    digits: Option<u8>,
    forward: i64,
    assumed: bool,
) -> Option<(DataType, What)> {
    use DataType as T;
    let text = || Some((T::Utf8, What::Text));
    Some(match kind {
        T::Float64 | T::Float32 | T::Float16 | T::Decimal128(..) | T::Decimal256(..) => {
            (T::Float64, What::Float(digits))
        }
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => {
            (T::Int64, What::Integer)
        }
        T::UInt64 => (T::Int64, What::Integer),
        T::Boolean => (T::Boolean, What::Boolean),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => return text(),
        T::Dictionary(_, values) if values.is_string() => {
            let codes = T::Dictionary(Box::new(T::Int32), Box::new(T::Utf8));
            (codes, What::Text)
        }
        T::Timestamp(_, zone) => (
            T::Timestamp(TimeUnit::Microsecond, zone.clone()),
            What::Stamp {
                forward,
                zoned: zone.is_some() && !assumed,
            },
        ),
        T::Date32 | T::Date64 => (T::Date32, What::Date),
        T::Time32(_) | T::Time64(_) => (T::Time64(TimeUnit::Microsecond), What::Time),
        _ => return None,
    })
}

/// A column ready to be written.
struct Cells {
    array: ArrayRef,
    nulls: Option<NullBuffer>,
    /// Of the types that are most of what is written, without a look at the type for each.
    numbers: Numbers,
    /// The day that was written last, and its text.
    day: Option<i64>,
    date: Vec<u8>,
    /// Texts of a dictionary, as JSON.
    words: Vec<Vec<u8>>,
}

/// Values by their type.
enum Numbers {
    Floats(ScalarBuffer<f64>),
    Times(ScalarBuffer<i64>),
    Others,
}

impl Numbers {
    fn of(array: &ArrayRef) -> Numbers {
        if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
            return Numbers::Floats(floats.values().clone());
        }
        match array.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => Numbers::Times(times.values().clone()),
            None => Numbers::Others,
        }
    }
}

fn cells(column: &Column, array: &ArrayRef) -> Result<Cells> {
    let array = match array.data_type() == &column.kind {
        true => array.clone(),
        false => cast(array, &column.kind).map_err(|e| {
            Error::new(
                Kind::Schema,
                format!("a column cannot be written as JSON: {e}; cast it first"),
            )
        })?,
    };
    let mut words = Vec::new();
    if let DataType::Dictionary(..) = column.kind {
        let dictionary = array.as_dictionary::<Int32Type>();
        for word in dictionary.values().as_string::<i32>() {
            let mut text = Vec::new();
            quoted(word.unwrap_or(""), &mut text);
            words.push(text);
        }
    }
    Ok(Cells {
        nulls: array.nulls().cloned(),
        numbers: Numbers::of(&array),
        day: None,
        date: Vec::new(),
        array,
        words,
    })
}

impl Cells {
    #[inline]
    fn write(&mut self, row: usize, what: What, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return out.extend_from_slice(b"null");
        }
        match (&self.numbers, what) {
            (Numbers::Floats(values), What::Float(digits)) => float(values[row], digits, out),
            (Numbers::Times(values), What::Stamp { forward, zoned }) => {
                let time = values[row] + forward;
                out.push(b'"');
                self.date(time.div_euclid(DAY), out);
                out.push(b'T');
                time_of_day(time.rem_euclid(DAY), out);
                out.extend_from_slice(if zoned { b"Z\"" } else { b"\"" });
            }
            _ => self.other(row, what, out),
        }
    }

    /// The text of a day: mostly that of the row before.
    #[inline]
    fn date(&mut self, day: i64, out: &mut Vec<u8>) {
        if self.day != Some(day) {
            self.date.clear();
            date(day, &mut self.date);
            self.day = Some(day);
        }
        out.extend_from_slice(&self.date);
    }

    fn other(&self, row: usize, what: What, out: &mut Vec<u8>) {
        match what {
            // They are written above.
            What::Float(_) | What::Stamp { .. } => {}
            What::Integer => integer(self.array.as_primitive::<Int64Type>().value(row), out),
            What::Boolean => {
                let value = self.array.as_boolean().value(row);
                out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            What::Text if self.words.is_empty() => {
                quoted(self.array.as_string::<i32>().value(row), out);
            }
            What::Text => {
                let code = self.array.as_dictionary::<Int32Type>().keys().value(row);
                let word = self.words.get(code as usize);
                out.extend_from_slice(word.map_or(b"null", |w| w));
            }
            What::Date => {
                let days = self.array.as_primitive::<Date32Type>().value(row);
                out.push(b'"');
                date(i64::from(days), out);
                out.push(b'"');
            }
            What::Time => {
                let time = self
                    .array
                    .as_primitive::<Time64MicrosecondType>()
                    .value(row);
                out.push(b'"');
                time_of_day(time, out);
                out.push(b'"');
            }
        }
    }
}

/// Powers of ten that a float holds and an integer can be scaled by.
const TENS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

#[inline]
fn float(value: f64, digits: Option<u8>, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return out.extend_from_slice(b"null");
    }
    if let Some(digits) = digits
        && let Some(ten) = TENS.get(usize::from(digits))
    {
        let scaled = whole(value * ten);
        if scaled.abs() < 9e15 && scaled / ten == value {
            return fixed(
                scaled as i64,
                usize::from(digits),
                value.is_sign_negative(),
                out,
            );
        }
    }
    // Writing to memory never fails.
    drop(write!(
        out,
        "{}",
        serde_json::Number::from_f64(value).map_or(0.into(), |n| n)
    ));
}

/// Rounded: half away from zero. Small numbers without a call; where that differs by one the number is next to a half,
/// and neither is what it came from.
#[inline]
fn whole(value: f64) -> f64 {
    const EXACT: f64 = (1_u64 << 51) as f64;
    match value.abs() < EXACT {
        true => (value + 0.5_f64.copysign(value)) as i64 as f64,
        false => value.round(),
    }
}

/// The longest number, with its sign and point.
const LONG: usize = 24;

/// `scaled` with so many digits behind the point.
#[inline]
fn fixed(scaled: i64, digits: usize, negative: bool, out: &mut Vec<u8>) {
    let mut text = [b'0'; 2 * LONG];
    let (mut at, mut rest, mut n) = (LONG, scaled.unsigned_abs(), 0);
    loop {
        if n == digits && digits > 0 {
            at -= 1;
            text[at] = b'.';
        }
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        n += 1;
        if rest == 0 && n > digits {
            break;
        }
    }
    if negative {
        at -= 1;
        text[at] = b'-';
    }
    if let Some(number) = text[at..].first_chunk::<LONG>() {
        put(number, LONG - at, out);
    }
}

#[inline]
fn integer(value: i64, out: &mut Vec<u8>) {
    fixed(value, 0, value < 0, out);
}

#[inline]
fn two(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]);
}

fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil::civil_from_days(days);
    if (0..=9999).contains(&year) {
        two(year / 100, out);
        two(year % 100, out);
    } else {
        out.extend_from_slice(civil::iso_year(year).as_bytes());
    }
    out.push(b'-');
    two(i64::from(month), out);
    out.push(b'-');
    two(i64::from(day), out);
}

#[inline]
fn time_of_day(time: i64, out: &mut Vec<u8>) {
    let digit = |n: i64| b'0' + (n % 10) as u8;
    let (hour, minute, second) = (time / HOUR, time % HOUR / MINUTE, time % MINUTE / SECOND);
    let [a, b, c, d, e, f] = [hour / 10, hour, minute / 10, minute, second / 10, second].map(digit);
    out.extend_from_slice(&[a, b, b':', c, d, b':', e, f]);
    let micros = time % SECOND;
    if micros != 0 {
        let text = format!("{micros:06}");
        out.push(b'.');
        out.extend_from_slice(text.trim_end_matches('0').as_bytes());
    }
}

/// A text in quotes.
fn quoted(text: &str, out: &mut Vec<u8>) {
    let plain = text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to memory never fails.
        drop(write!(out, "{}", serde_json::Value::from(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn floats(value: f64, digits: Option<u8>) -> String {
        let mut out = Vec::new();
        float(value, digits, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_have_their_digits_or_the_shortest_text() {
        assert_eq!(floats(234.84, Some(3)), "234.840");
        assert_eq!(floats(0.0, Some(3)), "0.000");
        assert_eq!(floats(-0.5, Some(1)), "-0.5");
        assert_eq!(floats(-0.004, Some(3)), "-0.004");
        assert_eq!(floats(17.0, Some(0)), "17");
        assert_eq!(floats(0.1 + 0.2, Some(3)), "0.30000000000000004");
        assert_eq!(floats(1e300, Some(3)), "1e+300");
        assert_eq!(floats(4.216, None), "4.216");
        assert_eq!(floats(f64::NAN, None), "null");
    }

    #[test]
    fn rounding_is_that_of_the_library() {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 11
        };
        for digits in 0..10_u8 {
            let ten = TENS[usize::from(digits)];
            for _ in 0..20_000 {
                let near = (next() >> (next() % 53)) as f64;
                for value in [
                    near / ten,
                    -near / ten,
                    (near + 0.5) / ten,
                    f64::from_bits(next()),
                ] {
                    let (ours, theirs) = (whole(value * ten), (value * ten).round());
                    let held = |scaled: f64| scaled.abs() < 9e15 && scaled / ten == value;
                    assert_eq!(held(ours), held(theirs), "{value:e} {digits}");
                    assert!(!held(ours) || ours == theirs, "{value:e} {digits}");
                }
            }
        }
    }

    #[test]
    fn long_names_and_numbers_are_whole_and_days_change() {
        let name = "n".repeat(WIDE);
        let times = TimestampMicrosecondArray::from(vec![0, DAY - 1, DAY, DAY + SECOND, -DAY]);
        let numbers = vec![i64::MIN, i64::MAX, 0, -1, 10];
        let batch = RecordBatch::try_from_iter(vec![
            (
                name.as_str(),
                Arc::new(arrow_array::Int64Array::from(numbers)) as ArrayRef,
            ),
            ("t", Arc::new(times)),
        ])
        .unwrap();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let encoder = Encoder::new(&batch.schema()).unwrap();
        encoder.encode(&batch, &mut out, &mut ends).unwrap();
        let due = [
            ("-9223372036854775808", "1970-01-01T00:00:00"),
            ("9223372036854775807", "1970-01-01T23:59:59.999999"),
            ("0", "1970-01-02T00:00:00"),
            ("-1", "1970-01-02T00:00:01"),
            ("10", "1969-12-31T00:00:00"),
        ];
        let due = due.map(|(n, t)| format!("{{\"{name}\":{n},\"t\":\"{t}\"}}"));
        assert_eq!(String::from_utf8(out).unwrap(), due.concat());
    }

    #[test]
    fn objects_have_the_names_of_the_columns() {
        let zoned = TimestampMicrosecondArray::from(vec![1_166_289_840_000_000, -1_500_000]);
        let batch = RecordBatch::try_from_iter(vec![
            (
                "sensor id",
                Arc::new(StringArray::from(vec!["a\"b", "c"])) as ArrayRef,
            ),
            ("time", Arc::new(zoned.with_timezone("UTC"))),
            ("v", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
        ])
        .unwrap();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let encoder = Encoder::new(&batch.schema()).unwrap();
        encoder.encode(&batch, &mut out, &mut ends).unwrap();
        let first = std::str::from_utf8(&out[..ends[0] as usize]).unwrap();
        let second = std::str::from_utf8(&out[ends[0] as usize..]).unwrap();
        assert_eq!(
            first,
            r#"{"sensor id":"a\"b","time":"2006-12-16T17:24:00Z","v":1.5}"#
        );
        assert_eq!(
            second,
            r#"{"sensor id":"c","time":"1969-12-31T23:59:58.5Z","v":null}"#
        );
    }
}
