//! Between openraft's types and the messages of `quotum.peer.v1`, which the log uses too.

use std::collections::{BTreeMap, BTreeSet};

use openraft::EntryPayload;
use openraft::vote::RaftLeaderId;
use quotum_api::peer;

use crate::raft::{
    Entry, LogId, Member, Membership, Payload, SnapshotMeta, StoredMembership, Vote,
};

#[cfg(test)]
mod tests;

/// What a message lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) fn vote_to_wire(vote: &Vote) -> peer::Vote {
    let leader = vote.leader_id();
    peer::Vote {
        term: leader.term,
        node: leader.node_id,
        committed: vote.is_committed(),
    }
}

pub(crate) fn vote_from_wire(vote: Option<peer::Vote>) -> Result<Vote, Malformed> {
    let vote = vote.ok_or(Malformed("vote is missing"))?;
    Ok(match vote.committed {
        true => Vote::new_committed(vote.term, vote.node),
        false => Vote::new(vote.term, vote.node),
    })
}

pub(crate) fn log_id_to_wire(id: &LogId) -> peer::LogId {
    let leader = id.committed_leader_id();
    peer::LogId {
        term: leader.term,
        node: leader.node_id,
        index: id.index(),
    }
}

pub(crate) fn log_id_from_wire(id: peer::LogId) -> LogId {
    let leader = openraft::alias::LeaderIdOf::<crate::raft::TypeConfig>::new(id.term, id.node);
    LogId::new(leader.to_committed(), id.index)
}

pub(crate) fn entry_to_wire(entry: Entry) -> peer::Entry {
    let payload = match entry.payload {
        EntryPayload::Blank => peer::entry::Payload::Blank(true),
        EntryPayload::Normal(payload) => peer::entry::Payload::Normal(payload.0),
        EntryPayload::Membership(membership) => {
            peer::entry::Payload::Membership(membership_to_wire(&membership))
        }
    };
    peer::Entry {
        log_id: Some(log_id_to_wire(&entry.log_id)),
        payload: Some(payload),
    }
}

pub(crate) fn entry_from_wire(entry: peer::Entry) -> Result<Entry, Malformed> {
    let log_id = log_id_from_wire(entry.log_id.ok_or(Malformed("entry.log_id is missing"))?);
    let payload = match entry.payload.ok_or(Malformed("entry.payload is missing"))? {
        peer::entry::Payload::Blank(_) => EntryPayload::Blank,
        peer::entry::Payload::Normal(bytes) => EntryPayload::Normal(Payload(bytes)),
        peer::entry::Payload::Membership(membership) => {
            EntryPayload::Membership(membership_from_wire(membership)?)
        }
    };
    Ok(Entry { log_id, payload })
}

pub(crate) fn membership_to_wire(membership: &Membership) -> peer::Membership {
    let voters = |set: &BTreeSet<u64>| peer::membership::Voters {
        nodes: set.iter().copied().collect(),
    };
    peer::Membership {
        configs: membership.get_joint_config().iter().map(voters).collect(),
        members: membership
            .nodes()
            .map(|(node, member)| member_to_wire(*node, member))
            .collect(),
    }
}

/// A member and where it serves.
pub(crate) fn member_to_wire(node: u64, member: &Member) -> peer::Member {
    peer::Member {
        node,
        peer_address: member.peer_address.clone(),
        client_address: member.client_address.clone(),
        incarnation: member.incarnation,
    }
}

/// The reverse of [`member_to_wire`].
pub(crate) fn member_from_wire(member: peer::Member) -> (u64, Member) {
    let place = Member {
        peer_address: member.peer_address,
        client_address: member.client_address,
        incarnation: member.incarnation,
    };
    (member.node, place)
}

pub(crate) fn membership_from_wire(membership: peer::Membership) -> Result<Membership, Malformed> {
    let voters = |set: peer::membership::Voters| set.nodes.into_iter().collect::<BTreeSet<u64>>();
    let configs = membership.configs.into_iter().map(voters).collect();
    let members: BTreeMap<_, _> = membership
        .members
        .into_iter()
        .map(member_from_wire)
        .collect();
    Membership::new(configs, members).map_err(|_| Malformed("membership contradicts itself"))
}

pub(crate) fn meta_to_wire(
    meta: &SnapshotMeta,
    bytes: u64,
    digest: Option<peer::StateDigest>,
) -> peer::SnapshotMeta {
    peer::SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_to_wire),
        membership_log_id: meta.last_membership.log_id().as_ref().map(log_id_to_wire),
        membership: Some(membership_to_wire(meta.last_membership.membership())),
        bytes,
        digest,
    }
}

pub(crate) fn meta_from_wire(meta: peer::SnapshotMeta) -> Result<SnapshotMeta, Malformed> {
    let membership = meta
        .membership
        .ok_or(Malformed("meta.membership is missing"))?;
    // A cluster's first snapshot may hold no membership at all.
    let last_membership = match meta.membership_log_id {
        None if membership.members.is_empty() => StoredMembership::default(),
        id => StoredMembership::new(id.map(log_id_from_wire), membership_from_wire(membership)?),
    };
    Ok(SnapshotMeta {
        last_log_id: meta.last_log_id.map(log_id_from_wire),
        last_membership,
    })
}
