//! Tasks: calls that answer later. A client knows a task by a seal over the upstream's id, made for
//! its grant alone when its own call became the task; in requests the seals are opened, in answers
//! the upstream's ids are written as their seals again.
//!
//! Promises: no request reaches the upstream that names a task by anything but a seal of this grant
//! and server; an id becomes a seal only as the answer to a call of the grant that asked for it, so
//! whatever else an upstream says of tasks opens nothing.

use std::borrow::Cow;

use bytes::Bytes;

use crate::era::META_CAPABILITIES;
use crate::filter::{Edit, apply, range_in};
use crate::json::{Kind, Raw, scan_reply};
use crate::limits::TASKS_PER_REQUEST_MAX;
use crate::method::{SUBSCRIPTIONS_LISTEN, TOOLS_CALL, Tasks};
use crate::session::{SessionKeys, Task, looks_like_sealed_task};
use crate::shape::Message;
use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// What ties a message to a task.
const RELATED: &str = "io.modelcontextprotocol/related-task";
/// The extension of the modern era, by which a client says that it takes tasks.
const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// Where capabilities name extensions.
const EXTENSIONS: &str = "extensions";
/// The capability of the legacy era.
const TASKS: &str = "tasks";
/// What notifications about tasks begin with.
const NOTIFICATIONS: &str = "notifications/tasks";

/// A request whose task ids were opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The body for the upstream; `None`: it stays as it is.
    pub body: Option<Bytes>,
    /// The tasks that it names.
    pub tasks: Vec<Task>,
}

/// Who asks, and how its seals are made.
#[derive(Debug, Clone)]
pub struct Sealer {
    pub keys: SessionKeys,
    pub server: String,
    pub grant: String,
}

/// The tasks that an answer may speak of.
#[derive(Debug, Clone)]
pub struct TaskIds {
    sealer: Sealer,
    own: Vec<Task>,
    /// The tool of the call that is answered: it may become a task.
    calls: Option<String>,
}

/// A message about tasks that are not this client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message speaks of tasks that are not the client's")]
pub struct Foreign;

// === impl Sealer ===

impl Sealer {
    /// Opens the ids in a body that was checked. `permits`: whether a tool may still be called.
    pub fn open(
        &self,
        body: &[u8],
        tasks: Tasks,
        permits: &dyn Fn(&str) -> bool,
    ) -> Result<Opened, Refusal> {
        let whole = scan_reply(body).map_err(Refusal::Json)?;
        let mut opening = Opening {
            sealer: self,
            whole,
            edits: Vec::new(),
            tasks: Vec::new(),
        };
        match tasks {
            Tasks::On => opening.message(permits)?,
            Tasks::Off => opening.refuse_tasks(),
        }
        let Opening { edits, tasks, .. } = opening;
        Ok(Opened {
            body: apply(whole.text(), edits).map(Bytes::from),
            tasks,
        })
    }
}

/// A request in which ids are being opened.
struct Opening<'a> {
    sealer: &'a Sealer,
    whole: Raw<'a>,
    edits: Vec<Edit>,
    tasks: Vec<Task>,
}

// === impl Opening ===

impl<'a> Opening<'a> {
    fn message(&mut self, permits: &dyn Fn(&str) -> bool) -> Result<(), Refusal> {
        let method = self.whole.get("method").and_then(Raw::string);
        let Some(method) = method else {
            return self.response();
        };
        let Some(params) = self.whole.get("params") else {
            return if method.starts_with("tasks/") {
                Err(Refusal::ParamsInvalid)
            } else {
                Ok(())
            };
        };
        if let Some(related) = related(params) {
            self.id(related)?;
        }
        match method.as_ref() {
            SUBSCRIPTIONS_LISTEN => {
                let wanted = params
                    .get("notifications")
                    .and_then(|all| all.get("taskIds"));
                if let Some(ids) = wanted {
                    self.list(ids)?;
                }
            }
            method if method.starts_with("tasks/") => {
                self.id(params.get("taskId").ok_or(Refusal::ParamsInvalid)?)?;
            }
            _ => {}
        }
        // What is not permitted any more may be ended, and nothing else.
        let ends = method == "tasks/cancel";
        match self.tasks.iter().all(|task| ends || permits(&task.tool)) {
            true => Ok(()),
            false => Err(Refusal::TaskForbidden),
        }
    }

