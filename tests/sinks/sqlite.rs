//! What SQLite alone does.

use crate::fixture::*;
use rusqlite::Connection;
use std::sync::Arc;
use wattline::Kind as Fault;
use wattline::reject::Reject;
use wattline::sink::{Decided, Endpoint, Sqlite, What, open, open_home};

#[test]
fn a_file_locked_by_another_program_is_worth_another_try() {
    let store = Store::new(Kind::Sqlite);
    let mut spec = store.spec();
    spec.endpoint = Endpoint::Sqlite(Sqlite {
        busy_timeout: 0.01,
        ..Sqlite::new(store.db())
    });
    let mut home = open_home(&spec).unwrap();
    home.prepare(&tables()).unwrap();
    home.acquire(&claim("run-1", false)).unwrap();
    let other = Connection::open(store.db()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = flush(1, 1, &[("a", 0, 1.0, true, 0)]);
    let error = home
        .decide(&head(&first, "run-1"), &first, false)
        .unwrap_err();
    assert_eq!((error.kind, error.retryable), (Fault::Endpoint, true));
    assert!(
        error.message.contains("locked by another program"),
        "{}",
        error.message
    );
    assert!(store.seen().is_empty());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(
        home.decide(&head(&first, "run-1"), &first, false).unwrap(),
        Decided::Yes
    );
    assert_eq!(store.seen().len(), 1);
}

#[test]
fn a_file_that_another_program_is_setting_up_is_waited_for() {
    let store = Store::new(Kind::Sqlite);
    let other = Connection::open(store.db()).unwrap();
    // A writer of a file without a log yet: SQLite itself refuses at once to begin one.
    other
        .execute_batch("CREATE TABLE theirs (a); BEGIN IMMEDIATE; INSERT INTO theirs VALUES (1)")
        .unwrap();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        other.execute_batch("COMMIT").unwrap();
    });
    let mut home = open_home(&store.spec()).unwrap();
    home.prepare(&tables()).unwrap();
    home.acquire(&claim("run-1", false)).unwrap();
    writer.join().unwrap();
}

#[test]
fn a_second_flush_overwrites_thousands_of_rows_and_adds_others() {
    let rows = |from: i64, to: i64, value: f64| -> Vec<Row> {
        let open = |i: i64| (if i % 2 == 0 { "a" } else { "b" }, i, value, value > 1.0, 0);
        (from..to).map(open).collect()
    };
    let store = Store::new(Kind::Sqlite);
    let (mut home, _) = store.owned("run-1");
    for (n, rows) in [(1, rows(0, 9_000, 1.0)), (2, rows(4_000, 21_001, 2.0))] {
        assert_eq!(
            decide(&mut *home, &flush(1, n, &rows), "run-1"),
            Decided::Yes
        );
    }
    let seen = store.seen();
    assert_eq!(seen.len(), 21_001);
    for ((_, hour), (value, closed, _)) in seen {
        assert_eq!(
            (value, closed),
            (if hour < 4_000 { 1.0 } else { 2.0 }, hour >= 4_000)
        );
    }
}

#[test]
fn what_is_no_sqlite_file_is_refused() {
    let store = Store::new(Kind::Sqlite);
    std::fs::write(store.db(), "sensor;time\n".repeat(2000)).unwrap();
    let error = open(&store.spec()).unwrap().prepare(&tables()).unwrap_err();
    assert_eq!(error.kind, Fault::Endpoint);
    assert!(
        error.message.contains("is not an SQLite file"),
        "{}",
        error.message
    );
    let mut spec = store.spec();
    spec.endpoint = Endpoint::Sqlite(Sqlite::new(store.dir.path().join("no/where.db")));
    let error = open(&spec).unwrap().prepare(&tables()).unwrap_err();
    assert!(
        error.message.contains("cannot be opened"),
        "{}",
        error.message
    );
}

#[test]
fn a_newer_version_is_refused_with_advice() {
    let store = Store::new(Kind::Sqlite);
    drop(store.home());
    let conn = Connection::open(store.db()).unwrap();
    conn.execute_batch("UPDATE wattline_meta SET value = 99 WHERE key = 'format'")
        .unwrap();
    let error = open(&store.spec()).unwrap().prepare(&tables()).unwrap_err();
    assert_eq!(error.kind, Fault::SpecChanged);
    assert!(
        error.message.contains("upgrade wattline"),
        "{}",
        error.message
    );
}

#[test]
fn times_are_text_that_sqlite_understands() {
    let store = Store::new(Kind::Sqlite);
    let mut follower = store.follower(1);
    follower
        .apply(&flush(1, 1, &[("a", 5, 1.0, true, 0)]))
        .unwrap();
    let conn = Connection::open(store.db()).unwrap();
    let sql = "SELECT window_start || '|' || strftime('%H', window_end) || '|' || typeof(readings) || typeof(power_mean) FROM windows";
    let row: String = conn.query_row(sql, [], |r| r.get(0)).unwrap();
    assert_eq!(row, "2007-01-01 05:00:00|06|integerreal");
}

#[test]
fn a_home_and_its_followers_share_a_file() {
    let store = Store::new(Kind::Sqlite);
    let (mut home, owned) = store.owned("run-1");
    let mut rejects = open(&store.spec().taking(What::Rejects)).unwrap();
    rejects.prepare(&tables()).unwrap();
    rejects.fence(0, owned.epoch).unwrap();
    let mut first = last(flush(1, 1, &[("a", 0, 1.0, true, 0)]));
    let reject = |row| Reject {
        file: Arc::from("-"),
        line: row + 2,
        byte: row * 10,
        row,
        column: "power".into(),
        raw: "a;'; DROP TABLE windows; --".into(),
        reason: "not a number".into(),
    };
    first.rejects = vec![reject(4), reject(4), reject(9)];
    assert_eq!(
        home.decide(&head(&first, "run-1"), &first, true).unwrap(),
        Decided::Yes
    );
    rejects.apply(&first).unwrap();
    rejects.apply(&first).unwrap();
    let conn = Connection::open(store.db()).unwrap();
    let count: i64 = conn
        .query_row("SELECT count(*) FROM rejects", [], |r| r.get(0))
        .unwrap();
    assert_eq!((count, store.seen().len()), (3, 1));
}
