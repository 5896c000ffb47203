//! Several inputs as one dataset: each gets its own plan (delimiters and headers may differ), all
//! give the same columns.

use super::{Chunk, Chunks, CsvPlan, ReadOptions, SchemaChoice, read_table, replay, resolve};
use crate::input::{self, Bytes, Encoding, HEAD, InputSpec, Limits, Opened};
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::schema::{Column, Role, Schema};
use crate::time::OnRepeated;
use crate::{Error, Kind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::collections::VecDeque;
use std::sync::Arc;

/// Inputs held against a schema, ready to be read once.
pub struct Dataset {
    inputs: VecDeque<Planned>,
    columns: SchemaRef,
    options: ReadOptions,
}

/// One input and how it is read.
struct Planned {
    spec: InputSpec,
    plan: Arc<CsvPlan>,
    /// Bytes of a plain file when it was looked at.
    size: Option<u64>,
}

impl Planned {
    /// Opens it; a file that was cut since is no file with a bad last line.
    fn open(&self) -> Result<Opened> {
        let opened = self.spec.open(&Limits::default())?;
        match (&opened.bytes, self.size) {
            (Bytes::At { len, .. }, Some(size)) if *len < size => {
                Err(super::text::shorter(&self.spec.name))
            }
            _ => Ok(opened),
        }
    }
}

/// A dataset read whole.
#[derive(Default)]
pub struct Read {
    /// The rows, in order of inputs and lines.
    pub batches: Vec<RecordBatch>,
    /// Records that could not be read.
    pub rejects: Vec<Reject>,
    /// Lines, records and bytes.
    pub ledger: Ledger,
}

impl Dataset {
    /// Looks at the head of each input that `paths` name; `only`: the columns to read, all without it.
    ///
    /// Errors: `NotFound`, `Schema` where an input is no such table or its columns differ from the
    /// first's, `AmbiguousDates`.
    pub fn open(
        paths: &[String],
        choice: SchemaChoice,
        only: Option<&[String]>,
        options: ReadOptions,
    ) -> Result<Dataset> {
        let mut inputs = VecDeque::new();
        let mut columns: Option<(Arc<str>, SchemaRef)> = None;
        for spec in input::expand(paths)? {
            if options.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(Error::new(Kind::Interrupted, "the read was stopped"));
            }
            let next = planned(spec, &choice, only, &options)?;
            let (name, here) = (&next.spec.name, next.plan.schema());
            let (first, known) = columns.get_or_insert_with(|| (name.clone(), here.clone()));
            same_columns((first, known), (name, &here))?;
            inputs.push_back(next);
        }
        let (_, columns) = columns.ok_or_else(|| {
            Error::new(Kind::Usage, "no input is named; name a file, a glob or -")
        })?;
        Ok(Dataset {
            inputs,
            columns,
            options,
        })
    }

    /// The columns of its tables.
    pub fn columns(&self) -> SchemaRef {
        self.columns.clone()
    }

    /// Reads everything.
    pub fn read(self) -> Result<Read> {
        let mut all = Read::default();
        for input in self.inputs {
            let options = remaining(&self.options, all.ledger.rejected);
            let (batches, rejects, ledger) = read_table(input.open()?, input.plan, &options)?;
            for batch in batches {
                all.batches.push(fitted(&self.columns, &batch)?);
            }
            all.rejects.extend(rejects);
            all.ledger.add(&ledger);
        }
        Ok(all)
    }

    /// Reads the mended records of a mend file in place of the inputs they came from.
    pub fn replay(self, mend: &[u8]) -> Result<Read> {
        let mut mended = replay::read(mend)?;
        let mut all = Read::default();
        for Planned { spec, plan, .. } in &self.inputs {
            let Some(records) = mended.remove(&spec.name) else {
                continue;
            };
            let replayed = replay::decode(plan, &records, &self.options)?;
            for chunk in replayed.chunks {
                all.batches.push(fitted(&self.columns, &chunk.batch)?);
            }
            all.rejects.extend(replayed.rejects);
            all.ledger.add(&replayed.counters);
        }
        match mended.keys().next() {
            None => Ok(all),
            Some(other) => Err(Error::new(
                Kind::Usage,
                format!(
                    "the mend file holds records of {other}, which is not among the files named; name it too"
                ),
            )),
        }
    }

    /// Reads it piece by piece.
    pub fn scan(self) -> Scan {
        Scan {
            dataset: self,
            current: None,
            rejected: 0,
            rejects: Vec::new(),
        }
    }
}

