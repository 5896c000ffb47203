//! The Python binding: extracts arguments, calls [`block`], wraps the result. It decides nothing.
//!
//! | part | does |
//! |---|---|
//! | [`error`] | the house's `Error` to the exception the caller acts on |
//! | [`block`] | waits without the GIL and looks for signals |
//! | [`arrow`] | Arrow PyCapsules in and out |
//! | `table`, `rows`, `concat` | tables, their rows as Python values, several as one |
//! | `schema`, `sniff`, `reading`, `reader`, `source`, `kafka`, `letters` | declarations; whole files; rows piece by piece; the simulator; topics; dead letters |
//! | `spec`, `pipeline`, `follow`, `state`, `stored` | definitions; runs; runs under way; what a home holds; what any store holds |
//!
//! Signatures with defaults, docstrings for users and displays are in `python/wattline`.

mod arrow;
mod block;
mod concat;
mod error;
mod follow;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod letters;
mod pipeline;
mod reader;
mod reading;
mod rows;
mod schema;
mod sniff;
mod source;
mod spec;
mod state;
mod stored;
mod table;

use pyo3::prelude::*;

/// The native half of `wattline`.
#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<table::Table>()?;
    m.add_class::<schema::Schema>()?;
    m.add_class::<reader::Reader>()?;
    m.add_function(wrap_pyfunction!(sniff::sniff, m)?)?;
    m.add_function(wrap_pyfunction!(reading::read_csv, m)?)?;
    m.add_function(wrap_pyfunction!(reading::scan_csv, m)?)?;
    m.add_function(wrap_pyfunction!(reading::replay, m)?)?;
    m.add_class::<pipeline::PyControl>()?;
    m.add_class::<follow::Follow>()?;
    m.add_function(wrap_pyfunction!(pipeline::run, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::windows, m)?)?;
    m.add_function(wrap_pyfunction!(state::check, m)?)?;
    m.add_function(wrap_pyfunction!(state::state, m)?)?;
    m.add_function(wrap_pyfunction!(state::open_windows, m)?)?;
    m.add_function(wrap_pyfunction!(state::repair, m)?)?;
    m.add_function(wrap_pyfunction!(state::export_state, m)?)?;
    m.add_function(wrap_pyfunction!(state::partitions, m)?)?;
    m.add_function(wrap_pyfunction!(state::sensors, m)?)?;
    m.add_class::<stored::PyStored>()?;
    m.add_function(wrap_pyfunction!(spec::checked_spec, m)?)?;
    m.add_function(wrap_pyfunction!(spec::checked_endpoint, m)?)?;
    m.add_function(wrap_pyfunction!(spec::spec_from_toml, m)?)?;
    m.add_function(wrap_pyfunction!(spec::spec_to_toml, m)?)?;
    m.add_function(wrap_pyfunction!(spec::masked, m)?)?;
    m.add_function(wrap_pyfunction!(spec::redacted, m)?)?;
    m.add_function(wrap_pyfunction!(spec::read_text, m)?)?;
    m.add_function(wrap_pyfunction!(concat::concat, m)?)?;
    m.add_function(wrap_pyfunction!(source::simulate, m)?)?;
    m.add_function(wrap_pyfunction!(source::write_uci, m)?)?;
    #[cfg(feature = "kafka")]
    kafka::add_to(m)?;
    #[cfg(feature = "kafka")]
    letters::add_to(m)?;
    Ok(())
}
