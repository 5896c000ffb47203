//! Range: the offsets between which a topic is read, by offset or by record time.

use crate::kafka::Client;
use crate::time::parse::{Layout, Parsed};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One end of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "since and until are each an offset, a table of offsets by partition, earliest, now, or a time with its zone"
)]
pub enum Bound {
    /// This offset in every partition.
    Offset(i64),
    /// An offset by partition (its number as text, as JSON has it); others are not read.
    ByPartition(BTreeMap<String, i64>),
    /// `earliest`, `now` (the last stable offset when reading begins), or a time with its zone, ISO 8601: the first
    /// message whose record time is that or later.
    Text(String),
}

/// What is read of one partition: offsets from the first up to before the second.
pub(super) type Span = (i32, i64, i64);

/// The spans of a topic between `since` (`None`: the beginning) and `until` (`None`: now), those with nothing
/// in them left out. Errors: `DataLost` where retention has passed an offset asked for, `Usage`.
pub(super) fn spans(
    client: &Client,
    since: Option<&Bound>,
    until: Option<&Bound>,
) -> Result<Vec<Span>> {
    let partitions = client.partitions()?;
    let mut spans = Vec::new();
    for partition in &partitions {
        let (low, high) = client.watermarks(*partition)?;
        spans.push((*partition, low, high));
    }
    if let Some(bound) = since {
        let from = offsets(client, bound, &partitions)?;
        for span in &mut spans {
            span.1 = match from.get(&span.0) {
                Some(At::Offset(offset)) => lost(client, *span, *offset)?,
                Some(At::Low) => span.1,
                Some(At::High) | None => span.2,
            };
        }
    }
    if let Some(bound) = until {
        let to = offsets(client, bound, &partitions)?;
        for span in &mut spans {
            span.2 = match to.get(&span.0) {
                Some(At::Offset(offset)) => span.2.min(*offset),
                Some(At::Low) | None => span.1,
                Some(At::High) => span.2,
            };
        }
    }
    spans.retain(|(_, from, to)| from < to);
    Ok(spans)
}

/// Where `partition` begins for who has read nothing of it.
pub(super) fn start(client: &Client, partition: i32, since: Option<&Bound>) -> Result<i64> {
    let (low, high) = client.watermarks(partition)?;
    let Some(bound) = since else { return Ok(low) };
    let asked = match bound {
        // Those of other partitions are no concern here, nor whether there are some.
        Bound::ByPartition(offsets) => {
            let own = offsets.get(&partition.to_string());
            own.map_or(At::High, |offset| At::Offset(*offset))
        }
        bound => {
            let found = offsets(client, bound, &[partition])?;
            found.get(&partition).copied().unwrap_or(At::Low)
        }
    };
    match asked {
        At::Offset(offset) => lost(client, (partition, low, high), offset),
        At::Low => Ok(low),
        At::High => Ok(high),
    }
}

/// A place in a partition.
#[derive(Clone, Copy)]
enum At {
    Low,
    High,
    Offset(i64),
}

fn lost(client: &Client, (partition, low, _): Span, offset: i64) -> Result<i64> {
    if offset >= low {
        return Ok(offset);
    }
    Err(Error::new(
        Kind::DataLost,
        format!(
            "partition {partition} of topic {} begins at offset {low}, and {offset} was asked for: retention has passed it; begin at \"earliest\"",
            client.config().topic
        ),
    ))
}

fn offsets(client: &Client, bound: &Bound, partitions: &[i32]) -> Result<BTreeMap<i32, At>> {
    let all = |at: At| partitions.iter().map(|p| (*p, at)).collect();
    Ok(match bound {
        Bound::Offset(offset) => all(At::Offset(*offset)),
        Bound::ByPartition(offsets) => offsets
            .iter()
            .map(|(name, offset)| {
                let known = name.parse().ok().filter(|p| partitions.contains(p));
                let partition =
                    known.ok_or_else(|| no_partition(client, name, partitions.len()))?;
                Ok((partition, At::Offset(*offset)))
            })
            .collect::<Result<_>>()?,
        Bound::Text(text) if text == "earliest" => all(At::Low),
        Bound::Text(text) if text == "now" => all(At::High),
        Bound::Text(text) => {
            let found = client.offsets_at(partitions, millis(text)?)?;
            let at = |(p, offset): (i32, Option<i64>)| (p, offset.map_or(At::High, At::Offset));
            found.into_iter().map(at).collect()
        }
    })
}

fn no_partition(client: &Client, name: &str, count: usize) -> Error {
    let topic = &client.config().topic;
    Error::new(
        Kind::Usage,
        format!("topic {topic} has no partition {name}; it has {count}, numbered from 0"),
    )
}

/// A time as milliseconds since 1970.
fn millis(text: &str) -> Result<i64> {
    let wrong = |why: &str| {
        Error::new(
            Kind::Usage,
            format!(
                "{text:?} {why}; write an offset, \"earliest\", \"now\", or a time such as 2026-01-31T00:00:00Z"
            ),
        )
    };
    match Layout::new(None).stamp(text.as_bytes()) {
        Ok(Parsed::Utc(micros)) => Ok(micros.div_euclid(1000)),
        Ok(Parsed::Local(_)) => Err(wrong("is a time without its zone")),
        Err(_) => Err(wrong("is no place in a topic")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_read_from_json() {
        let read = |text: &str| serde_json::from_str::<Bound>(text).unwrap();
        assert_eq!(read("5"), Bound::Offset(5));
        assert_eq!(read("\"now\""), Bound::Text("now".into()));
        assert_eq!(
            read("{\"1\":7}"),
            Bound::ByPartition([("1".into(), 7)].into())
        );
    }

    #[test]
    fn a_time_needs_its_zone() {
        assert_eq!(millis("1970-01-01T00:00:01Z").unwrap(), 1000);
        assert_eq!(millis("1970-01-01T01:00:01+01:00").unwrap(), 1000);
        assert_eq!(millis("1970-01-01T00:00:01").unwrap_err().kind, Kind::Usage);
        assert_eq!(millis("soon").unwrap_err().kind, Kind::Usage);
    }
}
