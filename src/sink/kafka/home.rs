//! The home: owners, decisions, records.

use super::lane::{Lane, Once, Role, Step};
use super::owner::{self, Signs};
use super::state::{Kept, Seen, Stored, Writer};
use super::{KafkaSink, Messages};
use crate::flush::{Flush, FlushId, Head};
use crate::kafka::{Producer, Upto};
use crate::sink::alive::{died_here, now_ms};
use crate::sink::{
    Claim, Decided, Home, Owned, What, effects_only, fenced, next_step, not_owned, rows,
};
use crate::{Error, Kind, Result, faults};
use std::time::{Duration, Instant};

/// Attempts to take a partition while others take it too.
const TURNS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// How long who only looks waits for a commit to be seen. A run that hangs in a transaction is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a home owns.
pub(super) struct Own {
    epoch: u64,
    token: String,
    owner: String,
    head: Option<Head>,
    /// Parts of the records and effects that are kept.
    kept: Kept,
}

/// A decision to be made.
struct Deciding<'a> {
    head: &'a Head,
    flush: &'a Flush,
    record: Vec<u8>,
    effects: Option<Vec<u8>>,
}

impl Own {
    fn of(epoch: u64, claim: &Claim, seen: &Seen) -> Own {
        Own {
            epoch,
            token: claim.token.clone(),
            owner: claim.owner.clone(),
            head: seen.stored.as_ref().and_then(|s| s.head.clone()),
            kept: seen.kept(),
        }
    }

    fn last(&self) -> u64 {
        self.head.as_ref().map_or(0, |h| h.id.n)
    }
}

fn is(stored: Option<&Head>, head: &Head) -> bool {
    stored.is_some_and(|h| h.id == head.id && h.token == head.token)
}

impl Lane {
    /// Refuses a claim while another owner shows that it lives.
    fn refuse_if_alive(&self, claim: &Claim, seen: &Seen, lease: Duration) -> Result<()> {
        let Some(stored) = &seen.stored else {
            return Ok(());
        };
        let gone = stored.owner.is_empty() || died_here(&stored.owner, &claim.owner);
        if claim.take_over || stored.token == claim.token || gone {
            return Ok(());
        }
        let fresh = |seen: &Seen| now_ms() - seen.last_sign() < lease.as_millis() as i64;
        // Signs may stand behind a transaction that hangs: they are looked for there too.
        if fresh(seen) || fresh(&self.read(Upto::Everything)?) {
            return Err(fenced(
                &claim.pipeline,
                &self.log.log.config.to_string(),
                &stored.owner,
            ));
        }
        Ok(())
    }

    /// One attempt to take the partition; `None`: another took it meanwhile.
    fn take(&mut self, claim: &Claim, lease: Duration) -> Result<Option<Owned>> {
        self.open()?;
        let seen = self.read(Upto::End)?;
        self.refuse_if_alive(claim, &seen, lease)?;
        let epoch = match &seen.stored {
            Some(s) if s.token == claim.token => s.epoch,
            Some(s) => s.epoch + 1,
            None => 1,
        };
        let own = Own::of(epoch, claim, &seen);
        let stored = Stored::new(epoch, &own.token, &own.owner, now_ms(), own.head.clone());
        let taken = self.once(&mut |lane| {
            let mut writer = lane.writer()?;
            writer.head(&stored)?;
            for old in seen.signed() {
                writer.silent(old)?;
            }
            Ok(Step::Commit(lane.shown.clone()))
        });
        match taken {
            Once::Done => {}
            Once::Aborted(error) if !error.retryable => return Err(error),
            Once::Unclear(error) if error.kind != Kind::Fenced && !error.retryable => {
                return Err(error);
            }
            _ => return Ok(None),
        }
        self.epoch = epoch;
        let owned = Owned {
            epoch,
            ..seen.owned()?
        };
        self.own = Some(own);
        Ok(Some(owned))
    }

    /// What is known of a head without asking.
    fn known(&self, head: &Head) -> Result<Option<Decided>> {
        let own = self.own.as_ref().ok_or_else(|| not_owned(&head.pipeline))?;
        if is(own.head.as_ref(), head) {
            return Ok(Some(Decided::Yes));
        }
        let stale = own.epoch != head.id.epoch || own.last() + 1 != head.id.n;
        let stale = stale && !faults::broken("no_epoch");
        Ok(stale.then(|| Decided::Fenced("a newer run".into())))
    }

    /// What the state topic says of a head.
    fn became(&mut self, head: &Head, upto: Upto) -> Result<Option<Decided>> {
        let seen = self.read(upto)?;
        let Some(stored) = &seen.stored else {
            return Ok(None);
        };
        if is(stored.head.as_ref(), head) {
            if let Some(own) = &mut self.own {
                own.head = stored.head.clone();
                own.kept = seen.kept();
            }
            return Ok(Some(Decided::Yes));
        }
        let passed = stored.head.as_ref().is_some_and(|h| h.id.n >= head.id.n);
        let stale = stored.epoch > head.id.epoch || passed;
        let by = match stored.owner.as_str() {
            "" => "a newer run",
            owner => owner,
        };
        let stale = stale && !faults::broken("no_epoch");
        Ok(stale.then(|| Decided::Fenced(by.into())))
    }

