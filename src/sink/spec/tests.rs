use super::*;

fn parsed(text: &str) -> Endpoint {
    Endpoint::parse(text).unwrap()
}

#[test]
fn urls_and_paths() {
    assert_eq!(
        parsed("sqlite:///a/b.db"),
        Endpoint::Sqlite(Sqlite::new("/a/b.db"))
    );
    assert_eq!(parsed("sqlite://b"), Endpoint::Sqlite(Sqlite::new("b")));
    assert_eq!(
        parsed("b.sqlite"),
        Endpoint::Sqlite(Sqlite::new("b.sqlite"))
    );
    assert_eq!(
        parsed("parquet:///x"),
        Endpoint::Parquet(Parquet::new("/x"))
    );
    assert_eq!(parsed("out"), Endpoint::Parquet(Parquet::new("out")));
    assert_eq!(parsed("memory:"), Endpoint::Memory);
    for bad in ["", "sqlite://", "mysql://x", "a.parquet", "a.csv"] {
        assert_eq!(Endpoint::parse(bad).unwrap_err().kind, Kind::Usage, "{bad}");
    }
}

#[test]
fn an_endpoints_text_may_name_the_table() {
    let read = |json: &str| serde_json::from_str::<SinkSpec>(json);
    let bare = read(r#""out.db?table=quarters""#).unwrap();
    assert_eq!(
        bare.endpoint,
        Endpoint::Sqlite(Sqlite::new("out.db")),
        "{bare:?}"
    );
    assert_eq!(bare.table.as_deref(), Some("quarters"));
    let told = read(r#"{"endpoint": "sqlite:///a.db?table=raw%20data", "what": "readings"}"#);
    let told = told.unwrap();
    assert_eq!(told.table.as_deref(), Some("raw data"));
    assert_eq!(
        told.endpoint,
        Endpoint::Sqlite(Sqlite::new("/a.db")),
        "{told:?}"
    );
    let url = read(r#""postgresql://h/d?sslmode=require&table=x&schema=s""#).unwrap();
    assert_eq!(url.table.as_deref(), Some("x"));
    let Endpoint::Postgres(at) = url.endpoint else {
        panic!("{url:?}")
    };
    assert_eq!(
        (at.sslmode, at.schema.as_deref()),
        (SslMode::Require, Some("s"))
    );
    for bad in [
        r#"{"endpoint": "out.db?table=a", "table": "b"}"#,
        r#""out.db?table=""#,
        r#""out.db?tabel=a""#,
        r#""sqlite://out.db?tabel=a""#,
        r#""folder?table=a&level=3""#,
        r#""out.db?table=a&table=b""#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_spec_is_text_or_a_table_and_unknown_keys_are_refused() {
    let read = |json: &str| serde_json::from_str::<SinkSpec>(json);
    let bare = read(r#"{"endpoint": "out.db"}"#).unwrap();
    assert_eq!(bare, SinkSpec::new(Endpoint::Sqlite(Sqlite::new("out.db"))));
    let told = r#"{"endpoint": {"type": "parquet", "path": "o", "partition_by": "month"}, "what": "readings"}"#;
    let told = read(told).unwrap();
    assert_eq!(told.what, What::Readings);
    let again = serde_json::to_string(&told).unwrap();
    assert_eq!(read(&again).unwrap(), told);
    assert!(read(r#"{"endpoint": "out.db", "tabel": "x"}"#).is_err());
    assert!(read(r#"{"endpoint": {"type": "sqlite", "path": "o", "wal": 1}}"#).is_err());
    assert!(read(r#"{"endpoint": "mysql://x"}"#).is_err());
    let memory = r#"{"endpoint": {"type": "memory"}}"#;
    assert_eq!(read(memory).unwrap().endpoint, Endpoint::Memory);
}
