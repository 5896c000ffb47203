//! PostgreSQL: one transaction decides. As home, it holds the rows, the record and the head; as follower, the
//! rows and what they show.
//!
//! Rows go by binary COPY: straight into the table where each is new (readings, late, rejects), else
//! into a temporary table before any lock is taken, and from there with `INSERT ... ON CONFLICT`, which leaves rows
//! that are the same already alone. The head row is locked from the check of the epoch to the commit.
//!
//! **Owners.** The head names the owner's server session. While it is there the owner counts as alive, and a
//! session goes with its process, or within a minute with its host. `take_over` ends the session first, so
//! that a frozen owner holds no lock and cannot commit. What keeps a stale owner out is the epoch, checked under the lock.
//!
//! **Lost connections.** A step is tried again on a new connection, with growing pauses, for `retry_for`. The
//! backend of the broken one is ended and waited for first: it can commit after its client gave up. A lost answer
//! to COMMIT is settled by reading the head.
//!
//! **Types.** Instants are `timestamptz`; in an existing table also `timestamp` (UTC) and `date` (a local
//! midnight of the pipeline's zone). What an existing column cannot hold without change is refused.
//!
//! A pooler that hands out a session for a transaction only (pgbouncer's transaction mode) does not carry this:
//! the session is the sign of life. Connect to the server itself, or use the pooler's session mode.

mod config;
mod copy;
mod describe;
mod failure;
mod home;
mod session;
mod store;
mod stored;
mod write;

use super::mapping::Mapping;
use super::{Applied, Home, Postgres, Sink, SinkSpec, Tables, What, rows};
use crate::flush::Flush;
use crate::{Error, Kind, Result, faults};
use arrow_array::RecordBatch;
use failure::{Failed, Step};
use home::Ownership;
use session::{Line, Session};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use store::Belongs;
pub(super) use stored::stored;
use write::Writer;

/// The first pause before a step is tried again; each next one is twice as long, up to [`LONGEST`].
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Opens a sink, and a home, at `at`; nothing is connected yet.
pub(super) fn open(spec: &SinkSpec, at: &Postgres) -> Result<Box<dyn Home>> {
    Ok(Box::new(PostgresSink {
        spec: spec.clone(),
        place: at.to_string(),
        line: Line::new(at),
        ready: None,
        owned: BTreeMap::new(),
        applies: BTreeMap::new(),
        same_time: 0,
    }))
}

/// A sink, and a home, in a PostgreSQL database.
struct PostgresSink {
    spec: SinkSpec,
    place: String,
    line: Line,
    ready: Option<Ready>,
    /// What this home owns, by partition.
    owned: BTreeMap<u32, Ownership>,
    /// The epoch this handle applies for, by partition.
    applies: BTreeMap<u32, u64>,
    same_time: u64,
}

/// What `prepare` worked out.
struct Ready {
    pipeline: String,
    tz: String,
    table: String,
    what: What,
    one_sensor: bool,
    writer: Writer,
}

