//! Planning: the changes that lead from a state to what documents ask for, and how they read.

use std::collections::BTreeMap;

use super::{CredentialSource, Documents, GrantDocument, ServerDocument, difference, timestamp};
use crate::command::{Change, CredentialChange};
use crate::grant::{Grant, GrantSpec};
use crate::name::{GrantId, GrantName, Name};
use crate::policy::Document;
use crate::secret::credential::SealedCredential;
use crate::server::{Server, ServerSpec};
use crate::state::State;

/// What becomes of what no document speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmentioned {
    Keep,
    Delete,
}

/// What applying would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In an order in which each finds what it names.
    pub changes: Vec<Change>,
    /// One line for each change: `+ server demo`, `~ grant x: policy a -> b`, `- policy y`.
    pub lines: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the credential of server {0} was not found where its document says")]
    CredentialNotSealed(Name),
}

// === impl Plan ===

impl Plan {
    /// Compares `state` with `documents`.
    ///
    /// `sealed` has the credential of each server whose document names the sources of one;
    /// `new_id` draws the id of each new grant.
    pub fn new(
        state: &State,
        documents: &Documents,
        unmentioned: Unmentioned,
        sealed: &BTreeMap<Name, SealedCredential>,
        new_id: &mut dyn FnMut() -> GrantId,
    ) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for document in documents.servers.values() {
            plan.put_server(state.server(document.spec.name.as_str()), document, sealed)?;
        }
        for (name, document) in &documents.policies {
            let held = state.policy(name.as_str()).map(|policy| &policy.document);
            plan.put_policy(held, name, document);
        }
        for (name, document) in &documents.grants {
            plan.put_grant(state.grant_named(name.as_str()), name, document, new_id);
        }
        if unmentioned == Unmentioned::Delete {
            plan.delete_unmentioned(state, documents);
        }
        Ok(plan)
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn push(&mut self, line: String, change: Change) {
        self.lines.push(line);
        self.changes.push(change);
    }

    fn put_server(
        &mut self,
        held: Option<&std::sync::Arc<Server>>,
        document: &ServerDocument,
        sealed: &BTreeMap<Name, SealedCredential>,
    ) -> Result<(), PlanError> {
        let spec = &document.spec;
        let held_credential = held.and_then(|server| server.credential.as_ref());
        let (credential, credential_line) = match &document.credential {
            CredentialSource::Unsaid => (CredentialChange::Keep, None),
            CredentialSource::Empty => (
                CredentialChange::Clear,
                held_credential.map(|_| "credential removed"),
            ),
            CredentialSource::Headers(_) => {
                let new = sealed
                    .get(&spec.name)
                    .ok_or_else(|| PlanError::CredentialNotSealed(spec.name.clone()))?;
                let line = match held_credential {
                    Some(held) if held.holds_the_same(new) => None,
                    Some(_) => Some("credential changed"),
                    None => Some("credential added"),
                };
                (CredentialChange::Set(new.clone()), line)
            }
        };
        let line = match held {
            None => format!("+ server {}", spec.name),
            Some(held) => {
                let mut found = server_differences(&held.spec, spec);
                found.extend(credential_line.map(str::to_owned));
                if found.is_empty() {
                    return Ok(());
                }
                format!("~ server {}: {}", spec.name, found.join(", "))
            }
        };
        self.push(
            line,
            Change::PutServer {
                server: spec.clone(),
                credential,
            },
        );
        Ok(())
    }

    fn put_policy(&mut self, held: Option<&Document>, name: &Name, document: &Document) {
        let line = match held {
            None => format!("+ policy {name}"),
            Some(held) if difference::is_same(held.as_str(), document.as_str()) => return,
            Some(held) => {
                let found = difference::described(held.as_str(), document.as_str());
                format!("~ policy {name}: {found}")
            }
        };
        self.push(
            line,
            Change::PutPolicy {
                name: name.clone(),
                document: document.clone(),
            },
        );
    }

    fn put_grant(
        &mut self,
        held: Option<&std::sync::Arc<Grant>>,
        name: &GrantName,
        document: &GrantDocument,
        new_id: &mut dyn FnMut() -> GrantId,
    ) {
        let spec_with = |id| GrantSpec {
            id,
            name: name.clone(),
            server: document.server.clone(),
            policy: document.policy.clone(),
            expires_at_ms: document.expires_at_ms,
        };
        let (spec, line) = match held {
            None => (spec_with(new_id()), format!("+ grant {name}")),
            Some(held) => {
                let spec = spec_with(held.spec.id.clone());
                let found = grant_differences(&held.spec, &spec);
                if found.is_empty() {
                    return;
                }
                (spec, format!("~ grant {name}: {}", found.join(", ")))
            }
        };
        self.push(
            line,
            Change::PutGrant {
                grant: spec,
                token: None,
            },
        );
    }

    /// Users before what they use.
    fn delete_unmentioned(&mut self, state: &State, documents: &Documents) {
        let mut grants: Vec<&GrantSpec> = state.grants().map(|grant| &grant.spec).collect();
        grants.retain(|spec| !documents.grants.contains_key(&spec.name));
        grants.sort_by(|a, b| a.name.cmp(&b.name));
        for spec in grants {
            let change = Change::DeleteGrant {
                id: spec.id.clone(),
            };
            self.push(format!("- grant {}", spec.name), change);
        }
        for name in state.policies().map(|policy| &policy.name) {
            if !documents.policies.contains_key(name) {
                let change = Change::DeletePolicy { name: name.clone() };
                self.push(format!("- policy {name}"), change);
            }
        }
        for name in state.servers().map(|server| &server.spec.name) {
            if !documents.servers.contains_key(name) {
                let change = Change::DeleteServer { name: name.clone() };
                self.push(format!("- server {name}"), change);
            }
        }
    }
}

fn server_differences(before: &ServerSpec, after: &ServerSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, before: String, after: String| {
        if before != after {
            found.push(format!("{what} {before} -> {after}"));
        }
    };
    compare("url", before.url.to_string(), after.url.to_string());
    compare("tasks", before.tasks.to_string(), after.tasks.to_string());
    compare(
        "refund",
        before.refund.as_str().to_owned(),
        after.refund.as_str().to_owned(),
    );
    compare(
        "grant_label",
        before.grant_label.to_string(),
        after.grant_label.to_string(),
    );
    found.extend(
        after
            .methods
            .difference(&before.methods)
            .map(|m| format!("+ method {m}")),
    );
    found.extend(
        before
            .methods
            .difference(&after.methods)
            .map(|m| format!("- method {m}")),
    );
    found
}

fn grant_differences(before: &GrantSpec, after: &GrantSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, before: String, after: String| {
        if before != after {
            found.push(format!("{what} {before} -> {after}"));
        }
    };
    let policy = |spec: &GrantSpec| {
        spec.policy
            .as_ref()
            .map_or("none".to_owned(), Name::to_string)
    };
    let expiry = |spec: &GrantSpec| spec.expires_at_ms.map_or("never".to_owned(), instant);
    compare(
        "server",
        before.server.to_string(),
        after.server.to_string(),
    );
    compare("policy", policy(before), policy(after));
    compare("expires_at", expiry(before), expiry(after));
    found
}

/// With its milliseconds, where it has any: two instants that differ must not read the same.
fn instant(at_ms: u64) -> String {
    match at_ms % 1_000 {
        0 => timestamp::format(at_ms),
        ms => format!("{} and {ms} ms", timestamp::format(at_ms)),
    }
}
