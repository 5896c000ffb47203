//! Unpacking: `.gz` (several members too), `.zst` and `.zip`, recognised by their first bytes.

use super::limits::{Counted, Guard, Limits};
use crate::{Error, Kind, Result};
use flate2::bufread::{DeflateDecoder, GzDecoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// How an input was packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    #[default]
    Plain,
    /// gzip, one or several members.
    Gzip,
    /// Zstandard, one or several frames.
    Zstd,
    /// A zip archive with one CSV member.
    Zip,
}

/// Packed bytes are read in blocks of this size.
const BLOCK: usize = 256 * 1024;

impl Packing {
    /// The packing that the first bytes speak for.
    pub fn of(head: &[u8]) -> Packing {
        match head {
            [0x1F, 0x8B, ..] => Packing::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Packing::Zstd,
            [b, 0x2A, 0x4D, 0x18, ..] if b & 0xF0 == 0x50 => Packing::Zstd,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Packing::Zip,
            _ => Packing::Plain,
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Packing::Plain => "plain",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Zip => "zip",
        }
    }
}

/// Where packed bytes come from: zip needs to seek.
pub(super) enum Packed {
    /// A file, at its beginning.
    File(File),
    /// A pipe.
    Pipe(Box<dyn Read + Send>),
}

/// The unpacked stream of `raw`, which is packed as `packing` says, within `limits`.
pub(super) fn unpack(
    name: &Arc<str>,
    packing: Packing,
    raw: Packed,
    limits: &Limits,
) -> Result<Box<dyn Read + Send>> {
    let count = Arc::new(AtomicU64::new(0));
    let stream: Box<dyn Read + Send> = match (packing, raw) {
        (Packing::Plain, Packed::File(file)) => return Ok(Box::new(file)),
        (Packing::Plain, Packed::Pipe(pipe)) => return Ok(pipe),
        (Packing::Zip, raw) => {
            let file = match raw {
                Packed::File(file) => file,
                Packed::Pipe(pipe) => spool(name, pipe, limits)?,
            };
            member(name, file, &count)?
        }
        (Packing::Gzip, raw) => Box::new(Gunzip::new(buffered(raw, &count))),
        (Packing::Zstd, raw) => Box::new(
            zstd::stream::read::Decoder::with_buffer(buffered(raw, &count))
                .map_err(|e| super::read_error(name, e))?,
        ),
    };
    Ok(Box::new(Guard::new(
        stream,
        name.clone(),
        packing.name(),
        limits.clone(),
        count,
    )))
}

type Buffered = BufReader<Counted<Box<dyn Read + Send>>>;

fn buffered(raw: Packed, count: &Arc<AtomicU64>) -> Buffered {
    let raw: Box<dyn Read + Send> = match raw {
        Packed::File(file) => Box::new(file),
        Packed::Pipe(pipe) => pipe,
    };
    BufReader::with_capacity(BLOCK, Counted::new(raw, count.clone()))
}

/// All members of a gzip stream, one after the other; zero bytes behind the last are padding.
struct Gunzip {
    member: Option<GzDecoder<Buffered>>,
}

impl Gunzip {
    fn new(raw: Buffered) -> Self {
        Gunzip {
            member: Some(GzDecoder::new(raw)),
        }
    }

    /// Goes on to the next member; false at the end.
    fn next_member(&mut self) -> io::Result<bool> {
        let Some(done) = self.member.take() else {
            return Ok(false);
        };
        let mut raw = done.into_inner();
        let mut padded = false;
        loop {
            let bytes = raw.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            let all = zeros == bytes.len();
            padded |= zeros > 0;
            raw.consume(zeros);
            if !all {
                break;
            }
        }
        if padded || raw.fill_buf()?.first() != Some(&0x1F) {
            return Err(io::Error::other("bytes that are not gzip follow its end"));
        }
        self.member = Some(GzDecoder::new(raw));
        Ok(true)
    }
}

impl Read for Gunzip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            if !self.next_member()? {
                break;
            }
        }
        Ok(0)
    }
}

