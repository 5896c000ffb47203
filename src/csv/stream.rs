//! Stream: the reader thread that cuts a stream into pieces at likely record starts.

use super::chunks::Shared;
use super::scan::Cut;
use super::split::{fields, guess};
use super::text::{Text, closing};
use crate::input::read_error;
use crate::{Error, Kind, Result};
use memchr::memrchr;
use std::io::Read;
use std::sync::Arc;

/// The end of a piece in which its last record is looked for.
const LOOK: usize = 32 << 10;

type Reader = Box<dyn Read + Send>;

/// The first three bytes (zeros where there are fewer), and the reader that still gives them.
pub(crate) fn peek(mut reader: Reader, name: &str) -> Result<(Reader, [u8; 3])> {
    let mut front = Vec::new();
    let taken = reader.by_ref().take(3).read_to_end(&mut front);
    taken.map_err(|e| read_error(name, e))?;
    let mut first = [0; 3];
    first[..front.len()].copy_from_slice(&front);
    Ok((Box::new(std::io::Cursor::new(front).chain(reader)), first))
}

/// Reads `reader` to its end, from byte `begin` on, and sends its pieces to the workers.
pub(crate) fn run<T: Send + 'static>(shared: &Arc<Shared<T>>, mut reader: Reader, begin: u64) {
    if let Err(error) = pass(&mut reader, begin, &shared.job.name) {
        shared.send(0, Err(error), true);
        return;
    }
    let size = shared.job.options.chunk_bytes.clamp(1, 1 << 30);
    let (mut base, mut rest, mut k) = (begin, Vec::new(), 0);
    while shared.room(k) {
        let mut bytes = std::mem::take(&mut rest);
        let want = size.max(bytes.len() + 1) - bytes.len();
        bytes.reserve(want + 1);
        let read = reader.by_ref().take(want as u64).read_to_end(&mut bytes);
        let last = match read {
            Ok(read) => read < want,
            Err(error) => {
                shared.send(k, Err(read_error(&shared.job.name, error)), true);
                return;
            }
        };
        if !last {
            let at = cut_at(&bytes, &shared.job.plan.cut, shared.job.plan.width);
            rest = bytes[at..].to_vec();
            bytes.truncate(at);
        }
        let len = bytes.len();
        if let Some(end) = closing(&shared.job.options, shared.job.plan.cut.newline)
            && last
            && bytes.last().is_some_and(|b| *b != end)
        {
            bytes.push(end);
        }
        let text = Text::Memory {
            bytes,
            base,
            len,
            last,
        };
        shared.send(k, Ok(text), last);
        if last {
            return;
        }
        base += len as u64;
        k += 1;
    }
}

/// Reads past the first `n` bytes.
fn pass(reader: &mut Reader, n: u64, name: &str) -> Result<()> {
    let passed = std::io::copy(&mut reader.by_ref().take(n), &mut std::io::sink());
    match passed.map_err(|e| read_error(name, e))? {
        passed if passed == n => Ok(()),
        passed => Err(Error::new(
            Kind::DataLost,
            format!(
                "`{name}` ends at byte {passed}, before byte {n} where reading was to go on; it is not what was read before"
            ),
        )),
    }
}

/// The likely end of the last whole record.
fn cut_at(bytes: &[u8], cut: &Cut, width: usize) -> usize {
    let end = |bytes: &[u8]| memrchr(cut.newline, bytes).map_or(bytes.len(), |n| n + 1);
    if cut.quote.is_none() {
        return end(bytes);
    }
    let look = bytes.len().saturating_sub(LOOK);
    let Some(first) = guess(&bytes[look..], cut, width) else {
        return bytes.len();
    };
    let mut at = look + first;
    while let Some((n, used)) = fields(&bytes[at..], cut) {
        if n != width {
            return at;
        }
        at += used;
    }
    at
}
