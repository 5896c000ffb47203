//! Messages of either kind to tables: JSON objects, or Arrow IPC streams of one batch or more.

use super::json::{self, Decoded, Unread};
use crate::csv::{LocalPolicy, SchemaChoice};
use crate::schema::{METADATA_KEY, Schema};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;

/// How a reading is written in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// One reading a message, an object.
    #[default]
    Json,
    /// One batch of one sensor a message, an Arrow IPC stream.
    Arrow,
}

/// The first bytes of an Arrow IPC stream.
const STREAM: &[u8] = &[0xff; 4];

/// What a message is; an Arrow message with its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON object, or an array of values.
    Json,
    /// An Arrow IPC stream that can be read to its end.
    Arrow(SchemaRef),
}

/// Decodes the messages of a topic; shared by threads.
pub enum Decoder {
    /// JSON.
    Json(Box<json::Decoder>),
    /// Arrow, with the columns of most messages.
    Arrow(SchemaRef),
}

impl Codec {
    /// What a message is by its first bytes.
    pub fn of(message: &[u8]) -> Codec {
        match message.starts_with(STREAM) {
            true => Codec::Arrow,
            false => Codec::Json,
        }
    }
}

impl Form {
    /// Of one message; `None`: it cannot be read, so it says nothing of others.
    pub fn of(message: &[u8]) -> Option<Form> {
        if Codec::of(message) == Codec::Arrow {
            let (columns, _) = super::arrow::decode(message).ok()?;
            return Some(Form::Arrow(columns));
        }
        json::looks_sound(message).then_some(Form::Json)
    }

    /// What most of `samples` are that can be read, each with the first of its kind. More than one where they are
    /// as many; then the one that came first is first.
    pub fn most(samples: &[&[u8]]) -> Vec<(Form, usize)> {
        let mut found: Vec<(Form, usize, usize)> = Vec::new();
        for (at, sample) in samples.iter().enumerate() {
            let Some(form) = Form::of(sample) else {
                continue;
            };
            match found.iter_mut().find(|(known, ..)| known.alike(&form)) {
                Some((.., count)) => *count += 1,
                None => found.push((form, at, 1)),
            }
        }
        let most = found.iter().map(|(.., count)| *count).max();
        found.retain(|(.., count)| Some(*count) == most);
        found.into_iter().map(|(form, at, _)| (form, at)).collect()
    }

    fn alike(&self, other: &Form) -> bool {
        match (self, other) {
            (Form::Arrow(one), Form::Arrow(two)) => one.fields() == two.fields(),
            _ => self == other,
        }
    }
}

impl Decoder {
    /// For messages like most of `samples`; see [`json::Decoder::new`].
    pub fn new(choice: &SchemaChoice, samples: &[&[u8]], local: LocalPolicy) -> Result<Decoder> {
        let form = Form::most(samples).into_iter().next();
        let form = form.map_or(Form::Json, |(form, _)| form);
        Decoder::of(form, choice, samples, local)
    }

    /// For messages of this form.
    pub fn of(
        form: Form,
        choice: &SchemaChoice,
        samples: &[&[u8]],
        local: LocalPolicy,
    ) -> Result<Decoder> {
        Ok(match form {
            Form::Arrow(columns) => Decoder::Arrow(columns),
            Form::Json => Decoder::Json(Box::new(json::Decoder::new(choice, samples, local)?)),
        })
    }

    /// The columns of its tables.
    pub fn columns(&self) -> SchemaRef {
        match self {
            Decoder::Json(decoder) => decoder.columns(),
            Decoder::Arrow(columns) => columns.clone(),
        }
    }

    /// The schema in force; `None`: Arrow messages that say none.
    pub fn schema(&self) -> Option<Schema> {
        match self {
            Decoder::Json(decoder) => Some(decoder.schema().clone()),
            Decoder::Arrow(columns) => {
                let json = columns.metadata().get(METADATA_KEY)?;
                Schema::from_json(json).ok()
            }
        }
    }