impl PostgresSink {
    /// Runs a step, and again on a new connection where that can help. A step must be one transaction, or
    /// change nothing when repeated.
    fn attempt<T>(&mut self, work: impl AsyncFn(&Session) -> Step<T>) -> Result<T> {
        let limit = Duration::from_secs_f64(self.line.at.retry_for.clamp(0.0, 1e6));
        let (began, mut pause) = (Instant::now(), PAUSE);
        loop {
            let failed = match self.session() {
                Ok(session) => match session.wait(work(session)) {
                    Ok(value) => return Ok(value),
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            let again = self.note(&failed);
            if !again || began.elapsed() + pause > limit {
                return Err(failure::failed(&self.place, failed));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Whether a step that failed is worth another try; a connection that is gone is forgotten.
    fn note(&mut self, failed: &Failed) -> bool {
        let Failed::Sql(e) = failed else { return false };
        if failure::lost(e) {
            self.line.lose();
            // A server that never answered is told to the user at once.
            return self.line.is_broken() && failure::passes(e);
        }
        self.line.is_open() && failure::passes(e)
    }

    /// The open connection. A new one is named in the heads that this home owns.
    fn session(&mut self) -> Step<&Session> {
        let (session, fresh) = self.line.open()?;
        if fresh {
            for (partition, own) in &self.owned {
                let at = (own.pipeline.as_str(), *partition);
                let told = store::announce(session, at, &own.token, Some(&session.backend));
                session.wait(told)?;
            }
        }
        Ok(session)
    }

    fn table(&self) -> String {
        let named = self.spec.table.clone();
        named.unwrap_or_else(|| rows::table_name(self.spec.what).into())
    }

    /// Takes out what `prepare` made, while a step borrows the rest.
    fn with_ready<T>(&mut self, work: impl FnOnce(&mut Self, &Ready) -> Result<T>) -> Result<T> {
        let ready = self.ready.take().ok_or_else(unprepared)?;
        let done = work(self, &ready);
        self.ready = Some(ready);
        done
    }

    /// Looks at the table and this user's rights, and works out how rows get in. `make`: makes what is missing.
    fn examine(&mut self, tables: &Tables, make: bool) -> Result<Ready> {
        let (spec, table) = (self.spec.clone(), self.table());
        rows::refuse_own_name(&table, &["wattline_", "pg_"])?;
        if table.contains('.') && spec.columns.is_none() {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "table={table:?}: name the schema with schema= of the endpoint, and the table alone here"
                ),
            ));
        }
        let place = self.place.clone();
        self.attempt(async |session| {
            failure::transact_or_fail(session, async || {
                prepared(session, &spec, &place, &table, tables, make).await
            })
            .await
        })
    }
}

fn unprepared() -> Error {
    Error::new(
        Kind::Internal,
        "a PostgreSQL sink was used before it was prepared",
    )
}

async fn prepared(
    session: &Session,
    spec: &SinkSpec,
    place: &str,
    table: &str,
    tables: &Tables,
    make: bool,
) -> Step<Ready> {
    let mut found = describe::table(session, table).await?;
    if make && found.is_none() {
        // Workers of a group begin at once: one makes the table, the others find it.
        store::one_at_a_time(session).await?;
        found = describe::table(session, table).await?;
    }
    let known = store::has_tables(session).await?;
    if found.is_none()
        && known
        && !tables.anew
        && store::ever_shown(session, &tables.pipeline, table).await?
    {
        let name = format!("table {table:?} of {place}");
        return Err(super::lost::gone(&name, &tables.pipeline).into());
    }
    let theirs = found.as_ref().map(|f| &f.theirs);
    let mapping = Mapping::resolve(spec, tables, theirs, describe::declared)?;
    let one_sensor = mapping.one_sensor;
    let writer = Writer::new(mapping, spec.what, found.as_ref(), write::zone(&tables.tz)?);
    let create = found.is_none().then(|| writer.create(session));
    describe::privileges(session, table, &writer.names(), create.as_deref()).await?;
    let ready = Ready {
        pipeline: tables.pipeline.clone(),
        tz: tables.tz.clone(),
        table: table.to_owned(),
        what: spec.what,
        one_sensor,
        writer,
    };
    if make {
        store::make(session).await?;
        if let Some(create) = create {
            session.client.batch_execute(&create).await?;
        }
    } else if known {
        store::check_format(session).await?;
    }
    if make || known {
        ready.whose(session, place, make).await?;
    }
    Ok(ready)
}

impl Ready {
    fn at(&self, partition: u32) -> store::Place<'_> {
        (&self.pipeline, partition, &self.table)
    }

    /// Notes whose the table is, or refuses one of another pipeline, zone or kind.
    async fn whose(&self, session: &Session, place: &str, note: bool) -> Step<()> {
        let ours = self.belongs(None);
        let Some(has) = store::belongs(session, &self.table).await? else {
            return match note {
                true => store::claim_table(session, &self.table, &ours).await,
                false => Ok(()),
            };
        };
        let name = format!("table {:?} of {place}", self.table);
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

    fn belongs(&self, sensor: Option<String>) -> Belongs {
        Belongs {
            what: rows::table_name(self.what).into(),
            pipeline: self.pipeline.clone(),
            tz: self.tz.clone(),
            sensor,
        }
    }

    /// The rows of a flush.
    fn batches(&self, flush: &Flush) -> Result<Vec<RecordBatch>> {
        let named = rows::batches(self.what, flush)?;
        Ok(named.into_iter().map(|(_, rows)| rows).collect())
    }

    /// Sends rows ahead, before anything is locked.
    async fn stage(&self, session: &Session, batches: &[RecordBatch]) -> Step<()> {
        match batches.is_empty() || self.writer.is_straight() {
            true => Ok(()),
            false => self.writer.stage(session, batches).await,
        }
    }

    /// Writes the rows of a flush and notes that they are shown.
    async fn write(&self, session: &Session, flush: &Flush, batches: &[RecordBatch]) -> Step<u64> {
        if self.one_sensor {
            self.only_sensor(session, batches).await?;
        }
        let taken = self.writer.write(session, batches).await?;
        store::shows(session, self.at(flush.partition), flush).await?;
        Ok(taken)
    }

    /// A key that does not tell sensors apart holds for one sensor, for good.
    async fn only_sensor(&self, session: &Session, batches: &[RecordBatch]) -> Step<()> {
        let known = store::belongs(session, &self.table).await?;
        let known = known.and_then(|b| b.sensor);
        let mut one = known.clone();
        for batch in batches {
            one = Some(rows::only_sensor(&self.table, batch, one.as_deref())?);
        }
        if known.is_none() && one.is_some() {
            store::claim_table(session, &self.table, &self.belongs(one)).await?;
        }
        Ok(())
    }

    /// Applies a flush decided elsewhere, once.
    async fn apply(
        &self,
        session: &Session,
        flush: &Flush,
        batches: &[RecordBatch],
        epoch: u64,
    ) -> Step<u64> {
        self.stage(session, batches).await?;
        let at = self.at(flush.partition);
        let shown = store::shown(session, at, true).await?;
        if epoch < shown.fence && !faults::broken("no_epoch") {
            return Err(super::fenced(at.0, at.2, "a newer run").into());
        }
        let stored = store::stored(session, (at.0, at.1), false).await?;
        if let Some(head) = stored.and_then(|s| s.head)
            && head.lineage != flush.lineage
        {
            return Err(super::home_changed(&self.table).into());
        }
        match super::next_step(&self.table, shown.applied.as_ref(), flush)? {
            super::Next::Nothing => Ok(0),
            super::Next::Write => self.write(session, flush, batches).await,
        }
    }
}

impl Sink for PostgresSink {
    fn describe(&self) -> String {
        self.place.clone()
    }

    fn what(&self) -> What {
        self.spec.what
    }

    fn inspect(&mut self, tables: &Tables) -> Result<()> {
        self.examine(tables, false).map(drop)
    }

    fn prepare(&mut self, tables: &Tables) -> Result<()> {
        self.ready = Some(self.examine(tables, true)?);
        Ok(())
    }

    fn not_emptied(&mut self, pipeline: &str) -> Result<()> {
        self.with_ready(|sink, ready| {
            let table = &ready.table;
            match sink.attempt(async |session| store::is_empty(session, table).await)? {
                false => Ok(()),
                true => {
                    let name = format!("table {table:?} of {}", sink.place);
                    Err(super::lost::emptied(&name, pipeline))
                }
            }
        })
    }

    fn applied(&mut self, partition: u32) -> Result<Option<Applied>> {
        self.with_ready(|sink, ready| {
            let shown = sink.attempt(async |s| store::shown(s, ready.at(partition), false).await);
            Ok(shown?.applied)
        })
    }

    fn fence(&mut self, partition: u32, epoch: u64) -> Result<()> {
        self.applies.insert(partition, epoch);
        let place = self.place.clone();
        self.with_ready(|sink, ready| {
            sink.attempt(async |session| {
                let at = ready.at(partition);
                let before = store::shown(session, at, false).await?;
                // A session of an older epoch may hang in the middle of a flush, with its locks.
                if let Some(old) = before.backend.filter(|_| before.fence < epoch) {
                    session.end(&old, &place).await?;
                }
                store::fence(session, at, epoch).await
            })
        })
    }

    fn apply(&mut self, flush: &Flush) -> Result<()> {
        let epoch = self.applies.get(&flush.partition).copied().unwrap_or(0);
        let taken = self.with_ready(|sink, ready| {
            let batches = ready.batches(flush)?;
            sink.attempt(async |session| {
                loop {
                    ready.writer.make_stage(session).await?;
                    let work = async || ready.apply(session, flush, &batches, epoch).await;
                    let done = failure::transact_or_fail(session, work).await;
                    if ready.went_back(&done) {
                        continue;
                    }
                    return done;
                }
            })
        })?;
        self.same_time += taken;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn same_time(&self) -> u64 {
        self.same_time
    }
}

impl Ready {
    /// Whether rows that were taken to be new were not: then there is another way for them.
    fn went_back<T>(&self, done: &Step<T>) -> bool {
        let there = done.as_ref().is_err_and(failure::duplicate) && self.writer.is_straight();
        if there {
            self.writer.not_straight();
        }
        there
    }
}
