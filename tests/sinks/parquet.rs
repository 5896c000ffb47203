//! What Parquet alone does.

use crate::fixture::*;
use arrow_array::cast::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::path::Path;
use wattline::Kind as Fault;
use wattline::sink::{
    Decided, Endpoint, Parquet, PartitionBy, Revisions, SinkSpec, What, open, open_home,
};

fn spec(store: &Store, change: impl FnOnce(&mut Parquet)) -> SinkSpec {
    let mut at = Parquet::new(store.folder());
    change(&mut at);
    SinkSpec::new(Endpoint::Parquet(at))
}

fn names(store: &Store) -> Vec<String> {
    let files = parquet_files(&store.folder());
    let name = |f: &std::path::PathBuf| {
        let inside = f.strip_prefix(store.folder()).unwrap();
        inside.to_str().unwrap().to_owned()
    };
    files.iter().map(name).collect()
}

#[test]
fn files_roll_and_never_per_flush() {
    let store = Store::new(Kind::Parquet);
    let (mut home, _) = store.owned("run-1");
    for n in 1..=20 {
        decide(
            &mut *home,
            &flush(1, n, &[("a", n as i64, 1.0, true, 0)]),
            "run-1",
        );
        assert!(store.seen().is_empty(), "waits");
    }
    home.finish().unwrap();
    assert_eq!(names(&store), ["grain=1h/part-0-1-20-0.parquet"]);
    assert_eq!(store.seen().len(), 20);
}

#[test]
fn nothing_waits_for_the_flushes_before_a_roll() {
    let store = Store::new(Kind::Parquet);
    let mut home = open_home(&spec(&store, |p| p.roll_rows = 3)).unwrap();
    home.prepare(&tables()).unwrap();
    home.acquire(&claim("run-1", false)).unwrap();
    for n in 1..=4 {
        let left = home.acquire(&claim("run-1", false)).unwrap().unapplied;
        let left: Vec<u64> = left.iter().map(|f| f.id.n).collect();
        let all: Vec<u64> = (1..n).collect();
        assert_eq!(left, if n == 4 { vec![] } else { all });
        decide(
            &mut *home,
            &flush(1, n, &[("a", n as i64, 1.0, true, 0)]),
            "run-1",
        );
    }
}

#[test]
fn what_has_waited_long_enough_is_shown_though_no_flush_follows() {
    let wait = std::time::Duration::from_millis(200);
    let spec = |store: &Store| spec(store, |p| p.roll_seconds = wait.as_secs_f64());
    let first = flush(1, 1, &[("a", 1, 1.0, true, 0)]);
    let store = Store::new(Kind::Parquet);
    let mut home = open_home(&spec(&store)).unwrap();
    home.prepare(&tables()).unwrap();
    home.acquire(&claim("run-1", false)).unwrap();
    decide(&mut *home, &first, "run-1");
    std::thread::sleep(wait);
    home.roll(0).unwrap();
    home.roll(1).unwrap();
    assert_eq!(store.seen().len(), 1);
    let files = names(&store);
    std::thread::sleep(wait);
    home.roll(0).unwrap();
    assert_eq!(names(&store), files, "nothing new is no file");
    let second = flush(1, 2, &[("a", 2, 1.0, true, 0)]);
    decide(&mut *home, &last(second), "run-1");
    assert_eq!(store.seen().len(), 2);
    assert_eq!(home.applied(0).unwrap().map(|a| a.id.n), Some(2));

    let store = Store::new(Kind::Parquet);
    let mut follower = open(&spec(&store)).unwrap();
    follower.prepare(&tables()).unwrap();
    follower.fence(0, 1).unwrap();
    follower.apply(&first).unwrap();
    std::thread::sleep(wait);
    follower.roll(0).unwrap();
    assert_eq!(store.seen().len(), 1);
    assert_eq!(follower.applied(0).unwrap().map(|a| a.id.n), Some(1));
}

