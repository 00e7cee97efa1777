//! Client epochs: which requests of one client process are decided, and how.
//!
//! Promises: a seq is decided at most once while it is above the watermark, and never again below
//! it. The watermark rises by the client's acknowledgement, and by log time: once a second the
//! highest seq seen is marked, and 30 s after a mark everything up to it is forgotten. A client
//! draws a seq before it is seen, and retries it for less than that, so no retry outlives it.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::counters::Digest;
use crate::command::{Bound, ItemState, Items, Outcome, Refusal};
use crate::limits::{DEDUP_TTL_MS, MARK_MS, SLOTS_MAX};
use crate::{Key, LogTime, Window};

#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Everything up to here is acknowledged or forgotten.
    pub(crate) watermark: u64,
    /// The seqs after the watermark, without gaps.
    pub(crate) slots: VecDeque<Slot>,
    /// When the highest seq was what; at most one a second.
    pub(crate) marks: VecDeque<(LogTime, u64)>,
    pub(crate) seen: LogTime,
}

#[derive(Debug, Clone, Default)]
pub(crate) enum Slot {
    #[default]
    Empty,
    /// Refunded, before or after it was decided.
    Cancelled,
    Resolved(Verdict),
}

/// A stored decision, from which the same outcome is made again at a later time.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) admitted: bool,
    /// Tells another command under the same id apart.
    pub(crate) fingerprint: u64,
    pub(crate) held: SmallVec<[Held; 1]>,
}

/// One item of a stored decision.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// What was taken from which counter, until it is refunded.
    pub(crate) charge: Option<(Key, Window, u64)>,
    /// More units than the counter ever admits: waiting does not help.
    pub(crate) hopeless: bool,
    pub(crate) fits: bool,
    pub(crate) remaining: u64,
    pub(crate) max: u64,
    pub(crate) end: LogTime,
}

pub(crate) type Charge = (Key, Window, LogTime, u64);

// === impl Client ===

impl Client {
    pub(crate) fn new(now: LogTime) -> Self {
        Self {
            watermark: 0,
            slots: VecDeque::new(),
            marks: VecDeque::new(),
            seen: now,
        }
    }

    pub(crate) fn seen(&self) -> LogTime {
        self.seen
    }

    pub(crate) fn slots_used(&self) -> usize {
        self.slots.len()
    }

    /// Notes that the client is alive, and forgets what is due.
    pub(crate) fn touch(&mut self, now: LogTime) {
        self.seen = now;
        while let Some((_, seq)) = self
            .marks
            .front()
            .copied()
            .filter(|mark| is_due(*mark, now))
        {
            self.raise(seq);
            self.marks.pop_front();
        }
        let highest = self.watermark + self.slots.len() as u64;
        let (at, marked) = self
            .marks
            .back()
            .copied()
            .unwrap_or((LogTime::ZERO, self.watermark));
        if highest > marked && now.since(at) >= MARK_MS {
            self.marks.push_back((now, highest));
        }
    }

    pub(crate) fn acknowledge(&mut self, acked_seq: u64) {
        // A client cannot acknowledge what was never decided.
        self.raise(acked_seq.min(self.watermark + self.slots.len() as u64));
    }

    fn raise(&mut self, watermark: u64) {
        let Some(rise) = watermark.checked_sub(self.watermark) else {
            return;
        };
        let rise = usize::try_from(rise)
            .unwrap_or(usize::MAX)
            .min(self.slots.len());
        self.slots.drain(..rise);
        self.watermark = watermark;
    }

    /// The slot of `seq`, or the outcome of a seq that can have none.
    pub(crate) fn slot(&mut self, seq: u64) -> Result<&mut Slot, Outcome> {
        let Some(at) = seq.checked_sub(self.watermark + 1) else {
            return Err(Outcome::Expired);
        };
        if at >= SLOTS_MAX {
            return Err(Outcome::Exhausted(Bound::Requests));
        }
        let at = usize::try_from(at).expect("below SLOTS_MAX");
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, Slot::default);
        }
        Ok(&mut self.slots[at])
    }

    pub(crate) fn resolve(&mut self, seq: u64, slot: Slot) {
        *self
            .slot(seq)
            .expect("a seq that had a slot keeps it within its command") = slot;
    }

    pub(crate) fn digest(&self, now: LogTime) -> u64 {
        // What a touch at `now` would forget shows in no outcome, hence not here.
        let due = self
            .marks
            .iter()
            .filter(|mark| is_due(**mark, now))
            .map(|mark| mark.1)
            .max();
        let watermark = due.unwrap_or(0).max(self.watermark);
        let forgotten = usize::try_from(watermark - self.watermark).unwrap_or(usize::MAX);
        let mut digest = Digest::new();
        digest.number(watermark);
        digest.number(self.seen.ms);
        for mark in self.marks.iter().filter(|mark| !is_due(**mark, now)) {
            digest.number(mark.0.ms);
            digest.number(mark.1);
        }
        for slot in self.slots.iter().skip(forgotten) {
            slot.digest(&mut digest);
        }
        digest.finish()
    }
}

