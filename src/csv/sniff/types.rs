//! What a column holds, by its values in the sample.

use super::dates::Orders;
use crate::schema::ColumnType;
use crate::time::parse::time_of_day;
use std::collections::{BTreeMap, BTreeSet};

/// Texts that are known to mean "no value", in lower case.
const NULLS: [&str; 9] = ["?", "na", "n/a", "nan", "null", "none", "-", "#n/a", "\\n"];

/// Pairs of words of a boolean.
const BOOLEANS: [[&str; 2]; 3] = [["true", "false"], ["yes", "no"], ["t", "f"]];

/// How many values may not fit the type of the others: they will be rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// One in a hundred.
    Rare,
    /// One in ten.
    Some,
    /// Fewer than half, the same word again too: the name says that these are numbers.
    Much,
}

impl Damage {
    fn bears(self, misfits: usize, of: usize) -> bool {
        match self {
            Damage::Rare => misfits * 100 <= of,
            Damage::Some => misfits * 10 <= of,
            Damage::Much => misfits * 2 < of,
        }
    }
}

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
    /// How its numbers are written, where that is not plainly.
    pub marks: Option<Marks>,
    /// A value, for messages.
    pub example: String,
}

/// The decimal mark of numbers, and what parts their thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// `.` or `,`.
    pub decimal: char,
    /// `.`, `,`, a space or an apostrophe.
    pub thousands: Option<char>,
}

/// What one value reads as, by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    Integer,
    /// `007`: leading zeros are part of a code.
    Padded,
    Decimal,
    /// `12,5`.
    Comma,
    /// `1.234,5`: three digits stand behind each thousands mark. `1.234` may be one too.
    Grouped(Marks),
    Time,
    Dated(Orders),
    Word,
}

fn class(value: &[u8]) -> Class {
    if let Some(marks) = super::grouped::spaced(value) {
        return Class::Grouped(marks);
    }
    let number = |b: &u8| b.is_ascii_digit() || b"+-.eE,".contains(b);
    let starts = value
        .first()
        .is_some_and(|b| b.is_ascii_digit() || b"+-.,".contains(b));
    if !starts {
        return Class::Word;
    }
    if value.iter().all(number) {
        return numeric(value);
    }
    if time_of_day(value).is_ok() {
        return Class::Time;
    }
    dated(value)
}

fn dated(value: &[u8]) -> Class {
    let orders = Orders::of(value);
    if orders.none() {
        Class::Word
    } else {
        Class::Dated(orders)
    }
}

/// `value` holds signs of numbers only; a date with dashes or dots does too.
fn numeric(value: &[u8]) -> Class {
    if value.iter().all(u8::is_ascii_digit) && value.len() < 19 {
        let padded = value.len() > 1 && value.first() == Some(&b'0');
        return if padded {
            Class::Padded
        } else {
            Class::Integer
        };
    }
    let Ok(text) = std::str::from_utf8(value) else {
        return Class::Word;
    };
    if text.parse::<i64>().is_ok() {
        return Class::Integer;
    }
    if let Some(marks) = super::grouped::marks(value) {
        return Class::Grouped(marks);
    }
    let digits = value.iter().any(u8::is_ascii_digit);
    let finite = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    if digits && finite(text) {
        return Class::Decimal;
    }
    let commas = memchr::memchr_iter(b',', value).count();
    if digits && commas == 1 && !value.contains(&b'.') && finite(&text.replace(',', ".")) {
        return Class::Comma;
    }
    dated(value)
}

/// Whether a field reads as something other than text: used to tell delimiters apart.
pub(super) fn reads_as_something(field: &[u8]) -> bool {
    let field = field.trim_ascii();
    field.is_empty() || is_null(field) || class(field) != Class::Word
}

/// Whether a field is data rather than a name.
pub(super) fn is_data(field: &[u8]) -> bool {
    !field.is_empty() && !is_null(field) && class(field) != Class::Word
}

pub(super) fn is_null(field: &[u8]) -> bool {
    NULLS
        .iter()
        .any(|mark| field.eq_ignore_ascii_case(mark.as_bytes()))
}

/// Whether more than half of the values are plain numbers.
pub(super) fn mostly_numbers(values: &[&[u8]]) -> bool {
    values.iter().filter(|v| reads_as_number(v)).count() * 2 > values.len()
}

