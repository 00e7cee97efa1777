//! Proposing: many decisions, one log entry.
//!
//! Everything that is queued while an entry is on its way to the disk goes into the next one, so
//! the cost of a decision falls as load rises. A batch is answered after commit and apply only.

use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardReason, RaftError};
use openraft::raft::responder::ProgressResponder;
use quotum_limit::limits::BATCH_COMMANDS_MAX;
use quotum_limit::{Caps, Command, Entry, LogClock, Outcome, Reading, Stamp};
use tokio::sync::oneshot;

use crate::apply::Applier;
use crate::contact::Heard;
use crate::limits::PROPOSE_DEADLINE;
use crate::log::ShardId;
use crate::machine::Machine;
use crate::observe::{Step, Watch};
use crate::raft::{LogId, Member, Payload, Raft, Reply, TypeConfig};
use crate::refuse::{Refused, join, sift};

mod queue;

pub(crate) use queue::Proposer;
use queue::{Incoming, Work};

type LeaderId = openraft::alias::CommittedLeaderIdOf<TypeConfig>;

/// How long to wait before a leader whose lease is not valid is asked again.
const LEASE_RETRY: Duration = Duration::from_millis(2);

/// How long a new leader waits for a reference clock, before its term starts without one.
const REFERENCE_DEADLINE: Duration = Duration::from_millis(1_000);

/// What was decided, and where in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// One for each command, in order.
    pub outcomes: Vec<Outcome>,
    pub stamp: Stamp,
    pub term: u64,
    pub index: u64,
}

/// Why nothing is known to have been decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Ask the leader, if it is known. Nothing was done.
    #[error("this node does not lead the shard")]
    NotLeader { leader: Option<Member> },
    /// Back off. Nothing was done.
    #[error("too many decisions are queued")]
    Overloaded,
    /// May have happened, or may happen yet: ask again under the same ids.
    #[error("the outcome is unknown")]
    Unknown,
    /// This node stops.
    #[error("this node has stopped")]
    Stopped,
}

/// One Raft group of this node.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) shard: ShardId,
    pub(crate) raft: Raft,
    pub(crate) applier: Applier,
    pub(crate) watch: Watch,
    pub(crate) heard: std::sync::Arc<Heard>,
}

/// What bounds a shard's entries.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) caps: Caps,
    pub(crate) entry_bytes_max: usize,
    /// The registry, which has the cluster's feature level.
    pub(crate) registry: Applier,
}

/// What a proposer reads of the world when it stamps.
pub(crate) trait Readings: Send + Sync + 'static {
    /// `start`: a term starts, and a single node may trust its own clock.
    fn reading(&self, group: &Group, start: bool) -> Reading;
}

// === impl Group ===

impl Group {
    pub(crate) fn is_led_by(&self, node: u64) -> bool {
        self.raft.metrics().borrow_watched().current_leader == Some(node)
    }

    /// Who leads the group, as far as this node knows.
    pub(crate) fn leader(&self) -> Option<(u64, Member)> {
        let leader = self.raft.metrics().borrow_watched().current_leader?;
        Some((leader, self.member(leader)?))
    }

