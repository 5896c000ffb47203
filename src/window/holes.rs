//! Holes: slots without a value between the readings of a table at hand, counted in its own step.

use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use std::collections::HashMap;

/// Slots one after the other in which a sensor has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Start of the first, µs UTC.
    pub first: i64,
    /// How many.
    pub slots: u64,
}

/// The columns that matter.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The time.
    pub time: String,
    /// What tells sensors apart; none: all rows are of one.
    pub sensors: Vec<String>,
    /// A row counts where one of these has a value.
    pub measures: Vec<String>,
}

/// The holes of all sensors, by sensor and time. A time may lie half a step off its place, so that a day of 23 or 25
/// hours is a day. Errors: `Usage` where a column is not there or is no time, or the step is none.
pub fn holes(batches: &[RecordBatch], looked: &Looked, step: i64) -> Result<Vec<Hole>> {
    if step <= 0 {
        return Err(wrong("a step is longer than nothing"));
    }
    let (mut seen, mut known) = (Vec::new(), HashMap::new());
    for batch in batches {
        gather(batch, looked, &mut known, &mut seen)?;
    }
    if !seen.is_sorted() {
        seen.sort_unstable();
    }
    let between = |pair: &[(usize, i64)]| match pair {
        [(one, from), (other, to)] if one == other => {
            let steps = to.checked_sub(*from)?.checked_add(step / 2)? / step;
            (steps > 1).then(|| Hole {
                first: from + step,
                slots: (steps - 1) as u64,
            })
        }
        _ => None,
    };
    Ok(seen.windows(2).filter_map(between).collect())
}

fn wrong(message: &str) -> Error {
    Error::new(Kind::Usage, message)
}

/// Sensor and time of each row that has a value.
fn gather(
    batch: &RecordBatch,
    looked: &Looked,
    known: &mut HashMap<Vec<String>, usize>,
    seen: &mut Vec<(usize, i64)>,
) -> Result<()> {
    let named = |name: &String| {
        let found = batch.column_by_name(name);
        found.ok_or_else(|| wrong(&format!("the table has no column {name:?}")))
    };
    let cast = |column: &ArrayRef, to: &DataType| {
        arrow_cast::cast(column, to).map_err(|e| wrong("a column cannot be looked at").because(e))
    };
    let time = named(&looked.time)?;
    let time = match time.data_type() {
        DataType::Timestamp(_, zone) => cast(
            time,
            &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        )?,
        _ => return Err(wrong(&format!("{:?} is no time", looked.time))),
    };
    let time = time.as_primitive::<TimestampMicrosecondType>();
    let measures: Vec<&ArrayRef> = looked.measures.iter().map(named).collect::<Result<_>>()?;
    let texts = |name| cast(named(name)?, &DataType::Utf8);
    let sensors: Vec<ArrayRef> = looked.sensors.iter().map(texts).collect::<Result<_>>()?;
    for row in 0..batch.num_rows() {
        let valued = measures.is_empty() || measures.iter().any(|m| m.is_valid(row));
        if !valued || time.is_null(row) {
            continue;
        }
        let text = |s: &ArrayRef| s.as_string::<i32>().value(row).to_string();
        let key: Vec<String> = sensors.iter().map(text).collect();
        let next = known.len();
        seen.push((*known.entry(key).or_insert(next), time.value(row)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    const MINUTE: i64 = 60_000_000;

    fn batch(rows: &[(i64, &str, Option<f64>)]) -> RecordBatch {
        let times: TimestampMicrosecondArray = rows.iter().map(|r| Some(r.0 * MINUTE)).collect();
        let keys: StringArray = rows.iter().map(|r| Some(r.1)).collect();
        let values: Float64Array = rows.iter().map(|r| r.2).collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("at", Arc::new(times)),
            ("meter", Arc::new(keys)),
            ("kw", Arc::new(values)),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
    }

    fn looked() -> Looked {
        Looked {
            time: "at".into(),
            sensors: vec!["meter".into()],
            measures: vec!["kw".into()],
        }
    }

    #[test]
    fn each_run_of_empty_slots_is_one_hole_of_its_sensor() {
        let rows = [
            (0, "a", Some(1.0)),
            (60, "b", Some(1.0)),
            (15, "a", None),
            (30, "a", Some(1.0)),
            (31, "a", Some(1.0)),
            (120, "b", Some(1.0)),
            (75, "a", Some(1.0)),
        ];
        let (first, second) = rows.split_at(3);
        let found = holes(&[batch(first), batch(second)], &looked(), 15 * MINUTE).unwrap();
        let hole = |at: i64, slots| Hole {
            first: at * MINUTE,
            slots,
        };
        assert_eq!(found, [hole(15, 1), hole(46, 2), hole(75, 3)]);
    }

    #[test]
    fn a_day_of_23_hours_is_a_day() {
        let rows = [(0, "a", Some(1.0)), (23 * 60, "a", Some(1.0))];
        assert_eq!(
            holes(&[batch(&rows)], &looked(), 1440 * MINUTE).unwrap(),
            []
        );
    }

    #[test]
    fn what_is_no_table_of_readings_is_refused() {
        let rows = [(0, "a", Some(1.0))];
        for (time, step) in [("when", 1), ("kw", 1), ("at", 0)] {
            let told = Looked {
                time: time.into(),
                ..looked()
            };
            assert_eq!(
                holes(&[batch(&rows)], &told, step).unwrap_err().kind,
                Kind::Usage
            );
        }
    }
}
