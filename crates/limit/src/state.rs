//! The state machine: counters, client epochs and log time, changed by commands alone.
//!
//! Promises: what [`State::apply`] answers depends on the commands and their log times only, never
//! on when memory was swept, which replica asks, or the order of a hash map.

use smallvec::SmallVec;

use crate::command::{
    Bound, Caller, Command, Item, ItemState, ItemStates, Items, Outcome, Refusal, RequestId,
};
use crate::limits::{ITEMS_MAX, UNITS_MAX};
use crate::{Batch, Caps, LogTime, Stamp, Tenant};

pub(crate) mod census;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod counters;
#[cfg(test)]
pub(crate) mod model;
pub(crate) mod part;
pub(crate) mod ring;
#[cfg(test)]
mod sliding;
pub(crate) mod slots;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transcript;
pub(crate) mod verdict;

use clients::Clients;
use counters::{Counters, Place, Times};
use verdict::{Held, Slot, Verdict};

/// Everything that a shard's log has built. `Clone` shares the counters until they are touched.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) caps: Caps,
    pub(crate) last: Stamp,
    pub(crate) counters: Counters,
    pub(crate) clients: Clients,
    /// Seen by nothing but [`State::repeats`].
    repeats: u64,
}

/// One decided item: where its counter is and how it stands before the command.
struct Plan {
    place: Place,
    /// Units of all the command's items with this counter; 0 on all but the first of them.
    units: u64,
    /// Whether those are more than the counter ever admits.
    hopeless: bool,
    fits: bool,
    remaining: u64,
    max: u64,
    times: Times,
    /// When the units will fit, if they do not.
    retry_at: LogTime,
}

type Plans = SmallVec<[Plan; 1]>;

// === impl State ===

impl State {
    /// An empty state. `hash_seed` places keys in tables and shows in no outcome: draw it at
    /// random, so that no caller can choose keys that collide.
    pub fn new(hash_seed: u64) -> Self {
        Self {
            caps: Caps {
                counters_max: 0,
                tenant_counters_max: 0,
            },
            last: Stamp::default(),
            counters: Counters::new(hash_seed),
            clients: Clients::new(),
            repeats: 0,
        }
    }

    /// The stamp of the last entry applied.
    pub fn last_stamp(&self) -> Stamp {
        self.last
    }

    /// Counters whose window is not over.
    pub fn counters_live(&self) -> usize {
        self.counters.live()
    }

    /// Counters in memory, those included that are over and not freed yet.
    pub fn counters_stored(&self) -> usize {
        self.counters.stored()
    }

    /// The memory that counters use, in bytes, about.
    pub fn counters_bytes(&self) -> usize {
        self.counters.bytes()
    }

    /// Request ids remembered, over all epochs.
    pub fn requests_held(&self) -> usize {
        self.clients
            .iter()
            .map(|(_, client)| client.slots.len())
            .sum()
    }

    /// Items remembered with those ids: what their memory goes by.
    pub fn items_held(&self) -> usize {
        self.clients.items_held()
    }

