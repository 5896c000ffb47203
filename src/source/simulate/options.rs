//! The simulator's options and their form as a URL:
//! `sim://?sensors=3&rate=60x&late=0.01&late_by=10min&seed=7`.

use crate::time::Zone;
use crate::time::duration;
use crate::{Error, Kind, Result};
use std::fmt;

/// How fast readings come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// As fast as the machine can.
    Max,
    /// This many seconds of event time a second; 1: real time.
    Times(f64),
}

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// Houses; their names are `house-1` and so on.
    pub sensors: u32,
    /// The first reading, µs UTC; `None`: now.
    pub start: Option<i64>,
    /// No reading at or after this, µs UTC; `None`: without end.
    pub end: Option<i64>,
    /// µs from one reading to the next.
    pub step: i64,
    /// Another seed, other houses.
    pub seed: u64,
    /// Share of readings that are missing, in runs of some steps.
    pub gaps: f64,
    /// Share of readings that come late.
    pub late: f64,
    /// How late at most, µs.
    pub late_by: i64,
    /// Share of readings that come twice.
    pub duplicates: f64,
    /// Share of readings that come twice with other values.
    pub conflicts: f64,
    /// How fast; `None`: full speed with an end, else real time.
    pub rate: Option<Rate>,
    /// IANA zone in which people get up and cook.
    pub tz: String,
}

impl Default for Simulation {
    fn default() -> Self {
        Simulation {
            sensors: 1,
            start: None,
            end: None,
            step: 60_000_000,
            seed: 1,
            gaps: 0.0,
            late: 0.0,
            late_by: 600_000_000,
            duplicates: 0.0,
            conflicts: 0.0,
            rate: None,
            tz: "UTC".into(),
        }
    }
}

const KEYS: &str =
    "sensors, start, end, step, seed, gaps, late, late_by, duplicates, conflicts, rate, tz";

