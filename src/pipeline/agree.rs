//! Whether a stored head belongs to this run: its definition, its encodings, the log its positions count in.

use super::spec::Spec;
use crate::flush::{Head, Identity};
use crate::{Error, Kind, Result};

/// What heads are held against.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) spec: Spec,
    pub(super) fingerprint: String,
    pub(super) source: Option<Identity>,
}

impl Agreement {
    /// The stored head belongs to this spec, this build and this log, or says what to do.
    pub(super) fn with(&self, head: &Head) -> Result<()> {
        if head.format > crate::flush::FORMAT {
            return Err(changed(format!(
                "pipeline {:?} was written by a newer wattline (format {}, this one reads {}); upgrade",
                head.pipeline,
                head.format,
                crate::flush::FORMAT
            )));
        }
        if head.spec != self.fingerprint {
            let differ = self.spec.differences(&head.spec_json)?.join("; ");
            return Err(changed(format!(
                "pipeline {:?} has flushes of another definition ({differ}); go back to it, or give the new one another name so that it counts from the beginning",
                head.pipeline
            )));
        }
        match (&head.source, &self.source) {
            (Some(stored), Some(now)) => same_log(&head.pipeline, stored, now),
            _ => Ok(()),
        }
    }
}

/// Offsets count in one topic of one cluster, and keys lie in as many partitions as it had.
fn same_log(pipeline: &str, stored: &Identity, now: &Identity) -> Result<()> {
    if stored.cluster != now.cluster {
        return Err(changed(format!(
            "pipeline {pipeline:?} has counted a topic of cluster {}, and this is cluster {}: its offsets mean nothing here; go back to that cluster, or give the new one another pipeline name",
            stored.cluster, now.cluster
        )));
    }
    if stored.topic != now.topic {
        return Err(Error::new(
            Kind::DataLost,
            format!(
                "the topic that pipeline {pipeline:?} has counted was deleted and made anew (its id was {}, now {}); give the new one another pipeline name, so that it is counted from its beginning",
                stored.topic, now.topic
            ),
        ));
    }
    if stored.partitions != now.partitions {
        return Err(changed(format!(
            "the topic of pipeline {pipeline:?} had {} partitions and now has {}, so that keys lie elsewhere; move the open windows with `wattline repartition`, then run again",
            stored.partitions, now.partitions
        )));
    }
    Ok(())
}

fn changed(message: String) -> Error {
    Error::new(Kind::SpecChanged, message)
}
