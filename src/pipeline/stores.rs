//! The store thread of a run: the only owner of the sinks while it lasts. Carries out what the
//! task asks of them, in order, and answers with events.

use super::run::Message;
use super::task::Event;
use crate::flush::{Flush, FlushId, Head};
use crate::sink::{Decided, Home, Sink};
use crate::{Result, faults, runtime};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// What the run asks of the sinks.
pub(super) enum Job {
    Decide(Arc<Flush>, Arc<Head>),
    Settle(Arc<Head>),
    Apply(usize, Arc<Flush>),
    Prune(FlushId),
    Finish,
}

/// The sinks of a run. Sink 0 is the home.
pub(super) struct Stores {
    pub(super) home: Box<dyn Home>,
    pub(super) followers: Vec<Box<dyn Sink>>,
    pub(super) partition: u32,
}

impl Stores {
    /// All sinks, the home first.
    pub(super) fn sinks(&mut self) -> impl Iterator<Item = &mut dyn Sink> {
        let home: &mut dyn Sink = self.home.as_mut();
        std::iter::once(home).chain(
            self.followers
                .iter_mut()
                .map(|f| f.as_mut() as &mut dyn Sink),
        )
    }

    fn sink(&mut self, index: usize) -> &mut dyn Sink {
        match index.checked_sub(1) {
            None => self.home.as_mut(),
            Some(follower) => self.followers[follower].as_mut(),
        }
    }

    fn carry(&mut self, job: Job) -> Result<Vec<Event>> {
        match job {
            Job::Decide(flush, head) => self.decide(&flush, &head).map(|e| vec![e]),
            Job::Settle(head) => self.settle(&head).map(|e| vec![e]),
            Job::Apply(sink, flush) => self.apply(sink, &flush).map(|e| vec![e]),
            Job::Prune(upto) => self.home.prune(self.partition, upto).map(|()| Vec::new()),
            Job::Finish => self.finish(),
        }
    }

    fn decide(&mut self, flush: &Flush, head: &Head) -> Result<Event> {
        let keep = !self.followers.is_empty() || !self.home.decides_rows();
        faults::point("before_decide")?;
        let answer = self.home.decide(head, flush, keep)?;
        faults::point("after_decide")?;
        Ok(match answer {
            Decided::Yes => Event::Decided { id: flush.id },
            Decided::Fenced(by) => Event::Fenced { by },
            Decided::Unclear(_) => Event::Unclear { id: flush.id },
        })
    }

    fn settle(&mut self, head: &Head) -> Result<Event> {
        Ok(match self.home.settle(head)? {
            Some(Decided::Fenced(by)) => Event::Fenced { by },
            Some(_) => Event::Settled { decided: true },
            None => Event::Settled { decided: false },
        })
    }

    fn apply(&mut self, sink: usize, flush: &Flush) -> Result<Event> {
        let partition = self.partition;
        let target = self.sink(sink);
        faults::point("before_apply")?;
        target.apply(flush)?;
        faults::point("after_apply")?;
        let shown = target.applied(partition)?.map(|a| a.id);
        Ok(Event::Applied {
            sink,
            id: flush.id,
            shown,
        })
    }

    fn finish(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for (sink, store) in self.sinks().enumerate() {
            store.finish()?;
            events.push(Event::Finished { sink });
        }
        Ok(events)
    }
}

/// Starts the thread; it ends when the sender of jobs is dropped and gives the stores back.
pub(super) fn start(
    mut stores: Stores,
    to: Sender<Message>,
) -> Result<(Sender<Job>, JoinHandle<Stores>)> {
    let (jobs, work): (Sender<Job>, Receiver<Job>) = channel();
    let thread = runtime::spawn("stores", move || {
        for job in work {
            let stage = if matches!(job, Job::Decide(..) | Job::Settle(_)) {
                "decide"
            } else {
                "apply"
            };
            let began = Instant::now();
            let message = match stores.carry(job) {
                Ok(events) => Message::Store(events, stage, began.elapsed()),
                Err(error) => Message::Failed(error),
            };
            if to.send(message).is_err() {
                break;
            }
        }
        stores
    })?;
    Ok((jobs, thread))
}
