//! Wall clocks that are wrong: at one node, which is a minority.

use std::time::{Duration, Instant};

use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_replica::clock::{Clock as _, RealClock};

use crate::cluster::Cluster;
use crate::course::Course;
use crate::limits::{CLOCK_OFF_MS_MAX, HEAL_MAX};
use crate::status;
use crate::wall::WallClock;

/// How long a clock is off.
const OFF: Duration = Duration::from_secs(3);
/// How long a clock that drifts may take until it is off by more than counts, and how often it is
/// looked at.
const OFF_MAX: Duration = Duration::from_secs(30);
const OFF_STEP: Duration = Duration::from_millis(250);
/// Log time is that of the last entry: how old that may be when it is shown, a change of leaders
/// included.
const AGE_MS_MAX: u64 = 3_000;

pub(super) async fn a_leader_whose_clock_jumps_moves_no_window(bench: &Bench) -> Result {
    off_course(bench, "leader's clock", Who::Leader, &["+1h", "-1h"]).await
}

pub(super) async fn a_follower_whose_clock_jumps_may_lead(bench: &Bench) -> Result {
    off_course(bench, "follower's clock", Who::Successor, &["-1h", "+1h"]).await
}

pub(super) async fn a_clock_that_drifts_moves_no_window(bench: &Bench) -> Result {
    off_course(
        bench,
        "drifting clock",
        Who::Leader,
        &["+0 x1.05", "+0 x0.95"],
    )
    .await
}

/// Whose clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Leader,
    /// A follower of two nodes, of which the leader then is paused, so that it may be elected.
    Successor,
}

async fn off_course(bench: &Bench, name: &str, who: Who, offs: &[&str]) -> Result {
    let mut cluster = Cluster::prepare(bench, 3)?;
    let clocks: Vec<WallClock> = cluster
        .nodes
        .iter_mut()
        .map(WallClock::of)
        .collect::<Result<_>>()?;
    cluster.start_all().await?;
    let mut course = Course::of(bench, name, cluster).await?;
    for off in offs {
        let leader = course.cluster.leader().await?;
        let victim = match who {
            Who::Leader => leader,
            Who::Successor => course.cluster.others(leader)[0],
        };
        let fault = course.begin("wrong wall clock", &[victim]);
        clocks[usize::from(victim) - 1].set(off)?;
        course.pass(OFF).await;
        is_off(&mut course, victim).await?;
        if who == Who::Successor {
            let pause = course.begin("pause leader", &[leader]);
            course.cluster.node(leader).pause()?;
            course.failed_over(&pause).await?;
            course.pass(OFF).await;
            course.cluster.node(leader).resume()?;
            course.end(&pause);
            course.cluster.agreed(HEAL_MAX).await?;
        }
        course.pass(OFF).await;
        if who == Who::Leader {
            // It has handed over, to one whose clock is right.
            course.cluster.leader_but(&[victim]).await?;
        }
        // A rate stays until another one is set.
        clocks[usize::from(victim) - 1].set("+0 x1")?;
        course.end(&fault);
        course.pass(OFF).await;
    }
    on_time(&course)?;
    course.finish().await
}

/// Waits until the node's wall clock is really wrong: one that drifts needs a while.
async fn is_off(course: &mut Course<'_>, victim: u8) -> Result {
    let address = course.cluster.node(victim).peer_address();
    let deadline = Instant::now() + OFF_MAX;
    loop {
        let shown_ms = status::wall_ms(address).await?;
        let off_ms = shown_ms.abs_diff(RealClock.wall_ms());
        let text = format!("node {victim}'s wall clock is {off_ms} ms off");
        if off_ms > CLOCK_OFF_MS_MAX {
            course.bench.note(&text);
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{text} after {OFF_MAX:?}");
        course.pass(OFF_STEP).await;
    }
}

/// Log time was near the real time throughout, as every leader showed it.
fn on_time(course: &Course<'_>) -> Result {
    let sights = course.sights();
    let (mut ahead_ms, mut behind_ms, mut term) = (0, 0, 0);
    for sight in sights.iter().filter(|sight| sight.leads) {
        ahead_ms = ahead_ms.max(sight.log_ms.saturating_sub(sight.answered_wall_ms));
        if sight.term < term {
            // It has just woken up, and does not know yet that it was replaced.
            continue;
        }
        term = sight.term;
        behind_ms = behind_ms.max(sight.answered_wall_ms.saturating_sub(sight.log_ms));
    }
    course.bench.note(&format!(
        "log time was {ahead_ms} ms ahead and {behind_ms} ms behind at most, seen {} times",
        sights.len()
    ));
    ensure!(
        ahead_ms <= CLOCK_OFF_MS_MAX && behind_ms <= CLOCK_OFF_MS_MAX + AGE_MS_MAX,
        "log time was {ahead_ms} ms ahead and {behind_ms} ms behind"
    );
    Ok(())
}
