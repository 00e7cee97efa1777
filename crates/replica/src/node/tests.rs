use std::sync::Arc;

use quotum_limit::{Algorithm, Caller, Epoch, Item, Key, Outcome, RequestId, Window};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;

use super::*;
use crate::Durability;
use crate::clock::{RealClock, SharedClock};
use crate::disk::memory::MemoryDisk;
use crate::limits::SEGMENT_BYTES_MIN;
use crate::peer::PeerService;

mod backup;
mod clocks;
mod level;
mod members;
mod upkeep;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lives that were begun.
static BEGUN: AtomicU64 = AtomicU64::new(1);

/// A node that can be stopped as a crash would, and started again on its disk.
struct Life {
    node: Node,
    /// Of its own, so that a crash ends all its tasks and closes its sockets.
    runtime: tokio::runtime::Runtime,
    disk: MemoryDisk,
    address: String,
}

impl Life {
    async fn begin(id: u64, disk: MemoryDisk, listener: TcpListener) -> Self {
        Self::begin_knowing(FEATURE_LEVEL, id, disk, listener).await
    }

    /// A node of a build that knows no higher feature level.
    async fn begin_knowing(
        feature_level: u32,
        id: u64,
        disk: MemoryDisk,
        listener: TcpListener,
    ) -> Self {
        Self::begin_as((feature_level, Arc::new(RealClock)), id, disk, listener).await
    }

    async fn begin_by(
        clock: SharedClock,
        id: u64,
        disk: MemoryDisk,
        listener: TcpListener,
    ) -> Self {
        Self::begin_as((FEATURE_LEVEL, clock), id, disk, listener).await
    }

    async fn begin_as(
        (feature_level, clock): (u32, SharedClock),
        id: u64,
        disk: MemoryDisk,
        listener: TcpListener,
    ) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let config = NodeConfig {
            id: Some(id),
            member: Member {
                peer_address: address.clone(),
                client_address: format!("c{id}"),
                ..Member::default()
            },
            shards: 2,
            caps: Caps {
                counters_max: 1_000,
                tenant_counters_max: 1_000,
            },
            log: LogConfig {
                durability: Durability::Fsync,
                segment_bytes: 16 * SEGMENT_BYTES_MIN,
            },
            timings: Timings::STANDARD,
            feature_level,
        };
        let dialer = Dialer::new(|address| {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
            Ok(endpoint
                .connect_timeout(Duration::from_millis(200))
                .connect_lazy())
        });
        let seams = Seams {
            disk: Arc::new(disk.clone()),
            clock,
            dialer,
            observer: Arc::new(crate::observe::Unobserved),
            // A disk that replaces another draws another incarnation.
            seed: BEGUN.fetch_add(1, Ordering::Relaxed),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = listener.into_std().unwrap();
        let starting = async move {
            let node = Node::start(config, seams).await.unwrap();
            let router =
                tonic::transport::Server::builder().add_service(PeerService::new(node.clone()));
            let listener = TcpListener::from_std(listener).unwrap();
            tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
            node
        };
        let node = runtime.spawn(starting).await.unwrap();
        Self {
            node,
            runtime,
            disk,
            address,
        }
    }

    /// Ends the node without a word, and loses what was not synced.
    async fn crash(self) -> (MemoryDisk, String) {
        let disk = self.disk.lose_power(|| false);
        close(self.runtime).await;
        (disk, self.address)
    }

    async fn end(self) {
        self.node.shutdown().await;
        close(self.runtime).await;
    }
}

/// Drops a runtime's tasks, and with them its sockets.
async fn close(runtime: tokio::runtime::Runtime) {
    let closing = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE));
    closing.await.unwrap();
}

/// A node on an empty disk, at an address of its own.
async fn pristine(id: u64) -> Life {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Life::begin(id, MemoryDisk::new(), listener).await
}

/// A node that is started again on `disk`, where it was.
async fn again(id: u64, disk: MemoryDisk, address: &str) -> Life {
    let listener = TcpListener::bind(address).await.unwrap();
    Life::begin(id, disk, listener).await
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("in vain: {what}"));
}

