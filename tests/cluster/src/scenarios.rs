//! The scenarios: what is broken, and what must hold.

use quotum_e2e::bench::Bench;
use quotum_e2e::failure::Result;

use crate::needs::Need;

mod kills;
mod partitions;

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
            run: |bench| crate::runtime()?.block_on($path(bench)),
        }
    };
}

const FIREWALL: &[Need] = &[Need::Iptables];

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![
        scenario!(kills::a_dead_follower_is_not_noticed, &[]),
        scenario!(kills::a_dead_leader_is_replaced_at_once, &[]),
        scenario!(kills::without_a_majority_nothing_is_decided, &[]),
        scenario!(kills::what_was_decided_outlives_the_death_of_all, &[]),
        scenario!(kills::a_paused_leader_decides_nothing_when_it_wakes, &[]),
        scenario!(
            partitions::a_minority_with_the_leader_decides_nothing,
            FIREWALL
        ),
        scenario!(partitions::a_leader_that_hears_nobody_is_replaced, FIREWALL),
        scenario!(partitions::a_leader_that_nobody_hears_is_replaced, FIREWALL),
        scenario!(
            partitions::nodes_that_do_not_all_see_each_other_go_on,
            FIREWALL
        ),
    ]
}
