//! Joining: how a node that was added comes to vote.
//!
//! A node that is added to a group is a learner: it is sent everything, and counts for nothing.
//! Whoever leads the group makes it a voter. So whoever added it may go away, and so may the leader.
//! Promises: a node votes only when it answers, has on its disk and has applied all that the group
//! had when its leader first saw it, and is little behind; a change of members that a leader left
//! half done is finished by the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;

use super::members::{Step, patiently};
use super::{Health, Node};
use crate::limits::{ADD_WAIT, CHANGE_DEADLINE, JOINING_LAG_MAX};
use crate::log::ShardId;
use crate::propose::Group;
use crate::raft::{LogId, RaftMetrics};

/// How often a leader looks at its learners.
const JOINING_INTERVAL: Duration = Duration::from_millis(100);

/// A node that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    pub node: u64,
    /// Where it has no vote yet.
    pub joining: Vec<Joining>,
}

/// A group in which a node has no vote yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joining {
    pub shard: ShardId,
    /// How many entries it has yet to apply, if it answers.
    pub behind: Option<u64>,
}

/// What is remembered of the groups from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Looks {
    groups: BTreeMap<ShardId, Seen>,
}

/// What a leader remembers of its learners.
#[derive(Debug, Default)]
struct Seen {
    term: u64,
    /// The last entry of the group when a learner was first seen.
    goals: BTreeMap<u64, u64>,
    /// The change of members that was half done at the last look.
    half_done: Option<LogId>,
}

/// A group, as its leader sees it.
#[derive(Debug, Clone, Default)]
struct Look {
    term: u64,
    last_index: u64,
    /// The learners, and what each has on its disk.
    learners: BTreeMap<u64, Option<u64>>,
    /// The change of members that is half done.
    half_done: Option<LogId>,
}

/// What a leader does about its members.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// These have enough on their disks to vote, once they have applied up to their goals.
    Ask(Vec<(u64, u64)>),
    /// Somebody left a change half done.
    Finish,
}

/// Whether a node that has this much is a voter that nobody waits for.
fn is_close(index: u64, goal: u64, last_index: u64) -> bool {
    index >= goal && last_index.saturating_sub(index) <= JOINING_LAG_MAX
}

/// Whether a node votes, by a change of members that is done.
fn votes(metrics: &RaftMetrics, node: u64) -> bool {
    let config = metrics.membership_config.get_joint_config();
    let is_voter = config.iter().all(|voters| voters.contains(&node));
    config.len() == 1 && is_voter && *metrics.membership_config.log_id() <= metrics.last_applied
}

// === impl Seen ===

impl Seen {
    fn due(&mut self, look: &Look) -> Due {
        if self.term != look.term {
            *self = Self {
                term: look.term,
                ..Self::default()
            };
        }
        let half_done = std::mem::replace(&mut self.half_done, look.half_done);
        if look.half_done.is_some() && half_done == look.half_done {
            return Due::Finish;
        }
        self.goals
            .retain(|node, _| look.learners.contains_key(node));
        let mut close = Vec::new();
        for (node, matched) in &look.learners {
            let goal = *self.goals.entry(*node).or_insert(look.last_index);
            if matched.is_some_and(|matched| is_close(matched, goal, look.last_index)) {
                close.push((*node, goal));
            }
        }
        Due::Ask(close)
    }
}

// === impl Node ===

impl Node {
    /// Gives learners their votes, in the groups that this node leads.
    pub(super) async fn keep_members(&self) {
        let mut looks = Looks::default();
        loop {
            tokio::time::sleep(JOINING_INTERVAL).await;
            self.look_at_members(&mut looks).await;
        }
    }

    /// Looks at every group once. A node that does not answer, or whose vote holds a group up, is not
    /// asked in the groups after that.
    pub(super) async fn look_at_members(&self, looks: &mut Looks) {
        let mut silent = BTreeSet::new();
        for group in self.inner.groups.values() {
            let seen = looks.groups.entry(group.shard).or_default();
            let Some(look) = self.look(group) else {
                *seen = Seen::default();
                continue;
            };
            let close = match seen.due(&look) {
                Due::Finish => {
                    change_voters(group, BTreeSet::new()).await;
                    continue;
                }
                Due::Ask(close) => close,
            };
            for (node, goal) in close {
                if silent.contains(&node) {
                    continue;
                }
                let Some(index) = self.ask_applied(group, node).await else {
                    silent.insert(node);
                    continue;
                };
                let last_index = group.raft.metrics().borrow_watched().last_log_index;
                if is_close(index, goal, last_index.unwrap_or(0))
                    && !change_voters(group, BTreeSet::from([node])).await
                {
                    silent.insert(node);
                }
            }
        }
    }

    /// None: this node does not lead the group.
    fn look(&self, group: &Group) -> Option<Look> {
        let metrics = group.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref()?;
        let members = &metrics.membership_config;
        let learner = |node: u64| {
            let matched = matched.get(&node).and_then(Option::as_ref);
            (node, matched.map(|id| id.index()))
        };
        let is_joint = members.get_joint_config().len() > 1;
        Some(Look {
            term: metrics.current_term,
            last_index: metrics.last_log_index.unwrap_or(0),
            learners: members.membership().learner_ids().map(learner).collect(),
            half_done: is_joint.then(|| *members.log_id()).flatten(),
        })
    }

