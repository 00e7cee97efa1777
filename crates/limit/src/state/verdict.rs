//! Verdicts: what is remembered of a request id, and how it is answered again.

use std::borrow::Borrow;

use smallvec::SmallVec;

use super::counters::Digest;
use crate::LogTime;
use crate::command::{Item, ItemState, ItemStates, Items, Outcome, Refusal};

/// What became of a request id. `I` is how its items are held: those that are only written down are
/// borrowed from the command.
#[derive(Debug, Clone)]
pub(crate) enum Slot<I = Item> {
    /// Refunded, before or after it was decided.
    Cancelled,
    Resolved(Verdict<I>),
}

/// A stored decision, from which the same outcome is made again at a later time.
#[derive(Debug, Clone)]
pub(crate) struct Verdict<I = Item> {
    pub(crate) admitted: bool,
    pub(crate) kind: Kind,
    pub(crate) held: SmallVec<[Held<I>; 1]>,
}

/// How a request asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Acquire,
    /// Reserved, and free again at that time.
    Reserve(LogTime),
    /// Reserved, and confirmed.
    Confirmed,
}

/// One item of a stored decision.
#[derive(Debug, Clone)]
pub(crate) struct Held<I = Item> {
    /// As it was asked: another one under the same id is another command.
    pub(crate) item: I,
    /// Units that were taken and not refunded.
    pub(crate) charged: u64,
    /// More units than the counter ever admits: waiting does not help.
    pub(crate) hopeless: bool,
    pub(crate) fits: bool,
    pub(crate) remaining: u64,
    pub(crate) max: u64,
    /// Until when the units count.
    pub(crate) end: LogTime,
    /// When more is left.
    pub(crate) reset_at: LogTime,
    /// Until when the units may be used; of an item that denied, when they will fit.
    pub(crate) until: LogTime,
}

/// Units to give back, of which item, and until when they count.
pub(crate) type Charge = (Item, LogTime, u64);

// === impl Slot ===

impl<I: Borrow<Item>> Slot<I> {
    /// How many items it remembers, and at least one: what the memory of a slot goes by.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Cancelled => 1,
            Self::Resolved(verdict) => verdict.held.len().max(1),
        }
    }

    /// Until when it holds units that are not confirmed.
    pub(crate) fn hold(&self) -> Option<LogTime> {
        match self {
            Self::Resolved(Verdict {
                admitted: true,
                kind: Kind::Reserve(until),
                ..
            }) => Some(*until),
            _ => None,
        }
    }

    pub(crate) fn digest(&self, digest: &mut Digest) {
        let Self::Resolved(verdict) = self else {
            return digest.number(1);
        };
        digest.number(2 + u64::from(verdict.admitted));
        digest.number(verdict.kind.code());
        for held in &verdict.held {
            let item = held.item.borrow();
            digest.bytes(item.key.as_bytes());
            for number in [
                item.max,
                item.revision,
                item.window.code(),
                u64::from(item.algorithm.code()),
                item.units,
                u64::from(item.shadow),
                held.charged,
                held.remaining,
                held.max,
                held.end.ms,
                held.reset_at.ms,
                held.until.ms,
            ] {
                digest.number(number);
            }
        }
    }
}

// === impl Kind ===

impl Kind {
    /// One number for the snapshot and the digest.
    pub(crate) fn code(self) -> u64 {
        match self {
            Self::Acquire => 0,
            Self::Confirmed => 1,
            Self::Reserve(until) => until.ms.saturating_add(2),
        }
    }

    /// The inverse of [`Kind::code`].
    pub(crate) fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Acquire,
            1 => Self::Confirmed,
            _ => Self::Reserve(LogTime::from_ms(code - 2)),
        }
    }
}

// === impl Verdict ===

impl<I: Borrow<Item>> Verdict<I> {
    /// The outcome of a repeat: the same decision, its durations counted from `now`.
    pub(crate) fn again(&self, now: LogTime, kind: Kind, items: &Items) -> Outcome {
        let same = (self.kind == Kind::Acquire) == (kind == Kind::Acquire)
            && self.held.len() == items.len()
            && self
                .held
                .iter()
                .zip(items)
                .all(|(h, item)| h.item.borrow() == item);
        match same {
            true => self.outcome(now),
            false => Outcome::Invalid(Refusal::IdReused),
        }
    }

    pub(crate) fn outcome(&self, now: LogTime) -> Outcome {
        let state = |held: &Held<I>| ItemState {
            fits: held.fits,
            remaining: held.remaining,
            max: held.max,
            reset_after_ms: held.reset_at.since(now),
        };
        let mut items = ItemStates::with_capacity(self.held.len());
        for held in &self.held {
            items.push(state(held));
        }
        if let (true, Kind::Reserve(until)) = (self.admitted, self.kind) {
            let hold_for_ms = until.since(now);
            return Outcome::Reserved { hold_for_ms, items };
        }
        if self.admitted {
            let ends = self.held.iter().map(|held| held.until);
            // Stamps are rounded down to a millisecond: the real instant may be one later.
            let valid_for_ms = ends.min().map_or(0, |end| end.since(now).saturating_sub(1));
            return Outcome::Admitted {
                valid_for_ms,
                items,
            };
        }
        let (binding, retry_after_ms) = self.binding(now).expect("an item denied it");
        Outcome::Denied {
            binding,
            retry_after_ms,
            items,
        }
    }

    /// Of the items that deny, the one with the longest wait; ties go to the first.
    pub(crate) fn binding(&self, now: LogTime) -> Option<(usize, Option<u64>)> {
        let mut binding: Option<(usize, Option<u64>)> = None;
        for (at, held) in self.held.iter().enumerate() {
            if held.fits || held.item.borrow().shadow {
                continue;
            }
            let wait = (!held.hopeless).then(|| held.until.since(now));
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

    /// What was charged and is not given back yet.
    pub(crate) fn charges(&self) -> SmallVec<[Charge; 1]> {
        let held = self.held.iter().filter(|held| held.charged > 0);
        held.map(|held| (held.item.borrow().clone(), held.end, held.charged))
            .collect()
    }
}
