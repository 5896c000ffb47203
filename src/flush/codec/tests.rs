use super::*;
use crate::flush::{Extent, Position};
use crate::ledger::GrainBooks;
use crate::reject::Reject;
use arrow_array::{Float64Array, Int64Array, StringArray};
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

fn batch(rows: usize) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![
        Field::new("sensor_id", DataType::Utf8, false),
        Field::new("n", DataType::Int64, false),
        Field::new("v", DataType::Float64, true),
    ]));
    let names: Vec<String> = (0..rows).map(|i| format!("s{}", i % 3)).collect();
    let values: Vec<Option<f64>> = (0..rows)
        .map(|i| (i % 4 != 0).then_some(i as f64))
        .collect();
    RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from(names)),
            Arc::new(Int64Array::from_iter_values(0..rows as i64)),
            Arc::new(Float64Array::from(values)),
        ],
    )
    .unwrap()
}

fn empty() -> Flush {
    Flush {
        id: FlushId { epoch: 1, n: 1 },
        ..Flush::default()
    }
}

#[test]
fn a_long_section_is_packed_in_frames_and_comes_back() {
    let bytes: Vec<u8> = (0..FRAME * 3 + 17).map(|i| (i / 1000) as u8).collect();
    let flush = Flush {
        state: StateDelta { fold: true, bytes },
        ..empty()
    };
    let record = flush.encode_state().unwrap();
    assert!(record.len() < FRAME);
    assert_eq!(Flush::decode(&record).unwrap(), flush);
}

fn full() -> Flush {
    let mut books = Ledger {
        lines: 3,
        records: 3,
        accepted: 2,
        rejected: 1,
        readings: 2,
        ..Ledger::default()
    };
    books.grains.insert(
        "1h".into(),
        GrainBooks {
            windowed: 2,
            ..GrainBooks::default()
        },
    );
    Flush {
        partition: 7,
        id: FlushId { epoch: 3, n: 12 },
        positions: vec![Position {
            stream: "ab12".into(),
            at: 1 << 40,
            row: 9,
            line: 10,
            proof: Some("ff".into()),
            path: Some("a \"b\" é.csv".into()),
            time: Some(-5),
        }],
        lineage: "t".into(),
        read: Some(ReadPlan {
            extents: vec![Extent {
                stream: "ab12".into(),
                end: 2,
                proof: None,
            }],
            edges: vec![-1, 5],
            done: 1,
            row: 3,
        }),
        max_end: Some(7),
        watermark: Some(-5),
        stamp: 99,
        state: StateDelta {
            fold: true,
            bytes: (0..10_000u32).map(|i| (i * i) as u8).collect(),
        },
        windows: vec![
            WindowRows {
                grain: "1h".into(),
                rows: batch(100),
            },
            WindowRows {
                grain: "1d@06:00".into(),
                rows: batch(0),
            },
        ],
        readings: vec![batch(5), batch(1000).slice(10, 500)],
        late: Some(batch(1)),
        rejects: vec![Reject {
            file: "f".into(),
            line: 1,
            byte: 2,
            row: 3,
            column: "v".into(),
            raw: "\u{0}\u{fffd}\"".into(),
            reason: "not a number".into(),
        }],
        counters: books.clone(),
        totals: books,
        decisions: vec![
            Decision::Idle { watermark: 5 },
            Decision::Ahead {
                readings: 1,
                clock: i64::MAX,
            },
            Decision::Until { at: 7 },
            Decision::EndOfRead { at: i64::MIN },
        ],
        last: true,
    }
}

#[test]
fn what_is_written_is_read() {
    for flush in [empty(), full()] {
        assert_eq!(Flush::decode(&flush.encode().unwrap()).unwrap(), flush);
    }
}

#[test]
fn a_record_without_effects_keeps_all_else() {
    let read = Flush::decode(&full().encode_state().unwrap()).unwrap();
    let bare = Flush {
        windows: vec![],
        readings: vec![],
        late: None,
        rejects: vec![],
        ..full()
    };
    assert_eq!(read, bare);
}

#[test]
fn a_newer_format_is_refused_with_advice() {
    let mut bytes = full().encode().unwrap();
    bytes[4] = 2;
    let error = Flush::decode(&bytes).unwrap_err();
    assert_eq!(error.kind, Kind::SpecChanged);
    assert!(error.message.contains("newer wattline"), "{error}");
}

#[test]
fn every_cut_and_every_changed_byte_is_an_error() {
    let bytes = full().encode().unwrap();
    for cut in 0..bytes.len() {
        assert!(Flush::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        // A lower format number is still read; all else is covered by a checksum.
        if !(4..8).contains(&at) {
            assert!(Flush::decode(&bad).is_err(), "changed at {at}");
        }
    }
}

/// A record around one hostile section, with right checksums.
fn forged(what: Content, stored: &[u8], raw: u64) -> Vec<u8> {
    let section = Section {
        what,
        stored: stored.len() as u64,
        raw,
        crc: crc32fast::hash(stored),
    };
    empty()
        .assemble(Body {
            sections: vec![section],
            bytes: stored.to_vec(),
        })
        .unwrap()
}

#[test]
fn hostile_tables_give_an_error() {
    let good = table(&batch(50)).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let _ = Flush::decode(&forged(Content::Late, &bad, bad.len() as u64));
        }
    }
}

#[test]
fn hostile_lengths_allocate_nothing() {
    let bomb = zstd::bulk::compress(&[0; 1000], 1).unwrap();
    for raw in [999, 1001, MAX_SECTION, MAX_SECTION + 1, u64::MAX] {
        assert!(Flush::decode(&forged(Content::State, &bomb, raw)).is_err());
    }
    assert!(Flush::decode(&forged(Content::Rejects, b"[[", 2)).is_err());
}
