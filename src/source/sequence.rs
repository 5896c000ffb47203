//! Sequence: files, and then a topic, parted at one instant: history first, then the stream that goes on from it.
//!
//! One lane, one head. The files give the readings before the cut, as a bounded read does (scanned; nothing of them is
//! late); what they hold from the cut on is the topic's, and left out of the books. The topic gives those at or after
//! it. Its first position ends the files for good: what is added to them later is not looked at.

use super::{
    Concern, FileName, FileSource, Identity, Order, Poll, Prepare, Reader, Source, SourceBatch,
};
use crate::flush::{Position, Positions, ReadPlan};
use crate::schema::{Measure, Schema};
use crate::transform::select;
use crate::{Error, Kind, Result};
use arrow_buffer::BooleanBuffer;
use arrow_schema::Fields;
use std::sync::Arc;
use std::time::Duration;

/// Files, and then a topic.
pub struct Sequence {
    files: FileSource,
    topic: Arc<dyn Source>,
    cut: i64,
}

impl Sequence {
    /// Parts `files` from `topic` at `cut`, µs UTC. Errors: `Usage` where the topic has several heads, `Schema` where
    /// the two have other measures.
    pub fn new(files: FileSource, topic: Arc<dyn Source>, cut: i64) -> Result<Sequence> {
        if topic.partitions() > 1 {
            return Err(Error::new(
                Kind::Usage,
                "files and then a topic are counted under one head, and this topic has one for each partition; set state = \"shared\"",
            ));
        }
        let names = |s: &dyn Source| -> Vec<String> {
            s.measures().iter().map(|m| m.name.clone()).collect()
        };
        let (before, after) = (names(&files), names(topic.as_ref()));
        if before != after {
            return Err(Error::new(
                Kind::Schema,
                format!(
                    "the files have the measures {}, and the topic {}; declare one schema for both",
                    before.join(", "),
                    after.join(", ")
                ),
            ));
        }
        let (before, after) = (files.attributes(), topic.attributes());
        if before != after {
            return Err(Error::new(
                Kind::Schema,
                format!(
                    "the files have the attributes {}, and the topic {}; declare one schema for both",
                    listed(&before),
                    listed(&after)
                ),
            ));
        }
        Ok(Sequence { files, topic, cut })
    }
}

fn listed(attributes: &Fields) -> String {
    let one = |f: &Arc<arrow_schema::Field>| format!("{} ({})", f.name(), f.data_type());
    match attributes.is_empty() {
        true => "none".into(),
        false => attributes.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

impl Source for Sequence {
    fn describe(&self) -> String {
        format!("{}, then {}", self.files.describe(), self.topic.describe())
    }

    fn measures(&self) -> Arc<[Measure]> {
        self.files.measures()
    }

    fn attributes(&self) -> Fields {
        self.files.attributes()
    }

    fn bounded(&self) -> bool {
        false
    }

    fn files(&self) -> Vec<FileName> {
        let mut files = self.files.files();
        files.extend(self.topic.files());
        files
    }

    fn schema(&self) -> Schema {
        self.files.schema()
    }

    fn assumed(&self) -> bool {
        self.files.assumed() || self.topic.assumed()
    }

    fn identity(&self) -> Result<Option<Identity>> {
        self.topic.identity()
    }

    fn concerns(&self, from: &[Position]) -> Result<Vec<Concern>> {
        self.topic.concerns(from)
    }

    fn ends(&self) -> Result<Vec<(u32, u64)>> {
        self.topic.ends()
    }

    fn open(
        &self,
        partition: u32,
        from: &Positions,
        read: Option<&ReadPlan>,
        _order: Order,
        prepare: Prepare,
    ) -> Result<Box<dyn Reader>> {
        let (stream, files): (Positions, Positions) =
            from.iter().cloned().partition(|p| p.is_of_topic());
        let history = match stream.is_empty() {
            true => Some(
                self.files
                    .open(0, &files, read, Order::Scanned, prepare.clone())?,
            ),
            false => None,
        };
        Ok(Box::new(Both {
            history,
            stream: None,
            later: Later {
                topic: self.topic.clone(),
                partition,
                from: stream,
                prepare,
            },
            files,
            first: self.files.files().len() as u32,
            cut: self.cut,
        }))
    }
}

/// Where the topic is opened, once the files are read.
struct Later {
    topic: Arc<dyn Source>,
    partition: u32,
    from: Positions,
    prepare: Prepare,
}

/// Reads the one, then the other.
struct Both {
    history: Option<Box<dyn Reader>>,
    stream: Option<Box<dyn Reader>>,
    later: Later,
    /// Where the files were left.
    files: Positions,
    /// The number of the topic's first stream among all files.
    first: u32,
    cut: i64,
}

impl Both {
    /// Of a batch of files, what lies before the cut.
    fn before(&self, mut batch: SourceBatch) -> Result<SourceBatch> {
        let times = &batch.readings.time;
        if times.iter().all(|t| *t < self.cut) {
            return Ok(batch);
        }
        let before = BooleanBuffer::collect_bool(times.len(), |i| times[i] < self.cut);
        let after = (times.len() - before.count_set_bits()) as u64;
        let books = &mut batch.counters;
        for count in [
            &mut books.accepted,
            &mut books.readings,
            &mut books.records,
            &mut books.lines,
        ] {
            *count = count.saturating_sub(after);
        }
        batch.readings = select(&batch.readings, &before)?;
        batch.delta = None;
        Ok(batch)
    }

    fn live(&mut self) -> Result<&mut Box<dyn Reader>> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let Later {
                    topic,
                    partition,
                    from,
                    prepare,
                } = &self.later;
                topic.open(*partition, from, None, Order::Scanned, prepare.clone())?
            }
        };
        Ok(self.stream.insert(stream))
    }
}

impl Reader for Both {
    fn next(&mut self, wait: Duration) -> Result<Poll> {
        if let Some(history) = &mut self.history {
            match history.next(wait)? {
                Poll::Batch(batch) => {
                    self.files.clone_from(&batch.after);
                    return Ok(Poll::Batch(Box::new(self.before(*batch)?)));
                }
                Poll::Idle => return Ok(Poll::Idle),
                Poll::End => self.history = None,
            }
        }
        let polled = self.live()?.next(wait)?;
        Ok(match polled {
            Poll::Batch(mut batch) => {
                batch.readings.file += self.first;
                batch.after.splice(0..0, self.files.iter().cloned());
                Poll::Batch(batch)
            }
            other => other,
        })
    }
}
