//! The rows of the published files, read back file by file.

use super::store::{self, Source, Store};
use super::{beside, table};
use crate::sink::Parquet;
use crate::sink::stored::{Each, Noted, Stored, Wanted, schema};
use crate::{Error, Kind, Result};
use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder that is read.
pub(in crate::sink) struct ParquetStored {
    root: PathBuf,
    store: Arc<dyn Store>,
}

type Opened = ParquetRecordBatchReaderBuilder<Source>;

impl ParquetStored {
    pub(super) fn new(at: &Parquet) -> Result<ParquetStored> {
        Ok(ParquetStored {
            root: at.path.clone(),
            store: store::open(at)?,
        })
    }

    /// The published files of a table, in order, each with the grain that its folder names.
    fn files(&self, name: &str) -> Result<Vec<(PathBuf, Option<String>)>> {
        let mut found = Vec::new();
        below(&*self.store, &self.at(name), None, &mut found)?;
        match found.is_empty() {
            false => Ok(found),
            true => {
                let message = format!("{}: holds no Parquet files", self.at(name).display());
                Err(Error::new(Kind::NotFound, message))
            }
        }
    }

    /// The folder of a table.
    fn at(&self, name: &str) -> PathBuf {
        match name.is_empty() {
            true => self.root.clone(),
            false => self.root.join(name),
        }
    }

    fn opened(&self, path: &Path) -> Result<Opened> {
        Opened::try_new(self.store.open(path)?).map_err(|e| damaged(path).because(e))
    }

    fn noted(&self, folder: &Path) -> Result<Option<Noted>> {
        let Some(state) = beside(folder) else {
            return Ok(None);
        };
        let name = folder.strip_prefix(&self.root).unwrap_or(folder);
        Ok(table::facts(&*self.store, &state)?.map(|facts| facts.noted(&name.to_string_lossy())))
    }

    fn all_noted(&self, folder: &Path, into: &mut Vec<Noted>) -> Result<()> {
        for name in self.store.listed(folder)?.folders {
            if !name.ends_with(".wattline") {
                let path = folder.join(&name);
                into.extend(self.noted(&path)?);
                self.all_noted(&path, into)?;
            }
        }
        Ok(())
    }
}

/// The files in a folder and below it, but for those of other tables.
fn below(
    store: &dyn Store,
    folder: &Path,
    grain: Option<&str>,
    into: &mut Vec<(PathBuf, Option<String>)>,
) -> Result<()> {
    let listed = store.listed(folder)?;
    for name in &listed.folders {
        let state = format!("{name}.wattline");
        let others = listed.folders.contains(&state)
            && store.exists(&folder.join(state).join("table.json"))?;
        if !others && !name.ends_with(".wattline") {
            let grain = name.strip_prefix("grain=").or(grain);
            below(store, &folder.join(name), grain, into)?;
        }
    }
    let files = listed
        .files
        .iter()
        .filter(|name| name.ends_with(".parquet"));
    into.extend(files.map(|name| (folder.join(name), grain.map(str::to_owned))));
    Ok(())
}

fn damaged(path: &Path) -> Error {
    Error::new(
        Kind::DataLost,
        format!(
            "{} is no whole Parquet file; restore it from a copy",
            path.display()
        ),
    )
}

fn has(opened: &Opened, name: &str) -> bool {
    opened.schema().index_of(name).is_ok()
}

/// Rows of these columns, as the file has them.
fn read(
    path: &Path,
    opened: Opened,
    names: &[&str],
    each: &mut dyn FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let mask = ProjectionMask::columns(opened.parquet_schema(), names.iter().copied());
    let reader = opened.with_projection(mask).build();
    for rows in reader.map_err(|e| damaged(path).because(e))? {
        each(rows.map_err(|e| damaged(path).because(e))?)?;
    }
    Ok(())
}

impl Stored for ParquetStored {
    fn tables(&mut self) -> Result<Vec<Noted>> {
        if !self.store.has_folder(&self.root)? {
            let message = format!("{}: no such store", self.root.display());
            return Err(Error::new(Kind::NotFound, message));
        }
        let mut all: Vec<Noted> = self.noted(&self.root)?.into_iter().collect();
        self.all_noted(&self.root, &mut all)?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>> {
        let files = self.files(table)?;
        let Some((path, grain)) = files.first() else {
            return Ok(Vec::new());
        };
        let schema = self.opened(path)?.schema().clone();
        let names = schema.fields().iter().map(|f| f.name().clone());
        Ok(names.chain(grain.iter().map(|_| "grain".into())).collect())
    }

    fn counts(&mut self, table: &str, grain: &str) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for (path, own) in self.files(table)? {
            let file = self.opened(&path)?;
            match own.filter(|_| !has(&file, grain)) {
                Some(own) => {
                    let rows = file.metadata().file_metadata().num_rows();
                    *counts.entry(own).or_default() += rows as u64;
                }
                None => read(&path, file, &[grain], &mut |rows| {
                    for name in texts(&rows, grain)?.as_string::<i32>().iter().flatten() {
                        *counts.entry(name.to_owned()).or_default() += 1;
                    }
                    Ok(())
                })?,
            }
        }
        Ok(counts)
    }

    fn rows(&mut self, wanted: &Wanted, each: &mut Each<'_>) -> Result<()> {
        let schema = schema(wanted);
        let mut names: Vec<&str> = wanted
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        names.extend(wanted.grain.iter().map(|(column, _)| column.as_str()));
        let mut left = wanted.most.unwrap_or(usize::MAX);
        for (path, own) in self.files(&wanted.table)? {
            let file = self.opened(&path)?;
            let beside = wanted
                .grain
                .as_ref()
                .filter(|(column, _)| has(&file, column));
            let other = wanted
                .grain
                .as_ref()
                .is_some_and(|(_, g)| beside.is_none() && own.as_ref() != Some(g));
            if other || left == 0 {
                continue;
            }
            read(&path, file, &names, &mut |mut rows| {
                if let Some((column, grain)) = beside {
                    let own = texts(&rows, column)?;
                    let same: BooleanArray = own
                        .as_string::<i32>()
                        .iter()
                        .map(|g| Some(g == Some(grain)))
                        .collect();
                    rows =
                        arrow_select::filter::filter_record_batch(&rows, &same).map_err(unfit)?;
                }
                let rows = rows.slice(0, rows.num_rows().min(left));
                left -= rows.num_rows();
                each(named(&rows, wanted, &schema)?)
            })?;
        }
        Ok(())
    }
}

fn unfit(e: arrow_schema::ArrowError) -> Error {
    Error::new(
        Kind::Usage,
        "columns of Parquet files are not of our kinds, so they cannot be read back",
    )
    .because(e)
}

fn texts(rows: &RecordBatch, name: &str) -> Result<arrow_array::ArrayRef> {
    let column = rows.column_by_name(name).ok_or_else(|| lacks(name))?;
    arrow_cast::cast(column, &DataType::Utf8).map_err(unfit)
}

fn lacks(name: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!("a Parquet file has no column {name:?}"),
    )
}

/// The wanted columns under our names and types.
fn named(
    rows: &RecordBatch,
    wanted: &Wanted,
    schema: &arrow_schema::SchemaRef,
) -> Result<RecordBatch> {
    let column =
        |((theirs, _), field): (&(String, String), &std::sync::Arc<arrow_schema::Field>)| {
            let column = rows.column_by_name(theirs).ok_or_else(|| lacks(theirs))?;
            arrow_cast::cast(column, field.data_type()).map_err(unfit)
        };
    let columns = wanted.columns.iter().zip(schema.fields()).map(column);
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_>>()?).map_err(unfit)
}
