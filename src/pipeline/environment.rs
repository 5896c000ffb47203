//! What a definition in TOML takes from the environment, and the stars it may not hold.

use crate::sink::password_in;
use crate::{Error, Kind, Result, secret};

/// Refuses the stars that `to_toml` writes for a secret: they are no secret.
pub(super) fn whole(value: &toml::Value, key: &mut Vec<String>, given: &[String]) -> Result<()> {
    match value {
        toml::Value::String(text) if left_out(text, key.last()) => Err(Error::new(
            Kind::Usage,
            format!(
                "{}: the password or key is {:?}, which stands for one that was left out when the definition was written; write ${{NAME}} in its place and set that environment variable",
                key.join("."),
                secret::HIDDEN
            ),
        )),
        toml::Value::Array(items) => items.iter().try_for_each(|item| whole(item, key, given)),
        toml::Value::Table(table) => table.iter().try_for_each(|(name, item)| {
            if key.is_empty() && given.contains(name) {
                return Ok(());
            }
            key.push(name.clone());
            whole(item, key, given)?;
            key.pop();
            Ok(())
        }),
        _ => Ok(()),
    }
}

fn left_out(text: &str, key: Option<&String>) -> bool {
    let own = text == secret::HIDDEN && key.is_some_and(|k| secret::is_secret(k));
    let mut within = secret::secrets_in(text).into_iter();
    own || within.any(|place| &text[place] == secret::HIDDEN)
}

/// Passwords stay by reference: they are read when they are used, and stand in no definition.
pub(super) fn fill_environment(value: &mut toml::Value, key: &mut Vec<String>) -> Result<()> {
    match value {
        toml::Value::String(_) if key.last().is_some_and(|k| k == "password") => {}
        toml::Value::String(text) => *text = filled(text, &key.join("."))?,
        toml::Value::Array(items) => {
            for item in items {
                fill_environment(item, key)?;
            }
        }
        toml::Value::Table(table) => {
            for (name, item) in table {
                key.push(name.clone());
                fill_environment(item, key)?;
                key.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// The secrets of a URL that the environment is not asked for now.
fn by_reference(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut all: Vec<_> = password_in(text).into_iter().collect();
    let behind = all.first().map_or(0, |first| first.end);
    let named = secret::secrets_in(text).into_iter();
    all.extend(named.filter(|s| s.start >= behind && secret::named(&text[s.clone()])));
    all
}

fn filled(text: &str, key: &str) -> Result<String> {
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for secret in by_reference(text) {
        out += &plainly(&text[from..secret.start], key)?;
        out += &text[secret.clone()];
        from = secret.end;
    }
    Ok(out + &plainly(&text[from..], key)?)
}

fn plainly(text: &str, key: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            break;
        };
        let name = &rest[start + 2..start + length];
        let value = std::env::var(name).map_err(|_| {
            Error::new(Kind::Usage, format!("{key} asks for the environment variable {name}, which is not set; set it or write the value"))
        })?;
        out.push_str(&rest[..start]);
        out.push_str(&value);
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
