//! Building views: opening credentials, compiling policies, keeping what is already compiled.

use std::sync::Arc;

use super::{Entry, Grant, Policy, Problem, Server, View};
use crate::secret::MasterKey;
use crate::secret::credential::Headers;
use crate::state::State;
use crate::state::encoding::DecodeError;
use crate::{grant, policy, server};

// === impl View ===

impl View {
    /// The view of `state`. Policies whose documents are as in `previous` are not compiled again.
    pub fn of(state: &State, key: &MasterKey, previous: Option<&Self>) -> Self {
        let mut view = Self {
            revision: state.revision(),
            ..Self::default()
        };
        for server in state.servers() {
            let server = view.opened(server, key);
            view.servers
                .insert(server.spec.name.clone(), Arc::new(server));
        }
        for policy in state.policies() {
            let kept = previous.and_then(|view| view.policies.get(&policy.name));
            view.add_policy(policy, kept);
        }
        for grant in state.grants() {
            view.add_grant(grant);
        }
        view
    }

    /// The view of the encoded state `bytes`, as a gateway receives or keeps it.
    pub fn decode(
        bytes: &[u8],
        key: &MasterKey,
        previous: Option<&Self>,
    ) -> Result<Self, DecodeError> {
        State::decode(bytes).map(|state| Self::of(&state, key, previous))
    }

    fn opened(&mut self, server: &server::Server, key: &MasterKey) -> Server {
        let name = &server.spec.name;
        let credential = match &server.credential {
            Some(sealed) => sealed.open(key, name),
            None => Ok(Headers::default()),
        };
        if let Err(cause) = &credential {
            self.problems.push(Problem::Credential {
                server: name.clone(),
                cause: cause.clone(),
            });
        }
        Server {
            spec: server.spec.clone(),
            revision: server.revision,
            credential,
        }
    }

    fn add_policy(&mut self, policy: &policy::Policy, kept: Option<&Arc<Policy>>) {
        let kept = kept.filter(|kept| kept.document == policy.document);
        let compiled = match kept {
            Some(kept) if kept.revision == policy.revision => {
                self.policies.insert(policy.name.clone(), Arc::clone(kept));
                return;
            }
            Some(kept) => Arc::clone(&kept.compiled),
            None => match policy.document.compile() {
                Ok(compiled) => Arc::new(compiled),
                Err(cause) => {
                    self.problems.push(Problem::Policy {
                        policy: policy.name.clone(),
                        cause,
                    });
                    return;
                }
            },
        };
        let policy = Policy {
            name: policy.name.clone(),
            revision: policy.revision,
            compiled,
            document: policy.document.clone(),
        };
        self.policies.insert(policy.name.clone(), Arc::new(policy));
    }

    fn add_grant(&mut self, grant: &grant::Grant) {
        let spec = &grant.spec;
        let Some(server) = self.servers.get(&spec.server) else {
            return;
        };
        let opened = Arc::new(Grant {
            id: spec.id.clone(),
            name: spec.name.clone(),
            server: Arc::clone(server),
            policy: spec
                .policy
                .as_ref()
                .and_then(|name| self.policies.get(name))
                .cloned(),
            expires_at_ms: spec.expires_at_ms,
            revoked: grant.revoked,
            revision: grant.revision,
        });
        let current = grant.token.map(|hash| (hash, None));
        let previous = grant
            .previous
            .map(|previous| (previous.hash, Some(previous.ends_at_ms)));
        for (hash, ends_at_ms) in current.into_iter().chain(previous) {
            self.tokens.insert(
                hash,
                Entry {
                    hash,
                    ends_at_ms,
                    grant: Arc::clone(&opened),
                },
            );
        }
        self.grants.insert(spec.id.clone(), opened);
    }
}
