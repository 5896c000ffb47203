//! Schema: what the columns of a dataset are, and the canonical batch of readings.
//!
//! In: a declaration (TOML or a dictionary, through serde; unknown keys refused), a preset
//! embedded from `presets/*.toml`, or the proposal of `csv::sniff`. Out: a checked [`Schema`]
//! and [`Readings`]. Nothing here opens a file or knows a store.

mod attributes;
mod canonical;
mod check;
mod columns;
mod instants;
mod keys;
mod melt;
mod names;
mod passes;
mod presets;
mod readings;
mod replace;
mod roles;

pub use crate::time::DateOrder;
pub use attributes::{Attributes, Carried, is_attribute};
pub use canonical::{Canonical, LocalTimes, SENSOR, ToUtc, measures};
pub use columns::{
    Aggregate, Column, ColumnType, Dialect, MeasureKind, Quality, QualityMap, Role, Schema, Stamp,
    StepSpec, TimeSpec,
};
pub(crate) use keys::sensor_keys;
pub use melt::{Melt, MeltInto};
pub use names::plain_name;
pub(crate) use names::{SENSOR_ID, SensorName, named_like_key, names_sensor, sensor_name, words};
pub use passes::Passes;
pub use presets::{preset, preset_names};
pub use readings::{Measure, Readings, RowIds, SensorKeys, Step};
pub use roles::{METADATA_KEY, Overrides, infer};
