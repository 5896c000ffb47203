//! Size: how much the rows of a table hold.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

/// Bytes of the values in a table's rows. Arrow's own answer counts the memory they lie in, which the columns of
/// a windows table share, and so does each part of a table that was cut.
pub fn bytes_of(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|c| column(c.as_ref())).sum()
}

fn column(array: &dyn Array) -> usize {
    let n = array.len();
    let nulls = array.nulls().map_or(0, |_| n.div_ceil(8));
    let values = match array.data_type() {
        DataType::Boolean => n.div_ceil(8),
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            let ends = offsets.first().zip(offsets.last());
            4 * n + ends.map_or(0, |(first, last)| (last - first) as usize)
        }
        DataType::Dictionary(..) => {
            let coded = array.as_dictionary_opt::<Int32Type>();
            4 * n + coded.map_or(0, |c| column(c.values().as_ref()))
        }
        other => match other.primitive_width() {
            Some(width) => width * n,
            None => array.get_array_memory_size(),
        },
    };
    nulls + values
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, DictionaryArray, Float64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn a_part_is_its_rows() {
        let names: DictionaryArray<Int32Type> = ["a", "a", "b", "b"].into_iter().collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("name", Arc::new(names)),
            (
                "text",
                Arc::new(StringArray::from(vec!["xyz", "", "12345", "z"])),
            ),
            (
                "value",
                Arc::new(Float64Array::from(vec![Some(1.0), None, Some(2.0), None])),
            ),
        ];
        let all = RecordBatch::try_from_iter(columns).unwrap();
        let dictionary = 2 * 4 + 2;
        assert_eq!(bytes_of(&all), 16 + dictionary + 16 + 9 + 32 + 1);
        assert_eq!(bytes_of(&all.slice(2, 1)), 4 + dictionary + 4 + 5 + 8 + 1);
    }
}
