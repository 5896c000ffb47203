//! Local times to instants, by the policies on repeated and missing hours.

use super::zone::{Local, REACH, Range, Zone};
use super::{DAY, HOUR, MAX, MIN};
use crate::{Error, Kind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a local time means that the clock showed twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRepeated {
    /// An error or a reject.
    #[default]
    Raise,
    /// The first pass until the sensor's local time goes back inside the repeated hour, in file
    /// order; then the second.
    Infer,
    /// The first pass.
    Earliest,
    /// The second pass.
    Latest,
    /// No time.
    Null,
}

/// What a local time means that the clock jumped over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// An error or a reject.
    #[default]
    Raise,
    /// Moved on by the length of the jump: 02:30 becomes 03:30.
    Shift,
    /// No time.
    Null,
}

/// Why a local time has no instant under `raise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalError {
    /// The clock showed it twice.
    Repeated,
    /// The clock jumped over it.
    Missing,
}

impl LocalError {
    /// One clause for a reject.
    pub fn reason(self) -> &'static str {
        match self {
            LocalError::Repeated => "the clock showed this local time twice (on_repeated = raise)",
            LocalError::Missing => "the clock jumped over this local time (on_missing = raise)",
        }
    }

    /// The error for a read that ends here.
    pub fn error(self, local: i64, zone: &Zone) -> Error {
        let shown = super::label::local_text(local);
        let name = zone.name();
        let message = match self {
            LocalError::Repeated => format!(
                "the local time {shown} occurs twice in {name}: say on_repeated = infer, earliest, latest or null"
            ),
            LocalError::Missing => format!(
                "the local time {shown} does not occur in {name}: say on_missing = shift or null, or check the zone"
            ),
        };
        Error::new(Kind::AmbiguousZone, message)
    }
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// What a local time is without the rows before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// This instant, whatever the order of rows.
    Instant(i64),
    /// A change is near: the rows before it in the file have a say.
    Ordered,
    /// None, by a `null` policy.
    Null,
}

/// Turns local times into instants. One for each stream of rows, fed in file order; with
/// `infer` it keeps a little state for each sensor, otherwise none.
///
/// **infer.** Inside a repeated hour a sensor is in the first pass until its local time goes
/// back. A time *equal* to the one before goes back too if the next step would leave the repeated hour
/// (hourly data show 02:00 twice), else it is the same reading again. The step is the one
/// given, else the sensor's last advance seen on that day, else a whole repeated hour. A sensor that
/// shows only one pass is taken to show the first.
#[derive(Clone, Debug)]
pub struct Converter {
    zone: Zone,
    on_repeated: OnRepeated,
    on_missing: OnMissing,
    step: Option<i64>,
    /// Local times `from..to` each are one instant with `offset`, and no repeated hour is near.
    plain: Plain,
    sensors: Vec<Pass>,
}

#[derive(Clone, Copy, Debug)]
struct Plain {
    from: i64,
    to: i64,
    offset: i64,
}

/// Where a sensor stands near a repeated hour.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// Its last local time there.
    last: i64,
    /// Its last advance.
    advance: Option<i64>,
    /// In the second pass of the repeated hour that holds `last`.
    second: bool,
}

const NEVER: Pass = Pass {
    last: i64::MIN,
    advance: None,
    second: false,
};

impl Converter {
    /// A converter for `zone` under the policies; `step` is the reading interval, if known.
    pub fn new(
        zone: Zone,
        on_repeated: OnRepeated,
        on_missing: OnMissing,
        step: Option<i64>,
    ) -> Self {
        let plain = Plain {
            from: 0,
            to: 0,
            offset: 0,
        };
        Converter {
            zone,
            on_repeated,
            on_missing,
            step,
            plain,
            sensors: Vec::new(),
        }
    }

    /// Its zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The instant of a sensor's local time; `None` where a policy says `null`. `sensor` is a
    /// small number (0 where there is one sensor).
    #[inline]
    pub fn convert(&mut self, local: i64, sensor: usize) -> Result<Option<i64>, LocalError> {
        match self.plain(local) {
            Some(utc) => Ok(Some(utc)),
            None => self.slow(local, sensor),
        }
    }

    /// The instant of a local time that needs neither a policy nor the order of rows. `None`:
    /// a change may be near. Where rows are read out of order, under `infer` only those with `None`
    /// here have to come to `convert` in file order; all converters agree on the others.
    #[inline]
    pub fn certain(&mut self, local: i64) -> Option<i64> {
        self.plain(local).or_else(|| {
            self.plain = plain_around(&self.zone, local);
            self.plain(local)
        })
    }

