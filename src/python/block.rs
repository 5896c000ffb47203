//! Waiting without the GIL: work runs on a thread of its own while the calling thread wakes every
//! 100 ms to let Python's signal handlers run.
//!
//! A signal handler that raises (Ctrl-C) asks work with a [`Control`] to stop, and the wait goes on
//! until it has stopped at a decided flush; a second one ends the wait at once. Work without a
//! control is left behind: its result is dropped when it comes. So is work that has not begun after [`OPENING`]: a server
//! that does not answer is waited for much longer.

use super::error;
use crate::pipeline::control::Control;
use crate::{Error, Kind, Result, runtime};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

const WAKE: Duration = Duration::from_millis(100);
/// So long a stop waits for work that is still opening its sources and stores.
const OPENING: Duration = Duration::from_millis(700);

/// What came of work, and the exception a signal handler raised meanwhile.
pub(super) struct Waited<T> {
    /// The result.
    pub result: Result<T>,
    /// Raised by a signal handler while the work ran; the work was asked to stop.
    pub signal: Option<PyErr>,
}

/// Runs `work` without the GIL; errors and panics become exceptions.
pub(super) fn block<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let waited = wait(py, None, None, work)?;
    waited.result.map_err(|e| error::exception(py, &e))
}

/// The same for work that looks at `stop`: an exception of a signal handler ends it too.
pub(super) fn stoppable<T: Send + 'static>(
    py: Python<'_>,
    stop: &AtomicBool,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let waited = wait(py, None, None, work).inspect_err(|_| stop.store(true, Relaxed))?;
    waited.result.map_err(|e| error::exception(py, &e))
}

/// Runs `work` without the GIL; a signal stops it through `control`, `tick` is called at each wake.
pub(super) fn wait<T: Send + 'static>(
    py: Python<'_>,
    control: Option<&Arc<Control>>,
    tick: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<Waited<T>> {
    let mut results = started(work).map_err(|e| error::exception(py, &e))?;
    let mut signal: Option<PyErr> = None;
    let mut since = Instant::now();
    loop {
        let (receiver, got) = py.detach(move || {
            let got = results.recv_timeout(WAKE);
            (results, got)
        });
        results = receiver;
        match got {
            Ok(result) => return Ok(Waited { result, signal }),
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Waited {
                    result: Err(defect("a thread ended early")),
                    signal,
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(raised) = woken(py, tick) {
            match control {
                Some(control) if signal.is_none() => {
                    control.stop();
                    (signal, since) = (Some(raised), Instant::now());
                }
                _ => return Err(raised),
            }
        }
        let opening = control.is_some_and(|c| !c.begun()) && since.elapsed() > OPENING;
        if let Some(raised) = signal.take_if(|_| opening) {
            return Err(raised);
        }
    }
}

/// Refuses what a fork took over from its parent: the threads behind it are the parent's alone.
pub(super) fn same_process(py: Python<'_>, owner: u32, what: &str) -> PyResult<()> {
    if owner == std::process::id() {
        return Ok(());
    }
    let refused = format!(
        "{what} was begun in another process and cannot go on in a fork of it; begin it again here"
    );
    Err(error::exception(py, &Error::new(Kind::Usage, refused)))
}

/// Lets signal handlers run, then shows progress.
fn woken(py: Python<'_>, tick: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    py.check_signals()?;
    tick.map_or(Ok(()), |tick| tick.call0().map(drop))
}

fn started<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<Receiver<Result<T>>> {
    let (sender, receiver) = sync_channel(1);
    runtime::spawn("call", move || {
        let done = catch_unwind(AssertUnwindSafe(work));
        let result = done.unwrap_or_else(|panic| Err(defect(&said(&*panic))));
        // Nobody waits any more after a second signal.
        let _ = sender.send(result);
    })?;
    Ok(receiver)
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_string()));
    text.unwrap_or_else(|| "a panic without words".into())
}

fn defect(what: &str) -> Error {
    Error::new(
        Kind::Internal,
        format!("a defect of wattline, please report it with the call that led here: {what}"),
    )
}