    /// A member of the group, as far as this node knows.
    pub(crate) fn member(&self, node: u64) -> Option<Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .membership_config
            .membership()
            .get_node(&node)
            .cloned()
    }

    pub(crate) fn voters(&self) -> Vec<u64> {
        self.raft.voter_ids().collect()
    }

    fn not_leader(&self) -> ProposeError {
        ProposeError::NotLeader {
            leader: self.leader().map(|(_, member)| member),
        }
    }

    /// Writes one entry, if this node leads under `expected`, and waits until it is applied.
    pub(crate) async fn write(
        &self,
        payload: Bytes,
        expected: Option<LeaderId>,
    ) -> Result<(LogId, Reply), ProposeError> {
        let start_us = self.watch.start_us();
        let deadline = tokio::time::Instant::now() + PROPOSE_DEADLINE;
        loop {
            let (responder, answer) = ProgressResponder::complete_only();
            let mut request = self
                .raft
                .write(Payload(payload.clone()))
                .responder(responder);
            if let Some(expected) = expected {
                request = request.with_leader(expected);
            }
            request.await.map_err(|_| ProposeError::Stopped)?;
            let result = tokio::time::timeout_at(deadline, answer).await;
            let result = result.map_err(|_| ProposeError::Unknown)?;
            match result.map_err(|_| ProposeError::Stopped)? {
                Ok(written) => {
                    self.watch.took(Step::Commit(self.shard), start_us);
                    return Ok((written.log_id, written.data));
                }
                // Nothing was appended: the lease of a leader is renewed with the next heartbeat.
                Err(ClientWriteError::ForwardToLeader(forward))
                    if forward.reason == ForwardReason::LeaseExpired
                        && self.raft.is_leader()
                        && tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(LEASE_RETRY).await;
                }
                Err(ClientWriteError::ForwardToLeader(forward)) => {
                    return Err(ProposeError::NotLeader {
                        leader: forward.leader_node,
                    });
                }
                Err(_) => return Err(ProposeError::Unknown),
            }
        }
    }

    /// Waits until this node has applied what was committed when it was asked, and returns the
    /// term that it leads.
    pub(crate) async fn lead(&self) -> Result<LeaderId, ProposeError> {
        let leader = self
            .raft
            .as_leader()
            .map_err(|forward| ProposeError::NotLeader {
                leader: forward.leader_node,
            })?;
        let read = self
            .raft
            .ensure_linearizable(openraft::ReadPolicy::ReadIndex);
        match tokio::time::timeout(PROPOSE_DEADLINE, read).await {
            Ok(Ok(_)) => Ok(leader.to_committed_leader_id()),
            Ok(Err(RaftError::Fatal(_))) => Err(ProposeError::Stopped),
            Ok(Err(RaftError::APIError(_))) | Err(_) => Err(self.not_leader()),
        }
    }

    /// Confirms that this node leads, and returns an entry that it has applied: everything that was
    /// answered before the call is at that one or before it.
    pub(crate) async fn read_index(&self) -> Result<u64, ProposeError> {
        self.lead().await?;
        Ok(self.applier.read().last.map_or(0, |id| id.index()))
    }
}

// === impl Proposer ===

impl Proposer {
    /// Starts the proposer of a shard; the future is its task.
    pub(crate) fn new(
        group: Group,
        bounds: Bounds,
        readings: std::sync::Arc<dyn Readings>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (proposer, incoming) = queue::open();
        (proposer, run(group, bounds, readings, incoming))
    }
}

/// The term that this node leads, and its log clock.
struct Term {
    leader: LeaderId,
    clock: LogClock,
}

async fn run(
    group: Group,
    bounds: Bounds,
    readings: std::sync::Arc<dyn Readings>,
    mut incoming: Incoming,
) {
    let mut term: Option<Term> = None;
    let mut queued: std::collections::VecDeque<Work> = Default::default();
    while incoming.take(&mut queued).await {
        let (batch, waiting) = gather(&mut queued, bounds.entry_bytes_max);
        let result = propose(&group, &bounds, readings.as_ref(), &mut term, batch).await;
        answer(waiting, result);
    }
}

type Waiting = Vec<(usize, oneshot::Sender<Result<Decided, ProposeError>>)>;

/// The commands of one entry, message by message.
type Messages = Vec<Vec<Command>>;

/// Takes as much of the queue as one entry may hold.
fn gather(
    queued: &mut std::collections::VecDeque<Work>,
    entry_bytes_max: usize,
) -> (Messages, Waiting) {
    let mut batch = Messages::new();
    let mut waiting = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    while let Some(next) = queued.front() {
        let size = next.bytes();
        let full =
            count + next.commands.len() > BATCH_COMMANDS_MAX || bytes + size > entry_bytes_max;
        if full && !batch.is_empty() {
            break;
        }
        bytes += size;
        let Work {
            commands, answer, ..
        } = queued.pop_front().expect("the front was seen");
        // Nobody waits any more: its client has given up, and asks again under the same id.
        if answer.is_closed() {
            continue;
        }
        waiting.push((commands.len(), answer));
        count += commands.len();
        batch.push(commands);
    }
    (batch, waiting)
}

