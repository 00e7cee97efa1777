//! Commands and their outcomes: what can be asked of the counters, and what they answer.

use smallvec::SmallVec;

use crate::{Key, Stamp, Window};

/// A client epoch: allocated by a replicated [`Command::Open`], once per client process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Who opens epochs, as the node that is asked tells callers apart. 0: it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Caller(pub u64);

/// The name of one request: kept over all its retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    pub epoch: Epoch,
    /// Drawn upwards from 1 by the client.
    pub seq: u64,
}

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// One count per window, that starts again at its end.
    Fixed,
    /// The units of every interval of the window's length, however it lies. A month has 31 days.
    Sliding,
}

// === impl Algorithm ===

impl Algorithm {
    /// One number for the log.
    pub fn code(self) -> u8 {
        match self {
            Self::Fixed => 0,
            Self::Sliding => 1,
        }
    }

    /// The inverse of [`Algorithm::code`].
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Fixed),
            1 => Some(Self::Sliding),
            _ => None,
        }
    }
}

/// One limit of an acquire: take `units` from the counter `(key, window, algorithm)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub key: Key,
    /// Units admitted in a window never exceed this.
    pub max: u64,
    /// The policy revision that `max` comes from. A counter keeps the highest it saw.
    pub revision: u64,
    pub window: Window,
    pub algorithm: Algorithm,
    pub units: u64,
    /// A shadow item never denies: it is charged where it fits, and else says so.
    pub shadow: bool,
}

/// The items of one acquire, in the order in which the outcome answers them.
pub type Items = SmallVec<[Item; 1]>;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Allocates a client epoch.
    Open { caller: Caller },
    /// Takes all the items' units or none.
    Acquire {
        id: RequestId,
        /// All outcomes up to this seq have reached the client: they may be forgotten.
        acked_seq: u64,
        items: Items,
    },
    /// As [`Command::Acquire`], for a time: what is not confirmed within [`crate::limits::HOLD_MS`] is
    /// given back.
    Reserve {
        id: RequestId,
        acked_seq: u64,
        items: Items,
    },
    /// Keeps what `id` has reserved.
    Confirm { id: RequestId },
    /// Gives back what `id` took: once, within the same windows only, never below zero.
    Refund { id: RequestId },
    /// Reads the items' counters, and changes nothing.
    Peek { items: Items },
}

// === impl Command ===

impl Command {
    /// The limits that it names.
    pub fn items(&self) -> &[Item] {
        match self {
            Self::Acquire { items, .. } | Self::Reserve { items, .. } | Self::Peek { items } => {
                items
            }
            Self::Open { .. } | Self::Confirm { .. } | Self::Refund { .. } => &[],
        }
    }

    /// The feature level from which on a cluster's log may hold this: all nodes know it then.
    pub fn level(&self) -> u32 {
        match self {
            Self::Open { .. } | Self::Acquire { .. } | Self::Refund { .. } | Self::Peek { .. } => 1,
            Self::Reserve { .. } | Self::Confirm { .. } => 2,
        }
    }
}

/// The bounds that an operator sets. They travel with each log entry, so that replicas whose
/// configuration differs still decide alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// The most counters whose window is not over.
    pub counters_max: usize,
    /// The most of them of one tenant: see [`Key::tenant`].
    pub tenant_counters_max: usize,
}

/// One log entry: commands decided at one instant of log time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub stamp: Stamp,
    pub caps: Caps,
    pub commands: Vec<Command>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Opened {
        epoch: Epoch,
    },
    Admitted {
        /// How long the admission holds from now, in milliseconds: to the end of the first window
        /// that ends, and for a sixtieth of one that slides. 0: it no longer does.
        valid_for_ms: u64,
        items: ItemStates,
    },
    Denied {
        /// The item that binds: of those that deny, the one with the longest `retry_after`.
        binding: usize,
        /// When it is worth asking again; `None`: never, the units are more than `max`.
        retry_after_ms: Option<u64>,
        items: ItemStates,
    },
    /// All units are held, to be confirmed within that time.
    Reserved {
        hold_for_ms: u64,
        items: ItemStates,
    },
    /// Only units that are reserved and not confirmed yet stand in the way. Nothing was decided and
    /// nothing is remembered: ask again under the same id.
    Contended {
        /// The item that binds.
        binding: usize,
        /// When holds have ended at the latest.
        retry_after_ms: u64,
        items: ItemStates,
    },
    /// The id was refunded or its hold has ended, before or after it was decided.
    Cancelled,
    /// The epoch is unknown, or the id was acknowledged or forgotten: nothing was charged now.
    Expired,
    /// A bound is reached: nothing was charged.
    Exhausted(Bound),
    /// The command contradicts itself or an earlier one under the same id.
    Invalid(Refusal),
    Refunded {
        /// Units given back, over all items.
        units: u64,
    },
    Peeked {
        items: ItemStates,
    },
}

/// The state of one counter as a command left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemState {
    /// Whether this item fitted (admitted) or would have (denied).
    pub fits: bool,
    /// Units left in the window.
    pub remaining: u64,
    /// The max in force, which may come from a newer revision than the command's.
    pub max: u64,
    /// Milliseconds until more is left: until the window ends; of one that slides, until the oldest
    /// units in it count no more, and 0 if there are none.
    pub reset_after_ms: u64,
}

/// One state for each item, in the command's order.
pub type ItemStates = SmallVec<[ItemState; 1]>;

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    Counters,
    /// Counters of one tenant.
    Tenant,
    /// The seq is too far ahead of its epoch's watermark.
    Requests,
    /// Of one caller, or in all.
    Epochs,
    /// Items remembered with request ids, of one caller or in all.
    Ids,
    /// Some node of the cluster does not know this kind of command yet: see [`Command::level`].
    Level,
}

/// Why a command is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("an acquire has 1 to 16 items")]
    ItemCount,
    #[error("a seq starts at 1")]
    SeqZero,
    #[error("max and units are at most 2^53")]
    UnitsTooLarge,
    #[error("the same counter appears twice with different limits")]
    ConflictingItems,
    #[error("this request id was used for another command")]
    IdReused,
}
