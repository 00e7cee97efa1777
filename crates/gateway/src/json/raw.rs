//! Views of JSON text that was checked before: nothing here fails, nothing is copied without need.

use std::borrow::Cow;

use super::Member;

/// A JSON value as it stands in its text, without space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

// === impl Raw ===

impl<'a> Raw<'a> {
    /// Takes text that a scan has accepted as one value.
    pub(super) fn validated(text: &'a str) -> Self {
        Self(text)
    }

    /// The text of the value.
    pub fn text(self) -> &'a str {
        self.0
    }

    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The string, unescaped; `None` for any other kind.
    pub fn string(self) -> Option<Cow<'a, str>> {
        if self.kind() != Kind::String {
            return None;
        }
        Some(decode(&self.0[1..self.0.len() - 1]))
    }

    /// The number as an integer, if it is written as one that fits.
    pub fn integer(self) -> Option<i64> {
        if self.kind() != Kind::Number {
            return None;
        }
        self.0.parse().ok()
    }

    /// Whether this is a number written without fraction and exponent, of any size.
    pub fn is_integer(self) -> bool {
        self.kind() == Kind::Number && !self.0.contains(['.', 'e', 'E'])
    }

    /// The members of an object in their order; nothing for any other kind.
    pub fn members(self) -> impl Iterator<Item = Member<'a>> {
        let object = self.kind() == Kind::Object;
        let mut cursor = Cursor {
            text: self.0,
            at: 1,
        };
        std::iter::from_fn(move || {
            if !object {
                return None;
            }
            let name = cursor.next_item()?;
            let value = cursor.next_item()?;
            Some((decode(&name[1..name.len() - 1]), Raw(value)))
        })
    }

    /// The elements of an array in their order; nothing for any other kind.
    pub fn elements(self) -> impl Iterator<Item = Raw<'a>> {
        let array = self.kind() == Kind::Array;
        let mut cursor = Cursor {
            text: self.0,
            at: 1,
        };
        std::iter::from_fn(move || {
            if array {
                cursor.next_item().map(Raw)
            } else {
                None
            }
        })
    }

    /// The first member of that name.
    pub fn get(self, name: &str) -> Option<Raw<'a>> {
        self.members()
            .find(|(member, _)| member == name)
            .map(|(_, value)| value)
    }

    /// Where `part`, a value inside this one, begins in this text.
    ///
    /// # Panics
    /// If `part` was not taken from this value.
    pub fn offset_of(self, part: Raw<'_>) -> usize {
        let start = part.0.as_ptr() as usize - self.0.as_ptr() as usize;
        assert!(
            start + part.0.len() <= self.0.len(),
            "a part lies inside its whole"
        );
        start
    }
}

/// Walks over the values between two brackets.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// The next value or name; `None` at the closing bracket.
    fn next_item(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        while matches!(
            bytes.get(self.at),
            Some(b' ' | b'\t' | b'\r' | b'\n' | b',' | b':')
        ) {
            self.at += 1;
        }
        let start = self.at;
        self.at = match bytes.get(start)? {
            b'}' | b']' => return None,
            b'"' => skip_string(bytes, start),
            b'{' | b'[' => skip_nested(bytes, start),
            _ => skip_word(bytes, start),
        };
        Some(&self.text[start..self.at])
    }
}

/// The end of the string that starts at `at`.
fn skip_string(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of the object or array that starts at `at`.
fn skip_nested(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = skip_string(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The end of the number or literal that starts at `at`.
fn skip_word(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len()
        && !matches!(bytes[at], b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')
    {
        at += 1;
    }
    at
}

/// Unescapes what stands between the quotes of a checked string. A lone surrogate, which only an
/// upstream may send, becomes U+FFFD.
pub(super) fn decode(escaped: &str) -> Cow<'_, str> {
    if !escaped.contains('\\') {
        return Cow::Borrowed(escaped);
    }
    let mut decoded = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(plain) = rest.find('\\') {
        decoded.push_str(&rest[..plain]);
        let (character, used) = decode_escape(&rest.as_bytes()[plain..]);
        decoded.push(character);
        rest = &rest[plain + used..];
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// One escape at the start of `bytes`, and its length.
fn decode_escape(bytes: &[u8]) -> (char, usize) {
    let character = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return decode_unicode(bytes),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2)
}

fn decode_unicode(bytes: &[u8]) -> (char, usize) {
    let unit_at = |at: usize| bytes.get(at..at + 4).and_then(hex_unit);
    let Some(high) = unit_at(2) else {
        return (char::REPLACEMENT_CHARACTER, bytes.len().min(2));
    };
    if let Some(character) = char::from_u32(high) {
        return (character, 6);
    }
    let low = if bytes.get(6..8) == Some(b"\\u") {
        unit_at(8)
    } else {
        None
    };
    match low {
        Some(low @ 0xdc00..0xe000) if high < 0xdc00 => {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            (
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                12,
            )
        }
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// Four hexadecimal digits as a UTF-16 unit.
pub(super) fn hex_unit(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}
