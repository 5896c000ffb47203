//! Rows: a block cut into rows, and where each field of them lies.

use super::plan::CsvPlan;
use super::split::{Cutter, unquote};
use super::wide;
use std::borrow::Cow;

/// A block cut into rows.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub bytes: &'a [u8],
    ends: &'a [u32],
    stride: usize,
    pub count: usize,
    /// Fields that have a place; the last is the rest of the line where not all were asked for.
    pub width: usize,
    /// The quote, if one is in the block.
    pub quote: Option<u8>,
    /// Quoting is well formed throughout.
    pub clean: bool,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(bytes: &'a [u8], cutter: &'a Cutter, plan: &CsvPlan) -> Self {
        Rows {
            bytes,
            ends: &cutter.ends,
            stride: cutter.stride,
            count: cutter.rows,
            width: cutter.fields,
            quote: plan.cut.quote.filter(|_| cutter.quoted),
            clean: cutter.clean,
        }
    }

    /// Where field `f` of row `r` lies, the CR of a line end cut off.
    #[inline(always)]
    pub(crate) fn raw<const LAST: bool>(&self, r: usize, f: usize) -> (usize, usize) {
        let at = r * self.stride + f;
        let start = self.ends[at].wrapping_add(1) as usize;
        let end = self.ends[at + 1] as usize;
        let cr = LAST && end > start && self.bytes[end - 1] == b'\r';
        (start, end - cr as usize)
    }

    /// The same without the quotes around it.
    #[inline(always)]
    pub(crate) fn bare<const LAST: bool, const QUOTED: bool>(
        &self,
        r: usize,
        f: usize,
    ) -> (usize, usize) {
        let (start, end) = self.raw::<LAST>(r, f);
        if QUOTED && end > start + 1 {
            let q = self.quote.unwrap_or(0);
            let off = (self.bytes[start] == q && self.bytes[end - 1] == q) as usize;
            return (start + off, end - off);
        }
        (start, end)
    }

    /// The column for the wide loops, unless it seems to be quoted: to them a quoted field is one
    /// that is not simple.
    pub(crate) fn wide(&self, field: usize) -> Option<wide::Column<'a>> {
        let fits = match self.quote {
            None => true,
            Some(q @ (b'"' | b'\'')) => {
                self.count > 0 && self.bytes.get(self.raw::<false>(0, field).0) != Some(&q)
            }
            Some(_) => false,
        };
        fits.then_some(wide::Column {
            bytes: self.bytes,
            ends: self.ends,
            stride: self.stride,
            rows: self.count,
            field,
            last: field + 1 == self.width,
        })
    }

    /// The text of a field.
    pub(crate) fn text(&self, r: usize, f: usize) -> Cow<'a, [u8]> {
        let (start, end) = if f + 1 == self.width {
            self.raw::<true>(r, f)
        } else {
            self.raw::<false>(r, f)
        };
        let raw = self.bytes.get(start..end).unwrap_or_default();
        match self.quote {
            Some(q) if raw.first() == Some(&q) => Cow::Owned(unquote(raw, q)),
            _ => Cow::Borrowed(raw),
        }
    }

    /// Bytes of all texts of a field, quotes and line ends counted.
    pub(crate) fn length(&self, f: usize) -> usize {
        let ends = |r: usize| {
            (
                self.ends[r * self.stride + f],
                self.ends[r * self.stride + f + 1],
            )
        };
        let length = |(start, end): (u32, u32)| end.wrapping_sub(start).wrapping_sub(1) as usize;
        (0..self.count).map(ends).map(length).sum()
    }

    /// Bytes of a row without its line end.
    pub(crate) fn line(&self, r: usize) -> (usize, usize) {
        let start = self.raw::<false>(r, 0).0;
        (start, self.raw::<true>(r, self.width - 1).1)
    }
}

/// Runs `$body` with `$span(row)` giving the bare place of `$field`, compiled for each case.
macro_rules! by_span {
    ($rows:expr, $field:expr, $span:ident => $body:expr) => {{
        let (rows, field): (Rows<'_>, usize) = ($rows, $field);
        match (field + 1 == rows.width, rows.quote.is_some()) {
            (false, false) => {
                let $span = |r: usize| rows.bare::<false, false>(r, field);
                $body
            }
            (true, false) => {
                let $span = |r: usize| rows.bare::<true, false>(r, field);
                $body
            }
            (false, true) => {
                let $span = |r: usize| rows.bare::<false, true>(r, field);
                $body
            }
            (true, true) => {
                let $span = |r: usize| rows.bare::<true, true>(r, field);
                $body
            }
        }
    }};
}

pub(crate) use by_span;
