//! SQLite: the embedded default. As home, one IMMEDIATE transaction checks the epoch, upserts the rows,
//! stores the record and moves the head; as follower, one checks what is applied, upserts and notes it.
//!
//! Times are text, `2007-01-01 00:00:00` in UTC: they sort as they are, SQLite's date functions
//! take them, and a person can read them. A fraction of a second is kept, six digits, where there is one.
//!
//! One process a file: a home holds a lock on `<file>.wattline-lock` while it owns a partition. The journal is a
//! write-ahead log, which needs a local file system; readers are never blocked.

mod block;
mod describe;
mod failure;
mod feed;
mod guard;
mod store;
mod stored;
mod write;

use super::lock::{self, FileLock, Holder, Taken};
use super::mapping::Mapping;
use super::{
    Applied, Claim, Decided, Home, Owned, Sink, SinkSpec, Sqlite, Synchronous, Tables, What, rows,
};
use crate::flush::{Flush, FlushId, Head};
use crate::{Error, Kind, Result, faults};
use failure::Settled;
use feed::Feed;
use guard::Guarded;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{Belongs, Step};
use write::Writer;

/// A sink, and a home, in an SQLite file.
pub(super) struct SqliteSink {
    spec: SinkSpec,
    at: Sqlite,
    conn: Option<Guarded>,
    ready: Option<Ready>,
    /// Epoch and lock of each partition this home owns.
    owned: BTreeMap<u32, Ownership>,
    /// The epoch this handle applies for, by partition.
    applies: BTreeMap<u32, u64>,
    same_time: u64,
    feed: Feed,
}

/// What `prepare` worked out.
struct Ready {
    pipeline: String,
    tz: String,
    table: String,
    one_sensor: bool,
    writer: Writer,
}

struct Ownership {
    pipeline: String,
    holder: Holder,
    token: String,
    lock: Option<Arc<FileLock>>,
}

/// The file to be read.
pub(super) fn stored(at: &Sqlite) -> Result<stored::SqliteStored> {
    stored::SqliteStored::new(at)
}

impl SqliteSink {
    /// A sink at `at`; nothing is opened yet.
    pub fn new(spec: &SinkSpec, at: &Sqlite) -> Self {
        SqliteSink {
            spec: spec.clone(),
            at: at.clone(),
            conn: None,
            ready: None,
            owned: BTreeMap::new(),
            applies: BTreeMap::new(),
            same_time: 0,
            feed: Feed::default(),
        }
    }

    fn folder(&self) -> PathBuf {
        let path = std::path::absolute(&self.at.path).unwrap_or_else(|_| self.at.path.clone());
        path.parent().map_or(path.clone(), PathBuf::from)
    }

    fn lock_path(&self) -> PathBuf {
        let mut name = self.at.path.clone().into_os_string();
        name.push(".wattline-lock");
        name.into()
    }

