//! Rejects as a file to mend, and the mended records back through the same plan.
//!
//! The mend file is CSV with the columns `file line byte row column reason raw`. Whoever mends it
//! changes `raw` alone; a record without `raw`, or a line taken out, stays rejected. A spreadsheet
//! may save it with another delimiter and a byte order mark.

use super::dialect::{DELIMITERS, Records, best_cut};
use super::{Chunk, Chunks, CsvPlan, ReadOptions, Start};
use crate::input::{InputSpec, Limits};
use crate::ledger::Ledger;
use crate::reject::Reject;
use crate::schema::{RowIds, plain_name};
use crate::time::OnRepeated;
use crate::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The columns of a mend file.
pub const COLUMNS: [&str; 7] = ["file", "line", "byte", "row", "column", "reason", "raw"];

/// One record of a mend file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// The file it came from.
    pub file: Arc<str>,
    /// Its line there.
    pub line: u64,
    /// Its byte there.
    pub byte: u64,
    /// Its row there.
    pub row: u64,
    /// Its text, mended or not.
    pub raw: String,
}

/// Mended records as they were read.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The records that read now, with their rows in the original file.
    pub chunks: Vec<Chunk>,
    /// Those that still do not, at their places in the original file.
    pub rejects: Vec<Reject>,
    /// The books of this replay: a line a record.
    pub counters: Ledger,
}

/// The mend file of `rejects`.
pub fn export(rejects: &[Reject]) -> Vec<u8> {
    let mut text = COLUMNS.join(",") + "\n";
    for reject in rejects {
        let numbers = format!("{},{},{}", reject.line, reject.byte, reject.row);
        let fields = [
            &quoted(&reject.file),
            &numbers,
            &quoted(&reject.column),
            &quoted(&reject.reason),
            &quoted(&reject.raw),
        ];
        text += &fields.map(String::as_str).join(",");
        text.push('\n');
    }
    text.into_bytes()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Reads a mend file: its records by the file they came from, in order of row. Errors: `Schema`
/// where it is no mend file, a number was changed, or a record stands twice.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<Arc<str>, Vec<Mended>>> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let delimiter = best_cut(text, &DELIMITERS, Some(b'"'), |_| true).delimiter;
    let mut records = Records::new(text, delimiter, Some(b'"')).filter(|r| !r.blank());
    let header = records.next().map(|r| texts(&r.fields)).unwrap_or_default();
    let places = places(&header)?;
    let mut files: BTreeMap<Arc<str>, Vec<Mended>> = BTreeMap::new();
    for (n, record) in records.enumerate() {
        let mended = mended(&texts(&record.fields), &places, n + 1)?;
        if !mended.raw.trim().is_empty() {
            files.entry(mended.file.clone()).or_default().push(mended);
        }
    }
    for (file, list) in &mut files {
        list.sort_by_key(|m| m.row);
        if let Some(twice) = list.windows(2).find(|w| w[0].row == w[1].row) {
            return Err(wrong(format!(
                "the mend file holds row {} of {file} twice; keep one",
                twice[0].row
            )));
        }
    }
    Ok(files)
}

fn texts(fields: &[std::borrow::Cow<[u8]>]) -> Vec<String> {
    let text = |f: &std::borrow::Cow<[u8]>| String::from_utf8_lossy(f).into_owned();
    fields.iter().map(text).collect()
}

fn wrong(message: String) -> Error {
    Error::new(Kind::Schema, message)
}

/// Where the columns that are needed stand: file, line, byte, row, raw.
fn places(header: &[String]) -> Result<[usize; 5]> {
    let find = |name: &str| {
        header.iter().position(|h| plain_name(h) == name).ok_or_else(|| {
            wrong(format!(
                "this is no mend file: it lacks the column {name}; export the rejects again and change only raw"
            ))
        })
    };
    Ok([
        find("file")?,
        find("line")?,
        find("byte")?,
        find("row")?,
        find("raw")?,
    ])
}

fn mended(fields: &[String], places: &[usize; 5], n: usize) -> Result<Mended> {
    let [file, line, byte, row, raw] = places.map(|at| fields.get(at).map_or("", String::as_str));
    let number = |name: &str, text: &str| {
        text.trim().parse::<u64>().map_err(|_| {
            wrong(format!(
                "record {n} of the mend file: {name} is {text:?}, not a number; change only raw, or take the line out"
            ))
        })
    };
    Ok(Mended {
        file: Arc::from(file),
        line: number("line", line)?,
        byte: number("byte", byte)?,
        row: number("row", row)?,
        raw: raw.trim_end_matches(['\r', '\n']).to_string(),
    })
}

/// The mended records of one file as a file: a header, and a line each. Errors: `Schema` where the text of
/// one is not one record, for it would take its neighbours with it.
pub fn text(plan: &CsvPlan, mended: &[Mended]) -> Result<Vec<u8>> {
    for record in mended {
        if let Some(fault) = fault(plan, &record.raw) {
            return Err(wrong(format!(
                "the mended record of line {} of {} is no record: {fault}; mend its raw, or take the line out",
                record.line, record.file
            )));
        }
    }
    Ok(table(plan, &mended.iter().collect::<Vec<_>>()).0)
}