    /// How many requests repeated an id that was decided before, since this state was made. Not
    /// part of what replicas agree on.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    pub fn epochs_open(&self) -> usize {
        self.clients.len()
    }

    /// Advances log time to `stamp`, or leaves it where it is ahead of that. Called once for each
    /// log entry, before its commands; `commands` bounds the memory that is swept on the way.
    pub fn advance(&mut self, stamp: Stamp, commands: usize) {
        self.last = Stamp {
            log: self.last.log.max(stamp.log),
            // Not the highest: a term that has seen none says so, and the next does not step.
            reference_ms: stamp.reference_ms,
        };
        self.counters.pass(self.last.log);
        self.clients.pass(self.last.log);
        self.counters.sweep(self.last.log, commands);
    }

    /// Applies a log entry: one outcome for each of its commands.
    pub fn apply_batch(&mut self, batch: &Batch) -> Vec<Outcome> {
        self.caps = batch.caps;
        self.advance(batch.stamp, batch.commands.len());
        batch
            .commands
            .iter()
            .map(|command| self.apply(self.last.log, command))
            .collect()
    }

    /// Applies one command at `at`, or at the log time reached where that is later.
    pub fn apply(&mut self, at: LogTime, command: &Command) -> Outcome {
        if at > self.last.log {
            let reference_ms = self.last.reference_ms;
            self.advance(
                Stamp {
                    log: at,
                    reference_ms,
                },
                1,
            );
        }
        match command {
            Command::Open { caller } => self.open(*caller),
            Command::Acquire {
                id,
                acked_seq,
                items,
            } => self.acquire(*id, *acked_seq, items),
            Command::Refund { id } => self.refund(*id),
            Command::Peek { items } => self.peek(items),
        }
    }

    /// Reads the items' counters at the log time reached.
    pub fn peek(&self, items: &Items) -> Outcome {
        match self.plan(items) {
            Ok(plans) => Outcome::Peeked {
                items: self.states(&plans),
            },
            Err(refusal) => Outcome::Invalid(refusal),
        }
    }

    fn open(&mut self, caller: Caller) -> Outcome {
        match self.clients.open(caller, self.last.log) {
            Ok(epoch) => Outcome::Opened { epoch },
            Err(bound) => Outcome::Exhausted(bound),
        }
    }

    fn acquire(&mut self, id: RequestId, acked_seq: u64, items: &Items) -> Outcome {
        if id.seq == 0 {
            return Outcome::Invalid(Refusal::SeqZero);
        }
        let plans = match self.plan(items) {
            Ok(plans) => plans,
            Err(refusal) => return Outcome::Invalid(refusal),
        };
        let now = self.last.log;
        let earlier = self.clients.act(id.epoch, now, |client| {
            client.acknowledge(acked_seq);
            client.see(id.seq, now)?;
            Ok(match client.slot(id.seq) {
                None => None,
                Some(Slot::Cancelled) => Some(Outcome::Cancelled),
                Some(Slot::Resolved(verdict)) => Some(verdict.again(now, items)),
            })
        });
        match earlier {
            None => return Outcome::Expired,
            Some(Err(outcome)) => return outcome,
            Some(Ok(Some(outcome))) => {
                self.repeats += u64::from(outcome != Outcome::Cancelled);
                return outcome;
            }
            Some(Ok(None)) => {}
        }
        if !self.clients.has_room(id.epoch, items.len()) {
            return Outcome::Exhausted(Bound::Ids);
        }

        let denies = |(plan, item): (&Plan, &Item)| !plan.fits && !item.shadow;
        if plans.iter().zip(items).any(denies) {
            self.learn(items, &plans);
            return self.deny(id, items, &plans);
        }
        if let Some(bound) = self.full(items, &plans) {
            return Outcome::Exhausted(bound);
        }
        self.learn(items, &plans);
        self.admit(id, items, plans)
    }

    /// The bound that the counters which a command would add go beyond.
    fn full(&self, items: &Items, plans: &Plans) -> Option<Bound> {
        let is_new = |(plan, _): &(&Plan, &Item)| plan.charges() && !plan.place.is_live();
        let new = plans.iter().zip(items).filter(is_new);
        let tenants: SmallVec<[Tenant; 4]> = new.map(|(_, item)| item.key.tenant()).collect();
        let over = |tenant: &Tenant| {
            let new = tenants.iter().filter(|other| *other == tenant).count();
            let live = self.counters.live_of(*tenant);
            *tenant != Tenant::default() && live + new > self.caps.tenant_counters_max
        };
        if tenants.iter().any(over) {
            return Some(Bound::Tenant);
        }
        let live = self.counters.live() + tenants.len();
        (live > self.caps.counters_max).then_some(Bound::Counters)
    }

    fn deny(&mut self, id: RequestId, items: &Items, plans: &Plans) -> Outcome {
        let held = plans.iter().zip(items).map(|(plan, item)| Held {
            item: item.clone(),
            charged: 0,
            hopeless: plan.hopeless,
            fits: plan.fits,
            remaining: plan.remaining,
            max: plan.max,
            end: plan.times.end,
            reset_at: plan.times.reset_at,
            until: plan.retry_at,
        });
        let held = held.collect();
        self.resolve(
            id,
            Verdict {
                admitted: false,
                held,
            },
        )
    }

    fn admit(&mut self, id: RequestId, items: &Items, plans: Plans) -> Outcome {
        let now = self.last.log;
        let mut held = SmallVec::with_capacity(plans.len());
        for (plan, item) in plans.into_iter().zip(items) {
            if plan.charges() {
                let units = (plan.max, plan.units);
                self.counters
                    .charge(&plan.place, item, units, (now, plan.times.end));
            }
            let taken = if plan.fits { plan.units } else { 0 };
            // What comes back first may be what is taken now.
            let reset_at = match taken > 0 && plan.times.reset_at <= now {
                true => plan.times.end,
                false => plan.times.reset_at,
            };
            held.push(Held {
                item: item.clone(),
                charged: taken,
                hopeless: plan.hopeless,
                fits: plan.fits,
                remaining: plan.remaining - taken,
                max: plan.max,
                end: plan.times.end,
                reset_at,
                until: plan.times.use_until,
            });
        }
        settle_equal_keys(items, &mut held);
        self.resolve(
            id,
            Verdict {
                admitted: true,
                held,
            },
        )
    }

    /// Remembers a verdict, and answers with it.
    fn resolve(&mut self, id: RequestId, verdict: Verdict) -> Outcome {
        let now = self.last.log;
        let outcome = verdict.outcome(now);
        let put = |client: &mut client::Client| {
            client.slots.put(id.seq, Slot::Resolved(verdict));
        };
        self.clients.act(id.epoch, now, put);
        outcome
    }

    fn refund(&mut self, id: RequestId) -> Outcome {
        if id.seq == 0 {
            return Outcome::Invalid(Refusal::SeqZero);
        }
        let now = self.last.log;
        let has_room = self.clients.has_room(id.epoch, 1);
        let cancelled = self.clients.act(id.epoch, now, |client| {
            client.see(id.seq, now)?;
            if client.slot(id.seq).is_none() && !has_room {
                return Err(Outcome::Exhausted(Bound::Ids));
            }
            Ok(client.slots.put(id.seq, Slot::Cancelled))
        });
        let charges = match cancelled {
            None => return Outcome::Expired,
            Some(Err(outcome)) => return outcome,
            Some(Ok(Some(Slot::Resolved(verdict)))) => verdict.charges(),
            Some(Ok(Some(Slot::Cancelled) | None)) => SmallVec::new(),
        };
        let mut units = 0;
        for (item, end, charged) in charges {
            if end > now {
                units += self.counters.refund(&item, end, charged);
            }
        }
        Outcome::Refunded { units }
    }

    /// Finds the items' counters and how they stand, without changing anything.
    fn plan(&self, items: &Items) -> Result<Plans, Refusal> {
        if items.is_empty() || items.len() > ITEMS_MAX {
            return Err(Refusal::ItemCount);
        }
        let now = self.last.log;
        let mut plans = Plans::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let units = summed_units(items, at)?;
            let place = self.counters.find(item, now);
            let (charged, max) = place.in_force(item.revision, item.max);
            let remaining = max.saturating_sub(charged);
            let (fits, hopeless) = (units.total <= remaining, units.total > max);
            let retry_at = match fits || hopeless {
                true => now,
                false => {
                    let most = max - units.total;
                    self.counters.at_most(&place, item, most, now)
                }
            };
            plans.push(Plan {
                times: self.counters.times(&place, item, now),
                place,
                units: if units.first { units.total } else { 0 },
                hopeless,
                fits,
                remaining,
                max,
                retry_at,
            });
        }
        Ok(plans)
    }

    fn states(&self, plans: &Plans) -> ItemStates {
        let now = self.last.log;
        let state = |plan: &Plan| ItemState {
            fits: plan.fits,
            remaining: plan.remaining,
            max: plan.max,
            reset_after_ms: plan.times.reset_at.since(now),
        };
        plans.iter().map(state).collect()
    }

    /// Live counters keep the newest revision that they see, also from a command that is denied.
    fn learn(&mut self, items: &Items, plans: &Plans) {
        for (plan, item) in plans.iter().zip(items) {
            self.counters.learn(&plan.place, item);
        }
    }

    /// A digest of everything that a later command can see: equal on replicas that have applied
    /// the same entries, whatever they have swept.
    pub fn digest(&self) -> u64 {
        let now = self.last.log;
        let sum = self.counters.digest(now) ^ self.last.log.ms;
        let sum = sum.rotate_left(7).wrapping_add(self.clients.digest());
        sum.rotate_left(9) ^ self.last.reference_ms
    }
}

