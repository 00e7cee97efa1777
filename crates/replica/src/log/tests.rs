use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::StorageError;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use proptest::prelude::*;

use super::*;
use crate::apply::Applier;
use crate::disk::Disk;
use crate::disk::memory::{Faults, MemoryDisk};
use crate::limits::{FEATURE_LEVEL, SEGMENT_BYTES_MIN, SPARE_SEGMENTS_MAX};
use crate::machine::Machine;
use crate::raft::{Payload, Runtime, TypeConfig};
use crate::snapshot::SnapshotStore;
use crate::wire::log_id_from_wire;

const CONFIG: LogConfig = LogConfig {
    durability: Durability::Fsync,
    segment_bytes: SEGMENT_BYTES_MIN,
};
const SHARD: ShardId = ShardId(0);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(Runtime::scope(1, test))
}

fn log_id(index: u64) -> LogId {
    log_id_from_wire(quotum_api::peer::LogId {
        term: 1,
        node: 1,
        index,
    })
}

fn entry(index: u64, bytes: usize) -> Entry {
    let payload = Payload(Bytes::from(vec![index.to_le_bytes()[0]; bytes]));
    Entry {
        log_id: log_id(index),
        payload: EntryPayload::Normal(payload),
    }
}

async fn open(disk: &MemoryDisk) -> Result<Log, LogError> {
    Log::open(Arc::new(disk.clone()), CONFIG).await
}

/// Appends entries and waits until they are acknowledged.
async fn append(store: &mut store::LogStore, entries: Vec<Entry>) -> io::Result<()> {
    let (sender, receiver) = <TypeConfig as TypeConfigExt>::oneshot();
    store.append(entries, IOFlushed::signal(sender)).await?;
    receiver.await.unwrap()
}

async fn indexes(store: &mut store::LogStore) -> Vec<u64> {
    let entries = store.try_get_log_entries(..).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index()).collect()
}

fn segments(disk: &MemoryDisk) -> Vec<String> {
    let names = disk.list().unwrap().into_iter();
    names.filter(|name| name.starts_with("log-")).collect()
}

struct Builder;

impl StoreBuilder<TypeConfig, store::LogStore, Applier> for Builder {
    async fn build(&self) -> Result<((), store::LogStore, Applier), StorageError<TypeConfig>> {
        let disk: SharedDisk = Arc::new(MemoryDisk::new());
        let log = Log::open(disk.clone(), CONFIG).await.unwrap();
        let snapshots = SnapshotStore::open(disk, SHARD).unwrap();
        let watch = Watch::new(Arc::new(RealClock), Arc::new(Unobserved));
        let machine = Machine::Registry(quotum_registry::State::new());
        let applier = Applier::open(machine, snapshots, 1, FEATURE_LEVEL, watch).unwrap();
        Ok(((), log.shard(SHARD), applier))
    }
}

#[test]
fn openraft_accepts_the_store() {
    run(async { Suite::test_all(Builder).await.unwrap() });
}

#[test]
fn what_was_acknowledged_is_found_after_a_power_loss() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        append(&mut store, (1..=5).map(|n| entry(n, 100)).collect())
            .await
            .unwrap();
        store.save_vote(&Vote::new(7, 2)).await.unwrap();
        store.truncate_after(Some(log_id(3))).await.unwrap();
        let disk = disk.lose_power(|| false);
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        assert_eq!(indexes(&mut store).await, [1, 2, 3]);
        assert_eq!(store.read_vote().await.unwrap(), Some(Vote::new(7, 2)));
    });
}

#[test]
fn shards_do_not_see_each_other() {
    run(async {
        let disk = MemoryDisk::new();
        let log = open(&disk).await.unwrap();
        let (mut one, mut two) = (log.shard(ShardId(0)), log.shard(ShardId(1)));
        append(&mut one, vec![entry(1, 10)]).await.unwrap();
        append(&mut two, vec![entry(1, 10), entry(2, 10)])
            .await
            .unwrap();
        two.save_vote(&Vote::new(3, 3)).await.unwrap();
        let disk = disk.lose_power(|| false);
        let log = open(&disk).await.unwrap();
        let (mut one, mut two) = (log.shard(ShardId(0)), log.shard(ShardId(1)));
        assert_eq!(indexes(&mut one).await, [1]);
        assert_eq!(one.read_vote().await.unwrap(), None);
        assert_eq!(indexes(&mut two).await, [1, 2]);
    });
}

#[test]
fn an_election_is_counted_by_the_node_that_starts_it() {
    run(async {
        let log = open(&MemoryDisk::new()).await.unwrap();
        let mut store = log.shard_of(1, SHARD);
        for (vote, elections) in [
            (Vote::new(1, 1), 1),
            (Vote::new(1, 1), 1),
            (Vote::new_committed(1, 1), 1),
            (Vote::new(2, 3), 1),
            (Vote::new_committed(2, 3), 1),
            (Vote::new(3, 1), 2),
            (Vote::new(4, 1), 3),
        ] {
            store.save_vote(&vote).await.unwrap();
            assert_eq!(log.elections(SHARD), elections, "{vote}");
        }
    });
}

