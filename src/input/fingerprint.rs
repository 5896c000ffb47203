//! Fingerprints: what a file was when it was read, so that a grown one continues and a
//! replaced or truncated one is an error.
//!
//! The proof of a position is the BLAKE3 hash of all bytes before it. Paths do not count for
//! identity; they only tell a replaced file from a new one.

use super::Bytes;
use super::limits::{Limits, read_error};
use super::open::InputSpec;
use crate::flush::Position;
use crate::{Result, runtime};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that name a stream.
pub const START: usize = 64 * 1024;

/// Bytes read and hashed at a time.
const BLOCK: usize = 4 << 20;

/// Below this, one thread hashes faster than several.
const PARALLEL: usize = 256 * 1024;

/// The name of the stream that begins with `front`: the hash of its first 64 KiB. The caller
/// cuts `front` at the position, if that is less.
pub fn start_hash(front: &[u8]) -> String {
    blake3::hash(front.get(..START).unwrap_or(front))
        .to_hex()
        .to_string()
}

/// A hash that is fed as bytes come, and can be asked at any time.
#[derive(Clone)]
pub struct Running {
    hasher: blake3::Hasher,
    front: Vec<u8>,
    at: u64,
    pool: Arc<rayon::ThreadPool>,
}

impl Running {
    /// Of no bytes yet.
    pub fn new() -> Result<Running> {
        Ok(Running {
            hasher: blake3::Hasher::new(),
            front: Vec::new(),
            at: 0,
            pool: runtime::pool()?,
        })
    }

    /// Takes the next bytes; large blocks are hashed by all threads of the pool.
    pub fn update(&mut self, bytes: &[u8]) {
        let wanted = START.saturating_sub(self.front.len()).min(bytes.len());
        self.front
            .extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        self.at += bytes.len() as u64;
        if bytes.len() < PARALLEL {
            self.hasher.update(bytes);
        } else {
            let hasher = &mut self.hasher;
            self.pool.install(|| {
                hasher.update_rayon(bytes);
            });
        }
    }

    /// Bytes taken so far.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The hash of all bytes taken so far.
    pub fn proof(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    /// The stream's name, by the first 64 KiB taken so far.
    pub fn start(&self) -> String {
        start_hash(&self.front)
    }
}

/// The proof of position `at` in a plain file; an error if the file is shorter.
pub fn proof(name: &str, file: &Arc<File>, at: u64) -> Result<String> {
    let mut running = Running::new()?;
    let mut bytes = Bytes::At {
        file: file.clone(),
        len: at,
    };
    let got = feed(&mut running, &mut bytes, at).map_err(|e| read_error(name, e))?;
    if got < at {
        let short = io::Error::from(io::ErrorKind::UnexpectedEof);
        return Err(read_error(name, short));
    }
    Ok(running.proof())
}

/// Feeds the bytes of `[running.at(), to)`; gives where it stopped, less than `to` if the
/// input ends before.
fn feed(running: &mut Running, bytes: &mut Bytes, to: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK.min(to.saturating_sub(running.at()) as usize)];
    while running.at() < to {
        let want = block.len().min((to - running.at()) as usize);
        let Some(space) = block.get_mut(..want) else {
            break;
        };
        let n = match bytes {
            Bytes::At { file, .. } => file.read_at(space, running.at())?,
            Bytes::Stream(stream) => stream.read(space)?,
        };
        if n == 0 {
            break;
        }
        running.update(space.get(..n).unwrap_or_default());
    }
    Ok(running.at())
}

/// What two inputs have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Neither begins with the other.
    None,
    /// They hold the same bytes.
    Same,
    /// The second begins with all of the first, and goes on; their names.
    Begins(Arc<str>, Arc<str>),
}

/// Compares two inputs that can be read again, byte by byte.
pub fn begins_with(a: &InputSpec, b: &InputSpec, limits: &Limits) -> Result<Overlap> {
    let mut left = a.open(limits)?.bytes;
    let mut right = b.open(limits)?.bytes;
    let (mut one, mut two) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    loop {
        let n = fill(&mut left, at, &mut one).map_err(|e| read_error(&a.name, e))?;
        let m = fill(&mut right, at, &mut two).map_err(|e| read_error(&b.name, e))?;
        let common = n.min(m);
        if one.get(..common) != two.get(..common) {
            return Ok(Overlap::None);
        }
        at += common as u64;
        match (n == BLOCK, m == BLOCK) {
            (true, true) => {}
            _ if n == m => return Ok(Overlap::Same),
            _ if n < m => return Ok(Overlap::Begins(a.name.clone(), b.name.clone())),
            _ => return Ok(Overlap::Begins(b.name.clone(), a.name.clone())),
        }
    }
}

