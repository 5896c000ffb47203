//! Partitions read by hand into batches: no group, nothing committed.

use super::handle::{Failure, Handle, c, millis, text};
use super::produce::Topic;
use rdkafka::bindings as rd;
use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Messages taken from the library at once.
const TAKEN: usize = 4096;

/// Takes the messages of a batch one by one.
pub(in crate::kafka) trait Sink {
    /// A message. `header`: the value of the header asked for.
    fn message(&mut self, message: Message<'_>);
    /// The end of a partition: nothing at or past `offset` yet.
    fn end(&mut self, partition: i32, offset: i64);
    /// An error, of a partition or of the connection.
    fn error(&mut self, partition: i32, failure: Failure);
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Record time, ms since 1970; -1: none.
    pub timestamp: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The header that was asked for, or all of them.
    pub header: Option<&'a [u8]>,
}

/// A queue into which the partitions of a topic are fetched.
pub(in crate::kafka) struct Queue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    started: Vec<i32>,
    topic: Topic,
    handle: Arc<Handle>,
    taken: Vec<*mut rd::rd_kafka_message_t>,
}

// One thread at a time has it (`&mut self`); the pointers belong to no thread.
unsafe impl Send for Queue {}

impl Queue {
    /// A queue for the topic called `name`.
    pub fn new(handle: &Arc<Handle>, name: &str) -> Result<Queue, Failure> {
        let topic = Topic::new(handle, name)?;
        let queue = unsafe { rd::rd_kafka_queue_new(handle.ptr()) };
        let queue = NonNull::new(queue)
            .ok_or_else(|| Failure::saying("a queue of the library could not be made"))?;
        Ok(Queue {
            queue,
            started: Vec::new(),
            topic,
            handle: handle.clone(),
            taken: Vec::new(),
        })
    }

    /// Begins to fetch `partition` at `offset`.
    pub fn start(&mut self, partition: i32, offset: i64) -> Result<(), Failure> {
        self.stop(partition)?;
        let begun = unsafe {
            rd::rd_kafka_consume_start_queue(
                self.topic.ptr(),
                partition,
                offset,
                self.queue.as_ptr(),
            )
        };
        if begun != 0 {
            return Err(Failure::of(unsafe { rd::rd_kafka_last_error() }));
        }
        self.started.push(partition);
        Ok(())
    }

    /// Ends fetching `partition`; what was fetched of it is dropped.
    pub fn stop(&mut self, partition: i32) -> Result<(), Failure> {
        let Some(at) = self.started.iter().position(|p| *p == partition) else {
            return Ok(());
        };
        self.started.swap_remove(at);
        match unsafe { rd::rd_kafka_consume_stop(self.topic.ptr(), partition) } {
            0 => Ok(()),
            _ => Err(Failure::of(unsafe { rd::rd_kafka_last_error() })),
        }
    }

    /// Partitions that are fetched.
    pub fn started(&self) -> &[i32] {
        &self.started
    }

