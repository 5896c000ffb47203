//! Share: this run's place in a group that gives partitions out, and the watch over the ends of the log.
//!
//! A member polls its group on a thread of its own, steadily: that is its sign of life, whatever the lanes do. A
//! partition that was lost to another owner (its flush was refused) is taken again with growing back-off as long as
//! the group says that it is this run's; one that is lost three times within a minute is an error, because then two
//! owners believe in it.

use super::books::{Books, Ends};
use super::run::Message;
use crate::source::{Change, Group, Source};
use crate::{Error, Kind, Result, runtime};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the group is waited for at a time.
const POLL: Duration = Duration::from_millis(50);
/// How long the group's answer to a goodbye is waited for.
const GOODBYE: Duration = Duration::from_millis(800);
/// How often decided offsets are committed, for those who watch lag.
const COMMIT: Duration = Duration::from_secs(1);
/// How often the ends of the log are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A partition lost so often within [`SPAN`] is an error.
const LOSSES: usize = 3;
const SPAN: Duration = Duration::from_secs(60);
/// The first wait before a lost partition is taken again; it doubles.
const BACK_OFF: Duration = Duration::from_millis(500);

/// What the group is told.
enum Word {
    Released(u32),
    Commit(Vec<(u32, u64)>),
}

/// When offsets were last committed, and which.
type Committed = (Option<Instant>, Vec<(u32, u64)>);

/// A place in a group.
pub(super) struct Member {
    words: Option<Sender<Word>>,
    thread: JoinHandle<()>,
    assigned: BTreeSet<u32>,
    lost: BTreeMap<u32, Vec<Instant>>,
    again: BTreeMap<u32, Instant>,
    committed: Mutex<Committed>,
}

impl Member {
    /// Joins; what the group says comes as [`Message::Share`].
    pub(super) fn join(group: Box<dyn Group>, to: Sender<Message>) -> Result<Member> {
        let (words, told) = channel();
        let thread = runtime::spawn("group", move || attend(group, &told, &to))?;
        Ok(Member {
            words: Some(words),
            thread,
            assigned: BTreeSet::new(),
            lost: BTreeMap::new(),
            again: BTreeMap::new(),
            committed: Mutex::default(),
        })
    }

    fn say(&self, word: Word) {
        if let Some(words) = &self.words {
            // A thread that ended has said why.
            drop(words.send(word));
        }
    }

    /// Keeps what is this run's.
    pub(super) fn note(&mut self, change: &Change) {
        match change {
            Change::Assigned(partitions) => self.assigned.extend(partitions),
            Change::Revoked(gone) | Change::Lost(gone) => {
                for partition in gone {
                    self.assigned.remove(partition);
                    self.again.remove(partition);
                }
            }
        }
    }

    /// A partition's lane is gone; others may have it.
    pub(super) fn released(&mut self, partition: u32) {
        if !self.assigned.contains(&partition) {
            self.say(Word::Released(partition));
        }
    }

    /// Another owner has a partition that the group gave to this run.
    pub(super) fn lost(&mut self, partition: u32, error: Error) -> Result<()> {
        let losses = self.lost.entry(partition).or_default();
        losses.retain(|at| at.elapsed() < SPAN);
        losses.push(Instant::now());
        if losses.len() >= LOSSES {
            return Err(Error::new(
                Kind::Fenced,
                format!(
                    "partition {partition} was lost {LOSSES} times within a minute, though the group gives it to this run: {}; another run of this pipeline is at work without the group, or under another one; end it",
                    error.message
                ),
            ));
        }
        let wait = BACK_OFF * 2_u32.pow(losses.len() as u32 - 1);
        if self.assigned.contains(&partition) {
            self.again.insert(partition, Instant::now() + wait);
        }
        Ok(())
    }

    /// Lost partitions whose time has come to be taken again.
    pub(super) fn due(&mut self) -> Vec<u32> {
        let now = Instant::now();
        let due: Vec<u32> = self
            .again
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(p, _)| *p)
            .collect();
        self.again.retain(|p, _| !due.contains(p));
        due
    }

    /// Tells the group what is decided, now and then.
    pub(super) fn commit(&self, books: &Books) {
        let mut last = self
            .committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.0.is_some_and(|at| at.elapsed() < COMMIT) {
            return;
        }
        last.0 = Some(Instant::now());
        let offsets = books.offsets();
        if offsets != last.1 && !offsets.is_empty() {
            last.1.clone_from(&offsets);
            self.say(Word::Commit(offsets));
        }
    }
}

impl Drop for Member {
    /// Says goodbye. The answer comes when the others have heard of it, which may take longer than a stop may.
    fn drop(&mut self) {
        self.words = None;
        let began = Instant::now();
        while !self.thread.is_finished() && began.elapsed() < GOODBYE {
            std::thread::sleep(POLL / 10);
        }
    }
}

/// The member's thread: until the run drops its end of the wire.
fn attend(mut group: Box<dyn Group>, told: &Receiver<Word>, to: &Sender<Message>) {
    loop {
        loop {
            let done = match told.try_recv() {
                Ok(Word::Released(partition)) => group.released(&[partition]),
                // Nothing depends on it; the next one says more.
                Ok(Word::Commit(offsets)) => {
                    drop(group.commit(&offsets));
                    Ok(())
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => break,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
            };
            if let Err(error) = done {
                drop(to.send(Message::Share(Err(error))));
                return;
            }
        }
        let change = match group.poll(POLL) {
            Ok(None) => continue,
            Ok(Some(change)) => Ok(change),
            Err(error) => Err(error),
        };
        let failed = change.is_err();
        if to.send(Message::Share(change)).is_err() || failed {
            return;
        }
    }
}

/// Looks at the ends of the log as long as it lives.
pub(super) struct Watch {
    pub(super) ends: Arc<Ends>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// A watch over a source that is a log; `None` where it is none.
    pub(super) fn start(source: &Arc<dyn Source>, is_log: bool) -> Result<Option<Watch>> {
        if !is_log {
            return Ok(None);
        }
        let (ends, over) = (Arc::new(Ends::default()), Arc::new(AtomicBool::new(false)));
        let (shown, until, source) = (ends.clone(), over.clone(), source.clone());
        // Not joined: a broker that does not answer keeps nobody waiting.
        runtime::spawn("watch", move || {
            while !until.load(Relaxed) {
                // One that fails is found out by the reader; lag stays as it was.
                if let Ok(seen) = source.ends() {
                    let mut ends = shown.lock().unwrap_or_else(PoisonError::into_inner);
                    *ends = seen.into_iter().collect();
                }
                let waited = Instant::now();
                while waited.elapsed() < LOOK && !until.load(Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        })?;
        Ok(Some(Watch { ends, over }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
    }
}
