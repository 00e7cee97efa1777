//! The state: everything that the registry knows, as every node holds it.
//!
//! Promises: the same commands give the same bytes on every node; a grant always names a server
//! and a policy that exist; the revision never falls. Knows nothing of time: it comes with the
//! command.
//!
//! # Layout
//! * `apply`: what a command changes, all or nothing.
//! * `index`: who uses what, and which names and tokens are taken.
//! * [`encoding`]: commands and states as bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::administrator::Administrator;
use crate::grant::Grant;
use crate::name::{GrantId, GrantName, Name};
use crate::policy::Policy;
use crate::secret::token::TokenHash;
use crate::server::Server;

mod apply;
pub mod encoding;
mod index;

#[cfg(test)]
mod administrator_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use index::Index;

/// The registry. Cheap to clone as such things go: what it holds is shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    revision: u64,
    /// 0, where it was never raised.
    feature_level: u32,
    servers: BTreeMap<Name, Arc<Server>>,
    policies: BTreeMap<Name, Arc<Policy>>,
    grants: BTreeMap<GrantId, Arc<Grant>>,
    administrators: BTreeMap<Name, Arc<Administrator>>,
    /// Follows from the grants and policies.
    index: Index,
}

// === impl State ===

impl State {
    /// A registry with nothing in it, at revision 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many commands have changed anything.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What the logs of this cluster may hold: see [`crate::Command::RaiseLevel`].
    pub fn feature_level(&self) -> u32 {
        self.feature_level.max(1)
    }

    pub fn server(&self, name: &str) -> Option<&Arc<Server>> {
        self.servers.get(name)
    }

    pub fn policy(&self, name: &str) -> Option<&Arc<Policy>> {
        self.policies.get(name)
    }

    pub fn grant(&self, id: &str) -> Option<&Arc<Grant>> {
        self.grants.get(id)
    }

    pub fn grant_named(&self, name: &str) -> Option<&Arc<Grant>> {
        self.index
            .grant_named(name)
            .and_then(|id| self.grants.get(id))
    }

    /// All servers, by name.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    /// All policies, by name.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// All grants, by id.
    pub fn grants(&self) -> impl ExactSizeIterator<Item = &Arc<Grant>> {
        self.grants.values()
    }

    /// All administrators, by name.
    pub fn administrators(&self) -> impl ExactSizeIterator<Item = &Arc<Administrator>> {
        self.administrators.values()
    }

    pub fn administrator(&self, name: &str) -> Option<&Arc<Administrator>> {
        self.administrators.get(name)
    }

    /// Whose token this is. Looks at every administrator, whichever it is.
    pub fn administrator_with(&self, token: &TokenHash) -> Option<&Arc<Administrator>> {
        let all = self.administrators.values();
        all.fold(None, |found, one| match one.token.is_same(token) {
            true => Some(one),
            false => found,
        })
    }

    fn grant_with(&self, token: &TokenHash) -> Option<&GrantId> {
        self.index.grant_with(token)
    }

    fn taken_by(&self, name: &GrantName) -> Option<&GrantId> {
        self.index.grant_named(name.as_str())
    }

    /// Puts or removes a server, and gives what was there.
    fn set_server(&mut self, name: &Name, server: Option<Arc<Server>>) -> Option<Arc<Server>> {
        match server {
            Some(server) => self.servers.insert(name.clone(), server),
            None => self.servers.remove(name),
        }
    }

    /// Puts or removes a policy, and gives what was there.
    fn set_policy(&mut self, name: &Name, policy: Option<Arc<Policy>>) -> Option<Arc<Policy>> {
        if let Some(policy) = &policy {
            self.index.add_policy(policy);
        }
        let before = match policy {
            Some(policy) => self.policies.insert(name.clone(), policy),
            None => self.policies.remove(name),
        };
        if let Some(before) = &before {
            self.index.remove_policy(before);
        }
        before
    }

    /// Puts or removes an administrator, and gives what was there.
    fn set_administrator(
        &mut self,
        name: &Name,
        administrator: Option<Arc<Administrator>>,
    ) -> Option<Arc<Administrator>> {
        match administrator {
            Some(administrator) => self.administrators.insert(name.clone(), administrator),
            None => self.administrators.remove(name),
        }
    }

    /// Puts or removes a grant, and gives what was there.
    fn set_grant(&mut self, id: &GrantId, grant: Option<Arc<Grant>>) -> Option<Arc<Grant>> {
        let before = self.grants.remove(id);
        if let Some(before) = &before {
            self.index.remove_grant(before);
        }
        if let Some(grant) = grant {
            self.index.add_grant(&grant);
            self.grants.insert(id.clone(), grant);
        }
        before
    }
}
