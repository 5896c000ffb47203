//! The household preset in all its layouts: which fields of a file are its columns.

use super::dates::Orders;
use super::further;
use super::sample::Sample;
use super::types::{Typed, typed};
use crate::input::Head;
use crate::schema::{
    Column, ColumnType, DateOrder, Role, Schema, SensorName, named_like_key, preset, sensor_name,
};
use crate::{Error, Kind, Result};
use std::collections::BTreeSet;

/// What a field is in this file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Date,
    Time,
    Stamp,
    /// Which of several meters it is.
    Sensor,
    /// Index into the preset's columns.
    Measure(usize),
    /// Row numbers and what else stands there.
    Other,
}

/// How a file holds the preset's columns.
pub(super) struct Layout {
    parts: Vec<Part>,
    /// The header names the fields one to one.
    by_name: bool,
    /// The first record is a header, useful or not.
    header: bool,
}

/// Names a column with date and time in one has in a file without rows.
const STAMP_NAMES: [&str; 6] = ["datetime", "timestamp", "time", "date", "dt", "ds"];

/// The layout of the file, or the names of what it lacks.
pub(super) fn layout(sample: &Sample, schema: &Schema) -> std::result::Result<Layout, Vec<String>> {
    let measures: Vec<(usize, &Column)> = schema
        .columns
        .iter()
        .enumerate()
        .filter(|(_, c)| c.role == Role::Measure)
        .collect();
    let named = |name: &String| {
        let found = measures.iter().find(|(_, c)| c.answers_to(name));
        found.map_or(Part::Other, |(at, _)| Part::Measure(*at))
    };
    let header = sample.first.iter().any(|name| named(name) != Part::Other);
    let mut parts: Vec<Part> = if header {
        sample.first.iter().map(named).collect()
    } else {
        unnamed(sample, &measures)
    };
    let by_name = header && (sample.rows.is_empty() || parts.len() >= sample.width());
    if header && sample.short_header() {
        parts.insert(0, Part::Other);
    }
    if !by_name {
        parts.resize(parts.len().max(sample.width()), Part::Other);
    }
    let missing = measures
        .iter()
        .filter(|(at, _)| !parts.contains(&Part::Measure(*at)));
    let mut missing: Vec<String> = missing.map(|(_, c)| c.name.clone()).collect();
    find_time(sample, &mut parts, header);
    find_sensor(sample, &mut parts, by_name);
    let pair = parts.contains(&Part::Date) && parts.contains(&Part::Time);
    if !(pair || parts.contains(&Part::Stamp)) {
        missing.insert(0, "date and time".to_string());
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    Ok(Layout {
        parts,
        by_name,
        header,
    })
}

/// Without a header the measures are the last fields.
fn unnamed(sample: &Sample, measures: &[(usize, &Column)]) -> Vec<Part> {
    let Some(front) = sample.width().checked_sub(measures.len()) else {
        return Vec::new();
    };
    let front = std::iter::repeat_n(Part::Other, front);
    front
        .chain(measures.iter().map(|(at, _)| Part::Measure(*at)))
        .collect()
}

/// Finds the time among the other fields: by their values, or by name where no row stands.
fn find_time(sample: &Sample, parts: &mut [Part], header: bool) {
    let mut stamp = None;
    let mut date = None;
    let mut time = None;
    let others = parts.iter().enumerate().filter(|(_, p)| **p == Part::Other);
    for (at, _) in others {
        let name = sample.first.get(at).filter(|_| header);
        match kind_of(sample, at, header) {
            Some(ColumnType::Timestamp) => stamp = stamp.or(Some(at)),
            Some(ColumnType::Date) => date = date.or(Some(at)),
            Some(ColumnType::Time) => time = time.or(Some(at)),
            Some(_) => {}
            None if answers(name, &["date"]) => date = date.or(Some(at)),
            None if answers(name, &["time"]) => time = time.or(Some(at)),
            None if answers(name, &STAMP_NAMES) => stamp = stamp.or(Some(at)),
            None => {}
        }
    }
    let single = match (stamp, date, time) {
        (Some(stamp), _, _) => Some(stamp),
        (None, Some(_), Some(_)) => None,
        (None, one, other) => one.or(other).filter(|_| sample.rows.is_empty()),
    };
    let found = match single {
        Some(stamp) => vec![(Some(stamp), Part::Stamp)],
        None => vec![(date, Part::Date), (time, Part::Time)],
    };
    for (at, part) in found {
        if let Some(place) = at.and_then(|at| parts.get_mut(at)) {
            *place = part;
        }
    }
}

/// Several meters in one file are told apart by a column that is named for it and whose values come again.
fn find_sensor(sample: &Sample, parts: &mut [Part], by_name: bool) {
    let names = sample.first.iter().zip(parts).enumerate();
    let mut keyed = names.filter(|(at, (name, part))| {
        **part == Part::Other
            && named_like_key(name)
            && (sensor_name(name) == Some(SensorName::Key)
                || comes_again(&sample.column(*at, true)))
    });
    if let Some((_, (_, part))) = keyed.next().filter(|_| by_name) {
        *part = Part::Sensor;
    }
}

/// Whether values are all there and few of them differ; of one or none nothing is known.
fn comes_again(values: &[&[u8]]) -> bool {
    let different: BTreeSet<&[u8]> = values.iter().copied().collect();
    !different.contains(&b""[..]) && (values.len() < 2 || different.len() * 2 <= values.len())
}

fn answers(name: Option<&String>, names: &[&str]) -> bool {
    name.is_some_and(|n| names.contains(&crate::schema::plain_name(n).as_str()))
}

/// The type of field `at` by its first values; none where there is no value.
fn kind_of(sample: &Sample, at: usize, header: bool) -> Option<ColumnType> {
    let found = first_typed(sample, at, header);
    (found.values > 0).then_some(found.kind)
}

/// Enough values to tell a date from a time.
const FEW: usize = 200;

fn first_typed(sample: &Sample, at: usize, header: bool) -> Typed {
    let column = sample.column(at, header);
    typed(column.get(..FEW).unwrap_or(&column), false)
}

impl Layout {
    /// Whether a header says so: without one nothing but numbers speaks for the preset.
    pub fn named(&self) -> bool {
        self.header
    }

    /// The preset's schema for this file. `order` wins over what the dates say.
    pub fn schema(&self, head: &Head, sample: &Sample, order: Option<DateOrder>) -> Result<Schema> {
        let base = preset("household")?;
        let mut schema = base.clone();
        let mut columns = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            columns.extend(self.column(&base, sample, at, *part));
        }
        if self.by_name {
            // The table is the same, however the file orders its columns.
            let place = |c: &Column| base.columns.iter().position(|b| b.name == c.name);
            columns.sort_by_key(|c| match c.role {
                Role::Sensor => 0,
                _ => place(c).map_or(usize::MAX, |at| at + 1),
            });
        }
        if self.parts.contains(&Part::Sensor) {
            schema.sensor_id = None;
        }
        let times = columns.iter().filter(|c| c.role == Role::Time);
        schema.time.columns = times.map(|c| c.name.clone()).collect();
        schema.columns = columns;
        schema.time.order = match order {
            Some(order) => Some(order),
            None => Some(self.order(head, sample)?),
        };
        schema.dialect.header = Some(self.by_name);
        schema.dialect.preamble = sample.preamble + usize::from(self.header && !self.by_name);
        Ok(schema)
    }

    fn column(&self, base: &Schema, sample: &Sample, at: usize, part: Part) -> Option<Column> {
        let renamed = |name: &str, kind: ColumnType| {
            let mut column = Column::new(name, kind);
            column.role = Role::Time;
            if self.by_name {
                column.names = sample.first.get(at).cloned().into_iter().collect();
            }
            column
        };
        match part {
            Part::Measure(index) => base.columns.get(index).cloned(),
            Part::Date => Some(renamed("date", ColumnType::Date)),
            Part::Time => Some(renamed("time", ColumnType::Time)),
            Part::Stamp => Some(renamed("time", ColumnType::Timestamp)),
            Part::Sensor => sample.first.get(at).map(|name| Column {
                role: Role::Sensor,
                ..Column::new(name, ColumnType::Text)
            }),
            Part::Other if self.by_name => None,
            Part::Other => Some(Column {
                role: Role::Ignore,
                ..Column::new(format!("field_{}", at + 1), ColumnType::Text)
            }),
        }
    }

    /// Whether all of the first stamps carry a zone.
    pub fn zoned(&self, sample: &Sample) -> bool {
        let stamp = self.parts.iter().position(|p| *p == Part::Stamp);
        let typed = stamp.map(|at| first_typed(sample, at, self.header));
        typed.is_some_and(|t| t.values > 0 && t.zoned == t.values)
    }

    /// The preset's dates are day, month, year, unless the file holds one that cannot be.
    fn order(&self, head: &Head, sample: &Sample) -> Result<DateOrder> {
        let at = self
            .parts
            .iter()
            .position(|p| matches!(p, Part::Date | Part::Stamp));
        let Some(at) = at else {
            return Ok(DateOrder::Dmy);
        };
        let found = first_typed(sample, at, self.header);
        if found.values == 0 || found.orders == Orders::ANY {
            return Ok(DateOrder::Dmy);
        }
        let orders = further::look(head, sample, at, found.orders)?;
        Ok(orders.only().unwrap_or(DateOrder::Dmy))
    }
}

