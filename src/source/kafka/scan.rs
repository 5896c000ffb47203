//! Scan: a range of a topic as tables, decoded on the pool, a bounded number of messages in memory.
//!
//! A table has the columns of the readings, then `topic`, `partition`, `offset` and `timestamp` (record time) of the
//! message that each row came in. The end is fixed when the scan is opened. Rows of a partition come in its order.

use super::dead::{Dead, Judge};
use super::queues;
use super::range::{Bound, Span, spans};
use crate::codec::message::Decoder;
use crate::csv::{LocalPolicy, SchemaChoice};
use crate::kafka::{Client, Config, Consumer, Isolation, Messages, Polled, Spares, Start};
use crate::reject::{OnReject, Reject};
use crate::source::lanes::{Landed, Lanes};
use crate::{Error, Kind, Result};
use arrow_array::builder::{Int32Builder, Int64Builder};
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages decoded at a time.
const BATCH: usize = 8192;

/// How long more is waited for while the pool is busy.
const LITTLE: Duration = Duration::from_millis(1);

/// Messages that a schema is proposed from.
const SAMPLE: usize = 1000;

/// How a topic is read.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// How the schema is found.
    pub schema: SchemaChoice,
    /// Where reading begins; `None`: the first message there is.
    pub since: Option<Bound>,
    /// Where it ends; `None`: now.
    pub until: Option<Bound>,
    /// Messages at most.
    pub limit: Option<u64>,
    /// Local times.
    pub local: LocalPolicy,
    /// Messages that cannot be read.
    pub on_reject: OnReject,
    /// More of them than this end the read.
    pub max_rejects: u64,
}

/// A range of a topic under way.
pub struct Scan {
    consumer: Consumer,
    config: Config,
    options: ScanOptions,
    decoder: Arc<Decoder>,
    columns: SchemaRef,
    lanes: Lanes<Made>,
    /// Partitions that are not read to their end yet, with where that is.
    left: Vec<Span>,
    /// Messages fetched and not given to the pool yet.
    ahead: Messages,
    /// Messages that may still be taken.
    room: u64,
    judge: Judge,
    rejects: Vec<Reject>,
    spares: Spares,
}

struct Made {
    batch: RecordBatch,
    rejects: Vec<Dead>,
}

impl Scan {
    /// Opens the topic of a `kafka://` URL and looks at its first messages.
    pub fn open(url: &str, options: ScanOptions) -> Result<Scan> {
        let config = Config::parse(url)?;
        let client = Client::new(&config, Isolation::Committed)?;
        let left = spans(&client, options.since.as_ref(), options.until.as_ref())?;
        let mut consumer = Consumer::new(
            &queues::ending(queues::shared(config.clone(), left.len())),
            Isolation::Committed,
        )?;
        let from: Vec<_> = left
            .iter()
            .map(|(p, from, _)| (*p, Start::At(*from)))
            .collect();
        consumer.assign(&from)?;
        let mut scan = Scan {
            room: options.limit.unwrap_or(u64::MAX),
            decoder: Arc::new(Decoder::Arrow(Arc::new(ArrowSchema::empty()))),
            columns: Arc::new(ArrowSchema::empty()),
            lanes: Lanes::new()?,
            ahead: Messages::default(),
            judge: Judge::new(&config.topic, options.on_reject, options.max_rejects),
            rejects: Vec::new(),
            spares: Spares::default(),
            consumer,
            config,
            options,
            left,
        };
        scan.look()?;
        Ok(scan)
    }

    /// Decides by the first messages what the columns are.
    fn look(&mut self) -> Result<()> {
        while self.ahead.len() < SAMPLE {
            let more = self.fetch(true)?;
            if more.is_empty() {
                break;
            }
            more.iter().for_each(|m| self.ahead.push(&m));
        }
        let samples: Vec<&[u8]> = self
            .ahead
            .iter()
            .filter_map(|m| m.value)
            .take(SAMPLE)
            .collect();
        let decoder = Decoder::new(&self.options.schema, &samples, self.options.local)?;
        self.columns = beside(&decoder.columns());
        self.decoder = Arc::new(decoder);
        Ok(())
    }

    /// The columns of its tables.
    pub fn columns(&self) -> SchemaRef {
        self.columns.clone()
    }