async fn cluster() -> Vec<Life> {
    let mut lives = Vec::new();
    for id in 1..=3 {
        lives.push(pristine(id).await);
    }
    found(&lives).await;
    lives
}

/// Lets pristine nodes start a cluster together.
async fn found(lives: &[Life]) {
    let count = lives.len();
    let addresses: Vec<String> = lives.iter().map(|life| life.address.clone()).collect();
    let started = lives.iter().map(|life| {
        let (node, addresses) = (life.node.clone(), addresses.clone());
        tokio::spawn(async move { node.bootstrap(&addresses, count).await.unwrap() })
    });
    for started in started.collect::<Vec<_>>() {
        tokio::time::timeout(PATIENCE, started)
            .await
            .unwrap()
            .unwrap();
    }
}

fn acquire(epoch: Epoch, seq: u64, key: &str) -> Command {
    let item = Item {
        key: Key::new(key.as_bytes()).unwrap(),
        max: 5,
        revision: 1,
        window: Window::Month,
        algorithm: Algorithm::Fixed,
        units: 1,
        shadow: false,
    };
    let id = RequestId { epoch, seq };
    Command::Acquire {
        id,
        acked_seq: 0,
        items: [item].into_iter().collect(),
    }
}

/// Asks every node until one decides, as a client does.
async fn decide(lives: &[Life], shard: u32, commands: Vec<Command>) -> Decided {
    let asking = async {
        loop {
            for life in lives {
                if let Ok(decided) = life.node.decide(shard, commands.clone()).await {
                    return decided;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("a node decides")
}

async fn open(lives: &[Life], shard: u32) -> Epoch {
    match decide(lives, shard, vec![Command::Open { caller: Caller(1) }])
        .await
        .outcomes[0]
    {
        Outcome::Opened { epoch } => epoch,
        ref other => panic!("{other:?}"),
    }
}

fn is_admitted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Admitted { .. })
}

/// Waits until all nodes have applied the same entries, and compares what they built.
async fn assert_equal_states(lives: &[Life]) {
    for shard in [ShardId(0), ShardId(1), ShardId::REGISTRY] {
        let settled = async {
            loop {
                let digests = lives.iter().map(|life| life.node.digest(shard));
                let digests = futures_util::future::join_all(digests).await;
                let digests: Vec<_> = digests.into_iter().flatten().collect();
                assert_eq!(digests.len(), lives.len());
                if digests.iter().all(|digest| digest.0 == digests[0].0) {
                    return digests;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        let digests = settled.unwrap_or_else(|_| {
            let brief = |group: GroupStatus| {
                let GroupStatus {
                    shard,
                    term,
                    leader,
                    matched,
                    ..
                } = group;
                let (last, applied) = (group.last_log_index, group.applied_index);
                format!("{shard}: term {term} leader {leader:?} {last} {applied} {matched:?}")
            };
            let of = |life: &Life| life.node.status().groups.into_iter().map(brief).collect();
            let states: Vec<Vec<String>> = lives.iter().map(of).collect();
            panic!("replicas do not catch up: {states:#?}")
        });
        assert!(
            digests.iter().all(|digest| digest == &digests[0]),
            "{shard}: {digests:x?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_count_as_one_through_crashes() {
    let mut lives = cluster().await;
    let epoch = open(&lives, 0).await;
    let mut admitted = 0;
    for seq in 1..=3 {
        let decided = decide(&lives, 0, vec![acquire(epoch, seq, "k")]).await;
        admitted += decided
            .outcomes
            .iter()
            .filter(|outcome| is_admitted(outcome))
            .count();
    }
    // The leader goes; its successor knows what was taken.
    let leader = lives[0].node.leader(ShardId(0)).unwrap().0;
    let at = lives
        .iter()
        .position(|life| life.node.id() == leader)
        .unwrap();
    let (disk, address) = lives.remove(at).crash().await;
    for seq in 4..=8 {
        let decided = decide(&lives, 0, vec![acquire(epoch, seq, "k")]).await;
        admitted += decided
            .outcomes
            .iter()
            .filter(|outcome| is_admitted(outcome))
            .count();
    }
    assert_eq!(admitted, 5);
    // A repeat of an id that was decided before the crash gets the same answer.
    let repeated = decide(&lives, 0, vec![acquire(epoch, 1, "k")]).await;
    assert!(is_admitted(&repeated.outcomes[0]), "{repeated:?}");
    let listener = TcpListener::bind(&address).await.unwrap();
    lives.push(Life::begin(leader, disk, listener).await);
    assert_equal_states(&lives).await;
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_lose_power_and_nothing_is_forgotten() {
    let lives = cluster().await;
    let mut epochs = Vec::new();
    for shard in 0..2 {
        let epoch = open(&lives, shard).await;
        decide(
            &lives,
            shard,
            (1..=4).map(|seq| acquire(epoch, seq, "k")).collect(),
        )
        .await;
        epochs.push(epoch);
    }
    let mut disks = Vec::new();
    for life in lives {
        let id = life.node.id();
        disks.push((id, life.crash().await));
    }
    let mut lives = Vec::new();
    for (id, (disk, address)) in disks {
        let listener = TcpListener::bind(&address).await.unwrap();
        lives.push(Life::begin(id, disk, listener).await);
    }
    for (shard, epoch) in epochs.into_iter().enumerate() {
        let shard = u32::try_from(shard).unwrap();
        let commands = (5..=9).map(|seq| acquire(epoch, seq, "k")).collect();
        let decided = decide(&lives, shard, commands).await;
        let admitted = decided
            .outcomes
            .iter()
            .filter(|outcome| is_admitted(outcome))
            .count();
        assert_eq!(admitted, 1, "4 of 5 were taken before");
    }
    assert_equal_states(&lives).await;
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_much_catches_up_from_a_snapshot() {
    let mut lives = cluster().await;
    let epoch = open(&lives, 0).await;
    let leader = lives[0].node.leader(ShardId(0)).unwrap().0;
    let at = lives
        .iter()
        .position(|life| life.node.id() != leader)
        .unwrap();
    let id = lives[at].node.id();
    let (disk, address) = lives.remove(at).crash().await;
    for seq in 1..=1_500 {
        decide(
            &lives,
            0,
            vec![acquire(epoch, seq, &format!("k{}", seq % 700))],
        )
        .await;
    }
    for life in &lives {
        let group = life.node.group(ShardId(0)).unwrap();
        group.raft.trigger().snapshot().await.unwrap();
        let snapshot = group.raft.wait(Some(PATIENCE));
        snapshot
            .metrics(|m| m.purged.is_some(), "the log is cut")
            .await
            .unwrap();
    }
    let listener = TcpListener::bind(&address).await.unwrap();
    lives.push(Life::begin(id, disk, listener).await);
    assert_equal_states(&lives).await;
    let late = lives
        .last()
        .unwrap()
        .node
        .group(ShardId(0))
        .unwrap()
        .raft
        .metrics();
    assert!(
        late.borrow_watched().snapshot.is_some(),
        "it came by snapshot"
    );
    for life in lives {
        life.end().await;
    }
}

#[tokio::test]
async fn a_disk_of_another_node_is_refused() {
    let disk = MemoryDisk::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let life = Life::begin(1, disk.clone(), listener).await;
    let config = life.node.inner.config.clone();
    life.end().await;
    let seams = |disk| Seams {
        disk: Arc::new(disk),
        clock: Arc::new(RealClock),
        dialer: Dialer::new(|_| unreachable!("nobody is dialled")),
        observer: Arc::new(crate::observe::Unobserved),
        seed: 5,
    };
    let other = NodeConfig {
        id: Some(2),
        ..config.clone()
    };
    let error = Node::start(other, seams(disk.clone()))
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        error.to_string().contains("data of node 1, not of node 2"),
        "{error}"
    );
    let shards = NodeConfig {
        shards: 5,
        ..config
    };
    let error = Node::start(shards, seams(disk))
        .await
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("has 2 shards, not 5"), "{error}");
}
