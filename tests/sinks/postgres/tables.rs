//! Rows into tables that others made, and what this user may not do.

use super::{at, query, run, schema, texts, url};
use crate::filling::*;
use crate::fixture::*;
use wattline::Kind as Fault;
use wattline::reject::Reject;
use wattline::sink::{Decided, Endpoint, Postgres, SinkSpec, What, open, open_home};

/// A store whose schema holds what `made` makes (`T`: table `t` there), and a spec that targets `t`.
fn target(made: &str) -> (Store, SinkSpec) {
    let store = Store::new(Kind::Postgres);
    run(&made.replace("TABLE t", &format!("TABLE {}", name(&store))));
    let mut spec = store.spec();
    spec.table = Some("t".into());
    (store, spec)
}

fn name(store: &Store) -> String {
    format!("{}.t", schema(store.dir.path()))
}

#[test]
fn a_quarterly_table_is_filled_once_it_has_its_index() {
    let (store, mut spec) = target(
        "CREATE TABLE t (quarter text, total_energy_wh double precision, record_count bigint)",
    );
    spec.columns = map(&[
        ("quarter", "window_label"),
        ("total_energy_wh", "power_mean"),
        ("record_count", "readings"),
    ]);
    assert!(refused(&spec, &one_grain("1q")).contains("no primary key"));
    spec.key = Some(vec!["quarter".into()]);
    let message = refused(&spec, &one_grain("1q"));
    let ddl = message.split("run ").nth(1).unwrap();
    run(&format!(
        "SET search_path = {}; {ddl}",
        schema(store.dir.path())
    ));
    let mut sink = prepared(&spec, &one_grain("1q")).unwrap();
    sink.apply(&flush(
        1,
        1,
        &[("a", 0, 1.5, true, 0), ("a", 1, 2.5, true, 0)],
    ))
    .unwrap();
    sink.apply(&flush(
        1,
        2,
        &[("a", 0, 3.5, true, 1), ("a", 1, 2.5, true, 0)],
    ))
    .unwrap();
    let rows = texts(&format!(
        "SELECT quarter || '|' || total_energy_wh || '|' || record_count FROM {} ORDER BY quarter",
        name(&store)
    ));
    assert_eq!(rows, ["h0|3.5|60", "h1|2.5|60"]);
    let error = sink
        .apply(&flush(1, 3, &[("b", 2, 1.0, true, 0)]))
        .unwrap_err();
    assert!(
        error.message.contains("\"a\" and \"b\""),
        "{}",
        error.message
    );
}

#[test]
fn a_row_that_is_the_same_is_left_alone() {
    let store = Store::new(Kind::Postgres);
    let mut sink = store.follower(1);
    sink.apply(&flush(
        1,
        1,
        &[("a", 0, 1.0, true, 0), ("a", 1, 1.0, true, 0)],
    ))
    .unwrap();
    let versions = || {
        texts(&format!(
            "SELECT xmin::text FROM {}.windows ORDER BY window_start",
            schema(store.dir.path())
        ))
    };
    let before = versions();
    sink.apply(&flush(
        1,
        2,
        &[("a", 0, 1.0, true, 0), ("a", 1, 2.0, true, 0)],
    ))
    .unwrap();
    let after = versions();
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
}

