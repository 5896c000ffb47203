//! The session with the cluster: waiting for answers, trying again, and what errors mean.

use crate::runtime::waiting;
use crate::sink::spec::{Cassandra, Consistency as Ours};
use crate::{Error, Kind, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};
use scylla::frame::types::{Consistency, SerialConsistency};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// How long one request may take before it counts as lost.
const REQUEST: Duration = Duration::from_secs(20);

/// A session, the runtime it lives on and the statements it prepared. Used by the process that made it alone.
pub(super) struct Client {
    pub session: Session,
    runtime: Arc<Runtime>,
    prepared: Mutex<HashMap<String, PreparedStatement>>,
    place: String,
    retry_for: Duration,
    pid: u32,
}

/// How a conditional step ended.
pub(super) enum Conditional {
    /// Its condition held and it is written.
    Applied,
    /// Its condition did not hold.
    Refused,
    /// The answer was lost: it may be written, or still be.
    Unclear(Error),
}

impl Client {
    /// Connects. Errors: `Endpoint` where no node answers or the login is refused, `Usage` for unreadable TLS files.
    pub fn connect(at: &Cassandra) -> Result<Client> {
        let runtime = waiting::runtime()?;
        let mut builder = SessionBuilder::new()
            .known_nodes(at.hosts.iter().map(|h| with_port(h, at.port)))
            .connection_timeout(Duration::from_secs(5))
            .default_execution_profile_handle(profile(at).into_handle());
        if let Some(user) = &at.user {
            let password = at.password.as_ref().map(|p| p.reveal()).transpose()?;
            builder = builder.user(user, password.unwrap_or_default());
        }
        if at.tls || at.tls_ca.is_some() {
            builder = builder.tls_context(Some(Arc::new(tls(at)?)));
        }
        let session = runtime
            .block_on(builder.build())
            .map_err(|e| unreachable(at, &e.to_string()).because(e))?;
        Ok(Client {
            session,
            runtime,
            prepared: Mutex::new(HashMap::new()),
            place: at.to_string(),
            retry_for: seconds(at.retry_for),
            pid: std::process::id(),
        })
    }

