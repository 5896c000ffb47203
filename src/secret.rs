//! A secret: a password or key. A leaf. It never appears in a message, a repr, a log or a written spec.
//!
//! `${NAME}` is a reference: the environment is asked when the secret is used, so that a pickled
//! or stored pipeline holds the name alone.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::Cell;
use std::fmt;
use std::ops::Range;

/// What stands for a secret wherever it would be seen.
pub const HIDDEN: &str = "***";

/// A password or key, or the name of the environment variable that holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret, or a reference `${NAME}`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself. Errors: `Usage` where it refers to a variable that is not set, or was
    /// left out when the spec was written.
    pub fn reveal(&self) -> Result<String> {
        match self.name() {
            Some(name) => std::env::var(name).map_err(|_| {
                Error::new(
                    Kind::Usage,
                    format!(
                        "a secret is in the environment variable {name}, which is not set; set it"
                    ),
                )
            }),
            None if self.0 == HIDDEN => Err(Error::new(
                Kind::Usage,
                "a secret was left out when this pipeline was written; give it again, best as ${NAME} of an environment variable",
            )),
            None => Ok(self.0.clone()),
        }
    }

    fn name(&self) -> Option<&str> {
        self.0
            .strip_prefix("${")?
            .strip_suffix('}')
            .filter(|name| !name.contains('}'))
    }

    /// What may be seen: the reference, or stars.
    fn shown(&self) -> &str {
        match self.name() {
            Some(_) => &self.0,
            None => HIDDEN,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

thread_local! {
    /// Whether this thread writes secrets as they are.
    static KEEPS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `write` so that what it serializes holds its secrets: what a pipeline keeps of itself to
/// run later, never what is shown.
pub fn kept<T>(write: impl FnOnce() -> T) -> T {
    let before = KEEPS.replace(true);
    let written = write();
    KEEPS.set(before);
    written
}

/// Whether this thread writes secrets as they are.
pub fn keeps() -> bool {
    KEEPS.get()
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(if keeps() { &self.0 } else { self.shown() })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

/// Whether a setting of this name may hold a secret.
pub fn is_secret(name: &str) -> bool {
    [
        "password",
        "secret",
        "token",
        ".pem",
        "sasl.oauthbearer.config",
    ]
    .iter()
    .any(|part| name.contains(part))
}

/// Where the secrets stand in a text that is one URL: the password before its `@`, values of secret options, and
/// what follows such a value without a name of its own (a password may hold a `&`).
pub fn secrets_in(url: &str) -> Vec<Range<usize>> {
    let Some(start) = url.find("://").map(|n| n + 3) else {
        return Vec::new();
    };
    let end = url[start..].find('?').map_or(url.len(), |n| start + n);
    let mut found: Vec<_> = password_in(url, start..end).into_iter().collect();
    let (mut at, mut after) = (end + 1, false);
    for pair in url.get(at..).unwrap_or_default().split('&') {
        let range = match pair.split_once('=') {
            Some((name, _)) if is_secret(&plain(name)) => Some(at + name.len() + 1),
            None if after => Some(at),
            _ => None,
        };
        found.extend(range.map(|from| from..at + pair.len()));
        after = range.is_some();
        at += pair.len() + 1;
    }
    found
}

/// The password before the `@`; it may hold a `/` that should have been escaped.
fn password_in(url: &str, place: Range<usize>) -> Option<Range<usize>> {
    let at = place.start + url[place.clone()].rfind('@')?;
    let colon = place.start + url[place.start..at].find(':')?;
    let authority = !url[place.start..colon].contains('/');
    authority.then_some(colon + 1..at)
}

/// Whether a secret of a URL is a reference.
pub fn named(text: &str) -> bool {
    Secret(plain(text)).name().is_some()
}

/// One URL as it may be seen: secrets are stars, unless they are references.
pub fn masked(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut from = 0;
    for secret in secrets_in(url) {
        if secret.is_empty() || named(&url[secret.clone()]) {
            continue;
        }
        out.push_str(&url[from..secret.start]);
        out.push_str(HIDDEN);
        from = secret.end;
    }
    out + &url[from..]
}

/// A text with URLs in it, their secrets stars.
pub fn redacted(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'`".contains(c);
    text.split_inclusive(ends).map(masked_word).collect()
}

fn masked_word(word: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'`".contains(c);
    let bare = word.trim_end_matches(ends);
    masked(bare) + &word[bare.len()..]
}

/// `%41` as `A`, where that can be.
fn plain(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(behind.first()), digit(behind.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            (
                "kafka://h:1,i:2/t?user=a&password=pw&ca=c",
                "kafka://h:1,i:2/t?user=a&password=***&ca=c",
            ),
            ("kafka://me:pw@h/t", "kafka://me:***@h/t"),
            ("kafka://me:p/w@h/t", "kafka://me:***@h/t"),
            (
                "kafka://h/t?pass%77ord=p&w&ca=c",
                "kafka://h/t?pass%77ord=***&***&ca=c",
            ),
            (
                "kafka://h/t?sasl.oauthbearer.config=x",
                "kafka://h/t?sasl.oauthbearer.config=***",
            ),
            (
                "kafka://h/t?password=${PW}&x=1",
                "kafka://h/t?password=${PW}&x=1",
            ),
            (
                "kafka://h/t?password=%24%7BPW%7D",
                "kafka://h/t?password=%24%7BPW%7D",
            ),
            ("kafka://h/t?password=${A}${B}", "kafka://h/t?password=***"),
            ("sqlite:///a:b@c", "sqlite:///a:b@c"),
            ("sim://x?rows=5", "sim://x?rows=5"),
            ("C:/readings.csv", "C:/readings.csv"),
            ("p?password=ü", "p?password=ü"),
        ] {
            assert_eq!(masked(url), shown);
        }
        let text = "in \"kafka://h/t?password=pw\", `kafka://me:pw@h/t`: no kafka://";
        let shown = "in \"kafka://h/t?password=***\", `kafka://me:***@h/t`: no kafka://";
        assert_eq!(redacted(text), shown);
    }

    #[test]
    fn a_secret_is_never_shown_and_a_reference_is() {
        let secret = Secret::new("hunter2");
        assert_eq!(secret.reveal().unwrap(), "hunter2");
        let written = serde_json::to_string(&secret).unwrap();
        assert!(!format!("{secret:?}{secret}{written}").contains("hunter2"));
        let again: Secret = serde_json::from_str(&written).unwrap();
        assert_eq!(again.reveal().unwrap_err().kind, Kind::Usage);
        let kept = kept(|| serde_json::to_string(&secret)).unwrap();
        assert_eq!(serde_json::from_str::<Secret>(&kept).unwrap(), secret);
        let named = Secret::new("${PATH}");
        assert_eq!(named.reveal().unwrap(), std::env::var("PATH").unwrap());
        assert_eq!(format!("{named}"), "${PATH}");
        let missing = Secret::new("${WATTLINE_NO_SUCH_VARIABLE}")
            .reveal()
            .unwrap_err();
        assert!(missing.message.contains("WATTLINE_NO_SUCH_VARIABLE"));
    }
}
