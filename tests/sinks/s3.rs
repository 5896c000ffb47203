//! What a bucket alone does, on the server that `WATTLINE_TEST_S3` names:
//! `python -m tests.services run --with s3 -- cargo test --features cloud --test sinks`.

use crate::fixture::*;
use arrow_array::RecordBatch;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::future::Future;
use std::path::Path;
use wattline::Kind as Fault;
use wattline::sink::{Decided, Endpoint, Parquet, SinkSpec, open, open_home};

/// The bucket of the tests.
fn url() -> String {
    std::env::var("WATTLINE_TEST_S3").expect(
        "WATTLINE_TEST_S3 names no bucket; run the tests under python -m tests.services run --with s3 --",
    )
}

/// Each store has a prefix of its own, named like its folder.
pub fn at(dir: &Path) -> Parquet {
    let Endpoint::Parquet(mut at) = Endpoint::parse(&url()).unwrap() else {
        panic!("{} is no s3:// URL", url());
    };
    at.path = at.path.join(dir.file_name().unwrap()).join("out");
    at.lease = Some(1.0);
    at.retry_for = Some(20.0);
    at
}

pub fn endpoint(dir: &Path) -> Endpoint {
    Endpoint::Parquet(at(dir))
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// A client that knows nothing of the sink.
fn client(at: &Parquet) -> AmazonS3 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    AmazonS3Builder::new()
        .with_bucket_name(at.bucket().unwrap())
        .with_endpoint(at.endpoint.clone().unwrap())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("other")
        .with_secret_access_key("other")
        .build()
        .unwrap()
}

/// Names that begin with the place of a store and `of`.
fn names(dir: &Path, of: &str) -> Vec<String> {
    let at = at(dir);
    let (folder, begin) = (
        Key::parse(at.prefix()).unwrap(),
        format!("{}{of}", at.prefix()),
    );
    let above = Key::from_iter(folder.parts().take(folder.parts_count() - 1));
    let found: Vec<_> = wait(client(&at).list(Some(&above)).try_collect()).unwrap();
    let all = found.iter().map(|o| o.location.to_string());
    let mut names: Vec<String> = all.filter(|name| name.starts_with(&begin)).collect();
    names.sort();
    names
}

fn read(dir: &Path, name: &str) -> Bytes {
    let key = Key::parse(name).unwrap();
    let client = client(&at(dir));
    wait(async { client.get(&key).await.unwrap().bytes().await }).unwrap()
}

fn put(dir: &Path, name: &str, bytes: Bytes) {
    wait(client(&at(dir)).put(&Key::parse(name).unwrap(), bytes.into())).unwrap();
}

fn remove(dir: &Path, name: &str) {
    wait(client(&at(dir)).delete(&Key::parse(name).unwrap())).unwrap();
}

pub fn window_rows(dir: &Path) -> Vec<SeenRow> {
    let rows = |name: &String| -> Vec<RecordBatch> {
        assert!(name.ends_with(".parquet"), "{name}");
        let reader = ParquetRecordBatchReaderBuilder::try_new(read(dir, name)).unwrap();
        reader.build().unwrap().map(Result::unwrap).collect()
    };
    let all = names(dir, "/").into_iter();
    let all: Vec<RecordBatch> = all.flat_map(|name| rows(&name)).collect();
    all.iter().flat_map(rows_of).collect()
}

const ONE: Row = ("a", 0, 1.0, true, 0);
const TWO: Row = ("a", 1, 2.0, true, 0);

fn state(dir: &Path, name: &str) -> String {
    format!("{}.wattline/p0/{name}", at(dir).prefix())
}

#[test]
fn nothing_staged_stays_and_the_lease_is_given_back() {
    let store = Store::new(Kind::S3);
    let dir = store.dir.path();
    let (mut home, _) = store.owned("run-1");
    assert_eq!(names(dir, ".wattline/p0/lease").len(), 1);
    decide(&mut *home, &last(flush(1, 1, &[ONE, TWO])), "run-1");
    home.finish().unwrap();
    home.release(0).unwrap();
    assert_eq!(store.seen(), seen(&[ONE, TWO]));
    assert!(names(dir, ".wattline/p0/staged").is_empty());
    assert!(names(dir, ".wattline/p0/lease").is_empty());
}

