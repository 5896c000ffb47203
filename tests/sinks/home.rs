//! What every home does.

use crate::fixture::*;
use wattline::Kind as Fault;
use wattline::flush::FlushId;
use wattline::sink::Decided;

const ONE: Row = ("a", 0, 1.0, true, 0);
const TWO: Row = ("a", 1, 2.0, true, 0);
const THREE: Row = ("b", 1, 3.0, true, 0);

#[test]
fn decided_flushes_are_there_after_a_kill_and_once() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, owned) = store.owned("run-1");
        assert_eq!((owned.epoch, owned.head), (1, None), "{kind:?}");
        assert_eq!(
            decide(&mut *home, &flush(1, 1, &[ONE]), "run-1"),
            Decided::Yes
        );
        assert_eq!(
            decide(&mut *home, &flush(1, 2, &[TWO]), "run-1"),
            Decided::Yes
        );
        drop(home);

        let (mut home, owned) = store.owned("run-2");
        assert_eq!(owned.epoch, 2, "{kind:?}");
        assert_eq!(owned.head.as_ref().unwrap().id, FlushId { epoch: 1, n: 2 });
        let states: Vec<_> = owned
            .records
            .iter()
            .map(|f| f.state.bytes.clone())
            .collect();
        assert_eq!(
            states,
            [b"state 1 1".to_vec(), b"state 1 2".to_vec()],
            "{kind:?}"
        );
        for flush in &owned.unapplied {
            home.apply(flush).unwrap();
        }
        assert_eq!(
            decide(&mut *home, &last(flush(2, 3, &[THREE])), "run-2"),
            Decided::Yes
        );
        home.finish().unwrap();
        assert_eq!(store.seen(), seen(&[ONE, TWO, THREE]), "{kind:?}");
        let applied = home.applied(0).unwrap().unwrap();
        assert_eq!(
            (applied.id.n, applied.lineage.as_str()),
            (3, "first"),
            "{kind:?}"
        );
    }
}

#[test]
fn a_decision_that_was_not_applied_is_shown_by_the_next_owner() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        let only = last(flush(1, 1, &[ONE, TWO]));
        assert_eq!(
            home.decide(&head(&only, "run-1"), &only, false).unwrap(),
            Decided::Yes
        );
        drop(home);
        let (mut home, _) = store.owned("run-2");
        home.finish().unwrap();
        assert_eq!(store.seen(), seen(&[ONE, TWO]), "{kind:?}");
    }
}

#[test]
fn what_is_to_be_applied_goes_up_to_the_head_without_a_gap() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        for (n, row, keep) in [(1, ONE, true), (2, TWO, false)] {
            let flush = flush(1, n, &[row]);
            home.decide(&head(&flush, "run-1"), &flush, keep).unwrap();
        }
        drop(home);
        let (_, owned) = store.owned("run-2");
        let last = owned.unapplied.last().map(|f| f.id.n);
        assert!(last.is_none_or(|n| n == 2), "{kind:?}: up to {last:?}");
    }
}

#[test]
fn deciding_again_changes_nothing() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        let first = flush(1, 1, &[ONE]);
        for _ in 0..3 {
            assert_eq!(
                decide(&mut *home, &first, "run-1"),
                Decided::Yes,
                "{kind:?}"
            );
        }
        assert_eq!(
            decide(&mut *home, &last(flush(1, 2, &[TWO])), "run-1"),
            Decided::Yes
        );
        home.finish().unwrap();
        assert_eq!(store.seen(), seen(&[ONE, TWO]), "{kind:?}");
    }
}

#[test]
fn a_second_run_is_told_who_owns_it() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        let error = store.home().acquire(&claim("run-2", false)).unwrap_err();
        assert_eq!(error.kind, Fault::Fenced, "{kind:?}");
        assert!(error.message.contains("run-1 on host"), "{}", error.message);
        assert!(error.message.contains("take_over"), "{}", error.message);
        // The refused claim fenced nobody.
        assert_eq!(
            decide(&mut *home, &flush(1, 1, &[ONE]), "run-1"),
            Decided::Yes
        );
        home.release(0).unwrap();
        assert!(
            store.home().acquire(&claim("run-2", false)).is_ok(),
            "{kind:?}"
        );
    }
}

