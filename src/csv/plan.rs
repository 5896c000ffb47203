//! The plan: a schema held against the head of a file. It says which field of a record becomes
//! which column of the table, and how each is read. What the columns are is in `columns`.

mod columns;
#[cfg(test)]
mod tests;

use super::header;
use super::melt::{self, Melting};
use super::number::Marks;
use super::scan::Cut;
use super::stamp::Clock;
use crate::schema::{Canonical, Melt, MeltInto, Overrides, Role, Schema, Stamp, StepSpec};
use crate::time::parse::Layout;
use crate::time::{Converter, DAY, OnMissing, OnRepeated, Zone, duration};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema as ArrowSchema, SchemaRef};
use columns::{arrow_schema, coded_sensor, outputs};
use std::sync::Arc;

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// A number within bounds.
    Float { min: f64, max: f64 },
    /// An integer within bounds.
    Integer { min: f64, max: f64 },
    /// Yes or no.
    Boolean,
    /// Text.
    Text,
    /// A date, days since 1970.
    Date,
    /// A time of day.
    Time,
    /// A whole stamp.
    Stamp,
    /// A date here, a time of day in another field.
    DateAndTime { time: usize },
    /// Seconds or milliseconds since 1970: microseconds in one.
    Epoch { unit: i64 },
}

/// One column of the table.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Its name.
    pub name: Arc<str>,
    /// Its field in a record.
    pub field: usize,
    /// How it is read.
    pub what: What,
    /// A record without it is a reject.
    pub required: bool,
    /// End stamps of this column move back a step.
    pub back: bool,
}

/// Which field of a record becomes which column of the table, decided once a file.
#[derive(Clone, Debug)]
pub struct CsvPlan {
    pub(crate) arrow: SchemaRef,
    /// The columns of a record; those of the table, where a record is one row.
    pub(crate) decoded: SchemaRef,
    pub(crate) melting: Option<Melting>,
    /// Beginnings of lines that are no records.
    pub(crate) footer: Arc<[String]>,
    pub(crate) cut: Cut,
    pub(crate) width: usize,
    pub(crate) marks: Marks,
    pub(crate) nulls: Nulls,
    pub(crate) outputs: Vec<Output>,
    /// The constant sensor, first column of the table.
    pub(crate) sensor: Option<Arc<str>>,
    /// Columns of the table that name the sensor.
    pub(crate) sensors: Vec<usize>,
    /// Lines and bytes before the first record, a byte order mark not counted.
    pub(crate) preamble: u64,
    pub(crate) header: u64,
    pub(crate) body: usize,
    pub(crate) fields: Vec<Arc<str>>,
    layout: Layout,
    zone: Option<Zone>,
    step: Option<i64>,
    back: i64,
    ends: Option<Ends>,
    /// The time is a day, and means its first instant.
    whole_days: bool,
}

/// End stamps whose steps stand in the rows, or go by sensor.
#[derive(Clone)]
struct Ends(Arc<Canonical>);

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ends")
    }
}

/// The texts that mean "no value".
#[derive(Clone, Debug, Default)]
pub(crate) struct Nulls {
    texts: Vec<Vec<u8>>,
    /// Bit n: one has n bytes (63: 63 or more).
    lengths: u64,
    /// First bytes of them.
    firsts: [u64; 4],
    /// One of them could be a number or a date, so nothing may be read before asking.
    pub first: bool,
}

impl Nulls {
    fn new(texts: &[String]) -> Self {
        let texts: Vec<Vec<u8>> = texts.iter().map(|t| t.trim().as_bytes().to_vec()).collect();
        let mut firsts = [0; 4];
        for first in texts.iter().filter_map(|t| t.first()) {
            firsts[usize::from(first >> 6)] |= 1 << (first & 63);
        }
        Nulls {
            firsts,
            lengths: texts.iter().fold(1, |bits, t| bits | 1 << t.len().min(63)),
            first: texts.iter().any(|t| t.iter().any(u8::is_ascii_digit)),
            texts,
        }
    }

    /// Whether `text` means "no value".
    #[inline(always)]
    pub(crate) fn has(&self, text: &[u8]) -> bool {
        let Some(first) = text.first() else {
            return true;
        };
        let begins = self.firsts[usize::from(first >> 6)] >> (first & 63);
        let long = self.lengths >> text.len().min(63);
        begins & long & 1 == 1 && self.texts.iter().any(|t| t == text)
    }
}

