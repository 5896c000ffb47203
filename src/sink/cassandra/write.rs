//! Rows to the cluster: batches within one partition, many on their way, tried again until they are there.
//!
//! The server is the limit, so it is never left without work: the rows of a flush are sent as one, whatever batches they
//! came in, beside what the caller does next, and those of the next flush follow without a pause. Batches that follow one
//! another go to different partitions, since the server writes to one partition one after the other.
//!
//! Every row is written with the time stamp of its flush, the same at every replay, so that a row sent twice, late
//! or by a stale owner of a decided flush changes nothing. Rows of windows bind every column: one left out would
//! show the value of an older revision.

use super::client::{Client, repeat, transient};
use super::describe::{BUCKET, Cql, DAY};
use super::encode::{Cells, Encoded, Row, ids};
use crate::sink::cells::{self, Cell};
use crate::sink::instant::date;
use crate::sink::mapping::Mapping;
use crate::sink::spec::Cassandra;
use crate::sink::sql::quoted;
use crate::sink::{OnSameTime, Tables, What, rows};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, Date32Array, Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

/// µs of a day.
const MICROS: i64 = 86_400_000_000;

/// How the rows of one table are written.
pub(super) struct Writer {
    mapping: Mapping,
    types: Vec<Cql>,
    /// Places in `mapping.columns` of the partition key.
    partition: Vec<usize>,
    insert: String,
    what: What,
    batch_rows: usize,
    way: Arc<Way>,
}

/// What all flushes on their way share.
struct Way {
    /// One for each batch that may be under way.
    permits: Arc<Semaphore>,
    /// Held by the flush whose batches are being sent: an earlier one goes first.
    turn: Mutex<()>,
}

/// The rows of a flush on their way; no more are sent once it is dropped.
pub(super) struct Sending {
    task: JoinHandle<Sent>,
    landed: Arc<AtomicBool>,
}

type Sent = std::result::Result<(), Box<ExecutionError>>;

impl Sending {
    /// Whether all rows are there.
    pub fn landed(&self) -> bool {
        self.landed.load(Ordering::Acquire)
    }