/// A dataset read piece by piece, with a bounded number of pieces in memory.
pub struct Scan {
    dataset: Dataset,
    current: Option<Chunks<Chunk>>,
    rejected: u64,
    rejects: Vec<Reject>,
}

impl Scan {
    /// The next piece that holds rows; `None` at the end.
    pub fn piece(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(chunks) = &mut self.current else {
                match self.dataset.inputs.pop_front() {
                    Some(input) => self.current = Some(self.begin(&input)?),
                    None => return Ok(None),
                }
                continue;
            };
            match chunks.next()? {
                None => self.current = None,
                Some(chunk) => {
                    self.rejected += chunk.counters.rejected;
                    self.rejects.extend(chunk.rejects);
                    if chunk.batch.num_rows() > 0 {
                        return fitted(&self.dataset.columns, &chunk.batch).map(Some);
                    }
                }
            }
        }
    }

    /// Records that could not be read so far; they are not given twice.
    pub fn take_rejects(&mut self) -> Vec<Reject> {
        std::mem::take(&mut self.rejects)
    }

    fn begin(&self, input: &Planned) -> Result<Chunks<Chunk>> {
        let options = remaining(&self.dataset.options, self.rejected);
        let plan = input.plan.clone();
        Chunks::open(input.open()?, plan, &options, None, Arc::new(Ok))
    }
}

/// The limit on rejects counts over all inputs.
fn remaining(options: &ReadOptions, rejected: u64) -> ReadOptions {
    ReadOptions {
        max_rejects: options.max_rejects.saturating_sub(rejected),
        ..options.clone()
    }
}

fn planned(
    spec: InputSpec,
    choice: &SchemaChoice,
    only: Option<&[String]>,
    options: &ReadOptions,
) -> Result<Planned> {
    let spec = spec.in_encoding(encoding(choice)?);
    let head = input::head(&spec, HEAD)?;
    input::refuse(&head)?;
    let mut schema = resolve(choice, &head)?;
    if let Some(only) = only {
        if options.local.on_repeated == OnRepeated::Infer {
            keeps_sensor(&schema, only)?;
        }
        keep_only(&mut schema, only)?;
    }
    Ok(Planned {
        plan: Arc::new(CsvPlan::compile(&schema, &head.bytes)?),
        size: head.size,
        spec,
    })
}

/// The encoding that a declared schema names.
fn encoding(choice: &SchemaChoice) -> Result<Option<Encoding>> {
    let SchemaChoice::Declared(schema) = choice else {
        return Ok(None);
    };
    let Some(name) = &schema.dialect.encoding else {
        return Ok(None);
    };
    Encoding::named(name).map(Some).ok_or_else(|| {
        Error::new(
            Kind::Schema,
            format!("the encoding {name:?} is not known; use utf-8, utf-16 or cp1252"),
        )
    })
}

/// Which pass of a repeated hour a row is in shows sensor by sensor only.
fn keeps_sensor(schema: &Schema, only: &[String]) -> Result<()> {
    let dropped = |c: &&Column| c.role == Role::Sensor && !only.contains(&c.name);
    match schema.columns.iter().find(dropped) {
        Some(sensor) if schema.tz.is_some() => Err(Error::new(
            Kind::Usage,
            format!(
                "on_repeated = infer goes by sensor, and the column {:?} is not among those to read; add it to columns",
                sensor.name
            ),
        )),
        _ => Ok(()),
    }
}

fn keep_only(schema: &mut Schema, only: &[String]) -> Result<()> {
    let two = schema.time.columns.len() == 2;
    if let Some(unknown) = only
        .iter()
        .find(|n| schema.column(n).is_none() && !(two && *n == "time"))
    {
        let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        return Err(Error::new(
            Kind::Schema,
            format!(
                "there is no column {unknown:?}; there are {}",
                names.join(", ")
            ),
        ));
    }
    for column in &mut schema.columns {
        let of_time = two && schema.time.columns.contains(&column.name);
        let asked = only.contains(&column.name) || (of_time && only.iter().any(|n| n == "time"));
        if !asked {
            column.role = Role::Ignore;
        }
    }
    schema
        .time
        .columns
        .retain(|t| only.contains(t) || (two && only.iter().any(|n| n == "time")));
    Ok(())
}

