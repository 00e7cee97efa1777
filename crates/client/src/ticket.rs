//! Tickets: the right to use units that were taken, and to give them back.

use std::sync::{Arc, Mutex, PoisonError};

use quotum_limit::RequestId;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::limits::REPORTS_MAX;

/// The right to use units that were taken. Dropped: they stay charged.
#[derive(Debug)]
pub struct Ticket {
    taken: Vec<Taken>,
    clock: Clock,
}

/// The units that one id took. Until a ticket is made of it they are refunded when it is dropped:
/// a caller that is gone does not use them.
#[derive(Debug)]
pub(crate) struct Taken {
    id: RequestId,
    valid_until_us: u64,
    end: End,
    desk: Arc<Desk>,
}

/// What becomes of an id whose ticket is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Used,
    Refund,
}

/// Where a shard's tickets report their end.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    reports: Mutex<Vec<(RequestId, End)>>,
    wake: Notify,
}

// === impl Ticket ===

impl Ticket {
    pub(crate) fn new(mut taken: Vec<Taken>, clock: Clock) -> Self {
        for taken in &mut taken {
            taken.end = End::Used;
        }
        Self { taken, clock }
    }

    /// Whether the admission still holds: its windows have not ended. Checked right before use.
    pub fn is_valid(&self) -> bool {
        #[cfg(quotum_bugs)]
        if quotum_limit::bugs::is(quotum_limit::bugs::Bug::LateForward) {
            return true;
        }
        let now_us = self.clock.now_us();
        self.taken.iter().all(|taken| now_us < taken.valid_until_us)
    }

    /// Gives the units back, because the call provably did not run. Returns at once; the client
    /// repeats it until the service has acknowledged it. Units that were held for more than ten
    /// seconds stay charged.
    pub fn refund(mut self) {
        for taken in &mut self.taken {
            taken.end = End::Refund;
        }
    }
}

// === impl Taken ===

impl Taken {
    pub(crate) fn new(id: RequestId, valid_until_us: u64, desk: Arc<Desk>) -> Self {
        Self {
            id,
            valid_until_us,
            end: End::Refund,
            desk,
        }
    }

    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    /// What was reserved is confirmed, and may be used until then.
    pub(crate) fn confirm(&mut self, valid_until_us: u64) {
        self.valid_until_us = valid_until_us;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.desk.report(self.id, self.end);
    }
}

// === impl Desk ===

impl Desk {
    fn report(&self, id: RequestId, end: End) {
        {
            let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            if reports.len() >= REPORTS_MAX {
                // The id is passed over when it has been held for too long.
                return;
            }
            reports.push((id, end));
        }
        if end == End::Refund {
            self.wake.notify_one();
        }
    }

    pub(crate) fn take(&self) -> Vec<(RequestId, End)> {
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when a refund has been reported. Other reports wait for whatever comes next.
    pub(crate) async fn refund_reported(&self) {
        self.wake.notified().await;
    }
}
