//! `quotum dev` end to end: real processes, plain HTTP, and signals.

mod cluster;
mod denials;
mod flood;
mod nodes;

use std::fs;
use std::path::Path;
use std::time::Duration;

use cluster::{Dev, call, is_running, message, post, send, until};
use rustix::process::Signal;
use serde_json::{Value, json};

const TOOL: &str = "send_interactive_flow";
const RULE: &str = "/tools/send_interactive_flow/limits/send_interactive_flow_rate";

/// As many calls as the demo policy allows, in a window that does not end within a test.
fn policy(max: u64) -> Value {
    let limit = json!({ "counter": "send_interactive_flow_rate", "window": "366d", "max": max });
    json!({
        "version": "1",
        "default": "deny",
        "hide": ["delete_account"],
        "tools": { TOOL: { "limits": [limit] }, "list_customers": {} },
    })
}

fn write_policy(folder: &Path, max: u64) -> String {
    let path = folder.join("policy.json");
    fs::write(&path, policy(max).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn is_allowed(result: &Value) -> bool {
    result["isError"] == false
}

fn denied_by(result: &Value) -> &Value {
    &result["_meta"]["io.quotum/decision"]["rule"]
}

#[test]
fn thirty_calls_pass_and_what_was_counted_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), write_policy(folder.path(), 30));
    let mut dev = Dev::start(&data, &["--policy", &file]);
    for number in 0..30 {
        let url = dev.gateway(number % 2);
        assert!(
            is_allowed(&call(url, dev.token(0), TOOL, json!({}))),
            "call {number}"
        );
    }
    for gateway in [0, 1] {
        let result = call(dev.gateway(gateway), dev.token(0), TOOL, json!({}));
        assert_eq!(denied_by(&result), RULE, "{result}");
    }
    assert_eq!(dev.executions(TOOL), 30);
    // The other grant has units of its own.
    assert!(is_allowed(&call(
        dev.gateway(0),
        dev.token(1),
        TOOL,
        json!({})
    )));

    let (gateway, token) = (dev.gateway(1).to_owned(), dev.token(0).to_owned());
    dev.signal(Signal::KILL);
    dev.wait();
    let dev = Dev::start(&data, &["--policy", &file]);
    assert_eq!(
        (dev.gateway(1), dev.token(0)),
        (gateway.as_str(), token.as_str())
    );
    let result = call(&gateway, &token, TOOL, json!({}));
    assert_eq!(denied_by(&result), RULE, "{result}");
    assert_eq!(dev.executions(TOOL), 0);
    assert!(is_allowed(&call(&gateway, dev.token(1), TOOL, json!({}))));
}

#[test]
fn the_demo_policy_is_what_is_said_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "1"]);
    let (url, token) = (dev.gateway(0), dev.token(0));
    let (_, answer) = message(url, token, "tools/list", json!({}));
    let tools = answer["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    assert_eq!(names, [TOOL, "list_customers", "create_charge"]);
    let result = call(url, token, "create_charge", json!({ "amount": 10_001 }));
    assert_eq!(
        denied_by(&result),
        "/tools/create_charge/deny_if/args.amount-gt"
    );
    assert!(is_allowed(&call(
        url,
        token,
        "create_charge",
        json!({ "amount": 10_000 })
    )));
    assert!(is_allowed(&call(url, token, "list_customers", json!({}))));
    assert_eq!(
        denied_by(&call(url, token, "delete_account", json!({}))),
        "(default deny)"
    );
    assert_eq!(dev.executions("create_charge"), 1);
    assert_eq!(dev.executions("delete_account"), 0);
}

#[test]
fn one_directory_is_for_one_and_two_directories_are_for_two() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let mut dev = Dev::start(&one, &["--gateways", "1"]);
    let second = Dev::fail(&one, &["--gateways", "1"]);
    assert_eq!(second.status.code(), Some(1));
    let err = String::from_utf8(second.stderr).unwrap();
    assert!(err.contains("another process uses this folder"), "{err}");
    let beside = Dev::start(&other, &["--gateways", "1"]);
    for dev in [&dev, &beside] {
        assert!(is_allowed(&call(
            dev.gateway(0),
            dev.token(0),
            "list_customers",
            json!({})
        )));
    }
    assert_ne!(dev.token(0), beside.token(0));
    dev.signal(Signal::TERM);
    assert_eq!(dev.wait(), Some(0));
}

