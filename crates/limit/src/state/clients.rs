//! All client epochs, and the bounds on what is remembered for them.
//!
//! Promises: what is held is counted exactly, for each caller and in all; what is due to be
//! forgotten at a log time is forgotten when that time is reached, on every replica alike. So no
//! caller takes the room of all others, and none is left over from callers that have gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::client::Client;
use crate::LogTime;
use crate::command::{Bound, Caller, Epoch};
use crate::limits::{
    EPOCH_MAX, EPOCHS_MAX, EPOCHS_PER_CALLER_MAX, ITEMS_HELD_MAX, ITEMS_HELD_PER_CALLER_MAX,
    ITEMS_MAX,
};

#[derive(Debug, Clone)]
pub(crate) struct Clients {
    open: BTreeMap<Epoch, Open>,
    /// The `wake` of each epoch.
    wakes: BTreeSet<(LogTime, Epoch)>,
    callers: BTreeMap<Caller, Use>,
    items_held: usize,
    pub(crate) next_epoch: u64,
}

#[derive(Debug, Clone)]
struct Open {
    client: Arc<Client>,
    /// When the client is looked at, if no command moves it: never later than it is due.
    wake: LogTime,
}

/// What one caller has open and held.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    epochs: usize,
    items_held: usize,
}

// === impl Clients ===

impl Clients {
    pub(crate) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            wakes: BTreeSet::new(),
            callers: BTreeMap::new(),
            items_held: 0,
            next_epoch: 1,
        }
    }

    /// Forgets all epochs, and opens none of the next `epochs`.
    pub(crate) fn burn(&mut self, epochs: u64) {
        let next_epoch = self.next_epoch.saturating_add(epochs).min(EPOCH_MAX);
        *self = Self {
            next_epoch,
            ..Self::new()
        };
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn items_held(&self) -> usize {
        self.items_held
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Epoch, &Client)> {
        self.open
            .iter()
            .map(|(epoch, open)| (*epoch, &*open.client))
    }

    pub(crate) fn get(&self, epoch: Epoch) -> Option<&Client> {
        self.open.get(&epoch).map(|open| &*open.client)
    }

    pub(crate) fn open(&mut self, caller: Caller, now: LogTime) -> Result<Epoch, Bound> {
        let opened = self.callers.get(&caller).map_or(0, |used| used.epochs);
        let has_room = self.open.len() < EPOCHS_MAX && opened < EPOCHS_PER_CALLER_MAX;
        if !has_room || self.next_epoch >= EPOCH_MAX {
            return Err(Bound::Epochs);
        }
        let epoch = Epoch(self.next_epoch);
        self.next_epoch += 1;
        self.insert(epoch, Client::new(caller, now));
        Ok(epoch)
    }

    /// Puts an epoch in that is not there yet.
    pub(crate) fn insert(&mut self, epoch: Epoch, client: Client) {
        let used = self.callers.entry(client.caller).or_default();
        used.epochs += 1;
        used.items_held += client.slots.weight();
        self.items_held += client.slots.weight();
        let wake = client.due();
        self.wakes.insert((wake, epoch));
        let client = Arc::new(client);
        self.open.insert(epoch, Open { client, wake });
    }

    /// Lets a command act on the epoch that it names.
    pub(crate) fn act<R>(
        &mut self,
        epoch: Epoch,
        now: LogTime,
        act: impl FnOnce(&mut Client) -> R,
    ) -> Option<R> {
        self.change(epoch, |client| {
            client.seen = now;
            act(client)
        })
    }

    /// Changes an epoch without its client having been heard of.
    pub(crate) fn change<R>(
        &mut self,
        epoch: Epoch,
        change: impl FnOnce(&mut Client) -> R,
    ) -> Option<R> {
        let open = self.open.get_mut(&epoch)?;
        let client = Arc::make_mut(&mut open.client);
        let before = client.slots.weight();
        let result = change(client);
        let (after, caller) = (client.slots.weight(), client.caller);
        let (due, wake) = (client.due(), open.wake);
        if due < wake {
            open.wake = due;
            self.wakes.remove(&(wake, epoch));
            self.wakes.insert((due, epoch));
        }
        self.recount(caller, before, after);
        Some(result)
    }

    /// Whether no more than one command's items fit, of some caller or in all.
    pub(crate) fn is_full(&self) -> bool {
        let near = |held: usize, most: usize| held + ITEMS_MAX > most;
        near(self.items_held, ITEMS_HELD_MAX)
            || self.items_held > ITEMS_HELD_PER_CALLER_MAX / 2
                && self
                    .callers
                    .values()
                    .any(|used| near(used.items_held, ITEMS_HELD_PER_CALLER_MAX))
    }

    /// Whether `weight` more can be remembered for the caller of `epoch`.
    pub(crate) fn has_room(&self, epoch: Epoch, weight: usize) -> bool {
        let caller = self.get(epoch).map(|client| client.caller);
        let used = caller.and_then(|caller| self.callers.get(&caller));
        self.items_held + weight <= ITEMS_HELD_MAX
            && used.is_none_or(|used| used.items_held + weight <= ITEMS_HELD_PER_CALLER_MAX)
    }

    /// Forgets everything that is due at `now`.
    pub(crate) fn pass(&mut self, now: LogTime) {
        while let Some((at, epoch)) = self.wakes.first().copied()
            && at <= now
        {
            self.wakes.pop_first();
            let open = self.open.get_mut(&epoch).expect("an epoch has its wake");
            let client = Arc::make_mut(&mut open.client);
            let (before, caller) = (client.slots.weight(), client.caller);
            if !client.is_live(now) {
                self.open.remove(&epoch);
                self.recount(caller, before, 0);
                self.close(caller);
                continue;
            }
            client.pass(now);
            let after = client.slots.weight();
            open.wake = client.due();
            self.wakes.insert((open.wake, epoch));
            self.recount(caller, before, after);
        }
    }

    fn close(&mut self, caller: Caller) {
        let used = self.callers.get_mut(&caller).expect("it had an epoch");
        used.epochs -= 1;
        if used.epochs == 0 {
            self.callers.remove(&caller);
        }
    }

    fn recount(&mut self, caller: Caller, before: usize, after: usize) {
        if before == after {
            return;
        }
        self.items_held = self.items_held - before + after;
        let used = self.callers.get_mut(&caller).expect("it has an epoch");
        used.items_held = used.items_held - before + after;
    }

    pub(crate) fn digest(&self) -> u64 {
        self.iter().fold(self.next_epoch, |sum, (epoch, client)| {
            sum.rotate_left(7).wrapping_add(client.digest() ^ epoch.0)
        })
    }
}
