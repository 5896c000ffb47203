//! Sensor keys: text, dictionary or integer columns, one or several, to codes and distinct names.

use super::canonical::cast;
use super::readings::SensorKeys;
use super::roles::is_text;
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use hashbrown::HashMap;
use std::sync::Arc;

/// The sensors of a batch: of the columns (several are joined with `/`), or the constant.
pub(crate) fn sensor_keys(
    batch: &RecordBatch,
    columns: &[usize],
    constant: &Arc<str>,
) -> Result<SensorKeys> {
    if let [i] = columns
        && let Some(only) = only(batch.column(*i))
    {
        return Ok(SensorKeys::Constant(only));
    }
    let parts = columns
        .iter()
        .map(|i| coded(batch.column(*i), batch.schema_ref().field(*i).name()));
    let mut parts = parts.collect::<Result<Vec<_>>>()?.into_iter();
    let Some(mut keys) = parts.next() else {
        return Ok(SensorKeys::Constant(constant.clone()));
    };
    for part in parts {
        keys = joined(&keys, &part);
    }
    Ok(match keys.names.as_slice() {
        [only] => SensorKeys::Constant(only.clone()),
        _ => SensorKeys::Coded {
            codes: keys.codes.into(),
            names: keys.names.into(),
        },
    })
}

/// The one name that all rows of a dictionary have, as in a table of one sensor.
fn only(column: &ArrayRef) -> Option<Arc<str>> {
    let any = column.as_any_dictionary_opt()?;
    let values = any.values().as_string_opt::<i32>()?;
    let all = values.len() == 1 && values.is_valid(0) && any.keys().null_count() == 0;
    all.then(|| values.value(0).into())
}

/// Codes and the distinct names they stand for.
struct Coded {
    codes: Vec<u32>,
    names: Vec<Arc<str>>,
}

/// Gives each distinct text a code, in order of first sight.
#[derive(Default)]
struct Interner<'a> {
    codes: HashMap<&'a str, u32>,
    names: Vec<Arc<str>>,
    last: Option<(&'a str, u32)>,
}

impl<'a> Interner<'a> {
    fn code(&mut self, text: &'a str) -> u32 {
        if let Some((last, code)) = self.last
            && last == text
        {
            return code;
        }
        let next = self.names.len() as u32;
        let code = *self.codes.entry(text).or_insert(next);
        if code == next {
            self.names.push(text.into());
        }
        self.last = Some((text, code));
        code
    }
}

fn coded(column: &ArrayRef, name: &str) -> Result<Coded> {
    match column.data_type() {
        DataType::Dictionary(..) => dictionary(column, name),
        kind if is_text(kind) => Ok(texts(column)),
        kind if kind.is_integer() => Ok(texts(&cast(column, &DataType::Utf8, name)?)),
        DataType::Null => Ok(Coded {
            codes: vec![0; column.len()],
            names: vec!["".into()],
        }),
        kind => Err(Error::new(
            Kind::Schema,
            format!(
                "column {name:?} names the sensor but holds {kind}; a sensor is named by text or a whole number"
            ),
        )),
    }
}

fn texts(column: &ArrayRef) -> Coded {
    let mut seen = Interner::default();
    let codes = match column.data_type() {
        DataType::Utf8 => column
            .as_string::<i32>()
            .iter()
            .map(|t| seen.code(t.unwrap_or("")))
            .collect(),
        DataType::LargeUtf8 => column
            .as_string::<i64>()
            .iter()
            .map(|t| seen.code(t.unwrap_or("")))
            .collect(),
        _ => column
            .as_string_view()
            .iter()
            .map(|t| seen.code(t.unwrap_or("")))
            .collect(),
    };
    Coded {
        codes,
        names: seen.names,
    }
}

/// Only names in use get a code; a dictionary may repeat a value or hold others.
fn dictionary(column: &ArrayRef, name: &str) -> Result<Coded> {
    let any = column.as_any_dictionary();
    let values = coded(any.values(), name)?;
    let keys = cast(
        &arrow_array::make_array(any.keys().to_data()),
        &DataType::UInt32,
        name,
    )?;
    let keys = keys.as_primitive::<UInt32Type>();
    let mut used: Vec<Option<u32>> = vec![None; values.names.len() + 1];
    let mut names = Vec::new();
    let mut code = |key: Option<u32>| {
        let value = key.and_then(|k| values.codes.get(k as usize).copied());
        let place = value.map_or(values.names.len(), |v| v as usize);
        *used[place].get_or_insert_with(|| {
            names.push(
                values
                    .names
                    .get(place)
                    .cloned()
                    .unwrap_or_else(|| "".into()),
            );
            names.len() as u32 - 1
        })
    };
    let codes = keys.iter().map(&mut code).collect();
    Ok(Coded { codes, names })
}

fn joined(left: &Coded, right: &Coded) -> Coded {
    let mut seen: HashMap<(u32, u32), u32> = HashMap::new();
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut code = |(l, r): (&u32, &u32)| {
        *seen.entry((*l, *r)).or_insert_with(|| {
            names.push(format!("{}/{}", left.names[*l as usize], right.names[*r as usize]).into());
            names.len() as u32 - 1
        })
    };
    let codes = left.codes.iter().zip(&right.codes).map(&mut code).collect();
    Coded { codes, names }
}
