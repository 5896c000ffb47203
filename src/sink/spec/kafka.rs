//! Topics as an endpoint: `kafka://host:9092,other:9092/topic?options`.

use super::url;
use crate::secret::{Secret, is_secret};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A topic that rows go to, and the cluster's topic that keeps heads and records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to begin with, `host:port` by commas.
    pub brokers: String,
    /// The topic; by default `table`, else `windows`, `readings`, `late` or `rejects`. Made if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Settings of the client, by librdkafka's names or the short ones of a URL (`security`, `ca`, `user`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Settings that are never shown, best as `${NAME}` of an environment variable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Secret>,
    /// The compacted topic of heads, records and what each topic shows. One name for all pipelines of a cluster.
    #[serde(default = "state_topic")]
    pub state_topic: String,
    /// Rejects of this topic are sent as the messages they were: a dead letter queue. Both on one cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters_of: Option<String>,
    /// Partitions of a topic that is made; by default the broker's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Seconds after which an owner that shows no sign of life is taken for dead.
    #[serde(default = "lease")]
    pub lease: f64,
    /// Seconds for which a step is tried again while brokers are down.
    #[serde(default = "retry_for")]
    pub retry_for: f64,
}

fn state_topic() -> String {
    "wattline-state".into()
}
fn lease() -> f64 {
    10.0
}
fn retry_for() -> f64 {
    60.0
}

impl Kafka {
    /// The brokers with every default.
    pub fn new(brokers: impl Into<String>, topic: Option<String>) -> Self {
        Kafka {
            brokers: brokers.into(),
            topic,
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            state_topic: state_topic(),
            letters_of: None,
            partitions: None,
            lease: lease(),
            retry_for: retry_for(),
        }
    }

    /// Reads what follows `kafka://`. Errors: `Usage`; they never show a password.
    pub fn parse(rest: &str) -> Result<Self> {
        let url = url::parse("kafka", rest)?;
        if let Some((_, options)) = rest.split_once('?')
            && options
                .split('&')
                .any(|o| !o.is_empty() && !o.contains('='))
        {
            return Err(usage(
                "an option of the kafka:// URL has no value; write name=value, and a & of a password as %26".into(),
            ));
        }
        if url.hosts.is_empty() {
            return Err(usage(
                "the kafka:// URL names no broker; write kafka://host:9092/topic".into(),
            ));
        }
        let topic = (!url.path.is_empty()).then_some(url.path);
        let mut made = Kafka::new(url.hosts, topic);
        if let Some(user) = url.user {
            made.settings.insert("user".into(), user);
        }
        if let Some(password) = url.password {
            made.secrets
                .insert("password".into(), Secret::new(password));
        }
        for (name, value) in url.query {
            made.set(name, value)?;
        }
        Ok(made)
    }

    fn set(&mut self, name: String, value: String) -> Result<()> {
        let number = |value: &str| {
            value
                .parse()
                .map_err(|_| usage(format!("{name}={value:?} is no number of seconds")))
        };
        match name.as_str() {
            "state_topic" => self.state_topic = value,
            "letters_of" => self.letters_of = Some(value),
            "lease" => self.lease = number(&value)?,
            "retry_for" => self.retry_for = number(&value)?,
            "partitions" => self.partitions = Some(number(&value)? as i32),
            _ => {
                self.settings.insert(name, value);
            }
        }
        self.hide();
        Ok(())
    }

    /// Settings whose name says that they are secret are kept as such.
    pub(super) fn hide(&mut self) {
        let (hidden, shown) = std::mem::take(&mut self.settings)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(name, _)| is_secret(name));
        self.settings = shown;
        for (name, value) in hidden {
            self.secrets
                .entry(name)
                .or_insert_with(|| Secret::new(value));
        }
    }
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

impl fmt::Display for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka://{}", self.brokers)?;
        match &self.topic {
            Some(topic) => write!(f, "/{topic}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_it_all_and_shows_no_password() {
        let text = "me:pw@h:1,i:2/out?security=ssl&state_topic=s&lease=3&ssl.key.password=pw";
        let at = Kafka::parse(text).unwrap();
        assert_eq!(
            (at.brokers.as_str(), at.topic.as_deref()),
            ("h:1,i:2", Some("out"))
        );
        assert_eq!((at.state_topic.as_str(), at.lease), ("s", 3.0));
        let names: Vec<&str> = at.settings.keys().map(String::as_str).collect();
        assert_eq!(names, ["security", "user"]);
        assert_eq!(at.secrets.len(), 2);
        let json = serde_json::to_string(&at).unwrap();
        assert!(!format!("{at:?} {at} {json}").contains("pw"), "{json}");
        let all = crate::secret::kept(|| serde_json::to_string(&at)).unwrap();
        assert_eq!(serde_json::from_str::<Kafka>(&all).unwrap(), at);
        for bad in ["", "me:pw@/t", "me:pw@h/t?lease=pw"] {
            let error = Kafka::parse(bad).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{bad}");
        }
        for bad in ["h/t?password=xx&pw", "me:pw/xx@h/t", "me:xx?pw@h/t"] {
            let told = Kafka::parse(bad).unwrap_err().message;
            assert!(!told.contains("pw") && !told.contains("xx"), "{told}");
        }
        let token = Kafka::parse("h/t?sasl.oauthbearer.config=pw").unwrap();
        assert_eq!((token.settings.len(), token.secrets.len()), (0, 1));
    }
}
