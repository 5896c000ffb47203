//! Dead letters: `dlq` of a spec is one more sink, of rejects, behind the others.

use super::spec::{Dlq, Spec};
use crate::Result;
use crate::sink::{Endpoint, Kafka, SinkSpec, What};

/// All sinks of a spec, the dead letter topic among them. The first is the home.
pub(super) fn sinks(spec: &Spec) -> Result<Vec<SinkSpec>> {
    let mut sinks = spec.sinks.clone();
    if let Some(letters) = letters(spec)? {
        sinks.push(letters);
    }
    Ok(sinks)
}

/// How many dead letters a run may send; it fails when they are safe.
pub(super) fn budget(spec: &Spec, usual: u64) -> Result<Option<u64>> {
    let most = spec.max_rejects.unwrap_or(usual);
    Ok(letters(spec)?.map(|_| most))
}

/// The sink of dead letters: a topic beside the one that is read.
fn letters(spec: &Spec) -> Result<Option<SinkSpec>> {
    let Some(url) = spec.topic() else {
        return Ok(None);
    };
    let named = match &spec.dlq {
        None | Some(Dlq::Usual(false)) => return Ok(None),
        Some(Dlq::Usual(true)) => None,
        Some(Dlq::Topic(name)) => Some(name.clone()),
    };
    let mut at = Kafka::parse(url.strip_prefix("kafka://").unwrap_or(&url))?;
    let topic = at.topic.take().unwrap_or_default();
    at.topic = Some(named.unwrap_or_else(|| format!("{topic}.dlq")));
    at.letters_of = Some(topic);
    let beside = spec.sinks.iter().find_map(|sink| match &sink.endpoint {
        Endpoint::Kafka(other) if other.brokers == at.brokers => Some(other.state_topic.clone()),
        _ => None,
    });
    at.state_topic = beside.unwrap_or(at.state_topic);
    Ok(Some(
        SinkSpec::new(Endpoint::Kafka(at)).taking(What::Rejects),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dlq: &str, sinks: &str) -> Spec {
        let text = format!(
            "name = \"p\"\nsource = \"kafka://h:1/power?security=ssl\"\ngrains = [\"1h\"]\nsinks = [{sinks}]\ndlq = {dlq}"
        );
        Spec::from_toml(&text).unwrap()
    }

    fn at(spec: &Spec) -> Option<Kafka> {
        let sinks = sinks(spec).unwrap();
        match sinks.get(1).map(|s| (s.what, &s.endpoint)) {
            Some((What::Rejects, Endpoint::Kafka(at))) => Some(at.clone()),
            _ => None,
        }
    }

    #[test]
    fn letters_go_beside_the_topic() {
        let usual = at(&spec("true", "\"out.db\"")).unwrap();
        assert_eq!(usual.topic.as_deref(), Some("power.dlq"));
        assert_eq!(usual.letters_of.as_deref(), Some("power"));
        assert_eq!(usual.settings["security"], "ssl");
        let named = at(&spec("\"bad\"", "\"kafka://h:1/out?state_topic=s\"")).unwrap();
        assert_eq!(
            (named.topic.as_deref(), &*named.state_topic),
            (Some("bad"), "s")
        );
        assert!(at(&spec("false", "\"out.db\"")).is_none());
        assert_eq!(budget(&spec("false", "\"out.db\""), 7).unwrap(), None);
        assert_eq!(budget(&spec("true", "\"out.db\""), 7).unwrap(), Some(7));
    }
}
