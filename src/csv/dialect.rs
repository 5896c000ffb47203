//! How a text is cut into fields: records of a sample, and the dialect they speak for.
//!
//! This is the slow and careful reader of samples; files are read by `scan`. Both cut alike:
//! a quote is special only at the start of a field, a doubled quote inside is one quote.

use std::borrow::Cow;

/// Delimiters looked for, the likeliest first where all else is equal: a comma may be a
/// decimal mark, so it comes last.
pub(super) const DELIMITERS: [u8; 4] = [b';', b'\t', b'|', b','];

/// Records that a proposal of a dialect looks at.
const LOOK: usize = 200;

/// Lines that can stand before a header.
const MOST_PREAMBLE: usize = 50;

/// One record of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record<'a> {
    /// The fields, without their quotes.
    pub fields: Vec<Cow<'a, [u8]>>,
    /// How many of them were quoted.
    pub quoted: usize,
    /// Lines it spans.
    pub lines: usize,
    /// Whether a line end closed it: the last record of a sample may be cut.
    pub closed: bool,
}

impl Record<'_> {
    /// Whether nothing stands on the line.
    pub fn blank(&self) -> bool {
        matches!(self.fields.as_slice(), [only] if only.is_empty()) && self.quoted == 0
    }
}

/// The records of `text`, one after the other.
pub(super) struct Records<'a> {
    text: &'a [u8],
    at: usize,
    delimiter: u8,
    quote: Option<u8>,
    newline: u8,
    /// Fields of the record before, to make room for as many.
    width: usize,
}

impl<'a> Records<'a> {
    /// Cuts `text` at `delimiter`, with `quote` around fields that hold it.
    pub fn new(text: &'a [u8], delimiter: u8, quote: Option<u8>) -> Self {
        Records {
            text,
            at: 0,
            delimiter,
            quote,
            newline: line_end(text),
            width: 0,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The text up to the next delimiter or line end.
    fn plain(&mut self) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = memchr::memchr2(self.delimiter, self.newline, rest).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// A field whose opening quote has been passed, and the line ends in it.
    fn quoted(&mut self, quote: u8) -> (Cow<'a, [u8]>, usize) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(quote, rest).unwrap_or(rest.len());
        let ends = |byte: &u8| [self.delimiter, self.newline].contains(byte);
        if rest.get(end + 1).is_some_and(ends) {
            let field = rest.get(..end).unwrap_or_default();
            self.at += end + 1;
            let lines = memchr::memchr_iter(self.newline, field).count();
            return (Cow::Borrowed(field), lines);
        }
        let (field, lines) = self.unescaped(quote);
        (Cow::Owned(field), lines)
    }

    /// The same where quotes stand in the field, or text behind it.
    fn unescaped(&mut self, quote: u8) -> (Vec<u8>, usize) {
        let mut field = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let end = memchr::memchr(quote, rest).unwrap_or(rest.len());
            field.extend_from_slice(rest.get(..end).unwrap_or_default());
            self.at = (self.at + end + 1).min(self.text.len());
            if end == rest.len() || self.peek() != Some(quote) {
                break;
            }
            field.push(quote);
            self.at += 1;
        }
        let lines = memchr::memchr_iter(self.newline, &field).count();
        field.extend_from_slice(self.plain());
        (field, lines)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.peek()?;
        let mut record = Record {
            fields: Vec::with_capacity(self.width),
            quoted: 0,
            lines: 1,
            closed: false,
        };
        loop {
            let field = match self.quote {
                Some(quote) if self.peek() == Some(quote) => {
                    self.at += 1;
                    record.quoted += 1;
                    let (field, lines) = self.quoted(quote);
                    record.lines += lines;
                    field
                }
                _ => Cow::Borrowed(self.plain()),
            };
            record.fields.push(field);
            self.width = self.width.max(record.fields.len());
            match self.peek() {
                Some(byte) if byte == self.newline => {
                    self.at += 1;
                    record.closed = true;
                    trim_return(&mut record);
                    return Some(record);
                }
                None => {
                    trim_return(&mut record);
                    return Some(record);
                }
                Some(_) => self.at += 1,
            }
        }
    }
}

/// The byte that ends lines: LF, or CR where there is no LF.
fn line_end(text: &[u8]) -> u8 {
    let lf = memchr::memchr(b'\n', text).is_some();
    if !lf && memchr::memchr(b'\r', text).is_some() {
        b'\r'
    } else {
        b'\n'
    }
}

/// A carriage return before the line end is part of it.
fn trim_return(record: &mut Record<'_>) {
    if let Some(last) = record.fields.last_mut()
        && last.last() == Some(&b'\r')
    {
        match last {
            Cow::Borrowed(bytes) => *bytes = &bytes[..bytes.len() - 1],
            Cow::Owned(bytes) => {
                bytes.pop();
            }
        }
    }
}

/// What a delimiter makes of a sample.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// The delimiter.
    pub delimiter: u8,
    /// The quote.
    pub quote: Option<u8>,
    /// Fields of most records.
    pub width: usize,
    /// Records looked at, and how many of them have that width.
    pub records: usize,
    /// See `records`.
    pub even: usize,
    /// Whether a field was quoted.
    pub quoted: bool,
    /// Lines before the first record of that width.
    pub preamble: usize,
}

