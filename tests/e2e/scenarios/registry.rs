//! What an operator changes holds everywhere when the command returns.

use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::minute::MinuteHand;
use quotum_e2e::operator::{minute_policy, policy_document};
use serde_json::json;

use crate::burst::{RULE, TOOL};

const ROUND_S: u64 = 30;

pub(crate) async fn a_changed_policy_holds_for_the_next_request_everywhere(
    bench: &Bench,
) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let operator = dev.operator(bench);
    operator.apply(&[policy_document("changing", &minute_policy(TOOL, 30))])?;
    let grant = operator.create_grant("changing", "changing")?;
    let sessions = at_each_gateway(bench, &dev, &grant.token).await?;
    let clock = at_each_gateway(bench, &dev, dev.token("agent-2")?)
        .await?
        .swap_remove(0);
    let hand = MinuteHand::of_demo(clock);
    let begin = hand.with_at_least(ROUND_S).await?;

    // Nine of 30 are used, three at each gateway.
    for session in sessions.iter().cycle().take(9) {
        let answer = session.call(TOOL, json!({})).await;
        ensure!(answer.is_allowed(), "{:?}", answer.outcome);
    }
    // Lowered below what is used: nothing is left anywhere.
    operator.apply(&[policy_document("changing", &minute_policy(TOOL, 5))])?;
    let answers = one_call_each(&sessions).await;
    let denied = answers
        .iter()
        .filter(|answer| answer.is_denied_by(RULE))
        .count();
    ensure!(denied == sessions.len(), "after 30 became 5: {answers:?}");
    // Raised to two more than are used: the count has survived both changes.
    operator.apply(&[policy_document("changing", &minute_policy(TOOL, 11))])?;
    let answers = one_call_each(&sessions).await;
    let allowed = answers.iter().filter(|answer| answer.is_allowed()).count();
    ensure!(allowed == 2, "after 5 became 11, 9 used: {answers:?}");
    // Another tool altogether: the first is denied, the second goes.
    operator.apply(&[policy_document(
        "changing",
        &minute_policy("create_charge", 30),
    )])?;
    let answers = one_call_each(&sessions).await;
    let denied = answers
        .iter()
        .filter(|answer| answer.is_denied_by("(default deny)"))
        .count();
    ensure!(
        denied == sessions.len(),
        "after the tool was taken out: {answers:?}"
    );
    ensure!(
        hand.is_same_minute(begin).await?,
        "the scenario did not fit into {ROUND_S} s"
    );
    dev.stop().await
}

pub(crate) async fn a_revoked_grant_is_refused_everywhere_at_once(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let operator = dev.operator(bench);
    operator.apply(&[policy_document("short-lived", &minute_policy(TOOL, 30))])?;
    let grant = operator.create_grant("short-lived", "short-lived")?;
    let sessions = at_each_gateway(bench, &dev, &grant.token).await?;
    for answer in one_call_each(&sessions).await {
        ensure!(
            answer.is_allowed(),
            "before it was revoked: {:?}",
            answer.outcome
        );
    }
    operator.revoke_grant(&grant.name)?;
    let before = dev.executions(bench, TOOL).await?;
    for answer in one_call_each(&sessions).await {
        let status = answer.reply.as_ref().map(|reply| reply.status.as_u16());
        ensure!(
            status == Some(401),
            "after it was revoked: {status:?} {:?}",
            answer.outcome
        );
        let challenge = answer.header("www-authenticate");
        ensure!(
            challenge.starts_with("Bearer"),
            "WWW-Authenticate: {challenge}"
        );
    }
    let ran = dev.executions(bench, TOOL).await? - before;
    ensure!(ran == 0, "{ran} calls of a revoked grant ran");
    dev.stop().await
}

async fn at_each_gateway(bench: &Bench, dev: &Dev, token: &str) -> Result<Vec<Session>> {
    let first = Session::open(&bench.http, &dev.ready.gateways[0].url, token).await?;
    Ok(dev
        .ready
        .gateways
        .iter()
        .map(|gateway| first.at(&gateway.url))
        .collect())
}

async fn one_call_each(sessions: &[Session]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for session in sessions {
        answers.push(session.call(TOOL, json!({})).await);
    }
    answers
}