    /// Decodes the messages. A message of the other kind, or with other columns, is unread.
    pub fn decode<'m>(&self, messages: impl Iterator<Item = &'m [u8]>) -> Result<Decoded> {
        match self {
            Decoder::Json(decoder) => decoder.decode(messages),
            Decoder::Arrow(columns) => tables(columns, messages),
        }
    }
}

fn tables<'m>(columns: &SchemaRef, messages: impl Iterator<Item = &'m [u8]>) -> Result<Decoded> {
    let (mut batches, mut of_row, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    for (n, message) in messages.enumerate() {
        let n = n as u32;
        match table(columns, message) {
            Ok(found) => {
                let rows: usize = found.iter().map(RecordBatch::num_rows).sum();
                of_row.extend(std::iter::repeat_n(n, rows));
                batches.extend(found);
            }
            Err(reason) => unread.push(Unread {
                message: n,
                column: String::new(),
                reason,
            }),
        }
    }
    let batch = concat_batches(columns, &batches).map_err(|e| {
        Error::new(
            Kind::Internal,
            format!("the batches of messages could not be put together: {e}"),
        )
    })?;
    Ok(Decoded {
        batch,
        messages: of_row,
        unread,
    })
}

fn table(columns: &SchemaRef, message: &[u8]) -> std::result::Result<Vec<RecordBatch>, String> {
    if Codec::of(message) != Codec::Arrow {
        return Err("not an Arrow message, as the others of this topic are".into());
    }
    let (found, batches) = super::arrow::decode(message).map_err(|e| e.message)?;
    if found.fields() != columns.fields() {
        return Err("an Arrow message with other columns than most of this topic".into());
    }
    let under = |b: RecordBatch| RecordBatch::try_new(columns.clone(), b.columns().to_vec());
    batches
        .into_iter()
        .map(|b| under(b).map_err(|e| e.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Float64Array;
    use std::sync::Arc;

    fn message(values: &[f64]) -> Vec<u8> {
        let column = Arc::new(Float64Array::from(values.to_vec())) as _;
        let batch = RecordBatch::try_from_iter([("v", column)]).unwrap();
        let mut out = Vec::new();
        super::super::arrow::encode(&mut out, &batch.schema(), &[batch]).unwrap();
        out
    }

    #[test]
    fn arrow_messages_are_known_by_their_first_bytes() {
        let (one, two) = (message(&[1.0, 2.0]), message(&[3.0]));
        let samples: [&[u8]; 3] = [&one, b"{\"v\":1}", &two];
        let decoder = Decoder::new(&SchemaChoice::Sniff, &samples, LocalPolicy::default()).unwrap();
        let decoded = decoder.decode(samples.into_iter()).unwrap();
        assert_eq!(decoded.messages, [0, 0, 2]);
        assert_eq!(decoded.unread.len(), 1);
        assert_eq!(decoded.unread[0].message, 1);
        let torn = decoder.decode([&one[..40]].into_iter()).unwrap();
        assert_eq!((torn.batch.num_rows(), torn.unread.len()), (0, 1));
    }

    #[test]
    fn one_strange_message_does_not_decide_what_the_others_are() {
        let (strange, json) = (message(&[1.0]), b"{\"v\":1}".as_slice());
        let cut = &strange[..strange.len() - 40];
        let bare: &[u8] = &[0xff; 4];
        let form = |samples: &[&[u8]]| Form::most(samples);
        assert_eq!(form(&[bare, cut, json]), [(Form::Json, 2)]);
        assert_eq!(form(&[bare, b"", b"oops", cut]), []);
        assert_eq!(form(&[&strange, json, json]), [(Form::Json, 1)]);
        let tie = form(&[&strange, json]);
        assert!(matches!(&tie[..], [(Form::Arrow(_), 0), (Form::Json, 1)]));
        let samples = [json, bare, json, &strange, cut];
        let decoder = Decoder::new(&SchemaChoice::Sniff, &samples, LocalPolicy::default());
        assert!(matches!(decoder.unwrap(), Decoder::Json(_)));
    }
}
