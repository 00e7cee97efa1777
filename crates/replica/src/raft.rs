//! The types that openraft is made of here.

use std::fmt;

use bytes::Bytes;
use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt_tokio::TokioRuntime;
use quotum_limit::{Outcome, Stamp};

/// Tokio, with random numbers from a seed that the node is started with.
pub(crate) type Runtime = DeterministicRng<TokioRuntime>;

/// What an entry carries, as its machine encodes it: shared by the log, the network and apply.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

/// What applying an entry answers, on the node that proposed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Entries that only the consensus reads.
    None,
    Counters {
        stamp: Stamp,
        outcomes: Vec<Outcome>,
    },
    Registry(Box<quotum_registry::Outcome>),
}

/// Where a node serves, and with which disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    pub peer_address: String,
    pub client_address: String,
    /// Drawn with the data directory; what a configuration says of it does not count. Another disk
    /// under the same id has forgotten what that id promised, and is not let in for it.
    pub incarnation: u64,
}

openraft::declare_raft_types!(
    pub TypeConfig:
        D = Payload,
        R = Reply,
        Node = Member,
        AsyncRuntime = Runtime,
);

pub(crate) type Raft = openraft::Raft<TypeConfig, crate::apply::Applier>;
pub(crate) type RaftMetrics = openraft::RaftMetrics<TypeConfig>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, Member>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, crate::snapshot::Image>;

// === impl Payload ===

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
