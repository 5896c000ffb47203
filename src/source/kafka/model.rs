//! Model: messages to readings, by the schema and by the first messages of the topic. Runs on the pool.
//!
//! A reading's row is its message's offset. An Arrow message holds several: offset × 2²⁰ + its place in the message,
//! so that rows rise in the order of the log.

use super::dead::Dead;
use crate::codec::json::Unread;
use crate::codec::message::{Decoder, Form};
use crate::csv::{LocalPolicy, SchemaChoice};
use crate::error::Place;
use crate::kafka::{Message, Messages};
use crate::ledger::Ledger;
use crate::schema::{self, Canonical, Measure, Overrides, Readings, RowIds, Schema, SensorKeys};
use crate::source::{ArrowOptions, Prepare};
use crate::transform::{end, select};
use crate::window::Delta;
use crate::{Error, Kind, Result};
use arrow_buffer::BooleanBuffer;
use arrow_schema::Fields;
use std::sync::{Arc, OnceLock};

/// Bits of a row number for the place within an Arrow message.
const PLACE: u32 = 20;

/// How messages are read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub schema: SchemaChoice,
    pub overrides: Overrides,
    pub local: LocalPolicy,
    /// Readings before this are another source's.
    pub cut: Option<i64>,
}

/// Messages to readings; shared by threads.
pub(super) struct Model {
    decoder: Decoder,
    canonical: Canonical,
    topic: Arc<str>,
    cut: Option<i64>,
    /// Made of messages that could be read, not of the schema alone.
    told: bool,
}

/// The readings of some messages.
pub(super) struct Read {
    pub readings: Readings,
    pub delta: Delta,
    pub dead: Vec<Dead>,
    pub counters: Ledger,
    /// Each sensor with the message of its first reading.
    pub sights: Vec<Sight>,
    /// Greatest end of interval.
    pub end: Option<i64>,
    /// Bits of a row number for the place within a message.
    pub places: u32,
}

/// A sensor and the message it was seen in.
pub(super) struct Sight {
    pub sensor: Arc<str>,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
}

/// The model of a topic: made of its first messages that can be read, whenever they come.
pub(super) struct Models {
    topic: Arc<str>,
    reading: Reading,
    /// By the schema alone, as long as no message could be read.
    plain: Arc<Model>,
    fitted: OnceLock<Arc<Model>>,
}

impl Models {
    /// `samples`: the first messages there are.
    pub(super) fn new(topic: &str, reading: Reading, samples: &Messages) -> Result<Models> {
        let plain = Arc::new(Model::new(topic, &reading, samples)?);
        let fitted = OnceLock::new();
        if plain.told {
            // It was empty.
            let _ = fitted.set(plain.clone());
        }
        Ok(Models {
            topic: topic.into(),
            reading,
            plain,
            fitted,
        })
    }

    /// What is known of the readings from the start.
    pub(super) fn first(&self) -> &Model {
        &self.plain
    }

    /// The model, of these messages where they are the first.
    pub(super) fn of(&self, messages: &Messages) -> Result<Arc<Model>> {
        if let Some(model) = self.fitted.get() {
            return Ok(model.clone());
        }
        let model = match Model::new(&self.topic, &self.reading, messages) {
            Ok(model) if model.told => model,
            // What fits no schema is no reading; it does not decide what those behind it are.
            Err(error) if error.kind != Kind::Schema => return Err(error),
            Ok(_) | Err(_) => return Ok(self.plain.clone()),
        };
        let attributes = (model.attributes(), self.plain.attributes());
        if model.measures() != self.plain.measures() || attributes.0 != attributes.1 {
            return Err(Error::new(
                Kind::Schema,
                format!(
                    "the first messages of topic {} have other measures or attributes than its schema says; run again, now that there are messages",
                    self.topic
                ),
            ));
        }
        Ok(self.fitted.get_or_init(|| Arc::new(model)).clone())
    }
}

/// Messages that a schema is fitted to.
pub(super) const SAMPLE: usize = 1000;

