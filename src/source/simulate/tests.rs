use super::*;
use crate::source::{Poll, SourceBatch};
use crate::time::{Grain, Zone};
use crate::window::{Keep, Plan, StepKnown, WindowSpec};
use std::time::Duration;

const DAY: i64 = 86_400_000_000;

fn options() -> Simulation {
    Simulation {
        sensors: 3,
        start: Some(20_000 * DAY),
        end: Some(20_010 * DAY),
        gaps: 0.05,
        late: 0.02,
        duplicates: 0.01,
        conflicts: 0.01,
        ..Simulation::default()
    }
}

fn counting(measures: Arc<[Measure]>) -> Prepare {
    let spec = WindowSpec {
        grains: vec![Grain::parse("1h").unwrap()],
        zone: Zone::utc(),
        measures,
        step: StepKnown::Fixed(60_000_000),
        correct_for: None,
    };
    let plan = Plan::new(&spec).unwrap();
    Arc::new(move |readings| plan.accumulate(readings, &Keep::default()))
}

fn drain(source: &Simulated, from: &Positions, read: Option<&ReadPlan>) -> Vec<SourceBatch> {
    let prepare = counting(source.measures());
    let mut reader = source.open(0, from, read, Order::Scanned, prepare).unwrap();
    let mut batches = Vec::new();
    loop {
        match reader.next(Duration::from_secs(60)).unwrap() {
            Poll::Batch(batch) => batches.push(*batch),
            Poll::Idle => {}
            Poll::End => return batches,
        }
    }
}

type Row = (u64, i64, u32, Vec<u64>);

