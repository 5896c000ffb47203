//! A disk that is full: the test starts itself again under a limit on the size of files.

use crate::fixture::*;
use std::process::Command;
use wattline::Kind as Fault;
use wattline::sink::Decided;

const CHILD: &str = "WATTLINE_TEST_FULL";

/// Many hourly windows, values that do not compress.
fn many() -> Vec<Row> {
    let value = |i: i64| (i.wrapping_mul(6_364_136_223_846_793_005) >> 11) as f64;
    (0..100_000).map(|i| ("a", i, value(i), true, 0)).collect()
}

#[test]
fn a_full_disk_is_a_clean_error_and_goes_on_after() {
    if let Ok(dir) = std::env::var(CHILD) {
        return fails_cleanly(dir.into());
    }
    for kind in [Kind::Sqlite, Kind::Parquet] {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        assert_eq!(
            decide(
                &mut *home,
                &last(flush(1, 1, &[("z", 0, 1.0, true, 0)])),
                "run-1"
            ),
            Decided::Yes
        );
        drop(home);
        let status = Command::new("sh")
            .args(["-c", "ulimit -f 512; trap '' XFSZ; exec \"$0\" --exact full::a_full_disk_is_a_clean_error_and_goes_on_after"])
            .arg(std::env::current_exe().unwrap())
            .env(CHILD, store.dir.path())
            .status()
            .unwrap();
        assert!(status.success(), "{kind:?}: the limited run");
        assert_eq!(store.seen().len(), 1, "{kind:?}: nothing half visible");
        let (mut home, owned) = store.owned("run-3");
        assert_eq!((owned.epoch, owned.head.unwrap().id.n), (3, 1), "{kind:?}");
        assert_eq!(
            decide(&mut *home, &last(flush(3, 2, &many())), "run-3"),
            Decided::Yes
        );
        home.finish().unwrap();
        assert_eq!(store.seen().len(), 100_001, "{kind:?}");
    }
}

/// In the limited process: whichever store the folder holds.
fn fails_cleanly(dir: std::path::PathBuf) {
    let sqlite = dir.join("out.db").exists();
    let store = Store::at(if sqlite { Kind::Sqlite } else { Kind::Parquet }, dir);
    let (mut home, _) = store.owned("run-2");
    let big = last(flush(2, 2, &many()));
    for _ in 0..2 {
        let error = home.decide(&head(&big, "run-2"), &big, false).unwrap_err();
        assert_eq!(
            (error.kind, error.retryable),
            (Fault::Endpoint, true),
            "{}",
            error.message
        );
    }
    assert_eq!(home.settle(&head(&big, "run-2")).unwrap(), None);
}