    /// Opens the file once and sets it up.
    fn open(&mut self) -> Result<()> {
        if self.conn.is_some() {
            return Ok(());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = failure::patiently(self.patience(), || {
            Guarded::open(&self.at.path, self.patience(), || {
                let conn = Connection::open_with_flags(&self.at.path, flags)?;
                self.set_up(&conn)?;
                Ok(conn)
            })
        });
        self.conn = Some(opened.map_err(|e| failure::said(&self.at.path, e))?);
        Ok(())
    }

    /// How long another program's lock is waited for.
    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.at.busy_timeout.clamp(0.0, 1e6))
    }

    fn set_up(&self, conn: &Connection) -> rusqlite::Result<()> {
        self.feed.register(conn)?;
        conn.busy_timeout(self.patience())?;
        conn.set_prepared_statement_cache_capacity(64);
        // Larger pages for a file that is new: window rows have many columns. One that is there keeps its own.
        conn.pragma_update(None, "page_size", 16_384)?;
        conn.pragma_update(None, "journal_mode", "wal")?;
        let synchronous = match self.at.synchronous {
            Synchronous::Full => "full",
            Synchronous::Normal => "normal",
            Synchronous::Off => "off",
        };
        conn.pragma_update(None, "synchronous", synchronous)?;
        // 16 MiB: a flush's pages stay in memory until it is decided.
        conn.pragma_update(None, "cache_size", -16_384)?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    }

    /// Runs `work` in one transaction. Whatever fails before the commit leaves nothing behind.
    fn transact<T>(&mut self, work: impl FnOnce(&Connection) -> Step<T>) -> Result<Settled<T>> {
        self.open()?;
        let Some(conn) = &self.conn else {
            return Err(Error::new(Kind::Internal, "an SQLite file is not open"));
        };
        conn.pace(self.patience())
            .map_err(|e| failure::said(&self.at.path, e))?;
        failure::transact(conn, &self.at.path, work)
    }

    /// The same where an unclear end is an error like any other: the caller repeats the call.
    fn transact_or_fail<T>(&mut self, work: impl FnOnce(&Connection) -> Step<T>) -> Result<T> {
        match self.transact(work)? {
            Settled::Done(value) => Ok(value),
            Settled::Unclear(e) => Err(e),
        }
    }

    fn ready(&self) -> Result<&Ready> {
        self.ready.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "an SQLite sink was used before it was prepared",
            )
        })
    }

    fn table(&self) -> Result<String> {
        let named = self.spec.table.clone();
        let table = named.unwrap_or_else(|| rows::table_name(self.spec.what).into());
        rows::refuse_own_name(&table, &["wattline_", "sqlite_"])?;
        Ok(table)
    }

    fn check_and_make(&self, conn: &Connection, tables: &Tables) -> Step<Ready> {
        store::make(conn)?;
        let table = self.table()?;
        let theirs = describe::table(conn, &table)?;
        if theirs.is_none() && !tables.anew {
            self.not_lost(conn, &table, tables)?;
        }
        let mapping = Mapping::resolve(&self.spec, tables, theirs.as_ref(), describe::declared)?;
        let one_sensor = mapping.one_sensor;
        let writer = Writer::new(mapping, self.spec.what, self.feed.clone());
        if theirs.is_none() {
            conn.execute_batch(&writer.create())?;
        }
        let ours = Belongs {
            what: rows::table_name(self.spec.what).into(),
            pipeline: tables.pipeline.clone(),
            tz: tables.tz.clone(),
            sensor: None,
        };
        self.whose(conn, &table, ours)?;
        Ok(Ready {
            pipeline: tables.pipeline.clone(),
            tz: tables.tz.clone(),
            table,
            one_sensor,
            writer,
        })
    }

    /// A table that is not there must never have been.
    fn not_lost(&self, conn: &Connection, table: &str, tables: &Tables) -> Step<()> {
        if !store::ever_shown(conn, &tables.pipeline, table)? {
            return Ok(());
        }
        let name = format!("table {table:?} of {}", self.spec.endpoint);
        Err(super::lost::gone(&name, &tables.pipeline).into())
    }

    /// Notes whose the table is, or refuses one of another pipeline, zone or kind.
    fn whose(&self, conn: &Connection, table: &str, ours: Belongs) -> Step<()> {
        let Some(has) = store::belongs(conn, table)? else {
            return store::claim_table(conn, table, &ours);
        };
        let name = format!("table {table:?} of {}", self.spec.endpoint);
        rows::same_owner(&name, (&has.pipeline, &has.tz), (&ours.pipeline, &ours.tz))?;
        if has.what != ours.what {
            let why = format!(
                "{name} holds {}, not {}; name another with table=, or ?table= behind its URL or path",
                has.what, ours.what
            );
            return Err(Error::new(Kind::Usage, why).into());
        }
        Ok(())
    }
}

impl Ready {
    fn at(&self, partition: u32) -> (&str, u32, &str) {
        (&self.pipeline, partition, &self.table)
    }