/// What one delimiter makes of the first records.
struct Try<'a> {
    delimiter: u8,
    records: Vec<Record<'a>>,
    width: usize,
    even: usize,
}

impl<'a> Try<'a> {
    fn new(text: &'a [u8], delimiter: u8, quote: Option<u8>) -> Self {
        let records: Vec<Record> = Records::new(text, delimiter, quote)
            .filter(|r| !r.blank())
            .take(LOOK)
            .collect();
        let width = common_width(&records);
        Try {
            delimiter,
            width,
            even: records.iter().filter(|r| r.fields.len() == width).count(),
            records,
        }
    }

    /// What makes one delimiter better than another, before any field is read.
    fn shape(&self) -> (bool, usize) {
        (
            self.width > 1,
            hundredths(self.even, self.records.len()) / 5,
        )
    }

    /// Fields that read as something, in a hundred.
    fn known(&self, known: impl Fn(&[u8]) -> bool) -> usize {
        let fields = || self.records.iter().flat_map(|r| &r.fields);
        hundredths(fields().filter(|f| known(f)).count(), fields().count())
    }

    /// Whether it is looked for before others.
    fn early(&self) -> usize {
        let place = DELIMITERS.iter().position(|d| *d == self.delimiter);
        DELIMITERS.len() - place.unwrap_or(DELIMITERS.len())
    }

    fn cut(&self, text: &[u8], quote: Option<u8>) -> Cut {
        Cut {
            delimiter: self.delimiter,
            quote,
            width: self.width,
            records: self.records.len(),
            even: self.even,
            quoted: self.records.iter().any(|r| r.quoted > 0),
            preamble: preamble(text, self.delimiter, quote, self.width),
        }
    }
}

fn hundredths(part: usize, of: usize) -> usize {
    part * 100 / of.max(1)
}

/// The width of most records; the greater of two that are as common.
fn common_width(records: &[Record]) -> usize {
    let mut counts = std::collections::BTreeMap::new();
    for record in records {
        *counts.entry(record.fields.len()).or_insert(0_usize) += 1;
    }
    let most = counts
        .iter()
        .max_by_key(|(width, count)| (**count, **width));
    most.map_or(1, |(width, _)| *width)
}

/// Lines before the first record of `width`, where that is a table's; 0 where none follows soon.
fn preamble(text: &[u8], delimiter: u8, quote: Option<u8>, width: usize) -> usize {
    if width < 2 {
        return 0;
    }
    let mut lines = 0;
    for record in Records::new(text, delimiter, quote).take(MOST_PREAMBLE) {
        // A header one short has no name for the row numbers in front.
        if record.fields.len() + 1 >= width && record.fields.len() > 1 {
            return lines;
        }
        lines += record.lines;
    }
    0
}

impl Cut {
    /// Records of the common width, in a hundred.
    pub fn evenness(&self) -> usize {
        hundredths(self.even, self.records)
    }
}

