//! One partition of a Parquet table under one owner: its log, what waits, what is published.

use super::fence;
use super::group::Group;
use super::log::{Body, Entry, Log, Made, Publish, Why};
use super::publish::Place;
use super::store::{Held, Hold, Store, Wants};
use super::waiting::{Limits, Taken as Rows, Waiting};
use crate::flush::{Flush, Head};
use crate::sink::lock::Holder;
use crate::sink::{Applied, Decided, Next, Owned, effects_only, fenced, home_changed, next_step};
use crate::{Error, Kind, Result, faults};
use std::path::Path;

/// Who makes entries.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub token: String,
    /// For messages.
    pub name: String,
    /// The epoch given by the home; a home takes the next one.
    pub epoch: Option<u64>,
}

/// A flush that waits, but for the rows that are encoded already.
type Found = (Flush, Vec<(String, Group)>);

/// A partition.
#[derive(Debug)]
pub(super) struct Part {
    log: Log,
    owner: Owner,
    /// The epoch its entries carry.
    pub epoch: u64,
    /// The number of its next entry.
    next: u64,
    /// Whether it decides here.
    pub home: bool,
    holder: Option<Holder>,
    sign: Option<Box<dyn Held>>,
    pipeline: String,
    head: Option<Head>,
    /// The last flush whose rows are published.
    pub shown: Option<Applied>,
    waiting: Waiting,
    /// Renames still to be done, and what is shown after them.
    pending: Option<(Publish, Option<Applied>)>,
    /// Decided by earlier owners, not published, not yet taken in.
    found: Option<Vec<Found>>,
    /// Files published so far, and the entry from which on they are looked for.
    files: (u64, u64),
    /// Entry of each decided flush that is still kept: number, n.
    kept: Vec<(u64, u64)>,
    /// How often files were staged.
    stagings: u64,
    /// An entry that may be there or not, and what waits after it.
    unclear: Option<(Entry, Waiting)>,
}

impl Part {
    /// Takes a partition: makes a fence after the newest entry, ends its renames, removes what
    /// killed owners left.
    pub fn open(log: Log, owner: Owner, pipeline: &str, place: &Place) -> Result<Part> {
        let (fence, before) = fence::make(&log, &owner, place, pipeline)?;
        log.sweep()?;
        let mut part = Part {
            epoch: fence.epoch,
            next: fence.number + 1,
            head: fence.head,
            shown: fence.shown,
            files: (fence.files, fence.since),
            log,
            owner,
            home: false,
            holder: None,
            sign: None,
            pipeline: pipeline.into(),
            waiting: Waiting::default(),
            pending: None,
            found: None,
            kept: Vec::new(),
            stagings: 0,
            unclear: None,
        };
        let mut newest = None;
        for number in before {
            let entry = part.log.entry(number)?;
            newest = entry.publish.or(newest);
            if let (Why::Flush, Some(head)) = (entry.why, &entry.head) {
                part.kept.push((number, head.id.n));
            }
        }
        // Each was carried out whole before the next was made: what is staged of an older one came late, and is swept.
        if let Some(publish) = &newest {
            place.carry_out(publish)?;
        }
        place.sweep()?;
        if place.anew {
            place.put_aside(&part.log.aside(fence.number))?;
        } else {
            part.found = Some(part.unpublished()?);
        }
        Ok(part)
    }

    /// Whole flushes that are decided here and not published.
    fn unpublished(&self) -> Result<Vec<Found>> {
        let shown = self.shown.as_ref().map_or(0, |a| a.id.n);
        let waiting = self.kept.iter().filter(|(_, n)| *n > shown);
        waiting
            .map(|(number, _)| Ok((self.log.flush(*number, true)?, self.log.groups(*number)?)))
            .collect()
    }

    /// Takes in what earlier owners left waiting, once.
    pub fn load(&mut self, place: &Place) -> Result<()> {
        let Some(found) = self.found.take() else {
            return Ok(());
        };
        for (folder, rows) in place.read_open()? {
            self.waiting.add_open(folder, rows, false);
        }
        for (flush, groups) in found {
            self.waiting.take(&place.layout, &place.encoder, &flush)?;
            for (folder, group) in groups {
                self.waiting.take_group(folder, group)?;
            }
        }
        Ok(())
    }

    /// Makes it the home of `claim`.
    pub fn own(&mut self, holder: Holder, sign: Option<Box<dyn Held>>) {
        self.home = true;
        self.holder = Some(holder);
        self.sign = sign;
    }

    /// Gives it up, so that the next owner need not wait.
    pub fn release(self) {
        if let Some(sign) = self.sign {
            sign.release();
        }
    }

    /// What its owner takes over.
    pub fn owned(&self) -> Result<Owned> {
        fence::recover(&self.log, &self.log.entry(self.next - 1)?)
    }

