//! Some rows of a batch, as a batch.

use crate::schema::{Readings, RowIds, SensorKeys, Step};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{BooleanArray, Float64Array};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, ScalarBuffer};

/// The rows of `readings` whose bit is set, in their order.
pub fn select(readings: &Readings, rows: &BooleanBuffer) -> Result<Readings> {
    let mask = BooleanArray::new(rows.clone(), None);
    let pick = |column: &Float64Array| {
        arrow_select::filter::filter(column, &mask)
            .map(|c| c.as_primitive::<Float64Type>().clone())
            .map_err(|e| {
                Error::new(
                    Kind::Internal,
                    "rows could not be selected; please report it",
                )
                .because(e)
            })
    };
    Ok(Readings {
        measures: readings.measures.clone(),
        sensors: match &readings.sensors {
            SensorKeys::Constant(name) => SensorKeys::Constant(name.clone()),
            SensorKeys::Coded { codes, names } => SensorKeys::Coded {
                codes: some(codes, rows),
                names: names.clone(),
            },
        },
        time: some(&readings.time, rows),
        values: readings.values.iter().map(pick).collect::<Result<_>>()?,
        quality: readings.quality.as_ref().map(|q| some(q, rows)),
        step: match &readings.step {
            Step::Rows(steps) => Step::Rows(some(steps, rows)),
            step => step.clone(),
        },
        file: readings.file,
        attributes: readings.attributes.filter(&mask)?,
        rows: RowIds::Listed(rows.set_indices().map(|i| readings.row(i)).collect()),
    })
}

fn some<T: ArrowNativeType>(all: &ScalarBuffer<T>, rows: &BooleanBuffer) -> ScalarBuffer<T> {
    rows.set_indices().map(|i| all[i]).collect()
}
