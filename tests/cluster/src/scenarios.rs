//! The scenarios: what is broken, and what must hold.

use quotum_e2e::bench::Bench;
use quotum_e2e::failure::Result;

use crate::apart;
use crate::needs::Need;

mod clocks;
mod disks;
mod kills;
mod members;
mod partitions;
mod strangers;
mod wire;

/// A scenario and what it cannot run without.
pub struct Scenario {
    pub name: &'static str,
    pub needs: &'static [Need],
    pub run: Run,
}

pub type Run = fn(&Bench) -> Result;

/// A scenario whose function is async.
macro_rules! scenario {
    ($path:path, $needs:expr) => {
        Scenario {
            name: stringify!($path),
            needs: $needs,
            run: |bench| crate::runtime()?.block_on(apart::in_time($path(bench))),
        }
    };
}

const FIREWALL: &[Need] = &[Need::Iptables];
const QUEUE: &[Need] = &[Need::Queue];
const FAKETIME: &[Need] = &[Need::Faketime];
const SHIM: &[Need] = &[Need::Gcc];
const NEXT: &[Need] = &[Need::Next];
const POWER: &[Need] = &[Need::Xfs];

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![
        scenario!(kills::a_dead_follower_is_not_noticed, &[]),
        scenario!(kills::a_dead_leader_is_replaced_at_once, &[]),
        scenario!(kills::a_dead_leader_is_replaced_over_tls, &[]),
        scenario!(kills::calls_of_two_shards_outlive_the_leaders_of_both, &[]),
        scenario!(kills::without_a_majority_nothing_is_decided, &[]),
        scenario!(kills::what_was_decided_outlives_the_death_of_all, &[]),
        scenario!(kills::a_paused_leader_decides_nothing_when_it_wakes, &[]),
        scenario!(
            partitions::a_minority_with_the_leader_decides_nothing,
            FIREWALL
        ),
        scenario!(partitions::a_minority_decides_nothing_over_tls, FIREWALL),
        scenario!(partitions::a_leader_that_hears_nobody_is_replaced, FIREWALL),
        scenario!(partitions::a_leader_that_nobody_hears_is_replaced, FIREWALL),
        scenario!(
            partitions::nodes_that_do_not_all_see_each_other_go_on,
            FIREWALL
        ),
        scenario!(wire::lost_packets_cost_time_and_nothing_else, FIREWALL),
        scenario!(wire::late_packets_cost_time_and_nothing_else, QUEUE),
        scenario!(clocks::a_leader_whose_clock_jumps_moves_no_window, FAKETIME),
        scenario!(clocks::a_follower_whose_clock_jumps_may_lead, FAKETIME),
        scenario!(clocks::a_clock_that_drifts_moves_no_window, FAKETIME),
        scenario!(disks::a_full_disk_stops_one_node_until_there_is_space, &[]),
        scenario!(disks::a_failed_sync_ends_the_node, SHIM),
        scenario!(disks::a_slow_disk_slows_nothing_but_its_leader, SHIM),
        scenario!(disks::what_was_decided_outlives_a_loss_of_power, POWER),
        scenario!(disks::without_syncs_a_loss_of_power_is_seen_to_lose, POWER),
        scenario!(strangers::strangers_are_refused_and_change_nothing, &[]),
        scenario!(members::a_rolling_restart_refuses_nothing, &[]),
        scenario!(members::a_rolling_restart_over_tls_refuses_nothing, &[]),
        scenario!(
            members::an_upgrade_is_rolled_out_and_taken_back_under_load,
            &[]
        ),
        scenario!(
            members::the_next_build_with_another_protocol_is_rolled_out,
            NEXT
        ),
        scenario!(members::a_cluster_grows_and_shrinks_under_load, &[]),
        scenario!(
            members::a_node_that_lost_its_disk_comes_back_as_another,
            &[]
        ),
    ]
}
