//! The counters of a case: the state machine of the counter service, alone and in memory.

use quotum_limit::{
    Batch, Caller, Caps, Command, Epoch, Item, ItemState, Items, LogTime, Outcome, RequestId,
    Stamp, State,
};

/// More than the calls of one file can touch.
const COUNTERS_MAX: usize = 1 << 21;

/// Counters at the log time of the last command.
pub(super) struct Counters {
    state: State,
    epoch: Epoch,
    seq: u64,
}

/// What the counters said about a call.
pub(super) enum Acquired {
    Admitted,
    /// Index of the item that binds; `None`: asking again never helps.
    Denied {
        binding: usize,
        retry_after_ms: Option<u64>,
    },
    /// Any other answer, which no case expects.
    Other(Outcome),
}

const OPEN: Command = Command::Open { caller: Caller(1) };

// === impl Counters ===

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            state: State::new(0),
            epoch: Epoch(0),
            seq: 0,
        }
    }

    /// Takes the units of all items, or none.
    pub(super) fn acquire(&mut self, at: LogTime, items: &[Item]) -> Acquired {
        let mut outcome = self.try_acquire(at, items);
        if outcome == Outcome::Expired {
            // The first call, or one long after the last: the epoch must be opened (again).
            if let Outcome::Opened { epoch } = self.apply(at, OPEN) {
                (self.epoch, self.seq) = (epoch, 0);
                outcome = self.try_acquire(at, items);
            }
        }
        match outcome {
            Outcome::Admitted { .. } => Acquired::Admitted,
            Outcome::Denied {
                binding,
                retry_after_ms,
                ..
            } => Acquired::Denied {
                binding,
                retry_after_ms,
            },
            other => Acquired::Other(other),
        }
    }

    /// Units that the item's counter holds in its window at `at`.
    pub(super) fn charged(&mut self, at: LogTime, item: Item) -> Option<u64> {
        match self.apply(
            at,
            Command::Peek {
                items: Items::from_iter([item]),
            },
        ) {
            Outcome::Peeked { items } => items
                .first()
                .map(|ItemState { max, remaining, .. }| max - remaining),
            _ => None,
        }
    }

    fn try_acquire(&mut self, at: LogTime, items: &[Item]) -> Outcome {
        let acked_seq = self.seq;
        self.seq += 1;
        let id = RequestId {
            epoch: self.epoch,
            seq: self.seq,
        };
        self.apply(
            at,
            Command::Acquire {
                id,
                acked_seq,
                items: items.iter().cloned().collect(),
            },
        )
    }

    fn apply(&mut self, at: LogTime, command: Command) -> Outcome {
        let stamp = Stamp {
            log: at,
            reference_ms: at.ms,
        };
        let caps = Caps {
            counters_max: COUNTERS_MAX,
            tenant_counters_max: COUNTERS_MAX,
        };
        let outcomes = self.state.apply_batch(&Batch {
            stamp,
            caps,
            commands: vec![command],
        });
        outcomes
            .into_iter()
            .next()
            .expect("one outcome for each command")
    }
}
