//! Differences: what changed between two policy documents, member by member.

use serde_json::Value;

use super::members::pointer;

/// The most members that one line names; the others are a number.
const NAMED_MAX: usize = 6;

/// The longest value that is shown as it is.
const SHOWN_CHARS_MAX: usize = 40;

/// Whether both texts are the same JSON. Text that is no JSON is equal to itself only.
pub(super) fn is_same(before: &str, after: &str) -> bool {
    before == after
        || match (
            serde_json::from_str::<Value>(before),
            serde_json::from_str::<Value>(after),
        ) {
            (Ok(before), Ok(after)) => before == after,
            _ => false,
        }
}

/// `/tools/x/limits/0/max 30 -> 60, + /hide, - /tools/y and 3 more`.
pub(super) fn described(before: &str, after: &str) -> String {
    let (Ok(before), Ok(after)) = (serde_json::from_str(before), serde_json::from_str(after))
    else {
        return "document changed".to_owned();
    };
    let mut found = Vec::new();
    compare("", &before, &after, &mut found);
    let more = found.len().saturating_sub(NAMED_MAX);
    found.truncate(NAMED_MAX);
    match more {
        0 => found.join(", "),
        more => format!("{} and {more} more", found.join(", ")),
    }
}

fn compare(place: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                match after.get(name) {
                    Some(other) => compare(&pointer(place, name), value, other, found),
                    None => found.push(format!("- {}", pointer(place, name))),
                }
            }
            let added = after.keys().filter(|name| !before.contains_key(*name));
            found.extend(added.map(|name| format!("+ {}", pointer(place, name))));
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (value, other)) in before.iter().zip(after).enumerate() {
                compare(&format!("{place}/{index}"), value, other, found);
            }
        }
        (before, after) if before == after => {}
        (before, after) => found.push(format!("{place} {} -> {}", shown(before), shown(after))),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.chars().count() > SHOWN_CHARS_MAX {
        true => text
            .chars()
            .take(SHOWN_CHARS_MAX)
            .chain("..".chars())
            .collect(),
        false => text,
    }
}
