//! Which node to try next: a leader that was named, else the configured ones in turn, those last
//! that have just failed. Pure: time arrives as an argument.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::config::is_address;
use crate::limits::{AVOID, FAILED_NODES_MAX};

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(crate) struct Nodes {
    configured: Vec<String>,
    next: usize,
    hint: Option<String>,
    failed: BTreeMap<String, Instant>,
    /// Failures since the last success.
    failures: usize,
}

// === impl Nodes ===

impl Nodes {
    /// `configured` has at least one address. Clients with other seeds start at other nodes.
    pub(crate) fn new(configured: Vec<String>, seed: u64) -> Self {
        assert!(!configured.is_empty(), "the configuration was checked");
        let next = usize::try_from(seed % configured.len() as u64).expect("an index");
        Self {
            configured,
            next,
            hint: None,
            failed: BTreeMap::new(),
            failures: 0,
        }
    }

    /// The next node to try.
    pub(crate) fn pick(&mut self, now: Instant) -> String {
        if let Some(hint) = self.hint.take().filter(|hint| !self.is_avoided(hint, now)) {
            return hint;
        }
        let count = self.configured.len();
        let mut turns = (0..count).map(|step| (self.next + step) % count);
        let at = turns.find(|at| !self.is_avoided(&self.configured[*at], now));
        let at = at.unwrap_or(self.next);
        self.next = (at + 1) % count;
        self.configured[at].clone()
    }

    /// Takes a leader's address as the next to try, and says whether it is worth it.
    pub(crate) fn hint(&mut self, address: &str, now: Instant) -> bool {
        if !is_address(address) || self.is_avoided(address, now) {
            return false;
        }
        self.hint = Some(address.to_owned());
        true
    }

    pub(crate) fn fail(&mut self, address: &str, now: Instant) {
        self.failures += 1;
        self.failed.retain(|_, at| now < *at + AVOID);
        if self.failed.len() >= FAILED_NODES_MAX {
            self.failed.pop_first();
        }
        self.failed.insert(address.to_owned(), now);
    }

    pub(crate) fn succeed(&mut self, address: &str) {
        self.failures = 0;
        self.failed.remove(address);
    }

    /// Whether every node has failed since the last pause: time for the next.
    pub(crate) fn is_round_over(&self) -> bool {
        self.failures.is_multiple_of(self.configured.len())
    }

    fn is_avoided(&self, address: &str, now: Instant) -> bool {
        self.failed.get(address).is_some_and(|at| now < *at + AVOID)
    }
}
