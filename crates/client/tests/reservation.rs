//! Calls over two shards: never more than `max` in either, and nothing lost to a client that ends
//! between the steps.

mod support;

use std::time::Duration;

use quotum_client::{Decision, Path, Route};
use quotum_limit::{Caller, Command, Epoch, Item, Outcome, RequestId, limits::HOLD_MS};
use support::{Cluster, item, until};
use tokio::time::Instant;

/// Items in both of two shards.
fn both(max_0: u64, max_1: u64) -> Vec<(Route, Item)> {
    let route = |shard| {
        let mut routes = (1..).map(Route);
        routes.find(|route| route.shard(2) == shard).unwrap()
    };
    vec![
        (route(1), item("one", max_1, 1)),
        (route(0), item("zero", max_0, 1)),
    ]
}

/// Lets log time go on as time does.
fn run_log_time(cluster: &Cluster) {
    let shared = cluster.shared.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            shared.lock().unwrap().log_ms += 10;
        }
    });
}

/// A client that has reserved units of an item in a shard, and is gone.
fn leave_reserved(cluster: &Cluster, shard: u32, item: Item) {
    let mut shared = cluster.shared.lock().unwrap();
    let mut apply = |command| shared.decide_here(shard, &[command]).remove(0);
    let Outcome::Opened { epoch } = apply(Command::Open { caller: Caller(9) }) else {
        panic!("no epoch")
    };
    let reserved = apply(Command::Reserve {
        id: RequestId { epoch, seq: 1 },
        acked_seq: 0,
        items: [item].into_iter().collect(),
    });
    assert!(matches!(reserved, Outcome::Reserved { .. }), "{reserved:?}");
    assert_ne!(epoch, Epoch(0));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_that_is_gone_has_reserved_is_waited_for() {
    let cluster = Cluster::start(1, 2);
    run_log_time(&cluster);
    let client = cluster.client();
    leave_reserved(&cluster, 1, item("one", 1, 1));
    let before = Instant::now();
    let (decision, ticket) = client.acquire(both(10, 1)).await;
    assert!(
        matches!(decision, Decision::Admitted { .. }),
        "{decision:?}"
    );
    let waited = before.elapsed();
    assert!(waited >= Duration::from_millis(HOLD_MS - 20), "{waited:?}");
    assert!(ticket.unwrap().is_valid());
    assert!(client.stats().contended() > 0);
    assert_eq!(cluster.remaining(0, &item("zero", 10, 1)), 9);
    assert_eq!(cluster.remaining(1, &item("one", 1, 1)), 0);
}

#[tokio::test(start_paused = true)]
async fn a_denial_because_of_what_is_reserved_is_not_remembered() {
    let cluster = Cluster::start(1, 2);
    let client = cluster.client();
    leave_reserved(&cluster, 1, item("one", 1, 1));
    // Log time stands still, so the hold does not end within the deadline.
    let (decision, ticket) = client.acquire(both(10, 1)).await;
    let Decision::Denied {
        binding,
        path,
        retry_after,
        items,
        ..
    } = decision
    else {
        panic!("{decision:?}")
    };
    assert_eq!((binding, path, items[0].fits), (0, Path::Exact, false));
    assert_eq!(retry_after, Some(Duration::from_millis(HOLD_MS)));
    assert!(ticket.is_none());
    until("given back", || {
        cluster.remaining(0, &item("zero", 10, 1)) == 10
    })
    .await;
    // The same for a request of that shard alone.
    let one = vec![both(10, 1).remove(0)];
    let (decision, _) = client.acquire(one.clone()).await;
    assert!(
        matches!(
            decision,
            Decision::Denied {
                path: Path::Exact,
                ..
            }
        ),
        "{decision:?}"
    );
    cluster.shared.lock().unwrap().log_ms += HOLD_MS;
    let (decision, _) = client.acquire(one).await;
    assert!(
        matches!(decision, Decision::Admitted { .. }),
        "{decision:?}"
    );
    assert_eq!(client.stats().denials_cached(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_ends_before_it_is_confirmed_is_made_again() {
    let cluster = Cluster::start(1, 2);
    let client = cluster.client();
    let mut asked = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(both(10, 10)).await }
    });
    cluster.faults(|faults| faults.delay = Duration::from_millis(100));
    // The first reservations end while their answers are on the way.
    until("reserved", || {
        cluster.remaining(1, &item("one", 10, 1)) == 9
    })
    .await;
    cluster.shared.lock().unwrap().log_ms += HOLD_MS;
    let (decision, ticket) = (&mut asked).await.unwrap();
    assert!(
        matches!(decision, Decision::Admitted { .. }),
        "{decision:?}"
    );
    assert!(ticket.unwrap().is_valid());
    cluster.faults(|faults| faults.delay = Duration::ZERO);
    until("counted once", || {
        cluster.remaining(0, &item("zero", 10, 1)) == 9
            && cluster.remaining(1, &item("one", 10, 1)) == 9
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn exactly_max_are_admitted_of_many_that_contend() {
    for seed in 0..5 {
        let cluster = Cluster::start(1, 2);
        run_log_time(&cluster);
        cluster.faults(|faults| faults.delay = Duration::from_millis(seed));
        let clients = [cluster.client(), cluster.client()];
        let asked: Vec<_> = (0..60)
            .map(|n: usize| {
                let client = clients[n % 2].clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis((n as u64 * 7) % 11)).await;
                    client.acquire(both(20, 10)).await
                })
            })
            .collect();
        let mut admitted = 0;
        for asked in asked {
            match asked.await.unwrap() {
                (Decision::Admitted { .. }, Some(ticket)) => {
                    assert!(ticket.is_valid());
                    admitted += 1;
                }
                (Decision::Denied { .. }, None) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(admitted, 10, "seed {seed}");
        until("the others have given back", || {
            cluster.remaining(0, &item("zero", 20, 1)) == 10
        })
        .await;
        assert_eq!(cluster.remaining(1, &item("one", 10, 1)), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn never_more_than_max_though_answers_are_lost_and_leaders_move() {
    for seed in 0..5 {
        let cluster = Cluster::start(3, 2);
        run_log_time(&cluster);
        cluster.faults(|faults| {
            faults.random = seed;
            faults.lost_percent = 20;
        });
        let client = cluster.client();
        let asked: Vec<_> = (0..30)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.acquire(both(12, 9)).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.move_leader(1, true);
        let mut admitted = 0;
        for asked in asked {
            let (decision, ticket) = asked.await.unwrap();
            assert_eq!(
                ticket.is_some(),
                matches!(decision, Decision::Admitted { .. })
            );
            admitted += u64::from(ticket.is_some());
        }
        assert!(admitted <= 9, "seed {seed}: {admitted}");
        cluster.faults(|faults| faults.lost_percent = 0);
        // What nobody uses is free: by refunds, or by log time.
        until("settled", || {
            cluster.remaining(0, &item("zero", 12, 1)) == 12 - admitted
                && cluster.remaining(1, &item("one", 9, 1)) == 9 - admitted
        })
        .await;
    }
}
