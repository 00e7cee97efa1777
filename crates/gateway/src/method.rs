//! Which methods may pass: an allow-list, to which a server's entry may add. What is not on it
//! reaches no upstream, so that no effect of a tool can be had under another name.

use std::borrow::Cow;
use std::collections::BTreeSet;

use quotum_registry::server::ServerSpec;

use crate::era::Era;
use crate::json::{Kind, Raw};
use crate::limits::TOOL_NAME_BYTES_MAX;
use crate::shape::Message;
use crate::status::Refusal;

#[cfg(test)]
mod tests;

pub const INITIALIZE: &str = "initialize";
pub const TOOLS_LIST: &str = "tools/list";
pub const TOOLS_CALL: &str = "tools/call";
pub const SUBSCRIPTIONS_LISTEN: &str = "subscriptions/listen";

/// Requests of the legacy era that every server gets.
const LEGACY_REQUESTS: [&str; 5] = [
    INITIALIZE,
    "ping",
    TOOLS_LIST,
    TOOLS_CALL,
    "logging/setLevel",
];
/// Requests of the modern era that every server gets.
const MODERN_REQUESTS: [&str; 4] = [
    "server/discover",
    TOOLS_LIST,
    TOOLS_CALL,
    SUBSCRIPTIONS_LISTEN,
];
/// Notifications that every server gets.
const LEGACY_NOTIFICATIONS: [&str; 4] = [
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
];
/// The modern era ends a request by closing its stream, but has not forbidden to say so.
const MODERN_NOTIFICATIONS: [&str; 1] = ["notifications/cancelled"];
/// Tasks of one caller: `tasks/list` would show those of all, and never passes.
const TASK_REQUESTS: [&str; 4] = ["tasks/get", "tasks/result", "tasks/update", "tasks/cancel"];

/// What a server's entry adds.
#[derive(Debug, Clone, Copy)]
pub struct Extra<'a> {
    pub methods: &'a BTreeSet<String>,
    pub tasks: Tasks,
}

/// Whether calls may become tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks {
    On,
    Off,
}

/// A call of a tool, as its parameters say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall<'a> {
    pub tool: Cow<'a, str>,
    /// An object.
    pub arguments: Option<Raw<'a>>,
}

/// Whether a message may pass to the upstream.
pub fn check(message: &Message<'_>, era: Era, extra: Extra<'_>) -> Result<(), Refusal> {
    let forbidden = if era.is_modern() {
        Refusal::MethodForbiddenModern
    } else {
        Refusal::MethodForbidden
    };
    match message {
        Message::Response { .. } => Ok(()),
        Message::Notification { method, .. } => {
            if is_notification(method, era, extra) {
                Ok(())
            } else {
                Err(Refusal::NotificationForbidden)
            }
        }
        Message::Request { method, params, .. } => {
            if !is_request(method, era, extra) {
                return Err(forbidden);
            }
            if extra.tasks == Tasks::Off && asks_for_tasks(method, *params) {
                return Err(forbidden);
            }
            Ok(())
        }
    }
}

fn is_request(method: &str, era: Era, extra: Extra<'_>) -> bool {
    if method.starts_with("notifications/") {
        return false;
    }
    if method.starts_with("tasks/") {
        return extra.tasks == Tasks::On && TASK_REQUESTS.contains(&method);
    }
    let usual: &[&str] = if era.is_modern() {
        &MODERN_REQUESTS
    } else {
        &LEGACY_REQUESTS
    };
    usual.contains(&method) || extra.methods.contains(method)
}

fn is_notification(method: &str, era: Era, extra: Extra<'_>) -> bool {
    let usual: &[&str] = if era.is_modern() {
        &MODERN_NOTIFICATIONS
    } else {
        &LEGACY_NOTIFICATIONS
    };
    let added = method.starts_with("notifications/") && extra.methods.contains(method);
    usual.contains(&method) || added
}

fn asks_for_tasks(method: &str, params: Option<Raw<'_>>) -> bool {
    let Some(params) = params else { return false };
    match method {
        TOOLS_CALL => params.get("task").is_some(),
        SUBSCRIPTIONS_LISTEN => params
            .get("notifications")
            .is_some_and(|wanted| wanted.get("taskIds").is_some()),
        _ => false,
    }
}

// === impl Tasks ===

impl Tasks {
    /// What a server's entry says.
    pub fn of(spec: &ServerSpec) -> Self {
        if spec.tasks { Self::On } else { Self::Off }
    }
}

// === impl ToolCall ===

impl<'a> ToolCall<'a> {
    /// Reads the parameters of `tools/call`. A name is taken as it is, byte for byte, and only
    /// where it is one that every program writes alike.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, Refusal> {
        let mut name = None;
        let mut arguments = None;
        for (member, value) in params.into_iter().flat_map(Raw::members) {
            match member.as_ref() {
                "name" => name = value.string(),
                "arguments" => arguments = Some(value),
                _ => {}
            }
        }
        let tool = name
            .filter(|name| is_tool_name(name))
            .ok_or(Refusal::ToolNameInvalid)?;
        if arguments.is_some_and(|arguments| arguments.kind() != Kind::Object) {
            return Err(Refusal::ParamsInvalid);
        }
        Ok(Self { tool, arguments })
    }
}

fn is_tool_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    (1..=TOOL_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}
