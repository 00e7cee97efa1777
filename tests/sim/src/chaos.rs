//! What goes wrong: faults drawn from the seed, each with its end.

use std::time::Duration;

use quotum_checker::What;
use quotum_checker::history::Edge;
use turmoil::Sim;

use crate::rng::Rng;
use crate::wire::break_between;
use crate::world::{World, gateway_host, host};

/// The most faults at a time.
const ACTIVE_MAX: usize = 4;

/// What is wrong at the moment, and what is next.
pub(crate) struct Chaos {
    world: World,
    rng: Rng,
    active: Vec<Active>,
    next_at: Duration,
    /// When a node goes away for so long that it needs a snapshot afterwards.
    absence_at: Option<Duration>,
}

struct Active {
    name: &'static str,
    nodes: Vec<u64>,
    until: Duration,
    undo: Undo,
}

/// How a fault ends.
enum Undo {
    Nothing,
    Start(Vec<u64>),
    StartGateway(usize),
    /// Links that dropped what was sent.
    Mend(Vec<(String, String)>),
    /// Links that held it back.
    Release(Vec<(String, String)>),
    Hasten(String, String),
    SetClock(u64),
    Quicken(u64, u64),
    Space(u64),
}

// === impl Chaos ===

impl Chaos {
    pub(crate) fn new(world: World) -> Self {
        let mut rng = world.rng(0xc4a05);
        let next_at = Duration::from_millis(rng.between(1_500, 2_500));
        let absence_at = Some(Duration::from_millis(rng.between(2_500, 7_000)));
        Self {
            world,
            rng,
            active: Vec::new(),
            next_at,
            absence_at,
        }
    }

