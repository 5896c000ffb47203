//! What PostgreSQL's errors mean for the caller, and transactions that end one way or the other.

use super::session::Session;
use crate::{Error, Kind, faults};
use std::error::Error as _;
use tokio_postgres::error::SqlState;

/// Errors of this room's steps: PostgreSQL's own, or one of ours.
pub(super) enum Failed {
    /// PostgreSQL's, or of the connection to it.
    Sql(tokio_postgres::Error),
    /// One that is said already.
    Said(Error),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(e: tokio_postgres::Error) -> Self {
        Failed::Sql(e)
    }
}

impl From<Error> for Failed {
    fn from(e: Error) -> Self {
        Failed::Said(e)
    }
}

/// The result of a step.
pub(super) type Step<T> = std::result::Result<T, Failed>;

/// How a transaction ended.
pub(super) enum Settled<T> {
    /// Committed.
    Done(T),
    /// The answer to COMMIT was lost.
    Unclear(tokio_postgres::Error),
}

/// Runs `work` between BEGIN and COMMIT; rolls back on any failure before the commit.
pub(super) async fn transact<T>(
    session: &Session,
    work: impl AsyncFnOnce() -> Step<T>,
) -> Step<Settled<T>> {
    session.client.batch_execute("BEGIN").await?;
    let worked = work().await;
    let value = match worked.and_then(|value| Ok(faults::point("committing").map(|()| value)?)) {
        Ok(value) => value,
        Err(e) => {
            // A connection that is gone has rolled back, or will: COMMIT was never sent.
            let _ = session.client.batch_execute("ROLLBACK").await;
            return Err(e);
        }
    };
    match session.client.batch_execute("COMMIT").await {
        Ok(()) => {
            faults::point("committed")?;
            Ok(Settled::Done(value))
        }
        Err(e) if lost(&e) => Ok(Settled::Unclear(e)),
        Err(e) => Err(e.into()),
    }
}

/// The same where an unclear end is an error like any other: the step is repeated.
pub(super) async fn transact_or_fail<T>(
    session: &Session,
    work: impl AsyncFnOnce() -> Step<T>,
) -> Step<T> {
    match transact(session, work).await? {
        Settled::Done(value) => Ok(value),
        Settled::Unclear(e) => Err(e.into()),
    }
}

/// The connection is gone, or the server is going.
pub(super) fn lost(e: &tokio_postgres::Error) -> bool {
    match e.code() {
        None => true,
        Some(code) => {
            code.code().starts_with("08")
                || [
                    SqlState::ADMIN_SHUTDOWN,
                    SqlState::CRASH_SHUTDOWN,
                    SqlState::CANNOT_CONNECT_NOW,
                    SqlState::DATABASE_DROPPED,
                    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                ]
                .contains(code)
        }
    }
}

/// The same step may succeed in a moment, without anybody doing anything.
pub(super) fn passes(e: &tokio_postgres::Error) -> bool {
    let passing = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::TOO_MANY_CONNECTIONS,
        // Whoever hangs in a transaction of ours loses it after a while.
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    lost(e) && !untrusted(e) || e.code().is_some_and(|code| passing.contains(code))
}

/// TLS was refused by one side: trying again changes nothing.
fn untrusted(e: &tokio_postgres::Error) -> bool {
    let mut below = e.source();
    while let Some(error) = below {
        if error.is::<rustls::Error>() {
            return true;
        }
        let inner = error.downcast_ref::<std::io::Error>();
        below = match inner.and_then(|io| io.get_ref()) {
            Some(inner) if inner.is::<rustls::Error>() => return true,
            Some(inner) => inner.source(),
            None => error.source(),
        };
    }
    false
}

/// Whether a row stood in the way of a new one.
pub(super) fn duplicate(e: &Failed) -> bool {
    matches!(e, Failed::Sql(e) if e.code() == Some(&SqlState::UNIQUE_VIOLATION))
}

/// The house's error for a failed step at `place`.
pub(super) fn failed(place: &str, e: Failed) -> Error {
    match e {
        Failed::Sql(e) => said(place, e),
        Failed::Said(e) => e,
    }
}

