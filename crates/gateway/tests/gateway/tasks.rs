//! Tasks: an id is worth something to the grant whose call became the task, and to nobody else.

use quotum_registry::Change;
use quotum_registry::name::Name;
use quotum_registry::policy::Document;
use serde_json::{Value, json};

use crate::support::upstream::{events, json as reply};
use crate::support::{Ask, Rig, RigBuilder, Scripted, Seen, Upstream};

const RELATED: &str = "io.modelcontextprotocol/related-task";
const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The id of every task here, as the upstream has it.
const TASK: &str = "up-task";

/// A server whose calls become tasks, in the form of the request's era.
fn with_tasks(seen: &Seen) -> Scripted {
    let request = seen.json();
    let modern = seen.header("mcp-protocol-version") == Some("2026-07-28");
    let id = request["params"]["taskId"].clone();
    let result = match request["method"].as_str() {
        Some("tools/call") if modern => {
            json!({ "resultType": "task", "taskId": TASK, "status": "working" })
        }
        Some("tools/call") => json!({ "task": { "taskId": TASK, "status": "working" } }),
        Some("tasks/result") => json!({ "content": [], "_meta": { RELATED: { "taskId": id } } }),
        _ => json!({ "taskId": id, "status": "completed" }),
    };
    reply(
        200,
        &json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
    )
}

async fn rig(upstream: &Upstream) -> Rig {
    RigBuilder::default().tasks().start(&upstream.url).await
}

fn call(tool: &str) -> Ask {
    let params = json!({ "name": tool, "task": { "ttl": 60_000 } });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    Ask::post(call.to_string())
}

fn about(method: &str, id: &str) -> Ask {
    let params = json!({ "taskId": id });
    Ask::post(json!({ "jsonrpc": "2.0", "id": 2, "method": method, "params": params }).to_string())
}

