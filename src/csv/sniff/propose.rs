//! The proposal: from a sample to a schema, with the evidence and what stays unknown.

use super::roles::{self, Field};
use super::sample::Sample;
use super::types::{self, Damage, Marks, Typed, is_data, quoted, typed_bearing};
use super::{Evidence, Hints, Sniffed, further, grouped, household};
use crate::input::{Encoding, Head, Packing};
use crate::schema::{
    Column, ColumnType, DateOrder, MeasureKind, Role, Schema, StepSpec, plain_name, preset,
};
use crate::{Result, runtime};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Tables of more columns are looked at column by column on the pool.
const WIDE: usize = 4;

/// What is being put together.
struct Proposal<'a> {
    head: &'a Head,
    sample: &'a Sample<'a>,
    schema: Schema,
    evidence: Vec<Evidence>,
    unknown: Vec<String>,
}

/// The proposal where a preset's names stand in the header.
pub(super) fn known(head: &Head, sample: &Sample, hints: &Hints) -> Result<Option<Sniffed>> {
    match household::layout(sample, &preset("household")?) {
        Ok(layout) if layout.named() => {
            let mut proposal = Proposal::new(head, sample);
            proposal.household(&layout, hints)?;
            proposal.finish().map(Some)
        }
        _ => Ok(None),
    }
}

/// The proposal for any other file.
pub(super) fn propose(head: &Head, sample: &Sample, hints: &Hints) -> Result<Sniffed> {
    let mut proposal = Proposal::new(head, sample);
    proposal.general(hints)?;
    proposal.finish()
}

/// Whether the first record names the columns, and why.
pub(super) fn header_of(sample: &Sample) -> (bool, &'static str) {
    let data = sample
        .first
        .iter()
        .filter(|f| is_data(f.as_bytes()))
        .count();
    let named = sample.first.iter().filter(|f| !f.is_empty()).count();
    if sample.short_header() {
        return (
            true,
            "the first record is one field short: row numbers stand in front",
        );
    }
    if data > 0 {
        return (false, "the first record holds numbers or times");
    }
    if named == 0 {
        return (false, "the first record is empty");
    }
    let typed_below = (0..sample.width()).any(|at| {
        let column = sample.column(at, true);
        column.iter().any(|v| is_data(v))
    });
    if typed_below {
        return (
            true,
            "the first record holds names, and numbers or times stand below",
        );
    }
    let repeats = sample.rows.iter().any(|r| {
        let fields = r.fields.iter().zip(&sample.first);
        fields
            .into_iter()
            .any(|(f, first)| !first.is_empty() && **f == *first.as_bytes())
    });
    if repeats {
        (false, "a text of the first record comes again below")
    } else {
        (true, "the first record's texts do not come again; assumed")
    }
}

/// A delimiter's name in messages.
fn mark_name(mark: char) -> String {
    match mark {
        '\t' => "tab".to_string(),
        other => other.to_string(),
    }
}

impl<'a> Proposal<'a> {
    fn new(head: &'a Head, sample: &'a Sample<'a>) -> Self {
        let mut proposal = Proposal {
            head,
            sample,
            schema: Schema::default(),
            evidence: Vec::new(),
            unknown: Vec::new(),
        };
        proposal.dialect();
        proposal
    }

    fn finish(self) -> Result<Sniffed> {
        self.schema.check()?;
        Ok(Sniffed {
            schema: self.schema,
            evidence: self.evidence,
            unknown: self.unknown,
        })
    }

    fn found(&mut self, what: &str, value: impl Into<String>, why: impl Into<String>) {
        self.evidence.push(Evidence {
            what: what.to_string(),
            value: value.into(),
            why: why.into(),
        });
    }