impl CsvPlan {
    /// Holds `schema` against the first bytes of a file (a byte order mark may be there or not).
    ///
    /// Errors: `Kind::Schema` where a column is missing, the dialect cannot be, or the file is
    /// empty though a header is declared.
    pub fn compile(schema: &Schema, head: &[u8]) -> Result<CsvPlan> {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        match &schema.melt {
            None => CsvPlan::of(schema, head),
            Some(melt) => {
                let (wide, names) = melt::spread(schema, melt, head)?;
                CsvPlan::of(&wide, head)?.melted(schema, melt, &names)
            }
        }
    }

    /// The plan of a file whose records give several rows, from that of its fields.
    fn melted(mut self, schema: &Schema, melt: &Melt, names: &[String]) -> Result<CsvPlan> {
        let long = schema.long();
        let first = self.outputs.len() - names.len();
        let time = |o: &Output| o.back;
        let day = self.outputs.iter().position(time).unwrap_or(0);
        let into = match (melt.into, self.step) {
            (MeltInto::Sensor, _) => melt::sensors(names),
            (MeltInto::Time, step) => melt::Into::Steps {
                step: step.unwrap_or(DAY),
                day,
                zone: self.zone.clone(),
            },
        };
        self.whole_days = melt.into == MeltInto::Time;
        // The table's columns are those of a plan with one value.
        let value = self.outputs.get(first).cloned();
        let mut one = self.clone();
        one.outputs.truncate(first);
        one.outputs.extend(value.map(|o| Output {
            name: melt.value.name.as_str().into(),
            ..o
        }));
        let mut fields: Vec<Field> = arrow_schema(&long, &one)?
            .fields()
            .iter()
            .map(|f| f.as_ref().clone())
            .collect();
        if melt.into == MeltInto::Sensor {
            let value = fields.len().saturating_sub(1);
            fields.insert(value, coded_sensor());
        }
        let metadata = arrow_schema(&long, &one)?.metadata().clone();
        self.arrow = Arc::new(ArrowSchema::new(fields).with_metadata(metadata));
        self.melting = Some(Melting {
            long: self.arrow.clone(),
            first,
            values: names.len(),
            into,
        });
        self.ends = ends(&long, &self, self.step)?;
        let of_role = long.columns.iter().filter(|c| c.role == Role::Sensor);
        let names: Vec<String> = of_role.map(|c| c.name.clone()).collect();
        Ok(self.with_sensors(&names))
    }

    fn of(schema: &Schema, head: &[u8]) -> Result<CsvPlan> {
        let found = header::find(schema, head)?;
        let step = match &schema.step {
            StepSpec::Fixed(text) => Some(duration::parse(text)?),
            _ => None,
        };
        let mut plan = CsvPlan {
            arrow: Arc::new(ArrowSchema::empty()),
            decoded: Arc::new(ArrowSchema::empty()),
            melting: None,
            whole_days: false,
            footer: schema.dialect.footer.clone().into(),
            cut: found.cut,
            width: found.width,
            marks: Marks {
                decimal: ascii("decimal mark", schema.dialect.decimal)?,
                thousands: match schema.dialect.thousands {
                    Some(mark) => Some(ascii("thousands mark", mark)?),
                    None => None,
                },
            },
            nulls: Nulls::new(&schema.nulls),
            outputs: outputs(schema, &found)?,
            sensor: schema.sensor_id.as_deref().map(Arc::from),
            sensors: Vec::new(),
            preamble: found.preamble,
            header: found.header,
            body: found.body,
            fields: found.fields.clone(),
            layout: Layout::new(schema.time.order),
            zone: schema.tz.as_deref().map(Zone::parse).transpose()?,
            step,
            back: back(schema, step)?,
            ends: None,
        };
        plan.arrow = Arc::new(arrow_schema(schema, &plan)?);
        plan.decoded = plan.arrow.clone();
        plan.ends = ends(schema, &plan, step)?;
        let of_role = schema.columns.iter().filter(|c| c.role == Role::Sensor);
        let names: Vec<String> = of_role.map(|c| c.name.clone()).collect();
        Ok(plan.with_sensors(&names))
    }

    /// The same where these columns name the sensor; those that the table lacks count for nothing.
    pub fn with_sensors(mut self, names: &[String]) -> CsvPlan {
        self.sensors = names
            .iter()
            .filter_map(|n| self.arrow.index_of(n).ok())
            .collect();
        self
    }

