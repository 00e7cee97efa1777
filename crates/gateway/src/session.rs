//! Session ids of the legacy era, ids of the events of their streams, and ids of tasks: the client
//! sees a seal over the upstream's id, bound to server and grant, that of an event to the session too. Any replica with the key opens it; nobody else's grant does. Keeps no
//! sessions and no tasks.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use quotum_registry::secret::MasterKey;
use quotum_registry::secret::sealing::SealNonce;
use ring::rand::{SecureRandom, SystemRandom};

use crate::limits::{
    EVENT_ID_BYTES_MAX, SEALED_ID_BYTES_MAX, SESSION_ID_BYTES_MAX, SESSION_KEYS_MAX,
    TASK_ID_BYTES_MAX, TOOL_NAME_BYTES_MAX,
};
use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// The keys of session and task ids, shared by all gateways: the first seals, all of them open.
#[derive(Debug, Clone)]
pub struct SessionKeys {
    keys: Arc<[SessionKey]>,
    random: SystemRandom,
}

/// A key and the label that seals made with it carry.
#[derive(Debug, Clone)]
pub struct SessionKey {
    /// 1 to 16 of `a-z` and `0-9`.
    pub id: String,
    pub key: Arc<MasterKey>,
}

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionKeysError {
    #[error("1 to {SESSION_KEYS_MAX} session keys are needed")]
    Count,
    #[error("{0:?} is no key id: use 1 to 16 of a-z and 0-9")]
    Id(String),
    #[error("the key id {0:?} appears twice")]
    Twice(String),
}

/// An open session id: what the upstream minted, and what the client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub upstream: String,
    pub sealed: String,
}

/// An open task id: what the upstream minted, for which tool, and what the client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub tool: String,
    pub upstream: String,
    pub sealed: String,
}

/// What a seal is for. No seal of one kind opens as another.
#[derive(Clone, Copy)]
struct Kind {
    version: &'static str,
    label: &'static [u8],
}

const SESSION: Kind = Kind {
    version: "v1",
    label: b"quotum mcp session",
};
const EVENT: Kind = Kind {
    version: "e1",
    label: b"quotum mcp event",
};
const TASK: Kind = Kind {
    version: "t1",
    label: b"quotum mcp task",
};

/// Parts the tool and the id of a task: no name of a tool has it.
const TASK_SEPARATOR: char = '\n';

// === impl SessionKeys ===

impl SessionKeys {
    /// Takes the keys, the sealing one first, and after it those that still open older ids.
    pub fn new(keys: Vec<SessionKey>) -> Result<Self, SessionKeysError> {
        if keys.is_empty() || keys.len() > SESSION_KEYS_MAX {
            return Err(SessionKeysError::Count);
        }
        for (index, key) in keys.iter().enumerate() {
            let plain = key
                .id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !plain || !(1..=16).contains(&key.id.len()) {
                return Err(SessionKeysError::Id(key.id.chars().take(32).collect()));
            }
            if keys[..index].iter().any(|other| other.id == key.id) {
                return Err(SessionKeysError::Twice(key.id.clone()));
            }
        }
        Ok(Self {
            keys: keys.into(),
            random: SystemRandom::new(),
        })
    }

    /// Seals an id that the upstream minted. `None`: it is no session id.
    pub fn seal(&self, server: &str, grant: &str, upstream: &str) -> Option<Session> {
        if !is_session_id(upstream) {
            return None;
        }
        Some(Session {
            upstream: upstream.to_owned(),
            sealed: self.seal_text(SESSION, &[server, grant], upstream)?,
        })
    }

    /// Opens what a client sent, for this server and this grant and no other.
    pub fn open(&self, server: &str, grant: &str, sealed: &str) -> Result<Session, Refusal> {
        let upstream = self.open_text(SESSION, &[server, grant], sealed);
        let upstream = upstream.filter(|upstream| is_session_id(upstream));
        Ok(Session {
            upstream: upstream.ok_or(Refusal::SessionUnknown)?,
            sealed: sealed.to_owned(),
        })
    }

