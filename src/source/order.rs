//! The order of a bounded read: optimistic, in file order behind a look ahead, or through
//! buckets of time on disk. The same machine for files, tables and spooled streams.

use super::buckets::{Buckets, Spill};
use super::content::{Content, Mark, Piece, Seen, Span, Steps};
use super::histogram::Histogram;
use super::lanes::Landed;
use super::{Order, Poll, Prepare, Reader, SourceBatch};
use crate::flush::{Extent, ReadPlan};
use crate::schema::Measure;
use crate::{Error, Kind, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an ordered read is told beside its content.
#[derive(Clone)]
pub(super) struct Setup {
    pub measures: Arc<[Measure]>,
    pub prepare: Prepare,
    /// Folder for what has to wait on disk.
    pub spill_dir: Option<PathBuf>,
    /// More rows than this waiting for earlier ones go through buckets.
    pub waiting: u64,
    /// Rows in a bucket.
    pub bucket: u64,
    /// A record gives several rows: records are counted where they are read, rows where they come back.
    pub melted: bool,
}

impl Setup {
    /// `waiting`: how many rows may wait in memory.
    pub(super) fn new(
        measures: Arc<[Measure]>,
        prepare: Prepare,
        spill_dir: Option<PathBuf>,
        waiting: usize,
    ) -> Self {
        Setup {
            measures,
            prepare,
            spill_dir,
            waiting: waiting as u64,
            bucket: (waiting as u64 / 2).max(1),
            melted: false,
        }
    }
}

/// Rows that may wait in memory for their turn, unless told otherwise.
pub const WAITING_ROWS: usize = 256 * 1024;

/// What the look ahead found.
#[derive(Default)]
struct Found {
    /// Where each piece ends, the span of its times, its rows.
    pieces: Vec<(Mark, Span, u64)>,
    times: Histogram,
    extents: Vec<Extent>,
}

/// The least time behind each mark.
struct Lows(Vec<(Mark, i64)>);

enum State {
    Optimistic {
        pieces: Box<dyn Steps<Piece>>,
        reached: i64,
    },
    Look {
        seen: Box<dyn Steps<Seen>>,
        found: Found,
    },
    File {
        pieces: Box<dyn Steps<Piece>>,
        lows: Lows,
        plan: ReadPlan,
    },
    Spill {
        pieces: Box<dyn Steps<Piece>>,
        spill: Box<Spill>,
    },
    Buckets(Box<Buckets>),
    Over,
}

/// A bounded read.
pub(super) struct Ordered {
    content: Arc<dyn Content>,
    setup: Setup,
    told: Option<ReadPlan>,
    state: State,
}

impl Ordered {
    /// Begins a read; `read`: the plan of the unfinished read that this one ends.
    pub(super) fn open(
        content: Arc<dyn Content>,
        read: Option<&ReadPlan>,
        order: Order,
        setup: Setup,
    ) -> Result<Box<dyn Reader>> {
        let state = match (order, read) {
            (Order::Optimistic, None) => State::Optimistic {
                pieces: content.pieces(Some(setup.prepare.clone()))?,
                reached: i64::MIN,
            },
            // Its last bucket is counted, only its end was not decided.
            (_, Some(plan)) if !plan.edges.is_empty() && plan.done > plan.edges.len() as u64 => {
                State::Over
            }
            (_, Some(plan)) if !plan.edges.is_empty() => spill(&*content, plan.clone(), &setup)?,
            _ => State::Look {
                seen: content.look()?,
                found: Found::default(),
            },
        };
        Ok(Box::new(Ordered {
            content,
            setup,
            told: read.cloned(),
            state,
        }))
    }

    /// One step; `None`: go on with the next state.
    fn step(&mut self, wait: Duration) -> Result<Option<Poll>> {
        match &mut self.state {
            State::Optimistic { pieces, reached } => {
                optimistic(&mut **pieces, reached, wait).map(Some)
            }
            State::Look { seen, found } => match seen.next(wait)? {
                Landed::Value(seen) => {
                    found.take(seen);
                    Ok(None)
                }
                Landed::Waiting => Ok(Some(Poll::Idle)),
                Landed::Empty => self.choose().map(|()| None),
            },
            State::File { pieces, lows, plan } => {
                in_file_order(&mut **pieces, lows, plan, wait).map(Some)
            }
            State::Spill { pieces, spill } => match pieces.next(wait)? {
                Landed::Value(piece) => spill.add(piece).map(|()| None),
                Landed::Waiting => Ok(Some(Poll::Idle)),
                Landed::Empty => self.spilled().map(|()| None),
            },
            State::Buckets(buckets) => buckets.next(wait).map(Some),
            State::Over => Ok(Some(Poll::End)),
        }
    }

    /// The look ahead is done: in file order, or through buckets.
    fn choose(&mut self) -> Result<()> {
        let State::Look { found, .. } = std::mem::replace(&mut self.state, State::Over) else {
            return Ok(());
        };
        if found.pieces.is_empty() {
            return Ok(());
        }
        let told = self.told.clone();
        let edges = match &told {
            None if found.waiting() > self.setup.waiting => found.times.edges(self.setup.bucket),
            _ => Vec::new(),
        };
        let fresh = || ReadPlan {
            extents: found.extents.clone(),
            edges,
            ..ReadPlan::default()
        };
        let plan = told.unwrap_or_else(fresh);
        self.state = if plan.edges.is_empty() {
            let pieces = self.content.pieces(Some(self.setup.prepare.clone()))?;
            State::File {
                pieces,
                lows: found.lows(),
                plan,
            }
        } else {
            spill(&*self.content, plan, &self.setup)?
        };
        Ok(())
    }

    fn spilled(&mut self) -> Result<()> {
        if let State::Spill { spill, .. } = std::mem::replace(&mut self.state, State::Over) {
            let buckets = spill.finish(self.content.before(), &self.setup)?;
            self.state = State::Buckets(Box::new(buckets));
        }
        Ok(())
    }
}

fn spill(content: &dyn Content, plan: ReadPlan, setup: &Setup) -> Result<State> {
    Ok(State::Spill {
        pieces: content.pieces(None)?,
        spill: Box::new(Spill::new(plan, setup.spill_dir.clone(), setup.melted)),
    })
}

impl Reader for Ordered {
    fn next(&mut self, wait: Duration) -> Result<Poll> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(poll) = self.step(left)? {
                return Ok(poll);
            }
            if left.is_zero() {
                return Ok(Poll::Idle);
            }
        }
    }
}

