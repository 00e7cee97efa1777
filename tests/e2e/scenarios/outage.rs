//! No counter node answers: limited tools are denied in time, free ones go on, and the gateways find
//! back by themselves.

use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_e2e::limits::{DECISION_MAX, SETTLE_MAX};
use quotum_e2e::mcp::Session;
use quotum_e2e::metrics::Figures;
use quotum_e2e::{poll, process};
use rustix::process::Signal;
use serde_json::json;

use crate::burst::TOOL;

const FREE_TOOL: &str = "list_customers";

pub(crate) async fn stopped_counters_deny_in_time_and_free_tools_go_on(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let sessions = sessions(bench, &dev).await?;
    expect_working(&sessions).await?;
    dev.signal_counters(Signal::STOP)?;
    let seen = expect_outage(bench, &dev, &sessions).await;
    dev.signal_counters(Signal::CONT)?;
    seen?;
    expect_working(&sessions).await?;
    dev.stop().await
}

pub(crate) async fn killed_counters_start_again_under_running_gateways(bench: &Bench) -> Result {
    let mut dev = Dev::start(bench, Plan::of_three())?;
    let sessions = sessions(bench, &dev).await?;
    expect_working(&sessions).await?;
    dev.signal_counters(Signal::KILL)?;
    expect_outage(bench, &dev, &sessions).await?;
    let nodes: Vec<u64> = dev
        .ready
        .counters
        .iter()
        .map(|counter| counter.node)
        .collect();
    for node in nodes {
        dev.start_counter(bench, node)?;
    }
    expect_working(&sessions).await?;
    let gateways = dev.ready.gateways.iter();
    let alive = gateways
        .filter(|gateway| process::exists(gateway.pid))
        .count();
    ensure!(
        alive == dev.ready.gateways.len(),
        "only {alive} gateways are alive"
    );
    Ok(())
}

/// Limited and free tools work at every gateway, at the latest when everything has settled. Takes
/// `agent-2`'s units one by one, far from its limit.
async fn expect_working(sessions: &[Session]) -> Result {
    for session in sessions {
        poll::until("a limited tool to work", SETTLE_MAX, async || {
            let answer = session.call(TOOL, json!({})).await;
            Ok(answer.is_allowed().then_some(()))
        })
        .await?;
        let answer = session.call(FREE_TOOL, json!({})).await;
        ensure!(answer.is_allowed(), "{FREE_TOOL}: {:?}", answer.outcome);
    }
    Ok(())
}

async fn expect_outage(bench: &Bench, dev: &Dev, sessions: &[Session]) -> Result {
    let ran = dev.executions(bench, TOOL).await?;
    for (gateway, session) in dev.ready.gateways.iter().zip(sessions) {
        let unavailable = [
            ("outcome", "unavailable"),
            ("reason", "unavailable"),
            ("tool", TOOL),
        ];
        let name = "quotum_decisions_total";
        let before = Figures::read(&bench.http, &gateway.metrics)
            .await?
            .sum(name, &unavailable);
        let answer = session.call(TOOL, json!({})).await;
        let took = answer.received.duration_since(answer.sent);
        ensure!(
            answer.is_unavailable(),
            "without counters: {:?}",
            answer.outcome
        );
        ensure!(took <= DECISION_MAX, "the denial took {took:?}");
        let after = Figures::read(&bench.http, &gateway.metrics)
            .await?
            .sum(name, &unavailable);
        let counted = after.unwrap_or_default() - before.unwrap_or_default();
        ensure!(
            (counted - 1.0).abs() < 0.5,
            "{} counted {counted} unavailable",
            gateway.url
        );
        let answer = session.call(FREE_TOOL, json!({})).await;
        ensure!(
            answer.is_allowed(),
            "{FREE_TOOL} without counters: {:?}",
            answer.outcome
        );
    }
    let ran = dev.executions(bench, TOOL).await? - ran;
    ensure!(ran == 0, "{ran} limited calls ran without a decision");
    Ok(())
}

async fn sessions(bench: &Bench, dev: &Dev) -> Result<Vec<Session>> {
    let token = dev.token("agent-2")?;
    let first = Session::open(&bench.http, &dev.ready.gateways[0].url, token).await?;
    Ok(dev
        .ready
        .gateways
        .iter()
        .map(|gateway| first.at(&gateway.url))
        .collect())
}
