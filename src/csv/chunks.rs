//! Chunks of a file in order, decoded on the pool.
//!
//! A plain file is cut into parts by offset, and each worker reads its own. A stream is cut by
//! a reader thread. Decoded pieces are settled in file order by whichever worker finds the next
//! one ready; then the map runs, again on the pool. At most `limit` pieces are under way or
//! waiting to be taken, and the reader thread waits for room. Whoever takes the chunks of a plain
//! file is woken for several at a time: a thread that sleeps and wakes for each took a tenth of the
//! time of a run, most of it from the workers it was woken beside.

use super::local::{self, Ordered};
use super::piece::{self, Job, Scratch};
use super::settle::{Front, Piece};
use super::split::guess;
use super::text::{Text, closing, shorter};
use super::{Chunk, CsvPlan, ReadOptions, Start, stream};
use crate::input::{Bytes, Opened};
use crate::ledger::Ledger;
use crate::{Error, Kind, Result, runtime};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is made of each chunk, on the pool.
pub type Map<T> = Arc<dyn Fn(Chunk) -> Result<T> + Send + Sync>;

/// Chunks of a plain file for which the thread that takes them is woken.
const GATHERED: u64 = 4;

/// Bytes in which a record start is guessed.
const GUESS: usize = 64 << 10;

/// What [`Chunks::next_within`] found.
pub enum Taken<T> {
    /// The next chunk's value.
    Value(T),
    /// It is not made within the wait.
    Waiting,
    /// There is none: the end, or what follows an error.
    End,
}

/// The chunks of one input in file order, each mapped on the pool; a bounded number in flight.
pub struct Chunks<T: Send + 'static>(Arc<Shared<T>>);

/// What the workers of a read share.
pub(crate) struct Shared<T> {
    pub job: Job,
    map: Map<T>,
    pool: Arc<rayon::ThreadPool>,
    parts: Option<Parts>,
    limit: u64,
    state: Mutex<State<T>>,
    changed: Condvar,
    scratch: Mutex<Vec<Scratch>>,
}

/// A plain file cut by offset.
struct Parts {
    file: Arc<File>,
    begin: u64,
    len: u64,
    size: u64,
}

struct State<T> {
    /// Decoded, not settled.
    decoded: BTreeMap<u64, Result<Piece>>,
    /// `None` while a worker settles.
    front: Option<Front>,
    settled: u64,
    ready: BTreeMap<u64, Result<T>>,
    issued: u64,
    taken: u64,
    total: Option<u64>,
    over: bool,
}

