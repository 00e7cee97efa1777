//! What `dev` prints when everything is ready: where to go, and with which tokens.

use std::fmt::Write;

use serde_json::{Value, json};

use super::children::{Child, Children};
use super::data::{self, Data};
use super::{Plan, SERVER, bootstrap};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Prints it. For programs it is one line, the first.
pub(crate) fn show(
    plan: &Plan<'_>,
    data: &Data,
    upstream: &str,
    children: &Children,
    format: Format,
) -> Result<(), Failure> {
    let value = json!({
        "gateways": numbered(&children.gateways, |number, child| json!({
            "url": url(data, number),
            "metrics": format!("http://{}/metrics", child.admin),
            "pid": child.pid,
            "command": command(child),
        })),
        "counters": numbered(&children.counters, |node, child| json!({
            "node": node,
            "grpc": data.address(&data::counter(node, "client")).to_string(),
            "metrics": format!("http://{}/metrics", child.admin),
            "pid": child.pid,
            "command": command(child),
        })),
        "upstream": upstream,
        "admin_token": data.admin_token(),
        "grants": bootstrap::grants(data),
    });
    output::show(format, || text(plan, data, upstream, &value), &value)
}

fn numbered(children: &[Child], show: impl Fn(u8, &Child) -> Value) -> Vec<Value> {
    (1..)
        .zip(children)
        .map(|(number, child)| show(number, child))
        .collect()
}

fn url(data: &Data, gateway: u8) -> String {
    format!(
        "http://{}/mcp/{SERVER}",
        data.address(&data::gateway(gateway, "mcp"))
    )
}

/// What starts this very process again.
fn command(child: &Child) -> Vec<String> {
    let program = child.start.program.as_os_str();
    let all =
        std::iter::once(program).chain(child.start.arguments.iter().map(|one| one.as_os_str()));
    all.map(|one| one.to_string_lossy().into_owned()).collect()
}

fn text(plan: &Plan<'_>, data: &Data, upstream: &str, value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, plan, data, upstream, value).expect("a string grows");
    text
}

fn write(
    text: &mut String,
    plan: &Plan<'_>,
    data: &Data,
    upstream: &str,
    value: &Value,
) -> std::fmt::Result {
    let many = |member: &str| value[member].as_array().cloned().unwrap_or_default();
    let told = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (number, gateway) in (1..).zip(many("gateways")) {
        let (url, metrics) = (told(&gateway["url"]), told(&gateway["metrics"]));
        writeln!(
            text,
            "gateway {number}   {url}   {metrics}   pid {}",
            gateway["pid"]
        )?;
    }
    for counter in many("counters") {
        let (grpc, metrics) = (told(&counter["grpc"]), told(&counter["metrics"]));
        writeln!(
            text,
            "counter {}   {grpc}   {metrics}   pid {}",
            counter["node"], counter["pid"]
        )?;
    }
    writeln!(text, "upstream    {upstream}")?;
    for grant in many("grants") {
        writeln!(
            text,
            "{}     {}",
            told(&grant["name"]),
            told(&grant["token"])
        )?;
    }
    let addresses: Vec<String> = many("counters")
        .iter()
        .map(|one| told(&one["grpc"]))
        .collect();
    writeln!(
        text,
        "admin API   --address {} --admin-token-file {}",
        addresses.join(","),
        data.admin_token_file().display()
    )?;
    if plan.upstream.is_some() && plan.options.policy.is_none() {
        writeln!(
            text,
            "policy      30 calls a minute of all tools together; --policy FILE for yours"
        )?;
    }
    let token = told(&value["grants"][0]["token"]);
    let client = json!({ "mcpServers": { SERVER: {
        "type": "http",
        "url": value["gateways"][0]["url"],
        "headers": { "Authorization": format!("Bearer {token}") },
    } } });
    writeln!(text, "\nFor an MCP client:\n{client:#}")?;
    let last = plan.options.gateways;
    let ports = (
        data.address(&data::gateway(1, "mcp")).port(),
        data.address(&data::gateway(last, "mcp")).port(),
    );
    let tool = match plan.upstream {
        None => "send_interactive_flow",
        Some(_) => "TOOL",
    };
    writeln!(
        text,
        "\n31 calls, at either gateway in turn; the 31st within a minute is refused:\n{}",
        curl(ports, &token, tool)
    )?;
    writeln!(
        text,
        "\nCtrl-C ends it. What was counted stays in {}",
        data.path("").display()
    )
}

/// A line for a shell that makes 31 calls.
fn curl((first, second): (u16, u16), token: &str, tool: &str) -> String {
    let body = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": { "name": tool, "arguments": {} },
    });
    format!(
        "for i in $(seq 31); do curl -s http://127.0.0.1:$((i % 2 ? {first} : {second}))/mcp/{SERVER} \
         -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \
         -H 'Accept: application/json, text/event-stream' -d '{body}'; echo; done"
    )
}
