//! The request ids of one epoch that are held: only those, however far apart their seqs are.
//!
//! Promises: memory is proportional to what is held. Seqs live in blocks of [`BLOCK`], each shared
//! with a snapshot until it is touched.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::verdict::Slot;

/// Seqs of one block.
const BLOCK: u64 = 64;

/// Held slots, by seq.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    /// None is empty, and the seqs of each ascend.
    blocks: BTreeMap<u64, Arc<VecDeque<(u64, Slot)>>>,
    /// What the slots weigh: see [`Slot::weight`].
    weight: usize,
    len: usize,
}

// === impl Slots ===

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Slot> {
        let block = self.blocks.get(&(seq / BLOCK))?;
        let at = block.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        Some(&block[at].1)
    }

    /// Puts a slot in place of what was there, and returns that.
    pub(crate) fn put(&mut self, seq: u64, slot: Slot) -> Option<Slot> {
        self.weight += slot.weight();
        let block = Arc::make_mut(self.blocks.entry(seq / BLOCK).or_default());
        let old = match block.binary_search_by_key(&seq, |(seq, _)| *seq) {
            Ok(at) => Some(std::mem::replace(&mut block[at].1, slot)),
            Err(at) => {
                block.insert(at, (seq, slot));
                self.len += 1;
                None
            }
        };
        self.weight -= old.as_ref().map_or(0, Slot::weight);
        old
    }

    /// Drops the slots up to `watermark`.
    pub(crate) fn drop_to(&mut self, watermark: u64) {
        while let Some(mut first) = self.blocks.first_entry() {
            if first.key() * BLOCK > watermark {
                return;
            }
            let block = Arc::make_mut(first.get_mut());
            while let Some((seq, _)) = block.front()
                && *seq <= watermark
            {
                let (_, slot) = block.pop_front().expect("the front was seen");
                self.weight -= slot.weight();
                self.len -= 1;
            }
            if !block.is_empty() {
                return;
            }
            first.remove();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Slot)> {
        let blocks = self.blocks.values();
        blocks.flat_map(|block| block.iter().map(|(seq, slot)| (*seq, slot)))
    }
}
