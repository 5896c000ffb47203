//! The manifests of one partition: a log of numbered files, each made once and never changed.
//!
//! ```text
//! "WLM1" · JSON length u32 · JSON CRC-32 u32 · JSON entry · record · effects · groups
//! ```
//! Entry s is made by linking a finished, synced file to the name `s` (on S3 by a put with `If-None-Match`), which fails if
//! the name is taken: that is the one atomic step. A new owner first makes an entry of its own (a *fence*) after the newest; an old
//! owner, which knows nothing of it, goes for that very number and fails, however late it wakes.
//!
//! Entries nobody needs are removed, but the fences of the last [`FENCES`] owners stay: the number an old owner goes
//! for is always that of the fence that followed it, or of an entry of its own whose answer was lost.
//! `effects` is the flush with what is to be written, but for the rows that `groups` (see `group`) hold encoded; those are
//! for this table alone. An entry with groups has version 2, which a wattline that knows none refuses.
//! Readers follow the numbers down from the newest without a gap and never come to what lies below.

use super::group::Group;
use super::layout::Span;
use super::store::{self, Created, Store};
use crate::flush::{Flush, Head};
use crate::sink::Applied;
use crate::{Error, Kind, Result, faults};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the entries; a greater one is refused.
const FORMAT: u32 = 2;
/// Version of those without groups: who knows no groups reads them too.
const PLAIN: u32 = 1;
const MAGIC: &[u8; 4] = b"WLM1";
const PREFIX: usize = 12;
/// So much of a manifest is read at first: mostly enough for its entry.
const START: usize = 1 << 14;

/// So many owners may have come and gone while an old one sleeps.
const FENCES: usize = 64;

/// Why an entry was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// A new owner.
    Fence,
    /// A flush was decided.
    Flush,
    /// Rows that waited are published.
    Publish,
}

/// Files staged and the names they get, in the order in which they get them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Publish {
    /// Staged name, name in the table's folder.
    pub files: Vec<(String, String)>,
}

/// A group that follows, as the entry has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Carried {
    folder: String,
    #[serde(flatten)]
    span: Span,
    length: u64,
    crc: u32,
}

/// What follows an entry.
#[derive(Default)]
pub(super) struct Body {
    /// The flush without its effects.
    pub record: Vec<u8>,
    /// The flush with its effects, but for what `groups` hold.
    pub effects: Vec<u8>,
    /// Rows by folder.
    pub groups: Vec<(String, Group)>,
}

/// One manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub format: u32,
    pub number: u64,
    pub why: Why,
    /// Epoch of the owner that made it.
    pub epoch: u64,
    /// That owner's token.
    pub token: String,
    /// That owner, for messages.
    pub owner: String,
    /// The newest decided flush (homes).
    pub head: Option<Head>,
    /// The last flush whose rows are published when this entry's renames are done.
    #[serde(with = "shown")]
    pub shown: Option<Applied>,
    /// What this entry publishes.
    pub publish: Option<Publish>,
    /// How many files were published up to here, and from which entry on they are counted and looked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub files: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub since: u64,
    /// Lengths of what follows.
    pub record: u64,
    pub effects: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Carried>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

mod shown {
    use super::Applied;
    use crate::flush::FlushId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(a: &Option<Applied>, s: S) -> Result<S::Ok, S::Error> {
        a.as_ref().map(|a| (&a.lineage, a.id)).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Applied>, D::Error> {
        let pair: Option<(String, FlushId)> = Option::deserialize(d)?;
        Ok(pair.map(|(lineage, id)| Applied { lineage, id }))
    }
}

/// The answer to an attempt to make an entry.
pub(super) enum Made {
    /// It is there.
    Yes,
    /// The number is another's.
    Taken(String),
    /// The answer was lost: it may be there, or still come.
    Unclear(Error),
}

/// A partition's log.
#[derive(Clone, Debug)]
pub(super) struct Log {
    dir: PathBuf,
    store: Arc<dyn Store>,
}

impl Log {
    /// The log in `dir`, which need not be there.
    pub fn new(dir: PathBuf, store: Arc<dyn Store>) -> Log {
        Log { dir, store }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}"))
    }

    /// Where files go that a reset takes out of the table, by the number of its fence.
    pub fn aside(&self, number: u64) -> PathBuf {
        self.dir.join(format!("before-{number}"))
    }

    /// Numbers of all entries, oldest first, and where those begin that a reader follows: down
    /// from the newest without a gap.
    fn all(&self) -> Result<(Vec<u64>, usize)> {
        let names = self.store.names(&self.dir)?;
        let mut all: Vec<u64> = names.iter().filter_map(|n| number(n)).collect();
        all.sort_unstable();
        let gap = all.windows(2).rposition(|w| w[0] + 1 != w[1]);
        Ok((all, gap.map_or(0, |i| i + 1)))
    }

