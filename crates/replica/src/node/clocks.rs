//! Clocks: the wall clocks of the members, and what a node stamps entries with.
//!
//! A leader whose clocks are off hands over to one whose wall clock agrees with the reference.
//! Nothing goes wrong until then: its wall clock alone moves no reference, and its monotonic clock
//! has moved log time by little more than what makes it hand over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use openraft::async_runtime::WatchReceiver;
use quotum_limit::Reading;

use super::Node;
use crate::clock::{Reference, SharedClock};
use crate::limits::{CLOCK_INTERVAL, HAND_OVER_PAUSE};
use crate::log::ShardId;
use crate::propose::{Group, Readings};
use crate::raft::Member;

use term::{Moment, TermClocks};

mod term;

/// What the proposers read.
pub(super) struct World {
    pub(super) id: u64,
    pub(super) clock: SharedClock,
    reference: Mutex<Reference>,
    begun_us: u64,
}

// === impl World ===

impl World {
    pub(super) fn new(id: u64, clock: SharedClock) -> Self {
        Self {
            id,
            begun_us: clock.monotonic_us(),
            clock,
            reference: Mutex::default(),
        }
    }

    /// For how long another node has not been heard of, in milliseconds.
    pub(super) fn silent_ms(&self, node: u64) -> u64 {
        let heard_us = self.reference().heard_us(node).unwrap_or(self.begun_us);
        self.clock.monotonic_us().saturating_sub(heard_us) / 1_000
    }

    /// What the clocks show of each other now, while a majority agrees on the reference.
    fn moment(&self, group: &Group) -> Option<Moment> {
        let reading = self.reading(group, false);
        Some(Moment {
            monotonic_us: reading.monotonic_us,
            wall_ms: self.clock.wall_ms(),
            reference_ms: reading.reference_ms?,
        })
    }

    fn reference(&self) -> MutexGuard<'_, Reference> {
        self.reference.lock().expect("no holder of it panics")
    }
}

impl Readings for World {
    fn reading(&self, group: &Group, start: bool) -> Reading {
        let voters = group.voters();
        let reference_ms = self
            .reference()
            .now_ms(&voters, self.id, self.clock.as_ref());
        #[cfg(quotum_bugs)]
        let reference_ms = crate::bugs::reference_ms(reference_ms, self.clock.as_ref());
        Reading {
            monotonic_us: self.clock.monotonic_us(),
            // A node alone has nobody to compare its wall clock with: it counts at a start only.
            reference_ms: reference_ms.filter(|_| start || voters.len() > 1),
        }
    }
}

/// The term in which this node leads a group, if it does.
fn leads(group: &Group) -> Option<u64> {
    let metrics = group.raft.metrics();
    let term = metrics.borrow_watched().current_term;
    group.raft.is_leader().then_some(term)
}

// === impl Node ===

impl Node {
    /// The reference clock, or this node's own where there is none: milliseconds since the epoch.
    pub fn now_ms(&self) -> u64 {
        let reading = self.inner.world.reading(self.registry_group(), true);
        reading
            .reference_ms
            .unwrap_or_else(|| self.inner.world.clock.wall_ms())
    }

    /// Asks the other members for their wall clocks, again and again.
    pub(super) async fn keep_clocks(&self) {
        loop {
            for (id, member) in self.members() {
                if id == self.id() {
                    continue;
                }
                let node = self.clone();
                self.spawn(async move {
                    let world = &node.inner.world;
                    let sent_us = world.clock.monotonic_us();
                    let Ok(hello) = node.ask_hello(&member.peer_address).await else {
                        return;
                    };
                    let heard_us = world.clock.monotonic_us();
                    if hello.node == id && hello.incarnation == member.incarnation {
                        world.reference().hear(id, hello.wall_ms, sent_us, heard_us);
                    }
                });
            }
            tokio::time::sleep(CLOCK_INTERVAL).await;
        }
    }

    /// Hands over what this node leads while its clocks are off, again and again.
    pub(super) async fn mind_clocks(&self) {
        let mut terms: BTreeMap<ShardId, TermClocks> = BTreeMap::new();
        loop {
            tokio::time::sleep(CLOCK_INTERVAL).await;
            let mut has_tried = false;
            for group in self.inner.groups.values() {
                let clocks = terms.entry(group.shard).or_default();
                let Some(term) = leads(group) else {
                    *clocks = TermClocks::default();
                    continue;
                };
                let Some(now) = self.inner.world.moment(group) else {
                    continue;
                };
                if let Some(off) = clocks.look(term, now) {
                    has_tried = true;
                    let shard = group.shard;
                    tracing::warn!(%shard, "{off}: another node leads from here on, if one can");
                    let agrees = |node| {
                        let reference = self.inner.world.reference();
                        reference.agrees(node, now.reference_ms, now.monotonic_us)
                    };
                    self.hand_over_to_one(group, agrees).await;
                }
            }
            if has_tried {
                // Where nobody could take over, calls are not stopped again at once.
                tokio::time::sleep(HAND_OVER_PAUSE).await;
            }
        }
    }

    /// How far this node's wall clock is ahead of the reference clock, in milliseconds; none while
    /// the clocks of a majority disagree, or were not heard of.
    pub fn clock_offset_ms(&self) -> Option<i64> {
        let world = &self.inner.world;
        let reading = world.reading(self.registry_group(), true);
        let reference_ms = i64::try_from(reading.reference_ms?).ok()?;
        let wall_ms = i64::try_from(world.clock.wall_ms()).ok()?;
        Some(wall_ms.saturating_sub(reference_ms))
    }

    /// How far each other member's wall clock is from this node's, in milliseconds.
    pub fn clock_offsets_ms(&self) -> Vec<(u64, i64)> {
        let reference = self.inner.world.reference();
        let clock = self.inner.world.clock.as_ref();
        let offset = |(id, _): (u64, Member)| Some((id, reference.offset_ms(id, clock)?));
        self.members().into_iter().filter_map(offset).collect()
    }
}