#[test]
fn a_full_roll_is_published_with_its_flush() {
    let store = Store::new(Kind::Parquet);
    let mut home = open_home(&spec(&store, |p| p.roll_rows = 3)).unwrap();
    home.prepare(&tables()).unwrap();
    home.acquire(&claim("run-1", false)).unwrap();
    for n in 1..=7 {
        decide(
            &mut *home,
            &flush(1, n, &[("a", n as i64, 1.0, true, 0)]),
            "run-1",
        );
        let shown = home.applied(0).unwrap().map_or(0, |a| a.id.n);
        assert_eq!(shown, n / 3 * 3);
        assert_eq!(store.seen().len() as u64, shown);
    }
    let expected = [3, 6].map(|n| format!("grain=1h/part-0-1-{n}-0.parquet"));
    assert_eq!(names(&store), expected);
}

#[test]
fn an_attempt_after_one_that_failed_has_names_of_its_own() {
    let store = Store::new(Kind::Parquet);
    let mut home = open_home(&spec(&store, |p| p.roll_rows = 1)).unwrap();
    home.prepare(&tables()).unwrap();
    home.acquire(&claim("run-1", false)).unwrap();
    let mut beside = store.folder().into_os_string();
    beside.push(".wattline/p0/staged");
    let staged = std::path::PathBuf::from(beside);
    // Where the first attempt writes nothing can be written, now and later.
    for name in ["2-run-1-0", "2-run-1-1-0"] {
        std::fs::create_dir_all(staged.join(name)).unwrap();
    }
    let only = flush(1, 1, &[("a", 1, 1.0, true, 0)]);
    home.decide(&head(&only, "run-1"), &only, false)
        .unwrap_err();
    decide(&mut *home, &only, "run-1");
    assert_eq!(store.seen().len(), 1);
}

#[test]
fn waiting_rows_survive_a_kill_in_the_manifests() {
    let store = Store::new(Kind::Parquet);
    for n in 1..=5u64 {
        let (mut home, owned) = store.owned(&format!("run-{n}"));
        assert_eq!(owned.epoch, n);
        let flush = flush(n, n, &[("a", n as i64, 1.0, true, 0)]);
        assert_eq!(
            decide(&mut *home, &flush, &format!("run-{n}")),
            Decided::Yes
        );
        assert!(store.seen().is_empty());
    }
    let (mut home, _) = store.owned("run-6");
    home.finish().unwrap();
    assert_eq!(store.seen().len(), 5);
}

#[test]
fn manifests_go_when_nobody_needs_them() {
    let store = Store::new(Kind::Parquet);
    let (mut home, _) = store.owned("run-1");
    for n in 1..=50 {
        let flush = last(flush(1, n, &[("a", n as i64, 1.0, true, 0)]));
        decide(&mut *home, &flush, "run-1");
        home.prune(0, flush.id).unwrap();
    }
    let kept = std::fs::read_dir(store.dir.path().join("out.wattline/p0")).unwrap();
    let kept = kept.filter(|e| e.as_ref().unwrap().file_name().len() == 20);
    assert!(
        kept.count() <= 4,
        "a fence and the entries from the last fold on"
    );
    drop(home);
    let (_, owned) = store.owned("run-2");
    let records: Vec<u64> = owned.records.iter().map(|f| f.id.n).collect();
    assert_eq!(records, [49, 50]);
    assert_eq!(store.seen().len(), 50);
}

#[test]
fn nothing_but_whole_files_is_in_the_folder() {
    let store = Store::new(Kind::Parquet);
    let (mut home, _) = store.owned("run-1");
    // Staging cannot succeed: its folder is a file.
    let staged = store.dir.path().join("out.wattline/p0/staged");
    std::fs::write(&staged, "in the way").unwrap();
    let first = last(flush(1, 1, &[("a", 0, 1.0, true, 0)]));
    let error = home
        .decide(&head(&first, "run-1"), &first, false)
        .unwrap_err();
    assert_eq!(error.kind, Fault::Endpoint);
    assert!(names(&store).is_empty());
    std::fs::remove_file(&staged).unwrap();
    assert_eq!(decide(&mut *home, &first, "run-1"), Decided::Yes);
    assert_eq!(store.seen().len(), 1);
    assert_eq!(std::fs::read_dir(&staged).unwrap().count(), 0);
}