fn modern_call(tool: &str) -> Ask {
    Ask::modern("tools/call", Some(tool), &format!(r#""name":"{tool}""#))
}

fn modern_about(method: &str, id: &str) -> Ask {
    Ask::modern(method, Some(id), &format!(r#""taskId":"{id}""#))
}

/// The sealed id of a task of grant 1.
async fn made(rig: &Rig) -> String {
    let answer = call("free").send(rig.address).await.json();
    let id = answer["result"]["task"]["taskId"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn error(answer: &Value) -> (i64, &str) {
    let error = &answer["error"];
    (
        error["code"].as_i64().unwrap_or_default(),
        error["message"].as_str().unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_task_has_an_id_of_its_clients_own() {
    let upstream = Upstream::start(with_tasks).await;
    let rig = rig(&upstream).await;
    let id = made(&rig).await;
    assert!(!id.contains(TASK), "{id}");
    for method in ["tasks/get", "tasks/cancel"] {
        let answer = about(method, &id).send(rig.address).await.json();
        assert_eq!(answer["result"]["taskId"], id, "{method}");
    }
    let answer = about("tasks/result", &id).send(rig.address).await;
    assert_eq!(
        answer.json()["result"]["_meta"][RELATED]["taskId"],
        id,
        "{answer:?}"
    );
    let seen = upstream.seen();
    assert_eq!(seen.len(), 4);
    for one in &seen[1..] {
        assert_eq!(one.json()["params"]["taskId"], TASK);
    }
}

#[tokio::test]
async fn a_task_of_the_modern_era_is_routed_by_the_upstreams_id() {
    let upstream = Upstream::start(with_tasks).await;
    let rig = rig(&upstream).await;
    let answer = modern_call("free").send(rig.address).await.json();
    let id = answer["result"]["taskId"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert!(!id.contains(TASK), "{id}");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let answer = modern_about(method, &id).send(rig.address).await.json();
        assert_eq!(answer["result"]["taskId"], id, "{method}");
    }
    for one in &upstream.seen()[1..] {
        assert_eq!(one.json()["params"]["taskId"], TASK);
        assert_eq!(one.header("mcp-name"), Some(TASK));
    }
    let lying = modern_about("tasks/get", &id)
        .without("Mcp-Name")
        .header("Mcp-Name", TASK);
    assert_eq!(error(&lying.send(rig.address).await.json()).0, -32020);
}

#[tokio::test]
async fn nobody_else_reads_or_ends_a_task() {
    let upstream = Upstream::start(with_tasks).await;
    let rig = rig(&upstream).await;
    let id = made(&rig).await;
    let mut forged = id.clone();
    forged.replace_range(10..11, if &id[10..11] == "A" { "B" } else { "A" });
    for method in ["tasks/get", "tasks/result", "tasks/update", "tasks/cancel"] {
        let asks = [
            about(method, &id).grant(2),
            about(method, TASK),
            about(method, &forged),
            about(method, ""),
        ];
        for ask in asks {
            let answer = ask.send(rig.address).await.json();
            assert_eq!(error(&answer), (-32602, "Task not found"), "{method}");
        }
    }
    let foreign = modern_about("tasks/get", &id)
        .grant(2)
        .send(rig.address)
        .await;
    assert_eq!(error(&foreign.json()), (-32602, "Task not found"));
    let list = Ask::post(r#"{"jsonrpc":"2.0","id":2,"method":"tasks/list"}"#);
    assert_eq!(error(&list.send(rig.address).await.json()).0, -32601);
    let other_type = Ask::post(
        r#"{"jsonrpc":"2.0","id":2,"method":"tasks/get","params":{"taskId":["up-task"]}}"#,
    );
    assert_eq!(error(&other_type.send(rig.address).await.json()).0, -32602);
    let none = Ask::post(r#"{"jsonrpc":"2.0","id":2,"method":"tasks/get"}"#);
    assert_eq!(error(&none.send(rig.address).await.json()).0, -32602);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn no_seal_opens_as_another_kind() {
    let upstream = Upstream::start(with_tasks).await;
    let rig = rig(&upstream).await;
    let id = made(&rig).await;
    let session = Ask::call("free", json!({})).header("Mcp-Session-Id", &id);
    assert_eq!(session.send(rig.address).await.status, 404);
}

#[tokio::test]
async fn limits_hold_for_calls_that_become_tasks() {
    let upstream = Upstream::start(with_tasks).await;
    let rig = rig(&upstream).await;
    for grant in [1, 2] {
        let asks = [call("echo"), modern_call("echo")].map(|ask| ask.grant(grant));
        for ask in asks {
            let answer = ask.send(rig.address).await;
            assert!(answer.body.contains("taskId"), "{answer:?}");
        }
        for ask in [call("echo"), modern_call("echo")] {
            let answer = ask.grant(grant).send(rig.address).await;
            assert!(answer.text().contains("Rate limit of 2"), "{answer:?}");
        }
        let denied = call("forbidden").grant(grant).send(rig.address).await;
        assert!(denied.text().contains("not permitted"), "{denied:?}");
    }
    assert_eq!((upstream.calls(), rig.memory.charged()), (4, 4));
}

#[tokio::test]
async fn a_task_of_a_tool_that_was_hidden_meanwhile_can_only_be_ended() {
    let upstream = Upstream::start(with_tasks).await;
    let mut rig = rig(&upstream).await;
    let id = made(&rig).await;
    rig.change(Change::PutPolicy {
        name: Name::new("p").expect("a name"),
        document: Document::new(r#"{"version":"1","default":"deny","tools":{"echo":{}}}"#),
    });
    for method in ["tasks/get", "tasks/result", "tasks/update"] {
        let answer = about(method, &id).send(rig.address).await.json();
        assert_eq!(error(&answer).0, -32602, "{method}");
    }
    let ended = about("tasks/cancel", &id).send(rig.address).await.json();
    assert_eq!(ended["result"]["taskId"], id);
}

/// An event stream in which the call becomes a task and is spoken of, and so is another's.
#[tokio::test]
async fn a_stream_tells_of_its_own_tasks_only() {
    let upstream = Upstream::start(|seen: &Seen| {
        let answer = json!({ "jsonrpc": "2.0", "id": seen.json()["id"],
            "result": { "task": { "taskId": TASK, "status": "working" } } });
        let status = |id: &str| {
            json!({ "jsonrpc": "2.0", "method": "notifications/tasks/status",
                "params": { "taskId": id, "status": "completed", "statusMessage": format!("of {id}") } })
        };
        let asked = json!({ "jsonrpc": "2.0", "id": 9, "method": "elicitation/create",
            "params": { "_meta": { RELATED: { "taskId": TASK } } } });
        let all = [status("other"), answer, asked, status("other"), status(TASK)];
        let all: Vec<String> = all.iter().map(|one| format!("data: {one}\n\n")).collect();
        events(all.concat())
    })
    .await;
    let rig = rig(&upstream).await;
    let body = call("free").send(rig.address).await.body;
    let messages: Vec<Value> = body
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    assert_eq!(messages.len(), 3, "{body}");
    let id = &messages[0]["result"]["task"]["taskId"];
    assert_eq!(&messages[1]["params"]["_meta"][RELATED]["taskId"], id);
    assert_eq!(&messages[2]["params"]["taskId"], id);
    assert!(!body.contains("of other"), "{body}");
}

#[tokio::test]
async fn lists_of_tasks_do_not_pass() {
    let upstream = Upstream::start(|seen: &Seen| {
        let tasks = json!([{ "taskId": "other", "status": "working" }]);
        reply(
            200,
            &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": { "tasks": tasks } }),
        )
    })
    .await;
    let rig = rig(&upstream).await;
    let answer = call("free").send(rig.address).await;
    assert_eq!(answer.status, 502);
    assert!(!answer.body.contains("other"), "{answer:?}");
}

#[tokio::test]
async fn a_subscription_names_tasks_of_its_own() {
    let upstream = Upstream::start(|seen: &Seen| match seen.json()["method"].as_str() {
        Some("tools/call") => with_tasks(seen),
        _ => {
            let ids = seen.json()["params"]["notifications"]["taskIds"].clone();
            let message = |method: &str, params: Value| {
                let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
                format!("data: {message}\n\n")
            };
            events(
                message(
                    "notifications/subscriptions/acknowledged",
                    json!({ "notifications": { "taskIds": ids } }),
                ) + &message("notifications/tasks", json!({ "taskId": TASK })),
            )
        }
    })
    .await;
    let rig = rig(&upstream).await;
    let answer = modern_call("free").send(rig.address).await.json();
    let id = answer["result"]["taskId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let listen = |id: &str| {
        let params = format!(r#""notifications":{{"taskIds":["{id}"]}}"#);
        Ask::modern("subscriptions/listen", None, &params)
    };
    let body = listen(&id).send(rig.address).await.body;
    assert_eq!(body.matches(&id).count(), 2, "{body}");
    assert!(!body.contains(TASK), "{body}");
    let foreign = listen(TASK).send(rig.address).await;
    assert_eq!(error(&foreign.json()), (-32602, "Task not found"));
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn where_tasks_are_off_no_client_offers_to_take_one() {
    let upstream = Upstream::start(with_tasks).await;
    let rig = Rig::start(&upstream.url).await;
    let meta = |extensions: Value| {
        json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": { "extensions": extensions, "roots": {} } })
    };
    let ask = |extensions: Value| {
        let params =
            json!({ "name": "free", "_meta": meta(extensions), "arguments": { "é": "\n" } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        Ask::post(body.to_string())
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", "free")
    };
    for (given, left) in [
        (
            json!({ EXTENSION: {}, "x/y": { "a": [1] } }),
            json!({ "x/y": { "a": [1] } }),
        ),
        (json!({ EXTENSION: {} }), json!({})),
        (json!({ "x/y": {} }), json!({ "x/y": {} })),
    ] {
        let answer = ask(given).send(rig.address).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let params = upstream.seen().pop().expect("a call").json()["params"].clone();
        assert_eq!(params["_meta"], meta(left));
        assert_eq!(params["arguments"], json!({ "é": "\n" }));
    }
}

#[tokio::test]
async fn a_server_says_that_it_has_tasks_only_where_they_are_on() {
    let upstream = Upstream::start(|seen: &Seen| {
        let capabilities = json!({ "tools": {}, "tasks": { "cancel": {} },
            "extensions": { EXTENSION: {}, "x/y": {} } });
        reply(
            200,
            &json!({ "jsonrpc": "2.0", "id": seen.json()["id"],
                "result": { "capabilities": capabilities } }),
        )
    })
    .await;
    let (off, on) = (Rig::start(&upstream.url).await, rig(&upstream).await);
    let initialize = || Ask::post(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    let discover = || Ask::modern("server/discover", None, "");
    let said = async |ask: Ask, rig: &Rig| {
        let answer = ask.send(rig.address).await.json();
        answer["result"]["capabilities"].clone()
    };
    for ask in [initialize, discover] {
        assert_eq!(
            said(ask(), &off).await,
            json!({ "tools": {}, "extensions": { "x/y": {} } })
        );
        let all = said(ask(), &on).await;
        assert!(all["tasks"].is_object() && all["extensions"][EXTENSION].is_object());
    }
}