    /// Waits for `work` on this thread.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        self.not_forked()?;
        Ok(self.runtime.block_on(work))
    }

    /// Starts `work`, which is waited for later.
    pub fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        self.not_forked()?;
        Ok(self.runtime.spawn(work))
    }

    fn not_forked(&self) -> Result<()> {
        if self.pid != std::process::id() {
            let message = format!(
                "the connection to {} was made before this process was forked; make the pipeline run in the child alone",
                self.place
            );
            return Err(Error::new(Kind::Usage, message));
        }
        Ok(())
    }

    /// Starts `work` beside the caller; it ends when the handle is aborted.
    pub fn beside(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::AbortHandle {
        self.runtime.spawn(work).abort_handle()
    }

    /// A statement, prepared once; `serial`: a read that sees every conditional step before it.
    pub fn prepare(&self, cql: &str, level: Level) -> Result<PreparedStatement> {
        let known = self
            .prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(cql)
            .cloned();
        let mut statement = match known {
            Some(statement) => statement,
            None => {
                let made = self.again(
                    || self.session.prepare(cql),
                    |e: &PrepareError| transient_prepare(e),
                )?;
                let mut slot = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
                slot.insert(cql.to_owned(), made.clone());
                made
            }
        };
        match level {
            Level::Rows => {}
            Level::Quorum => statement.set_consistency(Consistency::Quorum),
            Level::Serial => statement.set_consistency(Consistency::Serial),
        }
        statement.set_serial_consistency(Some(SerialConsistency::Serial));
        statement.set_is_idempotent(level != Level::Quorum || !cql.contains(" IF "));
        Ok(statement)
    }

    /// The rows a statement gives; tried again while the cluster is in trouble, so it must be safe to repeat.
    pub fn rows(&self, cql: &str, level: Level, values: &impl SerializeRow) -> Result<Vec<Row>> {
        let statement = self.prepare(cql, level)?;
        let result = self.again(
            || self.session.execute_unpaged(&statement, values),
            transient,
        )?;
        match result.is_rows() {
            false => Ok(Vec::new()),
            true => self.read(result),
        }
    }

    /// A conditional step, sent once: the caller reads back what became of it where the answer is lost. What found
    /// no connection was not sent, and is tried again.
    pub fn conditional(&self, cql: &str, values: &impl SerializeRow) -> Result<Conditional> {
        let unsent = |e: &ExecutionError| matches!(e, ExecutionError::ConnectionPoolError(_));
        self.conditionally(cql, values, unsent)
    }

    /// A conditional step that may be said twice, tried again until it is clear.
    pub fn conditional_again(&self, cql: &str, values: &impl SerializeRow) -> Result<Conditional> {
        self.conditionally(cql, values, transient)
    }

    fn conditionally(
        &self,
        cql: &str,
        values: &impl SerializeRow,
        passing: impl Fn(&ExecutionError) -> bool,
    ) -> Result<Conditional> {
        let statement = self.prepare(cql, Level::Quorum)?;
        let send = || self.session.execute_unpaged(&statement, values);
        match self.wait(repeat(self.retry_for, send, &passing))? {
            Ok(result) => {
                let rows = self.read(result)?;
                let first = rows.first().and_then(|r| r.columns.first());
                Ok(match first {
                    Some(Some(CqlValue::Boolean(true))) => Conditional::Applied,
                    _ => Conditional::Refused,
                })
            }
            Err(e) if transient(&e) => Ok(Conditional::Unclear(self.said(&e))),
            Err(e) => Err(self.said(&e)),
        }
    }

    /// A statement that changes the schema. Errors: `Endpoint`, with the statement, so that somebody who may can run it.
    pub fn define(&self, cql: &str) -> Result<()> {
        let done = self.wait(self.session.query_unpaged(cql, ()))?;
        done.map(|_| ()).map_err(|e| {
            let e = self.said(&e);
            Error {
                message: format!("{}; the statement was: {cql}", e.message),
                ..e
            }
        })
    }

    /// The rows of an answer.
    pub fn read(&self, result: scylla::response::query_result::QueryResult) -> Result<Vec<Row>> {
        let unreadable = |e: &dyn std::error::Error| {
            Error::new(
                Kind::Endpoint,
                format!("{} gave an answer that cannot be read ({e})", self.place),
            )
        };
        let rows = result.into_rows_result().map_err(|e| unreadable(&e))?;
        let rows = rows.rows::<Row>().map_err(|e| unreadable(&e))?;
        rows.collect::<std::result::Result<_, _>>()
            .map_err(|e| unreadable(&e))
    }

    /// Tries again with growing pauses while `passing` errors come, for `retry_for` at most.
    fn again<T, E, F>(&self, work: impl Fn() -> F, passing: impl Fn(&E) -> bool) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, E>>,
        E: std::error::Error + Clone + Send + Sync + 'static,
    {
        let done = self.wait(repeat(self.retry_for, work, &passing))?;
        done.map_err(|e| {
            let retryable = passing(&e);
            let error = failed(&self.place, &e.to_string()).because(e);
            if retryable { error.retryable() } else { error }
        })
    }

    /// The house's error for the driver's.
    pub fn said(&self, e: &ExecutionError) -> Error {
        let message = match e {
            ExecutionError::LastAttemptError(RequestAttemptError::DbError(
                DbError::Unauthorized,
                why,
            )) => format!(
                "{} does not allow a step ({why}); grant the user SELECT and MODIFY on the keyspace, and CREATE where tables are to be made",
                self.place
            ),
            _ => return self.other(e),
        };
        Error::new(Kind::Endpoint, message).because(e.clone())
    }

    fn other(&self, e: &ExecutionError) -> Error {
        let error = failed(&self.place, &e.to_string()).because(e.clone());
        if transient(e) {
            error.retryable()
        } else {
            error
        }
    }

    /// For how long a step is tried again.
    pub fn retry_for(&self) -> Duration {
        self.retry_for
    }
}

/// At which consistency a statement runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// As the endpoint says: rows.
    Rows,
    /// More than half of the replicas: records, and conditional steps.
    Quorum,
    /// A read in the order of the conditional steps: heads.
    Serial,
}

/// Runs `work` until it succeeds, fails for good, or `limit` is over.
pub(super) async fn repeat<T, E, F>(
    limit: Duration,
    work: impl Fn() -> F,
    passing: &impl Fn(&E) -> bool,
) -> std::result::Result<T, E>
where
    F: Future<Output = std::result::Result<T, E>>,
{
    let began = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        match work().await {
            Err(e) if passing(&e) && began.elapsed() + pause < limit => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            done => return done,
        }
    }
}

