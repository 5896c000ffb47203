//! Mend files among the inputs: rejects that were exported and put right come as a file of their own,
//! read by the schema of the file they came from.

use super::file::Planned;
use crate::csv::replay::{self, COLUMNS};
use crate::input::{self, Bytes, InputSpec, Limits};
use crate::schema::Schema;
use crate::{Error, Kind, Result};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes in which the names of a mend file's columns end.
const LINE: usize = 4 << 10;

/// Whether an input is a mend file. A one-shot input is none: it could not be told from data.
pub(super) fn is_mend(spec: &InputSpec) -> Result<bool> {
    if !spec.repeatable() {
        return Ok(false);
    }
    let head = input::head(spec, LINE)?;
    let line = head.bytes.split(|b| matches!(b, b'\n' | b'\r')).next();
    let line = String::from_utf8_lossy(line.unwrap_or_default()).to_lowercase();
    let names = line.split([',', ';', '\t', '|']);
    let mut names: Vec<&str> = names.map(|n| n.trim_matches(['"', ' '])).collect();
    names.sort_unstable();
    let mut known = COLUMNS;
    known.sort_unstable();
    Ok(names == known)
}

/// The mended records of `mend` as inputs, one for each file they came from, and how each is read.
pub(super) fn inputs(
    mend: &InputSpec,
    files: &[Arc<Planned>],
    limits: &Limits,
) -> Result<Vec<(InputSpec, Schema)>> {
    let records = replay::read(&whole(mend, limits)?)?;
    let input = |(file, records): (&Arc<str>, &Vec<replay::Mended>)| {
        let origin = origin(file, files).ok_or_else(|| lost(mend, file))?;
        let text = replay::text(&origin.csv, records)
            .map_err(|e| Error::new(e.kind, format!("{}: {}", mend.name, e.message)))?;
        let mut spec = InputSpec::memory(&mend.name, text);
        // Tells a mend file that was changed after it was counted from a new one.
        let path = mend.path.as_deref().unwrap_or(Path::new("")).display();
        spec.path = Some(format!("{path} (of {file})").into());
        let mut schema = origin.canonical.schema().clone();
        let dialect = &mut schema.dialect;
        dialect.delimiter = Some(char::from(origin.csv.delimiter()));
        (dialect.header, dialect.preamble, dialect.encoding) = (Some(true), 0, None);
        Ok((spec, schema))
    };
    records.iter().map(input).collect()
}

fn whole(mend: &InputSpec, limits: &Limits) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match mend.open(limits)?.bytes {
        Bytes::Stream(mut stream) => stream.read_to_end(&mut bytes).map(drop),
        Bytes::At { file, len } => {
            bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, 0)
        }
    };
    read.map_err(|e| input::read_error(&mend.name, e))?;
    Ok(bytes)
}

/// The file that records came from: by its name, else by the last part of its path.
fn origin<'a>(name: &str, files: &'a [Arc<Planned>]) -> Option<&'a Arc<Planned>> {
    let last = |path: &str| Path::new(path).file_name().map(ToOwned::to_owned);
    let same = files.iter().find(|f| &*f.spec.name == name);
    let mut alike = files.iter().filter(|f| last(&f.spec.name) == last(name));
    same.or_else(|| alike.next().filter(|_| alike.next().is_none()))
}

fn lost(mend: &InputSpec, file: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!(
            "{} holds mended records of {file}, which is not among the files; name it too, so that they are read as it is",
            mend.name
        ),
    )
}
