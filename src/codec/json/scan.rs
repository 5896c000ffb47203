//! Scan: a JSON message into its values, as a record of text.
//!
//! Messages of one producer look alike: the same keys in the same order with the same spaces. So the bytes
//! between the values of one message are kept, and the next message is held against them; only the values
//! are looked at. A message that differs is read key by key, and becomes the one to compare with.

use crate::schema::{SENSOR_ID, names_sensor, plain_name};
use hashbrown::HashMap;

/// Greatest depth of values within values that are passed over.
const DEEP: usize = 64;

/// Which key is which field of a record.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    fields: HashMap<String, usize>,
    width: usize,
    /// A field that says this where a message has no value for it.
    constant: Option<(usize, Vec<u8>)>,
    /// Fields that name a sensor: no list or object can.
    named: Vec<usize>,
    /// The first field of an array.
    first: usize,
    /// No field names a sensor, and a message must not either.
    nameless: bool,
}

impl Keys {
    /// `names`: for each field the names it answers to.
    pub(super) fn new(names: &[Vec<String>]) -> Keys {
        let mut fields = HashMap::new();
        for (field, names) in names.iter().enumerate() {
            for name in names {
                fields.entry(plain_name(name)).or_insert(field);
            }
        }
        Keys {
            fields,
            width: names.len(),
            ..Keys::default()
        }
    }

    /// The same with the text, as a record has it, of the first field where a message leaves it out, as arrays do.
    pub(super) fn with_constant(mut self, text: String) -> Keys {
        self.constant = Some((0, text.into_bytes()));
        self.first = 1;
        self
    }

    /// The same where a message that names its sensor is refused.
    pub(super) fn nameless(self) -> Keys {
        Keys {
            nameless: true,
            ..self
        }
    }

    fn constant_of(&self, field: usize) -> Option<&[u8]> {
        let (own, text) = self.constant.as_ref()?;
        (*own == field).then_some(text.as_slice())
    }

    /// The same where these fields take texts, numbers and words alone.
    pub(super) fn naming(self, named: Vec<usize>) -> Keys {
        Keys { named, ..self }
    }

    fn field(&self, key: &str) -> Option<usize> {
        self.fields.get(&plain_name(key)).copied()
    }
}

/// A value of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Value {
    start: u32,
    end: u32,
    /// A text with escapes.
    escaped: bool,
    /// A number or a word: it may stand in a record as it is.
    bare: bool,
}

impl Value {
    /// Left out, or null.
    fn missing(self) -> bool {
        self.start == self.end && (self.bare || self.end == 0)
    }

    /// Whether it can be the name of a sensor. `simple`: no list or object; `ours`: its key is that of our own messages.
    fn names(self, simple: bool, ours: bool) -> bool {
        self.start < self.end && (ours || simple && !self.bare)
    }
}

/// A message that names a sensor among those that the schema was found in without one.
const NAMED: Fault = "it names its sensor, and the first messages, in which the schema was found, name none: it would count as theirs; pass schema= with a column for the sensor";

/// The bytes between the values of a message, and the field of each value.
#[derive(Debug, Default)]
struct Shape {
    /// The bytes before each value, then those behind the last. A text's quotes are not among them.
    between: Vec<Vec<u8>>,
    fields: Vec<Option<usize>>,
}

/// Cuts messages, one after the other.
pub(super) struct Scanner<'a> {
    keys: &'a Keys,
    shape: Shape,
    values: Vec<Value>,
}

/// Why a message is none: one clause.
pub(super) type Fault = &'static str;

impl<'a> Scanner<'a> {
    pub(super) fn new(keys: &'a Keys) -> Self {
        Scanner {
            keys,
            shape: Shape::default(),
            values: vec![Value::default(); keys.width],
        }
    }

    /// Adds the message as one record to `out`; nothing is added where it has a fault.
    pub(super) fn record(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        self.values.fill(Value::default());
        if !self.alike(message) {
            self.values.fill(Value::default());
            self.learn(message)?;
        }
        let before = out.len();
        for (i, value) in self.values.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            if value.missing()
                && let Some(text) = self.keys.constant_of(i)
            {
                out.extend_from_slice(text);
                continue;
            }
            if let Err(fault) = put(message, *value, out) {
                out.truncate(before);
                return Err(fault);
            }
        }
        // A record of one empty field would be a blank line.
        if out.len() == before {
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
        Ok(())
    }

    /// Holds the message against the shape of the one before.
    fn alike(&mut self, message: &[u8]) -> bool {
        let mut at = 0;
        let Some((last, between)) = self.shape.between.split_last() else {
            return false;
        };
        for (between, field) in between.iter().zip(&self.shape.fields) {
            if !message.get(at..).is_some_and(|m| m.starts_with(between)) {
                return false;
            }
            at += between.len();
            let Some((value, next)) = simple(message, at) else {
                return false;
            };
            at = next;
            if let Some(slot) = field.and_then(|f| self.values.get_mut(f)) {
                *slot = value;
            }
        }
        message.get(at..).is_some_and(|m| m == last.as_slice())
    }

