//! Repair: what a person does to a pipeline that no reading can: move its positions, drop its state, share its sensors
//! out over more partitions. Each is a decided flush like any other, so that every sink goes through it in order;
//! an owner that lives is never disturbed: the partition is taken, and refused while it is owned.

use super::build::{self, Parts, Until};
use super::places::Places;
use super::run::{clock, owner};
use super::spec::Spec;
use super::state;
use super::stores::Stores;
use super::task::repair::{Change, moved, names, repaired};
use super::task::{TaskConfig, open_windows};
use crate::codec::json::Encoder;
use crate::flush::{Flush, Head, Position, Positions};
use crate::sink::{Claim, Decided, Home, Owned, Sink, Tables};
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Version of an exported file.
const FORMAT: u32 = 1;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Partitions of a topic and the offsets at which reading goes on.
    Seek(BTreeMap<u32, u64>),
    /// All state is dropped, and everything is counted anew from the beginning.
    Reset,
    /// Sensors go to where the topic's keys go since partitions were added.
    Repartition,
}

/// A home, and what is needed to decide in it.
struct Desk {
    parts: Parts,
    home: Box<dyn Home>,
}

/// Carries a repair out; says what was done, a line a partition. Errors: `Fenced` while an owner lives; `Usage`.
pub fn repair(spec: &Spec, what: &Repair) -> Result<Vec<String>> {
    let known = state::look(spec)?;
    let parts = build::parts(spec, None, Until::Now, true)?;
    let Stores {
        mut home,
        followers,
        ..
    } = build::stores(spec)?;
    let tables = Tables {
        anew: *what == Repair::Reset,
        ..parts.tables.clone()
    };
    home.prepare(&tables)?;
    let mut desk = Desk { parts, home };
    match what {
        Repair::Seek(offsets) => desk.seek(spec, offsets),
        Repair::Reset => desk.reset(&known, followers, &tables),
        Repair::Repartition => desk.repartition(spec, &known),
    }
}

impl Desk {
    fn config(&self, partition: u32) -> TaskConfig {
        TaskConfig {
            partition,
            ..self.parts.config.clone()
        }
    }

    /// Takes a partition. One that is owned is not taken.
    fn take(&mut self, partition: u32) -> Result<Owned> {
        let config = &self.parts.config;
        let claim = Claim {
            pipeline: config.pipeline.clone(),
            partition,
            token: config.token.clone(),
            owner: owner(),
            take_over: false,
            spec: config.spec.clone(),
            spec_json: config.spec_json.clone(),
        };
        self.home.acquire(&claim)
    }

    /// Decides, and settles an answer that was lost.
    fn decide(&mut self, (flush, head): (Arc<Flush>, Arc<Head>)) -> Result<()> {
        self.home.fence(head.partition, head.id.epoch)?;
        for _ in 0..5 {
            let answer = match self.home.decide(&head, &flush, true)? {
                Decided::Unclear(_) => self.home.settle(&head)?,
                answer => Some(answer),
            };
            match answer {
                Some(Decided::Yes) => return self.home.apply(&flush),
                Some(Decided::Fenced(by)) => {
                    return Err(Error::new(
                        Kind::Fenced,
                        format!(
                            "partition {} was taken by {by} meanwhile; nothing was changed there",
                            head.partition
                        ),
                    ));
                }
                Some(Decided::Unclear(_)) | None => {}
            }
        }
        Err(Error::new(
            Kind::Endpoint,
            format!("{} does not answer; try again", self.home.describe()),
        )
        .retryable())
    }

    /// Takes a partition, decides what `change` makes of it, and gives it up.
    fn change(
        &mut self,
        partition: u32,
        change: impl FnOnce(&TaskConfig, &Owned) -> Result<(Arc<Flush>, Arc<Head>)>,
    ) -> Result<()> {
        let owned = self.take(partition)?;
        let config = self.config(partition);
        let built = change(&config, &owned);
        let decided = built.and_then(|built| self.decide(built));
        let finished = decided.and_then(|()| self.home.finish());
        let released = self.home.release(partition);
        finished.and(released)
    }

