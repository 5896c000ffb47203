//! Any bytes through the sniffer: a proposal that can be compiled, or a sentence; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wattline::csv::{CsvPlan, Hints, sniff};
use wattline::input::{Head, refuse};

fuzz_target!(|data: &[u8]| {
    let Ok(head) = Head::of("fuzz", data) else {
        return;
    };
    let _ = refuse(&head);
    match sniff(&head, &Hints::default()) {
        Ok(sniffed) => {
            let _ = CsvPlan::compile(&sniffed.schema, data);
        }
        Err(error) => assert!(!error.message.is_empty()),
    }
});
