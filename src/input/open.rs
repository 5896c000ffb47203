//! Opening: paths, globs and standard input, and what kind of bytes they hold.

use super::limits::{Limits, read_error};
use super::text::{Encoding, transcode};
use super::unpack::{Packed, Packing, unpack};
use super::{Bytes, Opened};
use crate::{Error, Kind, Result};
use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes looked at to tell packing and encoding.
const PEEK: usize = 64 * 1024;

/// One input as the user named it; cheap to clone. Nothing is open until
/// [`InputSpec::open`].
#[derive(Clone)]
pub struct InputSpec {
    /// As the user named it; `-` for standard input.
    pub name: Arc<str>,
    /// Its path, where it has one.
    pub path: Option<PathBuf>,
    /// Its encoding, where it is declared.
    pub encoding: Option<Encoding>,
    from: From,
}

#[derive(Clone)]
enum From {
    Path(PathBuf),
    Memory(Arc<[u8]>),
    Once(Arc<Mutex<Once>>),
}

/// A stream that can be read once; a look at its head leaves it unpacked and whole.
enum Once {
    Raw(Box<dyn Read + Send>),
    Ready(Opened),
    Taken,
}

/// The inputs that `specs` name, as one dataset: paths and `-` as they stand, the matches of a
/// glob sorted. A name that exists is a path, whatever signs it holds.
pub fn expand(specs: &[String]) -> Result<Vec<InputSpec>> {
    let mut inputs = Vec::new();
    for spec in specs {
        if spec == "-" {
            inputs.push(InputSpec::reader("-", Box::new(io::stdin())));
            continue;
        }
        match std::fs::metadata(spec) {
            Err(_) if spec.contains(['*', '?', '[']) => inputs.extend(matches(spec)?),
            Err(e) => return Err(read_error(spec, e)),
            Ok(about) => inputs.push(existing(spec, Path::new(spec), &about)?),
        }
    }
    if inputs.is_empty() {
        return Err(missing(
            "no input was named; give a path, a glob or -".to_string(),
        ));
    }
    Ok(inputs)
}

fn missing(message: String) -> Error {
    Error::new(Kind::NotFound, message)
}

fn matches(spec: &str) -> Result<Vec<InputSpec>> {
    let paths = glob::glob(spec).map_err(|e| {
        Error::new(
            Kind::Usage,
            format!("{spec} is not a glob ({e}); check its brackets"),
        )
        .because(e)
    })?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|e| {
            let name = e.path().display().to_string();
            read_error(&name, e.into())
        })?;
        if !path.is_dir() {
            let name = path.display().to_string();
            let about = std::fs::metadata(&path).map_err(|e| read_error(&name, e))?;
            found.push(existing(&name, &path, &about)?);
        }
    }
    unnamed(spec)?;
    if found.is_empty() {
        return Err(missing(format!(
            "{spec}: no file fits the glob; check the path"
        )));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A glob passes over names that are not UTF-8; a file must not be left out in silence.
fn unnamed(spec: &str) -> Result<()> {
    let (folder, last) = spec.rsplit_once('/').unwrap_or((".", spec));
    let (Ok(pattern), Ok(entries)) = (glob::Pattern::new(last), std::fs::read_dir(folder)) else {
        return Ok(());
    };
    for name in entries.flatten().map(|e| e.file_name()) {
        if name.to_str().is_none() && pattern.matches(&name.to_string_lossy()) {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "{spec}: the file {name:?} has a name that is not UTF-8 and cannot be read by it; rename the file"
                ),
            ));
        }
    }
    Ok(())
}

fn existing(name: &str, path: &Path, about: &Metadata) -> Result<InputSpec> {
    if about.is_dir() {
        return Err(read_error(name, io::ErrorKind::IsADirectory.into()));
    }
    if about.is_file() {
        return Ok(InputSpec::file(name, path));
    }
    // A named pipe or a device: read once, and opened only when it is read.
    Ok(InputSpec::reader(
        name,
        Box::new(Late::Path(path.to_path_buf())),
    ))
}

/// A pipe on the file system, opened at the first read: opening waits for its writer.
enum Late {
    Path(PathBuf),
    Open(File),
}

impl Read for Late {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Late::Path(path) = self {
            *self = Late::Open(File::open(path)?);
        }
        match self {
            Late::Open(file) => file.read(buf),
            Late::Path(_) => Ok(0),
        }
    }
}

impl InputSpec {
    /// A plain or packed file.
    pub fn file(name: &str, path: &Path) -> Self {
        InputSpec {
            name: name.into(),
            path: Some(path.to_path_buf()),
            encoding: None,
            from: From::Path(path.to_path_buf()),
        }
    }