    /// The answer to a request of the upstream. Such a request may have belonged to a task of the
    /// client's own, which has an id of the client's own.
    fn response(&mut self) -> Result<(), Refusal> {
        let result = self.whole.get("result");
        match result.and_then(related) {
            Some(id) if id.string().is_some_and(|id| looks_like_sealed_task(&id)) => self.id(id),
            _ => Ok(()),
        }
    }

    fn list(&mut self, ids: Raw<'a>) -> Result<(), Refusal> {
        if ids.kind() != Kind::Array {
            return Err(Refusal::ParamsInvalid);
        }
        ids.elements().try_for_each(|id| self.id(id))
    }

    fn id(&mut self, id: Raw<'a>) -> Result<(), Refusal> {
        if self.tasks.len() == TASKS_PER_REQUEST_MAX {
            return Err(Refusal::ParamsInvalid);
        }
        let sealed = id.string().ok_or(Refusal::ParamsInvalid)?;
        let Sealer {
            keys,
            server,
            grant,
        } = self.sealer;
        let task = keys.open_task(server, grant, &sealed)?;
        self.edits
            .push((range_in(self.whole, id), quoted(&task.upstream)));
        self.tasks.push(task);
        Ok(())
    }

    /// Takes back that the client takes tasks, so that no call becomes one.
    fn refuse_tasks(&mut self) {
        let extensions = self.whole.get("params").and_then(extensions);
        let Some(extensions) = extensions else { return };
        self.edits.push((
            range_in(self.whole, extensions),
            without_extension(extensions),
        ));
    }
}

// === impl TaskIds ===

impl TaskIds {
    /// Of a request that named these tasks. `calls`: the tool, if it is a call.
    pub fn new(sealer: Sealer, own: Vec<Task>, calls: Option<String>) -> Self {
        Self { sealer, own, calls }
    }