    fn seek(&mut self, spec: &Spec, offsets: &BTreeMap<u32, u64>) -> Result<Vec<String>> {
        let Some(topic) = topic_of(spec) else {
            return Err(usage(
                "only a topic has offsets to seek; positions of files are proven by their content",
            ));
        };
        let shared = spec.state == super::policy::State::Shared;
        let there = self
            .parts
            .config
            .identity
            .as_ref()
            .map_or(u32::MAX, |i| i.partitions);
        if let Some(none) = offsets.keys().find(|p| **p >= there) {
            return Err(usage(&format!(
                "the topic {topic} has no partition {none}; it has {there}"
            )));
        }
        let mut by_head: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
        for (partition, offset) in offsets {
            let head = if shared { 0 } else { *partition };
            by_head.entry(head).or_default().push((*partition, *offset));
        }
        let agreement = self.parts.agreement();
        let mut done = Vec::new();
        for (partition, moves) in by_head {
            self.change(partition, |config, owned| {
                let mut positions = Positions::new();
                if let Some(head) = &owned.head {
                    agreement.with(head)?;
                    positions.clone_from(&head.positions);
                }
                for (stream, offset) in &moves {
                    let was = set(&mut positions, &format!("{topic}/{stream}"), *offset);
                    forget(&mut positions, *stream, *offset);
                    let was = was.map_or("the beginning".into(), |at| format!("offset {at}"));
                    done.push(format!("partition {stream}: from {was} to offset {offset}"));
                }
                repaired(config, owned, &Change::Seek(positions), clock())
            })?;
        }
        Ok(done)
    }

    /// What followers lost is made anew too, by the owner that drops the state.
    fn reset(
        &mut self,
        known: &[Owned],
        mut followers: Vec<Box<dyn Sink>>,
        tables: &Tables,
    ) -> Result<Vec<String>> {
        followers.iter_mut().try_for_each(|f| f.prepare(tables))?;
        let mut done = Vec::new();
        for head in known.iter().filter_map(|k| k.head.as_ref()) {
            readable(head)?;
            self.change(head.partition, |config, owned| {
                for follower in &mut followers {
                    follower.fence(head.partition, owned.epoch)?;
                }
                repaired(config, owned, &Change::Reset, clock())
            })?;
            done.push(format!(
                "partition {}: {} readings are to be counted anew",
                head.partition, head.totals.readings
            ));
        }
        Ok(done)
    }

    /// New partitions first, from what the old ones hold; then the old ones lose what moved. A repair that was broken off
    /// goes on where it was: a head says how many partitions its topic had.
    fn repartition(&mut self, spec: &Spec, known: &[Owned]) -> Result<Vec<String>> {
        let topic = topic_of(spec).filter(|_| spec.state == super::policy::State::Keyed);
        let (Some(topic), Some(now)) = (topic, self.parts.config.identity.clone()) else {
            return Err(usage(
                "only a topic with a head for each partition (state=\"keyed\") has sensors to share out",
            ));
        };
        let heads: Vec<&Head> = known.iter().filter_map(|k| k.head.as_ref()).collect();
        heads.iter().try_for_each(|head| readable(head))?;
        let before = heads.iter().map(|h| counted(h)).min().unwrap_or(0);
        if before == now.partitions {
            return Ok(vec![format!(
                "{before} partitions as before: nothing to do"
            )]);
        }
        let places = Places::of(spec, before, now.partitions)?;
        places.drained(&heads)?;
        let held = self.all_of(before, &places)?;
        let mut done = Vec::new();
        for partition in (before..now.partitions).chain(0..before) {
            let from = partition % before;
            let Some(source) = held.get(&from) else {
                continue;
            };
            let owned = match partition < before {
                true => source.clone(),
                false => self.take(partition)?,
            };
            let over = |head: &Head| counted(head) == now.partitions;
            if !owned.head.as_ref().is_some_and(over) {
                let stream = format!("{topic}/{partition}");
                let kept = self.share((partition, &stream), &owned, source, &places)?;
                done.push(format!(
                    "partition {partition}: {kept} sensors, from partition {from}"
                ));
            }
        }
        self.home.finish()?;
        for partition in 0..now.partitions {
            self.home.release(partition)?;
        }
        Ok(done)
    }

    /// Takes the partitions there were, and looks whether each holds the sensors that it should.
    fn all_of(&mut self, before: u32, places: &Places) -> Result<BTreeMap<u32, Owned>> {
        let mut held = BTreeMap::new();
        for partition in 0..before {
            held.insert(partition, self.take(partition)?);
        }
        for (partition, owned) in &held {
            let found = names(&self.config(*partition), owned, clock())?;
            places.check(*partition, &found)?;
        }
        Ok(held)
    }

