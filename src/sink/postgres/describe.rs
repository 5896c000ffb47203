//! What a table on the server looks like, and what this user may do.

use super::copy::Kept;
use super::failure::{Failed, Step};
use super::session::Session;
use super::store;
use crate::sink::mapping::{Class, Column, Holds, Theirs};
use crate::sink::sql::{list, quoted};
use crate::{Error, Kind};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

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
    let told: Told<'_> = &[(&session.schema, Type::TEXT), (&table, Type::TEXT)];
    let Some(row) = session.client.query_typed_opt(sql, told).await? else {
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
    use Class::{Date, Flag, Id, Integer, Real, Text, Time};
    match kept {
        Kept::Text => &[Text, Time, Date, Id],
        Kept::Int2 | Kept::Int4 | Kept::Int8 => &[Integer, Flag],
        Kept::Float4 | Kept::Float8 | Kept::Numeric(_) => &[Real, Integer],
        Kept::Bool => &[Flag],
        Kept::Instant => &[Time],
        Kept::Date => &[Time, Date],
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
        Class::Date => "date",
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
        Class::Date => Kept::Date,
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
    let sql = "SELECT current_user::text";
    let user: String = session.client.query_typed_one(sql, &[]).await?.get(0);
    let rights = Rights { session, user };
    rights.temporary().await?;
    let known = store::has_tables(session).await?;
    if !known || create.is_some() {
        rights.making(table, create.filter(|_| known)).await?;
    }
    if known {
        rights.ours().await?;
    }
    match create {
        Some(_) => Ok(()),
        None => rights.theirs(table, columns).await,
    }
}

/// What one user may do.
struct Rights<'a> {
    session: &'a Session,
    user: String,
}

/// Parameters with their types.
type Told<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

impl Rights<'_> {
    async fn need(&self, sql: &str, told: Told<'_>, grant: impl Fn() -> String) -> Step<()> {
        if self.session.client.query_typed_one(sql, told).await?.get(0) {
            return Ok(());
        }
        let message = format!(
            "the user {:?} lacks a privilege; run {} TO {}, and run again",
            self.user,
            grant(),
            quoted(&self.user)
        );
        Err(Failed::Said(Error::new(Kind::Endpoint, message)))
    }

    /// Rows go over a temporary table.
    async fn temporary(&self) -> Step<()> {
        let sql = "SELECT quote_ident(current_database())";
        let database: String = self.session.client.query_typed_one(sql, &[]).await?.get(0);
        let sql = "SELECT has_database_privilege(current_database(), 'TEMP')";
        let grant = || format!("GRANT TEMPORARY ON DATABASE {database}");
        self.need(sql, &[], grant).await
    }

    /// Makes our own tables, and theirs where it is missing.
    async fn making(&self, table: &str, create: Option<&str>) -> Step<()> {
        let schema = &self.session.schema;
        let grant = || match create {
            Some(create) => format!(
                "{create}; GRANT SELECT, INSERT, UPDATE ON {}",
                self.session.table(table)
            ),
            None => format!("GRANT CREATE ON SCHEMA {}", quoted(schema)),
        };
        let sql = "SELECT has_schema_privilege($1, 'CREATE')";
        self.need(sql, &[(schema, Type::TEXT)], grant).await
    }

    async fn ours(&self) -> Step<()> {
        let sql = "SELECT bool_and(has_table_privilege($1, what)) FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS what";
        for name in store::TABLES {
            let name = self.session.table(name);
            let grant = || format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}");
            self.need(sql, &[(&name, Type::TEXT)], grant).await?;
        }
        Ok(())
    }

    async fn theirs(&self, table: &str, columns: &[String]) -> Step<()> {
        let table = self.session.table(table);
        let sql = "SELECT coalesce(bool_and(has_column_privilege($1, name, $3)), true) FROM unnest($2) AS name";
        for what in ["SELECT", "INSERT", "UPDATE"] {
            let grant = || format!("GRANT {what} ({}) ON {table}", list(columns));
            let told: Told<'_> = &[
                (&table, Type::TEXT),
                (&columns, Type::TEXT_ARRAY),
                (&what, Type::TEXT),
            ];
            self.need(sql, told, grant).await?;
        }
        Ok(())
    }
}
