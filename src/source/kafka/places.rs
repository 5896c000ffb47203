//! Places: with a head for each partition a sensor must live in one of them, or its windows would be torn.
//!
//! Checked at first sight, before anything of the batch is counted: the message's key is the sensor, and the key
//! belongs into the partition by the topic's partitioner. So the sensor alone says where it lives: nothing needs to be
//! remembered, and every run and every worker of a group decides alike. Under other keys (a site, an account) the same
//! sensor could come in a second partition years later, in another process; such topics are for one head.

use super::model::Sight;
use crate::error::Place;
use crate::kafka::Partitioner;
use crate::{Error, Kind, Result};
use hashbrown::HashSet;
use std::sync::Arc;

/// Where the sensors of a topic live; shared by its readers.
pub(super) struct Places {
    topic: Arc<str>,
    count: usize,
    partitioner: Partitioner,
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
        }
    }

    fn check(&self, partition: i32, sight: &Sight) -> Result<()> {
        match self.fault(partition, sight) {
            None => Ok(()),
            Some(what) => Err(Error::new(
                Kind::Schema,
                format!(
                    "sensor {:?} of topic {}: {what}; its windows would be torn: say state=\"shared\", which reads all partitions under one head",
                    sight.sensor, self.topic
                ),
            )
            .at(Place {
                message: Some((self.topic.to_string(), partition, sight.offset)),
                ..Place::default()
            })),
        }
    }

    /// Why the sensor may have readings in other partitions too.
    fn fault(&self, partition: i32, sight: &Sight) -> Option<String> {
        let at = format!("at offset {} of partition {partition}", sight.offset);
        let Some(key) = &sight.key else {
            return Some(format!(
                "the message {at} has no key, so it may lie in any partition"
            ));
        };
        let Some(home) = self.partitioner.place(key, self.count) else {
            return Some("its producers choose partitions at random".into());
        };
        if home != partition {
            return Some(format!(
                "its key {at} belongs into partition {home} by the partitioner {} (name another one as partitioner= of the endpoint where the producers use it)",
                self.partitioner.name()
            ));
        }
        (key.as_slice() != sight.sensor.as_bytes()).then(|| {
            format!(
                "the message {at} has the key {:?}, not the sensor, so others of it may lie in other partitions",
                String::from_utf8_lossy(key)
            )
        })
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
        // Keys that are not the sensor, each where it belongs: the other partition cannot know of this one.
        let foreign = told(seen.check(&[sight("d", Some("a"))]).unwrap_err());
        assert!(foreign.contains("\"a\", not the sensor"), "{foreign}");
        let elsewhere = partition_of(other.as_bytes(), 4);
        let mut second = Seen::new(places, elsewhere);
        told(second.check(&[sight("a", Some(&other))]).unwrap_err());
    }

    #[test]
    fn a_random_partitioner_cannot_be_keyed() {
        let places = Arc::new(Places::new("power", 4, Partitioner::Random));
        let error = Seen::new(places, 0).check(&[sight("a", Some("a"))]);
        assert!(error.unwrap_err().message.contains("at random"));
    }
}
