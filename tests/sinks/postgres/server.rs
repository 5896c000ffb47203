//! A plain client beside the one under test.

use super::url;
use tokio_postgres::{NoTls, Row};

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

async fn connected() -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Runs statements in a session of their own.
pub fn run(sql: &str) {
    wait(async { connected().await.batch_execute(sql).await.unwrap() });
}

/// The rows of a query.
pub fn query(sql: &str) -> Vec<Row> {
    wait(async { connected().await.query(sql, &[]).await.unwrap() })
}

/// The first column of a query, as text.
pub fn texts(sql: &str) -> Vec<String> {
    query(sql).iter().map(|r| r.get(0)).collect()
}