fn same_columns(first: (&str, &SchemaRef), this: (&str, &SchemaRef)) -> Result<()> {
    let facts = |s: &SchemaRef| {
        s.fields()
            .iter()
            .map(|f| (f.name().clone(), f.data_type().clone()))
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (facts(first.1), facts(this.1));
    if ours == theirs {
        return Ok(());
    }
    let differs = ours.iter().zip(&theirs).find(|(a, b)| a != b);
    let what = match differs {
        Some((a, b)) => format!("{} {} there and {} {} here", a.0, a.1, b.0, b.1),
        None => format!("{} columns there and {} here", ours.len(), theirs.len()),
    };
    Err(Error::new(
        Kind::Schema,
        format!(
            "{} does not have the columns of {}: {what}; read them apart, or declare one schema for both",
            this.0, first.0
        ),
    ))
}

/// The batch under the dataset's columns: what an input says of itself (its dialect) differs.
fn fitted(columns: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    RecordBatch::try_new(columns.clone(), batch.columns().to_vec()).map_err(|e| {
        Error::new(
            Kind::Internal,
            format!("a piece does not fit its table: {e}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(paths: &[&std::path::Path], only: Option<&[&str]>) -> Result<Dataset> {
        let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        let only = only.map(|o| o.iter().map(|n| (*n).to_string()).collect::<Vec<_>>());
        Dataset::open(
            &paths,
            SchemaChoice::Sniff,
            only.as_deref(),
            ReadOptions::default(),
        )
    }

    #[test]
    fn files_of_different_dialects_are_one_table_and_other_columns_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a.csv", "b.csv", "c.csv"].map(|n| folder.path().join(n));
        std::fs::write(&a, "n,word\n1,x\n2,y\n").unwrap();
        std::fs::write(&b, "n;word\n3;z\n").unwrap();
        std::fs::write(&c, "n;other\n3;z\n").unwrap();
        let read = dataset(&[&a, &b], None).unwrap().read().unwrap();
        assert_eq!(
            read.batches
                .iter()
                .map(RecordBatch::num_rows)
                .sum::<usize>(),
            3
        );
        assert_eq!(read.ledger.records, 3);
        let mut scan = dataset(&[&a, &b], None).unwrap().scan();
        let mut rows = 0;
        while let Some(batch) = scan.piece().unwrap() {
            rows += batch.num_rows();
        }
        assert_eq!(rows, 3);
        assert_eq!(dataset(&[&a, &c], None).err().unwrap().kind, Kind::Schema);
    }

    #[test]
    fn a_file_that_is_cut_meanwhile_is_lost_data_and_no_bad_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "n,word\n1,x\n2,y\n3,z\n").unwrap();
        let opened = [
            dataset(&[&path], None).unwrap(),
            dataset(&[&path], None).unwrap(),
        ];
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len("n,word\n1,x\n2".len() as u64).unwrap();
        let [whole, pieces] = opened;
        assert_eq!(whole.read().err().unwrap().kind, Kind::DataLost);
        assert_eq!(pieces.scan().piece().err().unwrap().kind, Kind::DataLost);
    }

    #[test]
    fn a_fault_in_a_file_that_was_cut_is_no_fault_of_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let text = format!("n\nx\n{}", "1\n".repeat(50_000));
        std::fs::write(&path, text).unwrap();
        let head = input::head(&InputSpec::file("a.csv", &path), HEAD).unwrap();
        let schema = Schema {
            columns: vec![Column::new("n", crate::schema::ColumnType::Integer)],
            ..Schema::default()
        };
        let plan = Arc::new(CsvPlan::compile(&schema, &head.bytes).unwrap());
        let options = ReadOptions {
            chunk_bytes: 64,
            ..ReadOptions::default()
        };
        let kind = || {
            let opened = head.spec.open(&Limits::default()).unwrap();
            std::fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(60_000)
                .unwrap();
            read_table(opened, plan.clone(), &options)
                .err()
                .unwrap()
                .kind
        };
        assert_eq!(kind(), Kind::DataLost);
        assert_eq!(kind(), Kind::RejectLimit);
    }

    #[test]
    fn only_the_columns_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "n,word\n1,x\n2,y\n").unwrap();
        let asked = dataset(&[&path], Some(&["word"])).unwrap();
        assert_eq!(asked.columns().fields().len(), 1);
        assert_eq!(asked.read().unwrap().batches[0].num_columns(), 1);
        assert_eq!(
            dataset(&[&path], Some(&["nope"])).err().unwrap().kind,
            Kind::Schema
        );
    }
}
