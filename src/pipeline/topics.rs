//! A `kafka://` source of a spec.

use super::build::Until;
use super::spec::Spec;
use crate::Result;
use crate::csv::{ReadOptions, SchemaChoice};
use crate::schema::Overrides;
use crate::source::Source;
use std::sync::Arc;

/// Opens the topic of `url` as the spec says.
#[cfg(feature = "kafka")]
pub(super) fn source(
    url: &str,
    spec: &Spec,
    schema: SchemaChoice,
    overrides: Overrides,
    read: ReadOptions,
    (until, cut): (Until, Option<i64>),
) -> Result<Arc<dyn Source>> {
    use super::policy::State;
    use super::spec::duration;
    use crate::source::kafka::{Bound, TopicOptions, TopicSource};
    Ok(Arc::new(TopicSource::new(
        url,
        TopicOptions {
            schema,
            overrides,
            local: read.local,
            on_reject: read.on_reject,
            // With dead letters the task counts them, and ends the run when they are safe.
            max_rejects: match super::letters::budget(spec, read.max_rejects)? {
                Some(_) => u64::MAX,
                None => read.max_rejects,
            },
            shared: spec.state == State::Shared,
            since: spec.since.clone().map(Bound::Text),
            until_now: until != Until::End,
            cut,
            group: spec
                .group
                .clone()
                .map(|group| (group, spec.instance.clone())),
            ahead: Some(duration("ahead", &spec.ahead)?),
        },
    )?))
}

/// Without librdkafka there is no topic.
#[cfg(not(feature = "kafka"))]
pub(super) fn source(
    _url: &str,
    _spec: &Spec,
    _schema: SchemaChoice,
    _overrides: Overrides,
    _read: ReadOptions,
    _until: (Until, Option<i64>),
) -> Result<Arc<dyn Source>> {
    use crate::{Error, Kind};
    Err(Error::new(
        Kind::Usage,
        "this build of wattline has no Kafka; build it with the feature kafka",
    ))
}