fn is_due((at, _): (LogTime, u64), now: LogTime) -> bool {
    now.since(at) >= DEDUP_TTL_MS
}

// === impl Slot ===

impl Slot {
    fn digest(&self, digest: &mut Digest) {
        match self {
            Self::Empty => digest.number(0),
            Self::Cancelled => digest.number(1),
            Self::Resolved(verdict) => {
                digest.number(2 + u64::from(verdict.admitted));
                digest.number(verdict.fingerprint);
                for held in &verdict.held {
                    let charged = held.charge.as_ref().map_or(0, |(_, _, units)| *units);
                    for number in [held.remaining, held.max, held.end.ms, charged] {
                        digest.number(number);
                    }
                }
            }
        }
    }
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn new(admitted: bool, items: &Items, held: SmallVec<[Held; 1]>) -> Self {
        Self {
            admitted,
            fingerprint: fingerprint(items),
            held,
        }
    }

    /// The outcome of a repeat: the same decision, its durations counted from `now`.
    pub(crate) fn again(&self, now: LogTime, items: &Items) -> Outcome {
        if self.fingerprint != fingerprint(items) {
            return Outcome::Invalid(Refusal::IdReused);
        }
        self.outcome(now, items)
    }

    pub(crate) fn outcome(&self, now: LogTime, items: &Items) -> Outcome {
        let state = |held: &Held| ItemState {
            fits: held.fits,
            remaining: held.remaining,
            max: held.max,
            reset_after_ms: held.end.since(now),
        };
        let states = self.held.iter().map(state).collect();
        if self.admitted {
            let end = self
                .held
                .iter()
                .map(|held| held.end)
                .min()
                .unwrap_or(LogTime::ZERO);
            // Stamps are rounded down to a millisecond: the real instant may be one later.
            let valid_for_ms = end.since(now).saturating_sub(1);
            return Outcome::Admitted {
                valid_for_ms,
                items: states,
            };
        }
        // Items that deny nothing under an id that was denied: another command, whatever its
        // fingerprint says.
        match self.binding(now, items) {
            Some((binding, retry_after_ms)) => Outcome::Denied {
                binding,
                retry_after_ms,
                items: states,
            },
            None => Outcome::Invalid(Refusal::IdReused),
        }
    }

    /// Of the items that deny, the one with the longest wait; ties go to the first.
    fn binding(&self, now: LogTime, items: &Items) -> Option<(usize, Option<u64>)> {
        let mut binding: Option<(usize, Option<u64>)> = None;
        for (at, (held, item)) in self.held.iter().zip(items).enumerate() {
            if held.fits || item.shadow {
                continue;
            }
            let wait = (!held.hopeless).then(|| held.end.since(now));
            let longer = match (binding, wait) {
                (None, _) | (Some((_, Some(_))), None) => true,
                (Some((_, Some(longest))), Some(wait)) => wait > longest,
                (Some((_, None)), _) => false,
            };
            if longer {
                binding = Some((at, wait));
            }
        }
        binding
    }

    /// Takes out what was charged, so that it is given back once.
    pub(crate) fn take_charges(&mut self) -> SmallVec<[Charge; 1]> {
        let take = |held: &mut Held| {
            let (key, window, units) = held.charge.take()?;
            Some((key, window, held.end, units))
        };
        self.held.iter_mut().filter_map(take).collect()
    }
}

/// What tells two commands under one id apart: everything but the time.
fn fingerprint(items: &Items) -> u64 {
    let mut digest = Digest::new();
    for item in items {
        digest.bytes(item.key.as_bytes());
        let window = item.window.code();
        for number in [
            item.max,
            item.revision,
            window,
            item.units,
            u64::from(item.shadow),
        ] {
            digest.number(number);
        }
    }
    digest.finish()
}