    /// Tries for the sign of ownership again where it was taken over.
    pub fn renew(&mut self, store: &dyn Store, folder: &Path) -> Result<()> {
        let Some(holder) = self.holder.as_ref().filter(|_| self.sign.is_none()) else {
            return Ok(());
        };
        let wants = Wants {
            token: &self.owner.token,
            holder,
            take_over: false,
        };
        if let Hold::Ours(sign) = store.hold(folder, &wants)? {
            self.sign = Some(sign);
        }
        Ok(())
    }

    /// The last flush taken in.
    fn accepted(&self) -> Option<&Applied> {
        self.waiting.upto.as_ref().or(self.shown.as_ref())
    }

    /// Bytes of rows that wait to be published.
    pub fn waits(&self) -> u64 {
        self.waiting.bytes()
    }

    /// Whether this is the newest decided flush already.
    pub fn is_head(&self, head: &Head) -> bool {
        let newest = self.head.as_ref();
        newest.is_some_and(|h| h.id == head.id && h.token == head.token)
    }

    fn entry(&self, why: Why) -> Entry {
        let mut entry = Entry::new(
            self.next,
            why,
            self.epoch,
            &self.owner.token,
            &self.owner.name,
        );
        entry.head = self.head.clone();
        entry.shown = self.shown.clone();
        (entry.files, entry.since) = self.files;
        entry
    }

    /// A stem for staged files that no other owner, entry or attempt has: a request of an attempt that failed may still
    /// be on its way, and must not meet the files of the next one.
    fn attempt(&mut self) -> String {
        self.stagings += 1;
        let word = super::log::file_word(&self.owner.token);
        format!("{}-{word}-{}", self.next, self.stagings)
    }

    /// Decides a flush: one manifest, together with the roll that it fills.
    pub fn decide(
        &mut self,
        name: &str,
        (head, flush, keep): (&Head, &Flush, bool),
        place: &Place,
        limits: &Limits,
    ) -> Result<Decided> {
        self.settle(place)?;
        if self.is_head(head) {
            return Ok(Decided::Yes);
        }
        if next_step(name, self.accepted(), flush)? == Next::Nothing || !self.home {
            return Ok(Decided::Fenced("a newer run".into()));
        }
        self.end_renames(place)?;
        let record = flush.encode_state()?;
        self.defects(&record)?;
        let mut waiting = self.waiting.clone();
        let taken = waiting.take(&place.layout, &place.encoder, flush)?;
        let mut entry = self.entry(Why::Flush);
        entry.head = Some(head.clone());
        if waiting.due(limits) {
            let attempt = self.attempt();
            entry.publish = Some(place.stage(&waiting, &attempt)?);
        }
        let shows = entry.publish.is_some() || !waiting.has_rows();
        if shows {
            entry.shown = waiting.upto.clone();
        }
        let mut body = Body {
            record,
            ..Body::default()
        };
        if keep {
            // Others need the rows as they are.
            body.effects = effects_only(flush).encode()?;
        } else if !shows {
            body.effects = without(flush, &taken).encode()?;
            body.groups = taken.groups;
        }
        entry.describe(&body);
        self.make(entry, &body, waiting, place)
    }

    /// Makes the manifest and takes over what it says.
    fn make(
        &mut self,
        entry: Entry,
        body: &Body,
        waiting: Waiting,
        place: &Place,
    ) -> Result<Decided> {
        match self.log.make(&entry, body) {
            Ok(Made::Yes) => self.adopt(entry, waiting),
            Ok(Made::Taken(owner)) => {
                entry.publish.iter().for_each(|p| place.discard(p));
                return Ok(Decided::Fenced(owner));
            }
            Ok(Made::Unclear(e)) => {
                self.unclear = Some((entry, waiting));
                return Ok(Decided::Unclear(e.message));
            }
            // Where that cannot be told either it may be there.
            Err(e) if self.log.has(entry.number).unwrap_or(true) => {
                self.unclear = Some((entry, waiting));
                return Ok(Decided::Unclear(e.message));
            }
            Err(e) => {
                entry.publish.iter().for_each(|p| place.discard(p));
                return Err(e);
            }
        }
        Ok(Decided::Yes)
    }

    /// Goes on after an entry of its own.
    fn adopt(&mut self, entry: Entry, waiting: Waiting) {
        self.next = entry.number + 1;
        if let (Why::Flush, Some(head)) = (entry.why, &entry.head) {
            self.kept.push((entry.number, head.id.n));
        }
        self.head = entry.head;
        self.waiting = waiting;
        match entry.publish {
            Some(publish) => {
                self.files.0 += publish.files.len() as u64;
                self.waiting.published();
                self.pending = Some((publish, entry.shown));
            }
            None => self.shown = entry.shown,
        }
    }

    /// What became of an entry whose making failed halfway: `None` where nothing was unclear or it is not there.
    pub fn settle(&mut self, place: &Place) -> Result<Option<Decided>> {
        let Some((entry, waiting)) = self.unclear.clone() else {
            return Ok(None);
        };
        if !self.log.has(entry.number)? && self.bars(entry.number)? {
            entry.publish.iter().for_each(|p| place.discard(p));
            self.unclear = None;
            return Ok(None);
        }
        let settled = match self.log.taken(&entry)? {
            Made::Yes => {
                self.adopt(entry, waiting);
                Decided::Yes
            }
            Made::Taken(owner) => Decided::Fenced(owner),
            Made::Unclear(e) => return Err(e),
        };
        self.unclear = None;
        Ok(Some(settled))
    }

