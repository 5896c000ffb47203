//! Settle: takes decoded pieces in file order, makes sure that each began where the one before
//! ended, and gives their records lines and row numbers.

use super::local::Ordered;
use super::piece::{self, Decoded, Job, Scratch, place, too_many};
use super::text::{Text, closing};
use super::{Chunk, Start};
use crate::error::Place;
use crate::ledger::Ledger;
use crate::reject::{OnReject, Reject};
use crate::schema::RowIds;
use crate::{Error, Kind, Result};

/// A piece decoded from a presumed start.
pub(crate) struct Piece {
    pub text: Text,
    /// Where decoding began.
    pub from: u64,
    /// Records from here on belong to the next piece.
    pub until: u64,
    pub decoded: Result<Decoded>,
}

/// Where the settled part of a file ends.
pub(crate) struct Front {
    at: Start,
    /// What stands before the first record, counted with the first chunk.
    opening: Option<Ledger>,
    /// Bytes of a record that the piece before could not end (streams).
    rest: Vec<u8>,
    rejected: u64,
    /// Times that depend on the rows before them.
    pub ordered: Option<Ordered>,
}

impl Front {
    /// Begins at `at`, behind what `opening` counts.
    pub(crate) fn new(at: Start, opening: Ledger, ordered: Option<Ordered>) -> Self {
        Front {
            at,
            opening: Some(opening),
            rest: Vec::new(),
            rejected: 0,
            ordered,
        }
    }

    /// The chunk of the next piece.
    pub(crate) fn settle(
        &mut self,
        job: &Job,
        piece: Piece,
        scratch: &mut Scratch,
    ) -> Result<Chunk> {
        let (decoded, text) = self.verified(job, piece, scratch);
        let decoded = decoded?;
        self.keep_rest(&text, decoded.end);
        self.chunk(job, decoded)
    }

    /// The piece's records from the right start: decoded again if the presumed one was wrong.
    fn verified(
        &mut self,
        job: &Job,
        piece: Piece,
        scratch: &mut Scratch,
    ) -> (Result<Decoded>, Text) {
        if piece.from == self.at.byte && self.rest.is_empty() {
            return (piece.decoded, piece.text);
        }
        let text = self.joined(job, piece.text);
        scratch.buffer.reset();
        let decoded = piece::decode(job, &text, self.at.byte, piece.until, scratch);
        (decoded, text)
    }

    /// A stream's piece with the unended record of the one before in front of it.
    fn joined(&mut self, job: &Job, text: Text) -> Text {
        match text {
            Text::Memory {
                bytes,
                base,
                len,
                last,
            } if !self.rest.is_empty() => {
                let before = self.rest.len();
                let mut joined = std::mem::take(&mut self.rest);
                joined.extend_from_slice(&bytes);
                if bytes.is_empty() && last {
                    joined.extend(closing(&job.options, job.plan.cut.newline));
                }
                Text::Memory {
                    bytes: joined,
                    base: base - before as u64,
                    len: len + before,
                    last,
                }
            }
            other => other,
        }
    }

    /// Keeps the bytes of a stream's piece from `end` on.
    fn keep_rest(&mut self, text: &Text, end: u64) {
        if let Text::Memory {
            bytes, base, len, ..
        } = text
        {
            let used = (end.saturating_sub(*base) as usize).min(*len);
            self.rest = bytes[used..*len].to_vec();
        }
    }

    fn chunk(&mut self, job: &Job, mut decoded: Decoded) -> Result<Chunk> {
        let first = self.at;
        place(&mut decoded, first);
        let rows = rows(&decoded, first.row);
        let mut counters = decoded.counters;
        self.at = Start {
            byte: decoded.end,
            line: first.line + counters.lines,
            row: first.row + counters.records + decoded.passed,
        };
        self.rejected += counters.rejected;
        self.judge(job, &decoded.rejects, decoded.ambiguous)?;
        let batch = match &mut self.ordered {
            Some(ordered) => ordered.settle(decoded.batch)?,
            None => decoded.batch,
        };
        let batch = job.plan.started(batch)?;
        let mut start = first;
        if let Some(opening) = self.opening.take() {
            start.byte -= opening.bytes;
            start.line -= opening.lines;
            counters.add(&opening);
        }
        Ok(Chunk {
            batch,
            rows,
            rejects: decoded.rejects,
            counters,
            start,
            end: self.at,
        })
    }

    fn judge(&self, job: &Job, rejects: &[Reject], ambiguous: bool) -> Result<()> {
        if self.rejected == 0 {
            return Ok(());
        }
        match (job.options.on_reject, rejects.first()) {
            (OnReject::Raise, Some(first)) => Err(refused(first, ambiguous)),
            _ if self.rejected > job.options.max_rejects => {
                Err(too_many(&job.name, job.options.max_rejects))
            }
            _ => Ok(()),
        }
    }
}

/// The error of the first record that cannot be read.
fn refused(reject: &Reject, ambiguous: bool) -> Error {
    let column = match reject.column.as_str() {
        "" => String::new(),
        name => format!(", column `{name}`"),
    };
    let kind = match ambiguous && reject.reason.starts_with("the clock") {
        true => Kind::AmbiguousZone,
        false => Kind::RejectLimit,
    };
    let place = Place {
        file: Some(reject.file.as_ref().into()),
        line: Some(reject.line),
        byte: Some(reject.byte),
        column: (!reject.column.is_empty()).then(|| reject.column.clone()),
        message: None,
    };
    Error::new(
        kind,
        format!(
            "`{}`, line {}{column}: {}; mend the file, or read with on_reject = collect or skip",
            reject.file, reject.line, reject.reason
        ),
    )
    .at(place)
}

/// Row numbers of the accepted records.
fn rows(decoded: &Decoded, first: u64) -> RowIds {
    if decoded.rejected.is_empty() && decoded.of.is_none() {
        return RowIds::Dense(first);
    }
    let mut rejected = decoded.rejected.iter().copied().peekable();
    let numbered = 0..decoded.counters.records + decoded.passed;
    let accepted = numbered.filter(|row| rejected.next_if_eq(row).is_none());
    let accepted = accepted.map(|row| first + row);
    RowIds::Listed(match &decoded.of {
        None => accepted.collect(),
        Some(of) => {
            let records: Vec<u64> = accepted.collect();
            of.iter()
                .filter_map(|i| records.get(*i as usize).copied())
                .collect()
        }
    })
}