#[test]
fn what_a_killed_writer_left_is_swept() {
    let store = Store::new(Kind::Parquet);
    drop(store.owned("run-1"));
    let dir = store.dir.path().join("out.wattline/p0");
    std::fs::create_dir_all(dir.join("staged")).unwrap();
    std::fs::write(dir.join("staged/2-run-0-0"), "half").unwrap();
    std::fs::write(dir.join("new-run-0"), "half").unwrap();
    drop(store.owned("run-2"));
    assert_eq!(std::fs::read_dir(dir.join("staged")).unwrap().count(), 0);
    assert!(!dir.join("new-run-0").exists());
}

#[test]
fn a_correction_needs_append() {
    let store = Store::new(Kind::Parquet);
    let mut home = store.home();
    assert!(!home.corrects());
    home.acquire(&claim("run-1", false)).unwrap();
    let corrected = flush(1, 1, &[("a", 0, 1.0, true, 1)]);
    let error = home
        .decide(&head(&corrected, "run-1"), &corrected, false)
        .unwrap_err();
    assert!(
        error.message.contains("revisions=\"append\""),
        "{}",
        error.message
    );

    let store = Store::new(Kind::Parquet);
    let mut follower = open(&spec(&store, |p| p.revisions = Revisions::Append)).unwrap();
    assert!(follower.corrects());
    follower.prepare(&tables()).unwrap();
    follower.fence(0, 1).unwrap();
    follower
        .apply(&flush(1, 1, &[("a", 0, 1.0, true, 0)]))
        .unwrap();
    follower
        .apply(&last(flush(1, 2, &[("a", 0, 2.0, true, 1)])))
        .unwrap();
    let mut revisions: Vec<i32> = store.rows().iter().map(|(_, v)| v.2).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [0, 1]);
}

#[test]
fn folders_by_local_date_hold_their_rows() {
    let store = Store::new(Kind::Parquet);
    let spec = spec(&store, |p| p.partition_by = Some(PartitionBy::Date));
    let mut follower = open(&spec).unwrap();
    follower.prepare(&tables()).unwrap();
    follower.fence(0, 1).unwrap();
    // 22:00 and 23:00 UTC on 1 January; the second is midnight in Paris.
    let rows = [
        ("a", 22, 1.0, true, 0),
        ("a", 23, 2.0, true, 0),
        ("a", 24, 3.0, false, 0),
    ];
    follower.apply(&last(flush(1, 1, &rows))).unwrap();
    let expected = [
        "grain=1h/date=2007-01-01/part-0-1-1-0.parquet",
        "grain=1h/date=2007-01-02/open-0.parquet",
        "grain=1h/date=2007-01-02/part-0-1-1-1.parquet",
    ];
    assert_eq!(names(&store), expected);
    follower
        .apply(&last(flush(1, 2, &[("a", 24, 4.0, true, 0)])))
        .unwrap();
    let all = [rows[0], rows[1], ("a", 24, 4.0, true, 0)];
    assert_eq!(store.seen(), seen(&all));
}

#[test]
fn files_say_whose_they_are_and_are_sorted() {
    let store = Store::new(Kind::Parquet);
    let mut follower = store.follower(1);
    let rows = [
        ("b", 1, 1.0, true, 0),
        ("a", 2, 1.0, true, 0),
        ("a", 1, 1.0, true, 0),
    ];
    follower.apply(&last(flush(1, 1, &rows))).unwrap();
    let path = parquet_files(&store.folder()).remove(0);
    let file = std::fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let facts = reader
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap();
    let fact = |k: &str| {
        facts
            .iter()
            .find(|f| f.key == k)
            .unwrap()
            .value
            .clone()
            .unwrap()
    };
    assert_eq!(
        (fact("wattline.pipeline"), fact("wattline.tz")),
        ("house".into(), "Europe/Paris".into())
    );
    let group = reader.metadata().row_group(0);
    assert!(group.columns().iter().all(|c| c.statistics().is_some()));
    assert!(
        reader.schema().field_with_name("grain").is_err(),
        "the path tells it"
    );
    let order: Vec<_> = store.rows().into_iter().map(|(k, _)| k).collect();
    assert!(order.is_sorted());
}

