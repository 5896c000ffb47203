//! A connection to the server, and the line that is opened again when it breaks.
//!
//! A backend can commit after its client saw the connection break. So before anything is done on a new
//! connection, the backend of the old one is ended and waited for.

use super::config;
use super::failure::{self, Failed, Step};
use crate::runtime::waiting;
use crate::sink::Postgres;
use crate::{Error, Kind};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// How long an old backend may take to go once it is told to.
const GOING: Duration = Duration::from_secs(10);

/// What each connection asks of the server: a client that is gone is noticed within a minute, also while a
/// statement runs; a client that hangs holds no lock for long; what is committed is on the disk.
const SET_UP: &str = "
SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '15s';
SET temp_buffers = '32MB'; SET client_min_messages = 'warning';
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
SELECT set_config(name, '2s', false) FROM pg_settings WHERE name = 'client_connection_check_interval';
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name = 'synchronous_commit' AND setting IN ('off', 'local');
";

/// A server process: its number, and when it began, since numbers come again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Backend {
    /// Process id on the server.
    pub pid: i32,
    /// When it began, as the server writes it.
    pub start: String,
}

/// One connection.
pub(super) struct Session {
    /// The client.
    pub client: Arc<Client>,
    /// Its server process.
    pub backend: Backend,
    /// The schema of all tables.
    pub schema: String,
    /// The temporary table of this connection is made.
    pub staged: Cell<bool>,
    process: u32,
    runtime: Arc<Runtime>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // In a forked child the client's threads are not there: it is forgotten, not closed.
        if self.process != std::process::id() {
            std::mem::forget(self.client.clone());
        }
    }
}

impl Session {
    /// Waits for what is asked of the server.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A table of the schema, quoted.
    pub fn table(&self, name: &str) -> String {
        use crate::sink::sql::quoted;
        format!("{}.{}", quoted(&self.schema), quoted(name))
    }

    /// Whether a backend of another connection is alive.
    pub async fn alive(&self, other: &Backend) -> Step<bool> {
        if *other == self.backend {
            return Ok(false);
        }
        // Sessions of other users do not show when they began.
        let sql = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND coalesce(extract(epoch FROM backend_start)::text, $2) = $2";
        let found = self
            .client
            .query_typed_opt(sql, &[(&other.pid, Type::INT4), (&other.start, Type::TEXT)])
            .await?;
        Ok(found.is_some())
    }

    /// Ends a backend of another connection and waits until it is gone.
    pub async fn end(&self, other: &Backend, place: &str) -> Step<()> {
        let began = Instant::now();
        while self.alive(other).await? {
            let told = self
                .client
                .query_typed(
                    "SELECT pg_terminate_backend($1)",
                    &[(&other.pid, Type::INT4)],
                )
                .await;
            let may_not = told.is_err_and(|e| !failure::lost(&e));
            if may_not || began.elapsed() > GOING {
                return Err(Failed::Said(stays(place, other)));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn stays(place: &str, other: &Backend) -> Error {
    Error::new(
        Kind::Endpoint,
        format!(
            "an older session of this pipeline is still there in {place} and this user cannot end it; run SELECT pg_terminate_backend({}) as a user who may, then run again",
            other.pid
        ),
    )
    .retryable()
}

/// The connection of a sink, opened when it is needed and again when it broke.
pub(super) struct Line {
    /// Where to.
    pub at: Postgres,
    session: Option<Session>,
    /// The backend of a connection that broke.
    broken: Option<Backend>,
}

impl Line {
    /// A line that is not open yet.
    pub fn new(at: &Postgres) -> Line {
        Line {
            at: at.clone(),
            session: None,
            broken: None,
        }
    }

    /// Whether a connection is open, as far as is known.
    pub fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// Whether it was open and broke.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// The open connection; `true`: it was opened just now.
    pub fn open(&mut self) -> Step<(&Session, bool)> {
        let fresh = match &self.session {
            Some(session) if session.process != std::process::id() => {
                return Err(Failed::Said(forked(&self.at)));
            }
            Some(session) => session.client.is_closed(),
            None => true,
        };
        if fresh {
            self.lose();
            let session = connect(&self.at)?;
            if let Some(old) = &self.broken {
                session.wait(session.end(old, &self.at.to_string()))?;
            }
            self.broken = None;
            self.session = Some(session);
        }
        match &self.session {
            Some(session) => Ok((session, fresh)),
            None => Err(Failed::Said(Error::new(
                Kind::Internal,
                "no connection is open",
            ))),
        }
    }

    /// Forgets the connection; the next one ends its backend first.
    pub fn lose(&mut self) {
        if let Some(session) = self.session.take() {
            self.broken = Some(session.backend.clone());
        }
    }
}

fn forked(at: &Postgres) -> Error {
    Error::new(
        Kind::Usage,
        format!(
            "the connection to {at} was opened before this process was forked; open it in the process that uses it"
        ),
    )
}

fn connect(at: &Postgres) -> Step<Session> {
    let (config, tls) = (config::connection(at)?, config::tls(at)?);
    let runtime = waiting::runtime()?;
    let session = runtime.block_on(async {
        let (client, connection) = config.connect(tls).await?;
        // It ends with the client, or with the connection; a failure reaches whoever waits for an answer.
        tokio::spawn(connection);
        set_up(client, at).await
    });
    let (client, backend, schema) = session?;
    Ok(Session {
        client: Arc::new(client),
        backend,
        schema,
        staged: Cell::new(false),
        process: std::process::id(),
        runtime,
    })
}

async fn set_up(client: Client, at: &Postgres) -> Step<(Client, Backend, String)> {
    client.batch_execute(SET_UP).await?;
    let sql = "SELECT pg_backend_pid(), coalesce((SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()), ''),
      (SELECT nspname::text FROM pg_namespace WHERE nspname = coalesce($1, current_schema()) AND has_schema_privilege(oid, 'USAGE'))";
    let row = client
        .query_typed_one(sql, &[(&at.schema, Type::TEXT)])
        .await?;
    let backend = Backend {
        pid: row.get(0),
        start: row.get(1),
    };
    let schema: Option<String> = row.get(2);
    match (schema, &at.schema) {
        (Some(schema), _) => Ok((client, backend, schema)),
        (None, Some(asked)) => Err(Failed::Said(Error::new(
            Kind::Endpoint,
            format!(
                "{at}: the schema {asked:?} is not there, or this user has no USAGE on it; run CREATE SCHEMA and GRANT USAGE ON SCHEMA, or look at schema="
            ),
        ))),
        (None, None) => Err(Failed::Said(Error::new(
            Kind::Endpoint,
            format!(
                "{at}: no schema of the search path is there for this user; name one with schema="
            ),
        ))),
    }
}