/// Whether a value is a plain number.
pub(super) fn reads_as_number(value: &[u8]) -> bool {
    matches!(class(value), Class::Integer | Class::Decimal | Class::Comma)
}

/// Whether a value is a date, with a time of day or without.
pub(super) fn reads_as_time(value: &[u8]) -> bool {
    matches!(class(value), Class::Dated(_))
}

/// The type of a column. `comma`: numbers may have a decimal comma.
pub(super) fn typed(column: &[&[u8]], comma: bool) -> Typed {
    typed_bearing(column, comma, Damage::Rare)
}

/// The same, where numbers may be damaged more often.
pub(super) fn typed_bearing(column: &[&[u8]], comma: bool, damage: Damage) -> Typed {
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
        marks: None,
        example: values.first().map(|v| lossy(v)).unwrap_or_default(),
    };
    if !values.is_empty() {
        decide(&mut found, &values, comma, damage);
    }
    found
}

fn decide(found: &mut Typed, values: &[&[u8]], comma: bool, damage: Damage) {
    let classes: Vec<Class> = values.iter().map(|v| class(v)).collect();
    if numbers(found, values, &classes, comma, Damage::Rare) {
        return;
    }
    if let Some(words) = boolean(values) {
        return found.say(ColumnType::Boolean, words, values.len());
    }
    if let Some(n) = fitting(values, &classes, Damage::Rare, &|c| c == Class::Time) {
        return found.say(ColumnType::Time, "times of day", n);
    }
    if dates(found, values, &classes) {
        return;
    }
    let codes = classes.contains(&Class::Padded);
    if !codes && damage != Damage::Rare && numbers(found, values, &classes, comma, damage) {
        return;
    }
    found.why = format!(
        "{} is neither number nor time",
        quoted(found.text_example(values))
    );
}

/// Numbers, in one way of writing them; digits with leading zeros are settled as a code.
fn numbers(
    found: &mut Typed,
    values: &[&[u8]],
    classes: &[Class],
    comma: bool,
    damage: Damage,
) -> bool {
    let fit = |wanted: &dyn Fn(Class) -> bool| fitting(values, classes, damage, wanted);
    let padded = count(classes, |c| c == Class::Padded);
    let whole = |c| matches!(c, Class::Integer | Class::Padded);
    if let Some(n) = fit(&whole) {
        if padded > 0 {
            found.why =
                format!("digits with leading zeros in {padded} values: a code, not a number");
            return true;
        }
        found.say(ColumnType::Integer, "whole numbers", n);
        return true;
    }
    if let Some(n) = fit(&|c| whole(c) || c == Class::Decimal) {
        found.say(ColumnType::Float, "decimal numbers", n);
        return true;
    }
    if let Some(n) = fit(&|c| whole(c) || c == Class::Comma).filter(|_| comma) {
        found.marks = Some(Marks {
            decimal: ',',
            thousands: None,
        });
        found.say(ColumnType::Float, "numbers with a decimal comma", n);
        return true;
    }
    if let Some((marks, n)) = grouped(values, classes, comma, damage) {
        found.marks = Some(marks);
        found.say(ColumnType::Float, "numbers with a thousands mark", n);
        return true;
    }
    false
}

/// Numbers with one thousands mark: one at least shows it beyond doubt, and no other contradicts.
fn grouped(
    values: &[&[u8]],
    classes: &[Class],
    comma: bool,
    damage: Damage,
) -> Option<(Marks, usize)> {
    let marks = classes.iter().find_map(|c| match c {
        Class::Grouped(marks) => Some(*marks),
        _ => None,
    })?;
    let needs_comma = marks.decimal == ',' || marks.thousands == Some(',');
    if needs_comma && !comma {
        return None;
    }
    let classes: Vec<Class> = values
        .iter()
        .zip(classes)
        .map(|(v, c)| match super::grouped::fits(v, marks) {
            true => Class::Grouped(marks),
            false if *c == Class::Grouped(marks) => Class::Word,
            false => *c,
        })
        .collect();
    let wanted = |c| matches!(c, Class::Grouped(m) if m == marks);
    fitting(values, &classes, damage, &wanted).map(|n| (marks, n))
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
        if let Some(text) = values.iter().find(|v| class(v) == Class::Word) {
            self.example = lossy(text);
        }
        &self.example
    }
}