    /// What a local time is without the rows before it, for rows that are read out of order under `infer`.
    /// What cannot be here (a jumped-over time that is no reading) does not take part in the order.
    #[inline]
    pub fn alone(&mut self, local: i64) -> Result<Alone, LocalError> {
        if let Some(utc) = self.certain(local) {
            return Ok(Alone::Instant(utc));
        }
        match (self.zone.local(local), self.on_missing) {
            (Local::None { .. }, OnMissing::Raise) => Err(LocalError::Missing),
            (Local::None { .. }, OnMissing::Null) => Ok(Alone::Null),
            _ => Ok(Alone::Ordered),
        }
    }

    #[inline]
    fn plain(&self, local: i64) -> Option<i64> {
        let inside = local >= self.plain.from && local < self.plain.to;
        inside.then(|| local - self.plain.offset)
    }

    /// Converts a column in place, rows in file order; `sensors` has one number a row, or is
    /// empty where there is one sensor. `fault` is told of each row that has no instant, and
    /// why (`None`: by a `null` policy); its local time stays as it was.
    pub fn convert_all(
        &mut self,
        times: &mut [i64],
        sensors: &[u32],
        mut fault: impl FnMut(usize, Option<LocalError>),
    ) {
        if let Some(offset) = self.offset_for_all(times) {
            times.iter_mut().for_each(|time| *time -= offset);
            return;
        }
        for (row, time) in times.iter_mut().enumerate() {
            let sensor = sensors.get(row).map_or(0, |code| *code as usize);
            match self.convert(*time, sensor) {
                Ok(Some(utc)) => *time = utc,
                Ok(None) => fault(row, None),
                Err(error) => fault(row, Some(error)),
            }
        }
    }

    /// The one offset of a whole column, if no change is near.
    fn offset_for_all(&self, times: &[i64]) -> Option<i64> {
        let least = *times.iter().min()?;
        let greatest = *times.iter().max()?;
        let plain = plain_around(&self.zone, least);
        (least >= plain.from && greatest < plain.to).then_some(plain.offset)
    }

    #[cold]
    fn slow(&mut self, local: i64, sensor: usize) -> Result<Option<i64>, LocalError> {
        if let Some(utc) = self.certain(local) {
            return Ok(Some(utc));
        }
        let meaning = self.zone.local(local);
        let second = self.on_repeated == OnRepeated::Infer && self.pass(local, meaning, sensor);
        match meaning {
            Local::One(utc) => Ok(Some(utc)),
            Local::Two(earliest, latest) => self.repeated(earliest, latest, second),
            Local::None { before_offset, .. } => self.missing(local - before_offset),
        }
    }

    fn repeated(
        &self,
        earliest: i64,
        latest: i64,
        second: bool,
    ) -> Result<Option<i64>, LocalError> {
        match self.on_repeated {
            OnRepeated::Raise => Err(LocalError::Repeated),
            OnRepeated::Infer => Ok(Some(if second { latest } else { earliest })),
            OnRepeated::Earliest => Ok(Some(earliest)),
            OnRepeated::Latest => Ok(Some(latest)),
            OnRepeated::Null => Ok(None),
        }
    }

    fn missing(&self, shifted: i64) -> Result<Option<i64>, LocalError> {
        match self.on_missing {
            OnMissing::Raise => Err(LocalError::Missing),
            OnMissing::Shift => Ok(Some(shifted)),
            OnMissing::Null => Ok(None),
        }
    }

    /// Notes a sensor's local time near a change; whether it is in a second pass.
    fn pass(&mut self, local: i64, meaning: Local, sensor: usize) -> bool {
        if sensor >= self.sensors.len() {
            self.sensors.resize(sensor + 1, NEVER);
        }
        let was = self.sensors[sensor];
        let near = was.last != i64::MIN && local.abs_diff(was.last) < DAY as u64;
        let was = if near { was } else { NEVER };
        let second = match meaning {
            Local::Two(_, latest) => self.is_second(local, was, latest),
            _ => false,
        };
        let advance = if near && local > was.last {
            Some(local - was.last)
        } else {
            was.advance
        };
        self.sensors[sensor] = Pass {
            last: local,
            advance,
            second,
        };
        second
    }

