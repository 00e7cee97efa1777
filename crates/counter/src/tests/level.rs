//! What a new cluster decides from the first request on.

use quotum_api::counter::decide_response::Result as Answer;

use super::*;

/// One command of a shard, in an epoch; the outcome of it.
async fn decide(
    client: &mut CounterClient<Channel>,
    (shard, epoch): (u32, u64),
    kind: wire::command::Kind,
) -> Kind {
    let request = wire::DecideRequest {
        shard,
        epoch,
        commands: vec![wire::Command { kind: Some(kind) }].into(),
        ..wire::DecideRequest::default()
    };
    let begun = std::time::Instant::now();
    loop {
        let answer = client.decide_batch(request.clone()).await;
        match answer.unwrap().into_inner().result {
            Some(Answer::Decided(decided)) => {
                let outcome = decided.into_outcomes().remove(0);
                return outcome.kind.expect("an outcome has a kind");
            }
            // On a busy machine a leader may change at any time; what is refused for its level is decided.
            other => assert!(begun.elapsed() < PATIENCE, "{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_ready_reserves_at_once() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes).await;
        for (shard, node) in [(0, 0), (1, cluster.servers.len() - 1)] {
            let mut client = cluster.counter(node);
            let open = wire::command::Kind::Open(wire::command::Open { caller: 0 });
            let Kind::Opened(opened) = decide(&mut client, (shard, 0), open).await else {
                panic!("no epoch was opened");
            };
            let reserve = wire::command::Kind::Reserve(wire::command::Reserve {
                seq: 1,
                items: vec![item("k", 5)],
            });
            let outcome = decide(&mut client, (shard, opened.epoch), reserve).await;
            assert!(matches!(outcome, Kind::Reserved(_)), "{outcome:?}");
        }
        cluster.stop().await;
    }
}
