//! What topics alone do, against the broker that `WATTLINE_TEST_KAFKA` names:
//! `python -m tests.services run --with kafka -- cargo test --features kafka --test sinks`.

mod server;
mod topics;

use crate::fixture::*;
pub use server::*;
use std::collections::BTreeMap;
use std::path::Path;
use wattline::sink::{Endpoint, Kafka};

/// The broker of the tests.
pub fn url() -> String {
    std::env::var("WATTLINE_TEST_KAFKA").expect(
        "WATTLINE_TEST_KAFKA names no broker; run the tests under python -m tests.services run --with kafka --",
    )
}

/// Each store has topics of its own, named like its folder.
pub fn topic(dir: &Path) -> String {
    let name = dir.file_name().unwrap().to_str().unwrap();
    format!("t{}", name.replace('.', "_"))
}

pub fn at(dir: &Path) -> Kafka {
    let Endpoint::Kafka(mut at) = Endpoint::parse(&url()).unwrap() else {
        panic!("{} is no kafka:// URL", url());
    };
    at.topic = Some(topic(dir));
    at.state_topic = format!("{}-state", topic(dir));
    at.partitions = Some(2);
    at.lease = 1.0;
    at.retry_for = 20.0;
    at
}

pub fn endpoint(dir: &Path) -> Endpoint {
    Endpoint::Kafka(at(dir))
}

/// The last row of each window, as a reader of committed messages has them. The same row twice fails the test.
pub fn window_rows(dir: &Path) -> Vec<SeenRow> {
    let mut last = BTreeMap::new();
    let mut all = Vec::new();
    for (key, value) in committed(&topic(dir)) {
        let row: serde_json::Value = serde_json::from_slice(&value).unwrap();
        if row["grain"] != "1h" {
            continue;
        }
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let start = chrono::DateTime::parse_from_rfc3339(&text("window_start")).unwrap();
        let hour = (start.timestamp_micros() - START) / HOUR;
        assert_eq!(key.unwrap(), text("sensor_id").into_bytes());
        let seen = (
            row["power_mean"].as_f64().unwrap(),
            row["final"].as_bool().unwrap(),
            row["revision"].as_i64().unwrap() as i32,
        );
        let one = ((text("sensor_id"), hour), seen);
        assert!(!all.contains(&one), "{one:?} twice");
        all.push(one.clone());
        last.insert(one.0, one.1);
    }
    last.into_iter().collect()
}
