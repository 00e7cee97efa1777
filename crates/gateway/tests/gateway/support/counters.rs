//! Counters in memory: no windows, no network.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quotum_client::{Decision, Path, Position, Route};
use quotum_gateway::{Counters, Ticket};
use quotum_limit::{Item, ItemState, Key};

#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    charged: HashMap<Key, u64>,
    mood: Mood,
    acquires: usize,
    /// Tickets that are no longer valid when they are checked.
    late: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Answering,
    Silent,
}

pub(crate) struct Taken {
    memory: Memory,
    items: Vec<(Route, Item)>,
    valid: bool,
}

const POSITION: Position = Position {
    shard: 0,
    term: 1,
    index: 7,
};

impl Memory {
    pub(crate) fn set_mood(&self, mood: Mood) {
        self.0.lock().expect("no panic").mood = mood;
    }

    /// The next `count` tickets are late.
    pub(crate) fn make_late(&self, count: usize) {
        self.0.lock().expect("no panic").late = count;
    }

    /// Units charged, over all counters.
    pub(crate) fn charged(&self) -> u64 {
        self.0.lock().expect("no panic").charged.values().sum()
    }

    pub(crate) fn acquires(&self) -> usize {
        self.0.lock().expect("no panic").acquires
    }
}

impl Counters for Memory {
    type Ticket = Taken;

    async fn acquire(&self, items: Vec<(Route, Item)>) -> (Decision, Option<Taken>) {
        let mut state = self.0.lock().expect("no panic");
        state.acquires += 1;
        if state.mood == Mood::Silent {
            return (Decision::Unavailable, None);
        }
        let mut states: Vec<ItemState> = items
            .iter()
            .map(|(_, item)| {
                let charged = state.charged.get(&item.key).copied().unwrap_or(0);
                ItemState {
                    fits: charged + item.units <= item.max,
                    remaining: item.max.saturating_sub(charged),
                    max: item.max,
                    reset_after_ms: 12_000,
                }
            })
            .collect();
        let denying = items
            .iter()
            .zip(&states)
            .position(|((_, item), s)| !item.shadow && !s.fits);
        if let Some(binding) = denying {
            let denied = Decision::Denied {
                binding,
                retry_after: Some(Duration::from_millis(11_500)),
                items: states.into_iter().collect(),
                path: Path::Exact,
                position: Some(POSITION),
            };
            return (denied, None);
        }
        for ((_, item), item_state) in items.iter().zip(&mut states) {
            if item_state.fits {
                *state.charged.entry(item.key.clone()).or_default() += item.units;
                item_state.remaining -= item.units;
            }
        }
        let valid = state.late == 0;
        state.late = state.late.saturating_sub(1);
        let ticket = Taken {
            memory: self.clone(),
            items,
            valid,
        };
        let admitted = Decision::Admitted {
            items: states.into_iter().collect(),
            position: POSITION,
        };
        (admitted, Some(ticket))
    }
}

impl Ticket for Taken {
    fn is_valid(&self) -> bool {
        self.valid
    }

    fn refund(self) {
        let mut state = self.memory.0.lock().expect("no panic");
        for (_, item) in &self.items {
            if let Some(charged) = state.charged.get_mut(&item.key) {
                *charged = charged.saturating_sub(item.units);
            }
        }
    }
}
