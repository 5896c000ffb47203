//! What a broker may answer, once and five times: what passes loses nothing, what does not is told.

use super::*;

const TIMES: [usize; 2] = [1, 5];

#[test]
fn passing_answers_to_produce_lose_nothing() {
    for code in [
        E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        E::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        E::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    ] {
        for times in TIMES {
            let (cluster, config) = cluster("power", 2);
            cluster.request_errors(Api::Produce, &vec![code; times]);
            send(&config, 40);
            let mut consumer = Consumer::new(&config, Isolation::Committed).unwrap();
            let whole = [(0, Start::Beginning), (1, Start::Beginning)];
            consumer.assign(&whole).unwrap();
            let found = read(&mut consumer, 2).messages.len();
            assert_eq!(found, 40, "{code:?} {times} times");
        }
    }
}

#[test]
fn refusing_answers_to_produce_are_errors_of_the_flush() {
    for code in [
        E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    ] {
        for times in TIMES {
            let (cluster, config) = cluster("power", 2);
            cluster.request_errors(Api::Produce, &vec![code; times]);
            let mut producer = Producer::new(&config, None).unwrap();
            let topic = producer.topic("power").unwrap();
            producer.send(topic, &outgoing(b"k", b"v", &[])).unwrap();
            let error = producer.flush(WAIT).unwrap_err();
            assert_eq!(error.kind, Kind::Endpoint, "{code:?}: {error}");
        }
    }
}

/// Reads all 60 messages, or says what came instead.
fn fetched(code: E, times: usize) -> crate::Result<usize> {
    let (cluster, config) = cluster("power", 2);
    send(&config, 60);
    cluster.request_errors(Api::Fetch, &vec![code; times]);
    let mut consumer = Consumer::new(&config, Isolation::Committed)?;
    consumer.assign(&[(0, Start::At(0)), (1, Start::At(0))])?;
    let (mut all, until) = (Polled::default(), Instant::now() + WAIT);
    while all.messages.len() < 60 && Instant::now() < until {
        consumer.poll_into(&mut all, 1000, Duration::from_millis(100))?;
    }
    Ok(all.messages.len())
}

#[test]
fn passing_answers_to_fetch_lose_nothing() {
    for code in [
        E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        E::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        E::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
        E::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        E::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
        E::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
        E::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
    ] {
        for times in TIMES {
            assert_eq!(fetched(code, times).unwrap(), 60, "{code:?} {times} times");
        }
    }
}

#[test]
fn refusing_answers_to_fetch_are_told() {
    for times in TIMES {
        let lost = fetched(E::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, times).unwrap_err();
        assert_eq!(lost.kind, Kind::DataLost, "{lost}");
        let refused = E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        let error = fetched(refused, times).unwrap_err();
        assert_eq!(error.kind, Kind::Endpoint, "{error}");
        assert!(error.message.contains("grant"), "{error}");
    }
}

