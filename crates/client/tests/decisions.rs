//! The client against a counter service in memory: exactness, faults, tickets.

mod support;

use std::time::Duration;

use quotum_api::counter::not_decided::Reason;
use quotum_client::{Decision, Invalid, Path, PeekError, Route};
use quotum_limit::{Refusal, Window};
use support::{Cluster, item, one, until};
use tokio::task::JoinSet;

fn is_admitted(decision: &Decision) -> bool {
    matches!(decision, Decision::Admitted { .. })
}

#[tokio::test(start_paused = true)]
async fn exactly_max_are_admitted_though_answers_are_lost() {
    const MAX: u64 = 100;
    for seed in 1..=5 {
        let cluster = Cluster::start(3, 1);
        cluster.faults(|faults| (faults.lost_percent, faults.random) = (25, seed));
        let mut config = cluster.config();
        // Small messages, so that many answers are lost; enough time to win through.
        config.message_commands_max = 4;
        config.deadline = Duration::from_secs(20);
        let client = cluster.client_with(config);
        let mut tasks = JoinSet::new();
        for _ in 0..64 {
            let client = client.clone();
            tasks.spawn(async move {
                let mut admitted = 0;
                for _ in 0..4 {
                    match client.acquire(one("a", MAX)).await {
                        (Decision::Admitted { .. }, Some(ticket)) => {
                            assert!(ticket.is_valid());
                            admitted += 1;
                        }
                        (Decision::Denied { .. }, None) => {}
                        other => panic!("seed {seed}: {other:?}"),
                    }
                }
                admitted
            });
        }
        let admitted: u64 = tasks.join_all().await.into_iter().sum();
        assert_eq!(admitted, MAX, "seed {seed}");
        assert_eq!(cluster.admitted() as u64, MAX, "seed {seed}");
        assert!(
            client.stats().retries() > 0,
            "seed {seed}: no answer was lost"
        );
        client.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_retried_under_the_same_id_and_counted_once() {
    let cluster = Cluster::start(3, 1);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    cluster.faults(|faults| faults.lose_and_close = 1);
    let (decision, ticket) = client.acquire(one("a", 10)).await;
    assert!(is_admitted(&decision) && ticket.is_some(), "{decision:?}");
    assert_eq!(cluster.remaining(0, &item("a", 10, 1)), 8);
    let ids: Vec<_> = cluster
        .shared
        .lock()
        .unwrap()
        .acquires
        .iter()
        .map(|(e, s, _)| (*e, *s))
        .collect();
    assert_eq!(ids, [(1, 1), (1, 2), (1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_decision_out_of_time_is_unavailable_and_refunded() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    // Decided in time, answered too late.
    cluster.faults(|faults| faults.lost_percent = 100);
    let before = tokio::time::Instant::now();
    assert_eq!(client.acquire(one("a", 10)).await.0, Decision::Unavailable);
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    assert_eq!(cluster.admitted(), 2, "it was decided");
    cluster.faults(|faults| faults.lost_percent = 0);
    until("refunded", || cluster.remaining(0, &item("a", 10, 1)) == 9).await;
    until("acknowledged", || client.stats().refunds() == 1).await;
    assert_eq!(
        (client.stats().abandoned(), client.stats().unavailable()),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn without_any_node_the_answer_is_unavailable_and_service_resumes_by_itself() {
    let cluster = Cluster::start(2, 1);
    for node in ["node0:1", "node1:1"] {
        cluster.net.kill(node);
    }
    let client = cluster.client();
    assert_eq!(client.acquire(one("a", 10)).await.0, Decision::Unavailable);
    assert!(!client.is_connected());
    cluster.serve("node1:1");
    let before = tokio::time::Instant::now();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
    assert!(client.is_connected());
}

#[tokio::test(start_paused = true)]
async fn refusals_are_retried_until_the_deadline() {
    for reason in [Reason::NotLeader, Reason::Overloaded, Reason::Unknown] {
        let cluster = Cluster::start(3, 1);
        cluster.faults(|faults| faults.refuse = Some((5, reason)));
        let client = cluster.client();
        let (decision, _) = client.acquire(one("a", 10)).await;
        assert!(is_admitted(&decision), "{reason:?}: {decision:?}");
        assert_eq!(cluster.remaining(0, &item("a", 10, 1)), 9);
        assert!(client.stats().retries() >= 5);
    }
}

#[tokio::test(start_paused = true)]
async fn denials_are_repeated_from_memory_for_a_second() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(one("a", 1)).await.0));
    let (first, _) = client.acquire(one("a", 1)).await;
    assert!(matches!(
        first,
        Decision::Denied {
            path: Path::Exact,
            position: Some(_),
            ..
        }
    ));
    let messages = cluster.shared.lock().unwrap().messages;
    for _ in 0..100 {
        let (decision, ticket) = client.acquire(one("a", 1)).await;
        assert!(ticket.is_none());
        let Decision::Denied {
            path,
            position,
            items,
            ..
        } = decision
        else {
            panic!("denied")
        };
        assert_eq!(
            (path, position, items[0].remaining),
            (Path::DenyCache, None, 0)
        );
    }
    assert_eq!(
        cluster.shared.lock().unwrap().messages,
        messages,
        "nobody was asked"
    );
    assert_eq!(client.stats().denials_cached(), 100);
    tokio::time::advance(Duration::from_secs(1)).await;
    let (later, _) = client.acquire(one("a", 1)).await;
    assert!(matches!(
        later,
        Decision::Denied {
            path: Path::Exact,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_refund_is_visible_to_the_next_request() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    let (_, ticket) = client.acquire(one("a", 1)).await;
    assert!(!is_admitted(&client.acquire(one("a", 1)).await.0));
    ticket.unwrap().refund();
    until("acknowledged", || client.stats().refunds() == 1).await;
    assert!(is_admitted(&client.acquire(one("a", 1)).await.0));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_valid_until_just_before_its_window_ends() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    // The log stands 10 s before the end of a minute.
    cluster.shared.lock().unwrap().log_ms = 1_699_999_980_000 - 10_000;
    let mut asked = one("a", 10);
    asked[0].1.window = Window::Minute;
    let (_, ticket) = client.acquire(asked).await;
    let ticket = ticket.unwrap();
    assert!(ticket.is_valid());
    tokio::time::advance(Duration::from_millis(9_940)).await;
    assert!(ticket.is_valid());
    tokio::time::advance(Duration::from_millis(10)).await;
    assert!(!ticket.is_valid(), "9 999 ms less half a percent");
}

#[tokio::test(start_paused = true)]
async fn an_admission_that_is_over_on_arrival_is_refunded_and_asked_once_more() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    let mut asked = one("a", 10);
    asked[0].1.window = Window::Second;
    // Valid for no time at all: the answer is over when it arrives, and all that follow.
    cluster.shared.lock().unwrap().log_ms = 1_700_000_000_999;
    let (decision, ticket) = client.acquire(asked.clone()).await;
    assert_eq!(decision, Decision::Unavailable);
    assert!(ticket.is_none());
    assert_eq!(client.stats().stale(), 3);
    until("refunded", || cluster.remaining(0, &asked[0].1) == 10).await;
    assert_eq!(client.stats().abandoned(), 0);
    cluster.shared.lock().unwrap().log_ms = 1_700_000_001_000;
    assert!(is_admitted(&client.acquire(asked).await.0));
}

#[tokio::test(start_paused = true)]
async fn what_is_settled_is_acknowledged() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    for _ in 0..500 {
        let (decision, ticket) = client.acquire(one("a", 400)).await;
        drop((decision, ticket));
    }
    assert!(cluster.requests_held() <= 2, "{}", cluster.requests_held());
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_held_for_long_is_not_waited_for() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    let (_, held) = client.acquire(one("a", 100)).await;
    for _ in 0..20 {
        drop(client.acquire(one("a", 100)).await);
    }
    assert_eq!(cluster.requests_held(), 21);
    tokio::time::advance(Duration::from_secs(11)).await;
    drop(client.acquire(one("a", 100)).await);
    assert!(cluster.requests_held() <= 2, "{}", cluster.requests_held());
    held.unwrap().refund();
    until("forfeited", || client.stats().refunds_forfeited() >= 1).await;
    drop(client.acquire(one("a", 100)).await);
    assert_eq!(
        cluster.remaining(0, &item("a", 100, 1)),
        100 - 23,
        "it stays charged"
    );
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_epoch_is_opened_anew() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    cluster.lose_epochs();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    assert_eq!(client.stats().epochs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_gets_its_units_refunded() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    assert!(is_admitted(&client.acquire(one("a", 10)).await.0));
    cluster.faults(|faults| faults.delay = Duration::from_millis(100));
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(one("a", 10)).await }
    });
    until("decided", || cluster.admitted() == 2).await;
    asked.abort();
    until("refunded", || cluster.remaining(0, &item("a", 10, 1)) == 9).await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_request_harms_no_other() {
    let cluster = Cluster::start(1, 1);
    cluster.faults(|faults| faults.poison = Some(b"bad".to_vec()));
    let client = cluster.client();
    let ask = |key: &'static str| {
        let client = client.clone();
        async move { client.acquire(one(key, 10)).await.0 }
    };
    let (good, bad, other) = tokio::join!(ask("good"), ask("bad"), ask("other"));
    assert!(is_admitted(&good) && is_admitted(&other));
    assert_eq!(
        bad,
        Decision::Invalid(Invalid::Malformed("as told".to_owned()))
    );
    assert_eq!(cluster.remaining(0, &item("good", 10, 1)), 9);
}

#[tokio::test(start_paused = true)]
async fn contradictions_are_refused_without_asking() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    let refused = |refusal: Refusal| Decision::Invalid(refusal.into());
    assert_eq!(
        client.acquire(Vec::new()).await.0,
        refused(Refusal::ItemCount)
    );
    let mut twice = one("a", 10);
    twice.extend(one("a", 11));
    assert_eq!(
        client.acquire(twice).await.0,
        refused(Refusal::ConflictingItems)
    );
    let huge = vec![(Route::GLOBAL, item("a", 10, u64::MAX))];
    assert_eq!(
        client.acquire(huge).await.0,
        refused(Refusal::UnitsTooLarge)
    );
    assert_eq!(cluster.shared.lock().unwrap().messages, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peek_reads_and_changes_nothing() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client();
    drop(client.acquire(one("a", 10)).await);
    for _ in 0..2 {
        assert_eq!(client.peek(one("a", 10)).await.unwrap()[0].remaining, 9);
    }
    cluster.faults(|faults| faults.is_silent = true);
    assert_eq!(client.peek(one("a", 10)).await, Err(PeekError::Unavailable));
}
