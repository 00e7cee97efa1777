//! What a message of an upstream says about the call that it answers.

use crate::json::{Kind, Raw};

#[cfg(test)]
mod tests;

/// How a call ended, as its answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A result that says of itself whether the tool failed.
    Result { is_error: bool },
    /// A JSON-RPC error; `None`: its code is no integer.
    Error { code: Option<i64> },
}

/// The answer to the request `id` in a message, or in an array of them. An error that names no
/// request answers the only one there is.
pub fn answer_to(message: Raw<'_>, id: Raw<'_>) -> Option<Answer> {
    if message.kind() == Kind::Array {
        return message
            .elements()
            .find_map(|element| answer_of_one(element, id));
    }
    answer_of_one(message, id)
}

fn answer_of_one(message: Raw<'_>, id: Raw<'_>) -> Option<Answer> {
    let (mut answered, mut result, mut error) = (None, None, None);
    for (name, value) in message.members() {
        match name.as_ref() {
            "id" => answered = Some(value),
            "result" => result = Some(value),
            "error" => error = Some(value),
            "method" => return None,
            _ => {}
        }
    }
    let names_none = answered.is_none_or(|answered| answered.kind() == Kind::Null);
    let same = answered.is_some_and(|answered| is_same_id(answered, id));
    match (result, error) {
        (Some(result), None) if same => {
            let is_error = result
                .get("isError")
                .is_some_and(|value| value.text() == "true");
            Some(Answer::Result { is_error })
        }
        (None, Some(error)) if same || names_none => Some(Answer::Error {
            code: error.get("code").and_then(Raw::integer),
        }),
        _ => None,
    }
}

fn is_same_id(left: Raw<'_>, right: Raw<'_>) -> bool {
    match (left.string(), right.string()) {
        (Some(left), Some(right)) => left == right,
        (None, None) => left.text() == right.text(),
        _ => false,
    }
}
