//! Cassandra and ScyllaDB. As home: the record is written where nobody reads, one conditional step on the head row
//! decides, then the rows are upserted from the record.
//!
//! - Tables of ours: windows `((sensor_id, grain, bucket), window_start)`, readings and late readings
//!   `((sensor_id, day), time, ..., row)`, rejects `((partition, flush), ord)`. `bucket` is the year of `window_start`
//!   in UTC, for grains below the hour the month (200701).
//! - `ttl` expires rows; a table that is made with it is compacted by time.
//! - Rows use the endpoint's consistency; heads SERIAL and records QUORUM, whatever it is.
//! - A row is written with the time stamp of its flush, so replays and stale appliers of decided flushes change nothing.
//!   Cassandra cannot check an epoch in the step that writes rows: it is checked before and after instead.
//! - [`Sink::apply`] begins to write and does not wait: a flush counts as shown when the next but one comes, or
//!   [`Sink::applied`], `roll`, `leave` or `finish` ask. So the server has rows to write while the next flush is decided.
//! - CQL's timestamp has milliseconds. A time with microseconds is refused there, and fits a `bigint`.
//!
//! A table that is there is filled by `columns = {theirs: ours}`; its key is its primary key. Where that does not
//! tell readings of one time apart, the later overwrites: `on_same_time = "last"` says that this is meant.

mod client;
mod describe;
mod encode;
mod owner;
mod pending;
mod state;
mod stored;
mod write;

use super::mapping::Mapping;
use super::spec::{Cassandra, Replication};
use super::sql::quoted;
use super::{Applied, Claim, Decided, Home, Next, Owned, Sink, SinkSpec, Tables, What, rows};
use crate::flush::{Flush, FlushId, Head};
use crate::{Error, Kind, Result, faults};
use client::{Client, Conditional, Level, seconds};
use owner::{Ownership, alive, now_ms};
use pending::Pending;
use state::{State, Stored};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
pub(super) use stored::stored;
use write::Writer;

/// Times a lost answer of taking an epoch is read back before it is an error.
const TRIES: usize = 20;

/// Flushes of a partition whose rows may be on their way when the next is asked for.
const BESIDE: usize = 1;

/// A sink, which may also decide.
pub(super) fn open(spec: &SinkSpec, at: &Cassandra) -> Result<Box<dyn Home>> {
    Ok(Box::new(CassandraSink::new(spec, at)?))
}

/// A sink, and a home, in a keyspace.
struct CassandraSink {
    spec: SinkSpec,
    at: Cassandra,
    state: State,
    ttl: Option<i32>,
    client: Option<Arc<Client>>,
    ready: Option<Ready>,
    owned: BTreeMap<u32, Ownership>,
    /// The epoch this handle applies for, by partition.
    applies: BTreeMap<u32, u64>,
    /// Flushes whose effects are gone, by partition.
    pruned: BTreeMap<u32, u64>,
    /// Flushes whose rows are on their way.
    pending: Pending,
    attempts: u64,
    same_time: u64,
}

/// What `prepare` worked out.
struct Ready {
    pipeline: String,
    table: String,
    writer: Writer,
}

impl CassandraSink {
    /// A sink at `at`; nothing is connected yet. Errors: `Usage` for a `ttl` that is no duration.
    fn new(spec: &SinkSpec, at: &Cassandra) -> Result<Self> {
        Ok(CassandraSink {
            state: State::new(&at.keyspace),
            ttl: spec.ttl.as_deref().map(ttl_seconds).transpose()?,
            spec: spec.clone(),
            at: at.clone(),
            client: None,
            ready: None,
            owned: BTreeMap::new(),
            applies: BTreeMap::new(),
            pruned: BTreeMap::new(),
            pending: Pending::default(),
            attempts: 0,
            same_time: 0,
        })
    }

