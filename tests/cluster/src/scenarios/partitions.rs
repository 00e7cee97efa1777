//! Networks that come apart: between the nodes, while clients reach all of them.

use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};

use crate::cluster::Cluster;
use crate::course::Course;
use crate::limits::HEAL_MAX;
use crate::status::{GROUP, group};
use crate::tls::{Certificates, Wire};

/// How long a cut lasts: many elections.
const CUT: Duration = Duration::from_secs(6);
/// Terms that a cut and its healing may cost. Without the vote before the vote, a node that is cut
/// off would start several elections a second.
const TERMS_MAX: u64 = 6;

pub(super) async fn a_minority_with_the_leader_decides_nothing(bench: &Bench) -> Result {
    minority(bench, "minority cut off", Wire::Plaintext).await
}

pub(super) async fn a_minority_decides_nothing_over_tls(bench: &Bench) -> Result {
    minority(bench, "minority cut off, TLS", Wire::Tls).await
}

async fn minority(bench: &Bench, name: &str, wire: Wire) -> Result {
    let mut course = Course::start_over(bench, name, 5, wire).await?;
    let leader = course.cluster.leader().await?;
    let others = course.cluster.others(leader);
    let minority = [leader, others[0]];
    let majority = &others[1..];
    let before = term(&course.cluster).await?;
    let fault = course.begin("cut off the leader and one more", &minority);
    for one in minority {
        for other in majority {
            cut(&course.cluster, one, *other)?;
        }
    }
    course.failed_over(&fault).await?;
    course.replace(None, Certificates::renew).await?;
    course.pass(CUT).await;
    let successor = course.cluster.leader_but(&minority).await?;
    heal(&course.cluster)?;
    course.end(&fault);
    course.cluster.agreed(HEAL_MAX).await?;
    course.pass(CUT / 2).await;
    stays(&course.cluster, successor, before).await?;
    course.finish().await
}

pub(super) async fn a_leader_that_hears_nobody_is_replaced(bench: &Bench) -> Result {
    // Its heartbeats go out, and no answer comes in.
    one_way(
        bench,
        "leader deaf",
        "the leader hears nobody",
        |leader, other| (leader, other),
    )
    .await
}

pub(super) async fn a_leader_that_nobody_hears_is_replaced(bench: &Bench) -> Result {
    one_way(
        bench,
        "leader mute",
        "nobody hears the leader",
        |leader, other| (other, leader),
    )
    .await
}

/// Cuts one way between the leader and each other node: `cut` says which of them is deaf, and to
/// whom.
async fn one_way(
    bench: &Bench,
    name: &str,
    fault: &'static str,
    cut: impl Fn(u8, u8) -> (u8, u8),
) -> Result {
    let mut course = Course::start(bench, name, 3).await?;
    let leader = course.cluster.leader().await?;
    let before = term(&course.cluster).await?;
    let fault = course.begin(fault, &[leader]);
    for other in course.cluster.others(leader) {
        let (listener, speaker) = cut(leader, other);
        deaf(&course.cluster, listener, speaker)?;
    }
    course.failed_over(&fault).await?;
    course.pass(CUT).await;
    heal(&course.cluster)?;
    course.end(&fault);
    course.cluster.agreed(HEAL_MAX).await?;
    let now = term(&course.cluster).await?;
    ensure!(
        now - before <= TERMS_MAX,
        "the terms went from {before} to {now}"
    );
    course.finish().await
}

pub(super) async fn nodes_that_do_not_all_see_each_other_go_on(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "not transitive", 3).await?;
    let leader = course.cluster.leader().await?;
    let others = course.cluster.others(leader);
    let before = term(&course.cluster).await?;
    // First between the followers, which nobody should notice.
    let fault = course.begin("cut between the followers", &others);
    cut(&course.cluster, others[0], others[1])?;
    course.pass(CUT / 2).await;
    stays(&course.cluster, leader, before).await?;
    let unknown = course.recorder.unknown_since(fault.since_us);
    ensure!(unknown == 0, "{unknown} requests were not decided");
    was_cut(&course.cluster, others[0])?;
    heal(&course.cluster)?;
    course.end(&fault);
    // Then between the leader and one follower, while both see the third.
    let victim = others[0];
    let fault = course.begin("cut between the leader and a follower", &[leader, victim]);
    cut(&course.cluster, leader, victim)?;
    course.pass(CUT).await;
    let since_us = course.recorder.now_us();
    course.decided_after(since_us, HEAL_MAX).await?;
    was_cut(&course.cluster, victim)?;
    heal(&course.cluster)?;
    course.end(&fault);
    course.cluster.agreed(HEAL_MAX).await?;
    course.finish().await
}

/// The firewall of a node has really dropped something: its neighbour went on to talk to it.
fn was_cut(cluster: &Cluster, node: u8) -> Result {
    let dropped = cluster.host(node).dropped()?;
    ensure!(dropped > 0, "nothing was cut");
    Ok(())
}

/// The leader is still this one, and it took few elections to get there.
async fn stays(cluster: &Cluster, leader: u8, before: u64) -> Result {
    let now = cluster.leader().await?;
    ensure!(now == leader, "node {now} leads instead of {leader}");
    let term = term(cluster).await?;
    ensure!(
        term - before <= TERMS_MAX,
        "the terms went from {before} to {term}"
    );
    Ok(())
}

async fn term(cluster: &Cluster) -> Result<u64> {
    let statuses = cluster.statuses().await;
    let terms = statuses.iter().filter_map(|status| group(status, GROUP));
    terms
        .map(|group| group.term)
        .max()
        .ok_or_else(|| Failure::new("no node answers"))
}

fn cut(cluster: &Cluster, one: u8, other: u8) -> Result {
    deaf(cluster, one, other)?;
    deaf(cluster, other, one)
}

/// `one` hears nothing of `other` any more.
fn deaf(cluster: &Cluster, one: u8, other: u8) -> Result {
    cluster.host(one).is_deaf_to(cluster.host(other))
}

fn heal(cluster: &Cluster) -> Result {
    cluster.nodes.iter().try_for_each(|node| node.host.heal())
}