    fn dialect(&mut self) {
        let cut = &self.sample.cut;
        let delimiter = char::from(cut.delimiter);
        let why = match cut.width {
            _ if self.sample.separator => "the first line says so, as Excel writes it".to_string(),
            0 | 1 => "no delimiter cuts the records; one column".to_string(),
            width => format!(
                "{} of {} records have {width} fields",
                cut.even, cut.records
            ),
        };
        let quote = cut.quote.map(char::from);
        let quoted = cut.quoted;
        let dialect = &mut self.schema.dialect;
        dialect.delimiter = Some(delimiter);
        dialect.quote = quote;
        dialect.comment = self.sample.comment;
        dialect.preamble = self.sample.preamble;
        dialect.header_lines = self.sample.heads.len().max(1);
        dialect.encoding = match self.head.encoding {
            Encoding::Utf8 => None,
            other => Some(other.name().to_string()),
        };
        self.found("delimiter", mark_name(delimiter), why);
        if let Some(quote) = quote.filter(|_| quoted) {
            self.found("quote", quote, "it encloses fields");
        }
        if self.sample.preamble > 0 {
            let lines = self.sample.preamble.to_string();
            self.found(
                "preamble",
                lines,
                "lines before the first record of the table's width",
            );
        }
        if let Some(comment) = self.sample.comment {
            self.found("comment", comment, "the first line begins with it");
        }
        if self.head.encoding != Encoding::Utf8 {
            let why = match self.head.encoding {
                Encoding::Cp1252 => "bytes that are no UTF-8; assumed",
                _ => "byte order mark or zero bytes",
            };
            self.found("encoding", self.head.encoding.name(), why);
        }
        if self.head.packing != Packing::Plain {
            self.found("packing", self.head.packing.name(), "its first bytes");
        }
    }

    fn household(&mut self, layout: &household::Layout, hints: &Hints) -> Result<()> {
        let schema = layout.schema(self.head, self.sample, hints.order)?;
        let dialect = std::mem::take(&mut self.schema.dialect);
        let (header, preamble) = (schema.dialect.header, schema.dialect.preamble);
        self.schema = schema;
        self.schema.dialect = dialect;
        self.schema.dialect.header = header;
        self.schema.dialect.preamble = preamble;
        let times = self.schema.time.columns.join(" and ");
        self.found(
            "schema",
            "preset household",
            "the header holds all its seven measures",
        );
        self.found("time", times, "by values and names");
        if let Some(order) = self.schema.time.order {
            let why = match order {
                DateOrder::Dmy => "the preset's own order, and no value contradicts it",
                _ => "what the values say: they cannot be day first",
            };
            self.found("dates", super::dates::order_name(order), why);
        }
        if let Some(sensor) = self.schema.columns.iter().find(|c| c.role == Role::Sensor) {
            let name = sensor.name.clone();
            self.found(
                "sensor",
                name,
                "its name says so, and its values come again",
            );
        }
        if layout.zoned(self.sample) {
            self.schema.tz = Some("UTC".to_string());
            self.found("zone", "in the times", "they carry Z or an offset from UTC");
        } else {
            self.unknown.push("the zone: the preset's times carry none and are read as wall clock; say tz = ... for another reading".to_string());
        }
        Ok(())
    }

    fn general(&mut self, hints: &Hints) -> Result<()> {
        let (header, why) = match hints.header {
            Some(told) => (told, "as told"),
            None => header_of(self.sample),
        };
        self.found("header", if header { "yes" } else { "no" }, why);
        if header && self.sample.heads.len() > 1 {
            let why = "the second record holds words where numbers or times stand below";
            self.found("header lines", "2", why);
        }
        let fields = self.fields(header, &hints.measures);
        let epoch = roles::time_of(&fields);
        let (time, epoch) = epoch.unwrap_or_default();
        let order = self.date_order(&fields, &time, header, hints)?;
        let times = roles::times(&fields, &time, epoch.as_ref(), order);
        let named = || hints.named.then(|| roles::named(&fields, &time)).flatten();
        let sensor = roles::sensor_of(&fields, &time, &times).or_else(named);
        let keys = sensor
            .as_ref()
            .and_then(|(at, _)| fields.get(*at))
            .map(|f| &f.values[..]);
        self.columns(&fields, &time, epoch.as_ref(), sensor.as_ref(), order);
        self.times(&fields, &time, order);
        self.step(&times, keys);
        let nulls = fields
            .iter()
            .filter(|f| f.typed.kind != ColumnType::Text || f.typed.values == 0);
        let nulls: BTreeSet<String> = nulls.flat_map(|f| f.typed.nulls.clone()).collect();
        if !nulls.is_empty() {
            let list: Vec<String> = nulls.iter().map(|n| quoted(n)).collect();
            self.found("nulls", list.join(" "), "they stand among numbers or times");
        }
        self.schema.nulls = nulls.into_iter().collect();
        self.marks(&fields);
        Ok(())
    }