    /// Seals the id of an event in a session's stream. `None`: no client could send it back.
    pub fn seal_event(
        &self,
        (server, grant): (&str, &str),
        session: &Session,
        upstream: &str,
    ) -> Option<String> {
        if !is_event_id(upstream) {
            return None;
        }
        self.seal_text(EVENT, &[server, grant, &session.upstream], upstream)
    }

    /// Opens the id of an event for this server, this grant and this session and no other.
    pub fn open_event(
        &self,
        (server, grant): (&str, &str),
        session: &Session,
        sealed: &str,
    ) -> Result<String, Refusal> {
        let upstream = self.open_text(EVENT, &[server, grant, &session.upstream], sealed);
        let upstream = upstream.filter(|upstream| is_event_id(upstream));
        upstream.ok_or(Refusal::EventIdUnknown)
    }

    /// Seals the id of the task that a call of `tool` has become. `None`: it is no task id.
    pub fn seal_task(&self, server: &str, grant: &str, tool: &str, upstream: &str) -> Option<Task> {
        if !is_task_id(upstream) || tool.len() > TOOL_NAME_BYTES_MAX {
            return None;
        }
        let plain = format!("{tool}{TASK_SEPARATOR}{upstream}");
        Some(Task {
            tool: tool.to_owned(),
            upstream: upstream.to_owned(),
            sealed: self.seal_text(TASK, &[server, grant], &plain)?,
        })
    }

    /// Opens a task id for this server and this grant and no other.
    pub fn open_task(&self, server: &str, grant: &str, sealed: &str) -> Result<Task, Refusal> {
        let plain = self.open_text(TASK, &[server, grant], sealed);
        let plain = plain.ok_or(Refusal::TaskUnknown)?;
        let parts = plain.split_once(TASK_SEPARATOR);
        let (tool, upstream) = parts.ok_or(Refusal::TaskUnknown)?;
        Ok(Task {
            tool: tool.to_owned(),
            upstream: upstream.to_owned(),
            sealed: sealed.to_owned(),
        })
    }

    fn seal_text(&self, kind: Kind, bound: &[&str], plain: &str) -> Option<String> {
        let mut nonce = [0; SealNonce::BYTES];
        self.random.fill(&mut nonce).ok()?;
        let key = &self.keys[0];
        let context = context(kind, &key.id, bound);
        let sealing = key.key.sessions();
        let sealed = sealing
            .seal(SealNonce(nonce), &context, plain.as_bytes())
            .ok()?;
        let sealed = BASE64_URL_SAFE_NO_PAD.encode(sealed);
        Some(format!("{}.{}.{sealed}", kind.version, key.id))
    }

    fn open_text(&self, kind: Kind, bound: &[&str], sealed: &str) -> Option<String> {
        if sealed.len() > SEALED_ID_BYTES_MAX {
            return None;
        }
        let (key_id, bytes) = sealed
            .strip_prefix(kind.version)?
            .strip_prefix('.')?
            .split_once('.')?;
        let key = self.keys.iter().find(|key| key.id == key_id)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(bytes).ok()?;
        let context = context(kind, key_id, bound);
        let plain = key.key.sessions().open(&context, &bytes).ok()?;
        Some(std::str::from_utf8(&plain).ok()?.to_owned())
    }
}

/// Whether a text has the form of a sealed task id.
pub fn looks_like_sealed_task(text: &str) -> bool {
    text.strip_prefix(TASK.version)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// What a seal is bound to. Lengths stand before the names, so that no two contexts are equal.
fn context(kind: Kind, key_id: &str, bound: &[&str]) -> Vec<u8> {
    let mut context = kind.label.to_vec();
    for part in [kind.version, key_id].iter().chain(bound) {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}

/// Any text of bounded length.
fn is_task_id(id: &str) -> bool {
    (1..=TASK_ID_BYTES_MAX).contains(&id.len())
}

/// What a header can carry, of bounded length.
fn is_event_id(id: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    (1..=EVENT_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_visible)
}

/// Visible ASCII of bounded length, as the protocol demands.
fn is_session_id(id: &str) -> bool {
    (1..=SESSION_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}
