use crate::{Error, error::quoted};
use std::borrow::Cow;

/// How deep values may be inside of each other.
const DEPTH_MAX: usize = 128;

/// A value with its own text.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'a> {
    /// The value.
    pub value: Value<'a>,
    /// How it is written.
    pub raw: &'a str,
}

/// A value. Numbers stay as they are written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(&'a str),
    /// A string without its quotes and escapes.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Node<'a>>),
    /// An object, in its order.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Reads one document that fills all of `text`.
///
/// # Errors
/// Where it is no JSON, with the line counted from the document's beginning.
pub fn parse(text: &str) -> Result<Node<'_>, Error> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.blank();
    let node = parser.node()?;
    parser.blank();
    if parser.at < text.len() { Err(parser.unexpected("the end")) } else { Ok(node) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let before = self.text.as_bytes().iter().take(self.at).filter(|b| **b == b'\n').count() as u64;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let found = match rest.chars().next() {
            Some(_) => quoted(&rest.chars().take(12).collect::<String>()),
            None => "the end".to_owned(),
        };
        Error::new(format!("expected {wanted}, found {found}")).line(before + 1)
    }

    fn node(&mut self) -> Result<Node<'a>, Error> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => Value::String(self.string()?),
            Some(b't') => self.word("true", Value::Boolean(true))?,
            Some(b'f') => self.word("false", Value::Boolean(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { value, raw: &self.text[start..self.at] })
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Error> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.unexpected("a value"))
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self) -> Result<Value<'a>, Error> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let first = self.at;
        if !self.digits() || (zero && self.at > first + 1) {
            self.at = start;
            return Err(self.unexpected("a number"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.digits() {
                return Err(self.unexpected("a digit"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.digits() {
                return Err(self.unexpected("a digit"));
            }
        }
        Ok(Value::Number(&self.text[start..self.at]))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1;
        let start = self.at;
        let mut owned: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                None => return Err(self.unexpected("the end of a string")),
                Some(b'"') => break,
                Some(b'\\') => {
                    let out = owned.get_or_insert_with(String::new);
                    out.push_str(&self.text[copied..self.at]);
                    let c = self.escape()?;
                    owned.get_or_insert_with(String::new).push(c);
                    copied = self.at;
                }
                Some(0..=0x1F) => return Err(self.unexpected("no control character inside of a string")),
                Some(_) => self.at += 1,
            }
        }
        let rest = &self.text[copied..self.at];
        self.at += 1;
        Ok(match owned {
            None => Cow::Borrowed(rest),
            Some(mut text) => {
                text.push_str(rest);
                Cow::Owned(text)
            }
        })
    }

    fn escape(&mut self) -> Result<char, Error> {
        let escaped = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match escaped {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.unexpected("an escape such as \\n or \\u00e9")),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, Error> {
        let unit = |parser: &Self, at: usize| {
            let digits = parser.text.get(at..at + 6)?.strip_prefix("\\u")?;
            digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
        };
        let first = unit(self, self.at).ok_or_else(|| self.unexpected("four hexadecimal digits"))?;
        let (code, length) = match first {
            0xD800..=0xDBFF => match unit(self, self.at + 6) {
                Some(second @ 0xDC00..=0xDFFF) => (0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), 12),
                _ => return Err(self.unexpected("both halves of a surrogate pair")),
            },
            unit => (unit, 6),
        };
        let c = char::from_u32(code).ok_or_else(|| self.unexpected("both halves of a surrogate pair"))?;
        self.at += length;
        Ok(c)
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(format!("values are more than {DEPTH_MAX} deep inside of each other")));
        }
        self.at += 1;
        self.blank();
        Ok(())
    }

    /// Whether another item follows; none where `close` ends the list.
    fn goes_on(&mut self, close: u8) -> Result<bool, Error> {
        self.blank();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.blank();
                Ok(true)
            }
            Some(b) if b == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ => Err(self.unexpected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        }
    }

    fn array(&mut self) -> Result<Value<'a>, Error> {
        self.deeper()?;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.node()?);
            if !self.goes_on(b']')? {
                return Ok(Value::Array(items));
            }
        }
    }

    fn object(&mut self) -> Result<Value<'a>, Error> {
        self.deeper()?;
        let mut items = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::Object(items));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let key = self.string()?;
            self.blank();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.at += 1;
            self.blank();
            items.push((key, self.node()?));
            if !self.goes_on(b'}')? {
                return Ok(Value::Object(items));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_json_is_refused_with_its_line() {
        for (text, message) in [
            ("{\"a\":\n 1,}", "line 2: expected a key in quotes, found `}`"),
            ("[1 2]", "line 1: expected `,` or `]`, found `2]`"),
            ("01", "line 1: expected a number, found `01`"),
            ("{'a':1}", "line 1: expected a key in quotes, found `'a':1}`"),
            ("\"\\ud800\"", "line 1: expected both halves of a surrogate pair, found `\\ud800\"`"),
            ("1 x", "line 1: expected the end, found `x`"),
            ("nul", "line 1: expected a value, found `nul`"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
        assert!(parse(&"[".repeat(100_000)).unwrap_err().message.contains("deep"));
    }

    #[test]
    fn escapes_are_read() {
        let node = parse("\"a\\u00e9\\n\\ud83d\\ude00\\\"b\"").unwrap();
        assert_eq!(node.value, Value::String("aé\n\u{1F600}\"b".into()));
    }

    /// Takes numbers by their text and objects by their order away, which are no differences.
    fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
        match (ours, theirs) {
            (Value::Null, serde_json::Value::Null) => true,
            (Value::Boolean(a), serde_json::Value::Bool(b)) => a == b,
            (Value::Number(a), serde_json::Value::Number(b)) => a.parse::<f64>().ok() == b.as_f64(),
            (Value::String(a), serde_json::Value::String(b)) => a == b,
            (Value::Array(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.value, b))
            }
            (Value::Object(a), serde_json::Value::Object(b)) => {
                b.iter().all(|(k, b)| a.iter().rev().find(|(n, _)| n == k).is_some_and(|(_, a)| same(&a.value, b)))
            }
            _ => false,
        }
    }

    proptest! {
        /// It takes what another reader takes, and reads the same in it.
        #[test]
        fn it_agrees_with_another_reader(text in "[\\[\\]{}\",:0-9eE.+\\-truefalsn\\\\ \\nu]{0,24}") {
            match (parse(&text), serde_json::from_str::<serde_json::Value>(&text)) {
                (Ok(ours), Ok(theirs)) => prop_assert!(same(&ours.value, &theirs), "{text}"),
                (Err(_), Err(_)) => {}
                // Numbers beyond every double are numbers still.
                (Ok(_), Err(e)) => prop_assert!(e.to_string().contains("out of range"), "{text}: {e}"),
                (Err(e), Ok(_)) => prop_assert!(false, "{text}: {e}"),
            }
        }
    }
}