#[test]
fn a_stale_owner_that_wakes_late_publishes_nothing() {
    let store = Store::new(Kind::S3);
    let dir = store.dir.path();
    let (mut stale, _) = store.owned("run-1");
    let open = |hour, value| ("a", hour, value, false, 0);
    let only = last(flush(1, 1, &[ONE, open(1, 5.0)]));
    // Decided, and the owner sleeps before it publishes.
    assert_eq!(
        stale.decide(&head(&only, "run-1"), &only, false).unwrap(),
        Decided::Yes
    );
    assert!(store.seen().is_empty());
    let mut second = store.home();
    let owned = second.acquire(&claim("run-2", true)).unwrap();
    second.fence(0, owned.epoch).unwrap();
    assert_eq!(
        store.seen(),
        seen(&[ONE, open(1, 5.0)]),
        "the next owner ends it"
    );
    let next = last(flush(2, 2, &[TWO, open(2, 7.0)]));
    decide(&mut *second, &next, "run-2");
    let due = seen(&[ONE, TWO, open(2, 7.0)]);
    assert_eq!(store.seen(), due);
    // It wakes and ends what it decided: there is nothing left to copy.
    stale.apply(&only).unwrap();
    assert_eq!(store.seen(), due);
    let late = last(flush(1, 2, &[("b", 3, 9.0, true, 0)]));
    let answer = stale.decide(&head(&late, "run-1"), &late, false).unwrap();
    assert!(matches!(answer, Decided::Fenced(_)), "{answer:?}");
    assert_eq!(store.seen(), due);
    assert!(names(dir, ".wattline/p0/staged").is_empty());
}

#[test]
fn what_a_killed_writer_left_is_swept() {
    let store = Store::new(Kind::S3);
    let dir = store.dir.path();
    let (home, _) = store.owned("run-1");
    drop(home);
    put(
        dir,
        &state(dir, "staged/2-run-1-0"),
        Bytes::from_static(b"half"),
    );
    let (mut home, _) = store.owned("run-2");
    assert!(names(dir, ".wattline/p0/staged").is_empty());
    decide(&mut *home, &last(flush(2, 1, &[ONE])), "run-2");
    assert_eq!(store.seen(), seen(&[ONE]));
}

#[test]
fn a_staged_object_that_was_copied_and_not_removed_changes_nothing() {
    let store = Store::new(Kind::S3);
    let dir = store.dir.path();
    let (mut home, _) = store.owned("run-1");
    let only = last(flush(1, 1, &[ONE, ("a", 1, 5.0, false, 0)]));
    home.decide(&head(&only, "run-1"), &only, false).unwrap();
    let staged = names(dir, ".wattline/p0/staged");
    assert_eq!(staged.len(), 2);
    let kept: Vec<Bytes> = staged.iter().map(|name| read(dir, name)).collect();
    home.apply(&only).unwrap();
    let due = store.seen();
    drop(home);
    for (name, bytes) in staged.iter().zip(kept) {
        put(dir, name, bytes);
    }
    let (_, owned) = store.owned("run-2");
    assert_eq!(owned.head.unwrap().id.n, 1);
    assert_eq!(store.seen(), due);
    assert!(names(dir, ".wattline/p0/staged").is_empty());
}

