//! Narrow: where the first fields of each record end, where the others are not asked for.
//!
//! The marks behind the last field that is read need no place, but they are counted: a line with a
//! field too many or too few is seen. In: a block without quotes and comments. Out: for each line the
//! mark before it and the ends of its first fields. Whatever is not so regular is left to `split`.
//!
//! Two passes. The first gives the places of line ends, and how many delimiters stand before each: of
//! line n these are n times those of a record. The second looks at the first 64 bytes of each line, where
//! the first fields mostly end as far from its start as those of the line before.

use super::scan::{BEFORE, Cut, Kernel, Masks, Portable};

/// Most fields that are placed; more are left to the full marks.
const MOST: usize = 8;

/// Memory of the passes, used again for the next block.
#[derive(Debug, Default)]
pub(crate) struct Narrow {
    /// [`BEFORE`], then the line ends (low half) with the delimiters before them (high half).
    lines: Vec<u64>,
}

/// Records of `width` fields of which the first `keep` are placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub width: usize,
    pub keep: usize,
}

impl Shape {
    /// Whether it is worth a pass of its own.
    pub(crate) fn fits(self) -> bool {
        (1..=MOST).contains(&self.keep) && self.keep + 1 < self.width
    }
}

/// Writes for each whole line of `bytes` the mark before it and the ends of its first `keep` fields to `out`, then
/// the last line end; gives the number of lines. `None`: some line has other than `width` fields, or it cannot be told.
pub(crate) fn place(
    bytes: &[u8],
    cut: &Cut,
    shape: Shape,
    narrow: &mut Narrow,
    out: &mut Vec<u32>,
) -> Option<usize> {
    let most = bytes.len() / shape.width + 66;
    if narrow.lines.len() < most {
        narrow.lines.resize(most, 0);
    }
    let placed = super::wide::place(bytes, cut, shape, narrow, out);
    placed.unwrap_or_else(|| run::<Portable>(bytes, cut, shape, narrow, out))
}

/// Both passes with the instructions of `K`.
#[inline(always)]
pub(super) fn run<K: Kernel>(
    bytes: &[u8],
    cut: &Cut,
    shape: Shape,
    narrow: &mut Narrow,
    out: &mut Vec<u32>,
) -> Option<usize> {
    let all = line_ends::<K>(bytes, cut, &mut narrow.lines)?;
    let lines = narrow.lines.get(..=all)?;
    let places = all * (shape.keep + 1) + 1;
    if out.len() < places {
        out.resize(places, 0);
    }
    let (last, out) = out.get_mut(..places)?.split_last_mut()?;
    *last = *lines.last()? as u32;
    let fine = counted(lines, shape.width as u64 - 1)
        && match shape.keep {
            1 => first_ends::<K, 1>(bytes, cut, lines, out),
            2 => first_ends::<K, 2>(bytes, cut, lines, out),
            3 => first_ends::<K, 3>(bytes, cut, lines, out),
            4 => first_ends::<K, 4>(bytes, cut, lines, out),
            5 => first_ends::<K, 5>(bytes, cut, lines, out),
            6 => first_ends::<K, 6>(bytes, cut, lines, out),
            7 => first_ends::<K, 7>(bytes, cut, lines, out),
            MOST => first_ends::<K, MOST>(bytes, cut, lines, out),
            _ => false,
        };
    fine.then_some(all)
}

/// The first pass; the number of line ends, not none. `None`: a quote was met, or lines are too short.
#[inline(always)]
fn line_ends<K: Kernel>(bytes: &[u8], cut: &Cut, lines: &mut [u64]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<64>();
    *lines.first_mut()? = u64::from(BEFORE);
    let mut seen = Seen {
        lines: 1,
        delimiters: 0,
        offset: 0,
    };
    for block in blocks {
        let m = K::masks(block, cut);
        if m.quote != 0 {
            return None;
        }
        seen.write(m, lines.get_mut(seen.lines..)?.first_chunk_mut()?);
    }
    // What pads the last block is cut off its masks.
    let m = masks_of::<K>(rest, cut);
    if m.quote != 0 {
        return None;
    }
    seen.write(m, lines.get_mut(seen.lines..)?.first_chunk_mut()?);
    (seen.lines > 1).then_some(seen.lines - 1)
}

/// The masks of fewer than 64 bytes.
#[inline(always)]
fn masks_of<K: Kernel>(text: &[u8], cut: &Cut) -> Masks {
    let mut padded = [0; 64];
    padded[..text.len()].copy_from_slice(text);
    K::masks(&padded, cut).and((1 << text.len()) - 1)
}

/// What the first pass has seen.
struct Seen {
    lines: usize,
    delimiters: u64,
    offset: u64,
}

impl Seen {
    /// Writes the line ends of the next block.
    #[inline(always)]
    fn write(&mut self, m: Masks, places: &mut [u64; 64]) {
        let mut bits = m.newline;
        // Most blocks hold one, and that takes no branch.
        places[0] = self.place(m, bits);
        bits &= bits.wrapping_sub(1);
        let mut n = 1;
        while bits != 0 {
            places[n % 64] = self.place(m, bits);
            bits &= bits - 1;
            n += 1;
        }
        self.lines += m.newline.count_ones() as usize;
        self.delimiters += u64::from(m.delimiter.count_ones());
        self.offset += 64;
    }

