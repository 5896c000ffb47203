//! Heads, records and what each topic shows, as messages of a compacted topic.
//!
//! A key is JSON: `[pipeline, partition, kind, n, part]`. Kinds: `head` (the owner and the newest decided flush; where
//! a broker would not take that as one message the flush's head stands before it, cut, as `head-part`),
//! `record` and `effects` (of flush n, cut into parts that a broker takes), `alive` (a sign of life of the owner of
//! epoch n), `applied` (what a topic shows, and for which epochs), `table` (whose a topic is). Everything of one
//! transactional id lies in one partition of the topic, so that a reader waits for that id's transactions, and
//! seldom for others.

use crate::flush::{Flush, FlushId, Head};
use crate::kafka::{Log, Message, Outgoing, Producer, Upto, Words, partition_of};
use crate::sink::{Applied, Owned};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Version of these messages; a greater one is refused.
const FORMAT: u32 = 1;

/// Version of a head that is cut into parts: who does not know that says so.
const IN_PARTS: u32 = 2;

/// Partitions of the state topic that are used, however many it has.
const PARTITIONS: i32 = 12;

/// How long another's open transaction is waited for: longer than the broker lets one stand.
const WAIT: Duration = Duration::from_secs(90);

pub(super) const WORDS: Words = Words {
    holds: "state",
    option: "state_topic",
    writer: "pipeline",
    timeout: "transaction.timeout.ms",
    partitions: PARTITIONS,
};

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Key<'a>(
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    u32,
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    u64,
    u32,
);

/// Which pipeline and partition.
pub(super) type At<'a> = (&'a str, u32);

/// The owner of a partition and its head.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    format: u32,
    pub epoch: u64,
    pub token: String,
    /// Empty: given up.
    pub owner: String,
    /// When it was written, ms.
    pub renewed: i64,
    pub head: Option<Head>,
    /// How many parts hold the head in place of `head`; 0: none.
    #[serde(default, skip_serializing_if = "none")]
    parts: u32,
}

fn none(parts: &u32) -> bool {
    *parts == 0
}

/// What a topic shows, and the newest epoch that may apply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Shown {
    format: u32,
    pub fence: u64,
    lineage: Option<String>,
    id: FlushId,
}

impl Shown {
    pub fn applied(&self) -> Option<Applied> {
        let lineage = self.lineage.clone()?;
        let id = self.id;
        Some(Applied { lineage, id })
    }

    /// After a flush was applied.
    pub fn after(&self, flush: &Flush) -> Shown {
        Shown {
            format: FORMAT,
            fence: self.fence,
            lineage: Some(flush.lineage.clone()),
            id: flush.id,
        }
    }

    /// For owners of `epoch` and later only.
    pub fn fenced(&self, epoch: u64) -> Shown {
        Shown {
            format: FORMAT,
            fence: epoch.max(self.fence),
            ..self.clone()
        }
    }
}

/// Whose a topic is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Belongs {
    format: u32,
    pub what: String,
    pub pipeline: String,
    pub tz: String,
}

impl Belongs {
    pub fn new(what: &str, pipeline: &str, tz: &str) -> Belongs {
        Belongs {
            format: FORMAT,
            what: what.into(),
            pipeline: pipeline.into(),
            tz: tz.into(),
        }
    }
}

impl Stored {
    /// An owner from now on.
    pub fn new(epoch: u64, token: &str, owner: &str, now: i64, head: Option<Head>) -> Stored {
        Stored {
            format: FORMAT,
            epoch,
            token: token.into(),
            owner: owner.into(),
            renewed: now,
            head,
            parts: 0,
        }
    }

    /// As messages of `most` bytes: parts of its head, if it needs them, then the rest.
    fn messages(&self, most: usize) -> Result<(Vec<Vec<u8>>, Vec<u8>)> {
        let whole = json(self)?;
        if whole.len() <= most {
            return Ok((Vec::new(), whole));
        }
        let head = json(&self.head)?;
        let parts: Vec<Vec<u8>> = head.chunks(most.max(1)).map(<[u8]>::to_vec).collect();
        let rest = Stored {
            format: IN_PARTS,
            parts: parts.len() as u32,
            ..Stored::new(self.epoch, &self.token, &self.owner, self.renewed, None)
        };
        Ok((parts, json(&rest)?))
    }
}

