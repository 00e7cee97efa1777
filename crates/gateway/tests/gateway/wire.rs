//! HTTP/1.1 itself: requests one behind the other, lengths that are none, bodies that do not come,
//! streams that are taken up again.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{PATIENCE, read_until};
use crate::support::gateway::token;
use crate::support::upstream::{events, open_stream, succeed, text};
use crate::support::{Ask, Rig, Scripted, Seen, Upstream};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// Everything that the gateway says to these bytes until it closes.
async fn said(rig: &Rig, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(rig.address).await.expect("a connection");
    // It may close before everything is written.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _ = read.expect("the connection ends");
    String::from_utf8_lossy(&said).into_owned()
}

fn statuses(said: &str) -> Vec<&str> {
    said.match_indices("HTTP/1.1 ")
        .map(|(at, _)| &said[at + 9..at + 12])
        .collect()
}

#[tokio::test]
async fn requests_in_one_pipe_are_answered_in_order_each_by_its_own_token() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let call = |tool: &str| Ask::call(tool, json!({}));
    let pipe = [
        call("free").bytes(),
        call("free").without("Authorization").bytes(),
        call("free").grant(3).bytes(),
        call("forbidden").bytes(),
        call("free").header("Connection", "close").bytes(),
    ];
    let said = said(&rig, &pipe.concat()).await;
    assert_eq!(
        statuses(&said),
        ["200", "401", "403", "200", "200"],
        "{said}"
    );
    assert_eq!(said.matches("not permitted").count(), 1);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_length_that_two_readers_read_differently_is_none() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let bearer = token(1);
    for lengths in [
        "Content-Length: +40",
        "Content-Length: 0x28",
        "Content-Length: 40, 40",
        "Content-Length: 40\r\nContent-Length: 4",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length : 40",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
    ] {
        let head = format!(
            "POST /mcp/demo HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {bearer}\r\n\
             Content-Type: application/json\r\n{lengths}\r\n\r\n"
        );
        let body = match lengths.starts_with("Transfer") {
            true => format!("{:x}\r\n{PING}\r\n0\r\n\r\n", PING.len()),
            false => PING.to_owned(),
        };
        let said = said(&rig, format!("{head}{body}").as_bytes()).await;
        assert!(
            statuses(&said).iter().all(|status| status.starts_with('4')),
            "{lengths}: {said}"
        );
        assert_eq!(upstream.seen().len(), 0, "{lengths}");
    }
}

#[tokio::test]
async fn a_get_or_delete_with_a_body_is_the_last_of_its_connection() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let smuggled = String::from_utf8(Ask::call("free", json!({})).bytes()).expect("text");
    for method in ["GET", "DELETE"] {
        let length = smuggled.len().to_string();
        let head = Ask::new(method).header("Content-Length", &length).bytes();
        let said = said(&rig, &[&head, smuggled.as_bytes()].concat()).await;
        assert_eq!(statuses(&said), ["400"], "{method}: {said}");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_reaches_nobody() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let call = Ask::call("echo", json!({})).bytes();
    let mut stream = TcpStream::connect(rig.address).await.expect("a connection");
    stream
        .write_all(&call[..call.len() - 1])
        .await
        .expect("written");
    stream.shutdown().await.expect("half closed");
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _ = read.expect("the connection ends");
    assert_eq!((upstream.seen().len(), rig.memory.acquires()), (0, 0));
}

#[tokio::test]
async fn nobody_waits_for_a_body_that_is_too_large() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let large = ((4 << 20) + 1).to_string();
    let head = Ask::post("")
        .without("Content-Length")
        .header("Content-Length", &large);
    // Nothing of the body is ever sent.
    let said = said(&rig, &head.bytes()).await;
    assert_eq!(statuses(&said), ["413"], "{said}");
    let mut chunks = Ask::post("")
        .without("Content-Length")
        .header("Transfer-Encoding", "chunked")
        .bytes();
    for _ in 0..5 {
        chunks.extend_from_slice(b"100000\r\n");
        chunks.extend_from_slice(&vec![b' '; 1 << 20]);
        chunks.extend_from_slice(b"\r\n");
    }
    let said = self::said(&rig, &chunks).await;
    assert_eq!(statuses(&said), ["413"], "{said}");
}

