//! Whether the files that manifests name are still there and whole, in the newest publication. Manifests know no sizes (the
//! record is made before its files are whole); a Parquet file that was cut lacks the mark that ends it.
//!
//! Old files are anybody's to delete, or to pack into larger ones, and a folder of one date goes as a whole when its time
//! is over: neither stops a pipeline. What does: the table's folder is gone, or holds no file though some were published;
//! of the newest publication a file is gone from a folder that is still there, or was cut, or every file is gone; an
//! open file, from which the windows that go on are taken, is gone from a folder that is still there, or was cut.
//! On S3 a folder is there while it holds something.

use super::log::{Entry, Log, Publish};
use super::publish::Place;
use super::store::Store;
use crate::Result;
use crate::sink::lost;
use std::path::Path;
use std::sync::Arc;

/// Refuses a table whose folder is gone, where any partition has published.
pub(super) fn folder(
    store: &Arc<dyn Store>,
    table: &Path,
    state: &Path,
    pipeline: &str,
) -> Result<()> {
    if store.has_folder(table)? {
        return Ok(());
    }
    let names = store.listed(state)?.folders;
    for name in names.iter().filter(|n| n.starts_with('p')) {
        let log = Log::new(state.join(name), store.clone());
        let newest = log.numbers()?.last().map(|n| log.entry(*n)).transpose()?;
        let shown = newest.filter(|entry| entry.shown.is_some());
        let Some(newest) = shown else { continue };
        let staged = state.join(name).join("staged");
        if store.keeps_folders() || held_files(&**store, &newest, &staged)? {
            return Err(lost::gone(
                &format!("the folder {}", table.display()),
                pipeline,
            ));
        }
    }
    Ok(())
}

/// Whether a table that has no folder by itself must hold files: some were published, and none waits to be.
fn held_files(store: &dyn Store, newest: &Entry, staged: &Path) -> Result<bool> {
    let published = newest.publish.iter().flat_map(|publish| &publish.files);
    for (name, _) in published.clone() {
        if store.exists(&staged.join(name))? {
            return Ok(false);
        }
    }
    Ok(newest.files > 0 || published.count() > 0)
}

/// Refuses a partition whose newest files are gone; before the renames that manifests name are ended.
pub(super) fn files(log: &Log, newest: &Entry, place: &Place, pipeline: &str) -> Result<()> {
    let mut published = Vec::new();
    for number in log.numbers()?.into_iter().filter(|n| *n >= newest.since) {
        published.extend(log.entry(number)?.publish);
    }
    published.retain(|publish| !publish.files.is_empty());
    let table = place.table.display();
    let gone = |what: String| Err(lost::gone(&what, pipeline));
    let damaged = |name: &str| {
        let what = format!("{name} of {table} was cut short: it is no whole Parquet file");
        Err(lost::lost(&what))
    };
    for open in &published {
        if let Some(name) = lacks(place, open, is_open)? {
            return gone(format!("{name} of {table}"));
        }
    }
    for open in &published {
        if let Some(name) = cut(place, open, is_open)? {
            return damaged(&name);
        }
    }
    if let Some(last) = published.last() {
        if let Some(name) = cut(place, last, |_| true)? {
            return damaged(&name);
        }
        if let Some(name) = lacks(place, last, |_| true)? {
            return gone(format!("{name} of {table}"));
        }
        if first(&last.files, |file| place.has(file))?.is_none() {
            return gone(format!("what was published last in {table}"));
        }
    }
    match newest.files > 0 && published.is_empty() && !any(&*place.store, &place.table)? {
        true => gone(format!("every file of {table}")),
        false => Ok(()),
    }
}

/// The first of which something holds.
fn first<'a>(
    files: impl IntoIterator<Item = &'a (String, String)>,
    holds: impl Fn(&(String, String)) -> Result<bool>,
) -> Result<Option<String>> {
    for file in files {
        if holds(file)? {
            return Ok(Some(file.1.clone()));
        }
    }
    Ok(None)
}

/// The first file that is gone from a folder that is there.
fn lacks(place: &Place, publish: &Publish, which: impl Fn(&str) -> bool) -> Result<Option<String>> {
    let folder = |to: &str| match place.table.join(to).parent() {
        Some(folder) => place.store.has_folder(folder),
        None => Ok(false),
    };
    let files = publish.files.iter().filter(|(_, to)| which(to));
    first(files, |file| Ok(!place.has(file)? && folder(&file.1)?))
}

/// The first file that is there and does not end as Parquet files do.
fn cut(place: &Place, publish: &Publish, which: impl Fn(&str) -> bool) -> Result<Option<String>> {
    let files = publish.files.iter().filter(|(_, to)| which(to));
    first(files, |(_, to)| {
        let end = place.store.end(&place.table.join(to))?;
        Ok(end.is_some_and(|end| end[..] != b"PAR1"[..]))
    })
}

fn is_open(to: &str) -> bool {
    to.rsplit('/')
        .next()
        .is_some_and(|n| n.starts_with("open-"))
}

/// Whether there is any file in the folder or below.
fn any(store: &dyn Store, folder: &Path) -> Result<bool> {
    let listed = store.listed(folder)?;
    if listed.files.iter().any(|name| name.ends_with(".parquet")) {
        return Ok(true);
    }
    for name in listed.folders {
        if name.ends_with(".parquet") || any(store, &folder.join(name))? {
            return Ok(true);
        }
    }
    Ok(false)
}
