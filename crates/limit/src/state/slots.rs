//! The request ids of one epoch that are held: only those, however far apart their seqs are.
//!
//! Promises: memory is proportional to what is held. Seqs live in blocks of [`BLOCK`], each shared
//! with a snapshot until it is touched. A slot is kept as the bytes that a snapshot has of it: most
//! are never looked at again, and a block of them is freed at once.

use std::borrow::Borrow;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::verdict::Slot;
use crate::codec::{Reader, Writer};
use crate::command::Item;

#[cfg(test)]
mod tests;

/// Seqs of one block.
const BLOCK: u64 = 64;

/// Held slots, by seq.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    /// None is empty.
    blocks: BTreeMap<u64, Arc<Block>>,
    /// What the slots weigh: see [`Slot::weight`].
    weight: usize,
    len: usize,
}

#[derive(Debug, Clone, Default)]
struct Block {
    /// By seq.
    places: VecDeque<Place>,
    bytes: Vec<u8>,
}

/// Where the bytes of a slot are in its block.
#[derive(Debug, Clone, Copy)]
struct Place {
    seq: u64,
    at: u32,
    len: u32,
    weight: u32,
}

// === impl Slots ===

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        let block = self.blocks.get(&(seq / BLOCK));
        block.is_some_and(|block| block.find(seq).is_ok())
    }

    pub(crate) fn get(&self, seq: u64) -> Option<Slot> {
        let block = self.blocks.get(&(seq / BLOCK))?;
        let at = block.find(seq).ok()?;
        Some(block.slot(&block.places[at]))
    }

    /// Puts a slot in place of what was there, and returns that.
    pub(crate) fn put<I: Borrow<Item>>(&mut self, seq: u64, slot: &Slot<I>) -> Option<Slot> {
        let last = self.blocks.last_key_value();
        let block = match last.is_some_and(|last| *last.0 >= seq / BLOCK) {
            true => self.blocks.entry(seq / BLOCK).or_default(),
            false => {
                let next = last.map_or_else(Block::default, |last| last.1.with_room());
                self.blocks.entry(seq / BLOCK).or_insert(Arc::new(next))
            }
        };
        let block = Arc::make_mut(block);
        let old = match block.find(seq) {
            Ok(at) => {
                let old = block.slot(&block.places[at]);
                block.replace(at, slot);
                Some(old)
            }
            Err(at) => {
                block.insert(at, seq, slot);
                self.len += 1;
                None
            }
        };
        self.weight += slot.weight();
        self.weight -= old.as_ref().map_or(0, Slot::<Item>::weight);
        old
    }

    /// Drops the slots up to `watermark`.
    pub(crate) fn drop_to(&mut self, watermark: u64) {
        while let Some(mut first) = self.blocks.first_entry() {
            if first.key() * BLOCK > watermark {
                return;
            }
            let reaches = |place: &Place| place.seq <= watermark;
            let is_whole = first.get().places.back().is_some_and(reaches);
            if is_whole {
                let block = first.remove();
                self.len -= block.places.len();
                self.weight -= block.places.iter().map(Place::weight).sum::<usize>();
                continue;
            }
            if !first.get().places.front().is_some_and(reaches) {
                return;
            }
            let block = Arc::make_mut(first.get_mut());
            while let Some(place) = block.places.pop_front_if(|place| reaches(place)) {
                self.weight -= place.weight();
                self.len -= 1;
            }
            return;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Slot)> {
        let blocks = self.blocks.values();
        blocks.flat_map(|block| {
            let places = block.places.iter();
            places.map(|place| (place.seq, block.slot(place)))
        })
    }

    /// The slots as a snapshot has them.
    pub(crate) fn encoded(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let blocks = self.blocks.values();
        blocks.flat_map(|block| {
            let places = block.places.iter();
            places.map(|place| (place.seq, &block.bytes[place.range()]))
        })
    }
}

// === impl Block ===

impl Block {
    /// An empty block with room for as much as this one holds: seqs that follow each other are
    /// mostly used alike.
    fn with_room(&self) -> Self {
        Self {
            places: VecDeque::with_capacity(self.places.len()),
            bytes: Vec::with_capacity(self.bytes.len()),
        }
    }

    /// The index of the place of `seq`, or where it would be.
    fn find(&self, seq: u64) -> Result<usize, usize> {
        // Most are new, and the highest.
        match self.places.back() {
            Some(last) if last.seq >= seq => {
                self.places.binary_search_by_key(&seq, |place| place.seq)
            }
            _ => Err(self.places.len()),
        }
    }

    fn slot(&self, place: &Place) -> Slot {
        let mut input = Reader::new(&self.bytes[place.range()]);
        Slot::decode(&mut input).expect("it was encoded")
    }

    fn insert(&mut self, at: usize, seq: u64, slot: &Slot<impl Borrow<Item>>) {
        let place = self.append(seq, slot);
        self.places.insert(at, place);
    }

    /// Puts a slot where another one was, in its bytes if they suffice: the same id may be changed
    /// any number of times.
    fn replace(&mut self, at: usize, slot: &Slot<impl Borrow<Item>>) {
        let old = self.places[at];
        let new = self.append(old.seq, slot);
        if new.len <= old.len {
            self.bytes.copy_within(new.range(), old.range().start);
            self.bytes.truncate(new.range().start);
            self.places[at] = Place { at: old.at, ..new };
        } else {
            self.places[at] = new;
        }
    }

    fn append(&mut self, seq: u64, slot: &Slot<impl Borrow<Item>>) -> Place {
        let at = self.bytes.len();
        let mut out = Writer::from(std::mem::take(&mut self.bytes));
        slot.encode(&mut out);
        self.bytes = out.into_bytes();
        let narrow = |number: usize| u32::try_from(number).expect("a block is small");
        Place {
            seq,
            at: narrow(at),
            len: narrow(self.bytes.len() - at),
            weight: narrow(slot.weight()),
        }
    }
}

// === impl Place ===

impl Place {
    fn range(&self) -> Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }

    fn weight(&self) -> usize {
        self.weight as usize
    }
}
