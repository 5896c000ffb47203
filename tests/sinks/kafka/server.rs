//! A plain reader and writer beside the one under test.

use super::url;
use std::collections::BTreeMap;
use std::time::Duration;
use wattline::kafka::{
    Client, Config, Consumer, Isolation, NewTopic, Outgoing, Producer, Start, TopicFacts,
};

pub fn config(topic: &str) -> Config {
    Config::parse(&format!("{}/{topic}", url())).unwrap()
}

/// Makes a topic.
pub fn make(topic: &str, partitions: i32, settings: &[(&str, &str)]) -> TopicFacts {
    let pairs = settings.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    let client = Client::new(&config(topic), Isolation::Committed).unwrap();
    let made = client.make(&NewTopic {
        name: topic.into(),
        partitions,
        replication: 1,
        settings: pairs.collect::<BTreeMap<_, _>>(),
    });
    made.unwrap()
}

/// Key and value of a message.
pub type Pair = (Option<Vec<u8>>, Vec<u8>);

/// Keys and values of all committed messages, in order within each partition.
pub fn committed(topic: &str) -> Vec<Pair> {
    let client = Client::new(&config(topic), Isolation::Committed).unwrap();
    let Ok(partitions) = client.partitions() else {
        return Vec::new();
    };
    let whole = Client::new(&config(topic), Isolation::Uncommitted).unwrap();
    let mut all = Vec::new();
    for partition in partitions {
        // A commit is answered a moment before it is seen; a transaction that hangs is not waited for.
        let mut turns = 0..50;
        let mut pause = || {
            std::thread::sleep(Duration::from_millis(20));
            turns.next().is_some()
        };
        whole.settled(&client, partition, &mut pause).unwrap();
        let end = client.watermarks(partition).unwrap().1;
        let mut consumer = Consumer::new(&config(topic), Isolation::Committed).unwrap();
        consumer.assign(&[(partition, Start::Beginning)]).unwrap();
        let mut next = 0;
        while next < end {
            let polled = consumer.poll(1000, Duration::from_millis(100)).unwrap();
            for m in polled.messages.iter() {
                next = m.offset + 1;
                let value = m.value.unwrap_or_default().to_vec();
                all.push((m.key.map(<[u8]>::to_vec), value));
            }
            for (_, at) in polled.ends {
                next = next.max(at);
            }
        }
    }
    all
}

/// Sends one message.
pub fn send(topic: &str, partition: i32, key: &[u8], value: &[u8]) {
    let mut producer = Producer::new(&config(topic), None).unwrap();
    sent(&mut producer, topic, partition, key, value);
}

/// Leaves a message in each partition in a transaction that stays open while the producer lives.
pub fn hanging(topic: &str, partitions: i32) -> Producer {
    let config = config(topic).or("transaction.timeout.ms", 600_000);
    let mut producer = Producer::new(&config, Some(&format!("{topic}-hangs"))).unwrap();
    producer.begin().unwrap();
    for partition in 0..partitions {
        sent(&mut producer, topic, partition, b"hangs", b"{}");
    }
    producer
}

fn sent(producer: &mut Producer, topic: &str, partition: i32, key: &[u8], value: &[u8]) {
    let number = producer.topic(topic).unwrap();
    let message = Outgoing {
        partition,
        key: Some(key),
        value: Some(value),
        timestamp: 0,
        headers: &[],
    };
    producer.send(number, &message).unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
}
