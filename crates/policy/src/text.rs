//! The texts that an agent reads when a call is denied.

use std::time::Duration;

use quotum_limit::Algorithm;
use quotum_limit::limits::UNITS_MAX;

use crate::condition::{ArgumentPath, Condition, Test};
use crate::limit::{ALL_TOOLS, Limit};
use crate::limits::TOOL_NAME_CHARS_MAX;
use crate::problem::{clipped, shown};

#[cfg(test)]
mod tests;

/// Precedes the message in the text of a denied call.
pub const PREFIX: &str = "[POLICY DENIED] ";

/// No counter answered within the deadline, and the limit denies then.
pub const UNAVAILABLE: &str = "The rate limit cannot be checked right now. Retry later.";

/// The counter service has no room for another counter.
pub const EXHAUSTED: &str = "The rate limit cannot be counted right now. Retry later.";

/// The grant has no policy.
pub const NO_POLICY: &str = "This grant has no policy.";

/// What a limit says when it has no units for a call of `tool`: its `on_deny`, else the default
/// text. `retry_after` is `None` where the call asks for more than the limit ever admits.
pub fn limit_denied(limit: &Limit, tool: &str, retry_after: Option<Duration>) -> String {
    if let Some(text) = limit.on_deny() {
        return text.to_owned();
    }
    let rate = match limit.algorithm() {
        Algorithm::Fixed => format!("{} per {}", limit.max(), limit.window()),
        Algorithm::Sliding => format!("{} in any {}", limit.max(), limit.window()),
    };
    let whom = match limit.owner() {
        ALL_TOOLS => "all tools together".to_owned(),
        _ => tool_name(tool),
    };
    match retry_after {
        Some(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            format!(
                "Rate limit of {rate} reached for {whom}. Retry in {} s.",
                seconds.max(1)
            )
        }
        None => {
            format!("This call asks for more than the rate limit of {rate} for {whom} ever admits.")
        }
    }
}

/// The tool is not listed under `default: deny`, or is hidden there.
pub(crate) fn not_permitted(tool: &str) -> String {
    format!("Tool \"{}\" is not permitted by policy.", tool_name(tool))
}

/// The tool is hidden under `default: allow`.
pub(crate) fn unknown_tool(tool: &str) -> String {
    format!("Unknown tool: {}", tool_name(tool))
}

/// The tool's `action` is `deny`, and there is no `reason`.
pub(crate) fn action_denied(tool: &str) -> String {
    format!("Tool \"{}\" is denied by policy.", tool_name(tool))
}

/// The arguments are no object that conditions can be evaluated on.
pub(crate) fn arguments_unread(why: &str) -> String {
    format!("The policy cannot read the arguments of this call: {why}.")
}

/// A group of `require` does not hold, and has no `on_deny`.
pub(crate) fn required(conditions: &[Condition]) -> String {
    format!("Required by policy: {}.", joined(conditions))
}

/// A group of `deny_if` holds or is undecided, and has no `on_deny`.
pub(crate) fn denied(conditions: &[Condition]) -> String {
    match conditions {
        [] => "Denied by policy.".to_owned(),
        _ => format!("Denied by policy: {}.", joined(conditions)),
    }
}

/// The argument that a limit counts is missing, or no whole number within bounds.
pub(crate) fn no_units(path: &ArgumentPath) -> String {
    format!("A limit counts {path}: it must be a whole number from 0 to {UNITS_MAX}.")
}

/// A condition in words: `args.amount gt 100`.
pub(crate) fn condition(condition: &Condition) -> String {
    match condition.test {
        Test::Exists(true) => format!("{} exists", condition.path),
        Test::Exists(false) => format!("{} does not exist", condition.path),
        _ => {
            let value = shown(&condition.value_text);
            format!("{} {} {value}", condition.path, condition.operator.name())
        }
    }
}

fn joined(conditions: &[Condition]) -> String {
    conditions
        .iter()
        .map(condition)
        .collect::<Vec<_>>()
        .join(" and ")
}

fn tool_name(tool: &str) -> String {
    clipped(tool, TOOL_NAME_CHARS_MAX)
}
