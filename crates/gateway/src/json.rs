//! Strict JSON: one pass that decides whether bytes are a message that every reader reads alike.
//!
//! Stricter than RFC 8259 where parsers are known to differ: no duplicate member after unescaping,
//! no lone surrogate, no number beyond a double, bounded depth. Values are never converted: what
//! was checked is what is forwarded. Knows nothing of JSON-RPC.

use std::borrow::Cow;

use crate::limits::{JSON_DEPTH_MAX, JSON_MEMBERS_MAX, JSON_NUMBER_BYTES_MAX, REPLY_DEPTH_MAX};

mod raw;
#[cfg(test)]
mod tests;

pub use raw::{Kind, Raw};

/// Why bytes are not one strict JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("the text is not one JSON object")]
    NotObject,
    #[error("syntax error at byte {0}")]
    Syntax(usize),
    #[error("nested too deep at byte {0}")]
    TooDeep(usize),
    #[error("an object has too many members at byte {0}")]
    TooManyMembers(usize),
    #[error("a member appears twice in the object that ends at byte {0}")]
    Duplicate(usize),
    #[error("a number is out of range at byte {0}")]
    NumberOutOfRange(usize),
}

/// A member of an object: its decoded name, and its value as it stands in the text.
pub type Member<'a> = (Cow<'a, str>, Raw<'a>);

/// What is refused beyond the grammar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// From a client: everything that two parsers could read differently.
    Request,
    /// From an upstream: it may hold what its tools return, such as half an emoji; the objects that
    /// are inspected refuse duplicates where they are read.
    Reply,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth_max: usize,
    rules: Rules,
    /// Names of the members of all open objects, innermost last.
    names: Vec<Cow<'a, str>>,
}

/// Checks a request body and gives its top-level members in their order.
pub fn scan_request(body: &[u8]) -> Result<Vec<Member<'_>>, JsonError> {
    let text = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
    let mut scanner = Scanner::new(text, JSON_DEPTH_MAX, Rules::Request);
    scanner.skip_whitespace();
    if scanner.peek() != Some(b'{') {
        return Err(JsonError::NotObject);
    }
    let mut members = Vec::with_capacity(4);
    scanner.object(0, Some(&mut members))?;
    scanner.end()?;
    Ok(members)
}

/// Checks a message of an upstream: any JSON value, without what surrounds it.
pub fn scan_reply(body: &[u8]) -> Result<Raw<'_>, JsonError> {
    let text = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
    let mut scanner = Scanner::new(text, REPLY_DEPTH_MAX, Rules::Reply);
    scanner.skip_whitespace();
    let start = scanner.at;
    scanner.value(0)?;
    let value = Raw::validated(&text[start..scanner.at]);
    scanner.end()?;
    Ok(value)
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    fn new(text: &'a str, depth_max: usize, rules: Rules) -> Self {
        Self {
            text,
            at: 0,
            depth_max,
            rules,
            names: Vec::new(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn syntax<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Syntax(self.at))
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.syntax()
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.object(depth, None),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.syntax(),
        }
    }

    /// An object inside `depth` others. Its members are handed out where someone wants them.
    fn object(
        &mut self,
        depth: usize,
        mut members: Option<&mut Vec<Member<'a>>>,
    ) -> Result<(), JsonError> {
        if depth == self.depth_max {
            return Err(JsonError::TooDeep(self.at));
        }
        let first_name = self.names.len();
        self.at += 1;
        self.skip_whitespace();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.syntax();
            }
            let name = self.string()?;
            self.skip_whitespace();
            if self.peek() != Some(b':') {
                return self.syntax();
            }
            self.at += 1;
            self.skip_whitespace();
            let start = self.at;
            self.value(depth + 1)?;
            if let Some(members) = members.as_deref_mut() {
                let value = Raw::validated(&self.text[start..self.at]);
                members.push((raw::decode(name), value));
            }
            self.remember(name, first_name)?;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.syntax(),
            }
            self.skip_whitespace();
        }
        self.at += 1;
        self.forget(first_name)
    }

    fn remember(&mut self, name: &'a str, first_name: usize) -> Result<(), JsonError> {
        if self.rules == Rules::Reply {
            return Ok(());
        }
        if self.names.len() - first_name == JSON_MEMBERS_MAX {
            return Err(JsonError::TooManyMembers(self.at));
        }
        self.names.push(raw::decode(name));
        Ok(())
    }

    /// Ends an object: no two of its names may be equal. Sorted, so that no input makes it slow.
    fn forget(&mut self, first_name: usize) -> Result<(), JsonError> {
        let names = &mut self.names[first_name..];
        names.sort_unstable();
        let duplicate = names.windows(2).any(|pair| pair[0] == pair[1]);
        self.names.truncate(first_name);
        if duplicate {
            Err(JsonError::Duplicate(self.at))
        } else {
            Ok(())
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth == self.depth_max {
            return Err(JsonError::TooDeep(self.at));
        }
        self.at += 1;
        self.skip_whitespace();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return self.syntax(),
            }
            self.skip_whitespace();
        }
        self.at += 1;
        Ok(())
    }

    /// A string; gives what stands between its quotes, still escaped.
    fn string(&mut self) -> Result<&'a str, JsonError> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                _ => return self.syntax(),
            }
        }
        self.at += 1;
        Ok(&self.text[start..self.at - 1])
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex()?;
                if self.rules == Rules::Reply || !(0xd800..0xe000).contains(&unit) {
                    return Ok(());
                }
                let paired = unit < 0xdc00 && self.text[self.at..].starts_with("\\u");
                if !paired {
                    return self.syntax();
                }
                self.at += 2;
                match self.hex()? {
                    0xdc00..0xe000 => Ok(()),
                    _ => self.syntax(),
                }
            }
            _ => self.syntax(),
        }
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let Some(unit) = digits.and_then(raw::hex_unit) else {
            return self.syntax();
        };
        self.at += 4;
        Ok(unit)
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.syntax();
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => drop(self.digits()),
            _ => return self.syntax(),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return self.syntax();
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.syntax();
            }
        }
        let number = &self.text[start..self.at];
        let in_range = number.len() <= JSON_NUMBER_BYTES_MAX
            && number.parse::<f64>().is_ok_and(f64::is_finite);
        if in_range {
            Ok(())
        } else {
            Err(JsonError::NumberOutOfRange(start))
        }
    }
}
