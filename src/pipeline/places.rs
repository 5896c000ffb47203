//! Places: where the sensors of a topic belong before and after partitions were added.

use super::spec::Spec;
use crate::flush::Head;
use crate::{Error, Kind, Result};

#[cfg(not(feature = "kafka"))]
pub(super) use absent::Places;
#[cfg(feature = "kafka")]
pub(super) use keys::Places;

#[cfg(feature = "kafka")]
mod keys {
    use super::*;
    use crate::kafka::{Config, Consumer, Isolation, Partitioner, Start};
    use std::time::{Duration, Instant};

    /// Where sensors belong, by the topic's partitioner.
    pub(in crate::pipeline) struct Places {
        config: Config,
        partitioner: Partitioner,
        before: u32,
        now: u32,
    }

    impl Places {
        /// Of the topic of `spec`. Errors: `Usage` where sensors would move between partitions that were there.
        pub(in crate::pipeline) fn of(spec: &Spec, before: u32, now: u32) -> Result<Places> {
            let config = Config::parse(&spec.topic().unwrap_or_default())?;
            let partitioner = config.partitioner()?;
            if before == 0 || now == 0 || !now.is_multiple_of(before) {
                return Err(Error::new(
                    Kind::Usage,
                    format!(
                        "the topic went from {before} to {now} partitions, which moves sensors between the old ones; add partitions up to a multiple of {before}, then move the windows"
                    ),
                ));
            }
            Ok(Places {
                config,
                partitioner,
                before,
                now,
            })
        }

        fn place(&self, key: &[u8], count: u32) -> Option<u32> {
            let place = self.partitioner.place(key, count as usize)?;
            u32::try_from(place).ok()
        }

        /// Where a sensor belongs now; its messages have it as key.
        pub(in crate::pipeline) fn of_sensor(&self, sensor: &str) -> Option<u32> {
            self.place(sensor.as_bytes(), self.now)
        }

        /// Refuses sensors that are not where their name, as a key, would put them.
        pub(in crate::pipeline) fn check(&self, partition: u32, sensors: &[String]) -> Result<()> {
            let strange =
                |name: &&String| self.place(name.as_bytes(), self.before) != Some(partition);
            match sensors.iter().find(strange) {
                None => Ok(()),
                Some(name) => Err(Error::new(
                    Kind::Usage,
                    format!(
                        "sensor {name:?} is in partition {partition}, where the partitioner {} does not put a key of that name: the messages have other keys, and where they go is not known; begin under a new pipeline name, or with state=\"shared\"",
                        self.partitioner.name()
                    ),
                )),
            }
        }

        /// Refuses messages that wait in a partition although their key belongs elsewhere now.
        pub(in crate::pipeline) fn drained(&self, heads: &[&Head]) -> Result<()> {
            for head in heads {
                let stream = format!("{}/{}", self.config.topic, head.partition);
                let at = head.positions.iter().find(|p| p.stream == stream);
                self.waiting(head.partition, at.map_or(0, |p| p.at as i64))?;
            }
            Ok(())
        }

        fn waiting(&self, partition: u32, from: i64) -> Result<()> {
            let mut consumer = Consumer::new(&self.config, Isolation::Committed)?;
            let place = partition as i32;
            let end = consumer.client().watermarks(place)?.1;
            if from >= end {
                return Ok(());
            }
            consumer.assign(&[(place, Start::At(from))])?;
            let (mut next, mut until) = (from, Instant::now() + self.config.timeout);
            while next < end {
                if Instant::now() > until {
                    return Err(
                        consumer.silent(&format!("partition {partition} could not be read"))
                    );
                }
                let polled = consumer.poll(10_000, Duration::from_millis(100))?;
                for message in polled.messages.iter() {
                    until = Instant::now() + self.config.timeout;
                    next = message.offset + 1;
                    let key = message.key.unwrap_or_default();
                    if message.offset < end && self.place(key, self.now) != Some(partition) {
                        return Err(waits(partition, message.offset, end));
                    }
                }
                for (_, at) in polled.ends {
                    next = next.max(at);
                }
            }
            Ok(())
        }
    }

    fn waits(partition: u32, offset: i64, end: i64) -> Error {
        Error::new(
            Kind::Usage,
            format!(
                "partition {partition} has messages that are not counted ({offset} to {end}) and whose keys belong elsewhere since partitions were added; count a topic to its end before partitions are added, or begin under a new pipeline name"
            ),
        )
    }
}

#[cfg(not(feature = "kafka"))]
mod absent {
    use super::*;

    /// A build without Kafka has no topics.
    pub(in crate::pipeline) struct Places;

    impl Places {
        pub(in crate::pipeline) fn of(_: &Spec, _: u32, _: u32) -> Result<Places> {
            Err(Error::new(
                Kind::Usage,
                "this build of wattline has no Kafka; build it with the feature kafka",
            ))
        }

        pub(in crate::pipeline) fn of_sensor(&self, _: &str) -> Option<u32> {
            None
        }

        pub(in crate::pipeline) fn check(&self, _: u32, _: &[String]) -> Result<()> {
            Ok(())
        }

        pub(in crate::pipeline) fn drained(&self, _: &[&Head]) -> Result<()> {
            Ok(())
        }
    }
}
