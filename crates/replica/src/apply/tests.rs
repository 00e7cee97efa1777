use std::sync::Arc;

use bytes::Bytes;
use quotum_limit::{Caller, Caps, Command, Entry, LogClock, Reading, Stamp};

use super::*;
use crate::clock::RealClock;
use crate::disk::memory::MemoryDisk;
use crate::limits::FEATURE_LEVEL;
use crate::log::ShardId;
use crate::machine::DIGEST_RULES;
use crate::observe::Unobserved;
use crate::wire::log_id_from_wire;

fn applier(disk: &MemoryDisk) -> Applier {
    let snapshots = SnapshotStore::open(Arc::new(disk.clone()), ShardId(0)).unwrap();
    let watch = Watch::new(Arc::new(RealClock), Arc::new(Unobserved));
    let machine = Machine::Counters(quotum_limit::State::new(1));
    Applier::open(machine, snapshots, 1, FEATURE_LEVEL, watch).unwrap()
}

/// Opens so many epochs, as entries do.
fn apply(applier: &Applier, epochs: u64) {
    let mut applied = applier.read();
    for index in 1..=epochs {
        let reading = Reading {
            monotonic_us: index,
            reference_ms: Some(1_000_000 + index),
        };
        let stamp = LogClock::lead(Stamp::default(), reading).stamp(reading);
        let caps = Caps {
            counters_max: 10,
            tenant_counters_max: 10,
        };
        let open = Command::Open { caller: Caller(1) };
        let entry = Bytes::from(Entry::encode(stamp, caps, (1, [&open].into_iter())));
        let reply = applied.machine.apply(&entry, true, FEATURE_LEVEL);
        reply.unwrap();
        applied.last = Some(log_id_from_wire(quotum_api::peer::LogId {
            term: 1,
            node: 1,
            index,
        }));
    }
}

#[tokio::test]
async fn a_snapshot_that_decodes_to_another_state_is_refused_and_the_old_one_stays() {
    let mut leader = applier(&MemoryDisk::new());
    apply(&leader, 3);
    let Snapshot { meta, snapshot } = leader.build_snapshot().await.unwrap();
    let digest = snapshot.digest().unwrap();
    assert_eq!(digest, leader.read().machine.freeze().state_digest());
    let disk = MemoryDisk::new();
    let mut follower = applier(&disk);
    apply(&follower, 1);
    follower.build_snapshot().await.unwrap();
    let received = async |follower: &Applier, sum| {
        let said = StateDigest { sum, ..digest };
        let receiver = follower.receive_snapshot(&meta, Some(said));
        let state = Bytes::from(snapshot.load().unwrap());
        receiver.piece(state).await.unwrap();
        receiver.end().await.unwrap().0
    };
    let wrong = received(&follower, !digest.sum).await;
    let refused = follower.install_snapshot(&meta, wrong).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("it is refused"), "{refused}");
    assert_eq!(follower.read().last.map(|id| id.index()), Some(1));
    let (kept, _) = follower.snapshots.current().unwrap().unwrap();
    assert_eq!(kept.last_log_id.map(|id| id.index()), Some(1));
    let right = received(&follower, digest.sum).await;
    follower.install_snapshot(&meta, right).await.unwrap();
    assert_eq!(follower.read().machine.freeze().state_digest(), digest);
    // A start compares as well.
    drop(follower);
    let again = applier(&disk);
    assert_eq!(again.read().machine.freeze().state_digest(), digest);
}

/// Nodes of two builds compare digests where the rules have the same number.
#[test]
fn what_a_state_digests_to_changes_only_with_the_rules() {
    let counters = applier(&MemoryDisk::new());
    apply(&counters, 3);
    let counters = counters.read().machine.freeze().digest();
    let registry = Machine::Registry(quotum_registry::State::new());
    let registry = registry.freeze().digest();
    assert_eq!(
        (DIGEST_RULES, counters, registry),
        (1, 3_198_341_728_283_974_078, 4_372_623_909_620_692_404)
    );
}