impl Model {
    /// For messages like most of `samples` that can be read.
    pub(super) fn new(topic: &str, reading: &Reading, samples: &Messages) -> Result<Model> {
        let some = samples.iter().filter(|m| m.value.is_some()).take(SAMPLE);
        let some: Vec<Message<'_>> = some.collect();
        let values: Vec<&[u8]> = some.iter().filter_map(|m| m.value).collect();
        let mut failure = None;
        for (form, first) in Form::most(&values) {
            let first = some.get(first).filter(|_| form != Form::Json);
            match Model::of(topic, reading, form, &values) {
                Ok(model) => {
                    return Ok(Model {
                        told: true,
                        ..model
                    });
                }
                Err(error) if error.kind != Kind::Schema => return Err(error),
                Err(error) => {
                    failure.get_or_insert(placed(error, topic, first));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Model::of(topic, reading, Form::Json, &values),
        }
    }

    fn of(topic: &str, reading: &Reading, form: Form, samples: &[&[u8]]) -> Result<Model> {
        let decoder = Decoder::of(form, &reading.schema, samples, reading.local)?;
        let columns = decoder.columns();
        let canonical = match &decoder {
            Decoder::Json(json) => {
                Canonical::new(json.schema(), &columns, &reading.overrides)?.trusted()
            }
            Decoder::Arrow(_) => {
                let canonical = match declared(&reading.schema)? {
                    Some(schema) => Canonical::new(&schema, &columns, &reading.overrides)?,
                    None => Canonical::infer(&columns, &reading.overrides)?,
                };
                let options = ArrowOptions {
                    on_repeated: reading.local.on_repeated,
                    on_missing: reading.local.on_missing,
                    ..ArrowOptions::default()
                };
                crate::source::arrow::zoned(canonical, &options)?.0
            }
        };
        Ok(Model {
            decoder,
            canonical: canonical.named(topic),
            topic: topic.into(),
            cut: reading.cut,
            told: false,
        })
    }

    pub(super) fn schema(&self) -> &Schema {
        self.canonical.schema()
    }

    pub(super) fn measures(&self) -> Arc<[Measure]> {
        self.canonical.measures()
    }

    pub(super) fn attributes(&self) -> Fields {
        self.canonical.attributes()
    }

    pub(super) fn assumed(&self) -> bool {
        self.canonical.assumed()
    }

    /// The readings of messages of one partition that all have a value. `sights`: who has them is wanted.
    pub(super) fn read(
        &self,
        messages: &Messages,
        prepare: &Prepare,
        sights: bool,
    ) -> Result<Read> {
        let values = messages.iter().map(|m| m.value.unwrap_or_default());
        let decoded = self.decoder.decode(values)?;
        let file = messages.get(0).map_or(0, |m| m.partition);
        let rows = self.rows(&decoded.messages, messages);
        let (readings, rejects) = self.canonical.readings(&decoded.batch, rows, file as u32)?;
        let mut counters = books(messages, readings.len(), &decoded.unread);
        let mut dead = self.unread(messages, decoded.unread);
        for reject in rejects {
            counters.rejected += 1;
            let of = self.message_of(messages, reject.row);
            let Some(message) = of else { continue };
            if self.one_a_message() {
                counters.decoded -= 1;
                counters.dead += 1;
            }
            dead.push(Dead::new(
                &self.topic,
                &message,
                reject.column,
                reject.reason,
            ));
        }
        counters.records = counters.accepted + counters.rejected;
        counters.lines = counters.records;
        dead.sort_by_key(|d| d.offset);
        let readings = self.later(readings, &mut counters)?;
        let delta = prepare(&readings)?;
        Ok(Read {
            sights: match sights {
                true => self.sights(&readings, messages),
                false => Vec::new(),
            },
            end: (!readings.is_empty()).then(|| delta.stats().max_end),
            delta,
            readings,
            dead,
            counters,
            places: self.places(),
        })
    }

    /// Whether a message is one record.
    fn one_a_message(&self) -> bool {
        matches!(self.decoder, Decoder::Json(_))
    }

    fn places(&self) -> u32 {
        match self.one_a_message() {
            true => 0,
            false => PLACE,
        }
    }

    /// The row numbers of decoded rows.
    fn rows(&self, of_row: &[u32], messages: &Messages) -> RowIds {
        let offset = |m: u32| {
            messages
                .get(m as usize)
                .map_or(0, |m| m.offset.max(0) as u64)
        };
        if self.one_a_message() {
            let (first, last) = (of_row.first(), of_row.last());
            if let (Some(first), Some(last)) = (first.map(|m| offset(*m)), last.map(|m| offset(*m)))
                && last - first + 1 == of_row.len() as u64
            {
                return RowIds::Dense(first);
            }
            return RowIds::Listed(of_row.iter().map(|m| offset(*m)).collect());
        }
        let (mut before, mut place) = (u32::MAX, 0);
        let number = |m: &u32| {
            place = if *m == before { place + 1 } else { 0 };
            before = *m;
            (offset(*m) << PLACE) + place
        };
        RowIds::Listed(of_row.iter().map(number).collect())
    }

    /// The message that holds a row.
    fn message_of<'m>(&self, messages: &'m Messages, row: u64) -> Option<Message<'m>> {
        messages.at((row >> self.places()) as i64)
    }

    fn unread(&self, messages: &Messages, unread: Vec<Unread>) -> Vec<Dead> {
        let dead = unread.into_iter().filter_map(|u| {
            let message = messages.get(u.message as usize)?;
            Some(Dead::new(&self.topic, &message, u.column, u.reason))
        });
        dead.collect()
    }

    /// Readings before the cut were counted from another source.
    fn later(&self, readings: Readings, counters: &mut Ledger) -> Result<Readings> {
        let Some(cut) = self.cut.filter(|cut| readings.time.iter().any(|t| t < cut)) else {
            return Ok(readings);
        };
        let later = BooleanBuffer::collect_bool(readings.len(), |i| readings.time[i] >= cut);
        let earlier = (readings.len() - later.count_set_bits()) as u64;
        for count in [
            &mut counters.accepted,
            &mut counters.readings,
            &mut counters.records,
            &mut counters.lines,
        ] {
            *count -= earlier;
        }
        if self.one_a_message() {
            counters.decoded -= earlier;
            counters.repeated += earlier;
        }
        select(&readings, &later)
    }

