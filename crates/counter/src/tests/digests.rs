//! Digests of the shards' states, in the status of the cluster.

use super::*;

/// The status that a node shows.
async fn status(cluster: &Cluster, node: usize, digests: bool) -> cluster::StatusResponse {
    let request = cluster.signed(cluster::StatusRequest { digests });
    let mut client = ClusterClient::new(cluster.channel(node));
    client.status(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digests_are_computed_for_whoever_asks_for_them() {
    let cluster = Cluster::start(3).await;
    let mut client = cluster.counter(0);
    client
        .acquire(acquire(0, vec![item("k", 9)]))
        .await
        .unwrap();
    let plain = status(&cluster, 0, false).await;
    assert_eq!(plain.shards.len(), 3);
    assert!(plain.shards.iter().all(|shard| shard.digest.is_none()));
    // Many at a time wait for each other, and all are answered.
    let asked = (0..16).map(|_| status(&cluster, 0, true));
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.shards.iter().all(|shard| shard.digest.is_some()));
    }
    let equal = async {
        loop {
            let mut shown = Vec::new();
            for node in 0..3 {
                let shard = status(&cluster, node, true).await.shards.swap_remove(0);
                shown.push((shard.applied_index, shard.digest));
            }
            // The same entries make the same state, on every node.
            if shown.iter().all(|(index, _)| *index == shown[0].0) {
                assert!(shown.iter().all(|seen| *seen == shown[0]), "{shown:?}");
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, equal).await.unwrap();
    cluster.stop().await;
}
