//! Parquet on a disk or S3: manifests decide, files are staged and published by rename or server-side copy.
//!
//! ```text
//! out/                              the table: what readers glob, whole files only
//!   grain=1h/part-0-3-17-1.parquet    final rows: partition, epoch and number of the last flush in it, k
//!   grain=1h/open-0.parquet           the windows of partition 0 that are open, replaced as a whole
//! out.wattline/                     beside the table, so that no glob over it finds anything else
//!   table.json                        whose table this is
//!   p0/lock                           the friendly part of fencing; on S3 `lease`
//!   p0/00000000000000000042           manifests (see `log`)
//!   p0/staged/                        files being written, without the .parquet ending
//! ```
//! **As home**, `decide` makes one manifest. Rows wait (in memory, and in the manifests; where they are many, encoded: see
//! `group`) until it is time to roll: by rows, bytes, seconds, or at the end. A flush that fills the roll is decided
//! together with it: the files are staged and synced first, the manifest names them, and their rows need not be in it.
//! `apply` renames them.
//! **As follower** only rolls make manifests; what waits is lost with the process, and the home still has it.
//!
//! **What may be deleted** (see `missing`): files of earlier publications, and a folder of a date as a whole. A table
//! whose folder is gone, or that lacks files of its newest publication, is refused as lost until it is restored or reset.
//!
//! After a crash the next owner makes a fence, ends the renames of the newest publication (those before it were ended
//! before it was decided), removes other staged files, and takes what waits from the manifests. A final window that is
//! corrected (`on_late = correct`) is refused unless `revisions = "append"`: then each revision is a row, and the newest is the one
//! with the greatest `revision`:
//! `SELECT * FROM t QUALIFY row_number() OVER (PARTITION BY sensor_id, grain, window_start ORDER BY revision DESC) = 1`.

#[cfg(not(feature = "cloud"))]
mod absent;
#[cfg(feature = "cloud")]
mod cloud;
mod disk;
mod encode;
mod fence;
mod group;
mod layout;
mod log;
mod missing;
mod part;
mod publish;
mod store;
mod stored;
mod table;
mod waiting;

#[cfg(not(feature = "cloud"))]
use absent as cloud;

use super::lock::Holder;
use super::{
    Applied, Claim, Decided, Home, Owned, Parquet, Revisions, Sink, SinkSpec, Tables, What, rows,
};
use crate::flush::{Flush, FlushId, Head};
use crate::{Error, Kind, Result};
use encode::Encoder;
use layout::Layout;
use log::Log;
use part::{Owner, Part};
use publish::Place;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::{Held, Hold, Store, Wants};
use waiting::Limits;

/// Of one of many partitions, a file is not closed for the memory that others take before this many bytes wait.
const LEAST_ROLL: u64 = 4 << 20;

/// A sink, and a home, in a folder of Parquet files.
pub(super) struct ParquetSink {
    spec: SinkSpec,
    at: Parquet,
    store: Arc<dyn Store>,
    /// The table's folder and the one beside it.
    table: PathBuf,
    state: PathBuf,
    ready: Option<Ready>,
    parts: BTreeMap<u32, Part>,
    /// Tells this follower's manifests from another's.
    token: String,
}

/// What `prepare` worked out.
#[derive(Clone)]
struct Ready {
    pipeline: String,
    layout: Layout,
    encoder: Encoder,
    /// Files that were lost are not looked for: the state is about to be dropped.
    anew: bool,
}

/// The folder to be read.
pub(super) fn stored(at: &Parquet) -> Result<stored::ParquetStored> {
    stored::ParquetStored::new(at)
}

impl ParquetSink {
    /// A sink at `at`; nothing is made yet. Errors: `Usage` where the folder has no name to put another beside.
    pub fn new(spec: &SinkSpec, at: &Parquet) -> Result<Self> {
        if !(1..=22).contains(&at.level) {
            return Err(Error::new(
                Kind::Usage,
                format!("level={} is no zstd level; give 1 to 22", at.level),
            ));
        }
        let mut table = match at.bucket() {
            Some(_) => at.path.clone(),
            None => std::path::absolute(&at.path).unwrap_or_else(|_| at.path.clone()),
        };
        if let Some(name) = &spec.table {
            table.push(name);
        }
        let bare = at.bucket().is_some() && at.prefix().is_empty() && spec.table.is_none();
        let state = beside(&table).filter(|_| !bare).ok_or_else(|| {
            let message = format!(
                "{} is no folder for a table; name one inside it",
                table.display()
            );
            Error::new(Kind::Usage, message)
        })?;
        Ok(ParquetSink {
            spec: spec.clone(),
            at: at.clone(),
            store: store::open(at)?,
            table,
            state,
            ready: None,
            parts: BTreeMap::new(),
            token: token(),
        })
    }

    fn dir(&self, partition: u32) -> PathBuf {
        self.state.join(format!("p{partition}"))
    }