/// Fills `block` from `at` on as far as the input goes; a stream is at `at` already.
fn fill(bytes: &mut Bytes, at: u64, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(space) = block.get_mut(filled..).filter(|s| !s.is_empty()) {
        let n = match bytes {
            Bytes::At { file, .. } => file.read_at(space, at + filled as u64)?,
            Bytes::Stream(stream) => stream.read(space)?,
        };
        if n == 0 {
            break;
        }
        filled += n;
    }
    Ok(filled)
}

/// What an input is to a pipeline that has read others.
#[derive(Clone, Debug, PartialEq)]
pub enum Recognised {
    /// Not seen before.
    New,
    /// It begins with what was read and goes on behind it.
    Continue(Position),
    /// It is what was read, and nothing is new.
    Same(Position),
    /// It has the place of a file that was read and holds other bytes; the sentence says so.
    Replaced(String),
    /// It is shorter than what was read of it; the sentence says so.
    Truncated(String),
}

/// Compares an input with the positions a pipeline has reached. A one-shot input is `New`:
/// it has no bytes to spare.
pub fn recognise(known: &[Position], spec: &InputSpec, limits: &Limits) -> Result<Recognised> {
    if known.is_empty() || !spec.repeatable() {
        return Ok(Recognised::New);
    }
    let failed = |e| read_error(&spec.name, e);
    let mut bytes = spec.open(limits)?.bytes;
    let mut running = Running::new()?;
    feed(&mut running, &mut bytes, START as u64).map_err(failed)?;
    let path = spec.path.as_ref().map(|p| p.display().to_string());
    let near = |p: &&Position| {
        p.at < START as u64 || p.stream == running.start() || p.path.is_some() && p.path == path
    };
    let mut near: Vec<&Position> = known.iter().filter(near).collect();
    near.sort_by_key(|p| p.at);
    let start = running.start();
    let mut found = compare(&near, running, &mut bytes).map_err(failed)?;
    if let Some(best) = found.best.take() {
        return Ok(if found.more {
            Recognised::Continue(best)
        } else {
            Recognised::Same(best)
        });
    }
    Ok(changed(
        &near,
        &start,
        path.as_deref(),
        found.len,
        &spec.name,
    ))
}

struct Compared {
    /// The furthest position whose proof holds.
    best: Option<Position>,
    /// Whether bytes stand behind it.
    more: bool,
    /// Where the input ended, if it did before the last position.
    len: Option<u64>,
}

/// One pass over the input, asking the hash at each position; `near` is in order of position.
fn compare(near: &[&Position], start: Running, bytes: &mut Bytes) -> io::Result<Compared> {
    let mut found = Compared {
        best: None,
        more: false,
        len: None,
    };
    // Positions within the first bytes are asked of a hash of their own.
    let front = start.front.clone();
    let mut running = start;
    for position in near.iter().filter(|p| p.at > 0) {
        let reached = feed(&mut running, bytes, position.at)?;
        if reached < position.at {
            found.len = Some(reached);
            break;
        }
        let proof = match front.get(..position.at as usize) {
            Some(cut) if position.at < running.at() => blake3::hash(cut).to_hex().to_string(),
            _ => running.proof(),
        };
        if position.proof.as_deref() == Some(proof.as_str()) {
            found.best = Some((*position).clone());
        }
    }
    if let Some(best) = &found.best {
        found.more = running.at() > best.at || feed(&mut running, bytes, best.at + 1)? > best.at;
    }
    Ok(found)
}

/// No proof holds: replaced, truncated, or another file.
fn changed(
    near: &[&Position],
    start: &str,
    path: Option<&str>,
    len: Option<u64>,
    name: &str,
) -> Recognised {
    let same_place = |p: &&&Position| p.path.is_some() && p.path.as_deref() == path;
    let same_start = |p: &&&Position| p.at >= START as u64 && p.stream == start;
    let Some(before) = near
        .iter()
        .find(same_place)
        .or_else(|| near.iter().find(same_start))
    else {
        return Recognised::New;
    };
    match len.filter(|len| *len < before.at) {
        Some(len) => Recognised::Truncated(format!(
            "{name} is shorter than what was read of it ({len} bytes, {} were read); restore the file, or run it under another pipeline name",
            before.at
        )),
        None => Recognised::Replaced(format!(
            "{name} no longer begins with the {} bytes that were read of it; restore the file, give the new one another path, or run it under another pipeline name",
            before.at
        )),
    }
}
