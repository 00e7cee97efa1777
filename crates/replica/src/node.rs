//! One node: its identity, its groups, its peers, and the tasks that belong to it.
//!
//! # Layout
//! * `identity`, `founding`, `members`, `joining`: who it is, and who belongs together. `level`:
//!   what all of them know. * `clocks`: the reference clock. `upkeep`: snapshots. `backup`: all of a cluster.
//! * `health`, `status`, `watchers`: what it tells.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use quotum_api::peer;
use quotum_limit::{Caps, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::apply::Applier;
use crate::clock::SharedClock;
use crate::disk::SharedDisk;
use crate::limits::{ENTRY_BYTES_MAX, FEATURE_LEVEL, HELLO_DEADLINE, PEER_PROTOCOL, SHARDS_MAX};
use crate::log::{Log, LogConfig, LogError, ShardId};
use crate::machine::Machine;
use crate::network::{ClusterId, Dialer, Network, Peers};
use crate::observe::{SharedObserver, Watch};
use crate::propose::{Bounds, Decided, Group, ProposeError, Proposer};
use crate::raft::{Member, Raft, Reply, Runtime};
use crate::snapshot::SnapshotStore;

mod backup;
mod clocks;
mod founding;
mod health;
mod identity;
mod joining;
mod level;
mod members;
mod status;
#[cfg(test)]
mod tests;
mod upkeep;
mod watchers;

pub use backup::Saved;
pub use health::{Health, Standing};
pub use identity::IdentityError;
pub use joining::{Added, Joining};
pub use members::MemberError;
pub use status::{GroupStatus, Status};

use clocks::World;
use identity::Identity;

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The node's id; drawn once and kept on the disk where there is none.
    pub id: Option<u64>,
    /// Where other nodes and clients reach this one.
    pub member: Member,
    /// How many shards the counters are divided into: fixed when a cluster starts.
    pub shards: u32,
    pub caps: Caps,
    pub log: LogConfig,
    pub timings: Timings,
    /// The highest feature level that this node takes part in, at most [`FEATURE_LEVEL`].
    pub feature_level: u32,
}

/// The timings of the consensus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
}

/// The world that a node lives in.
#[derive(Clone)]
pub struct Seams {
    pub disk: SharedDisk,
    pub clock: SharedClock,
    pub dialer: Dialer,
    pub observer: SharedObserver,
    /// Where all randomness of the node comes from.
    pub seed: u64,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("shards: a cluster has from 1 to {SHARDS_MAX}")]
    Shards,
    #[error("feature_level: this build knows 1 to {FEATURE_LEVEL}")]
    FeatureLevel,
    #[error("timings: {0}")]
    Timings(String),
    #[error("{0}")]
    Disk(#[from] io::Error),
    #[error("the consensus cannot start: {0}")]
    Raft(String),
}

/// One node. Clones share it.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    identity: tokio::sync::Mutex<Identity>,
    id: u64,
    peers: Arc<Peers>,
    groups: BTreeMap<ShardId, Group>,
    proposers: Vec<Proposer>,
    world: Arc<World>,
    log: Log,
    disk: SharedDisk,
    seeds: AtomicU64,
    watchers: Mutex<BTreeMap<String, u64>>,
    /// Held while a digest is computed.
    digesting: Arc<tokio::sync::Mutex<()>>,
    /// Set when this node was taken for an older one with its id: said once.
    replaced: OnceLock<()>,
    tasks: TaskTracker,
    leaving: CancellationToken,
    stop: CancellationToken,
}

// === impl Timings ===

impl Timings {
    /// For machines whose cores are not shared with much else.
    pub const STANDARD: Self = Self {
        heartbeat: Duration::from_millis(50),
        election_min: Duration::from_millis(150),
        election_max: Duration::from_millis(200),
    };
}

// === impl Node ===

