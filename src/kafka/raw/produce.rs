//! Messages out, delivery reports, transactions.

use super::handle::{Failure, Handle, c, millis};
use rdkafka::bindings as rd;
use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// A topic that is written to.
pub(in crate::kafka) struct Topic {
    rkt: NonNull<rd::rd_kafka_topic_t>,
    handle: Arc<Handle>,
}

// As for the handle: the library locks what it must.
unsafe impl Send for Topic {}
unsafe impl Sync for Topic {}

/// Name and value of a header; a value may be missing.
pub type Header<'a> = (&'a CStr, Option<&'a [u8]>);

/// Headers that need no memory of their own on the way out.
const FEW: usize = 2;

/// Headers made before their message is, on any thread: three small pieces of memory that the thread which hands
/// messages over need not ask for.
#[derive(Debug)]
pub struct Headers(*mut rd::rd_kafka_headers_t);

// Nobody else knows of it until the library takes it over.
unsafe impl Send for Headers {}

impl Headers {
    /// One header.
    pub fn of(name: &CStr, value: &[u8]) -> Headers {
        let size = name.to_bytes().len() as isize;
        unsafe {
            // Without memory the library ends the process: neither call can fail.
            let made = rd::rd_kafka_headers_new(1);
            let value_size = value.len() as isize;
            rd::rd_kafka_header_add(made, name.as_ptr(), size, value.as_ptr().cast(), value_size);
            Headers(made)
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        unsafe { rd::rd_kafka_headers_destroy(self.0) };
    }
}

/// One message on its way out; the library copies the bytes.
pub struct Outgoing<'a> {
    /// The partition; below 0: by the partitioner.
    pub partition: i32,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Record time, ms since 1970; 0: now.
    pub timestamp: i64,
    /// Headers.
    pub headers: &'a [Header<'a>],
}

/// What became of a message that was handed over.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Sent {
    /// It is in the queue.
    Queued,
    /// The queue is full: wait for reports and hand it over again.
    Full,
}

impl Sent {
    fn of(error: *mut rd::rd_kafka_error_t) -> Result<Sent, Failure> {
        match unsafe { Failure::take(error) } {
            Ok(()) => Ok(Sent::Queued),
            Err(f) if f.code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL => {
                Ok(Sent::Full)
            }
            Err(failure) => Err(failure),
        }
    }
}

impl Topic {
    /// The topic called `name`.
    pub fn new(handle: &Arc<Handle>, name: &str) -> Result<Topic, Failure> {
        let name = c(name)?;
        let rkt =
            unsafe { rd::rd_kafka_topic_new(handle.ptr(), name.as_ptr(), std::ptr::null_mut()) };
        let rkt = NonNull::new(rkt)
            .ok_or_else(|| Failure::check(unsafe { rd::rd_kafka_last_error() }).err())
            .map_err(|e| e.unwrap_or_else(|| Failure::saying("the topic could not be opened")))?;
        Ok(Topic {
            rkt,
            handle: handle.clone(),
        })
    }

    pub(super) fn ptr(&self) -> *mut rd::rd_kafka_topic_t {
        self.rkt.as_ptr()
    }

