//! Check: what would run, and what is wrong, before row one. Reads the source's head and the
//! stored head; writes nothing.

use super::build::{self, Handed, Until};
use super::run;
use super::spec::Spec;
use crate::flush::{Head, Position, Positions};
use crate::sink::Home;
use crate::{Kind, Result};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What would run.
    Info,
    /// It would run, but look.
    Warning,
    /// It would not run.
    Error,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave.
    pub level: Level,
    /// Where: `source`, `windows`, `sink 1 (...)`, `state`.
    pub at: String,
    /// One sentence.
    pub message: String,
}

/// Clocks may differ so much, µs.
const CLOCKS: i64 = 10_000_000;

/// Looks at everything a run would need. An `Err` only where the spec itself cannot be read.
pub fn check(spec: &Spec, handed: Option<Handed>) -> Result<Vec<Finding>> {
    let mut found = Findings::default();
    let parts = found.keep("source", build::parts(spec, handed, Until::Now, true));
    if let Some(parts) = &parts {
        found.info("source", parts.source.describe());
        let schema = parts.source.schema();
        let names: Vec<String> = parts
            .source
            .measures()
            .iter()
            .map(|m| m.name.clone())
            .collect();
        found.info(
            "schema",
            format!(
                "{}: measures {}",
                if schema.name.is_empty() {
                    "sniffed"
                } else {
                    &schema.name
                },
                names.join(", ")
            ),
        );
        let carried = parts.source.attributes();
        if !carried.is_empty() {
            let names: Vec<&str> = carried.iter().map(|f| f.name().as_str()).collect();
            found.info(
                "schema",
                format!("with the readings go {}", names.join(", ")),
            );
        }
        if parts.source.assumed() {
            found.warning(
                "schema",
                "times carry no zone: they are taken as wall clock, typed UTC".into(),
            );
        }
        for register in names_of_registers(&schema) {
            found.warning(
                "schema",
                format!("{register} is a register, a running total: windows leave it out; declare it as \"gauge\" for the meter's stand, or as \"energy\" after differencing it"),
            );
        }
        found.parted(parts);
        found.info(
            "windows",
            format!("{} in {}", parts.tables.grains.join(" "), parts.tables.tz),
        );
    }
    let mut positions = Positions::new();
    let stores = found.keep("sinks", build::stores(spec));
    if let Some(mut stores) = stores {
        for (number, sink) in stores.sinks().enumerate() {
            found.info(
                &format!("sink {}", number + 1),
                format!(
                    "{:?} to {}{}",
                    sink.what(),
                    sink.describe(),
                    if number == 0 { " (home)" } else { "" }
                )
                .to_lowercase(),
            );
            if let Some(parts) = &parts {
                let at = format!("sink {}", number + 1);
                found.keep(&at, sink.inspect(&parts.tables));
                let concerns = found.keep(&at, sink.concerns(&parts.tables));
                let concerns = concerns.into_iter().flatten();
                concerns.for_each(|c| found.warning(&at, c));
            }
        }
        if let Some(parts) = &parts {
            for partition in 0..parts.source.partitions() {
                positions.extend(found.head(stores.home.as_mut(), parts, partition));
            }
        }
    }
    if let Some(parts) = &parts {
        found.log(parts, &positions);
    }
    Ok(found.list)
}

#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    fn push(&mut self, level: Level, at: &str, message: String) {
        self.list.push(Finding {
            level,
            at: at.to_string(),
            message,
        });
    }

    fn info(&mut self, at: &str, message: String) {
        self.push(Level::Info, at, message);
    }

    fn warning(&mut self, at: &str, message: String) {
        self.push(Level::Warning, at, message);
    }

    fn keep<T>(&mut self, at: &str, result: Result<T>) -> Option<T> {
        result
            .map_err(|error| self.push(Level::Error, at, error.message))
            .ok()
    }

    /// A topic: how it is parted.
    fn parted(&mut self, parts: &build::Parts) {
        let Some(log) = &parts.config.identity else {
            return;
        };
        let heads = match parts.source.partitions() {
            1 if log.partitions > 1 => "one head together",
            _ => "a head each",
        };
        self.info(
            "source",
            format!(
                "topic id {} of cluster {}, partitions: {}, {heads}",
                log.topic, log.cluster, log.partitions
            ),
        );
    }

    /// A topic: how far it was counted, what it forgets, what the clock says.
    fn log(&mut self, parts: &build::Parts, positions: &Positions) {
        let ends = parts.source.ends().unwrap_or_default();
        for (partition, end) in ends {
            let mut at = positions.iter().filter_map(Position::offset);
            if let Some((_, at)) = at.find(|(p, _)| *p == partition) {
                let lag = end.saturating_sub(at);
                self.info(
                    "state",
                    format!("partition {partition}: counted up to offset {at} of {end}, {lag} messages to go"),
                );
            }
        }
        for concern in self
            .keep("source", parts.source.concerns(positions))
            .unwrap_or_default()
        {
            let level = if concern.stops {
                Level::Error
            } else {
                Level::Warning
            };
            self.push(level, "source", concern.message);
        }
    }

    /// A head was written by a clock too, if not by this machine's.
    fn clock(&mut self, head: &Head) {
        let before = head.stamp.saturating_sub(run::clock());
        if before > CLOCKS {
            self.warning(
                "state",
                format!(
                    "the last flush was stamped {} s past this machine's clock: this clock is behind, or that of the machine that wrote it was ahead; set them by the same time, for idle and ahead go by the clock",
                    before / 1_000_000
                ),
            );
        }
    }

    /// The positions of a stored head that a run would go on from.
    fn head(&mut self, home: &mut dyn Home, parts: &build::Parts, partition: u32) -> Positions {
        let head = match home.look(&parts.config.pipeline, partition) {
            Ok(owned) => owned.and_then(|owned| owned.head),
            Err(error) if error.kind == Kind::NotFound => {
                self.info(
                    "state",
                    "the home does not exist yet and will be made".into(),
                );
                return Positions::new();
            }
            Err(error) => {
                self.push(Level::Error, "state", error.message);
                return Positions::new();
            }
        };
        let Some(head) = head else {
            if partition == 0 {
                let none = "nothing is counted yet: the run begins at the beginning";
                self.info("state", none.into());
            }
            return Positions::new();
        };
        self.info(
            "state",
            format!(
                "flush {} of epoch {}, {} readings counted",
                head.id.n, head.id.epoch, head.totals.readings
            ),
        );
        self.clock(&head);
        match self.keep("state", parts.agreement().with(&head)) {
            Some(()) => head.positions,
            None => Positions::new(),
        }
    }
}

/// Measures that windows leave out.
fn names_of_registers(schema: &crate::schema::Schema) -> impl Iterator<Item = &str> {
    let registers =
        |c: &&crate::schema::Column| c.measure == Some(crate::schema::MeasureKind::Register);
    schema
        .columns
        .iter()
        .filter(registers)
        .map(|c| c.name.as_str())
}