impl<T: Send + 'static> Chunks<T> {
    /// Begins to read `input` at `start`, a record start, or at the beginning of the file.
    ///
    /// Errors: `Endpoint` where the input cannot be read, `DataLost` where it ends before
    /// `start`. Errors in the data come from [`Chunks::next`].
    pub fn open(
        input: Opened,
        plan: Arc<CsvPlan>,
        options: &ReadOptions,
        start: Option<Start>,
        map: Map<T>,
    ) -> Result<Chunks<T>> {
        let threads = match options.threads {
            Some(threads) => threads,
            None => runtime::pool()?.current_num_threads(),
        };
        Self::open_limited(input, plan, options, start, map, 2 * threads as u64 + 3)
    }

    /// The same with at most `limit` chunks in flight.
    pub(crate) fn open_limited(
        input: Opened,
        plan: Arc<CsvPlan>,
        options: &ReadOptions,
        start: Option<Start>,
        map: Map<T>,
        limit: u64,
    ) -> Result<Chunks<T>> {
        check(&plan, options)?;
        let pool = match options.threads {
            Some(threads) => runtime::sized(threads)?,
            None => runtime::pool()?,
        };
        let start = start.filter(|s| s.byte > 0);
        let (ordered, input) = match (Ordered::new(&plan, options), start) {
            (Some(_), Some(start)) => local::before(input, &plan, options, start)?,
            (ordered, _) => (ordered, input),
        };
        let (bytes, bom) = front_bytes(input.bytes, &input.name)?;
        let (at, opening) = opening(&plan, start, bom);
        let parts = match &bytes {
            Bytes::At { file, len } => Some(parts(file, *len, at, options, &input.name)?),
            Bytes::Stream(_) => None,
        };
        let shared = Arc::new(Shared {
            job: Job {
                name: input.name,
                plan,
                options: options.clone(),
                zeros: Default::default(),
            },
            map,
            pool,
            limit,
            state: Mutex::new(State::new(
                Front::new(at, opening, ordered),
                parts.as_ref().map(Parts::count),
            )),
            parts,
            changed: Condvar::new(),
            scratch: Mutex::new(Vec::new()),
        });
        if let Bytes::Stream(reader) = bytes {
            let shared = shared.clone();
            runtime::spawn("read", move || stream::run(&shared, reader, at.byte))?;
        }
        Ok(Chunks(shared))
    }

    /// Where the chunks so far leave the sensors near a change of the clock.
    pub(crate) fn ordered(&self) -> Option<Ordered> {
        let state = self.0.lock();
        state.front.as_ref().and_then(|f| f.ordered.clone())
    }

    /// The next chunk's value, waiting for it; `None` at the end and after an error.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<T>> {
        match self.take(None)? {
            Taken::Value(value) => Ok(Some(value)),
            Taken::Waiting | Taken::End => Ok(None),
        }
    }

    /// The same, waiting at most `wait`.
    pub fn next_within(&mut self, wait: Duration) -> Result<Taken<T>> {
        self.take(Some(Instant::now() + wait))
    }

    fn take(&mut self, until: Option<Instant>) -> Result<Taken<T>> {
        let shared = &self.0;
        let mut state = shared.lock();
        loop {
            shared.issue(&mut state);
            let taken = state.taken;
            if let Some(value) = state.ready.remove(&taken) {
                state.taken += 1;
                state.over |= value.is_err();
                shared.issue(&mut state);
                drop(state);
                shared.make_room();
                return value.map(Taken::Value);
            }
            if state.over || state.total == Some(taken) {
                return Ok(Taken::End);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Taken::Waiting);
            }
            state = shared.wait(state, left);
        }
    }
}

impl<T: Send + 'static> Drop for Chunks<T> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_all();
    }
}

/// Refuses what cannot be read.
fn check(plan: &CsvPlan, options: &ReadOptions) -> Result<()> {
    if plan.width > options.max_columns {
        return Err(Error::new(
            Kind::Schema,
            format!(
                "a record has {} fields and at most {} are allowed; check the delimiter, or raise max_columns",
                plan.width, options.max_columns
            ),
        ));
    }
    Ok(())
}

/// Reads a stream's first bytes to see whether it has a byte order mark, whose length is given.
fn front_bytes(bytes: Bytes, name: &str) -> Result<(Bytes, u64)> {
    let mut first = [0; 3];
    match bytes {
        Bytes::At { file, len } => {
            let read = if len >= 3 {
                file.read_exact_at(&mut first, 0)
            } else {
                Ok(())
            };
            read.map_err(|e| crate::input::read_error(name, e))?;
            Ok((Bytes::At { file, len }, bom(&first)))
        }
        Bytes::Stream(reader) => {
            let (reader, first) = stream::peek(reader, name)?;
            Ok((Bytes::Stream(reader), bom(&first)))
        }
    }
}

fn bom(first: &[u8]) -> u64 {
    if first == b"\xef\xbb\xbf" { 3 } else { 0 }
}

/// Where records begin, and what stands before them.
fn opening(plan: &CsvPlan, start: Option<Start>, bom: u64) -> (Start, Ledger) {
    match start {
        Some(start) => (start, Ledger::default()),
        None => {
            let lines = plan.preamble + plan.header;
            let at = Start {
                byte: bom + plan.body as u64,
                line: 1 + lines,
                row: 0,
            };
            let counted = Ledger {
                bytes: at.byte,
                lines,
                preamble: plan.preamble,
                header: plan.header,
                ..Default::default()
            };
            (at, counted)
        }
    }
}