    /// Gives a partition its sensors out of `source`; says how many.
    fn share(
        &mut self,
        (partition, stream): (u32, &str),
        owned: &Owned,
        source: &Owned,
        places: &Places,
    ) -> Result<usize> {
        let head = owned.head.as_ref();
        let positions = head.map_or_else(|| vec![begin(stream)], |h| h.positions.clone());
        let keeps = |sensor: &str| places.of_sensor(sensor) == Some(partition);
        let config = self.config(partition);
        let built = moved(&config, owned, source, &keeps, positions, clock())?;
        let windows = names(&config, source, clock())?;
        self.decide(built)?;
        Ok(windows.iter().filter(|name| keeps(name)).count())
    }
}

/// How many partitions the topic had when this head was decided.
fn counted(head: &Head) -> u32 {
    head.source.as_ref().map_or(0, |s| s.partitions)
}

/// Heads of a newer wattline are left alone.
fn readable(head: &Head) -> Result<()> {
    if head.format <= crate::flush::FORMAT {
        return Ok(());
    }
    Err(Error::new(
        Kind::SpecChanged,
        format!(
            "pipeline {:?} was written by a newer wattline (format {}, this one writes {}); upgrade",
            head.pipeline,
            head.format,
            crate::flush::FORMAT
        ),
    ))
}

/// The topic's name, where the source is one.
fn topic_of(spec: &Spec) -> Option<String> {
    let url = spec.topic()?;
    let (place, _) = url.split_once('?').unwrap_or((&url, ""));
    place.rsplit_once('/').map(|(_, topic)| topic.to_owned())
}

/// Sets the offset of a stream; gives what it was.
fn set(positions: &mut Positions, stream: &str, offset: u64) -> Option<u64> {
    match positions.iter_mut().find(|p| p.stream == stream) {
        Some(position) => Some(std::mem::replace(&mut position.at, offset)),
        None => {
            let at = offset;
            positions.push(Position {
                at,
                ..begin(stream)
            });
            None
        }
    }
}

/// Origins whose last message is read again: what was passed over before it would be taken for a repeat.
fn forget(positions: &mut Positions, partition: u32, offset: u64) {
    let origin = format!("origin/{partition}/");
    positions.retain(|p| !(p.stream.starts_with(&origin) && p.at >= offset));
}

fn begin(stream: &str) -> Position {
    Position {
        stream: stream.into(),
        ..Position::default()
    }
}

fn usage(message: &str) -> Error {
    Error::new(Kind::Usage, message)
}

/// Writes what a pipeline's home holds as one JSON file: heads with their positions, last readings, open windows.
pub fn export(spec: &Spec, path: &Path) -> Result<()> {
    let known = state::look(spec)?;
    let heads: Vec<&Head> = known.iter().filter_map(|k| k.head.as_ref()).collect();
    heads.iter().try_for_each(|head| readable(head))?;
    let partitions = known.iter().map(|owned| {
        serde_json::json!({
            "head": owned.head,
            "epoch": owned.epoch,
            "records": owned.records.len(),
            "unapplied": owned.unapplied.iter().map(|f| f.id).collect::<Vec<_>>(),
        })
    });
    let parts = build::parts(spec, None, Until::Now, true)?;
    let mut windows = Vec::new();
    for owned in &known {
        for rows in open_windows(&parts.config, owned)? {
            windows.extend(objects(&rows)?);
        }
    }
    let all = serde_json::json!({
        "format": FORMAT,
        "pipeline": spec.name,
        "partitions": partitions.collect::<Vec<_>>(),
        "sensors": objects(&state::sensors(spec)?)?,
        "open_windows": windows,
    });
    let text = serde_json::to_vec_pretty(&all).map_err(|e| unwritten(path).because(e))?;
    std::fs::write(path, text).map_err(|e| unwritten(path).because(e))
}

fn unwritten(path: &Path) -> Error {
    Error::new(
        Kind::Endpoint,
        format!(
            "{} could not be written; check the folder and the disk",
            path.display()
        ),
    )
}

/// The rows of a table as JSON objects.
fn objects(rows: &RecordBatch) -> Result<Vec<serde_json::Value>> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    Encoder::new(&rows.schema())?.encode(rows, &mut bytes, &mut ends)?;
    let mut from = 0;
    let mut found = Vec::with_capacity(ends.len());
    for end in ends {
        let row = bytes.get(from..end as usize).unwrap_or_default();
        let value = serde_json::from_slice(row)
            .map_err(|e| Error::new(Kind::Internal, "a row is no JSON").because(e))?;
        found.push(value);
        from = end as usize;
    }
    Ok(found)
}
