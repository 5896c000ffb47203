//! A schema with some of its keys replaced.

use super::columns::Schema;
use crate::{Error, Kind, Result};
use serde_json::{Map, Value};

impl Schema {
    /// The same declaration with the keys of `changes` (JSON) put over it, then checked.
    ///
    /// `dialect`, `time` and `quality` are merged key by key; `columns` as an object names columns and
    /// what changes of each; any other value replaces the old one, and null clears it.
    pub fn replaced(&self, changes: &str) -> Result<Schema> {
        let whole = serde_json::to_value(self).map_err(|e| unreadable(&e))?;
        let (Value::Object(mut all), Ok(changes)) =
            (whole, serde_json::from_str::<Map<String, Value>>(changes))
        else {
            return Err(Error::new(
                Kind::Usage,
                "changes to a schema are keys and values; see the keys of a schema",
            ));
        };
        for (key, change) in changes {
            let old = all.get(&key).cloned().unwrap_or(Value::Null);
            let new = if key == "columns" {
                columns(old, change)?
            } else {
                merged(old, change)
            };
            match new {
                Value::Null => drop(all.remove(&key)),
                new => drop(all.insert(key, new)),
            }
        }
        Schema::from_json(&Value::Object(all).to_string())
    }
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::new(
        Kind::Internal,
        format!("a schema could not be written: {error}"),
    )
}

/// Objects key by key; a null key is removed. Anything else replaces.
fn merged(old: Value, change: Value) -> Value {
    match (old, change) {
        (Value::Object(mut old), Value::Object(change)) => {
            for (key, value) in change {
                match value {
                    Value::Null => drop(old.remove(&key)),
                    value => drop(old.insert(key, value)),
                }
            }
            Value::Object(old)
        }
        (_, change) => change,
    }
}

fn columns(old: Value, change: Value) -> Result<Value> {
    let (Value::Array(mut columns), Value::Object(changes)) = (old, change.clone()) else {
        return Ok(change);
    };
    for (name, change) in changes {
        let found = columns
            .iter_mut()
            .find(|c| c.get("name").and_then(Value::as_str) == Some(name.as_str()));
        match found {
            Some(column) => *column = merged(column.take(), change),
            None => {
                return Err(Error::new(
                    Kind::Schema,
                    format!(
                        "the schema has no column {name:?} to change; give columns as a list to add one"
                    ),
                ));
            }
        }
    }
    Ok(Value::Array(columns))
}

#[cfg(test)]
mod tests {
    use crate::schema::preset;

    #[test]
    fn keys_are_replaced_merged_cleared_and_checked() {
        let schema = preset("household").unwrap();
        let changed = schema.replaced(r#"{"tz": "Europe/Paris", "dialect": {"decimal": ","}, "columns": {"voltage": {"unit": "kV"}}}"#).unwrap();
        assert_eq!(changed.tz.as_deref(), Some("Europe/Paris"));
        assert_eq!(changed.dialect.decimal, ',');
        assert_eq!(
            changed.column("voltage").unwrap().unit.as_deref(),
            Some("kV")
        );
        assert_eq!(changed.replaced(r#"{"tz": null}"#).unwrap().tz, None);
        assert!(schema.replaced(r#"{"zone": "UTC"}"#).is_err());
        assert!(schema.replaced(r#"{"columns": {"nope": {}}}"#).is_err());
    }
}