#[test]
fn columns_keep_values_without_change_or_refuse_them() {
    let cases = [
        ("numeric(6,3)", "power_mean", 1.234, Ok("1.234")),
        ("numeric(6,3)", "power_mean", -0.05, Ok("-0.050")),
        (
            "numeric",
            "power_mean",
            123456789.000123,
            Ok("123456789.000123"),
        ),
        ("numeric", "power_mean", 40000.0, Ok("40000")),
        ("numeric", "power_mean", 0.0, Ok("0")),
        ("numeric", "power_mean", 0.00001234, Ok("0.00001234")),
        (
            "numeric(6,3)",
            "power_mean",
            1.2345,
            Err("cannot be kept there"),
        ),
        ("numeric(6,3)", "power_mean", 123456.0, Err("refuses a row")),
        ("real", "power_mean", 0.1, Ok("0.1")),
        (
            "real",
            "power_mean",
            0.123456789,
            Err("cannot be kept there"),
        ),
        ("integer", "readings", 0.0, Ok("60")),
        ("smallint", "readings", 0.0, Ok("60")),
        ("double precision", "readings", 0.0, Ok("60")),
        ("numeric(4,1)", "readings", 0.0, Ok("60.0")),
        ("varchar(2)", "window_label", 0.0, Ok("h0")),
        ("varchar(1)", "window_label", 0.0, Err("refuses a row")),
        ("text", "window_start", 0.0, Ok("2007-01-01 00:00:00")),
        ("timestamp", "window_start", 0.0, Ok("2007-01-01 00:00:00")),
        ("date", "window_start", 0.0, Err("cannot be kept there")),
        ("boolean", "final", 0.0, Ok("true")),
        ("integer", "final", 0.0, Ok("1")),
    ];
    for (kind, ours, value, due) in cases {
        let (store, mut spec) = target(&format!(
            "CREATE TABLE t (s text, b timestamptz, v {kind}, PRIMARY KEY (s, b))"
        ));
        spec.columns = map(&[("s", "sensor_id"), ("b", "window_end"), ("v", ours)]);
        let mut sink = prepared(&spec, &one_grain("1h")).unwrap();
        let applied = sink.apply(&flush(1, 1, &[("a", 0, value, true, 0)]));
        match due {
            Ok(text) => {
                applied.unwrap();
                assert_eq!(
                    texts(&format!("SELECT v::text FROM {}", name(&store))),
                    [text],
                    "{kind} {ours}"
                );
            }
            Err(words) => {
                let error = applied.unwrap_err();
                assert_eq!(error.kind, Fault::Schema, "{kind}: {}", error.message);
                assert!(error.message.contains(words), "{kind}: {}", error.message);
                // Nothing of it is left, and the sink goes on.
                sink.apply(&flush(1, 1, &[])).unwrap();
                assert!(
                    texts(&format!("SELECT s FROM {}", name(&store))).is_empty(),
                    "{kind}"
                );
            }
        }
    }
}

#[test]
fn a_date_is_a_local_midnight() {
    let (store, mut spec) = target("CREATE TABLE t (s text, d date, PRIMARY KEY (s, d))");
    spec.columns = map(&[("s", "sensor_id"), ("d", "window_start")]);
    let mut sink = prepared(&spec, &one_grain("1d")).unwrap();
    // 23:00 UTC on 1 January is midnight in Paris.
    sink.apply(&flush(1, 1, &[("a", 23, 1.0, true, 0)]))
        .unwrap();
    assert_eq!(
        texts(&format!("SELECT d::text FROM {}", name(&store))),
        ["2007-01-02"]
    );
}

#[test]
fn types_that_would_change_values_are_refused() {
    let cases = [
        ("integer", "power_mean"),
        ("text", "power_mean"),
        ("double precision", "window_label"),
        ("boolean", "readings"),
        ("timestamptz", "window_label"),
        ("char(9)", "window_label"),
        ("jsonb", "window_label"),
        ("bigint GENERATED ALWAYS AS (1) STORED", "readings"),
    ];
    for (kind, ours) in cases {
        let (_store, mut spec) = target(&format!(
            "CREATE TABLE t (s text, b timestamptz, v {kind}, PRIMARY KEY (s, b))"
        ));
        spec.columns = map(&[("s", "sensor_id"), ("b", "window_start"), ("v", ours)]);
        let message = refused(&spec, &one_grain("1h"));
        assert!(message.contains("would change values"), "{kind}: {message}");
    }
}

