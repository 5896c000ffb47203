//! A client of the library: made from settings, told of errors, destroyed.

use super::member::Shares;
use rdkafka::bindings as rd;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Role {
    /// Sends.
    Producer,
    /// Reads.
    Consumer,
    /// Is a member of a group, and reads nothing.
    Member,
}

/// An error of the library.
#[derive(Clone, Debug)]
pub(in crate::kafka) struct Failure {
    /// Its code.
    pub code: rd::rd_kafka_resp_err_t,
    /// Its words.
    pub text: String,
    /// The client can do nothing more.
    pub fatal: bool,
    /// The same call may be made again.
    pub retriable: bool,
    /// The transaction must be aborted first.
    pub abort: bool,
}

/// What the library's threads told us: errors by callback, and counted delivery reports.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Told {
    /// The newest errors of the connection, oldest first.
    errors: Mutex<Vec<(i32, String)>>,
    /// Delivery reports: delivered.
    pub delivered: AtomicU64,
    /// Delivery reports: not delivered.
    pub failed: AtomicU64,
    /// The first message that was not delivered.
    failure: Mutex<Option<Failure>>,
    /// Members: what became of their share.
    pub(super) shares: Shares,
}

impl Told {
    fn note(&self, code: i32, reason: String) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.retain(|(_, known)| *known != reason);
        errors.push((code, reason));
        let over = errors.len().saturating_sub(8);
        errors.drain(..over);
    }

    /// What went wrong with the connection: the most telling of the newest errors.
    pub fn connection(&self) -> Option<(i32, String)> {
        use rd::rd_kafka_resp_err_t as E;
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let order = [
            E::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
            E::RD_KAFKA_RESP_ERR__TRANSPORT,
            E::RD_KAFKA_RESP_ERR__RESOLVE,
            E::RD_KAFKA_RESP_ERR__SSL,
            E::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
            E::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        ];
        let weight = |code: i32| order.iter().position(|e| *e as i32 == code).unwrap_or(1);
        errors.iter().max_by_key(|(code, _)| weight(*code)).cloned()
    }

    /// The first message that was not delivered, with its reason.
    pub fn failure(&self) -> Option<Failure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Messages that have their report.
    pub fn reported(&self) -> u64 {
        self.delivered.load(Relaxed) + self.failed.load(Relaxed)
    }

    /// What was not delivered belongs to a transaction that is over.
    pub fn forget_failure(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn refuse(&self, code: rd::rd_kafka_resp_err_t) {
        self.failed.fetch_add(1, Relaxed);
        let mut slot = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| Failure::of(code));
    }
}

/// A client; its own threads live as long as it does.
pub(in crate::kafka) struct Handle {
    pub(super) rk: NonNull<rd::rd_kafka_t>,
    told: Box<Told>,
    owner: u32,
    reached: AtomicBool,
}

// The library says of its handles that every thread may use them at once; what the callbacks reach
// (`Told`) is made of atomics and mutexes.
unsafe impl Send for Handle {}
unsafe impl Sync for Handle {}

impl Failure {
    /// Of a code.
    pub fn of(code: rd::rd_kafka_resp_err_t) -> Failure {
        let text = unsafe { text(rd::rd_kafka_err2str(code)) };
        Failure {
            code,
            text,
            fatal: false,
            retriable: false,
            abort: false,
        }
    }

    /// `Ok` where the code says so.
    pub(super) fn check(code: rd::rd_kafka_resp_err_t) -> Result<(), Failure> {
        match code {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(Failure::of(code)),
        }
    }

    /// Takes an error object; null is none.
    pub(super) unsafe fn take(error: *mut rd::rd_kafka_error_t) -> Result<(), Failure> {
        if error.is_null() {
            return Ok(());
        }
        let failure = unsafe {
            Failure {
                code: rd::rd_kafka_error_code(error),
                text: text(rd::rd_kafka_error_string(error)),
                fatal: rd::rd_kafka_error_is_fatal(error) != 0,
                retriable: rd::rd_kafka_error_is_retriable(error) != 0,
                abort: rd::rd_kafka_error_txn_requires_abort(error) != 0,
            }
        };
        unsafe { rd::rd_kafka_error_destroy(error) };
        Err(failure)
    }

    /// A sentence that is no code of the library.
    pub fn saying(text: impl Into<String>) -> Failure {
        Failure {
            text: text.into(),
            ..Failure::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG)
        }
    }
}

/// A C string of the library, copied.
pub(super) unsafe fn text(from: *const c_char) -> String {
    if from.is_null() {
        return String::new();
    }
    unsafe { CStr::from_ptr(from) }
        .to_string_lossy()
        .into_owned()
}

/// A text for the library.
pub(super) fn c(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure::saying(format!("{text:?} holds a zero byte")))
}

