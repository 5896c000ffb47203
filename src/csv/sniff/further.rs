//! Looking further than the head, to decide the order of day and month.

use super::dates::{Orders, order_name, spelled};
use super::sample::Sample;
use super::types::lossy;
use crate::csv::dialect::Records;
use crate::error::Place;
use crate::input::{Bytes, Head, Limits, read_error};
use crate::schema::DateOrder;
use crate::{Error, Kind, Result};
use std::io::Read;
use std::os::unix::fs::FileExt;

/// Bytes looked at before two orders are called undecided.
const MOST: u64 = 256 << 20;

const BLOCK: usize = 1 << 20;

/// The orders that the values of field `at` allow, in the head and, while these leave several
/// and the input can be read again, behind it.
pub(super) fn look(head: &Head, sample: &Sample, at: usize, so_far: Orders) -> Result<Orders> {
    let mut orders = narrowed(&head.bytes, sample, at, so_far);
    if orders.only().is_some() || head.whole || !head.spec.repeatable() {
        return Ok(orders);
    }
    let mut tail: Vec<u8> = Vec::new();
    let mut bytes = head.spec.open(&Limits::default())?.bytes;
    let mut offset = 0;
    while offset < MOST && orders.only().is_none() {
        let begin = tail.len();
        tail.resize(begin + BLOCK, 0);
        let space = tail.get_mut(begin..).unwrap_or_default();
        let n = match &mut bytes {
            Bytes::At { file, .. } => file.read_at(space, offset),
            Bytes::Stream(stream) => stream.read(space),
        };
        let n = n.map_err(|e| read_error(head.name(), e))?;
        tail.truncate(begin + n);
        if n == 0 {
            break;
        }
        offset += n as u64;
        let lines = memchr::memrchr(b'\n', &tail).map_or(0, |end| end + 1);
        orders = narrowed(tail.get(..lines).unwrap_or_default(), sample, at, orders);
        // A line that never ends is not kept.
        let kept = if tail.len() - lines > 16 * BLOCK {
            tail.len()
        } else {
            lines
        };
        tail.drain(..kept);
    }
    Ok(orders)
}

/// The orders left after the records of `text`; a value that allows none of them is damage.
fn narrowed(text: &[u8], sample: &Sample, at: usize, mut orders: Orders) -> Orders {
    let mut take = |value: &[u8]| {
        let left = orders.and(Orders::of(value));
        if !left.none() {
            orders = left;
        }
        orders.only().is_some()
    };
    let cut = &sample.cut;
    let quoted = cut.quote.is_some_and(|q| memchr::memchr(q, text).is_some());
    if quoted {
        let mut records = Records::new(text, cut.delimiter, cut.quote);
        records.any(|r| r.fields.get(at).is_some_and(|v| take(v)));
    } else {
        let mut lines = text.split(|b| *b == b'\n');
        lines.any(|line| {
            line.split(|b| *b == cut.delimiter)
                .nth(at)
                .is_some_and(&mut take)
        });
    }
    orders
}

/// Two orders fit and nothing decides.
pub(super) fn ambiguous(
    head: &Head,
    sample: &Sample,
    at: usize,
    name: &str,
    orders: Orders,
    header: bool,
) -> Error {
    let values = sample.column(at, header);
    let differing = values.iter().find(|v| differs(v, orders));
    let example = differing.or(values.first()).map_or(&[][..], |v| v);
    let readings: Vec<String> = orders
        .list()
        .into_iter()
        .filter_map(|o| Some(format!("{} ({})", spelled(example, o)?, order_name(o))))
        .collect();
    let options: Vec<String> = orders
        .list()
        .into_iter()
        .map(|o| format!("\"{}\"", order_name(o)))
        .collect();
    let why = match differing {
        Some(_) => format!("{:?} is {}", lossy(example), readings.join(" or ")),
        None => format!("{:?} has one number for day and month", lossy(example)),
    };
    let message = format!(
        "{}: the dates of column {name:?} can be read two ways: {why}, and no line of the file decides (a day above 12, such as {}, would); say order = {}",
        head.name(),
        decider(example),
        options.join(" or "),
    );
    Error::new(Kind::AmbiguousDates, message).at(Place {
        file: head.spec.path.clone(),
        column: Some(name.to_string()),
        ..Place::default()
    })
}

/// Whether the readings of `value` are different days.
fn differs(value: &[u8], orders: Orders) -> bool {
    let readings: std::collections::BTreeSet<_> = orders
        .list()
        .into_iter()
        .filter_map(|o| spelled(value, o))
        .collect();
    readings.len() > 1
}

/// `value` with the 13th in the place of its first number.
fn decider(value: &[u8]) -> String {
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest: String = lossy(value.get(digits..).unwrap_or_default());
    format!("13{}", rest.split([' ', 'T']).next().unwrap_or_default())
}

/// The order of a date column as a schema says it: none where all dates are ISO.
pub(super) fn told(orders: Orders) -> Option<DateOrder> {
    orders.only().filter(|o| *o != DateOrder::Ymd)
}