    /// Up to where a learner has applied the entries of a group, if it answers.
    async fn ask_applied(&self, group: &Group, node: u64) -> Option<u64> {
        let member = group.member(node)?;
        let health = self.ask_health(node, &member).await.ok()?;
        applied_in(&health, group.shard)
    }

    /// Waits for a while until a node votes everywhere, and tells where it does not.
    pub(super) async fn wait_for_votes(&self, node: u64) -> Added {
        let groups = self.inner.groups.values();
        let waits = groups.map(|group| async move {
            let wait = group.raft.wait(Some(ADD_WAIT));
            wait.metrics(|metrics| votes(metrics, node), "a node votes")
                .await
        });
        // What has not come is looked at below.
        drop(futures_util::future::join_all(waits).await);
        let lacks = |group: &&Group| !votes(&group.raft.metrics().borrow_watched(), node);
        let lacking: Vec<&Group> = self.inner.groups.values().filter(lacks).collect();
        if lacking.is_empty() {
            let joining = Vec::new();
            return Added { node, joining };
        }
        let health = self.all_health().await;
        let health = health.iter().find(|(id, _, _)| *id == node);
        let health = health.and_then(|(_, _, health)| health.as_ref().ok());
        let joining = |group: &Group| {
            let applied = health.and_then(|health| applied_in(health, group.shard));
            let last_index = group.raft.metrics().borrow_watched().last_log_index;
            let behind = |applied| last_index.unwrap_or(0).saturating_sub(applied);
            Joining {
                shard: group.shard,
                behind: applied.map(behind),
            }
        };
        let joining = lacking.into_iter().map(joining).collect();
        Added { node, joining }
    }
}

fn applied_in(health: &Health, shard: ShardId) -> Option<u64> {
    let mut standings = health.standings.iter();
    let standing = standings.find(|standing| standing.shard == shard)?;
    Some(standing.applied_index)
}

/// Lets more nodes vote, or none and finishes a change that is half done; whether that was done. What
/// fails is tried again with the next look.
async fn change_voters(group: &Group, more: BTreeSet<u64>) -> bool {
    let shard = group.shard;
    let step = Step::Change(ChangeMembers::AddVoterIds(more.clone()));
    match tokio::time::timeout(CHANGE_DEADLINE, patiently(group, &step)).await {
        Ok(Ok(())) => {
            tracing::info!(%shard, nodes = ?more, "a change of the voters is done");
            true
        }
        Ok(Err(error)) => {
            tracing::warn!(%shard, nodes = ?more, %error, "the voters are not changed yet");
            false
        }
        Err(_) => {
            tracing::warn!(%shard, nodes = ?more, "the voters are not changed in time");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::log_id_from_wire;

    fn look(last_index: u64, matched: Option<u64>) -> Look {
        Look {
            term: 1,
            last_index,
            learners: BTreeMap::from([(4, matched)]),
            half_done: None,
        }
    }

    #[test]
    fn a_learner_that_has_nothing_on_its_disk_is_not_asked() {
        let mut seen = Seen::default();
        assert_eq!(seen.due(&look(10, None)), Due::Ask(vec![]));
        assert_eq!(seen.due(&look(10, Some(9))), Due::Ask(vec![]));
        assert_eq!(seen.due(&look(10, Some(10))), Due::Ask(vec![(4, 10)]));
    }

    #[test]
    fn a_learner_must_have_what_there_was_when_it_was_first_seen_and_be_close() {
        let mut seen = Seen::default();
        assert_eq!(seen.due(&look(1_000, None)), Due::Ask(vec![]));
        let far = look(9_000, Some(9_000 - JOINING_LAG_MAX - 1));
        assert_eq!(seen.due(&far), Due::Ask(vec![]));
        let close = look(9_000, Some(9_000 - JOINING_LAG_MAX));
        assert_eq!(seen.due(&close), Due::Ask(vec![(4, 1_000)]));
        // Another leader has seen nothing yet.
        let other = Look { term: 2, ..close };
        assert_eq!(seen.due(&other), Due::Ask(vec![]));
    }

    #[test]
    fn a_node_that_was_removed_and_added_starts_again() {
        let mut seen = Seen::default();
        assert_eq!(seen.due(&look(10, None)), Due::Ask(vec![]));
        let gone = Look {
            learners: BTreeMap::new(),
            ..look(20, None)
        };
        assert_eq!(seen.due(&gone), Due::Ask(vec![]));
        assert_eq!(seen.due(&look(30, Some(20))), Due::Ask(vec![]));
        assert_eq!(seen.due(&look(30, Some(30))), Due::Ask(vec![(4, 30)]));
    }

    #[test]
    fn a_change_that_stays_half_done_is_finished() {
        let change = |index| Look {
            half_done: Some(log_id_from_wire(quotum_api::peer::LogId {
                term: 1,
                node: 1,
                index,
            })),
            ..look(10, None)
        };
        let mut seen = Seen::default();
        assert_eq!(seen.due(&change(7)), Due::Ask(vec![]));
        assert_eq!(seen.due(&change(8)), Due::Ask(vec![]));
        assert_eq!(seen.due(&change(8)), Due::Finish);
        assert_eq!(seen.due(&look(10, None)), Due::Ask(vec![]));
    }
}
