use super::*;
use crate::disk::Disk;
use crate::disk::memory::{Faults, MemoryDisk};
use crate::raft::StoredMembership;
use crate::wire::log_id_from_wire;

fn meta(index: u64) -> SnapshotMeta {
    let (term, node) = (3, 7);
    SnapshotMeta {
        last_log_id: Some(log_id_from_wire(peer::LogId { term, node, index })),
        last_membership: StoredMembership::default(),
    }
}

fn store(disk: &MemoryDisk) -> SnapshotStore {
    SnapshotStore::open(Arc::new(disk.clone()), ShardId(0)).unwrap()
}

fn pieces(text: &'static str) -> impl Iterator<Item = Vec<u8>> + Send {
    text.as_bytes().chunks(3).map(<[u8]>::to_vec)
}

fn found(store: &SnapshotStore) -> (SnapshotMeta, Vec<u8>) {
    let (meta, image) = store.current().unwrap().unwrap();
    (meta, image.load().unwrap())
}

#[tokio::test]
async fn a_snapshot_is_found_again() {
    let disk = MemoryDisk::new();
    let built = store(&disk)
        .build(&meta(5), || None, pieces("abcdefgh"))
        .await;
    assert_eq!(built.unwrap().unwrap().load().unwrap(), b"abcdefgh");
    let disk = disk.lose_power(|| false);
    assert_eq!(found(&store(&disk)), (meta(5), b"abcdefgh".to_vec()));
}

#[tokio::test]
async fn an_older_snapshot_never_takes_the_place_of_a_later_one() {
    let disk = MemoryDisk::new();
    let store = store(&disk);
    store
        .build(&meta(9), || None, pieces("later"))
        .await
        .unwrap();
    let older = store
        .build(&meta(5), || None, pieces("older"))
        .await
        .unwrap();
    assert!(older.is_none());
    let receiver = store.receive(&meta(5), None);
    receiver.piece(Bytes::from_static(b"older")).await.unwrap();
    let (image, _) = receiver.end().await.unwrap();
    store.install(&meta(5), &image).await.unwrap();
    assert_eq!(found(&store), (meta(9), b"later".to_vec()));
}

#[tokio::test]
async fn a_snapshot_of_a_peer_counts_when_it_is_installed() {
    let disk = MemoryDisk::new();
    let store = store(&disk);
    let receiver = store.receive(&meta(5), None);
    for piece in [&b"abc"[..], b"def"] {
        receiver.piece(Bytes::from_static(piece)).await.unwrap();
    }
    let (image, sum) = receiver.end().await.unwrap();
    assert_eq!(sum, crc32fast::hash(b"abcdef"));
    assert!(store.current().unwrap().is_none());
    store.install(&meta(5), &image).await.unwrap();
    drop(image);
    assert_eq!(found(&store), (meta(5), b"abcdef".to_vec()));
    assert_eq!(disk.list().unwrap(), ["snapshot-0.bin"]);
}

#[tokio::test]
async fn what_is_not_installed_leaves_nothing_behind() {
    let disk = MemoryDisk::new();
    let receiver = store(&disk).receive(&meta(5), None);
    receiver.piece(Bytes::from_static(b"abc")).await.unwrap();
    drop(receiver.end().await.unwrap());
    assert!(disk.list().unwrap().is_empty());
    // A crash in the middle of one, and of a build.
    disk.open("snapshot-0.bin.incoming-7").unwrap();
    disk.open("snapshot-0.bin.new").unwrap();
    disk.open("snapshot-1.bin.new").unwrap();
    store(&disk);
    assert_eq!(disk.list().unwrap(), ["snapshot-1.bin.new"]);
}

#[tokio::test]
async fn a_snapshot_stays_readable_when_another_takes_its_place() {
    let disk = MemoryDisk::new();
    let store = store(&disk);
    let first = store
        .build(&meta(5), || None, pieces("first"))
        .await
        .unwrap();
    store
        .build(&meta(6), || None, pieces("second"))
        .await
        .unwrap();
    let mut read = first.unwrap().pieces();
    assert_eq!(read.recv().await.unwrap().unwrap(), &b"first"[..]);
    assert!(read.recv().await.is_none());
}

#[tokio::test]
async fn damage_is_refused_with_the_file_named() {
    let disk = MemoryDisk::new();
    let store = store(&disk);
    store
        .build(&meta(5), || None, pieces("abcdef"))
        .await
        .unwrap();
    let length = disk.read("snapshot-0.bin").unwrap().len();
    for byte in 0..length {
        disk.flip_bit("snapshot-0.bin", byte, 3);
        let error = match store.current() {
            Err(error) => error,
            Ok(found) => found.unwrap().1.load().unwrap_err(),
        };
        assert!(error.to_string().starts_with("snapshot-0.bin: "), "{error}");
        disk.flip_bit("snapshot-0.bin", byte, 3);
    }
    // Who reads it in pieces is told at its end.
    disk.flip_bit("snapshot-0.bin", length - 6, 0);
    let (_, image) = store.current().unwrap().unwrap();
    let mut read = image.pieces();
    assert!(read.recv().await.unwrap().is_ok());
    assert!(read.recv().await.unwrap().is_err());
}

#[tokio::test]
async fn a_full_disk_leaves_the_last_snapshot_in_place() {
    let disk = MemoryDisk::new();
    let store = store(&disk);
    store.build(&meta(5), || None, pieces("abc")).await.unwrap();
    disk.set_faults(Faults {
        full: true,
        ..Faults::default()
    });
    assert!(store.build(&meta(6), || None, pieces("def")).await.is_err());
    let receiver = store.receive(&meta(7), None);
    while receiver.piece(Bytes::from_static(b"ghi")).await.is_ok() {}
    let Err(error) = receiver.end().await else {
        panic!("it was kept")
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    disk.set_faults(Faults::default());
    assert_eq!(found(&store), (meta(5), b"abc".to_vec()));
    store.build(&meta(6), || None, pieces("def")).await.unwrap();
    assert_eq!(found(&store), (meta(6), b"def".to_vec()));
}

#[tokio::test]
async fn a_state_that_is_not_what_was_written_is_refused() {
    let disk = MemoryDisk::new();
    let digest = |rules, sum| StateDigest { rules, sum };
    let store = store(&disk);
    let meta_of_five = meta(5);
    let built = store.build(&meta_of_five, move || Some(digest(1, 7)), pieces("abc"));
    let image = built.await.unwrap().unwrap();
    let (_, found) = store.current().unwrap().unwrap();
    for image in [image, found] {
        assert_eq!(image.digest(), Some(digest(1, 7)));
        image.compare(digest(1, 7)).unwrap();
        image.compare(digest(2, 8)).unwrap();
        let refused = image.compare(digest(1, 8)).unwrap_err().to_string();
        assert!(refused.contains("its state digests to"), "{refused}");
    }
    // What comes from a peer keeps what its maker said, and one of an older build says nothing.
    let receiver = store.receive(&meta(6), Some(digest(1, 9)));
    receiver.piece(Bytes::from_static(b"abc")).await.unwrap();
    let (image, _) = receiver.end().await.unwrap();
    assert!(image.compare(digest(1, 8)).is_err());
    let before = store.build(&meta(7), || None, pieces("abc")).await;
    before.unwrap().unwrap().compare(digest(1, 8)).unwrap();
}
