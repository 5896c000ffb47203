//! Against librdkafka's mock cluster: delivery, reading by hand, errors as the broker gives them.

mod errors;

use super::*;
use crate::Kind;
use rdkafka::bindings::rd_kafka_resp_err_t as E;
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaApiKey as Api;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(10);

fn cluster(
    topic: &str,
    partitions: i32,
) -> (
    MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    Config,
) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    let url = format!(
        "kafka://{}/{topic}?timeout=5s&linger=1",
        cluster.bootstrap_servers()
    );
    let config = Config::parse(&url).unwrap();
    (cluster, config)
}

fn outgoing<'a>(key: &'a [u8], value: &'a [u8], headers: &'a [Header<'a>]) -> Outgoing<'a> {
    Outgoing {
        partition: partition_of(key, 2),
        key: Some(key),
        value: Some(value),
        timestamp: 1_000,
        headers,
    }
}

fn send(config: &Config, count: u32) {
    let mut producer = Producer::new(config, None).unwrap();
    let topic = producer.topic(&config.topic).unwrap();
    for i in 0..count {
        let (key, value, header) = (format!("k{}", i % 7), format!("v{i}"), i.to_le_bytes());
        let headers = [(ORIGIN, Some(&header[..])), (c"x", None)];
        let message = outgoing(key.as_bytes(), value.as_bytes(), &headers);
        producer.send(topic, &message).unwrap();
    }
    producer.flush(WAIT).unwrap();
    assert_eq!(
        (producer.sent(), producer.delivered()),
        (count.into(), count.into())
    );
}

/// Polls until each partition has ended.
fn read(consumer: &mut Consumer, partitions: usize) -> Polled {
    let (mut all, until) = (Polled::default(), Instant::now() + WAIT);
    while all.ends.len() < partitions {
        assert!(Instant::now() < until, "{:?}", consumer.complaint());
        consumer
            .poll_into(&mut all, 1000, Duration::from_millis(100))
            .unwrap();
    }
    all
}

#[test]
fn what_is_sent_comes_back_with_place_key_and_header() {
    let (_cluster, config) = cluster("power", 2);
    send(&config, 500);
    let mut consumer = Consumer::new(&config, Isolation::Committed)
        .unwrap()
        .with_header(ORIGIN);
    consumer
        .assign(&[(0, Start::Beginning), (1, Start::Beginning)])
        .unwrap();
    let all = read(&mut consumer, 2);
    assert_eq!(all.messages.len(), 500);
    let mut next = [0i64; 2];
    for message in all.messages.iter() {
        let i = u32::from_le_bytes(message.header.unwrap().try_into().unwrap());
        assert_eq!(message.value.unwrap(), format!("v{i}").as_bytes());
        let key = format!("k{}", i % 7);
        assert_eq!(message.key.unwrap(), key.as_bytes());
        assert_eq!(message.partition, partition_of(key.as_bytes(), 2));
        assert_eq!(message.timestamp, 1_000);
        let next = &mut next[message.partition as usize];
        assert_eq!(message.offset, *next);
        *next += 1;
    }
    let mut ends = all.ends;
    ends.sort_unstable();
    assert_eq!(ends, vec![(0, next[0]), (1, next[1])]);
    assert_eq!(consumer.client().watermarks(0).unwrap(), (0, next[0]));
    assert_eq!(consumer.client().partitions().unwrap(), vec![0, 1]);
}

#[test]
fn a_partition_is_read_from_any_place_and_left() {
    let (_cluster, config) = cluster("power", 2);
    send(&config, 300);
    let mut consumer = Consumer::new(&config, Isolation::Committed).unwrap();
    let (_, high) = consumer.client().watermarks(1).unwrap();
    consumer.assign(&[(1, Start::At(high - 3))]).unwrap();
    let all = read(&mut consumer, 1);
    assert_eq!(
        all.messages.iter().map(|m| m.offset).collect::<Vec<_>>(),
        vec![high - 3, high - 2, high - 1]
    );
    consumer.add(1, Start::At(high - 1)).unwrap();
    assert_eq!(read(&mut consumer, 1).messages.len(), 1);
    consumer.assign(&[(0, Start::Beginning)]).unwrap();
    assert!(
        read(&mut consumer, 1)
            .messages
            .iter()
            .all(|m| m.partition == 0)
    );
}

#[test]
fn a_place_that_is_gone_is_lost_data() {
    let (_cluster, config) = cluster("power", 1);
    let mut consumer = Consumer::new(&config, Isolation::Committed).unwrap();
    consumer.assign(&[(0, Start::At(1_000))]).unwrap();
    let until = Instant::now() + WAIT;
    let error = loop {
        assert!(Instant::now() < until);
        match consumer.poll(10, Duration::from_millis(100)) {
            Ok(polled) => assert!(polled.messages.is_empty()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, Kind::DataLost);
    assert_eq!(error.place.unwrap().message.unwrap().1, 0);
}

#[test]
fn passing_errors_of_a_broker_lose_nothing() {
    let (cluster, config) = cluster("power", 2);
    for code in [
        E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ] {
        cluster.request_errors(Api::Produce, &[code; 5]);
        send(&config, 50);
    }
    cluster.request_errors(
        Api::Fetch,
        &[E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 5],
    );
    let mut consumer = Consumer::new(&config, Isolation::Committed).unwrap();
    consumer
        .assign(&[(0, Start::Beginning), (1, Start::Beginning)])
        .unwrap();
    assert_eq!(read(&mut consumer, 2).messages.len(), 150);
}

#[test]
fn a_message_that_is_refused_is_an_error_of_the_flush() {
    let (cluster, config) = cluster("power", 1);
    cluster.request_errors(
        Api::Produce,
        &[E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 1],
    );
    let mut producer = Producer::new(&config, None).unwrap();
    let topic = producer.topic("power").unwrap();
    let message = Outgoing {
        partition: 0,
        ..outgoing(b"k", b"v", &[])
    };
    producer.send(topic, &message).unwrap();
    let error = producer.flush(WAIT).unwrap_err();
    assert_eq!(error.kind, Kind::Endpoint);
    assert!(error.message.contains("power"), "{error}");
}

#[test]
fn headers_made_before_go_with_their_message_also_through_a_full_queue() {
    let (_cluster, config) = cluster("power", 1);
    let config = config.or("queue.buffering.max.messages", 10);
    let mut producer = Producer::new(&config, None).unwrap();
    let topic = producer.topic("power").unwrap();
    // On a thread of its own, as they are made on the pool.
    let made = std::thread::spawn(|| {
        let header = |i: u32| Headers::of(ORIGIN, &i.to_be_bytes());
        (0..1_000).map(header).collect::<Vec<_>>()
    });
    for (i, made) in made.join().unwrap().into_iter().enumerate() {
        let (value, mut made) = (format!("v{i}"), Some(made));
        let message = Outgoing {
            partition: 0,
            ..outgoing(b"k", value.as_bytes(), &[])
        };
        producer.send_with(topic, &message, &mut made).unwrap();
        assert!(made.is_none());
    }
    producer.flush(WAIT).unwrap();
    let consumer = Consumer::new(&config, Isolation::Committed).unwrap();
    let mut consumer = consumer.with_header(ALL);
    consumer.assign(&[(0, Start::Beginning)]).unwrap();
    let all = read(&mut consumer, 1);
    assert_eq!(all.messages.len(), 1_000);
    for (i, message) in all.messages.iter().enumerate() {
        assert_eq!(message.value.unwrap(), format!("v{i}").as_bytes());
        let due = (
            ORIGIN.to_str().unwrap().to_owned(),
            Some((i as u32).to_be_bytes().to_vec()),
        );
        assert_eq!(headers(message.header.unwrap()), [due]);
    }
}

#[test]
fn headers_stay_with_who_made_them_where_their_message_is_refused() {
    let (_cluster, config) = cluster("power", 1);
    let config = config.or("message.max.bytes", 1000);
    let mut producer = Producer::new(&config, None).unwrap();
    let topic = producer.topic("power").unwrap();
    let (long, mut made) = (vec![0; 2000], Some(Headers::of(ORIGIN, b"1")));
    let message = Outgoing {
        partition: 0,
        ..outgoing(b"k", &long, &[])
    };
    producer.send_with(topic, &message, &mut made).unwrap_err();
    assert!(made.is_some());
}

#[test]
fn what_lingers_and_batches_in_flight_are_committed() {
    let (cluster, _) = cluster("power", 1);
    // Four batches in their time, and a rest that lingers until it is flushed.
    let url = format!("kafka://{}/power?timeout=5s", cluster.bootstrap_servers());
    let config = Config::parse(&url).unwrap().patient(1);
    let mut producer = Producer::new(&config, Some("id")).unwrap();
    let topic = producer.topic("power").unwrap();
    producer.begin().unwrap();
    for _ in 0..45_000 {
        let message = Outgoing {
            partition: 0,
            ..outgoing(b"k", b"v", &[])
        };
        producer.send(topic, &message).unwrap();
    }
    let settled = producer.commit(WAIT);
    assert!(matches!(settled, Settled::Committed), "{settled:?}");
    assert_eq!((producer.sent(), producer.delivered()), (45_000, 45_000));
}

/// Sends one message in a transaction.
fn transaction(producer: &mut Producer) -> Settled {
    let topic = producer.topic("power").unwrap();
    let message = Outgoing {
        partition: 0,
        ..outgoing(b"k", b"v", &[])
    };
    producer.begin().unwrap();
    producer.send(topic, &message).unwrap();
    producer.commit(WAIT)
}

#[test]
fn a_transaction_commits_also_after_passing_errors() {
    let (cluster, config) = cluster("power", 1);
    let mut producer = Producer::new(&config, Some("id")).unwrap();
    assert!(matches!(transaction(&mut producer), Settled::Committed));
    for (api, code) in [
        (
            Api::AddPartitionsToTxn,
            E::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
        ),
        (
            Api::AddPartitionsToTxn,
            E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        ),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
    ] {
        for times in [1, 5] {
            cluster.request_errors(api, &vec![code; times]);
            let settled = transaction(&mut producer);
            assert!(
                matches!(settled, Settled::Committed),
                "{code:?}: {settled:?}"
            );
        }
    }
}

#[test]
fn what_was_aborted_is_no_fault_of_the_next_transaction() {
    let (cluster, _) = cluster("power", 1);
    // So long that its message is still queued when the transaction is aborted.
    let url = format!(
        "kafka://{}/power?timeout=5s&linger=4000",
        cluster.bootstrap_servers()
    );
    let config = Config::parse(&url).unwrap();
    let mut producer = Producer::new(&config, Some("id")).unwrap();
    let topic = producer.topic("power").unwrap();
    producer.begin().unwrap();
    producer.send(topic, &outgoing(b"k", b"v", &[])).unwrap();
    let settled = producer.ended(crate::Error::new(Kind::Usage, "not wanted"));
    assert!(matches!(settled, Settled::Aborted(_)), "{settled:?}");
    let settled = transaction(&mut producer);
    assert!(matches!(settled, Settled::Committed), "{settled:?}");
}

#[test]
fn a_fenced_producer_knows_nothing_of_its_transaction() {
    let (cluster, config) = cluster("power", 1);
    let mut producer = Producer::new(&config, Some("id")).unwrap();
    cluster.request_errors(Api::EndTxn, &[E::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    match transaction(&mut producer) {
        Settled::Unclear(error) => assert_eq!(error.kind, Kind::Fenced, "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_long_log_is_no_open_transaction() {
    let (_cluster, config) = cluster("long", 1);
    let mut producer = Producer::new(&config, None).unwrap();
    let topic = producer.topic("long").unwrap();
    for _ in 0..25_000 {
        let message = Outgoing {
            partition: 0,
            ..outgoing(b"k", b"v", &[])
        };
        producer.send(topic, &message).unwrap();
    }
    producer.flush(WAIT).unwrap();
    let words = Words {
        holds: "state",
        option: "state_topic",
        writer: "pipeline",
        timeout: "its timeout",
        partitions: 1,
    };
    let views = Views::new(&config).unwrap();
    let log = Log::of(&views, &config.topic, 1, words).unwrap();
    let (wait, mut seen) = (Duration::from_secs(5), 0);
    // Reading takes longer than a transaction is waited for, and gets on all the while.
    log.read(0, Upto::Everything, wait, &mut |message| {
        if message.offset == 0 {
            std::thread::sleep(wait + Duration::from_millis(100));
        }
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 25_000);
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let config = Config::parse("kafka://127.0.0.1:1/power?timeout=1s").unwrap();
    let error = Client::new(&config, Isolation::Committed)
        .unwrap()
        .describe()
        .unwrap_err();
    assert_eq!((error.kind, error.retryable), (Kind::Endpoint, true));
    assert!(error.message.contains("127.0.0.1:1"), "{error}");
}

#[test]
fn a_topic_that_is_not_there_is_not_found() {
    let (cluster, config) = cluster("power", 1);
    let config = config.with_topic("nope");
    cluster
        .topic_error("nope", E::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        .unwrap();
    let client = Client::new(&config, Isolation::Committed).unwrap();
    assert_eq!(client.partitions().unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_setting_that_cannot_be_is_refused_without_its_value() {
    let config = Config::parse("kafka://a:1/t?session.timeout.ms=secretive").unwrap();
    let error = Client::new(&config, Isolation::Committed).err().unwrap();
    assert_eq!(error.kind, Kind::Usage);
    assert!(error.message.contains("session.timeout.ms") && !error.message.contains("secretive"));
}

#[test]
fn all_headers_come_with_their_missing_values_and_so_do_tombstones() {
    let (_cluster, config) = cluster("power", 1);
    let mut producer = Producer::new(&config, None).unwrap();
    let topic = producer.topic("power").unwrap();
    let given: [Header<'_>; 4] = [
        (c"a", Some(b"1")),
        (c"a", Some(b"")),
        (c"b", None),
        (c"c", Some(&[0, 255])),
    ];
    for headers in [&given[..], &given[..1], &[]] {
        let message = Outgoing {
            partition: 0,
            key: None,
            value: None,
            timestamp: 0,
            headers,
        };
        producer.send(topic, &message).unwrap();
    }
    producer.flush(WAIT).unwrap();
    let consumer = Consumer::new(&config, Isolation::Committed).unwrap();
    let mut consumer = consumer.with_header(ALL);
    consumer.assign(&[(0, Start::Beginning)]).unwrap();
    let all = read(&mut consumer, 1);
    let seen: Vec<_> = all.messages.iter().collect();
    assert!(seen.iter().all(|m| m.key.is_none() && m.value.is_none()));
    let owned = |h: &Header<'_>| {
        let name = h.0.to_str().unwrap().to_owned();
        (name, h.1.map(<[u8]>::to_vec))
    };
    let due: Vec<_> = given.iter().map(owned).collect();
    assert_eq!(headers(seen[0].header.unwrap()), due);
    assert_eq!(headers(seen[1].header.unwrap()), due[..1]);
    assert!(headers(seen[2].header.unwrap_or_default()).is_empty());
}