/// The position in a stream is taken from the session that it was given to, and from no other.
#[tokio::test]
async fn a_stream_is_taken_up_where_it_broke_off() {
    let upstream = Upstream::start(|seen: &Seen| {
        if seen.json()["method"] == "initialize" {
            let mut answer = text(200, "application/json", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
            let session = seen.json()["params"]["session"].to_string();
            answer.headers_mut().insert("mcp-session-id", session.parse().expect("id"));
            return Scripted::Now(answer);
        }
        match seen.header("last-event-id") {
            None => events("id: 1\nretry: 10\ndata:\n\n"),
            Some(last) => events(format!(
                "id: {last}+\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{}}}}\n\n"
            )),
        }
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    let mut sessions = Vec::new();
    for session in 1..=2 {
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "session": session }
        });
        let opened = Ask::post(message.to_string()).send(rig.address).await;
        sessions.push(
            opened
                .header("mcp-session-id")
                .expect("a session")
                .to_owned(),
        );
    }
    let get = || Ask::new("GET").header("Mcp-Session-Id", &sessions[0]);
    // What the upstream calls 1 has another name here, and what follows it has yet another.
    let begun = get().send(rig.address).await;
    let id = event_id(&begun.body);
    assert_eq!(begun.body, format!("id: {id}\nretry: 10\ndata:\n\n"));
    assert!(id.starts_with("e1."), "{id}");
    let resumed = get().header("Last-Event-ID", &id).send(rig.address).await;
    let next = event_id(&resumed.body);
    assert!(
        resumed.body.starts_with(&format!("id: {next}\ndata: {{")),
        "{resumed:?}"
    );
    let resumed = get().header("Last-Event-ID", &next).send(rig.address).await;
    assert_eq!(resumed.status, 200);
    let positions: Vec<_> = upstream.seen()[2..]
        .iter()
        .map(|seen| seen.header("last-event-id").map(str::to_owned))
        .collect();
    assert_eq!(
        positions,
        [None, Some("1".to_owned()), Some("1+".to_owned())]
    );
    // Neither one's own, nor another session's.
    for (session, position) in [(0, "1"), (1, &*id), (0, "e1.a.AAAA")] {
        let answer = Ask::new("GET")
            .header("Mcp-Session-Id", &sessions[session])
            .header("Last-Event-ID", position)
            .send(rig.address)
            .await;
        assert_eq!(answer.status, 400, "{position}: {answer:?}");
    }
    let without = Ask::new("GET")
        .header("Last-Event-ID", "1")
        .send(rig.address)
        .await;
    assert_eq!(without.status, 400);
    let twice = get()
        .header("Last-Event-ID", "1")
        .header("Last-Event-ID", "2");
    assert_eq!(twice.send(rig.address).await.status, 400);
    assert_eq!(upstream.seen().len(), 5);
}

/// The id of the first event of a stream.
fn event_id(stream: &str) -> String {
    let line = stream.lines().find_map(|line| line.strip_prefix("id: "));
    line.expect("an id").to_owned()
}

/// A stream that its client leaves ends at the upstream; another one begins at once.
#[tokio::test]
async fn a_stream_that_was_left_can_be_opened_again() {
    let upstream = Upstream::start(|_: &Seen| {
        let (sender, answer) = open_stream();
        sender.send("data:\n\n".into()).expect("sent");
        // Kept open until its reader is gone.
        tokio::spawn(async move { sender.closed().await });
        Scripted::Now(answer)
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    for _ in 0..3 {
        let mut stream = Ask::new("GET").open(rig.address).await;
        assert!(read_until(&mut stream, "data:").await.is_some());
    }
    assert_eq!(upstream.seen().len(), 3);
}

/// What an upstream says of its content's form is not repeated.
#[tokio::test]
async fn an_answer_is_in_utf_8_whatever_its_head_says() {
    let upstream = Upstream::start(|seen: &Seen| {
        let body = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": {} }).to_string();
        Scripted::Now(text(200, "Application/JSON; charset=utf-16", body))
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    let answer = Ask::post(PING).send(rig.address).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
}