#[test]
fn an_operator_changes_what_holds_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(&folder.path().join("data"), &[]);
    let document = json!({ "kind": "Policy", "name": "two", "document": policy(2) });
    fs::write(folder.path().join("two.yaml"), document.to_string()).unwrap();
    let planned = dev.operate("apply -f two.yaml --plan");
    assert_eq!(planned["stage"], "planned");
    assert_eq!(planned["changes"].as_array().unwrap().len(), 1);
    let applied = dev.operate("apply -f two.yaml --wait");
    assert_eq!(
        (&applied["stage"], &applied["gateways"]),
        (&json!("served"), &json!(2))
    );
    assert_eq!(
        dev.operate("apply -f two.yaml --plan")["changes"],
        json!([])
    );

    let made = dev.operate("grant create extra --server demo --policy two --expires-in 1h --wait");
    let token = made["token"].as_str().unwrap();
    let results: Vec<bool> = [0, 1, 0]
        .map(|gateway| is_allowed(&call(dev.gateway(gateway), token, TOOL, json!({}))))
        .to_vec();
    assert_eq!(results, [true, true, false]);

    let rotated = dev.operate("grant rotate extra");
    let next = rotated["token"].as_str().unwrap();
    for gateway in [0, 1] {
        let (status, _) = post(dev.gateway(gateway), token, TOOL, json!({}));
        assert_eq!(status, 401, "the old token at gateway {gateway}");
        let result = call(dev.gateway(gateway), next, TOOL, json!({}));
        assert_eq!(denied_by(&result), RULE, "the count stays with the grant");
    }
    let refused = dev.try_operate("grant revoke extra --server other");
    assert_eq!(refused.status.code(), Some(1));
    dev.operate("grant revoke extra --server demo --wait");
    for gateway in [0, 1] {
        assert_eq!(post(dev.gateway(gateway), next, TOOL, json!({})).0, 401);
    }
    let shown = dev.operate("get grants extra");
    assert_eq!(
        (&shown[0]["revoked"], &shown[0]["policy"]),
        (&json!(true), &json!("two"))
    );
    assert!(!shown.to_string().contains("qtm_"), "{shown}");
}

#[test]
fn an_administrator_may_what_its_role_says_until_it_is_revoked() {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "1"]);
    let made = dev.operate("administrator create eve --role viewer");
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("qta_"), "{made}");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).mode(0o600);
    let mut file = file.open(folder.path().join("eve")).unwrap();
    std::io::Write::write_all(&mut file, token.as_bytes()).unwrap();
    let listed = dev.operate("administrator list");
    assert_eq!(
        (&listed[0]["name"], &listed[0]["role"]),
        (&json!("eve"), &json!("viewer"))
    );
    dev.operate("get servers --admin-token-file eve");
    let told = |line: &str| {
        let output = dev.try_operate(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for denied in [
        "grant create mine --server demo --policy demo",
        "administrator create mallory --role admin",
        "cluster remove 1",
    ] {
        let text = told(&format!("{denied} --admin-token-file eve"));
        assert!(text.contains("eve has the role viewer"), "{text}");
    }
    dev.operate("administrator revoke eve");
    let text = told("get servers --admin-token-file eve");
    assert!(text.contains("no admin token of this cluster"), "{text}");
}

#[test]
fn a_grant_that_was_applied_gets_its_token_by_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "1"]);
    let grant = "kind: Grant\nname: written\nserver: demo\npolicy: demo\n";
    fs::write(folder.path().join("grant.yaml"), grant).unwrap();
    dev.operate("apply -f grant.yaml");
    let rotated = dev.operate("grant rotate written");
    let token = rotated["token"].as_str().unwrap();
    assert!(is_allowed(&call(
        dev.gateway(0),
        token,
        "list_customers",
        json!({})
    )));
}

#[test]
fn a_killed_node_is_missed_by_nobody_and_started_again_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_policy(folder.path(), 30);
    let options = ["--counters", "3", "--gateways", "1", "--policy", &file];
    let mut dev = Dev::start(&folder.path().join("data"), &options);
    let status = dev.operate("cluster status");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    let leader = |status: &Value| status["shards"][0]["leader"].as_u64();
    let first = leader(&status).expect("a leader");
    assert!(is_allowed(&call(
        dev.gateway(0),
        dev.token(0),
        TOOL,
        json!({})
    )));

    let index = usize::try_from(first).unwrap() - 1;
    let killed = dev.ready["counters"][index].clone();
    let pid = killed["pid"].as_u64().unwrap();
    send(pid, Signal::KILL);
    until(
        "the killed node to be reaped",
        Duration::from_secs(10),
        || !is_running(pid),
    );
    for number in 0..5 {
        let result = call(dev.gateway(0), dev.token(0), TOOL, json!({}));
        assert!(is_allowed(&result), "call {number}: {result}");
    }
    let words = killed["command"].as_array().unwrap();
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let mut again = std::process::Command::new(words[0])
        .args(&words[1..])
        .arg("--exit-with-stdin")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let address = killed["grpc"].as_str().unwrap().to_owned();
    until("the node to follow again", Duration::from_secs(20), || {
        let output = dev.try_operate(&format!("cluster status --address {address}"));
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        leader(&status).is_some_and(|leader| leader != first)
    });
    // The end of its standard input ends it.
    drop(again.stdin.take());
    until("the node to end", Duration::from_secs(10), || {
        again.try_wait().unwrap().is_some()
    });
    dev.signal(Signal::INT);
    assert_eq!(dev.wait(), Some(0));
}
