//! Commands and their outcomes: how the registry is changed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::administrator::Role;
use crate::grant::GrantSpec;
use crate::name::{GrantId, Name};
use crate::policy::Document;
use crate::secret::credential::SealedCredential;
use crate::secret::token::TokenHash;
use crate::server::ServerSpec;

/// What can be asked of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Apply(Apply),
    /// Lets the cluster's logs hold what nodes know from this feature level on. Never lowers it.
    RaiseLevel {
        level: u32,
    },
}

/// Changes that are made all or not at all, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// When it was asked, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Refused unless the registry is at this revision.
    pub expected_revision: Option<u64>,
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Creates or changes a server.
    PutServer {
        server: ServerSpec,
        credential: CredentialChange,
    },
    /// Refused while a grant names it.
    DeleteServer {
        name: Name,
    },
    /// Creates a policy or changes its document.
    PutPolicy {
        name: Name,
        document: Document,
    },
    /// Refused while a grant names it.
    DeletePolicy {
        name: Name,
    },
    /// Creates a grant, or points it elsewhere. A token is given only when it has none: another one
    /// comes by rotation.
    PutGrant {
        grant: GrantSpec,
        token: Option<TokenHash>,
    },
    /// Gives a grant another token. The one before opens for `overlap_ms` more; the one before that
    /// ends at once.
    RotateGrant {
        id: GrantId,
        token: TokenHash,
        overlap_ms: u64,
    },
    /// Ends a grant for ever, and keeps it to say so.
    RevokeGrant {
        id: GrantId,
    },
    DeleteGrant {
        id: GrantId,
    },
    /// Makes an administrator. Refused where the name is taken.
    CreateAdministrator {
        name: Name,
        role: Role,
        token: TokenHash,
    },
    /// Ends an administrator and its token.
    DeleteAdministrator {
        name: Name,
    },
}

/// What becomes of a server's credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialChange {
    Keep,
    Clear,
    Set(SealedCredential),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Applied {
        /// The revision of the registry: one higher than before if anything changed.
        revision: u64,
        /// How many of the changes changed anything.
        changed: usize,
    },
    Refused(Refused),
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// Which change, counted from 0; `None` for the command as a whole.
    pub change: Option<usize>,
    /// Where in it: a JSON pointer, empty for the whole.
    pub place: String,
    pub reason: Reason,
    pub message: String,
}

/// What a caller can do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Correct it: it would be refused at any time.
    Invalid,
    /// Create what it names first.
    Missing,
    /// Remove who uses it first.
    InUse,
    /// Choose another name, id or token.
    Taken,
    /// Make room: a cap is reached.
    Full,
    /// Look at the registry again: it has changed since.
    Stale,
}

// === impl Command ===

impl Command {
    /// The command that makes `changes` at whatever revision the registry is.
    pub fn apply(at_ms: u64, changes: Vec<Change>) -> Self {
        Self::Apply(Apply {
            at_ms,
            expected_revision: None,
            changes,
        })
    }
}

// === impl Refused ===

impl Refused {
    pub(crate) fn new(reason: Reason, place: &str, message: impl Into<String>) -> Self {
        Self {
            change: None,
            place: place.to_owned(),
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn in_change(self, index: usize) -> Self {
        Self {
            change: Some(index),
            ..self
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(change) = self.change {
            write!(f, "change {change}")?;
            if !self.place.is_empty() {
                write!(f, " at {}", self.place)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}
