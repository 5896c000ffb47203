//! Any bytes as stored state: a flush record, a section of partials. An error or a state; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use wattline::flush::Flush;
use wattline::schema::{Aggregate, Measure, MeasureKind};
use wattline::time::{Grain, Zone};
use wattline::window::{Open, Plan, StepKnown, WindowSpec};

fn plan() -> Plan {
    use Aggregate::{Energy, First, Last, Max, Mean, Min, Stddev, Sum};
    let measure = |name: &str, kind, digits, aggregates| Measure {
        name: name.into(),
        kind,
        unit: Some("kW".into()),
        digits,
        aggregates,
    };
    let measures = [
        measure(
            "power",
            MeasureKind::Power,
            Some(3),
            vec![Mean, Min, Max, Energy],
        ),
        measure(
            "gauge",
            MeasureKind::Gauge,
            None,
            vec![Sum, First, Last, Stddev],
        ),
    ];
    let grains = ["1min", "1h", "1mo"]
        .map(|name| Grain::parse(name).expect("a grain"))
        .to_vec();
    let spec = WindowSpec {
        grains,
        zone: Zone::utc(),
        measures: Arc::new(measures),
        step: StepKnown::Fixed(60_000_000),
        correct_for: Some(3_600_000_000),
    };
    Plan::new(&spec).expect("a plan")
}

static PLAN: LazyLock<Plan> = LazyLock::new(plan);

fuzz_target!(|data: &[u8]| {
    let _ = Flush::decode(data);
    let (fold, bytes) = data
        .split_first()
        .map_or((false, data), |(first, rest)| (first & 1 == 1, rest));
    if let Ok(mut open) = Open::restore(&PLAN, std::iter::once((fold, bytes))) {
        let _ = open.open_rows(&PLAN);
        let _ = open.whole(&PLAN);
    }
});
