//! Local: times of a repeated hour, settled in the order of the file (`on_repeated = infer`).
//!
//! Pieces are decoded in any order. Times whose instant is certain are done then; the few near a
//! change of the clock wait, marked, until their piece is settled, which happens in file order.
//! What a sensor's time is there depends on the file's accepted records before it, and on no other file: a
//! read that goes on within a file takes the records before its start again, for nothing else.

use super::plan::{CsvPlan, Output, What};
use super::stamp::WAITS;
use super::{Chunk, Chunks, ReadOptions, Start};
use crate::input::{Bytes, Opened};
use crate::reject::OnReject;
use crate::schema::{Passes, sensor_keys};
use crate::time::OnRepeated;
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_select::take::take_record_batch;
use std::io::{Read, repeat};
use std::sync::{Arc, Mutex, PoisonError};

/// Above this a time waits.
const MARK: i64 = WAITS / 2;

/// Where the sensors of one file stand near a change of the clock.
#[derive(Clone)]
pub(crate) struct Ordered {
    columns: Vec<Times>,
    sensors: Vec<usize>,
    constant: Arc<str>,
}

#[derive(Clone)]
struct Times {
    /// Its place in the table.
    at: usize,
    /// End stamps move back this far.
    back: i64,
    passes: Passes,
}

impl Ordered {
    /// At the beginning of a file; `None` where no time depends on the order of its rows.
    pub(crate) fn new(plan: &CsvPlan, options: &ReadOptions) -> Option<Ordered> {
        if options.local.on_repeated != OnRepeated::Infer {
            return None;
        }
        let converter = plan.converter(options.local)?;
        let first = usize::from(plan.sensor.is_some());
        let times = |(i, output): (usize, &Output)| {
            let local = matches!(output.what, What::Stamp | What::DateAndTime { .. });
            local.then(|| Times {
                at: first + i,
                back: plan.back_of(output),
                passes: Passes::new(converter.clone()),
            })
        };
        Some(Ordered {
            columns: plan.outputs.iter().enumerate().filter_map(times).collect(),
            sensors: plan.sensors.clone(),
            constant: plan.sensor.clone().unwrap_or_else(|| "".into()),
        })
    }

    /// The batch with the times that waited; batches come in file order.
    pub(crate) fn settle(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let Ordered {
            columns,
            sensors,
            constant,
        } = self;
        let mut settled: Option<Vec<ArrayRef>> = None;
        for times in columns {
            let column = batch.column(times.at);
            let column = column.as_primitive::<TimestampMicrosecondType>();
            let waiting = waiting(column.values());
            if waiting.is_empty() {
                continue;
            }
            let some = take_record_batch(&batch, &waiting).map_err(broken)?;
            let keys = sensor_keys(&some, sensors, constant)?;
            let local = |row: &u32| column.value(*row as usize) - WAITS;
            let locals: Vec<i64> = waiting.values().iter().map(local).collect();
            let mut values = column.values().to_vec();
            let found = times.passes.settle(&locals, &keys);
            for (row, utc) in waiting.values().iter().zip(found) {
                values[*row as usize] = utc.ok_or_else(no_instant)? - times.back;
            }
            let array = TimestampMicrosecondArray::new(values.into(), column.nulls().cloned());
            settled.get_or_insert_with(|| batch.columns().to_vec())[times.at] =
                Arc::new(array.with_timezone("UTC"));
        }
        match settled {
            None => Ok(batch),
            Some(columns) => RecordBatch::try_new(batch.schema(), columns).map_err(broken),
        }
    }
}

/// The rows whose time waits.
fn waiting(times: &[i64]) -> UInt32Array {
    // One pass without branches first: most batches hold none.
    if !times.iter().fold(false, |any, t| any | (*t > MARK)) {
        return UInt32Array::from(Vec::<u32>::new());
    }
    let rows = (0u32..).zip(times);
    rows.filter(|(_, t)| **t > MARK)
        .map(|(row, _)| row)
        .collect()
}

fn broken(error: arrow_schema::ArrowError) -> Error {
    let message = format!("settled times do not fit their table ({error}); please report it");
    Error::new(Kind::Internal, message)
}

fn no_instant() -> Error {
    Error::new(
        Kind::Internal,
        "a local time without an instant went past its check; please report it",
    )
}

/// Takes the records before `start` for where they leave each sensor; gives the input as it was.
pub(crate) fn before(
    input: Opened,
    plan: &Arc<CsvPlan>,
    options: &ReadOptions,
    start: Start,
) -> Result<(Option<Ordered>, Opened)> {
    let (front, bytes) = match input.bytes {
        Bytes::At { file, len } => {
            let front = Bytes::At {
                file: file.clone(),
                len: start.byte.min(len),
            };
            (front, Bytes::At { file, len })
        }
        Bytes::Stream(stream) => lent(stream, start.byte),
    };
    let front = Opened {
        bytes: front,
        name: input.name.clone(),
        path: input.path.clone(),
        encoding: input.encoding,
        packing: input.packing,
    };
    let options = ReadOptions {
        on_reject: OnReject::Skip,
        max_rejects: u64::MAX,
        hold_tail: false,
        hold_cut: false,
        ..options.clone()
    };
    let end = Arc::new(|chunk: Chunk| Ok(chunk.end.byte));
    let mut chunks = Chunks::open(front, plan.clone(), &options, None, end)?;
    let mut reached = 0;
    while let Some(end) = chunks.next()? {
        reached = end;
    }
    if reached < start.byte {
        return Err(Error::new(
            Kind::DataLost,
            format!(
                "`{}` ends at byte {reached}, before byte {} where reading was to go on; it was truncated or replaced",
                input.name, start.byte
            ),
        ));
    }
    Ok((chunks.ordered(), Opened { bytes, ..input }))
}

/// A stream's first `n` bytes, and the whole of it for a reader that passes these over unseen.
fn lent(stream: Box<dyn Read + Send>, n: u64) -> (Bytes, Bytes) {
    let lent = Lent(Arc::new(Mutex::new(stream)));
    let front = Bytes::Stream(Box::new(lent.clone().take(n)));
    (
        front,
        Bytes::Stream(Box::new(repeat(0).take(n).chain(lent))),
    )
}

#[derive(Clone)]
struct Lent(Arc<Mutex<Box<dyn Read + Send>>>);

impl Read for Lent {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(buf)
    }
}