    fn client(&mut self) -> Result<Arc<Client>> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = Arc::new(Client::connect(&self.at)?);
        self.client = Some(client.clone());
        Ok(client)
    }

    fn ready(&self) -> Result<&Ready> {
        let early = || {
            Error::new(
                Kind::Internal,
                "a Cassandra sink was used before it was prepared",
            )
        };
        self.ready.as_ref().ok_or_else(early)
    }

    fn lease(&self) -> Duration {
        seconds(self.at.lease).max(Duration::from_millis(100))
    }

    /// The keyspace, made where it is missing.
    fn keyspace(&self, client: &Client) -> Result<()> {
        let cql = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        if !client
            .rows(cql, Level::Rows, &(self.at.keyspace.as_str(),))?
            .is_empty()
        {
            return Ok(());
        }
        let nodes = client
            .rows("SELECT host_id FROM system.peers", Level::Rows, &())?
            .len()
            + 1;
        let replicas = match &self.at.replication {
            Some(Replication::Factor(n)) => format!("'replication_factor': {n}"),
            Some(Replication::ByDatacenter(by)) => {
                let one =
                    |(name, n): (&String, &u32)| format!("'{}': {n}", name.replace('\'', "''"));
                by.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            None => format!("'replication_factor': {}", nodes.min(3)),
        };
        client.define(&format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'NetworkTopologyStrategy', {replicas}}}",
            quoted(&self.at.keyspace)
        ))
    }

    fn own_tables(&self, client: &Client) -> Result<()> {
        let cql = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
        for (name, columns) in state::TABLES {
            if client
                .rows(cql, Level::Rows, &(self.at.keyspace.as_str(), name))?
                .is_empty()
            {
                let keyspace = quoted(&self.at.keyspace);
                client.define(&format!(
                    "CREATE TABLE IF NOT EXISTS {keyspace}.{name} {columns}"
                ))?;
            }
        }
        Ok(())
    }

    /// How our columns get into the table; the table as it is, if it is there.
    fn mapping(
        &self,
        client: &Client,
        tables: &Tables,
    ) -> Result<(Mapping, Option<describe::Found>)> {
        let named = self.spec.table.clone();
        let table = named.unwrap_or_else(|| rows::table_name(self.spec.what).into());
        rows::refuse_own_name(&table, &["wattline_", "system"])?;
        let extended = write::with_buckets(tables);
        let found = describe::table(client, &self.at.keyspace, &table)?;
        // A table without our column of buckets is one of theirs, with a key of its own.
        let buckets = match &found {
            Some(f) => {
                self.spec.columns.is_some() || f.declared(bucket_of(self.spec.what)).is_some()
            }
            None => true,
        };
        let tables = if buckets { &extended } else { tables };
        write::one_day(tables)?;
        self.refuse_key(found.as_ref(), &table)?;
        let mapping = Mapping::resolve(
            &self.spec,
            tables,
            found.as_ref().map(|f| &f.theirs),
            describe::declares,
        )?;
        write::check_same_time(&mapping, &self.at.to_string())?;
        Ok((mapping, found))
    }

    /// Checks the table, or makes it; gives how it is written.
    fn writer(&self, client: &Client, tables: &Tables) -> Result<Writer> {
        let (mapping, mut found) = self.mapping(client, tables)?;
        let table = &mapping.table;
        if found.is_none() {
            if !tables.anew {
                self.not_lost(client, table, &tables.pipeline)?;
            }
            client.define(&describe::create(
                &mapping,
                &self.at.keyspace,
                self.spec.what,
                self.ttl,
            ))?;
            found = describe::table(client, &self.at.keyspace, table)?;
        }
        let found = found.ok_or_else(|| {
            let message = format!("table {table:?} of {} was made and is not there; look at the cluster's schema agreement", self.at);
            Error::new(Kind::Endpoint, message).retryable()
        })?;
        let types = describe::types(&mapping, &found, &self.at.to_string())?;
        Ok(Writer::new(
            mapping,
            types,
            &found.partition_key,
            self.spec.what,
            &self.at,
            self.ttl,
        ))
    }

    /// A table that is not there must never have been.
    fn not_lost(&self, client: &Client, table: &str, pipeline: &str) -> Result<()> {
        if !self.state.ever_shown(client, pipeline, table)? {
            return Ok(());
        }
        let name = format!("table {table:?} of {}", self.at);
        Err(super::lost::gone(&name, pipeline))
    }

    fn refuse_key(&self, found: Option<&describe::Found>, table: &str) -> Result<()> {
        let (Some(key), Some(found)) = (&self.spec.key, found) else {
            return Ok(());
        };
        let same = key.len() == found.theirs.primary.len()
            && key.iter().all(|k| found.theirs.primary.contains(k));
        if same {
            return Ok(());
        }
        let message = format!(
            "table {table:?} of {} is keyed by its primary key ({}); leave key= out",
            self.at,
            found.theirs.primary.join(", ")
        );
        Err(Error::new(Kind::Usage, message))
    }

    /// Notes whose the table is, or refuses one of another pipeline, zone or kind.
    fn whose(&self, client: &Client, table: &str, tables: &Tables) -> Result<()> {
        let ours = rows::table_name(self.spec.what);
        let [what, pipeline, tz, _] =
            self.state
                .whose(client, table, ours, &tables.pipeline, &tables.tz)?;
        let name = format!("table {table:?} of {}", self.at);
        let (pipeline, tz) = (pipeline.unwrap_or_default(), tz.unwrap_or_default());
        rows::same_owner(&name, (&pipeline, &tz), (&tables.pipeline, &tables.tz))?;
        match what {
            Some(what) if what != ours => {
                let message = format!(
                    "{name} holds {what}, not {ours}; name another with table=, or ?table= behind its URL"
                );
                Err(Error::new(Kind::Usage, message))
            }
            _ => Ok(()),
        }
    }

    /// A key that does not tell sensors apart holds for one sensor, for good.
    fn only_sensor(
        &self,
        client: &Client,
        ready: &Ready,
        batch: &arrow_array::RecordBatch,
    ) -> Result<()> {
        let known = || -> Result<Option<String>> {
            let ours = rows::table_name(self.spec.what);
            let [.., known] = self.state.whose(client, &ready.table, ours, "", "")?;
            Ok(known)
        };
        let first = rows::only_sensor(&ready.table, batch, known()?.as_deref())?;
        self.state.one_sensor(client, &ready.table, &first)?;
        rows::only_sensor(&ready.table, batch, known()?.as_deref()).map(|_| ())
    }

    /// Begins to write the rows of a flush.
    fn begin(
        &self,
        client: &Arc<Client>,
        ready: &Ready,
        flush: &Flush,
    ) -> Result<(write::Sending, u64)> {
        let mut all = Vec::new();
        for (_, batch) in rows::batches(self.spec.what, flush)? {
            if ready.writer.one_sensor() {
                self.only_sensor(client, ready, &batch)?;
            }
            all.push(batch);
        }
        ready.writer.begin(client, &all, flush.stamp)
    }

    /// Waits for the rows of a partition's flushes but the newest `beside`, and notes that they are shown.
    fn show(&mut self, partition: u32, beside: usize) -> Result<()> {
        if self.pending.of(partition) <= beside {
            return Ok(());
        }
        let client = self.client()?;
        let epoch = self.applies.get(&partition).copied().unwrap_or(0);
        while self.pending.of(partition) > beside {
            self.pending.wait(&client, partition)?;
            faults::point("between_rows_and_applied")?;
            let ready = self.ready()?;
            let at = (ready.pipeline.as_str(), partition);
            if let Some(next) = self.pending.oldest(partition) {
                self.state.shows(&client, at, &ready.table, next, epoch)?;
            }
            self.pending.is_shown(partition);
        }
        Ok(())
    }

    fn pipeline(&self, partition: u32) -> Result<(&str, u64)> {
        let own = self.owned.get(&partition);
        own.map(|o| (o.pipeline.as_str(), o.epoch))
            .ok_or_else(|| super::not_owned(&format!("partition {partition}")))
    }

    fn stored(&self, client: &Client, pipeline: &str, partition: u32) -> Result<Stored> {
        let stored = self.state.stored(client, (pipeline, partition))?;
        stored.ok_or_else(|| super::not_owned(pipeline))
    }

    /// Takes the next epoch, however often others get in between or answers are lost.
    fn take(&self, client: &Client, claim: &Claim) -> Result<Stored> {
        let at = (claim.pipeline.as_str(), claim.partition);
        self.state.open(client, at)?;
        for _ in 0..TRIES {
            let stored = self.stored(client, at.0, at.1)?;
            if stored.token == claim.token {
                return Ok(stored);
            }
            if !claim.take_over && alive(&stored, &claim.token, &claim.owner, self.lease()) {
                return Err(super::fenced(at.0, &self.at.to_string(), &stored.owner));
            }
            let owner = (claim.owner.as_str(), claim.token.as_str());
            // Refused or unclear: the next reading tells.
            self.state
                .take_epoch(client, at, stored.epoch, owner, now_ms())?;
        }
        let message = format!(
            "the pipeline {:?} in {} could not be taken over: others take it at the same time; run one of them",
            at.0, self.at
        );
        Err(Error::new(Kind::Fenced, message).retryable())
    }

    /// What the head says of a decision that was refused or lost.
    fn became(&self, client: &Client, head: &Head) -> Result<Option<Decided>> {
        let stored = self.stored(client, &head.pipeline, head.partition)?;
        Ok(match &stored.head {
            Some(h) if h.id == head.id && h.token == head.token => Some(Decided::Yes),
            _ if stored.epoch != head.id.epoch || stored.n >= head.id.n => {
                Some(Decided::Fenced(stored.owner))
            }
            _ => None,
        })
    }
}

