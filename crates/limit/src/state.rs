//! The state machine: counters, client epochs and log time, changed by commands alone.
//!
//! Promises: what [`State::apply`] answers depends on the commands and their log times only, never
//! on when memory was swept, which replica asks, or the order of a hash map.

use smallvec::SmallVec;

#[cfg(quotum_bugs)]
use crate::bugs::{self, Bug};
use crate::codec::{DecodeError, Entry};
use crate::command::{
    Bound, Caller, Command, Item, ItemState, ItemStates, Items, Outcome, Refusal, RequestId,
};
use crate::limits::{HOLD_MS, ITEMS_MAX};
use crate::{Batch, Caps, LogTime, Stamp, Tenant};

#[cfg(quotum_bugs)]
mod broken;
pub(crate) mod census;
pub(crate) mod chunks;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod counters;
mod equal;
pub(crate) mod holds;
#[cfg(test)]
pub(crate) mod model;
pub(crate) mod part;
pub(crate) mod places;
#[cfg(test)]
mod reserve;
pub(crate) mod restored;
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
use counters::{Counters, Place, Spot, Times};
use equal::{settle_equal_keys, summed_units};
use holds::Holds;
use restored::Restored;
use verdict::{Charge, Held, Kind, Slot, Verdict};

/// Everything that a shard's log has built. `Clone` shares the counters until they are touched.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) caps: Caps,
    pub(crate) last: Stamp,
    pub(crate) counters: Counters,
    pub(crate) clients: Clients,
    holds: Holds,
    pub(crate) restored: Option<Restored>,
    /// Seen by nothing but [`State::repeats`].
    repeats: u64,
    /// Seen by nothing but [`State::admitted_after_restore`].
    admitted_after_restore: u64,
}

/// One decided item: where its counter is and how it stands before the command.
#[derive(Clone, Copy)]
struct Plan {
    place: Place,
    /// Units of all the command's items with this counter.
    wanted: u64,
    /// Units of all the command's items with this counter; 0 on all but the first of them.
    units: u64,
    /// Whether those are more than the counter ever admits.
    hopeless: bool,
    fits: bool,
    charged: u64,
    remaining: u64,
    max: u64,
    times: Times,
    /// When the units will fit, if they do not.
    retry_at: LogTime,
}

type Plans = SmallVec<[Plan; 1]>;

