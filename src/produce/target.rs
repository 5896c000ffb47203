//! Target: the topic, made or checked, and record times against its limits.

use super::feed::Feed;
use super::options::{Create, Mode, Options, Stamps};
use super::usage;
use crate::kafka::{Client, Config, Limits, NewTopic};
use crate::pipeline::Control;
use crate::time::{civil, duration};
use crate::{Error, Kind, Result, runtime};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// The topic as it is.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its id.
    pub id: String,
    /// Number of partitions.
    pub partitions: usize,
    /// How long messages, and what record times may be.
    pub limits: Limits,
}

/// Makes the topic where that is asked for, and describes it.
pub(super) fn prepare(client: &Client, options: &Options) -> Result<Target> {
    let facts = match client.describe() {
        Err(error) if error.kind == Kind::NotFound => match &options.create {
            Some(create) => made(client, create, options.timestamp)?,
            None => return Err(error),
        },
        facts => facts?,
    };
    if let Some(create) = &options.create {
        fits(create, facts.partitions.len())?;
    }
    let limits = Limits::of(&client.settings()?);
    Ok(Target {
        id: facts.id,
        partitions: facts.partitions.len(),
        limits,
    })
}

/// The endpoint for messages to this topic, whose batches are no longer than it takes.
pub(super) fn sends(config: Config, target: &Target, mode: Mode) -> Config {
    let config = match mode {
        Mode::Exact => config.patient(target.partitions),
        Mode::Fast => config,
    };
    config.within(target.limits.batch())
}

/// A look through all feeds whether their record times fit the topic, on a thread of its own. It ends with this.
pub(super) struct Times {
    over: Arc<AtomicBool>,
    looking: Mutex<Option<JoinHandle<Result<()>>>>,
}

impl Times {
    /// Begins to look.
    pub(super) fn look(
        target: &Target,
        options: &Options,
        feeds: &[Arc<Feed>],
        control: &Arc<Control>,
    ) -> Result<Times> {
        let over = Arc::new(AtomicBool::new(false));
        let mut looking = None;
        if options.timestamp == Stamps::Event && target.limits.matter() {
            let (limits, feeds) = (target.limits, feeds.to_vec());
            let (over, control) = (over.clone(), control.clone());
            let work = move || {
                let stop = || over.load(Relaxed) || control.stopped();
                feeds.iter().try_for_each(|feed| fit(&limits, feed, &stop))
            };
            looking = Some(runtime::spawn("times", work)?);
        }
        Ok(Times {
            over,
            looking: Mutex::new(looking),
        })
    }

    /// Waits until it is known that all fit; before row one. Whoever stops the load does not wait.
    pub(super) fn hold(&self) -> Result<()> {
        let looking = self
            .looking
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let gone = |_| Err(Error::new(Kind::Internal, "a look at times broke off"));
        looking.map_or(Ok(()), |thread| thread.join().unwrap_or_else(gone))
    }
}

impl Drop for Times {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        // Whoever is gone does not ask any more.
        let _ = self.hold();
    }
}

fn fit(limits: &Limits, feed: &Feed, stop: &dyn Fn() -> bool) -> Result<()> {
    match feed.span(stop)? {
        Some((least, greatest)) => limits.hold(least, greatest, &feed.describe()),
        None => Ok(()),
    }
}

fn fits(create: &Create, partitions: usize) -> Result<()> {
    let asked = create.partitions.max(0) as usize;
    if asked == 0 || asked == partitions {
        return Ok(());
    }
    Err(usage(format!(
        "the topic is there with {partitions} partitions, and {asked} are asked for; leave partitions out, or add them with Kafka's tools (keys then move)"
    )))
}

fn made(client: &Client, create: &Create, stamps: Stamps) -> Result<crate::kafka::TopicFacts> {
    let settings = settings_of(create, stamps)?;
    let name = client.config().topic.clone();
    client.make(&NewTopic {
        name,
        partitions: create.partitions.max(1),
        replication: if create.replication > 0 {
            create.replication
        } else {
            -1
        },
        settings,
    })
}