fn bucket_of(what: What) -> &'static str {
    match what {
        What::Windows => describe::BUCKET,
        _ => describe::DAY,
    }
}

/// Seconds of a `ttl`. Cassandra takes up to 20 years.
fn ttl_seconds(text: &str) -> Result<i32> {
    let micros = crate::time::duration::parse(text)?;
    let seconds = micros / 1_000_000;
    match i32::try_from(seconds) {
        Ok(s) if s > 0 && s <= 630_720_000 => Ok(s),
        _ => Err(Error::new(
            Kind::Usage,
            format!("ttl={text:?} is not between 1s and 7300d"),
        )),
    }
}

impl Sink for CassandraSink {
    fn describe(&self) -> String {
        self.spec.endpoint.to_string()
    }

    fn what(&self) -> What {
        self.spec.what
    }

    fn inspect(&mut self, tables: &Tables) -> Result<()> {
        let client = self.client()?;
        let (mapping, found) = self.mapping(&client, tables)?;
        let types = |found| describe::types(&mapping, &found, &self.at.to_string()).map(drop);
        let known = describe::table(&client, &self.at.keyspace, "wattline_applied")?.is_some();
        match found {
            Some(found) => types(found),
            None if known => self.not_lost(&client, &mapping.table, &tables.pipeline),
            None => Ok(()),
        }
    }

