//! Any bytes through the reader: no panic, and the same rows and books for another chunk size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use wattline::csv::{Chunks, CsvPlan, ReadOptions, SchemaChoice, resolve};
use wattline::input::{Head, InputSpec, Limits};
use wattline::reject::OnReject;

type Seen = (u64, u64, u64, u64);

fn read(data: &[u8], plan: &Arc<CsvPlan>, chunk_bytes: usize) -> Option<Seen> {
    let input = InputSpec::memory("fuzz", data)
        .open(&Limits::default())
        .ok()?;
    let options = ReadOptions {
        on_reject: OnReject::Collect,
        max_rejects: u64::MAX,
        threads: Some(1),
        chunk_bytes,
        max_line_bytes: 1 << 12,
        ..ReadOptions::default()
    };
    let mut chunks = Chunks::open(input, plan.clone(), &options, None, Arc::new(Ok)).ok()?;
    let mut seen = (0, 0, 0, 0);
    while let Some(chunk) = chunks.next().ok()? {
        let books = &chunk.counters;
        assert_eq!(books.records, books.accepted + books.rejected);
        assert_eq!(
            books.lines,
            books.preamble + books.header + books.blank + books.continuation + books.records
        );
        assert_eq!(chunk.batch.num_rows() as u64, books.accepted);
        seen = (
            seen.0 + books.lines,
            seen.1 + books.accepted,
            seen.2 + books.rejected,
            chunk.end.byte,
        );
    }
    Some(seen)
}

fuzz_target!(|data: &[u8]| {
    let choices = [
        SchemaChoice::Sniff,
        SchemaChoice::Preset("household".into()),
    ];
    let Ok(head) = Head::of("fuzz", data) else {
        return;
    };
    for choice in choices {
        let Ok(schema) = resolve(&choice, &head) else {
            continue;
        };
        let Ok(plan) = CsvPlan::compile(&schema, data) else {
            continue;
        };
        let plan = Arc::new(plan);
        assert_eq!(read(data, &plan, 1 << 16), read(data, &plan, 61));
    }
});