#[test]
fn segments_follow_each_other_and_are_recycled() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        store.save_vote(&Vote::new(9, 1)).await.unwrap();
        for index in 1..=400 {
            append(&mut store, vec![entry(index, 1_000)]).await.unwrap();
            if index % 50 == 0 {
                store.purge(log_id(index - 10)).await.unwrap();
            }
        }
        let names = disk.list().unwrap();
        assert!(segments(&disk).len() <= 3, "{names:?}");
        assert!(
            names.iter().any(|name| name.starts_with("spare-")),
            "{names:?}"
        );
        let disk = disk.lose_power(|| false);
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        assert_eq!(indexes(&mut store).await, (391..=400).collect::<Vec<_>>());
        assert_eq!(store.read_vote().await.unwrap(), Some(Vote::new(9, 1)));
        let state = store.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(log_id(390)));
    });
}

#[test]
fn damage_to_what_was_synced_is_refused_by_name() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        for index in 1..=100 {
            append(&mut store, vec![entry(index, 1_000)]).await.unwrap();
        }
        let names = segments(&disk);
        assert!(names.len() >= 2, "{names:?}");
        for (name, byte) in [(&names[0], 30_000), (&names[names.len() - 1], 10_000)] {
            disk.flip_bit(name, byte, 3);
            match open(&disk).await.map(drop) {
                Err(LogError::Damaged { file, offset }) => {
                    assert_eq!(&file, name);
                    assert!(
                        offset <= byte as u64 && byte as u64 - offset < 2_000,
                        "{offset}"
                    );
                }
                other => panic!("{other:?}"),
            }
            disk.flip_bit(name, byte, 3);
        }
        open(&disk).await.unwrap();
    });
}

#[test]
fn damage_to_the_last_record_is_refused_once_the_log_was_idle() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        append(&mut store, vec![entry(1, 500)]).await.unwrap();
        let name = segments(&disk)[0].clone();
        let end = store.log.written_bytes();
        let byte = usize::try_from(end).unwrap() - 200;
        disk.flip_bit(&name, byte, 0);
        assert!(matches!(
            open(&disk).await.map(drop),
            Err(LogError::Damaged { .. })
        ));
    });
}

#[test]
fn a_missing_segment_is_refused_by_name() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        for index in 1..=200 {
            append(&mut store, vec![entry(index, 1_000)]).await.unwrap();
        }
        let names = segments(&disk);
        assert!(names.len() >= 3, "{names:?}");
        disk.remove(&names[1]).unwrap();
        match open(&disk).await.map(drop) {
            Err(LogError::Missing { file, .. }) => assert_eq!(file, names[1]),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_segment_that_lost_its_head_gets_another() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        store.save_vote(&Vote::new(9, 1)).await.unwrap();
        let mut last = 0;
        while segments(&disk).len() < 2 {
            last += 1;
            append(&mut store, vec![entry(last, 1_000)]).await.unwrap();
        }
        // The power goes after the second segment was named and before its head was written.
        let disk = disk.lose_power(|| false);
        let name = segments(&disk)[1].clone();
        let mut file = disk.open(&name).unwrap();
        file.write_at(0, &vec![0; usize::try_from(CONFIG.segment_bytes).unwrap()])
            .unwrap();
        file.sync().await.unwrap();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        let found = indexes(&mut store).await;
        append(&mut store, vec![entry(found.last().unwrap() + 1, 10)])
            .await
            .unwrap();
        store.purge(log_id(*found.last().unwrap())).await.unwrap();
        assert!(
            segments(&disk)[0] != recover::name_of(1),
            "the first is gone"
        );
        let disk = disk.lose_power(|| false);
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        assert_eq!(store.read_vote().await.unwrap(), Some(Vote::new(9, 1)));
        assert_eq!(
            store
                .get_log_state()
                .await
                .unwrap()
                .last_purged_log_id
                .map(|id| id.index()),
            found.last().copied()
        );
    });
}

#[test]
fn a_failed_sync_is_final() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        append(&mut store, vec![entry(1, 10)]).await.unwrap();
        disk.set_faults(Faults {
            sync: true,
            ..Faults::default()
        });
        assert!(append(&mut store, vec![entry(2, 10)]).await.is_err());
        disk.set_faults(Faults::default());
        assert!(append(&mut store, vec![entry(3, 10)]).await.is_err());
        assert!(store.save_vote(&Vote::new(2, 1)).await.is_err());
    });
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        disk.set_faults(Faults {
            full: true,
            ..Faults::default()
        });
        let mut last = 0;
        while append(&mut store, vec![entry(last + 1, 1_000)])
            .await
            .is_ok()
        {
            last += 1;
            assert!(last < 1_000, "the disk never filled");
        }
        let disk = disk.lose_power(|| false);
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        let found = indexes(&mut store).await;
        assert!(
            found.len() as u64 >= last,
            "{last} were acknowledged, {} are left",
            found.len()
        );
    });
}