#[test]
fn names_are_quoted_and_found_in_any_case() {
    let (store, mut spec) = target(
        "CREATE TABLE t (\"Sensor \"\"x\"\"\" text, \"From\" timestamptz, \"Select\" float8, note text DEFAULT 'new', PRIMARY KEY (\"Sensor \"\"x\"\"\", \"From\"))",
    );
    spec.columns = map(&[
        ("Sensor \"x\"", "sensor_id"),
        ("from", "window_start"),
        ("Select", "power_mean"),
    ]);
    let mut sink = prepared(&spec, &one_grain("1h")).unwrap();
    sink.apply(&flush(1, 1, &[("a", 0, 1.0, true, 0)])).unwrap();
    run(&format!("UPDATE {} SET note = 'kept'", name(&store)));
    sink.apply(&flush(
        1,
        2,
        &[("a", 0, 2.0, true, 1), ("a", 1, 1.0, true, 0)],
    ))
    .unwrap();
    let rows = texts(&format!(
        "SELECT \"Select\" || note FROM {} ORDER BY 1",
        name(&store)
    ));
    assert_eq!(rows, ["1new", "2kept"]);
}

#[test]
fn an_id_is_a_uuid_and_the_same_everywhere() {
    let (store, mut spec) = target("CREATE TABLE t (id uuid PRIMARY KEY, v float8)");
    spec.columns = map(&[("id", "id"), ("v", "power_mean")]);
    let mut sink = prepared(&spec, &tables()).unwrap();
    sink.apply(&flush(1, 1, &[("a", 0, 1.0, true, 0)])).unwrap();
    sink.apply(&flush(1, 2, &[("a", 0, 2.0, true, 1)])).unwrap();
    let ids = texts(&format!("SELECT id::text || v FROM {}", name(&store)));
    assert_eq!((ids.len(), &ids[0][14..15], &ids[0][36..]), (1, "8", "2"));
}

#[test]
fn readings_at_one_time_follow_on_same_time() {
    let made = "CREATE TABLE t (ts timestamp PRIMARY KEY, volt float8)";
    readings_at_one_time(
        || target(made),
        |store| {
            let sql = format!("SELECT volt::text FROM {} ORDER BY ts", name(store));
            texts(&sql).iter().map(|t| t.parse().unwrap()).collect()
        },
    );
}

#[test]
fn readings_that_are_there_already_are_written_over() {
    let (store, mut spec) = target(
        "CREATE TABLE t (s text, ts timestamptz, f text, r bigint, v float8, PRIMARY KEY (s, ts, f, r))",
    );
    spec.what = What::Readings;
    spec.columns = map(&[
        ("s", "sensor_id"),
        ("ts", "time"),
        ("f", "file"),
        ("r", "row"),
        ("v", "power"),
    ]);
    run(&format!(
        "INSERT INTO {} VALUES ('a', '2007-01-01 00:00:00Z', 'f', 0, -1)",
        name(&store)
    ));
    let mut sink = prepared(&spec, &tables()).unwrap();
    sink.apply(&reading_flush(
        1,
        &[("a", 0, 1.0, "f", 0), ("a", 60, 2.0, "f", 1)],
    ))
    .unwrap();
    sink.apply(&reading_flush(2, &[("a", 120, 3.0, "f", 2)]))
        .unwrap();
    let seen = texts(&format!("SELECT v::text FROM {} ORDER BY ts", name(&store)));
    assert_eq!(seen, ["1", "2", "3"]);
}

