//! Watchers: the gateways that watch the registry, and what they serve.

use quotum_api::peer;

use super::Node;
use crate::limits::HELLO_DEADLINE;
use crate::log::ShardId;
use crate::raft::Member;

// === impl Node ===

impl Node {
    /// Notes which revision a gateway that watches the registry here serves.
    pub fn note_watcher(&self, gateway: &str, revision: Option<u64>) {
        let mut watchers = self.inner.watchers.lock().expect("noting does not panic");
        match revision {
            Some(revision) => drop(watchers.insert(gateway.to_owned(), revision)),
            None => drop(watchers.remove(gateway)),
        }
    }

    /// The gateways that watch the registry at this node, and the revision that each serves.
    pub fn watchers(&self) -> Vec<(String, u64)> {
        let watchers = self.inner.watchers.lock().expect("noting does not panic");
        watchers
            .iter()
            .map(|(gateway, revision)| (gateway.clone(), *revision))
            .collect()
    }

    /// The gateways that watch any node: that node, their name, and the revision that they serve.
    /// And the nodes that did not answer, each with how long it was not heard of, in milliseconds.
    pub async fn all_watchers(&self) -> (Vec<(u64, String, u64)>, Vec<(u64, u64)>) {
        let own = self.watchers().into_iter();
        let mut all: Vec<_> = own
            .map(|(name, revision)| (self.id(), name, revision))
            .collect();
        let mut silent = Vec::new();
        for (id, member) in self.members() {
            if id == self.id() {
                continue;
            }
            match self.ask_watchers(id, &member).await {
                Some(watchers) => all.extend(
                    watchers
                        .into_iter()
                        .map(|watcher| (id, watcher.gateway, watcher.revision)),
                ),
                None => silent.push((id, self.inner.world.silent_ms(id))),
            }
        }
        (all, silent)
    }

    async fn ask_watchers(
        &self,
        id: u64,
        member: &Member,
    ) -> Option<Vec<peer::watchers_response::Watcher>> {
        let envelope = self.inner.peers.envelope(id, member, ShardId::REGISTRY);
        let envelope = envelope.ok()?;
        let request = peer::WatchersRequest {
            envelope: Some(envelope),
        };
        let mut client = self.inner.peers.client(&member.peer_address).ok()?;
        let answer = tokio::time::timeout(HELLO_DEADLINE, client.watchers(request)).await;
        Some(answer.ok()?.ok()?.into_inner().watchers)
    }
}
