//! Places: with a head for each partition a sensor must live in one of them, or its windows would be torn.
//!
//! Checked at first sight, before anything of the batch is counted: the message has a key, the key belongs into the
//! partition by the topic's partitioner, and this process has not seen the sensor in another partition.

use super::model::Sight;
use crate::error::Place;
use crate::kafka::Partitioner;
use crate::{Error, Kind, Result};
use hashbrown::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the sensors of a topic live; shared by its readers.
pub(super) struct Places {
    topic: Arc<str>,
    count: usize,
    partitioner: Partitioner,
    homes: Mutex<HashMap<Arc<str>, i32>>,
}

/// The sensors that one partition has shown.
pub(super) struct Seen {
    places: Arc<Places>,
    partition: i32,
    sensors: HashSet<Arc<str>>,
}

impl Places {
    pub(super) fn new(topic: &str, count: usize, partitioner: Partitioner) -> Places {
        Places {
            topic: topic.into(),
            count,
            partitioner,
            homes: Mutex::default(),
        }
    }

    fn check(&self, partition: i32, sight: &Sight) -> Result<()> {
        let wrong = |what: String| {
            let place = Place {
                message: Some((self.topic.to_string(), partition, sight.offset)),
                ..Place::default()
            };
            Err(Error::new(
                Kind::Schema,
                format!(
                    "sensor {:?} of topic {}: {what}; its windows would be torn: say state=\"shared\", which reads all partitions under one head",
                    sight.sensor, self.topic
                ),
            )
            .at(place))
        };
        let Some(key) = &sight.key else {
            return wrong(format!(
                "the message at offset {} of partition {partition} has no key, so it may lie in any partition",
                sight.offset
            ));
        };
        match self.partitioner.place(key, self.count) {
            None => {
                return wrong("its producers choose partitions at random".into());
            }
            Some(home) if home != partition => {
                return wrong(format!(
                    "its key at offset {} of partition {partition} belongs into partition {home} by the partitioner {} (name another one as partitioner= of the endpoint where the producers use it)",
                    sight.offset,
                    self.partitioner.name()
                ));
            }
            Some(_) => {}
        }
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        match homes.get(&sight.sensor) {
            Some(home) if *home != partition => wrong(format!(
                "it is in partition {home} and in partition {partition}"
            )),
            Some(_) => Ok(()),
            None => {
                homes.insert(sight.sensor.clone(), partition);
                Ok(())
            }
        }
    }
}

impl Seen {
    pub(super) fn new(places: Arc<Places>, partition: i32) -> Seen {
        Seen {
            places,
            partition,
            sensors: HashSet::new(),
        }
    }

    /// Errors: `Schema` where a sensor may have its readings in two partitions.
    pub(super) fn check(&mut self, sights: &[Sight]) -> Result<()> {
        for sight in sights {
            if !self.sensors.contains(&sight.sensor) {
                self.places.check(self.partition, sight)?;
                self.sensors.insert(sight.sensor.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::partition_of;

    fn sight(sensor: &str, key: Option<&str>) -> Sight {
        Sight {
            sensor: sensor.into(),
            offset: 7,
            key: key.map(|k| k.as_bytes().to_vec()),
        }
    }

    #[test]
    fn a_sensor_lives_in_the_partition_of_its_key() {
        let places = Arc::new(Places::new("power", 4, Partitioner::Murmur2));
        let home = partition_of(b"a", 4);
        let mut seen = Seen::new(places.clone(), home);
        seen.check(&[sight("a", Some("a"))]).unwrap();
        let told = |error: Error| {
            assert_eq!(error.kind, Kind::Schema);
            assert!(error.message.contains("state=\"shared\""), "{error}");
            error.message
        };
        assert!(told(seen.check(&[sight("b", None)]).unwrap_err()).contains("no key"));
        let other = (0..).map(|i| format!("k{i}"));
        let other = { other }
            .find(|k| partition_of(k.as_bytes(), 4) != home)
            .unwrap();
        let moved = told(seen.check(&[sight("c", Some(&other))]).unwrap_err());
        assert!(moved.contains("murmur2_random"), "{moved}");
        // The same sensor under another key, where that key belongs.
        let elsewhere = partition_of(other.as_bytes(), 4);
        let mut second = Seen::new(places, elsewhere);
        let twice = told(second.check(&[sight("a", Some(&other))]).unwrap_err());
        assert!(twice.contains(&format!("partition {home} and")), "{twice}");
    }

    #[test]
    fn a_random_partitioner_cannot_be_keyed() {
        let places = Arc::new(Places::new("power", 4, Partitioner::Random));
        let error = Seen::new(places, 0).check(&[sight("a", Some("a"))]);
        assert!(error.unwrap_err().message.contains("at random"));
    }
}
