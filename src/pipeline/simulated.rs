//! A simulation as a table of readings.

use super::task::tables::{readings_rows, readings_schema};
use crate::schema::{METADATA_KEY, Readings};
use crate::source::simulate::Simulated;
use crate::source::{FileName, Source};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema as ArrowSchema, SchemaRef};
use std::collections::HashMap;
use std::sync::Arc;

/// Columns of a readings table that say nothing here: `quality`, `file`, `stream`, `row`.
const BESIDES: usize = 4;

/// All readings of the simulation that a `sim://` URL describes: `sensor_id`, `time`, measures.
/// The columns' metadata hold its schema.
pub fn simulated(url: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let source = Simulated::parse(url, None)?;
    let columns = columns(&source)?;
    let batches = source
        .readings()?
        .iter()
        .map(|readings| table(&columns, readings))
        .collect::<Result<_>>()?;
    Ok((columns, batches))
}

/// Simulated readings under the columns of their table.
pub(crate) fn table(columns: &SchemaRef, readings: &Readings) -> Result<RecordBatch> {
    let kept: Vec<usize> = (0..columns.fields().len()).collect();
    let rows: RecordBatch = readings_rows(readings, &FileName::default())?;
    let batch = rows
        .project(&kept)
        .and_then(|b| b.with_schema(columns.clone()));
    batch.map_err(|e| {
        Error::new(
            Kind::Internal,
            format!("simulated rows do not fit their table: {e}"),
        )
    })
}

/// The columns of a simulation's table.
pub(crate) fn columns(source: &Simulated) -> Result<SchemaRef> {
    let all = readings_schema(&source.measures(), &source.attributes());
    let json = serde_json::to_string(&source.schema()).map_err(|e| {
        Error::new(
            Kind::Internal,
            format!("a schema could not be written: {e}"),
        )
    })?;
    let measures = source.measures();
    let unit = |name: &str| {
        measures
            .iter()
            .find(|m| m.name == name)
            .and_then(|m| m.unit.clone())
    };
    let with_unit = |field: &Arc<Field>| match unit(field.name()) {
        Some(unit) => field
            .as_ref()
            .clone()
            .with_metadata(HashMap::from([("wattline:unit".to_string(), unit)])),
        None => field.as_ref().clone(),
    };
    let fields: Vec<Field> = all
        .fields()
        .iter()
        .take(all.fields().len() - BESIDES)
        .map(with_unit)
        .collect();
    let metadata = HashMap::from([(METADATA_KEY.to_string(), json)]);
    Ok(Arc::new(ArrowSchema::new(fields).with_metadata(metadata)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_two_houses() {
        let (columns, batches) =
            simulated("sim://?sensors=2&start=2026-01-01&end=2026-01-02").unwrap();
        assert_eq!(
            batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
            2 * 1440
        );
        assert_eq!(columns.field(0).name(), "sensor_id");
        assert!(columns.metadata().contains_key(METADATA_KEY));
        assert!(simulated("sim://?sensors=2").is_err());
    }
}
