//! Messages that lie ready in memory into a topic: librdkafka's producer through rdkafka, no transactions.

use crate::Outcome;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode::QueueFull;
use std::time::{Duration, Instant};

/// Messages between two looks at what the broker said.
const LOOK: usize = 1_000;

/// The lines of a file as values, all with one key; `header`: length of the value of a header, 0 for none.
pub fn produce(broker: &str, topic: &str, lines: &str, header: usize) -> Outcome<Duration> {
    let text = std::fs::read(lines)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    let mut value = vec![7; header];
    let began = Instant::now();
    for (i, line) in text
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .enumerate()
    {
        let mut record = BaseRecord::to(topic).key("household").payload(line);
        if header > 0 {
            let place = header.saturating_sub(8);
            value[place..].copy_from_slice(&(i as u64).to_be_bytes()[..header - place]);
            let own = Header {
                key: "wattline",
                value: Some(&value),
            };
            record = record.headers(OwnedHeaders::new_with_capacity(1).insert(own));
        }
        while let Err((error, back)) = producer.send(record) {
            match error {
                KafkaError::MessageProduction(QueueFull) => record = back,
                other => return Err(other.into()),
            }
            producer.poll(Duration::from_millis(1));
        }
        if i.is_multiple_of(LOOK) {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(began.elapsed())
}
