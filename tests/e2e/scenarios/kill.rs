//! A process dies in the middle of a burst.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use quotum_e2e::balancer::Balancer;
use quotum_e2e::bench::Bench;
use quotum_e2e::burst::{Answers, Strike};
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::FAILOVER_MAX;
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::minute::MinuteHand;
use quotum_e2e::process;
use rustix::process::Signal;

use crate::burst::{CALLS, CLIENTS, MAX, RULE, TOOL, burst, clients};

/// The tenth allowed call is the signal to strike.
const AFTER_ALLOWED: usize = 10;
/// Until the strike so few calls are on their way that it cannot come too late.
const CALLS_BEFORE: usize = 4;
const ROUND_S: u64 = 30;

/// One burst with a death in it.
struct Course {
    answers: Answers,
    killed: Instant,
    /// Runs at the upstream.
    ran: usize,
}

pub(crate) async fn a_dead_leader_costs_no_call_and_admits_none_twice(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let leader = dev.leader(bench).await?;
    let Course {
        answers,
        killed,
        ran,
    } = course(bench, &dev, leader.pid).await?;
    let expected = |answer: &Answer| {
        answer.is_allowed() || answer.is_denied_by(RULE) || answer.is_unavailable()
    };
    let other = answers.first_other(expected);
    ensure!(
        other.is_none(),
        "an answer that is none of them: {other:?}; {}",
        answers.summary()
    );
    let after = answers
        .0
        .iter()
        .filter(|answer| answer.sent >= killed && answer.is_allowed());
    let first = after
        .map(|answer| answer.received.duration_since(killed))
        .min();
    bench.note(&format!(
        "{}; {ran} ran; first decision after {first:?}",
        answers.summary()
    ));
    ensure!(
        ran == MAX,
        "{ran} ran instead of {MAX}: {}",
        answers.summary()
    );
    let allowed = answers.count(Answer::is_allowed);
    ensure!(
        allowed == MAX,
        "{allowed} were answered as allowed, {ran} ran"
    );
    let first = first.ok_or_else(|| Failure::new("nothing was allowed after the leader died"))?;
    ensure!(
        first <= FAILOVER_MAX,
        "the first decision came {first:?} after the leader's death"
    );
    let successor = dev.leader(bench).await?;
    ensure!(
        successor.node != leader.node,
        "node {} still counts as leader",
        leader.node
    );
    dev.stop().await
}

pub(crate) async fn a_dead_gateway_costs_at_most_its_calls_on_the_way(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let Course { answers, ran, .. } = course(bench, &dev, dev.ready.gateways[0].pid).await?;
    bench.note(&format!("{}; {ran} ran", answers.summary()));
    let expected =
        |answer: &Answer| answer.is_allowed() || answer.is_denied_by(RULE) || answer.is_lost();
    let other = answers.first_other(expected);
    ensure!(
        other.is_none(),
        "an answer that is none of them: {other:?}; {}",
        answers.summary()
    );
    let lost = answers.count(Answer::is_lost);
    let allowed = answers.count(Answer::is_allowed);
    ensure!(
        ran <= MAX,
        "{ran} ran, only {MAX} may: {}",
        answers.summary()
    );
    ensure!(ran + lost >= MAX, "only {ran} ran: {}", answers.summary());
    ensure!(
        allowed <= ran,
        "{allowed} were answered as allowed, but {ran} ran"
    );
    ensure!(
        lost <= CLIENTS,
        "more calls were lost than were on the way: {}",
        answers.summary()
    );
    let last = &answers.0[answers.0.len() - CLIENTS..];
    ensure!(
        !last.iter().any(Answer::is_lost),
        "calls are still lost long after the gateway died"
    );
    dev.stop().await
}

/// 400 calls of 64 clients, with the death of `victim` after the tenth that is allowed.
async fn course(bench: &Bench, dev: &Dev, victim: u32) -> Result<Course> {
    let balancer = Balancer::start(bench, &dev.ready).await?;
    let clock = Session::open(&bench.http, &balancer.url, dev.token("agent-2")?).await?;
    let hand = MinuteHand::of_demo(clock);
    let clients = clients(bench, &balancer.url, dev.token("agent-1")?).await?;
    let begin = hand.with_at_least(ROUND_S).await?;
    let before = dev.executions(bench, TOOL).await?;
    let killed = Arc::new(OnceLock::new());
    let strike = {
        let killed = killed.clone();
        move || {
            let sent = process::send(victim, Signal::KILL);
            let _first = killed.set((Instant::now(), sent));
        }
    };
    let strike = Strike {
        after_allowed: AFTER_ALLOWED,
        calls_before: CALLS_BEFORE,
        strike: Box::new(strike),
    };
    let answers = burst(clients, CALLS).run_with(strike).await?;
    let after = dev.executions(bench, TOOL).await?;
    ensure!(
        hand.is_same_minute(begin).await?,
        "the burst did not fit into {ROUND_S} s"
    );
    let killed = Arc::into_inner(killed).and_then(OnceLock::into_inner);
    let (killed, sent) = killed.ok_or_else(|| Failure::new("the strike never came"))?;
    sent?;
    let ran = usize::try_from(after - before)?;
    Ok(Course {
        answers,
        killed,
        ran,
    })
}