/// Sends the mended records of one file through the plan it was read by. What still cannot be
/// read is a reject again, whatever `options` say of rejects.
pub fn decode(plan: &Arc<CsvPlan>, mended: &[Mended], options: &ReadOptions) -> Result<Replayed> {
    let (sound, torn): (Vec<&Mended>, Vec<&Mended>) =
        mended.iter().partition(|m| fault(plan, &m.raw).is_none());
    let torn = torn
        .into_iter()
        .filter_map(|m| Some(rejected(m, fault(plan, &m.raw)?)));
    let mut replayed = Replayed {
        rejects: torn.collect(),
        ..Replayed::default()
    };
    let torn = replayed.rejects.len() as u64;
    replayed.counters.lines = torn;
    replayed.counters.records = torn;
    replayed.counters.rejected = torn;
    if sound.is_empty() {
        return Ok(replayed);
    }
    let (text, start) = table(plan, &sound);
    let input = InputSpec::memory("replay", text).open(&Limits::default())?;
    let mut options = ReadOptions {
        on_reject: crate::reject::OnReject::Collect,
        max_rejects: u64::MAX,
        hold_tail: false,
        hold_cut: false,
        ..options.clone()
    };
    // The rows around a mended one, which would tell its pass of a repeated hour, are not here.
    if options.local.on_repeated == OnRepeated::Infer {
        options.local.on_repeated = OnRepeated::Raise;
    }
    let keep = Arc::new(|chunk: Chunk| Ok(chunk));
    let mut chunks = Chunks::open(input, plan.clone(), &options, Some(start), keep)?;
    while let Some(chunk) = chunks.next()? {
        replayed.take(chunk, &sound);
    }
    replayed.rejects.sort_by_key(|r| r.row);
    Ok(replayed)
}

/// Why `raw` is not one record: it would take its neighbours with it.
fn fault(plan: &CsvPlan, raw: &str) -> Option<&'static str> {
    let line = format!("{raw}\n");
    let mut records = Records::new(line.as_bytes(), plan.cut.delimiter, plan.cut.quote);
    let comment = plan.cut.comment.is_some() && raw.bytes().next() == plan.cut.comment;
    match (records.next(), records.next()) {
        _ if comment => Some("a comment, not a record"),
        (Some(record), None) if record.closed => None,
        (Some(_), None) => Some("a quote is not closed"),
        _ => Some("more than one record"),
    }
}

fn rejected(mended: &Mended, reason: &str) -> Reject {
    Reject {
        file: mended.file.clone(),
        line: mended.line,
        byte: mended.byte,
        row: mended.row,
        column: String::new(),
        raw: mended.raw.clone(),
        reason: reason.to_string(),
    }
}

/// The records as a table: a header and a line each, and where the first line begins.
fn table(plan: &CsvPlan, mended: &[&Mended]) -> (Vec<u8>, Start) {
    let newline = char::from(plan.cut.newline);
    let names: Vec<String> = plan.fields.iter().map(|name| quoted(name)).collect();
    let mut text = names.join(&char::from(plan.cut.delimiter).to_string());
    text.push(newline);
    let start = Start {
        byte: text.len() as u64,
        line: 2,
        row: 0,
    };
    for record in mended {
        text += &record.raw;
        text.push(newline);
    }
    (text.into_bytes(), start)
}

