//! Lists of tools, on every channel on which one can come.

use serde_json::{Value, json};

use crate::support::client::read_until;
use crate::support::upstream::{Body, events, json as reply, open_stream, text};
use crate::support::{Ask, Rig, Scripted, Seen, Upstream};

const LIST: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"hidden","d":"x"}, {"name":"echo","inputSchema":{"n":1.0}}],"nextCursor":"c"}}"#;
const KEPT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"echo","inputSchema":{"n":1.0}}],"nextCursor":"c"}}"#;

fn list() -> Ask {
    Ask::post(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"cursor":null}}"#)
}

async fn rig_that_answers(answer: fn() -> Scripted) -> (Rig, Upstream) {
    let upstream = Upstream::start(move |_: &Seen| answer()).await;
    (Rig::start(&upstream.url).await, upstream)
}

#[tokio::test]
async fn a_json_answer_is_filtered() {
    let (rig, _upstream) =
        rig_that_answers(|| Scripted::Now(text(200, "application/json; charset=utf-8", LIST)))
            .await;
    let answer = list().send(rig.address).await;
    assert_eq!(answer.body, KEPT);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        answer.header("content-length"),
        Some(KEPT.len().to_string().as_str())
    );
    let unlimited = list().grant(4).send(rig.address).await;
    assert_eq!(unlimited.body, LIST);
}

#[tokio::test]
async fn an_event_stream_is_filtered_event_by_event_and_else_untouched() {
    let stream = |list: &str| {
        format!(
            ": hello\r\n\r\nid: 1\r\ndata:\r\n\r\nevent: message\r\nid: 2\r\ndata: {list}\r\n\r\n"
        )
    };
    let upstream = Upstream::start(move |_| events(stream(LIST))).await;
    let rig = Rig::start(&upstream.url).await;
    let answer = list().send(rig.address).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let expected =
        format!(": hello\r\n\r\nid: 1\r\ndata:\r\n\r\nevent: message\nid: 2\ndata: {KEPT}\n\n");
    assert_eq!(answer.body, expected);
    let unlimited = list().grant(4).send(rig.address).await;
    assert_eq!(unlimited.body, stream(LIST));
}