/// So many commands' counters are looked for at once, before the first of them is decided.
const WARMED_COMMANDS: usize = 32;

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
            holds: Holds::default(),
            restored: None,
            repeats: 0,
            admitted_after_restore: 0,
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
        #[cfg(quotum_bugs)]
        self.obey(stamp);
        self.pass();
        self.counters.sweep(self.last.log, commands);
        if let Some(restored) = &mut self.restored {
            restored.pass(self.last.log);
        }
    }

    /// Does what is due at the log time reached.
    pub(crate) fn pass(&mut self) {
        let now = self.last.log;
        // Holds first: what they took may be counted still, and their ids are not forgotten yet.
        while let Some((until, id)) = self.holds.due(now) {
            let cancel = |client: &mut client::Client| client.put(id.seq, &Slot::<Item>::Cancelled);
            let charges = match self.clients.change(id.epoch, cancel) {
                Some(Some(Slot::Resolved(verdict))) => verdict.charges(),
                _ => SmallVec::new(),
            };
            self.holds.end(id, until, &charges);
            self.give_back(&charges);
        }
        self.counters.pass(now);
        self.clients.pass(now);
    }

    /// Finds the holds that a snapshot's ids are made of.
    pub(crate) fn find_holds(&mut self) {
        for (epoch, client) in self.clients.iter() {
            for (seq, slot) in client.slots.iter() {
                if let (Some(until), Slot::Resolved(verdict)) = (slot.hold(), &slot) {
                    let id = RequestId { epoch, seq };
                    self.holds.begin(id, until, &verdict.charges());
                }
            }
        }
    }

    /// Applies a log entry: one outcome for each of its commands.
    pub fn apply_batch(&mut self, batch: &Batch) -> Vec<Outcome> {
        self.caps = batch.caps;
        self.advance(batch.stamp, batch.commands.len());
        let mut outcomes = Vec::with_capacity(batch.commands.len());
        let mut spots = Vec::new();
        for commands in batch.commands.chunks(WARMED_COMMANDS) {
            self.decide_all(commands, &mut spots, &mut |outcome| outcomes.push(outcome));
        }
        outcomes
    }

    /// The same as it is decoded. After an error the state is between two entries: it must not be
    /// used any more.
    pub fn apply_entry(
        &mut self,
        mut entry: Entry<'_>,
        mut answer: impl FnMut(Outcome),
    ) -> Result<(), DecodeError> {
        self.caps = entry.caps;
        self.advance(entry.stamp, entry.commands_left());
        let mut commands = Vec::with_capacity(WARMED_COMMANDS);
        let mut spots = Vec::new();
        while entry.commands_left() > 0 {
            commands.clear();
            entry.read(WARMED_COMMANDS, &mut commands)?;
            self.decide_all(&commands, &mut spots, &mut answer);
        }
        Ok(())
    }

    /// Applies commands at the log time reached; `spots` is room to work in.
    fn decide_all(
        &mut self,
        commands: &[Command],
        spots: &mut Vec<Spot>,
        answer: &mut impl FnMut(Outcome),
    ) {
        spots.clear();
        for item in commands.iter().flat_map(Command::items) {
            spots.push(self.counters.spot(item));
        }
        self.counters.warm(spots);
        let mut spots = spots.as_slice();
        for command in commands {
            let own;
            (own, spots) = spots.split_at(command.items().len());
            answer(self.decide(command, own));
        }
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
        let spots = self.spots(command.items());
        self.decide(command, &spots)
    }

    /// Applies one command at the log time reached. `spots` are those of its items.
    fn decide(&mut self, command: &Command, spots: &[Spot]) -> Outcome {
        match command {
            Command::Open { caller } => self.open(*caller),
            Command::Acquire {
                id,
                acked_seq,
                items,
            } => self.acquire(*id, *acked_seq, Kind::Acquire, (items, spots)),
            Command::Reserve {
                id,
                acked_seq,
                items,
            } => {
                let until = self.last.log.plus_ms(HOLD_MS);
                self.acquire(*id, *acked_seq, Kind::Reserve(until), (items, spots))
            }
            Command::Confirm { id } => self.confirm(*id),
            Command::Refund { id } => self.refund(*id),
            Command::Peek { items } => self.peek_at(items, spots),
        }
    }

    fn spots(&self, items: &[Item]) -> SmallVec<[Spot; 1]> {
        items.iter().map(|item| self.counters.spot(item)).collect()
    }

    /// Whether some commands may be refused before they are proposed: a bound is near.
    pub fn is_full(&self) -> bool {
        self.clients.is_full() || self.counters.live() >= self.caps.counters_max
    }

    /// The bound that a command would be refused for, if it were applied at the log time reached. A
    /// leader asks it of its own state, which is behind the log: an outcome that is not of the log,
    /// and says that nothing was charged, as it is true.
    pub fn refuses(&self, command: &Command) -> Option<Bound> {
        let (Command::Acquire { id, items, .. } | Command::Reserve { id, items, .. }) = command
        else {
            return None;
        };
        let client = self.clients.get(id.epoch)?;
        if id.seq <= client.watermark || client.slots.contains(id.seq) {
            return None;
        }
        if !self.clients.has_room(id.epoch, items.len()) {
            return Some(Bound::Ids);
        }
        let mut plans = Plans::new();
        self.plan(items, &self.spots(items), &mut plans).ok()?;
        match denies(&plans, items) {
            true => None,
            false => self.full(items, &plans),
        }
    }

    /// Reads the items' counters at the log time reached.
    pub fn peek(&self, items: &Items) -> Outcome {
        self.peek_at(items, &self.spots(items))
    }

    fn peek_at(&self, items: &Items, spots: &[Spot]) -> Outcome {
        let mut plans = Plans::new();
        match self.plan(items, spots, &mut plans) {
            Ok(()) => Outcome::Peeked {
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

    fn acquire(
        &mut self,
        id: RequestId,
        acked_seq: u64,
        kind: Kind,
        (items, spots): (&Items, &[Spot]),
    ) -> Outcome {
        if id.seq == 0 {
            return Outcome::Invalid(Refusal::SeqZero);
        }
        #[cfg(quotum_bugs)]
        let items = &self.less_than_nothing(items);
        let mut plans = Plans::new();
        if let Err(refusal) = self.plan(items, spots, &mut plans) {
            return Outcome::Invalid(refusal);
        }
        let now = self.last.log;
        let earlier = self.clients.act(id.epoch, now, |client| {
            client.acknowledge(acked_seq);
            client.see(id.seq, now)?;
            Ok(match client.slot(id.seq) {
                None => None,
                Some(Slot::Cancelled) => Some(Outcome::Cancelled),
                Some(Slot::Resolved(verdict)) => Some(verdict.again(now, kind, items)),
            })
        });
        match earlier {
            None => return Outcome::Expired,
            Some(Err(outcome)) => return outcome,
            #[cfg(quotum_bugs)]
            Some(Ok(Some(_))) if bugs::is(Bug::RetryChargedAgain) => {}
            Some(Ok(Some(outcome))) => {
                self.repeats += u64::from(outcome != Outcome::Cancelled);
                return outcome;
            }
            Some(Ok(None)) => {}
        }
        if !self.clients.has_room(id.epoch, items.len()) {
            return Outcome::Exhausted(Bound::Ids);
        }

        if denies(&plans, items) {
            self.learn(items, &plans);
            #[cfg(quotum_bugs)]
            self.charge_what_fits(items, &plans);
            return self.deny(id, kind, items, &plans);
        }
        if let Some(bound) = self.full(items, &plans) {
            return Outcome::Exhausted(bound);
        }
        self.learn(items, &plans);
        self.admit(id, kind, items, &plans)
    }

    /// The bound that the counters which a command would add go beyond.
    fn full(&self, items: &Items, plans: &Plans) -> Option<Bound> {
        let is_new = |plan: &Plan| plan.charges() && !plan.place.is_live();
        if !plans.iter().any(is_new) {
            return None;
        }
        let new = plans.iter().zip(items).filter(|(plan, _)| is_new(plan));
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

    fn deny(&mut self, id: RequestId, kind: Kind, items: &Items, plans: &Plans) -> Outcome {
        let sure = self.without_holds(items, plans);
        if !denies(&sure, items) {
            return self.contended(items, plans);
        }
        let plans = sure;
        let held = plans.iter().zip(items).map(|(plan, item)| Held {
            item,
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
                kind,
                held,
            },
        )
    }

    /// How the items stand if nothing that is held is confirmed: what a denial may rest on.
    fn without_holds(&self, items: &Items, plans: &Plans) -> Plans {
        let sure = |(plan, item): (&Plan, &Item)| {
            let held = match plan.place.is_live() {
                true => self.holds.of(item, plan.times.end),
                false => 0,
            };
            let remaining = match self.withheld_until(item) {
                Some(_) => 0,
                None => plan.max.saturating_sub(plan.charged.saturating_sub(held)),
            };
            Plan {
                remaining,
                fits: plan.fits || plan.wanted <= remaining,
                ..*plan
            }
        };
        plans.iter().zip(items).map(sure).collect()
    }

    fn contended(&self, items: &Items, plans: &Plans) -> Outcome {
        let stands = |(plan, item): (&Plan, &Item)| !plan.fits && !item.shadow;
        let binding = plans.iter().zip(items).position(stands);
        Outcome::Contended {
            binding: binding.expect("an item stands in the way"),
            retry_after_ms: HOLD_MS,
            items: self.states(plans),
        }
    }

    fn admit(&mut self, id: RequestId, kind: Kind, items: &Items, plans: &Plans) -> Outcome {
        let now = self.last.log;
        let mut held = SmallVec::with_capacity(plans.len());
        for (plan, item) in plans.iter().zip(items) {
            if plan.charges() {
                self.admitted_after_restore += u64::from(self.is_concerned(item));
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
                item,
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
                kind,
                held,
            },
        )
    }

    fn confirm(&mut self, id: RequestId) -> Outcome {
        if id.seq == 0 {
            return Outcome::Invalid(Refusal::SeqZero);
        }
        let now = self.last.log;
        let confirmed = self.clients.act(id.epoch, now, |client| {
            client.see(id.seq, now)?;
            let Some(Slot::Resolved(verdict)) = client.slot(id.seq) else {
                return Err(Outcome::Cancelled);
            };
            match (verdict.admitted, verdict.kind) {
                (true, Kind::Confirmed) => Err(verdict.outcome(now)),
                (true, Kind::Reserve(until)) => {
                    let verdict = Verdict {
                        kind: Kind::Confirmed,
                        ..verdict
                    };
                    let charges = verdict.charges();
                    let outcome = verdict.outcome(now);
                    client.put(id.seq, &Slot::Resolved(verdict));
                    Ok((until, charges, outcome))
                }
                _ => Err(Outcome::Invalid(Refusal::IdReused)),
            }
        });
        match confirmed {
            None => Outcome::Expired,
            Some(Err(outcome)) => outcome,
            Some(Ok((until, charges, outcome))) => {
                self.holds.end(id, until, &charges);
                outcome
            }
        }
    }

    /// Remembers a verdict, and answers with it.
    fn resolve(&mut self, id: RequestId, verdict: Verdict<&Item>) -> Outcome {
        let now = self.last.log;
        let outcome = verdict.outcome(now);
        if let (true, Kind::Reserve(until)) = (verdict.admitted, verdict.kind) {
            self.holds.begin(id, until, &verdict.charges());
        }
        let put = |client: &mut client::Client| {
            client.put(id.seq, &Slot::Resolved(verdict));
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
            if !has_room && !client.slots.contains(id.seq) {
                return Err(Outcome::Exhausted(Bound::Ids));
            }
            Ok(client.put(id.seq, &Slot::<Item>::Cancelled))
        });
        let slot = match cancelled {
            None => return Outcome::Expired,
            Some(Err(outcome)) => return outcome,
            Some(Ok(slot)) => slot,
        };
        let hold = slot.as_ref().and_then(Slot::hold);
        let charges = match slot {
            Some(Slot::Resolved(verdict)) => verdict.charges(),
            Some(Slot::Cancelled) | None => SmallVec::new(),
        };
        if let Some(until) = hold {
            self.holds.end(id, until, &charges);
        }
        let units = self.give_back(&charges);
        Outcome::Refunded { units }
    }

    /// Gives back what still counts, and says how many units that are.
    fn give_back(&mut self, charges: &[Charge]) -> u64 {
        let now = self.last.log;
        let mut units = 0;
        for (item, end, charged) in charges {
            #[cfg(quotum_bugs)]
            let end = &bugs::refund_until(item, *end, now);
            if *end > now {
                units += self.counters.refund(item, *end, *charged);
            }
        }
        units
    }

    /// Finds the items' counters and how they stand, without changing anything.
    fn plan(&self, items: &Items, spots: &[Spot], plans: &mut Plans) -> Result<(), Refusal> {
        if items.is_empty() || items.len() > ITEMS_MAX {
            return Err(Refusal::ItemCount);
        }
        let now = self.last.log;
        for (at, item) in items.iter().enumerate() {
            let units = summed_units(items, at)?;
            let place = self.counters.find(spots[at], item, now);
            let (charged, max) = place.in_force(item.revision, item.max);
            let withheld = self.withheld_until(item);
            let remaining = match withheld {
                Some(_) => 0,
                None => max.saturating_sub(charged),
            };
            let (fits, hopeless) = (units.total <= remaining, units.total > max);
            let retry_at = match withheld {
                _ if fits || hopeless => now,
                Some(until) => until,
                None => {
                    let most = max - units.total;
                    self.counters.at_most(&place, item, most, now)
                }
            };
            let mut times = self.counters.times(&place, item, now);
            if let Some(until) = withheld {
                times.reset_at = times.reset_at.max(until);
            }
            plans.push(Plan {
                times,
                place,
                wanted: units.total,
                units: if units.first { units.total } else { 0 },
                hopeless,
                fits,
                charged,
                remaining,
                max,
                retry_at,
            });
        }
        Ok(())
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
        let sum = sum ^ self.restored.map_or(0, |restored| restored.digest());
        sum.rotate_left(9) ^ self.last.reference_ms
    }
}

impl Plan {
    fn charges(&self) -> bool {
        self.fits && self.units > 0
    }
}

/// Whether an item that may deny has no units.
fn denies(plans: &Plans, items: &Items) -> bool {
    let mut items = plans.iter().zip(items);
    items.any(|(plan, item)| !plan.fits && !item.shadow)
}