    fn prepare(&mut self, tables: &Tables) -> Result<()> {
        let client = self.client()?;
        self.keyspace(&client)?;
        self.own_tables(&client)?;
        let writer = self.writer(&client, tables)?;
        let named = self.spec.table.clone();
        let table = named.unwrap_or_else(|| rows::table_name(self.spec.what).into());
        self.whose(&client, &table, tables)?;
        self.ready = Some(Ready {
            pipeline: tables.pipeline.clone(),
            table,
            writer,
        });
        Ok(())
    }

    fn applied(&mut self, partition: u32) -> Result<Option<Applied>> {
        self.show(partition, 0)?;
        let client = self.client()?;
        let ready = self.ready()?;
        Ok(self
            .state
            .applied(&client, (&ready.pipeline, partition), &ready.table)?
            .1)
    }

    fn shown(&mut self, partition: u32) -> Result<Option<FlushId>> {
        Ok(self.pending.shown(partition))
    }

    fn fence(&mut self, partition: u32, epoch: u64) -> Result<()> {
        self.applies.insert(partition, epoch);
        self.pending.forget(partition);
        let client = self.client()?;
        let ready = self.ready()?;
        self.state
            .fence(&client, (&ready.pipeline, partition), &ready.table, epoch)
    }

    fn apply(&mut self, flush: &Flush) -> Result<()> {
        let partition = flush.partition;
        let epoch = self.applies.get(&partition).copied().unwrap_or(0);
        let client = self.client()?;
        let ready = self.ready()?;
        let at = (ready.pipeline.as_str(), partition);
        let (newest, applied) = self.state.applied(&client, at, &ready.table)?;
        if epoch < newest && !faults::broken("no_epoch") {
            return Err(super::fenced(at.0, &ready.table, "a newer run"));
        }
        let last = self.pending.newest(partition).or(applied.as_ref());
        if super::next_step(&ready.table, last, flush)? == Next::Nothing {
            self.pending.knows(partition, applied);
            return Ok(());
        }
        let (sending, taken) = self.begin(&client, ready, flush)?;
        self.pending.begin(partition, flush, sending);
        self.same_time += taken;
        self.show(partition, BESIDE)
    }

