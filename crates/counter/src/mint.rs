//! Ids for callers without their own: one epoch a shard, opened when it is first needed.
//!
//! The node that a caller asks makes the id and keeps it over its own tries and the hop to the
//! leader. A retry by the caller is a new decision.
//!
//! Promises: an id that may have taken units which nobody uses is refunded until that is
//! acknowledged, and not acknowledged itself before.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use quotum_limit::{Epoch, RequestId};
use tokio::sync::Notify;

use crate::limits::MINTED_MAX;

/// The ids of one shard.
#[derive(Default)]
pub(crate) struct Mint {
    ids: Mutex<Ids>,
    abandoned: Notify,
}

#[derive(Default)]
struct Ids {
    epoch: u64,
    next: u64,
    /// Drawn, and neither decided nor refunded yet.
    open: BTreeSet<u64>,
    /// Those of them that are to be refunded.
    abandoned: VecDeque<u64>,
}

/// One id, to be given back when it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Minted {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// Everything up to here is decided and answered.
    pub(crate) acked_seq: u64,
}

/// An id on its way. One that is dropped before it is settled may have taken units: its caller has
/// gone, or no answer came. It is refunded.
pub(crate) struct Drawn<'a> {
    mint: &'a Mint,
    pub(crate) minted: Minted,
    is_settled: bool,
}

/// Abandoned ids of one epoch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Abandoned {
    pub(crate) epoch: u64,
    pub(crate) seqs: Vec<u64>,
}

/// Why there is no id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoId {
    /// An epoch has to be opened first.
    NoEpoch,
    /// Too many are on their way.
    TooMany,
}

// === impl Minted ===

impl Minted {
    pub(crate) fn id(&self) -> RequestId {
        RequestId {
            epoch: Epoch(self.epoch),
            seq: self.seq,
        }
    }
}

// === impl Mint ===

impl Mint {
    pub(crate) fn draw(&self) -> Result<Drawn<'_>, NoId> {
        let minted = self.draw_number()?;
        Ok(Drawn {
            mint: self,
            minted,
            is_settled: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw_number(&self) -> Result<Minted, NoId> {
        let mut ids = self.lock();
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

    fn give_back(&self, epoch: u64, seq: u64) {
        let mut ids = self.lock();
        if ids.epoch == epoch {
            ids.open.remove(&seq);
        }
    }

    fn abandon(&self, epoch: u64, seq: u64) {
        let mut ids = self.lock();
        if ids.epoch == epoch {
            ids.abandoned.push_back(seq);
            drop(ids);
            self.abandoned.notify_one();
        }
    }

    /// Waits for abandoned ids, and takes up to `most` of them. Each is given to
    /// [`Mint::refunded`] or [`Mint::not_refunded`].
    pub(crate) async fn take_abandoned(&self, most: usize) -> Abandoned {
        loop {
            {
                let mut ids = self.lock();
                if !ids.abandoned.is_empty() {
                    let count = ids.abandoned.len().min(most);
                    let seqs = ids.abandoned.drain(..count).collect();
                    let epoch = ids.epoch;
                    return Abandoned { epoch, seqs };
                }
            }
            self.abandoned.notified().await;
        }
    }

    /// The refund of an id is acknowledged, or its epoch is forgotten.
    pub(crate) fn refunded(&self, epoch: u64, seq: u64) {
        self.give_back(epoch, seq);
    }

    /// Whether the refund of an id was done is not known: it is tried again.
    pub(crate) fn not_refunded(&self, epoch: u64, seq: u64) {
        self.abandon(epoch, seq);
    }

    /// Starts an epoch, unless another caller has started one since `expired`.
    pub(crate) fn start(&self, expired: u64, epoch: u64) {
        let mut ids = self.lock();
        if ids.epoch == expired {
            *ids = Ids {
                epoch,
                ..Ids::default()
            };
        }
    }
}

// === impl Drawn ===

impl Drawn<'_> {
    /// Its outcome is known, or it is known that it has none.
    pub(crate) fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Drawn<'_> {
    fn drop(&mut self) {
        let Minted { epoch, seq, .. } = self.minted;
        match self.is_settled {
            true => self.mint.give_back(epoch, seq),
            false => self.mint.abandon(epoch, seq),
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
        mint.give_back(7, second.seq);
        assert_eq!(mint.draw_number().unwrap().acked_seq, 0);
        mint.give_back(7, first.seq);
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
    fn what_is_settled_is_acknowledged() {
        let mint = Mint::default();
        mint.start(0, 1);
        mint.draw().ok().unwrap().settle();
        assert_eq!(mint.draw_number().unwrap().acked_seq, 1);
    }

    #[tokio::test]
    async fn an_id_whose_caller_has_gone_stays_open_until_it_is_refunded() {
        let mint = Mint::default();
        mint.start(0, 1);
        drop(mint.draw());
        let gone = Abandoned {
            epoch: 1,
            seqs: vec![1],
        };
        assert_eq!(mint.take_abandoned(9).await, gone);
        mint.not_refunded(1, 1);
        assert_eq!(mint.draw_number().unwrap().acked_seq, 0);
        assert_eq!(mint.take_abandoned(9).await, gone);
        mint.refunded(1, 1);
        assert_eq!(mint.draw_number().unwrap().acked_seq, 1);
    }

    #[tokio::test]
    async fn abandoned_ids_end_with_their_epoch() {
        let mint = Mint::default();
        mint.start(0, 1);
        let old = mint.draw();
        drop(mint.draw());
        mint.start(1, 2);
        drop(old);
        drop(mint.draw());
        let gone = Abandoned {
            epoch: 2,
            seqs: vec![1],
        };
        assert_eq!(mint.take_abandoned(9).await, gone);
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
