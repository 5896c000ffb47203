//! `read_csv` and `scan_csv`.

use super::reader::Reader;
use super::schema::Schema;
use super::sniff::choice;
use super::table::Table;
use super::{block, error};
use crate::csv::{Dataset, LocalPolicy, ReadOptions};
use crate::input;
use crate::reject::{self, Reject};
use crate::schema::{self, METADATA_KEY};
use crate::{Error, Kind};
use arrow_schema::SchemaRef;
use pyo3::prelude::*;
use std::path::PathBuf;

/// A policy by its word.
fn policy<T: serde::de::DeserializeOwned>(
    py: Python<'_>,
    name: &str,
    word: &str,
    words: &str,
) -> PyResult<T> {
    serde_json::from_value(word.into()).map_err(|_| {
        let refused = format!("{name} {word:?} is none; use {words}");
        error::exception(py, &Error::new(Kind::Usage, refused))
    })
}

/// What both functions are told: rejects, their limit, threads, repeated and missing local times, the longest line.
type Told<'a> = (
    &'a str,
    Option<u64>,
    Option<usize>,
    &'a str,
    &'a str,
    Option<usize>,
);

fn options(py: Python<'_>, told: Told<'_>) -> PyResult<ReadOptions> {
    let (on_reject, max_rejects, threads, on_repeated, on_missing, max_line_bytes) = told;
    let plain = ReadOptions::default();
    Ok(ReadOptions {
        on_reject: policy(py, "on_reject", on_reject, "raise, collect or skip")?,
        threads,
        max_rejects: max_rejects.unwrap_or(plain.max_rejects),
        max_line_bytes: max_line_bytes.unwrap_or(plain.max_line_bytes),
        local: LocalPolicy {
            on_repeated: policy(
                py,
                "on_repeated",
                on_repeated,
                "raise, infer, earliest, latest or null",
            )?,
            on_missing: policy(py, "on_missing", on_missing, "raise, shift or null")?,
        },
        ..plain
    })
}

/// Opens a dataset: what both functions share.
fn opened(
    py: Python<'_>,
    paths: Vec<String>,
    schema: Option<&Bound<'_, PyAny>>,
    columns: Option<Vec<String>>,
    options: ReadOptions,
) -> PyResult<Dataset> {
    let choice = choice(schema)?;
    let stop = options.stop.clone();
    block::stoppable(py, &stop, move || {
        Dataset::open(&paths, choice, columns.as_deref(), options)
    })
}

/// Reads text files whole.
#[pyfunction]
pub(super) fn read_csv(
    py: Python<'_>,
    paths: Vec<String>,
    schema: Option<&Bound<'_, PyAny>>,
    columns: Option<Vec<String>>,
    told: Told<'_>,
) -> PyResult<Table> {
    let options = options(py, told)?;
    let stop = options.stop.clone();
    let dataset = opened(py, paths, schema, columns, options)?;
    let names = dataset.columns();
    let read = block::stoppable(py, &stop, move || dataset.read())?;
    Table::new(names, read.batches).with_rejects(py, &read.rejects)
}

/// Reads the mended records of a mend file.
#[pyfunction]
pub(super) fn replay(
    py: Python<'_>,
    mended: PathBuf,
    paths: Vec<String>,
    schema: Option<&Bound<'_, PyAny>>,
    local: (&str, &str),
) -> PyResult<Table> {
    let options = options(py, ("collect", None, None, local.0, local.1, None))?;
    let dataset = opened(py, paths, schema, None, options)?;
    let names = dataset.columns();
    let read = block::block(py, move || {
        let name = mended.display().to_string();
        dataset.replay(&std::fs::read(&mended).map_err(|e| input::read_error(&name, e))?)
    })?;
    Table::new(names, read.batches).with_rejects(py, &read.rejects)
}

/// Rejects as a table.
pub(super) fn rejects_table(py: Python<'_>, rejects: &[Reject]) -> PyResult<Table> {
    let batch = reject::table(rejects).map_err(|e| {
        error::exception(
            py,
            &Error::new(
                Kind::Internal,
                format!("rejects do not fit their table: {e}"),
            ),
        )
    })?;
    Ok(Table::new(batch.schema(), vec![batch]))
}

/// The schema that a table's metadata hold.
pub(super) fn schema_in(columns: &SchemaRef) -> Option<Schema> {
    let json = columns.metadata().get(METADATA_KEY)?;
    schema::Schema::from_json(json).ok().map(Schema::declared)
}

/// Opens text files to be read piece by piece.
#[pyfunction]
pub(super) fn scan_csv(
    py: Python<'_>,
    paths: Vec<String>,
    schema: Option<&Bound<'_, PyAny>>,
    columns: Option<Vec<String>>,
    told: Told<'_>,
) -> PyResult<Reader> {
    let dataset = opened(py, paths, schema, columns, options(py, told)?)?;
    Ok(Reader::of(dataset.columns(), dataset.scan()))
}
