//! What client and server say to each other besides calls and their answers: progress, messages of
//! the log, questions to the client, and the end of a session.

use http::StatusCode;
use quotum_e2e::balancer::Balancer;
use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::mcp::Session;
use quotum_e2e::sdk::{Call, Sdk};
use quotum_e2e::upstream::Upstream;
use serde_json::{Value, json};

/// A tool that talks while it runs.
struct Talk {
    tool: &'static str,
    arguments: Value,
    /// What its server says, in this order.
    said: &'static [&'static str],
    /// What the tool answers; where it asked the client, with what that has answered.
    answer: &'static str,
}

/// Each of the balancer's requests may go to another gateway, so that what a client answers to a
/// question may come to a gateway that has not passed the question on.
pub(crate) async fn what_a_server_says_and_asks_while_a_tool_runs_passes(bench: &Bench) -> Result {
    let upstream = Upstream::python(bench)?;
    let talks = talks();
    let dev = Dev::start(bench, Plan::before(&upstream.url, policy(&talks)))?;
    let balancer = Balancer::start(bench, &dev.ready).await?;
    let token = dev.token("agent-1")?;
    let calls: Vec<(&str, Value)> = talks
        .iter()
        .map(|talk| (talk.tool, talk.arguments.clone()))
        .collect();
    let mut failures = Vec::new();
    // Our own client neither listens nor answers.
    for sdk in Sdk::ALL.into_iter().filter(|sdk| *sdk != Sdk::Plain) {
        let report = sdk.work(bench, &balancer.url, token, &calls).await;
        let heard: Result = report.and_then(|report| {
            ensure!(report.calls.len() == talks.len(), "{:?}", report.calls);
            let mut pairs = talks.iter().zip(&report.calls);
            pairs.try_for_each(|(talk, call)| expect_heard(talk, call))
        });
        failures.extend(
            heard
                .err()
                .map(|failure| failure.during(format!("{sdk:?}"))),
        );
    }
    let text: Vec<String> = failures.iter().map(Failure::to_string).collect();
    ensure!(failures.is_empty(), "{}", text.join("\n"));
    dev.stop().await
}

pub(crate) async fn a_session_that_was_ended_is_not_found(bench: &Bench) -> Result {
    let upstream = Upstream::python(bench)?;
    let policy = json!({ "version": "1", "default": "deny", "tools": { "echo": {} } });
    let dev = Dev::start(bench, Plan::before(&upstream.url, policy))?;
    let token = dev.token("agent-1")?;
    let [first, second, third] = [0, 1, 2].map(|at| dev.ready.gateways[at].url.as_str());
    let session = Session::legacy(&bench.http, first, token).await?;
    let other = Session::legacy(&bench.http, first, token).await?;
    let hello = || json!({ "message": "hello" });
    let answer = session.at(second).call("echo", hello()).await;
    ensure!(answer.is_allowed(), "before: {:?}", answer.outcome);
    let ended = session.at(third).end().await?;
    ensure!(ended.is_success(), "DELETE was answered {ended}");
    for gateway in [first, second, third] {
        let answer = session.at(gateway).call("echo", hello()).await;
        let status = answer.reply.as_ref().map(|reply| reply.status);
        ensure!(
            status == Some(StatusCode::NOT_FOUND),
            "after: {status:?}, {:?}",
            answer.outcome
        );
        let answer = other.at(gateway).call("echo", hello()).await;
        ensure!(answer.is_allowed(), "the other: {:?}", answer.outcome);
    }
    let ran = upstream.executions(bench, "echo").await?;
    ensure!(ran == 4, "echo ran {ran} times");
    dev.stop().await
}

fn expect_heard(talk: &Talk, call: &Call) -> Result {
    ensure!(
        !call.is_error && call.text.contains(talk.answer),
        "{call:?}"
    );
    // In the newest version a question is an answer of its own, which one SDK tells as progress.
    let said: Vec<&str> = call
        .said
        .iter()
        .map(String::as_str)
        .filter(|said| !said.ends_with("/undefined"))
        .collect();
    ensure!(said == talk.said, "{}: it said {said:?}", talk.tool);
    Ok(())
}

fn talks() -> Vec<Talk> {
    let asks = |tool, arguments, answer| Talk {
        tool,
        arguments,
        said: &[],
        answer,
    };
    vec![
        Talk {
            tool: "test_tool_with_progress",
            arguments: json!({}),
            said: &["progress 0/100", "progress 50/100", "progress 100/100"],
            answer: "Tool with progress executed successfully",
        },
        Talk {
            tool: "test_tool_with_logging",
            arguments: json!({}),
            said: &[
                "log Tool execution started",
                "log Tool processing data",
                "log Tool execution completed",
            ],
            answer: "Tool with logging executed successfully",
        },
        asks(
            "test_sampling",
            json!({ "prompt": "a question" }),
            "a model's answer",
        ),
        asks(
            "test_elicitation",
            json!({ "message": "Who is there?" }),
            "somebody@example.com",
        ),
        asks(
            "test_input_required_result_list_roots",
            json!({}),
            "file:///here",
        ),
    ]
}

fn policy(talks: &[Talk]) -> Value {
    let tools = talks.iter().map(|talk| (talk.tool.to_owned(), json!({})));
    let tools: serde_json::Map<String, Value> = tools.collect();
    json!({ "version": "1", "default": "deny", "tools": tools })
}
