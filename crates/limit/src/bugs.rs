//! Bugs that a simulation puts in, to prove that what looks for them is sharp. No build has this
//! module but with `--cfg quotum_bugs`.
//!
//! Each is one or two lines where such a bug would be, here or in another crate, that do nothing
//! until it is selected. A process selects one at most, once.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::command::{Algorithm, Item, Items};
use crate::{LogTime, Reading, Stamp};

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    RetryChargedAgain,
    ProposersClock,
    LocalClock,
    AckBeforeSync,
    TruncateAtRot,
    RefundNextWindow,
    NegativeUnits,
    SnapshotForgetsIds,
    LogClockSteps,
    EvictedRefills,
    PartialCharge,
    StaleLeader,
    LateForward,
    DenialKept,
}

/// All of them, by name, and what is wrong.
pub const ALL: [(Bug, &str, &str); 14] = [
    (
        Bug::RetryChargedAgain,
        "retry-charged-again",
        "a request that comes twice is decided and charged twice",
    ),
    (
        Bug::ProposersClock,
        "proposers-clock",
        "windows follow the wall clock of whoever leads, also back",
    ),
    (
        Bug::LocalClock,
        "local-clock",
        "applying an entry reads the wall clock of the replica",
    ),
    (
        Bug::AckBeforeSync,
        "ack-before-sync",
        "the log is acknowledged before the disk has it",
    ),
    (
        Bug::TruncateAtRot,
        "truncate-at-rot",
        "a log that is damaged where it was synced ends there",
    ),
    (
        Bug::RefundNextWindow,
        "refund-next-window",
        "a late refund gives its units to the window that is on by then",
    ),
    (
        Bug::NegativeUnits,
        "negative-units",
        "a request for less than nothing gives units back",
    ),
    (
        Bug::SnapshotForgetsIds,
        "snapshot-forgets-ids",
        "snapshots hold no request ids",
    ),
    (
        Bug::LogClockSteps,
        "log-clock-steps",
        "a new leader's log clock steps to the fastest wall clock, not to the median",
    ),
    (
        Bug::EvictedRefills,
        "evicted-refills",
        "the sweep frees counters whose window is not over",
    ),
    (
        Bug::PartialCharge,
        "partial-charge",
        "a bundle that is denied is charged for the items that fit",
    ),
    (
        Bug::StaleLeader,
        "stale-leader",
        "a leader that hears nobody answers from its own state",
    ),
    (
        Bug::LateForward,
        "late-forward",
        "a call leaves after the window that it was charged to",
    ),
    (
        Bug::DenialKept,
        "denial-kept",
        "a client remembers a denial for ever",
    ),
];

/// The place of the selected one in [`ALL`], counted from 1; 0: none.
static SELECTED: AtomicUsize = AtomicUsize::new(0);

/// Selects the bug of this name; `false`: there is none.
pub fn select(name: &str) -> bool {
    let found = ALL.iter().position(|(_, known, _)| *known == name);
    SELECTED.store(found.map_or(0, |at| at + 1), Ordering::Relaxed);
    found.is_some()
}

/// Whether this bug is in.
pub fn is(bug: Bug) -> bool {
    let selected = SELECTED.load(Ordering::Relaxed);
    selected > 0 && ALL[selected - 1].0 == bug
}

/// Until when what is refunded at `now` counts, of which `end` is right.
pub(crate) fn refund_until(item: &Item, end: LogTime, now: LogTime) -> LogTime {
    match is(Bug::RefundNextWindow) && item.algorithm == Algorithm::Fixed {
        true => item.window.interval(now).end,
        false => end,
    }
}

/// What a leader stamps by its reading alone.
pub(crate) fn stamp_of(reading: Reading) -> Option<Stamp> {
    let reference_ms = reading.reference_ms.filter(|_| is(Bug::ProposersClock))?;
    Some(Stamp {
        log: LogTime::from_ms(reference_ms),
        reference_ms,
    })
}

/// The counters that are over at this time are freed at `now`.
pub(crate) fn swept_until(now: LogTime) -> LogTime {
    now.plus_ms(if is(Bug::EvictedRefills) { 1_000 } else { 0 })
}

/// The items as they are charged, and what those that are negative give back.
pub(crate) fn less_than_nothing(items: &Items) -> (Items, Vec<(Item, u64)>) {
    let (mut charged, mut given) = (items.clone(), Vec::new());
    let is_negative = |item: &&mut Item| is(Bug::NegativeUnits) && item.units > u64::MAX / 2;
    for item in charged.iter_mut().filter(is_negative) {
        given.push((item.clone(), item.units.wrapping_neg()));
        item.units = 0;
    }
    (charged, given)
}