impl Plan {
    fn charges(&self) -> bool {
        self.fits && self.units > 0
    }
}

struct Summed {
    total: u64,
    /// Whether this is the first item of its counter: the one that charges for all of them.
    first: bool,
}

/// The units of all items that share the counter of item `at`.
fn summed_units(items: &Items, at: usize) -> Result<Summed, Refusal> {
    let item = &items[at];
    let mut total: u64 = 0;
    let mut first = true;
    for (other_at, other) in items.iter().enumerate() {
        if other.units > UNITS_MAX || other.max > UNITS_MAX {
            return Err(Refusal::UnitsTooLarge);
        }
        if other.key != item.key || other.window != item.window {
            continue;
        }
        let same = (other.max, other.revision, other.algorithm, other.shadow)
            == (item.max, item.revision, item.algorithm, item.shadow);
        if !same {
            return Err(Refusal::ConflictingItems);
        }
        first &= other_at >= at;
        // At most ITEMS_MAX times 2^53: no overflow.
        total += other.units;
    }
    Ok(Summed { total, first })
}

/// Items after the first of an equal key show what that one left.
fn settle_equal_keys(items: &Items, held: &mut SmallVec<[Held; 1]>) {
    for at in 1..items.len() {
        let same = |other: &Item| other.key == items[at].key && other.window == items[at].window;
        if let Some(first) = items[..at].iter().position(same) {
            held[at].remaining = held[first].remaining;
        }
    }
}