    /// Hands a message over; never waits. Headers that were `made` before are in place of the message's own, and are
    /// gone when it is in the queue.
    pub fn send(
        &self,
        message: &Outgoing<'_>,
        made: &mut Option<Headers>,
    ) -> Result<Sent, Failure> {
        use rd::rd_kafka_vtype_t as V;
        let own = [
            vu(V::RD_KAFKA_VTYPE_RKT, U { rkt: self.ptr() }),
            vu(
                V::RD_KAFKA_VTYPE_PARTITION,
                U {
                    i32_: message.partition,
                },
            ),
            vu(
                V::RD_KAFKA_VTYPE_MSGFLAGS,
                U {
                    i: rd::RD_KAFKA_MSG_F_COPY,
                },
            ),
            vu(V::RD_KAFKA_VTYPE_KEY, mem(message.key)),
            vu(V::RD_KAFKA_VTYPE_VALUE, mem(message.value)),
            vu(
                V::RD_KAFKA_VTYPE_TIMESTAMP,
                U {
                    i64_: message.timestamp,
                },
            ),
        ];
        let end = || vu(V::RD_KAFKA_VTYPE_END, U { i: 0 });
        let named = |h: &Header<'_>| vu(V::RD_KAFKA_VTYPE_HEADER, header(h));
        let count = own.len() + message.headers.len();
        let call = |parts: &[rd::rd_kafka_vu_t]| unsafe {
            rd::rd_kafka_produceva(self.handle.ptr(), parts.as_ptr(), count)
        };
        let [a, b, c, d, e, f] = own;
        if let Some(Headers(headers)) = made {
            let last = vu(V::RD_KAFKA_VTYPE_HEADERS, U { headers: *headers });
            let parts = [a, b, c, d, e, f, last];
            let sent = Sent::of(unsafe {
                rd::rd_kafka_produceva(self.handle.ptr(), parts.as_ptr(), parts.len())
            })?;
            if sent == Sent::Queued {
                // They are the library's now.
                std::mem::forget(made.take());
            }
            return Ok(sent);
        }
        Sent::of(match message.headers {
            [] => call(&own),
            few if few.len() <= FEW => {
                let at = |i: usize| few.get(i).map_or_else(end, named);
                call(&[a, b, c, d, e, f, at(0), at(1)])
            }
            many => call(
                &own.into_iter()
                    .chain(many.iter().map(named))
                    .collect::<Vec<_>>(),
            ),
        })
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        unsafe { rd::rd_kafka_topic_destroy(self.ptr()) };
    }
}

type U = rd::rd_kafka_vu_s__bindgen_ty_1;

fn vu(vtype: rd::rd_kafka_vtype_t, u: U) -> rd::rd_kafka_vu_t {
    rd::rd_kafka_vu_t { vtype, u }
}

fn mem(bytes: Option<&[u8]>) -> U {
    U {
        mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
            ptr: start(bytes).cast_mut(),
            size: bytes.map_or(0, <[u8]>::len),
        },
    }
}

fn header((name, value): &Header<'_>) -> U {
    U {
        header: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
            name: name.as_ptr(),
            val: start(*value),
            size: value.map_or(0, <[u8]>::len) as isize,
        },
    }
}

fn start(bytes: Option<&[u8]>) -> *const c_void {
    bytes.map_or(std::ptr::null(), |b| b.as_ptr().cast::<c_void>())
}

impl Handle {
    /// Registers the transactional id: fences whoever has it, ends what it left open.
    pub fn init_transactions(&self, wait: Duration) -> Result<(), Failure> {
        unsafe { Failure::take(rd::rd_kafka_init_transactions(self.ptr(), millis(wait))) }
    }

    /// Begins a transaction.
    pub fn begin_transaction(&self) -> Result<(), Failure> {
        unsafe { Failure::take(rd::rd_kafka_begin_transaction(self.ptr())) }
    }

    /// Waits for all reports and commits.
    pub fn commit_transaction(&self, wait: Duration) -> Result<(), Failure> {
        unsafe { Failure::take(rd::rd_kafka_commit_transaction(self.ptr(), millis(wait))) }
    }

    /// Drops what is on its way and aborts.
    pub fn abort_transaction(&self, wait: Duration) -> Result<(), Failure> {
        unsafe { Failure::take(rd::rd_kafka_abort_transaction(self.ptr(), millis(wait))) }
    }

    /// Waits until every message has its report.
    pub fn flush(&self, wait: Duration) -> Result<(), Failure> {
        Failure::check(unsafe { rd::rd_kafka_flush(self.ptr(), millis(wait)) })
    }

    /// Drops messages that were not sent yet, and forgets those in flight.
    pub fn purge(&self) {
        let all = rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT;
        // It can fail only for a handle that is no producer.
        let _ = unsafe { rd::rd_kafka_purge(self.ptr(), all) };
    }
}
