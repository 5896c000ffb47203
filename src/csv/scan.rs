//! Scan: where the fields of a block of text end.
//!
//! In: bytes that begin at a record start. Out: the positions of the delimiters and line ends
//! that are not inside quotes, in order. 64 bytes at a time become bit masks; a running
//! exclusive-or over the quotes tells inside from outside.
//!
//! The masks hold for well-formed quoting only: a quote opens at a field's start, closes at its
//! end, and is doubled inside. Anything else clears `clean`, and the caller walks the block byte
//! by byte (`split::walk`).
//!
//! `wide` has the masks by vector instructions; the portable ones below are for other machines,
//! and the two are checked against each other.

/// The bytes that cut a text into records and fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Ends a field.
    pub delimiter: u8,
    /// Ends a record: LF, or CR in files that have no LF.
    pub newline: u8,
    /// Quotes a field.
    pub quote: Option<u8>,
    /// Begins a comment line.
    pub comment: Option<u8>,
}

/// What a scan found beside the positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Positions written behind the leading sentinel.
    pub marks: usize,
    /// Line ends among them.
    pub records: usize,
    /// Quoting is well formed throughout.
    pub clean: bool,
    /// A line end stands inside quotes.
    pub continued: bool,
    /// A quote was met.
    pub quoted: bool,
}

/// The position before the first byte: a field starts one past the mark before it.
pub(crate) const BEFORE: u32 = u32::MAX;

/// Bit masks of 64 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Masks {
    pub delimiter: u64,
    pub newline: u64,
    pub quote: u64,
    pub cr: u64,
}

/// One way to get the masks.
pub(super) trait Kernel {
    fn masks(block: &[u8; 64], cut: &Cut) -> Masks;