/// The parts of a record or of effects.
#[derive(Debug, Default)]
struct Parts {
    of: u32,
    parts: BTreeMap<u32, Vec<u8>>,
}

impl Parts {
    /// The whole, if no part is missing.
    fn whole(&self) -> Option<Vec<u8>> {
        let there = self.of > 0 && (0..self.of).all(|part| self.parts.contains_key(&part));
        there.then(|| {
            self.parts
                .range(..self.of)
                .flat_map(|(_, p)| p)
                .copied()
                .collect()
        })
    }
}

/// What the state topic holds of a partition of a pipeline.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub stored: Option<Stored>,
    /// Parts of its head.
    head: BTreeMap<u32, Vec<u8>>,
    records: BTreeMap<u64, Parts>,
    effects: BTreeMap<u64, Parts>,
    /// Signs of life by epoch, ms.
    signs: BTreeMap<u64, i64>,
}

/// How many parts each kept flush has: (record, effects).
pub(super) type Kept = BTreeMap<u64, (u32, u32)>;

impl Seen {
    fn take(&mut self, key: &Key<'_>, value: Option<&[u8]>) -> Result<()> {
        match key.2.as_ref() {
            "head" => self.stored = value.map(|v| read(v, IN_PARTS)).transpose()?,
            "head-part" => drop(self.head.insert(key.4, value.unwrap_or_default().to_vec())),
            "record" => part(&mut self.records, key, value),
            "effects" => part(&mut self.effects, key, value),
            "alive" => match value.map(parsed::<i64>).transpose()? {
                Some(at) => drop(self.signs.insert(key.3, at)),
                None => drop(self.signs.remove(&key.3)),
            },
            _ => {}
        }
        Ok(())
    }

    /// Puts a head together that came in parts.
    fn join(&mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.head);
        let Some(stored) = self.stored.as_mut().filter(|s| s.parts > 0) else {
            return Ok(());
        };
        let whole: Vec<u8> = parts
            .range(..stored.parts)
            .flat_map(|(_, p)| p)
            .copied()
            .collect();
        let head = serde_json::from_slice(&whole)
            .map_err(|e| damaged("a part of the head is gone").because(e))?;
        (stored.head, stored.parts, stored.format) = (head, 0, FORMAT);
        Ok(())
    }

    /// When the stored owner last showed that it lives, ms.
    pub fn last_sign(&self) -> i64 {
        let Some(stored) = &self.stored else { return 0 };
        let sign = self.signs.get(&stored.epoch).copied().unwrap_or(0);
        sign.max(stored.renewed)
    }

    /// Epochs that left signs of life.
    pub fn signed(&self) -> Vec<u64> {
        self.signs.keys().copied().collect()
    }

    pub fn kept(&self) -> Kept {
        let mut kept = Kept::new();
        for (n, parts) in &self.records {
            kept.entry(*n).or_default().0 = parts.of;
        }
        for (n, parts) in &self.effects {
            kept.entry(*n).or_default().1 = parts.of;
        }
        kept
    }

    /// Head, records from the last fold on, and whole flushes whose effects are still kept.
    pub fn owned(&self) -> Result<Owned> {
        let head = self.stored.as_ref().and_then(|s| s.head.clone());
        let (fold, last) = head.as_ref().map_or((0, 0), |h| (h.fold.n, h.id.n));
        let mut pairs = Vec::new();
        for (n, parts) in self.records.range(..=last) {
            let Some(bytes) = parts.whole() else {
                if *n >= fold.max(1) {
                    return Err(damaged(&format!(
                        "a part of the record of flush {n} is gone"
                    )));
                }
                continue;
            };
            let effects = self.effects.get(n).and_then(Parts::whole);
            pairs.push((
                Flush::decode(&bytes)?,
                effects.map(|bytes| Flush::decode(&bytes)).transpose()?,
            ));
        }
        let (records, unapplied) = crate::sink::unapplied(pairs, fold);
        Ok(Owned {
            epoch: self.stored.as_ref().map_or(0, |s| s.epoch),
            head,
            records,
            unapplied,
        })
    }
}

