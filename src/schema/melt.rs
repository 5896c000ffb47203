//! Files with several values of one measure in a record: sensors as columns (wide), or one line a
//! day with a column for each step. The reader gives one row a value.

use super::columns::{Column, ColumnType, MeasureKind, Role, Schema, Stamp, StepSpec};
use crate::time::{DAY, duration};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

/// Which columns are values of one measure, and what tells them apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Melt {
    /// What a column stands for.
    pub into: MeltInto,
    /// Their names in the header; empty: every column that has a name and is not declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The measure: name, type, kind, unit and valid range of the values.
    pub value: Box<Column>,
}

/// What tells the values of a record apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeltInto {
    /// Each column is a sensor, named by the header.
    Sensor,
    /// Each column is a step of the day, counted from its first instant: 24 of an hour, and 23 or 25
    /// on the days when the clock changes. Columns beyond the day's end are empty.
    Time,
}

/// Name of the column of the sensor that a wide file becomes.
const SENSOR: &str = "sensor_id";

impl Schema {
    /// The schema of the rows that the reader gives: one value a row.
    pub fn long(&self) -> Schema {
        let mut long = self.clone();
        let Some(melt) = long.melt.take() else {
            return long;
        };
        match melt.into {
            MeltInto::Sensor => {
                let mut sensor = Column::new(SENSOR, ColumnType::Text);
                sensor.role = Role::Sensor;
                long.columns.push(sensor);
            }
            MeltInto::Time => {
                let times = &long.time.columns;
                let days = long.columns.iter_mut().filter(|c| times.contains(&c.name));
                days.for_each(|c| c.kind = ColumnType::Timestamp);
            }
        }
        long.columns.push(*melt.value);
        long
    }

    /// Fills in what the value is for.
    pub(super) fn complete_melt(&mut self) {
        if let Some(melt) = &mut self.melt {
            melt.value.role = Role::Measure;
            melt.value.measure.get_or_insert(MeasureKind::Gauge);
        }
    }

    pub(super) fn check_melt(&self) -> Result<()> {
        let Some(melt) = &self.melt else {
            return Ok(());
        };
        if self.columns.iter().any(|c| c.role == Role::Measure) {
            return wrong(
                "beside melt.value no column can be a measure: each row holds one value; give the others another role",
            );
        }
        if self.dialect.header == Some(false) {
            return wrong("melt takes its columns from the header; leave header = false out");
        }
        match melt.into {
            MeltInto::Sensor => self.check_wide(),
            MeltInto::Time => self.check_day(),
        }
    }

    fn check_wide(&self) -> Result<()> {
        let keyed = self
            .columns
            .iter()
            .any(|c| c.role == Role::Sensor || c.name == SENSOR);
        match keyed || self.sensor_id.is_some() {
            true => wrong(
                "melt makes sensors of columns, and the schema names a sensor too; drop one of the two",
            ),
            false => Ok(()),
        }
    }

    fn check_day(&self) -> Result<()> {
        let dated = match self.time.columns.as_slice() {
            [one] => self.column(one).is_some_and(|c| c.kind == ColumnType::Date),
            _ => false,
        };
        if !dated {
            return wrong(
                "melt makes times of columns, so the time is one column of type date; declare it",
            );
        }
        if self.stamp == Stamp::End {
            return wrong("melt counts the steps of a day from its first; leave stamp out");
        }
        let StepSpec::Fixed(step) = &self.step else {
            return wrong(
                "melt makes times of columns and needs to know how far they are apart; add step, for example \"1h\"",
            );
        };
        match DAY % duration::positive(step)? {
            0 => Ok(()),
            _ => wrong("the step must divide the day, where melt makes times of columns"),
        }
    }
}

fn wrong(message: &str) -> Result<()> {
    Err(Error::new(Kind::Schema, message))
}