/// The house's error for PostgreSQL's.
pub(super) fn said(place: &str, e: tokio_postgres::Error) -> Error {
    let (message, retryable) = match e.code() {
        None => connection(place, &e),
        Some(code) => (
            answer(place, code, &words(&e)),
            passes(&e) || *code == SqlState::DISK_FULL,
        ),
    };
    let error = Error::new(Kind::Endpoint, message).because(Below(words(&e)));
    if retryable { error.retryable() } else { error }
}

/// The connection itself: nothing was answered.
fn connection(place: &str, e: &tokio_postgres::Error) -> (String, bool) {
    if untrusted(e) {
        let message = format!(
            "the certificate or TLS of {place} was refused ({}); give its authority with sslrootcert=, or the name it stands for as host=",
            words(e)
        );
        return (message, false);
    }
    let refused = e.to_string().contains("does not support TLS");
    if refused {
        let message = format!(
            "{place} has no TLS, which sslmode= asks for; turn it on there, or use sslmode=disable"
        );
        return (message, false);
    }
    let session = words(e).contains("target session attrs");
    if session {
        let message = format!("{place} takes no writes (a standby); name the primary with host=");
        return (message, true);
    }
    let message = format!(
        "the connection to {place} failed ({}); look whether the server runs and can be reached, then run again",
        words(e)
    );
    (message, true)
}

/// What the server said.
fn answer(place: &str, code: &SqlState, words: &str) -> String {
    let advice = [
        (
            &SqlState::INVALID_PASSWORD,
            "the password or user was refused; look at user= and password=",
        ),
        (
            &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "this user may not connect so; look at user=, sslmode= and the server's pg_hba.conf",
        ),
        (
            &SqlState::INVALID_CATALOG_NAME,
            "the database is not there; make it, or look at dbname=",
        ),
        (
            &SqlState::INVALID_SCHEMA_NAME,
            "the schema is not there; run CREATE SCHEMA, or look at schema=",
        ),
        (
            &SqlState::UNDEFINED_TABLE,
            "a table is not there any more; run again, and it is made or named",
        ),
        (
            &SqlState::INSUFFICIENT_PRIVILEGE,
            "a privilege is lacking; grant it and run again",
        ),
        (
            &SqlState::TOO_MANY_CONNECTIONS,
            "all connections are taken; free some or raise max_connections there",
        ),
        (
            &SqlState::DISK_FULL,
            "no space is left there; nothing of this flush was written, free some and run again",
        ),
        (
            &SqlState::LOCK_NOT_AVAILABLE,
            "another session holds a lock that is needed; end it and run again",
        ),
        (
            &SqlState::READ_ONLY_SQL_TRANSACTION,
            "the server takes no writes; name the primary with host=",
        ),
    ];
    let known = advice.iter().find(|(known, _)| *known == code);
    match known {
        Some((_, advice)) => format!("{place}: {advice} ({words})"),
        None if code.code().starts_with("57P") || code.code().starts_with("08") => {
            format!("{place} is going down or coming up ({words}); run again")
        }
        None => format!("{place} refused a step ({words}, SQLSTATE {})", code.code()),
    }
}

/// The server's own words, or those of the connection and what is below it.
fn words(e: &tokio_postgres::Error) -> String {
    if let Some(db) = e.as_db_error() {
        return db.message().to_owned();
    }
    let mut text = e.to_string();
    let mut below = e.source();
    while let Some(error) = below {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        below = error.source();
    }
    text
}

/// The server's words as a cause.
#[derive(Debug)]
struct Below(String);

impl std::fmt::Display for Below {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Below {}

/// A row that the table refuses is the data's fault, not the store's.
pub(super) fn row(table: &str, e: Failed) -> Failed {
    let Failed::Sql(sql) = &e else { return e };
    // Classes 22 (data) and 23 (constraints).
    let theirs = sql
        .code()
        .is_some_and(|c| c.code().starts_with("22") || c.code().starts_with("23"));
    if !theirs {
        return e;
    }
    let detail = sql.as_db_error().and_then(|d| d.detail());
    let detail = detail.map(|d| format!(": {d}")).unwrap_or_default();
    let message = format!(
        "table {table:?} refuses a row ({}{detail}); nothing of this flush was written, change the table, the mapping or on_same_time=",
        words(sql)
    );
    Failed::Said(Error::new(Kind::Schema, message))
}