    /// Does what is due.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        let (due, active) = self.active.drain(..).partition(|one| one.until <= now);
        self.active = active;
        let due: Vec<Active> = due;
        for one in due {
            self.end(sim, one);
        }
        if self.absence_at.is_some_and(|at| now >= at)
            && let Some(machine) = self.victim()
        {
            self.absence_at = None;
            if let Some((name, nodes, undo)) = self.crash(sim, vec![machine]) {
                self.note(sim, name, &nodes, Edge::Begin);
                self.active.push(Active {
                    name,
                    nodes,
                    until: now + Duration::from_millis(5_500),
                    undo,
                });
            }
        }
        if now >= self.next_at {
            self.next_at = now + Duration::from_millis(self.rng.between(100, 900));
            if self.active.len() < ACTIVE_MAX {
                self.begin(sim);
            }
        }
    }

    /// Ends everything.
    pub(crate) fn end_all(&mut self, sim: &mut Sim<'_>) {
        for one in std::mem::take(&mut self.active) {
            self.end(sim, one);
        }
    }

    /// Whether a machine is meant to be down.
    pub(crate) fn is_down(&self, machine: u64) -> bool {
        self.active.iter().any(|one| match &one.undo {
            Undo::Start(machines) => machines.contains(&machine),
            _ => false,
        })
    }

    fn note(&self, sim: &Sim<'_>, fault: &str, nodes: &[u64], edge: Edge) {
        let at_us = u64::try_from(sim.elapsed().as_micros()).unwrap_or(u64::MAX);
        let what = What::Fault {
            fault: fault.to_owned(),
            nodes: nodes.to_vec(),
            edge,
        };
        self.world.recorder().note_at(at_us, what);
    }

    fn end(&mut self, sim: &mut Sim<'_>, one: Active) {
        match one.undo {
            Undo::Nothing => {}
            Undo::Start(machines) => {
                for machine in machines {
                    sim.bounce(host(machine));
                }
            }
            Undo::StartGateway(number) => sim.bounce(gateway_host(number)),
            Undo::Mend(links) => {
                for (a, b) in links {
                    sim.repair(a.as_str(), b.as_str());
                    break_between(&a, &b);
                }
            }
            Undo::Release(links) => {
                for (a, b) in links {
                    sim.release(a.as_str(), b.as_str());
                }
            }
            Undo::Hasten(a, b) => {
                sim.set_link_max_message_latency(a.as_str(), b.as_str(), Duration::from_millis(4));
            }
            Undo::SetClock(machine) => self.world.machine(machine).clock.set_skew_ms(0),
            Undo::Quicken(machine, sync_us) => {
                let disk = self.world.machine(machine).disk;
                disk.set_health(|health| health.sync_us = sync_us);
            }
            Undo::Space(machine) => {
                let disk = self.world.machine(machine).disk;
                disk.set_health(|health| health.is_full = false);
            }
        }
        self.note(sim, one.name, &one.nodes, Edge::End);
    }

    fn begin(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        let Some(machine) = self.victim() else { return };
        let others: Vec<u64> = self
            .world
            .live()
            .into_keys()
            .filter(|m| *m != machine)
            .collect();
        let lasts = Duration::from_millis(self.rng.between(100, 2_500));
        let fault = match self.rng.below(15) {
            0..=2 => self.crash(sim, vec![machine]),
            3 if self.rng.percent(30) => {
                let all = self.world.live().into_keys().collect();
                self.crash(sim, all)
            }
            3 | 4 => self.isolate(sim, machine, &others),
            5 => self.cut_pair(sim, machine, &others),
            6 => self.cut_one_way(sim, machine, &others),
            7 => self.cut_gateway(sim, machine),
            8 => self.hold(sim, machine, &others),
            9 => self.delay(sim, machine, &others),
            10 => self.step_clock(machine),
            11 => self.slow_disk(machine),
            12 => self.fail_disk(machine),
            13 => self.leave(machine),
            _ => self.crash_gateway(sim),
        };
        let Some((name, nodes, undo)) = fault else {
            return;
        };
        let is_once = matches!(undo, Undo::Nothing);
        let edge = if is_once { Edge::Once } else { Edge::Begin };
        self.note(sim, name, &nodes, edge);
        if !is_once {
            self.active.push(Active {
                name,
                nodes,
                until: now + lasts,
                undo,
            });
        }
    }

    /// A machine whose node runs: a leader half of the time.
    fn victim(&mut self) -> Option<u64> {
        let live = self.world.live();
        let leads = |node: &quotum_replica::Node| {
            node.leader(quotum_replica::ShardId(0))
                .is_some_and(|(leader, _)| leader == node.id())
        };
        let leader = live.iter().find(|(_, node)| leads(node));
        if let Some((machine, _)) = leader.filter(|_| self.rng.percent(50)) {
            return Some(*machine);
        }
        let all: Vec<u64> = live.into_keys().collect();
        self.rng.pick(&all)
    }

    fn crash(&mut self, sim: &mut Sim<'_>, machines: Vec<u64>) -> Option<Fault> {
        let with_power = self.rng.percent(50);
        for machine in &machines {
            self.world.set_live(*machine, None);
            sim.crash(host(*machine));
            self.world.change_machine(*machine, |machine| {
                machine.disk = match with_power {
                    true => machine.disk.lose_power(),
                    false => machine.disk.next_life(),
                };
            });
        }
        let name = if with_power { "power loss" } else { "kill" };
        Some((name, machines.clone(), Undo::Start(machines)))
    }

    fn crash_gateway(&mut self, sim: &mut Sim<'_>) -> Option<Fault> {
        let number = usize::try_from(self.rng.below(self.world.gateways() as u64)).ok()?;
        let is_down =
            |one: &Active| matches!(one.undo, Undo::StartGateway(other) if other == number);
        if self.active.iter().any(is_down) {
            return None;
        }
        sim.crash(gateway_host(number));
        Some(("gateway killed", Vec::new(), Undo::StartGateway(number)))
    }

    /// From all others, and perhaps from the gateways.
    fn isolate(&mut self, sim: &mut Sim<'_>, machine: u64, others: &[u64]) -> Option<Fault> {
        let mut links: Vec<_> = others
            .iter()
            .map(|other| (host(machine), host(*other)))
            .collect();
        if self.rng.percent(50) {
            let gateways = 0..self.world.gateways();
            links.extend(gateways.map(|number| (host(machine), gateway_host(number))));
        }
        let links = self.free(links)?;
        for (a, b) in &links {
            sim.partition(a.as_str(), b.as_str());
        }
        Some(("isolation", vec![machine], Undo::Mend(links)))
    }

    /// Two nodes do not see each other, and both see the others.
    fn cut_pair(&mut self, sim: &mut Sim<'_>, machine: u64, others: &[u64]) -> Option<Fault> {
        let other = self.rng.pick(others)?;
        let links = self.free(vec![(host(machine), host(other))])?;
        sim.partition(host(machine), host(other));
        Some(("cut", vec![machine, other], Undo::Mend(links)))
    }

    fn cut_one_way(&mut self, sim: &mut Sim<'_>, machine: u64, others: &[u64]) -> Option<Fault> {
        let is_all = self.rng.percent(50);
        let some: Vec<u64> = match is_all {
            true => others.to_vec(),
            false => vec![self.rng.pick(others)?],
        };
        let links = some.iter().map(|other| (host(machine), host(*other)));
        let links = self.free(links.collect())?;
        let is_out = self.rng.percent(50);
        for (a, b) in &links {
            match is_out {
                true => sim.partition_oneway(a.as_str(), b.as_str()),
                false => sim.partition_oneway(b.as_str(), a.as_str()),
            }
        }
        Some(("cut one way", vec![machine], Undo::Mend(links)))
    }

    fn cut_gateway(&mut self, sim: &mut Sim<'_>, machine: u64) -> Option<Fault> {
        let number = usize::try_from(self.rng.below(self.world.gateways() as u64)).ok()?;
        let links = self.free(vec![(gateway_host(number), host(machine))])?;
        sim.partition(gateway_host(number), host(machine));
        Some(("gateway cut off", vec![machine], Undo::Mend(links)))
    }

    /// Everything from and to a node is held back, and comes later.
    fn hold(&mut self, sim: &mut Sim<'_>, machine: u64, others: &[u64]) -> Option<Fault> {
        let mut links: Vec<_> = others
            .iter()
            .map(|other| (host(machine), host(*other)))
            .collect();
        let gateways = 0..self.world.gateways();
        links.extend(gateways.map(|number| (host(machine), gateway_host(number))));
        let links = self.free(links)?;
        for (a, b) in &links {
            sim.hold(a.as_str(), b.as_str());
        }
        Some(("hold", vec![machine], Undo::Release(links)))
    }

    fn delay(&mut self, sim: &mut Sim<'_>, machine: u64, others: &[u64]) -> Option<Fault> {
        let other = self.rng.pick(others)?;
        let (a, b) = (host(machine), host(other));
        let most = Duration::from_millis(self.rng.between(20, 300));
        sim.set_link_max_message_latency(a.as_str(), b.as_str(), most);
        Some(("delay", vec![machine, other], Undo::Hasten(a, b)))
    }

    /// The wall clock of one machine at a time: a minority.
    fn step_clock(&mut self, machine: u64) -> Option<Fault> {
        let is_off = |one: &Active| matches!(one.undo, Undo::SetClock(_));
        if self.active.iter().any(is_off) {
            return None;
        }
        let steps = [
            -3_600_000, 3_600_000, -3_000, 3_000, -700, 700, 400, 86_400_000,
        ];
        let skew_ms = self.rng.pick(&steps)?;
        self.world.machine(machine).clock.set_skew_ms(skew_ms);
        Some(("clock step", vec![machine], Undo::SetClock(machine)))
    }

    fn slow_disk(&mut self, machine: u64) -> Option<Fault> {
        let is_slow =
            |one: &Active| matches!(one.undo, Undo::Quicken(other, _) if other == machine);
        if self.active.iter().any(is_slow) {
            return None;
        }
        let disk = self.world.machine(machine).disk;
        let slow_us = self.rng.between(20_000, 300_000);
        let mut usual_us = 0;
        disk.set_health(|health| {
            usual_us = health.sync_us;
            health.sync_us = slow_us;
        });
        Some(("slow disk", vec![machine], Undo::Quicken(machine, usual_us)))
    }

    fn fail_disk(&mut self, machine: u64) -> Option<Fault> {
        let disk = self.world.machine(machine).disk;
        if self.rng.percent(50) {
            disk.set_health(|health| health.fails = true);
            return Some(("sync error", vec![machine], Undo::Nothing));
        }
        disk.set_health(|health| health.is_full = true);
        Some(("disk full", vec![machine], Undo::Space(machine)))
    }

    fn leave(&mut self, machine: u64) -> Option<Fault> {
        self.world.machine(machine).leave.notify_one();
        Some(("graceful restart", vec![machine], Undo::Nothing))
    }

    /// The links, unless something is wrong with one of them already.
    fn free(&self, links: Vec<(String, String)>) -> Option<Vec<(String, String)>> {
        let same =
            |a: &(String, String), b: &(String, String)| a == b || (a.0 == b.1 && a.1 == b.0);
        let taken = self.active.iter().flat_map(|one| match &one.undo {
            Undo::Mend(links) | Undo::Release(links) => links.as_slice(),
            _ => &[],
        });
        let taken: Vec<_> = taken.collect();
        let links: Vec<_> = links
            .into_iter()
            .filter(|link| !taken.iter().any(|other| same(link, other)))
            .collect();
        (!links.is_empty()).then_some(links)
    }
}

type Fault = (&'static str, Vec<u64>, Undo);
