//! The promise itself: 30 calls a minute are 30, however many clients and gateways there are.

use quotum_e2e::balancer::Balancer;
use quotum_e2e::bench::Bench;
use quotum_e2e::burst::{Answers, Burst};
use quotum_e2e::dev::{Dev, Grant, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::VOID_ROUNDS_MAX;
use quotum_e2e::mcp::{Answer, DENIED, Outcome, Session};
use quotum_e2e::metrics::Figures;
use quotum_e2e::minute::{MinuteHand, limit_state};
use quotum_e2e::operator::{minute_policy, policy_document};
use serde_json::json;

pub(crate) const TOOL: &str = "send_interactive_flow";
pub(crate) const RULE: &str = "/tools/send_interactive_flow/limits/send_interactive_flow_rate";
pub(crate) const COUNTER: &str = "send_interactive_flow_rate";
pub(crate) const MAX: usize = 30;
pub(crate) const CALLS: usize = 400;
pub(crate) const CLIENTS: usize = 64;
/// Calls of the second grant: ten more than it may make.
const CALLS_OF_ANOTHER: usize = 40;
/// A round takes a few seconds; on a busy machine it may take this long.
const ROUND_S: u64 = 25;

pub(crate) async fn of_400_calls_in_a_minute_30_run(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let balancer = Balancer::start(bench, &dev.ready).await?;
    let operator = dev.operator(bench);
    operator.apply(&[policy_document("thirty", &minute_policy(TOOL, MAX as u64))])?;
    let clock = Session::open(&bench.http, &balancer.url, dev.token("agent-2")?).await?;
    let hand = MinuteHand::of_demo(clock);
    let (mut played, mut void) = (0, 0);
    while played < bench.settings.rounds {
        let number = played + void;
        let one = operator.create_grant(&format!("one-{number}"), "thirty")?;
        let other = operator.create_grant(&format!("other-{number}"), "thirty")?;
        match round(bench, &dev, &balancer, &hand, [&one, &other]).await? {
            true => played += 1,
            false => void += 1,
        }
        ensure!(
            void <= VOID_ROUNDS_MAX,
            "{void} rounds did not fit into a minute"
        );
    }
    for gateway in &dev.ready.gateways {
        let figures = Figures::read(&bench.http, &gateway.metrics).await?;
        let denied = figures.sum("quotum_decisions_total", &[("outcome", "denied")]);
        ensure!(
            denied > Some(0.0),
            "{} denied nothing: the load was not shared",
            gateway.url
        );
    }
    dev.stop().await
}

/// Plays one round with two fresh grants; `false`: the minute ended meanwhile, it proves nothing.
async fn round(
    bench: &Bench,
    dev: &Dev,
    balancer: &Balancer,
    hand: &MinuteHand,
    [one, other]: [&Grant; 2],
) -> Result<bool> {
    let clients = clients(bench, &balancer.url, &one.token).await?;
    let others = vec![Session::open(&bench.http, &balancer.url, &other.token).await?];
    let begin = hand.with_at_least(ROUND_S).await?;
    let before = dev.executions(bench, TOOL).await?;
    let first = burst(clients, CALLS).run().await?;
    let between = dev.executions(bench, TOOL).await?;
    let second = burst(others, CALLS_OF_ANOTHER).run().await?;
    let after = dev.executions(bench, TOOL).await?;
    if !hand.is_same_minute(begin).await? {
        return Ok(false);
    }
    let (ran, ran_for_other) = (between - before, after - between);
    bench.note(&format!("{CALLS} calls: {}; {ran} ran", first.summary()));
    expect_exactly_30(&first, ran)?;
    expect_exactly_30(&second, ran_for_other)
        .map_err(|failure| failure.during("the second grant"))?;
    Ok(true)
}

/// Sessions of one grant, all through the load balancer.
pub(crate) async fn clients(bench: &Bench, url: &str, token: &str) -> Result<Vec<Session>> {
    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        clients.push(Session::open(&bench.http, url, token).await?);
    }
    Ok(clients)
}

pub(crate) fn burst(clients: Vec<Session>, calls: usize) -> Burst {
    Burst {
        clients,
        tool: TOOL,
        arguments: json!({}),
        calls,
    }
}

/// 30 calls were allowed and ran, every other one was denied as it is documented.
pub(crate) fn expect_exactly_30(answers: &Answers, ran: u64) -> Result {
    let other = answers.first_other(|answer| answer.is_allowed() || answer.is_denied_by(RULE));
    ensure!(
        other.is_none(),
        "an answer that is neither: {other:?}; {}",
        answers.summary()
    );
    let allowed = answers.count(Answer::is_allowed);
    ensure!(allowed == MAX, "{}", answers.summary());
    ensure!(ran == MAX as u64, "{ran} ran, {}", answers.summary());
    answers
        .0
        .iter()
        .filter(|answer| !answer.is_allowed())
        .try_for_each(expect_documented)
}

/// Everything that `policy.md` promises of a denial by a limit of 30 a minute.
fn expect_documented(answer: &Answer) -> Result {
    let Outcome::Denied { text, decision } = &answer.outcome else {
        return Err(Failure::new(format!("{:?} is no denial", answer.outcome)));
    };
    let begin = format!("Rate limit of {MAX} per minute reached for {TOOL}. Retry in ");
    let seconds = text
        .strip_prefix(&begin)
        .and_then(|rest| rest.strip_suffix(" s."));
    let is_number = seconds.is_some_and(|seconds| seconds.parse::<u64>().is_ok());
    ensure!(is_number, "the text of a denial: {DENIED}{text}");
    ensure!(decision["max"] == MAX, "max in {decision}");
    ensure!(decision["remaining"] == 0, "remaining in {decision}");
    for member in [
        "policy",
        "decision_id",
        "window",
        "reset_after_ms",
        "retry_after_ms",
    ] {
        ensure!(
            !decision[member].is_null(),
            "{member} is missing in {decision}"
        );
    }
    let status = answer.reply.as_ref().map(|reply| reply.status.as_u16());
    ensure!(status == Some(200), "status {status:?}");
    let policy = answer.header("ratelimit-policy");
    let wanted = format!("\"{COUNTER}\";q={MAX};w=60");
    ensure!(policy.starts_with(&wanted), "RateLimit-Policy: {policy}");
    let state = limit_state(answer.header("ratelimit"), COUNTER);
    ensure!(
        state.is_some_and(|state| state.remaining == 0),
        "RateLimit: {state:?}"
    );
    let retry = answer.header("retry-after").parse::<u64>().ok();
    ensure!(
        retry.is_some_and(|retry| retry <= 60),
        "Retry-After: {retry:?}"
    );
    Ok(())
}