    fn is_second(&self, local: i64, was: Pass, latest: i64) -> bool {
        let (from, to) = self.zone.repeat_before(latest);
        if was.last < from || was.last >= to {
            return false;
        }
        let step = self.step.or(was.advance).unwrap_or(to - from);
        was.second || local < was.last || (local == was.last && local + step >= to)
    }
}

/// The stretch of local times around `local` that each are one instant with the same offset. It
/// ends a little before the next change, so that `infer` sees a sensor's step first.
fn plain_around(zone: &Zone, local: i64) -> Plain {
    const LEAD: i64 = 3 * HOUR;
    let here = zone.range_at(local - zone.offset_at(local));
    let before = zone.range_at(here.start.saturating_sub(1));
    let after = zone.range_at(here.end);
    let lonely = |range: Range| range.end.saturating_sub(range.start) > REACH;
    let guard = if lonely(before) && lonely(after) {
        0
    } else {
        REACH
    };
    let from = here
        .start
        .saturating_add(here.offset.max(before.offset) + guard);
    let to = here
        .end
        .saturating_add(here.offset.min(after.offset) - guard - LEAD);
    Plain {
        from: from.max(MIN),
        to: to.min(MAX),
        offset: here.offset,
    }
}

#[cfg(test)]
mod tests {
    use super::super::civil::days_from_civil;
    use super::super::{MINUTE, SECOND};
    use super::*;

    const FALL: (i64, u32, u32) = (2007, 10, 28);

    fn paris(on_repeated: OnRepeated, step: Option<i64>) -> Converter {
        Converter::new(
            Zone::parse("Europe/Paris").unwrap(),
            on_repeated,
            OnMissing::Raise,
            step,
        )
    }

    fn at(date: (i64, u32, u32), hour: i64, minute: i64) -> i64 {
        days_from_civil(date.0, date.1, date.2) * DAY + hour * HOUR + minute * MINUTE
    }

    /// Instants every `step` around a change, as a meter on the local clock writes them.
    fn in_order(zone: &str, middle: i64, step: i64, hours: i64) -> (Vec<i64>, Vec<i64>) {
        let zone = Zone::parse(zone).unwrap();
        let count = hours * HOUR / step;
        let utc: Vec<i64> = (-count..count).map(|i| middle + i * step).collect();
        let local = utc.iter().map(|t| zone.to_local(*t)).collect();
        (utc, local)
    }

    #[test]
    fn infer_gives_back_every_instant_of_ordered_data() {
        for name in [
            "Europe/Paris",
            "America/New_York",
            "Australia/Lord_Howe",
            "America/St_Johns",
            "Africa/Casablanca",
        ] {
            let zone = Zone::parse(name).unwrap();
            let modern = zone
                .changes()
                .iter()
                .filter(|t| **t > 0 && **t < 70 * 365 * DAY);
            for change in modern {
                for (step, given) in [
                    (SECOND * 20, false),
                    (MINUTE, false),
                    (15 * MINUTE, false),
                    (15 * MINUTE, true),
                    (30 * MINUTE, true),
                ] {
                    let (utc, local) = in_order(name, change.div_euclid(step) * step, step, 10);
                    let known = given.then_some(step);
                    let mut converter =
                        Converter::new(zone.clone(), OnRepeated::Infer, OnMissing::Raise, known);
                    let mut found = local.clone();
                    converter
                        .convert_all(&mut found, &[], |row, why| panic!("{row} {why:?} {name}"));
                    assert_eq!(found, utc, "{name} {change} {step}");
                }
            }
        }
    }

    #[test]
    fn infer_reads_hourly_data_with_or_without_a_step() {
        for known in [None, Some(HOUR)] {
            let (utc, mut local) = in_order("Europe/Paris", at(FALL, 1, 0), HOUR, 24);
            paris(OnRepeated::Infer, known).convert_all(&mut local, &[], |_, _| panic!());
            assert_eq!(local, utc);
        }
    }

    #[test]
    fn infer_keeps_sensors_apart() {
        let (utc, local) = in_order("Europe/Paris", at(FALL, 1, 0), 10 * MINUTE, 5);
        // Sensor 1 runs behind sensor 0 by half an hour in file order.
        let mut rows = Vec::new();
        for (i, time) in local.iter().enumerate() {
            rows.push((*time, 0_u32, utc[i]));
            if i >= 3 {
                rows.push((local[i - 3], 1, utc[i - 3]));
            }
        }
        let mut times: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let sensors: Vec<u32> = rows.iter().map(|row| row.1).collect();
        paris(OnRepeated::Infer, None).convert_all(&mut times, &sensors, |_, _| panic!());
        assert_eq!(times, rows.iter().map(|row| row.2).collect::<Vec<_>>());
    }

