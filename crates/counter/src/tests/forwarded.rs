//! What only a node may say of a request is not heard from a client.

use quotum_api::counter::decide_response::Result as Answer;

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
        }],
        forwarded: true,
        ..wire::DecideRequest::default()
    };
    request.set_api(wire::Api::Kuadrant);
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_claims_to_be_a_node_is_a_client() {
    let cluster = Cluster::start(3).await;
    for node in 0..3 {
        // Where a node had passed it on, one that does not lead would refuse.
        let answer = cluster.counter(node).decide_batch(claimed(0)).await;
        let answer = answer.unwrap().into_inner().result;
        assert!(matches!(answer, Some(Answer::Decided(_))), "{answer:?}");
        let messages = tokio_stream::once(claimed(1));
        let answers = cluster.counter(node).decide(messages).await;
        let answer = answers.unwrap().into_inner().message().await;
        let answer = answer.unwrap().unwrap().result;
        assert!(matches!(answer, Some(Answer::Decided(_))), "{answer:?}");
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
    }];
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
        }],
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