    fn sights(&self, readings: &Readings, messages: &Messages) -> Vec<Sight> {
        let sight = |sensor: &Arc<str>, row: usize| {
            let message = self.message_of(messages, readings.row(row))?;
            Some(Sight {
                sensor: sensor.clone(),
                offset: message.offset,
                key: message.key.map(<[u8]>::to_vec),
            })
        };
        match &readings.sensors {
            _ if readings.is_empty() => Vec::new(),
            SensorKeys::Constant(name) => sight(name, 0).into_iter().collect(),
            SensorKeys::Coded { codes, names } => {
                let mut seen = vec![false; names.len()];
                let first = |(row, code): (usize, &u32)| {
                    let code = *code as usize;
                    let seen = seen.get_mut(code)?;
                    (!std::mem::replace(seen, true)).then_some((row, code))
                };
                let firsts: Vec<_> = codes.iter().enumerate().filter_map(first).collect();
                let firsts = firsts.into_iter();
                firsts
                    .filter_map(|(row, code)| sight(&names[code], row))
                    .collect()
            }
        }
    }
}

/// Greatest end of interval of the readings that start at or before `limit`.
pub(super) fn greatest_end(readings: &Readings, limit: i64) -> Option<i64> {
    let ends = (0..readings.len()).filter(|i| readings.time[*i] <= limit);
    ends.map(|i| end(readings, i)).max()
}

/// The books of messages, before rows are looked at.
fn books(messages: &Messages, rows: usize, unread: &[Unread]) -> Ledger {
    let mut dead = 0;
    let mut last = None;
    for unread in unread {
        dead += u64::from(last != Some(unread.message));
        last = Some(unread.message);
    }
    let n = messages.len() as u64;
    Ledger {
        messages: n,
        decoded: n - dead.min(n),
        dead,
        accepted: rows as u64,
        readings: rows as u64,
        rejected: unread.len() as u64,
        ..Ledger::default()
    }
}

/// The error with the message that it is of.
fn placed(error: Error, topic: &str, of: Option<&Message<'_>>) -> Error {
    let Some(Message {
        partition, offset, ..
    }) = of
    else {
        return error;
    };
    let message = format!("partition {partition} offset {offset}: {}", error.message);
    let place = Place {
        message: Some((topic.to_string(), *partition, *offset)),
        ..Place::default()
    };
    Error { message, ..error }.at(place)
}

/// A schema that was declared or named.
fn declared(choice: &SchemaChoice) -> Result<Option<Schema>> {
    Ok(match choice {
        SchemaChoice::Sniff => None,
        SchemaChoice::Declared(schema) => Some((**schema).clone()),
        SchemaChoice::Preset(name) => Some(schema::preset(name)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{OnMissing, OnRepeated};

    fn messages(values: &[&[u8]]) -> Messages {
        let mut found = Messages::default();
        for (offset, value) in (0..).zip(values) {
            found.push(&Message {
                partition: 3,
                offset,
                timestamp: 0,
                key: None,
                value: Some(value),
                header: None,
            });
        }
        found
    }

    fn models(samples: &Messages) -> Result<Models> {
        let reading = Reading {
            schema: SchemaChoice::Preset("household".into()),
            overrides: Overrides::default(),
            local: LocalPolicy {
                on_repeated: OnRepeated::Earliest,
                on_missing: OnMissing::Null,
            },
            cut: None,
        };
        Models::new("t", reading, samples)
    }

    fn strange() -> Vec<u8> {
        let column = Arc::new(arrow_array::Float64Array::from(vec![1.0])) as _;
        let batch = arrow_array::RecordBatch::try_from_iter([("x", column)]).unwrap();
        let mut out = Vec::new();
        crate::codec::arrow::encode(&mut out, &batch.schema(), &[batch]).unwrap();
        out
    }

    const GOOD: &[u8] =
        br#"{"sensor_id":"h","time":"2006-12-16T17:24:00Z","global_active_power":4.2}"#;

    #[test]
    fn the_first_message_that_can_be_read_makes_the_model() {
        let (strange, bare) = (strange(), [0xff_u8; 4]);
        for first in [&strange[..], &bare, &strange[..60]] {
            let models = models(&Messages::default()).unwrap();
            assert!(!models.of(&messages(&[first])).unwrap().told);
            assert!(models.of(&messages(&[first, GOOD, GOOD])).unwrap().told);
            assert!(models.of(&messages(&[first])).unwrap().told);
        }
    }

    #[test]
    fn a_topic_of_strange_messages_alone_is_refused_by_the_first() {
        let strange = strange();
        let error = models(&messages(&[&[0xff; 4], &strange])).err().unwrap();
        let place = error.place.and_then(|p| p.message);
        assert_eq!(
            (error.kind, place),
            (Kind::Schema, Some(("t".into(), 3, 1)))
        );
        // As many of the one as of the other: what fits.
        assert!(
            models(&messages(&[&strange, GOOD]))
                .unwrap()
                .first()
                .one_a_message()
        );
    }
}
