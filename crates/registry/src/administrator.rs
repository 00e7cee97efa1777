//! Administrators: who may change and look at the cluster, shown by a token with a role.

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::secret::token::TokenHash;

/// What an administrator may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything but secrets.
    Viewer,
    /// Change servers, policies and grants.
    PolicyManager,
    /// Change the members of the cluster, and administrators.
    Admin,
}

/// An administrator as the registry holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Administrator {
    pub name: Name,
    pub role: Role,
    /// The hash of its token.
    pub token: TokenHash,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// The registry revision at which it was made.
    pub revision: u64,
}

/// Why a text is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a role is viewer, policy_manager or admin")]
pub struct RoleError;

// === impl Role ===

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::PolicyManager, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::PolicyManager => "policy_manager",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or(RoleError)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
