//! Processes that die, and one that sleeps.

use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_replica::limits::FEATURE_LEVEL;

use crate::cluster::Cluster;
use crate::course::Course;
use crate::front::{Availability, Front};
use crate::limits::HEAL_MAX;
use crate::load::Demand;
use crate::status::GROUP;
use crate::tls::{Certificates, Wire};

/// How long a fault is on.
const FAULT: Duration = Duration::from_secs(5);
/// A pause that outlasts many elections, and the deadline of every request.
const PAUSE: Duration = Duration::from_secs(10);

pub(super) async fn a_dead_follower_is_not_noticed(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "follower killed", 3).await?;
    let leader = course.cluster.leader().await?;
    let follower = course.cluster.others(leader)[0];
    let fault = course.begin("kill follower", &[follower]);
    course.cluster.node(follower).kill();
    course.pass(FAULT).await;
    ensure!(
        course.cluster.leader().await? == leader,
        "the leader changed though a follower died"
    );
    let unknown = course.recorder.unknown_since(fault.since_us);
    ensure!(unknown == 0, "{unknown} requests were not decided");
    course.cluster.node(follower).start()?;
    course.end(&fault);
    course.finish().await
}

pub(super) async fn a_dead_leader_is_replaced_at_once(bench: &Bench) -> Result {
    dead_leader(bench, "leader killed", Wire::Plaintext).await
}

pub(super) async fn a_dead_leader_is_replaced_over_tls(bench: &Bench) -> Result {
    dead_leader(bench, "leader killed, TLS", Wire::Tls).await
}

async fn dead_leader(bench: &Bench, name: &str, wire: Wire) -> Result {
    let mut course = Course::start_over(bench, name, 3, wire).await?;
    let front = Front::start(bench, &mut course.cluster, 2).await?;
    course.pass(FAULT).await;
    // Twice: the second time the first victim votes.
    for _ in 0..2 {
        let leader = course.cluster.leader().await?;
        let fault = course.begin("kill leader", &[leader]);
        course.cluster.node(leader).kill();
        course.failed_over(&fault).await?;
        // The dead one finds its own when it comes back.
        course.replace(Some(&front), Certificates::renew).await?;
        course.pass(FAULT).await;
        course.cluster.node(leader).start()?;
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
    }
    front.settle(bench, Availability::MayLack).await?;
    course.finish().await
}

pub(super) async fn calls_of_two_shards_outlive_the_leaders_of_both(bench: &Bench) -> Result {
    let mut cluster = Cluster::prepare(bench, 3)?;
    for node in &mut cluster.nodes {
        node.shards = 2;
    }
    cluster.start_all().await?;
    let demand = Demand {
        pairs: false,
        ..Demand::USUAL
    };
    let mut course = Course::under(bench, "two shards", cluster, demand).await?;
    course.reaches_level(FEATURE_LEVEL).await?;
    course.load().ask_for_pairs();
    for shard in [GROUP, "1"] {
        let leader = course.cluster.leader_of(shard).await?;
        let fault = course.begin("kill leader", &[leader]);
        course.cluster.node(leader).kill();
        course.failed_over(&fault).await?;
        course.pass(FAULT).await;
        course.cluster.node(leader).start()?;
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
    }
    let evidence = course.end_all().await?;
    ensure!(evidence.confirmed() > 0, "no pair was decided");
    evidence.is_sound()
}

pub(super) async fn without_a_majority_nothing_is_decided(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "majority killed", 5).await?;
    let leader = course.cluster.leader().await?;
    // The leader and one follower are left.
    let victims = course.cluster.others(leader)[..3].to_vec();
    let fault = course.begin("kill majority", &victims);
    for victim in &victims {
        course.cluster.node(*victim).kill();
    }
    let gone_us = course.recorder.now_us();
    course.pass(FAULT).await;
    let decided = course.recorder.first_decision_after(gone_us);
    ensure!(
        decided.is_none(),
        "a minority decided {decided:?} after the majority was gone"
    );
    for victim in &victims {
        course.cluster.node(*victim).start()?;
    }
    course.end(&fault);
    course.finish().await
}

pub(super) async fn what_was_decided_outlives_the_death_of_all(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "all killed", 3).await?;
    let all = course.cluster.numbers();
    for _ in 0..2 {
        let fault = course.begin("kill all", &all);
        for node in &mut course.cluster.nodes {
            node.kill();
        }
        course.pass(Duration::from_secs(1)).await;
        for node in &mut course.cluster.nodes {
            node.start()?;
        }
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
        course.pass(FAULT).await;
    }
    course.finish().await
}

pub(super) async fn a_paused_leader_decides_nothing_when_it_wakes(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "leader paused", 3).await?;
    let leader = course.cluster.leader().await?;
    let fault = course.begin("pause leader", &[leader]);
    course.cluster.node(leader).pause()?;
    course.failed_over(&fault).await?;
    course.pass(PAUSE).await;
    // Streams to it are open, and its queue holds what was asked before: all of that is stale.
    course.cluster.node(leader).resume()?;
    course.end(&fault);
    let successor = course.cluster.leader_but(&[leader]).await?;
    course.pass(FAULT).await;
    ensure!(
        course.cluster.leader().await? == successor,
        "the leader that woke up unseated its successor"
    );
    course.finish().await
}
