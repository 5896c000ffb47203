//! Rows as messages, records in parts, and what is refused.

use super::{at, committed, hanging, make, send, topic};
use crate::filling::*;
use crate::fixture::*;
use wattline::Kind as Fault;
use wattline::flush::Flush;
use wattline::sink::{Decided, Endpoint, SinkSpec, What, open, open_home};

fn store() -> (Store, SinkSpec) {
    let store = Store::new(Kind::Kafka);
    let spec = store.spec();
    (store, spec)
}

fn texts(store: &Store) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let pairs = committed(&topic(store.dir.path())).into_iter();
    let mut all: Vec<_> = pairs
        .map(|(k, v)| (text(k.unwrap_or_default()), text(v)))
        .collect();
    all.sort();
    all
}

#[test]
fn a_window_is_an_object_with_the_names_of_its_table() {
    let (store, spec) = store();
    let mut sink = prepared(&spec, &tables()).unwrap();
    sink.apply(&flush(1, 1, &[("a", 0, 1.5, true, 0)])).unwrap();
    let row = r#"{"sensor_id":"a","grain":"1h","window_start":"2007-01-01T00:00:00Z","window_end":"2007-01-01T01:00:00Z","window_label":"h0","readings":60,"revision":0,"final":true,"power_mean":1.5}"#;
    assert_eq!(texts(&store), [("a".to_owned(), row.to_owned())]);
}

#[test]
fn columns_and_key_are_chosen() {
    let (store, mut spec) = store();
    spec.columns = map(&[("begin", "window_start"), ("mean", "power_mean")]);
    spec.key = Some(vec![
        "sensor_id".into(),
        "grain".into(),
        "window_start".into(),
    ]);
    let mut sink = prepared(&spec, &tables()).unwrap();
    sink.apply(&flush(1, 1, &[("a", 1, 1.5, true, 0)])).unwrap();
    let key = "a|1h|2007-01-01T01:00:00Z".to_owned();
    let row = r#"{"begin":"2007-01-01T01:00:00Z","mean":1.5}"#.to_owned();
    assert_eq!(texts(&store), [(key, row)]);
    spec.key = Some(vec!["sensor".into()]);
    let error = prepared(&spec, &tables()).err().unwrap();
    assert_eq!(error.kind, Fault::Usage);
    assert!(error.message.contains("\"sensor\""), "{error}");
}

#[test]
fn readings_late_and_rejects_have_topics_of_their_own() {
    let (store, spec) = store();
    prepared(&spec, &tables()).unwrap();
    let error = prepared(&spec.clone().taking(What::Readings), &tables())
        .err()
        .unwrap();
    assert_eq!(error.kind, Fault::Usage);
    assert!(
        error.message.contains("holds windows, not readings"),
        "{error}"
    );
    let mut own = at(store.dir.path());
    own.topic = None;
    let mut readings = SinkSpec::new(Endpoint::Kafka(own)).taking(What::Readings);
    readings.table = Some(format!("{}-readings", topic(store.dir.path())));
    let mut sink = prepared(&readings, &tables()).unwrap();
    let mut made = flush(1, 1, &[("a", 0, 1.0, true, 0)]);
    made.readings = vec![crate::fixture::readings(&[("b", 0, 2.5, "f", 7)])];
    sink.apply(&made).unwrap();
    let seen = committed(readings.table.as_deref().unwrap());
    let row = r#"{"sensor_id":"b","time":"2007-01-01T00:00:00Z","power":2.5,"file":"f","row":7}"#;
    assert_eq!(seen, [(Some(b"b".to_vec()), row.as_bytes().to_vec())]);
}

/// A state that no compressor makes short.
fn long(n: u64) -> Flush {
    let mut made = last(flush(1, n, &[("a", n as i64, 1.0, true, 0)]));
    let mut dice = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice as u8
    };
    made.state.bytes = (0..3_000_000).map(|_| byte()).collect();
    made
}

