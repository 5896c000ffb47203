//! The sign that a partition of a bucket has an owner: an object that it writes anew three times a lease.
//!
//! A sign that the store got less than a `lease` ago counts, unless its process was one of this host and is gone. The
//! time is the store's (`Last-Modified`), not that of the host that wrote it: one whose clock is ahead would keep others
//! out for ever, and one whose clock is behind would never keep them out. This host's own clock may be wrong as well: so
//! an older sign (or one of the future) is looked at until it would have been written anew, and counts if it was.
//!
//! A sign is written over the version that was seen alone (`If-Match`; `If-None-Match` where none was): of two runs at
//! once one gets it. An owner that finds another's sign in place of its own stops to show one.

use super::super::store::{Held, Hold, Wants};
use super::client::Client;
use super::failure;
use crate::sink::alive::{died_here, now_ms};
use crate::{Error, Kind, Result};
use object_store::path::Path as Key;
use object_store::{Error as Said, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

/// How long taking a sign back may take.
const RELEASE: Duration = Duration::from_secs(5);
/// A sign is written anew after this time at the latest, however long the lease.
const OFTEN: Duration = Duration::from_secs(10);
/// The store tells whole seconds.
const TICK: Duration = Duration::from_secs(1);
/// How often a sign is gone for that others were quicker to write.
const TRIES: u32 = 5;

/// What the object says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sign {
    token: String,
    /// Process and host.
    owner: String,
    since: String,
    pipeline: String,
    /// The last sign of life by its owner's clock, in milliseconds since 1970: for who reads it.
    renewed: i64,
    /// The owner's lease in milliseconds.
    #[serde(default)]
    lease: u64,
}

/// A sign as it stands there; `sign`: where it can be understood.
struct Seen {
    sign: Option<Sign>,
    version: UpdateVersion,
    /// When the store got it, in milliseconds since 1970.
    got: i64,
}

/// What became of writing a sign over the one that was seen.
enum Put {
    Done(UpdateVersion),
    /// Another stands there.
    Other,
}

/// Takes the sign at `key`, or says who seems to have it.
pub(super) fn take(
    client: Arc<Client>,
    key: Key,
    path: &Path,
    wants: &Wants,
    lease: Duration,
) -> Result<Hold> {
    let sign = Sign {
        token: wants.token.into(),
        owner: wants.holder.owner.clone(),
        since: wants.holder.since.clone(),
        pipeline: wants.holder.pipeline.clone(),
        renewed: now_ms(),
        lease: lease.as_millis() as u64,
    };
    let mut lost = false;
    for _ in 0..TRIES {
        let seen = client.wait(read(&client, &key))?;
        let seen = seen.map_err(|e| client.failed("read", path, &e))?;
        if let Some(seen) = &seen
            && !wants.take_over
            && let Some(theirs) = client.wait(alive(&client, &key, seen, &sign))?
        {
            let owner = format!("{} since {}", theirs.owner, theirs.since);
            return Ok(Hold::Theirs(Some(owner)));
        }
        let put = client.wait(write(&client, &key, &sign, seen.map(|s| s.version)))?;
        match put {
            Ok(Put::Done(version)) => return Ok(Hold::Ours(show(client, key, sign, version))),
            Ok(Put::Other) => {}
            // The next look shows what became of it, and waits for a store that is away.
            Err(e) if !lost && !failure::refused(&e) => lost = true,
            Err(e) => return Err(client.failed("written", path, &e)),
        }
    }
    let message = format!(
        "{} is written by other runs again and again",
        path.display()
    );
    Err(Error::new(Kind::Endpoint, message).retryable())
}

/// Shows a sign that was written from now on.
fn show(client: Arc<Client>, key: Key, sign: Sign, version: UpdateVersion) -> Box<dyn Held> {
    let (token, writing) = (sign.token.clone(), Arc::new(Mutex::new(())));
    let renewing = client.beside(renew(
        client.clone(),
        key.clone(),
        sign,
        version,
        writing.clone(),
    ));
    Box::new(Lease {
        client,
        key,
        token,
        writing,
        renewing,
    })
}

/// How long after a sign the next one is written.
fn pace(lease: Duration) -> Duration {
    (lease / 3).min(OFTEN)
}

