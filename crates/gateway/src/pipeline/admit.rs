//! The steps that need no body: hygiene, the age of the registry, the grant, and its open requests.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use quotum_registry::view::Grant;

use super::Inner;
use crate::bearer;
use crate::hygiene::{self, Verb};
use crate::open::OpenRequest;
use crate::status::Refusal;

/// A request whose head may pass.
pub(super) struct Admitted {
    pub(super) verb: Verb,
    pub(super) grant: Arc<Grant>,
    pub(super) open: OpenRequest,
    pub(super) started_at: Instant,
}

// === impl Inner ===

impl<C> Inner<C> {
    pub(super) fn admit(&self, head: &Parts) -> Result<Admitted, Refusal> {
        let started_at = Instant::now();
        let target = hygiene::check(head, &self.config.hosts, &self.config.origins)?;
        let grant = self.grant(head, target.server)?;
        let open = self.open.open(&grant.id)?;
        Ok(Admitted {
            verb: target.verb,
            grant,
            open,
            started_at,
        })
    }

    /// The grant that the request's token opens on this server.
    fn grant(&self, head: &Parts, server: &str) -> Result<Arc<Grant>, Refusal> {
        let token = bearer::token(&head.headers)?;
        let view = {
            let snapshot = self.registry.borrow();
            if snapshot.age() > self.config.registry_staleness_max {
                return Err(Refusal::RegistryStale);
            }
            Arc::clone(&snapshot.view)
        };
        let now_ms = self.config.clock.now_ms();
        let grant = view
            .grant_by_token(&self.config.master_key, token, now_ms)
            .map_err(|_| Refusal::TokenInvalid)?;
        if grant.server.spec.name.as_str() != server {
            return Err(Refusal::WrongServer);
        }
        Ok(Arc::clone(grant))
    }
}