/// Milliseconds as the library takes them.
pub(super) fn millis(wait: std::time::Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

impl Handle {
    /// A client with these settings. Errors name the setting that cannot be.
    pub fn new(role: Role, settings: &[(String, String)]) -> Result<Handle, Failure> {
        let told = Box::<Told>::default();
        let opaque = (&raw const *told).cast_mut().cast::<c_void>();
        let mut words = [0 as c_char; 512];
        unsafe {
            let conf = rd::rd_kafka_conf_new();
            for (name, value) in settings {
                if let Err(failure) = set(conf, name, value, &mut words) {
                    rd::rd_kafka_conf_destroy(conf);
                    return Err(failure);
                }
            }
            rd::rd_kafka_conf_set_opaque(conf, opaque);
            rd::rd_kafka_conf_set_error_cb(conf, Some(on_error));
            rd::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            let kind = match role {
                Role::Producer => {
                    rd::rd_kafka_conf_set_dr_msg_cb(conf, Some(on_delivery));
                    rd::rd_kafka_type_t::RD_KAFKA_PRODUCER
                }
                Role::Consumer => rd::rd_kafka_type_t::RD_KAFKA_CONSUMER,
                Role::Member => {
                    rd::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
                    rd::rd_kafka_type_t::RD_KAFKA_CONSUMER
                }
            };
            let rk = rd::rd_kafka_new(kind, conf, words.as_mut_ptr(), words.len());
            match NonNull::new(rk) {
                Some(rk) => Ok(Handle {
                    rk,
                    told,
                    owner: std::process::id(),
                    reached: AtomicBool::new(false),
                }),
                None => {
                    rd::rd_kafka_conf_destroy(conf);
                    Err(Failure::saying(text(words.as_ptr())))
                }
            }
        }
    }

    pub(super) fn ptr(&self) -> *mut rd::rd_kafka_t {
        self.rk.as_ptr()
    }

    /// Whether this process made it: a child that was forked has none of its threads.
    pub(super) fn ours(&self) -> bool {
        self.owner == std::process::id()
    }

    /// What its threads told.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Waits until a broker has answered, for at most `wait`. Whoever asks for a leader or a coordinator before that
    /// is asked to come again: half a second is lost then, one time in four.
    pub fn reach(&self, wait: std::time::Duration) -> bool {
        let reached = || unsafe {
            let mut answer = std::ptr::null();
            let none = std::ptr::null_mut();
            let code = rd::rd_kafka_metadata(self.ptr(), 0, none, &mut answer, millis(wait));
            Failure::check(code).map(|()| rd::rd_kafka_metadata_destroy(answer))
        };
        if !self.reached.load(Relaxed) && reached().is_ok() {
            self.reached.store(true, Relaxed);
        }
        self.reached.load(Relaxed)
    }

    /// Serves callbacks for at most `wait`; gives how many.
    pub fn poll(&self, wait: std::time::Duration) -> i32 {
        unsafe { rd::rd_kafka_poll(self.ptr(), millis(wait)) }
    }

    /// Ends the wait of a [`Handle::poll`] on another thread, or the next one.
    pub fn wake(&self) {
        unsafe {
            let queue = rd::rd_kafka_queue_get_main(self.ptr());
            rd::rd_kafka_queue_yield(queue);
            rd::rd_kafka_queue_destroy(queue);
        }
    }

    /// The name of the cluster, or none within `wait`.
    pub fn cluster_id(&self, wait: std::time::Duration) -> Option<String> {
        unsafe {
            let id = rd::rd_kafka_clusterid(self.ptr(), millis(wait));
            if id.is_null() {
                return None;
            }
            let text = text(id);
            rd::rd_kafka_mem_free(self.ptr(), id.cast());
            Some(text)
        }
    }

    /// The error after which this client can do nothing more.
    pub fn fatal(&self) -> Option<Failure> {
        let mut words = [0 as c_char; 512];
        let code = unsafe { rd::rd_kafka_fatal_error(self.ptr(), words.as_mut_ptr(), words.len()) };
        let mut failure = Failure::check(code).err()?;
        failure.text = unsafe { text(words.as_ptr()) };
        failure.fatal = true;
        Some(failure)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // After a fork the library's threads live in the parent only: waiting for them never ends.
        if !self.ours() {
            let told = std::mem::take(&mut self.told);
            std::mem::forget(told);
            return;
        }
        unsafe { rd::rd_kafka_destroy(self.ptr()) };
    }
}

unsafe fn set(
    conf: *mut rd::rd_kafka_conf_t,
    name: &str,
    value: &str,
    words: &mut [c_char],
) -> Result<(), Failure> {
    let (key, told) = (c(name)?, c(value)?);
    let done = unsafe {
        rd::rd_kafka_conf_set(
            conf,
            key.as_ptr(),
            told.as_ptr(),
            words.as_mut_ptr(),
            words.len(),
        )
    };
    match done {
        rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK => Ok(()),
        rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_UNKNOWN => Err(Failure::saying(format!(
            "the setting {name:?} is not known"
        ))),
        // The library's own words hold the value, which may be a secret.
        _ => Err(Failure::saying(format!(
            "the setting {name:?} cannot have this value"
        ))),
    }
}

unsafe extern "C" fn on_rebalance(
    rk: *mut rd::rd_kafka_t,
    code: rd::rd_kafka_resp_err_t,
    partitions: *mut rd::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    unsafe {
        let told = &*opaque.cast::<Told>();
        told.shares.rebalance(rk, code, partitions);
    }
}

unsafe extern "C" fn on_error(
    _: *mut rd::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // The opaque is the `Told` that its handle owns; the handle is destroyed before it.
    let told = unsafe { &*opaque.cast::<Told>() };
    told.note(code, unsafe { text(reason) });
}

/// The library's log says nothing that its errors do not; a data tool keeps standard error clean.
unsafe extern "C" fn on_log(
    _: *const rd::rd_kafka_t,
    _: c_int,
    _: *const c_char,
    _: *const c_char,
) {
}

unsafe extern "C" fn on_delivery(
    _: *mut rd::rd_kafka_t,
    message: *const rd::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    let (told, code) = unsafe { (&*opaque.cast::<Told>(), (*message).err) };
    match code {
        rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
            told.delivered.fetch_add(1, Relaxed);
        }
        code => told.refuse(code),
    }
}