/// Dates or stamps: all in one order, or in orders that the sample cannot tell apart.
fn dates(found: &mut Typed, values: &[&[u8]], classes: &[Class]) -> bool {
    let mut each: BTreeMap<u8, usize> = BTreeMap::new();
    for class in classes {
        if let Class::Dated(orders) = class {
            *each.entry(orders.bits()).or_default() += 1;
        }
    }
    let all = each.keys().map(|b| Orders::from_bits(*b));
    let mut orders = all.fold(Orders::ANY, Orders::and);
    if orders.none() {
        orders = majority(&each);
    }
    let allowed = |c| matches!(c, Class::Dated(o) if !o.and(orders).none());
    let Some(kept) = fitting(values, classes, Damage::Rare, &allowed) else {
        return false;
    };
    found.orders = orders;
    found.zoned = values.iter().filter(|v| is_zoned(v)).count();
    if values.iter().any(|v| v.contains(&b':')) {
        found.say(ColumnType::Timestamp, "dates with a time", kept);
    } else {
        found.say(ColumnType::Date, "dates", kept);
    }
    true
}

/// The order most values can be read in.
fn majority(each: &BTreeMap<u8, usize>) -> Orders {
    let singles = Orders::ANY.list().into_iter().map(Orders::single);
    let fitting = |single: &Orders| -> usize {
        let left = each
            .iter()
            .filter(|(bits, _)| !Orders::from_bits(**bits).and(*single).none());
        left.map(|(_, n)| n).sum()
    };
    singles.max_by_key(fitting).unwrap_or(Orders::ANY)
}

/// A stamp with `Z` or an offset behind its time of day.
fn is_zoned(stamp: &[u8]) -> bool {
    let clock = memchr::memchr(b':', stamp).and_then(|at| stamp.get(at..));
    clock.is_some_and(|c| c.iter().any(|b| b"Zz+-".contains(b)))
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

fn count(classes: &[Class], is: impl Fn(Class) -> bool) -> usize {
    classes.iter().filter(|c| is(**c)).count()
}

/// How many values are `wanted`: all, or all but the damaged ones that are no code word (each
/// misfit stands once).
fn fitting(
    values: &[&[u8]],
    classes: &[Class],
    damage: Damage,
    wanted: &dyn Fn(Class) -> bool,
) -> Option<usize> {
    let fitting = count(classes, wanted);
    let misfits = values.len() - fitting;
    if fitting == 0 || !damage.bears(misfits, values.len()) {
        return None;
    }
    if damage == Damage::Much {
        return Some(fitting);
    }
    let mut seen = BTreeSet::new();
    let mut others = values.iter().zip(classes).filter(|(_, c)| !wanted(**c));
    others.all(|(v, _)| seen.insert(*v)).then_some(fitting)
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
        assert_eq!(kind(&["1.2.2007", "13.2.2007"]), ColumnType::Date);
        assert_eq!(kind(&["10.0.0.1"]), ColumnType::Text);
        assert_eq!(kind(&["-", "+", "e"]), ColumnType::Text);
        assert_eq!(kind(&["99999999999999999999"]), ColumnType::Float);
        assert_eq!(kind(&["1.234,5", "2.000", "12,75", "3"]), ColumnType::Float);
        assert_eq!(kind(&["1,234.5", "1.234,5"]), ColumnType::Text);
        assert_eq!(kind(&["1 234,5", "12"]), ColumnType::Float);
    }

    #[test]
    fn a_thousands_mark_is_named_only_where_a_value_shows_it() {
        let marks = |values: &[&str]| {
            let bytes: Vec<&[u8]> = values.iter().map(|v| v.as_bytes()).collect();
            typed(&bytes, true).marks.map(|m| (m.decimal, m.thousands))
        };
        assert_eq!(marks(&["1.234,5", "0,5"]), Some((',', Some('.'))));
        assert_eq!(marks(&["1,234.5", "7"]), Some(('.', Some(','))));
        assert_eq!(marks(&["1.234.567", "1.000"]), Some((',', Some('.'))));
        assert_eq!(marks(&["1'234.5", "999.25"]), Some(('.', Some('\''))));
        assert_eq!(marks(&["1.234", "2.500"]), None);
        assert_eq!(marks(&["1,234", "2,500"]), Some((',', None)));
        assert_eq!(typed(&[b"1,234.5"], false).kind, ColumnType::Text);
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