#[test]
fn a_nul_is_refused_in_readings_and_shown_in_rejects() {
    let store = Store::new(Kind::Postgres);
    let mut sink = open(&store.spec().taking(What::Readings)).unwrap();
    sink.prepare(&tables()).unwrap();
    let error = sink
        .apply(&reading_flush(1, &[("a\0", 0, 1.0, "f", 0)]))
        .unwrap_err();
    assert_eq!(error.kind, Fault::Schema);
    assert!(
        error.message.contains("\"sensor_id\"") && error.message.contains("NUL"),
        "{}",
        error.message
    );
    let mut rejects = open(&store.spec().taking(What::Rejects)).unwrap();
    rejects.prepare(&tables()).unwrap();
    let mut made = flush(1, 1, &[]);
    made.rejects = vec![Reject {
        file: std::sync::Arc::from("-"),
        line: 2,
        byte: 0,
        row: 0,
        column: "power".into(),
        raw: "a;\0'; DROP TABLE windows; --".into(),
        reason: "not a number".into(),
    }];
    rejects.apply(&made).unwrap();
    let raw = texts(&format!(
        "SELECT raw FROM {}.rejects",
        schema(store.dir.path())
    ));
    assert_eq!(raw, ["a;\u{2400}'; DROP TABLE windows; --"]);
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let store = Store::new(Kind::Postgres);
    let told = |change: &dyn Fn(&mut Postgres)| {
        let mut at = at(store.dir.path());
        at.retry_for = 0.0;
        change(&mut at);
        let error = open(&SinkSpec::new(Endpoint::Postgres(at)))
            .unwrap()
            .inspect(&tables())
            .unwrap_err();
        assert_eq!(error.kind, Fault::Endpoint, "{}", error.message);
        assert!(
            !error.message.contains("wrong-password"),
            "{}",
            error.message
        );
        error.message
    };
    let secret = || Some(wattline::secret::Secret::new("wrong-password"));
    assert!(told(&|at| at.password = secret()).contains("password or user was refused"));
    assert!(told(&|at| at.dbname = Some("nowhere".into())).contains("the database is not there"));
    assert!(told(&|at| at.schema = Some("nowhere".into())).contains("CREATE SCHEMA"));
    assert!(
        told(&|at| (at.host, at.port) = ("127.0.0.1".into(), 1))
            .contains("look whether the server runs")
    );
    assert!(told(&|at| at.sslmode = wattline::sink::SslMode::VerifyFull).contains("certificate"));
    // Nothing was made by looking.
    let made = query(&format!(
        "SELECT 1 FROM pg_tables WHERE schemaname = '{}'",
        schema(store.dir.path())
    ));
    assert!(made.is_empty());
}

#[test]
fn an_older_format_reads_no_newer_one() {
    let store = Store::new(Kind::Postgres);
    drop(store.home());
    run(&format!(
        "UPDATE {}.wattline_meta SET value = 99",
        schema(store.dir.path())
    ));
    let error = open(&store.spec()).unwrap().prepare(&tables()).unwrap_err();
    assert_eq!(error.kind, Fault::SpecChanged);
    assert!(
        error.message.contains("upgrade wattline"),
        "{}",
        error.message
    );
}

#[test]
fn a_session_that_is_ended_is_opened_again() {
    let store = Store::new(Kind::Postgres);
    let (mut home, _) = store.owned("run-1");
    let mut follower = open(&store.spec().taking(What::Rejects)).unwrap();
    follower.prepare(&tables()).unwrap();
    follower.fence(0, 1).unwrap();
    for n in 1..=3 {
        let end = format!(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE pid IN (SELECT backend FROM {0}.wattline_head UNION SELECT backend FROM {0}.wattline_applied)",
            schema(store.dir.path())
        );
        run(&end);
        let one = last(flush(1, n, &[("a", n as i64, 1.0, true, 0)]));
        let answer = home.decide(&head(&one, "run-1"), &one, false).unwrap();
        assert_eq!(answer, Decided::Yes);
        follower.apply(&one).unwrap();
    }
    assert_eq!(store.seen().len(), 3);
    // Its new session is known: it still counts as alive.
    assert!(store.home().acquire(&claim("run-2", false)).is_err());
    assert!(url().starts_with("postgresql://"));
    let _ = open_home(&store.spec()).unwrap();
}