    /// Writes the rows of a flush and notes that they are shown.
    fn write(&self, conn: &Connection, what: What, flush: &Flush) -> Step<u64> {
        let mut taken = 0;
        for (_, batch) in rows::batches(what, flush)? {
            if self.one_sensor {
                self.only_sensor(conn, what, &batch)?;
            }
            taken += self
                .writer
                .write(conn, &batch)?
                .map_err(|e| failure::row(&self.table, e))?;
        }
        store::shows(conn, self.at(flush.partition), flush)?;
        Ok(taken)
    }

    /// A key that does not tell sensors apart holds for one sensor, for good.
    fn only_sensor(
        &self,
        conn: &Connection,
        what: What,
        batch: &arrow_array::RecordBatch,
    ) -> Step<()> {
        let known = store::belongs(conn, &self.table)?.and_then(|b| b.sensor);
        let one = rows::only_sensor(&self.table, batch, known.as_deref())?;
        if known.is_none() {
            let belongs = Belongs {
                what: rows::table_name(what).into(),
                pipeline: self.pipeline.clone(),
                tz: self.tz.clone(),
                sensor: Some(one),
            };
            store::claim_table(conn, &self.table, &belongs)?;
        }
        Ok(())
    }

    /// Applies a flush decided elsewhere, once.
    fn apply(&self, conn: &Connection, what: What, flush: &Flush, epoch: u64) -> Step<u64> {
        let at = self.at(flush.partition);
        let (newest, applied) = store::applied(conn, at.0, at.1, at.2)?;
        if epoch < newest && !faults::broken("no_epoch") {
            return Err(super::fenced(at.0, at.2, "a newer run").into());
        }
        if let Some(head) = store::stored(conn, at.0, at.1)?.and_then(|s| s.head)
            && head.lineage != flush.lineage
        {
            return Err(super::home_changed(&self.table).into());
        }
        match super::next_step(&self.table, applied.as_ref(), flush)? {
            super::Next::Nothing => Ok(0),
            super::Next::Write => self.write(conn, what, flush),
        }
    }
}

impl Sink for SqliteSink {
    fn describe(&self) -> String {
        self.spec.endpoint.to_string()
    }

    fn what(&self) -> What {
        self.spec.what
    }

    fn inspect(&mut self, tables: &Tables) -> Result<()> {
        let table = self.table()?;
        let mut theirs = None;
        // The log and the lock stand beside the file.
        super::folder::takes_files(&self.folder(), false)?;
        if self.conn.is_some() || self.at.path.exists() {
            self.open()?;
            let found = self.conn.as_ref().map(|conn| describe::table(conn, &table));
            let found = found
                .transpose()
                .map_err(|e| failure::said(&self.at.path, e))?;
            theirs = found.flatten();
            if let (Some(conn), None) = (&self.conn, &theirs) {
                let looked = self.not_lost(conn, &table, tables);
                looked.map_err(|e| failure::failed(&self.at.path, e))?;
            }
        }
        Mapping::resolve(&self.spec, tables, theirs.as_ref(), describe::declared).map(drop)
    }

    fn prepare(&mut self, tables: &Tables) -> Result<()> {
        self.open()?;
        let conn = self.conn.take();
        let made = match &conn {
            Some(conn) => conn
                .pace(self.patience())
                .map_err(|e| failure::said(&self.at.path, e))
                .and_then(|()| {
                    failure::transact(conn, &self.at.path, |c| self.check_and_make(c, tables))
                }),
            None => return Err(Error::new(Kind::Internal, "an SQLite file is not open")),
        };
        self.conn = conn;
        match made? {
            Settled::Done(ready) => self.ready = Some(ready),
            Settled::Unclear(e) => return Err(e),
        }
        Ok(())
    }

