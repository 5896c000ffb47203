//! What a column holds, by its values in the sample.

use super::dates::Orders;
use crate::schema::ColumnType;
use crate::time::parse::time_of_day;
use std::collections::{BTreeMap, BTreeSet};

/// Texts that are known to mean "no value", in lower case.
const NULLS: [&str; 9] = ["?", "na", "n/a", "nan", "null", "none", "-", "#n/a", "\\n"];

/// Pairs of words of a boolean.
const BOOLEANS: [[&str; 2]; 3] = [["true", "false"], ["yes", "no"], ["t", "f"]];

/// Of so many values one may not fit: it will be a reject.
const TOLERANCE: usize = 100;

/// What the values of a column say.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    /// The type.
    pub kind: ColumnType,
    /// Why.
    pub why: String,
    /// Values that are there.
    pub values: usize,
    /// Texts among them that mean "no value", as written.
    pub nulls: BTreeSet<String>,
    /// Dates and stamps: the orders that all of them allow.
    pub orders: Orders,
    /// Stamps: how many carry an offset from UTC.
    pub zoned: usize,
    /// Numbers with a decimal comma.
    pub comma: bool,
    /// A value, for messages.
    pub example: String,
}

/// Whether a field reads as something other than text: used to tell delimiters apart.
pub(super) fn reads_as_something(field: &[u8]) -> bool {
    let field = field.trim_ascii();
    field.is_empty()
        || is_null(field)
        || is_decimal(field)
        || is_comma_decimal(field)
        || time_of_day(field).is_ok()
        || !Orders::of(field).none()
}

/// Whether a field is data rather than a name.
pub(super) fn is_data(field: &[u8]) -> bool {
    !field.is_empty() && !is_null(field) && reads_as_something(field)
}

fn is_null(field: &[u8]) -> bool {
    NULLS
        .iter()
        .any(|mark| field.eq_ignore_ascii_case(mark.as_bytes()))
}

/// The type of a column. `comma`: numbers may have a decimal comma.
pub(super) fn typed(column: &[&[u8]], comma: bool) -> Typed {
    let values: Vec<&[u8]> = column
        .iter()
        .copied()
        .filter(|v| !v.is_empty() && !is_null(v))
        .collect();
    let marks = column.iter().filter(|v| is_null(v));
    let nulls = marks.map(|v| lossy(v)).collect();
    let mut found = Typed {
        kind: ColumnType::Text,
        why: "no value in the sample".to_string(),
        values: values.len(),
        nulls,
        orders: Orders::ANY,
        zoned: 0,
        comma: false,
        example: values.first().map(|v| lossy(v)).unwrap_or_default(),
    };
    if !values.is_empty() {
        decide(&mut found, &values, comma);
    }
    found
}

fn decide(found: &mut Typed, values: &[&[u8]], comma: bool) {
    let integers = count(values, is_integer);
    if fits(integers, values, is_integer) {
        let padded = count(values, is_padded);
        if padded > 0 {
            found.why =
                format!("digits with leading zeros in {padded} values: a code, not a number");
            return;
        }
        return found.say(ColumnType::Integer, "whole numbers", integers);
    }
    let decimals = count(values, is_decimal);
    if fits(decimals, values, is_decimal) {
        return found.say(ColumnType::Float, "decimal numbers", decimals);
    }
    let commas = if comma {
        count(values, is_comma_decimal)
    } else {
        0
    };
    if commas > 0 && fits(commas, values, is_comma_decimal) {
        found.comma = true;
        return found.say(ColumnType::Float, "numbers with a decimal comma", commas);
    }
    if let Some(words) = boolean(values) {
        found.say(ColumnType::Boolean, words, values.len());
        return;
    }
    let is_time = |v: &[u8]| time_of_day(v).is_ok();
    let times = count(values, is_time);
    if fits(times, values, is_time) {
        return found.say(ColumnType::Time, "times of day", times);
    }
    if !dates(found, values) {
        found.why = format!(
            "{} is neither number nor time",
            quoted(found.text_example(values))
        );
    }
}

impl Typed {
    fn say(&mut self, kind: ColumnType, what: &str, fitting: usize) {
        self.kind = kind;
        let misfits = self.values - fitting;
        self.why = format!(
            "{fitting} values are {what}, such as {}",
            quoted(&self.example)
        );
        if misfits > 0 {
            self.why += &format!("; {misfits} are not and will be rejects");
        }
    }

    /// A value that made this a text.
    fn text_example(&mut self, values: &[&[u8]]) -> &str {
        if let Some(text) = values.iter().find(|v| !reads_as_something(v)) {
            self.example = lossy(text);
        }
        &self.example
    }
}

/// Dates or stamps: all in one order, or in orders that the sample cannot tell apart.
fn dates(found: &mut Typed, values: &[&[u8]]) -> bool {
    let mut each: BTreeMap<u8, usize> = BTreeMap::new();
    let (mut stamps, mut zoned, mut read) = (0, 0, 0);
    for value in values {
        let orders = Orders::of(value);
        if orders.none() {
            continue;
        }
        read += 1;
        *each.entry(orders.bits()).or_default() += 1;
        stamps += usize::from(value.contains(&b':'));
        zoned += usize::from(is_zoned(value));
    }
    let all = each.keys().map(|b| Orders::from_bits(*b));
    let orders = all.fold(Orders::ANY, Orders::and);
    let (orders, kept) = if orders.none() {
        majority(&each)
    } else {
        (orders, read)
    };
    if orders.none() || !fits(kept, values, |v| !Orders::of(v).and(orders).none()) {
        return false;
    }
    found.orders = orders;
    found.zoned = zoned;
    let kind = if stamps > 0 {
        ColumnType::Timestamp
    } else {
        ColumnType::Date
    };
    let what = if stamps > 0 {
        "dates with a time"
    } else {
        "dates"
    };
    found.say(kind, what, kept);
    true
}

