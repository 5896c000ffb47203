//! A PostgreSQL server: where it is, who we are there, how its certificate is checked.

use super::url;
use crate::secret::Secret;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A PostgreSQL server and how it is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// Host, or several between commas, each with `:port` where it has its own; a folder is a Unix socket's.
    pub host: String,
    /// Port where a host names none.
    #[serde(default = "port")]
    pub port: u16,
    /// Database; by default the user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbname: Option<String>,
    /// User; by default the environment's `PGUSER`, then `USER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password, best as `${NAME}`; by default the environment's `PGPASSWORD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Whether and how TLS is used.
    #[serde(default)]
    pub sslmode: SslMode,
    /// PEM file of the authorities that are trusted; by default the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<PathBuf>,
    /// Schema of the tables; by default the first of the search path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Seconds that opening a connection may take.
    #[serde(default = "ten")]
    pub connect_timeout: f64,
    /// Seconds for which a lost connection is opened again and again before the run fails.
    #[serde(default = "sixty")]
    pub retry_for: f64,
}

/// libpq's words for how a connection is secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS where the server has it; its certificate is not checked.
    #[default]
    Prefer,
    /// TLS; the certificate is checked only if `sslrootcert` is given, as under `verify-ca`.
    Require,
    /// TLS; the certificate must come from a trusted authority.
    VerifyCa,
    /// TLS; the certificate must come from a trusted authority and name the host.
    VerifyFull,
}

fn port() -> u16 {
    5432
}
fn ten() -> f64 {
    10.0
}
fn sixty() -> f64 {
    60.0
}

impl Postgres {
    /// `host` with every default.
    pub fn new(host: impl Into<String>) -> Self {
        Postgres {
            host: host.into(),
            port: port(),
            dbname: None,
            user: None,
            password: None,
            sslmode: SslMode::default(),
            sslrootcert: None,
            schema: None,
            connect_timeout: ten(),
            retry_for: sixty(),
        }
    }

    /// Reads what follows `postgresql://`. Errors: `Usage`; they never show a password.
    pub fn parse(rest: &str) -> Result<Self> {
        let url = url::parse("postgresql", rest)?;
        let given = |text: String| (!text.is_empty()).then_some(text);
        let mut made = Postgres::new(given(url.hosts).unwrap_or_else(|| "localhost".into()));
        made.user = url.user;
        made.password = url.password.map(Secret::new);
        made.dbname = given(url.path);
        for (key, value) in url.query {
            made.set(&key, value)?;
        }
        // Read now, so that a wrong port is told at once.
        made.hosts()?;
        Ok(made)
    }

    fn set(&mut self, key: &str, value: String) -> Result<()> {
        match key {
            "sslmode" => self.sslmode = sslmode(&value)?,
            "sslrootcert" => self.sslrootcert = Some(value.into()),
            "schema" => self.schema = Some(value),
            "connect_timeout" => self.connect_timeout = seconds(key, &value)?,
            "retry_for" => self.retry_for = seconds(key, &value)?,
            _ => {
                return Err(usage(format!(
                    "a postgresql:// URL has no option {key:?}; there are sslmode, sslrootcert, schema, connect_timeout, retry_for"
                )));
            }
        }
        Ok(())
    }

    /// Each host with its port.
    pub fn hosts(&self) -> Result<Vec<(String, u16)>> {
        self.host
            .split(',')
            .map(|one| self.host_port(one))
            .collect()
    }

    fn host_port(&self, text: &str) -> Result<(String, u16)> {
        let wrong = |port: &str| usage(format!("{port:?} is no port of a PostgreSQL server"));
        let (host, port) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None if text.starts_with('/') || text.matches(':').count() > 1 => (text, None),
            None => text
                .split_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|p| p.parse().map_err(|_| wrong(p))).transpose()?;
        Ok((host.to_owned(), port.unwrap_or(self.port)))
    }

    /// The user: as given, else from the environment.
    pub fn user(&self) -> Result<String> {
        let told = self.user.clone();
        let told = told.or_else(|| std::env::var("PGUSER").ok());
        told.or_else(|| std::env::var("USER").ok())
            .filter(|user| !user.is_empty())
            .ok_or_else(|| usage(format!("no user is named for {self}; give user=")))
    }
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

fn seconds(key: &str, value: &str) -> Result<f64> {
    value
        .parse()
        .map_err(|_| usage(format!("{key}={value:?} is no number of seconds")))
}

fn sslmode(value: &str) -> Result<SslMode> {
    Ok(match value {
        "disable" => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => {
            return Err(usage(format!(
                "sslmode={value:?} is none; there are disable, prefer, require, verify-ca, verify-full"
            )));
        }
    })
}

impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgresql://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        if self.port != port() {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.dbname.as_deref().unwrap_or_default())?;
        match &self.schema {
            Some(schema) => write!(f, "?schema={schema}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_it_all_and_shows_no_password() {
        let at =
            Postgres::parse("me:pw@db:6000/power?sslmode=verify-full&sslrootcert=ca.crt&schema=s")
                .unwrap();
        assert_eq!(at.hosts().unwrap(), [("db".to_owned(), 6000)]);
        assert_eq!(
            (at.user.as_deref(), at.dbname.as_deref()),
            (Some("me"), Some("power"))
        );
        assert_eq!(
            (at.sslmode, at.schema.as_deref()),
            (SslMode::VerifyFull, Some("s"))
        );
        assert_eq!(at.password.as_ref().unwrap().reveal().unwrap(), "pw");
        assert_eq!(at.to_string(), "postgresql://me@db:6000/power?schema=s");
        assert!(!format!("{at:?}").contains("pw"));
        let several = Postgres::parse("a,b:7,[::1]:8/d").unwrap();
        let due = [("a", 5432), ("b", 7), ("::1", 8)].map(|(h, p)| (h.to_owned(), p));
        assert_eq!(several.hosts().unwrap(), due);
        for bad in ["me:pw@h:x/d", "me:pw@h/d?sslmode=on", "me:pw@h/d?schem=s"] {
            let error = Postgres::parse(bad).unwrap_err();
            assert!(!error.message.contains("pw"), "{error}");
        }
    }

    #[test]
    fn a_password_by_reference_is_read_when_it_is_used() {
        let path = std::env::var("PATH").unwrap();
        let at = Postgres::parse("me:${PATH}@h/d").unwrap();
        let password = at.password.unwrap();
        assert_eq!(password.reveal().unwrap(), path);
        assert_eq!(format!("{password:?}"), "${PATH}");
        let error = Secret::new("${WATTLINE_NO_SUCH_NAME}")
            .reveal()
            .unwrap_err();
        assert!(error.message.contains("WATTLINE_NO_SUCH_NAME"), "{error}");
    }
}