    fn log(&self, partition: u32) -> Log {
        Log::new(self.dir(partition), self.store.clone())
    }

    /// What waits is bounded for all partitions together: beyond that those roll that hold their share of it.
    fn limits(&self) -> Limits {
        let (all, partitions) = (self.at.roll_bytes.max(1), self.parts.len().max(1) as u64);
        let waits: u64 = self.parts.values().map(Part::waits).sum();
        let share = (all / partitions).max(LEAST_ROLL.min(all));
        Limits {
            rows: self.at.roll_rows.max(1),
            bytes: if waits < all { all } else { share },
            wait: Duration::try_from_secs_f64(self.at.roll_seconds).unwrap_or(Duration::MAX),
        }
    }

    fn place(&self, partition: u32) -> Result<Place> {
        let ready = self.ready.clone().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "a Parquet sink was used before it was prepared",
            )
        })?;
        Ok(Place {
            store: self.store.clone(),
            table: self.table.clone(),
            staged: self.dir(partition).join("staged"),
            partition,
            layout: ready.layout,
            encoder: ready.encoder,
            anew: ready.anew,
        })
    }

    /// The partition with what waits in it.
    fn part(&mut self, partition: u32) -> Result<(&mut Part, Place, Limits)> {
        let (place, limits) = (self.place(partition)?, self.limits());
        let part = self
            .parts
            .get_mut(&partition)
            .ok_or_else(|| super::not_owned(&format!("partition {partition}")))?;
        part.load(&place)?;
        Ok((part, place, limits))
    }

    fn refuse_revisions(&self, flush: &Flush) -> Result<()> {
        let windows = self.spec.what == What::Windows && self.at.revisions == Revisions::Refuse;
        if windows && flush.windows.iter().any(|w| rows::any_revised(&w.rows)) {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "{} writes final windows once and a correction came; set revisions=\"append\", or on_late=\"side\"",
                    self.describe()
                ),
            ));
        }
        Ok(())
    }

    /// The sign of ownership for a claim, unless another holds it; `None`: taken over from one that does.
    fn sign(&self, claim: &Claim, holder: &Holder) -> Result<Option<Box<dyn Held>>> {
        let wants = Wants {
            token: &claim.token,
            holder,
            take_over: claim.take_over,
        };
        match self.store.hold(&self.dir(claim.partition), &wants)? {
            Hold::Ours(sign) => Ok(Some(sign)),
            Hold::TakenOver => Ok(None),
            Hold::Theirs(owner) => {
                let owner = owner.unwrap_or_else(|| "another process".into());
                let place = self.table.display().to_string();
                Err(super::fenced(&claim.pipeline, &place, &owner))
            }
        }
    }
}

/// `out.wattline` for `out`.
fn beside(table: &std::path::Path) -> Option<PathBuf> {
    let mut name = table.file_name()?.to_owned();
    name.push(".wattline");
    Some(table.with_file_name(name))
}

/// A word no other handle has.
fn token() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{}-{}-{count}",
        std::process::id(),
        now.unwrap_or_default().as_nanos()
    )
}

impl Sink for ParquetSink {
    fn describe(&self) -> String {
        match self.at.bucket() {
            Some(_) => self.table.display().to_string(),
            None => format!("parquet://{}", self.table.display()),
        }
    }

    fn what(&self) -> What {
        self.spec.what
    }

    fn prepare(&mut self, tables: &Tables) -> Result<()> {
        let tz = tables.tz.parse().map_err(|_| {
            let message = format!("{:?} is no time zone of the IANA list", tables.tz);
            Error::new(Kind::Usage, message)
        })?;
        let facts = table::Facts::new(&self.spec, &self.at, tables);
        if !tables.anew {
            table::not_lost(&self.store, &self.table, &self.state, &facts)?;
        }
        let holds = table::claim(&*self.store, &self.table, &self.state, &facts)?;
        let ours = super::rows::schema(self.spec.what, tables);
        self.ready = Some(Ready {
            pipeline: tables.pipeline.clone(),
            layout: Layout {
                what: self.spec.what,
                by: self.at.partition_by,
                tz,
                columns: holds.kept(&ours),
            },
            encoder: Encoder {
                level: self.at.level,
                facts: facts.metadata(),
            },
            anew: tables.anew,
        });
        Ok(())
    }

    fn inspect(&mut self, tables: &Tables) -> Result<()> {
        let facts = table::Facts::new(&self.spec, &self.at, tables);
        table::not_lost(&self.store, &self.table, &self.state, &facts)?;
        self.store.takes_files(&self.table)?;
        self.store.takes_files(&self.state)
    }

    fn concerns(&mut self, tables: &Tables) -> Result<Vec<String>> {
        let facts = table::Facts::new(&self.spec, &self.at, tables);
        let lacks = table::left_out(&*self.store, &self.state, &facts)?;
        Ok(match lacks.is_empty() {
            true => Vec::new(),
            false => vec![format!(
                "{} was begun without {} and goes on without; to have such columns, name another folder and another pipeline",
                self.table.display(),
                lacks.join(", ")
            )],
        })
    }

