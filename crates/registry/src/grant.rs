//! Grants: the right to call one server under one policy, shown by a token.

use serde::{Deserialize, Serialize};

use crate::name::{GrantId, GrantName, Name};
use crate::secret::token::TokenHash;

/// What an operator says of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSpec {
    /// Names the grant's counters. Never given a second time.
    pub id: GrantId,
    pub name: GrantName,
    pub server: Name,
    /// Without a policy every call is denied.
    pub policy: Option<Name>,
    /// The first instant at which the token no longer opens: milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

/// A grant as the registry holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub spec: GrantSpec,
    /// The hash of its token; `None` until it gets the first.
    pub token: Option<TokenHash>,
    /// The token before the last rotation, while it still opens.
    pub previous: Option<PreviousToken>,
    /// For ever: a revoked grant is replaced, not revived.
    pub revoked: bool,
    /// The registry revision of its last change.
    pub revision: u64,
}

/// A token that was rotated away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousToken {
    pub hash: TokenHash,
    /// The first instant at which it no longer opens.
    pub ends_at_ms: u64,
}

// === impl Grant ===

impl Grant {
    /// The hashes under which the grant is found.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = TokenHash> {
        self.token
            .into_iter()
            .chain(self.previous.map(|previous| previous.hash))
    }
}
