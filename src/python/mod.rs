//! The Python binding: extracts arguments, calls [`block`], wraps the result. It decides nothing.
//!
//! | part | does |
//! |---|---|
//! | [`error`] | the house's `Error` to the exception the caller acts on |
//! | [`block`] | waits without the GIL and looks for signals |
//! | [`arrow`] | Arrow PyCapsules in and out |
//! | `table`, `schema`, `reading`, `windows`, `pipeline`, `source`, `kafka` | a file per room |
//!
//! Signatures with defaults, docstrings for users and displays are in `python/wattline`.

mod arrow;
mod block;
mod error;
mod follow;
#[cfg(feature = "kafka")]
mod kafka;
mod pipeline;
mod reading;
mod rows;
mod schema;
mod source;
mod table;

use pyo3::prelude::*;

/// The native half of `wattline`.
#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<table::Table>()?;
    m.add_class::<schema::Schema>()?;
    m.add_class::<reading::Reader>()?;
    m.add_function(wrap_pyfunction!(schema::sniff, m)?)?;
    m.add_function(wrap_pyfunction!(reading::read_csv, m)?)?;
    m.add_function(wrap_pyfunction!(reading::scan_csv, m)?)?;
    m.add_function(wrap_pyfunction!(reading::replay, m)?)?;
    m.add_class::<pipeline::PyControl>()?;
    m.add_class::<follow::Follow>()?;
    m.add_function(wrap_pyfunction!(pipeline::run, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::windows, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::check, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::state, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::checked_spec, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::spec_from_toml, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::spec_to_toml, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::read_text, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::concat, m)?)?;
    m.add_function(wrap_pyfunction!(source::simulate, m)?)?;
    m.add_function(wrap_pyfunction!(source::write_uci, m)?)?;
    #[cfg(feature = "kafka")]
    kafka::add_to(m)?;
    Ok(())
}
