use super::*;
use crate::schema::{Measure, MeasureKind, RowIds, SensorKeys};
use arrow_array::Float64Array;
use std::sync::Arc;

type Row = (&'static str, i64, Option<f64>);

fn readings(rows: &[Row]) -> Readings {
    let mut names: Vec<Arc<str>> = Vec::new();
    let codes = rows.iter().map(|r| {
        let at = names.iter().position(|n| &**n == r.0).unwrap_or_else(|| {
            names.push(r.0.into());
            names.len() - 1
        });
        at as u32
    });
    let codes = codes.collect();
    let measure = Measure {
        name: "v".into(),
        kind: MeasureKind::Gauge,
        unit: None,
        digits: None,
        aggregates: vec![],
    };
    Readings {
        attributes: Default::default(),
        measures: vec![measure].into(),
        sensors: SensorKeys::Coded {
            codes,
            names: names.into(),
        },
        time: rows.iter().map(|r| r.1).collect(),
        values: vec![Float64Array::from_iter(rows.iter().map(|r| r.2))],
        quality: None,
        step: Step::Fixed(1),
        file: 0,
        rows: RowIds::Dense(0),
    }
}

fn ordered(rows: &[Row]) -> bool {
    (0..rows.len()).all(|i| {
        rows[..i]
            .iter()
            .all(|r| r.0 != rows[i].0 || r.1 < rows[i].1)
    })
}

/// Indexes of duplicates and of conflicts.
fn find(dedupe: &mut Dedupe, rows: &[Row], reach: Reach) -> (Vec<usize>, Vec<usize>) {
    let found = dedupe
        .find(&readings(rows), None, ordered(rows), reach)
        .unwrap();
    let set = |m: Option<BooleanBuffer>| m.map_or(vec![], |m| m.set_indices().collect());
    (set(found.duplicates), set(found.conflicts))
}

fn fresh() -> Dedupe {
    Dedupe::new(OnDuplicate::Once, OnConflict::Keep)
}

const V: Option<f64> = Some(1.0);
const W: Option<f64> = Some(2.0);

#[test]
fn equal_rows_are_duplicates_and_others_conflicts_within_and_over_batches() {
    let mut d = fresh();
    let all = Reach::Read(i64::MIN);
    assert_eq!(
        find(
            &mut d,
            &[("a", 1, V), ("a", 1, V), ("b", 1, V), ("a", 1, W)],
            all
        ),
        (vec![1], vec![3])
    );
    assert_eq!(
        find(&mut d, &[("a", 1, W), ("a", 1, V), ("a", 2, V)], all),
        (vec![0, 1], vec![])
    );
}

#[test]
fn minus_zero_is_zero_and_rows_without_values_are_neither() {
    let mut d = fresh();
    let rows = [
        ("a", 1, Some(0.0)),
        ("a", 1, Some(-0.0)),
        ("a", 1, None),
        ("b", 1, None),
        ("b", 1, None),
    ];
    assert_eq!(find(&mut d, &rows, Reach::Read(0)), (vec![1], vec![]));
}

#[test]
fn first_counts_later_values_as_conflicts_every_time() {
    let mut d = Dedupe::new(OnDuplicate::Once, OnConflict::First);
    let rows = [("a", 1, V), ("a", 1, W), ("a", 1, W), ("a", 1, V)];
    assert_eq!(find(&mut d, &rows, Reach::Read(0)), (vec![3], vec![1, 2]));
}

#[test]
fn raise_says_where() {
    let mut d = Dedupe::new(OnDuplicate::Raise, OnConflict::Raise);
    let twice = d.find(
        &readings(&[("a", 1, V), ("a", 1, V)]),
        None,
        false,
        Reach::Read(0),
    );
    assert!(twice.unwrap_err().message.contains("row 1"));
    let other = d.find(&readings(&[("a", 1, W)]), None, true, Reach::Read(0));
    assert!(other.unwrap_err().message.contains("on_conflict"));
}

#[test]
fn in_order_data_keep_only_their_last_instant() {
    let mut d = fresh();
    for t in 0..100_000 {
        assert_eq!(
            find(&mut d, &[("a", t, V), ("b", t, V)], Reach::Read(t)),
            (vec![], vec![])
        );
    }
    assert!(d.seen.len() <= 8192 + 2, "{}", d.seen.len());
    assert_eq!(
        find(&mut d, &[("a", 99_999, V)], Reach::Read(99_999)),
        (vec![0], vec![])
    );
}

#[test]
fn a_stream_looks_back_from_the_watermark_row_by_row() {
    let reach = |max_end| Reach::Stream {
        max_end,
        lateness: 2,
        closed_to: i64::MIN,
        span: 10,
        cap: i64::MAX,
    };
    let mut d = fresh();
    assert_eq!(
        find(&mut d, &[("a", 100, V), ("a", 90, V)], reach(i64::MIN)),
        (vec![], vec![])
    );
    // The watermark is 101 − 2; 10 back is 89.
    assert_eq!(
        find(
            &mut d,
            &[("a", 90, V), ("a", 103, V), ("a", 90, V)],
            reach(101)
        ),
        (vec![0], vec![])
    );
}

#[test]
fn an_earlier_read_is_remembered_by_sensor_and_time_only() {
    let mut d = fresh();
    assert!(
        d.behind(&readings(&[("a", 5, V), ("b", 3, V)]), false)
            .is_none()
    );
    assert!(
        d.behind(&readings(&[("a", 2, V)]), false).is_none(),
        "the same read"
    );
    d.end_read();
    let behind = d.behind(
        &readings(&[
            ("a", 5, V),
            ("a", 6, V),
            ("b", 4, V),
            ("b", 1, V),
            ("c", 0, V),
        ]),
        false,
    );
    assert_eq!(behind.unwrap().set_indices().collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn what_is_saved_is_restored() {
    let (mut d, mut other) = (fresh(), fresh());
    let all = Reach::Read(0);
    find(&mut d, &[("a", 1, V), ("a", 1, W), ("b", 2, V)], all);
    d.behind(&readings(&[("a", 7, V)]), false);
    other.restore(&d.save_all()).unwrap();
    find(&mut d, &[("c", 3, V)], all);
    d.behind(&readings(&[("c", 9, V)]), false);
    other.restore(&d.save_changes()).unwrap();
    let again = [
        ("a", 1, V),
        ("a", 1, W),
        ("b", 2, V),
        ("c", 3, V),
        ("c", 3, W),
    ];
    assert_eq!(find(&mut other, &again, all), (vec![0, 1, 2, 3], vec![4]));
    d.end_read();
    other.restore(&d.save_changes()).unwrap();
    let late = other
        .behind(&readings(&[("a", 7, V), ("c", 9, V), ("a", 8, V)]), false)
        .unwrap();
    assert_eq!(late.count_set_bits(), 2);
}

#[test]
fn damaged_state_is_an_error() {
    let mut d = fresh();
    find(&mut d, &[("a", 1, V), ("b", 2, V)], Reach::Read(0));
    d.behind(&readings(&[("a", 7, V)]), false);
    let bytes = d.save_all();
    for cut in 0..bytes.len() {
        assert!(fresh().restore(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0xff;
        let _ = fresh().restore(&bad);
    }
}
