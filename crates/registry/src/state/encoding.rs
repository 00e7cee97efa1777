//! Encoding: commands and states as bytes, in JSON with a format number.
//!
//! Promises: equal states have equal bytes; what does not decode says where and why; a state that
//! decodes keeps every promise of a state that commands made. A policy document is kept as text,
//! so that a state from another version decodes even where a document is judged differently.

use std::fmt::Display;
use std::sync::Arc;

use ring::digest;
use serde::{Deserialize, Serialize};

use super::State;
use crate::administrator::Administrator;
use crate::command::Command;
use crate::grant::Grant;
use crate::limits::{
    ADMINISTRATORS_MAX, COMMAND_BYTES_MAX, DOCUMENT_BYTES_MAX, DOCUMENT_BYTES_TOTAL_MAX,
    GRANTS_MAX, POLICIES_MAX, SERVERS_MAX, STATE_BYTES_MAX,
};
use crate::policy::Policy;
use crate::server::Server;

#[cfg(test)]
mod tests;

/// The format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;

/// Why bytes are no command or no state.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("an encoded {what} has at most {maximum} bytes, this one has {bytes}")]
    TooLong {
        what: &'static str,
        maximum: usize,
        bytes: usize,
    },
    #[error("the bytes are no {what}")]
    Malformed {
        what: &'static str,
        source: serde_json::Error,
    },
    #[error("the {what} has format {found}, this program reads format {FORMAT}")]
    Format { what: &'static str, found: u32 },
    #[error("the state contradicts itself: {0}")]
    Inconsistent(String),
}

/// SHA-256 of a state's bytes: equal on nodes whose states are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// Only the format, whatever else there is: so that another format is told from nonsense.
#[derive(Deserialize)]
struct Formatted {
    format: u32,
}

#[derive(Serialize)]
struct CommandOut<'a> {
    format: u32,
    command: &'a Command,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandIn {
    #[serde(rename = "format")]
    _format: u32,
    command: Command,
}

#[derive(Serialize)]
struct StateOut<'a> {
    format: u32,
    revision: u64,
    servers: Vec<&'a Server>,
    policies: Vec<&'a Policy>,
    grants: Vec<&'a Grant>,
    /// Left out where there is none, as before there were any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    administrators: Vec<&'a Administrator>,
    /// Left out where it was never raised.
    #[serde(skip_serializing_if = "is_zero")]
    feature_level: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateIn {
    #[serde(rename = "format")]
    _format: u32,
    revision: u64,
    servers: Vec<Server>,
    policies: Vec<Policy>,
    grants: Vec<Grant>,
    #[serde(default)]
    administrators: Vec<Administrator>,
    #[serde(default)]
    feature_level: u32,
}

// === impl Command ===

impl Command {
    /// The command as bytes. Longer than [`COMMAND_BYTES_MAX`], they decode nowhere: propose
    /// nothing of that length.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(&CommandOut {
            format: FORMAT,
            command: self,
        })
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let read: CommandIn = from_bytes("command", COMMAND_BYTES_MAX, bytes)?;
        Ok(read.command)
    }
}

// === impl State ===