/// The spares that nothing shows to be whole.
fn unfinished(disk: &MemoryDisk) -> Vec<String> {
    let names = disk.list().unwrap().into_iter();
    names.filter(|name| name.ends_with(".tmp")).collect()
}

/// Appends entries until a spare is begun, and returns the index of the last.
async fn until_a_spare_is_begun(disk: &MemoryDisk, store: &mut store::LogStore) -> u64 {
    for index in 1..100 {
        append(store, vec![entry(index, 1_000)]).await.unwrap();
        if !unfinished(disk).is_empty() {
            return index;
        }
    }
    panic!("no spare is begun")
}

#[test]
fn the_next_segment_is_filled_before_it_is_needed() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        assert_eq!(unfinished(&disk), [""; 0]);
        let mut index = until_a_spare_is_begun(&disk, &mut store).await;
        let spare = unfinished(&disk).remove(0);
        while disk.read(&spare).unwrap().len() as u64 != CONFIG.segment_bytes {
            tokio::task::yield_now().await;
        }
        // No new file can be made from here on, and none is needed.
        disk.set_faults(Faults {
            full: true,
            ..Faults::default()
        });
        let second = recover::name_of(2);
        while !disk.list().unwrap().contains(&second) {
            index += 1;
            append(&mut store, vec![entry(index, 1_000)]).await.unwrap();
        }
        let disk = disk.lose_power(|| false);
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        assert_eq!(indexes(&mut store).await.last(), Some(&index));
    });
}

#[test]
fn a_spare_that_is_half_made_is_not_taken_for_one() {
    run(async {
        let crashes: [fn(&MemoryDisk) -> MemoryDisk; 2] = [MemoryDisk::next_life, |disk| {
            disk.lose_bytes(false, || false)
        }];
        let mut disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        let mut last = until_a_spare_is_begun(&disk, &mut store).await;
        for crash in crashes {
            let half_made = unfinished(&disk).remove(0);
            disk = crash(&disk);
            let mut store = open(&disk).await.unwrap().shard(SHARD);
            assert!(disk.read(&half_made).is_err());
            assert_eq!(indexes(&mut store).await.last(), Some(&last));
            last += 1;
            append(&mut store, vec![entry(last, 1_000)]).await.unwrap();
        }
    });
}

#[test]
fn a_spare_that_cannot_be_made_ahead_is_made_when_it_is_needed() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        disk.set_faults(Faults {
            full: true,
            ..Faults::default()
        });
        for index in 1..=40 {
            append(&mut store, vec![entry(index, 1_000)]).await.unwrap();
        }
        assert_eq!(unfinished(&disk), [""; 0]);
        disk.set_faults(Faults::default());
        for index in 41..=200 {
            append(&mut store, vec![entry(index, 1_000)]).await.unwrap();
        }
        let disk = disk.lose_power(|| false);
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        assert_eq!(indexes(&mut store).await.len(), 200);
    });
}