    fn not_emptied(&mut self, pipeline: &str) -> Result<()> {
        let (Some(conn), ready) = (&self.conn, self.ready()?) else {
            return Ok(());
        };
        let read = || Ok(store::is_empty(conn, &ready.table)?);
        match read().map_err(|e| failure::failed(&self.at.path, e))? {
            false => Ok(()),
            true => {
                let name = format!("table {:?} of {}", ready.table, self.spec.endpoint);
                Err(super::lost::emptied(&name, pipeline))
            }
        }
    }

    fn applied(&mut self, partition: u32) -> Result<Option<Applied>> {
        self.open()?;
        let (Some(conn), ready) = (&self.conn, self.ready()?) else {
            return Ok(None);
        };
        let at = ready.at(partition);
        let found = store::applied(conn, at.0, at.1, at.2);
        Ok(found.map_err(|e| failure::failed(&self.at.path, e))?.1)
    }

    fn fence(&mut self, partition: u32, epoch: u64) -> Result<()> {
        self.applies.insert(partition, epoch);
        let ready = self.ready()?;
        let (pipeline, table) = (ready.pipeline.clone(), ready.table.clone());
        self.transact_or_fail(|conn| store::fence(conn, (&pipeline, partition, &table), epoch))
    }

    fn apply(&mut self, flush: &Flush) -> Result<()> {
        let epoch = self.applies.get(&flush.partition).copied().unwrap_or(0);
        let ready = self.take_ready()?;
        let what = self.spec.what;
        let done = self.transact_or_fail(|conn| ready.apply(conn, what, flush, epoch));
        self.ready = Some(ready);
        self.same_time += done?;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let Some(conn) = self.conn.take() else {
            return Ok(());
        };
        // The last connection folds the log into the file; what fails here is done at the next opening.
        drop(conn);
        Ok(())
    }

    fn same_time(&self) -> u64 {
        self.same_time
    }
}

impl SqliteSink {
    fn take_ready(&mut self) -> Result<Ready> {
        self.ready()?;
        self.ready
            .take()
            .ok_or_else(|| Error::new(Kind::Internal, "an SQLite sink is not prepared"))
    }

    /// The lock for a claim, unless another holds it; `None`: taken over from one that does.
    fn lock(&self, claim: &Claim, holder: &Holder) -> Result<Option<Arc<FileLock>>> {
        let path = self.lock_path();
        match lock::take(&path, &claim.token, holder)? {
            Taken::Ours(lock) => Ok(Some(lock)),
            Taken::Theirs(_) if claim.take_over => {
                lock::note_taken_over(&path, holder);
                Ok(None)
            }
            Taken::Theirs(owner) => {
                let owner = owner.map_or("another process".into(), |o| o.describe());
                let place = self.at.path.display().to_string();
                Err(super::fenced(&claim.pipeline, &place, &owner))
            }
        }
    }

    /// The decision, inside its transaction.
    fn decide_in(
        conn: &Connection,
        ready: &Ready,
        what: What,
        d: &Deciding<'_>,
    ) -> Step<(Decided, u64)> {
        let head = d.head;
        let Some(stored) = store::stored(conn, &head.pipeline, head.partition)? else {
            return Err(super::not_owned(&head.pipeline).into());
        };
        let newest = stored.head.as_ref();
        if newest.is_some_and(|h| h.id == head.id && h.token == head.token) {
            return Ok((Decided::Yes, 0));
        }
        let stale = stored.epoch != head.id.epoch && !faults::broken("no_epoch");
        if stale || (stored.n + 1 != head.id.n && !faults::broken("no_epoch")) {
            return Ok((Decided::Fenced(stored.owner), 0));
        }
        let at = ready.at(head.partition);
        let (_, applied) = store::applied(conn, at.0, at.1, at.2)?;
        if !faults::broken("no_epoch") {
            super::next_step(&ready.table, applied.as_ref(), d.flush)?;
        }
        let taken = ready.write(conn, what, d.flush)?;
        store::put(conn, head, d.record, d.effects)?;
        Ok((Decided::Yes, taken))
    }
}

