//! Conditions: one test of one argument of a call, with three possible answers.
//!
//! Promises: a value of the wrong type is never quietly false; it is undecided, and whoever asks
//! fails closed. Numbers are compared exactly.

use std::cmp::Ordering;
use std::fmt;

use regex::Regex;

use crate::json::{Node, Value};
use crate::number::Decimal;

#[cfg(test)]
mod tests;

/// The answer of a condition or a group of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    True,
    False,
    /// The argument is of a type that the test says nothing about.
    Undecided,
}

/// What a condition may ask: the operators of the document, exactly these eleven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    NotIn,
    Exists,
    Regex,
    Contains,
}

/// Where an argument stands: `args.` and the members to descend, in objects only. A member whose
/// name has a dot cannot be addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentPath {
    text: String,
}

/// One condition of a group.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) path: ArgumentPath,
    pub(crate) operator: Operator,
    pub(crate) test: Test,
    /// The value as the document writes it, on one line.
    pub(crate) value_text: String,
}

/// An operator with a value of a type that it takes.
#[derive(Debug)]
pub(crate) enum Test {
    Equals(Value<'static>),
    Differs(Value<'static>),
    /// Which outcomes of comparing the argument with the number are true.
    Order(fn(Ordering) -> bool, Decimal<'static>),
    OneOf(Vec<Node<'static>>),
    NoneOf(Vec<Node<'static>>),
    Exists(bool),
    Matches(Regex),
    Contains(Value<'static>),
}

// === impl Truth ===

impl Truth {
    /// All must hold: false if any is false, else undecided if any is.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Undecided, _) | (_, Self::Undecided) => Self::Undecided,
            (Self::True, Self::True) => Self::True,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "true",
            Self::False => "false",
            Self::Undecided => "undecided",
        })
    }
}

// === impl Operator ===

impl Operator {
    /// All of them, with their names in the document.
    pub const NAMED: [(&'static str, Self); 11] = [
        ("eq", Self::Eq),
        ("neq", Self::Neq),
        ("lt", Self::Lt),
        ("lte", Self::Lte),
        ("gt", Self::Gt),
        ("gte", Self::Gte),
        ("in", Self::In),
        ("not_in", Self::NotIn),
        ("exists", Self::Exists),
        ("regex", Self::Regex),
        ("contains", Self::Contains),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::Exists => "exists",
            Self::Regex => "regex",
            Self::Contains => "contains",
        }
    }
}

// === impl ArgumentPath ===

impl ArgumentPath {
    /// Takes a path that starts with `args.` and has no empty member name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let members = text.strip_prefix("args.")?;
        members
            .split('.')
            .all(|name| !name.is_empty())
            .then(|| Self {
                text: text.to_owned(),
            })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The argument at this path; `None` where a member is missing or no object stands.
    pub(crate) fn find<'n, 'a>(&self, arguments: &'n Node<'a>) -> Option<&'n Node<'a>> {
        self.text
            .split('.')
            .skip(1)
            .try_fold(arguments, |node, name| node.get(name))
    }
}

impl fmt::Display for ArgumentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl Condition ===

impl Condition {
    pub(crate) fn truth(&self, arguments: &Node<'_>) -> Truth {
        self.test
            .truth(self.path.find(arguments).map(|node| &node.value))
    }
}

// === impl Test ===

impl Test {
    /// The truth of this test for an argument; `None` is a missing one.
    pub(crate) fn truth(&self, actual: Option<&Value<'_>>) -> Truth {
        let Some(actual) = actual.filter(|value| !matches!(value, Value::Null)) else {
            return Truth::from(matches!(self, Self::Exists(false)));
        };
        let exact = self.truth_of(actual);
        // A program that keeps numbers as doubles would see another number in some fractions, and in
        // some whole numbers of more than 64 bits: where that makes a difference, nothing is decided.
        match actual.as_doubles() {
            Some(rounded) if self.truth_of(&rounded) != exact => Truth::Undecided,
            _ => exact,
        }
    }

    /// The truth of this test for an argument that is there.
    fn truth_of(&self, actual: &Value<'_>) -> Truth {
        match self {
            Self::Equals(value) => value.same(actual).into(),
            Self::Differs(value) => (!value.same(actual)).into(),
            Self::Order(holds, limit) => match actual {
                Value::Number(number) => holds(number.cmp(limit)).into(),
                _ => Truth::Undecided,
            },
            Self::OneOf(values) => has(values, actual).into(),
            Self::NoneOf(values) => (!has(values, actual)).into(),
            Self::Exists(wanted) => (*wanted).into(),
            Self::Matches(pattern) => match actual {
                Value::String(text) => pattern.is_match(text).into(),
                _ => Truth::Undecided,
            },
            Self::Contains(part) => match (actual, part) {
                (Value::Array(items), part) => has(items, part).into(),
                (Value::String(text), Value::String(part)) => text.contains(&**part).into(),
                _ => Truth::Undecided,
            },
        }
    }
}

fn has(items: &[Node<'_>], value: &Value<'_>) -> bool {
    items.iter().any(|item| item.value.same(value))
}