fn part(into: &mut BTreeMap<u64, Parts>, key: &Key<'_>, value: Option<&[u8]>) {
    let Some((of, bytes)) = value.and_then(|v| v.split_first_chunk::<4>()) else {
        if let Some(parts) = into.get_mut(&key.3) {
            parts.parts.remove(&key.4);
            if parts.parts.is_empty() {
                into.remove(&key.3);
            }
        }
        return;
    };
    let parts = into.entry(key.3).or_default();
    parts.of = u32::from_le_bytes(*of);
    parts.parts.insert(key.4, bytes.to_vec());
}

fn parsed<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    read(bytes, FORMAT)
}

/// Reads a message of a version up to `known`.
fn read<T: serde::de::DeserializeOwned>(bytes: &[u8], known: u32) -> Result<T> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    if let Ok(Version { format }) = serde_json::from_slice(bytes)
        && format > known
    {
        return Err(Error::new(
            Kind::SpecChanged,
            format!(
                "the state topic was written by a newer wattline (format {format}, this one knows {known}); upgrade wattline"
            ),
        ));
    }
    serde_json::from_slice(bytes).map_err(|e| damaged("a message cannot be read").because(e))
}

fn damaged(what: &str) -> Error {
    Error::new(
        Kind::DataLost,
        format!(
            "{what}: the state topic is damaged, or its cleanup.policy was not compact; begin under a new pipeline name"
        ),
    )
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|e| Error::new(Kind::Internal, "a state message cannot be written").because(e))
}

/// A name that fits a transactional id: of the home of a partition, or (with a topic) of what applies there.
pub(super) fn id_of(state_topic: &str, at: At<'_>, topic: Option<&str>) -> String {
    let named = format!("{:?}", (state_topic, at.0, at.1, topic));
    let hash = blake3::hash(named.as_bytes()).to_hex();
    format!("wattline-{:.32}", hash.as_str())
}

/// The partition of the state topic that belongs to a name.
pub(super) fn place_of(name: &str) -> i32 {
    partition_of(name.as_bytes(), PARTITIONS as usize)
}

/// Reads what is known of a partition of a pipeline.
pub(super) fn seen(log: &Log, place: i32, at: At<'_>, upto: Upto) -> Result<Seen> {
    let mut seen = Seen::default();
    each(log, place, at, upto, &mut |key, message| {
        seen.take(key, message.value)
    })?;
    // Of what is not committed, parts may be of several heads; there only signs of life are looked at.
    if upto != Upto::Everything {
        seen.join()?;
    }
    Ok(seen)
}

/// Reads what a topic shows.
pub(super) fn shown(log: &Log, place: i32, at: At<'_>, topic: &str, upto: Upto) -> Result<Shown> {
    let mut shown = Shown::default();
    let kind = applied_kind(topic);
    each(log, place, at, upto, &mut |key, message| {
        if key.2 == kind.as_str() {
            shown = message.value.map_or_else(|| Ok(Shown::default()), parsed)?;
        }
        Ok(())
    })?;
    Ok(shown)
}

