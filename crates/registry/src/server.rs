//! Servers: the MCP servers that gateways stand before.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::limits::{METHOD_BYTES_MAX, METHODS_MAX};
use crate::name::Name;
use crate::secret::credential::SealedCredential;
use crate::upstream::Upstream;

/// What an operator says of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    pub name: Name,
    pub url: Upstream,
    /// Whether MCP tasks (`params.task`, `tasks/*`) may pass.
    pub tasks: bool,
    pub refund: Refund,
    /// Whether the names of this server's grants may be metric labels.
    pub grant_label: bool,
    /// MCP methods that may pass beside the usual ones.
    pub methods: BTreeSet<String>,
}

/// A server as the registry holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub spec: ServerSpec,
    /// The headers that the upstream wants.
    pub credential: Option<SealedCredential>,
    /// The registry revision of its last change.
    pub revision: u64,
}

/// When the units of a call are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refund {
    /// Where the call provably did not run.
    NotExecuted,
    /// After every failure: this gives up the bound on executions.
    AnyFailure,
    Never,
}

// === impl ServerSpec ===

impl ServerSpec {
    /// A server with the usual options.
    pub fn new(name: Name, url: Upstream) -> Self {
        Self {
            name,
            url,
            tasks: false,
            refund: Refund::NotExecuted,
            grant_label: false,
            methods: BTreeSet::new(),
        }
    }

    /// What the types do not hold: the place and the sentence of the first fault.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        let at = |message: String| Err(("/methods".to_owned(), message));
        if self.methods.len() > METHODS_MAX {
            return at(format!(
                "a server allows at most {METHODS_MAX} further methods"
            ));
        }
        match self.methods.iter().find(|method| !is_method(method)) {
            Some(method) => {
                let shown: String = method.chars().take(METHOD_BYTES_MAX).collect();
                at(format!(
                    "{shown:?} is no method: use 1 to {METHOD_BYTES_MAX} of A-Z, a-z, 0-9, / _ - . $"
                ))
            }
            None => Ok(()),
        }
    }
}

// === impl Refund ===

impl Refund {
    pub const ALL: [Self; 3] = [Self::NotExecuted, Self::AnyFailure, Self::Never];

    /// As documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotExecuted => "not_executed",
            Self::AnyFailure => "any_failure",
            Self::Never => "never",
        }
    }
}

fn is_method(method: &str) -> bool {
    (1..=METHOD_BYTES_MAX).contains(&method.len())
        && method
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_-.$".contains(&b))
}
