//! A bucket of S3, or of what speaks like it: objects are there whole when their bytes have arrived.
//!
//! A manifest is put with `If-None-Match: *`. Where the answer says that the name is taken, the log reads back whose entry
//! it is, since the attempt before may have been ours; where the answer is lost, the entry may still come, and the log
//! takes its number with a fence before it goes on.
//!
//! **Publishing** is a copy inside the store, then the removal of the staged object, in the order of the manifest, and
//! the next manifest is made only when the last staged object is gone. So a stale owner that wakes late and copies finds no source,
//! and a copy that finds none is nothing. What a server has begun to copy it ends: only a copy that takes it longer than
//! another owner's whole next publication could bring back an `open-` file of before.
//!
//! **Fencing.** The epoch keeps a stale owner out; the object `lease` beside the manifests only gives a second run a
//! clear word early (see `lease`).

mod client;
mod failure;
mod lease;

use super::store::{Created, Hold, Listed, Source, Store, Wants, Written};
use crate::sink::Parquet;
use crate::{Error, Kind, Result, faults};
use bytes::Bytes;
use client::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{
    Error as Said, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Requests at once.
const AT_ONCE: usize = 16;
/// How long files that nobody reads are tried to be removed.
const DISCARD: Duration = Duration::from_secs(10);
/// How often a put is tried again that met another of the same name and left none.
const CONFLICTS: u32 = 5;

/// The bucket of an endpoint; it connects when it is first asked.
pub(super) fn open(at: &Parquet) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(Bucket {
        at: at.clone(),
        client: Mutex::new(None),
    }))
}

/// A bucket.
#[derive(Debug)]
struct Bucket {
    at: Parquet,
    client: Mutex<Option<Arc<Client>>>,
}

impl Bucket {
    fn client(&self) -> Result<Arc<Client>> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = Arc::new(Client::connect(&self.at)?);
        *slot = Some(client.clone());
        Ok(client)
    }

    /// The object of a path.
    fn key(&self, path: &Path) -> Result<Key> {
        let text = path.to_str().and_then(|t| t.strip_prefix("s3://"));
        let key = text.map(|t| t.split_once('/').map_or("", |(_, key)| key));
        let key = key.and_then(|key| Key::parse(key).ok());
        key.ok_or_else(|| {
            let message = format!("{} cannot be the name of an object", path.display());
            Error::new(Kind::Usage, message)
        })
    }

    fn get(&self, path: &Path, range: Option<GetRange>) -> Result<Option<Bytes>> {
        let (client, key) = (self.client()?, self.key(path)?);
        let ranged = range.is_some();
        let options = GetOptions {
            range,
            ..GetOptions::default()
        };
        let got = client.wait(async { client.s3.get_opts(&key, options).await?.bytes().await })?;
        match got {
            // No byte is in the range: the object is empty.
            Err(e) if ranged && failure::no_range(&e) => self.get(path, None),
            got => client.there(path, got),
        }
    }

    fn put(&self, path: &Path, bytes: PutPayload, mode: PutMode) -> Result<Put> {
        let (client, key) = (self.client()?, self.key(path)?);
        client.wait(async {
            client
                .s3
                .put_opts(&key, bytes, mode.into())
                .await
                .map(|_| ())
        })
    }

    /// Everything below a folder, by its whole name.
    fn below(&self, folder: &Path) -> Result<Vec<String>> {
        let (client, key) = (self.client()?, self.key(folder)?);
        let names = client
            .s3
            .list(Some(&key))
            .map_ok(|o| o.location.to_string());
        let names = client.wait(names.try_collect::<Vec<String>>())?;
        Ok(client.there(folder, names)?.unwrap_or_default())
    }
}

type Put = std::result::Result<(), Said>;

impl Store for Bucket {
    fn late(&self) -> bool {
        true
    }

    fn keeps_folders(&self) -> bool {
        false
    }

    /// Whether objects may be put shows the first of them alone; that the bucket is there and lets us look at it shows
    /// the list.
    fn takes_files(&self, folder: &Path) -> Result<()> {
        self.has_folder(folder).map(|_| ())
    }