    /// Registers anew, unless a newer owner is there already; what became of `head` then is the truth.
    fn reopen(&mut self, head: &Head) -> Result<Option<Decided>> {
        if let Some(known) = self.became(head, Upto::Stable)? {
            return Ok(Some(known));
        }
        self.open()?;
        self.became(head, Upto::End)
    }

    fn decide(
        &mut self,
        writer: Option<&Messages>,
        d: &Deciding<'_>,
        limit: Duration,
    ) -> Result<Decided> {
        let (began, mut turns) = (Instant::now(), 0);
        loop {
            if let Some(known) = self.known(d.head)? {
                return Ok(known);
            }
            if !self.is_open()
                && let Some(known) = self.reopen(d.head)?
            {
                return Ok(known);
            }
            let failed = match self.once(&mut |lane| lane.deciding(writer, d)) {
                Once::Done => return self.decided(d).map(|()| Decided::Yes),
                Once::Nothing => return Ok(Decided::Yes),
                Once::Refused(error) => return Err(error),
                Once::Unclear(error) if error.kind != Kind::Fenced => {
                    return Ok(Decided::Unclear(error.message));
                }
                Once::Aborted(error) | Once::Unclear(error) => error,
            };
            turns += u32::from(failed.kind == Kind::Fenced);
            let again = failed.retryable || (failed.kind == Kind::Fenced && turns < TURNS);
            if !again || began.elapsed() > limit {
                return Err(failed);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Puts the decision into the open transaction.
    fn deciding(&mut self, writer: Option<&Messages>, d: &Deciding<'_>) -> Result<Step> {
        let applied = self.shown.applied();
        let checks = !faults::broken("no_epoch");
        if let Err(refused) = next_step(&self.topic, applied.as_ref(), d.flush)
            && checks
        {
            return Ok(Step::Refused(refused));
        }
        let own = self
            .own
            .as_ref()
            .ok_or_else(|| not_owned(&d.head.pipeline))?;
        let head = Some(d.head.clone());
        let stored = Stored::new(own.epoch, &own.token, &own.owner, now_ms(), head);
        if let Some(writer) = writer {
            self.rows(writer, d.flush)?;
        }
        let n = d.head.id.n;
        let mut state = self.writer()?;
        state.record("record", n, &d.record)?;
        if let Some(effects) = &d.effects {
            state.record("effects", n, effects)?;
        }
        state.head(&stored)?;
        let shown = self.shown.after(d.flush);
        self.show(&shown)?;
        Ok(Step::Commit(shown))
    }

    /// Notes a decision.
    fn decided(&mut self, d: &Deciding<'_>) -> Result<()> {
        let part = self.log.part;
        let parts = |bytes: &Vec<u8>| bytes.len().div_ceil(part).max(1) as u32;
        let own = self
            .own
            .as_mut()
            .ok_or_else(|| not_owned(&d.head.pipeline))?;
        own.head = Some(d.head.clone());
        let kept = (parts(&d.record), d.effects.as_ref().map_or(0, parts));
        own.kept.insert(d.head.id.n, kept);
        Ok(())
    }

    /// Takes away effects up to `upto` and records before the last fold.
    fn prune(&mut self, producer: &mut Producer, upto: FlushId) -> Result<()> {
        let topic = producer.topic(&self.log.log.config.topic)?;
        let (place, part) = (self.home_place(), self.log.part);
        let Some(own) = &mut self.own else {
            return Err(not_owned(&self.pipeline));
        };
        let fold = own.head.as_ref().map_or(0, |h| h.fold.n);
        let mut writer = Writer {
            producer,
            topic,
            place,
            at: (&self.pipeline, self.partition),
            part,
        };
        for (n, (record, effects)) in &mut own.kept {
            if *n <= upto.n {
                writer.forget("effects", *n, std::mem::take(effects))?;
            }
            if *n < fold && *effects == 0 {
                writer.forget("record", *n, std::mem::take(record))?;
            }
        }
        own.kept.retain(|_, parts| *parts != (0, 0));
        Ok(())
    }

    /// The deliberate defect `in_place`: the newest stored record is overwritten before the decision.
    fn overwrite_newest(&mut self, head: &Head, record: &[u8]) {
        if faults::broken("in_place") && self.is_open() {
            self.once(&mut |lane| {
                lane.writer()?.record("record", head.id.n - 1, record)?;
                Ok(Step::Commit(lane.shown.clone()))
            });
        }
    }
}

impl KafkaSink {
    /// Speaks for a partition from now on.
    fn show_life(&mut self, lane: &Lane) -> Result<()> {
        if self.signs.is_none() {
            let mut producer = self.plain(&lane.log)?;
            let topic = producer.topic(&lane.log.log.config.topic)?;
            self.signs = Some(Signs::begin(producer, topic, self.lease())?);
        }
        if let Some(signs) = &self.signs {
            let owned = owner::Owned {
                pipeline: lane.pipeline.clone(),
                epoch: lane.epoch,
                place: lane.home_place(),
            };
            signs.add(lane.partition, owned);
        }
        Ok(())
    }

    fn has_rows(&self, flush: &Flush) -> bool {
        match self.spec.what {
            What::Windows => flush.windows.iter().any(|w| w.rows.num_rows() > 0),
            what => rows::batches(what, flush).is_ok_and(|b| !b.is_empty()),
        }
    }
}

impl Home for KafkaSink {
    fn decides_rows(&self) -> bool {
        true
    }

    fn acquire(&mut self, claim: &Claim) -> Result<Owned> {
        let (log, lease) = (self.log()?, self.lease());
        let (pipeline, partition) = (claim.pipeline.as_str(), claim.partition);
        let mut lane = Lane::new(self, &log, pipeline, partition, Role::Home);
        // A claim that is refused must not register: that would disturb the owner.
        lane.refuse_if_alive(claim, &lane.read(Upto::Stable)?, lease)?;
        for _ in 0..TURNS {
            if let Some(owned) = lane.take(claim, lease)? {
                self.show_life(&lane)?;
                self.lanes.insert(partition, lane);
                return Ok(owned);
            }
            std::thread::sleep(PAUSE);
        }
        let message = format!(
            "the pipeline {pipeline:?} in {} could not be taken over: others take it at the same time; run one of them",
            self.place
        );
        Err(Error::new(Kind::Fenced, message).retryable())
    }

    fn decide(&mut self, head: &Head, flush: &Flush, keep_effects: bool) -> Result<Decided> {
        let effects = match keep_effects {
            true => Some(effects_only(flush).encode()?),
            false => None,
        };
        let deciding = Deciding {
            head,
            flush,
            record: flush.encode_state()?,
            effects,
        };
        let limit = self.retry_for();
        if !self.lanes.contains_key(&head.partition) {
            return Err(not_owned(&head.pipeline));
        }
        self.with_lane(head.partition, |sink, lane| {
            let writer = match sink.has_rows(flush) {
                true => Some(&sink.ready()?.writer),
                false => None,
            };
            lane.overwrite_newest(head, &deciding.record);
            lane.decide(writer, &deciding, limit)
        })
    }

    /// A producer registered anew has ended what the lost one left open; then the state topic tells.
    fn settle(&mut self, head: &Head) -> Result<Option<Decided>> {
        let (began, limit) = (Instant::now(), self.retry_for());
        self.with_lane(head.partition, |_, lane| {
            loop {
                lane.close();
                match lane.reopen(head) {
                    Err(error) if error.retryable && began.elapsed() < limit => {
                        std::thread::sleep(PAUSE);
                    }
                    known => return known,
                }
            }
        })
    }

    /// What is taken away was shown by every sink, whoever says so: it needs no transaction.
    fn prune(&mut self, partition: u32, upto: FlushId) -> Result<()> {
        let log = self.log()?;
        let mut producer = match self.plain.take() {
            Some(producer) => producer,
            None => self.plain(&log)?,
        };
        let wait = self.config.timeout;
        let Some(lane) = self.lanes.get_mut(&partition) else {
            return Err(not_owned(&format!("partition {partition}")));
        };
        let pruned = lane.prune(&mut producer, upto);
        pruned.and_then(|()| producer.flush(wait))?;
        self.plain = Some(producer);
        Ok(())
    }

    fn release(&mut self, partition: u32) -> Result<()> {
        if let Some(signs) = &self.signs {
            signs.remove(partition);
        }
        let Some(mut lane) = self.lanes.remove(&partition) else {
            return Ok(());
        };
        let Some(own) = lane.own.take().filter(|_| lane.is_open()) else {
            return Ok(());
        };
        let stored = Stored::new(own.epoch, &own.token, "", now_ms(), own.head);
        // Without it the next owner waits for the lease to run out, no more.
        lane.once(&mut |lane| {
            let mut writer = lane.writer()?;
            writer.head(&stored)?;
            writer.silent(own.epoch)?;
            Ok(Step::Commit(lane.shown.clone()))
        });
        Ok(())
    }

    fn look(&mut self, pipeline: &str, partition: u32) -> Result<Option<Owned>> {
        let Some(log) = self.find_log()? else {
            return Ok(None);
        };
        let lane = Lane::new(self, &log, pipeline, partition, Role::Home);
        lane.settle(PATIENCE)?;
        let seen = lane.read(Upto::Stable)?;
        match &seen.stored {
            Some(stored) if stored.head.is_some() => seen.owned().map(Some),
            _ => Ok(None),
        }
    }
}
