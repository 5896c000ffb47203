//! Batches of a simulation: at full speed on the pool, or paced by the clock.

use super::steps::{Course, Made};
use super::{Rate, Simulation};
use crate::Result;
use crate::flush::{Extent, Position, ReadPlan};
use crate::ledger::Ledger;
use crate::source::lanes::{Landed, Lanes};
use crate::source::{Poll, Prepare, Reader, SourceBatch};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a read begins and ends.
#[derive(Clone)]
pub(super) struct Begun {
    pub stream: String,
    /// The next step.
    pub next: u64,
    /// The read ends before this step.
    pub last: Option<u64>,
    /// Batches carry a plan.
    pub plan: bool,
    pub bounded: bool,
}

pub(super) fn open(
    options: &Simulation,
    course: Arc<Course>,
    begun: Begun,
    prepare: Prepare,
) -> Result<Box<dyn Reader>> {
    let make = Make {
        course,
        begun,
        prepare,
    };
    Ok(match options.pace() {
        Rate::Max => Box::new(Full {
            next: make.begun.next,
            lanes: Lanes::new()?,
            make,
        }),
        Rate::Times(times) => Box::new(Paced::new(make, options, times)),
    })
}

/// Makes the batch of a range of steps, on any thread.
#[derive(Clone)]
struct Make {
    course: Arc<Course>,
    begun: Begun,
    prepare: Prepare,
}

impl Make {
    fn batch(&self, from: u64, to: u64) -> Result<SourceBatch> {
        let Made { readings, low } = self.course.make(from, to);
        let n = readings.len() as u64;
        Ok(SourceBatch {
            delta: Some((self.prepare)(&readings)?),
            counters: Ledger {
                lines: n,
                records: n,
                accepted: n,
                readings: n,
                ..Ledger::default()
            },
            readings,
            rejects: Vec::new(),
            after: vec![self.position(to)],
            read: self.plan(),
            low: self.begun.bounded.then_some(low),
            ends: None,
            places: 0,
        })
    }

    fn position(&self, step: u64) -> Position {
        Position {
            stream: self.begun.stream.clone(),
            at: step,
            row: self.course.row(step),
            line: self.course.row(step) + 1,
            proof: None,
            path: None,
            time: None,
        }
    }

    fn plan(&self) -> Option<ReadPlan> {
        let end = self.begun.last.filter(|_| self.begun.plan)?;
        let extents = vec![Extent {
            stream: self.begun.stream.clone(),
            end,
            proof: None,
        }];
        Some(ReadPlan {
            extents,
            ..ReadPlan::default()
        })
    }

    /// The end of the batch that begins at `from`, or `None` where the read is over.
    fn end(&self, from: u64) -> Option<u64> {
        let to = from + self.course.batch();
        let to = self.begun.last.map_or(to, |last| to.min(last));
        (to > from).then_some(to)
    }
}

struct Full {
    make: Make,
    next: u64,
    lanes: Lanes<SourceBatch>,
}

impl Reader for Full {
    fn next(&mut self, wait: Duration) -> Result<Poll> {
        while !self.lanes.full() {
            let from = self.next;
            let Some(to) = self.make.end(from) else { break };
            let make = self.make.clone();
            self.lanes.give(move || make.batch(from, to));
            self.next = to;
        }
        Ok(match self.lanes.next(wait)? {
            Landed::Value(batch) => Poll::Batch(Box::new(batch)),
            Landed::Waiting => Poll::Idle,
            Landed::Empty => Poll::End,
        })
    }
}

struct Paced {
    make: Make,
    next: u64,
    /// Event time and clock that belong together, and the speed from there.
    anchor: (i64, Instant),
    times: f64,
}

impl Paced {
    fn new(make: Make, options: &Simulation, times: f64) -> Paced {
        let next = make.begun.next;
        let real = options.start.is_none() && times == 1.0;
        // A stream that began "now" in real time goes with the clock, also after a pause.
        let event = if real {
            chrono::Utc::now().timestamp_micros()
        } else {
            make.course.time(next)
        };
        Paced {
            make,
            next,
            anchor: (event, Instant::now()),
            times,
        }
    }

    /// How long until a step's event time has come.
    fn until(&self, step: u64) -> Duration {
        let ahead = self
            .make
            .course
            .time(step)
            .saturating_sub(self.anchor.0)
            .max(0) as f64;
        let due = Duration::try_from_secs_f64(ahead / self.times / 1e6).unwrap_or(Duration::MAX);
        due.saturating_sub(self.anchor.1.elapsed())
    }

    /// The end of what is due now.
    fn due(&self, most: u64) -> u64 {
        let mut to = self.next;
        while to < most && self.until(to).is_zero() {
            to += 1;
        }
        to
    }
}

impl Reader for Paced {
    fn next(&mut self, wait: Duration) -> Result<Poll> {
        let Some(most) = self.make.end(self.next) else {
            return Ok(Poll::End);
        };
        let ahead = self.until(self.next);
        std::thread::sleep(ahead.min(wait));
        if ahead > wait {
            return Ok(Poll::Idle);
        }
        let to = self.due(most).max(self.next + 1);
        let batch = self.make.batch(self.next, to)?;
        self.next = to;
        Ok(Poll::Batch(Box::new(batch)))
    }
}
