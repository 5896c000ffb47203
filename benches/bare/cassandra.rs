//! Rows by the driver alone: prepared, unlogged batches within one partition, four tasks.

use super::{Outcome, Value, rows};
use arrow_array::RecordBatch;
use futures_util::stream::{self, TryStreamExt};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlTimestamp, CqlValue, MaybeUnset};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TASKS: usize = 4;
/// CQL's day 0 in days before 1970-01-01.
const DAY_ZERO: i64 = 1 << 31;
/// The partition: sensor and day.
const PARTITION: usize = 2;

type Row = Vec<MaybeUnset<CqlValue>>;

/// Writes the rows, `size` to a batch, `in_flight` batches on their way; the time it took.
pub fn write(
    host: &str,
    table: &str,
    batches: &[RecordBatch],
    (size, in_flight): (usize, usize),
) -> Outcome<Duration> {
    let names = super::names(batches);
    let marks = vec!["?"; names.len()].join(", ");
    let insert = format!(
        "INSERT INTO {table} ({}) VALUES ({marks})",
        names.join(", ")
    );
    let rows = rows(batches)?;
    let pieces = pieces(&rows, size);
    let cells = |row: Vec<Value>| row.into_iter().map(cell).collect();
    let rows: Vec<Row> = rows.into_iter().map(cells).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(send(host, &insert, rows, pieces, in_flight.div_ceil(TASKS)))
}

async fn send(
    host: &str,
    insert: &str,
    rows: Vec<Row>,
    pieces: Vec<Range<usize>>,
    in_flight: usize,
) -> Outcome<Duration> {
    let session = Arc::new(SessionBuilder::new().known_node(host).build().await?);
    let insert = session.prepare(insert).await?;
    let rows = Arc::new(rows);
    let began = Instant::now();
    let each = pieces.chunks(pieces.len().div_ceil(TASKS)).map(|part| {
        let (session, rows, insert) = (session.clone(), rows.clone(), insert.clone());
        let part = part.to_vec();
        tokio::spawn(async move {
            let one = |piece: Range<usize>| send_one(&session, &insert, &rows[piece]);
            let pieces = stream::iter(part.into_iter().map(Ok));
            pieces.try_for_each_concurrent(in_flight, one).await
        })
    });
    for task in each.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(began.elapsed())
}

/// Rows of one partition, `size` at most.
fn pieces(rows: &[Vec<Value>], size: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for alike in rows.chunk_by(|a, b| a[..PARTITION] == b[..PARTITION]) {
        let end = at + alike.len();
        let starts = (at..end).step_by(size);
        pieces.extend(starts.map(|from| from..end.min(from + size)));
        at = end;
    }
    pieces
}

async fn send_one(session: &Session, insert: &PreparedStatement, rows: &[Row]) -> Outcome<()> {
    let mut batch = Batch::new(BatchType::Unlogged);
    rows.iter()
        .for_each(|_| batch.append_statement(insert.clone()));
    session.batch(&batch, rows).await?;
    Ok(())
}

fn cell(value: Value) -> MaybeUnset<CqlValue> {
    MaybeUnset::Set(match value {
        Value::Nothing => return MaybeUnset::Unset,
        Value::Text(v) => CqlValue::Text(v),
        Value::Whole(v) => CqlValue::BigInt(v),
        Value::Decimal(v) => CqlValue::Double(v),
        Value::Micros(v) => CqlValue::Timestamp(CqlTimestamp(v / 1000)),
        Value::Day(v) => CqlValue::Date(CqlDate((i64::from(v) + DAY_ZERO) as u32)),
    })
}
