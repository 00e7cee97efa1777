//! Open requests: how many a grant has on this gateway, with a bound for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use quotum_registry::name::GrantId;

use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// The open requests of all grants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OpenRequests {
    per_grant_max: usize,
    /// Grants that have any: as many as there are connections at most.
    counts: Arc<Mutex<HashMap<GrantId, usize>>>,
}

/// One open request. Dropped: it has ended.
#[derive(Debug)]
pub struct OpenRequest {
    all: OpenRequests,
    grant: GrantId,
}

// === impl OpenRequests ===

impl OpenRequests {
    pub fn new(per_grant_max: usize) -> Self {
        Self {
            per_grant_max,
            counts: Arc::default(),
        }
    }

    /// Opens a request of `grant`, if it has not too many.
    pub fn open(&self, grant: &GrantId) -> Result<OpenRequest, Refusal> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(grant.clone()).or_insert(0);
        if *count >= self.per_grant_max {
            return Err(Refusal::TooManyOpen);
        }
        *count += 1;
        Ok(OpenRequest {
            all: self.clone(),
            grant: grant.clone(),
        })
    }
}

// === impl OpenRequest ===

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut counts = self
            .all
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.grant) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.grant);
            }
        }
    }
}
