//! Refunds that the service has not acknowledged: repeated until it has, or has forgotten the id.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quotum_limit::{Epoch, RequestId};
use tokio::time::Instant;

use crate::limits::{REFUND_TTL, REFUNDS_MAX};

#[derive(Debug, Default)]
pub(crate) struct Refunds {
    pending: BTreeMap<RequestId, Instant>,
    by_age: BTreeSet<(Instant, RequestId)>,
    /// Those that are not on their way.
    queue: VecDeque<RequestId>,
}

// === impl Refunds ===

impl Refunds {
    /// Takes `id` on, or says that there are too many.
    pub(crate) fn add(&mut self, id: RequestId, now: Instant) -> bool {
        if self.pending.contains_key(&id) {
            return true;
        }
        if self.pending.len() >= REFUNDS_MAX {
            return false;
        }
        self.pending.insert(id, now);
        self.by_age.insert((now, id));
        self.queue.push_back(id);
        true
    }

    /// The next one to send, if it is of `epoch` where one is given.
    pub(crate) fn take(&mut self, epoch: Option<Epoch>) -> Option<RequestId> {
        while let Some(id) = self.queue.front().copied() {
            if !self.pending.contains_key(&id) {
                self.queue.pop_front();
                continue;
            }
            if epoch.is_some_and(|epoch| epoch != id.epoch) {
                return None;
            }
            return self.queue.pop_front();
        }
        None
    }

    /// Whatever became of the last attempt is unknown: it is sent again.
    pub(crate) fn retry(&mut self, id: RequestId) {
        if self.pending.contains_key(&id) {
            self.queue.push_front(id);
        }
    }

    /// `id` is acknowledged. `false`: it was not waited for any more.
    pub(crate) fn finish(&mut self, id: RequestId) -> bool {
        let Some(since) = self.pending.remove(&id) else {
            return false;
        };
        self.by_age.remove(&(since, id));
        true
    }

    /// Takes out one whose id the service has forgotten.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<RequestId> {
        let (since, id) = self.by_age.first().copied()?;
        if now < since + REFUND_TTL {
            return None;
        }
        self.finish(id);
        while self
            .queue
            .front()
            .is_some_and(|id| !self.pending.contains_key(id))
        {
            self.queue.pop_front();
        }
        Some(id)
    }

    /// When the next one is due to expire.
    pub(crate) fn expiry(&self) -> Option<Instant> {
        self.by_age.first().map(|(since, _)| *since + REFUND_TTL)
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}
