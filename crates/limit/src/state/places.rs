//! Places: where in a list the item of a hash is.
//!
//! An open table of 4 bytes a slot, probed one slot after the other. Its size is no power of two: at
//! most four fifths of it are full, and seldom less than two thirds, where a table that doubles has
//! down to 44 % and a byte a slot beside. Promises: no slot is left behind by what was removed, so that
//! a table that changes for years is probed as a new one is.

#[cfg(test)]
mod tests;

/// Bits of a slot that hold the place, one higher than it is: 0 is nothing.
const PLACE_BITS: u32 = 24;

/// The most items.
const PLACES_MAX: usize = (1 << PLACE_BITS) - 1;

/// A table has at least so many slots, or none.
const SLOTS_MIN: usize = 8;

/// Places in some list, by hashes of 32 bits that the list knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// The lowest bits of the hash above, then the place.
    slots: Vec<u32>,
    len: usize,
}

fn slot(hash: u32, at: u32) -> u32 {
    hash << PLACE_BITS | (at + 1)
}

fn place(slot: u32) -> u32 {
    (slot & ((1 << PLACE_BITS) - 1)) - 1
}

// === impl Places ===

impl Places {
    /// The place of the item with `hash` that `is` the one.
    pub(crate) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.index_of(hash, is)
            .map(|index| place(self.slots[index]))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot at which looking for `hash` begins; 0 where there is none.
    pub(crate) fn first(&self, hash: u32) -> u32 {
        self.slots.get(self.home(hash)).copied().unwrap_or(0)
    }

    /// Puts in the place of an item that is not there. `hash_of` gives the hashes of the others.
    pub(crate) fn insert(&mut self, hash: u32, at: u32, hash_of: impl Fn(u32) -> u32) {
        assert!(self.len < PLACES_MAX, "a part of the counters is small");
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            let more = self.slots.len() / 4;
            self.rebuild(self.slots.len() + more.max(SLOTS_MIN), hash_of);
        }
        self.len += 1;
        self.put(hash, slot(hash, at));
    }

    /// Notes that the item with `hash` has moved.
    pub(crate) fn relocate(&mut self, hash: u32, from: u32, to: u32) {
        let index = self.index_of(hash, |at| at == from);
        self.slots[index.expect("each item is in the table")] = slot(hash, to);
    }

    /// Takes the item with `hash` out. `hash_of` gives the hashes of the others.
    pub(crate) fn remove(&mut self, hash: u32, at: u32, hash_of: impl Fn(u32) -> u32) {
        let index = self.index_of(hash, |other| other == at);
        let mut gap = index.expect("each item is in the table");
        self.len -= 1;
        // What follows moves up, as far as it would have been put there.
        let mut index = gap;
        loop {
            index = self.after(index);
            let moved = self.slots[index];
            if moved == 0 {
                break;
            }
            let home = self.home(hash_of(place(moved)));
            if self.distance(home, index) >= self.distance(gap, index) {
                self.slots[gap] = moved;
                gap = index;
            }
        }
        self.slots[gap] = 0;
    }

    /// Gives memory back that is not needed any more.
    pub(crate) fn shrink(&mut self, hash_of: impl Fn(u32) -> u32) {
        if self.slots.len() > 4 * self.len + 2 * SLOTS_MIN {
            let slots = if self.len == 0 {
                0
            } else {
                self.len * 3 / 2 + SLOTS_MIN
            };
            self.rebuild(slots, hash_of);
        }
    }

    /// The memory that it uses, beside itself.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }

    fn rebuild(&mut self, slots: usize, hash_of: impl Fn(u32) -> u32) {
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            self.put(hash_of(place(slot)), slot);
        }
    }

    fn put(&mut self, hash: u32, slot: u32) {
        let mut index = self.home(hash);
        while self.slots[index] != 0 {
            index = self.after(index);
        }
        self.slots[index] = slot;
    }

    fn index_of(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut index = self.home(hash);
        loop {
            let slot = self.slots[index];
            if slot == 0 {
                return None;
            }
            if (slot >> PLACE_BITS) == (hash & 0xff) && is(place(slot)) {
                return Some(index);
            }
            index = self.after(index);
        }
    }

    /// Where the item with `hash` is looked for first: by the highest bits.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, index: usize) -> usize {
        match index + 1 == self.slots.len() {
            true => 0,
            false => index + 1,
        }
    }

    /// How far `to` is behind `from`.
    fn distance(&self, from: usize, to: usize) -> usize {
        match to >= from {
            true => to - from,
            false => to + self.slots.len() - from,
        }
    }
}
