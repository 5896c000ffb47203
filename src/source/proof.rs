//! Proofs of positions, made while a file is read: the hash of all bytes before each.
//!
//! A plain file is hashed from the page cache by the thread that hands pieces on, beside the
//! pool that decodes. An unpacked stream is copied on its way to the decoder, a few chunks at most.

use crate::Result;
use crate::input::fingerprint::Running;
use crate::input::{Bytes, read_error};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Small enough that one thread hashes it: the pool has the decoding to do.
const BLOCK: usize = 128 * 1024;

/// What was hashed so far, and where more comes from.
pub(crate) enum Proofs {
    /// No run will ask.
    Off,
    /// A plain file.
    File {
        file: Arc<File>,
        running: Box<Running>,
        block: Vec<u8>,
    },
    /// A stream that passes by.
    Stream(Arc<Mutex<Passed>>),
}

/// Bytes of a stream that passed by.
pub(crate) struct Passed {
    running: Running,
    waiting: VecDeque<Vec<u8>>,
    /// Bytes before this are hashed as they come.
    sure: u64,
}

impl Passed {
    fn take(&mut self, bytes: &[u8]) {
        let sure = self
            .sure
            .saturating_sub(self.running.at())
            .min(bytes.len() as u64) as usize;
        let (now, later) = bytes.split_at(sure);
        self.running.update(now);
        if !later.is_empty() {
            self.waiting.push_back(later.to_vec());
        }
    }

    fn advance(&mut self, to: u64) {
        while self.running.at() < to
            && let Some(mut bytes) = self.waiting.pop_front()
        {
            let n = (to - self.running.at()).min(bytes.len() as u64) as usize;
            self.running.update(bytes.get(..n).unwrap_or_default());
            if n < bytes.len() {
                self.waiting.push_front(bytes.split_off(n));
            }
        }
    }
}

struct Tee {
    inner: Box<dyn Read + Send>,
    passed: Arc<Mutex<Passed>>,
}

fn locked(passed: &Mutex<Passed>) -> MutexGuard<'_, Passed> {
    passed.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Read for Tee {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        locked(&self.passed).take(buf.get(..n).unwrap_or_default());
        Ok(n)
    }
}

impl Proofs {
    /// For `bytes`, read from `start` on; gives the bytes to read.
    pub(crate) fn of(bytes: Bytes, start: u64) -> Result<(Proofs, Bytes)> {
        Ok(match bytes {
            Bytes::At { file, len } => {
                let running = Box::new(Running::new()?);
                let own = Proofs::File {
                    file: file.clone(),
                    running,
                    block: vec![0; BLOCK],
                };
                (own, Bytes::At { file, len })
            }
            Bytes::Stream(inner) => {
                let passed = Passed {
                    running: Running::new()?,
                    waiting: VecDeque::new(),
                    sure: start,
                };
                let passed = Arc::new(Mutex::new(passed));
                let tee = Tee {
                    inner,
                    passed: passed.clone(),
                };
                (Proofs::Stream(passed), Bytes::Stream(Box::new(tee)))
            }
        })
    }

    /// The stream's name and the proof at `to`, which never goes back.
    pub(crate) fn at(&mut self, to: u64, name: &str) -> Result<Option<(String, String)>> {
        self.pass(to, name)?;
        let said = |running: &Running| Some((running.start(), running.proof()));
        Ok(match self {
            Proofs::Off => None,
            Proofs::File { running, .. } => said(running),
            Proofs::Stream(passed) => said(&locked(passed).running),
        })
    }

    /// Takes what stands before `to` in, for whoever asks later.
    pub(crate) fn pass(&mut self, to: u64, name: &str) -> Result<()> {
        match self {
            Proofs::Off => {}
            Proofs::File {
                file,
                running,
                block,
            } => {
                while running.at() < to {
                    let want = block.len().min((to - running.at()) as usize);
                    let space = block.get_mut(..want).unwrap_or_default();
                    match file
                        .read_at(space, running.at())
                        .map_err(|e| read_error(name, e))?
                    {
                        0 => break,
                        n => running.update(block.get(..n).unwrap_or_default()),
                    }
                }
            }
            Proofs::Stream(passed) => locked(passed).advance(to),
        }
        Ok(())
    }
}
