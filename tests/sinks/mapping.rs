//! Rows into tables that others made.

use crate::filling::*;
use crate::fixture::*;
use rusqlite::Connection;
use wattline::Kind as Fault;
use wattline::sink::{SinkSpec, Tables, What};

/// A store whose file holds the table `made`, and a spec that targets table `t`.
fn target(made: &str) -> (Store, SinkSpec) {
    let store = Store::new(Kind::Sqlite);
    let conn = Connection::open(store.db()).unwrap();
    conn.execute_batch(made).unwrap();
    let mut spec = store.spec();
    spec.table = Some("t".into());
    (store, spec)
}

fn all(store: &Store, sql: &str) -> Vec<String> {
    let conn = Connection::open(store.db()).unwrap();
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |r| r.get(0)).unwrap();
    rows.map(Result::unwrap).collect::<Vec<String>>()
}

#[test]
fn chosen_columns_go_under_their_names_and_others_stay() {
    let (store, mut spec) = target(
        "CREATE TABLE t (sensor TEXT, g TEXT, begins DATETIME, avg REAL, note TEXT DEFAULT 'new', PRIMARY KEY (sensor, g, begins))",
    );
    spec.columns = map(&[
        ("sensor", "sensor_id"),
        ("g", "grain"),
        ("begins", "window_start"),
        ("avg", "power_mean"),
    ]);
    let mut sink = prepared(&spec, &tables()).unwrap();
    sink.apply(&flush(1, 1, &[("a", 0, 1.5, true, 0)])).unwrap();
    Connection::open(store.db())
        .unwrap()
        .execute_batch("UPDATE t SET note = 'kept'")
        .unwrap();
    sink.apply(&flush(
        1,
        2,
        &[("a", 0, 2.5, true, 1), ("a", 1, 3.0, true, 0)],
    ))
    .unwrap();
    let rows = all(
        &store,
        "SELECT sensor || '|' || g || '|' || begins || '|' || avg || '|' || note FROM t ORDER BY begins",
    );
    assert_eq!(
        rows,
        [
            "a|1h|2007-01-01 00:00:00|2.5|kept",
            "a|1h|2007-01-01 01:00:00|3.0|new"
        ]
    );
}

#[test]
fn a_key_must_tell_windows_apart() {
    let (_store, mut spec) = target("CREATE TABLE t (s TEXT, b TEXT, v REAL, PRIMARY KEY (s, b))");
    spec.columns = map(&[
        ("s", "sensor_id"),
        ("b", "window_start"),
        ("v", "power_mean"),
    ]);
    assert!(refused(&spec, &tables()).contains("grains 1h, 1d apart"));
    assert!(prepared(&spec, &one_grain("1h")).is_ok());
    spec.columns = map(&[
        ("s", "sensor_id"),
        ("b", "window_label"),
        ("v", "power_mean"),
    ]);
    assert!(
        refused(&spec, &one_grain("1h")).contains("window_start"),
        "hours repeat their labels"
    );
    let days = Tables {
        grains: vec!["1d@06:00".into()],
        ..tables()
    };
    assert!(prepared(&spec, &days).is_ok());
}

#[test]
fn a_key_without_the_sensor_holds_one_sensor_for_good() {
    let (store, mut spec) = target("CREATE TABLE t (b TEXT PRIMARY KEY, v REAL)");
    spec.columns = map(&[("b", "window_start"), ("v", "power_mean")]);
    let mut sink = prepared(&spec, &one_grain("1h")).unwrap();
    sink.apply(&flush(1, 1, &[("a", 0, 1.0, true, 0)])).unwrap();
    let error = sink
        .apply(&flush(1, 2, &[("b", 1, 1.0, true, 0)]))
        .unwrap_err();
    assert_eq!(error.kind, Fault::Schema);
    assert!(
        error.message.contains("\"a\" and \"b\""),
        "{}",
        error.message
    );
    drop(sink);
    let mut sink = prepared(&spec, &one_grain("1h")).unwrap();
    let mixed = flush(1, 2, &[("a", 1, 1.0, true, 0), ("c", 2, 1.0, true, 0)]);
    assert!(sink.apply(&mixed).is_err());
    sink.apply(&flush(1, 2, &[("a", 1, 2.0, true, 0)])).unwrap();
    assert_eq!(
        all(&store, "SELECT b FROM t"),
        ["2007-01-01 00:00:00", "2007-01-01 01:00:00"]
    );
}

