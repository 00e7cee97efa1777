//! Counters, ids and holds as a log leaves them, and what a command must be told by them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Answer, Ask, Id, Item, ItemState};
use crate::limits::{DEDUP_MS, EPOCH_IDLE_MS, HOLD_MS};

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) counters: BTreeMap<Place, Counter>,
    pub(super) ids: BTreeMap<Id, Stored>,
    pub(super) epochs: BTreeMap<u64, Epoch>,
    /// Ids whose units are held and not confirmed, by until when.
    pub(super) holds: BTreeSet<(u64, Id)>,
}

pub(super) type Place = (String, u64, bool);

#[derive(Debug, Clone)]
pub(super) struct Counter {
    pub(super) end_ms: u64,
    /// Until when units count, and how many: of one window all until its end.
    pub(super) charged: BTreeMap<u64, u64>,
    pub(super) revision: u64,
    pub(super) max: u64,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) ask: Ask,
    pub(super) answer: Answer,
    pub(super) at_ms: u64,
    pub(super) charges: Vec<Charge>,
    pub(super) is_cancelled: bool,
}

/// What an id has charged to a counter: which of the admissions that is, and until when it counts.
#[derive(Debug, Clone)]
pub(super) struct Charge {
    pub(super) admission: usize,
    pub(super) place: Place,
    pub(super) end_ms: u64,
    pub(super) units: u64,
}

#[derive(Debug, Default)]
pub(super) struct Epoch {
    pub(super) acked_seq: u64,
    seen_ms: u64,
    /// The highest seq seen by then, in the order of time.
    seen: Vec<(u64, u64)>,
}

/// How an item stands: the units of all items with its counter, and the counter's state.
type Standing = (u64, ItemState);

// === impl Model ===

impl Model {
    /// Whether an id may be forgotten: its epoch is unknown or idle, or it was acknowledged, or it
    /// is older than ids are kept.
    pub(super) fn why_expired(&self, id: Id, now_ms: u64) -> bool {
        let Some(epoch) = self.epochs.get(&id.epoch) else {
            return true;
        };
        now_ms.saturating_sub(epoch.seen_ms) >= EPOCH_IDLE_MS
            || id.seq <= epoch.acked_seq
            || epoch.is_overtaken(id.seq, now_ms)
    }

    pub(super) fn is_acked(&self, id: Id) -> bool {
        let epoch = self.epochs.get(&id.epoch);
        epoch.is_some_and(|epoch| id.seq <= epoch.acked_seq)
    }

    fn standing(&self, item: &Item, now_ms: u64) -> Option<&Counter> {
        let counter = self.counters.get(&place(item))?;
        (counter.end_ms > now_ms).then_some(counter)
    }

    /// How many counters are live.
    pub(super) fn live(&self, now_ms: u64) -> u64 {
        let live = self.counters.values().filter(|one| one.end_ms > now_ms);
        live.count() as u64
    }

    /// How many counters an answer adds to those that are live.
    pub(super) fn new_counters(&self, now_ms: u64, items: &[Item], answer: &Answer) -> u64 {
        let charged = items.iter().zip(answer.states());
        let charged = charged.filter(|(item, state)| {
            let is_new = self.standing(item, now_ms).is_none();
            answer.takes() && state.fits && item.units > 0 && is_new
        });
        let new: BTreeSet<Place> = charged.map(|(item, _)| place(item)).collect();
        new.len() as u64
    }

    fn in_force(&self, item: &Item, now_ms: u64) -> (u64, u64) {
        let Some(counter) = self.standing(item, now_ms) else {
            return (0, item.max);
        };
        let max = match item.revision.cmp(&counter.revision) {
            Ordering::Greater => item.max,
            Ordering::Equal => item.max.min(counter.max),
            Ordering::Less => counter.max,
        };
        (counter.used(now_ms), max)
    }

