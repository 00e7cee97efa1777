//! The index: who uses what, and which names and tokens are taken. Follows from the grants and
//! policies, and is therefore never encoded.

use std::collections::{BTreeMap, BTreeSet};

use crate::grant::Grant;
use crate::limits::USERS_NAMED_MAX;
use crate::name::{GrantId, GrantName, Name};
use crate::policy::Policy;
use crate::secret::token::TokenHash;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    grants_by_name: BTreeMap<GrantName, GrantId>,
    grants_by_token: BTreeMap<TokenHash, GrantId>,
    server_users: BTreeMap<Name, BTreeSet<GrantName>>,
    policy_users: BTreeMap<Name, BTreeSet<GrantName>>,
    document_bytes: usize,
}

// === impl Index ===

impl Index {
    pub(super) fn grant_named(&self, name: &str) -> Option<&GrantId> {
        self.grants_by_name.get(name)
    }

    pub(super) fn grant_with(&self, token: &TokenHash) -> Option<&GrantId> {
        self.grants_by_token.get(token)
    }

    /// The bytes of all policy documents together.
    pub(super) fn document_bytes(&self) -> usize {
        self.document_bytes
    }

    /// `grants a, b and 3 more`, or `None` where no grant names the server.
    pub(super) fn users_of_server(&self, name: &Name) -> Option<String> {
        self.server_users.get(name).map(listed)
    }

    /// `grants a, b and 3 more`, or `None` where no grant names the policy.
    pub(super) fn users_of_policy(&self, name: &Name) -> Option<String> {
        self.policy_users.get(name).map(listed)
    }

    pub(super) fn add_policy(&mut self, policy: &Policy) {
        self.document_bytes += policy.document.as_str().len();
    }

    pub(super) fn remove_policy(&mut self, policy: &Policy) {
        self.document_bytes -= policy.document.as_str().len();
    }

    pub(super) fn add_grant(&mut self, grant: &Grant) {
        let spec = &grant.spec;
        self.grants_by_name
            .insert(spec.name.clone(), spec.id.clone());
        for hash in grant.hashes() {
            self.grants_by_token.insert(hash, spec.id.clone());
        }
        let users = self.server_users.entry(spec.server.clone()).or_default();
        users.insert(spec.name.clone());
        if let Some(policy) = &spec.policy {
            let users = self.policy_users.entry(policy.clone()).or_default();
            users.insert(spec.name.clone());
        }
    }

    pub(super) fn remove_grant(&mut self, grant: &Grant) {
        let spec = &grant.spec;
        self.grants_by_name.remove(&spec.name);
        for hash in grant.hashes() {
            self.grants_by_token.remove(&hash);
        }
        forget(&mut self.server_users, &spec.server, &spec.name);
        if let Some(policy) = &spec.policy {
            forget(&mut self.policy_users, policy, &spec.name);
        }
    }
}

fn forget(users: &mut BTreeMap<Name, BTreeSet<GrantName>>, used: &Name, user: &GrantName) {
    if let Some(set) = users.get_mut(used) {
        set.remove(user);
        if set.is_empty() {
            users.remove(used);
        }
    }
}

fn listed(users: &BTreeSet<GrantName>) -> String {
    let named: Vec<&str> = users
        .iter()
        .take(USERS_NAMED_MAX)
        .map(GrantName::as_str)
        .collect();
    let noun = if users.len() == 1 { "grant" } else { "grants" };
    match users.len() - named.len() {
        0 => format!("{noun} {}", named.join(", ")),
        more => format!("{noun} {} and {more} more", named.join(", ")),
    }
}
