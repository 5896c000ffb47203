//! The sign that a partition of a bucket has an owner: an object that it writes anew three times a lease.
//!
//! A sign older than `lease`, or whose process on this host is gone, counts for nothing. An owner that finds another's
//! sign in place of its own stops to show one.

use super::super::store::{Held, Hold, Wants};
use super::client::Client;
use crate::Result;
use crate::sink::alive::{died_here, now_ms};
use object_store::path::Path as Key;
use object_store::{Error as Said, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

/// How long taking a sign back may take.
const RELEASE: Duration = Duration::from_secs(5);

/// What the object says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sign {
    token: String,
    /// Process and host.
    owner: String,
    since: String,
    pipeline: String,
    /// The last sign of life, in milliseconds since 1970.
    renewed: i64,
}

/// Takes the sign at `key`, or says who seems to have it.
pub(super) fn take(
    client: Arc<Client>,
    key: Key,
    path: &Path,
    wants: &Wants,
    lease: Duration,
) -> Result<Hold> {
    let seen = client.wait(read(&client, &key))?;
    let seen = client.there(path, seen)?.flatten();
    if let Some(theirs) = seen.filter(|sign| alive(sign, wants, lease) && !wants.take_over) {
        let owner = format!("{} since {}", theirs.owner, theirs.since);
        return Ok(Hold::Theirs(Some(owner)));
    }
    let sign = Sign {
        token: wants.token.into(),
        owner: wants.holder.owner.clone(),
        since: wants.holder.since.clone(),
        pipeline: wants.holder.pipeline.clone(),
        renewed: now_ms(),
    };
    let put = client.wait(write(&client, &key, &sign))?;
    put.map_err(|e| client.failed("written", path, &e))?;
    let writing = Arc::new(Mutex::new(()));
    let renewing = client.beside(renew(
        client.clone(),
        key.clone(),
        sign.clone(),
        lease,
        writing.clone(),
    ));
    Ok(Hold::Ours(Box::new(Lease {
        client,
        key,
        token: sign.token,
        writing,
        renewing,
    })))
}

/// Whether another owner seems to be alive.
fn alive(sign: &Sign, wants: &Wants, lease: Duration) -> bool {
    sign.token != wants.token
        && !died_here(&sign.owner, &wants.holder.owner)
        && now_ms().saturating_sub(sign.renewed) < lease.as_millis() as i64
}

/// The sign, `None` where it cannot be understood.
async fn read(client: &Client, key: &Key) -> std::result::Result<Option<Sign>, Said> {
    let bytes = client.s3.get(key).await?.bytes().await?;
    Ok(serde_json::from_slice(&bytes).ok())
}

async fn write(client: &Client, key: &Key, sign: &Sign) -> std::result::Result<(), Said> {
    let text = serde_json::to_vec(sign).unwrap_or_default();
    client.s3.put(key, text.into()).await.map(|_| ())
}

async fn renew(
    client: Arc<Client>,
    key: Key,
    mut sign: Sign,
    lease: Duration,
    writing: Arc<Mutex<()>>,
) {
    loop {
        tokio::time::sleep(lease / 3).await;
        let _writing = writing.lock().await;
        match read(&client, &key).await {
            Ok(Some(seen)) if seen.token != sign.token => return,
            // A sign that does not arrive is followed by the next one; the epoch decides what counts.
            Err(e) if !matches!(e, Said::NotFound { .. }) => continue,
            _ => {}
        }
        sign.renewed = now_ms();
        let _ = write(&client, &key, &sign).await;
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
            if let Ok(Some(sign)) = read(&self.client, &self.key).await
                && sign.token == self.token
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
