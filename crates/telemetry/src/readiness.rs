//! Readiness: what a process still waits for before it should get traffic.
//!
//! Promises: ready is exactly: no latch is held. Any number of latches may be held for one cause,
//! and new ones may be taken at any time, as draining does. Knows nothing of what they wait for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::LATCHES_MAX;

#[cfg(test)]
mod tests;

/// Whether this process should get traffic. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    /// How many latches are held for each cause.
    held: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// Holds readiness back until it is dropped.
#[derive(Debug)]
#[must_use = "a latch is released when it is dropped"]
pub struct Latch {
    readiness: Readiness,
    cause: &'static str,
}

// === impl Readiness ===

impl Readiness {
    /// Ready, until a latch is taken.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds readiness back for `cause`, a word such as `registry` or `draining`.
    ///
    /// # Panics
    /// Past [`LATCHES_MAX`] causes: they are words of the program, not of a request.
    pub fn latch(&self, cause: &'static str) -> Latch {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held.entry(cause).or_default() += 1;
        assert!(
            held.len() <= LATCHES_MAX,
            "more than {LATCHES_MAX} causes to wait for"
        );
        drop(held);
        Latch {
            readiness: self.clone(),
            cause,
        }
    }

    pub fn is_ready(&self) -> bool {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// The causes for which latches are held, in the order of their names.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .copied()
            .collect()
    }
}

// === impl Latch ===

impl Latch {
    /// The same as dropping it, where that should be read.
    pub fn release(self) {}
}

impl Drop for Latch {
    fn drop(&mut self) {
        let mut held = self
            .readiness
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(self.cause) {
            *count -= 1;
            if *count == 0 {
                held.remove(self.cause);
            }
        }
    }
}
