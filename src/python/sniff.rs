//! `sniff`, and the ways to say which schema is meant.

use super::schema::Schema;
use super::{block, error};
use crate::csv::{self, Hints, SchemaChoice, Sniffed};
use crate::input;
use crate::pipeline::schema_file;
use crate::schema;
use crate::{Error, Kind};
use pyo3::prelude::*;

/// Proposes a schema for the first input that `paths` name.
#[pyfunction]
pub(super) fn sniff(
    py: Python<'_>,
    paths: Vec<String>,
    delimiter: Option<char>,
    header: Option<bool>,
    order: Option<&str>,
) -> PyResult<Schema> {
    let order = order.map(|o| date_order(py, o)).transpose()?;
    let hints = Hints {
        delimiter,
        header,
        order,
        ..Hints::default()
    };
    let found: Sniffed = block::block(py, move || {
        let inputs = input::expand(&paths)?;
        let first = inputs.first().ok_or_else(|| {
            Error::new(Kind::Usage, "no input is named; name a file, a glob or -")
        })?;
        csv::sniff(&input::head(first, input::HEAD)?, &hints)
    })?;
    Ok(Schema::sniffed(found))
}

fn date_order(py: Python<'_>, name: &str) -> PyResult<schema::DateOrder> {
    let refused = || {
        Error::new(
            Kind::Usage,
            format!("order {name:?} is none; use dmy, mdy or ymd"),
        )
    };
    serde_json::from_value(name.into()).map_err(|_| error::exception(py, &refused()))
}

/// How the caller chose a schema: nothing, a preset's name, a path to TOML, or a `Schema`.
pub(super) fn choice(schema: Option<&Bound<'_, PyAny>>) -> PyResult<SchemaChoice> {
    let Some(told) = schema else {
        return Ok(SchemaChoice::Sniff);
    };
    if let Ok(schema) = told.cast::<Schema>() {
        return Ok(SchemaChoice::Declared(Box::new(
            (*schema.get().inner).clone(),
        )));
    }
    let name: String = told.str()?.extract()?;
    if !name.ends_with(".toml") {
        return Ok(SchemaChoice::Preset(name));
    }
    let read = schema_file(&name).map_err(|e| error::exception(told.py(), &e))?;
    Ok(SchemaChoice::Declared(Box::new(read)))
}
