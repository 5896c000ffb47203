//! Words of SQL that the stores share: names are quoted, always.

/// An identifier in double quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Identifiers in double quotes, between commas.
pub(super) fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| quoted(n)).collect();
    names.join(", ")
}

/// Names of columns are compared as SQL does.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
