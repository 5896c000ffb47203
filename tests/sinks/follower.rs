//! What every follower does.

use crate::fixture::*;
use wattline::Kind as Fault;

const ONE: Row = ("a", 0, 1.0, true, 0);
const TWO: Row = ("a", 1, 2.0, true, 0);
const THREE: Row = ("b", 1, 3.0, true, 0);

#[test]
fn applying_again_and_after_a_kill_gives_each_row_once() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let flushes = [
            flush(1, 1, &[ONE]),
            flush(1, 2, &[TWO]),
            last(flush(1, 3, &[THREE])),
        ];
        let mut follower = store.follower(1);
        follower.apply(&flushes[0]).unwrap();
        follower.apply(&flushes[1]).unwrap();
        follower.apply(&flushes[0]).unwrap();
        drop(follower);
        // Killed: what it shows is where the home goes on.
        let mut follower = store.follower(2);
        let shown = follower.applied(0).unwrap().map_or(0, |a| a.id.n);
        for flush in flushes.iter().filter(|f| f.id.n > shown) {
            follower.apply(flush).unwrap();
            follower.apply(flush).unwrap();
        }
        follower.finish().unwrap();
        assert_eq!(store.seen(), seen(&[ONE, TWO, THREE]), "{kind:?}");
        assert_eq!(follower.applied(0).unwrap().unwrap().id.n, 3, "{kind:?}");
    }
}

#[test]
fn what_is_shown_is_durable_and_no_more() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let mut follower = store.follower(1);
        follower.apply(&flush(1, 1, &[ONE])).unwrap();
        let shown = follower.applied(0).unwrap().map_or(0, |a| a.id.n);
        assert_eq!(
            store.seen().len() as u64,
            shown,
            "{kind:?}: shown and seen agree"
        );
        follower.finish().unwrap();
        assert_eq!(follower.applied(0).unwrap().unwrap().id.n, 1, "{kind:?}");
        assert_eq!(store.seen(), seen(&[ONE]), "{kind:?}");
    }
}

#[test]
fn a_stale_applier_is_refused_and_writes_nothing() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let mut stale = store.follower(1);
        stale.apply(&flush(1, 1, &[ONE])).unwrap();
        stale.finish().unwrap();
        let mut follower = store.follower(2);
        let late = last(flush(1, 2, &[("a", 1, -1.0, true, 0)]));
        assert_eq!(
            stale.apply(&late).unwrap_err().kind,
            Fault::Fenced,
            "{kind:?}"
        );
        follower.apply(&last(flush(2, 2, &[TWO]))).unwrap();
        let after = stale.finish();
        assert!(after.is_ok() || after.unwrap_err().kind == Fault::Fenced);
        follower.finish().unwrap();
        assert_eq!(store.seen(), seen(&[ONE, TWO]), "{kind:?}");
    }
}

#[test]
fn a_gap_and_another_history_are_refused() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let mut follower = store.follower(1);
        let error = follower.apply(&flush(1, 2, &[TWO])).unwrap_err();
        assert_eq!(
            error.kind,
            Fault::SpecChanged,
            "{kind:?}: a store that begins in the middle"
        );
        follower.apply(&flush(1, 1, &[ONE])).unwrap();
        follower.finish().unwrap();
        assert!(follower.apply(&flush(1, 3, &[THREE])).is_err(), "{kind:?}");
        let mut foreign = flush(1, 2, &[TWO]);
        foreign.lineage = "second".into();
        let error = follower.apply(&foreign).unwrap_err();
        assert_eq!(error.kind, Fault::SpecChanged, "{kind:?}");
        assert!(
            error.message.contains("another history"),
            "{}",
            error.message
        );
        assert_eq!(store.seen(), seen(&[ONE]), "{kind:?}");
    }
}

#[test]
fn a_correction_replaces_its_window_where_rows_can_be_replaced() {
    for &kind in KINDS
        .iter()
        .filter(|k| !matches!(k, Kind::Parquet | Kind::S3))
    {
        let store = Store::new(kind);
        let mut follower = store.follower(1);
        assert!(follower.corrects());
        follower.apply(&flush(1, 1, &[ONE, TWO])).unwrap();
        follower
            .apply(&last(flush(1, 2, &[("a", 0, 9.0, true, 1)])))
            .unwrap();
        follower.finish().unwrap();
        assert_eq!(
            store.seen(),
            seen(&[("a", 0, 9.0, true, 1), TWO]),
            "{kind:?}"
        );
    }
}

#[test]
fn a_former_home_of_another_history_is_no_follower() {
    for &kind in KINDS.iter().filter(|k| **k != Kind::Memory) {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        decide(&mut *home, &last(flush(1, 1, &[ONE])), "run-1");
        home.finish().unwrap();
        drop(home);
        let mut follower = store.follower(1);
        let mut foreign = flush(1, 2, &[TWO]);
        foreign.lineage = "second".into();
        assert_eq!(
            follower.apply(&foreign).unwrap_err().kind,
            Fault::SpecChanged,
            "{kind:?}"
        );
    }
}
