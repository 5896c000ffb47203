//! Encodings: which one the first bytes are in, and transcoding to UTF-8 on the way.

use encoding_rs::{Decoder, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::io::{self, Read};

/// How the text of an input is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark; ASCII.
    #[default]
    Utf8,
    /// UTF-16, least byte first.
    Utf16Le,
    /// UTF-16, greatest byte first.
    Utf16Be,
    /// Windows code page 1252, of which Latin-1 text is a part.
    Cp1252,
}

impl Encoding {
    /// The encoding of that name; `utf-16` without a mark is read least byte first.
    pub fn named(name: &str) -> Option<Encoding> {
        let plain: String = name
            .chars()
            .filter(|c| c.is_ascii_alphanumeric())
            .map(|c| c.to_ascii_lowercase())
            .collect();
        match plain.as_str() {
            "utf8" | "utf8sig" | "ascii" => Some(Encoding::Utf8),
            "utf16" | "utf16le" => Some(Encoding::Utf16Le),
            "utf16be" => Some(Encoding::Utf16Be),
            "cp1252" | "windows1252" | "latin1" | "iso88591" => Some(Encoding::Cp1252),
            _ => None,
        }
    }

    /// Its name in a [`crate::schema::Dialect`].
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf16Le => "utf-16le",
            Encoding::Utf16Be => "utf-16be",
            Encoding::Cp1252 => "cp1252",
        }
    }

    /// The encoding the first bytes of an input speak for. A byte order mark decides; then the
    /// zero bytes of UTF-16; then whether the high bytes could be UTF-8.
    pub fn of(head: &[u8]) -> Encoding {
        match head {
            [0xFF, 0xFE, ..] => Encoding::Utf16Le,
            [0xFE, 0xFF, ..] => Encoding::Utf16Be,
            [0xEF, 0xBB, 0xBF, ..] => Encoding::Utf8,
            _ => unmarked(head),
        }
    }

    fn decoder(self) -> Option<Decoder> {
        match self {
            Encoding::Utf8 => None,
            Encoding::Utf16Le => Some(UTF_16LE.new_decoder_with_bom_removal()),
            Encoding::Utf16Be => Some(UTF_16BE.new_decoder_with_bom_removal()),
            Encoding::Cp1252 => Some(WINDOWS_1252.new_decoder_without_bom_handling()),
        }
    }
}

fn unmarked(head: &[u8]) -> Encoding {
    let start = head.get(..1024).unwrap_or(head);
    let pairs = start.len() / 2;
    let zeros = |at: usize| {
        start
            .iter()
            .skip(at)
            .step_by(2)
            .filter(|b| **b == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    if pairs >= 2 && even == 0 && odd * 10 >= pairs * 9 {
        return Encoding::Utf16Le;
    }
    if pairs >= 2 && odd == 0 && even * 10 >= pairs * 9 {
        return Encoding::Utf16Be;
    }
    if looks_like_cp1252(head) {
        return Encoding::Cp1252;
    }
    Encoding::Utf8
}

/// High bytes there are, and not one of them is part of a UTF-8 character. A file with both
/// good and broken characters stays UTF-8: its broken records are rejects.
fn looks_like_cp1252(head: &[u8]) -> bool {
    if std::str::from_utf8(head).is_ok() {
        return false;
    }
    let mut broken = false;
    for chunk in head.utf8_chunks() {
        if !chunk.valid().is_ascii() {
            return false;
        }
        // A character cut by the end of the head proves nothing.
        broken |= !chunk.invalid().is_empty();
    }
    broken && !only_cut_at_end(head)
}

fn only_cut_at_end(head: &[u8]) -> bool {
    match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    }
}

/// Reads `raw` as UTF-8; broken UTF-16 becomes the replacement character.
pub(super) struct Transcode<R> {
    raw: R,
    decoder: Decoder,
    input: Vec<u8>,
    from: usize,
    ended: bool,
    output: Vec<u8>,
    given: usize,
}

const BLOCK: usize = 256 * 1024;

/// `raw` in UTF-8; as it is where it already is.
pub(super) fn transcode(raw: Box<dyn Read + Send>, encoding: Encoding) -> Box<dyn Read + Send> {
    match encoding.decoder() {
        None => raw,
        Some(decoder) => Box::new(Transcode {
            raw,
            decoder,
            input: Vec::new(),
            from: 0,
            ended: false,
            output: Vec::new(),
            given: 0,
        }),
    }
}

impl<R: Read> Transcode<R> {
    /// Decodes the next block into `output`; leaves it empty at the end.
    fn fill(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() {
            if self.from == self.input.len() && !self.ended {
                self.more()?;
            }
            self.output.resize(BLOCK * 3, 0);
            let rest = self.input.get(self.from..).unwrap_or_default();
            let (result, read, written, _) =
                self.decoder
                    .decode_to_utf8(rest, &mut self.output, self.ended);
            self.from += read;
            self.output.truncate(written);
            if self.ended && result == encoding_rs::CoderResult::InputEmpty {
                return Ok(());
            }
        }
        Ok(())
    }

    fn more(&mut self) -> io::Result<()> {
        self.input.resize(BLOCK, 0);
        self.from = 0;
        let n = self.raw.read(&mut self.input)?;
        self.input.truncate(n);
        self.ended = n == 0;
        Ok(())
    }
}

impl<R: Read> Read for Transcode<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() && !(self.ended && self.from == self.input.len()) {
            self.fill()?;
        }
        let rest = self.output.get(self.given..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.given += n;
        Ok(n)
    }
}