impl Replayed {
    /// Takes a chunk of the replay, with rows and places as in the original file.
    fn take(&mut self, mut chunk: Chunk, mended: &[&Mended]) {
        let origin = |row: u64| mended.get(row as usize);
        let rows = (0..chunk.batch.num_rows()).filter_map(|i| {
            let row = match &chunk.rows {
                RowIds::Dense(first) => first + i as u64,
                RowIds::Listed(rows) => *rows.get(i)?,
            };
            origin(row).map(|m| m.row)
        });
        chunk.rows = RowIds::Listed(rows.collect());
        let books = Ledger {
            lines: chunk.counters.records,
            records: chunk.counters.records,
            accepted: chunk.counters.accepted,
            rejected: chunk.counters.rejected,
            readings: chunk.counters.readings,
            ..Ledger::default()
        };
        self.counters.add(&books);
        for reject in std::mem::take(&mut chunk.rejects) {
            self.rejects.extend(origin(reject.row).map(|m| Reject {
                column: reject.column,
                ..rejected(m, &reject.reason)
            }));
        }
        if chunk.batch.num_rows() > 0 {
            self.chunks.push(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::{SchemaChoice, resolve};
    use crate::input::Head;
    use crate::reject::OnReject;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;

    const TEXT: &str = "at;note;v\n2007-01-01;\"a; \"\"b\"\"\";1.5\n2007-01-02;x;1,2x\n2007-01-03;y\n2007-01-04;\"z\nz\";oops\n2007-01-05;w;2.5\n";

    fn plan() -> Arc<CsvPlan> {
        let schema = crate::schema::Schema::from_toml(
            "[dialect]\ndelimiter = \";\"\n[[columns]]\nname = \"at\"\ntype = \"date\"\nrole = \"time\"\n[[columns]]\nname = \"note\"\ntype = \"text\"\n[[columns]]\nname = \"v\"\ntype = \"float\"\nmeasure = \"gauge\"\n",
        )
        .unwrap();
        let head = Head::of("power.csv", TEXT.as_bytes()).unwrap();
        let schema = resolve(&SchemaChoice::Declared(Box::new(schema)), &head).unwrap();
        Arc::new(CsvPlan::compile(&schema, &head.bytes).unwrap())
    }

    fn rejects() -> Vec<Reject> {
        let input = InputSpec::memory("power.csv", TEXT.as_bytes());
        let options = ReadOptions {
            on_reject: OnReject::Collect,
            ..ReadOptions::default()
        };
        let opened = input.open(&Limits::default()).unwrap();
        crate::csv::read_table(opened, plan(), &options).unwrap().1
    }

    fn replay(mend: &[u8]) -> Replayed {
        let files = read(mend).unwrap();
        let (name, list) = files.first_key_value().unwrap();
        assert_eq!((&**name, files.len()), ("power.csv", 1));
        decode(&plan(), list, &ReadOptions::default()).unwrap()
    }

    fn values(replayed: &Replayed) -> Vec<(u64, f64)> {
        let mut out = Vec::new();
        for chunk in &replayed.chunks {
            let values = chunk
                .batch
                .column_by_name("v")
                .unwrap()
                .as_primitive::<Float64Type>();
            let RowIds::Listed(rows) = &chunk.rows else {
                panic!()
            };
            out.extend(rows.iter().copied().zip(values.values().iter().copied()));
        }
        out
    }

    #[test]
    fn unmended_records_are_the_same_rejects_again() {
        let before = rejects();
        assert_eq!(before.iter().map(|r| r.row).collect::<Vec<_>>(), [1, 2, 3]);
        let replayed = replay(&export(&before));
        assert!(replayed.chunks.is_empty());
        assert_eq!(replayed.rejects, before);
        replayed.counters.balance().unwrap();
        assert_eq!(
            (replayed.counters.records, replayed.counters.rejected),
            (3, 3)
        );
    }

    #[test]
    fn mended_records_come_back_under_their_rows() {
        let text = String::from_utf8(export(&rejects())).unwrap();
        let text = text.replace("1,2x\"", "1.25\"").replace(";oops", ";-3");
        let replayed = replay(text.as_bytes());
        assert_eq!(values(&replayed), [(1, 1.25), (3, -3.0)]);
        assert_eq!(
            replayed.rejects.iter().map(|r| r.row).collect::<Vec<_>>(),
            [2]
        );
        assert_eq!(
            (replayed.counters.accepted, replayed.counters.rejected),
            (2, 1)
        );
    }

    #[test]
    fn a_spreadsheet_may_have_saved_it() {
        let text = "\u{feff}row;file;line;byte;raw;reason\r\n2;power.csv;4;54;2007-01-03,y;cut\r\n1;power.csv;3;40;\"2007-01-02;x;7\";\r\n3;power.csv;5;60;;gone\r\n";
        let replayed = replay(text.as_bytes());
        assert_eq!(values(&replayed), [(1, 7.0)]);
        assert_eq!(replayed.rejects.len(), 1);
        assert_eq!((replayed.rejects[0].row, replayed.rejects[0].line), (2, 4));
    }

    #[test]
    fn a_torn_record_leaves_its_neighbours_alone() {
        let torn = |raw: &str| Reject {
            raw: raw.to_string(),
            ..rejects().remove(0)
        };
        let mut list = vec![
            torn("2007-01-02;\"open;1"),
            torn("2007-01-02;a;1\n2007-01-02;b;2"),
            torn("2007-01-06;c;9"),
        ];
        for (row, reject) in list.iter_mut().enumerate() {
            reject.row = row as u64;
        }
        let replayed = replay(&export(&list));
        assert_eq!(values(&replayed), [(2, 9.0)]);
        let reasons: Vec<&str> = replayed.rejects.iter().map(|r| r.reason.as_str()).collect();
        assert_eq!(reasons, ["a quote is not closed", "more than one record"]);
    }

    #[test]
    fn what_is_no_mend_file_is_refused() {
        for (text, part) in [
            ("a,b\n1,2\n", "lacks the column file"),
            ("file,line,byte,row,raw\nx,one,2,3,y\n", "line is \"one\""),
            (
                "file,line,byte,row,raw\nx,1,2,3,y\nx,1,2,3,z\n",
                "row 3 of x twice",
            ),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
    }
}