/// Whether a topic has shown a flush of a pipeline. Reads all there is: asked only where the topic was and is gone.
pub(super) fn ever_shown(log: &Log, pipeline: &str, topic: &str) -> Result<bool> {
    if belongs(log, topic)?.is_none_or(|b| b.pipeline != pipeline) {
        return Ok(false);
    }
    let (mut found, kind) = (false, applied_kind(topic));
    for place in 0..PARTITIONS {
        log.read(place, Upto::Stable, WAIT, &mut |message| {
            let key = serde_json::from_slice::<Key<'_>>(message.key.unwrap_or_default());
            let ours = key.is_ok_and(|k| k.0 == pipeline && k.2 == kind.as_str());
            if let (true, Some(value)) = (ours, message.value) {
                found |= parsed::<Shown>(value)?.applied().is_some();
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Reads whose a topic is.
pub(super) fn belongs(log: &Log, topic: &str) -> Result<Option<Belongs>> {
    let (mut found, kind) = (None, table_kind(topic));
    each(
        log,
        place_of(topic),
        ("", 0),
        Upto::Stable,
        &mut |key, message| {
            if key.2 == kind.as_str() {
                found = message.value.map(parsed).transpose()?;
            }
            Ok(())
        },
    )?;
    Ok(found)
}

fn applied_kind(topic: &str) -> String {
    format!("applied/{topic}")
}

fn table_kind(topic: &str) -> String {
    format!("table/{topic}")
}

fn each(
    log: &Log,
    place: i32,
    at: At<'_>,
    upto: Upto,
    take: &mut dyn FnMut(&Key<'_>, &Message<'_>) -> Result<()>,
) -> Result<()> {
    log.read(
        place,
        upto,
        WAIT,
        &mut |message| match serde_json::from_slice::<Key<'_>>(message.key.unwrap_or_default()) {
            Ok(key) if (key.0.as_ref(), key.1) == at => take(&key, message),
            _ => Ok(()),
        },
    )
}

/// Sends messages of the state topic.
pub(super) struct Writer<'a> {
    pub producer: &'a mut Producer,
    /// The state topic's number.
    pub topic: usize,
    /// The partition of the state topic.
    pub place: i32,
    pub at: At<'a>,
    /// The most bytes of a part.
    pub part: usize,
}

impl Writer<'_> {
    fn send(&mut self, kind: &str, n: u64, part: u32, value: Option<&[u8]>) -> Result<()> {
        let key = json(&Key(self.at.0.into(), self.at.1, kind.into(), n, part))?;
        self.producer.send(
            self.topic,
            &Outgoing {
                partition: self.place,
                key: Some(&key),
                value,
                timestamp: 0,
                headers: &[],
            },
        )
    }

    pub fn head(&mut self, stored: &Stored) -> Result<()> {
        let (parts, rest) = stored.messages(self.part)?;
        for (part, bytes) in parts.iter().enumerate() {
            self.send("head-part", 0, part as u32, Some(bytes))?;
        }
        self.send("head", 0, 0, Some(&rest))
    }

    pub fn applied(&mut self, topic: &str, shown: &Shown) -> Result<()> {
        self.send(&applied_kind(topic), 0, 0, Some(&json(shown)?))
    }

    pub fn belongs(&mut self, topic: &str, belongs: &Belongs) -> Result<()> {
        self.send(&table_kind(topic), 0, 0, Some(&json(belongs)?))
    }

    /// A sign of life.
    pub fn alive(&mut self, epoch: u64, now: i64) -> Result<()> {
        self.send("alive", epoch, 0, Some(&json(&now)?))
    }

    /// No more signs of life of an epoch.
    pub fn silent(&mut self, epoch: u64) -> Result<()> {
        self.send("alive", epoch, 0, None)
    }

    /// A record (or effects) of flush `n`, in parts; gives how many.
    pub fn record(&mut self, kind: &str, n: u64, bytes: &[u8]) -> Result<u32> {
        let of = bytes.len().div_ceil(self.part).max(1) as u32;
        let mut value = Vec::new();
        for part in 0..of {
            let from = part as usize * self.part;
            let to = bytes.len().min(from + self.part);
            value.clear();
            value.extend_from_slice(&of.to_le_bytes());
            value.extend_from_slice(bytes.get(from..to).unwrap_or_default());
            self.send(kind, n, part, Some(&value))?;
        }
        Ok(of)
    }

    /// Takes a record (or effects) away.
    pub fn forget(&mut self, kind: &str, n: u64, of: u32) -> Result<()> {
        (0..of).try_for_each(|part| self.send(kind, n, part, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_or_not_there() {
        let mut all = BTreeMap::new();
        let key = |part| Key("p".into(), 0, "record".into(), 7, part);
        let value = |bytes: &[u8]| [&2u32.to_le_bytes()[..], bytes].concat();
        part(&mut all, &key(1), Some(&value(b"b")));
        assert_eq!(all[&7].whole(), None);
        part(&mut all, &key(0), Some(&value(b"a")));
        assert_eq!(all[&7].whole().unwrap(), b"ab");
        part(&mut all, &key(0), None);
        assert_eq!(all[&7].whole(), None);
        part(&mut all, &key(1), None);
        assert!(all.is_empty());
    }

    fn stored(positions: usize) -> Stored {
        let position = |n: usize| crate::flush::Position {
            stream: format!("{n:064}"),
            ..Default::default()
        };
        let head = Head {
            pipeline: "p".into(),
            partition: 0,
            id: FlushId::default(),
            fold: FlushId::default(),
            positions: (0..positions).map(position).collect(),
            read: None,
            watermark: None,
            stamp: 0,
            lineage: String::new(),
            token: String::new(),
            totals: Default::default(),
            spec: String::new(),
            spec_json: String::new(),
            tzdata: String::new(),
            format: crate::flush::FORMAT,
            source: None,
        };
        Stored::new(3, "t", "o", 5, Some(head))
    }

    #[test]
    fn a_head_of_any_size_comes_back() {
        const MOST: usize = 100_000;
        let key = |kind: &'static str, part| Key("p".into(), 0, kind.into(), 0, part);
        let (mut topic, mut last) = (Vec::new(), None);
        for (positions, cut) in [(0, false), (5000, true), (2000, true), (1, false)] {
            let stored = stored(positions);
            let (parts, rest) = stored.messages(MOST).unwrap();
            assert_eq!(parts.is_empty(), !cut);
            assert!(parts.iter().chain([&rest]).all(|m| m.len() <= MOST));
            // A head that was not cut is read by those who know of no parts; the others tell them so.
            let known = parsed::<Stored>(&rest).map_err(|e| e.kind);
            assert_eq!(known.err(), cut.then_some(Kind::SpecChanged));
            let parts = parts.into_iter().enumerate();
            topic.extend(parts.map(|(part, bytes)| (key("head-part", part as u32), bytes)));
            topic.push((key("head", 0), rest));
            let mut seen = Seen::default();
            for (key, value) in &topic {
                seen.take(key, Some(value)).unwrap();
            }
            seen.join().unwrap();
            last = seen.stored;
            assert_eq!(last, Some(stored));
        }
        assert_eq!(
            last.and_then(|s| s.head).map(|h| h.positions.len()),
            Some(1)
        );
    }

    #[test]
    fn a_part_of_a_head_that_is_gone_is_lost_data() {
        let (parts, rest) = stored(99).messages(1000).unwrap();
        let mut seen = Seen::default();
        let key = |kind: &'static str| Key("p".into(), 0, kind.into(), 0, 0);
        seen.take(&key("head-part"), Some(&parts[0])).unwrap();
        seen.take(&key("head"), Some(&rest)).unwrap();
        assert_eq!(seen.join().unwrap_err().kind, Kind::DataLost);
    }

    #[test]
    fn a_newer_format_is_refused_with_advice() {
        let newer = br#"{"format": 2, "something": "else"}"#;
        let error = parsed::<Stored>(newer).unwrap_err();
        assert_eq!(error.kind, Kind::SpecChanged);
        assert!(error.message.contains("upgrade"), "{error}");
        let ours = json(&Stored::new(3, "t", "o", 5, None)).unwrap();
        assert_eq!(parsed::<Stored>(&ours).unwrap().epoch, 3);
    }

    #[test]
    fn names_are_apart() {
        let all = [
            id_of("s", ("p", 0), None),
            id_of("s", ("p", 0), Some("t")),
            id_of("s", ("p", 1), None),
            id_of("r", ("p", 0), None),
        ];
        let apart: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(apart.len(), all.len());
        assert!(all.iter().all(|id| (0..PARTITIONS).contains(&place_of(id))));
    }
}
