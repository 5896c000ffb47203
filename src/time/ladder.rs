//! Ladder: which grain may feed which.
//!
//! A grain is fed by the largest finer grain whose edges contain all of its own in the zone. The
//! answer is exact for all time, from the tables of the zone and three facts about edges:
//!
//! - A clock grain has an edge at every offset change and at every multiple of its length on the
//!   local clock.
//! - An edge of a day, week, month, quarter or year is either at an offset change or at its
//!   own time on the local clock (see `Zone::first_at`); equal times give equal edges.
//! - Each of these rules has windows far from any change, where nothing falls together by chance.
//!
//! So only `24h`, which does not follow the local clock, has to look at the zone's changes.
//! The tests hold every claim against the edges themselves.

use super::calendar::{edge, unit_of};
use super::grain::{Grain, Rule};
use super::zone::Zone;
use super::{DAY, MINUTE};

/// For each grain the index of the grain that feeds it: the largest finer one of the list whose
/// edges contain all of its own in `zone`; `None`: the readings.
pub fn ladder(grains: &[Grain], zone: &Zone) -> Vec<Option<usize>> {
    let feeder = |grain: Grain| {
        let fits = |at: &usize| grains[*at] < grain && contains(grains[*at].0, grain.0, zone);
        (0..grains.len())
            .filter(fits)
            .max_by_key(|at| (grains[*at], std::cmp::Reverse(*at)))
    };
    grains.iter().map(|grain| feeder(*grain)).collect()
}

/// Whether every edge of `coarse` is an edge of `fine`.
fn contains(fine: Rule, coarse: Rule, zone: &Zone) -> bool {
    match (fine, coarse) {
        (Rule::Clock(fine), Rule::Clock(coarse)) => coarse % fine == 0,
        (Rule::Clock(fine), Rule::Day(at)) => at % fine == 0,
        (Rule::Clock(fine), Rule::Elapsed) => utc_midnights_fit(i64::from(fine) * MINUTE, zone),
        (Rule::Clock(_), _) => true,
        (Rule::Elapsed, Rule::Clock(_)) | (_, Rule::Elapsed) => false,
        (Rule::Elapsed, coarse) => begins_at_utc_midnight(coarse, zone),
        (fine, coarse) => starts_fit(fine, coarse),
    }
}

/// Every UTC midnight is on the local clock's grid of `step` or at an offset change.
fn utc_midnights_fit(step: i64, zone: &Zone) -> bool {
    zone.ranges().all(|range| {
        let first = range.start.saturating_add(1);
        let midnight_inside =
            range.end.div_euclid(DAY) > first.div_euclid(DAY) || first.rem_euclid(DAY) == 0;
        range.offset % step == 0 || !midnight_inside
    })
}

/// Every edge of a local date rule falls on a UTC midnight.
fn begins_at_utc_midnight(coarse: Rule, zone: &Zone) -> bool {
    let on_midnight = |local: i64| zone.first_at(local).rem_euclid(DAY) == 0;
    let (Some(first), Some(last)) = (zone.changes().first(), zone.changes().last()) else {
        return on_midnight(edge(coarse, 0));
    };
    // Two years beyond the changes on each side show the first and the last offset.
    let from = unit_of(coarse, first - 731 * DAY);
    let to = unit_of(coarse, last + 731 * DAY);
    (from..=to).all(|unit| on_midnight(edge(coarse, unit)))
}

/// Every local start of `coarse` is a local start of `fine`.
fn starts_fit(fine: Rule, coarse: Rule) -> bool {
    match (fine, coarse) {
        (Rule::Day(0), Rule::Day(0)) => true,
        (Rule::Day(fine), Rule::Day(coarse)) => fine == coarse,
        (Rule::Day(at), _) => at == 0,
        (Rule::Month, _) => true,
        (Rule::Quarter(fine), Rule::Quarter(coarse) | Rule::Year(coarse)) => fine % 3 == coarse % 3,
        (fine, coarse) => fine == coarse,
    }
}