#[test]
fn a_record_longer_than_a_message_is_kept_in_parts() {
    for most in [None, Some("65536")] {
        let store = Store::new(Kind::Kafka);
        if let Some(most) = most {
            let name = format!("{}-state", topic(store.dir.path()));
            let settings = [("cleanup.policy", "compact"), ("max.message.bytes", most)];
            make(&name, 12, &settings);
        }
        let (mut home, _) = store.owned("run-1");
        for n in 1..=2 {
            let long = long(n);
            let answer = home.decide(&head(&long, "run-1"), &long, true).unwrap();
            assert_eq!(answer, Decided::Yes, "{most:?}");
        }
        let seen = home.look("house", 0).unwrap().unwrap();
        assert_eq!(seen.unapplied.len(), 2);
        assert_eq!(seen.records[0].state.bytes, long(1).state.bytes);
        home.prune(0, head(&long(2), "run-1").id).unwrap();
        let seen = home.look("house", 0).unwrap().unwrap();
        assert!(seen.unapplied.is_empty());
        assert_eq!(seen.records.len(), 2, "from the last fold on");
    }
}

#[test]
fn a_newer_format_and_a_topic_that_cannot_hold_state_are_refused() {
    let (store, spec) = store();
    drop(store.home());
    let newer = br#"["house",0,"head",0,0]"#;
    let name = format!("{}-state", topic(store.dir.path()));
    for partition in 0..12 {
        send(&name, partition, newer, br#"{"format": 9}"#);
    }
    let error = open_home(&spec).unwrap().look("house", 0).unwrap_err();
    assert_eq!(error.kind, Fault::SpecChanged);
    assert!(error.message.contains("upgrade wattline"), "{error}");
    let error = store.home().acquire(&claim("run-1", true)).unwrap_err();
    assert_eq!(error.kind, Fault::SpecChanged);

    let (small, spec) = self::store();
    make(&format!("{}-state", topic(small.dir.path())), 3, &[]);
    let error = open(&spec).unwrap().prepare(&tables()).unwrap_err();
    assert_eq!(error.kind, Fault::Usage);
    assert!(error.message.contains("state_topic"), "{error}");
}

#[test]
fn looking_makes_no_topic() {
    let (store, spec) = store();
    open(&spec).unwrap().inspect(&tables()).unwrap();
    assert!(
        open_home(&spec)
            .unwrap()
            .look("house", 0)
            .unwrap()
            .is_none()
    );
    assert!(committed(&topic(store.dir.path())).is_empty());
    let mut own = at(store.dir.path());
    own.topic = Some(own.state_topic.clone());
    let error = open(&SinkSpec::new(Endpoint::Kafka(own))).err().unwrap();
    assert_eq!(error.kind, Fault::Usage);
}

#[test]
fn what_was_shown_is_told_while_a_transaction_hangs() {
    let (store, spec) = store();
    let mut follower = store.follower(1);
    follower
        .apply(&flush(1, 1, &[("a", 0, 1.0, true, 0)]))
        .unwrap();
    follower.finish().unwrap();
    let killed = hanging(&format!("{}-state", topic(store.dir.path())), 12);
    let mut next = open(&spec).unwrap();
    next.prepare(&tables()).unwrap();
    assert_eq!(next.applied(0).unwrap().unwrap().id.n, 1);
    drop(killed);
}

#[test]
fn an_owner_lives_while_it_shows_so_and_no_longer() {
    let store = Store::new(Kind::Kafka);
    let (home, _) = store.owned("run-1");
    // Longer than the lease: its signs of life are what keeps others away.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let refused = store.home().acquire(&claim("run-2", false)).unwrap_err();
    assert_eq!(refused.kind, Fault::Fenced);
    drop(home);
    let (_, owned) = store.owned("run-2");
    assert_eq!(owned.epoch, 2);
}

#[test]
fn a_producer_that_was_fenced_goes_on_where_its_epoch_is_the_newest() {
    let store = Store::new(Kind::Kafka);
    let (mut home, _) = store.owned("run-1");
    let decided = decide(&mut *home, &flush(1, 1, &[("a", 0, 1.0, true, 0)]), "run-1");
    assert_eq!(decided, Decided::Yes);
    let mut first = store.follower(1);
    let mut second = store.follower(1);
    // Each takes the id from the other in turn: both are told to apply each flush, and no row is lost or doubled.
    for n in 2..8 {
        for follower in [&mut first, &mut second] {
            let rows = [("b", n as i64, n as f64, true, 0)];
            follower.apply(&flush(1, n, &rows)).unwrap();
        }
    }
    assert_eq!(store.seen().len(), 7);
}