#[test]
fn passing_answers_within_a_transaction_are_mended() {
    for (api, code) in [
        (
            Api::InitProducerId,
            E::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        ),
        (Api::InitProducerId, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (
            Api::InitProducerId,
            E::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
        ),
        (Api::Produce, E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
        (Api::Produce, E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT),
        (
            Api::AddPartitionsToTxn,
            E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        ),
        (
            Api::EndTxn,
            E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        ),
    ] {
        for times in TIMES {
            let (cluster, config) = cluster("power", 1);
            cluster.request_errors(api, &vec![code; times]);
            let mut producer = Producer::new(&config, Some("id")).unwrap();
            let settled = transaction(&mut producer);
            assert!(
                matches!(settled, Settled::Committed),
                "{api:?} {code:?}: {settled:?}"
            );
        }
    }
}

/// As [`transaction`], where the message may be refused at once.
fn tried(producer: &mut Producer) -> Settled {
    let topic = producer.topic("power").unwrap();
    let message = Outgoing {
        partition: 0,
        ..outgoing(b"k", b"v", &[])
    };
    producer.begin().unwrap();
    match producer.send(topic, &message) {
        Ok(()) => producer.commit(WAIT),
        Err(error) => producer.ended(error),
    }
}

#[test]
fn refusing_answers_within_a_transaction_commit_nothing() {
    for (api, code) in [
        (
            Api::Produce,
            E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        ),
        (
            Api::AddPartitionsToTxn,
            E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        ),
    ] {
        let (cluster, config) = cluster("power", 1);
        let mut producer = Producer::new(&config, Some("id")).unwrap();
        cluster.request_errors(api, &[code]);
        let settled = tried(&mut producer);
        assert!(
            matches!(settled, Settled::Aborted(_)),
            "{api:?}: {settled:?}"
        );
        let until = Instant::now() + WAIT;
        let mut again = tried(&mut producer);
        while matches!(again, Settled::Aborted(_)) && Instant::now() < until {
            again = tried(&mut producer);
        }
        assert!(matches!(again, Settled::Committed), "{api:?}: {again:?}");
    }
}

#[test]
fn whoever_was_fenced_says_so_whatever_failed_first() {
    for (api, code) in [
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_PRODUCER_FENCED),
        (
            Api::AddPartitionsToTxn,
            E::RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        ),
    ] {
        for times in TIMES {
            let (cluster, config) = cluster("power", 1);
            let mut producer = Producer::new(&config, Some("id")).unwrap();
            cluster.request_errors(api, &vec![code; times]);
            match transaction(&mut producer) {
                Settled::Unclear(error) => assert_eq!(error.kind, Kind::Fenced, "{api:?}: {error}"),
                other => panic!("{api:?} {code:?}: {other:?}"),
            }
        }
    }
}

/// What a member is told until its share is both partitions.
fn share(member: &mut Member) -> Vec<i32> {
    let (mut share, until) = (Vec::new(), Instant::now() + Duration::from_secs(30));
    while share.len() < 2 {
        assert!(Instant::now() < until, "the share is {share:?}");
        if let Some(Shift::Assigned(more)) = member.poll(Duration::from_millis(100)).unwrap() {
            share.extend(more);
        }
    }
    share.sort_unstable();
    share
}

#[test]
fn passing_answers_to_join_end_in_a_share() {
    for (api, code) in [
        (
            Api::JoinGroup,
            E::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        ),
        (Api::JoinGroup, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (
            Api::JoinGroup,
            E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        ),
        (
            Api::FindCoordinator,
            E::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        ),
    ] {
        for times in TIMES {
            let (cluster, config) = cluster("power", 2);
            cluster.request_errors(api, &vec![code; times]);
            let mut member = Member::join(&config, "g", None).unwrap();
            assert_eq!(share(&mut member), [0, 1], "{api:?} {code:?} {times} times");
        }
    }
}

#[test]
fn a_member_that_may_not_join_is_told() {
    let (cluster, config) = cluster("power", 2);
    cluster.request_errors(
        Api::JoinGroup,
        &[E::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 20],
    );
    let mut member = Member::join(&config, "g", None).unwrap();
    let until = Instant::now() + WAIT;
    let error = loop {
        assert!(Instant::now() < until);
        if let Err(error) = member.poll(Duration::from_millis(100)) {
            break error;
        }
    };
    assert_eq!(error.kind, Kind::Endpoint, "{error}");
    assert!(error.message.contains("grant"), "{error}");
}

#[test]
fn a_commit_that_fails_is_no_error() {
    for code in [
        E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        E::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        E::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE,
    ] {
        for times in TIMES {
            let (cluster, config) = cluster("power", 2);
            let mut member = Member::join(&config, "g", None).unwrap();
            share(&mut member);
            cluster.request_errors(Api::OffsetCommit, &vec![code; times]);
            for at in 1..8 {
                member.commit(&[(0, at), (1, at)]).unwrap();
                assert_eq!(member.poll(Duration::from_millis(50)).unwrap(), None);
            }
        }
    }
}