/// The sign seen, or the one that came after, if another owner seems to be alive.
async fn alive(client: &Client, key: &Key, seen: &Seen, ours: &Sign) -> Option<Sign> {
    let theirs = seen.sign.as_ref().filter(|sign| sign.token != ours.token)?;
    if died_here(&theirs.owner, &ours.owner) {
        return None;
    }
    let lease = match theirs.lease {
        0 => Duration::from_millis(ours.lease),
        told => Duration::from_millis(told),
    };
    if fresh(now_ms(), seen.got, lease) {
        return Some(theirs.clone());
    }
    tokio::time::sleep(pace(lease) * 3 / 2).await;
    match read(client, key).await {
        Ok(Some(now)) if now.version.e_tag != seen.version.e_tag => {
            now.sign.filter(|sign| sign.token != ours.token)
        }
        _ => None,
    }
}

/// Whether a sign that the store `got` then counts `now`.
fn fresh(now: i64, got: i64, lease: Duration) -> bool {
    u128::from(now.abs_diff(got)) < (lease + TICK).as_millis()
}

/// The sign that stands there.
async fn read(client: &Client, key: &Key) -> std::result::Result<Option<Seen>, Said> {
    let got = match client.s3.get(key).await {
        Err(e @ Said::NotFound { .. }) if !failure::no_bucket(&e) => return Ok(None),
        got => got?,
    };
    let meta = &got.meta;
    let (version, at) = (
        UpdateVersion {
            e_tag: meta.e_tag.clone(),
            version: meta.version.clone(),
        },
        meta.last_modified.timestamp_millis(),
    );
    let sign = serde_json::from_slice(&got.bytes().await?).ok();
    Ok(Some(Seen {
        sign,
        version,
        got: at,
    }))
}

/// Writes the sign over the one seen, or where there was none.
async fn write(
    client: &Client,
    key: &Key,
    sign: &Sign,
    seen: Option<UpdateVersion>,
) -> std::result::Result<Put, Said> {
    let text = serde_json::to_vec(sign).unwrap_or_default();
    let mode = seen.map_or(PutMode::Create, PutMode::Update);
    match client.s3.put_opts(key, text.into(), mode.into()).await {
        Ok(put) => Ok(Put::Done(put.into())),
        Err(Said::AlreadyExists { .. } | Said::Precondition { .. }) => Ok(Put::Other),
        Err(e) => Err(e),
    }
}

/// Writes the sign anew as long as no other stands in its place; what fails is followed by the next one, and the epoch
/// decides what counts.
async fn renew(
    client: Arc<Client>,
    key: Key,
    mut sign: Sign,
    version: UpdateVersion,
    writing: Arc<Mutex<()>>,
) {
    let pause = pace(Duration::from_millis(sign.lease));
    let mut seen = Some(version);
    loop {
        tokio::time::sleep(pause).await;
        let _writing = writing.lock().await;
        sign.renewed = now_ms();
        if let Ok(Put::Done(version)) = write(&client, &key, &sign, seen.clone()).await {
            seen = Some(version);
            continue;
        }
        // Another's, or our own whose answer was lost.
        match read(&client, &key).await {
            Ok(Some(found)) if found.sign.as_ref().is_none_or(|s| s.token != sign.token) => return,
            Ok(found) => seen = found.map(|f| f.version),
            Err(_) => {}
        }
    }
}

/// A sign that is shown.
#[derive(Debug)]
struct Lease {
    client: Arc<Client>,
    key: Key,
    token: String,
    /// Held while the sign is written.
    writing: Arc<Mutex<()>>,
    renewing: AbortHandle,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Held for Lease {
    fn release(self: Box<Self>) {
        let ended = async {
            let _writing = self.writing.lock().await;
            self.renewing.abort();
            if let Ok(Some(seen)) = read(&self.client, &self.key).await
                && seen.sign.is_some_and(|sign| sign.token == self.token)
            {
                let _ = self.client.s3.delete(&self.key).await;
            }
        };
        // Without it the next owner waits for the lease to run out, no more.
        let _ = self
            .client
            .wait(async { tokio::time::timeout(RELEASE, ended).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_counts_for_a_lease_and_one_of_the_future_no_longer() {
        let lease = Duration::from_secs(10);
        assert!(fresh(100_000, 91_000, lease));
        assert!(
            fresh(100_000, 105_000, lease),
            "clocks are never quite alike"
        );
        assert!(!fresh(100_000, 80_000, lease));
        assert!(!fresh(100_000, 4_000_000_000_000, lease));
        assert!(!fresh(0, i64::MIN, lease) && !fresh(i64::MIN, i64::MAX, lease));
    }

    #[test]
    fn a_sign_is_looked_at_until_it_would_have_been_written_anew() {
        for seconds in [1, 10, 3_600] {
            assert!(pace(Duration::from_secs(seconds)) <= OFTEN);
        }
        assert!(pace(Duration::from_secs(9)) * 2 < Duration::from_secs(9));
    }
}
