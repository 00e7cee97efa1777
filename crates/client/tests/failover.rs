//! The client when leaders move, shards are several, and the client ends.

mod support;

use std::time::Duration;

use quotum_client::{Client, Clock, Config, Decision, Dialer, Route};
use quotum_limit::Item;
use support::{Cluster, item, one, until};
use tokio::time::Instant;

fn is_admitted(decision: &Decision) -> bool {
    matches!(decision, Decision::Admitted { .. })
}

/// Routes to the two shards.
fn routes() -> [Route; 2] {
    let route = |shard| {
        (1..)
            .map(Route)
            .find(|route| route.shard(2) == shard)
            .unwrap()
    };
    [route(0), route(1)]
}

fn both(max_0: u64, max_1: u64) -> Vec<(Route, Item)> {
    let [zero, one] = routes();
    // Not in the order of the shards.
    vec![(one, item("one", max_1, 1)), (zero, item("zero", max_0, 1))]
}

#[tokio::test(start_paused = true)]
async fn requests_go_on_within_a_second_after_the_leader_is_killed() {
    let cluster = Cluster::start(3, 1);
    cluster.faults(|faults| faults.refuse_forwards = true);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    cluster.move_leader(2, true);
    let before = Instant::now();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(client.stats().epochs(), 1, "the epoch survives");
    assert_eq!(cluster.remaining(0, &item("a", 10, 1)), 8);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_falls_silent_is_left() {
    let cluster = Cluster::start(3, 1);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    cluster.faults(|faults| faults.is_silent = true);
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(one("a", 10)).await }
    });
    until("given up", || client.stats().attempts_timed_out() == 1).await;
    cluster.faults(|faults| faults.is_silent = false);
    assert!(is_admitted(&asked.await.unwrap().0));
    assert_eq!(cluster.remaining(0, &item("a", 10, 1)), 8);
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_followed_to_the_new_leader() {
    let cluster = Cluster::start(3, 1);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    let connections = client.stats().connections();
    tokio::time::advance(Duration::from_secs(1)).await;
    cluster.move_leader(1, false);
    // The old leader passes it on, and names the new one.
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    until("moved", || client.stats().connections() == connections + 1).await;
    cluster.faults(|faults| faults.refuse_forwards = true);
    let before = Instant::now();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    assert_eq!(
        before.elapsed(),
        Duration::ZERO,
        "it asks the leader itself"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_ends_remembered_denials() {
    let cluster = Cluster::start(2, 1);
    let client = cluster.client();
    drop(client.acquire(one("a", 1)).await);
    drop(client.acquire(one("a", 1)).await);
    cluster.move_leader(1, true);
    until("moved", || client.stats().connections() == 2).await;
    let (decision, _) = client.acquire(one("a", 1)).await;
    assert!(matches!(decision, Decision::Denied { position: Some(at), .. } if at.term == 2));
}

#[tokio::test(start_paused = true)]
async fn items_of_two_shards_are_taken_in_both() {
    let cluster = Cluster::start(1, 2);
    let client = cluster.client();
    let (decision, ticket) = client.acquire(both(10, 20)).await;
    let Decision::Admitted { items, position } = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(
        (items[0].remaining, items[1].remaining, position.shard),
        (19, 9, 1)
    );
    ticket.unwrap().refund();
    until("refunded", || client.stats().refunds() == 2).await;
    assert_eq!(cluster.remaining(0, &item("zero", 10, 1)), 10);
    assert_eq!(cluster.remaining(1, &item("one", 20, 1)), 20);
}

#[tokio::test(start_paused = true)]
async fn a_denial_of_the_second_shard_gives_back_the_units_of_the_first() {
    let cluster = Cluster::start(1, 2);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(both(10, 1)).await.0));
    let (decision, ticket) = client.acquire(both(10, 1)).await;
    let Decision::Denied { binding, items, .. } = decision else {
        panic!("{decision:?}")
    };
    assert_eq!((binding, items[0].fits, items[1].fits), (0, false, true));
    assert!(ticket.is_none());
    until("refunded", || {
        cluster.remaining(0, &item("zero", 10, 1)) == 9
    })
    .await;
    assert_eq!(cluster.remaining(1, &item("one", 1, 1)), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_refunds_and_answers_who_waits() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    let (_, ticket) = client.acquire(one("a", 10)).await;
    cluster.faults(|faults| faults.delay = Duration::from_millis(50));
    ticket.unwrap().refund();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(one("b", 10)).await }
    });
    until("decided", || cluster.admitted() == 2).await;
    client.shutdown().await;
    assert_eq!(waiting.await.unwrap().0, Decision::Unavailable);
    assert_eq!(cluster.remaining(0, &item("a", 10, 1)), 10);
    assert_eq!(cluster.remaining(0, &item("b", 10, 1)), 10);
    assert_eq!(client.acquire(one("a", 10)).await.0, Decision::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_any_node_ends() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    let (_, ticket) = client.acquire(one("a", 10)).await;
    cluster.net.kill("node0:1");
    ticket.unwrap().refund();
    let before = Instant::now();
    client.shutdown().await;
    assert!(
        before.elapsed() <= Duration::from_secs(2),
        "{:?}",
        before.elapsed()
    );
    client.shutdown().await;
}

#[tokio::test]
async fn the_plaintext_dialer_reaches_nobody_on_a_closed_port() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut config = Config::new(vec![format!("127.0.0.1:{port}")], 1);
    config.deadline = Duration::from_millis(300);
    config.attempt_timeout = config.deadline;
    let dialer = Dialer::plaintext(config.connect_timeout);
    let client = Client::start(config, dialer, Clock::boottime()).unwrap();
    assert_eq!(client.acquire(one("a", 10)).await.0, Decision::Unavailable);
    assert!(client.stats().connect_failures() > 0);
    client.shutdown().await;
}

#[tokio::test]
async fn the_plaintext_dialer_reaches_a_node_over_tcp() {
    let cluster = Cluster::start(1, 1);
    let address = support::node::serve_tcp(cluster.shared.clone()).await;
    cluster.shared.lock().unwrap().leader.clone_from(&address);
    let config = Config::new(vec![address], 1);
    let dialer = Dialer::plaintext(config.connect_timeout);
    let client = Client::start(config, dialer, Clock::boottime()).unwrap();
    let (decision, ticket) = client.acquire(one("a", 10)).await;
    assert!(is_admitted(&decision), "{decision:?}");
    let ticket = ticket.unwrap();
    assert!(ticket.is_valid());
    ticket.refund();
    client.shutdown().await;
    assert_eq!(cluster.remaining(0, &item("a", 10, 1)), 10);
}
