//! A counter service in memory: nodes on a network of pipes that share one real decision core, and
//! faults on demand. With paused time every run is the same.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod net;
pub(crate) mod node;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quotum_client::{Client, Clock, Config, Route};
use quotum_limit::{Algorithm, Caps, Item, Key, LogTime, Outcome, Stamp, State, Window};
use tokio::time::Instant;

use net::Net;
use node::Faults;

/// A cluster of nodes and what they share.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) net: Net,
    pub(crate) shared: Arc<Mutex<Shared>>,
    nodes: Vec<String>,
}

/// The replicated part, and the faults.
pub(crate) struct Shared {
    pub(crate) shards: Vec<State>,
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) log_ms: u64,
    /// The address of the leader of all shards.
    pub(crate) leader: String,
    pub(crate) faults: Faults,
    /// Every acquire applied, by id, with its outcome: what really happened.
    pub(crate) acquires: Vec<(u64, u64, Outcome)>,
    pub(crate) messages: u64,
}

// === impl Cluster ===

impl Cluster {
    /// `nodes` nodes, the first of which leads `shards` shards.
    pub(crate) fn start(nodes: usize, shards: usize) -> Self {
        let nodes: Vec<_> = (0..nodes).map(|at| format!("node{at}:1")).collect();
        let shared = Shared {
            shards: (0..shards).map(|_| new_state(0)).collect(),
            term: 1,
            index: 0,
            log_ms: 1_700_000_000_000,
            leader: nodes[0].clone(),
            faults: Faults::default(),
            acquires: Vec::new(),
            messages: 0,
        };
        let cluster = Self {
            net: Net::default(),
            shared: Arc::new(Mutex::new(shared)),
            nodes,
        };
        for node in &cluster.nodes {
            cluster.serve(node);
        }
        cluster
    }

    pub(crate) fn serve(&self, address: &str) {
        node::serve(&self.net, address, self.shared.clone());
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(self.nodes.clone(), 0)
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(self.config())
    }

    pub(crate) fn client_with(&self, config: Config) -> Client {
        Client::start(config, self.net.dialer(), clock()).unwrap()
    }

    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.lock().unwrap().faults);
    }

    /// Kills the leader and lets `next` lead.
    pub(crate) fn move_leader(&self, next: usize, kill: bool) {
        let mut shared = self.shared.lock().unwrap();
        if kill {
            self.net.kill(&shared.leader);
        }
        shared.leader = self.nodes[next].clone();
        shared.term += 1;
    }

    pub(crate) fn lose_epochs(&self) {
        let mut shared = self.shared.lock().unwrap();
        // Epochs are never drawn twice: as after ten idle minutes.
        shared.log_ms += 600_000;
    }

    /// Units left of `item` on `shard`.
    pub(crate) fn remaining(&self, shard: usize, item: &Item) -> u64 {
        let mut shared = self.shared.lock().unwrap();
        let log = LogTime::from_ms(shared.log_ms);
        shared.shards[shard].advance(
            Stamp {
                log,
                reference_ms: 0,
            },
            0,
        );
        let items = [item.clone()].into_iter().collect();
        let Outcome::Peeked { items } = shared.shards[shard].peek(&items) else {
            panic!("peeked")
        };
        items[0].remaining
    }

    pub(crate) fn requests_held(&self) -> usize {
        self.shared
            .lock()
            .unwrap()
            .shards
            .iter()
            .map(State::requests_held)
            .sum()
    }

    /// How many different ids were admitted.
    pub(crate) fn admitted(&self) -> usize {
        let shared = self.shared.lock().unwrap();
        let admitted = shared
            .acquires
            .iter()
            .filter(|(_, _, o)| matches!(o, Outcome::Admitted { .. }));
        let mut ids: Vec<_> = admitted.map(|(epoch, seq, _)| (*epoch, *seq)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }
}

pub(crate) fn new_state(seed: u64) -> State {
    State::new(seed)
}

pub(crate) const CAPS: Caps = Caps {
    counters_max: 100_000,
    tenant_counters_max: 100_000,
};

/// Paused time as the clock of admissions.
pub(crate) fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || u64::try_from(start.elapsed().as_micros()).unwrap())
}

pub(crate) fn item(key: &str, max: u64, units: u64) -> Item {
    Item {
        key: Key::new(key.as_bytes()).unwrap(),
        max,
        revision: 1,
        window: Window::Hour,
        algorithm: Algorithm::Fixed,
        units,
        shadow: false,
    }
}

pub(crate) fn one(key: &str, max: u64) -> Vec<(Route, Item)> {
    vec![(Route::of(b"grant"), item(key, max, 1))]
}

/// Lets time pass until `done`, at most a minute of it.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}
