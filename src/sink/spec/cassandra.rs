//! A Cassandra or ScyllaDB cluster as an endpoint, and `cassandra://user:password@host1,host2:9042/keyspace?options`.

use super::url;
use crate::secret::Secret;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A keyspace of a cluster and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cassandra {
    /// Nodes to ask first, `host` or `host:port`; the others are learnt from them.
    pub hosts: Vec<String>,
    /// The keyspace; made if it is not there and the user may.
    pub keyspace: String,
    /// Port of hosts named without one.
    #[serde(default = "port")]
    pub port: u16,
    /// User, where the cluster asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's password, best as `${NAME}` of an environment variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// How many replicas must have a row before it counts. Head and records use QUORUM and SERIAL, whatever is said here.
    #[serde(default)]
    pub consistency: Consistency,
    /// The data centre whose nodes are asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacenter: Option<String>,
    /// Replication of a keyspace that is made: a number of replicas, or `{datacenter: replicas}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<Replication>,
    /// Encrypt the connection.
    #[serde(default)]
    pub tls: bool,
    /// PEM file of the authority that signed the nodes' certificates; needed with `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// Seconds after which an owner that shows no sign of life is taken for dead.
    #[serde(default = "lease")]
    pub lease: f64,
    /// Seconds for which a step is tried again while nodes are down or overloaded.
    #[serde(default = "retry_for")]
    pub retry_for: f64,
    /// Rows of one partition sent as one batch.
    #[serde(default = "batch_rows")]
    pub batch_rows: usize,
    /// Batches, or single rows, on their way at once.
    #[serde(default = "in_flight")]
    pub in_flight: usize,
}

fn port() -> u16 {
    9042
}
fn lease() -> f64 {
    10.0
}
fn retry_for() -> f64 {
    60.0
}
fn batch_rows() -> usize {
    200
}
fn in_flight() -> usize {
    32
}

/// How many replicas must have a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Consistency {
    /// One.
    One,
    /// Two.
    Two,
    /// Three.
    Three,
    /// More than half of all.
    Quorum,
    /// All.
    All,
    /// One in the nearest data centre.
    LocalOne,
    /// More than half of those in the nearest data centre.
    #[default]
    LocalQuorum,
    /// More than half in each data centre.
    EachQuorum,
}

/// Replicas of a keyspace that is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "replication is a number of replicas, or a table of them by data centre"
)]
pub enum Replication {
    /// So many in each data centre.
    Factor(u32),
    /// By data centre.
    ByDatacenter(BTreeMap<String, u32>),
}

impl Cassandra {
    /// A keyspace with every default.
    pub fn new(hosts: Vec<String>, keyspace: impl Into<String>) -> Self {
        Cassandra {
            hosts,
            keyspace: keyspace.into(),
            port: port(),
            user: None,
            password: None,
            consistency: Consistency::default(),
            datacenter: None,
            replication: None,
            tls: false,
            tls_ca: None,
            lease: lease(),
            retry_for: retry_for(),
            batch_rows: batch_rows(),
            in_flight: in_flight(),
        }
    }

    /// Reads what follows `cassandra://`. Errors: `Usage`, without the text, which may hold a password.
    pub(super) fn parse(rest: &str) -> Result<Cassandra> {
        let url = url::parse("cassandra", rest)?;
        let hosts: Vec<String> = url
            .hosts
            .split(',')
            .filter(|h| !h.is_empty())
            .map(str::to_owned)
            .collect();
        let keyspace = url.path.trim_end_matches('/');
        if hosts.is_empty() || keyspace.is_empty() {
            return Err(wrong("it needs a host and a keyspace"));
        }
        let mut at = Cassandra::new(hosts, keyspace);
        at.user = url.user;
        let mut at = at.take_options(url.query)?;
        at.password = url.password.map(Secret::new);
        Ok(at)
    }

    /// Options of a URL have the names of the fields.
    fn take_options(self, options: Vec<(String, String)>) -> Result<Cassandra> {
        let mut all = serde_json::to_value(&self).map_err(|_| wrong("it cannot be read"))?;
        for (name, text) in options {
            if matches!(name.as_str(), "hosts" | "keyspace" | "user" | "password") {
                return Err(wrong(&format!("{name} stands before the question mark")));
            }
            let text = if text.is_empty() { "true".into() } else { text };
            // Numbers and booleans as such; everything else is text.
            let value = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
            all[name] = value;
        }
        serde_json::from_value(all).map_err(|e| wrong(&e.to_string()))
    }
}

fn wrong(why: &str) -> Error {
    let shape = "write cassandra://user:${PASSWORD}@host1,host2/keyspace?consistency=QUORUM";
    Error::new(
        Kind::Usage,
        format!("a cassandra:// URL is not right: {why}; {shape}"),
    )
}

impl fmt::Display for Cassandra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cassandra://{}/{}", self.hosts.join(","), self.keyspace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_hosts_keyspace_login_and_options() {
        let url = "u%40x:p%3Aw@c1,c2:9142/electrical?consistency=QUORUM&lease=3&tls&replication=3";
        let at = Cassandra::parse(url).unwrap();
        assert_eq!(at.hosts, ["c1", "c2:9142"]);
        assert_eq!(
            (at.user.as_deref(), at.keyspace.as_str()),
            (Some("u@x"), "electrical")
        );
        assert_eq!(at.password.as_ref().unwrap().reveal().unwrap(), "p:w");
        assert_eq!(
            (at.consistency, at.lease, at.tls),
            (Consistency::Quorum, 3.0, true)
        );
        assert_eq!(at.replication, Some(Replication::Factor(3)));
        assert!(!format!("{at} {at:?}").contains("p:w"));
        for bad in ["", "c1", "/ks", "c1/ks?x=1", "c1/ks?user=x", "c1/k%zz"] {
            assert_eq!(
                Cassandra::parse(bad).unwrap_err().kind,
                Kind::Usage,
                "{bad}"
            );
        }
    }
}