/// Whether the same step may succeed later: nodes down, slow, overloaded, connections lost.
pub(super) fn transient(e: &ExecutionError) -> bool {
    match e {
        ExecutionError::ConnectionPoolError(_) | ExecutionError::RequestTimeout(_) => true,
        ExecutionError::PrepareError(e) => transient_prepare(e),
        ExecutionError::LastAttemptError(e) => transient_attempt(e),
        _ => false,
    }
}

fn transient_prepare(e: &PrepareError) -> bool {
    match e {
        PrepareError::ConnectionPoolError(_) => true,
        PrepareError::AllAttemptsFailed { first_attempt } => transient_attempt(first_attempt),
        _ => false,
    }
}

fn transient_attempt(e: &RequestAttemptError) -> bool {
    use DbError as D;
    match e {
        RequestAttemptError::BrokenConnectionError(_)
        | RequestAttemptError::UnableToAllocStreamId => true,
        RequestAttemptError::DbError(e, _) => matches!(
            e,
            D::Unavailable { .. }
                | D::Overloaded
                | D::IsBootstrapping
                | D::TruncateError
                | D::ReadTimeout { .. }
                | D::WriteTimeout { .. }
                | D::ReadFailure { .. }
                | D::WriteFailure { .. }
                | D::ServerError
                | D::RateLimitReached { .. }
        ),
        _ => false,
    }
}

fn failed(place: &str, why: &str) -> Error {
    let message = format!("a step in {place} failed ({why}); look at the cluster and run again");
    Error::new(Kind::Endpoint, message)
}

fn unreachable(at: &Cassandra, why: &str) -> Error {
    let refused = [
        "Authentication",
        "authentication",
        "credentials",
        "AuthenticationError",
    ];
    if refused.iter().any(|word| why.contains(word)) {
        let user = at.user.as_deref().unwrap_or("none was given");
        let message = format!("{at} refuses the login (user {user}); check user= and password=");
        return Error::new(Kind::Endpoint, message);
    }
    let message = format!(
        "no node of {at} answers ({why}); check hosts, port, tls= and that the cluster is up"
    );
    Error::new(Kind::Endpoint, message).retryable()
}

fn profile(at: &Cassandra) -> ExecutionProfile {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &at.datacenter {
        policy = policy
            .prefer_datacenter(datacenter.clone())
            .permit_dc_failover(true);
    }
    ExecutionProfile::builder()
        .consistency(consistency(at.consistency))
        .serial_consistency(Some(SerialConsistency::Serial))
        .request_timeout(Some(REQUEST))
        .load_balancing_policy(policy.build())
        .build()
}

fn consistency(ours: Ours) -> Consistency {
    match ours {
        Ours::One => Consistency::One,
        Ours::Two => Consistency::Two,
        Ours::Three => Consistency::Three,
        Ours::Quorum => Consistency::Quorum,
        Ours::All => Consistency::All,
        Ours::LocalOne => Consistency::LocalOne,
        Ours::LocalQuorum => Consistency::LocalQuorum,
        Ours::EachQuorum => Consistency::EachQuorum,
    }
}

/// Certificates of the nodes must be signed by `tls_ca` and hold the address that is asked.
fn tls(at: &Cassandra) -> Result<rustls::ClientConfig> {
    let path = at.tls_ca.as_ref().ok_or_else(|| {
        Error::new(
            Kind::Usage,
            format!("{at} asks for tls without an authority; give tls_ca=, a PEM file"),
        )
    })?;
    let unusable = |e: String| {
        Error::new(
            Kind::Usage,
            format!(
                "{} is no PEM file of certificates ({e}); check tls_ca=",
                path.display()
            ),
        )
    };
    let mut roots = rustls::RootCertStore::empty();
    for found in CertificateDer::pem_file_iter(path).map_err(|e| unusable(e.to_string()))? {
        let certificate = found.map_err(|e| unusable(e.to_string()))?;
        roots
            .add(certificate)
            .map_err(|e| unusable(e.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(e.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn with_port(host: &str, port: u16) -> String {
    // `[::1]:9042` and `host:9042` name a port; a bare IPv6 address has more than one colon.
    let named = match host.rsplit_once(':') {
        Some((before, _)) => !before.contains(':') || before.ends_with(']'),
        None => false,
    };
    if named {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

/// A duration from seconds told by a user.
pub(super) fn seconds(told: f64) -> Duration {
    Duration::try_from_secs_f64(told).unwrap_or(Duration::from_secs(60))
}