impl State {
    /// The whole state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(&StateOut {
            format: FORMAT,
            revision: self.revision,
            servers: self.servers.values().map(|server| &**server).collect(),
            policies: self.policies.values().map(|policy| &**policy).collect(),
            grants: self.grants.values().map(|grant| &**grant).collect(),
            administrators: self.administrators.values().map(|one| &**one).collect(),
            feature_level: self.feature_level,
        })
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let read: StateIn = from_bytes("state", STATE_BYTES_MAX, bytes)?;
        Self::restore(read).map_err(DecodeError::Inconsistent)
    }

    /// The digest of [`Self::encode`].
    pub fn digest(&self) -> Digest {
        let digest = digest::digest(&digest::SHA256, &self.encode());
        Digest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Takes what was read piece by piece, under the rules that commands keep.
    fn restore(read: StateIn) -> Result<Self, String> {
        let mut state = Self {
            revision: read.revision,
            feature_level: read.feature_level,
            ..Self::default()
        };
        within("servers", read.servers.len(), SERVERS_MAX)?;
        within("policies", read.policies.len(), POLICIES_MAX)?;
        within("grants", read.grants.len(), GRANTS_MAX)?;
        for server in read.servers {
            let name = server.spec.name.clone();
            server
                .spec
                .check()
                .map_err(|(_, message)| format!("server {name}: {message}"))?;
            state.check_revision(&name, server.revision)?;
            ascending(state.servers.last_key_value().map(|(last, _)| last), &name)?;
            if server
                .credential
                .as_ref()
                .is_some_and(|sealed| !sealed.is_within_bounds())
            {
                return Err(format!("the credential of server {name} is too long"));
            }
            state.set_server(&name, Some(Arc::new(server)));
        }
        for policy in read.policies {
            let name = policy.name.clone();
            state.check_revision(&name, policy.revision)?;
            ascending(state.policies.last_key_value().map(|(last, _)| last), &name)?;
            within(
                "bytes of a document",
                policy.document.as_str().len(),
                DOCUMENT_BYTES_MAX,
            )?;
            state.set_policy(&name, Some(Arc::new(policy)));
        }
        let bytes = state.index.document_bytes();
        within("bytes of documents", bytes, DOCUMENT_BYTES_TOTAL_MAX)?;
        for grant in read.grants {
            state.restore_grant(grant)?;
        }
        within(
            "administrators",
            read.administrators.len(),
            ADMINISTRATORS_MAX,
        )?;
        for administrator in read.administrators {
            state.restore_administrator(administrator)?;
        }
        Ok(state)
    }

    fn restore_administrator(&mut self, administrator: Administrator) -> Result<(), String> {
        let name = administrator.name.clone();
        self.check_revision(&name, administrator.revision)?;
        let last = self.administrators.last_key_value();
        ascending(last.map(|(last, _)| last), &name)?;
        if self.administrator_with(&administrator.token).is_some() {
            return Err(format!("administrator {name} has the token of another"));
        }
        self.set_administrator(&name, Some(Arc::new(administrator)));
        Ok(())
    }

    fn restore_grant(&mut self, grant: Grant) -> Result<(), String> {
        let id = grant.spec.id.clone();
        self.check_revision(&id, grant.revision)?;
        ascending(self.grants.last_key_value().map(|(last, _)| last), &id)?;
        self.check_grant(&grant.spec)
            .map_err(|refused| format!("grant {id}: {refused}"))?;
        for hash in grant.hashes() {
            self.check_token_is_free(&hash)
                .map_err(|refused| format!("grant {id}: {refused}"))?;
        }
        let is_twice = grant.token.is_some_and(|token| {
            grant
                .previous
                .is_some_and(|previous| previous.hash.is_same(&token))
        });
        if is_twice || (grant.previous.is_some() && grant.token.is_none()) {
            return Err(format!(
                "grant {id}: its tokens do not follow from rotations"
            ));
        }
        self.set_grant(&id, Some(Arc::new(grant)));
        Ok(())
    }

    fn check_revision(&self, of: impl Display, revision: u64) -> Result<(), String> {
        match (1..=self.revision).contains(&revision) {
            true => Ok(()),
            false => Err(format!(
                "{of} is of revision {revision}, the registry of {}",
                self.revision
            )),
        }
    }
}

// === impl Digest ===

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::secret::to_hex(&self.0))
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::secret::to_hex(&self.0))
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn within(what: &str, found: usize, maximum: usize) -> Result<(), String> {
    match found <= maximum {
        true => Ok(()),
        false => Err(format!("{found} {what}, where {maximum} are the most")),
    }
}

fn ascending<T: Ord + Display>(last: Option<&T>, next: &T) -> Result<(), String> {
    match last {
        Some(last) if last >= next => Err(format!("{next} stands after {last}")),
        _ => Ok(()),
    }
}

fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types always have a JSON form")
}

fn from_bytes<'a, T: Deserialize<'a>>(
    what: &'static str,
    maximum: usize,
    bytes: &'a [u8],
) -> Result<T, DecodeError> {
    if bytes.len() > maximum {
        return Err(DecodeError::TooLong {
            what,
            maximum,
            bytes: bytes.len(),
        });
    }
    let malformed = |source| DecodeError::Malformed { what, source };
    let Formatted { format } = serde_json::from_slice(bytes).map_err(malformed)?;
    match format {
        FORMAT => serde_json::from_slice(bytes).map_err(malformed),
        found => Err(DecodeError::Format { what, found }),
    }
}
