//! Calls of tools: decided, denied in the documented shape, forwarded, settled.

use quotum_registry::server::Refund;
use serde_json::{Value, json};

use crate::support::upstream::{events, json as reply, succeed, text};
use crate::support::{Ask, Mood, Rig, RigBuilder, Scripted, Upstream};

fn error(code: i64) -> impl Fn(&crate::support::Seen) -> Scripted {
    move |seen| {
        let error = json!({ "code": code, "message": "from upstream" });
        reply(
            200,
            &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "error": error }),
        )
    }
}

#[tokio::test]
async fn an_allowed_call_is_forwarded_byte_for_byte_under_the_gateways_own_name() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let body = r#" { "jsonrpc":"2.0", "method":"tools\/call","id" :9007199254740993,"params":{"name":"\u0065cho","arguments":{"n":1.0}}} "#;
    let answer = Ask::post(body)
        .header("Cookie", "a=b")
        .header("X-Forwarded-For", "1.2.3.4")
        .header("X-HTTP-Method-Override", "DELETE")
        .header("Mcp-Name", "lie")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .send(rig.address)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some(r#""echo_rate";q=2;w=60"#)
    );
    assert_eq!(answer.header("ratelimit"), Some(r#""echo_rate";r=1;t=12"#));
    let seen = upstream.seen().remove(0);
    assert_eq!(seen.body, body);
    assert_eq!(seen.target, "/up/mcp");
    assert_eq!(seen.header("authorization"), Some("Bearer upstream-secret"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert!(upstream.url.contains(seen.header("host").expect("a host")));
    for absent in [
        "cookie",
        "x-forwarded-for",
        "x-http-method-override",
        "mcp-name",
        "origin",
    ] {
        assert_eq!(seen.header(absent), None, "{absent}");
    }
    let records = rig.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["outcome"], "allowed");
    assert_eq!(records[0]["tool"], "echo");
    assert_eq!(records[0]["arguments"], json!(["n"]));
    assert_eq!(records[0]["upstream"]["status"], 200);
    assert_eq!(records[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(records[0]["position"]["index"], 7);
}

#[tokio::test]
async fn the_call_beyond_the_limit_is_denied_in_words_and_never_reaches_the_upstream() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    for _ in 0..2 {
        assert_eq!(
            Ask::call("echo", json!({})).send(rig.address).await.status,
            200
        );
    }
    let denied = Ask::call("echo", json!({})).send(rig.address).await;
    assert_eq!(denied.status, 200);
    assert_eq!(denied.header("retry-after"), Some("12"));
    assert_eq!(denied.header("ratelimit"), Some(r#""echo_rate";r=0;t=12"#));
    let result = &denied.json()["result"];
    assert_eq!(result["isError"], true);
    assert_eq!(
        denied.text(),
        "[POLICY DENIED] Rate limit of 2 per minute reached for echo. Retry in 12 s."
    );
    let meta = &result["_meta"]["io.quotum/decision"];
    assert_eq!(meta["rule"], "/tools/echo/limits/echo_rate");
    assert_eq!(meta["policy"], "p");
    assert_eq!(meta["max"], 2);
    assert_eq!(meta["window"], "minute");
    assert_eq!(meta["remaining"], 0);
    assert_eq!(meta["reset_after_ms"], 12_000);
    assert_eq!(meta["retry_after_ms"], 11_500);
    assert!(meta["decision_id"].is_string() && result.get("structuredContent").is_none());
    assert_eq!(upstream.calls(), 2);
    let other = Ask::call("echo", json!({}))
        .grant(2)
        .send(rig.address)
        .await;
    assert_eq!(other.json()["result"]["isError"], Value::Null);
}

#[tokio::test]
async fn under_default_deny_a_hidden_tool_looks_like_one_that_does_not_exist() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let shape = |answer: crate::support::Answer, name: &str| {
        let mut json = answer.json();
        json["result"]["_meta"]["io.quotum/decision"]["decision_id"] = Value::Null;
        json.to_string().replace(name, "NAME")
    };
    let hidden = Ask::call("hidden", json!({})).send(rig.address).await;
    assert_eq!(
        hidden.text(),
        r#"[POLICY DENIED] Tool "hidden" is not permitted by policy."#
    );
    let unlisted = Ask::call("nosuch", json!({})).send(rig.address).await;
    assert_eq!(shape(hidden, "hidden"), shape(unlisted, "nosuch"));
    assert_eq!(upstream.calls(), 0);
    let records = rig.records();
    assert_eq!(records[0]["outcome"], "hidden");
    assert_eq!(records[0]["rule"], "(hidden)");
    assert_eq!(records[1]["rule"], "(default deny)");
}

#[tokio::test]
async fn under_default_allow_a_hidden_tool_is_unknown() {
    let upstream = Upstream::start(succeed).await;
    let policy = r#"{"version":"1","default":"allow","hide":["hidden"]}"#;
    let rig = RigBuilder::default()
        .policy(policy)
        .start(&upstream.url)
        .await;
    let answer = Ask::call("hidden", json!({})).send(rig.address).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["error"]["code"], -32602);
    assert_eq!(answer.json()["error"]["message"], "Unknown tool: hidden");
    assert_eq!(answer.json()["id"], 7);
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn arguments_are_judged_and_a_grant_without_a_policy_gets_nothing() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let paid = Ask::call("pay", json!({ "amount": 100 }))
        .send(rig.address)
        .await;
    assert_eq!(paid.json()["result"]["isError"], Value::Null);
    for amount in [json!(101), json!("500")] {
        let denied = Ask::call("pay", json!({ "amount": amount }))
            .send(rig.address)
            .await;
        assert_eq!(
            denied.text(),
            "[POLICY DENIED] Denied by policy: args.amount gt 100."
        );
    }
    let denied = Ask::call("free", json!({}))
        .grant(4)
        .send(rig.address)
        .await;
    assert_eq!(denied.text(), "[POLICY DENIED] This grant has no policy.");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_modern_call_is_checked_against_its_headers_and_routed_afresh() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let params = r#""name":"free","arguments":{}"#;
    let answer = Ask::modern("tools/call", Some("=?base64?ZnJlZQ==?="), params)
        .header("Mcp-Session-Id", "whatever")
        .header("Mcp-Param-Region", "eu")
        .send(rig.address)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = upstream.seen().remove(0);
    assert_eq!(seen.header("mcp-name"), Some("free"));
    assert_eq!(seen.header("mcp-method"), Some("tools/call"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(seen.header("mcp-param-region"), Some("eu"));
    assert_eq!(seen.header("mcp-session-id"), None);
    let lie = Ask::modern("tools/call", Some("free"), r#""name":"echo""#)
        .send(rig.address)
        .await;
    assert_eq!(
        (lie.status, &lie.json()["error"]["code"]),
        (400, &json!(-32020))
    );
    assert_eq!(lie.json()["id"], "m");
    let denied = Ask::modern("tools/call", Some("x"), r#""name":"x""#)
        .send(rig.address)
        .await;
    assert_eq!(denied.json()["result"]["resultType"], "complete");
    let unknown = Ask::modern("acme/do", None, "").send(rig.address).await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404, &json!(-32601))
    );
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn units_come_back_where_the_call_provably_did_not_run() {
    for code in [-32700, -32600, -32601, -32020, -32022] {
        let upstream = Upstream::start(error(code)).await;
        let rig = Rig::start(&upstream.url).await;
        let answer = Ask::call("echo", json!({})).send(rig.address).await;
        assert_eq!(answer.json()["error"]["code"], code);
        assert_eq!(
            (rig.memory.acquires(), rig.memory.charged()),
            (1, 0),
            "{code}"
        );
    }
    for status in [401, 404, 405, 406, 413, 415] {
        let upstream =
            Upstream::start(move |_| Scripted::Now(text(status, "text/plain", "secret"))).await;
        let rig = Rig::start(&upstream.url).await;
        let answer = Ask::call("echo", json!({})).send(rig.address).await;
        assert!(!answer.body.contains("secret"), "{answer:?}");
        assert_eq!(answer.json()["error"]["code"], -32603);
        assert_eq!(
            (rig.memory.acquires(), rig.memory.charged()),
            (1, 0),
            "{status}"
        );
    }
    let stream = Upstream::start(|_| {
        events("data: {\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32601,\"message\":\"x\"}}\n\n")
    })
    .await;
    let rig = Rig::start(&stream.url).await;
    Ask::call("echo", json!({})).send(rig.address).await;
    assert_eq!((rig.memory.acquires(), rig.memory.charged()), (1, 0));
    let closed = RigBuilder::default().start("http://127.0.0.1:9/mcp").await;
    let answer = Ask::call("echo", json!({})).send(closed.address).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (502, &json!(-32603))
    );
    assert_eq!((closed.memory.acquires(), closed.memory.charged()), (1, 0));
}

#[tokio::test]
async fn units_stay_charged_where_the_tool_ran_or_may_have() {
    for code in [-32602, -32603, -32000] {
        let upstream = Upstream::start(error(code)).await;
        let rig = Rig::start(&upstream.url).await;
        Ask::call("echo", json!({})).send(rig.address).await;
        assert_eq!(rig.memory.charged(), 1, "{code}");
    }
    for status in [400, 429, 500, 503] {
        let upstream =
            Upstream::start(move |_| Scripted::Now(text(status, "text/plain", "secret"))).await;
        let rig = Rig::start(&upstream.url).await;
        let answer = Ask::call("echo", json!({})).send(rig.address).await;
        assert!(!answer.body.contains("secret"));
        assert_eq!(rig.memory.charged(), 1, "{status}");
    }
    let failing = |seen: &crate::support::Seen| {
        let result = json!({ "content": [], "isError": true });
        reply(
            200,
            &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": result }),
        )
    };
    let upstream = Upstream::start(failing).await;
    let rig = Rig::start(&upstream.url).await;
    Ask::call("echo", json!({})).send(rig.address).await;
    assert_eq!(rig.memory.charged(), 1);
    let generous = RigBuilder::default()
        .refund(Refund::AnyFailure)
        .start(&upstream.url)
        .await;
    Ask::call("echo", json!({})).send(generous.address).await;
    assert_eq!(generous.memory.charged(), 0);
}

#[tokio::test]
async fn without_an_answer_of_the_counters_each_limit_decides() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    rig.memory.set_mood(Mood::Silent);
    let denied = Ask::call("echo", json!({})).send(rig.address).await;
    assert_eq!(
        denied.text(),
        "[POLICY DENIED] The rate limit cannot be checked right now. Retry later."
    );
    assert_eq!(upstream.calls(), 0);
    for tool in ["open", "free", "shadow"] {
        let answer = Ask::call(tool, json!({})).send(rig.address).await;
        assert_eq!(answer.json()["result"]["isError"], Value::Null, "{tool}");
    }
    let text = rig.exposition.render();
    for (tool, reason) in [
        ("echo", "unavailable"),
        ("open", "none"),
        ("shadow", "none"),
    ] {
        let counted = format!(
            r#"quotum_decisions_total{{server="demo",tool="{tool}",outcome="unavailable",reason="{reason}",path="none"}} 1"#
        );
        assert!(text.contains(&counted), "{tool}: {text}");
    }
    let outcomes: Vec<Value> = rig
        .records()
        .into_iter()
        .map(|record| record["outcome"].clone())
        .collect();
    assert_eq!(
        outcomes,
        ["unavailable", "unavailable", "allowed", "unavailable"]
    );
}

#[tokio::test]
async fn an_admission_that_ran_out_is_asked_for_once_more_and_the_call_runs_once() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    rig.memory.make_late(1);
    let answer = Ask::call("echo", json!({})).send(rig.address).await;
    assert_eq!(answer.json()["result"]["isError"], Value::Null);
    assert_eq!(
        (
            upstream.calls(),
            rig.memory.acquires(),
            rig.memory.charged()
        ),
        (1, 2, 1)
    );
    rig.memory.make_late(2);
    let denied = Ask::call("echo", json!({})).send(rig.address).await;
    assert_eq!(denied.json()["result"]["isError"], true);
    assert_eq!((upstream.calls(), rig.memory.charged()), (1, 1));
    let outcomes: Vec<Value> = rig
        .records()
        .into_iter()
        .map(|record| record["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["allowed", "unavailable"]);
}

#[tokio::test]
async fn a_shadow_limit_counts_and_reports_but_never_denies() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    for _ in 0..2 {
        let answer = Ask::call("shadow", json!({})).send(rig.address).await;
        assert_eq!(answer.json()["result"]["isError"], Value::Null);
        assert_eq!(answer.header("ratelimit"), None);
    }
    let records = rig.records();
    assert_eq!(records[0]["outcome"], "allowed");
    assert_eq!(records[1]["outcome"], "shadow_denied");
    assert_eq!(records[1]["rule"], "/tools/shadow/limits/shadow_rate");
}

#[tokio::test]
async fn no_redirect_is_followed_and_no_credential_is_asked_of_the_client() {
    let target = Upstream::start(succeed).await;
    let elsewhere = target.url.clone();
    let upstream = Upstream::start(move |_| {
        let mut answer = text(307, "text/plain", "");
        answer
            .headers_mut()
            .insert("location", elsewhere.parse().expect("a value"));
        answer
            .headers_mut()
            .insert("set-cookie", "a=b".parse().expect("a value"));
        answer
            .headers_mut()
            .insert("www-authenticate", "Bearer".parse().expect("a value"));
        Scripted::Now(answer)
    })
    .await;
    let rig = Rig::start(&upstream.url).await;
    let answer = Ask::call("free", json!({})).send(rig.address).await;
    assert_eq!(answer.status, 502);
    for absent in ["location", "set-cookie", "www-authenticate"] {
        assert_eq!(answer.header(absent), None);
    }
    assert_eq!((upstream.calls(), target.calls()), (1, 0));
}

/// `echo` and `pay` have a limit of their own, and all tools one together.
const LIMITED: &str = r#"{"version":"1","default":"deny","hide":["hidden"],"tools":{
    "hidden":{"rate_limit":"9/hour"},
    "open":{"limits":[{"counter":"o","window":"minute","max":2,"on_unavailable":"allow"}]},
    "echo":{"rate_limit":"2/minute"},
    "pay":{"rate_limit":"3/hour","deny_if":[{"conditions":[]}]},
    "form":{"require":[{"conditions":[{"path":"args.a","op":"exists","value":true}]}]}},
    "all_tools":{"limits":[{"counter":"all","window":"day","max":50,"on_unavailable":"allow"},
        {"counter":"quiet","window":"day","max":1,"mode":"shadow"}]}}"#;

#[tokio::test]
async fn every_governed_call_tells_which_limits_it_has() {
    let upstream = Upstream::start(succeed).await;
    let rig = RigBuilder::default()
        .policy(LIMITED)
        .start(&upstream.url)
        .await;
    let all = r#""all";q=50;w=86400"#;
    let with = |own: &str| Some(format!("{own}, {all}"));
    let fields = async |tool: &str| {
        let answer = Ask::call(tool, json!({})).send(rig.address).await;
        let field = |name: &str| answer.header(name).map(str::to_owned);
        (field("ratelimit-policy"), field("ratelimit"))
    };
    let pay = with(r#""pay_rate";q=3;w=3600"#);
    assert_eq!(fields("pay").await, (pay, None), "deny_if");
    assert_eq!(fields("form").await, (Some(all.to_owned()), None));
    // A hidden tool looks like one that does not exist.
    for tool in ["hidden", "nosuch"] {
        assert_eq!(fields(tool).await, (None, None), "{tool}");
    }
    let echo = with(r#""echo_rate";q=2;w=60"#);
    rig.memory.make_late(2);
    assert_eq!(fields("echo").await, (echo.clone(), None), "too late");
    rig.memory.set_mood(Mood::Silent);
    assert_eq!(fields("echo").await, (echo.clone(), None), "denied");
    let open = with(r#""o";q=2;w=60"#);
    assert_eq!(fields("open").await, (open, None), "let through");
    rig.memory.set_mood(Mood::Answering);
    let (policy, remaining) = fields("echo").await;
    assert_eq!(policy, echo);
    assert!(remaining.is_some_and(|text| text.starts_with(r#""echo_rate";r=1"#)));
}