    /// The place of the lowest of `bits`, and the delimiters before it.
    #[inline(always)]
    fn place(&self, m: Masks, bits: u64) -> u64 {
        let below = m.delimiter & (bits ^ bits.wrapping_sub(1));
        let before = self.delimiters + u64::from(below.count_ones());
        (self.offset + u64::from(bits.trailing_zeros())) | before << 32
    }
}

/// Whether each line has `each` delimiters.
#[inline(always)]
fn counted(lines: &[u64], each: u64) -> bool {
    let (mut wrong, mut want) = (0, 0);
    for line in lines.get(1..).unwrap_or_default() {
        want += each;
        wrong |= (line >> 32) ^ want;
    }
    wrong == 0
}

/// The second pass: the ends of `KEEP` fields; false if they are farther than 64 bytes from their line's start.
#[inline(always)]
fn first_ends<K: Kernel, const KEEP: usize>(
    bytes: &[u8],
    cut: &Cut,
    lines: &[u64],
    out: &mut [u32],
) -> bool {
    // Bits of the ends in the line before, and all bits up to the last of them.
    let (mut ends, mut upto) = (1, 0);
    let mut places = [0u32; MOST + 1];
    for (row, line) in out.chunks_exact_mut(KEEP + 1).zip(lines) {
        let before = *line as u32;
        let start = before.wrapping_add(1) as usize;
        let text: Option<&[u8; 64]> = bytes.get(start..start + 64).and_then(|t| t.try_into().ok());
        let m = match text {
            Some(text) => K::masks(text, cut),
            None => masks_of::<K>(bytes.get(start..).unwrap_or_default(), cut),
        };
        if m.delimiter & upto != ends {
            let mut bits = m.delimiter;
            for place in &mut places[1..=KEEP] {
                if bits == 0 {
                    return false;
                }
                *place = bits.trailing_zeros() + 1;
                bits &= bits - 1;
            }
            upto = u64::MAX >> (64 - places[KEEP]);
            ends = m.delimiter & upto;
        }
        for (place, apart) in row.iter_mut().zip(&places) {
            *place = before.wrapping_add(*apart);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::scan::mark;
    use super::*;
    use proptest::prelude::*;

    const CUT: Cut = Cut {
        delimiter: b';',
        newline: b'\n',
        quote: Some(b'"'),
        comment: None,
    };

    /// The same from all marks; `None` where some line has other than `width` fields or holds a quote.
    fn slow(text: &[u8], shape: Shape) -> Option<Vec<u32>> {
        let mut marks = Vec::new();
        let found = mark(text, &CUT, &mut marks);
        let marks = &marks[1..=found.marks];
        let end = marks.iter().rposition(|at| text[*at as usize] == b'\n')?;
        let (mut out, mut before) = (Vec::new(), BEFORE);
        for line in marks[..=end].split_inclusive(|at| text[*at as usize] == b'\n') {
            let near = line.get(shape.keep - 1)?.wrapping_sub(before) <= 64;
            if line.len() != shape.width || !near {
                return None;
            }
            out.push(before);
            out.extend(&line[..shape.keep]);
            before = line[line.len() - 1];
        }
        out.push(before);
        (!found.quoted).then_some(out)
    }

    fn agree(text: &[u8], shape: Shape) -> bool {
        let (mut narrow, mut out) = (Narrow::default(), Vec::new());
        let want = slow(text, shape);
        let lines = want.as_ref().map(|w| (w.len() - 1) / (shape.keep + 1));
        for portable in [false, true] {
            let found = place(text, &CUT, shape, &mut narrow, &mut out);
            let found = match portable {
                true => run::<Portable>(text, &CUT, shape, &mut narrow, &mut out),
                false => found,
            };
            assert_eq!(found, lines, "{:?}", String::from_utf8_lossy(text));
            if let Some(want) = &want {
                assert_eq!(&out[..want.len()], &want[..]);
            }
        }
        want.is_some()
    }

    #[test]
    fn a_line_with_a_field_too_many_or_too_few_is_seen() {
        let shape = Shape { width: 4, keep: 2 };
        let line = "16/12/2006;17:24:00;4.216;0.418\n";
        assert!(agree(line.repeat(40).as_bytes(), shape));
        for odd in [
            "a;b;c\n",
            "a;b;c;d;e\n",
            "\n",
            "a;b;c\na;b;c;d;e\n",
            "a;\"b\";c;d\n",
        ] {
            for at in [0, 1, 7, 39] {
                let text = [&line.repeat(at), odd, &line.repeat(40 - at)].concat();
                assert!(!agree(text.as_bytes(), shape), "{odd:?}");
            }
        }
        assert!(!agree(b"a;b;c;d", shape));
        assert!(!agree(
            ["x".repeat(70).as_str(), ";b;c;d\n"].concat().as_bytes(),
            shape
        ));
    }

    proptest! {
        #[test]
        fn places_are_those_of_all_marks(
            lines in prop::collection::vec("[a-c]{0,9};[a-c]{0,30};[a-c]{0,3};[a-c]{0,40};[a-c\r]{0,2}\n", 1..40),
            odd in "[a;\n\"]{0,4}", at in 0..80usize, keep in 1..4usize
        ) {
            let mut lines = lines;
            if let Some(line) = lines.get_mut(at) {
                line.push_str(&odd);
            }
            let text = lines.concat() + "a;b";
            agree(text.as_bytes(), Shape { width: 5, keep });
        }
    }
}