    /// Hands at most `most` messages to `sink`, waiting at most `wait` for the first; `header`: the
    /// header whose value is wanted. Gives how many.
    pub fn take(
        &mut self,
        most: usize,
        wait: Duration,
        header: Option<&CStr>,
        sink: &mut dyn Sink,
    ) -> Result<usize, Failure> {
        self.taken.resize(TAKEN, std::ptr::null_mut());
        let want = most.min(TAKEN);
        let got = unsafe {
            rd::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                millis(wait),
                self.taken.as_mut_ptr(),
                want,
            )
        };
        if got < 0 {
            return Err(Failure::of(unsafe { rd::rd_kafka_last_error() }));
        }
        for message in self.taken.iter().take(got as usize) {
            unsafe {
                hand(*message, header, sink);
                rd::rd_kafka_message_destroy(*message);
            }
        }
        Ok(got as usize)
    }

    /// Stops or goes on fetching `partitions`.
    pub fn pause(&self, topic: &str, partitions: &[i32], paused: bool) -> Result<(), Failure> {
        let list = List::new(topic, partitions.iter().map(|p| (*p, 0)))?;
        let call = if paused {
            rd::rd_kafka_pause_partitions
        } else {
            rd::rd_kafka_resume_partitions
        };
        Failure::check(unsafe { call(self.handle.ptr(), list.0.as_ptr()) })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for partition in std::mem::take(&mut self.started) {
            unsafe { rd::rd_kafka_consume_stop(self.topic.ptr(), partition) };
        }
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// One message of the library to the sink.
unsafe fn hand(message: *mut rd::rd_kafka_message_t, header: Option<&CStr>, sink: &mut dyn Sink) {
    use rd::rd_kafka_resp_err_t as E;
    let m = unsafe { &*message };
    match m.err {
        E::RD_KAFKA_RESP_ERR_NO_ERROR => {}
        E::RD_KAFKA_RESP_ERR__PARTITION_EOF => return sink.end(m.partition, m.offset),
        code => {
            let mut failure = Failure::of(code);
            if !m.payload.is_null() {
                // The payload of an error is its text.
                let bytes = unsafe { slice(m.payload, m.len) };
                failure.text = String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            }
            return sink.error(m.partition, failure);
        }
    }
    let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    let timestamp = unsafe { rd::rd_kafka_message_timestamp(message, &mut kind) };
    let all = header.filter(|name| *name == ALL);
    let all = all.and_then(|_| unsafe { all_of(message) });
    let one = header.filter(|_| all.is_none());
    sink.message(Message {
        partition: m.partition,
        offset: m.offset,
        timestamp,
        key: unsafe { slice(m.key, m.key_len) },
        value: unsafe { slice(m.payload, m.len) },
        header: match one {
            Some(name) => unsafe { value_of(message, name) },
            None => all.as_deref(),
        },
    });
}

/// In place of a header's name: all headers, for [`headers`] to take apart.
pub const ALL: &CStr = c"*";

/// All headers as bytes: of each the length of its name, the name, the length of its value (-1: none), the value.
unsafe fn all_of(message: *mut rd::rd_kafka_message_t) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut list = std::ptr::null_mut();
    unsafe {
        Failure::check(rd::rd_kafka_message_headers(message, &mut list)).ok()?;
        for i in 0.. {
            let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
            let got = rd::rd_kafka_header_get_all(list, i, &mut name, &mut value, &mut len);
            if Failure::check(got).is_err() {
                break;
            }
            let (name, value) = (CStr::from_ptr(name).to_bytes(), slice(value, len));
            out.extend_from_slice(&(name.len() as i32).to_le_bytes());
            out.extend_from_slice(name);
            out.extend_from_slice(&value.map_or(-1, |v| v.len() as i32).to_le_bytes());
            out.extend_from_slice(value.unwrap_or_default());
        }
    }
    Some(out)
}

/// Takes all headers of a message apart, as a consumer of [`ALL`] has them.
pub fn headers(mut bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = i32::from_le_bytes(*length);
        let (part, rest) = rest.split_at_checked(length.max(0) as usize)?;
        bytes = rest;
        Some((length >= 0).then(|| part.to_vec()))
    };
    let mut found = Vec::new();
    while let Some(name) = part() {
        let name = String::from_utf8_lossy(&name.unwrap_or_default()).into_owned();
        found.push((name, part().flatten()));
    }
    found
}

unsafe fn slice<'a>(at: *const c_void, len: usize) -> Option<&'a [u8]> {
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast::<u8>(), len) })
}

unsafe fn value_of<'a>(message: *mut rd::rd_kafka_message_t, name: &CStr) -> Option<&'a [u8]> {
    let (mut headers, mut value, mut len) = (std::ptr::null_mut(), std::ptr::null(), 0);
    unsafe {
        let none = rd::rd_kafka_message_headers(message, &mut headers);
        Failure::check(none).ok()?;
        let found = rd::rd_kafka_header_get_last(headers, name.as_ptr(), &mut value, &mut len);
        Failure::check(found).ok()?;
        slice(value, len)
    }
}

