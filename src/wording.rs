//! Wording: what a parser says of a definition, as a person would say it, and the nearest of known names. A leaf.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The known name with the least edits, if they are few.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    if wanted.is_empty() || wanted.len() > 64 {
        return None;
    }
    let (cost, best) = known
        .into_iter()
        .map(|known| (edits(&wanted, &known.to_ascii_lowercase()), known))
        .min_by_key(|(cost, _)| *cost)?;
    (cost <= 1 + wanted.len() / 4 && cost < wanted.len()).then_some(best)
}

/// Levenshtein's distance over bytes.
pub fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let change = corner + usize::from(left != right);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

/// A message of serde in plain words; any other as it is.
pub fn plain(message: &str) -> String {
    // TOML's reader names the key behind the message; whoever calls this names it in front.
    let bare = match message.rsplit_once(" in `") {
        Some((told, key)) if key.ends_with('`') => told,
        _ => message,
    };
    unknown(bare, "unknown field `")
        .map(|(name, known)| no_key(&name, &known))
        .or_else(|| unknown(bare, "unknown variant `").map(|(name, known)| none_of(&name, &known)))
        .or_else(|| one_name(bare, "missing field `").map(|n| format!("the key {n:?} is missing")))
        .or_else(|| {
            one_name(bare, "duplicate field `").map(|n| format!("the key {n:?} is there twice"))
        })
        .or_else(|| unfit(bare))
        .unwrap_or_else(|| message.to_string())
}

fn one_name(message: &str, before: &str) -> Option<String> {
    let (name, _) = message.strip_prefix(before)?.split_once('`')?;
    Some(name.to_string())
}

/// The name that is none, and those there are.
fn unknown(message: &str, before: &str) -> Option<(String, Vec<String>)> {
    let (name, rest) = message.strip_prefix(before)?.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(String::from);
    Some((name.to_string(), known.collect()))
}

fn no_key(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("there is no key {name:?}; did you mean {near:?}?"),
        None => format!(
            "there is no key {name:?}; the keys are {}",
            known.join(", ")
        ),
    }
}

fn none_of(name: &str, known: &[String]) -> String {
    let there = match known {
        [one, other] => format!("neither {one} nor {other}"),
        _ => format!("none of {}", known.join(", ")),
    };
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("{name:?} is {there}; did you mean {near:?}?"),
        None => format!("{name:?} is {there}"),
    }
}

/// `invalid type: string "many", expected u64`.
fn unfit(message: &str) -> Option<String> {
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    let (given, wanted) = rest.rsplit_once(", expected ")?;
    let wanted = match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table of keys and values",
        other if other.starts_with("struct ") => "a table of keys and values",
        other => other,
    };
    Some(format!("{} is not {wanted}", value_of(given)))
}

/// What serde says it was given: the value, or what it is.
fn value_of(given: &str) -> &str {
    match given {
        "sequence" => "a list",
        "map" => "a table",
        "unit value" | "null" | "Option value" => "nothing",
        _ => {
            let text = given.strip_prefix("string ");
            let ticked = || given.split('`').nth(1);
            text.or_else(ticked).unwrap_or(given)
        }
    }
}

/// What is wrong with a definition that is no `T`, in plain words and with the key it stands under; `None` where
/// nothing is.
///
/// The key is found by trial: without it, the parser complains of something else, or of nothing.
pub fn fault<T: DeserializeOwned>(all: &Map<String, Value>) -> Option<String> {
    let message = complaint::<T>(all)?;
    let at = all.keys().find(|key| {
        let mut fewer = all.clone();
        fewer.remove(*key);
        complaint::<T>(&fewer).is_none_or(|other| other != message)
    });
    let told = plain(&message);
    let known = |key: &&String| !message.starts_with(&format!("unknown field `{key}`"));
    Some(match at.filter(known) {
        Some(key) if !told.starts_with(key.as_str()) => format!("{key}: {told}"),
        _ => told,
    })
}

/// What TOML's reader says, with the line it is about.
pub fn toml_fault(text: &str, error: &toml::de::Error) -> String {
    let told = plain(error.message());
    match error.span().and_then(|s| text.get(..s.start)) {
        Some(before) => format!("line {}: {told}", before.matches('\n').count() + 1),
        None => told,
    }
}

fn complaint<T: DeserializeOwned>(all: &Map<String, Value>) -> Option<String> {
    let read = serde_json::from_value::<T>(Value::Object(all.clone()));
    read.err().map(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_says_in_plain_words() {
        for (message, words) in [
            (
                "unknown field `grain`, expected one of `grains`, `tz`",
                "there is no key \"grain\"; did you mean \"grains\"?",
            ),
            (
                "unknown field `x`, expected `a` or `b` in `sinks`",
                "there is no key \"x\"; the keys are a, b",
            ),
            (
                "unknown variant `ende`, expected `start` or `end`",
                "\"ende\" is neither start nor end; did you mean \"end\"?",
            ),
            (
                "unknown variant `corect`, expected one of `side`, `drop`, `correct` in `on_late`",
                "\"corect\" is none of side, drop, correct; did you mean \"correct\"?",
            ),
            ("missing field `name`", "the key \"name\" is missing"),
            (
                "invalid value: integer `-3`, expected u64",
                "-3 is not a whole number from 0 on",
            ),
            (
                "invalid type: string \"many\", expected usize",
                "\"many\" is not a whole number from 0 on",
            ),
            (
                "invalid type: sequence, expected a string",
                "a list is not a text in quotes",
            ),
            ("in our own words", "in our own words"),
        ] {
            assert_eq!(plain(message), words);
        }
    }

    #[test]
    fn the_nearest_is_near() {
        assert_eq!(nearest("mesure", ["measure", "name"]), Some("measure"));
        assert_eq!(nearest("flush-rows", ["flush_rows"]), Some("flush_rows"));
        assert_eq!(nearest("colour", ["measure", "name"]), None);
        assert_eq!(nearest("", ["a"]), None);
    }

    #[test]
    fn a_fault_is_told_with_its_key() {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Told {
            #[allow(dead_code)]
            rows: u8,
            #[allow(dead_code)]
            name: Option<String>,
        }
        let told = |text: &str| {
            let all: Map<String, Value> = serde_json::from_str(text).unwrap();
            fault::<Told>(&all)
        };
        assert_eq!(told(r#"{"rows": 1}"#), None);
        let wrong = told(r#"{"name": "a", "rows": "b"}"#).unwrap();
        assert_eq!(wrong, "rows: \"b\" is not a whole number from 0 on");
        let wrong = told(r#"{"rows": 1, "nam": "b"}"#).unwrap();
        assert_eq!(wrong, "there is no key \"nam\"; did you mean \"name\"?");
        assert_eq!(told("{}").unwrap(), "the key \"rows\" is missing");
    }
}
