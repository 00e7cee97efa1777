//! The view: the registry as a gateway uses it. Built whole, never changed, replaced by the next.
//!
//! Promises: what cannot be used refuses and says so, without touching the rest: a credential that
//! does not open takes only its server down, a document that is no policy only its grants.
//! Knows nothing of time: `now_ms` arrives with each question.
//!
//! # Layout
//! * `build`: from a state or its bytes, keeping what the view before had compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::name::{GrantId, GrantName, Name};
use crate::policy::Document;
use crate::secret::MasterKey;
use crate::secret::credential::{CredentialError, Headers};
use crate::secret::token::{Token, TokenHash, TokenKind};
use crate::server::ServerSpec;

mod build;

#[cfg(test)]
mod tests;

/// The registry at one revision, ready for use.
#[derive(Debug, Default)]
pub struct View {
    revision: u64,
    servers: BTreeMap<Name, Arc<Server>>,
    policies: BTreeMap<Name, Arc<Policy>>,
    grants: BTreeMap<GrantId, Arc<Grant>>,
    tokens: BTreeMap<TokenHash, Entry>,
    problems: Vec<Problem>,
}

/// A server with its credential opened.
#[derive(Debug)]
pub struct Server {
    pub spec: ServerSpec,
    pub revision: u64,
    credential: Result<Headers, CredentialError>,
}

/// A policy, compiled.
#[derive(Debug)]
pub struct Policy {
    pub name: Name,
    pub revision: u64,
    pub compiled: Arc<quotum_policy::Policy>,
    document: Document,
}

/// A grant with what it names.
#[derive(Debug)]
pub struct Grant {
    pub id: GrantId,
    pub name: GrantName,
    pub server: Arc<Server>,
    /// `None` denies every call.
    pub policy: Option<Arc<Policy>>,
    pub expires_at_ms: Option<u64>,
    pub revoked: bool,
    pub revision: u64,
}

/// Why a token opens nothing. What a caller is told does not depend on which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("the token is unknown")]
    Unknown,
    #[error("the token has expired")]
    Expired,
    #[error("the grant is revoked")]
    Revoked,
}

/// Something in the registry that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("server {server} is unusable: {cause}")]
    Credential {
        server: Name,
        cause: CredentialError,
    },
    #[error("policy {policy} is unusable, and its grants are denied everything: {cause}")]
    Policy { policy: Name, cause: String },
}

/// What a token opens, and until when.
#[derive(Debug)]
struct Entry {
    hash: TokenHash,
    /// Set for a token that was rotated away.
    ends_at_ms: Option<u64>,
    grant: Arc<Grant>,
}

// === impl View ===

impl View {
    /// The view before anything is known: it opens nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The registry revision that this is a view of.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What cannot be used, for logs and metrics.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub fn server(&self, name: &str) -> Option<&Arc<Server>> {
        self.servers.get(name)
    }

    /// All servers, by name.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    pub fn policy(&self, name: &str) -> Option<&Arc<Policy>> {
        self.policies.get(name)
    }

    /// Finds a grant without a token, as operators' questions do.
    pub fn grant(&self, id: &str) -> Option<&Arc<Grant>> {
        self.grants.get(id)
    }

    /// The grant that `token` opens at `now_ms`.
    ///
    /// The look-up is by a keyed hash and is confirmed in constant time: how long it takes tells
    /// nothing of the tokens that exist to someone without the master key.
    pub fn grant_by_token(
        &self,
        key: &MasterKey,
        token: &str,
        now_ms: u64,
    ) -> Result<&Arc<Grant>, Refusal> {
        let token = Token::parse(token).map_err(|_| Refusal::Unknown)?;
        if token.kind() != TokenKind::Grant {
            return Err(Refusal::Unknown);
        }
        let hash = key.token_hash(&token);
        let entry = self
            .tokens
            .get(&hash)
            .filter(|entry| entry.hash.is_same(&hash))
            .ok_or(Refusal::Unknown)?;
        let has_ended = |end: Option<u64>| end.is_some_and(|end| now_ms >= end);
        if entry.grant.revoked {
            return Err(Refusal::Revoked);
        }
        match has_ended(entry.ends_at_ms) || has_ended(entry.grant.expires_at_ms) {
            true => Err(Refusal::Expired),
            false => Ok(&entry.grant),
        }
    }
}

// === impl Server ===

impl Server {
    /// The headers to add for the upstream. An error: the server must not be called, since a call
    /// without its credential would be another call.
    pub fn credential(&self) -> Result<&Headers, &CredentialError> {
        self.credential.as_ref()
    }
}

// === impl Grant ===

impl Grant {
    /// The revision that goes with this grant's limits: the later of its policy's and its own, so
    /// that it rises whenever a limit may have changed, and never falls for one grant.
    pub fn limit_revision(&self) -> u64 {
        self.policy
            .as_ref()
            .map_or(self.revision, |policy| policy.revision.max(self.revision))
    }
}