    /// Charges a counter, which starts anew if it does not stand.
    pub(super) fn charge(&mut self, item: &Item, now_ms: u64) {
        let end_ms = item.counts_until_ms(now_ms);
        if self.learn(item, now_ms).is_none() {
            let counter = Counter {
                end_ms,
                charged: BTreeMap::new(),
                revision: item.revision,
                max: item.max,
            };
            self.counters.insert(place(item), counter);
        }
        let counter = self.counters.get_mut(&place(item)).expect("it is there");
        counter.end_ms = end_ms;
        *counter.charged.entry(end_ms).or_default() += item.units;
    }

    /// Notes the newest revision on a counter that stands.
    pub(super) fn learn(&mut self, item: &Item, now_ms: u64) -> Option<&mut Counter> {
        self.standing(item, now_ms)?;
        let (_, max) = self.in_force(item, now_ms);
        let counter = self.counters.get_mut(&place(item))?;
        counter.max = max;
        counter.revision = counter.revision.max(item.revision);
        Some(counter)
    }

    /// The units that are held of a counter.
    fn held(&self, item: &Item, now_ms: u64) -> u64 {
        let (place, end_ms) = (place(item), item.counts_until_ms(now_ms));
        let ids = self.holds.iter().filter_map(|(_, id)| self.ids.get(id));
        let charges = ids.flat_map(|stored| &stored.charges);
        let held = charges.filter(|one| one.place == place && one.end_ms == end_ms);
        held.map(|charge| charge.units).sum()
    }

    /// The first hold that has ended by now is one no more.
    pub(super) fn end_hold(&mut self, now_ms: u64) -> Option<Id> {
        let first = self.holds.first().copied();
        let ended = first.filter(|(until_ms, _)| *until_ms <= now_ms)?;
        self.holds.remove(&ended);
        Some(ended.1)
    }

    /// How items stand, with what is merely held or without it.
    fn standings(&self, now_ms: u64, items: &[Item], with_held: bool) -> Vec<Standing> {
        let standing = |item: &Item| {
            let same = |other: &&Item| place(other) == place(item);
            let units: u64 = items.iter().filter(same).map(|item| item.units).sum();
            let (charged, max) = self.in_force(item, now_ms);
            let held = match with_held {
                true => 0,
                false => self.held(item, now_ms),
            };
            let remaining = max.saturating_sub(charged.saturating_sub(held));
            let state = ItemState {
                fits: units <= remaining,
                remaining,
                max,
                reset_after_ms: item.end_ms(now_ms).saturating_sub(now_ms),
            };
            (units, state)
        };
        items.iter().map(standing).collect()
    }

    /// What a first acquire or reservation must be told.
    pub(super) fn expect(&self, now_ms: u64, ask: &Ask) -> Answer {
        let items = ask.items();
        let standings = self.standings(now_ms, items, true);
        let Some((in_the_way, _)) = first_denying(items, &standings) else {
            return taken(ask, standings);
        };
        let sure = self.standings(now_ms, items, false);
        let states = |standings: Vec<Standing>| standings.into_iter().map(|(_, state)| state);
        match binding(items, &sure) {
            Some((binding, retry_after_ms)) => Answer::Denied {
                binding,
                retry_after_ms,
                items: states(sure).collect(),
                cached: false,
            },
            None => Answer::Contended {
                binding: in_the_way,
                retry_after_ms: HOLD_MS,
                items: states(standings).collect(),
            },
        }
    }
}

fn first_denying(items: &[Item], standings: &[Standing]) -> Option<(usize, Standing)> {
    let mut all = standings.iter().copied().enumerate();
    all.find(|(at, (_, state))| !state.fits && !items[*at].shadow)
}

/// The item that denies with the longest wait, and its wait; none, if nothing denies.
fn binding(items: &[Item], standings: &[Standing]) -> Option<(usize, Option<u64>)> {
    let mut binding: Option<(usize, Option<u64>)> = None;
    for (at, (units, state)) in standings.iter().enumerate() {
        if state.fits || items[at].shadow {
            continue;
        }
        let wait_ms = (*units <= state.max).then_some(state.reset_after_ms);
        let is_longer = match (binding, wait_ms) {
            (None, _) | (Some((_, Some(_))), None) => true,
            (Some((_, Some(longest))), Some(wait)) => wait > longest,
            (Some((_, None)), _) => false,
        };
        if is_longer {
            binding = Some((at, wait_ms));
        }
    }
    binding
}