    fn applied(&mut self, partition: u32) -> Result<Option<Applied>> {
        if let Some(part) = self.parts.get(&partition) {
            return Ok(part.shown.clone());
        }
        let log = self.log(partition);
        match log.numbers()?.last() {
            Some(newest) => Ok(log.entry(*newest)?.shown),
            None => Ok(None),
        }
    }

    fn fence(&mut self, partition: u32, epoch: u64) -> Result<()> {
        if self
            .parts
            .get(&partition)
            .is_some_and(|p| p.home && p.epoch == epoch)
        {
            return Ok(());
        }
        let owner = Owner {
            token: self.token.clone(),
            name: format!("process {}", std::process::id()),
            epoch: Some(epoch),
        };
        self.store.make_folder(&self.dir(partition))?;
        let pipeline = self.ready.as_ref().map_or("", |r| r.pipeline.as_str());
        let part = Part::open(
            self.log(partition),
            owner,
            pipeline,
            &self.place(partition)?,
        )?;
        self.parts.insert(partition, part);
        Ok(())
    }

    fn apply(&mut self, flush: &Flush) -> Result<()> {
        self.refuse_revisions(flush)?;
        let name = self.describe();
        let (part, place, limits) = self.part(flush.partition)?;
        part.apply(&name, flush, &place, &limits)
    }

    fn finish(&mut self) -> Result<()> {
        let partitions: Vec<u32> = self.parts.keys().copied().collect();
        for partition in partitions {
            let (part, place, _) = self.part(partition)?;
            part.finish(&place)?;
        }
        Ok(())
    }

    fn leave(&mut self, partition: u32) -> Result<()> {
        if self.parts.contains_key(&partition) {
            let (part, place, _) = self.part(partition)?;
            part.finish(&place)?;
        }
        Ok(())
    }

    fn roll(&mut self, partition: u32) -> Result<()> {
        if self.parts.contains_key(&partition) {
            let (part, place, limits) = self.part(partition)?;
            part.roll_due(&place, &limits)?;
        }
        Ok(())
    }

    fn corrects(&self) -> bool {
        self.at.revisions == Revisions::Append
    }
}

impl Home for ParquetSink {
    /// What this home needs to show its own rows it keeps itself: in its manifests, or staged.
    fn decides_rows(&self) -> bool {
        true
    }

    fn acquire(&mut self, claim: &Claim) -> Result<Owned> {
        self.store.make_folder(&self.dir(claim.partition))?;
        let holder = Holder::now(&claim.owner, &claim.pipeline);
        let sign = self.sign(claim, &holder)?;
        let owner = Owner {
            token: claim.token.clone(),
            name: holder.describe(),
            epoch: None,
        };
        let place = self.place(claim.partition)?;
        let log = self.log(claim.partition);
        let opened = Part::open(log, owner, &claim.pipeline, &place);
        let (owned, mut part) = match opened.and_then(|part| Ok((part.owned()?, part))) {
            Ok(opened) => opened,
            Err(e) => {
                sign.into_iter().for_each(|sign| sign.release());
                return Err(e);
            }
        };
        part.own(holder, sign);
        self.parts.insert(claim.partition, part);
        Ok(owned)
    }

    fn decide(&mut self, head: &Head, flush: &Flush, keep_effects: bool) -> Result<Decided> {
        self.refuse_revisions(flush)?;
        let name = self.describe();
        let (part, place, limits) = self.part(head.partition)?;
        part.decide(&name, (head, flush, keep_effects), &place, &limits)
    }

    fn settle(&mut self, head: &Head) -> Result<Option<Decided>> {
        let (part, place, _) = self.part(head.partition)?;
        let settled = part.settle(&place)?;
        Ok(settled.or_else(|| part.is_head(head).then_some(Decided::Yes)))
    }

    fn prune(&mut self, partition: u32, upto: FlushId) -> Result<()> {
        let (part, _, _) = self.part(partition)?;
        part.prune(upto.n)
    }

    /// Takes the sign of ownership where a run that hung let go of it at last.
    fn renew(&mut self, partition: u32) -> Result<()> {
        let (store, folder) = (self.store.clone(), self.dir(partition));
        self.parts
            .get_mut(&partition)
            .map_or(Ok(()), |p| p.renew(&*store, &folder))
    }

    fn release(&mut self, partition: u32) -> Result<()> {
        if let Some(part) = self.parts.remove(&partition) {
            part.release();
        }
        Ok(())
    }

    fn look(&mut self, pipeline: &str, partition: u32) -> Result<Option<Owned>> {
        let log = self.log(partition);
        let Some(newest) = log.numbers()?.last().copied() else {
            return Ok(None);
        };
        let entry = log.entry(newest)?;
        match &entry.head {
            Some(head) if head.pipeline == pipeline => fence::recover(&log, &entry).map(Some),
            _ => Ok(None),
        }
    }
}