fn rows(batches: &[SourceBatch]) -> Vec<Row> {
    let of = |b: &SourceBatch| {
        let codes = match &b.readings.sensors {
            crate::schema::SensorKeys::Coded { codes, .. } => codes.clone(),
            crate::schema::SensorKeys::Constant(_) => vec![0; b.readings.len()].into(),
        };
        let row = |i: usize| {
            let bits = b
                .readings
                .values
                .iter()
                .map(|v| v.value(i).to_bits())
                .collect();
            (b.readings.row(i), b.readings.time[i], codes[i], bits)
        };
        (0..b.readings.len()).map(row).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

#[test]
fn a_restart_at_any_batch_goes_on_exactly() {
    let source = Simulated::new(
        Simulation {
            sensors: 1,
            end: Some(20_100 * DAY),
            ..options()
        },
        None,
    )
    .unwrap();
    let whole = drain(&source, &Vec::new(), None);
    assert!(whole.len() > 3);
    let all = rows(&whole);
    let ids: Vec<u64> = all.iter().map(|r| r.0).collect();
    assert!(ids.windows(2).all(|w| w[0] < w[1]));
    let mut before = 0;
    for batch in &whole {
        before += batch.readings.len();
        let rest = drain(&source, &batch.after, batch.read.as_ref());
        assert_eq!(rows(&rest), all[before..]);
    }
}

#[test]
fn low_holds_and_every_reading_comes() {
    let source = Simulated::new(options(), None).unwrap();
    let batches = drain(&source, &Vec::new(), None);
    let mut low = i64::MIN;
    let mut disordered = false;
    for batch in &batches {
        assert!(batch.readings.time.iter().all(|t| *t >= low));
        disordered |= batch.readings.time.windows(2).any(|w| w[1] < w[0]);
        low = batch.low.unwrap();
        batch.counters.balance().unwrap();
    }
    assert_eq!(low, i64::MAX);
    assert!(disordered);
    let all = rows(&batches);
    let mut keys: Vec<_> = all.iter().map(|r| (r.2, r.1)).collect();
    keys.sort_unstable();
    keys.dedup();
    let share = keys.len() as f64 / (3.0 * 14_400.0);
    assert!((0.9..0.99).contains(&share), "gaps: {share}");
    let copies = (all.len() - keys.len()) as f64 / keys.len() as f64;
    assert!((0.01..0.03).contains(&copies), "copies: {copies}");
}

#[test]
fn options_without_disorder_give_dense_rows_in_order() {
    let plain = Simulation {
        gaps: 0.0,
        late: 0.0,
        duplicates: 0.0,
        conflicts: 0.0,
        ..options()
    };
    let all = rows(&drain(
        &Simulated::new(plain, None).unwrap(),
        &Vec::new(),
        None,
    ));
    assert_eq!(all.len(), 3 * 14_400);
    assert!(all.iter().enumerate().all(|(i, r)| r.0 == i as u64));
}

#[test]
fn an_endless_one_stops_at_until_and_goes_on() {
    let endless = Simulation {
        end: None,
        rate: Some(Rate::Max),
        ..options()
    };
    let first = Simulated::new(endless.clone(), Some(20_003 * DAY)).unwrap();
    let second = Simulated::new(endless, Some(20_010 * DAY)).unwrap();
    assert!(!first.bounded());
    let head = drain(&first, &Vec::new(), None);
    assert!(head.iter().all(|b| b.low.is_none() && b.read.is_none()));
    let tail = drain(&second, &head.last().unwrap().after, None);
    let mut joined = rows(&head);
    joined.extend(rows(&tail));
    assert_eq!(joined, rows(&drain(&second, &Vec::new(), None)));
    assert!(drain(&second, &tail.last().unwrap().after, None).is_empty());
}

#[test]
fn a_stream_that_began_now_keeps_its_beginning() {
    let live = Simulation {
        rate: Some(Rate::Times(1e9)),
        ..Simulation::default()
    };
    let source = Simulated::new(live, None).unwrap();
    let prepare = counting(source.measures());
    let mut reader = source
        .open(0, &Vec::new(), None, Order::Optimistic, prepare.clone())
        .unwrap();
    let Poll::Batch(first) = reader.next(Duration::from_secs(60)).unwrap() else {
        panic!("no batch")
    };
    let mut again = source
        .open(0, &first.after, None, Order::Optimistic, prepare)
        .unwrap();
    let Poll::Batch(second) = again.next(Duration::from_secs(60)).unwrap() else {
        panic!("no batch")
    };
    let last = first.readings.time[first.readings.len() - 1];
    assert_eq!(second.readings.time[0], last + 60_000_000);
    let other = Simulated::new(
        Simulation {
            seed: 9,
            ..Simulation::default()
        },
        None,
    )
    .unwrap();
    let refused = other.open(
        0,
        &first.after,
        None,
        Order::Optimistic,
        counting(source.measures()),
    );
    assert_eq!(refused.err().unwrap().kind, Kind::DataLost);
}

#[test]
fn a_paced_one_waits() {
    let live = Simulation {
        start: Some(0),
        rate: Some(Rate::Times(1.0)),
        ..Simulation::default()
    };
    let source = Simulated::new(live, None).unwrap();
    let mut reader = source
        .open(
            0,
            &Vec::new(),
            None,
            Order::Optimistic,
            counting(source.measures()),
        )
        .unwrap();
    assert!(matches!(
        reader.next(Duration::ZERO).unwrap(),
        Poll::Batch(_)
    ));
    assert!(matches!(
        reader.next(Duration::from_millis(1)).unwrap(),
        Poll::Idle
    ));
}

#[test]
fn urls() {
    let url = "sim://?sensors=3&rate=60x&late=0.01&late_by=10min&seed=7&tz=Europe/Paris&start=2026-01-01&end=2026-02-01T00:00:00Z";
    let made = Simulation::parse(url).unwrap();
    assert_eq!(
        (made.sensors, made.seed, made.rate),
        (3, 7, Some(Rate::Times(60.0)))
    );
    assert_eq!(made.start, Some(1_767_222_000_000_000));
    assert_eq!(Simulation::parse(&made.to_string()).unwrap(), made);
    assert_eq!(Simulation::parse("sim://").unwrap(), Simulation::default());
    for bad in [
        "sim://?sensor=3",
        "sim://house",
        "sim://?late=2",
        "sim://?rate=fast",
        "sim://?end=2026-01-01",
        "sim://?tz=Nowhere",
        "sim://?sensors=0",
        "sim://?step=0s",
    ] {
        assert!(Simulation::parse(bad).is_err(), "{bad}");
    }
    let unknown = Simulation::parse("sim://?sensor=3").unwrap_err().message;
    assert!(
        unknown.contains("\"sensor\"") && unknown.contains("sensors"),
        "{unknown}"
    );
}