fn parts(
    file: &Arc<File>,
    len: u64,
    at: Start,
    options: &ReadOptions,
    name: &str,
) -> Result<Parts> {
    if at.byte > len {
        return Err(Error::new(
            Kind::DataLost,
            format!(
                "`{name}` ends at byte {len}, before byte {} where reading was to go on; it was truncated or replaced",
                at.byte
            ),
        ));
    }
    Ok(Parts {
        file: file.clone(),
        begin: at.byte,
        len,
        size: options.chunk_bytes.clamp(1, 1 << 30) as u64,
    })
}

impl Parts {
    fn count(&self) -> u64 {
        (self.len - self.begin).div_ceil(self.size).max(1)
    }

    /// A fault in a file that was cut meanwhile is no fault of its text.
    fn judged(&self, error: Error, job: &Job) -> Error {
        let cut = self.file.metadata().is_ok_and(|m| m.len() < self.len);
        match error.kind {
            Kind::RejectLimit | Kind::Schema if cut => shorter(&job.name),
            _ => error,
        }
    }

    /// Decodes part `k` from the presumed first record start in it.
    fn decode(&self, k: u64, job: &Job, scratch: &mut Scratch) -> Result<Piece> {
        let text = Text::File {
            name: job.name.clone(),
            file: self.file.clone(),
            len: self.len,
            end: closing(&job.options, job.plan.cut.newline),
        };
        scratch.buffer.reset();
        let until = (self.begin + (k + 1) * self.size).min(self.len);
        let from = match k {
            0 => self.begin,
            k => {
                let before = self.begin + k * self.size - 1;
                let view = text.view(&mut scratch.buffer, before, GUESS)?;
                let at = guess(view.bytes, &job.plan.cut, job.plan.width);
                at.map_or(until, |n| before + n as u64).min(self.len)
            }
        };
        Ok(Piece {
            decoded: piece::decode(job, &text, from, until, scratch),
            text,
            from,
            until,
        })
    }
}

impl<T> State<T> {
    fn new(front: Front, total: Option<u64>) -> Self {
        State {
            decoded: BTreeMap::new(),
            front: Some(front),
            settled: 0,
            ready: BTreeMap::new(),
            issued: 0,
            taken: 0,
            total,
            over: false,
        }
    }

    /// Whether, with chunk `k` of a plain file, so many can be taken that it is worth waking somebody for them:
    /// [`GATHERED`], or all that are under way.
    fn worth_waking(&self, k: u64) -> bool {
        let run = (self.taken..).take_while(|k| self.ready.contains_key(k));
        let next = self.taken + run.count() as u64;
        let all = next >= self.issued || Some(next) == self.total;
        k < next && (all || next - self.taken >= GATHERED)
    }
}