    /// Reads the message key by key and keeps its shape.
    fn learn(&mut self, message: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor {
            bytes: message,
            at: 0,
        };
        let mut shape = Shape::default();
        let (mut from, mut seen) = (0, Vec::new());
        cursor.space();
        let (object, close) = match cursor.next() {
            Some(b'{') => (true, b'}'),
            Some(b'[') => (false, b']'),
            _ if message.starts_with(&[0xff; 4]) => {
                return Err("not a JSON object: it begins as Arrow messages do");
            }
            _ => return Err("not a JSON object"),
        };
        let mut simple_only = true;
        cursor.space();
        while cursor.peek() != Some(close) {
            let key = cursor.at;
            let field = match object {
                true => cursor.only_key(self.keys, &mut seen)?,
                false => {
                    Some(shape.fields.len() + self.keys.first).filter(|f| *f < self.keys.width)
                }
            };
            cursor.space();
            shape
                .between
                .push(message.get(from..cursor.at).unwrap_or_default().to_vec());
            let (value, plain) = cursor.value()?;
            if !plain && field.is_some_and(|f| self.keys.named.contains(&f)) {
                return Err("the sensor is a list or an object, not a name");
            }
            if self.keys.nameless && object && field.is_none() && cursor.says_sensor(key) {
                if value.names(plain, cursor.is_ours(key)) {
                    return Err(NAMED);
                }
                // The next one of this shape may have a name there.
                simple_only = false;
            }
            simple_only &= plain;
            from = cursor.at;
            shape.fields.push(field);
            if let Some(slot) = field.and_then(|f| self.values.get_mut(f)) {
                *slot = value;
            }
            cursor.space();
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                Some(b) if b == close => break,
                _ => return Err("not JSON: a comma or the end is missing"),
            }
            cursor.space();
            if cursor.peek() == Some(close) {
                return Err("not JSON: a comma before the end");
            }
        }
        cursor.at += 1;
        cursor.space();
        if cursor.at < message.len() {
            return Err("more than one JSON value");
        }
        shape
            .between
            .push(message.get(from..).unwrap_or_default().to_vec());
        self.shape = if simple_only { shape } else { Shape::default() };
        Ok(())
    }
}

/// A text, number or word at `at`, and where it ends; `None`: something else, or torn.
#[inline]
fn simple(message: &[u8], at: usize) -> Option<(Value, usize)> {
    let first = *message.get(at)?;
    if first == b'"' {
        let mut end = at + 1;
        let mut escaped = false;
        loop {
            match *message.get(end)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    end += 2;
                }
                0..=31 => return None,
                _ => end += 1,
            }
        }
        let value = Value {
            start: at as u32 + 1,
            end: end as u32,
            escaped,
            bare: false,
        };
        return Some((value, end + 1));
    }
    let rest = message.get(at..)?;
    let length = rest
        .iter()
        .position(|b| !matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
        .unwrap_or(rest.len());
    if length > 0 && matches!(first, b'0'..=b'9' | b'-') {
        let value = Value {
            start: at as u32,
            end: (at + length) as u32,
            escaped: false,
            bare: true,
        };
        return Some((value, at + length));
    }
    for word in [&b"null"[..], b"true", b"false"] {
        if rest.starts_with(word) {
            let end = if word == b"null" { at } else { at + word.len() };
            let value = Value {
                start: at as u32,
                end: end as u32,
                escaped: false,
                bare: true,
            };
            return Some((value, at + word.len()));
        }
    }
    None
}

/// One field of a record.
#[inline]
fn put(message: &[u8], value: Value, out: &mut Vec<u8>) -> Result<(), Fault> {
    let text = message
        .get(value.start as usize..value.end as usize)
        .unwrap_or_default();
    if value.bare {
        out.extend_from_slice(text);
        return Ok(());
    }
    if value.escaped {
        let text = unescaped(text)?;
        guarded(text.as_bytes(), out);
        return Ok(());
    }
    guarded(text, out);
    Ok(())
}