#[test]
fn a_folder_of_others_is_refused() {
    let store = Store::new(Kind::Parquet);
    std::fs::create_dir_all(store.folder()).unwrap();
    std::fs::write(store.folder().join("theirs.parquet"), "PAR1").unwrap();
    let error = open(&store.spec()).unwrap().prepare(&tables()).unwrap_err();
    assert!(error.message.contains("did not write"), "{}", error.message);

    let store = Store::new(Kind::Parquet);
    drop(store.home());
    let readings = store.spec().taking(What::Readings);
    let error = open(&readings).unwrap().prepare(&tables()).unwrap_err();
    assert!(
        error.message.contains("holds windows, not readings"),
        "{}",
        error.message
    );
    let by_year = spec(&store, |p| p.partition_by = Some(PartitionBy::Year));
    assert!(open(&by_year).unwrap().prepare(&tables()).is_err());
    let mut inside = readings.clone();
    inside.table = Some("readings".into());
    open(&inside).unwrap().prepare(&tables()).unwrap();
    let root = SinkSpec::new(Endpoint::Parquet(Parquet::new(Path::new("/"))));
    assert!(open(&root).is_err());
}

#[test]
fn a_damaged_manifest_is_an_error() {
    let store = Store::new(Kind::Parquet);
    let (mut home, _) = store.owned("run-1");
    decide(&mut *home, &flush(1, 1, &[("a", 0, 1.0, true, 0)]), "run-1");
    drop(home);
    let path = store
        .dir
        .path()
        .join("out.wattline/p0/00000000000000000002");
    let whole = std::fs::read(&path).unwrap();
    for (at, kept) in [
        (20, whole.len()),
        (whole.len() - 3, whole.len()),
        (0, 5),
        (0, 0),
    ] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes.truncate(kept);
        std::fs::write(&path, &bytes).unwrap();
        let error = store.home().look("house", 0).unwrap_err();
        assert_eq!(
            error.kind,
            Fault::DataLost,
            "{at} {kept}: {}",
            error.message
        );
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(
        store
            .home()
            .look("house", 0)
            .unwrap()
            .unwrap()
            .records
            .len(),
        1
    );
}

#[test]
fn a_newer_version_is_refused_with_advice() {
    let store = Store::new(Kind::Parquet);
    drop(store.home());
    let mut told = Vec::new();
    for entry in walk(store.dir.path()) {
        if entry.file_name().is_some_and(|n| n == "table.json") {
            let text = std::fs::read_to_string(&entry).unwrap();
            let mut facts: serde_json::Value = serde_json::from_str(&text).unwrap();
            facts["format"] = 99.into();
            std::fs::write(&entry, facts.to_string()).unwrap();
            told.push(entry);
        }
    }
    assert_eq!(told.len(), 1);
    let error = open(&store.spec()).unwrap().prepare(&tables()).unwrap_err();
    assert_eq!(error.kind, Fault::SpecChanged);
    assert!(error.message.contains("upgrade wattline"), "{error}");
}

/// Every file below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let below = |path: std::path::PathBuf| match path.is_dir() {
        true => walk(&path),
        false => vec![path],
    };
    entries.flat_map(below).collect()
}

/// So many hours of one sensor that they are encoded at once.
fn many(n: u64, from: i64, hours: i64) -> wattline::flush::Flush {
    let rows: Vec<Row> = (from..from + hours)
        .map(|hour| ("a", hour, hour as f64, true, 0))
        .collect();
    flush(n, n, &rows)
}

