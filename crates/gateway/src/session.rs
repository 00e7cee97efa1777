//! Session ids of the legacy era: the client sees a seal over the upstream's id, bound to server
//! and grant. Any replica with the key opens it; nobody else's grant does. Keeps no sessions.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use quotum_registry::secret::MasterKey;
use quotum_registry::secret::sealing::SealNonce;
use ring::rand::{SecureRandom, SystemRandom};

use crate::limits::{SEALED_ID_BYTES_MAX, SESSION_ID_BYTES_MAX, SESSION_KEYS_MAX};
use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// The keys of session ids, shared by all gateways: the first seals, all of them open.
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

const VERSION: &str = "v1";

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
        let mut nonce = [0; SealNonce::BYTES];
        self.random.fill(&mut nonce).ok()?;
        let key = &self.keys[0];
        let context = context(&key.id, server, grant);
        let sealing = key.key.sessions();
        let sealed = sealing
            .seal(SealNonce(nonce), &context, upstream.as_bytes())
            .ok()?;
        let sealed = BASE64_URL_SAFE_NO_PAD.encode(sealed);
        let sealed = format!("{VERSION}.{}.{sealed}", key.id);
        Some(Session {
            upstream: upstream.to_owned(),
            sealed,
        })
    }

    /// Opens what a client sent, for this server and this grant and no other.
    pub fn open(&self, server: &str, grant: &str, sealed: &str) -> Result<Session, Refusal> {
        self.try_open(server, grant, sealed)
            .ok_or(Refusal::SessionUnknown)
    }

    fn try_open(&self, server: &str, grant: &str, sealed: &str) -> Option<Session> {
        if sealed.len() > SEALED_ID_BYTES_MAX {
            return None;
        }
        let (key_id, bytes) = sealed
            .strip_prefix(VERSION)?
            .strip_prefix('.')?
            .split_once('.')?;
        let key = self.keys.iter().find(|key| key.id == key_id)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(bytes).ok()?;
        let plain = key
            .key
            .sessions()
            .open(&context(key_id, server, grant), &bytes)
            .ok()?;
        let upstream = std::str::from_utf8(&plain).ok()?.to_owned();
        is_session_id(&upstream).then(|| Session {
            upstream,
            sealed: sealed.to_owned(),
        })
    }
}

/// What a seal is bound to. Lengths stand before the names, so that no two contexts are equal.
fn context(key_id: &str, server: &str, grant: &str) -> Vec<u8> {
    let mut context = b"quotum mcp session".to_vec();
    for part in [VERSION, key_id, server, grant] {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}

/// Visible ASCII of bounded length, as the protocol demands.
fn is_session_id(id: &str) -> bool {
    (1..=SESSION_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}
