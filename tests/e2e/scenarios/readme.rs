//! What README.md tells a person to run, run by the letter.

use std::process::{Command, Stdio};

use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::VOID_ROUNDS_MAX;
use quotum_e2e::mcp::Session;
use quotum_e2e::minute::MinuteHand;
use serde_json::{Value, json};

use crate::burst::{MAX, RULE, TOOL};

/// 31 calls of curl take a second or two; on a busy machine they may take this long.
const LINE_S: u64 = 25;

pub(crate) async fn the_line_of_the_readme_does_what_it_says(bench: &Bench) -> Result {
    let readme = std::fs::read_to_string(bench.tools.document("README.md"))?;
    let line = block(&readme, "for n in ")?;
    let shown = block(&readme, "{\"jsonrpc\"")?.replace("{...}", "{}");
    let shown: Value = serde_json::from_str(&shown)?;
    let plan = Plan {
        counters: 1,
        gateways: 2,
        ..Plan::of_three()
    };
    let dev = Dev::start(bench, plan)?;
    let clock = Session::open(
        &bench.http,
        &dev.ready.gateways[0].url,
        dev.token("agent-2")?,
    );
    let hand = MinuteHand::of_demo(clock.await?);
    for _ in 0..=VOID_ROUNDS_MAX {
        let then = hand.with_at_least(LINE_S).await?;
        let answers = run(&dev, line)?;
        let denies = [denies(bench, &dev, 0).await?, denies(bench, &dev, 1).await?];
        // In a minute that ended meanwhile more calls ran, and nothing is shown.
        if !hand.is_same_minute(then).await? {
            continue;
        }
        ensure!(answers.len() == MAX + 1, "{} answers", answers.len());
        let is_denied = |answer: &Value| answer["result"]["isError"] == json!(true);
        let ran = answers.iter().filter(|answer| !is_denied(answer)).count();
        ensure!(ran == MAX, "{ran} calls ran: {answers:?}");
        let last = &answers[MAX];
        ensure!(
            plain(last) == plain(&shown),
            "README.md shows {shown}, and the answer is {last}"
        );
        ensure!(denies == [true, true], "one more call: {denies:?}");
        return dev.stop().await;
    }
    Err(Failure::new("the line never fitted into a minute"))
}

/// The block of a document that begins with these words.
fn block<'a>(document: &'a str, begin: &str) -> Result<&'a str> {
    let mut inside = document.split("```").skip(1).step_by(2);
    let found = inside.find_map(|block| {
        let text = block.split_once('\n')?.1;
        text.starts_with(begin).then_some(text)
    });
    found.ok_or_else(|| Failure::new(format!("README.md has no block that begins with {begin}")))
}

/// Runs the line in a shell that has its variables, and gives the answers.
fn run(dev: &Dev, line: &str) -> Result<Vec<Value>> {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", line]);
    for (number, gateway) in (1..).zip(&dev.ready.gateways) {
        let port = gateway.url.split([':', '/']).nth(4).unwrap_or_default();
        command.env(format!("PORT_{number}"), port);
    }
    command.env("TOKEN", dev.token("agent-1")?);
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "the line failed: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| !line.is_empty());
    // An answer in events has its message behind `data:`.
    let messages = lines.filter_map(|line| line.find('{').map(|start| &line[start..]));
    Ok(messages
        .map(serde_json::from_str)
        .collect::<std::result::Result<_, _>>()?)
}

/// Whether a gateway denies one more call.
async fn denies(bench: &Bench, dev: &Dev, gateway: usize) -> Result<bool> {
    let url = &dev.ready.gateways[gateway].url;
    let session = Session::open(&bench.http, url, dev.token("agent-1")?).await?;
    Ok(session.call(TOOL, json!({})).await.is_denied_by(RULE))
}

/// An answer without what differs from run to run.
fn plain(answer: &Value) -> Value {
    let mut answer = answer.clone();
    let result = &mut answer["result"];
    result["_meta"] = json!({});
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    let text = text.split("Retry in").next().unwrap_or_default().to_owned();
    result["content"][0]["text"] = json!(text);
    answer
}
