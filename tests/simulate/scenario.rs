//! What is read, and under which policies, from a seed.

use std::sync::{Arc, OnceLock};
use wattline::pipeline::policy::{OnConflict, OnDuplicate, OnLate};
use wattline::pipeline::task::{Limits, TaskConfig, Wants};
use wattline::reject::OnReject;
use wattline::schema::{Aggregate, Measure, MeasureKind};
use wattline::source::{FileName, Order};
use wattline::time::{Grain, Zone};
use wattline::window::{Plan, StepKnown, WindowSpec};

pub const MINUTE: i64 = 60_000_000;
pub const STEP: i64 = 15 * MINUTE;
pub const HOUR: i64 = 60 * MINUTE;
/// 2007-01-01T00:00:00Z.
pub const BASE: i64 = 1_167_609_600_000_000;
pub const AHEAD: i64 = 24 * HOUR;
/// Grain names and lengths, finest first; gaps are written for the second on.
pub const GRAINS: [(&str, i64); 3] = [("15min", STEP), ("1h", HOUR), ("6h", 6 * HOUR)];

/// A small generator (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// One row of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub sensor: usize,
    pub time: i64,
    pub value: Option<i64>,
    pub bad: bool,
    /// Which of the streams it came by, where there are several.
    pub stream: usize,
}

/// All that a history is about.
pub struct Scenario {
    pub rows: Vec<Row>,
    /// How many rows are there at each run.
    pub lengths: Vec<usize>,
    pub bounded: bool,
    /// Streams under the one head; 1: the task hears of none.
    pub streams: usize,
    /// The instant that the end of each run asserts.
    pub untils: Vec<Option<i64>>,
    pub lateness: i64,
    pub on_late: OnLate,
    pub correct_for: i64,
    pub idle: Option<i64>,
    pub on_duplicate: OnDuplicate,
    pub on_conflict: OnConflict,
    pub dedupe_for: i64,
    pub limits: Limits,
    pub sinks: usize,
}

impl Scenario {
    pub fn new(dice: &mut Dice) -> Scenario {
        let bounded = dice.one_in(2);
        let streams = match bounded {
            true => 1,
            false => dice.pick(&[1, 1, 2, 3]),
        };
        let rows = rows(dice, bounded, streams);
        let mut lengths: Vec<usize> = (0..dice.pick(&[0, 0, 1, 2]))
            .map(|_| dice.below(rows.len() as u64 + 1) as usize)
            .collect();
        lengths.sort_unstable();
        lengths.push(rows.len());
        let conflicts: &[OnConflict] = match bounded {
            true => &[OnConflict::Keep, OnConflict::First, OnConflict::Last],
            false => &[OnConflict::Keep, OnConflict::First],
        };
        let until = |dice: &mut Dice| {
            let asserted = !bounded && dice.one_in(3);
            asserted.then(|| BASE + dice.below(60) as i64 * STEP / 2)
        };
        let mut untils: Vec<Option<i64>> = lengths.iter().map(|_| until(dice)).collect();
        untils.sort_unstable();
        Scenario {
            rows,
            lengths,
            bounded,
            streams,
            untils,
            lateness: dice.below(5) as i64 * STEP / 2,
            on_late: dice.pick(&[OnLate::Side, OnLate::Drop, OnLate::Correct]),
            correct_for: HOUR,
            idle: dice.one_in(2).then(|| dice.below(4) as i64 * 10 * MINUTE),
            on_duplicate: dice.pick(&[OnDuplicate::Once, OnDuplicate::Once, OnDuplicate::Keep]),
            on_conflict: dice.pick(conflicts),
            dedupe_for: dice.below(4) as i64 * HOUR,
            limits: Limits {
                rows: dice.pick(&[1, 8, 20, 1000]),
                bytes: 1 << 30,
                interval: dice.pick(&[MINUTE, 20 * MINUTE, 10_000 * HOUR]),
            },
            sinks: dice.pick(&[1, 1, 2, 3]),
        }
    }

    pub fn config(&self, token: String, order: Order, until: Option<i64>) -> TaskConfig {
        TaskConfig {
            attributes: arrow_schema::Fields::empty(),
            pipeline: "p".into(),
            partition: 0,
            token,
            spec: "spec".into(),
            spec_json: "{}".into(),
            tzdata: "t".into(),
            identity: None,
            plan: plan(self.on_late == OnLate::Correct),
            files: vec![FileName {
                name: "f".into(),
                stream: "f".into(),
                mended: false,
            }],
            bounded: self.bounded,
            order,
            lateness: self.lateness,
            on_late: self.on_late,
            idle: self.idle,
            until,
            ahead: Some(AHEAD),
            on_reject: OnReject::Collect,
            on_duplicate: self.on_duplicate,
            on_conflict: self.on_conflict,
            dedupe_for: self.dedupe_for,
            budget: None,
            limits: self.limits,
            sinks: self.sinks,
            wants: Wants {
                readings: true,
                late: true,
                rejects: true,
            },
        }
    }
}

fn rows(dice: &mut Dice, bounded: bool, streams: usize) -> Vec<Row> {
    let n = 1 + dice.below(14);
    let sensors = 1 + dice.below(3);
    let disorder = dice.pick(&[0, 0, 2, 8, 40]);
    let far = !bounded && dice.one_in(4);
    let sparse = dice.pick(&[1, 1, 4]);
    let mut at = 0;
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..n {
        if dice.one_in(8) && !rows.is_empty() {
            let mut again = dice.pick(&rows);
            if dice.one_in(3) {
                again.value = Some(dice.below(4) as i64);
            }
            rows.push(again);
            continue;
        }
        at += dice.below(3) as i64 * dice.below(sparse + 1) as i64;
        let back = if disorder == 0 {
            0
        } else {
            dice.below(disorder) as i64 * dice.below(2) as i64
        };
        let mut time = BASE + (at - back) * STEP;
        if far && dice.one_in(8) {
            time += 90_000 * HOUR;
        }
        rows.push(Row {
            sensor: dice.below(sensors) as usize,
            time,
            value: (!dice.one_in(8)).then(|| dice.below(9) as i64 - 2),
            bad: dice.one_in(16),
            stream: dice.below(streams as u64) as usize,
        });
    }
    if disorder == 0 {
        rows.sort_by_key(|r| r.time);
    }
    rows
}

pub fn measures() -> Arc<[Measure]> {
    static MEASURES: OnceLock<Arc<[Measure]>> = OnceLock::new();
    let measure = || Measure {
        name: "v".into(),
        kind: MeasureKind::Gauge,
        unit: None,
        digits: Some(0),
        aggregates: vec![
            Aggregate::Count,
            Aggregate::Sum,
            Aggregate::Min,
            Aggregate::Max,
        ],
    };
    MEASURES.get_or_init(|| vec![measure()].into()).clone()
}

fn plan(correct: bool) -> Arc<Plan> {
    static PLANS: OnceLock<[Arc<Plan>; 2]> = OnceLock::new();
    let made = |correct_for| {
        let grains = GRAINS
            .iter()
            .map(|g| g.0.parse::<Grain>().unwrap())
            .collect();
        let zone = Zone::parse("UTC").unwrap();
        let step = StepKnown::Fixed(STEP);
        Arc::new(
            Plan::new(&WindowSpec {
                grains,
                zone,
                measures: measures(),
                step,
                correct_for,
            })
            .unwrap(),
        )
    };
    PLANS.get_or_init(|| [made(None), made(Some(HOUR))])[usize::from(correct)].clone()
}
