//! Properties of the CSV reader, judged by a slow reader that shares no code with it.

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use std::io::{Cursor, Write};
use std::sync::Arc;
use wattline::csv::{Chunk, Chunks, CsvPlan, ReadOptions, Start, read_table};
use wattline::input::{Bytes, Encoding, Opened, Packing};
use wattline::ledger::Ledger;
use wattline::reject::{OnReject, Reject};
use wattline::schema::{Column, ColumnType, Dialect, Role, RowIds, Schema};

fn column(name: &str, kind: ColumnType) -> Column {
    Column {
        name: name.into(),
        names: Vec::new(),
        kind,
        role: Role::Attribute,
        measure: None,
        unit: None,
        digits: None,
        min: None,
        max: None,
        wraps_at: None,
    }
}

fn schema(quote: Option<char>, comment: Option<char>) -> Schema {
    Schema {
        name: "three".into(),
        columns: vec![
            column("f", ColumnType::Float),
            column("i", ColumnType::Integer),
            column("t", ColumnType::Text),
        ],
        dialect: Dialect {
            delimiter: Some(';'),
            quote,
            comment,
            header: Some(true),
            ..Default::default()
        },
        nulls: vec!["?".into()],
        ..Default::default()
    }
}

/// One accepted row: its number and its values, the float by its bits.
type Row = (u64, Option<u64>, Option<i64>, Option<String>);

#[derive(Debug, Default, PartialEq)]
struct Read {
    rows: Vec<Row>,
    /// Line, byte, row, column, raw.
    rejects: Vec<(u64, u64, u64, String, String)>,
    ledger: Ledger,
    end: u64,
}

// ---- the slow reader ------------------------------------------------------------------------

/// The fields of the record at `at` and where the next begins; `None`: a quote is not closed.
fn slow_record(text: &[u8], at: usize, quote: Option<u8>) -> Option<(Vec<Vec<u8>>, usize)> {
    #[derive(PartialEq)]
    enum State {
        Begin,
        Plain,
        Inside,
        Closed,
    }
    let (mut state, mut fields, mut field) = (State::Begin, Vec::new(), Vec::new());
    let mut i = at;
    loop {
        let c = text.get(i).copied();
        i += 1;
        match (&state, c) {
            (State::Inside, None) => return None,
            (State::Inside, Some(c)) if Some(c) == quote => state = State::Closed,
            (State::Inside, Some(c)) => field.push(c),
            (State::Closed, Some(c)) if Some(c) == quote => {
                field.push(c);
                state = State::Inside;
            }
            (State::Begin, Some(c)) if Some(c) == quote => state = State::Inside,
            (_, Some(b';')) => {
                fields.push(std::mem::take(&mut field));
                state = State::Begin;
            }
            (_, Some(b'\n') | None) => {
                // A CR that ends the line is no text, but one inside quotes is.
                let outside = text.get(i.wrapping_sub(2)) == Some(&b'\r') && i - 2 >= at;
                if outside && field.last() == Some(&b'\r') {
                    field.pop();
                }
                fields.push(field);
                return Some((fields, i.min(text.len())));
            }
            (_, Some(c)) => {
                field.push(c);
                state = State::Plain;
            }
        }
    }
}

fn slow_float(text: &str) -> Option<f64> {
    if !text.bytes().all(|b| b"0123456789+-.eE".contains(&b)) {
        return None;
    }
    text.parse::<f64>().ok().filter(|v| v.is_finite())
}

fn slow_row(number: u64, fields: &[Vec<u8>]) -> Result<Row, &'static str> {
    let text: Vec<String> = fields
        .iter()
        .map(|f| String::from_utf8(f.clone()).unwrap())
        .collect();
    let null = |t: &str| t.is_empty() || t == "?";
    let float = match text[0].trim() {
        t if null(t) => None,
        t => Some(slow_float(t).ok_or("f")?.to_bits()),
    };
    let integer = match text[1].trim() {
        t if null(t) => None,
        t => Some(t.parse::<i64>().map_err(|_| "i")?),
    };
    let string = (!null(&text[2])).then(|| text[2].clone());
    Ok((number, float, integer, string))
}

