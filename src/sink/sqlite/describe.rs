//! What a table in the file looks like.

use crate::sink::mapping::{Class, Column, Holds, Theirs};
use rusqlite::{Connection, OptionalExtension};

/// Describes `table`, or `None` where there is none.
pub(super) fn table(conn: &Connection, table: &str) -> rusqlite::Result<Option<Theirs>> {
    let sql = "SELECT type FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type IN ('table','view')";
    let kind: Option<String> = conn.query_row(sql, [table], |r| r.get(0)).optional()?;
    if kind.is_none() {
        return Ok(None);
    }
    let (mut columns, primary) = columns(conn, table)?;
    // `INTEGER PRIMARY KEY` is the row number: SQLite gives it where nobody does.
    if let [one] = primary.as_slice()
        && let Some(column) = columns.iter_mut().find(|c| &c.name == one)
        && column.declared.eq_ignore_ascii_case("INTEGER")
    {
        column.required = false;
    }
    let mut unique = unique(conn, table)?;
    if !primary.is_empty() {
        unique.push(primary.clone());
    }
    Ok(Some(Theirs {
        columns,
        primary,
        unique,
    }))
}

fn columns(conn: &Connection, table: &str) -> rusqlite::Result<(Vec<Column>, Vec<String>)> {
    let sql = "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([table])?;
    let (mut columns, mut primary) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (name, declared): (String, String) = (row.get(0)?, row.get(1)?);
        let (not_null, default): (bool, bool) = (row.get(2)?, row.get(3)?);
        let (place, hidden): (i64, i64) = (row.get(4)?, row.get(5)?);
        if place > 0 {
            primary.push((place, name.clone()));
        }
        columns.push(Column {
            holds: holds(&declared),
            required: not_null && !default && hidden == 0,
            name,
            declared,
        });
    }
    primary.sort();
    Ok((columns, primary.into_iter().map(|(_, name)| name).collect()))
}

fn unique(conn: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let sql = "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" AND NOT partial";
    let mut statement = conn.prepare(sql)?;
    let names = statement.query_map([table], |r| r.get::<_, String>(0))?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut columns = conn.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
    let mut all = Vec::new();
    for index in names {
        let found = columns.query_map([index], |r| r.get::<_, Option<String>>(0))?;
        // An index over an expression has a part without a name and cannot be a key here.
        if let Some(found) = found.collect::<rusqlite::Result<Option<Vec<String>>>>()? {
            all.push(found);
        }
    }
    Ok(all)
}

/// The type a column of ours is declared with.
pub(super) fn declared(class: Class) -> &'static str {
    match class {
        Class::Integer | Class::Flag => "INTEGER",
        Class::Real => "REAL",
        Class::Text | Class::Time | Class::Date | Class::Id => "TEXT",
    }
}

/// SQLite's rules from a declared type to what it does to values.
fn holds(declared: &str) -> Holds {
    use Class::{Date, Flag, Id, Integer, Real, Text, Time};
    let d = declared.to_ascii_uppercase();
    let has = |part: &str| d.contains(part);
    if has("INT") {
        &[Integer, Flag]
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        &[Text, Time, Date, Id]
    } else if d.is_empty() || has("BLOB") || d == "ANY" {
        &[Text, Integer, Real, Flag, Time, Date, Id]
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        &[Real, Integer, Flag]
    } else {
        // NUMERIC: text that is no number stays (dates, UUIDs), other text may not.
        &[Integer, Real, Flag, Time, Date, Id]
    }
}