    fn leave(&mut self, partition: u32) -> Result<()> {
        self.show(partition, 0)
    }

    fn roll(&mut self, partition: u32) -> Result<()> {
        match self.pending.landed(partition) {
            true => self.show(partition, 0),
            false => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<()> {
        let partitions = self.pending.partitions();
        // One that others took meanwhile keeps the rest from nothing.
        let each: Vec<Result<()>> = partitions.into_iter().map(|p| self.show(p, 0)).collect();
        each.into_iter().collect()
    }

    fn same_time(&self) -> u64 {
        self.same_time
    }
}

impl Home for CassandraSink {
    fn decides_rows(&self) -> bool {
        false
    }

    fn acquire(&mut self, claim: &Claim) -> Result<Owned> {
        let client = self.client()?;
        self.keyspace(&client)?;
        self.own_tables(&client)?;
        let stored = self.take(&client, claim)?;
        let (at, epoch) = ((claim.pipeline.as_str(), claim.partition), stored.epoch);
        let own = Ownership::begin(&client, &self.state, at, epoch, &claim.owner, self.lease())?;
        self.owned.insert(claim.partition, own);
        self.applies.insert(claim.partition, epoch);
        self.state.owned(&client, at, stored)
    }

    fn decide(&mut self, head: &Head, flush: &Flush, keep_effects: bool) -> Result<Decided> {
        let client = self.client()?;
        let at = (head.pipeline.as_str(), head.partition);
        self.attempts += 1;
        let attempt = format!("{}/{}/{}", head.id.epoch, head.token, self.attempts);
        if keep_effects {
            let effects = super::effects_only(flush).encode()?;
            self.state
                .put_record(&client, at, head.id.n, &attempt, "effects", &effects)?;
        }
        self.state.put_record(
            &client,
            at,
            head.id.n,
            &attempt,
            "state",
            &flush.encode_state()?,
        )?;
        faults::point("between_record_and_head")?;
        match self.state.decide(&client, head, &attempt, now_ms())? {
            Conditional::Applied => Ok(Decided::Yes),
            Conditional::Unclear(e) => Ok(Decided::Unclear(e.message)),
            Conditional::Refused => Ok(self
                .became(&client, head)?
                .unwrap_or_else(|| Decided::Fenced("a newer run".into()))),
        }
    }

    fn settle(&mut self, head: &Head) -> Result<Option<Decided>> {
        let client = self.client()?;
        match self.state.settle(&client, head, now_ms())? {
            // A later step of the same row is written: the lost one was not, and cannot be.
            Conditional::Applied => Ok(None),
            Conditional::Refused => self.became(&client, head),
            Conditional::Unclear(e) => Err(e),
        }
    }

    fn prune(&mut self, partition: u32, upto: FlushId) -> Result<()> {
        let client = self.client()?;
        let (pipeline, epoch) = self.pipeline(partition)?;
        let stored = self.stored(&client, pipeline, partition)?;
        if stored.epoch != epoch {
            return Ok(());
        }
        let fold = stored.head.as_ref().map_or(0, |h| h.fold.n);
        let from = self.pruned.get(&partition).copied().unwrap_or(0);
        let at = (pipeline, partition);
        let gone = self
            .state
            .prune(&client, at, &stored.decided, from..upto.n, fold)?;
        self.state.forget(&client, at, epoch, &gone)?;
        self.pruned.insert(partition, upto.n);
        Ok(())
    }

    fn release(&mut self, partition: u32) -> Result<()> {
        self.pending.forget(partition);
        let client = self.client()?;
        match self.owned.remove(&partition) {
            Some(own) => own.end(&client, partition),
            None => Ok(()),
        }
    }

    fn look(&mut self, pipeline: &str, partition: u32) -> Result<Option<Owned>> {
        let client = self.client()?;
        if describe::table(&client, &self.at.keyspace, "wattline_head")?.is_none() {
            return Ok(None);
        }
        match self.state.stored(&client, (pipeline, partition))? {
            Some(stored) if stored.head.is_some() => self
                .state
                .owned(&client, (pipeline, partition), stored)
                .map(Some),
            _ => Ok(None),
        }
    }
}