/// What is asked for, and what record times of years ago need.
fn settings_of(create: &Create, stamps: Stamps) -> Result<BTreeMap<String, String>> {
    let mut settings = create.settings.clone();
    let retention = match create.retention.as_deref() {
        None if stamps == Stamps::Now => None,
        None | Some("forever") => Some(-1),
        Some(text) => Some(duration::parse(text)? / 1000),
    };
    let mut say = |name: &str, value: i64| {
        let entry = settings.entry(name.into());
        entry.or_insert_with(|| value.to_string()) == "-1"
    };
    let kept = retention.is_some_and(|retention| say("retention.ms", retention));
    if kept && stamps == Stamps::Event {
        // By default a broker begins a file for each week of record time, so that retention can remove it: two hundred
        // for four years, which take longer than the rows. What stays for ever needs none.
        say("segment.ms", i64::MAX);
    }
    Ok(settings)
}

impl Limits {
    /// Whether any record time could be refused or removed.
    fn matter(&self) -> bool {
        let none = self.retention.is_none() && self.before == i64::MAX && self.after == i64::MAX;
        !self.append && !none
    }

    /// Holds the record times (ms) of `what` against the limits.
    pub(super) fn hold(&self, least: i64, greatest: i64, what: &str) -> Result<()> {
        if self.append {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |n| n.as_millis() as i64);
        let age = now.saturating_sub(least);
        let wrong = |setting: &str, value: i64, time: i64, fate: &str| {
            Err(usage(format!(
                "{what} has readings of {}, and the topic's {setting} is {value}, so that the broker {fate} them; raise {setting} (kafka-configs --alter), let create make a topic for history, or send with timestamp = \"now\"",
                civil::iso_date(time.div_euclid(86_400_000))
            )))
        };
        match self.retention {
            Some(retention) if age > retention => {
                return wrong("retention.ms", retention, least, "would soon remove");
            }
            _ => {}
        }
        if age > self.before {
            return wrong(
                "message.timestamp.before.max.ms",
                self.before,
                least,
                "refuses",
            );
        }
        if greatest.saturating_sub(now) > self.after {
            return wrong(
                "message.timestamp.after.max.ms",
                self.after,
                greatest,
                "refuses",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pairs: &[(&str, &str)]) -> Limits {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_string(), (*v).to_string()));
        Limits::of(&pairs.collect())
    }

    #[test]
    fn a_topic_that_keeps_history_for_ever_has_no_file_a_week() {
        let made = |retention: Option<&str>, stamps, own: &[(&str, &str)]| {
            let own = own.iter().map(|(k, v)| (k.to_string(), v.to_string()));
            let create = Create {
                retention: retention.map(Into::into),
                settings: own.collect(),
                ..Create::default()
            };
            let made = settings_of(&create, stamps).unwrap();
            ["retention.ms", "segment.ms"].map(|name| made.get(name).cloned())
        };
        let text = |text: &str| Some(text.to_string());
        let long = text("9223372036854775807");
        assert_eq!(made(None, Stamps::Event, &[]), [text("-1"), long.clone()]);
        assert_eq!(
            made(Some("forever"), Stamps::Event, &[("segment.ms", "5")]),
            [text("-1"), text("5")]
        );
        assert_eq!(made(None, Stamps::Now, &[]), [None, None]);
        let day = [text("86400000"), None];
        assert_eq!(made(Some("1d"), Stamps::Event, &[]), day);
        let told = [("retention.ms", "86400000")];
        assert_eq!(made(None, Stamps::Event, &told), day);
    }

    #[test]
    fn old_readings_do_not_fit_a_week() {
        let old = 1_166_289_840_000;
        let week = limits(&[("retention.ms", "604800000"), ("cleanup.policy", "delete")]);
        assert!(week.matter());
        let refused = week.hold(old, old, "a.txt").unwrap_err();
        assert!(refused.message.contains("2006-12-16") && refused.message.contains("retention.ms"));
        assert!(
            limits(&[("retention.ms", "-1")])
                .hold(old, old, "a")
                .is_ok()
        );
        let compact = [("retention.ms", "604800000"), ("cleanup.policy", "compact")];
        assert!(limits(&compact).hold(old, old, "a").is_ok());
        let append = [
            ("retention.ms", "1"),
            ("message.timestamp.type", "LogAppendTime"),
        ];
        assert!(!limits(&append).matter());
    }

    #[test]
    fn stamps_ahead_of_the_clock_are_refused() {
        let hour = limits(&[("message.timestamp.after.max.ms", "3600000")]);
        let refused = hour.hold(0, i64::MAX / 2, "a.txt").unwrap_err();
        assert!(refused.message.contains("message.timestamp.after.max.ms"));
        assert!(hour.hold(0, 0, "a.txt").is_ok());
    }
}
