//! The load balancer and a gateway that stops: calls neither hang nor get lost.

use std::time::Duration;

use quotum_e2e::balancer::Balancer;
use quotum_e2e::bench::Bench;
use quotum_e2e::burst::{Burst, Strike};
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::process;
use rustix::process::Signal;
use serde_json::json;

const FREE_TOOL: &str = "list_customers";
const CLIENTS: usize = 16;
const CALLS: usize = 600;
const AFTER_ALLOWED: usize = 100;
/// Two checks that failed, each after its own time, and cutting the connections.
const HANG_MAX: Duration = Duration::from_secs(6);

pub(crate) async fn a_stopped_gateway_holds_no_call_for_long(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let mut balancer = Balancer::start(bench, &dev.ready).await?;
    let victim = dev.ready.gateways[0].pid;
    let burst = burst(bench, &dev, &balancer).await?;
    let answers = burst.run_with(strike(victim, Signal::STOP)).await;
    let seen = balancer.sees(bench, dev.ready.gateways.len() - 1).await;
    process::send(victim, Signal::CONT)?;
    let answers = answers?;
    ensure!(seen?, "HAProxy ended");
    let took = answers
        .0
        .iter()
        .map(|answer| answer.received.duration_since(answer.sent))
        .max();
    let took = took.ok_or_else(|| Failure::new("nothing was answered"))?;
    bench.note(&format!("{}; the longest took {took:?}", answers.summary()));
    ensure!(took <= HANG_MAX, "a call took {took:?}");
    let other = answers.first_other(|answer| answer.is_allowed() || answer.is_lost());
    ensure!(other.is_none(), "an answer that is neither: {other:?}");
    let lost = answers.count(Answer::is_lost);
    ensure!(
        lost <= CLIENTS,
        "more calls were lost than were on the way: {}",
        answers.summary()
    );
    ensure!(
        balancer.sees(bench, dev.ready.gateways.len()).await?,
        "HAProxy ended"
    );
    dev.stop().await
}

pub(crate) async fn a_gateway_that_is_asked_to_end_loses_no_call(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let balancer = Balancer::start(bench, &dev.ready).await?;
    let burst = burst(bench, &dev, &balancer).await?;
    let leaves = strike(dev.ready.gateways[0].pid, Signal::TERM);
    let answers = burst.run_with(leaves).await?;
    bench.note(&answers.summary());
    let other = answers.first_other(Answer::is_allowed);
    ensure!(other.is_none(), "{}: {other:?}", answers.summary());
    dev.stop().await
}

/// Calls of a tool without limits: only the way matters here.
async fn burst(bench: &Bench, dev: &Dev, balancer: &Balancer) -> Result<Burst> {
    let client = Session::open(&bench.http, &balancer.url, dev.token("agent-1")?).await?;
    let clients = vec![client; CLIENTS];
    Ok(Burst {
        clients,
        tool: FREE_TOOL,
        arguments: json!({}),
        calls: CALLS,
    })
}

fn strike(victim: u32, signal: Signal) -> Strike {
    let strike = move || process::send(victim, signal).expect("the gateway runs");
    Strike {
        after_allowed: AFTER_ALLOWED,
        calls_before: CLIENTS,
        strike: Box::new(strike),
    }
}
