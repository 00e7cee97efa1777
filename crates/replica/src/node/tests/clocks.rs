use std::sync::atomic::AtomicI64;

use super::*;
use crate::clock::Clock;

/// The machine's clocks, but for what a test adds.
#[derive(Default)]
struct WrongClock {
    wall_off_ms: AtomicI64,
    /// Since when the monotonic clock runs at twice its speed; 0: it does not.
    hasty_since_us: AtomicU64,
}

impl Clock for WrongClock {
    fn monotonic_us(&self) -> u64 {
        let now_us = RealClock.monotonic_us();
        match self.hasty_since_us.load(Ordering::Relaxed) {
            0 => now_us,
            since_us => now_us + now_us.saturating_sub(since_us),
        }
    }

    fn wall_ms(&self) -> u64 {
        let off_ms = self.wall_off_ms.load(Ordering::Relaxed);
        RealClock.wall_ms().saturating_add_signed(off_ms)
    }
}

/// Three nodes, and the clock of each.
async fn by_their_clocks() -> (Vec<Life>, Vec<Arc<WrongClock>>) {
    let clocks: Vec<Arc<WrongClock>> = (0..3).map(|_| Arc::default()).collect();
    let mut lives = Vec::new();
    for (id, clock) in (1..).zip(&clocks) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        lives.push(Life::begin_by(clock.clone(), id, MemoryDisk::new(), listener).await);
    }
    found(&lives).await;
    (lives, clocks)
}

/// The node that leads shard 0, by its place.
async fn leader(lives: &[Life]) -> usize {
    let mut leader = 0;
    until("somebody leads", async || {
        let leads = |life: &Life| {
            let known = life.node.leader(ShardId(0));
            known.is_some_and(|(node, _)| node == life.node.id())
        };
        let found = lives.iter().position(leads);
        leader = found.unwrap_or(leader);
        found.is_some()
    })
    .await;
    leader
}

/// Waits until none of the groups is led by the node at this place.
async fn hands_over(lives: &[Life], off: usize) {
    let node = lives[off].node.id();
    until("another node leads", async || {
        lives.iter().all(|life| {
            let mut groups = (0..life.node.shards())
                .map(ShardId)
                .chain([ShardId::REGISTRY]);
            groups.all(|shard| {
                let leader = life.node.leader(shard);
                leader.is_some_and(|(leader, _)| leader != node)
            })
        })
    })
    .await;
}

async fn end(lives: Vec<Life>) {
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_wall_clock_is_off_hands_over() {
    let (lives, clocks) = by_their_clocks().await;
    for off_ms in [3_600_000, -3_600_000] {
        let off = leader(&lives).await;
        clocks[off].wall_off_ms.store(off_ms, Ordering::Relaxed);
        hands_over(&lives, off).await;
        // Who took over keeps it: its clock is right.
        let opened = decide(&lives, 0, vec![Command::Open { caller: Caller(1) }]).await;
        assert!(
            matches!(opened.outcomes[0], Outcome::Opened { .. }),
            "{opened:?}"
        );
        clocks[off].wall_off_ms.store(0, Ordering::Relaxed);
    }
    end(lives).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_monotonic_clock_drifts_hands_over() {
    let (lives, clocks) = by_their_clocks().await;
    let off = leader(&lives).await;
    let since_us = RealClock.monotonic_us();
    clocks[off]
        .hasty_since_us
        .store(since_us, Ordering::Relaxed);
    hands_over(&lives, off).await;
    end(lives).await;
}