/// Whether `schema` is the preset, perhaps with another zone, step or the like.
pub(super) fn is_preset(schema: &Schema) -> Result<bool> {
    let base = preset("household")?;
    Ok(schema.columns == base.columns && schema.time.columns == base.time.columns)
}

/// The preset for a file that was said to be of it; what `told` says otherwise, wins.
pub(super) fn resolve(head: &Head, sample: &Sample, told: &Schema) -> Result<Schema> {
    let base = preset("household")?;
    let order = told
        .time
        .order
        .filter(|_| told.time.order != base.time.order);
    let layout = layout(sample, &base).map_err(|missing| lacking(head, sample, &missing))?;
    let found = layout.schema(head, sample, order)?;
    let mut schema = told.clone();
    schema.columns = found.columns;
    schema.time = found.time;
    if told.sensor_id == base.sensor_id {
        schema.sensor_id = found.sensor_id;
    } else if told.sensor_id.is_some() {
        schema.columns.retain(|c| c.role != Role::Sensor);
    }
    schema.dialect.header = found.dialect.header;
    schema.dialect.preamble = found.dialect.preamble;
    Ok(schema)
}

fn lacking(head: &Head, sample: &Sample, missing: &[String]) -> Error {
    let first: Vec<&str> = sample.first.iter().take(12).map(String::as_str).collect();
    Error::new(
        Kind::Schema,
        format!(
            "{} lacks {} of the preset \"household\"; its first line is {:?}: check the file, or declare a schema",
            head.name(),
            missing.join(", "),
            first.join(" "),
        ),
    )
}
