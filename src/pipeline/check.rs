//! Check: what would run, and what is wrong, before row one. Reads the source's head and the
//! stored head; writes nothing.

use super::build::{self, Handed, Until};
use super::run;
use super::spec::Spec;
use crate::flush::{Head, Position, Positions};
use crate::sink::{Home, Sink};
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
        found.source(parts);
    }
    let mut positions = Positions::new();
    if let Some(mut stores) = found.keep("sinks", build::stores(spec)) {
        for (number, sink) in stores.sinks().enumerate() {
            found.sink(number, sink, parts.as_ref());
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

    /// The source, what is read of it, and the windows.
    fn source(&mut self, parts: &build::Parts) {
        self.info("source", parts.source.describe());
        self.schema(parts);
        self.parted(parts);
        let grains = parts.tables.grains.join(" ");
        self.info("windows", format!("{grains} in {}", parts.tables.tz));
    }

    fn schema(&mut self, parts: &build::Parts) {
        let (schema, source) = (parts.source.schema(), &parts.source);
        let name = match schema.name.as_str() {
            "" => "sniffed",
            name => name,
        };
        let measures = source.measures();
        let measures: Vec<&str> = measures.iter().map(|m| m.name.as_str()).collect();
        self.info(
            "schema",
            format!("{name}: measures {}", measures.join(", ")),
        );
        let carried = source.attributes();
        let carried: Vec<&str> = carried.iter().map(|f| f.name().as_str()).collect();
        if !carried.is_empty() {
            let names = carried.join(", ");
            self.info("schema", format!("with the readings go {names}"));
        }
        if source.assumed() {
            let message = "times carry no zone: they are taken as wall clock, typed UTC";
            self.warning("schema", message.into());
        }
        for register in names_of_registers(&schema) {
            self.warning(
                "schema",
                format!("{register} is a register, a running total: windows leave it out; declare it as \"gauge\" for the meter's stand, or as \"energy\" after differencing it"),
            );
        }
    }

    /// A sink, the first one as the home; looked into where it is known what would be written.
    fn sink(&mut self, number: usize, sink: &mut dyn Sink, parts: Option<&build::Parts>) {
        let at = format!("sink {}", number + 1);
        let home = if number == 0 { " (home)" } else { "" };
        let told = format!("{:?} to {}{home}", sink.what(), sink.describe());
        self.info(&at, told.to_lowercase());
        let Some(parts) = parts else {
            return;
        };
        self.keep(&at, sink.inspect(&parts.tables));
        let concerns = self.keep(&at, sink.concerns(&parts.tables));
        let concerns = concerns.into_iter().flatten();
        concerns.for_each(|concern| self.warning(&at, concern));
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
