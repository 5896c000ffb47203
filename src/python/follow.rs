//! `Follow`: a run on a thread of its own, one report after each decided flush.

use super::pipeline::{PyControl, ended, failed, handed, report_object, until_of};
use super::{block, error};
use crate::pipeline::{self, Control, Report, Spec};
use crate::{Result, runtime};
use pyo3::prelude::*;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(20);

/// What comes next from a run.
enum Next {
    /// A decided flush.
    Flush(Report),
    /// The end.
    End(Result<Report>),
    /// Nothing any more.
    Over,
}

struct Wires {
    flushes: Receiver<Report>,
    end: Receiver<Result<Report>>,
    over: bool,
}

impl Wires {
    /// Waits for the next report; the end comes after every flush.
    fn next(&mut self) -> Next {
        while !self.over {
            match self.flushes.recv_timeout(LOOK) {
                Ok(report) => return Next::Flush(report),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if let Ok(end) = self.end.try_recv() {
                self.over = true;
                return Next::End(end);
            }
        }
        Next::Over
    }
}

/// Iterates over the reports of a run under way.
#[pyclass(frozen, module = "wattline._native")]
pub(super) struct Follow {
    control: Arc<Control>,
    wires: Arc<Mutex<Wires>>,
    owner: u32,
}

impl Follow {
    fn wait(&self, py: Python<'_>) -> PyResult<block::Waited<Next>> {
        block::same_process(py, self.owner, "this run")?;
        let wires = self.wires.clone();
        let next = move || Ok(wires.lock().unwrap_or_else(PoisonError::into_inner).next());
        block::wait(py, Some(&self.control), None, next)
    }
}

#[pymethods]
impl Follow {
    #[new]
    fn new(
        py: Python<'_>,
        spec: &str,
        data: Option<&Bound<'_, PyAny>>,
        until: Option<&str>,
        control: &Bound<'_, PyControl>,
    ) -> PyResult<Self> {
        let spec = Spec::from_json(spec).map_err(|e| error::exception(py, &e))?;
        let (data, control) = (handed(data)?, control.get().0.clone());
        let until = until_of(py, until)?;
        let flushes = control.follow();
        let (sender, end) = channel();
        let wire = control.clone();
        let started = runtime::spawn("follow", move || {
            // Nobody may be waiting any more.
            let _ = sender.send(pipeline::run(&spec, data, until, &wire));
        });
        started.map_err(|e| error::exception(py, &e))?;
        Ok(Follow {
            control,
            wires: Arc::new(Mutex::new(Wires {
                flushes,
                end,
                over: false,
            })),
            owner: std::process::id(),
        })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let waited = self.wait(py)?;
        let mut signal = waited.signal;
        let mut next = waited.result;
        loop {
            match next {
                Ok(Next::Flush(report)) if signal.is_none() => {
                    return report_object(py, &report).map(Some);
                }
                // Asked to stop: what comes until the end is passed over.
                Ok(Next::Flush(_)) => {
                    let waited = self.wait(py)?;
                    (next, signal) = (waited.result, signal.or(waited.signal));
                }
                Ok(Next::End(Ok(report))) => return ended(py, &report, signal).map(Some),
                Ok(Next::Over) => return Ok(None),
                Ok(Next::End(Err(e))) | Err(e) => return Err(failed(py, &e, &self.control)),
            }
        }
    }

    /// Stops the run and waits for its end.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.owner != std::process::id() {
            return Ok(());
        }
        self.control.stop();
        while let Next::Flush(_) = self
            .wait(py)?
            .result
            .map_err(|e| error::exception(py, &e))?
        {}
        Ok(())
    }
}
