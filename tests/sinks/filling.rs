//! What the tests of existing tables share, whoever made them.

use crate::fixture::*;
use std::collections::BTreeMap;
use wattline::Kind as Fault;
use wattline::flush::Flush;
use wattline::sink::{OnSameTime, Sink, SinkSpec, Tables, What, open};

/// `columns=`.
pub fn map(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    let pairs = pairs.iter().map(|(a, b)| (a.to_string(), b.to_string()));
    Some(pairs.collect())
}

pub fn one_grain(grain: &str) -> Tables {
    Tables {
        grains: vec![grain.into()],
        ..tables()
    }
}

pub fn prepared(spec: &SinkSpec, tables: &Tables) -> wattline::Result<Box<dyn Sink>> {
    let mut sink = open(spec)?;
    sink.inspect(tables)?;
    sink.prepare(tables)?;
    sink.fence(0, 1)?;
    Ok(sink)
}

/// Why a sink is refused before row one.
pub fn refused(spec: &SinkSpec, tables: &Tables) -> String {
    match prepared(spec, tables) {
        Err(e) => {
            assert_eq!(e.kind, Fault::Usage, "{}", e.message);
            e.message
        }
        Ok(_) => panic!("accepted"),
    }
}

pub fn reading_flush(n: u64, rows: &[(&str, i64, f64, &str, i64)]) -> Flush {
    let mut made = flush(1, n, &[]);
    made.readings = vec![readings(rows)];
    made
}

/// `on_same_time` in a table `t` with `ts` as key and `volt`; `volts`: what it holds, by time.
pub fn readings_at_one_time(
    target: impl Fn() -> (Store, SinkSpec),
    volts: impl Fn(&Store) -> Vec<f64>,
) {
    let by_time = |on| {
        let (store, mut spec) = target();
        spec.what = What::Readings;
        spec.columns = map(&[("ts", "time"), ("volt", "power")]);
        spec.on_same_time = on;
        (store, spec)
    };
    let rows = [
        ("a", 0, 1.0, "f", 0),
        ("a", 0, 2.0, "f", 1),
        ("a", 60, 3.0, "f", 2),
    ];
    for (on, kept) in [(OnSameTime::First, 1.0), (OnSameTime::Last, 4.0)] {
        let (store, spec) = by_time(Some(on));
        let mut sink = prepared(&spec, &tables()).unwrap();
        sink.apply(&reading_flush(1, &rows)).unwrap();
        sink.apply(&reading_flush(1, &rows)).unwrap();
        let taken = sink.same_time();
        assert_eq!(taken, 1, "{on:?}: a repeated flush counts nothing");
        let later = [("a", 0, 4.0, "f", 3)];
        sink.apply(&reading_flush(2, &later)).unwrap();
        assert_eq!(sink.same_time(), 2, "{on:?}");
        assert_eq!(volts(&store), [kept, 3.0], "{on:?}");
    }
    for on in [None, Some(OnSameTime::Raise)] {
        let (store, spec) = by_time(on);
        let mut sink = prepared(&spec, &tables()).unwrap();
        let error = sink.apply(&reading_flush(1, &rows)).unwrap_err();
        assert_eq!(error.kind, Fault::Schema);
        assert!(error.message.contains("on_same_time"), "{}", error.message);
        assert!(volts(&store).is_empty());
    }
}
