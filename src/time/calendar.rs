//! Calendar: the windows of a grain in a zone.
//!
//! The windows of a grain part the whole time line: every instant is in exactly one, and each
//! begins where the one before ends. A window is named by its start, UTC.
//!
//! - **Minutes and hours** are the local clock's floor, cut wherever the offset changes. A day
//!   begins at a local midnight or at a change, so these cuts are the day's edges too. On the day
//!   of a change a `3h` window may be shorter, and windows of 30 or 59 minutes occur where the
//!   clock moves by half an hour or at 00:01.
//! - **24h** is elapsed time: 24 hours counted from 1970-01-01T00:00Z, in every zone.
//! - **Days** run from the first instant whose local date is that date *or later* to where the
//!   next begins. Where midnight was skipped the day begins at the change; where the clock went
//!   back over midnight the day has begun for good at the first midnight; a date that never was
//!   (Pacific/Apia 2011-12-30) has no window. `1d@06:00` does the same with 06:00 for midnight.
//! - **Weeks, months, quarters, years** begin where the day of their first date begins.

use super::civil::{civil_from_days, days_from_civil};
use super::grain::{Grain, Rule};
use super::zone::{Range, Zone};
use super::{DAY, MAX, MIN, MINUTE};

/// The windows of a grain in a zone. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    grain: Grain,
    zone: Zone,
}

impl Calendar {
    /// The calendar of `grain` in `zone`.
    pub fn new(grain: Grain, zone: Zone) -> Self {
        Calendar { grain, zone }
    }

    /// Its grain.
    pub fn grain(&self) -> Grain {
        self.grain
    }

    /// Its zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The window that holds an instant: its start and its end (the start of the next).
    pub fn window(&self, t: i64) -> (i64, i64) {
        let t = t.clamp(MIN, MAX);
        match self.grain.0 {
            Rule::Elapsed => {
                let start = t.div_euclid(DAY) * DAY;
                (start, start + DAY)
            }
            Rule::Clock(minutes) => {
                clock_window(self.zone.range_at(t), i64::from(minutes) * MINUTE, t)
            }
            rule => {
                let unit = self.unit_at(rule, t);
                (
                    self.zone.first_at(edge(rule, unit)),
                    self.zone.first_at(edge(rule, unit + 1)),
                )
            }
        }
    }

    /// The window that begins where another ended.
    pub fn next(&self, end: i64) -> (i64, i64) {
        self.window(end)
    }

    /// The windows that hold any instant of `[from, to)`, in order.
    pub fn windows_between(&self, from: i64, to: i64) -> Windows {
        Windows {
            cursor: self.cursor(),
            at: from,
            to,
        }
    }

    /// A cursor: the same windows, fast for instants in order.
    pub fn cursor(&self) -> Cursor {
        let (start, end) = (0, 0);
        let run = Range {
            start: 0,
            end: 0,
            offset: 0,
        };
        let step = match self.grain.0 {
            Rule::Clock(minutes) => i64::from(minutes) * MINUTE,
            Rule::Elapsed => DAY,
            _ => 0,
        };
        Cursor {
            calendar: self.clone(),
            start,
            end,
            run,
            step,
        }
    }

    /// The number of the day, week, month, quarter or year whose window holds `t`.
    pub(super) fn unit_at(&self, rule: Rule, t: i64) -> i64 {
        let mut unit = unit_of(rule, self.zone.to_local(t));
        // The clock may have gone back over an edge that the day, once begun, does not unmake.
        while self.zone.first_at(edge(rule, unit + 1)) <= t {
            unit += 1;
        }
        unit
    }
}

/// The local floor to `step`, cut at the edges of the stretch with one offset.
#[inline]
fn clock_window(run: Range, step: i64, t: i64) -> (i64, i64) {
    let start = (t + run.offset).div_euclid(step) * step - run.offset;
    (start.max(run.start), (start + step).min(run.end))
}

/// The unit of a local date rule that a local time is in.
pub(super) fn unit_of(rule: Rule, local: i64) -> i64 {
    let days = local.div_euclid(DAY);
    match rule {
        Rule::Clock(minutes) => local.div_euclid(i64::from(minutes) * MINUTE),
        Rule::Elapsed => days,
        Rule::Day(minute) => (local - i64::from(minute) * MINUTE).div_euclid(DAY),
        Rule::Week(weekday) => (days + 3 - i64::from(weekday)).div_euclid(7),
        Rule::Month => months(days),
        Rule::Quarter(month) => (months(days) - i64::from(month)).div_euclid(3),
        Rule::Year(month) => (months(days) - i64::from(month)).div_euclid(12),
    }
}

/// The local time at which a unit begins on an even clock.
pub(super) fn edge(rule: Rule, unit: i64) -> i64 {
    match rule {
        Rule::Clock(minutes) => unit * i64::from(minutes) * MINUTE,
        Rule::Elapsed => unit * DAY,
        Rule::Day(minute) => unit * DAY + i64::from(minute) * MINUTE,
        Rule::Week(weekday) => (unit * 7 - 3 + i64::from(weekday)) * DAY,
        Rule::Month => month_start(unit),
        Rule::Quarter(month) => month_start(unit * 3 + i64::from(month)),
        Rule::Year(month) => month_start(unit * 12 + i64::from(month)),
    }
}

/// Months since year 0 of a day.
fn months(days: i64) -> i64 {
    let (year, month, _) = civil_from_days(days);
    year * 12 + i64::from(month) - 1
}

fn month_start(months: i64) -> i64 {
    days_from_civil(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1) * DAY
}

/// A calendar that remembers the last window: instants in order cost one compare, and the
/// next window of minutes or hours an addition.
#[derive(Clone, Debug)]
pub struct Cursor {
    calendar: Calendar,
    start: i64,
    end: i64,
    /// The stretch with one offset that holds the window, for grains with a `step`.
    run: Range,
    /// Length of windows that are counted, 0 for those that follow local dates.
    step: i64,
}

impl Cursor {
    /// The window that holds an instant.
    #[inline]
    pub fn window(&mut self, t: i64) -> (i64, i64) {
        if t < self.start || t >= self.end {
            self.seek(t);
        }
        (self.start, self.end)
    }

    /// Its calendar.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    fn seek(&mut self, t: i64) {
        let after = self.end.saturating_add(self.step).min(self.run.end);
        (self.start, self.end) = if t >= self.end && t < after {
            (self.end, after)
        } else if t >= self.run.start && t < self.run.end {
            clock_window(self.run, self.step, t)
        } else {
            self.far(t)
        };
    }

    #[cold]
    fn far(&mut self, t: i64) -> (i64, i64) {
        let t = t.clamp(MIN, MAX);
        self.run = match self.calendar.grain.0 {
            Rule::Clock(_) => self.calendar.zone.range_at(t),
            Rule::Elapsed => Range {
                start: i64::MIN,
                end: i64::MAX,
                offset: 0,
            },
            _ => Range {
                start: 0,
                end: 0,
                offset: 0,
            },
        };
        self.run.start = self.run.start.max(MIN);
        self.run.end = self.run.end.min(MAX);
        self.calendar.window(t)
    }
}

/// Windows in order; see [`Calendar::windows_between`].
#[derive(Clone, Debug)]
pub struct Windows {
    cursor: Cursor,
    at: i64,
    to: i64,
}

impl Iterator for Windows {
    type Item = (i64, i64);

    fn next(&mut self) -> Option<(i64, i64)> {
        if self.at >= self.to.min(MAX) {
            return None;
        }
        let window = self.cursor.window(self.at);
        self.at = window.1;
        Some(window)
    }
}

#[cfg(test)]
mod tests;