#[test]
fn a_missing_unique_index_is_refused_with_its_ddl() {
    let (store, mut spec) = target("CREATE TABLE t (s TEXT, g TEXT, b TEXT, v REAL)");
    spec.columns = map(&[
        ("s", "sensor_id"),
        ("g", "grain"),
        ("b", "window_start"),
        ("v", "power_mean"),
    ]);
    assert!(refused(&spec, &tables()).contains("no primary key"));
    spec.key = Some(vec!["s".into(), "g".into(), "b".into()]);
    let message = refused(&spec, &tables());
    let ddl = message.split("run ").nth(1).unwrap();
    let conn = Connection::open(store.db()).unwrap();
    conn.execute_batch("CREATE UNIQUE INDEX half ON t (s, g, b) WHERE v > 0")
        .unwrap();
    assert!(
        refused(&spec, &tables()).contains("no unique index"),
        "a partial one is none"
    );
    conn.execute_batch(ddl).unwrap();
    let mut sink = prepared(&spec, &tables()).unwrap();
    sink.apply(&flush(1, 1, &[("a", 0, 1.0, true, 0)])).unwrap();
    sink.apply(&flush(1, 2, &[("a", 0, 2.0, true, 1)])).unwrap();
    assert_eq!(all(&store, "SELECT CAST(v AS TEXT) FROM t"), ["2.0"]);
}

#[test]
fn types_that_would_change_values_are_refused() {
    let cases = [
        ("b INTEGER", "window_start", "INTEGER"),
        ("b REAL", "window_label", "REAL"),
        ("b DECIMAL(5)", "window_label", "DECIMAL(5)"),
        ("b TEXT", "power_mean", "TEXT"),
        ("b INT", "power_mean", "INT"),
    ];
    for (column, ours, declared) in cases {
        let (_store, mut spec) = target(&format!(
            "CREATE TABLE t (s TEXT, g TEXT, w TEXT, {column}, PRIMARY KEY (s, g, w))"
        ));
        spec.columns = map(&[
            ("s", "sensor_id"),
            ("g", "grain"),
            ("w", "window_start"),
            ("b", ours),
        ]);
        let message = refused(&spec, &tables());
        assert!(
            message.contains(&format!("declared {declared} and would change")),
            "{message}"
        );
    }
}

#[test]
fn unknown_and_required_columns_are_named() {
    let (_store, mut spec) =
        target("CREATE TABLE t (s TEXT, g TEXT, w TEXT, who TEXT NOT NULL, PRIMARY KEY (s, g, w))");
    let key = [("s", "sensor_id"), ("g", "grain"), ("w", "window_start")];
    spec.columns = map(&key);
    assert!(refused(&spec, &tables()).contains("\"who\" is NOT NULL"));
    spec.columns = map(&[key[0], key[1], key[2], ("who", "nobody")]);
    assert!(refused(&spec, &tables()).contains("\"nobody\", which is none of ours"));
    spec.columns = map(&[key[0], key[1], key[2], ("whom", "window_label")]);
    assert!(refused(&spec, &tables()).contains("ADD COLUMN \"whom\" TEXT"));
    spec.table = Some("wattline_head".into());
    assert!(refused(&spec, &tables()).contains("are taken"));
}

#[test]
fn an_id_names_the_same_row_everywhere() {
    let ids = |rows: &[Row]| {
        let (store, mut spec) = target("CREATE TABLE t (id UUID PRIMARY KEY, label TEXT, v REAL)");
        spec.columns = map(&[("id", "id"), ("label", "window_label"), ("v", "power_mean")]);
        let mut sink = prepared(&spec, &tables()).unwrap();
        sink.apply(&flush(1, 1, rows)).unwrap();
        sink.apply(&flush(1, 2, rows)).unwrap();
        all(&store, "SELECT id FROM t ORDER BY label")
    };
    let both = ids(&[("a", 0, 1.0, true, 0), ("a", 1, 1.0, true, 0)]);
    assert_eq!(both.len(), 2);
    assert_eq!(ids(&[("a", 1, 7.0, true, 0)]), both[1..]);
    assert_ne!(ids(&[("b", 1, 7.0, true, 0)]), both[1..]);
    for id in both {
        assert_eq!((id.len(), &id[14..15]), (36, "8"), "{id}");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
}

#[test]
fn readings_at_one_time_follow_on_same_time() {
    let made = "CREATE TABLE t (ts TIMESTAMP PRIMARY KEY, volt REAL)";
    readings_at_one_time(
        || target(made),
        |store| {
            let texts = all(store, "SELECT CAST(volt AS TEXT) FROM t ORDER BY ts");
            texts.iter().map(|t| t.parse().unwrap()).collect()
        },
    );
}

#[test]
fn readings_of_our_own_table_are_told_apart_by_row() {
    let store = Store::new(Kind::Sqlite);
    let spec = store.spec().taking(What::Readings);
    let mut sink = prepared(&spec, &tables()).unwrap();
    let rows = [
        ("a", 0, 2.0, "f", 1),
        ("a", 0, 1.0, "f", 0),
        ("a", 0, 1.0, "g", 0),
    ];
    sink.apply(&reading_flush(1, &rows)).unwrap();
    let seen = all(
        &store,
        "SELECT time || file || row FROM readings ORDER BY file, row",
    );
    assert_eq!(
        seen,
        [
            "2007-01-01 00:00:00f0",
            "2007-01-01 00:00:00f1",
            "2007-01-01 00:00:00g0"
        ]
    );
}
