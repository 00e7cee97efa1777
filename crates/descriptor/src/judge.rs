//! The outcome of a decision to the statuses of a request.
//!
//! Promises: one status for each descriptor, never unknown; the request is over exactly where an
//! enforced limit is, or all of its quota limits are; where it is over, nothing stays charged.

use quotum_limit::{Item, ItemState, Items, Outcome};

use crate::domain::{Limit, Metadata, Mode, Unit};
use crate::plan::{Limited, Part, Plan};

#[cfg(test)]
mod tests;

/// What became of a request.
#[derive(Debug, PartialEq)]
pub struct Judgement<'p> {
    pub is_over: bool,
    /// The units that were taken must be given back.
    pub undo: bool,
    pub statuses: Vec<Status<'p>>,
    pub usages: Vec<Usage<'p>>,
}

/// What became of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Status<'p> {
    pub is_over: bool,
    /// `None`: no limit applies.
    pub limit: Option<Current<'p>>,
    pub remaining: u32,
    pub reset_after_ms: Option<u64>,
    /// Of a limit that has something left.
    pub metadata: Option<&'p Metadata>,
}

/// A limit in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current<'p> {
    pub requests: u32,
    pub unit: Unit,
    pub name: &'p str,
}

/// What was asked of a limit, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage<'p> {
    pub keys: [&'p str; 2],
    pub hits: u64,
    /// Those of them that were admitted beyond 80 % of the limit.
    pub near: u64,
    pub is_over: bool,
    pub is_shadow: bool,
}

// === impl Plan ===

impl Plan<'_> {
    /// The statuses where there was nothing to decide.
    pub fn undecided(&self) -> Judgement<'_> {
        self.judge_states(&[], false)
    }

    /// The statuses that follow from `outcome`. `None`: it is no decision.
    pub fn judge(&self, outcome: &Outcome) -> Option<Judgement<'_>> {
        let (states, is_charged) = match outcome {
            Outcome::Admitted { items, .. } => (items, true),
            Outcome::Denied { items, .. } | Outcome::Peeked { items } => (items, false),
            _ => return None,
        };
        (states.len() == self.items.len()).then(|| self.judge_states(states, is_charged))
    }

    /// The judgement where no counter could be made: nothing fits.
    pub fn exhausted(&self) -> Judgement<'_> {
        let none = |item: &Item| ItemState {
            fits: false,
            remaining: 0,
            max: item.max,
            reset_after_ms: 0,
        };
        let states: Vec<_> = self.items.iter().map(none).collect();
        self.judge_states(&states, false)
    }

    /// The items that a denied request takes nevertheless: what is left of limits whose hits have
    /// happened already.
    pub fn rest(&self, outcome: &Outcome) -> Items {
        let Outcome::Denied { items: states, .. } = outcome else {
            return Items::new();
        };
        let parts = self.parts.iter().filter_map(|part| match part {
            Part::Limited(limited) if limited.limit.is_some_and(|limit| limit.takes_rest) => {
                Some(limited)
            }
            _ => None,
        });
        let rest = parts.filter_map(|limited| {
            let (item, state) = (self.items.get(limited.item)?, states.get(limited.item)?);
            what_is_left(item, state)
        });
        rest.collect()
    }

    fn judge_states(&self, states: &[ItemState], is_charged: bool) -> Judgement<'_> {
        let parts = || {
            self.parts.iter().filter_map(|part| match part {
                Part::Limited(limited) => Some((limited, &states[limited.item])),
                Part::Free | Part::Unlimited(_) => None,
            })
        };
        let of = |mode: Mode| parts().filter(move |(limited, _)| limited.mode == mode);
        let is_over = |(limited, state): (&Limited<'_>, &ItemState)| limited.is_over(state);
        let quotas_over = of(Mode::Quota).next().is_some() && of(Mode::Quota).all(is_over);
        let request_is_over = of(Mode::Enforced).any(is_over) || quotas_over;
        let undo = request_is_over && is_charged;
        let statuses = self.parts.iter().map(|part| match part {
            Part::Free => Status::free(0, None),
            Part::Unlimited(limit) => Status::free(u32::MAX, Some(limit)),
            Part::Limited(limited) => {
                let taken = if undo { self.taken(limited, states) } else { 0 };
                limited.status(&states[limited.item], taken)
            }
        });
        let usage = |(limited, state)| usage(limited, state, request_is_over);
        Judgement {
            is_over: request_is_over,
            undo,
            statuses: statuses.collect(),
            usages: parts().map(usage).collect(),
        }
    }

    /// The units that the request took of the counter of `limited`.
    fn taken(&self, limited: &Limited<'_>, states: &[ItemState]) -> u64 {
        let own = &self.items[limited.item];
        let same = self.items.iter().zip(states);
        same.filter(|(item, state)| item.key == own.key && item.window == own.window && state.fits)
            .map(|(item, _)| item.units)
            .sum()
    }
}

/// An item that takes what is left where `item` does not fit. It denies nothing.
pub fn what_is_left(item: &Item, state: &ItemState) -> Option<Item> {
    (!state.fits && state.remaining > 0).then(|| Item {
        units: state.remaining,
        shadow: true,
        ..item.clone()
    })
}

// === impl Limited ===

impl Limited<'_> {
    /// A descriptor that only looks is over where nothing is left.
    fn is_over(&self, state: &ItemState) -> bool {
        !state.fits || (self.only_looks && state.remaining == 0)
    }

    fn status(&self, state: &ItemState, given_back: u64) -> Status<'_> {
        let is_over = self.is_over(state);
        let remaining = state.remaining.saturating_add(given_back).min(state.max);
        let passed = self.limit.filter(|_| !is_over);
        Status {
            is_over: is_over && self.mode != Mode::Shadow,
            limit: Some(Current {
                requests: u32::try_from(state.max).unwrap_or(self.requests),
                unit: self.unit,
                name: self.limit.map_or("", |limit| &limit.name),
            }),
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after_ms: Some(state.reset_after_ms),
            metadata: passed.and_then(|limit| limit.metadata.as_ref()),
        }
    }
}

// === impl Status ===

impl<'p> Status<'p> {
    fn free(remaining: u32, limit: Option<&'p Limit>) -> Self {
        Self {
            is_over: false,
            limit: None,
            remaining,
            reset_after_ms: None,
            metadata: limit.and_then(|limit| limit.metadata.as_ref()),
        }
    }
}

fn usage<'p>(limited: &'p Limited<'_>, state: &ItemState, request_is_over: bool) -> Usage<'p> {
    let is_over = limited.is_over(state);
    let admitted = !is_over && !request_is_over;
    // The last fifth of the limit is near its end.
    let used = state.max.saturating_sub(state.remaining);
    let near = used.saturating_sub(state.max - state.max / 5);
    Usage {
        keys: limited.metric_names.each_ref().map(|name| &**name),
        hits: limited.hits,
        near: if admitted { near.min(limited.hits) } else { 0 },
        is_over,
        is_shadow: limited.mode == Mode::Shadow,
    }
}