    /// Bytes in memory.
    pub fn memory(name: &str, bytes: impl Into<Arc<[u8]>>) -> Self {
        InputSpec {
            name: name.into(),
            path: None,
            encoding: None,
            from: From::Memory(bytes.into()),
        }
    }

    /// A stream that can be opened once; [`super::head`] may look at it before.
    pub fn reader(name: &str, stream: Box<dyn Read + Send>) -> Self {
        InputSpec {
            name: name.into(),
            path: None,
            encoding: None,
            from: From::Once(Arc::new(Mutex::new(Once::Raw(stream)))),
        }
    }

    /// The same input, declared to be in `encoding`.
    pub fn in_encoding(mut self, encoding: Option<Encoding>) -> Self {
        self.encoding = encoding;
        self
    }

    /// Whether it can be opened more than once.
    pub fn repeatable(&self) -> bool {
        !matches!(self.from, From::Once(_))
    }

    /// Opens it: unpacked, in UTF-8, within `limits`.
    pub fn open(&self, limits: &Limits) -> Result<Opened> {
        match &self.from {
            From::Path(path) => self.open_path(path, limits),
            From::Memory(bytes) => self.ready(Box::new(Cursor::new(bytes.clone())), limits),
            From::Once(once) => {
                let mut once = once.lock().unwrap_or_else(PoisonError::into_inner);
                match std::mem::replace(&mut *once, Once::Taken) {
                    Once::Raw(stream) => self.ready(stream, limits),
                    Once::Ready(opened) => Ok(opened),
                    Once::Taken => Err(Error::new(
                        Kind::Usage,
                        format!(
                            "{} can be read only once and has been read; save it to a file to read it again",
                            self.name
                        ),
                    )),
                }
            }
        }
    }

    /// Gives an opened one-shot input back, so that the next `open` finds it.
    pub(super) fn give_back(&self, opened: Opened) {
        if let From::Once(once) = &self.from {
            *once.lock().unwrap_or_else(PoisonError::into_inner) = Once::Ready(opened);
        }
    }

    fn open_path(&self, path: &Path, limits: &Limits) -> Result<Opened> {
        let failed = |e| read_error(&self.name, e);
        let mut file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let head = peek(&mut file).map_err(failed)?;
        io::Seek::rewind(&mut file).map_err(failed)?;
        let packing = Packing::of(&head);
        let encoding = self.encoding.unwrap_or_else(|| Encoding::of(&head));
        if packing == Packing::Plain && encoding == Encoding::Utf8 {
            let bytes = Bytes::At {
                file: Arc::new(file),
                len: about.len(),
            };
            return Ok(self.opened(bytes, encoding, packing));
        }
        let stream = unpack(&self.name, packing, Packed::File(file), limits)?;
        self.unpacked(stream, packing)
    }

    fn ready(&self, mut raw: Box<dyn Read + Send>, limits: &Limits) -> Result<Opened> {
        let head = peek(&mut raw).map_err(|e| read_error(&self.name, e))?;
        let packing = Packing::of(&head);
        let whole = Packed::Pipe(Box::new(Cursor::new(head).chain(raw)));
        let stream = unpack(&self.name, packing, whole, limits)?;
        self.unpacked(stream, packing)
    }

    /// Looks at the unpacked stream: no archive in an archive, and text in UTF-8.
    fn unpacked(&self, mut stream: Box<dyn Read + Send>, packing: Packing) -> Result<Opened> {
        let head = peek(&mut stream).map_err(|e| read_error(&self.name, e))?;
        let nested = Packing::of(&head) != Packing::Plain || head.get(257..262) == Some(b"ustar");
        if packing != Packing::Plain && nested {
            return Err(Error::new(
                Kind::Schema,
                format!(
                    "{} holds an archive in an archive; unpack it once first",
                    self.name
                ),
            ));
        }
        let encoding = self.encoding.unwrap_or_else(|| Encoding::of(&head));
        let whole = Box::new(Cursor::new(head).chain(stream));
        Ok(self.opened(Bytes::Stream(transcode(whole, encoding)), encoding, packing))
    }

    fn opened(&self, bytes: Bytes, encoding: Encoding, packing: Packing) -> Opened {
        Opened {
            name: self.name.clone(),
            path: self.path.clone(),
            bytes,
            encoding,
            packing,
        }
    }
}

impl std::fmt::Debug for InputSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InputSpec({})", self.name)
    }
}

/// Up to [`PEEK`] first bytes.
fn peek(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(PEEK);
    stream.take(PEEK as u64).read_to_end(&mut head)?;
    Ok(head)
}