    fn make_folder(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn sync(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let Listed { files, folders } = self.listed(folder)?;
        let mut names = [files, folders].concat();
        names.sort();
        Ok(names)
    }

    fn listed(&self, folder: &Path) -> Result<Listed> {
        let (client, key) = (self.client()?, self.key(folder)?);
        let listed = client.wait(client.s3.list_with_delimiter(Some(&key)))?;
        let Some(listed) = client.there(folder, listed)? else {
            return Ok(Listed::default());
        };
        let name = |key: &Key| key.filename().map(str::to_owned);
        let objects = listed.objects.iter().filter(|o| o.location != key);
        Ok(Listed {
            files: objects.filter_map(|o| name(&o.location)).collect(),
            folders: listed.common_prefixes.iter().filter_map(name).collect(),
        })
    }

    fn files(&self, table: &Path) -> Result<Vec<(String, String)>> {
        let top = self.key(table)?.to_string();
        let mut found = Vec::new();
        for name in self.below(table)? {
            let Some(inside) = name.strip_prefix(&top).and_then(|n| n.strip_prefix('/')) else {
                continue;
            };
            let (folder, file) = inside.rsplit_once('/').unwrap_or(("", inside));
            let hive = folder.is_empty() || folder.split('/').all(|part| part.contains('='));
            if hive && file.ends_with(".parquet") {
                found.push((folder.to_owned(), file.to_owned()));
            }
        }
        Ok(found)
    }

    fn has_folder(&self, folder: &Path) -> Result<bool> {
        let listed = self.listed(folder)?;
        Ok(!listed.files.is_empty() || !listed.folders.is_empty())
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let (client, key) = (self.client()?, self.key(path)?);
        let head = client.wait(client.s3.head(&key))?;
        Ok(client.there(path, head)?.is_some())
    }

    fn find(&self, path: &Path) -> Result<Option<Bytes>> {
        self.get(path, None)
    }

    fn start(&self, path: &Path, length: usize) -> Result<Bytes> {
        let found = self.get(path, Some(GetRange::Bounded(0..length as u64)))?;
        found.ok_or_else(|| gone(path))
    }

    fn end(&self, path: &Path) -> Result<Option<Bytes>> {
        let end = self.get(path, Some(GetRange::Suffix(4)))?;
        Ok(end.map(|end| end.slice(end.len().saturating_sub(4)..)))
    }

    /// Whole: a file rolls long before it would not fit, and small reads one after the other would take longer.
    fn open(&self, path: &Path) -> Result<Source> {
        Ok(Source::Whole(self.find(path)?.ok_or_else(|| gone(path))?))
    }

    fn create(&self, path: &Path, _: &str, parts: &[&[u8]]) -> Result<Created> {
        let bytes = PutPayload::from(parts.concat());
        for attempt in 0..CONFLICTS {
            match self.put(path, bytes.clone(), PutMode::Create)? {
                Ok(()) => return Ok(Created::Yes),
                Err(Said::AlreadyExists { .. } | Said::Precondition { .. }) => {}
                Err(e) => {
                    let error = self.client()?.failed("made", path, &e);
                    return match failure::refused(&e) && attempt == 0 {
                        true => Err(error),
                        false => Ok(Created::Unclear(error)),
                    };
                }
            }
            if self.exists(path)? {
                return Ok(Created::Taken);
            }
            // 409: two came at once, and the other left none.
            std::thread::sleep(Duration::from_millis(50 << attempt));
        }
        let message = format!(
            "{} met other attempts to make it again and again",
            path.display()
        );
        Ok(Created::Unclear(
            Error::new(Kind::Endpoint, message).retryable(),
        ))
    }

    fn begin(&self, path: &Path) -> Result<Box<dyn Written>> {
        Ok(Box::new(NewObject {
            client: self.client()?,
            key: self.key(path)?,
            path: path.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn publish(&self, _: &Path, files: Vec<(PathBuf, PathBuf)>) -> Result<()> {
        let client = self.client()?;
        let open = |to: &Path| {
            let name = to.file_name().and_then(|n| n.to_str());
            name.is_some_and(|n| n.starts_with("open-"))
        };
        // In their order, but that those of a kind go side by side.
        for files in files.chunk_by(|a, b| open(&a.1) == open(&b.1)) {
            let moves = files.iter().map(|(from, to)| {
                let keys = self.key(from).and_then(|from| Ok((from, self.key(to)?)));
                let client = &client;
                async move {
                    let (from, to_key) = keys?;
                    carry(client, &from, &to_key, to).await
                }
            });
            let all = stream::iter(moves).buffer_unordered(AT_ONCE);
            client.wait(all.try_collect::<()>())??;
        }
        Ok(())
    }

    fn put_aside(&self, from: &Path, to: &Path) -> Result<()> {
        let client = self.client()?;
        let (from, to_key) = (self.key(from)?, self.key(to)?);
        client.wait(carry(&client, &from, &to_key, to))?
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let (client, key) = (self.client()?, self.key(path)?);
        let removed = client.wait(client.s3.delete(&key))?;
        client.there(path, removed).map(|_| ())
    }

    fn discard(&self, files: &[PathBuf]) {
        let keys = files.iter().filter_map(|path| self.key(path).ok());
        let keys: Vec<Key> = keys.collect();
        let Ok(client) = self.client() else { return };
        let all = stream::iter(keys).for_each_concurrent(AT_ONCE, |key| {
            let s3 = client.s3.clone();
            async move {
                let _ = s3.delete(&key).await;
            }
        });
        let _ = client.wait(async { tokio::time::timeout(DISCARD, all).await });
    }

    fn hold(&self, folder: &Path, wants: &Wants) -> Result<Hold> {
        let path = folder.join("lease");
        lease::take(
            self.client()?,
            self.key(&path)?,
            &path,
            wants,
            self.at.lease(),
        )
    }
}

/// Copies an object and removes it; one that is not there was carried before.
async fn carry(client: &Client, from: &Key, to: &Key, path: &Path) -> Result<()> {
    let failed = |e: Said| client.failed("published", path, &e);
    match client.s3.copy(from, to).await {
        Err(e @ Said::NotFound { .. }) if !failure::no_bucket(&e) => return Ok(()),
        copied => copied.map_err(failed)?,
    }
    faults::point("copied")?;
    let mut removed = client.s3.delete(from).await;
    // Its name is never used again: a removal whose answer was lost may come twice. The client tries no lost one again.
    if removed.as_ref().is_err_and(failure::lost) {
        removed = client.s3.delete(from).await;
    }
    match removed {
        Err(e @ Said::NotFound { .. }) if !failure::no_bucket(&e) => Ok(()),
        removed => removed.map_err(failed),
    }
}

fn gone(path: &Path) -> Error {
    super::disk::failed("read", path, std::io::ErrorKind::NotFound.into())
}

/// An object that will be put.
struct NewObject {
    client: Arc<Client>,
    key: Key,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Write for NewObject {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written for NewObject {
    fn end(self: Box<Self>) -> Result<()> {
        let put = self.client.s3.put(&self.key, PutPayload::from(self.bytes));
        let put = self.client.wait(put)?;
        let failed = |e| self.client.failed("written", &self.path, &e);
        put.map(|_| ()).map_err(failed)
    }
}