    #[test]
    fn infer_takes_an_equal_time_for_the_same_reading_where_the_step_fits() {
        let mut converter = paris(OnRepeated::Infer, None);
        let first = at(FALL, 2, 10) - 2 * HOUR;
        for (minute, utc) in [
            (8, first - 2 * MINUTE),
            (9, first - MINUTE),
            (10, first),
            (10, first),
            (11, first + MINUTE),
        ] {
            assert_eq!(converter.convert(at(FALL, 2, minute), 0), Ok(Some(utc)));
        }
        assert_eq!(
            converter.convert(at(FALL, 2, 0), 0),
            Ok(Some(at(FALL, 1, 0)))
        );
        assert_eq!(
            converter.convert(at(FALL, 2, 11), 0),
            Ok(Some(at(FALL, 1, 11)))
        );
    }

    #[test]
    fn the_other_policies() {
        let repeated = at(FALL, 2, 30);
        for (policy, expected) in [
            (OnRepeated::Raise, Err(LocalError::Repeated)),
            (OnRepeated::Earliest, Ok(Some(repeated - 2 * HOUR))),
            (OnRepeated::Latest, Ok(Some(repeated - HOUR))),
            (OnRepeated::Null, Ok(None)),
        ] {
            assert_eq!(paris(policy, None).convert(repeated, 0), expected);
        }
        let missing = at((2007, 3, 25), 2, 30);
        let zone = Zone::parse("Europe/Paris").unwrap();
        for (policy, expected) in [
            (OnMissing::Raise, Err(LocalError::Missing)),
            (OnMissing::Shift, Ok(Some(missing - HOUR))),
            (OnMissing::Null, Ok(None)),
        ] {
            let mut converter = Converter::new(zone.clone(), OnRepeated::Raise, policy, None);
            assert_eq!(converter.convert(missing, 0), expected);
        }
        assert!(
            LocalError::Missing
                .error(missing, &zone)
                .message
                .contains("2007-03-25 02:30 does not occur in Europe/Paris")
        );
    }

    #[test]
    fn plain_stretches_never_hold_a_doubtful_time() {
        for name in [
            "Europe/Paris",
            "America/St_Johns",
            "Pacific/Apia",
            "Asia/Manila",
            "Africa/Casablanca",
            "Africa/Cairo",
        ] {
            let zone = Zone::parse(name).unwrap();
            for change in zone.changes() {
                for local in (-400..400).map(|i| change + i * 17 * MINUTE) {
                    let plain = plain_around(&zone, local);
                    for edge in [plain.from, plain.to.saturating_sub(1), local] {
                        if plain.from <= edge && edge < plain.to {
                            assert_eq!(
                                zone.local(edge),
                                Local::One(edge - plain.offset),
                                "{name} {edge}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn only_uncertain_rows_need_the_file_order() {
        let (utc, local) = in_order("Europe/Paris", at(FALL, 1, 0), MINUTE, 30);
        let mut anyone = paris(OnRepeated::Infer, None);
        let mut ordered = paris(OnRepeated::Infer, None);
        let mut uncertain = 0;
        // Backwards for what is certain, then forwards for the rest.
        let mut found: Vec<Option<i64>> = local.iter().rev().map(|t| anyone.certain(*t)).collect();
        found.reverse();
        for (slot, local) in found.iter_mut().zip(&local) {
            if slot.is_none() {
                uncertain += 1;
                *slot = ordered.convert(*local, 0).unwrap();
            }
        }
        assert_eq!(found, utc.into_iter().map(Some).collect::<Vec<_>>());
        assert!((120..=300).contains(&uncertain), "{uncertain}");
    }

    #[test]
    fn a_column_with_faults_says_which() {
        let repeated = at(FALL, 2, 30);
        let mut times = [at(FALL, 1, 0), repeated, at(FALL, 4, 0)];
        let mut faults = Vec::new();
        paris(OnRepeated::Raise, None)
            .convert_all(&mut times, &[], |row, why| faults.push((row, why)));
        assert_eq!(faults, [(1, Some(LocalError::Repeated))]);
        assert_eq!(times, [at(FALL, 1, 0) - 2 * HOUR, repeated, at(FALL, 3, 0)]);
    }
}
