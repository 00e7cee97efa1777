//! The counters: a hash map in parts, each shared with snapshots until it is touched.
//!
//! Promises: a counter whose window is over is as if it were not there; counting live ones is
//! exact and does not depend on the sweep.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use crate::command::Item;
use crate::limits::{PARTS, SWEEP_PER_COMMAND, SWEEP_PER_ENTRY};
use crate::{Key, LogTime, Window};

/// One count.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    pub(crate) key: Key,
    pub(crate) window: Window,
    /// The end of the window that `charged` is counted in; over once log time reaches it.
    pub(crate) end: LogTime,
    pub(crate) charged: u64,
    /// The highest revision seen in this window, and its max.
    pub(crate) revision: u64,
    pub(crate) max: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Counters {
    hasher: FixedState,
    parts: Vec<Arc<HashTable<Counter>>>,
    /// How many counters' windows end when: what makes `live` exact.
    ends: BTreeMap<LogTime, usize>,
    live: usize,
    stored: usize,
    sweep_at: usize,
}

/// Where a counter is, or would be, and how it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    hash: u64,
    standing: Option<Standing>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    charged: u64,
    revision: u64,
    max: u64,
}

// === impl Counters ===

impl Counters {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            // Empty parts are one, until the first counter of each.
            parts: std::iter::repeat_n(Arc::new(HashTable::new()), PARTS).collect(),
            ends: BTreeMap::new(),
            live: 0,
            stored: 0,
            sweep_at: 0,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Counters in memory, those included that the sweep has not reached.
    #[cfg(test)]
    pub(crate) fn stored(&self) -> usize {
        self.stored
    }

    /// Looks a counter up; one whose window is over at `now` does not stand.
    pub(crate) fn find(&self, key: &Key, window: Window, now: LogTime) -> Place {
        let hash = hash(&self.hasher, key, window);
        let found = self.parts[part(hash)].find(hash, |c| c.window == window && c.key == *key);
        let standing = found.filter(|c| c.end > now).map(|c| Standing {
            charged: c.charged,
            revision: c.revision,
            max: c.max,
        });
        Place { hash, standing }
    }

    /// Adds `units` to the counter at `place`, which starts its window anew where it does not
    /// stand. The caller has checked that they fit.
    pub(crate) fn charge(
        &mut self,
        place: &Place,
        item: &Item,
        max: u64,
        end: LogTime,
        units: u64,
    ) {
        let Self { hasher, parts, .. } = self;
        let table = Arc::make_mut(&mut parts[part(place.hash)]);
        let same = |c: &Counter| c.window == item.window && c.key == item.key;
        let entry = table.entry(place.hash, same, |c| hash(hasher, &c.key, c.window));
        let fresh = Counter {
            key: item.key.clone(),
            window: item.window,
            end,
            charged: 0,
            revision: item.revision,
            max,
        };
        let counter = match entry {
            hashbrown::hash_table::Entry::Occupied(entry) => {
                let counter = entry.into_mut();
                if place.standing.is_none() {
                    *counter = fresh;
                    self.live += 1;
                    *self.ends.entry(end).or_default() += 1;
                }
                counter
            }
            hashbrown::hash_table::Entry::Vacant(entry) => {
                self.live += 1;
                self.stored += 1;
                *self.ends.entry(end).or_default() += 1;
                entry.insert(fresh).into_mut()
            }
        };
        counter.charged += units;
        assert!(
            counter.charged <= counter.max,
            "charged beyond the max in force"
        );
    }

    /// Keeps a newer revision's max on a counter that stands.
    pub(crate) fn learn(&mut self, place: &Place, item: &Item) {
        let Some(standing) = place.standing else {
            return;
        };
        let (_, max) = place.in_force(item.revision, item.max);
        let revision = standing.revision.max(item.revision);
        if (standing.revision, standing.max) == (revision, max) {
            return;
        }
        let table = Arc::make_mut(&mut self.parts[part(place.hash)]);
        let same = |c: &Counter| c.window == item.window && c.key == item.key;
        if let Some(counter) = table.find_mut(place.hash, same) {
            counter.revision = revision;
            counter.max = max;
        }
    }