fn optimistic(pieces: &mut dyn Steps<Piece>, reached: &mut i64, wait: Duration) -> Result<Poll> {
    let piece = match pieces.next(wait)? {
        Landed::Value(piece) => piece,
        Landed::Waiting => return Ok(Poll::Idle),
        Landed::Empty => return Ok(Poll::End),
    };
    if let Some((least, greatest)) = piece.span {
        if least < *reached {
            return Err(Error::new(
                Kind::Disorder,
                "a reading lies before readings that came earlier in this read",
            ));
        }
        *reached = greatest;
    }
    let low = Some(*reached);
    Ok(Poll::Batch(Box::new(SourceBatch { low, ..piece.batch })))
}

fn in_file_order(
    pieces: &mut dyn Steps<Piece>,
    lows: &Lows,
    plan: &ReadPlan,
    wait: Duration,
) -> Result<Poll> {
    Ok(match pieces.next(wait)? {
        Landed::Waiting => Poll::Idle,
        Landed::Empty => Poll::End,
        Landed::Value(piece) => Poll::Batch(Box::new(SourceBatch {
            low: Some(lows.behind(piece.mark)),
            read: Some(plan.clone()),
            ..piece.batch
        })),
    })
}

impl Found {
    fn take(&mut self, seen: Seen) {
        self.pieces.push((seen.mark, seen.span, seen.times.rows()));
        self.times.add(&seen.times);
        self.extents = seen.extents;
    }

    fn lows(&self) -> Lows {
        let mut low = i64::MAX;
        let mut lows: Vec<(Mark, i64)> = Vec::with_capacity(self.pieces.len());
        for (mark, span, _) in self.pieces.iter().rev() {
            low = low.min(span.map_or(i64::MAX, |s| s.0));
            lows.push((*mark, low));
        }
        lows.reverse();
        Lows(lows)
    }

    /// The greatest number of rows that would wait at once for earlier ones to come.
    fn waiting(&self) -> u64 {
        let lows = self.lows();
        let mut heap = BinaryHeap::new();
        let (mut now, mut most) = (0, 0);
        for (mark, span, rows) in &self.pieces {
            let low = lows.behind(*mark);
            if let Some((_, greatest)) = span {
                heap.push(Reverse((*greatest, *rows)));
                now += rows;
            }
            while let Some(Reverse((greatest, rows))) = heap.peek().copied().filter(|r| r.0.0 < low)
            {
                heap.pop();
                debug_assert!(greatest < low);
                now -= rows;
            }
            most = most.max(now);
        }
        most
    }
}

impl Lows {
    /// The least time of the pieces that end behind `mark`.
    fn behind(&self, mark: Mark) -> i64 {
        let next = self.0.partition_point(|(m, _)| *m <= mark);
        self.0.get(next).map_or(i64::MAX, |(_, low)| *low)
    }
}