impl Simulation {
    /// Reads `sim://` or `sim://?key=value&...`. Errors: `Usage`, naming what is wrong.
    pub fn parse(url: &str) -> Result<Simulation> {
        let rest = url.strip_prefix("sim:").map(|r| r.trim_start_matches('/'));
        let query = rest.filter(|r| r.is_empty() || r.starts_with('?'));
        let query = query
            .ok_or_else(|| usage(format!("not a simulator: {url}; write sim://?sensors=3")))?;
        let mut made = Simulation::default();
        let mut times = (None, None);
        for pair in query
            .trim_start_matches('?')
            .split('&')
            .filter(|p| !p.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "start" => times.0 = Some(value),
                "end" => times.1 = Some(value),
                _ => made.set(key, value)?,
            }
        }
        // Times without zone are local, so the zone has to be known first.
        made.start = times
            .0
            .filter(|t| *t != "now")
            .map(|t| made.instant(t))
            .transpose()?;
        made.end = times.1.map(|t| made.instant(t)).transpose()?;
        made.check()?;
        Ok(made)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "sensors" => self.sensors = number(key, value)?,
            "seed" => self.seed = number(key, value)?,
            "step" => self.step = duration::positive(value)?,
            "late_by" => self.late_by = duration::positive(value)?,
            "gaps" => self.gaps = number(key, value)?,
            "late" => self.late = number(key, value)?,
            "duplicates" => self.duplicates = number(key, value)?,
            "conflicts" => self.conflicts = number(key, value)?,
            "rate" => self.rate = Some(rate(value)?),
            "tz" => self.tz = value.replace("%2F", "/").replace("%2f", "/"),
            _ => {
                return Err(usage(format!(
                    "the simulator has no option {key:?}; it has {KEYS}"
                )));
            }
        }
        Ok(())
    }

    /// An instant, or a date and time of the local clock.
    fn instant(&self, text: &str) -> Result<i64> {
        let text = text
            .replace("%3A", ":")
            .replace("%3a", ":")
            .replace("%2B", "+")
            .replace("%2b", "+");
        if let Ok(instant) = chrono::DateTime::parse_from_rfc3339(&text) {
            return Ok(instant.timestamp_micros());
        }
        let spaced = text.replace('T', " ");
        let day = chrono::NaiveDate::parse_from_str(&spaced, "%Y-%m-%d").ok();
        let forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
        let read = |f: &&str| chrono::NaiveDateTime::parse_from_str(&spaced, f).ok();
        let local = day
            .and_then(|d| d.and_hms_opt(0, 0, 0))
            .or_else(|| forms.iter().find_map(read));
        let local = local.ok_or_else(|| {
            usage(format!(
                "not a time: {text:?}; write 2026-01-31, 2026-01-31T12:00 or 2026-01-31T12:00:00Z"
            ))
        })?;
        let local = local.and_utc().timestamp_micros();
        let zone = Zone::parse(&self.tz)?;
        Ok(local - zone.offset_at(local - zone.offset_at(local)))
    }

    /// Whether this can be simulated. Errors: `Usage`.
    pub fn check(&self) -> Result<()> {
        if !(1..=100_000).contains(&self.sensors) {
            return Err(usage("sensors must be 1 to 100000".into()));
        }
        if self.step < 1_000 || self.late_by < 0 {
            return Err(usage(
                "step must be 1ms or more, and late_by not negative".into(),
            ));
        }
        if self.late > 0.0 && self.late_by / self.step > 100_000 {
            return Err(usage(
                "late_by may be 100000 steps at most; make it shorter or the step longer".into(),
            ));
        }
        for (name, share) in self.shares() {
            if !(0.0..=1.0).contains(&share) {
                return Err(usage(format!(
                    "{name} is a share and must be 0 to 1, not {share}"
                )));
            }
        }
        match (self.start, self.end) {
            (None, Some(_)) => Err(usage(
                "end needs start; add start=2026-01-01 or drop end".into(),
            )),
            (Some(start), Some(end)) if end < start => {
                Err(usage("end lies before start; swap them".into()))
            }
            _ => Zone::parse(&self.tz).map(drop),
        }
    }

    fn shares(&self) -> [(&'static str, f64); 4] {
        [
            ("gaps", self.gaps),
            ("late", self.late),
            ("duplicates", self.duplicates),
            ("conflicts", self.conflicts),
        ]
    }

    /// The pace in force.
    pub fn pace(&self) -> Rate {
        self.rate.unwrap_or(if self.end.is_some() {
            Rate::Max
        } else {
            Rate::Times(1.0)
        })
    }

    /// A short hash of all that decides which readings come; pace and end do not.
    pub(super) fn fingerprint(&self) -> String {
        let same = Simulation {
            rate: None,
            end: None,
            ..self.clone()
        };
        let hash = blake3::hash(same.to_string().as_bytes()).to_hex();
        hash.get(..16).unwrap_or_default().to_string()
    }
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| {
        usage(format!(
            "{key}={value} is not a number that fits; check the simulator's options"
        ))
    })
}

fn rate(value: &str) -> Result<Rate> {
    let times = match value {
        "max" => return Ok(Rate::Max),
        "real" => Some(1.0),
        _ => value.trim_end_matches('x').parse::<f64>().ok(),
    };
    let times = times.filter(|t| t.is_finite() && *t > 0.0);
    times
        .map(Rate::Times)
        .ok_or_else(|| usage(format!("rate={value} is none of max, real, 60x")))
}

impl fmt::Display for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sim://?sensors={}&seed={}&step={}us&tz={}",
            self.sensors, self.seed, self.step, self.tz
        )?;
        for (key, time) in [("start", self.start), ("end", self.end)] {
            if let Some(instant) = time.and_then(chrono::DateTime::from_timestamp_micros) {
                let text = instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
                write!(f, "&{key}={text}")?;
            }
        }
        for (key, share) in self.shares().into_iter().filter(|s| s.1 > 0.0) {
            write!(f, "&{key}={share}")?;
        }
        if self.late > 0.0 {
            write!(f, "&late_by={}us", self.late_by)?;
        }
        match self.rate {
            None => Ok(()),
            Some(Rate::Max) => write!(f, "&rate=max"),
            Some(Rate::Times(times)) => write!(f, "&rate={times}x"),
        }
    }
}