fn slow_read(text: &[u8], quote: Option<u8>, comment: Option<u8>) -> Read {
    let mut read = Read::default();
    let lines = |t: &[u8]| {
        t.iter().filter(|b| **b == b'\n').count() as u64
            + u64::from(t.last().is_some_and(|b| *b != b'\n'))
    };
    let header = text.iter().position(|b| *b == b'\n').unwrap() + 1;
    read.ledger.header = 1;
    let mut at = header;
    while at < text.len() {
        let line = 1 + lines(&text[..at]);
        let line_end = text[at..]
            .iter()
            .position(|b| *b == b'\n')
            .map_or(text.len(), |n| at + n);
        let next_line = (line_end + 1).min(text.len());
        if comment == Some(text[at]) || text[at..line_end].trim_ascii().is_empty() {
            read.ledger.blank += 1;
            at = next_line;
            continue;
        }
        let row = read.ledger.records;
        read.ledger.records += 1;
        let (fields, next) = match slow_record(text, at, quote) {
            Some(found) => found,
            None => (Vec::new(), next_line),
        };
        let outcome = match fields.len() {
            3 => slow_row(row, &fields),
            _ => Err(""),
        };
        match outcome {
            Ok(row) => read.rows.push(row),
            Err(column) => {
                let mut raw = &text[at..next];
                raw = raw.strip_suffix(b"\n").unwrap_or(raw);
                raw = raw.strip_suffix(b"\r").unwrap_or(raw);
                let raw = String::from_utf8_lossy(raw).into_owned();
                read.rejects
                    .push((line, at as u64, row, column.into(), raw));
            }
        }
        read.ledger.continuation += lines(&text[at..next]) - 1;
        at = next;
    }
    read.ledger.lines = lines(text);
    read.ledger.bytes = text.len() as u64;
    read.ledger.rejected = read.rejects.len() as u64;
    read.ledger.accepted = read.rows.len() as u64;
    read.ledger.readings = read.ledger.accepted;
    read.end = text.len() as u64;
    read
}

// ---- the reader of the house ----------------------------------------------------------------

fn opened(bytes: Bytes) -> Opened {
    Opened {
        name: "x".into(),
        path: None,
        bytes,
        encoding: Encoding::Utf8,
        packing: Packing::Plain,
    }
}

fn at(text: &[u8]) -> Opened {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text).unwrap();
    opened(Bytes::At {
        file: Arc::new(file),
        len: text.len() as u64,
    })
}

fn stream(text: &[u8]) -> Opened {
    opened(Bytes::Stream(Box::new(Cursor::new(text.to_vec()))))
}

fn batch_rows(batch: &RecordBatch, ids: &RowIds, out: &mut Vec<Row>) {
    let column = |i: usize| batch.column(i).as_any();
    let f: &Float64Array = column(0).downcast_ref().unwrap();
    let i: &Int64Array = column(1).downcast_ref().unwrap();
    let t: &StringArray = column(2).downcast_ref().unwrap();
    for r in 0..batch.num_rows() {
        let number = match ids {
            RowIds::Dense(first) => first + r as u64,
            RowIds::Listed(rows) => rows[r],
        };
        out.push((
            number,
            f.is_valid(r).then(|| f.value(r).to_bits()),
            i.is_valid(r).then(|| i.value(r)),
            t.is_valid(r).then(|| t.value(r).to_string()),
        ));
    }
}

fn add(read: &mut Read, chunk: Chunk) {
    assert_eq!(chunk.start.byte, read.end, "chunks meet");
    batch_rows(&chunk.batch, &chunk.rows, &mut read.rows);
    read.rejects.extend(chunk.rejects.into_iter().map(told));
    read.ledger.add(&chunk.counters);
    read.end = chunk.end.byte;
}

fn told(r: Reject) -> (u64, u64, u64, String, String) {
    (r.line, r.byte, r.row, r.column, r.raw)
}

fn fast_read(input: Opened, plan: &Arc<CsvPlan>, options: &ReadOptions) -> Read {
    let mut chunks = Chunks::open(input, plan.clone(), options, None, Arc::new(Ok)).unwrap();
    let mut read = Read::default();
    while let Some(chunk) = chunks.next().unwrap() {
        add(&mut read, chunk);
    }
    read.ledger.balance().unwrap();
    read
}

