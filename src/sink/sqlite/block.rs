//! Rows as one run of bytes, value after value in the order of the statement: made on the pool, read by the one thread
//! that writes. SQLite takes a row at a time, and forty Arrow columns are forty places in memory; here they are one.

use crate::sink::cells::{Cell, Cells};
use crate::sink::instant::IsoText;
use std::ops::Range;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;

/// Some rows.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub rows: usize,
    bytes: Vec<u8>,
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
}

impl Block {
    /// The rows of `range`.
    pub fn of(cells: &Cells, range: Range<usize>) -> Block {
        let columns = &cells.columns;
        let mut block = Block {
            rows: range.len(),
            bytes: Vec::with_capacity(range.len() * columns.len() * 10),
        };
        let mut iso: Vec<IsoText> = columns.iter().map(formatter).collect();
        for row in range {
            for (cell, iso) in columns.iter().zip(&mut iso) {
                match cell {
                    Cell::Id => block.text(&cells.identity.text(row)),
                    cell => block.put(cell, iso, row),
                }
            }
        }
        block
    }

    fn put(&mut self, cell: &Cell, iso: &mut IsoText, row: usize) {
        if cell.is_null(row) {
            return self.bytes.push(NULL);
        }
        match cell {
            Cell::Text(a) => self.text(a.value(row)),
            Cell::Integer(a) => self.eight(INTEGER, a.value(row).to_le_bytes()),
            Cell::Real(a) => self.eight(REAL, a.value(row).to_le_bytes()),
            Cell::Flag(a) => self.eight(INTEGER, i64::from(a.value(row)).to_le_bytes()),
            Cell::Time(a, _) => self.text(iso.text(a.value(row))),
            Cell::Id => self.bytes.push(NULL),
        }
    }

    fn eight(&mut self, tag: u8, value: [u8; 8]) {
        let mut nine = [tag; 9];
        nine[1..].copy_from_slice(&value);
        self.bytes.extend_from_slice(&nine);
    }

    fn text(&mut self, text: &str) {
        let length = (text.len() as u32).to_le_bytes();
        self.bytes.push(TEXT);
        self.bytes.extend_from_slice(&length);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// The value at `at`, and where the next one is.
    pub fn value(&self, at: usize) -> (Value<'_>, usize) {
        let (tag, rest) = match self.bytes.get(at..).and_then(<[u8]>::split_first) {
            Some((tag, rest)) => (*tag, rest),
            None => return (Value::Null, at),
        };
        let eight = || rest.first_chunk::<8>().copied().unwrap_or_default();
        match tag {
            INTEGER => (Value::Integer(i64::from_le_bytes(eight())), at + 9),
            REAL => (Value::Real(f64::from_le_bytes(eight())), at + 9),
            TEXT => {
                let length = rest.first_chunk::<4>().copied().unwrap_or_default();
                let length = u32::from_le_bytes(length) as usize;
                let bytes = rest.get(4..4 + length).unwrap_or_default();
                let text = std::str::from_utf8(bytes).unwrap_or_default();
                (Value::Text(text), at + 5 + length)
            }
            _ => (Value::Null, at + 1),
        }
    }
}

/// A formatter of its own for each block.
fn formatter(cell: &Cell) -> IsoText {
    match cell {
        Cell::Time(_, iso) => iso.clone(),
        _ => IsoText::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_order() {
        let cells = [
            Cell::Text(vec![Some("a;'ü"), None].into()),
            Cell::Integer(vec![Some(-7), None].into()),
            Cell::Real(vec![Some(0.1), None].into()),
            Cell::Flag(vec![Some(true), None].into()),
            Cell::Time(vec![Some(1_500_000), None].into(), IsoText::new()),
        ];
        let mut block = Block::default();
        for row in 0..2 {
            let put = |cell| block.put(cell, &mut IsoText::new(), row);
            cells.iter().for_each(put);
        }
        let mut at = 0;
        let mut next = || {
            let (value, after) = block.value(at);
            at = after;
            value
        };
        let first = [
            Value::Text("a;'ü"),
            Value::Integer(-7),
            Value::Real(0.1),
            Value::Integer(1),
            Value::Text("1970-01-01 00:00:01.500000"),
        ];
        assert_eq!([next(), next(), next(), next(), next()], first);
        assert_eq!([next(), next(), next(), next(), next()], [Value::Null; 5]);
        assert_eq!(block.value(at), (Value::Null, at));
    }
}
