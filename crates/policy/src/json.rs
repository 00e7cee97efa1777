//! JSON with the place of every value, read once and strictly.
//!
//! Promises: no duplicate members, no byte order mark, nothing after the value, numbers exactly as
//! they are written, bounded depth and memory. Knows nothing of policies.

use std::borrow::Cow;

use crate::limits::{ARGUMENTS_BYTES_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, VALUES_MAX};
use crate::number::{Decimal, NumberError};
use crate::pointer::Pointer;

mod reader;
#[cfg(test)]
mod tests;

pub(crate) use reader::read_all;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    pub value: Value<'a>,
    pub span: Span,
}

/// What a node holds. Texts without escapes are borrowed.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Number(Decimal<'a>),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    /// Sorted by name; members of one name in document order.
    Object(Vec<Member<'a>>),
}

/// One member of an object.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    pub name: Cow<'a, str>,
    /// Where the name stands.
    pub at: usize,
    pub node: Node<'a>,
}

/// Byte offsets into the text, from the first byte to the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// How much a reader takes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub bytes: usize,
    pub depth: usize,
    pub values: usize,
}

/// Why a text is not read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct SyntaxError {
    /// Byte offset into the text.
    pub at: usize,
    /// The value that was being read.
    pub pointer: Pointer,
    pub fault: Fault,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("more than {0} bytes")]
    TooLong(usize),
    #[error("this is not UTF-8")]
    NotUtf8,
    #[error("a byte order mark must not stand before JSON")]
    ByteOrderMark,
    #[error("the text ends here, {0} is missing")]
    End(&'static str),
    #[error("{0:?} stands where {1} is expected")]
    Unexpected(char, &'static str),
    #[error("something follows the end of the JSON value")]
    Trailing,
    #[error("a control character in a string must be escaped")]
    ControlCharacter,
    #[error("this is no escape that JSON knows")]
    Escape,
    #[error("half of a surrogate pair is no character")]
    Surrogate,
    #[error(transparent)]
    Number(#[from] NumberError),
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    #[error("more than {0} values")]
    TooManyValues(usize),
    #[error("this member stands here twice")]
    Duplicate,
}

/// Reads `bytes` as one JSON value.
pub fn read(bytes: &[u8], bounds: Bounds) -> Result<Node<'_>, SyntaxError> {
    let (root, duplicates) = read_all(decode(bytes, bounds)?, bounds)?;
    match duplicates.first() {
        None => Ok(root),
        Some(&at) => Err(SyntaxError {
            at,
            pointer: root.pointer_to(at),
            fault: Fault::Duplicate,
        }),
    }
}

/// Takes `bytes` as text, if they are UTF-8 without a byte order mark and within bounds.
pub(crate) fn decode(bytes: &[u8], bounds: Bounds) -> Result<&str, SyntaxError> {
    if bytes.len() > bounds.bytes {
        return Err(SyntaxError::new(0, Fault::TooLong(bounds.bytes)));
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        return Err(SyntaxError::new(0, Fault::ByteOrderMark));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| SyntaxError::new(error.valid_up_to(), Fault::NotUtf8))
}

// === impl Bounds ===

impl Bounds {
    /// For a policy document or a file of cases.
    pub const DOCUMENT: Self = Self {
        bytes: DOCUMENT_BYTES_MAX,
        depth: DEPTH_MAX,
        values: VALUES_MAX,
    };

    /// For the arguments of a call.
    pub const ARGUMENTS: Self = Self {
        bytes: ARGUMENTS_BYTES_MAX,
        depth: DEPTH_MAX,
        values: VALUES_MAX,
    };
}

// === impl SyntaxError ===

impl SyntaxError {
    pub(crate) fn new(at: usize, fault: Fault) -> Self {
        Self {
            at,
            pointer: Pointer::root(),
            fault,
        }
    }
}

// === impl Node ===

impl<'a> Node<'a> {
    /// The member of that name, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Node<'a>> {
        match &self.value {
            Value::Object(members) => {
                // The first of that name: of members that stand twice the others are at fault.
                let first = members.partition_point(|member| &*member.name < name);
                members
                    .get(first)
                    .filter(|member| member.name == name)
                    .map(|member| &member.node)
            }
            _ => None,
        }
    }

    /// The pointer to the innermost value, or the member whose name stands at byte `at`.
    pub(crate) fn pointer_to(&self, at: usize) -> Pointer {
        let mut pointer = Pointer::root();
        let mut node = self;
        loop {
            node = match &node.value {
                Value::Array(items) => {
                    let Some(index) = items.iter().position(|item| item.span.contains(at)) else {
                        return pointer;
                    };
                    pointer.push_index(index);
                    &items[index]
                }
                Value::Object(members) => {
                    let holds =
                        |member: &&Member<'_>| (member.at..member.node.span.end).contains(&at);
                    let Some(member) = members.iter().find(holds) else {
                        return pointer;
                    };
                    pointer.push(&member.name);
                    &member.node
                }
                _ => return pointer,
            };
        }
    }
}