    /// How numbers are written: one way for the whole file.
    fn marks(&mut self, fields: &[Field]) {
        let Some(marks) = marks_of(fields) else {
            return;
        };
        self.schema.dialect.decimal = marks.decimal;
        self.schema.dialect.thousands = marks.thousands;
        if marks.decimal == ',' {
            self.found("decimal", ",", "numbers hold a comma");
        }
        if let Some(thousands) = marks.thousands {
            let why = "three digits stand behind each";
            self.found("thousands", quoted(&thousands.to_string()), why);
        }
    }

    /// The columns of the sample with their names and types; says how the header serves.
    fn fields(&mut self, header: bool, measures: &[String]) -> Vec<Field<'a>> {
        let sample = self.sample;
        let shifted = header && sample.short_header();
        let names = names(sample, header, shifted);
        let told: BTreeSet<String> = sample.first.iter().map(|n| plain_name(n)).collect();
        let serves = header && told.len() == names.len();
        self.schema.name = "sniffed".to_string();
        self.schema.dialect.header = Some(serves);
        if header && !serves {
            self.schema.dialect.preamble += sample.heads.len().max(1);
            self.schema.dialect.header_lines = 1;
        }
        if header && !serves {
            let why = "its names are doubled, empty or one short; columns are taken by their place";
            self.found("header", "passed over", why);
        }
        let comma = sample.cut.delimiter != b',' || sample.cut.quoted;
        let damage = |name: &String| match measures.contains(name) {
            true => Damage::Much,
            false => roles::damage_of(name),
        };
        let field = |(at, name): (usize, String)| {
            let values = sample.column(at, header);
            Field {
                typed: typed_bearing(&values, comma, damage(&name)),
                name,
                values,
            }
        };
        let columns = unique(names).into_iter().enumerate();
        // Of a wide table this takes longer than to read a few megabytes.
        let pool = (sample.width() > WIDE).then(runtime::pool);
        let mut fields: Vec<Field> = match pool.and_then(Result::ok) {
            Some(pool) => {
                let columns: Vec<(usize, String)> = columns.collect();
                pool.install(|| columns.into_par_iter().map(field).collect())
            }
            None => columns.map(field).collect(),
        };
        one_way(&mut fields);
        fields
    }

    /// The order of day and month: as told, as the time column says, looked for further on.
    fn date_order(
        &mut self,
        fields: &[Field],
        time: &[usize],
        header: bool,
        hints: &Hints,
    ) -> Result<Option<DateOrder>> {
        if hints.order.is_some() {
            return Ok(hints.order);
        }
        let dated = |at: &usize| fields.get(*at).is_some_and(|f| is_dated(&f.typed));
        let others = (0..fields.len()).filter(|at| !time.contains(at));
        let Some(at) = time.iter().copied().chain(others).find(|at| dated(at)) else {
            return Ok(None);
        };
        let Some(field) = fields.get(at) else {
            return Ok(None);
        };
        let orders = further::look(self.head, self.sample, at, field.typed.orders)?;
        if orders.only().is_none() {
            let (head, sample) = (self.head, self.sample);
            return Err(further::ambiguous(
                head,
                sample,
                at,
                &field.name,
                orders,
                header,
            ));
        }
        Ok(further::told(orders))
    }

    fn columns(
        &mut self,
        fields: &[Field],
        time: &[usize],
        epoch: Option<&ColumnType>,
        sensor: Option<&(usize, String)>,
        order: Option<DateOrder>,
    ) {
        let by_name = self.schema.dialect.header == Some(true);
        let keys = sensor
            .and_then(|(at, _)| fields.get(*at))
            .map(|f| &f.values[..]);
        for (at, field) in fields.iter().enumerate() {
            let mut column = Column::new(field.name.clone(), field.typed.kind.clone());
            let header = self
                .sample
                .first
                .get(at)
                .filter(|n| by_name && **n != field.name);
            column.names = header.cloned().into_iter().collect();
            let mut why = field.typed.why.clone();
            if time.contains(&at) {
                column.role = Role::Time;
                column.kind = epoch.unwrap_or(&column.kind).clone();
            } else if let Some((_, reason)) = sensor.filter(|(s, _)| *s == at) {
                column.role = Role::Sensor;
                why = reason.clone();
            } else if is_dated(&field.typed)
                && !field.typed.orders.allow(order.unwrap_or(DateOrder::Ymd))
            {
                column.kind = ColumnType::Text;
                why = "its dates are in another order than the time's".to_string();
            } else if at == 0 && is_row_number(field) {
                why = "it counts the rows".to_string();
            } else if matches!(column.kind, ColumnType::Integer | ColumnType::Float) {
                self.measure(&mut column, field, keys);
            }
            let value = describe(&column);
            self.found(&format!("column {}", field.name), value, why);
            self.schema.columns.push(column);
        }
        if sensor.is_none() {
            self.unknown.push("the sensor: no column says it; all rows are of one; say sensor_id = ... to name it".to_string());
        }
    }

    fn measure(&mut self, column: &mut Column, field: &Field, keys: Option<&[&[u8]]>) {
        column.role = Role::Measure;
        let name = &field.name;
        let (kind, unit) = match roles::unit_of(name) {
            Some((kind, unit)) => (kind, Some(unit.to_string())),
            None => (MeasureKind::Gauge, None),
        };
        let register = kind == MeasureKind::Energy && roles::is_register(&field.values, keys);
        column.measure = Some(if register {
            MeasureKind::Register
        } else {
            kind
        });
        if unit.is_none() {
            self.unknown.push(format!(
                "the kind of {name}: its name says no unit; a gauge is assumed; say measure = \"power\" or \"energy\" otherwise"
            ));
        } else if kind == MeasureKind::Energy {
            let other = if register {
                "a running total, since it never falls: windows leave it out; say measure = \"gauge\" for the meter's stand, or \"energy\" if these are amounts"
            } else {
                "an amount in each step; say measure = \"gauge\" if it is the meter's stand"
            };
            self.unknown.push(format!(
                "the kind of {name}: amounts and running totals look alike; taken for {other}"
            ));
        }
        column.unit = unit;
    }

    fn times(&mut self, fields: &[Field], time: &[usize], order: Option<DateOrder>) {
        let names = time
            .iter()
            .filter_map(|at| fields.get(*at))
            .map(|f| f.name.clone());
        self.schema.time.columns = names.collect();
        self.schema.time.order = order;
        if time.is_empty() {
            self.unknown
                .push("the time: no column reads as one; windows need it".to_string());
            return;
        }
        let names = self.schema.time.columns.join(" and ");
        self.found("time", names, "the first columns that read as a time");
        if let Some(order) = order {
            self.found(
                "dates",
                super::dates::order_name(order),
                "no other order fits all of them",
            );
        }
        let typed = |at: &usize| fields.get(*at).map(|f| &f.typed);
        let zoned = time.iter().filter_map(typed).any(|t| t.zoned > 0);
        let all_zoned = time.iter().filter_map(typed).any(|t| t.zoned == t.values);
        let counted = time
            .iter()
            .filter_map(typed)
            .any(|t| matches!(t.kind, ColumnType::Integer | ColumnType::Float));
        if zoned && all_zoned {
            self.schema.tz = Some("UTC".to_string());
        }
        if zoned {
            let count: usize = time.iter().filter_map(typed).map(|t| t.zoned).sum();
            let why = format!("{count} values carry Z or an offset from UTC");
            self.found("zone", "in the times", why);
        } else if counted {
            self.schema.tz = Some("UTC".to_string());
            self.found("zone", "UTC", "they count from 1970-01-01T00:00Z");
        } else {
            self.unknown.push("the zone: the times carry none and are read as wall clock; say tz = \"Europe/Paris\" or alike".to_string());
        }
        self.unknown.push("the stamp: whether a time marks the start or the end of its interval; start is assumed; say stamp = \"end\" otherwise".to_string());
    }

    fn step(&mut self, times: &[Option<i64>], keys: Option<&[&[u8]]>) {
        match roles::step_of(times, keys) {
            Some((step, share)) => {
                let why = format!("{share} in 100 rows follow the one before by it");
                self.found("step", step.clone(), why);
                self.schema.step = StepSpec::Fixed(step);
            }
            None if self.schema.time.columns.is_empty() => {}
            None if roles::too_few(times, keys) => self.unknown.push("the step: the rows are too few to show it; energy and completeness stay empty; say step = \"15min\" or alike".to_string()),
            None => self.unknown.push("the step: the times keep no constant distance; energy and completeness stay empty; say step = \"15min\" or alike".to_string()),
        }
    }
}

