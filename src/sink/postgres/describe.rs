//! What a table on the server looks like, and what this user may do.

use super::copy::Kept;
use super::failure::{Failed, Step};
use super::session::Session;
use super::store;
use crate::sink::mapping::{Class, Column, Holds, Theirs};
use crate::sink::sql::{list, quoted};
use crate::{Error, Kind};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// A table of theirs and how each of its columns is encoded.
pub(super) struct Table {
    /// What a mapping is checked with.
    pub theirs: Theirs,
    /// Encoding by column; columns that cannot be written have none.
    pub kept: Vec<(String, Kept)>,
}

/// Describes `table`, or `None` where there is none.
pub(super) async fn table(session: &Session, table: &str) -> Step<Option<Table>> {
    let sql = "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'f')";
    let told = [
        (
            &session.schema as &(dyn tokio_postgres::types::ToSql + Sync),
            Type::TEXT,
        ),
        (&table, Type::TEXT),
    ];
    let Some(row) = session.client.query_typed_opt(sql, &told).await? else {
        return Ok(None);
    };
    let oid: u32 = row.get(0);
    let mut described = Table {
        theirs: Theirs::default(),
        kept: Vec::new(),
    };
    for row in session
        .client
        .query_typed(COLUMNS, &[(&oid, Type::OID)])
        .await?
    {
        described.column(&row);
    }
    for row in session
        .client
        .query_typed(UNIQUE, &[(&oid, Type::OID)])
        .await?
    {
        let columns: Vec<String> = row.get(1);
        if row.get(0) {
            described.theirs.primary = columns.clone();
        }
        described.theirs.unique.push(columns);
    }
    Ok(Some(described))
}

/// A domain is encoded as what it is made of.
const COLUMNS: &str = "
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
  CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END,
  CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END,
  a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' , a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Indexes that tell rows apart at once and over whole columns.
const UNIQUE: &str = "
SELECT i.indisprimary, ARRAY(
  SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
  WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_index i
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL";

impl Table {
    fn column(&mut self, row: &Row) {
        let name: String = row.get(0);
        let (declared, oid, modifier): (String, u32, i32) = (row.get(1), row.get(2), row.get(3));
        let (required, computed): (bool, bool) = (row.get(4), row.get(5));
        let kept = Kept::of(oid, modifier).filter(|_| !computed);
        self.theirs.columns.push(Column {
            holds: kept.map_or(&[], holds),
            required: required && !computed,
            declared: if computed {
                "as computed by the server".into()
            } else {
                declared
            },
            name: name.clone(),
        });
        self.kept.extend(kept.map(|kept| (name, kept)));
    }
}

/// What a column can take; some values are looked at one by one.
fn holds(kept: Kept) -> Holds {
    use Class::{Flag, Id, Integer, Real, Text, Time};
    match kept {
        Kept::Text => &[Text, Time, Id],
        Kept::Int2 | Kept::Int4 | Kept::Int8 => &[Integer, Flag],
        Kept::Float4 | Kept::Float8 | Kept::Numeric(_) => &[Real, Integer],
        Kept::Bool => &[Flag],
        Kept::Instant | Kept::Date => &[Time],
        Kept::Uuid => &[Id],
    }
}

/// The type a column of ours is declared with.
pub(super) fn declared(class: Class) -> &'static str {
    match class {
        Class::Text => "text",
        Class::Integer => "bigint",
        Class::Real => "double precision",
        Class::Flag => "boolean",
        Class::Time => "timestamptz",
        Class::Id => "uuid",
    }
}

/// How a column of a table of ours is encoded.
pub(super) fn kept(class: Class) -> Kept {
    match class {
        Class::Text => Kept::Text,
        Class::Integer => Kept::Int8,
        Class::Real => Kept::Float8,
        Class::Flag => Kept::Bool,
        Class::Time => Kept::Instant,
        Class::Id => Kept::Uuid,
    }
}

/// Refuses what this user may not do, with the statement that grants it. `create`: DDL of the table, where it is missing.
pub(super) async fn privileges(
    session: &Session,
    table: &str,
    columns: &[String],
    create: Option<&str>,
) -> Step<()> {
    let user: String = session
        .client
        .query_typed_one("SELECT current_user::text, current_database()::text", &[])
        .await?
        .get(0);
    let lacking = |what: String| -> Step<()> {
        let message = format!(
            "the user {user:?} lacks a privilege; run {what} TO {}, and run again",
            quoted(&user)
        );
        Err(Failed::Said(Error::new(Kind::Endpoint, message)))
    };
    let yes = async |sql: &str,
                     told: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)]|
           -> Step<bool> {
        Ok(session.client.query_typed_one(sql, told).await?.get(0))
    };
    if !yes(
        "SELECT has_database_privilege(current_database(), 'TEMP')",
        &[],
    )
    .await?
    {
        let sql = "SELECT quote_ident(current_database())";
        let database: String = session.client.query_typed_one(sql, &[]).await?.get(0);
        return lacking(format!("GRANT TEMPORARY ON DATABASE {database}"));
    }
    let known = store::has_tables(session).await?;
    let may_make = "SELECT has_schema_privilege($1, 'CREATE')";
    if (!known || create.is_some()) && !yes(may_make, &[(&session.schema, Type::TEXT)]).await? {
        return lacking(match create {
            Some(create) if known => format!(
                "{create}; GRANT SELECT, INSERT, UPDATE ON {}",
                session.table(table)
            ),
            _ => format!("GRANT CREATE ON SCHEMA {}", quoted(&session.schema)),
        });
    }
    if known {
        for name in store::TABLES {
            let ours = session.table(name);
            let sql =
                "SELECT has_table_privilege($1, 'SELECT') AND has_table_privilege($1, 'INSERT')
              AND has_table_privilege($1, 'UPDATE') AND has_table_privilege($1, 'DELETE')";
            if !yes(sql, &[(&ours, Type::TEXT)]).await? {
                return lacking(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {ours}"));
            }
        }
    }
    if create.is_none() {
        let theirs = session.table(table);
        for what in ["SELECT", "INSERT", "UPDATE"] {
            let sql = "SELECT coalesce(bool_and(has_column_privilege($1, name, $3)), true) FROM unnest($2) AS name";
            let told = [
                (
                    &theirs as &(dyn tokio_postgres::types::ToSql + Sync),
                    Type::TEXT,
                ),
                (&columns, Type::TEXT_ARRAY),
                (&what, Type::TEXT),
            ];
            if !yes(sql, &told).await? {
                return lacking(format!("GRANT {what} ({}) ON {theirs}", list(columns)));
            }
        }
    }
    Ok(())
}
