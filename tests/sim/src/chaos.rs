//! What goes wrong: faults drawn from the seed, each with its end.

use std::time::Duration;

use quotum_checker::What;
use quotum_checker::history::Edge;
use turmoil::Sim;

use crate::disk::Rot;
use crate::rng::Rng;
use crate::wire::break_between;
use crate::world::{World, gateway_host, host};

/// How long a node is away for others to give up the log that it lacks.
const ABSENCE: Duration = Duration::from_millis(5_500);

/// How long a node that was away has to catch up.
const RETURN: Duration = Duration::from_millis(1_500);

/// How long it takes until all nodes have heard of a clock that has stepped.
const HEARD: Duration = Duration::from_millis(400);

/// How long a leader is away for another to take its place.
const HEIR: Duration = Duration::from_millis(700);

/// Where the wall clocks of a majority go, no two of them and of the right ones near each other.
const APART_MS: [i64; 5] = [-3_600_000, -3_000, 3_000, 3_600_000, 86_400_000];

/// The most faults at a time.
const ACTIVE_MAX: usize = 4;

/// What is wrong at the moment, and what is next.
pub(crate) struct Chaos {
    world: World,
    rng: Rng,
    active: Vec<Active>,
    next_at: Duration,
    /// When a node goes away for so long that it needs a snapshot afterwards, until one has.
    absence_at: Duration,
    absence: Duration,
    /// When the leader goes away, if no other has led by then.
    succession_at: Duration,
    /// When it goes away because a clock was wrong when that was drawn.
    heir_at: Option<Duration>,
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
    SetClocks(Vec<u64>),
    Quicken(u64, u64),
    Space(u64),
    /// A process that was stopped.
    Continue(u64),
    Mirror(u64, Rot),
    /// The machine that messages arrive twice at.
    Once(u64),
}

// === impl Chaos ===