    /// Writes the client's ids into a message of the upstream, or into an array of them. `answers`
    /// tells of a message whether it is the answer to the request.
    pub fn seal(
        &mut self,
        message: &str,
        answers: &dyn Fn(Raw<'_>) -> bool,
    ) -> Result<Option<String>, Foreign> {
        let whole = scan_reply(message.as_bytes()).map_err(|_| Foreign)?;
        let mut edits = Vec::new();
        match whole.kind() {
            Kind::Array => {
                for one in whole.elements() {
                    self.one(whole, one, answers(one), &mut edits)?;
                }
            }
            _ => self.one(whole, whole, answers(whole), &mut edits)?,
        }
        Ok(apply(message, shifted(edits, message, whole)))
    }

    fn one(
        &mut self,
        whole: Raw<'_>,
        message: Raw<'_>,
        answers: bool,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Foreign> {
        let method = message.get("method").and_then(Raw::string);
        if let Some(params) = message.get("params") {
            if method.is_some_and(|method| method.starts_with(NOTIFICATIONS)) {
                // Whose it is, nobody here can tell, unless it is one that was asked for.
                let id = params.get("taskId").ok_or(Foreign)?;
                self.own(whole, id, edits).ok_or(Foreign)?;
            }
            let acknowledged = params
                .get("notifications")
                .and_then(|all| all.get("taskIds"));
            for id in acknowledged.into_iter().flat_map(Raw::elements) {
                self.own(whole, id, edits);
            }
            self.own_if(whole, related(params), edits);
        }
        let Some(result) = message.get("result") else {
            return Ok(());
        };
        let listed = result.get("tasks").into_iter().flat_map(Raw::elements);
        if listed.into_iter().any(|task| task.get("taskId").is_some()) {
            return Err(Foreign);
        }
        let id = task_id(result);
        if answers && let Some(id) = id.and_then(Raw::string) {
            self.make(&id);
        }
        self.own_if(whole, id, edits);
        self.own_if(whole, related(result), edits);
        Ok(())
    }

    /// The call has become a task.
    fn make(&mut self, upstream: &str) {
        let Some(tool) = &self.calls else { return };
        if self.own.iter().any(|task| task.upstream == upstream) {
            return;
        }
        let Sealer {
            keys,
            server,
            grant,
        } = &self.sealer;
        self.own
            .extend(keys.seal_task(server, grant, tool, upstream));
    }

    fn own_if(&self, whole: Raw<'_>, id: Option<Raw<'_>>, edits: &mut Vec<Edit>) {
        if let Some(id) = id {
            self.own(whole, id, edits);
        }
    }

    /// Writes the seal of an id that is the client's own.
    fn own(&self, whole: Raw<'_>, id: Raw<'_>, edits: &mut Vec<Edit>) -> Option<()> {
        let text = id.string()?;
        let task = self.own.iter().find(|task| task.upstream == text)?;
        edits.push((range_in(whole, id), quoted(&task.sealed)));
        Some(())
    }
}

/// Edits of `whole` as edits of the text that it stands in, which may begin with space.
fn shifted(edits: Vec<Edit>, text: &str, whole: Raw<'_>) -> Vec<Edit> {
    let before = whole.text().as_ptr() as usize - text.as_ptr() as usize;
    let shift = |(range, new): Edit| (range.start + before..range.end + before, new);
    edits.into_iter().map(shift).collect()
}

/// The id of the task that a message belongs to.
fn related(holder: Raw<'_>) -> Option<Raw<'_>> {
    holder.get("_meta")?.get(RELATED)?.get("taskId")
}

/// The id of the task that a result describes: in it, or in its `task`.
fn task_id(result: Raw<'_>) -> Option<Raw<'_>> {
    let nested = result.get("task").and_then(|task| task.get("taskId"));
    nested.or_else(|| result.get("taskId"))
}

/// The extensions that a client takes.
fn extensions(params: Raw<'_>) -> Option<Raw<'_>> {
    let capabilities = params.get("_meta")?.get(META_CAPABILITIES)?;
    capabilities.get(EXTENSIONS)
}

/// What a server says that it can do, without tasks; `None`: it says nothing of them.
pub fn without_tasks(capabilities: Raw<'_>) -> Option<String> {
    let extends = |value: Raw<'_>| value.get(EXTENSION).is_some();
    let mut members = capabilities.members();
    if !members.any(|(name, value)| name == TASKS || name == EXTENSIONS && extends(value)) {
        return None;
    }
    let kept = capabilities.members().filter(|(name, _)| name != TASKS);
    Some(object(kept.map(|(name, value)| {
        let text = match name == EXTENSIONS && extends(value) {
            true => without_extension(value),
            false => value.text().to_owned(),
        };
        (name, text)
    })))
}

/// Extensions without that of tasks.
fn without_extension(extensions: Raw<'_>) -> String {
    let kept = extensions.members().filter(|(name, _)| name != EXTENSION);
    object(kept.map(|(name, value)| (name, value.text().to_owned())))
}

/// The text of an object with these members.
fn object<'a>(members: impl Iterator<Item = (Cow<'a, str>, String)>) -> String {
    let members = members.map(|(name, value)| format!("{}:{value}", quoted(&name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Whether a request says that its answer may be a task.
pub fn is_offered(message: &Message<'_>) -> bool {
    let params = message.call().and_then(|(_, params)| params);
    params
        .and_then(extensions)
        .is_some_and(|extensions| extensions.get(EXTENSION).is_some())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The tool that a message calls.
pub fn called<'a>(method: &str, params: Option<Raw<'a>>) -> Option<Cow<'a, str>> {
    match method {
        TOOLS_CALL => params?.get("name")?.string(),
        _ => None,
    }
}
