//! Staging and publishing: rows become files where no reader looks, and readers see them by rename, on S3 by a copy.

use super::encode::{Encoder, plain};
use super::group::Piece;
use super::layout::{Layout, in_order, order};
use super::log::Publish;
use super::store::Store;
use super::waiting::Waiting;
use crate::{Result, faults, runtime};
use arrow_array::RecordBatch;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where files of one partition are staged and published, and how they are written.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub store: Arc<dyn Store>,
    /// The table's folder.
    pub table: PathBuf,
    /// The partition's staging folder.
    pub staged: PathBuf,
    pub partition: u32,
    pub layout: Layout,
    pub encoder: Encoder,
    /// Files that were lost are not looked for.
    pub anew: bool,
}

/// One file to be made.
struct Job {
    staged: String,
    to: String,
    pieces: Vec<Piece>,
}

impl Place {
    fn open_name(&self, folder: &str) -> String {
        join(folder, &format!("open-{}.parquet", self.partition))
    }

    /// Writes what waits to staged files, durably; on failure none stays. `attempt` makes the
    /// staged names unique to this owner and manifest.
    pub fn stage(&self, waiting: &Waiting, attempt: &str) -> Result<Publish> {
        let jobs = self.jobs(waiting, attempt);
        if jobs.is_empty() {
            return Ok(Publish::default());
        }
        self.store.make_folder(&self.staged)?;
        let pool = runtime::pool()?;
        let made: Result<()> = pool.install(|| jobs.par_iter().try_for_each(|j| self.write(j)));
        let made = made.and_then(|()| self.store.sync(&self.staged));
        let publish = Publish {
            files: jobs.into_iter().map(|j| (j.staged, j.to)).collect(),
        };
        if let Err(e) = made.and_then(|()| faults::point("staged")) {
            self.discard(&publish);
            return Err(e);
        }
        Ok(publish)
    }

    /// Open windows first: they must leave their old file before their final rows appear.
    fn jobs(&self, waiting: &Waiting, attempt: &str) -> Vec<Job> {
        let changed = waiting.open.iter().filter(|(_, o)| o.changed);
        let open = changed.map(|(folder, o)| {
            let rows = std::iter::once(&o.none).chain(&o.rows).cloned();
            (self.open_name(folder), rows.map(Piece::Rows).collect())
        });
        let id = waiting.upto.as_ref().map(|a| a.id).unwrap_or_default();
        let part = |(k, (folder, pieces)): (usize, (&String, &Vec<Piece>))| {
            let name = format!("part-{}-{}-{}-{k}.parquet", self.partition, id.epoch, id.n);
            (join(folder, &name), pieces.clone())
        };
        let parts = waiting.rows.iter().enumerate().map(part);
        let job = |(i, (to, pieces)): (usize, (String, Vec<Piece>))| Job {
            staged: format!("{attempt}-{i}"),
            to,
            pieces,
        };
        open.chain(parts).enumerate().map(job).collect()
    }

    fn write(&self, job: &Job) -> Result<()> {
        let path = self.staged.join(&job.staged);
        match in_order(self.layout.what, &job.pieces) {
            true => self.encoder.write(&*self.store, &path, &job.pieces),
            false => self.write_sorted(&path, &job.pieces),
        }
    }

    fn write_sorted(&self, path: &Path, pieces: &[Piece]) -> Result<()> {
        let mut rows: Vec<RecordBatch> = Vec::new();
        for piece in pieces {
            for some in piece.rows()? {
                rows.push(plain(&some)?);
            }
        }
        let picks = order(self.layout.what, &rows)?;
        match picks {
            Some(picks) => self
                .encoder
                .write_picked(&*self.store, path, (&rows, &picks)),
            None => {
                let rows: Vec<Piece> = rows.into_iter().map(Piece::Rows).collect();
                self.encoder.write(&*self.store, path, &rows)
            }
        }
    }

    /// Removes staged files that will not be published.
    pub fn discard(&self, publish: &Publish) {
        let staged = publish.files.iter().map(|(staged, _)| staged);
        let staged: Vec<PathBuf> = staged.map(|name| self.staged.join(name)).collect();
        self.store.discard(&staged);
    }

    /// Gives staged files the names under which readers see them. Doing it again, or by another owner at
    /// the same time, changes nothing: a staged file is there once.
    pub fn carry_out(&self, publish: &Publish) -> Result<()> {
        let there =
            |(staged, to): &(String, String)| (self.staged.join(staged), self.table.join(to));
        let files = publish.files.iter().map(there).collect();
        self.store.publish(&self.table, files)?;
        faults::point("published")
    }

    /// Whether a file that was to be published is there, renamed already or not.
    pub fn has(&self, (staged, to): &(String, String)) -> Result<bool> {
        let (to, staged) = (self.table.join(to), self.staged.join(staged));
        // Looked at again: it may be renamed just then.
        Ok(self.store.exists(&to)? || self.store.exists(&staged)? || self.store.exists(&to)?)
    }

    /// Removes staged files that no manifest names.
    pub fn sweep(&self) -> Result<()> {
        let names = self.store.names(&self.staged)?;
        let left: Vec<PathBuf> = names.iter().map(|name| self.staged.join(name)).collect();
        self.store.discard(&left);
        Ok(())
    }

    /// Moves the files of this partition out of the table: what is counted again must not stand there twice.
    pub fn put_aside(&self, aside: &Path) -> Result<()> {
        let mine = [format!("part-{}-", self.partition), self.open_name("")];
        for (folder, name) in self.store.files(&self.table)? {
            if mine.iter().any(|m| name.starts_with(m)) {
                let name = join(&folder, &name);
                let (from, to) = (self.table.join(&name), aside.join(&name));
                self.store.put_aside(&from, &to)?;
            }
        }
        Ok(())
    }

    /// The open windows as readers see them, by folder.
    pub fn read_open(&self) -> Result<Vec<(String, RecordBatch)>> {
        let name = self.open_name("");
        let mut found = Vec::new();
        for (folder, entry) in self.store.files(&self.table)? {
            if entry == name {
                let path = self.table.join(&folder).join(&entry);
                let rows = super::encode::read_file(&*self.store, &path)?;
                found.extend(rows.into_iter().map(|rows| (folder.clone(), rows)));
            }
        }
        Ok(found)
    }
}

/// A name in a folder, which may be none.
pub(super) fn join(folder: &str, name: &str) -> String {
    match folder.is_empty() {
        true => name.to_owned(),
        false => format!("{folder}/{name}"),
    }
}
