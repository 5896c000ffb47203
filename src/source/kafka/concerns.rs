//! Concerns: what a topic says before a run. What retention has removed or may remove before it is read, and clocks
//! that differ.
//!
//! No answer of a broker holds its clock; record times show it. Where the broker sets them (`LogAppendTime`) one that
//! lies ahead of this machine's clock proves that the two differ; where writers do, the broker refuses what is further
//! ahead of its own than `message.timestamp.after.max.ms`. A clock that is ahead of all others cannot be told so.

use crate::kafka::{Client, Consumer, Limits, Polled, Start};
use crate::source::Concern;
use crate::time::civil;
use crate::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Clocks may differ so much, ms.
const SKEW: i64 = 10_000;

/// A topic that is looked at.
struct Look<'a> {
    client: &'a Client,
    limits: Limits,
    now: i64,
    /// How far ahead of the clock a reading may lie, ms.
    ahead: i64,
}

/// What is of concern to a run that goes on from these offsets; where one is not to be had, with the reason.
/// `ahead`: how far past the clock a reading may lie, µs.
pub(super) fn of(
    client: &Client,
    from: Vec<(i32, Result<i64>)>,
    ahead: Option<i64>,
) -> Result<Vec<Concern>> {
    let mut concerns = Vec::new();
    let mut places = Vec::new();
    for (partition, at) in from {
        match at {
            Ok(at) => places.push((partition, at)),
            Err(error) if error.kind == Kind::DataLost => concerns.push(Concern {
                stops: true,
                message: error.message,
            }),
            Err(error) => return Err(error),
        }
    }
    let limits = match client.settings() {
        Ok(settings) => Limits::of(&settings),
        Err(error) => {
            concerns.push(unknown(client, &error));
            return Ok(concerns);
        }
    };
    let look = Look {
        client,
        limits,
        now: now(),
        ahead: ahead.map_or(i64::MAX, |us| us / 1000),
    };
    concerns.extend(look.forgetting(&places)?);
    let partitions: Vec<i32> = places.iter().map(|(p, _)| *p).collect();
    concerns.extend(look.clock(&partitions)?);
    Ok(concerns)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |n| n.as_millis() as i64)
}

/// A user who may read a topic need not be allowed to see its settings.
fn unknown(client: &Client, error: &Error) -> Concern {
    Concern {
        stops: false,
        message: format!(
            "the settings of topic {} cannot be seen, so that its retention and clock were not looked at ({}); grant DescribeConfigs on it",
            client.config().topic,
            error.message
        ),
    }
}

/// A place that is worse than others of its kind.
struct Worst {
    partition: i32,
    offset: i64,
    /// Record time of the message there, ms.
    time: i64,
}

