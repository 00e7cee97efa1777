//! The world of one run: what is drawn from the seed, and what all its hosts share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use quotum_replica::node::Timings;
use quotum_replica::{Node, ShardId};
use tokio::sync::Notify;

use crate::clock::SimClock;
use crate::disk::{Health, SimDisk};
use crate::machine::Sockets;
use crate::node;
use crate::process::Process;
use crate::record::Recorder;
use crate::rng::Rng;

/// How long faults happen.
const FAULTS: Duration = Duration::from_secs(14);

/// And in one of twenty runs: long enough for ids to be forgotten by log time, and asked for again.
const LONG_FAULTS: Duration = Duration::from_secs(45);

/// How much longer, at the most, if not enough has happened by then.
pub(crate) const MORE_FAULTS: Duration = Duration::from_secs(20);

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

/// The most counters of a shard, more than there are.
const COUNTERS_MAX: usize = 400;

/// And in a tenth of the runs: fewer than are asked for, so that some are refused.
const FEW_COUNTERS: [usize; 3] = [8, 11, 14];

/// What all hosts share. Clones share it.
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Inner>,
}

struct Inner {
    seed: u64,
    shards: u32,
    counters_max: usize,
    is_long: bool,
    gateways: usize,
    founders: u64,
    /// Whether there is a machine more than founders, and somebody who adds and removes nodes.
    has_operator: bool,
    timings: Timings,
    recorder: Recorder,
    machines: Mutex<BTreeMap<u64, Machine>>,
    /// Nodes that run, by the number of their machine.
    live: Mutex<BTreeMap<u64, Node>>,
    /// What machines that have just started have for their processes.
    booted: Mutex<BTreeMap<u64, Sockets>>,
    processes: Mutex<Processes>,
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
    /// So many of a hundred messages arrive twice.
    pub(crate) repeats: Arc<AtomicU64>,
}

/// The processes that run, by machine.
struct Processes {
    rng: Rng,
    running: BTreeMap<u64, Process>,
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
        let shards = if rng.percent(20) { 2 } else { 1 };
        let mut bounds = Rng::new(seed, 0xb0_0d5);
        let counters_max = match bounds.percent(10) {
            true => bounds.pick(&FEW_COUNTERS).unwrap_or(COUNTERS_MAX),
            false => COUNTERS_MAX,
        };
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
                repeats: Arc::default(),
            };
            (number, machine)
        };
        let machines = (1..=founders + u64::from(has_operator))
            .map(machine)
            .collect();
        let inner = Inner {
            seed,
            shards,
            counters_max,
            is_long: bounds.percent(5),
            gateways: 2,
            founders,
            has_operator,
            timings: Timings::STANDARD,
            recorder: Recorder::default(),
            machines: Mutex::new(machines),
            live: Mutex::default(),
            booted: Mutex::default(),
            processes: Mutex::new(Processes {
                rng: Rng::new(seed, 0x9_20ce),
                running: BTreeMap::new(),
            }),
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

    /// The most counters of a shard.
    pub(crate) fn counters_max(&self) -> usize {
        self.inner.counters_max
    }

    /// Whether ids are forgotten by log time, and no sooner.
    pub(crate) fn is_long(&self) -> bool {
        self.inner.is_long
    }

    /// How long faults happen.
    pub(crate) fn faults(&self) -> Duration {
        match self.is_long() {
            true => LONG_FAULTS,
            false => FAULTS,
        }
    }

    /// The shards of the counters, and that of the registry.
    pub(crate) fn all_shards(&self) -> impl Iterator<Item = ShardId> {
        (0..self.shards()).map(ShardId).chain([ShardId::REGISTRY])
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

    /// A machine has started, and starts its process.
    pub(crate) fn boot(&self, machine: u64, sockets: Sockets) {
        let mut booted = self.inner.booted.lock().expect("one thread");
        booted.insert(machine, sockets);
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.inner.processes.lock().expect("one thread")
    }

    /// Lets so much time pass in all processes, one after the other in any order, and says which
    /// have ended.
    pub(crate) fn tick(&self, now: Duration, tick: Duration) -> Vec<u64> {
        let booted = std::mem::take(&mut *self.inner.booted.lock().expect("one thread"));
        let mut processes = self.processes();
        let Processes { rng, running } = &mut *processes;
        for (machine, sockets) in booted {
            let life = node::run(self.clone(), machine, sockets);
            running.insert(machine, Process::start(rng, now, life));
        }
        let mut order: Vec<u64> = running.keys().copied().collect();
        while !order.is_empty() {
            let next = usize::try_from(rng.below(order.len() as u64)).expect("small");
            running[&order.swap_remove(next)].tick(now, tick);
        }
        let over = running.iter().filter(|(_, process)| process.is_over());
        over.map(|(machine, _)| *machine).collect()
    }

    /// The process of a machine ends where it is.
    pub(crate) fn end(&self, machine: u64) {
        self.set_live(machine, None);
        self.inner
            .booted
            .lock()
            .expect("one thread")
            .remove(&machine);
        self.processes().running.remove(&machine);
    }

    /// Stops the process of a machine; `false`: it is not running.
    pub(crate) fn stop(&self, machine: u64, now: Duration) -> bool {
        let mut processes = self.processes();
        let process = processes.running.get_mut(&machine);
        process.is_some_and(|process| process.stop(now))
    }

    /// Lets it run again, if it is still there.
    pub(crate) fn go_on(&self, machine: u64, now: Duration) {
        if let Some(process) = self.processes().running.get_mut(&machine) {
            process.go_on(now);
        }
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
