//! Rows as messages: one JSON object a row, keyed.

use crate::codec::json::Encoder;
use crate::flush::Flush;
use crate::kafka::{Outgoing, Producer};
use crate::sink::{SinkSpec, Tables, What, rows};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use std::sync::Arc;

/// Between the parts of a key.
const BAR: char = '|';

/// How rows of a sink become messages.
pub(super) struct RowWriter {
    what: What,
    /// Columns of ours.
    ours: SchemaRef,
    /// Those that are written.
    columns: Vec<usize>,
    /// Under these names.
    schema: SchemaRef,
    /// Columns of ours whose values are the message's key.
    key: Vec<usize>,
    encoder: Encoder,
}

impl RowWriter {
    pub fn new(spec: &SinkSpec, tables: &Tables) -> Result<RowWriter> {
        let ours = rows::schema(spec.what, tables);
        let place = |name: &str| {
            ours.index_of(name).map_err(|_| {
                let names: Vec<&str> = ours.fields().iter().map(|f| f.name().as_str()).collect();
                Error::new(
                    Kind::Usage,
                    format!(
                        "{} is told of {name:?}, which is none of our columns: {}",
                        spec.endpoint,
                        names.join(", ")
                    ),
                )
            })
        };
        let named: Vec<(String, usize)> = match &spec.columns {
            Some(map) => {
                let one = |(theirs, ours): (&String, &String)| Ok((theirs.clone(), place(ours)?));
                map.iter().map(one).collect::<Result<_>>()?
            }
            None => {
                let fields = ours.fields().iter().enumerate();
                fields.map(|(i, f)| (f.name().clone(), i)).collect()
            }
        };
        let key = match &spec.key {
            Some(names) => names.iter().map(|n| place(n)).collect::<Result<_>>()?,
            None => vec![place(usual_key(spec.what))?],
        };
        let field = |(name, i): &(String, usize)| ours.field(*i).clone().with_name(name);
        let fields: Vec<_> = named.iter().map(field).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(RowWriter {
            what: spec.what,
            ours: ours.clone(),
            columns: named.into_iter().map(|(_, i)| i).collect(),
            encoder: Encoder::new(&schema)?,
            schema,
            key,
        })
    }

    /// Sends the rows of a flush.
    pub fn send(&self, producer: &mut Producer, topic: usize, flush: &Flush) -> Result<()> {
        for (_, batch) in rows::batches(self.what, flush)? {
            self.batch(producer, topic, &batch)?;
        }
        Ok(())
    }

    fn batch(&self, producer: &mut Producer, topic: usize, batch: &RecordBatch) -> Result<()> {
        let batch = &match self.what {
            What::Readings | What::Late => rows::fitted(batch, &self.ours)?,
            What::Windows | What::Rejects => batch.clone(),
        };
        let written = batch.project(&self.columns).map_err(unfit)?;
        let written = RecordBatch::try_new(self.schema.clone(), written.columns().to_vec());
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        self.encoder
            .encode(&written.map_err(unfit)?, &mut bytes, &mut ends)?;
        let options = FormatOptions::new();
        let keys = self.key.iter().map(|i| {
            let column = batch.columns().get(*i).ok_or_else(|| unfit_column(*i))?;
            ArrayFormatter::try_new(column.as_ref(), &options).map_err(unfit)
        });
        let keys: Vec<ArrayFormatter<'_>> = keys.collect::<Result<_>>()?;
        let (mut from, mut key) = (0, String::new());
        for (row, end) in ends.into_iter().enumerate() {
            key.clear();
            for (i, part) in keys.iter().enumerate() {
                if i > 0 {
                    key.push(BAR);
                }
                part.value(row).write(&mut key).map_err(unfit)?;
            }
            let message = Outgoing {
                partition: -1,
                key: Some(key.as_bytes()),
                value: bytes.get(from..end as usize),
                timestamp: 0,
                headers: &[],
            };
            producer.send(topic, &message)?;
            from = end as usize;
        }
        Ok(())
    }
}

fn usual_key(what: What) -> &'static str {
    match what {
        What::Rejects => "file",
        What::Windows | What::Readings | What::Late => "sensor_id",
    }
}

fn unfit(e: ArrowError) -> Error {
    Error::new(Kind::Internal, "rows do not fit their messages").because(e)
}

fn unfit_column(i: usize) -> Error {
    Error::new(Kind::Internal, format!("rows have no column {i}"))
}
