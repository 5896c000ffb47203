//! A secret: a password or key. A leaf. It never appears in a message, a repr, a log or a written spec.
//!
//! `${NAME}` is a reference: the environment is asked when the secret is used, so that a pickled
//! or stored pipeline holds the name alone.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::Cell;
use std::fmt;

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
        self.0.strip_prefix("${")?.strip_suffix('}')
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

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let keeps = KEEPS.get();
        serializer.serialize_str(if keeps { &self.0 } else { self.shown() })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