#[test]
fn many_rows_wait_encoded_and_survive_a_kill() {
    let store = Store::new(Kind::Parquet);
    let entry = |n: u64| {
        let path = format!("out.wattline/p0/{n:020}");
        std::fs::read(store.dir.path().join(path)).unwrap()
    };
    let mut due = Vec::new();
    for n in 1..=4u64 {
        let (mut home, owned) = store.owned(&format!("run-{n}"));
        assert!(
            owned.unapplied.is_empty(),
            "rows that are encoded are for this table alone"
        );
        let mut flush = many(n, n as i64 * 10_000, 9_000);
        flush
            .windows
            .push(windows("1d", &[("a", n as i64, 1.0, true, 0)]));
        due.extend((0..9_000).map(|hour| (n as i64 * 10_000 + hour) as f64));
        assert_eq!(
            decide(&mut *home, &flush, &format!("run-{n}")),
            Decided::Yes
        );
        let told = String::from_utf8_lossy(&entry(n * 2)).into_owned();
        assert!(told.contains(r#""format":2"#), "an older one refuses it");
        assert!(store.seen().is_empty(), "waits");
    }
    let (mut home, _) = store.owned("run-5");
    home.finish().unwrap();
    let files = parquet_files(&store.folder());
    assert_eq!(files.len(), 2, "a file a grain");
    let hours = read(&files[1]);
    assert_eq!(hours, due, "in the order of time, each once");
    let days = read(&files[0]);
    assert_eq!(days, [1.0; 4]);
}

#[test]
fn encoded_rows_that_follow_earlier_ones_are_put_in_order() {
    let store = Store::new(Kind::Parquet);
    for (n, from) in [(1, 50_000), (2, 10_000)] {
        let (mut home, _) = store.owned(&format!("run-{n}"));
        decide(&mut *home, &many(n, from, 9_000), &format!("run-{n}"));
    }
    let (mut home, _) = store.owned("run-3");
    home.finish().unwrap();
    let values = read(&parquet_files(&store.folder())[0]);
    assert!(values.is_sorted() && values.len() == 18_000);
}

#[test]
fn an_open_window_that_became_final_among_many_stands_once() {
    let store = Store::new(Kind::Parquet);
    let (mut home, _) = store.owned("run-1");
    let open = last(flush(1, 1, &[("a", 5, 0.5, false, 0)]));
    decide(&mut *home, &open, "run-1");
    assert_eq!(store.seen().len(), 1);
    drop(home);
    let (mut home, _) = store.owned("run-2");
    decide(&mut *home, &many(2, 0, 9_000), "run-2");
    drop(home);
    let (mut home, _) = store.owned("run-3");
    home.finish().unwrap();
    let rows = store.rows();
    assert_eq!(rows.len(), 9_000);
    assert!(rows.iter().all(|(_, row)| row.1), "all are final");
}

#[test]
fn a_home_with_followers_keeps_the_rows_as_they_are() {
    let store = Store::new(Kind::Parquet);
    let (mut home, _) = store.owned("run-1");
    let flush = many(1, 0, 9_000);
    let decided = home.decide(&head(&flush, "run-1"), &flush, true).unwrap();
    assert_eq!(decided, Decided::Yes);
    drop(home);
    let (_, owned) = store.owned("run-2");
    assert_eq!(owned.unapplied[0].windows, flush.windows);
}

#[test]
fn a_damaged_group_in_a_manifest_is_an_error() {
    let store = Store::new(Kind::Parquet);
    let (mut home, _) = store.owned("run-1");
    decide(&mut *home, &many(1, 0, 9_000), "run-1");
    drop(home);
    let path = store
        .dir
        .path()
        .join("out.wattline/p0/00000000000000000002");
    let whole = std::fs::read(&path).unwrap();
    for cut in [false, true] {
        let mut bytes = whole.clone();
        let at = bytes.len() - 20_000;
        bytes[at] ^= 1;
        if cut {
            bytes.truncate(at);
        }
        std::fs::write(&path, &bytes).unwrap();
        let error = store.home().acquire(&claim("run-2", false)).unwrap_err();
        assert_eq!(error.kind, Fault::DataLost, "{}", error.message);
    }
}

/// The values of a file in its order.
fn read(path: &Path) -> Vec<f64> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let values = reader.build().unwrap().map(|batch| {
        let batch = batch.unwrap();
        let values = batch.column_by_name("power_mean").unwrap();
        let values = values.as_primitive::<arrow_array::types::Float64Type>();
        values.values().to_vec()
    });
    values.flatten().collect()
}
