//! Produce: readings into a topic, each exactly once, however often the load is broken off and run again.
//!
//! **Exact** (the default). Each file is a load of its own with the transactional id of topic *id* and stream (the
//! hash of the file's first 64 KiB, or `name`), so a second copy of the same load fences the first. Rows go out in
//! transactions of about a second, each with the position behind its last row as its last record, in the compacted
//! topic `progress_topic`, under the key `topic id/stream`. A run first reads that topic to its end and goes on behind
//! what is committed; a file that is there already is not sent again, a topic made anew has a new id.
//!
//! **The end of the progress topic** is its high watermark under read_uncommitted, taken after the transactional id is
//! ours; it is read under read_committed until past it. Another load's open transaction is waited for
//! (`progress_timeout`), never taken for the end.
//!
//! **A lost answer** to a commit or an abort: the producer is made anew (which settles the old transaction), and the
//! progress topic is asked again. Nothing is inferred.
//!
//! **Fast** (`mode = "fast"`): an idempotent producer, no transactions, no progress. A load that is broken off and run
//! again sends its rows again. A reader that knows the header counts each row once all the same.
//!
//! **The header** `wattline` of a message: 16 bytes that name the stream, 8 bytes (big endian) that rise from message
//! to message of that stream: with `json` the row in the file.
//!
//! | part | does |
//! |---|---|
//! | `options` | what may be asked |
//! | `target` | the topic: made or checked; record times against its limits |
//! | `feed` | files, tables, streams as packed messages with positions, made on the pool |
//! | `pack` | a table as messages |
//! | `progress` | what is committed already |
//! | `load`, `exact` | one load: transactions; its attempts until all is there once |
//! | `visible` | what was committed can be read |
//! | [`letters`] | dead letters: read, sent back |

mod exact;
mod feed;
pub mod letters;
mod load;
mod options;
mod pack;
mod progress;
mod target;
mod visible;

pub use options::{Mode, Options, Stamps};

use crate::kafka::{Config, Views};
use crate::ledger::Ledger;
use crate::pipeline::{Control, Handed, Outcome, Report};
use crate::reject::Reject;
use crate::{Error, Kind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// What loads share.
struct Job<'a> {
    options: &'a Options,
    config: Config,
    /// The endpoint as messages are sent to it.
    sends: Config,
    topic: target::Target,
    views: Views,
    /// Whether the feeds' times fit is looked at beside all that is asked of the cluster.
    times: target::Times,
    control: &'a Control,
}

/// What one load did.
#[derive(Default)]
struct Done {
    /// Counters of what this run sent.
    ledger: Ledger,
    rejects: Vec<Reject>,
    messages: u64,
    transactions: u64,
    positions: Vec<crate::flush::Position>,
    interrupted: bool,
    notes: Vec<String>,
}

/// Sends what `options` name, or the table or reader handed over, to the topic of a `kafka://` URL.
///
/// Errors: `Fenced` where another run of the same load took over, `Timeout` where another load's transaction does
/// not end, `Usage` where record times do not fit the topic's settings, `Endpoint`, and those of reading.
pub fn produce(
    url: &str,
    options: &Options,
    handed: Option<Handed>,
    control: &Arc<Control>,
) -> Result<Report> {
    let begun = Instant::now();
    options.check()?;
    let config = Config::parse(url)?;
    let (sends, packing) = pack::packing(config.clone(), options.codec);
    let views = Views::new(&config)?;
    let feeds: Vec<_> = feed::open(options, packing, handed)?
        .into_iter()
        .map(Arc::new)
        .collect();
    let topic = target::prepare(&views.committed, options)?;
    let source = feeds.iter().map(|f| f.describe()).collect::<Vec<_>>();
    let job = Job {
        times: target::Times::look(&topic, options, &feeds, control)?,
        sends: target::sends(sends, &topic, options.mode),
        options,
        config,
        topic,
        views,
        control,
    };
    control
        .total_bytes
        .store(feeds.iter().filter_map(|f| f.size()).sum(), Relaxed);
    control.begin();
    let mut all = Done::default();
    for feed in feeds {
        if all.interrupted || control.stopped() {
            all.interrupted = true;
            break;
        }
        all.add(load::run(&job, &feed)?);
    }
    if all.transactions > 0 && !all.interrupted {
        all.notes.extend(visible::wait(&job)?);
    }
    report(&job, all, &source, begun)
}

impl Done {
    fn add(&mut self, other: Done) {
        self.ledger.add(&other.ledger);
        self.rejects.extend(other.rejects);
        self.messages += other.messages;
        self.transactions += other.transactions;
        self.positions.extend(other.positions);
        self.interrupted |= other.interrupted;
        self.notes.extend(other.notes);
    }
}

fn report(job: &Job<'_>, done: Done, source: &[String], begun: Instant) -> Result<Report> {
    done.ledger.balance()?;
    let source = match source {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => String::new(),
    };
    Ok(Report {
        pipeline: format!("produce to {}", job.config.topic),
        outcome: match done.interrupted {
            true => Outcome::Interrupted,
            false => Outcome::Done,
        },
        totals: done.ledger.clone(),
        run: done.ledger,
        flushes: done.transactions,
        head: None,
        undecided: None,
        positions: done.positions,
        watermark: None,
        open_windows: 0,
        decisions: Vec::new(),
        partitions: Vec::new(),
        rejects: done.rejects,
        sinks: vec![(job.config.to_string(), done.messages)],
        source,
        elapsed: begun.elapsed(),
        stages: Default::default(),
        notes: done.notes,
    })
}

/// An error of this room.
fn usage(message: impl Into<String>) -> Error {
    Error::new(Kind::Usage, message)
}