// === impl Span ===

impl Span {
    fn contains(self, at: usize) -> bool {
        (self.start..self.end).contains(&at)
    }
}

// === impl Value ===

impl Value<'_> {
    /// JSON equality: numbers by value, objects whatever the order of their members. A number
    /// never equals a string.
    pub fn same(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.value.same(&b.value))
            }
            (Value::Object(a), Value::Object(b)) => {
                let same = |(a, b): (&Member<'_>, &Member<'_>)| {
                    a.name == b.name && a.node.value.same(&b.node.value)
                };
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            _ => false,
        }
    }

    /// The value as a program reads it that keeps numbers as doubles, but for whole numbers of 64
    /// bits; `None`: no number is another one then.
    pub(crate) fn as_doubles(&self) -> Option<Value<'static>> {
        match self {
            Value::Number(number) => number.as_double().map(Value::Number),
            Value::Array(items) => {
                let rounded: Vec<_> = items.iter().map(|item| item.value.as_doubles()).collect();
                rounded.iter().any(Option::is_some).then(|| {
                    let pairs = items.iter().zip(rounded);
                    Value::Array(pairs.map(|(item, value)| item.with(value)).collect())
                })
            }
            Value::Object(members) => {
                let rounded: Vec<_> = members
                    .iter()
                    .map(|member| member.node.value.as_doubles())
                    .collect();
                rounded.iter().any(Option::is_some).then(|| {
                    let pairs = members.iter().zip(rounded);
                    let member = |(member, value): (&Member<'_>, _)| Member {
                        name: Cow::Owned(member.name.to_string()),
                        at: member.at,
                        node: member.node.with(value),
                    };
                    Value::Object(pairs.map(member).collect())
                })
            }
            Value::Null | Value::Bool(_) | Value::String(_) => None,
        }
    }

    /// The same value without the text that it was read from.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(number) => Value::Number(number.into_owned()),
            Value::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Value::Array(items) => {
                let owned = |item: Node<'_>| item.into_owned();
                Value::Array(items.into_iter().map(owned).collect())
            }
            Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|member| Member {
                        name: Cow::Owned(member.name.into_owned()),
                        at: member.at,
                        node: member.node.into_owned(),
                    })
                    .collect(),
            ),
        }
    }

    /// What kind of value this is, with its article, as a message says it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

impl Node<'_> {
    /// This node with another value in it, or with its own.
    fn with(&self, value: Option<Value<'static>>) -> Node<'static> {
        match value {
            Some(value) => Node {
                value,
                span: self.span,
            },
            None => self.clone().into_owned(),
        }
    }

    /// The same node without the text that it was read from.
    pub fn into_owned(self) -> Node<'static> {
        Node {
            value: self.value.into_owned(),
            span: self.span,
        }
    }
}
