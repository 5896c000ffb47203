//! The home: owners, decisions, records.

use super::failure::{self, Settled, Step};
use super::session::Session;
use super::store::{self, Stored};
use super::{PostgresSink, Ready};
use crate::flush::{Flush, FlushId, Head};
use crate::sink::{Claim, Decided, Home, Owned, effects_only, fenced, next_step, not_owned};
use crate::{Error, Kind, Result, faults};
use arrow_array::RecordBatch;
use std::time::{Duration, Instant};

/// How long the session of a process that just ended may still be there.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(25);
/// PostgreSQL takes no value of a gibibyte.
const LARGEST: usize = 1 << 30;

/// What a home owns.
pub(super) struct Ownership {
    /// The pipeline.
    pub pipeline: String,
    /// The run.
    pub token: String,
}

/// A decision to be made.
struct Deciding<'a> {
    head: &'a Head,
    flush: &'a Flush,
    batches: Vec<RecordBatch>,
    record: Vec<u8>,
    effects: Option<Vec<u8>>,
}

/// Who stands in the way of a claim.
enum Claimed {
    Ours(Box<Owned>),
    Alive(String),
}

/// Takes the partition, unless its owner's session is there.
async fn claim_in(session: &Session, claim: &Claim) -> Step<Claimed> {
    store::make(session).await?;
    let at = (claim.pipeline.as_str(), claim.partition);
    let before = store::stored(session, at, true).await?;
    if let Some(Stored {
        token,
        owner,
        backend: Some(backend),
        ..
    }) = &before
        && *token != claim.token
        && session.alive(backend).await?
    {
        return Ok(Claimed::Alive(owner.clone()));
    }
    let epoch = store::take_epoch(session, claim, before.as_ref()).await?;
    let head = before.and_then(|s| s.head);
    let owned = store::owned(session, epoch, head, at).await?;
    Ok(Claimed::Ours(Box::new(owned)))
}

impl PostgresSink {
    /// Ends the session of the owner that is taken over, before its lock is waited for.
    fn end_owner(&mut self, claim: &Claim) -> Result<()> {
        let place = self.place.clone();
        self.attempt(async |session| {
            if !store::has_tables(session).await? {
                return Ok(());
            }
            let at = (claim.pipeline.as_str(), claim.partition);
            match store::stored(session, at, false).await? {
                Some(Stored {
                    token,
                    backend: Some(old),
                    ..
                }) if token != claim.token => session.end(&old, &place).await,
                _ => Ok(()),
            }
        })
    }

    fn pipeline(&self, partition: u32) -> Result<String> {
        let own = self.owned.get(&partition);
        own.map(|o| o.pipeline.clone())
            .ok_or_else(|| not_owned(&format!("partition {partition}")))
    }

