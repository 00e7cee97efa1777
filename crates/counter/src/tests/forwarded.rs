//! What only a node may say of a request is not heard from a client.

use quotum_api::counter::decide_response::Result as Answer;
use quotum_replica::ShardId;

use super::*;

/// A message of a client that claims to be passed on by a node, through another API.
fn claimed(shard: u32) -> wire::DecideRequest {
    let peek = wire::command::Peek {
        items: vec![item("k", 5)],
    };
    let mut request = wire::DecideRequest {
        shard,
        commands: vec![wire::Command {
            kind: Some(wire::command::Kind::Peek(peek)),
        }]
        .into(),
        forwarded: true,
        ..wire::DecideRequest::default()
    };
    request.set_api(wire::Api::Kuadrant);
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_claims_to_be_a_node_is_a_client() {
    let cluster = Cluster::start(3).await;
    // Where a node had passed it on, one that does not lead would refuse, however often it is asked. On a
    // busy machine the leader may change at any time.
    let is_decided = |answer: &wire::DecideResponse, begun: std::time::Instant| {
        assert!(begun.elapsed() < PATIENCE, "{answer:?}");
        matches!(answer.result, Some(Answer::Decided(_)))
    };
    for node in 0..3 {
        let mut client = cluster.counter(node);
        let begun = std::time::Instant::now();
        loop {
            let answer = client.decide_batch(claimed(0)).await.unwrap();
            if is_decided(answer.get_ref(), begun) {
                break;
            }
        }
        loop {
            let messages = tokio_stream::once(claimed(1));
            let answers = client.decide(messages).await;
            let answer = answers.unwrap().into_inner().message().await;
            if is_decided(&answer.unwrap().unwrap(), begun) {
                break;
            }
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_is_asked_through_any_node_by_a_client_that_claims_to_be_one() {
    let cluster = Cluster::start(3).await;
    let ask = |channel| {
        let mut request = cluster.signed(registry::GetRequest::default());
        let metadata = request.metadata_mut();
        metadata.insert("quotum-forwarded", "1".parse().unwrap());
        async move { RegistryClient::new(channel).get(request).await }
    };
    // On a busy machine the leader may change at any time.
    let holds = async |what: &str, holds: &dyn Fn(bool) -> bool, channel: Channel| {
        let begun = std::time::Instant::now();
        while !holds(ask(channel.clone()).await.is_ok()) {
            assert!(begun.elapsed() < PATIENCE, "{what}");
        }
    };
    for node in 0..3 {
        let what = format!("node {node} neither leads nor passes it on");
        holds(&what, &|answered| answered, cluster.channel(node)).await;
    }
    for server in &cluster.servers {
        let node = server.node();
        let channel = dialer().dial(&node.member().peer_address).unwrap();
        // From a node it has been passed on once already.
        let leads = || {
            let leader = node.leader(ShardId::REGISTRY);
            leader.is_some_and(|(id, _)| id == node.id())
        };
        let what = format!("node {} passes it on again", node.id());
        holds(&what, &|answered| answered == leads(), channel).await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_names_neither_its_caller_nor_its_api() {
    let cluster = Cluster::start(1).await;
    let mut client = cluster.counter(0);
    let mut open = claimed(0);
    let caller = u64::MAX;
    open.commands = vec![wire::Command {
        kind: Some(wire::command::Kind::Open(wire::command::Open { caller })),
    }]
    .into();
    let opened = client.decide_batch(open).await.unwrap().into_inner();
    let Some(Answer::Decided(decided)) = opened.result else {
        panic!("{opened:?}");
    };
    let outcomes = decided.into_outcomes();
    let Some(Kind::Opened(opened)) = &outcomes[0].kind else {
        panic!("{outcomes:?}");
    };
    let acquire = wire::command::Acquire {
        seq: 1,
        items: vec![item("k", 5)],
    };
    let request = wire::DecideRequest {
        epoch: opened.epoch,
        commands: vec![wire::Command {
            kind: Some(wire::command::Kind::Acquire(acquire)),
        }]
        .into(),
        ..claimed(0)
    };
    client.decide_batch(request).await.unwrap();
    let figures = cluster.expositions[0].render();
    let counted = |api: &str| {
        figures.contains(&format!(
            "quotum_counter_decisions_total{{shard=\"0\",api=\"{api}\",outcome=\"admitted\"}} 1\n"
        ))
    };
    assert!(counted("native_unary") && !counted("kuadrant"), "{figures}");
    cluster.stop().await;
}
