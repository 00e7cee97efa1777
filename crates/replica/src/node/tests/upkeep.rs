use super::*;
use crate::limits::KEPT_SEGMENTS_MAX;

const SEGMENT_BYTES: u64 = 16 * SEGMENT_BYTES_MIN;

/// A cluster of one that has decided something in each shard.
async fn alone() -> Vec<Life> {
    let life = pristine(1).await;
    life.node.init().await.unwrap();
    let lives = vec![life];
    open(&lives, 1).await;
    lives
}

/// Commands of about as many bytes as one entry may have.
async fn fill(lives: &[Life], epoch: Epoch, seq: &mut u64) {
    let commands = (0..2_000).map(|_| {
        *seq += 1;
        acquire(epoch, *seq, "k")
    });
    decide(lives, 0, commands.collect()).await;
}

fn snapshot(life: &Life, shard: ShardId) -> Option<u64> {
    let metrics = life.node.group(shard).unwrap().raft.metrics();
    let snapshot = metrics.borrow_watched().snapshot;
    snapshot.map(|id| id.index())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_group_does_not_hold_the_log_of_the_others() {
    let lives = alone().await;
    let node = &lives[0].node;
    let mut upkeep = node.begin_upkeep();
    let epoch = open(&lives, 0).await;
    let mut seq = 0;
    let crowded = (KEPT_SEGMENTS_MAX + 1) * SEGMENT_BYTES;
    while node.status().log_used_bytes <= crowded {
        fill(&lives, epoch, &mut seq).await;
    }
    until("the log is short again", async || {
        assert!(node.look_after(&mut upkeep).await);
        node.status().log_used_bytes < crowded
    })
    .await;
    // The quiet ones are covered, and gave their entries up.
    for shard in [ShardId(1), ShardId::REGISTRY] {
        let covered = snapshot(&lives[0], shard);
        assert!(covered.is_some(), "{shard}");
        let held = node.inner.log.shared.shards()[&shard].purged;
        assert_eq!(held.map(|id| id.index()), covered, "{shard}");
    }
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_a_restart_counts_towards_the_next_snapshot() {
    let mut lives = alone().await;
    let epoch = open(&lives, 0).await;
    let mut seq = 0;
    let written = |life: &Life| life.node.inner.log.appended_bytes(ShardId(0));
    while written(&lives[0]) < SEGMENT_BYTES * 3 / 4 {
        fill(&lives, epoch, &mut seq).await;
    }
    let (disk, address) = lives.remove(0).crash().await;
    lives.push(again(1, disk, &address).await);
    decide(&lives, 0, vec![acquire(epoch, seq, "k")]).await;
    let log = &lives[0].node.inner.log;
    let last = lives[0].node.status().groups[0].last_log_index;
    assert_eq!(log.appended_bytes_upto(ShardId(0), None), 0);
    let all = log.appended_bytes_upto(ShardId(0), Some(last));
    assert_eq!(all, log.appended_bytes(ShardId(0)));
    let mut upkeep = lives[0].node.begin_upkeep();
    lives[0].node.look_after(&mut upkeep).await;
    assert_eq!(snapshot(&lives[0], ShardId(0)), None, "not due yet");
    while written(&lives[0]) < SEGMENT_BYTES {
        fill(&lives, epoch, &mut seq).await;
    }
    until("a snapshot is taken", async || {
        lives[0].node.look_after(&mut upkeep).await;
        snapshot(&lives[0], ShardId(0)).is_some()
    })
    .await;
    // Counted since the last one: it is not taken again at the next start.
    let taken = snapshot(&lives[0], ShardId(0));
    let (disk, address) = lives.remove(0).crash().await;
    lives.push(again(1, disk, &address).await);
    let mut upkeep = lives[0].node.begin_upkeep();
    decide(&lives, 0, vec![acquire(epoch, seq, "k")]).await;
    lives[0].node.look_after(&mut upkeep).await;
    assert_eq!(snapshot(&lives[0], ShardId(0)), taken);
    for life in lives {
        life.end().await;
    }
}

#[tokio::test]
async fn what_does_not_fit_into_an_entry_is_refused_and_stops_nothing() {
    let lives = alone().await;
    let node = &lives[0].node;
    let epoch = open(&lives, 0).await;
    let commands = (1..=6_000).map(|seq| acquire(epoch, seq, "k")).collect();
    let refused = node.decide(0, commands).await;
    assert_eq!(refused, Err(ProposeError::Overloaded));
    let change = quotum_registry::command::Change::DeletePolicy {
        name: "a-policy".parse().unwrap(),
    };
    let apply = quotum_registry::Command::Apply(quotum_registry::command::Apply {
        at_ms: 1,
        expected_revision: None,
        changes: vec![change; node.entry_bytes_max() / 8],
    });
    let refused = node.change_registry(&apply).await;
    assert_eq!(refused, Err(ProposeError::Overloaded));
    decide(&lives, 0, vec![acquire(epoch, 1, "k")]).await;
    for life in lives {
        life.end().await;
    }
}
