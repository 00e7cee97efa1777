//! A server over https with a certificate of a private authority: reached where the operator names
//! that authority, and not at all where nobody does.

use quotum_e2e::authority::Authority;
use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::mcp::{Answer, Outcome, Session};
use quotum_e2e::minute::{LimitState, limit_state};
use quotum_e2e::sdk::Sdk;
use quotum_e2e::upstream::Upstream;
use serde_json::json;

const TOOL: &str = "echo";
const COUNTER: &str = "calls";
const MAX: u64 = 4;

pub(crate) async fn a_server_with_a_private_certificate_needs_its_authority(
    bench: &Bench,
) -> Result {
    let authority = Authority::new(bench, "authority")?;
    let other = Authority::new(bench, "other")?;
    let upstream = Upstream::python_over_tls(bench, &authority)?;
    let limit = json!({ "counter": COUNTER, "window": "week", "max": MAX, "scope": "grant" });
    let policy = json!({
        "version": "1",
        "default": "deny",
        "tools": { TOOL: { "limits": [limit] } },
    });
    let plan = Plan {
        counters: 1,
        gateways: 1,
        upstream: Some((upstream.url.clone(), policy)),
        upstream_authority: Some(other.file),
    };
    let dev = Dev::start(bench, plan.clone())?;
    let answer = call(bench, &dev).await?;
    let Outcome::Error { code, message } = &answer.outcome else {
        return Err(Failure::new(format!("{:?} is no error", answer.outcome)));
    };
    ensure!(
        *code == -32603 && message == "the MCP server cannot be reached",
        "{code} {message}"
    );
    // In peace: what a call that failed has to give back is given back first.
    dev.stop().await?;

    let plan = Plan {
        upstream_authority: Some(authority.file),
        ..plan
    };
    let dev = Dev::start(bench, plan)?;
    let answer = call(bench, &dev).await?;
    ensure!(answer.is_allowed(), "{:?}", answer.outcome);
    let state = limit_state(answer.header("ratelimit"), COUNTER);
    // The call that reached nobody has taken nothing.
    ensure!(
        matches!(state, Some(LimitState { remaining, .. }) if remaining == MAX - 1),
        "RateLimit: {state:?}"
    );
    let work = [(TOOL, json!({ "message": "hello" }))];
    let token = dev.token("agent-1")?;
    let url = &dev.ready.gateways[0].url;
    let report = Sdk::PythonAuto.work(bench, url, token, &work).await?;
    let text = &report.calls[0].text;
    ensure!(text.contains("Echo: hello"), "{text}");
    dev.stop().await
}

async fn call(bench: &Bench, dev: &Dev) -> Result<Answer> {
    let gateway = &dev.ready.gateways[0];
    let session = Session::modern(&bench.http, &gateway.url, dev.token("agent-1")?);
    Ok(session.call(TOOL, json!({ "message": "hello" })).await)
}