#[tokio::test]
async fn a_list_in_pieces_and_in_several_lines_is_filtered_too() {
    let upstream = Upstream::start(|_| {
        let (sender, answer) = open_stream();
        let lines = LIST.replace(',', ",\ndata: ");
        for byte in format!("\u{feff}data: {lines}\r\r").bytes() {
            sender.send(vec![byte].into()).expect("open");
        }
        Scripted::Now(answer)
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    let answer = list().send(rig.address).await;
    assert!(
        answer.body.contains("echo") && !answer.body.contains("hidden"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_replayed_stream_is_filtered() {
    let upstream = Upstream::start(|seen| {
        if seen.method == http::Method::GET {
            return events(format!("id: 9\ndata: {LIST}\n\n"));
        }
        let mut answer = text(
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        );
        answer
            .headers_mut()
            .insert("mcp-session-id", "s-1".parse().expect("a value"));
        Scripted::Now(answer)
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let opened = Ask::post(initialize).send(rig.address).await;
    let session = opened
        .header("mcp-session-id")
        .expect("a session")
        .to_owned();
    let stream = || Ask::new("GET").header("Mcp-Session-Id", &session);
    let answer = stream().send(rig.address).await;
    let id = answer.body.lines().next().expect("a line");
    let id = id.strip_prefix("id: ").expect("an id");
    assert_eq!(answer.body, format!("id: {id}\ndata: {KEPT}\n\n"));
    let replayed = stream().header("Last-Event-ID", id).send(rig.address).await;
    assert!(
        replayed.body.ends_with(&format!("\ndata: {KEPT}\n\n")),
        "{replayed:?}"
    );
    assert_eq!(upstream.seen()[2].header("last-event-id"), Some("9"));
    assert_eq!(upstream.seen()[2].header("mcp-session-id"), Some("s-1"));
    let unbound = Ask::new("GET")
        .header("Last-Event-ID", "8")
        .send(rig.address)
        .await;
    assert_eq!(unbound.status, 400);
}

#[tokio::test]
async fn an_array_of_messages_is_filtered() {
    let batch = || format!(r#"[{{"jsonrpc":"2.0","method":"notifications/x"}},{LIST}]"#);
    let upstream =
        Upstream::start(move |_| Scripted::Now(text(200, "application/json", batch()))).await;
    let rig = Rig::start(&upstream.url).await;
    assert_eq!(
        list().send(rig.address).await.body,
        batch().replace(LIST, KEPT)
    );
    let upstream = Upstream::start(move |_| events(format!("data: {}\n\n", batch()))).await;
    let rig = Rig::start(&upstream.url).await;
    let answer = list().send(rig.address).await;
    assert_eq!(
        answer.body,
        format!("data: {}\n\n", batch().replace(LIST, KEPT))
    );
}

#[tokio::test]
async fn a_modern_list_is_private_and_one_in_the_answer_to_a_call_is_filtered_as_well() {
    let upstream = Upstream::start(|seen| {
        let tools = json!([{ "name": "hidden" }, { "name": "echo" }]);
        let result = json!({ "tools": tools, "ttlMs": 9_000_000, "cacheScope": "public" });
        reply(
            200,
            &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": result }),
        )
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    let call = Ask::modern("tools/call", Some("free"), r#""name":"free""#);
    for ask in [Ask::modern("tools/list", None, ""), call] {
        let answer = ask.send(rig.address).await;
        let result = &answer.json()["result"];
        assert_eq!(result["tools"], json!([{ "name": "echo" }]), "{answer:?}");
        assert_eq!(result["cacheScope"], "private");
        assert_eq!(result["ttlMs"], 60_000);
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_does_not_pass() {
    for body in [
        r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[],"tools":[{"name":"hidden"}]}}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"tools":{"hidden":{}}}}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"hidden"}"#,
        "hidden",
    ] {
        let upstream =
            Upstream::start(move |_| Scripted::Now(text(200, "application/json", body))).await;
        let rig = Rig::start(&upstream.url).await;
        let answer = list().send(rig.address).await;
        assert_eq!(answer.status, 502, "{body}");
        assert_eq!(answer.json()["error"]["code"], -32603);
        assert_eq!(answer.json()["id"], 7);
        let upstream = Upstream::start(move |_| events(format!("data: {body}\n\n"))).await;
        let rig = Rig::start(&upstream.url).await;
        let answer = list().send(rig.address).await;
        assert!(!answer.body.contains("hidden"), "{answer:?}");
        let data = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix("data: "));
        let error: Value = serde_json::from_str(data.expect("an error")).expect("JSON");
        assert_eq!(
            (&error["id"], &error["error"]["code"]),
            (&json!(7), &json!(-32603))
        );
    }
}

#[tokio::test]
async fn encoded_and_foreign_answers_do_not_pass() {
    fn encoded() -> http::Response<Body> {
        let mut answer = text(200, "application/json", LIST);
        answer
            .headers_mut()
            .insert("content-encoding", "gzip".parse().expect("a value"));
        answer
    }
    let (rig, _upstream) = rig_that_answers(|| Scripted::Now(encoded())).await;
    assert_eq!(list().send(rig.address).await.status, 502);
    let (rig, _upstream) = rig_that_answers(|| Scripted::Now(text(200, "text/html", LIST))).await;
    let answer = list().send(rig.address).await;
    assert!(
        answer.status == 502 && !answer.body.contains("hidden"),
        "{answer:?}"
    );
    let (rig, _upstream) = rig_that_answers(|| {
        events(format!(
            "event: endpoint\nid: 3\ndata: {LIST}\n\ndata: {LIST}\nx: hidden\n\n"
        ))
    })
    .await;
    let answer = list().send(rig.address).await;
    assert_eq!(answer.body, format!("id: 3\n\ndata: {KEPT}\n\n"));
}

#[tokio::test]
async fn events_pass_while_the_stream_goes_on() {
    let (sender, answer) = open_stream();
    let answer = std::sync::Mutex::new(Some(answer));
    let upstream = Upstream::start(move |_| {
        Scripted::Now(
            answer
                .lock()
                .expect("no panic")
                .take()
                .expect("one request"),
        )
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    let mut client = Ask::new("GET").open(rig.address).await;
    for number in 0..3 {
        let message = format!("data: {{\"method\":\"notifications/n{number}\"}}\n\n");
        sender.send(message.into()).expect("open");
        let seen = read_until(&mut client, &format!("n{number}")).await;
        assert!(seen.is_some(), "{number}");
    }
}

#[tokio::test]
async fn instructions_name_no_hidden_tool() {
    let upstream = Upstream::start(|seen: &Seen| {
        let result = json!({ "instructions": "Never call hidden.", "capabilities": {} });
        reply(
            200,
            &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": result }),
        )
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    let initialize = || Ask::post(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    let discover = || Ask::modern("server/discover", None, "");
    for ask in [initialize(), discover()] {
        let result = ask.send(rig.address).await.json()["result"].clone();
        assert_eq!(result["instructions"], "", "{result}");
    }
    // A grant that nothing is hidden from.
    for ask in [initialize(), discover()] {
        let result = ask.grant(4).send(rig.address).await.json()["result"].clone();
        assert_eq!(result["instructions"], "Never call hidden.");
    }
}