#[test]
fn a_zombie_writes_nothing_however_late() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut zombie, _) = store.owned("run-1");
        assert_eq!(
            decide(&mut *zombie, &flush(1, 1, &[ONE]), "run-1"),
            Decided::Yes
        );
        let mut home = store.home();
        let owned = home.acquire(&claim("run-2", true)).unwrap();
        home.fence(0, owned.epoch).unwrap();
        let stale = last(flush(1, 2, &[("a", 1, -1.0, true, 0)]));
        for n in 2..9 {
            let answer = zombie
                .decide(&head(&stale, "run-1"), &stale, false)
                .unwrap();
            assert!(
                matches!(answer, Decided::Fenced(_)),
                "{kind:?} {n}: {answer:?}"
            );
            let rows = [("a", n as i64, 2.0, true, 0)];
            assert_eq!(
                decide(&mut *home, &last(flush(2, n, &rows)), "run-2"),
                Decided::Yes
            );
            home.prune(0, FlushId { epoch: 2, n }).unwrap();
        }
        let late = zombie.finish();
        assert!(late.is_ok() || late.unwrap_err().kind == Fault::Fenced);
        home.finish().unwrap();
        let seen = store.seen();
        assert_eq!(seen.len(), 8, "{kind:?}");
        assert!(seen.values().all(|v| v.0 > 0.0), "{kind:?}: {seen:?}");
    }
}

#[test]
fn what_was_not_decided_leaves_no_trace() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        assert_eq!(
            decide(&mut *home, &flush(1, 1, &[ONE]), "run-1"),
            Decided::Yes
        );
        let after_gap = flush(1, 3, &[THREE]);
        let answer = home.decide(&head(&after_gap, "run-1"), &after_gap, false);
        assert!(!matches!(answer, Ok(Decided::Yes)), "{kind:?}");
        let undecided = flush(1, 2, &[TWO]);
        assert_eq!(
            home.settle(&head(&undecided, "run-1")).unwrap(),
            None,
            "{kind:?}"
        );
        let decided = head(&flush(1, 1, &[]), "run-1");
        assert_eq!(
            home.settle(&decided).unwrap(),
            Some(Decided::Yes),
            "{kind:?}"
        );
        home.finish().unwrap();
        assert_eq!(store.seen(), seen(&[ONE]), "{kind:?}");
    }
}

#[test]
fn effects_stay_for_followers_until_they_are_pruned() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        for n in 1..=4 {
            let flush = last(flush(1, n, &[("a", n as i64, n as f64, true, 0)]));
            let answer = home.decide(&head(&flush, "run-1"), &flush, true).unwrap();
            assert_eq!(answer, Decided::Yes, "{kind:?}");
            home.apply(&flush).unwrap();
        }
        let kept = |owned: &wattline::sink::Owned, from: u64| {
            let needed = owned.unapplied.iter().filter(|f| f.id.n >= from);
            let rows = |f: &wattline::flush::Flush| f.windows[0].rows.num_rows();
            needed
                .map(|f| (f.id.n, rows(f), f.state.bytes.clone()))
                .collect::<Vec<_>>()
        };
        let all = home.look("house", 0).unwrap().unwrap();
        assert_eq!(kept(&all, 1).len(), 4, "{kind:?}");
        home.prune(0, FlushId { epoch: 1, n: 2 }).unwrap();
        let rest = home.look("house", 0).unwrap().unwrap();
        let expected = [3u64, 4].map(|n| (n, 1, format!("state 1 {n}").into_bytes()));
        assert_eq!(kept(&rest, 3), expected, "{kind:?}");
        assert_eq!(rest.unapplied.first().unwrap().id.n, 3, "{kind:?}");
        home.prune(0, FlushId { epoch: 1, n: 4 }).unwrap();
        let records: Vec<u64> = home
            .look("house", 0)
            .unwrap()
            .unwrap()
            .records
            .iter()
            .map(|f| f.id.n)
            .collect();
        assert_eq!(records, [3, 4], "{kind:?}: from the last fold on");
    }
}

