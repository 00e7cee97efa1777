//! Room for bodies: a flood of large ones is refused beyond a bound, and calls go on.

use quotum_gateway::limits::{BUFFERED_BYTES_MIN, ROOM_SHARES};
use quotum_gateway::room::Room;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::client::{Answer, PATIENCE, read_until, until};
use crate::support::upstream::{open_stream, succeed, text};
use crate::support::{Ask, Rig, RigBuilder, Scripted, Seen, Upstream};

const LARGE: usize = 3 << 20;
/// Of which one grant may have so many at a time.
const LARGE_MAX: usize = BUFFERED_BYTES_MIN / ROOM_SHARES / LARGE;
const FLOOD: usize = 3 * LARGE_MAX;

fn large() -> Ask {
    Ask::call("free", json!({ "text": "x".repeat(LARGE) }))
}

fn small() -> Ask {
    Ask::call("free", json!({}))
}

/// A gateway with as little room as it may have.
async fn narrow(upstream: &Upstream) -> (Rig, Room) {
    let room = Room::new(BUFFERED_BYTES_MIN);
    let rig = RigBuilder::default().room(&room).start(&upstream.url);
    (rig.await, room)
}

/// An upstream that answers large calls when it is released, and small ones at once.
async fn holding(released: &CancellationToken) -> Upstream {
    let released = released.clone();
    Upstream::start(move |seen: &Seen| match seen.body.len() > LARGE {
        false => succeed(seen),
        true => Scripted::When {
            released: released.clone(),
            dropped: CancellationToken::new(),
            answer: text(
                200,
                "application/json",
                r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#,
            ),
        },
    })
    .await
}

fn refusals(rig: &Rig) -> f64 {
    let shown = rig.exposition.render();
    let lines = shown.lines().filter(|line| {
        line.starts_with("quotum_requests_refused_total{") && line.contains("stage=\"room\"")
    });
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_large_bodies_is_refused_and_small_calls_go_on() {
    let released = CancellationToken::new();
    let upstream = holding(&released).await;
    let (rig, room) = narrow(&upstream).await;
    let mut flood = JoinSet::new();
    for _ in 0..FLOOD {
        flood.spawn(large().send(rig.address));
    }
    // As many wait for the upstream as fit, so all others have been answered.
    let mut refused: Vec<Answer> = Vec::new();
    while refused.len() < FLOOD - LARGE_MAX {
        let answer = tokio::time::timeout(PATIENCE, flood.join_next()).await;
        refused.push(answer.expect("in time").expect("one more").unwrap());
    }
    for answer in &refused {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json()["error"]["data"]["retryAfterMs"], 1_000);
    }
    assert_eq!(refusals(&rig), refused.len() as f64);
    let held = room.held_bytes();
    assert!(
        (LARGE_MAX * LARGE..=BUFFERED_BYTES_MIN / ROOM_SHARES).contains(&held),
        "{held}"
    );
    for grant in [1, 2] {
        let answer = small().grant(grant).send(rig.address).await;
        assert_eq!(answer.status, 200, "of grant {grant}: {answer:?}");
    }
    // The flood of one grant leaves another its share.
    let mut other = JoinSet::new();
    other.spawn(large().grant(2).send(rig.address));
    released.cancel();
    for answer in flood.join_all().await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(other.join_all().await[0].status, 200);
    until(|| room.held_bytes() == 0).await;
    for _ in 0..LARGE_MAX {
        assert_eq!(large().send(rig.address).await.status, 200);
    }
    assert_eq!(refusals(&rig), refused.len() as f64);
}

/// Sends a call whose answer nobody reads, and waits until it has begun.
async fn unread(rig: &Rig) -> TcpStream {
    let mut stream = small().open(rig.address).await;
    assert!(read_until(&mut stream, "200 OK").await.is_some());
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_takes_room_until_its_client_leaves() {
    // More than what the system keeps for a connection.
    let content = "x".repeat(15 << 20);
    let answer = json!({ "jsonrpc": "2.0", "id": 7, "result": { "content": [content] } });
    let answer = answer.to_string();
    let upstream =
        Upstream::start(move |_| Scripted::Now(text(200, "application/json", answer.clone())))
            .await;
    let (rig, room) = narrow(&upstream).await;
    let unread = unread(&rig).await;
    let refused = small().send(rig.address).await;
    assert_eq!(refused.status, 502, "{}", refused.status);
    assert!(refused.body.contains("may have run"), "{}", refused.body);
    assert_eq!(refused.header("retry-after"), None, "it may have run");
    assert_eq!(refusals(&rig), 1.0);
    let other = small().grant(2).send(rig.address).await;
    assert_eq!(other.status, 200);
    drop(unread);
    until(|| room.held_bytes() == 0).await;
    assert_eq!(small().send(rig.address).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_does_not_end_takes_room_until_its_stream_ends() {
    let (sender, answer) = open_stream();
    sender.send(": open\n\ndata: ".into()).expect("open");
    sender.send("x".repeat(10 << 20).into()).expect("open");
    let streams = std::sync::Mutex::new(Some(answer));
    let upstream = Upstream::start(move |seen: &Seen| {
        let first = streams.lock().expect("no panic").take();
        match first {
            Some(stream) => Scripted::Now(stream),
            None => {
                let event = format!("data: {}", "y".repeat(10 << 20));
                let id = seen.json()["id"].clone();
                let end = json!({ "jsonrpc": "2.0", "id": id, "result": {} });
                let body = format!("{event}\n\ndata: {end}\n\n");
                Scripted::Now(text(200, "text/event-stream", body))
            }
        }
    })
    .await;
    let (rig, room) = narrow(&upstream).await;
    let mut first = small().open(rig.address).await;
    assert!(read_until(&mut first, ": open").await.is_some());
    until(|| room.held_bytes() >= 10 << 20).await;
    let second = small().send(rig.address).await;
    assert_eq!(second.status, 200);
    let told = "no room for the MCP server's answer";
    assert!(second.body.contains(told), "{}", second.body);
    assert_eq!(refusals(&rig), 1.0);
    drop(sender);
    assert!(read_until(&mut first, "0\r\n\r\n").await.is_some());
    let answer = small().send(rig.address).await;
    assert!(!answer.body.contains("error"), "{}", answer.body);
    until(|| room.held_bytes() == 0).await;
}