/// A field as it may stand in a record.
#[inline]
fn guarded(text: &[u8], out: &mut Vec<u8>) {
    if !text
        .iter()
        .any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r'))
    {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

fn unescaped(text: &[u8]) -> Result<String, Fault> {
    let mut whole = Vec::with_capacity(text.len() + 2);
    whole.push(b'"');
    whole.extend_from_slice(text);
    whole.push(b'"');
    serde_json::from_slice(&whole).map_err(|_| "not JSON: a text with a wrong escape")
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The same, of a message where no key that is a field comes twice: which of its values holds, nobody can say.
    fn only_key(&mut self, keys: &Keys, seen: &mut Vec<usize>) -> Result<Option<usize>, Fault> {
        let start = self.at;
        let field = self.key(keys)?;
        if field.is_some() {
            let text = |at: usize| {
                let (value, _) = simple(self.bytes, at)?;
                self.bytes.get(value.start as usize..value.end as usize)
            };
            if seen.iter().any(|other| text(*other) == text(start)) {
                return Err("a key is there twice");
            }
            seen.push(start);
        }
        Ok(field)
    }

    /// A key and its colon: the field it is.
    fn key(&mut self, keys: &Keys) -> Result<Option<usize>, Fault> {
        let torn = "not JSON: a key is torn";
        if self.peek() != Some(b'"') {
            return Err("not JSON: a key is missing");
        }
        let (value, next) = simple(self.bytes, self.at).ok_or(torn)?;
        let text = self
            .bytes
            .get(value.start as usize..value.end as usize)
            .unwrap_or_default();
        let field = match value.escaped {
            true => keys.field(&unescaped(text)?),
            false => keys.field(std::str::from_utf8(text).map_err(|_| "a key is not UTF-8")?),
        };
        self.at = next;
        self.space();
        match self.next() {
            Some(b':') => Ok(field),
            _ => Err("not JSON: a colon is missing"),
        }
    }

    /// The plain text of the key at `start`.
    fn key_at(&self, start: usize) -> String {
        let text = simple(self.bytes, start)
            .and_then(|(value, _)| self.bytes.get(value.start as usize..value.end as usize));
        String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
    }

    fn says_sensor(&self, key: usize) -> bool {
        names_sensor(&self.key_at(key))
    }

    fn is_ours(&self, key: usize) -> bool {
        plain_name(&self.key_at(key)) == SENSOR_ID
    }

    /// A value, and whether it is a simple one.
    fn value(&mut self) -> Result<(Value, bool), Fault> {
        if let Some((value, next)) = simple(self.bytes, self.at) {
            self.at = next;
            return Ok((value, true));
        }
        let start = self.at;
        self.pass(DEEP)?;
        let value = Value {
            start: start as u32,
            end: self.at as u32,
            escaped: false,
            bare: false,
        };
        Ok((value, false))
    }

    /// Passes over a value within a value.
    fn pass(&mut self, deep: usize) -> Result<(), Fault> {
        if let Some((_, next)) = simple(self.bytes, self.at) {
            self.at = next;
            return Ok(());
        }
        let close = match self.next() {
            Some(b'{') => b'}',
            Some(b'[') => b']',
            _ => return Err("not JSON: a value is missing or torn"),
        };
        if deep == 0 {
            return Err("values within values, too deep");
        }
        loop {
            self.space();
            match self.peek() {
                Some(b) if b == close => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b',' | b':') => self.at += 1,
                _ => self.pass(deep - 1)?,
            }
        }
    }
}

/// The keys of an object in their order, with its values as a record; for a look at messages.
pub(super) fn keys_of(message: &[u8]) -> Option<Vec<String>> {
    let mut cursor = Cursor {
        bytes: message,
        at: 0,
    };
    let none = Keys::default();
    let mut keys = Vec::new();
    cursor.space();
    if cursor.next() != Some(b'{') {
        return None;
    }
    loop {
        cursor.space();
        if cursor.peek() == Some(b'}') {
            return Some(keys);
        }
        let (value, _) = simple(message, cursor.at)?;
        let text = message.get(value.start as usize..value.end as usize)?;
        let key = match value.escaped {
            true => unescaped(text).ok()?,
            false => String::from_utf8_lossy(text).into_owned(),
        };
        cursor.key(&none).ok()?;
        cursor.space();
        cursor.value().ok()?;
        keys.push(key);
        cursor.space();
        match cursor.next() {
            Some(b',') => {}
            Some(b'}') => return Some(keys),
            _ => return None,
        }
    }
}

/// Whether a message is an object or an array that can be read.
pub fn looks_sound(message: &[u8]) -> bool {
    let mut text = Vec::new();
    let none = Keys::default();
    Scanner::new(&none).record(message, &mut text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(messages: &[&str]) -> Vec<Result<String, Fault>> {
        let keys = Keys::new(&[vec!["a".into()], vec!["b_c".into(), "other".into()]]);
        let mut scanner = Scanner::new(&keys);
        let one = |m: &&str| {
            let mut out = Vec::new();
            scanner.record(m.as_bytes(), &mut out)?;
            Ok(String::from_utf8(out).unwrap())
        };
        messages.iter().map(one).collect()
    }

    fn ok(messages: &[&str]) -> Vec<String> {
        cut(messages).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn messages_alike_and_unlike_give_the_same_records() {
        let found = ok(&[
            r#"{"a":1.5,"b_c":"x"}"#,
            r#"{"a":2,"b_c":"y"}"#,
            r#"{"b_c": "z", "a": -3e5}"#,
            r#"{"b_c": null, "a": "4"}"#,
            r#" { "A" : 5 , "extra" : {"a":[1,{"b":"}"}]} , "Other" : true } "#,
            r#"{"a":6}"#,
            r#"[7,"seven",8]"#,
            r#"{}"#,
        ]);
        let wanted = [
            "1.5,x\n",
            "2,y\n",
            "-3e5,z\n",
            "4,\n",
            "5,true\n",
            "6,\n",
            "7,seven\n",
            ",\n",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn texts_are_unescaped_and_guarded() {
        let found = ok(&[
            r#"{"a":"x,\"y\"\n","b_c":"\u00e9\\"}"#,
            r#"{"a":"\ud83d\ude00","b_c":"a,b"}"#,
        ]);
        assert_eq!(found, ["\"x,\"\"y\"\"\n\",é\\\n", "😀,\"a,b\"\n"]);
    }

    #[test]
    fn what_is_no_message_says_why() {
        for (message, word) in [
            ("", "object"),
            ("12", "object"),
            (r#"{"a":1"#, "comma"),
            (r#"{"a":1,}"#, "comma"),
            (r#"{"a" 1}"#, "colon"),
            (r#"{a:1}"#, "key"),
            (r#"{"a":}"#, "value"),
            (r#"{"a":"x}"#, "value"),
            (r#"{"a":1}{"a":2}"#, "more than one"),
            (r#"{"a":"\x"}"#, "escape"),
            (r#"{"a":nul}"#, "value"),
        ] {
            let fault = cut(&[message]).remove(0).unwrap_err();
            assert!(fault.contains(word), "{message}: {fault}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(cut(&[&deep]).remove(0).is_err());
    }

    #[test]
    fn keys_stand_in_their_order() {
        assert_eq!(keys_of(br#"{"b":1, "a":{"c":2}}"#).unwrap(), ["b", "a"]);
        assert_eq!(keys_of(b"[1]"), None);
        assert_eq!(keys_of(b"{}").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_key_that_comes_twice_is_refused_and_two_names_of_a_field_are_not() {
        let twice = Err("a key is there twice");
        assert_eq!(cut(&[r#"{"a":1,"a":1}"#])[0], twice);
        assert_eq!(
            cut(&[r#"{"a":1,"b_c":2}"#, r#"{"a":1,"b_c":2,"a":3}"#])[1],
            twice
        );
        assert_eq!(
            cut(&[r#"{"b_c":1,"other":2}"#, r#"{"x":1,"x":2,"a":3}"#]),
            [Ok(",2\n".into()), Ok("3,\n".into())]
        );
    }

    #[test]
    fn where_no_field_is_the_sensor_a_message_that_names_one_is_refused() {
        let keys = Keys::new(&[vec!["a".into()]]).nameless();
        let mut scanner = Scanner::new(&keys);
        let mut record = |text: &str| scanner.record(text.as_bytes(), &mut Vec::new());
        for text in [
            r#"{"a":1}"#,
            r#"{"a":1,"sensor_id":null}"#,
            r#"{"a":1,"sensor_id":""}"#,
            r#"{"a":1,"message_id":"x","unit":"W","meter":2}"#,
        ] {
            assert_eq!(record(text), Ok(()), "{text}");
        }
        for text in [
            r#"{"a":1,"sensor_id":"x"}"#,
            r#"{"a":1,"Sensor Id":7}"#,
            r#"{"a":1,"sensor_id":["x"]}"#,
            r#"{"a":1,"message_id":"x","unit":"W","meter":"m"}"#,
            r#"{"device_id":"x","a":1}"#,
        ] {
            assert_eq!(record(text), Err(NAMED), "{text}");
        }
        assert_eq!(record(r#"{"a":1,"sensor_id":null}"#), Ok(()));
        assert_eq!(record(r#"{"a":1,"sensor_id":"y"}"#), Err(NAMED));
    }

    #[test]
    fn a_list_or_an_object_names_no_sensor() {
        let keys = Keys::new(&[vec!["a".into()], vec!["b".into()]]).naming(vec![0]);
        let mut scanner = Scanner::new(&keys);
        let mut record = |text: &str| scanner.record(text.as_bytes(), &mut Vec::new());
        assert!(
            record(r#"{"a":["x"],"b":1}"#)
                .unwrap_err()
                .contains("a list or an object")
        );
        assert!(record(r#"{"a":{"x":1},"b":1}"#).is_err());
        assert_eq!(record(r#"{"a":"x","b":[1]}"#), Ok(()));
    }
}
