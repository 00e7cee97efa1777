//! Which request ids of an epoch are settled: what the service may forget.
//!
//! Promises: the acknowledged seq never passes one that may still be retried or refunded; at most
//! [`SEQS_OPEN_MAX`] seqs above it are in use. Pure: time arrives as an argument.

use std::collections::VecDeque;

use crate::limits::{HOLD_US_MAX, SEQS_OPEN_MAX, SEQS_OPEN_PRESSED};

#[cfg(test)]
mod tests;

/// The seqs of one epoch.
#[derive(Debug, Default)]
pub(crate) struct SeqWindow {
    acked: u64,
    /// The seqs after `acked`, without gaps.
    slots: VecDeque<Slot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// May be sent again, as a request or as a refund.
    Open,
    /// A ticket has it, which may still be refunded.
    Held {
        since_us: u64,
    },
    Settled,
}

// === impl SeqWindow ===

impl SeqWindow {
    /// Everything up to here is settled.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// The next seq, open; `None` while the window is full.
    pub(crate) fn draw(&mut self) -> Option<u64> {
        if self.slots.len() >= SEQS_OPEN_MAX {
            return None;
        }
        self.slots.push_back(Slot::Open);
        Some(self.acked + self.slots.len() as u64)
    }

    /// The outcome of `seq` went out with a ticket.
    pub(crate) fn hold(&mut self, seq: u64, now_us: u64) {
        self.set(seq, Slot::Held { since_us: now_us });
    }

    /// `seq` is about to be refunded: it stays open until that is acknowledged. `false` if it has
    /// been acknowledged itself, so that a refund comes too late.
    pub(crate) fn reopen(&mut self, seq: u64) -> bool {
        self.set(seq, Slot::Open)
    }

    /// `seq` is never sent again.
    pub(crate) fn settle(&mut self, seq: u64) {
        self.set(seq, Slot::Settled);
    }

    /// Moves the acknowledged seq over everything settled, and over tickets that are held for too
    /// long, or stand in the way of a window that fills. Returns how many tickets were so passed
    /// over: their units stay charged.
    pub(crate) fn advance(&mut self, now_us: u64) -> u64 {
        let mut forfeited = 0;
        while let Some(front) = self.slots.front() {
            match front {
                Slot::Open => break,
                Slot::Settled => {}
                Slot::Held { since_us } => {
                    let is_old = now_us.saturating_sub(*since_us) > HOLD_US_MAX;
                    if !is_old && self.slots.len() < SEQS_OPEN_PRESSED {
                        break;
                    }
                    forfeited += 1;
                }
            }
            self.slots.pop_front();
            self.acked += 1;
        }
        forfeited
    }

    fn set(&mut self, seq: u64, slot: Slot) -> bool {
        let at = seq
            .checked_sub(self.acked + 1)
            .and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.slots.get_mut(at)) {
            Some(place) => {
                *place = slot;
                true
            }
            None => false,
        }
    }
}