struct Deciding<'a> {
    head: &'a Head,
    flush: &'a Flush,
    record: &'a [u8],
    effects: Option<&'a [u8]>,
}

impl Home for SqliteSink {
    fn decides_rows(&self) -> bool {
        true
    }

    fn acquire(&mut self, claim: &Claim) -> Result<Owned> {
        self.open()?;
        let holder = Holder::now(&claim.owner, &claim.pipeline);
        let lock = self.lock(claim, &holder)?;
        let owned = self.transact_or_fail(|conn| {
            store::make(conn)?;
            let (epoch, head) = store::take_epoch(conn, claim)?;
            store::owned(conn, epoch, head, (&claim.pipeline, claim.partition))
        })?;
        let ownership = Ownership {
            pipeline: claim.pipeline.clone(),
            token: claim.token.clone(),
            holder,
            lock,
        };
        self.owned.insert(claim.partition, ownership);
        self.applies.insert(claim.partition, owned.epoch);
        Ok(owned)
    }

    fn decide(&mut self, head: &Head, flush: &Flush, keep_effects: bool) -> Result<Decided> {
        let record = flush.encode_state()?;
        let effects = match keep_effects {
            true => Some(super::effects_only(flush).encode()?),
            false => None,
        };
        if faults::broken("in_place") {
            self.transact_or_fail(|conn| store::overwrite_newest(conn, head, &record))?;
        }
        let deciding = Deciding {
            head,
            flush,
            record: &record,
            effects: effects.as_deref(),
        };
        let ready = self.take_ready()?;
        let what = self.spec.what;
        let settled = self.transact(|conn| Self::decide_in(conn, &ready, what, &deciding));
        self.ready = Some(ready);
        match settled? {
            Settled::Done((decided, taken)) => {
                self.same_time += taken;
                Ok(decided)
            }
            // Reading back settles it at once where the file can still be read.
            Settled::Unclear(e) => match self.settle(head) {
                Ok(Some(decided)) => Ok(decided),
                Ok(None) => Err(e),
                Err(_) => Ok(Decided::Unclear(e.message)),
            },
        }
    }

    fn prune(&mut self, partition: u32, upto: FlushId) -> Result<()> {
        let pipeline = self.pipeline(partition)?;
        self.transact_or_fail(|conn| store::prune(conn, &pipeline, partition, upto.n))
    }

    /// Takes the lock where a run that hung let go of it at last.
    fn renew(&mut self, partition: u32) -> Result<()> {
        let path = self.lock_path();
        if let Some(own) = self.owned.get_mut(&partition)
            && own.lock.is_none()
            && let Taken::Ours(lock) = lock::take(&path, &own.token, &own.holder)?
        {
            own.lock = Some(lock);
        }
        Ok(())
    }

    fn release(&mut self, partition: u32) -> Result<()> {
        self.owned.remove(&partition);
        Ok(())
    }

    fn look(&mut self, pipeline: &str, partition: u32) -> Result<Option<Owned>> {
        if self.conn.is_none() && !self.at.path.exists() {
            return Ok(None);
        }
        self.open()?;
        let Some(conn) = &self.conn else {
            return Ok(None);
        };
        let read = || -> Step<Option<Owned>> {
            if !store::has_tables(conn)? {
                return Ok(None);
            }
            store::make(conn)?;
            match store::stored(conn, pipeline, partition)? {
                Some(s) if s.head.is_some() => {
                    store::owned(conn, s.epoch, s.head, (pipeline, partition)).map(Some)
                }
                _ => Ok(None),
            }
        };
        read().map_err(|e| failure::failed(&self.at.path, e))
    }
}

impl SqliteSink {
    fn pipeline(&self, partition: u32) -> Result<String> {
        let own = self.owned.get(&partition);
        own.map(|o| o.pipeline.clone())
            .ok_or_else(|| super::not_owned(&format!("partition {partition}")))
    }
}