/// A list of partitions.
pub(super) struct List(NonNull<rd::rd_kafka_topic_partition_list_t>);

impl List {
    pub(super) fn ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(super) fn new(
        topic: &str,
        partitions: impl Iterator<Item = (i32, i64)>,
    ) -> Result<List, Failure> {
        let topic = c(topic)?;
        let list = NonNull::new(unsafe { rd::rd_kafka_topic_partition_list_new(8) })
            .ok_or_else(|| Failure::saying("no memory for a list of partitions"))?;
        for (partition, offset) in partitions {
            unsafe {
                let added =
                    rd::rd_kafka_topic_partition_list_add(list.as_ptr(), topic.as_ptr(), partition);
                (*added).offset = offset;
            }
        }
        Ok(List(list))
    }

    fn offsets(&self) -> Vec<(i32, Result<i64, Failure>)> {
        let list = unsafe { self.0.as_ref() };
        let elements = (0..list.cnt as usize).map(|i| unsafe { &*list.elems.add(i) });
        elements
            .map(|e| (e.partition, Failure::check(e.err).map(|()| e.offset)))
            .collect()
    }
}

impl Drop for List {
    fn drop(&mut self) {
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.0.as_ptr()) };
    }
}

impl Handle {
    /// The first offset and the one past the last; under read_committed past the last stable one.
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        wait: Duration,
    ) -> Result<(i64, i64), Failure> {
        let (topic, mut low, mut high) = (c(topic)?, 0, 0);
        let code = unsafe {
            rd::rd_kafka_query_watermark_offsets(
                self.ptr(),
                topic.as_ptr(),
                partition,
                &mut low,
                &mut high,
                millis(wait),
            )
        };
        Failure::check(code).map(|()| (low, high))
    }

    /// The first offset at or after `time` (ms) of each partition; -1 (end) where there is none.
    pub fn offsets_at(
        &self,
        topic: &str,
        partitions: &[i32],
        time: i64,
        wait: Duration,
    ) -> Result<Vec<(i32, i64)>, Failure> {
        let list = List::new(topic, partitions.iter().map(|p| (*p, time)))?;
        let code =
            unsafe { rd::rd_kafka_offsets_for_times(self.ptr(), list.0.as_ptr(), millis(wait)) };
        Failure::check(code)?;
        list.offsets()
            .into_iter()
            .map(|(p, offset)| offset.map(|o| (p, o)))
            .collect()
    }

    /// Whether the library was told the topic does not exist; its partitions otherwise.
    pub fn partitions(&self, topic: &str, wait: Duration) -> Result<Vec<i32>, Failure> {
        let name = c(topic)?;
        unsafe {
            let rkt = rd::rd_kafka_topic_new(self.ptr(), name.as_ptr(), std::ptr::null_mut());
            if rkt.is_null() {
                return Err(Failure::of(rd::rd_kafka_last_error()));
            }
            let mut metadata = std::ptr::null();
            let code = rd::rd_kafka_metadata(self.ptr(), 0, rkt, &mut metadata, millis(wait));
            rd::rd_kafka_topic_destroy(rkt);
            Failure::check(code)?;
            let found = named(&*metadata, topic);
            rd::rd_kafka_metadata_destroy(metadata);
            found
        }
    }
}

/// The partitions of `topic` in an answer.
unsafe fn named(metadata: &rd::rd_kafka_metadata, topic: &str) -> Result<Vec<i32>, Failure> {
    for i in 0..metadata.topic_cnt as usize {
        let found = unsafe { &*metadata.topics.add(i) };
        if unsafe { text(found.topic) } == topic {
            Failure::check(found.err)?;
            let ids =
                (0..found.partition_cnt as usize).map(|p| unsafe { (*found.partitions.add(p)).id });
            return Ok(ids.collect());
        }
    }
    Err(Failure::of(
        rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    ))
}
