//! Ids for callers without their own: one epoch a shard, opened when it is first needed.
//!
//! The node that a caller asks makes the id and keeps it over its own tries and the hop to the
//! leader. A retry by the caller is a new decision.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::limits::MINTED_MAX;

/// The ids of one shard.
#[derive(Default)]
pub(crate) struct Mint {
    ids: Mutex<Ids>,
}

#[derive(Default)]
struct Ids {
    epoch: u64,
    next: u64,
    /// Drawn and not decided yet.
    open: BTreeSet<u64>,
}

/// One id, to be given back when it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Minted {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// Everything up to here is decided and answered.
    pub(crate) acked_seq: u64,
}

/// An id on its way. It is given back when its caller goes, answered or not.
pub(crate) struct Drawn<'a> {
    mint: &'a Mint,
    pub(crate) minted: Minted,
}

impl Drop for Drawn<'_> {
    fn drop(&mut self) {
        self.mint.give_back(self.minted);
    }
}

/// Why there is no id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoId {
    /// An epoch has to be opened first.
    NoEpoch,
    /// Too many are on their way.
    TooMany,
}

// === impl Mint ===

impl Mint {
    pub(crate) fn draw(&self) -> Result<Drawn<'_>, NoId> {
        let minted = self.draw_number()?;
        Ok(Drawn { mint: self, minted })
    }

    fn draw_number(&self) -> Result<Minted, NoId> {
        let mut ids = self.ids.lock().expect("drawing does not panic");
        if ids.epoch == 0 {
            return Err(NoId::NoEpoch);
        }
        if ids.open.len() >= MINTED_MAX {
            return Err(NoId::TooMany);
        }
        ids.next += 1;
        let seq = ids.next;
        ids.open.insert(seq);
        let first = ids.open.first().copied().unwrap_or(seq);
        Ok(Minted {
            epoch: ids.epoch,
            seq,
            acked_seq: first - 1,
        })
    }

    fn give_back(&self, minted: Minted) {
        let mut ids = self.ids.lock().expect("drawing does not panic");
        if ids.epoch == minted.epoch {
            ids.open.remove(&minted.seq);
        }
    }

    /// Starts an epoch, unless another caller has started one since `expired`.
    pub(crate) fn start(&self, expired: u64, epoch: u64) {
        let mut ids = self.ids.lock().expect("drawing does not panic");
        if ids.epoch == expired {
            *ids = Ids {
                epoch,
                next: 0,
                open: BTreeSet::new(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_not_acknowledged() {
        let mint = Mint::default();
        assert_eq!(mint.draw_number(), Err(NoId::NoEpoch));
        mint.start(0, 7);
        let first = mint.draw_number().unwrap();
        let second = mint.draw_number().unwrap();
        assert_eq!((first.epoch, first.seq, second.seq), (7, 1, 2));
        mint.give_back(second);
        assert_eq!(mint.draw_number().unwrap().acked_seq, 0);
        mint.give_back(first);
        assert_eq!(
            mint.draw_number().unwrap(),
            Minted {
                epoch: 7,
                seq: 4,
                acked_seq: 2
            }
        );
    }

    #[test]
    fn two_that_find_an_epoch_expired_open_one() {
        let mint = Mint::default();
        mint.start(0, 7);
        mint.start(0, 8);
        assert_eq!(mint.draw_number().unwrap().epoch, 7);
        mint.start(7, 9);
        assert_eq!(
            mint.draw_number().unwrap(),
            Minted {
                epoch: 9,
                seq: 1,
                acked_seq: 0
            }
        );
    }

    #[test]
    fn a_caller_that_goes_leaves_nothing_open() {
        let mint = Mint::default();
        mint.start(0, 1);
        drop(mint.draw());
        assert_eq!(mint.draw_number().unwrap().acked_seq, 1);
    }

    #[test]
    fn open_ids_are_bounded() {
        let mint = Mint::default();
        mint.start(0, 1);
        for _ in 0..MINTED_MAX {
            mint.draw_number().unwrap();
        }
        assert_eq!(mint.draw_number(), Err(NoId::TooMany));
    }
}