impl<T: Send + 'static> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most `left`; a thread of the pool works meanwhile, for it may be the only one.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State<T>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State<T>> {
        if self.pool.current_thread_index().is_some() {
            drop(state);
            if self.pool.yield_now() != Some(rayon::Yield::Executed) {
                std::thread::yield_now();
            }
            return self.lock();
        }
        match left {
            None => self.changed.wait(state),
            Some(left) => match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => Ok(state),
                Err(poisoned) => Ok(poisoned.into_inner().0),
            },
        }
        .unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the thread that reads a stream that a chunk was taken.
    fn make_room(&self) {
        if self.parts.is_none() {
            self.changed.notify_all();
        }
    }

    /// Sends the parts of a plain file to the pool as far as there is room.
    fn issue(self: &Arc<Self>, state: &mut State<T>) {
        let Some(total) = state.total.filter(|_| self.parts.is_some()) else {
            return;
        };
        while state.issued < total
            && state.issued < state.taken.saturating_add(self.limit)
            && !state.over
        {
            let k = state.issued;
            state.issued += 1;
            let shared = self.clone();
            self.pool.spawn_fifo(move || {
                shared.work(k, |scratch| match &shared.parts {
                    Some(parts) => parts.decode(k, &shared.job, scratch),
                    None => Err(Error::new(Kind::Internal, "a stream has no parts")),
                });
            });
        }
    }

    /// Waits until piece `k` of a stream may be sent on; false: nobody wants it.
    pub(crate) fn room(&self, k: u64) -> bool {
        let mut state = self.lock();
        while k >= state.taken.saturating_add(self.limit) && !state.over {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        !state.over
    }

    /// Sends piece `k` of a stream to the pool; `last`: none follows.
    pub(crate) fn send(self: &Arc<Self>, k: u64, text: Result<Text>, last: bool) {
        if last {
            self.lock().total = Some(k + 1);
        }
        let shared = self.clone();
        self.pool.spawn_fifo(move || {
            shared.work(k, |scratch| {
                let text = text?;
                let (from, until) = (text.begin(), text.end());
                let decoded = piece::decode(&shared.job, &text, from, until, scratch);
                Ok(Piece {
                    decoded,
                    text,
                    from,
                    until,
                })
            });
        });
    }

    /// Decodes piece `k`, settles what is next, and maps what that gave.
    fn work(self: &Arc<Self>, k: u64, decode: impl FnOnce(&mut Scratch) -> Result<Piece>) {
        if self.lock().over {
            return;
        }
        let _seat = runtime::seat();
        let pop = self
            .scratch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut scratch = pop.unwrap_or_default();
        let piece = guarded(|| decode(&mut scratch));
        self.lock().decoded.insert(k, piece);
        let mine = self.settle(&mut scratch);
        self.scratch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scratch);
        if let Some((k, chunk)) = mine {
            self.deliver(k, chunk);
        }
    }

    /// Settles every piece that is next in order; the last chunk is the caller's to map, the
    /// others go to the pool.
    fn settle(self: &Arc<Self>, scratch: &mut Scratch) -> Option<(u64, Chunk)> {
        let mut mine = None;
        loop {
            let mut state = self.lock();
            let k = state.settled;
            if state.front.is_none() || state.over {
                return mine;
            }
            let Some(piece) = state.decoded.remove(&k) else {
                return mine;
            };
            let Some(mut front) = state.front.take() else {
                return mine;
            };
            drop(state);
            let chunk = guarded(|| front.settle(&self.job, piece?, scratch));
            let mut state = self.lock();
            state.settled += 1;
            state.front = Some(front);
            match chunk {
                Ok(chunk) => {
                    drop(state);
                    if let Some((k, chunk)) = mine.replace((k, chunk)) {
                        let shared = self.clone();
                        self.pool.spawn_fifo(move || {
                            let _seat = runtime::seat();
                            shared.deliver(k, chunk);
                        });
                    }
                }
                Err(error) => {
                    let error = match &self.parts {
                        Some(parts) => parts.judged(error, &self.job),
                        None => error,
                    };
                    // Nothing after the fault is settled or read.
                    state.total = Some(k + 1);
                    state.front = None;
                    state.ready.insert(k, Err(error));
                    self.changed.notify_all();
                    return mine;
                }
            }
        }
    }

    fn deliver(&self, k: u64, chunk: Chunk) {
        let value = guarded(|| (self.map)(chunk));
        let mut state = self.lock();
        state.ready.insert(k, value);
        // The others are found ready when their turn comes.
        let wake = match self.parts {
            None => k == state.taken,
            Some(_) => state.worth_waking(k),
        };
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }
}

/// Runs `work`; a panic becomes an error of this read instead of the end of the process.
fn guarded<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Internal,
            "a worker failed while it read a chunk; please report it with the file's first lines",
        ))
    })
}
