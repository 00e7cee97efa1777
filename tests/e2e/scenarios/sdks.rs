//! Every client before every kind of server: what a policy hides is not listed, what it allows works,
//! and the count is one count, whichever client calls.

use quotum_e2e::balancer::Balancer;
use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::mcp::LEGACY;
use quotum_e2e::sdk::{Report, Sdk};
use quotum_e2e::upstream::Upstream;
use serde_json::{Value, json};

use crate::whatsapp::message;

/// A server, and what is called there.
struct Case {
    upstream: Upstream,
    /// Whether it speaks the version without sessions, too.
    has_both_eras: bool,
    tool: &'static str,
    arguments: Value,
    /// Part of what the tool answers.
    answer: &'static str,
    hidden: &'static str,
}

pub(crate) async fn every_client_works_with_a_server_of_both_eras(bench: &Bench) -> Result {
    let case = Case {
        upstream: Upstream::python(bench)?,
        has_both_eras: true,
        tool: "echo",
        arguments: json!({ "message": "hello" }),
        answer: "Echo: hello",
        hidden: "json_schema_2020_12_tool",
    };
    play(bench, &case).await?;
    let ran = case.upstream.executions(bench, case.tool).await?;
    ensure!(
        ran == Sdk::ALL.len() as u64,
        "{} ran {ran} times",
        case.tool
    );
    let ran = case.upstream.executions(bench, case.hidden).await?;
    ensure!(ran == 0, "the hidden {} ran {ran} times", case.hidden);
    Ok(())
}

pub(crate) async fn every_client_works_with_a_server_of_sessions(bench: &Bench) -> Result {
    let case = Case {
        upstream: Upstream::everything(bench)?,
        has_both_eras: false,
        tool: "get-sum",
        arguments: json!({ "a": 2, "b": 40 }),
        answer: "42",
        hidden: "get-env",
    };
    play(bench, &case).await
}

pub(crate) async fn every_client_works_with_a_server_that_sends_messages(bench: &Bench) -> Result {
    let case = Case {
        upstream: Upstream::whatsapp(bench)?,
        has_both_eras: false,
        tool: "send_interactive_flow",
        arguments: message(),
        answer: "wamid.",
        hidden: "delete_media",
    };
    play(bench, &case).await?;
    let sent = case.upstream.executions(bench, "messages").await?;
    ensure!(sent == Sdk::ALL.len() as u64, "{sent} messages were sent");
    let other = case.upstream.executions(bench, "other").await?;
    ensure!(
        other == 0,
        "a tool that was never allowed did {other} things"
    );
    Ok(())
}

/// Each client calls once, which uses the limit up; then each is denied.
async fn play(bench: &Bench, case: &Case) -> Result {
    let dev = Dev::start(bench, Plan::before(&case.upstream.url, policy(case)))?;
    let balancer = Balancer::start(bench, &dev.ready).await?;
    let token = dev.token("agent-1")?;
    let call = [(case.tool, case.arguments.clone())];
    let calls = [call[0].clone(), (case.hidden, json!({}))];
    let mut failures = Vec::new();
    for sdk in Sdk::ALL {
        let report = sdk.work(bench, &balancer.url, token, &call).await;
        let seen = report.and_then(|report| expect_allowed(case, sdk, &report));
        failures.extend(
            seen.err()
                .map(|failure| failure.during(format!("{sdk:?}, allowed"))),
        );
    }
    for sdk in Sdk::ALL {
        let report = sdk.work(bench, &balancer.url, token, &calls).await;
        let seen = report.and_then(|report| expect_denied(case, &report));
        failures.extend(
            seen.err()
                .map(|failure| failure.during(format!("{sdk:?}, denied"))),
        );
    }
    let text: Vec<String> = failures.iter().map(Failure::to_string).collect();
    ensure!(failures.is_empty(), "{}", text.join("\n"));
    dev.stop().await
}

fn expect_allowed(case: &Case, sdk: Sdk, report: &Report) -> Result {
    let version = if case.has_both_eras {
        sdk.preferred()
    } else {
        LEGACY
    };
    ensure!(
        report.negotiated == version,
        "agreed on {}, not {version}",
        report.negotiated
    );
    let lists = |tool: &str| report.tools.iter().any(|listed| listed == tool);
    ensure!(
        lists(case.tool),
        "{} is missing in {:?}",
        case.tool,
        report.tools
    );
    ensure!(!lists(case.hidden), "{} is listed", case.hidden);
    let call = &report.calls[0];
    ensure!(
        !call.is_error && call.text.contains(case.answer),
        "{call:?}"
    );
    Ok(())
}

fn expect_denied(case: &Case, report: &Report) -> Result {
    let max = Sdk::ALL.len();
    let begin = format!(
        "Rate limit of {max} per week reached for {}. Retry in ",
        case.tool
    );
    let denial = report.calls[0].denial();
    ensure!(
        denial.is_some_and(|text| text.starts_with(&begin)),
        "{:?}",
        report.calls[0]
    );
    let wanted = format!("Tool \"{}\" is not permitted by policy.", case.hidden);
    let denial = report.calls[1].denial();
    ensure!(denial == Some(wanted.as_str()), "{:?}", report.calls[1]);
    Ok(())
}

/// As many calls as there are clients. A week, so that no window ends while the clients work.
fn policy(case: &Case) -> Value {
    let limit = json!({
        "counter": "calls", "window": "week", "max": Sdk::ALL.len(), "scope": "grant",
    });
    json!({
        "version": "1",
        "default": "deny",
        "hide": [case.hidden],
        "tools": { case.tool: { "limits": [limit] } },
    })
}
