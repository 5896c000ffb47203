//! Topics: `produce`, `read_kafka`, `scan_kafka`.

use super::pipeline::{PyControl, ended, handed};
use super::reader::{Pieces, Reader};
use super::sniff::choice;
use super::table::Table;
use super::{block, error};
use crate::csv::LocalPolicy;
use crate::produce::{Options, produce as send};
use crate::reject::{OnReject, Reject};
use crate::source::kafka::{Bound, Scan, ScanOptions};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use pyo3::prelude::*;

/// The options of a range as JSON has them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    #[serde(default)]
    since: Option<Bound>,
    #[serde(default)]
    until: Option<Bound>,
    #[serde(default)]
    limit: Option<u64>,
    #[serde(default)]
    on_reject: OnReject,
    #[serde(default)]
    max_rejects: Option<u64>,
}

/// Sends data to a topic.
#[pyfunction]
fn produce(
    py: Python<'_>,
    url: String,
    options: &str,
    data: Option<&Any_<'_>>,
    control: &pyo3::Bound<'_, PyControl>,
    tick: Option<&Any_<'_>>,
) -> PyResult<Py<PyAny>> {
    let options = Options::from_json(options).map_err(|e| error::exception(py, &e))?;
    let (data, control) = (handed(data)?, control.get().0.clone());
    let wire = control.clone();
    let work = move || send(&url, &options, data, &wire);
    let waited = block::wait(py, Some(&control), tick, work)?;
    match waited.result {
        Ok(report) => ended(py, &report, waited.signal),
        Err(error) => Err(error::exception(py, &error)),
    }
}

type Any_<'py> = pyo3::Bound<'py, PyAny>;

fn opened(py: Python<'_>, url: String, options: &str, schema: Option<&Any_<'_>>) -> PyResult<Scan> {
    let told: Result<Range> = serde_json::from_str(options).map_err(|e| {
        // Where it stands in the JSON is nothing to a person.
        let told = e.to_string();
        let told = told.split(" at line ").next().unwrap_or_default();
        let told = crate::wording::plain(told);
        Error::new(
            Kind::Usage,
            format!("an option of the range is wrong: {told}"),
        )
    });
    let range = told.map_err(|e| error::exception(py, &e))?;
    let options = ScanOptions {
        schema: choice(schema)?,
        since: range.since,
        until: range.until,
        limit: range.limit,
        local: LocalPolicy::default(),
        on_reject: range.on_reject,
        max_rejects: range.max_rejects.unwrap_or(10_000),
    };
    block::block(py, move || Scan::open(&url, options))
}

/// Reads a range of a topic whole.
#[pyfunction]
fn read_kafka(
    py: Python<'_>,
    url: String,
    options: &str,
    schema: Option<&Any_<'_>>,
    control: &pyo3::Bound<'_, PyControl>,
) -> PyResult<Table> {
    let scan = opened(py, url, options, schema)?;
    let columns = scan.columns();
    let control = control.get().0.clone();
    let wire = control.clone();
    let work = move || {
        let (mut scan, mut batches) = (scan, Vec::new());
        while let Some(batch) = scan.piece()? {
            batches.push(batch);
            if wire.stopped() {
                return Err(Error::new(Kind::Interrupted, "the read was interrupted"));
            }
        }
        Ok((batches, scan.take_rejects()))
    };
    let waited = block::wait(py, Some(&control), None, work)?;
    if let Some(signal) = waited.signal {
        return Err(signal);
    }
    let (batches, rejects) = waited.result.map_err(|e| error::exception(py, &e))?;
    Table::new(columns, batches).with_rejects(py, &rejects)
}

/// Opens a range of a topic to be read piece by piece.
#[pyfunction]
fn scan_kafka(
    py: Python<'_>,
    url: String,
    options: &str,
    schema: Option<&Any_<'_>>,
) -> PyResult<Reader> {
    let scan = opened(py, url, options, schema)?;
    Ok(Reader::of(scan.columns(), scan))
}

impl Pieces for Scan {
    fn piece(&mut self) -> Result<Option<RecordBatch>> {
        Scan::piece(self)
    }

    fn take_rejects(&mut self) -> Vec<Reject> {
        Scan::take_rejects(self)
    }
}

/// A `kafka://` URL as it may be shown.
#[pyfunction]
fn kafka_shown(py: Python<'_>, url: &str) -> PyResult<String> {
    crate::kafka::Config::parse(url)
        .map(|config| config.to_string())
        .map_err(|e| error::exception(py, &e))
}

/// Registers the functions.
pub(super) fn add_to(m: &pyo3::Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(produce, m)?)?;
    m.add_function(wrap_pyfunction!(read_kafka, m)?)?;
    m.add_function(wrap_pyfunction!(scan_kafka, m)?)?;
    m.add_function(wrap_pyfunction!(kafka_shown, m)?)?;
    Ok(())
}