impl Look<'_> {
    /// Messages that are to be read, and that the broker may remove before.
    fn forgetting(&self, places: &[(i32, i64)]) -> Result<Option<Concern>> {
        let Some(retention) = self.limits.retention else {
            return Ok(None);
        };
        let oldest = self.times(places)?;
        // A tenth of the retention is left, or less.
        let soon = self.now - (retention - retention / 10);
        let mut worst: Vec<Worst> = oldest.into_iter().filter(|w| w.time < soon).collect();
        worst.sort_by_key(|w| w.time);
        let Some(first) = worst.first() else {
            return Ok(None);
        };
        let partitions: Vec<i32> = worst.iter().map(|w| w.partition).collect();
        let kept = self.client.offsets_at(&partitions, self.now - retention)?;
        let mut due = 0;
        for (partition, offset) in kept {
            let kept = offset.map_or_else(|| self.end(partition), Ok)?;
            let place = worst.iter().find(|w| w.partition == partition);
            due += place.map_or(0, |w| (kept - w.offset).max(0));
        }
        let left = first.time + retention - self.now;
        let what = match left > 0 {
            true => format!("removes it in {}", rough(left)),
            false => format!(
                "may remove it at any time, and about {due} messages with it, in {} of its partitions",
                worst.len()
            ),
        };
        Ok(Some(Concern {
            stops: false,
            message: format!(
                "the oldest message to be read, partition {} offset {} of topic {}, has the record time {}: retention.ms = {retention} ({}) is shorter than the lag, so that the broker {what}; raise retention.ms (kafka-configs --alter), then run",
                first.partition,
                first.offset,
                self.client.config().topic,
                instant(first.time),
                rough(retention)
            ),
        }))
    }

    /// Record times ahead of this machine's clock.
    fn clock(&self, partitions: &[i32]) -> Result<Option<Concern>> {
        let allowed = match self.limits.append {
            true => 0,
            false => self.limits.after.min(self.ahead),
        };
        let Some(border) = self
            .now
            .checked_add(allowed)
            .and_then(|t| t.checked_add(SKEW))
        else {
            return Ok(None);
        };
        let found = self.client.offsets_at(partitions, border)?;
        let found: Vec<(i32, i64)> = found
            .into_iter()
            .filter_map(|(p, offset)| offset.map(|o| (p, o)))
            .collect();
        let Some(worst) = self.times(&found)?.into_iter().max_by_key(|w| w.time) else {
            return Ok(None);
        };
        let why = match self.limits.append {
            true => {
                "the broker sets record times (LogAppendTime), so this machine's clock is behind the broker's; set it"
            }
            false if self.limits.after <= self.ahead => {
                "the broker refuses what is so far ahead of its own clock (message.timestamp.after.max.ms), so this machine's clock is behind the broker's; set it"
            }
            false => {
                "this machine's clock is behind, or a writer's is ahead; readings further ahead of the clock than `ahead` are rejects"
            }
        };
        Ok(Some(Concern {
            stops: false,
            message: format!(
                "partition {} offset {} of topic {} has the record time {}, {} ahead of this machine's clock: {why}",
                worst.partition,
                worst.offset,
                self.client.config().topic,
                instant(worst.time),
                rough(worst.time - self.now)
            ),
        }))
    }

    fn end(&self, partition: i32) -> Result<i64> {
        Ok(self.client.watermarks(partition)?.1)
    }

    /// The first message at or behind each of these places, as far as there is one that says its time.
    fn times(&self, places: &[(i32, i64)]) -> Result<Vec<Worst>> {
        let mut open = BTreeMap::new();
        for (partition, at) in places {
            if *at < self.end(*partition)? {
                open.insert(*partition, *at);
            }
        }
        let mut consumer = Consumer::on(self.client)?;
        let starts: Vec<_> = open.iter().map(|(p, at)| (*p, Start::At(*at))).collect();
        consumer.assign(&starts)?;
        let (mut found, mut polled) = (Vec::new(), Polled::default());
        let until = Instant::now() + self.client.config().timeout;
        while !open.is_empty() {
            let mut keep = |m: &crate::kafka::Message<'_>| open.remove(&m.partition).is_some();
            consumer.poll_if(&mut polled, 1000, Duration::from_millis(100), &mut keep)?;
            for (partition, _) in polled.ends.drain(..) {
                open.remove(&partition);
            }
            if Instant::now() > until {
                return Err(consumer.silent("the oldest messages to be read could not be read"));
            }
        }
        found.extend(polled.messages.iter().map(|m| Worst {
            partition: m.partition,
            offset: m.offset,
            time: m.timestamp,
        }));
        found.retain(|w| w.time >= 0);
        Ok(found)
    }
}

/// An instant, to the second.
fn instant(ms: i64) -> String {
    let (day, second) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) / 1000);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{}T{hour:02}:{minute:02}:{:02}Z",
        civil::iso_date(day),
        second % 60
    )
}

/// A length of time in the unit that people would say it in.
fn rough(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min")];
    let fits = units.into_iter().find(|(unit, _)| ms >= 2 * unit);
    let (unit, name) = fits.unwrap_or((1000, "s"));
    format!("{}{name}", ms / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_instants_are_said_as_people_do() {
        assert_eq!(rough(604_800_000), "7d");
        assert_eq!(rough(5_400_000), "90min");
        assert_eq!(rough(10_000_000), "2h");
        assert_eq!(rough(999), "0s");
        assert_eq!(instant(1_167_609_661_999), "2007-01-01T00:01:01Z");
        assert_eq!(instant(-1000), "1969-12-31T23:59:59Z");
    }
}