#[test]
fn an_older_open_file_that_comes_late_is_swept() {
    let store = Store::new(Kind::S3);
    let dir = store.dir.path();
    let (mut home, _) = store.owned("run-1");
    let mut late = Vec::new();
    for n in 1..=2 {
        let only = last(flush(1, n, &[("a", 1, n as f64, false, 0)]));
        home.decide(&head(&only, "run-1"), &only, false).unwrap();
        let staged = names(dir, ".wattline/p0/staged");
        let kept = staged.into_iter().map(|name| (read(dir, &name), name));
        late.extend(kept.filter(|_| n == 1));
        home.apply(&only).unwrap();
    }
    let due = seen(&[("a", 1, 2.0, false, 0)]);
    assert_eq!((store.seen(), late.len()), (due.clone(), 1));
    drop(home);
    for (bytes, name) in late {
        put(dir, &name, bytes);
    }
    store.owned("run-2");
    assert_eq!(store.seen(), due);
    assert!(names(dir, ".wattline/p0/staged").is_empty());
}

#[test]
fn objects_that_are_gone_or_cut_are_missed_and_old_ones_are_anybodys() {
    let made = |n: u64| {
        let store = Store::new(Kind::S3);
        let (mut home, _) = store.owned("run-1");
        for n in 1..=n {
            let rows = [("a", n as i64, 1.0, true, 0), ("b", 9, 1.0, false, 0)];
            decide(&mut *home, &last(flush(1, n, &rows)), "run-1");
        }
        home.finish().unwrap();
        home.release(0).unwrap();
        store
    };
    let taken = |store: &Store| {
        let mut home = open_home(&store.spec()).unwrap();
        home.prepare(&tables())?;
        home.acquire(&claim("run-2", false)).map(|_| ())
    };
    let part = |store: &Store, n: u64| {
        format!(
            "{}/grain=1h/part-0-1-{n}-0.parquet",
            at(store.dir.path()).prefix()
        )
    };
    let store = made(3);
    remove(store.dir.path(), &part(&store, 1));
    taken(&store).unwrap();
    remove(store.dir.path(), &part(&store, 3));
    assert_eq!(taken(&store).unwrap_err().kind, Fault::DataLost);
    let store = made(2);
    let whole = read(store.dir.path(), &part(&store, 2));
    put(
        store.dir.path(),
        &part(&store, 2),
        whole.slice(..whole.len() / 2),
    );
    let error = taken(&store).unwrap_err();
    assert!(error.message.contains("was cut short"), "{error}");
    put(store.dir.path(), &part(&store, 2), Bytes::new());
    let error = taken(&store).unwrap_err();
    assert!(error.message.contains("was cut short"), "{error}");
    let store = made(2);
    for name in names(store.dir.path(), "/") {
        remove(store.dir.path(), &name);
    }
    let error = taken(&store).unwrap_err();
    assert_eq!(error.kind, Fault::DataLost);
    assert!(error.message.contains("is gone"), "{error}");
}

#[test]
fn what_is_wrong_with_a_bucket_is_told_in_a_sentence_without_the_key() {
    let store = Store::new(Kind::S3);
    let asked = |change: fn(&mut Parquet)| {
        let mut at = at(store.dir.path());
        change(&mut at);
        let error = match open(&SinkSpec::new(Endpoint::Parquet(at))) {
            Ok(mut sink) => sink.inspect(&tables()).unwrap_err(),
            Err(error) => error,
        };
        assert!(!error.message.contains("wattline-secret"), "{error}");
        assert!(!error.message.contains('\n'), "{error}");
        error
    };
    let gone = asked(|at| at.path = "s3://nowhere/out".into());
    assert!(
        gone.message.contains("there is no bucket \"nowhere\""),
        "{gone}"
    );
    assert!(!gone.retryable);
    let deaf = asked(|at| {
        at.endpoint = Some("http://127.0.0.1:9".into());
        at.retry_for = Some(0.1);
    });
    assert!(
        deaf.message
            .contains("cannot be reached at http://127.0.0.1:9"),
        "{deaf}"
    );
    assert!(deaf.retryable);
    let plain = asked(|at| at.endpoint = Some("http://192.0.2.1".into()));
    assert!(plain.message.contains("has no TLS"), "{plain}");
    let bare = asked(|at| at.path = "s3://wattline".into());
    assert!(bare.message.contains("name one inside it"), "{bare}");
}