impl Node {
    /// Starts a node on what its disk holds. It serves once its peer service is served.
    pub async fn start(config: NodeConfig, seams: Seams) -> Result<Self, NodeError> {
        Runtime::scope(seams.seed, Self::start_seeded(config, seams.clone())).await
    }

    async fn start_seeded(mut config: NodeConfig, seams: Seams) -> Result<Self, NodeError> {
        if config.shards == 0 || config.shards > SHARDS_MAX {
            return Err(NodeError::Shards);
        }
        if !(1..=FEATURE_LEVEL).contains(&config.feature_level) {
            return Err(NodeError::FeatureLevel);
        }
        let raft_config = raft_config(config.timings)?;
        let identity = Identity::load(&seams.disk, &config, mix(seams.seed)).await?;
        let id = identity.node;
        config.member.incarnation = identity.incarnation;
        let watch = Watch::new(seams.clock.clone(), seams.observer.clone());
        let log = Log::open_watched(seams.disk.clone(), config.log, watch.clone()).await?;
        let peers = Arc::new(Peers::new(id, identity.incarnation, seams.dialer.clone()));
        if let Some(cluster) = identity.cluster {
            peers.cluster.set(cluster).expect("it is set here first");
        }
        let mut groups = BTreeMap::new();
        for shard in (0..config.shards).map(ShardId).chain([ShardId::REGISTRY]) {
            let machine = match shard {
                ShardId::REGISTRY => Machine::Registry(quotum_registry::State::new()),
                _ => Machine::Counters(quotum_limit::State::new(mix(seams.seed ^ 0x5eed))),
            };
            let snapshots = SnapshotStore::open(seams.disk.clone(), shard)?;
            let seed = mix(seams.seed ^ 0x5eed);
            let applier = Applier::open(
                machine,
                snapshots,
                seed,
                config.feature_level,
                watch.clone(),
            )?;
            let network = Network {
                peers: peers.clone(),
                shard,
            };
            let store = log.shard_of(id, shard);
            let raft = Raft::new(id, raft_config.clone(), network, store, applier.clone());
            let raft = raft
                .await
                .map_err(|error| NodeError::Raft(error.to_string()))?;
            groups.insert(
                shard,
                Group {
                    shard,
                    raft,
                    applier,
                    watch: watch.clone(),
                    heard: Arc::default(),
                },
            );
        }
        let world = Arc::new(World::new(id, seams.clock.clone()));
        let tasks = TaskTracker::new();
        let bounds = Bounds {
            caps: config.caps,
            entry_bytes_max: entry_bytes_max(config.log.segment_bytes),
            registry: groups[&ShardId::REGISTRY].applier.clone(),
        };
        let mut proposers = Vec::new();
        for shard in 0..config.shards {
            let group = groups[&ShardId(shard)].clone();
            let (proposer, task) = Proposer::new(group, bounds.clone(), world.clone());
            tasks.spawn(Runtime::scope(mix(seams.seed ^ u64::from(shard)), task));
            proposers.push(proposer);
        }
        let inner = Inner {
            identity: tokio::sync::Mutex::new(identity),
            id,
            peers,
            groups,
            proposers,
            world,
            log,
            disk: seams.disk,
            seeds: AtomicU64::new(mix(seams.seed ^ 0xd1ce)),
            watchers: Mutex::default(),
            digesting: Arc::default(),
            replaced: OnceLock::new(),
            tasks,
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
            config,
        };
        let node = Self {
            inner: Arc::new(inner),
        };
        node.spawn_housekeeping();
        Ok(node)
    }

    pub fn id(&self) -> u64 {
        self.inner.id
    }

    pub fn member(&self) -> &Member {
        &self.inner.config.member
    }

    pub fn shards(&self) -> u32 {
        self.inner.config.shards
    }

