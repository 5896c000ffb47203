//! Cells as text: what a preview shows, CSV, and JSON lines (one object a row).
//!
//! Times are ISO 8601 with their zone, numbers the shortest text that reads back to the same
//! value, a missing value is an empty CSV field and a JSON `null`.

use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use std::io::Write;

/// What a column is called, what it holds in plain words, and its unit.
pub type Fact = (String, String, Option<String>);

/// Name, type and unit of each column.
pub fn facts(schema: &Schema) -> Vec<Fact> {
    schema
        .fields()
        .iter()
        .map(|f| {
            (
                f.name().clone(),
                kind(f),
                f.metadata().get("wattline:unit").cloned(),
            )
        })
        .collect()
}

/// The type of a column in plain words.
fn kind(field: &Field) -> String {
    match field.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => "integer".into(),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            "integer".into()
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "float".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Dictionary(_, values) if values.is_string() => "text".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Timestamp(_, Some(zone)) => format!("timestamp {zone}"),
        DataType::Timestamp(_, None) => "timestamp".into(),
        other => other.to_string().to_lowercase(),
    }
}

/// The first `limit` rows as text; a missing value is `None`.
pub fn rows(batches: &[RecordBatch], limit: usize) -> Result<Vec<Vec<Option<String>>>> {
    let mut out = Vec::new();
    for batch in batches {
        let cells = Cells::of(batch)?;
        for row in 0..batch.num_rows().min(limit - out.len()) {
            out.push(
                (0..cells.columns.len())
                    .map(|c| cells.text(c, row))
                    .collect::<Result<_>>()?,
            );
        }
    }
    Ok(out)
}

/// Writes the rows as CSV with a header.
pub fn csv(mut out: impl Write, schema: &Schema, batches: &[RecordBatch]) -> Result<()> {
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|f| Some(f.name().clone()))
        .collect();
    line(&mut out, &names).map_err(unwritten)?;
    for batch in batches {
        let cells = Cells::of(batch)?;
        for row in 0..batch.num_rows() {
            let texts: Vec<_> = (0..cells.columns.len())
                .map(|c| cells.text(c, row))
                .collect::<Result<_>>()?;
            line(&mut out, &texts).map_err(unwritten)?;
        }
    }
    out.flush().map_err(unwritten)
}

/// Writes the rows as JSON, one object a line.
pub fn json(mut out: impl Write, schema: &Schema, batches: &[RecordBatch]) -> Result<()> {
    let names: Vec<String> = schema.fields().iter().map(|f| quoted(f.name())).collect();
    for batch in batches {
        let cells = Cells::of(batch)?;
        for row in 0..batch.num_rows() {
            let member = |c: usize| Ok(format!("{}: {}", names[c], cells.json(c, row)?));
            let members = (0..names.len()).map(member).collect::<Result<Vec<_>>>()?;
            writeln!(out, "{{{}}}", members.join(", ")).map_err(unwritten)?;
        }
    }
    out.flush().map_err(unwritten)
}

fn line(out: &mut impl Write, cells: &[Option<String>]) -> std::io::Result<()> {
    for (i, cell) in cells.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let cell = cell.as_deref().unwrap_or("");
        if cell.contains(['"', ',', '\n', '\r']) {
            write!(out, "{comma}\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            write!(out, "{comma}{cell}")?;
        }
    }
    out.write_all(b"\n")
}

/// The cells of a batch, formatted on demand.
struct Cells<'a> {
    batch: &'a RecordBatch,
    columns: Vec<ArrayFormatter<'a>>,
}

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.f%:z"));

impl<'a> Cells<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        let columns = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &OPTIONS));
        let columns = columns
            .collect::<std::result::Result<_, _>>()
            .map_err(unshown)?;
        Ok(Cells { batch, columns })
    }

    fn text(&self, column: usize, row: usize) -> Result<Option<String>> {
        if self.batch.column(column).is_null(row) {
            return Ok(None);
        }
        self.columns[column]
            .value(row)
            .try_to_string()
            .map(|t| Some(utc(t)))
            .map_err(unshown)
    }

    fn json(&self, column: usize, row: usize) -> Result<String> {
        let Some(text) = self.text(column, row)? else {
            return Ok("null".into());
        };
        Ok(match self.batch.column(column).data_type() {
            DataType::Float64 if !finite(self.batch, column, row) => "null".into(),
            t if t.is_numeric() || *t == DataType::Boolean => text,
            _ => quoted(&text),
        })
    }
}

fn finite(batch: &RecordBatch, column: usize, row: usize) -> bool {
    let values = batch
        .column(column)
        .as_primitive_opt::<arrow_array::types::Float64Type>();
    values.is_none_or(|v| v.value(row).is_finite())
}

/// `+00:00` reads better as `Z`.
fn utc(text: String) -> String {
    match text.strip_suffix("+00:00") {
        Some(start) if text.as_bytes().get(10) == Some(&b'T') => format!("{start}Z"),
        _ => text,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn unshown(error: ArrowError) -> Error {
    Error::new(
        Kind::Usage,
        format!("a column cannot be shown as text: {error}"),
    )
}

fn unwritten(error: std::io::Error) -> Error {
    Error::new(
        Kind::Endpoint,
        format!("the rows could not be written: {error}"),
    )
    .because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        ArrayRef, BooleanArray, Float64Array, StringArray, TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let time = TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("UTC");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("time", Arc::new(time)),
            (
                "name",
                Arc::new(StringArray::from(vec![Some("a \"b\", c"), None])),
            ),
            (
                "value",
                Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN)])),
            ),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn text(how: impl Fn(&mut Vec<u8>, &Schema, &[RecordBatch]) -> Result<()>) -> String {
        let mut out = Vec::new();
        how(&mut out, &batch().schema(), &[batch()]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let lines = text(|out, schema, batches| csv(out, schema, batches));
        let wanted = "time,name,value,flag\n1970-01-01T00:00:00Z,\"a \"\"b\"\", c\",0.1,true\n1970-01-01T00:00:01.500Z,,NaN,\n";
        assert_eq!(lines, wanted);
    }

    #[test]
    fn json_lines_are_json() {
        let lines = text(|out, schema, batches| json(out, schema, batches));
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first["name"], "a \"b\", c");
        assert_eq!(first["flag"], true);
        let second: serde_json::Value =
            serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        assert!(second["value"].is_null() && second["name"].is_null());
    }

    #[test]
    fn the_preview_stops_at_its_limit() {
        assert_eq!(rows(&[batch(), batch()], 3).unwrap().len(), 3);
    }
}