#[test]
fn segments_that_come_free_together_are_all_kept() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        let fifth = recover::name_of(5);
        let mut last = 0;
        while !disk.list().unwrap().contains(&fifth) {
            last += 1;
            append(&mut store, vec![entry(last, 1_000)]).await.unwrap();
        }
        store.purge(log_id(last)).await.unwrap();
        store.save_vote(&Vote::new(1, 1)).await.unwrap();
        let names = disk.list().unwrap();
        let spares = names.iter().filter(|name| name.starts_with("spare-0"));
        assert_eq!(spares.count(), SPARE_SEGMENTS_MAX, "{names:?}");
    });
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        count: u64,
        bytes: usize,
        wait: bool,
    },
    Truncate {
        back: u64,
    },
    Purge {
        back: u64,
    },
    Vote,
    PowerLoss {
        keep: u64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..6_u64, 1..3_000_usize, any::<bool>())
            .prop_map(|(count, bytes, wait)| Step::Append { count, bytes, wait }),
        1 => (0..5_u64).prop_map(|back| Step::Truncate { back }),
        1 => (0..20_u64).prop_map(|back| Step::Purge { back }),
        1 => Just(Step::Vote),
        2 => any::<u64>().prop_map(|keep| Step::PowerLoss { keep }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens, a start finds all that was acknowledged, and nothing that was not sent.
    #[test]
    fn no_power_loss_loses_what_was_acknowledged(steps in prop::collection::vec(any_step(), 1..40)) {
        run(async {
            let mut disk = MemoryDisk::new();
            let mut store = open(&disk).await.unwrap().shard(SHARD);
            // The highest index sent, acknowledged, and purged; the last vote acknowledged.
            let (mut sent, mut acked, mut purged, mut term) = (0_u64, 0_u64, 0_u64, 0_u64);
            for step in steps {
                match step {
                    Step::Append { count, bytes, wait } => {
                        let entries = (sent + 1..=sent + count).map(|n| entry(n, bytes)).collect();
                        sent += count;
                        if wait {
                            append(&mut store, entries).await.unwrap();
                            acked = sent;
                        } else {
                            let done = IOFlushed::noop();
                            store.append(entries, done).await.unwrap();
                        }
                    }
                    Step::Truncate { back } => {
                        let last = sent.saturating_sub(back).max(purged);
                        if last == 0 { continue }
                        store.truncate_after(Some(log_id(last))).await.unwrap();
                        (sent, acked) = (last, last);
                    }
                    Step::Purge { back } => {
                        let upto = sent.saturating_sub(back);
                        if upto <= purged { continue }
                        store.purge(log_id(upto)).await.unwrap();
                        (purged, acked) = (upto, sent);
                    }
                    Step::Vote => {
                        term += 1;
                        store.save_vote(&Vote::new(term, 1)).await.unwrap();
                        acked = sent;
                    }
                    Step::PowerLoss { keep } => {
                        let mut random = keep;
                        // Lets the writer finish or not; then each unsynced block is kept or not.
                        if keep % 3 == 0 { tokio::task::yield_now().await }
                        disk = disk.lose_power(|| {
                            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            random >> 63 == 0
                        });
                        store = open(&disk).await.expect("a torn tail is cut").shard(SHARD);
                        let found = indexes(&mut store).await;
                        let last = found.last().copied().unwrap_or(purged);
                        assert!((acked..=sent).contains(&last), "{acked} <= {last} <= {sent}");
                        let all: Vec<u64> = (purged + 1..=last).collect();
                        assert_eq!(found, all);
                        let vote = store.read_vote().await.unwrap().map(|vote| vote.leader_id().term);
                        assert_eq!(vote.unwrap_or(0), term);
                        (sent, acked) = (last, last);
                    }
                }
            }
        });
    }
}

#[test]
fn a_log_at_rest_is_read_without_a_change() {
    run(async {
        let disk = MemoryDisk::new();
        let mut store = open(&disk).await.unwrap().shard(SHARD);
        append(&mut store, (1..=3).map(|index| entry(index, 10)).collect())
            .await
            .unwrap();
        let before: Vec<_> = names_and_bytes(&disk);
        let recorded = read(&disk, SHARD).unwrap();
        let payload = |index: u8| Some(Bytes::from(vec![index; 10]));
        let expected = [1, 2, 3].map(|index: u8| Recorded {
            term: 1,
            index: index.into(),
            payload: payload(index),
        });
        assert_eq!(recorded, expected);
        assert_eq!(read(&disk, ShardId(7)).unwrap(), []);
        assert_eq!(names_and_bytes(&disk), before);
    });
}

fn names_and_bytes(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list().unwrap();
    let bytes = names
        .into_iter()
        .map(|name| (name.clone(), disk.read(&name).unwrap()));
    bytes.collect()
}

#[test]
fn what_is_kept_for_followers_has_a_bound_of_entries_and_of_bytes() {
    run(async {
        let log = open(&MemoryDisk::new()).await.unwrap();
        let mut store = log.shard(SHARD);
        assert_eq!(log.kept_from(SHARD, 7), 8, "there is nothing");
        let few = (0..10).map(|index| entry(index, 10)).collect();
        append(&mut store, few).await.unwrap();
        assert_eq!(log.kept_from(SHARD, 9), 0);
        let many = (10..LOG_KEEP_ENTRIES + 20).map(|index| entry(index, 10));
        append(&mut store, many.collect()).await.unwrap();
        assert_eq!(log.kept_from(SHARD, LOG_KEEP_ENTRIES + 4), 5);
        // Of large ones, fewer: shared bytes make them cheap here.
        let payload = Bytes::from(vec![0; LOG_KEEP_BYTES as usize / 3]);
        let mut shards = log.shared.shards();
        let entries = &mut shards.get_mut(&SHARD).unwrap().entries;
        let first = LOG_KEEP_ENTRIES + 20;
        for index in first..first + 10 {
            let large = Entry {
                log_id: log_id(index),
                payload: EntryPayload::Normal(Payload(payload.clone())),
            };
            entries.insert(index, large);
        }
        drop(shards);
        assert_eq!(log.kept_from(SHARD, first + 8), first + 7);
    });
}
