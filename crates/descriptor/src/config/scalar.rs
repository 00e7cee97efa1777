//! Scalars: texts, truths and numbers, as Go's parser of YAML 1.1 takes them.

use std::collections::BTreeMap;

use super::Reader;
use crate::domain::Metadata;
use crate::problem::shown;
use crate::yaml::{Node, Place, Value};

const TRUE: [&str; 11] = [
    "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE",
];
const FALSE: [&str; 11] = [
    "n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE",
];

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

// === impl Reader ===

impl Reader<'_> {
    /// A text, empty where there is none. A number or a truth is the text that stands there.
    pub(super) fn text(&mut self, node: Option<&Node>) -> String {
        let Some(node) = node else {
            return String::new();
        };
        match &node.value {
            Value::Scalar {
                text,
                is_plain: true,
            } if is_null(text) => String::new(),
            Value::Scalar { text, .. } => text.clone(),
            _ => {
                self.problem(node.place, "this must be a text");
                String::new()
            }
        }
    }

    pub(super) fn truth(&mut self, node: Option<&Node>) -> bool {
        let Some(node) = node else { return false };
        if let Value::Scalar {
            text,
            is_plain: true,
        } = &node.value
        {
            if TRUE.contains(&text.as_str()) {
                return true;
            }
            if is_null(text) || FALSE.contains(&text.as_str()) {
                return false;
            }
        }
        self.problem(node.place, "this must be true or false");
        false
    }

    /// A number of requests.
    pub(super) fn number(&mut self, node: &Node) -> u32 {
        let parsed = match &node.value {
            Value::Scalar {
                text,
                is_plain: true,
            } if is_null(text) => Some(0),
            Value::Scalar {
                text,
                is_plain: true,
            } => whole(text),
            _ => None,
        };
        parsed.unwrap_or_else(|| {
            let found = match &node.value {
                Value::Scalar { text, .. } => format!(", not `{}`", shown(text)),
                _ => String::new(),
            };
            let most = u32::MAX;
            self.problem(
                node.place,
                format!("this must be a whole number from 0 to {most}{found}"),
            );
            0
        })
    }
}

/// Decimal, or with a prefix for another base; underscores divide digits.
fn whole(text: &str) -> Option<u32> {
    let digits = text.replace('_', "");
    let (digits, base) = match digits.get(..2) {
        Some("0x") => (&digits[2..], 16),
        Some("0b") => (&digits[2..], 2),
        Some("0o") => (&digits[2..], 8),
        _ if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits.as_str(), 10),
    };
    let starts_with_digit = digits.starts_with(|c: char| c.is_digit(base));
    starts_with_digit
        .then(|| u32::from_str_radix(digits, base).ok())
        .flatten()
}

/// A value of JSON, or where there is a key that is no text.
pub(super) fn metadata(node: &Node) -> Result<Metadata, Place> {
    Ok(match &node.value {
        Value::Scalar {
            text,
            is_plain: false,
        } => Metadata::Text(text.clone()),
        Value::Scalar { text, .. } if is_null(text) => Metadata::Null,
        Value::Scalar { text, .. } if TRUE.contains(&text.as_str()) => Metadata::Truth(true),
        Value::Scalar { text, .. } if FALSE.contains(&text.as_str()) => Metadata::Truth(false),
        Value::Scalar { text, .. } => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Metadata::Number(number),
            _ => Metadata::Text(text.clone()),
        },
        Value::List(nodes) => Metadata::List(nodes.iter().map(metadata).collect::<Result<_, _>>()?),
        Value::Map(members) => {
            let mut map = BTreeMap::new();
            for (name, value) in members {
                let Value::Scalar { text, .. } = &name.value else {
                    return Err(name.place);
                };
                map.insert(text.clone(), metadata(value)?);
            }
            Metadata::Map(map)
        }
    })
}
