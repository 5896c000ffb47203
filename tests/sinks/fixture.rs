//! Flushes, stores of each kind, and what a reader sees in them.

use crate::{kafka, postgres, s3};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wattline::flush::{FORMAT, Flush, FlushId, Head, Positions, StateDelta, WindowRows};
use wattline::ledger::Ledger;
use wattline::sink::{
    Claim, Decided, Endpoint, Home, Memory, MemoryStore, Parquet, Sink, SinkSpec, Sqlite, Tables,
    What, open, open_home,
};

pub const HOUR: i64 = 3_600_000_000;
/// 2007-01-01 00:00:00 UTC.
pub const START: i64 = 1_167_609_600_000_000;

/// A window row: sensor, hours since START, value, final, revision.
pub type Row = (&'static str, i64, f64, bool, i32);

fn stamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn word() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub fn window_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("sensor_id", word(), false),
        Field::new("grain", word(), false),
        Field::new("window_start", stamp(), false),
        Field::new("window_end", stamp(), false),
        Field::new("window_label", DataType::Utf8, false),
        Field::new("readings", DataType::Int64, false),
        Field::new("revision", DataType::Int32, false),
        Field::new("final", DataType::Boolean, false),
        Field::new("power_mean", DataType::Float64, true),
    ]))
}

pub fn reading_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("sensor_id", DataType::Utf8, false),
        Field::new("time", stamp(), false),
        Field::new("power", DataType::Float64, true),
        Field::new("file", DataType::Utf8, false),
        Field::new("row", DataType::Int64, false),
    ]))
}

pub fn tables() -> Tables {
    Tables {
        pipeline: "house".into(),
        tz: "Europe/Paris".into(),
        grains: vec!["1h".into(), "1d".into()],
        windows: window_schema(),
        readings: reading_schema(),
        late: reading_schema(),
        anew: false,
    }
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn words(values: Vec<&str>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>())
}

pub fn windows(grain: &str, rows: &[Row]) -> WindowRows {
    let starts = || rows.iter().map(|r| START + r.1 * HOUR);
    let labels = rows.iter().map(|r| format!("h{}", r.1));
    let columns: Vec<ArrayRef> = vec![
        words(rows.iter().map(|r| r.0).collect()),
        words(rows.iter().map(|_| grain).collect()),
        times(starts()),
        times(starts().map(|t| t + HOUR)),
        Arc::new(StringArray::from_iter_values(labels)),
        Arc::new(Int64Array::from_value(60, rows.len())),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.4))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| Some(r.3)))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.2))),
    ];
    WindowRows {
        grain: grain.into(),
        rows: RecordBatch::try_new(window_schema(), columns).unwrap(),
    }
}

/// Readings: sensor, seconds since START, value, file, row.
pub fn readings(rows: &[(&str, i64, f64, &str, i64)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0))),
        times(rows.iter().map(|r| START + r.1 * 1_000_000)),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.2))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.3))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.4))),
    ];
    RecordBatch::try_new(reading_schema(), columns).unwrap()
}

/// A flush of the hourly windows `rows`; its state names it, and it is a fold where n is odd.
pub fn flush(epoch: u64, n: u64, rows: &[Row]) -> Flush {
    Flush {
        partition: 0,
        id: FlushId { epoch, n },
        lineage: "first".into(),
        positions: Positions::default(),
        read: None,
        max_end: None,
        watermark: None,
        stamp: n as i64,
        state: StateDelta {
            fold: n % 2 == 1,
            bytes: format!("state {epoch} {n}").into_bytes(),
        },
        windows: vec![windows("1h", rows)],
        readings: Vec::new(),
        late: None,
        rejects: Vec::new(),
        counters: Ledger::default(),
        totals: Ledger::default(),
        decisions: Vec::new(),
        last: false,
    }
}

pub fn last(mut flush: Flush) -> Flush {
    flush.last = true;
    flush
}