    fn claim(&mut self, claim: &Claim) -> Result<Owned> {
        let began = Instant::now();
        loop {
            let claimed = self.attempt(async |session| {
                failure::transact_or_fail(session, async || claim_in(session, claim).await).await
            })?;
            match claimed {
                Claimed::Ours(owned) => return Ok(*owned),
                Claimed::Alive(owner) if began.elapsed() > GRACE => {
                    return Err(fenced(&claim.pipeline, &self.place, &owner));
                }
                Claimed::Alive(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

impl Ready {
    /// The decision, inside its transaction.
    async fn decide(&self, session: &Session, d: &Deciding<'_>) -> Step<(Decided, u64)> {
        self.stage(session, &d.batches).await?;
        let (head, at) = (d.head, self.at(d.head.partition));
        let Some(stored) = store::stored(session, (&head.pipeline, head.partition), true).await?
        else {
            return Err(not_owned(&head.pipeline).into());
        };
        let newest = stored.head.as_ref();
        if newest.is_some_and(|h| h.id == head.id && h.token == head.token) {
            return Ok((Decided::Yes, 0));
        }
        let checks = !faults::broken("no_epoch");
        if checks && (stored.epoch != head.id.epoch || stored.n + 1 != head.id.n) {
            return Ok((Decided::Fenced(stored.owner), 0));
        }
        let shown = store::shown(session, at, true).await?;
        if checks {
            next_step(&self.table, shown.applied.as_ref(), d.flush)?;
        }
        let taken = self.write(session, d.flush, &d.batches).await?;
        store::put(session, head, &d.record, d.effects.as_deref()).await?;
        Ok((Decided::Yes, taken))
    }
}

impl Home for PostgresSink {
    fn decides_rows(&self) -> bool {
        true
    }

    fn acquire(&mut self, claim: &Claim) -> Result<Owned> {
        if claim.take_over {
            self.end_owner(claim)?;
        }
        let owned = self.claim(claim)?;
        let ownership = Ownership {
            pipeline: claim.pipeline.clone(),
            token: claim.token.clone(),
        };
        self.owned.insert(claim.partition, ownership);
        self.applies.insert(claim.partition, owned.epoch);
        Ok(owned)
    }

    fn decide(&mut self, head: &Head, flush: &Flush, keep_effects: bool) -> Result<Decided> {
        let effects = match keep_effects {
            true => Some(effects_only(flush).encode()?),
            false => None,
        };
        let record = flush.encode_state()?;
        small_enough(&record)?;
        small_enough(effects.as_deref().unwrap_or_default())?;
        let settled = self.with_ready(|sink, ready| {
            let deciding = Deciding {
                head,
                flush,
                batches: ready.batches(flush)?,
                record,
                effects,
            };
            sink.attempt(async |session| {
                store::overwrite_newest(session, head, &deciding.record).await?;
                loop {
                    ready.writer.make_stage(session).await?;
                    let work = async || ready.decide(session, &deciding).await;
                    let done = failure::transact(session, work).await;
                    if ready.went_back(&done) {
                        continue;
                    }
                    return done;
                }
            })
        })?;
        match settled {
            Settled::Done((decided, taken)) => {
                self.same_time += taken;
                Ok(decided)
            }
            Settled::Unclear(e) => {
                self.line.lose();
                Ok(Decided::Unclear(failure::said(&self.place, e).message))
            }
        }
    }

    /// The old connection's backend is gone before the head is read, and the lock waits for whoever moves it.
    fn settle(&mut self, head: &Head) -> Result<Option<Decided>> {
        let at = (head.pipeline.as_str(), head.partition);
        let stored = self.attempt(async |session| {
            let read = async || store::stored(session, at, true).await;
            failure::transact_or_fail(session, read).await
        })?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let newest = stored.head.as_ref();
        Ok(
            if newest.is_some_and(|h| h.id == head.id && h.token == head.token) {
                Some(Decided::Yes)
            } else if stored.epoch > head.id.epoch || stored.n >= head.id.n {
                Some(Decided::Fenced(stored.owner))
            } else {
                None
            },
        )
    }

    fn prune(&mut self, partition: u32, upto: FlushId) -> Result<()> {
        let pipeline = self.pipeline(partition)?;
        self.attempt(async |session| {
            let at = (pipeline.as_str(), partition);
            let stored = store::stored(session, at, false).await?;
            let fold = stored.and_then(|s| s.head).map_or(0, |h| h.fold.n);
            store::prune(session, at, upto.n, fold).await
        })
    }

    fn release(&mut self, partition: u32) -> Result<()> {
        let Some(own) = self.owned.remove(&partition) else {
            return Ok(());
        };
        self.attempt(async |session| {
            store::announce(session, (&own.pipeline, partition), &own.token, None).await
        })
    }

    fn look(&mut self, pipeline: &str, partition: u32) -> Result<Option<Owned>> {
        let at = (pipeline, partition);
        self.attempt(async |session| {
            if !store::has_tables(session).await? {
                return Ok(None);
            }
            store::check_format(session).await?;
            match store::stored(session, at, false).await? {
                Some(s) if s.head.is_some() => {
                    store::owned(session, s.epoch, s.head, at).await.map(Some)
                }
                _ => Ok(None),
            }
        })
    }
}

fn small_enough(bytes: &[u8]) -> Result<()> {
    if bytes.len() < LARGEST {
        return Ok(());
    }
    Err(Error::new(
        Kind::Endpoint,
        format!(
            "a flush is {} MiB and PostgreSQL takes no value of 1024; use fewer grains or sensors a pipeline, or SQLite or Parquet as first sink",
            bytes.len() >> 20
        ),
    ))
}