    /// The cluster that this node belongs to; none while it is pristine.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.inner.peers.cluster.get().copied()
    }

    pub(crate) fn group(&self, shard: ShardId) -> Option<&Group> {
        self.inner.groups.get(&shard)
    }

    /// Decides commands of one shard, if this node leads it.
    pub async fn decide(
        &self,
        shard: u32,
        commands: Vec<Command>,
    ) -> Result<Decided, ProposeError> {
        let proposer = usize::try_from(shard)
            .ok()
            .and_then(|at| self.inner.proposers.get(at));
        let proposer = proposer.ok_or(ProposeError::NotLeader { leader: None })?;
        let bytes: usize = commands.iter().map(crate::propose::estimate).sum();
        if bytes > self.entry_bytes_max() {
            return Err(ProposeError::Overloaded);
        }
        proposer.decide(commands).await
    }

    /// Changes the registry, if this node leads its group. The command must fit into one entry.
    pub async fn change_registry(
        &self,
        command: &quotum_registry::Command,
    ) -> Result<quotum_registry::Outcome, ProposeError> {
        let command = command.encode();
        if command.len() > self.entry_bytes_max() {
            return Err(ProposeError::Overloaded);
        }
        let (_, reply) = self.registry_group().write(command.into(), None).await?;
        match reply {
            Reply::Registry(outcome) => Ok(*outcome),
            Reply::None | Reply::Counters { .. } => Err(ProposeError::Unknown),
        }
    }

    /// The most bytes that one entry may have: it must fit into a segment of the log.
    pub fn entry_bytes_max(&self) -> usize {
        entry_bytes_max(self.inner.config.log.segment_bytes)
    }

    fn registry_group(&self) -> &Group {
        &self.inner.groups[&ShardId::REGISTRY]
    }

    /// The registry as this node has applied it: a copy that shares its parts.
    pub fn registry(&self) -> quotum_registry::State {
        match &self.registry_group().applier.read().machine {
            Machine::Registry(state) => state.clone(),
            Machine::Counters(_) => unreachable!("the registry's group has a registry"),
        }
    }

    /// The registry with everything in it that was committed before the call. Leader only.
    pub async fn registry_latest(&self) -> Result<quotum_registry::State, ProposeError> {
        self.registry_group().lead().await?;
        Ok(self.registry())
    }

    /// Tells when the registry's group has applied entries.
    pub fn registry_progress(&self) -> tokio::sync::watch::Receiver<u64> {
        self.registry_group().applier.progress()
    }

    /// Whether this node leads a group, as far as it knows.
    pub fn leads(&self, shard: ShardId) -> bool {
        let group = self.inner.groups.get(&shard);
        group.is_some_and(|group| group.is_led_by(self.id()))
    }

    /// Who leads a group, as far as this node knows.
    pub fn leader(&self, shard: ShardId) -> Option<(u64, Member)> {
        self.inner.groups.get(&shard)?.leader()
    }

    pub(crate) fn hello(&self) -> peer::HelloResponse {
        peer::HelloResponse {
            cluster_id: bytes::Bytes::copy_from_slice(
                self.cluster().as_ref().map_or(&[][..], |id| id),
            ),
            node: self.id(),
            protocol: PEER_PROTOCOL,
            peer_address: self.member().peer_address.clone(),
            client_address: self.member().client_address.clone(),
            wall_ms: self.inner.world.clock.wall_ms(),
            incarnation: self.member().incarnation,
            feature_level: self.inner.config.feature_level,
        }
    }

    /// A random number of this node's own.
    pub fn draw_seed(&self) -> u64 {
        mix(self
            .inner
            .seeds
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    fn spawn_housekeeping(&self) {
        let node = self.clone();
        self.spawn(async move { node.keep_clocks().await });
        let node = self.clone();
        self.spawn(async move { node.mind_clocks().await });
        let node = self.clone();
        self.spawn(async move { node.keep_log_short().await });
        let node = self.clone();
        self.spawn(async move { node.keep_level().await });
        let node = self.clone();
        self.spawn(async move { node.keep_members().await });
    }

    /// Runs a task that ends with the node.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        let seed = self.draw_seed();
        self.inner.tasks.spawn(Runtime::scope(seed, async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        }));
    }

    pub(crate) async fn ask_hello(
        &self,
        address: &str,
    ) -> Result<peer::HelloResponse, MemberError> {
        let request = peer::HelloRequest {
            cluster_id: self.hello().cluster_id,
            node: self.id(),
            protocol: PEER_PROTOCOL,
        };
        let unreachable = |cause: String| MemberError::Unreachable {
            address: address.to_owned(),
            cause,
        };
        let client = self.inner.peers.client(address);
        let mut client = client.map_err(|error| unreachable(error.to_string()))?;
        let answer = tokio::time::timeout(HELLO_DEADLINE, client.hello(request)).await;
        let answer = answer.map_err(|_| unreachable("no answer in time".to_owned()))?;
        let response = answer.map_err(|status| unreachable(status.message().to_owned()))?;
        Ok(response.into_inner())
    }

    /// All members that any group knows, by id.
    pub fn members(&self) -> BTreeMap<u64, Member> {
        let mut members = BTreeMap::new();
        for group in self.inner.groups.values() {
            let metrics = group.raft.metrics();
            let metrics = metrics.borrow_watched();
            for (id, member) in metrics.membership_config.membership().nodes() {
                members.insert(*id, member.clone());
            }
        }
        members
    }

    /// Waits until a group has failed: the disk, an entry of another version, or a bug. The
    /// process must end then, and start again.
    pub async fn failed(&self) -> String {
        let watch = |group: &Group| {
            let (metrics, shard) = (group.raft.metrics(), group.shard);
            // These change with the leader and the members, the others with each entry: waiting for
            // those would wake us for each.
            let mut seldom = group.raft.server_metrics();
            Box::pin(async move {
                while seldom.changed().await.is_ok() {}
                match &metrics.borrow_watched().running_state {
                    Err(fatal) => format!("shard {shard}: {fatal}"),
                    Ok(()) => format!("shard {shard}: the consensus has ended"),
                }
            })
        };
        let watches = self.inner.groups.values().map(watch);
        futures_util::future::select_all(watches).await.0
    }

    /// Hands leadership over where this node has it, and waits for each successor for a bounded
    /// time. Then those who keep streams to this node are told to go: see [`Node::left`].
    pub async fn leave(&self) {
        let leaving = self
            .inner
            .groups
            .values()
            .map(|group| self.hand_over(group));
        futures_util::future::join_all(leaving).await;
        self.inner.leaving.cancel();
    }

    /// Waits until this node leaves: streams that it serves end then.
    pub fn left(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner.leaving.clone().cancelled_owned()
    }

    /// Ends the node: its tasks, its groups, and the log's writer.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        for group in self.inner.groups.values() {
            // A group that has failed before has nothing left to end.
            drop(group.raft.shutdown().await);
        }
    }
}

/// The consensus' own configuration.
fn raft_config(timings: Timings) -> Result<Arc<Config>, NodeError> {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "quotum".to_owned(),
        heartbeat_interval: ms(timings.heartbeat),
        election_timeout_min: ms(timings.election_min),
        election_timeout_max: ms(timings.election_max),
        install_snapshot_timeout: 30_000,
        max_payload_entries: 4_096,
        snapshot_policy: SnapshotPolicy::Never,
        // See `upkeep`.
        max_in_snapshot_log_to_keep: u64::MAX,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        ..Config::default()
    };
    let config = config
        .validate()
        .map_err(|error| NodeError::Timings(error.to_string()))?;
    Ok(Arc::new(config))
}

fn entry_bytes_max(segment_bytes: u64) -> usize {
    usize::try_from(segment_bytes / 4)
        .unwrap_or(usize::MAX)
        .min(ENTRY_BYTES_MAX)
}

/// SplitMix64: from one seed to numbers that share nothing with it.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
