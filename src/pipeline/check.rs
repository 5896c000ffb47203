//! Check: what would run, and what is wrong, before row one. Reads the source's head and the
//! stored head; writes nothing.

use super::build::{self, Handed, Until};
use super::spec::Spec;
use crate::flush::{Head, Position};
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
        if parts.source.assumed() {
            found.warning(
                "schema",
                "times carry no zone: they are taken as wall clock, typed UTC".into(),
            );
        }
        found.log(parts);
        found.info(
            "windows",
            format!("{} in {}", parts.tables.grains.join(" "), parts.tables.tz),
        );
    }
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
                found.keep(&format!("sink {}", number + 1), sink.inspect(&parts.tables));
            }
        }
        if let Some(parts) = &parts {
            for partition in 0..parts.source.partitions() {
                found.head(stores.home.as_mut(), parts, partition);
            }
        }
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

    /// A topic: how it is parted, what it forgets, what the clock says.
    fn log(&mut self, parts: &build::Parts) {
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
        match parts.source.concerns() {
            Ok(concerns) => concerns.into_iter().for_each(|c| self.warning("source", c)),
            Err(error) => self.push(Level::Error, "source", error.message),
        }
    }

    /// What was counted of a partition and is not there any more, or is about to go.
    fn begins(&mut self, head: &Head, parts: &build::Parts) {
        let Ok(ends) = parts.source.ends() else {
            return;
        };
        for (partition, end) in ends {
            let at = head.positions.iter().filter_map(Position::offset);
            if let Some((_, at)) = at.into_iter().find(|(p, _)| *p == partition) {
                let lag = end.saturating_sub(at);
                self.info(
                    "state",
                    format!("partition {partition}: counted up to offset {at} of {end}, {lag} messages to go"),
                );
            }
        }
    }

    fn head(&mut self, home: &mut dyn Home, parts: &build::Parts, partition: u32) {
        match home.look(&parts.config.pipeline, partition) {
            Ok(None) if partition > 0 => {}
            Ok(None) => self.info(
                "state",
                "nothing is counted yet: the run begins at the beginning".into(),
            ),
            Ok(Some(owned)) => match owned.head {
                None if partition > 0 => {}
                None => self.info(
                    "state",
                    "nothing is counted yet: the run begins at the beginning".into(),
                ),
                Some(head) => {
                    self.info(
                        "state",
                        format!(
                            "flush {} of epoch {}, {} readings counted",
                            head.id.n, head.id.epoch, head.totals.readings
                        ),
                    );
                    self.keep("state", parts.agreement().with(&head));
                    self.begins(&head, parts);
                }
            },
            Err(error) if error.kind == Kind::NotFound => self.info(
                "state",
                "the home does not exist yet and will be made".into(),
            ),
            Err(error) => self.push(Level::Error, "state", error.message),
        }
    }
}
