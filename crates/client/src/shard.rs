//! One shard: its queue of requests, the stream to its leader, and the ids in use.
//!
//! # Layout
//! * [`owner`]: the task that awaits: requests, answers, connections, timers.
//! * [`book`]: what is asked and what became of it, without IO.
//! * [`refunds`]: refunds until they are acknowledged.
//! * [`link`]: one stream to one node.

pub(crate) mod book;
pub(crate) mod link;
pub(crate) mod owner;
pub(crate) mod refunds;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quotum_limit::{ItemStates, Items, RequestId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::decision::{Decision, Path, Position};
use crate::deny::DenyCache;
use crate::stats::Stats;
use crate::ticket::{Desk, Taken};

/// What is asked of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Acquire,
    /// Units that are held until they are confirmed.
    Reserve,
    /// Keeps what was reserved under this id.
    Confirm(RequestId),
    Peek,
}

// === impl Want ===

impl Want {
    /// Whether it takes units, under an id of its own.
    pub(crate) fn takes(self) -> bool {
        matches!(self, Self::Acquire | Self::Reserve)
    }
}

/// A question, until when it is worth an answer, and where that goes. The asker may leave.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) want: Want,
    pub(crate) items: Items,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Reply>,
}

#[derive(Debug)]
pub(crate) enum Reply {
    Admitted {
        taken: Taken,
        items: ItemStates,
        position: Position,
    },
    /// Held, to be confirmed.
    Reserved {
        taken: Taken,
        items: ItemStates,
    },
    Confirmed {
        valid_until_us: u64,
        position: Position,
    },
    /// What was reserved is free again, or its admission is over.
    Lapsed,
    /// Denied because of units that others have reserved: for now.
    Contended(Decision),
    /// Any decision but an admission.
    Refused(Decision),
    Peeked(ItemStates),
}

/// What the callers and the owner of a shard share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) stats: Arc<Stats>,
    pub(crate) denials: Mutex<DenyCache>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) is_connected: AtomicBool,
}

/// A caller's way to a shard.
#[derive(Debug, Clone)]
pub(crate) struct ShardHandle {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) shared: Arc<Shared>,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(clock: Clock, stats: Arc<Stats>) -> Self {
        Self {
            clock,
            stats,
            denials: Mutex::default(),
            desk: Arc::default(),
            is_connected: AtomicBool::new(false),
        }
    }

    pub(crate) fn forget_denials(&self) {
        self.denials
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

// === impl ShardHandle ===

impl ShardHandle {
    /// Asks, and waits for the answer: until the deadline, if the caller does.
    pub(crate) async fn ask(&self, want: Want, items: Items, deadline: Instant) -> Reply {
        if want.takes()
            && let Some(decision) = self.refuse(&items)
        {
            return Reply::Refused(decision);
        }
        let (reply, answer) = oneshot::channel();
        let request = Request {
            want,
            items,
            deadline,
            reply,
        };
        if self.requests.send(request).await.is_err() {
            return Reply::Refused(Decision::Unavailable);
        }
        answer
            .await
            .unwrap_or(Reply::Refused(Decision::Unavailable))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.shared.is_connected.load(Ordering::Relaxed)
    }

    fn refuse(&self, items: &Items) -> Option<Decision> {
        let now_us = self.shared.clock.now_us();
        let denials = self
            .shared
            .denials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let denial = denials.refuse(items, now_us)?;
        self.shared.stats.count_denials_cached().add(1);
        Some(Decision::Denied {
            binding: denial.binding,
            retry_after: denial.retry_after_ms.map(std::time::Duration::from_millis),
            items: denial.items,
            path: Path::DenyCache,
            position: None,
        })
    }
}