pub fn head(flush: &Flush, token: &str) -> Head {
    let n = flush.id.n;
    let fold = if n.is_multiple_of(2) { n - 1 } else { n };
    Head {
        pipeline: "house".into(),
        partition: flush.partition,
        id: flush.id,
        fold: FlushId {
            epoch: flush.id.epoch,
            n: fold,
        },
        positions: flush.positions.clone(),
        read: None,
        watermark: None,
        stamp: flush.stamp,
        lineage: flush.lineage.clone(),
        token: token.into(),
        totals: Ledger::default(),
        spec: "spec".into(),
        spec_json: "{}".into(),
        tzdata: "2026a".into(),
        format: FORMAT,
        source: None,
    }
}

pub fn claim(token: &str, take_over: bool) -> Claim {
    Claim {
        pipeline: "house".into(),
        partition: 0,
        token: token.into(),
        owner: format!("{token} on host"),
        take_over,
        spec: "spec".into(),
        spec_json: "{}".into(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Sqlite,
    Parquet,
    Postgres,
    Kafka,
    S3,
}

/// Every store of this build. With the features `postgres`, `kafka` and `cloud` servers must be named by
/// `WATTLINE_TEST_POSTGRES`, `WATTLINE_TEST_KAFKA` and `WATTLINE_TEST_S3`.
pub const KINDS: &[Kind] = &[
    Kind::Memory,
    Kind::Sqlite,
    Kind::Parquet,
    #[cfg(feature = "postgres")]
    Kind::Postgres,
    #[cfg(feature = "kafka")]
    Kind::Kafka,
    #[cfg(feature = "cloud")]
    Kind::S3,
];

/// A store of one kind in a folder of its own.
pub struct Store {
    pub kind: Kind,
    pub dir: Folder,
    memory: MemoryStore,
}

/// A folder that goes with its test, or one that another process owns.
pub enum Folder {
    Ours(tempfile::TempDir),
    Theirs(PathBuf),
}

impl Folder {
    pub fn path(&self) -> &Path {
        match self {
            Folder::Ours(dir) => dir.path(),
            Folder::Theirs(path) => path,
        }
    }
}

/// One row as a reader sees it: (sensor, hour), (value, final, revision).
pub type SeenRow = ((String, i64), (f64, bool, i32));

/// What a reader sees: (sensor, hour) → (value, final, revision).
pub type Seen = BTreeMap<(String, i64), (f64, bool, i32)>;

impl Store {
    pub fn new(kind: Kind) -> Store {
        let dir = tempfile::tempdir().unwrap();
        if kind == Kind::Postgres {
            postgres::make_schema(dir.path());
        }
        Store {
            kind,
            dir: Folder::Ours(dir),
            memory: MemoryStore::default(),
        }
    }

    /// The store that another process made.
    pub fn at(kind: Kind, dir: PathBuf) -> Store {
        Store {
            kind,
            dir: Folder::Theirs(dir),
            memory: MemoryStore::default(),
        }
    }

    pub fn spec(&self) -> SinkSpec {
        let endpoint = match self.kind {
            Kind::Memory => Endpoint::Memory,
            Kind::Sqlite => Endpoint::Sqlite(Sqlite::new(self.db())),
            Kind::Parquet => Endpoint::Parquet(Parquet::new(self.folder())),
            Kind::Postgres => postgres::endpoint(self.dir.path()),
            Kind::Kafka => kafka::endpoint(self.dir.path()),
            Kind::S3 => s3::endpoint(self.dir.path()),
        };
        SinkSpec::new(endpoint)
    }

    pub fn db(&self) -> PathBuf {
        self.dir.path().join("out.db")
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// A home, prepared.
    pub fn home(&self) -> Box<dyn Home> {
        let mut home: Box<dyn Home> = match self.kind {
            Kind::Memory => Box::new(Memory::new(self.memory.clone(), What::Windows)),
            _ => open_home(&self.spec()).unwrap(),
        };
        home.prepare(&tables()).unwrap();
        home
    }

    /// A home that owns partition 0 as `token`.
    pub fn owned(&self, token: &str) -> (Box<dyn Home>, wattline::sink::Owned) {
        let mut home = self.home();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let owned = loop {
            match home.acquire(&claim(token, false)) {
                // The owner was dropped, and what it said last is fresh.
                Err(e)
                    if [Kind::Kafka, Kind::S3].contains(&self.kind)
                        && std::time::Instant::now() < until =>
                {
                    assert_eq!(e.kind, wattline::Kind::Fenced, "{e}");
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                owned => break owned.unwrap(),
            }
        };
        home.fence(0, owned.epoch).unwrap();
        (home, owned)
    }

    /// A follower, prepared, that applies for `epoch`.
    pub fn follower(&self, epoch: u64) -> Box<dyn Sink> {
        let mut sink: Box<dyn Sink> = match self.kind {
            Kind::Memory => Box::new(Memory::new(self.memory.clone(), What::Windows)),
            _ => open(&self.spec()).unwrap(),
        };
        sink.prepare(&tables()).unwrap();
        sink.fence(0, epoch).unwrap();
        sink
    }

    /// The rows a reader sees; a key seen twice fails the test.
    pub fn seen(&self) -> Seen {
        let mut seen = Seen::new();
        for (key, value) in self.rows() {
            let before = seen.insert(key.clone(), value);
            assert!(before.is_none(), "{:?}: {key:?} twice", self.kind);
        }
        seen
    }

    /// All rows a reader sees.
    pub fn rows(&self) -> Vec<SeenRow> {
        match self.kind {
            Kind::Memory => {
                let batches = self.memory.windows("1h").unwrap();
                batches.iter().flat_map(rows_of).collect()
            }
            Kind::Sqlite => self.sqlite_rows(),
            Kind::Postgres => postgres::window_rows(self.dir.path()),
            Kind::Kafka => kafka::window_rows(self.dir.path()),
            Kind::S3 => s3::window_rows(self.dir.path()),
            Kind::Parquet => {
                let files = parquet_files(&self.folder());
                let batches = files.iter().flat_map(|f| read_parquet(f));
                batches.flat_map(|b| rows_of(&b)).collect()
            }
        }
    }

    fn sqlite_rows(&self) -> Vec<SeenRow> {
        let conn = rusqlite::Connection::open(self.db()).unwrap();
        let sql = "SELECT sensor_id, unixepoch(window_start), power_mean, final, revision FROM windows WHERE grain = '1h'";
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |r| {
            let hour = (r.get::<_, i64>(1)? * 1_000_000 - START) / HOUR;
            Ok(((r.get(0)?, hour), (r.get(2)?, r.get(3)?, r.get(4)?)))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

pub fn rows_of(batch: &RecordBatch) -> Vec<SeenRow> {
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let sensors = arrow_cast::cast(column("sensor_id"), &DataType::Utf8).unwrap();
    let sensors = sensors.as_string::<i32>();
    let starts = column("window_start").as_primitive::<TimestampMicrosecondType>();
    let values = column("power_mean").as_primitive::<Float64Type>();
    let finals = column("final").as_boolean();
    let revisions = column("revision").as_primitive::<Int32Type>();
    let row = |i: usize| {
        let hour = (starts.value(i) - START) / HOUR;
        let value = (values.value(i), finals.value(i), revisions.value(i));
        ((sensors.value(i).to_owned(), hour), value)
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Every file below a folder that a reader's glob finds.
pub fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else {
            assert_eq!(path.extension().unwrap(), "parquet", "{path:?}");
            found.push(path);
        }
    }
    found.sort();
    found
}

pub fn read_parquet(path: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// Decides and applies, as a run does.
pub fn decide(home: &mut dyn Home, flush: &Flush, token: &str) -> Decided {
    let decided = home.decide(&head(flush, token), flush, false).unwrap();
    if decided == Decided::Yes {
        home.apply(flush).unwrap();
    }
    decided
}

pub fn seen(rows: &[Row]) -> Seen {
    let one = |r: &Row| ((r.0.to_owned(), r.1), (r.2, r.3, r.4));
    rows.iter().map(one).collect()
}