    /// Numbers of the entries a reader follows, oldest first.
    pub fn numbers(&self) -> Result<Vec<u64>> {
        let (mut all, from) = self.all()?;
        Ok(all.split_off(from))
    }

    /// Whether there is an entry `number`.
    pub fn has(&self, number: u64) -> Result<bool> {
        self.store.exists(&self.path(number))
    }

    /// Whether an entry whose answer was lost may still come.
    pub fn late(&self) -> bool {
        self.store.late()
    }

    /// The entry `number`, without what follows it.
    pub fn entry(&self, number: u64) -> Result<Entry> {
        let path = self.path(number);
        let start = self.store.start(&path, START)?;
        let whole = end_of_entry(&start).ok_or_else(|| damaged(&path))?;
        match whole <= start.len() {
            true => parse(&path, &start),
            false => parse(&path, &self.store.start(&path, whole)?),
        }
    }

    /// The record of the entry `number`, with its effects where `whole`, but for those in groups.
    pub fn flush(&self, number: u64, whole: bool) -> Result<Flush> {
        let (entry, mut rest) = self.whole(number)?;
        let mut part = |length: u64| self.part(number, &mut rest, length);
        let flush = Flush::decode(&part(entry.record)?)?;
        if !whole || entry.effects == 0 {
            return Ok(flush);
        }
        Ok(Flush {
            state: flush.state,
            ..Flush::decode(&part(entry.effects)?)?
        })
    }

    /// The groups of the entry `number`.
    pub fn groups(&self, number: u64) -> Result<Vec<(String, Group)>> {
        let (entry, mut rest) = self.whole(number)?;
        self.part(
            number,
            &mut rest,
            entry.record.saturating_add(entry.effects),
        )?;
        let group = |carried: Carried| {
            let bytes = self.part(number, &mut rest, carried.length)?;
            if crc32fast::hash(&bytes) != carried.crc {
                return Err(damaged(&self.path(number)));
            }
            let span = carried.span;
            Ok((carried.folder, Group { span, bytes }))
        };
        entry.groups.into_iter().map(group).collect()
    }

    /// Takes so much off what follows an entry.
    fn part(&self, number: u64, rest: &mut Bytes, length: u64) -> Result<Bytes> {
        match usize::try_from(length) {
            Ok(length) if length <= rest.len() => Ok(rest.split_to(length)),
            _ => Err(damaged(&self.path(number))),
        }
    }

    /// The entry `number` and what follows it.
    fn whole(&self, number: u64) -> Result<(Entry, Bytes)> {
        let path = self.path(number);
        let mut bytes = store::read(&*self.store, &path)?;
        let entry = parse(&path, &bytes)?;
        let start = end_of_entry(&bytes).filter(|n| *n <= bytes.len());
        Ok((entry, bytes.split_off(start.ok_or_else(|| damaged(&path))?)))
    }

    /// Makes an entry with what follows it. An entry of the same owner, epoch and flush there counts as made.
    pub fn make(&self, entry: &Entry, body: &Body) -> Result<Made> {
        let json = serde_json::to_vec(entry)
            .map_err(|e| Error::new(Kind::Internal, "a manifest cannot be written").because(e))?;
        let (length, crc) = (json.len() as u32, crc32fast::hash(&json));
        let temporary = format!("new-{}", file_word(&entry.token));
        let (length, crc) = (length.to_le_bytes(), crc.to_le_bytes());
        let mut parts: Vec<&[u8]> = vec![MAGIC, &length, &crc, &json];
        parts.extend([&body.record[..], &body.effects[..]]);
        parts.extend(body.groups.iter().map(|(_, group)| &group.bytes[..]));
        let path = self.path(entry.number);
        match self.store.create(&path, &temporary, &parts)? {
            Created::Yes => self.made(entry),
            Created::Taken => self.taken(entry),
            Created::Unclear(e) => Ok(Made::Unclear(e)),
        }
    }

    /// The same, tried once more where the answer was lost: what came of the attempt before is found there and is its own.
    /// A store that is away is waited for by the look.
    pub fn insist(&self, entry: &Entry, body: &Body) -> Result<Made> {
        match self.make(entry, body)? {
            Made::Unclear(_) => {
                self.has(entry.number)?;
                self.make(entry, body)
            }
            made => Ok(made),
        }
    }

    fn made(&self, entry: &Entry) -> Result<Made> {
        self.store.sync(&self.dir)?;
        faults::point("manifest")?;
        if self.numbers()?.contains(&entry.number) {
            return Ok(Made::Yes);
        }
        self.store.discard(&[self.path(entry.number)]);
        Ok(Made::Taken("a newer run".into()))
    }