/// The marks of the file's numbers: a column that shows a thousands mark says most.
fn marks_of(fields: &[Field]) -> Option<Marks> {
    let mut all: Vec<Marks> = fields.iter().filter_map(|f| f.typed.marks).collect();
    all.sort_by_key(|m| m.thousands.is_none());
    all.first().copied()
}

/// Columns whose numbers are written in another way than the file's become text: no number of theirs is misread.
fn one_way(fields: &mut [Field]) {
    let Some(marks) = marks_of(fields) else {
        return;
    };
    let other = |field: &Field| match field.typed.marks {
        Some(theirs) => theirs.decimal != marks.decimal,
        None => {
            let points = |v: &&&[u8]| v.contains(&b'.') && !types::is_null(v);
            let mut points = field.values.iter().filter(points);
            marks.decimal == ',' && points.any(|v| !grouped::fits(v, marks))
        }
    };
    for field in fields {
        if field.typed.kind == ColumnType::Float && other(field) {
            field.typed.kind = ColumnType::Text;
            field.typed.why = "its numbers have other marks than the rest of the file".to_string();
        }
    }
}

fn is_dated(typed: &Typed) -> bool {
    matches!(typed.kind, ColumnType::Date | ColumnType::Timestamp)
}

fn is_row_number(field: &Field) -> bool {
    let plain = plain_name(&field.name);
    let named = [
        "index",
        "id",
        "row",
        "rowid",
        "rownumber",
        "nr",
        "no",
        "column1",
    ];
    let named = named.contains(&plain.as_str()) || plain.starts_with("unnamed");
    named && roles::counts_rows(&field.values)
}