#[test]
fn an_open_window_is_seen_once_and_then_final() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        let open = [
            ("a", 0, 1.0, true, 0),
            ("a", 1, 0.5, false, 0),
            ("b", 1, 0.7, false, 0),
        ];
        assert_eq!(
            decide(&mut *home, &last(flush(1, 1, &open)), "run-1"),
            Decided::Yes
        );
        home.finish().unwrap();
        assert_eq!(store.seen(), seen(&open), "{kind:?}");
        drop(home);
        let (mut home, _) = store.owned("run-2");
        let then = [("a", 1, 2.0, true, 0), ("a", 2, 0.1, false, 0)];
        assert_eq!(
            decide(&mut *home, &last(flush(2, 2, &then)), "run-2"),
            Decided::Yes
        );
        home.finish().unwrap();
        let all = [open[0], open[2], then[0], then[1]];
        assert_eq!(store.seen(), seen(&all), "{kind:?}");
        let done = [("a", 2, 5.0, true, 0), ("b", 1, 6.0, true, 0)];
        assert_eq!(
            decide(&mut *home, &last(flush(2, 3, &done)), "run-2"),
            Decided::Yes
        );
        home.finish().unwrap();
        assert_eq!(
            store.seen(),
            seen(&[open[0], then[0], done[0], done[1]]),
            "{kind:?}"
        );
    }
}

#[test]
fn looking_owns_nothing_and_makes_nothing() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let mut looker = match kind {
            Kind::Memory => store.home(),
            _ => wattline::sink::open_home(&store.spec()).unwrap(),
        };
        assert!(looker.look("house", 0).unwrap().is_none(), "{kind:?}");
        assert_eq!(
            std::fs::read_dir(store.dir.path()).unwrap().count(),
            0,
            "{kind:?}"
        );
        let (mut home, _) = store.owned("run-1");
        assert_eq!(
            decide(&mut *home, &flush(1, 1, &[ONE]), "run-1"),
            Decided::Yes
        );
        assert_eq!(
            looker.look("house", 0).unwrap().unwrap().head.unwrap().id.n,
            1,
            "{kind:?}"
        );
        assert_eq!(
            decide(&mut *home, &flush(1, 2, &[TWO]), "run-1"),
            Decided::Yes
        );
    }
}

#[test]
fn another_pipeline_or_zone_is_refused() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let mut home = store.home();
        for (pipeline, tz) in [("flat", "Europe/Paris"), ("house", "UTC")] {
            let mut other = tables();
            (other.pipeline, other.tz) = (pipeline.into(), tz.into());
            let error = home.prepare(&other).unwrap_err();
            assert_eq!(error.kind, Fault::Usage, "{kind:?}");
            assert!(
                error.message.contains("belongs to the pipeline"),
                "{}",
                error.message
            );
        }
        home.prepare(&tables()).unwrap();
    }
}

#[test]
fn partitions_are_apart() {
    for &kind in KINDS {
        let store = Store::new(kind);
        let (mut home, _) = store.owned("run-1");
        let mut second = claim("run-1", false);
        second.partition = 1;
        assert_eq!(home.acquire(&second).unwrap().epoch, 1, "{kind:?}");
        let mut other = last(flush(1, 1, &[THREE]));
        other.partition = 1;
        assert_eq!(
            decide(&mut *home, &last(flush(1, 1, &[ONE])), "run-1"),
            Decided::Yes
        );
        home.fence(1, 1).unwrap();
        assert_eq!(
            decide(&mut *home, &other, "run-1"),
            Decided::Yes,
            "{kind:?}"
        );
        home.finish().unwrap();
        assert_eq!(store.seen(), seen(&[ONE, THREE]), "{kind:?}");
    }
}