    /// Writes the positions of the set bits, plus `offset`, to the front of `dst`; behind them
    /// anything may be written.
    #[inline(always)]
    fn positions(mut bits: u64, offset: u32, dst: &mut [u32; 64]) {
        // Eight at a time, so that the common counts take no branch that can be guessed wrong.
        for group in dst.chunks_exact_mut(8) {
            for slot in group {
                *slot = offset.wrapping_add(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
    }

    /// Bit i is the exclusive-or of bits 0 to i.
    #[inline(always)]
    fn prefix_xor(mut x: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            x ^= x << shift;
        }
        x
    }
}

/// Marks `bytes` into `out`: first [`BEFORE`], then one position per delimiter and line end.
pub(crate) fn mark(bytes: &[u8], cut: &Cut, out: &mut Vec<u32>) -> Found {
    if out.len() < bytes.len() + 66 {
        out.resize(bytes.len() + 66, 0);
    }
    out[0] = BEFORE;
    match super::wide::mark(bytes, cut, out) {
        Some(found) => found,
        None => run::<Portable>(bytes, cut, out),
    }
}

#[inline(always)]
pub(super) fn run<K: Kernel>(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Found {
    // Most blocks hold no quote: that is seen by the way.
    match plain::<K>(bytes, cut, out) {
        Some(found) => found,
        None => quoted::<K>(bytes, cut, out),
    }
}

/// The masks of block `i`; the last block is padded, and cut off.
///
/// Called in plain loops: a closure would be compiled without the wide instructions.
#[inline(always)]
pub(super) fn block<K: Kernel>(bytes: &[u8], i: usize, cut: &Cut) -> Masks {
    let rest = &bytes[i * 64..];
    if let Some(block) = rest.first_chunk() {
        return K::masks(block, cut);
    }
    let mut block = [0u8; 64];
    block[..rest.len()].copy_from_slice(rest);
    K::masks(&block, cut).and((1u64 << rest.len()) - 1)
}

/// Marks text without quotes; `None`: a quote was met.
#[inline(always)]
fn plain<K: Kernel>(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Option<Found> {
    let (mut n, mut records) = (1, 0);
    for i in 0..bytes.len().div_ceil(64) {
        let m = block::<K>(bytes, i, cut);
        if m.quote != 0 {
            return None;
        }
        records += m.newline.count_ones() as usize;
        n = write::<K>(out, n, m.delimiter | m.newline, i as u32 * 64);
    }
    Some(Found {
        marks: n - 1,
        records,
        clean: true,
        continued: false,
        quoted: false,
    })
}

/// What one 64-byte step hands to the next.
struct Carry {
    /// All ones while inside quotes.
    inside: u64,
    /// The byte before was a mark (or the beginning).
    mark: u64,
    /// The byte before closed a quote.
    closed: u64,
    /// The byte before was a CR behind a closing quote.
    cr: u64,
}

#[inline(always)]
fn quoted<K: Kernel>(bytes: &[u8], cut: &Cut, out: &mut [u32]) -> Found {
    let (mut n, mut records, mut wrong, mut continued) = (1, 0, 0u64, 0u64);
    let mut carry = Carry {
        inside: 0,
        mark: 1,
        closed: 0,
        cr: 0,
    };
    for i in 0..bytes.len().div_ceil(64) {
        let m = block::<K>(bytes, i, cut);
        let inside = K::prefix_xor(m.quote) ^ carry.inside;
        let marks = (m.delimiter | m.newline) & !inside;
        wrong |= malformed(&m, inside, marks, &mut carry);
        continued |= m.newline & inside;
        records += (m.newline & !inside).count_ones() as usize;
        n = write::<K>(out, n, marks, i as u32 * 64);
    }
    Found {
        marks: n - 1,
        records,
        clean: wrong == 0,
        continued: continued != 0,
        quoted: true,
    }
}

/// Bits where a quote opens or closes in the wrong place; moves `carry` on.
#[inline(always)]
fn malformed(m: &Masks, inside: u64, marks: u64, carry: &mut Carry) -> u64 {
    let opening = m.quote & inside;
    let closing = m.quote & !inside;
    let after_mark = (marks << 1) | carry.mark;
    let after_close = (closing << 1) | carry.closed;
    let cr = m.cr & after_close;
    let after_cr = (cr << 1) | carry.cr;
    carry.inside = ((inside as i64) >> 63) as u64;
    carry.mark = marks >> 63;
    carry.closed = closing >> 63;
    carry.cr = cr >> 63;
    (opening & !(after_mark | after_close))
        | (after_close & !(marks | opening | m.cr))
        | (after_cr & !(m.newline & !inside))
}

/// Writes the positions of the set bits at `out[n..]`; returns where the next go.
#[inline(always)]
fn write<K: Kernel>(out: &mut [u32], n: usize, bits: u64, offset: u32) -> usize {
    if let Some(dst) = out.get_mut(n..).and_then(|o| o.first_chunk_mut()) {
        K::positions(bits, offset, dst);
    }
    n + bits.count_ones() as usize
}

impl Masks {
    #[inline(always)]
    pub(super) fn and(self, keep: u64) -> Masks {
        Masks {
            delimiter: self.delimiter & keep,
            newline: self.newline & keep,
            quote: self.quote & keep,
            cr: self.cr & keep,
        }
    }
}

/// Masks with plain integer code.
pub(super) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn masks(block: &[u8; 64], cut: &Cut) -> Masks {
        let quote = cut.quote;
        Masks {
            delimiter: equal(block, cut.delimiter),
            newline: equal(block, cut.newline),
            quote: quote.map_or(0, |q| equal(block, q)),
            cr: quote.map_or(0, |_| equal(block, b'\r')),
        }
    }
}

/// Bit i is set where `block[i] == byte`.
fn equal(block: &[u8; 64], byte: u8) -> u64 {
    let mut bits = 0;
    let pattern = u64::from_ne_bytes([byte; 8]);
    for (i, word) in block.as_chunks::<8>().0.iter().enumerate() {
        let x = u64::from_le_bytes(*word) ^ pattern;
        let low = 0x7f7f_7f7f_7f7f_7f7fu64;
        let zero = !(((x & low) + low) | x | low);
        bits |= (((zero >> 7).wrapping_mul(0x0102_0408_1020_4080)) >> 56) << (8 * i);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(quote: Option<u8>) -> Cut {
        Cut {
            delimiter: b';',
            newline: b'\n',
            quote,
            comment: None,
        }
    }

    fn marks(text: &[u8], cut: &Cut) -> (Vec<u32>, Found) {
        let mut out = Vec::new();
        let found = mark(text, cut, &mut out);
        (out[1..=found.marks].to_vec(), found)
    }

    #[test]
    fn quotes_hide_marks() {
        let text = b"a;\"x;\ny\";b\r\n\"p\"\"q\";c\n";
        let (at, found) = marks(text, &cut(Some(b'"')));
        assert_eq!(at, [1, 8, 11, 18, 20]);
        assert!(found.clean && found.continued);
        assert_eq!(found.records, 2);
    }

    #[test]
    fn wrong_quotes_are_noticed() {
        for text in ["a\"b;c\n", "\"a\"b;c\n", "\"a\"\rb\n", " \"a\";b\n"] {
            assert!(!marks(text.as_bytes(), &cut(Some(b'"'))).1.clean, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_kernel_marks_the_same(text in "[ab;\n\r\"]{0,300}", quote in any::<bool>()) {
            let cut = cut(quote.then_some(b'"'));
            let (at, found) = marks(text.as_bytes(), &cut);
            let mut out = vec![0; text.len() + 66];
            let slow = run::<Portable>(text.as_bytes(), &cut, &mut out);
            prop_assert_eq!(found, slow);
            prop_assert_eq!(&at[..], &out[1..=slow.marks]);
            if !quote {
                let plain: Vec<u32> = text.bytes().enumerate()
                    .filter(|(_, b)| *b == b';' || *b == b'\n').map(|(i, _)| i as u32).collect();
                prop_assert_eq!(at, plain);
            }
        }
    }
}
