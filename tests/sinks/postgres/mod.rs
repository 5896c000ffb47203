//! What PostgreSQL alone does, against the server that `WATTLINE_TEST_POSTGRES` names:
//! `python -m tests.services run --with postgres -- cargo test --features postgres --test sinks`.

mod server;
mod tables;

use crate::fixture::*;
pub use server::*;
use std::path::Path;
use wattline::sink::{Endpoint, Postgres};

/// The server of the tests.
pub fn url() -> String {
    std::env::var("WATTLINE_TEST_POSTGRES").expect(
        "WATTLINE_TEST_POSTGRES names no server; run the tests under python -m tests.services run --with postgres --",
    )
}

/// Each store has a schema of its own, named like its folder.
pub fn schema(dir: &Path) -> String {
    let name = dir.file_name().unwrap().to_str().unwrap();
    format!("t{}", name.replace('.', "_").to_ascii_lowercase())
}

pub fn at(dir: &Path) -> Postgres {
    let url = url();
    let mut at = match Endpoint::parse(&url).unwrap() {
        Endpoint::Postgres(at) => at,
        other => panic!("{other} is no PostgreSQL"),
    };
    at.schema = Some(schema(dir));
    at.retry_for = 10.0;
    at
}

pub fn endpoint(dir: &Path) -> Endpoint {
    Endpoint::Postgres(at(dir))
}

pub fn make_schema(dir: &Path) {
    run(&format!("CREATE SCHEMA {}", schema(dir)));
}

pub fn window_rows(dir: &Path) -> Vec<SeenRow> {
    let sql = format!(
        "SELECT sensor_id, extract(epoch FROM window_start)::bigint, power_mean, final, revision::int FROM {}.windows WHERE grain = '1h'",
        schema(dir)
    );
    let row = |r: tokio_postgres::Row| {
        let hour = (r.get::<_, i64>(1) * 1_000_000 - START) / HOUR;
        ((r.get(0), hour), (r.get(2), r.get(3), r.get(4)))
    };
    query(&sql).into_iter().map(row).collect()
}