    /// Whose the entry at this number is: the very one, or another's.
    pub fn taken(&self, entry: &Entry) -> Result<Made> {
        let there = self.entry(entry.number)?;
        let same_flush = there.head.as_ref().map(|h| h.id) == entry.head.as_ref().map(|h| h.id);
        let same_rows = there.publish == entry.publish && there.shown == entry.shown;
        if there.token == entry.token && there.why == entry.why && same_flush && same_rows {
            return self.made(entry);
        }
        Ok(Made::Taken(there.owner))
    }

    /// Removes the entries below `keep`, oldest first, but for the last fences.
    pub fn prune(&self, keep: u64) -> Result<()> {
        let (mut fences, from) = self.all()?;
        let run = fences.split_off(from);
        let newest = run.last().copied().unwrap_or(0);
        for number in run.into_iter().filter(|n| *n < keep.min(newest)) {
            match self.entry(number)?.why {
                Why::Fence => fences.push(number),
                _ => self.store.remove(&self.path(number))?,
            }
        }
        let old = fences.len().saturating_sub(FENCES);
        let mut old = fences.iter().take(old);
        old.try_for_each(|n| self.store.remove(&self.path(*n)))
    }

    /// Removes unfinished entries of owners that are fenced.
    pub fn sweep(&self) -> Result<()> {
        let names = self.store.names(&self.dir)?;
        let left = names.iter().filter(|name| name.starts_with("new-"));
        let left: Vec<PathBuf> = left.map(|name| self.dir.join(name)).collect();
        self.store.discard(&left);
        Ok(())
    }

    /// The deliberate defect `in_place`: the newest entry's record is overwritten before the decision.
    pub fn overwrite_newest(&self, record: &[u8]) -> Result<()> {
        let Some(number) = self.numbers()?.last().copied() else {
            return Ok(());
        };
        let mut entry = self.entry(number)?;
        let body = Body {
            record: record.to_vec(),
            ..Body::default()
        };
        entry.describe(&body);
        self.store.remove(&self.path(number))?;
        self.make(&entry, &body).map(|_| ())
    }
}

/// A token as part of a file's name.
pub(super) fn file_word(token: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    token.chars().map(safe).collect()
}

fn number(name: &str) -> Option<u64> {
    (name.len() == 20).then(|| name.parse().ok()).flatten()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Where the entry ends that a manifest begins with.
fn end_of_entry(bytes: &[u8]) -> Option<usize> {
    bytes.starts_with(MAGIC).then_some(())?;
    Some(PREFIX + word(bytes, 4)? as usize)
}

/// The entry that a manifest begins with.
fn parse(path: &Path, bytes: &[u8]) -> Result<Entry> {
    let json = end_of_entry(bytes).and_then(|end| bytes.get(PREFIX..end));
    let json = json.filter(|json| word(bytes, 8) == Some(crc32fast::hash(json)));
    let json = json.ok_or_else(|| damaged(path))?;
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|_| damaged(path))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format.is_some_and(|f| f > u64::from(FORMAT)) {
        return Err(Error::new(
            Kind::SpecChanged,
            format!(
                "{} was written by a newer wattline; upgrade wattline",
                path.display()
            ),
        ));
    }
    serde_json::from_value(value).map_err(|e| damaged(path).because(e))
}

fn damaged(path: &Path) -> Error {
    Error::new(
        Kind::DataLost,
        format!(
            "the manifest {} is damaged or was edited; restore the folder from a copy",
            path.display()
        ),
    )
}

impl Entry {
    /// An entry of this version with nothing following.
    pub fn new(number: u64, why: Why, epoch: u64, token: &str, owner: &str) -> Entry {
        Entry {
            format: PLAIN,
            number,
            why,
            epoch,
            token: token.into(),
            owner: owner.into(),
            head: None,
            shown: None,
            publish: None,
            files: 0,
            since: 0,
            record: 0,
            effects: 0,
            groups: Vec::new(),
        }
    }

    /// Says what follows it.
    pub fn describe(&mut self, body: &Body) {
        let carried = |(folder, group): &(String, Group)| Carried {
            folder: folder.clone(),
            span: group.span.clone(),
            length: group.bytes.len() as u64,
            crc: crc32fast::hash(&group.bytes),
        };
        self.record = body.record.len() as u64;
        self.effects = body.effects.len() as u64;
        self.groups = body.groups.iter().map(carried).collect();
        self.format = match self.groups.is_empty() {
            true => PLAIN,
            false => FORMAT,
        };
    }
}