    /// The next piece that holds rows; `None` at the end.
    pub fn piece(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            self.give()?;
            let made = match self.lanes.next(Duration::from_millis(100))? {
                Landed::Waiting => continue,
                Landed::Empty if self.left.is_empty() || self.room == 0 => return Ok(None),
                Landed::Empty => continue,
                Landed::Value(made) => made,
            };
            self.rejects.extend(self.judge.judge(made.rejects)?);
            if made.batch.num_rows() > 0 {
                return Ok(Some(made.batch));
            }
        }
    }

    /// Messages that could not be read so far; they are not given twice.
    pub fn take_rejects(&mut self) -> Vec<Reject> {
        std::mem::take(&mut self.rejects)
    }

    /// Keeps the pool busy.
    fn give(&mut self) -> Result<()> {
        while !self.lanes.full() {
            let mut messages = std::mem::take(&mut self.ahead);
            if messages.is_empty() {
                messages = self.fetch(self.lanes.is_empty())?;
            }
            if messages.is_empty() {
                return Ok(());
            }
            let (decoder, columns) = (self.decoder.clone(), self.columns.clone());
            let topic: Arc<str> = self.config.topic.as_str().into();
            let spares = self.spares.clone();
            self.lanes.give(move || {
                let made = made(&decoder, &columns, &topic, &messages);
                spares.give(messages);
                made
            });
        }
        Ok(())
    }

    /// The next messages of the range; none at its end, or where nothing has come and `must` is not set.
    fn fetch(&mut self, must: bool) -> Result<Messages> {
        let mut since = Instant::now();
        loop {
            if self.left.is_empty() || self.room == 0 {
                return Ok(Messages::default());
            }
            let most = BATCH.min(self.room.min(usize::MAX as u64) as usize);
            let wait = if must { queues::ENDS } else { LITTLE };
            let (messages, came) = self.poll(most, wait)?;
            if came {
                since = Instant::now();
            }
            if !messages.is_empty() || !must {
                self.room -= messages.len() as u64;
                return Ok(messages);
            }
            if since.elapsed() > self.config.timeout {
                return Err(self.consumer.silent("nothing more could be read"));
            }
        }
    }

    /// Messages before the ends of their partitions, and whether anything came; leaves partitions that are read to theirs.
    fn poll(&mut self, most: usize, wait: Duration) -> Result<(Messages, bool)> {
        let mut polled = Polled {
            messages: self.spares.take(),
            ..Polled::default()
        };
        let (left, mut over, mut came) = (&self.left, Vec::new(), false);
        let end = |p: i32| left.iter().find(|s| s.0 == p).map(|s| s.2);
        let mut keep = |message: &crate::kafka::Message<'_>| {
            came = true;
            let Some(end) = end(message.partition) else {
                return false;
            };
            if message.offset + 1 >= end && !over.contains(&message.partition) {
                over.push(message.partition);
            }
            message.offset < end
        };
        self.consumer.poll_if(&mut polled, most, wait, &mut keep)?;
        came |= !polled.ends.is_empty();
        let ended = polled.ends.iter();
        let ended = ended.filter(|(p, at)| end(*p).is_some_and(|end| *at >= end));
        over.extend(ended.map(|(p, _)| *p));
        for partition in over {
            self.left.retain(|s| s.0 != partition);
            self.consumer.unassign(partition)?;
        }
        Ok((polled.messages, came))
    }
}

/// The columns of a message's place beside those of its readings.
fn beside(columns: &SchemaRef) -> SchemaRef {
    let codes = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let own = [
        Field::new("topic", codes, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", time, true),
    ];
    // A column of theirs that is called the same goes before ours under its own name.
    let renamed = own.into_iter().map(|field| {
        let taken = columns.field_with_name(field.name()).is_ok();
        let name = if taken {
            format!("kafka_{}", field.name())
        } else {
            field.name().clone()
        };
        Arc::new(field.with_name(name))
    });
    let fields: Vec<_> = columns.fields().iter().cloned().chain(renamed).collect();
    Arc::new(ArrowSchema::new(fields).with_metadata(columns.metadata().clone()))
}

fn made(decoder: &Decoder, columns: &SchemaRef, topic: &str, messages: &Messages) -> Result<Made> {
    // Tombstones are no readings.
    let all: Vec<_> = messages.iter().filter(|m| m.value.is_some()).collect();
    let decoded = decoder.decode(all.iter().map(|m| m.value.unwrap_or_default()))?;
    let n = decoded.messages.len();
    let (mut partitions, mut offsets) = (
        Int32Builder::with_capacity(n),
        Int64Builder::with_capacity(n),
    );
    let mut times = Vec::with_capacity(n);
    for message in decoded.messages.iter().filter_map(|m| all.get(*m as usize)) {
        partitions.append_value(message.partition);
        offsets.append_value(message.offset);
        times.push((message.timestamp >= 0).then_some(message.timestamp * 1000));
    }
    let broken = |e: arrow_schema::ArrowError| {
        Error::new(
            Kind::Internal,
            format!("messages do not fit their table: {e}"),
        )
    };
    let names: ArrayRef = Arc::new(StringArray::from(vec![topic]));
    let topics = DictionaryArray::try_new(Int32Array::from(vec![0; n]), names).map_err(broken)?;
    let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
    let own: [ArrayRef; 4] = [
        Arc::new(topics),
        Arc::new(partitions.finish()),
        Arc::new(offsets.finish()),
        Arc::new(times),
    ];
    let arrays = decoded.batch.columns().iter().cloned().chain(own).collect();
    let batch = RecordBatch::try_new(columns.clone(), arrays).map_err(broken)?;
    let rejects = decoded.unread.into_iter().filter_map(|unread| {
        let message = all.get(unread.message as usize)?;
        Some(Dead::new(topic, message, unread.column, unread.reason))
    });
    Ok(Made {
        batch,
        rejects: rejects.collect(),
    })
}