/// The delimiter of `candidates` that cuts the sample most evenly into fields that read as something, by `known`.
pub(super) fn best_cut(
    text: &[u8],
    candidates: &[u8],
    quote: Option<u8>,
    known: impl Fn(&[u8]) -> bool + Copy,
) -> Cut {
    let mut tries: Vec<Try> = candidates
        .iter()
        .map(|delimiter| Try::new(text, *delimiter, quote))
        .collect();
    let best = tries.iter().map(Try::shape).max();
    tries.retain(|t| Some(t.shape()) == best);
    let chosen = match tries.as_slice() {
        // To read the fields takes longest: only where their number does not decide.
        [only] => Some(only),
        several => several
            .iter()
            .max_by_key(|t| (t.known(known) / 5, t.early())),
    };
    match chosen {
        Some(chosen) => chosen.cut(text, quote),
        None => Try::new(text, b',', quote).cut(text, quote),
    }
}

/// The quote the sample uses: a single one only where it encloses fields and no double one does.
pub(super) fn quote_of(text: &[u8]) -> u8 {
    let opens = |quote: u8| {
        memchr::memchr_iter(quote, text)
            .filter(|at| {
                let before = at.checked_sub(1).and_then(|i| text.get(i));
                before.is_none_or(|b| *b == b'\n' || DELIMITERS.contains(b))
            })
            .count()
    };
    if opens(b'"') == 0 && opens(b'\'') > 1 {
        b'\''
    } else {
        b'"'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        Records::new(text.as_bytes(), b',', Some(b'"'))
            .map(|r| {
                let text = |f: &Cow<[u8]>| String::from_utf8_lossy(f).into_owned();
                r.fields.iter().map(text).collect()
            })
            .collect()
    }

    #[test]
    fn records_are_cut_as_the_csv_module_does() {
        assert_eq!(
            fields("a,b\r\nc,\"d,\"\"e\"\"\nf\"\n"),
            [vec!["a", "b"], vec!["c", "d,\"e\"\nf"]]
        );
        assert_eq!(fields("5\" pipe,x\n"), [vec!["5\" pipe", "x"]]);
        assert_eq!(fields("\"a\"b,c"), [vec!["ab", "c"]]);
        assert_eq!(fields("a,\n\n,b"), [vec!["a", ""], vec![""], vec!["", "b"]]);
        assert_eq!(fields("\"open\nnever"), [vec!["open\nnever"]]);
    }

    #[test]
    fn only_the_last_record_of_a_sample_is_open() {
        let closed: Vec<bool> = Records::new(b"a\nb", b',', None)
            .map(|r| r.closed)
            .collect();
        assert_eq!(closed, [true, false]);
    }

    #[test]
    fn lines_may_end_in_a_carriage_return_alone() {
        assert_eq!(fields("a,b\rc,d\r"), [vec!["a", "b"], vec!["c", "d"]]);
    }

    #[test]
    fn a_decimal_comma_is_not_a_delimiter() {
        let text = b"at;a;b\n2007-01-01;1,5;2,5\n2007-01-02;1,25;2,0\n";
        let digits = |f: &[u8]| f.iter().all(|b| b.is_ascii_digit() || b",-".contains(b));
        let cut = best_cut(text, &DELIMITERS, Some(b'"'), digits);
        assert_eq!((cut.delimiter, cut.width, cut.preamble), (b';', 3, 0));
        // Cut at commas there are as many fields a record; those read as nothing.
        let text = b"at;a\n2007-01-01;1,5\n2007-01-02;1,25\n2007-01-03;3,0\n2007-01-04;5,0\n";
        assert_eq!(
            best_cut(text, &DELIMITERS, Some(b'"'), digits).delimiter,
            b';'
        );
    }

    #[test]
    fn lines_before_the_table_are_counted() {
        let text = b"Meter 12\n\nfrom 2007\nat,a,b\n1,2,3\n4,5,6\n";
        assert_eq!(best_cut(text, b",", Some(b'"'), |_| true).preamble, 3);
    }

    #[test]
    fn single_quotes_are_seen_only_where_they_enclose() {
        assert_eq!(quote_of(b"'a','b'\n"), b'\'');
        assert_eq!(quote_of(b"it's,\"b\"\n"), b'"');
    }
}