    /// Waits until all rows are there; asked once.
    pub async fn done(&mut self) -> Sent {
        // A task that was aborted or panicked sent nothing for certain.
        (&mut self.task).await.unwrap_or_else(|_| Err(lost()))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Rows of one partition that are sent as one.
struct Piece {
    rows: Range<usize>,
    /// How many pieces of its partition come before it.
    nth: usize,
}

impl Writer {
    /// The statement for `mapping` onto a table with `partition_key`.
    pub fn new(
        mapping: Mapping,
        types: Vec<Cql>,
        partition_key: &[String],
        what: What,
        at: &Cassandra,
        ttl: Option<i32>,
    ) -> Writer {
        let place = |k: &String| mapping.columns.iter().position(|(name, _)| name == k);
        let partition = partition_key.iter().filter_map(place).collect();
        let names: Vec<String> = mapping
            .columns
            .iter()
            .map(|(name, _)| quoted(name))
            .collect();
        let expiry = ttl.map_or(String::new(), |ttl| format!("TTL {ttl} AND "));
        let insert = format!(
            "INSERT INTO {}.{} ({}) VALUES ({}) USING {expiry}TIMESTAMP ?",
            quoted(&at.keyspace),
            quoted(&mapping.table),
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        );
        Writer {
            types,
            partition,
            insert,
            what,
            batch_rows: at.batch_rows.clamp(1, 1000),
            way: Arc::new(Way {
                permits: Arc::new(Semaphore::new(at.in_flight.clamp(1, 4096))),
                turn: Mutex::new(()),
            }),
            mapping,
        }
    }

    /// Whether the key does not tell sensors apart.
    pub fn one_sensor(&self) -> bool {
        self.mapping.one_sensor
    }

    /// Begins to write the rows of a flush; gives how many fell on a key taken in the same flush too.
    pub fn begin(
        &self,
        client: &Arc<Client>,
        batches: &[RecordBatch],
        stamp: i64,
    ) -> Result<(Sending, u64)> {
        let mut all = Vec::new();
        let mut taken = 0;
        for alike in batches.chunk_by(|a, b| a.schema() == b.schema()) {
            let batch = extended(self.what, &one(alike)?)?;
            let batch = cells::in_key_order(&self.mapping, self.what, &batch)?;
            let mut encoded = self.encode(&batch, stamp)?;
            taken += self.keep_last(&mut encoded)?;
            let pieces = self.pieces(&encoded);
            all.push((Arc::new(encoded), pieces));
        }
        let mut statement = client.prepare(&self.insert, super::client::Level::Rows)?;
        statement.set_is_idempotent(true);
        let landed = Arc::new(AtomicBool::new(false));
        let (way, theirs, sender) = (self.way.clone(), landed.clone(), client.clone());
        let task = client.begin(async move {
            send(sender, all, statement, way).await?;
            theirs.store(true, Ordering::Release);
            Ok(())
        })?;
        Ok((Sending { task, landed }, taken))
    }

    fn encode(&self, batch: &RecordBatch, stamp: i64) -> Result<Encoded> {
        let cells = cells::Cells::of(&self.mapping, self.what, batch)?;
        let rows = batch.num_rows();
        let names = self.mapping.columns.iter().map(|(name, _)| name);
        let one = |((name, cell), cql): ((&String, &Cell), &Cql)| match cell {
            Cell::Id => Ok(ids(&cells.identity, rows, *cql)),
            cell => Cells::of(name, cell, *cql),
        };
        let columns = names.zip(&cells.columns).zip(&self.types).map(one);
        Ok(Encoded {
            columns: columns.collect::<Result<_>>()?,
            rows,
            stamp,
            unset: self.what == What::Readings,
        })
    }

    /// Of rows with one key the last stays: two rows with one time stamp would be mixed cell by cell.
    fn keep_last(&self, encoded: &mut Encoded) -> Result<u64> {
        if self.mapping.same_time.is_none() {
            return Ok(0);
        }
        let place = |k: &String| self.mapping.columns.iter().position(|(name, _)| name == k);
        let key: Vec<usize> = self.mapping.key.iter().filter_map(place).collect();
        if rising(encoded, &key) {
            return Ok(0);
        }
        let mut last = std::collections::HashMap::new();
        for row in 0..encoded.rows {
            let name: Vec<Option<Vec<u8>>> = key
                .iter()
                .map(|i| encoded.columns[*i].value(row).map(<[u8]>::to_vec))
                .collect();
            last.insert(name, row);
        }
        let mut kept: Vec<usize> = last.into_values().collect();
        kept.sort_unstable();
        let taken = (encoded.rows - kept.len()) as u64;
        if taken > 0 {
            encoded.columns = encoded.columns.iter().map(|c| c.only(&kept)).collect();
            encoded.rows = kept.len();
        }
        Ok(taken)
    }

    /// Rows within one partition, `batch_rows` at most each; those of one partition are far from each other.
    fn pieces(&self, encoded: &Encoded) -> Vec<Piece> {
        let same = |a: usize, b: usize| {
            let mut key = self.partition.iter().map(|i| &encoded.columns[*i]);
            key.all(|c| c.value(a) == c.value(b))
        };
        let mut pieces = Vec::new();
        let (mut start, mut nth) = (0, 0);
        for row in 1..=encoded.rows {
            let other = row == encoded.rows || !same(start, row);
            if other || row - start == self.batch_rows {
                let rows = start..row;
                pieces.push(Piece { rows, nth });
                (start, nth) = (row, if other { 0 } else { nth + 1 });
            }
        }
        pieces.sort_by_key(|p| p.nth);
        pieces
    }
}

/// Batches of one schema as one.
fn one(alike: &[RecordBatch]) -> Result<RecordBatch> {
    let empty = || Arc::new(Schema::empty());
    let schema = alike.first().map_or_else(empty, RecordBatch::schema);
    arrow_select::concat::concat_batches(&schema, alike)
        .map_err(|e| Error::new(Kind::Internal, "rows of a flush cannot be joined").because(e))
}

/// Whether every key is greater than the one before it: none comes twice.
fn rising(encoded: &Encoded, key: &[usize]) -> bool {
    let keys = |row: usize| key.iter().map(move |i| encoded.columns[*i].value(row));
    (1..encoded.rows).all(|row| keys(row - 1).lt(keys(row)))
}

async fn send(
    client: Arc<Client>,
    all: Vec<(Arc<Encoded>, Vec<Piece>)>,
    statement: PreparedStatement,
    way: Arc<Way>,
) -> Sent {
    let mut sending = JoinSet::new();
    let turn = way.turn.lock().await;
    for (rows, pieces) in all {
        for piece in pieces {
            let permit = way.permits.clone().acquire_owned().await;
            while let Some(done) = sending.try_join_next() {
                landed(done)?;
            }
            let (client, rows, statement) = (client.clone(), rows.clone(), statement.clone());
            sending.spawn(async move {
                let _permit = permit;
                let step = || piece_to(&client.session, &rows, &statement, piece.rows.clone());
                repeat(client.retry_for(), step, &transient).await
            });
        }
    }
    drop(turn);
    while let Some(done) = sending.join_next().await {
        landed(done)?;
    }
    Ok(())
}

type Joined = std::result::Result<std::result::Result<(), ExecutionError>, tokio::task::JoinError>;

fn landed(done: Joined) -> Sent {
    match done {
        Ok(result) => result.map_err(Box::new),
        Err(_) => Err(lost()),
    }
}

fn lost() -> Box<ExecutionError> {
    Box::new(ExecutionError::RequestTimeout(std::time::Duration::ZERO))
}

async fn piece_to(
    session: &Session,
    rows: &Encoded,
    statement: &PreparedStatement,
    piece: Range<usize>,
) -> std::result::Result<(), ExecutionError> {
    if piece.len() == 1 {
        let row = Row {
            of: rows,
            at: piece.start,
        };
        return session.execute_unpaged(statement, &row).await.map(|_| ());
    }
    let mut batch = Batch::new(BatchType::Unlogged);
    batch.set_is_idempotent(true);
    batch.statements.reserve(piece.len());
    let mut values = Vec::with_capacity(piece.len());
    for at in piece {
        batch.append_statement(statement.clone());
        values.push(Row { of: rows, at });
    }
    session.batch(&batch, values).await.map(|_| ())
}

/// The tables with the columns that keep partitions small.
pub(super) fn with_buckets(tables: &Tables) -> Tables {
    let more = |schema: &Schema, name: &str, kind: DataType| {
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(Field::new(name, kind, false)));
        Arc::new(Schema::new(fields))
    };
    Tables {
        windows: more(&tables.windows, BUCKET, DataType::Int32),
        readings: more(&tables.readings, DAY, DataType::Date32),
        late: more(&tables.late, DAY, DataType::Date32),
        ..tables.clone()
    }
}

/// An attribute cannot be called what the column that keeps partitions small is.
pub(super) fn one_day(tables: &Tables) -> Result<()> {
    let days = |schema: &Schema| schema.fields().iter().filter(|f| f.name() == DAY).count();
    match days(&tables.readings).max(days(&tables.late)) > 1 {
        false => Ok(()),
        true => Err(Error::new(
            Kind::Usage,
            "the attribute \"day\" has the name of the column that parts readings in Cassandra; rename it in the schema",
        )),
    }
}

/// The batch with its bucket or day.
fn extended(what: What, batch: &RecordBatch) -> Result<RecordBatch> {
    let (name, from) = match what {
        What::Windows => (BUCKET, "window_start"),
        What::Readings | What::Late => (DAY, "time"),
        What::Rejects => return Ok(batch.clone()),
    };
    let lacks = || Error::new(Kind::Internal, format!("rows without the column {from}"));
    let times = batch.column_by_name(from).ok_or_else(lacks)?;
    let times = times
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(lacks)?;
    let days = times.values().iter().map(|t| t.div_euclid(MICROS));
    let column: ArrayRef = match what {
        What::Windows => {
            let grains = rows::texts(batch, "grain")?;
            let fine = (0..grains.len()).map(|i| grains.value(i).contains("min"));
            let bucket = |(day, fine): (i64, bool)| {
                let (year, month, _) = date(day);
                (if fine { year * 100 + month } else { year }) as i32
            };
            Arc::new(Int32Array::from_iter_values(days.zip(fine).map(bucket)))
        }
        _ => Arc::new(Date32Array::from_iter_values(days.map(|d| d as i32))),
    };
    let mut fields = batch.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(
        name,
        column.data_type().clone(),
        false,
    )));
    let mut columns = batch.columns().to_vec();
    columns.push(column);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|e| Error::new(Kind::Internal, "a bucket does not fit its rows").because(e))
}

/// What `on_same_time` cannot be here: a plain write overwrites, and does not look before it does.
pub(super) fn check_same_time(mapping: &Mapping, place: &str) -> Result<()> {
    match mapping.same_time {
        None | Some(OnSameTime::Last) => Ok(()),
        Some(_) => Err(Error::new(
            Kind::Usage,
            format!(
                "the key of table {:?} of {place} does not tell readings at one time apart, and Cassandra overwrites; pass on_same_time=\"last\", or let the key hold row",
                mapping.table
            ),
        )),
    }
}