/// The answer that everything fits, for good or for a time.
fn taken(ask: &Ask, standings: Vec<Standing>) -> Answer {
    let rest_ms = standings
        .iter()
        .map(|(_, state)| state.reset_after_ms)
        .min();
    let after = |(units, state): Standing| ItemState {
        remaining: state.remaining - if state.fits { units } else { 0 },
        ..state
    };
    let items = standings.into_iter().map(after).collect();
    match ask {
        Ask::Reserve { .. } => Answer::Reserved {
            hold_for_ms: HOLD_MS,
            items,
        },
        _ => Answer::Admitted {
            valid_for_ms: Some(rest_ms.unwrap_or(0).saturating_sub(1)),
            items,
        },
    }
}

pub(super) fn place(item: &Item) -> Place {
    (item.key.clone(), item.window_ms, item.sliding)
}

// === impl Counter ===

impl Counter {
    /// The units that count at a time.
    fn used(&self, now_ms: u64) -> u64 {
        let count = self.charged.range(now_ms + 1..);
        count.map(|(_, units)| units).sum()
    }

    /// Gives units back that count until a time, if any are there.
    pub(super) fn give_back(&mut self, until_ms: u64, units: u64) {
        if let Some(charged) = self.charged.get_mut(&until_ms) {
            *charged = charged.saturating_sub(units);
        }
    }
}

// === impl Epoch ===

impl Epoch {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            seen_ms: now_ms,
            ..Self::default()
        }
    }

    pub(super) fn see(&mut self, seq: u64, acked_seq: u64, now_ms: u64) {
        self.seen_ms = now_ms;
        self.acked_seq = self.acked_seq.max(acked_seq);
        let highest = self.seen.last().map_or(0, |(_, seq)| *seq);
        if seq > highest {
            self.seen.push((now_ms, seq));
        }
    }

    /// Whether a seq at least as high was seen so long ago that this one may be forgotten.
    fn is_overtaken(&self, seq: u64, now_ms: u64) -> bool {
        let first = self.seen.iter().find(|(_, seen)| *seen >= seq);
        first.is_some_and(|(at_ms, _)| now_ms.saturating_sub(*at_ms) >= DEDUP_MS)
    }
}

// === impl Stored ===

impl Stored {
    /// What is wrong with the answer to a repeat.
    pub(super) fn contradiction(&self, now_ms: u64, ask: &Ask, answer: &Answer) -> Option<String> {
        if self.is_cancelled {
            return (*answer != Answer::Cancelled)
                .then(|| format!("{answer:?} after it was refunded or its hold had ended"));
        }
        if self.ask != *ask {
            return (*answer != Answer::Invalid)
                .then(|| format!("another command under it is told {answer:?}"));
        }
        let expected = self.later(now_ms);
        if !expected.is_same_decision(answer) || expected.states() != answer.states() {
            let (first, passed_ms) = (&self.answer, now_ms.saturating_sub(self.at_ms));
            return Some(format!(
                "{answer:?}, but {passed_ms} ms before it was {first:?}"
            ));
        }
        None
    }

    /// What a confirmation must be told while this stands.
    pub(super) fn confirmed(&self, now_ms: u64) -> Answer {
        let is_taken = matches!(self.ask, Ask::Reserve { .. }) && self.answer.takes();
        if !is_taken {
            return Answer::Invalid;
        }
        let items = self.later(now_ms).states().to_vec();
        let rest_ms = items.iter().map(|state| state.reset_after_ms).min();
        Answer::Admitted {
            valid_for_ms: Some(rest_ms.unwrap_or(0).saturating_sub(1)),
            items,
        }
    }

    /// The same answer at a later time.
    fn later(&self, now_ms: u64) -> Answer {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let mut answer = self.answer.clone();
        for state in answer.states_mut() {
            state.reset_after_ms = state.reset_after_ms.saturating_sub(passed_ms);
        }
        answer
    }
}
