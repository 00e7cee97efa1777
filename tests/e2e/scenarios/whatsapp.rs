//! A published server that sends messages to people, behind a limit of 30 a minute.

use quotum_e2e::balancer::Balancer;
use quotum_e2e::bench::Bench;
use quotum_e2e::burst::Burst;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_e2e::mcp::{Answer, Outcome, Session};
use quotum_e2e::metrics::Figures;
use quotum_e2e::minute::MinuteHand;
use quotum_e2e::upstream::Upstream;
use serde_json::{Value, json};

use crate::burst::{COUNTER, MAX, RULE, TOOL};

const SESSIONS: usize = 8;
const CALLS: usize = 90;
const TOOLS: usize = 22;
const ROUND_S: u64 = 25;

pub(crate) async fn of_90_messages_in_eight_sessions_30_are_sent(bench: &Bench) -> Result {
    let upstream = Upstream::whatsapp(bench)?;
    let dev = Dev::start(bench, Plan::before(&upstream.url, policy()))?;
    let balancer = Balancer::start(bench, &dev.ready).await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let token = dev.token("agent-1")?;
        sessions.push(Session::legacy(&bench.http, &balancer.url, token).await?);
    }
    let clock = Session::legacy(&bench.http, &balancer.url, dev.token("agent-2")?).await?;
    let hand = MinuteHand {
        session: clock,
        tool: TOOL,
        counter: COUNTER,
        arguments: message(),
    };
    let begin = hand.with_at_least(ROUND_S).await?;
    let before = upstream.executions(bench, "messages").await?;
    let burst = Burst {
        clients: sessions.clone(),
        tool: TOOL,
        arguments: message(),
        calls: CALLS,
    };
    let answers = burst.run().await?;
    let sent = upstream.executions(bench, "messages").await? - before;
    ensure!(
        hand.is_same_minute(begin).await?,
        "the burst did not fit into {ROUND_S} s"
    );
    bench.note(&format!(
        "{CALLS} calls: {}; {sent} messages sent",
        answers.summary()
    ));
    ensure!(
        answers.count(Answer::is_allowed) == MAX,
        "{}",
        answers.summary()
    );
    let denied = answers.count(|answer| answer.is_denied_by(RULE));
    ensure!(
        denied == CALLS - MAX,
        "{denied} denied by the limit: {}",
        answers.summary()
    );
    ensure!(
        sent == MAX as u64,
        "{sent} messages sent: {}",
        answers.summary()
    );
    for gateway in &dev.ready.gateways {
        let figures = Figures::read(&bench.http, &gateway.metrics).await?;
        let decisions = figures.sum("quotum_decisions_total", &[("tool", TOOL)]);
        ensure!(
            decisions > Some(0.0),
            "{} decided none of the calls",
            gateway.url
        );
    }
    expect_others_denied(bench, &upstream, &sessions[0]).await?;
    dev.stop().await
}

/// Every other tool stays in the list and does nothing.
async fn expect_others_denied(bench: &Bench, upstream: &Upstream, session: &Session) -> Result {
    let tools = session.tools().await?;
    ensure!(tools.len() == TOOLS, "{} tools: {tools:?}", tools.len());
    let before = upstream.executions(bench, "messages").await?;
    for tool in tools.iter().filter(|tool| *tool != TOOL) {
        let answer = session.call(tool, message()).await;
        let wanted = format!("Tool \"{tool}\" is not permitted by policy.");
        let text = match &answer.outcome {
            Outcome::Denied { text, .. } => text,
            other => {
                return Err(quotum_e2e::failure::Failure::new(format!(
                    "{tool}: {other:?}"
                )));
            }
        };
        ensure!(*text == wanted, "{tool}: {text}");
        ensure!(
            answer.is_denied_by("(default deny)"),
            "{tool}: {:?}",
            answer.outcome
        );
    }
    let after = upstream.executions(bench, "messages").await?;
    let other = upstream.executions(bench, "other").await?;
    ensure!(
        after == before && other == 0,
        "denied tools did {} things",
        after - before + other
    );
    Ok(())
}

/// Only the one tool, 30 times a minute.
fn policy() -> Value {
    let limit = json!({ "counter": COUNTER, "window": "minute", "max": MAX, "scope": "grant" });
    json!({ "version": "1", "default": "deny", "tools": { TOOL: { "limits": [limit] } } })
}

/// Arguments that the server accepts.
pub(crate) fn message() -> Value {
    json!({
        "to": "15550100", "flow_id": "1", "flow_token": "t", "flow_cta": "Go", "body_text": "Hello",
    })
}
