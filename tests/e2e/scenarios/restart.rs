//! Everything ends, and what was counted stays counted.

use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_e2e::mcp::Session;
use quotum_e2e::minute::MinuteHand;
use quotum_e2e::process;

use crate::burst::{MAX, RULE, burst};

const USED: usize = 12;
/// Killing, starting again and calling fit into this.
const ROUND_S: u64 = 45;

pub(crate) async fn used_units_stay_used_when_everything_is_killed(bench: &Bench) -> Result {
    let mut dev = Dev::start(bench, Plan::of_three())?;
    let hand = MinuteHand::of_demo(session(bench, &dev, "agent-2").await?);
    let begin = hand.with_at_least(ROUND_S).await?;
    let agent = session(bench, &dev, "agent-1").await?;
    let answers = burst(vec![agent], USED).run().await?;
    let allowed = answers.count(quotum_e2e::mcp::Answer::is_allowed);
    ensure!(allowed == USED, "before: {}", answers.summary());

    dev.kill().await?;
    dev.start_again(bench)?;

    let agent = session(bench, &dev, "agent-1").await?;
    let answers = burst(vec![agent], MAX).run().await?;
    let hand = MinuteHand::of_demo(session(bench, &dev, "agent-2").await?);
    ensure!(
        hand.is_same_minute(begin).await?,
        "killing and starting took over {ROUND_S} s"
    );
    let allowed = answers.count(quotum_e2e::mcp::Answer::is_allowed);
    let denied = answers.count(|answer| answer.is_denied_by(RULE));
    bench.note(&format!(
        "{USED} used before the kill; after it {}",
        answers.summary()
    ));
    ensure!(allowed == MAX - USED, "after: {}", answers.summary());
    ensure!(denied == USED, "after: {}", answers.summary());
    dev.stop().await
}

pub(crate) async fn everything_ends_when_it_is_asked_to(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let status = dev.operator(bench).cluster_status()?;
    ensure!(
        status.is_object() || status.is_array(),
        "cluster status: {status}"
    );
    let gateways: Vec<u32> = dev
        .ready
        .gateways
        .iter()
        .map(|gateway| gateway.pid)
        .collect();
    dev.stop().await?;
    let left = gateways.iter().filter(|pid| process::exists(**pid)).count();
    ensure!(left == 0, "{left} gateways outlived `dev`");
    Ok(())
}

async fn session(bench: &Bench, dev: &Dev, grant: &str) -> Result<Session> {
    let url = &dev.ready.gateways[0].url;
    Session::open(&bench.http, url, dev.token(grant)?).await
}