/// The bytes of a command in an entry, at the most.
pub(crate) fn estimate(command: &Command) -> usize {
    match command {
        Command::Open { .. } | Command::Refund { .. } | Command::Confirm { .. } => 24,
        Command::Acquire { items, .. }
        | Command::Reserve { items, .. }
        | Command::Peek { items } => {
            24 + items
                .iter()
                .map(|item| 48 + item.key.as_bytes().len())
                .sum::<usize>()
        }
    }
}

async fn propose(
    group: &Group,
    bounds: &Bounds,
    readings: &dyn Readings,
    term: &mut Option<Term>,
    messages: Messages,
) -> Result<Decided, ProposeError> {
    if messages.is_empty() {
        return Err(ProposeError::Unknown);
    }
    let leader = group
        .raft
        .as_leader()
        .map_err(|forward| ProposeError::NotLeader {
            leader: forward.leader_node,
        })?;
    let led = leader.to_committed_leader_id();
    if term.as_ref().is_none_or(|term| term.leader != led) {
        *term = Some(start_term(group, readings).await?);
    }
    let Some(term) = term else {
        return Err(group.not_leader());
    };
    let stamp = term.clock.stamp(readings.reading(group, false));
    // It only rises: what this node has applied of the registry may be less, and never more.
    let level = bounds.registry.feature_level();
    let (messages, refused) = match &group.applier.read().machine {
        Machine::Counters(state) => sift(state, stamp.log, level, messages),
        Machine::Registry(_) => (messages, Vec::new()),
    };
    let count = messages.iter().map(Vec::len).sum();
    if count == 0 {
        return Ok(all_refused(group, refused));
    }
    let commands = (count, messages.iter().flatten());
    let payload = Bytes::from(Entry::encode(stamp, bounds.caps, commands));
    #[cfg(quotum_bugs)]
    let entry = payload.clone();
    let written = group.write(payload, Some(term.leader));
    #[cfg(quotum_bugs)]
    let written = crate::bugs::or_stale(group, &entry, written);
    let (log_id, reply) = written.await?;
    let Reply::Counters { stamp, outcomes } = reply else {
        return Err(ProposeError::Unknown);
    };
    let term = log_id.committed_leader_id().term;
    Ok(Decided {
        outcomes: join(refused, outcomes),
        stamp,
        term,
        index: log_id.index(),
    })
}

/// What is decided where nothing was proposed: as of the last entry applied.
fn all_refused(group: &Group, refused: Refused) -> Decided {
    let applied = group.applier.read();
    let stamp = match &applied.machine {
        Machine::Counters(state) => state.last_stamp(),
        Machine::Registry(_) => Stamp::default(),
    };
    let (term, index) = applied.last.map_or((0, 0), |last| {
        (last.committed_leader_id().term, last.index())
    });
    Decided {
        outcomes: join(refused, Vec::new()),
        stamp,
        term,
        index,
    }
}

/// Starts the log clock of a term, after everything before it is applied.
async fn start_term(group: &Group, readings: &dyn Readings) -> Result<Term, ProposeError> {
    let leader = group.lead().await?;
    let deadline = tokio::time::Instant::now() + REFERENCE_DEADLINE;
    let mut reading = readings.reading(group, true);
    while reading.reference_ms.is_none() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(LEASE_RETRY).await;
        reading = readings.reading(group, true);
    }
    let last = match &group.applier.read().machine {
        Machine::Counters(state) => state.last_stamp(),
        Machine::Registry(_) => Stamp::default(),
    };
    // Log time starts once: without a reference it would start in 1970, and never come near.
    if last == Stamp::default() && reading.reference_ms.is_none() {
        return Err(ProposeError::NotLeader { leader: None });
    }
    Ok(Term {
        leader,
        clock: LogClock::lead(last, reading),
    })
}

/// Hands the outcomes of a batch to those who asked for its parts.
fn answer(waiting: Waiting, result: Result<Decided, ProposeError>) {
    let mut decided = match result {
        Ok(decided) => decided,
        Err(error) => {
            for (_, answer) in waiting {
                drop(answer.send(Err(error.clone())));
            }
            return;
        }
    };
    let mut outcomes = std::mem::take(&mut decided.outcomes).into_iter();
    for (count, answer) in waiting {
        let part = Decided {
            outcomes: outcomes.by_ref().take(count).collect(),
            ..decided.clone()
        };
        // A caller that has gone away asks again under the same ids.
        drop(answer.send(Ok(part)));
    }
}
