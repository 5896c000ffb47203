//! Topics: described with their ids and settings, made.

use super::handle::{Failure, Handle, c, millis, text};
use rdkafka::bindings as rd;
use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

/// What the cluster says of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its id, made anew when a topic is deleted and made again; base64 as Kafka's tools show it.
    pub id: String,
    /// Its partitions.
    pub partitions: Vec<i32>,
    /// The least number of replicas of a partition.
    pub replicas: usize,
}

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of each partition; -1: the broker's default.
    pub replication: i32,
    /// Its settings, such as `retention.ms`.
    pub settings: BTreeMap<String, String>,
}

/// A queue for one answer.
struct Answers(NonNull<rd::rd_kafka_queue_t>);

impl Drop for Answers {
    fn drop(&mut self) {
        unsafe { rd::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

/// An answer.
struct Event(NonNull<rd::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// How long an answer may take.
struct Options(*mut rd::rd_kafka_AdminOptions_t);

impl Drop for Options {
    fn drop(&mut self) {
        unsafe { rd::rd_kafka_AdminOptions_destroy(self.0) };
    }
}

type Queue = *mut rd::rd_kafka_queue_t;
type Told = *const rd::rd_kafka_AdminOptions_t;

impl Handle {
    /// Asks and waits for the one answer.
    fn ask(
        &self,
        what: rd::rd_kafka_admin_op_t,
        wait: Duration,
        call: impl FnOnce(Told, Queue),
    ) -> Result<Event, Failure> {
        let mut words = [0 as c_char; 256];
        unsafe {
            let answers = NonNull::new(rd::rd_kafka_queue_new(self.ptr()))
                .map(Answers)
                .ok_or_else(|| Failure::saying("a queue of the library could not be made"))?;
            let options = Options(rd::rd_kafka_AdminOptions_new(self.ptr(), what));
            Failure::check(rd::rd_kafka_AdminOptions_set_request_timeout(
                options.0,
                millis(wait),
                words.as_mut_ptr(),
                words.len(),
            ))?;
            call(options.0, answers.0.as_ptr());
            let event =
                rd::rd_kafka_queue_poll(answers.0.as_ptr(), millis(wait + Duration::from_secs(1)));
            // Errors of the connection come to the main queue.
            self.poll(Duration::ZERO);
            let event = NonNull::new(event).map(Event).ok_or_else(timed_out)?;
            Failure::check(rd::rd_kafka_event_error(event.0.as_ptr())).map_err(|mut f| {
                f.text = text(rd::rd_kafka_event_error_string(event.0.as_ptr()));
                f
            })?;
            Ok(event)
        }
    }

    /// What the cluster says of a topic.
    pub fn describe(&self, topic: &str, wait: Duration) -> Result<TopicFacts, Failure> {
        let name = c(topic)?;
        let mut names = [name.as_ptr()];
        let topics = unsafe { rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1) };
        let what = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let event = self.ask(what, wait, |options, queue| unsafe {
            rd::rd_kafka_DescribeTopics(self.ptr(), topics, options, queue);
        });
        unsafe { rd::rd_kafka_TopicCollection_destroy(topics) };
        let event = event?;
        unsafe {
            let result = rd::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
            let mut count = 0;
            let list = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            if count == 0 {
                return Err(unknown());
            }
            facts(*list)
        }
    }

    /// The settings of a topic.
    pub fn settings(
        &self,
        topic: &str,
        wait: Duration,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let name = c(topic)?;
        let kind = rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
        let resource = unsafe { rd::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
        let what = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let mut asked = [resource];
        let event = self.ask(what, wait, |options, queue| unsafe {
            rd::rd_kafka_DescribeConfigs(self.ptr(), asked.as_mut_ptr(), 1, options, queue);
        });
        unsafe { rd::rd_kafka_ConfigResource_destroy(resource) };
        let event = event?;
        unsafe {
            let result = rd::rd_kafka_event_DescribeConfigs_result(event.0.as_ptr());
            let mut count = 0;
            let list = rd::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
            if count == 0 {
                return Err(unknown());
            }
            Failure::check(rd::rd_kafka_ConfigResource_error(*list))?;
            let entries = rd::rd_kafka_ConfigResource_configs(*list, &mut count);
            let entry = |i: usize| {
                let entry = *entries.add(i);
                let name = text(rd::rd_kafka_ConfigEntry_name(entry));
                (name, text(rd::rd_kafka_ConfigEntry_value(entry)))
            };
            Ok((0..count).map(entry).collect())
        }
    }

    /// Makes a topic.
    pub fn create(&self, topic: &NewTopic, wait: Duration) -> Result<(), Failure> {
        let made = New::of(topic)?;
        let mut asked = [made.0];
        let what = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
        let event = self.ask(what, wait, |options, queue| unsafe {
            rd::rd_kafka_CreateTopics(self.ptr(), asked.as_mut_ptr(), 1, options, queue);
        })?;
        unsafe {
            let result = rd::rd_kafka_event_CreateTopics_result(event.0.as_ptr());
            let mut count = 0;
            let list = rd::rd_kafka_CreateTopics_result_topics(result, &mut count);
            if count == 0 {
                return Err(unknown());
            }
            Failure::check(rd::rd_kafka_topic_result_error(*list)).map_err(|mut f| {
                f.text = text(rd::rd_kafka_topic_result_error_string(*list));
                f
            })
        }
    }
}

/// A topic to be made, in the library's memory.
struct New(*mut rd::rd_kafka_NewTopic_t);

impl New {
    fn of(topic: &NewTopic) -> Result<New, Failure> {
        let mut words = [0 as c_char; 256];
        let name = c(&topic.name)?;
        let made = unsafe {
            rd::rd_kafka_NewTopic_new(
                name.as_ptr(),
                topic.partitions,
                topic.replication,
                words.as_mut_ptr(),
                words.len(),
            )
        };
        if made.is_null() {
            return Err(Failure::saying(unsafe { text(words.as_ptr()) }));
        }
        let made = New(made);
        for (name, value) in &topic.settings {
            let (name, value): (CString, CString) = (c(name)?, c(value)?);
            Failure::check(unsafe {
                rd::rd_kafka_NewTopic_set_config(made.0, name.as_ptr(), value.as_ptr())
            })?;
        }
        Ok(made)
    }
}

impl Drop for New {
    fn drop(&mut self) {
        unsafe { rd::rd_kafka_NewTopic_destroy(self.0) };
    }
}

unsafe fn facts(topic: *const rd::rd_kafka_TopicDescription_t) -> Result<TopicFacts, Failure> {
    unsafe {
        let error = rd::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            let mut failure = Failure::of(rd::rd_kafka_error_code(error));
            failure.text = text(rd::rd_kafka_error_string(error));
            Failure::check(failure.code).map_err(|_| failure)?;
        }
        let id = rd::rd_kafka_Uuid_base64str(rd::rd_kafka_TopicDescription_topic_id(topic));
        let mut facts = TopicFacts {
            id: text(id),
            ..TopicFacts::default()
        };
        let (mut count, mut replicas) = (0, usize::MAX);
        let partitions = rd::rd_kafka_TopicDescription_partitions(topic, &mut count);
        for i in 0..count {
            let partition = *partitions.add(i);
            let mut copies = 0;
            rd::rd_kafka_TopicPartitionInfo_replicas(partition, &mut copies);
            replicas = replicas.min(copies);
            facts
                .partitions
                .push(rd::rd_kafka_TopicPartitionInfo_partition(partition));
        }
        facts.partitions.sort_unstable();
        facts.replicas = if count == 0 { 0 } else { replicas };
        Ok(facts)
    }
}

fn timed_out() -> Failure {
    Failure::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT)
}

fn unknown() -> Failure {
    Failure::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
}