    /// Gives `units` back to the window that ends at `end`, and says how many there were to give.
    pub(crate) fn refund(&mut self, key: &Key, window: Window, end: LogTime, units: u64) -> u64 {
        let hash = hash(&self.hasher, key, window);
        let table = Arc::make_mut(&mut self.parts[part(hash)]);
        let same = |c: &Counter| c.window == window && c.key == *key && c.end == end;
        let Some(counter) = table.find_mut(hash, same) else {
            return 0;
        };
        let back = units.min(counter.charged);
        counter.charged -= back;
        back
    }

    /// Counts out all windows that are over at `now`.
    pub(crate) fn expire(&mut self, now: LogTime) {
        while let Some(first) = self.ends.first_entry().filter(|first| *first.key() <= now) {
            self.live -= first.remove();
        }
    }

    /// Frees some counters whose window is over. Shows in no outcome.
    pub(crate) fn sweep(&mut self, now: LogTime, commands: usize) {
        let mut budget = SWEEP_PER_ENTRY + SWEEP_PER_COMMAND * commands;
        while self.stored > self.live && budget > 0 {
            let part = &mut self.parts[self.sweep_at];
            self.sweep_at = (self.sweep_at + 1) % PARTS;
            budget = budget.saturating_sub(part.len() + 1);
            if part.iter().all(|counter| counter.end > now) {
                continue;
            }
            let table = Arc::make_mut(part);
            let before = table.len();
            table.retain(|counter| counter.end > now);
            self.stored -= before - table.len();
            if table.capacity() > 4 * table.len() + 16 {
                table.shrink_to_fit(|c| hash(&self.hasher, &c.key, c.window));
            }
        }
    }

    /// The counters that stand at `now`, in no order that means anything.
    pub(crate) fn iter(&self, now: LogTime) -> impl Iterator<Item = &Counter> {
        self.parts
            .iter()
            .flat_map(|part| part.iter())
            .filter(move |counter| counter.end > now)
    }

    /// The parts, each given up when it has been looked at.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = Arc<HashTable<Counter>>> + Send {
        self.parts.into_iter()
    }

    /// Puts a counter from a snapshot in; its key must not be there yet.
    pub(crate) fn insert(&mut self, counter: Counter) -> Result<(), Counter> {
        let hash_of = hash(&self.hasher, &counter.key, counter.window);
        let Self { hasher, parts, .. } = self;
        let table = Arc::make_mut(&mut parts[part(hash_of)]);
        let same = |c: &Counter| c.window == counter.window && c.key == counter.key;
        if table.find(hash_of, same).is_some() {
            return Err(counter);
        }
        self.live += 1;
        self.stored += 1;
        *self.ends.entry(counter.end).or_default() += 1;
        table.insert_unique(hash_of, counter, |c| hash(hasher, &c.key, c.window));
        Ok(())
    }

    /// The sum of the digests of the counters that stand: no order in it.
    pub(crate) fn digest(&self, now: LogTime) -> u64 {
        self.iter(now)
            .fold(0, |sum, counter| sum.wrapping_add(counter.digest()))
    }
}

// === impl Place ===

impl Place {
    pub(crate) fn is_live(&self) -> bool {
        self.standing.is_some()
    }

    /// Units charged, and the max in force for a command that brings `revision` and `max`: the
    /// newer revision's, and the smaller of two of the same revision.
    pub(crate) fn in_force(&self, revision: u64, max: u64) -> (u64, u64) {
        match self.standing {
            None => (0, max),
            Some(s) if revision > s.revision => (s.charged, max),
            Some(s) if revision == s.revision => (s.charged, max.min(s.max)),
            Some(s) => (s.charged, s.max),
        }
    }
}

// === impl Counter ===

impl Counter {
    fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.bytes(self.key.as_bytes());
        for number in [
            self.window.code(),
            self.end.ms,
            self.charged,
            self.revision,
            self.max,
        ] {
            digest.number(number);
        }
        digest.finish()
    }
}

/// A fixed, order-sensitive digest: equal on every build and machine.
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn finish(self) -> u64 {
        self.0
    }
}

fn hash(hasher: &FixedState, key: &Key, window: Window) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(key.as_bytes());
    state.write_u64(window.code());
    state.finish()
}

/// The part of a hash: bits that the table within does not use to tell entries apart first.
fn part(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}