    /// The first fields of a record, up to the last that is read.
    pub(crate) fn keep(&self) -> usize {
        let last = |o: &Output| match o.what {
            What::DateAndTime { time } => o.field.max(time) + 1,
            _ => o.field + 1,
        };
        self.outputs.iter().map(last).max().unwrap_or(0)
    }

    /// Whether a record gives several rows.
    pub(crate) fn melts(&self) -> bool {
        self.melting.is_some()
    }

    /// The byte between fields.
    pub(crate) fn delimiter(&self) -> u8 {
        self.cut.delimiter
    }

    /// Bytes before the first record, a byte order mark not counted.
    pub(crate) fn body(&self) -> usize {
        self.body
    }

    /// The columns of the table.
    pub fn schema(&self) -> SchemaRef {
        self.arrow.clone()
    }

    /// The same plan that decodes the time column only, for a look ahead.
    ///
    /// Records at fault elsewhere are not noticed, so it may see rows that the whole plan rejects.
    pub fn only_time(&self) -> Result<CsvPlan> {
        let mut plan = self.clone();
        plan.outputs.retain(|o| o.required && o.back);
        if plan.outputs.is_empty() {
            return Err(Error::new(
                Kind::Schema,
                "the schema has no time column; give one the role `time`",
            ));
        }
        plan.outputs.truncate(1);
        plan.sensor = None;
        plan.ends = None;
        plan.sensors = Vec::new();
        let field = self.arrow.field_with_name(&plan.outputs[0].name).cloned();
        let field = field.map_err(|e| Error::new(Kind::Internal, "no time field").because(e))?;
        plan.arrow = Arc::new(ArrowSchema::new(vec![field]));
        plan.decoded = plan.arrow.clone();
        plan.melting = None;
        Ok(plan)
    }

    /// Local times to instants; `None` where the wall clock is taken for UTC.
    pub(crate) fn converter(&self, local: super::LocalPolicy) -> Option<Converter> {
        let local = match self.whole_days {
            true => super::LocalPolicy {
                on_repeated: OnRepeated::Earliest,
                on_missing: OnMissing::Shift,
            },
            false => local,
        };
        let of = |zone| Converter::new(zone, local.on_repeated, local.on_missing, self.step);
        self.zone.clone().map(of)
    }

    /// The batch with its end stamps moved back to the starts of their rows' steps.
    pub(crate) fn started(&self, batch: RecordBatch) -> Result<RecordBatch> {
        match &self.ends {
            Some(Ends(canonical)) => canonical.started(batch),
            None => Ok(batch),
        }
    }

    /// How far the times of a column move back.
    pub(crate) fn back_of(&self, output: &Output) -> i64 {
        if output.back { self.back } else { 0 }
    }

    /// The clock of a column.
    pub(crate) fn clock(&self, output: &Output, local: super::LocalPolicy) -> Clock {
        Clock::new(self.layout, self.converter(local), self.back_of(output))
            .ordered(local.on_repeated == OnRepeated::Infer && !self.whole_days)
    }

    /// The name of a field, for rejects.
    pub(crate) fn field_name(&self, field: usize) -> &str {
        self.fields.get(field).map_or("", |name| name)
    }
}

/// A mark of the dialect as one byte.
pub(crate) fn ascii(what: &str, mark: char) -> Result<u8> {
    u8::try_from(mark).ok().filter(u8::is_ascii).ok_or_else(|| {
        Error::new(
            Kind::Schema,
            format!("the {what} {mark:?} is not an ASCII character; declare one that is"),
        )
    })
}

/// How far end stamps move back.
fn back(schema: &Schema, step: Option<i64>) -> Result<i64> {
    match (schema.stamp, &schema.step, step) {
        (Stamp::End, _, Some(step)) => Ok(step),
        (Stamp::End, StepSpec::Unknown, _) => Err(Error::new(
            Kind::Schema,
            "stamp = end moves each reading back by its step, and the step is not known; declare step",
        )),
        // Steps by row or sensor are taken off once the batch is whole: see `ends`.
        (Stamp::End, _, None) | (Stamp::Start, ..) => Ok(0),
    }
}

fn ends(schema: &Schema, plan: &CsvPlan, step: Option<i64>) -> Result<Option<Ends>> {
    let timed = plan.outputs.iter().any(|o| o.back);
    if schema.stamp == Stamp::Start || step.is_some() || !timed {
        return Ok(None);
    }
    let canonical = Canonical::new(schema, &plan.arrow, &Overrides::default())?;
    Ok(Some(Ends(Arc::new(canonical))))
}
