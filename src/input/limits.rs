//! Limits on what unpacking may give, and the sentences of a stream that breaks.

use crate::{Error, Kind, Result};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const GIB: u64 = 1 << 30;

/// What unpacking may give at most, so that a bomb cannot swallow the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unpacked bytes of one input. Default: 64 GiB.
    pub unpacked: u64,
    /// Unpacked bytes a packed byte, looked at beyond `ratio_from`. Default: 1000.
    pub ratio: u64,
    /// Unpacked bytes below which the ratio does not matter. Default: 1 GiB.
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            unpacked: 64 * GIB,
            ratio: 1000,
            ratio_from: GIB,
        }
    }
}

/// The house's error of a failed read of `name`: the sentence the stream carried, or one about
/// the file system.
pub fn read_error(name: &str, error: io::Error) -> Error {
    if let Some(inner) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
        return inner.clone();
    }
    let message = match error.kind() {
        io::ErrorKind::NotFound => {
            return Error::new(
                Kind::NotFound,
                format!("{name}: there is no such file; check the path"),
            )
            .because(error);
        }
        io::ErrorKind::PermissionDenied => {
            format!("{name}: reading is not permitted; check the rights of the file")
        }
        io::ErrorKind::IsADirectory => {
            format!("{name} is a directory; name its files, for example \"{name}/*.csv\"")
        }
        _ if error.raw_os_error() == Some(libc::ELOOP) => {
            format!("{name} is a link that leads back to itself; mend the link")
        }
        _ if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {
            format!("{name:.60}... is longer than the name of a file can be; check the path")
        }
        io::ErrorKind::InvalidInput if name.contains('\0') => {
            let message = format!("{name:?} holds a zero byte, which no path can; check the path");
            return Error::new(Kind::Usage, message);
        }
        _ => format!("{name}: reading failed ({error}); check the disk or the pipe and try again"),
    };
    Error::new(Kind::Endpoint, message).because(error)
}

/// Counts the packed bytes that went in.
pub(super) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    /// Wraps `inner`; the counter is shared with the [`Guard`].
    pub fn new(inner: R, count: Arc<AtomicU64>) -> Self {
        Counted { inner, count }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.fetch_add(n as u64, Relaxed);
        Ok(n)
    }
}

/// Holds an unpacked stream to its limits and turns its failures into sentences.
pub(super) struct Guard<R> {
    inner: R,
    name: Arc<str>,
    format: &'static str,
    limits: Limits,
    packed: Arc<AtomicU64>,
    unpacked: u64,
}

impl<R: Read> Guard<R> {
    /// Guards `inner`, the unpacked stream of the `format` archive `name`.
    pub fn new(
        inner: R,
        name: Arc<str>,
        format: &'static str,
        limits: Limits,
        packed: Arc<AtomicU64>,
    ) -> Self {
        Guard {
            inner,
            name,
            format,
            limits,
            packed,
            unpacked: 0,
        }
    }

    fn check(&self) -> Result<()> {
        let packed = self.packed.load(Relaxed).max(1);
        if self.unpacked > self.limits.unpacked {
            return Err(self.over(&format!(
                "unpacks to more than the limit of {} bytes",
                self.limits.unpacked
            )));
        }
        if self.unpacked > self.limits.ratio_from && self.unpacked / packed >= self.limits.ratio {
            return Err(self.over(&format!(
                "unpacks to more than {} times its size ({} bytes out of {packed})",
                self.limits.ratio, self.unpacked
            )));
        }
        Ok(())
    }

    fn over(&self, what: &str) -> Error {
        Error::new(
            Kind::Schema,
            format!(
                "{} {what}; if the archive is meant to be that large, raise the limit",
                self.name
            ),
        )
    }

    fn broken(&self, error: io::Error) -> io::Error {
        if error.get_ref().is_some_and(|e| e.is::<Error>()) {
            return error;
        }
        let packed = self.packed.load(Relaxed);
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "ends in the middle",
            _ => "is damaged",
        };
        let message = format!(
            "{}: the {} archive {what}, after {} unpacked bytes (near byte {packed} of the archive: {error}); fetch or pack the file again",
            self.name, self.format, self.unpacked
        );
        io::Error::other(Error::new(Kind::Schema, message).because(error))
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buf) {
            Ok(n) => {
                self.unpacked += n as u64;
                self.check().map_err(io::Error::other)?;
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => Err(self.broken(e)),
        }
    }
}
