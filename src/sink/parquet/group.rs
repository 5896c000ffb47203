//! Rows on their way to a file: as they came, or encoded already.
//!
//! Many rows of one sensor in the order of time are encoded when they come, and a home's manifest carries the very
//! bytes that the file will hold: nothing is encoded twice, what waits is small, and little is left to do at a
//! roll. Such a group is a whole Parquet file in memory, so that it can be read again where rows turn out
//! not to be in order, or an open window has become final while nobody ran.

use super::encode::{self, Encoder};
use super::layout::{Span, in_order, span};
use crate::sink::What;
use crate::{Result, runtime};
use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use rayon::prelude::*;

/// Rows from which a group is worth its own dictionaries and statistics; few in the builds of the fault tests, whose
/// flushes are small.
const ROWS: usize = if cfg!(feature = "faults") {
    16
} else {
    1 << 13
};

/// Rows of one folder.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// As they came.
    Rows(RecordBatch),
    /// Encoded.
    Group(Group),
}

/// Encoded rows of one sensor.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Whose and when they are.
    pub span: Span,
    /// A Parquet file.
    pub bytes: Bytes,
}

impl Piece {
    /// The rows, decoded where they must be.
    pub fn rows(&self) -> Result<Vec<RecordBatch>> {
        match self {
            Piece::Rows(rows) => Ok(vec![rows.clone()]),
            Piece::Group(group) => group.rows(),
        }
    }

    fn new(what: What, encoder: &Encoder, rows: RecordBatch) -> Result<Piece> {
        let worth = what == What::Windows && rows.num_rows() >= ROWS;
        match worth.then(|| span(&rows)).flatten() {
            None => Ok(Piece::Rows(rows)),
            Some(span) => {
                let bytes = encoder.group(rows)?.into();
                Ok(Piece::Group(Group { span, bytes }))
            }
        }
    }
}

impl Group {
    /// The rows again.
    pub fn rows(&self) -> Result<Vec<RecordBatch>> {
        encode::read(self.bytes.clone(), "a stored group of rows")
    }
}

/// Rows by folder as pieces, those worth it encoded, side by side on the pool.
pub(super) fn pieces(
    what: What,
    encoder: &Encoder,
    rows: Vec<(String, RecordBatch)>,
) -> Result<Vec<(String, Piece)>> {
    let one = |(folder, rows)| Ok((folder, Piece::new(what, encoder, rows)?));
    if rows.iter().all(|(_, rows)| rows.num_rows() < ROWS) {
        return rows.into_iter().map(one).collect();
    }
    runtime::pool()?.install(|| rows.into_par_iter().map(one).collect())
}

