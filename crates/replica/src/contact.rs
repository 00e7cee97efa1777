//! Contact: whether a group can go on, as far as this node can tell.
//!
//! openraft names the last leader that a node followed until there is another one, and a leader leads
//! until a later one is heard of. So what counts is when a follower last heard of its leader, and when
//! a leader was last heard by a majority.

use std::sync::{Mutex, PoisonError};

use openraft::Instant;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::AppendEntriesRequest;
use openraft::vote::RaftLeaderId;

use crate::limits::CONTACT_MAX;
use crate::propose::Group;
use crate::raft::TypeConfig;

/// When a node last heard of the leader of one group, on the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<(u64, u64)>>);

// === impl Heard ===

impl Heard {
    /// An append has come from `leader`, or what believes itself to be it.
    pub(crate) fn note(&self, leader: u64, now_us: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((leader, now_us));
    }

    fn is_fresh(&self, leader: u64, now_us: u64) -> bool {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|(from, at_us)| {
            let age_us = u128::from(now_us.saturating_sub(at_us));
            from == leader && age_us <= CONTACT_MAX.as_micros()
        })
    }
}

// === impl Group ===

impl Group {
    /// Takes note of who sends entries.
    pub(crate) fn hear(&self, request: &AppendEntriesRequest<TypeConfig>) {
        let leader = request.vote.leader_id().node_id();
        self.heard.note(*leader, self.watch.start_us());
    }

    /// Whether `node`, which is this one, is a member that hears of a leader, or one that a majority
    /// hears.
    pub(crate) fn is_in_contact(&self, node: u64) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        if membership.get_node(&node).is_none() {
            return false;
        }
        match metrics.current_leader {
            None => false,
            Some(leader) if leader != node => self.heard.is_fresh(leader, self.watch.start_us()),
            Some(_) => {
                let alone = membership.voter_ids().eq([node]);
                let acknowledged = metrics.last_quorum_acked.as_ref();
                alone || acknowledged.is_some_and(|at| at.elapsed() <= CONTACT_MAX)
            }
        }
    }
}