fn options(chunk_bytes: usize, threads: usize) -> ReadOptions {
    ReadOptions {
        on_reject: OnReject::Collect,
        chunk_bytes,
        threads: Some(threads),
        ..Default::default()
    }
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "-?[0-9]{0,5}(\\.[0-9]{0,4})?",
        2 => "[0-9]{1,20}",
        1 => "-?[0-9]{1,10}(\\.[0-9]{1,10})?(e-?[0-9]{1,2})?",
        1 => Just("?".to_string()),
        1 => Just("nan".to_string()),
        2 => "[a-c\u{e4} \"\r]{0,4}",
        2 => "\"[0-9.]{0,4}\"",
        2 => "\"([a-c;\n\r]|\"\"){0,6}\"",
        1 => "\"[a-c\"]{0,4}",
        1 => Just("#".to_string()),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let end =
        prop_oneof![4 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\n\n"), 1 => Just("\n \n")];
    let fields = prop_oneof![8 => Just(3usize), 1 => 1usize..5];
    (fields, end).prop_flat_map(|(n, end)| {
        prop::collection::vec(field(), n).prop_map(move |f| f.join(";") + end)
    })
}

fn document() -> impl Strategy<Value = String> {
    (prop::collection::vec(line(), 0..40), any::<bool>()).prop_map(|(lines, cut)| {
        let text = format!("f;i;t\n{}", lines.concat());
        match cut && !lines.is_empty() {
            true => {
                text.trim_end().to_string() + if text.trim_end() == "f;i;t" { "\n" } else { "" }
            }
            false => text,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_same_as_the_slow_reader_however_it_is_cut(
        text in document(),
        quoted in any::<bool>(),
        commented in any::<bool>(),
        chunk in prop_oneof![1usize..64, Just(1000)],
        threads in 1usize..4,
    ) {
        let (quote, comment) = (quoted.then_some('"'), commented.then_some('#'));
        let want = slow_read(text.as_bytes(), quote.map(|q| q as u8), comment.map(|c| c as u8));
        let plan = Arc::new(CsvPlan::compile(&schema(quote, comment), text.as_bytes()).unwrap());
        let options = options(chunk, threads);
        prop_assert_eq!(&fast_read(at(text.as_bytes()), &plan, &options), &want, "file");
        prop_assert_eq!(&fast_read(stream(text.as_bytes()), &plan, &options), &want, "stream");
        let (batches, rejects, ledger) = read_table(at(text.as_bytes()), plan, &options).unwrap();
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        prop_assert_eq!(rows, want.rows.len());
        prop_assert_eq!(rejects.into_iter().map(told).collect::<Vec<_>>(), want.rejects);
        prop_assert_eq!(ledger, want.ledger);
    }

    #[test]
    fn goes_on_from_any_chunk(text in document(), chunk in 1usize..64) {
        let plan = Arc::new(CsvPlan::compile(&schema(Some('"'), None), text.as_bytes()).unwrap());
        let options = options(chunk, 2);
        let mut whole = Vec::new();
        let mut chunks = Chunks::open(at(text.as_bytes()), plan.clone(), &options, None, Arc::new(Ok)).unwrap();
        while let Some(chunk) = chunks.next().unwrap() {
            whole.push(chunk);
        }
        let middle: Start = whole[whole.len() / 2].end;
        let mut want = Read { end: middle.byte, ..Default::default() };
        whole.drain(whole.len() / 2 + 1..).for_each(|chunk| add(&mut want, chunk));
        for input in [at(text.as_bytes()), stream(text.as_bytes())] {
            let mut got = Read { end: middle.byte, ..Default::default() };
            let mut chunks = Chunks::open(input, plan.clone(), &options, Some(middle), Arc::new(Ok)).unwrap();
            while let Some(chunk) = chunks.next().unwrap() {
                add(&mut got, chunk);
            }
            prop_assert_eq!(&got, &want);
        }
    }

    #[test]
    fn numbers_are_those_of_the_standard_library(
        numbers in prop::collection::vec("-?[0-9]{1,9}(\\.[0-9]{1,9})?", 1..60),
    ) {
        let text: String = numbers.iter().map(|n| format!("{n};;\r\n")).collect();
        let text = format!("f;i;t\r\n{text}");
        let plan = Arc::new(CsvPlan::compile(&schema(None, None), text.as_bytes()).unwrap());
        let read = fast_read(at(text.as_bytes()), &plan, &options(1 << 20, 1));
        let got: Vec<_> = read.rows.iter().map(|r| r.1.unwrap()).collect();
        let want: Vec<_> = numbers.iter().map(|n| n.parse::<f64>().unwrap().to_bits()).collect();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn quotes_around_a_field_change_nothing(
        rows in prop::collection::vec(("-?[0-9]{0,4}(\\.[0-9]{0,3})?|\\?|x", "[0-9]{1,4}", "[a-c]{0,3}"), 1..60),
        columns in prop::array::uniform3(any::<bool>()),
        others in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let others: Vec<usize> = others.iter().map(|i| i.index(rows.len())).collect();
        let (mut bare, mut quoted) = ("f;i;t\n".to_string(), "f;i;t\n".to_string());
        for (r, (f, i, t)) in rows.iter().enumerate() {
            bare += &format!("{f};{i};{t}\n");
            let field = |c: usize, t: &str| match columns[c] ^ others.contains(&r) {
                true => format!("\"{t}\""),
                false => t.to_string(),
            };
            quoted += &format!("{};{};{}\n", field(0, f), field(1, i), field(2, t));
        }
        let read = |text: &str, quote| {
            let plan = Arc::new(CsvPlan::compile(&schema(quote, None), text.as_bytes()).unwrap());
            fast_read(at(text.as_bytes()), &plan, &options(1 << 20, 1))
        };
        let (want, same, got) = (read(&bare, None), read(&bare, Some('"')), read(&quoted, Some('"')));
        prop_assert_eq!(&same, &want);
        prop_assert_eq!(got.rows, want.rows);
        prop_assert_eq!(got.rejects.len(), want.rejects.len());
    }
}
