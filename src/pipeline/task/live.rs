//! What an owner holds of a partition while it runs, and how it is saved and restored.

use super::events::TaskConfig;
use super::gather::Gather;
use super::held;
use super::streams::Streams;
use crate::flush::{Flush, FlushId, Head, Positions};
use crate::ledger::Ledger;
use crate::sink::Owned;
use crate::source::FileName;
use crate::transform::{Dedupe, Held, OnConflict, OnDuplicate};
use crate::window::Open;
use crate::{Error, Kind, Result};
use std::sync::Arc;

/// A fold is made when the changes since the last one outweigh it by this, bytes.
const SLACK: usize = 64 << 10;
/// Or after this many flushes.
const MOST: u32 = 256;

/// The state of a partition.
#[derive(Debug)]
pub(super) struct Live {
    pub epoch: u64,
    pub head: Option<Head>,
    pub lineage: String,
    pub open: Open,
    pub dedupe: Dedupe,
    pub held: Held,
    pub files: Vec<FileName>,
    pub gather: Gather,
    /// Greatest end of interval of an admitted reading.
    pub max_end: Option<i64>,
    /// The same after the batch under way.
    pub next_max_end: Option<i64>,
    /// The watermark W.
    pub closed_to: Option<i64>,
    /// The end of the last bounded read is decided or in flight, and nothing came since.
    pub ended: bool,
    /// Windows that the watermark has reached are still to be closed.
    pub closing: bool,
    /// A read ended, and its end is still to be written.
    pub ending: bool,
    pub totals: Ledger,
    pub folds: Folds,
    /// Several streams under this head.
    pub streams: Streams,
    /// Which of them the batch under way is of.
    pub own: Option<Arc<str>>,
    /// Bits of a row number for the place within a message.
    pub places: u32,
    /// The batch under way is one of a bounded read, whatever comes after it.
    pub vouched: bool,
    /// Of the batch under way: the greatest end of left-out rows before each row. Of one stream it says nothing
    /// new: what a row left out contradicts came with the same time.
    pub beside: Vec<i64>,
}

/// When the whole state is saved again.
#[derive(Debug, Default)]
pub(super) struct Folds {
    last: FlushId,
    size: usize,
    since: usize,
    flushes: u32,
}

impl Folds {
    fn due(&self) -> bool {
        self.last.n == 0 || self.since > self.size + SLACK || self.flushes >= MOST
    }

    fn saved(&mut self, id: FlushId, fold: bool, bytes: usize) {
        if fold {
            *self = Folds {
                last: id,
                size: bytes,
                since: 0,
                flushes: 0,
            };
        } else {
            self.since += bytes;
            self.flushes += 1;
        }
    }

    /// The last fold.
    pub fn last(&self) -> FlushId {
        self.last
    }
}

impl Live {
    /// What the home hands over, restored.
    pub fn restore(c: &TaskConfig, owned: &Owned, now: i64) -> Result<Live> {
        let head = owned.head.clone();
        let positions = head
            .as_ref()
            .map(|h| h.positions.clone())
            .unwrap_or_default();
        let read = head.as_ref().and_then(|h| h.read.clone());
        let mut live = Live {
            epoch: owned.epoch,
            lineage: head
                .as_ref()
                .map_or_else(|| c.token.clone(), |h| h.lineage.clone()),
            totals: head.as_ref().map(|h| h.totals.clone()).unwrap_or_default(),
            head,
            open: Open::new(),
            dedupe: Dedupe::new(c.on_duplicate, c.on_conflict),
            held: Held::default(),
            files: c.files.clone(),
            gather: Gather::after(positions.clone(), read),
            max_end: None,
            next_max_end: None,
            closed_to: None,
            ended: true,
            closing: false,
            ending: false,
            folds: Folds::default(),
            streams: Streams::restore(&positions, now),
            own: None,
            places: 0,
            beside: Vec::new(),
            vouched: c.bounded,
        };
        live.replay(c, &owned.records)?;
        Ok(live)
    }

    fn replay(&mut self, c: &TaskConfig, records: &[Flush]) -> Result<()> {
        let Some(head) = &self.head else {
            return Ok(());
        };
        let (from, to) = (head.fold.n, head.id.n);
        let mut next = from;
        let mut opens = Vec::new();
        for record in records.iter().filter(|r| r.id.n >= from && r.id.n <= to) {
            if record.id.n != next || (next == from && !record.state.fold) {
                return Err(missing(next));
            }
            next += 1;
            opens.push((record.state.fold, self.take_in(c, record)?));
        }
        if next != to + 1 {
            return Err(missing(next));
        }
        self.open = Open::restore(&c.plan, opens.into_iter())?;
        Ok(())
    }

    /// Takes in all of a record but its windows, which are given back.
    fn take_in<'a>(&mut self, c: &TaskConfig, record: &'a Flush) -> Result<&'a [u8]> {
        let mut parts = Parts(&record.state.bytes);
        let (open, dedupe, waiting) = (parts.next()?, parts.next()?, parts.next()?);
        self.dedupe.restore(dedupe)?;
        self.held = held::decode(waiting, (&c.plan, &c.attributes), &mut self.files)?;
        self.max_end = record.max_end;
        self.next_max_end = record.max_end;
        self.closed_to = record.watermark;
        self.ended = record.last;
        self.folds
            .saved(record.id, record.state.fold, record.state.bytes.len());
        Ok(open)
    }

    /// What changed since the last save, or all of it when that is due.
    pub fn save(&mut self, c: &TaskConfig, id: FlushId) -> Result<(bool, Vec<u8>)> {
        let fold = self.folds.due();
        let parts = match fold {
            true => [self.open.whole(&c.plan), self.dedupe.save_all()],
            false => [self.open.take_changes(&c.plan), self.dedupe.save_changes()],
        };
        let waiting = held::encode(&self.held, &self.files)?;
        let mut bytes = Vec::with_capacity(parts[0].len() + parts[1].len() + waiting.len() + 24);
        for part in [&parts[0], &parts[1], &waiting] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        self.folds.saved(id, fold, bytes.len());
        Ok((fold, bytes))
    }

    /// The newest flush built or decided.
    pub fn id(&self) -> FlushId {
        self.head.as_ref().map(|h| h.id).unwrap_or_default()
    }

    /// Where reading goes on.
    pub fn positions(&self) -> Positions {
        self.gather.positions.clone()
    }

    /// Bytes of effects that wait.
    pub fn waiting(&self) -> usize {
        self.gather.bytes
    }
}

/// The last reading of each sensor that records know of.
pub(super) fn sensors(owned: &Owned) -> Result<Vec<(Arc<str>, i64)>> {
    let mut dedupe = Dedupe::new(OnDuplicate::Once, OnConflict::Keep);
    let from = owned.head.as_ref().map_or(0, |h| h.fold.n);
    for record in owned.records.iter().filter(|r| r.id.n >= from) {
        let mut parts = Parts(&record.state.bytes);
        parts.next()?;
        dedupe.restore(parts.next()?)?;
    }
    Ok(dedupe.last_readings())
}

/// The parts of a state, each with its length before it.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn next(&mut self) -> Result<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (part, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(part)
    }
}

fn damaged() -> Error {
    Error::new(
        Kind::DataLost,
        "a stored state record is damaged; restore the store from a backup, or begin a new pipeline name",
    )
}

fn missing(n: u64) -> Error {
    Error::new(
        Kind::DataLost,
        format!(
            "the state record of flush {n} is missing in the home; restore the store from a backup, or begin a new pipeline name"
        ),
    )
}