impl Chaos {
    pub(crate) fn new(world: World) -> Self {
        let mut rng = world.rng(0xc4a05);
        let next_at = Duration::from_millis(rng.between(1_500, 2_500));
        let absence_at = Duration::from_millis(rng.between(2_500, 6_000));
        Self {
            world,
            rng,
            active: Vec::new(),
            next_at,
            absence_at,
            absence: ABSENCE,
            succession_at: Duration::from_secs(10),
            heir_at: None,
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
        let seen = self.world.recorder().seen();
        if now >= self.absence_at && seen.installs == 0 {
            let absence = self.absence;
            // Tried again for longer and in peace, if it was too short or the others wrote too little.
            if absence > ABSENCE {
                self.end_all(sim);
                self.next_at = now + absence + RETURN;
            }
            self.absence_at = now + absence + RETURN;
            self.absence += RETURN;
            let machine = self.victim();
            self.go_away(sim, machine, absence);
        }
        if now >= self.succession_at && seen.terms.len() < 2 {
            self.succession_at = now + RETURN;
            let leader = self.leader();
            self.go_away(sim, leader, RETURN);
        }
        if self.heir_at.is_some_and(|at| now >= at) {
            self.heir_at = None;
            let leader = self.leader();
            self.go_away(sim, leader, HEIR);
        }
        if now >= self.next_at {
            self.next_at = now + Duration::from_millis(self.rng.between(100, 900));
            if self.active.len() < ACTIVE_MAX {
                self.begin(sim);
            }
        }
    }

    fn go_away(&mut self, sim: &mut Sim<'_>, machine: Option<u64>, lasts: Duration) {
        let crashed = machine.and_then(|machine| self.crash(sim, vec![machine]));
        let Some((name, nodes, undo)) = crashed else {
            return;
        };
        self.note(sim, name, &nodes, Edge::Begin);
        self.active.push(Active {
            name,
            nodes,
            until: sim.elapsed() + lasts,
            undo,
        });
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
            Undo::SetClocks(machines) => {
                for machine in machines {
                    self.world.machine(machine).clock.set_skew_ms(0);
                }
            }
            Undo::Quicken(machine, sync_us) => {
                let disk = self.world.machine(machine).disk;
                disk.set_health(|health| health.sync_us = sync_us);
                // What was acknowledged too early is lost now, if ever.
                if self.rng.percent(50) && self.world.live().contains_key(&machine) {
                    let name = self.lose_power(sim, machine);
                    self.note(sim, name, &[machine], Edge::Once);
                    sim.bounce(host(machine));
                }
            }
            Undo::Space(machine) => {
                let disk = self.world.machine(machine).disk;
                disk.set_health(|health| health.is_full = false);
            }
            Undo::Continue(machine) => self.world.go_on(machine, sim.elapsed()),
            Undo::Once(machine) => self.set_repeats(machine, 0),
            // Whoever runs it starts it again.
            Undo::Mirror(machine, rot) => {
                self.world.machine(machine).disk.mend(&rot);
                self.world
                    .change_machine(machine, |machine| machine.rot = None);
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
        let mut lasts = Duration::from_millis(self.rng.between(100, 2_500));
        let fault = match self.rng.below(21) {
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
            10 => self.step_clock(machine, now),
            11 => self.slow_disk(machine),
            12 => self.fail_disk(machine),
            13 => self.leave(machine),
            14 | 15 => self.pause(sim, machine),
            16 | 17 => self.rot(sim, machine),
            18 | 19 => self.repeat(machine),
            _ => self.crash_gateway(sim),
        };
        let Some((name, nodes, undo)) = fault else {
            return;
        };
        if matches!(undo, Undo::Continue(_)) && self.rng.percent(30) {
            lasts *= 3;
        }
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
        if let Some(leader) = self.leader().filter(|_| self.rng.percent(50)) {
            return Some(leader);
        }
        let all: Vec<u64> = self.world.live().into_keys().collect();
        self.rng.pick(&all)
    }

    /// A machine whose node believes that it leads shard 0.
    fn leader(&self) -> Option<u64> {
        let leads = |node: &quotum_replica::Node| {
            node.leader(quotum_replica::ShardId(0))
                .is_some_and(|(leader, _)| leader == node.id())
        };
        let live = self.world.live();
        let leader = live.iter().find(|(_, node)| leads(node));
        leader.map(|(machine, _)| *machine)
    }

    fn crash(&mut self, sim: &mut Sim<'_>, machines: Vec<u64>) -> Option<Fault> {
        let with_power = self.rng.percent(50);
        let mut name = "kill";
        for machine in &machines {
            name = match with_power {
                true => self.lose_power(sim, *machine),
                false => self.kill(sim, *machine),
            };
        }
        Some((name, machines.clone(), Undo::Start(machines)))
    }

    fn kill(&self, sim: &mut Sim<'_>, machine: u64) -> &'static str {
        self.world.end(machine);
        sim.crash(host(machine));
        self.world.change_machine(machine, |machine| {
            machine.disk = machine.disk.next_life();
        });
        "kill"
    }

    fn lose_power(&self, sim: &mut Sim<'_>, machine: u64) -> &'static str {
        self.world.end(machine);
        sim.crash(host(machine));
        self.world.change_machine(machine, |machine| {
            machine.disk = machine.disk.lose_power();
        });
        "power loss"
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

    /// The process stands still, and goes on with what it knew.
    fn pause(&mut self, sim: &mut Sim<'_>, machine: u64) -> Option<Fault> {
        let is_stopped = self.world.stop(machine, sim.elapsed());
        is_stopped.then(|| ("pause", vec![machine], Undo::Continue(machine)))
    }

    /// A bit of the log flips, and the process starts again: on one machine at a time.
    fn rot(&mut self, sim: &mut Sim<'_>, machine: u64) -> Option<Fault> {
        let is_rotten = |one: &Active| matches!(one.undo, Undo::Mirror(..));
        if self.active.iter().any(is_rotten) {
            return None;
        }
        let rot = self.world.machine(machine).disk.rot()?;
        self.kill(sim, machine);
        self.world.change_machine(machine, |machine| {
            machine.rot = Some(rot.file.clone());
        });
        Some(("rot", vec![machine], Undo::Mirror(machine, rot)))
    }

    fn delay(&mut self, sim: &mut Sim<'_>, machine: u64, others: &[u64]) -> Option<Fault> {
        let other = self.rng.pick(others)?;
        let (a, b) = (host(machine), host(other));
        let most = Duration::from_millis(self.rng.between(20, 300));
        sim.set_link_max_message_latency(a.as_str(), b.as_str(), most);
        Some(("delay", vec![machine, other], Undo::Hasten(a, b)))
    }

    /// The wall clock of one machine: a minority; now and then those of a majority, no two of which
    /// agree then. Most times the leader goes away, before the others have heard of it or after: log
    /// time may step where a term starts, and nowhere else.
    fn step_clock(&mut self, machine: u64, now: Duration) -> Option<Fault> {
        let is_off = |one: &Active| matches!(one.undo, Undo::SetClocks(_));
        if self.active.iter().any(is_off) {
            return None;
        }
        let steps = [
            -3_600_000, 3_600_000, -3_000, 3_000, -700, 700, 400, 86_400_000,
        ];
        let skew_ms = self.rng.pick(&steps)?;
        let leaves = [
            None,
            Some(Duration::ZERO),
            Some(Duration::ZERO),
            Some(HEARD),
        ];
        if let Some(after) = self.rng.pick(&leaves)? {
            self.heir_at = Some(now + after);
        }
        if self.rng.percent(20) {
            return Some(self.part_clocks(machine));
        }
        self.world.machine(machine).clock.set_skew_ms(skew_ms);
        Some(("clock step", vec![machine], Undo::SetClocks(vec![machine])))
    }

    /// The wall clocks of this machine and as many others as are a majority, each to another time.
    fn part_clocks(&mut self, machine: u64) -> Fault {
        let mut others: Vec<u64> = (1..=self.world.machines()).collect();
        others.retain(|other| *other != machine);
        let mut skews_ms = APART_MS.to_vec();
        let mut stepped = Vec::new();
        let mut next = Some(machine);
        while let Some(machine) = next.filter(|_| !skews_ms.is_empty()) {
            let skew_ms = skews_ms.swap_remove(self.place(skews_ms.len()));
            self.world.machine(machine).clock.set_skew_ms(skew_ms);
            stepped.push(machine);
            let majority = usize::try_from(self.world.machines() / 2 + 1).expect("small");
            next = (stepped.len() < majority).then(|| others.swap_remove(self.place(others.len())));
        }
        let undo = Undo::SetClocks(stepped.clone());
        ("clocks of a majority", stepped, undo)
    }

    fn place(&mut self, places: usize) -> usize {
        usize::try_from(self.rng.below(places as u64)).expect("small")
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

    /// A part of the messages that reach a machine is delivered twice.
    fn repeat(&mut self, machine: u64) -> Option<Fault> {
        let percent = self.rng.pick(&[3, 20, 60])?;
        self.set_repeats(machine, percent);
        Some(("repeats", vec![machine], Undo::Once(machine)))
    }

    fn set_repeats(&self, machine: u64, percent: u64) {
        let repeats = self.world.machine(machine).repeats;
        repeats.store(percent, std::sync::atomic::Ordering::Relaxed);
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
