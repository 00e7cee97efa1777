//! Whether a node should get traffic, as `/readyz` and `grpc.health.v1` tell it.

use quotum_replica::ShardId;
use quotum_replica::node::MemberError;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::*;

/// What `grpc.health.v1` says of a node.
async fn status(cluster: &Cluster, node: usize) -> ServingStatus {
    let mut client = HealthClient::new(cluster.channel(node));
    let answer = client.check(HealthCheckRequest::default()).await;
    answer.unwrap().into_inner().status()
}

/// Waits until a node is ready or not, and tells the same to both who ask.
async fn becomes(cluster: &Cluster, node: usize, is_ready: bool) {
    let wanted = match is_ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    let looks = async {
        while cluster.readiness[node].is_ready() != is_ready
            || status(cluster, node).await != wanted
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, looks).await;
    told.unwrap_or_else(|_| panic!("node {node} is still not {wanted:?}"));
}

/// Changes the members or the leaders, as often as it takes until there is a leader to do it.
async fn changes(mut change: impl AsyncFnMut() -> Result<(), MemberError>) {
    let tries = async {
        while change().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries)
        .await
        .expect("the cluster can be changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_not_ready_until_it_is_added_again() {
    let cluster = Cluster::start(3).await;
    for node in 0..3 {
        becomes(&cluster, node, true).await;
    }
    let address = cluster.servers[2].node().member().peer_address.clone();
    let first = cluster.servers[0].node();
    changes(async || first.remove(3).await).await;
    becomes(&cluster, 2, false).await;
    let shown = &cluster.expositions[2];
    figures::shows(shown, "quotum_raft_is_leader{shard=\"0\"}", 0.0).await;
    for node in 0..2 {
        becomes(&cluster, node, true).await;
    }
    changes(async || first.add(&address).await.map(drop)).await;
    becomes(&cluster, 2, true).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_majority_is_not_ready_and_leads_nothing() {
    let mut cluster = Cluster::start(3).await;
    for _ in 0..2 {
        cluster.servers.pop().unwrap().shutdown().await;
    }
    becomes(&cluster, 0, false).await;
    for shard in ["0", "1", "registry"] {
        let sample = format!("quotum_raft_is_leader{{shard=\"{shard}\"}}");
        figures::shows(&cluster.expositions[0], &sample, 0.0).await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_leaders_leaves_the_nodes_ready() {
    let mut cluster = Cluster::start(3).await;
    let watched = cluster.readiness[..2].to_vec();
    let done = CancellationToken::new();
    let watching = tokio::spawn({
        let done = done.clone();
        async move {
            while !done.is_cancelled() {
                for readiness in &watched {
                    assert_eq!(readiness.waiting_for(), [""; 0]);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    for node in [3, 1, 2, 3] {
        let first = cluster.servers[0].node();
        changes(async || first.transfer_leader(node, None).await.map(drop)).await;
    }
    // The leader of all ends, and with it a voter.
    cluster.servers.pop().unwrap().shutdown().await;
    let led = async {
        while !(0..2).any(|node| cluster.servers[node].node().leads(ShardId(0))) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, led).await.unwrap();
    done.cancel();
    watching.await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_says_so_before_it_goes() {
    let mut cluster = Cluster::start(3).await;
    let mut client = HealthClient::new(cluster.channel(2));
    let watch = client.watch(HealthCheckRequest::default()).await;
    let mut told = watch.unwrap().into_inner();
    let first = told.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let leaving = tokio::spawn(cluster.servers.pop().unwrap().shutdown());
    let next = tokio::time::timeout(PATIENCE, told.message()).await;
    let next = next.expect("the node tells it").unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    drop(told);
    leaving.await.unwrap();
    cluster.stop().await;
}
