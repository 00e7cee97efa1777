//! The reader: recursive descent over the bytes of a text, as deep as the bounds allow.

use std::borrow::Cow;

use super::{Bounds, Fault, Member, Node, Span, SyntaxError, Value};
use crate::number::Decimal;
use crate::pointer::Pointer;

/// Reads `text` as one JSON value. Duplicate members stay in the tree, and the places of all but
/// the first of a name are returned in document order: it is for the caller to refuse them.
pub(crate) fn read_all(text: &str, bounds: Bounds) -> Result<(Node<'_>, Vec<usize>), SyntaxError> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        values: 0,
        bounds,
        duplicates: Vec::new(),
    };
    reader.skip_space();
    let root = reader.value()?;
    reader.skip_space();
    if reader.peek().is_some() {
        return Err(SyntaxError::new(reader.at, Fault::Trailing));
    }
    reader.duplicates.sort_unstable();
    Ok((root, reader.duplicates))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    values: usize,
    bounds: Bounds,
    duplicates: Vec<usize>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Node<'a>, SyntaxError> {
        let start = self.at;
        self.values += 1;
        if self.values > self.bounds.values {
            return Err(self.error(Fault::TooManyValues(self.bounds.values)));
        }
        let value = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node {
            value,
            span: Span {
                start,
                end: self.at,
            },
        })
    }

    /// Reads an array or an object, whose opening bracket is next, one level deeper.
    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Value<'a>, SyntaxError>,
    ) -> Result<Value<'a>, SyntaxError> {
        if self.depth == self.bounds.depth {
            return Err(self.error(Fault::TooDeep(self.bounds.depth)));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value<'a>, SyntaxError> {
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            let item = self.value().map_err(|error| {
                let mut outer = Pointer::root();
                outer.push_index(items.len());
                inside(error, &outer)
            })?;
            items.push(item);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("a comma or the end of the array"));
            }
            self.skip_space();
        }
    }

    fn object(&mut self) -> Result<Value<'a>, SyntaxError> {
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            members.push(self.member()?);
            self.skip_space();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.unexpected("a comma or the end of the object"));
            }
            self.skip_space();
        }
        // The sort is stable: members of one name stay in document order.
        members.sort_by(|a: &Member<'_>, b| a.name.cmp(&b.name));
        let again = members
            .windows(2)
            .filter(|pair| pair[0].name == pair[1].name);
        self.duplicates.extend(again.map(|pair| pair[1].at));
        Ok(Value::Object(members))
    }

    fn member(&mut self) -> Result<Member<'a>, SyntaxError> {
        let at = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a member name in quotes"));
        }
        let name = self.string()?;
        self.skip_space();
        if !self.take(b':') {
            return Err(self.unexpected("a colon"));
        }
        self.skip_space();
        let node = self
            .value()
            .map_err(|error| inside(error, &Pointer::of(&[&name])))?;
        Ok(Member { name, at, node })
    }

    /// Reads a string, whose opening quote is next.
    fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.at += 1;
        let mut unescaped = String::new();
        let mut start = self.at;
        loop {
            match self.peek() {
                None => return Err(self.error(Fault::End("the end of a string"))),
                Some(b'"') => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    // An escape stands for a character: without one there was none.
                    if unescaped.is_empty() {
                        return Ok(Cow::Borrowed(rest));
                    }
                    unescaped.push_str(rest);
                    return Ok(Cow::Owned(unescaped));
                }
                Some(b'\\') => {
                    unescaped.push_str(&self.text[start..self.at]);
                    unescaped.push(self.escape()?);
                    start = self.at;
                }
                Some(0..=0x1f) => return Err(self.error(Fault::ControlCharacter)),
                Some(_) => self.at += 1,
            }
        }
    }

    /// Reads one escape, whose backslash is next.
    fn escape(&mut self) -> Result<char, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode(start);
            }
            Some(_) => return Err(SyntaxError::new(start, Fault::Escape)),
            None => return Err(self.error(Fault::End("the end of a string"))),
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads the digits of `\u`, and the other half where they are half of a surrogate pair.
    fn unicode(&mut self, start: usize) -> Result<char, SyntaxError> {
        let surrogate = || SyntaxError::new(start, Fault::Surrogate);
        let first = self.hexadecimal(start)?;
        let code = match first {
            0xd800..=0xdbff => {
                if !(self.take(b'\\') && self.take(b'u')) {
                    return Err(surrogate());
                }
                match self.hexadecimal(start)? {
                    second @ 0xdc00..=0xdfff => {
                        0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    _ => return Err(surrogate()),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(surrogate)
    }

    fn hexadecimal(&mut self, start: usize) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or(SyntaxError::new(start, Fault::Escape))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Decimal<'a>, SyntaxError> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
        ) {
            self.at += 1;
        }
        Decimal::parse(&self.text[start..self.at])
            .map_err(|error| SyntaxError::new(start, Fault::Number(error)))
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, SyntaxError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn error(&self, fault: Fault) -> SyntaxError {
        SyntaxError::new(self.at, fault)
    }

    fn unexpected(&self, wanted: &'static str) -> SyntaxError {
        // Every token starts and ends at an ASCII byte, so this is the start of a character.
        match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            Some(found) => self.error(Fault::Unexpected(found, wanted)),
            None => self.error(Fault::End(wanted)),
        }
    }
}

fn inside(mut error: SyntaxError, outer: &Pointer) -> SyntaxError {
    error.pointer.prefix(outer);
    error
}