    /// Sees to it that an entry whose answer was lost cannot come any more: where it could, its number is taken by a
    /// fence of the same owner. `false`: something has the number already.
    fn bars(&mut self, number: u64) -> Result<bool> {
        if !self.log.late() {
            return Ok(true);
        }
        let fence = self.entry(Why::Fence);
        match self.log.insist(&fence, &Body::default())? {
            Made::Yes => self.next = number + 1,
            Made::Taken(_) => return Ok(false),
            Made::Unclear(e) => return Err(e),
        }
        Ok(true)
    }

    fn defects(&mut self, record: &[u8]) -> Result<()> {
        if faults::broken("no_epoch") {
            self.next = self.log.numbers()?.last().map_or(1, |n| n + 1);
        }
        if faults::broken("in_place") {
            self.log.overwrite_newest(record)?;
        }
        Ok(())
    }

    /// Ends the renames of the last manifest.
    fn end_renames(&mut self, place: &Place) -> Result<()> {
        if let Some((publish, _)) = &self.pending {
            place.carry_out(publish)?;
        }
        if let Some((_, shown)) = self.pending.take() {
            self.shown = shown;
        }
        Ok(())
    }

    /// Takes a decided flush in and publishes where it is time; a home ends the renames of its decision.
    pub fn apply(
        &mut self,
        name: &str,
        flush: &Flush,
        place: &Place,
        limits: &Limits,
    ) -> Result<()> {
        self.settle(place)?;
        self.end_renames(place)?;
        if self.home {
            return Ok(());
        }
        if self
            .head
            .as_ref()
            .is_some_and(|h| h.lineage != flush.lineage)
        {
            return Err(home_changed(name));
        }
        if next_step(name, self.accepted(), flush)? == Next::Write {
            self.waiting.take(&place.layout, &place.encoder, flush)?;
        }
        match self.waiting.due(limits) {
            true => self.roll(place),
            false => Ok(()),
        }
    }

    /// Publishes what waits.
    pub fn finish(&mut self, place: &Place) -> Result<()> {
        self.settle(place)?;
        self.end_renames(place)?;
        let behind = self.accepted().map(|a| a.id) != self.shown.as_ref().map(|a| a.id);
        match behind || self.waiting.has_rows() {
            true => self.roll(place),
            false => Ok(()),
        }
    }

    /// Publishes what waits where it is time; what is unclear is settled by the run first.
    pub fn roll_due(&mut self, place: &Place, limits: &Limits) -> Result<()> {
        let settled = self.unclear.is_none() && self.pending.is_none();
        match settled && self.waiting.has_rows() && self.waiting.due(limits) {
            true => self.roll(place),
            false => Ok(()),
        }
    }

    fn roll(&mut self, place: &Place) -> Result<()> {
        self.end_renames(place)?;
        let mut entry = self.entry(Why::Publish);
        let attempt = self.attempt();
        entry.publish = Some(place.stage(&self.waiting, &attempt)?);
        entry.shown = self.waiting.upto.clone();
        let waiting = self.waiting.clone();
        match self.make(entry, &Body::default(), waiting, place)? {
            Decided::Yes => {}
            Decided::Fenced(owner) => {
                return Err(fenced(
                    &self.pipeline,
                    &place.table.display().to_string(),
                    &owner,
                ));
            }
            Decided::Unclear(why) => return Err(Error::new(Kind::Endpoint, why).retryable()),
        }
        self.end_renames(place)?;
        match self.home {
            true => Ok(()),
            false => self.log.prune(self.next - 1),
        }
    }

    /// Removes the entries that nobody needs: their rows are shown everywhere, and a fold came after.
    pub fn prune(&mut self, upto: u64) -> Result<()> {
        if self.pending.is_some() {
            return Ok(());
        }
        let fold = self.head.as_ref().map_or(0, |h| h.fold.n);
        let shown = self.shown.as_ref().map_or(0, |a| a.id.n);
        let needed = fold.min(upto + 1).min(shown + 1);
        let first = self.kept.iter().position(|(_, n)| *n >= needed);
        let Some(first) = first.filter(|i| *i > 0) else {
            return Ok(());
        };
        self.kept.drain(..first);
        self.log
            .prune(self.kept.first().map_or(0, |(number, _)| *number))
    }
}

/// The effects of a flush but for the rows in groups.
fn without(flush: &Flush, taken: &Rows) -> Flush {
    let mut effects = effects_only(flush);
    effects.windows.retain(|w| w.rows.num_rows() > 0);
    let mut carried = taken.carried.iter();
    effects.windows.retain(|_| carried.next() != Some(&true));
    effects
}