/// The order most values can be read in, and how many can.
fn majority(each: &BTreeMap<u8, usize>) -> (Orders, usize) {
    let singles = Orders::ANY.list().into_iter().map(|order| {
        let single = Orders::single(order);
        let fitting = each
            .iter()
            .filter(|(bits, _)| !Orders::from_bits(**bits).and(single).none());
        (single, fitting.map(|(_, n)| n).sum())
    });
    let best = singles.max_by_key(|(_, n): &(Orders, usize)| *n);
    best.unwrap_or((Orders::ANY, 0))
}

fn is_zoned(stamp: &[u8]) -> bool {
    use crate::time::parse::Parsed;
    Orders::ANY
        .list()
        .into_iter()
        .any(|order| matches!(super::dates::stamp(stamp, order), Ok(Parsed::Utc(_))))
}

fn boolean(values: &[&[u8]]) -> Option<&'static str> {
    let is_pair = |pair: &[&str; 2]| {
        values.iter().all(|v| {
            pair.iter()
                .any(|word| v.eq_ignore_ascii_case(word.as_bytes()))
        })
    };
    let at = BOOLEANS.iter().position(is_pair)?;
    ["true or false", "yes or no", "t or f"].get(at).copied()
}

fn count(values: &[&[u8]], is: impl Fn(&[u8]) -> bool) -> usize {
    values.iter().filter(|v| is(v)).count()
}

/// All values, or all but one in a hundred that are no code word (each misfit stands once).
fn fits(fitting: usize, values: &[&[u8]], is: impl Fn(&[u8]) -> bool) -> bool {
    let misfits = values.len() - fitting.min(values.len());
    if misfits == 0 {
        return true;
    }
    if misfits * TOLERANCE > values.len() {
        return false;
    }
    let mut seen = BTreeSet::new();
    values.iter().filter(|v| !is(v)).all(|v| seen.insert(*v))
}

fn is_integer(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).ok();
    text.is_some_and(|t| t.parse::<i64>().is_ok())
}

/// `007`: leading zeros are part of a code.
fn is_padded(value: &[u8]) -> bool {
    value.len() > 1 && value.first() == Some(&b'0')
}

fn is_decimal(value: &[u8]) -> bool {
    let shaped = value.iter().any(u8::is_ascii_digit)
        && value
            .iter()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(b));
    let text = std::str::from_utf8(value).ok().filter(|_| shaped);
    text.is_some_and(|t| t.parse::<f64>().is_ok_and(f64::is_finite))
}

/// `-12,5` or `12`.
fn is_comma_decimal(value: &[u8]) -> bool {
    let commas = memchr::memchr_iter(b',', value).count();
    if commas > 1 || value.contains(&b'.') {
        return false;
    }
    let pointed: Vec<u8> = value
        .iter()
        .map(|b| if *b == b',' { b'.' } else { *b })
        .collect();
    is_decimal(&pointed)
}

pub(super) fn lossy(value: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(value).chars().take(40).collect();
    text
}

/// A text from the file in quotes, with its control signs escaped.
pub(super) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(values: &[&str]) -> ColumnType {
        let bytes: Vec<&[u8]> = values.iter().map(|v| v.as_bytes()).collect();
        typed(&bytes, true).kind
    }

    #[test]
    fn each_type_is_found() {
        assert_eq!(kind(&["1", "-2", "+3", ""]), ColumnType::Integer);
        assert_eq!(kind(&["1", "2.5", "1e3", "?"]), ColumnType::Float);
        assert_eq!(kind(&["1,5", "2"]), ColumnType::Float);
        assert_eq!(kind(&["true", "FALSE"]), ColumnType::Boolean);
        assert_eq!(kind(&["yes", "no", "NA"]), ColumnType::Boolean);
        assert_eq!(kind(&["7:05", "23:59:59.5"]), ColumnType::Time);
        assert_eq!(kind(&["2007-01-31", "2007-02-01"]), ColumnType::Date);
        assert_eq!(
            kind(&["31/1/2007 0:00", "1/2/07 0:00"]),
            ColumnType::Timestamp
        );
        assert_eq!(kind(&["007", "012"]), ColumnType::Text);
        assert_eq!(kind(&["yes", "true"]), ColumnType::Text);
        assert_eq!(kind(&["inf", "1"]), ColumnType::Text);
        assert_eq!(kind(&["", "?"]), ColumnType::Text);
        assert_eq!(kind(&["99999999999999999999"]), ColumnType::Float);
    }

    #[test]
    fn one_damaged_value_in_hundreds_stays_a_misfit() {
        let mut values = vec!["1.5"; 300];
        values[7] = "1.5x";
        assert_eq!(kind(&values), ColumnType::Float);
        // The same word again is a code, not damage.
        values[9] = "1.5x";
        values[11] = "1.5x";
        assert_eq!(kind(&values), ColumnType::Text);
    }

    #[test]
    fn dates_in_two_orders_are_text() {
        assert_eq!(kind(&["14/1/2007", "1/14/2007"]), ColumnType::Text);
    }

    #[test]
    fn null_marks_are_listed_as_written() {
        let found = typed(&[b"1.0", b"?", b"NaN"], false);
        assert_eq!(found.nulls.into_iter().collect::<Vec<_>>(), ["?", "NaN"]);
    }
}
