use bytes::Bytes;

use super::*;

fn log_id(term: u64, node: u64, index: u64) -> LogId {
    log_id_from_wire(peer::LogId { term, node, index })
}

fn membership() -> Membership {
    let member = |n: u64| Member {
        peer_address: format!("127.0.0.1:{n}"),
        client_address: format!("127.0.0.1:1{n}"),
        incarnation: n << 40,
    };
    let nodes: BTreeMap<_, _> = (1..=4).map(|n| (n, member(n))).collect();
    let configs = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
    Membership::new(configs, nodes).unwrap()
}

#[test]
fn entries_survive_the_wire() {
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Payload(Bytes::from_static(b"abc"))),
        EntryPayload::Membership(membership()),
    ];
    for payload in payloads {
        let entry = Entry {
            log_id: log_id(3, 7, 12),
            payload,
        };
        let back = entry_from_wire(entry_to_wire(entry.clone())).unwrap();
        assert_eq!(back, entry);
    }
}

#[test]
fn votes_survive_the_wire() {
    for vote in [Vote::new(3, 7), Vote::new_committed(3, 7)] {
        assert_eq!(vote_from_wire(Some(vote_to_wire(&vote))), Ok(vote));
    }
}

#[test]
fn snapshot_metas_survive_the_wire() {
    let empty = SnapshotMeta {
        last_log_id: None,
        last_membership: StoredMembership::default(),
    };
    let full = SnapshotMeta {
        last_log_id: Some(log_id(3, 7, 12)),
        last_membership: StoredMembership::new(Some(log_id(2, 7, 9)), membership()),
    };
    for meta in [empty, full] {
        assert_eq!(meta_from_wire(meta_to_wire(&meta, 5, None)), Ok(meta));
    }
}

#[test]
fn a_message_that_lacks_something_is_refused() {
    assert!(vote_from_wire(None).is_err());
    assert!(entry_from_wire(peer::Entry::default()).is_err());
    assert!(meta_from_wire(peer::SnapshotMeta::default()).is_err());
    let voter_without_address = peer::Membership {
        configs: vec![peer::membership::Voters { nodes: vec![1] }],
        members: Vec::new(),
    };
    assert!(membership_from_wire(voter_without_address).is_err());
}
