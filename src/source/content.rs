//! What the order of a read works on: content that can be gone through step by step, and its
//! pieces in their own order with the books of each.

use super::lanes::Landed;
use super::{Prepare, SourceBatch};
use crate::flush::{Extent, Positions};
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::schema::{Readings, SensorKeys};
use crate::window::Delta;
use crate::{Error, Kind, Result};
use std::sync::Arc;
use std::time::Duration;

/// The place where a piece ends: which stream of the read, and the next byte or row there.
pub(super) type Mark = (u32, u64);

/// Least and greatest of some times; `None`: there are none.
pub(super) type Span = Option<(i64, i64)>;

/// A piece of the content in its own order.
#[derive(Debug)]
pub(super) struct Piece {
    /// The batch; `low` and `read` are not set yet.
    pub batch: SourceBatch,
    /// Where it ends.
    pub mark: Mark,
    /// Least and greatest time in it.
    pub span: Span,
}

/// What a look ahead notes of a piece.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Where it ends.
    pub mark: Mark,
    /// Least and greatest time in it.
    pub span: Span,
    /// How its times lie.
    pub times: super::histogram::Histogram,
    /// The streams so far, and where each ends.
    pub extents: Vec<Extent>,
}

/// Things that come one after the other.
pub(super) trait Steps<T>: Send {
    /// The next, waiting at most `wait`.
    fn next(&mut self, wait: Duration) -> Result<Landed<T>>;
}

/// The content of one read.
pub(super) trait Content: Send + Sync {
    /// Goes through it for times alone.
    fn look(&self) -> Result<Box<dyn Steps<Seen>>>;
    /// Goes through it; without `prepare` the batches have no delta.
    fn pieces(&self, prepare: Option<Prepare>) -> Result<Box<dyn Steps<Piece>>>;
    /// Positions before it.
    fn before(&self) -> Positions;
}

/// Least and greatest of some times.
pub(super) fn span(times: &[i64]) -> Span {
    let first = *times.first()?;
    let wider = |(low, high): (i64, i64), t: &i64| (low.min(*t), high.max(*t));
    Some(times.iter().fold((first, first), wider))
}

/// Those of readings; what is known of them already says it where one sensor's times increase.
pub(super) fn span_of(readings: &Readings, delta: Option<&Delta>) -> Span {
    let one = matches!(readings.sensors, SensorKeys::Constant(_));
    match delta.filter(|d| one && d.stats().strictly_ordered) {
        Some(_) => Some((*readings.time.first()?, *readings.time.last()?)),
        None => span(&readings.time),
    }
}

/// A piece of readings with the books a table has: a record is a row.
pub(super) fn piece_of(
    readings: Readings,
    rejects: Vec<Reject>,
    after: Positions,
    mark: Mark,
    prepare: Option<&Prepare>,
) -> Result<Piece> {
    let (accepted, rejected) = (readings.len() as u64, rejects.len() as u64);
    let records = accepted + rejected;
    let counters = Ledger {
        lines: records,
        records,
        accepted,
        rejected,
        readings: accepted,
        ..Ledger::default()
    };
    let delta = prepare.map(|p| p(&readings)).transpose()?;
    let span = span_of(&readings, delta.as_ref());
    let batch = SourceBatch {
        readings,
        delta,
        rejects,
        counters,
        after,
        read: None,
        low: None,
        ends: None,
        places: 0,
    };
    Ok(Piece { batch, mark, span })
}

/// What a thread outside the pool sends, a bounded number ahead.
pub(super) struct Sent<T> {
    from: std::sync::mpsc::Receiver<Result<Option<T>>>,
    over: bool,
}

impl<T: Send + 'static> Sent<T> {
    /// Runs `next` on a thread of its own until it gives `None` or fails, `ahead` values ahead.
    pub(super) fn spawn(
        name: &str,
        ahead: usize,
        mut next: impl FnMut() -> Result<Option<T>> + Send + 'static,
    ) -> Result<Self> {
        let (to, from) = std::sync::mpsc::sync_channel(ahead);
        crate::runtime::spawn(name, move || {
            loop {
                let value = next();
                let more = matches!(value, Ok(Some(_)));
                // Nobody listens once the reader is dropped.
                if to.send(value).is_err() || !more {
                    return;
                }
            }
        })?;
        Ok(Sent { from, over: false })
    }
}

impl<T: Send + 'static> Sent<T> {
    /// Takes `steps` on a thread of its own, `ahead` of them ahead.
    pub(super) fn steps(
        name: &str,
        ahead: usize,
        mut steps: impl Steps<T> + 'static,
    ) -> Result<Self> {
        const LONG: Duration = Duration::from_secs(3600);
        Self::spawn(name, ahead, move || {
            loop {
                match steps.next(LONG)? {
                    Landed::Value(value) => return Ok(Some(value)),
                    Landed::Waiting => {}
                    Landed::Empty => return Ok(None),
                }
            }
        })
    }
}

impl<T: Send + 'static> Steps<T> for Sent<T> {
    fn next(&mut self, wait: Duration) -> Result<Landed<T>> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        if self.over {
            return Ok(Landed::Empty);
        }
        match self.from.recv_timeout(wait) {
            Err(Timeout) => Ok(Landed::Waiting),
            Err(Disconnected) => Err(Error::new(
                Kind::Internal,
                "the reader's thread ended without a word; please report it",
            )),
            Ok(Ok(Some(value))) => Ok(Landed::Value(value)),
            Ok(Ok(None)) => {
                self.over = true;
                Ok(Landed::Empty)
            }
            Ok(Err(error)) => {
                self.over = true;
                Err(error)
            }
        }
    }
}

/// Makes a value from a job that is given once its turn has come.
pub(super) struct Jobs<T, F> {
    lanes: super::lanes::Lanes<T>,
    next: usize,
    count: usize,
    job: Arc<F>,
}

impl<T: Send + 'static, F: Fn(usize) -> Result<T> + Send + Sync + 'static> Jobs<T, F> {
    /// Runs `job(0) .. job(count - 1)` on the pool.
    pub(super) fn new(count: usize, job: F) -> Result<Self> {
        Ok(Jobs {
            lanes: super::lanes::Lanes::new()?,
            next: 0,
            count,
            job: Arc::new(job),
        })
    }
}

impl<T: Send + 'static, F: Fn(usize) -> Result<T> + Send + Sync + 'static> Steps<T> for Jobs<T, F> {
    fn next(&mut self, wait: Duration) -> Result<Landed<T>> {
        while self.next < self.count && !self.lanes.full() {
            let (job, i) = (self.job.clone(), self.next);
            self.lanes.give(move || job(i));
            self.next += 1;
        }
        self.lanes.next(wait)
    }
}