/// Encodes the rows at the end of a folder's pieces once there are enough of them together: the windows of coarse grains
/// come a few in a flush, and all of them waited for the roll to be encoded.
pub(super) fn gather(what: What, encoder: &Encoder, pieces: &mut Vec<Piece>) -> Result<()> {
    if what != What::Windows {
        return Ok(());
    }
    let few = |piece: &&Piece| matches!(piece, Piece::Rows(rows) if rows.num_rows() < ROWS);
    let n = pieces.iter().rev().take_while(few).count();
    let from = pieces.len() - n;
    let rows = |piece: &Piece| match piece {
        Piece::Rows(rows) => rows.num_rows(),
        Piece::Group(_) => 0,
    };
    let count: usize = pieces[from..].iter().map(rows).sum();
    if n < 2 || count < ROWS || !in_order(what, &pieces[from..]) {
        return Ok(());
    }
    let last = pieces[from..].iter().map(Piece::rows);
    let last: Vec<RecordBatch> = last.collect::<Result<Vec<_>>>()?.concat();
    let all = concat_batches(&last[0].schema(), &last).map_err(encode::unfit)?;
    let piece = runtime::pool()?.install(|| Piece::new(what, encoder, all))?;
    pieces.truncate(from);
    pieces.push(piece);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::disk::Disk;
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, DictionaryArray, Float64Array, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn batch(sensor: &[&str], from: i64, rows: usize) -> RecordBatch {
        let sensors: DictionaryArray<Int32Type> =
            (0..rows).map(|i| sensor[i % sensor.len()]).collect();
        let starts = (0..rows as i64).map(|i| from + i);
        let starts = TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC");
        let values = Float64Array::from_iter((0..rows).map(|i| (i % 7 > 0).then_some(i as f64)));
        let columns: [(&str, ArrayRef, bool); 3] = [
            ("sensor_id", Arc::new(sensors), false),
            ("window_start", Arc::new(starts), false),
            ("value", Arc::new(values), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    fn encoder() -> Encoder {
        Encoder {
            level: 1,
            facts: vec![("wattline.what".into(), "windows".into())],
        }
    }

    fn made(batches: &[RecordBatch]) -> Vec<Piece> {
        let rows = batches.iter().map(|b| (String::new(), b.clone())).collect();
        let made = pieces(What::Windows, &encoder(), rows).unwrap();
        made.into_iter().map(|(_, piece)| piece).collect()
    }

    fn same(batches: &[RecordBatch], read: Vec<RecordBatch>) {
        let plain = |all: &[RecordBatch]| {
            let all: Vec<RecordBatch> = all.iter().map(|b| encode::plain(b).unwrap()).collect();
            arrow_select::concat::concat_batches(&all[0].schema(), &all).unwrap()
        };
        assert_eq!(plain(batches), plain(&read));
    }

    #[test]
    fn many_rows_of_one_sensor_are_a_group_and_few_or_mixed_are_not() {
        let all = [
            batch(&["a"], 0, ROWS),
            batch(&["a"], ROWS as i64, ROWS - 1),
            batch(&["a", "b"], 0, ROWS),
        ];
        let made = made(&all);
        let groups: Vec<bool> = made.iter().map(|p| matches!(p, Piece::Group(_))).collect();
        assert_eq!(groups, [true, false, false]);
        for (rows, piece) in all.iter().zip(made) {
            same(std::slice::from_ref(rows), piece.rows().unwrap());
        }
    }

    #[test]
    fn a_file_of_groups_and_rows_reads_as_the_rows_in_their_order() {
        for few in [0, 1, 2] {
            let mut all = vec![batch(&["a"], 0, 20_000), batch(&["a"], 20_000, 10_000)];
            all.insert(few, batch(&["a"], 1, 3));
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let disk = Disk { durable: false };
            encoder().write(&disk, &path, &made(&all)).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            same(&all, encode::read(Bytes::from(bytes), "it").unwrap());
        }
    }

    #[test]
    fn few_rows_are_encoded_once_there_are_enough_together() {
        let third = ROWS / 3 + 1;
        let batches = [0, 1, 2, 3].map(|k| batch(&["a"], (k * third) as i64, third));
        let mut all = Vec::new();
        for (k, rows) in batches.iter().enumerate() {
            all.push(Piece::Rows(rows.clone()));
            gather(What::Windows, &encoder(), &mut all).unwrap();
            let groups = all.iter().filter(|p| matches!(p, Piece::Group(_)));
            assert_eq!(
                (groups.count(), all.len()),
                [(0, 1), (0, 2), (1, 1), (1, 2)][k]
            );
        }
        let read: Vec<Vec<RecordBatch>> = all.iter().map(|p| p.rows().unwrap()).collect();
        same(&batches, read.concat());
        // Of several sensors, or not in order, they stay as they are.
        for other in [batch(&["a", "b"], 0, third), batch(&["a"], 0, third)] {
            let later = batch(&["a"], third as i64, third);
            let mut all: Vec<Piece> = [&later, &other, &later]
                .map(|b| Piece::Rows(b.clone()))
                .into();
            gather(What::Windows, &encoder(), &mut all).unwrap();
            assert_eq!(all.len(), 3);
        }
    }

    #[test]
    fn a_damaged_group_is_an_error() {
        let mut bytes = encoder().group(batch(&["a"], 0, 100)).unwrap();
        let at = bytes.len() - 6;
        bytes[at] ^= 0x55;
        let read = encode::read(Bytes::from(bytes), "it");
        assert_eq!(read.unwrap_err().kind, crate::Kind::DataLost);
    }
}
