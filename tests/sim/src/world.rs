//! The world of one run: what is drawn from the seed, and what all its hosts share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quotum_replica::Node;
use quotum_replica::node::Timings;
use tokio::sync::Notify;

use crate::clock::SimClock;
use crate::disk::{Health, SimDisk};
use crate::record::Recorder;
use crate::rng::Rng;

/// How long faults happen.
pub(crate) const FAULTS: Duration = Duration::from_secs(14);

/// How much longer, at the most, if not enough has happened by then.
pub(crate) const MORE_FAULTS: Duration = Duration::from_secs(12);

/// How long the cluster has to serve again, once faults have ended.
pub(crate) const HEAL: Duration = Duration::from_secs(4);

/// How long it is asked then.
pub(crate) const PEACE: Duration = Duration::from_secs(3);

/// How long what is on its way has to end.
pub(crate) const SETTLE: Duration = Duration::from_secs(3);

/// How much faster or slower than the truth monotonic clocks may run.
pub(crate) const DRIFT_PPM: u64 = 1_000;

/// The size of log segments: the smallest, so that logs are cut and snapshots taken often.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;

/// The most counters of a shard.
pub(crate) const COUNTERS_MAX: usize = 400;

/// What all hosts share. Clones share it.
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Inner>,
}

struct Inner {
    seed: u64,
    shards: u32,
    gateways: usize,
    founders: u64,
    /// Whether there is a machine more than founders, and somebody who adds and removes nodes.
    has_operator: bool,
    timings: Timings,
    recorder: Recorder,
    machines: Mutex<BTreeMap<u64, Machine>>,
    /// Nodes that run, by the number of their machine.
    live: Mutex<BTreeMap<u64, Node>>,
    stage: Mutex<Stage>,
}

/// What is on: hosts look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Faults,
    Healed,
    /// Nothing new is asked.
    Settled,
    /// Nodes tell their final state.
    Final,
}

/// One machine that a counter node runs on.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) clock: SimClock,
    pub(crate) disk: SimDisk,
    /// How often a process was started on it.
    pub(crate) lives: u64,
    /// The file of its disk that is rotten.
    pub(crate) rot: Option<String>,
    /// Asks the process to leave in peace.
    pub(crate) leave: Arc<Notify>,
}

/// The name of a machine's host.
pub(crate) fn host(machine: u64) -> String {
    format!("n{machine}")
}

pub(crate) fn gateway_host(number: usize) -> String {
    format!("g{number}")
}

/// Where a machine's node serves clients.
pub(crate) fn client_address(machine: u64) -> String {
    format!("{}:7000", host(machine))
}

/// Where a machine's node serves peers.
pub(crate) fn peer_address(machine: u64) -> String {
    format!("{}:7001", host(machine))
}

// === impl World ===

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let founders = if rng.percent(20) { 5 } else { 3 };
        let has_operator = rng.percent(25);
        // All items of a tool are in one shard: the checker's model knows no reservations.
        let shards = if rng.percent(20) { 2 } else { 1 };
        let machine = |number: u64| {
            let drift = i64::try_from(rng.below(2 * DRIFT_PPM + 1)).unwrap_or(0);
            let drift_ppm = drift - i64::try_from(DRIFT_PPM).unwrap_or(0);
            let skew_ms = i64::try_from(rng.below(101)).unwrap_or(0) - 50;
            let health = Health::good(rng.between(200, 6_000));
            let machine = Machine {
                clock: SimClock::new(skew_ms, drift_ppm, rng.below(1 << 40)),
                disk: SimDisk::new(seed, number, health),
                lives: 0,
                rot: None,
                leave: Arc::default(),
            };
            (number, machine)
        };
        let machines = (1..=founders + u64::from(has_operator))
            .map(machine)
            .collect();
        let inner = Inner {
            seed,
            shards,
            gateways: 2,
            founders,
            has_operator,
            timings: Timings::STANDARD,
            recorder: Recorder::default(),
            machines: Mutex::new(machines),
            live: Mutex::default(),
            stage: Mutex::new(Stage::Faults),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// A stream of random numbers of its own for whoever has this name.
    pub(crate) fn rng(&self, name: u64) -> Rng {
        Rng::new(self.inner.seed, name)
    }

    pub(crate) fn shards(&self) -> u32 {
        self.inner.shards
    }

    pub(crate) fn gateways(&self) -> usize {
        self.inner.gateways
    }

    pub(crate) fn timings(&self) -> Timings {
        self.inner.timings
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.inner.recorder
    }

    /// The machines whose nodes found the cluster.
    pub(crate) fn founders(&self) -> u64 {
        self.inner.founders
    }

    /// All machines: the founders first.
    pub(crate) fn machines(&self) -> u64 {
        self.founders() + u64::from(self.inner.has_operator)
    }

    pub(crate) fn machine(&self, number: u64) -> Machine {
        let machines = self.inner.machines.lock().expect("one thread");
        machines[&number].clone()
    }

    pub(crate) fn change_machine(&self, number: u64, change: impl FnOnce(&mut Machine)) {
        let mut machines = self.inner.machines.lock().expect("one thread");
        change(machines.get_mut(&number).expect("a machine of this run"));
    }

    pub(crate) fn set_live(&self, machine: u64, node: Option<Node>) {
        let mut live = self.inner.live.lock().expect("one thread");
        match node {
            Some(node) => drop(live.insert(machine, node)),
            None => drop(live.remove(&machine)),
        }
    }

    /// The nodes that run, by machine.
    pub(crate) fn live(&self) -> BTreeMap<u64, Node> {
        self.inner.live.lock().expect("one thread").clone()
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.inner.stage.lock().expect("one thread")
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        *self.inner.stage.lock().expect("one thread") = stage;
    }

    /// Where clients find the cluster.
    pub(crate) fn client_addresses(&self) -> Vec<String> {
        (1..=self.founders()).map(client_address).collect()
    }
}