/// Type, role, kind and unit in a few words.
fn describe(column: &Column) -> String {
    let word = |value: serde_json::Result<serde_json::Value>| match value {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    };
    let kind = word(serde_json::to_value(&column.kind));
    let role = match column.measure {
        Some(measure) => word(serde_json::to_value(measure)),
        None => word(serde_json::to_value(column.role)),
    };
    match &column.unit {
        Some(unit) => format!("{kind}, {role}, {unit}"),
        None => format!("{kind}, {role}"),
    }
}

/// Names as they stand in the header, numbered where there is none.
fn names(sample: &Sample, header: bool, shifted: bool) -> Vec<String> {
    let numbered = |at: usize| format!("column_{}", at + 1);
    let width = if sample.rows.is_empty() {
        sample.first.len()
    } else {
        sample.width()
    };
    let name = |at: usize| {
        let at_header = if shifted { at.checked_sub(1)? } else { at };
        let name = sample.first.get(at_header).filter(|_| header)?;
        (!name.is_empty()).then(|| name.clone())
    };
    (0..width)
        .map(|at| name(at).unwrap_or_else(|| numbered(at)))
        .collect()
}

/// The names with doubled ones numbered.
fn unique(names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let free = |name: String| {
        let mut tried = name.clone();
        let mut n = 2;
        while !seen.insert(plain_name(&tried)) {
            tried = format!("{name}_{n}");
            n += 1;
        }
        tried
    };
    names.into_iter().map(free).collect()
}
