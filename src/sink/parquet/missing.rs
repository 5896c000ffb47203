//! Whether the files that manifests name are still there and whole, in the newest publication. Manifests know no sizes (the
//! record is made before its files are whole); a Parquet file that was cut lacks the mark that ends it.
//!
//! Old files are anybody's to delete, or to pack into larger ones, and a folder of one date goes as a whole when its time
//! is over: neither stops a pipeline. What does: the table's folder is gone, or holds no file though some were published;
//! of the newest publication a file is gone from a folder that is still there, or was cut, or every file is gone; an
//! open file, from which the windows that go on are taken, is gone from a folder that is still there, or was cut.

use super::disk;
use super::log::{Entry, Log, Publish};
use super::publish::Place;
use crate::Result;
use crate::sink::lost;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Refuses a table whose folder is gone, where any partition has published.
pub(super) fn folder(table: &Path, state: &Path, pipeline: &str) -> Result<()> {
    if table.exists() {
        return Ok(());
    }
    for name in disk::names(state)?.iter().filter(|n| n.starts_with('p')) {
        let log = Log::new(state.join(name), false);
        let newest = log.numbers()?.last().map(|n| log.entry(*n)).transpose()?;
        if newest.is_some_and(|entry| entry.shown.is_some()) {
            return Err(lost::gone(
                &format!("the folder {}", table.display()),
                pipeline,
            ));
        }
    }
    Ok(())
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
    if let Some(name) = published.iter().find_map(|p| lacks(place, p, is_open)) {
        return gone(format!("{name} of {table}"));
    }
    if let Some(name) = published.iter().find_map(|p| cut(place, p, is_open)) {
        return damaged(&name);
    }
    if let Some(last) = published.last() {
        if let Some(name) = cut(place, last, |_| true) {
            return damaged(&name);
        }
        if let Some(name) = lacks(place, last, |_| true) {
            return gone(format!("{name} of {table}"));
        }
        if last.files.iter().all(|file| !place.has(file)) {
            return gone(format!("what was published last in {table}"));
        }
    }
    match newest.files > 0 && published.is_empty() && !any(&place.table)? {
        true => gone(format!("every file of {table}")),
        false => Ok(()),
    }
}

/// The first file that is gone from a folder that is there.
fn lacks(place: &Place, publish: &Publish, which: impl Fn(&str) -> bool) -> Option<String> {
    let there = |to: &str| place.table.join(to).parent().is_some_and(Path::is_dir);
    let mut files = publish.files.iter().filter(|(_, to)| which(to));
    let lacking = files.find(|file| !place.has(file) && there(&file.1))?;
    Some(lacking.1.clone())
}

/// The first file that is there and was cut.
fn cut(place: &Place, publish: &Publish, which: impl Fn(&str) -> bool) -> Option<String> {
    let mut files = publish.files.iter().filter(|(_, to)| which(to));
    let cut = files.find(|(_, to)| ends(&place.table.join(to)) == Some(false))?;
    Some(cut.1.clone())
}

/// Whether a file ends as Parquet files do; `None`: it is not there, or cannot be read.
fn ends(path: &Path) -> Option<bool> {
    let mut file = File::open(path).ok()?;
    let mut end = [0; 4];
    match file.seek(SeekFrom::End(-4)) {
        Ok(_) => file.read_exact(&mut end).ok().map(|()| &end == b"PAR1"),
        // Shorter than the mark.
        Err(_) => Some(false),
    }
}

fn is_open(to: &str) -> bool {
    to.rsplit('/')
        .next()
        .is_some_and(|n| n.starts_with("open-"))
}

/// Whether there is any file in the folder or below.
fn any(folder: &Path) -> Result<bool> {
    for name in disk::names(folder)? {
        let path = folder.join(&name);
        if name.ends_with(".parquet") || (path.is_dir() && any(&path)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