/// A zip's directory stands at its end: a piped one goes through a temporary file.
fn spool(name: &str, pipe: Box<dyn Read + Send>, limits: &Limits) -> Result<File> {
    let failed = |e: io::Error| super::read_error(name, e);
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut pipe = pipe.take(limits.unpacked);
    io::copy(&mut pipe, &mut file).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// The only CSV member of the zip archive `file`.
fn member(name: &str, file: File, count: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>> {
    let damaged = |e: zip::result::ZipError| {
        Error::new(
            Kind::Schema,
            format!("{name}: the zip archive cannot be read ({e}); fetch or pack the file again"),
        )
        .because(e)
    };
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let names = (0..archive.len())
        .map(|i| Ok(archive.by_index_raw(i)?.name()?.into_owned()))
        .collect::<zip::result::ZipResult<Vec<String>>>()
        .map_err(damaged)?;
    let index = only_member(name, &names)?;
    let entry = archive.by_index_raw(index).map_err(damaged)?;
    if entry.encrypted() {
        return Err(refuse(name, "is encrypted", "unpack it first"));
    }
    let (method, size, packed) = (entry.compression(), entry.size(), entry.compressed_size());
    let crc = entry.crc32();
    let start = entry.data_start().ok_or_else(|| {
        refuse(
            name,
            "has no data where its directory says",
            "pack it again",
        )
    })?;
    drop(entry);
    let mut file = archive.into_inner().into_inner();
    file.seek(SeekFrom::Start(start))
        .map_err(|e| super::read_error(name, e))?;
    let data: Box<dyn Read + Send> = Box::new(file.take(packed));
    let data = buffered(Packed::Pipe(data), count);
    let stream: Box<dyn Read + Send> = match method {
        zip::CompressionMethod::Stored => Box::new(data),
        zip::CompressionMethod::Deflated => Box::new(DeflateDecoder::new(data)),
        other => {
            let what = format!("is packed by {other}, which is not read here");
            return Err(refuse(name, &what, "pack it by deflate"));
        }
    };
    Ok(Box::new(Checked {
        stream,
        left: size,
        sum: crc32fast::Hasher::new(),
        crc,
    }))
}

fn refuse(name: &str, what: &str, advice: &str) -> Error {
    Error::new(
        Kind::Schema,
        format!("{name}: the zip archive {what}; {advice}"),
    )
}

/// The index of the member to read: the only one, or the only one named like a text file.
fn only_member(name: &str, members: &[String]) -> Result<usize> {
    let files: Vec<(usize, &str)> = members
        .iter()
        .map(String::as_str)
        .enumerate()
        .filter(|(_, m)| !m.ends_with('/') && !m.starts_with("__MACOSX/"))
        .collect();
    if files.iter().any(|(_, m)| *m == "[Content_Types].xml") {
        return Err(Error::new(
            Kind::Schema,
            format!(
                "{name} is an office document (Excel or alike), not CSV; save its sheet as CSV"
            ),
        ));
    }
    let texts: Vec<_> = files.iter().filter(|(_, m)| is_text(m)).copied().collect();
    let candidates = if texts.is_empty() { &files } else { &texts };
    match candidates.as_slice() {
        [(index, _)] => Ok(*index),
        [] => Err(refuse(name, "is empty", "check where it comes from")),
        several => {
            let names: Vec<&str> = several.iter().take(8).map(|(_, m)| *m).collect();
            let what = format!(
                "holds {} files ({}{})",
                several.len(),
                names.join(", "),
                if several.len() > 8 { ", ..." } else { "" }
            );
            Err(refuse(name, &what, "unpack it and name the files to read"))
        }
    }
}

fn is_text(member: &str) -> bool {
    let lower = member.to_ascii_lowercase();
    [".csv", ".txt", ".tsv", ".dat"]
        .iter()
        .any(|end| lower.ends_with(end))
}

/// Holds a zip member to the size and checksum of its directory.
struct Checked {
    stream: Box<dyn Read + Send>,
    left: u64,
    sum: crc32fast::Hasher,
    crc: u32,
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.stream.read(buf)?;
        if n == 0 && self.left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if n == 0 && self.sum.clone().finalize() != self.crc {
            return Err(io::Error::other("its checksum does not fit"));
        }
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other("it is longer than its directory says"))?;
        self.sum.update(&buf[..n]);
        Ok(n)
    }
}
