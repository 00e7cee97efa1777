//! The load: real clients that ask for units of many counters, and record what they are told.
//!
//! * `hot` counters are asked for far more than they have, so that each of their windows is used up.
//! * `cold` ones have more than anybody asks for: none of their requests is ever denied.
//! * Units of `returned` ones are partly given back.
//! * `sliding` ones are asked for as `hot` ones are, and count what is used in any interval.
//! * Of `revised` ones some clients know a policy that others have replaced by one that allows less.
//! * Requests for a `pair` take from two counters at once, or from none. Where there are two shards,
//!   one is in each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quotum_checker::history::{Answer, Ask, Item, Phase, Position, What};
use quotum_client::{Client, Config, Decision, Path, Route, Ticket};
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_limit::{Algorithm, Bound, Key, Window};
use quotum_logged::states;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::recorder::Recorder;
use crate::tls::Reach;

/// How much is asked, by how many.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Client processes would be as many: each has a stream and ids of its own.
    pub clients: usize,
    /// Each asks, waits for the answer, and then for the next beat.
    pub askers: usize,
    pub beat: Duration,
    /// Whether pairs are asked for from the beginning.
    pub pairs: bool,
}

/// Clients that go on asking until they are stopped.
#[derive(Debug)]
pub struct Load {
    nodes: Vec<SocketAddr>,
    reach: Reach,
    shards: u32,
    clients: Vec<Client>,
    askers: JoinSet<()>,
    pairs: Arc<AtomicBool>,
    stop: CancellationToken,
    recorder: Recorder,
}

/// A counter, as all clients know it.
#[derive(Debug, Clone, Copy)]
struct Counter {
    name: &'static str,
    max: u64,
    window_ms: u64,
    revision: u64,
    algorithm: Algorithm,
    route: Route,
}

const HOT: [Counter; 3] = [
    Counter::new("hot-0", 20, 2_000),
    Counter::new("hot-1", 50, 3_000),
    Counter::new("hot-2", 150, 10_000),
];
const COLD: [Counter; 3] = [
    Counter::new("cold-0", 1_000_000, 2_000),
    Counter::new("cold-1", 1_000_000, 10_000),
    Counter::new("cold-2", 1_000_000, 86_400_000),
];
const RETURNED: [Counter; 1] = [Counter::new("returned-0", 30, 3_000)];
const SLIDING: [Counter; 1] = [Counter {
    algorithm: Algorithm::Sliding,
    // What it admits must be used within a sixtieth of the window: half a second.
    ..Counter::new("sliding-0", 100, 30_000)
}];
const OLD: [Counter; 1] = [Counter::new("revised-0", 40, 3_000)];
const NEW: [Counter; 1] = [Counter {
    revision: 2,
    ..Counter::new("revised-0", 25, 3_000)
}];
const PAIR: [Counter; 2] = [
    Counter::new("pair-0", 60, 5_000),
    Counter {
        route: FAR,
        ..Counter::new("pair-1", 1_000_000, 5_000)
    },
];
/// In the other one of two shards than all else, which is in that of [`Route::GLOBAL`].
const FAR: Route = Route(1);

// === impl Counter ===

impl Counter {
    const fn new(name: &'static str, max: u64, window_ms: u64) -> Self {
        Self {
            name,
            max,
            window_ms,
            revision: 1,
            algorithm: Algorithm::Fixed,
            route: Route::GLOBAL,
        }
    }

    fn asked(&self, units: u64) -> (Route, quotum_limit::Item) {
        let item = quotum_limit::Item {
            key: Key::new(self.name.as_bytes()).expect("it is short"),
            max: self.max,
            revision: self.revision,
            window: Window::duration(self.window_ms).expect("it is a window"),
            algorithm: self.algorithm,
            units,
            shadow: false,
        };
        (self.route, item)
    }

    fn recorded(&self, units: u64, shards: u32) -> Item {
        Item {
            key: self.name.to_owned(),
            max: self.max,
            window_ms: self.window_ms,
            units,
            revision: self.revision,
            sliding: self.algorithm == Algorithm::Sliding,
            shadow: false,
            shard: Some(self.route.shard(shards)),
        }
    }
}

// === impl Demand ===

impl Demand {
    /// Enough to use up every hot counter, and little enough for two busy cores.
    pub const USUAL: Self = Self {
        clients: 3,
        askers: 4,
        beat: Duration::from_millis(40),
        pairs: true,
    };
}

// === impl Load ===

impl Load {
    /// Starts to ask the nodes at these addresses, which have so many shards.
    pub fn start(
        nodes: &[SocketAddr],
        reach: Reach,
        shards: u32,
        demand: Demand,
        recorder: &Recorder,
    ) -> Result<Self> {
        let is_far = FAR.shard(shards) != Route::GLOBAL.shard(shards);
        ensure!(is_far || shards == 1, "a pair is in one shard of {shards}");
        let mut load = Self {
            nodes: nodes.to_vec(),
            reach,
            shards,
            clients: Vec::new(),
            askers: JoinSet::new(),
            pairs: Arc::new(AtomicBool::new(demand.pairs)),
            stop: CancellationToken::new(),
            recorder: recorder.clone(),
        };
        for number in 0..demand.clients {
            let seed = number as u64;
            let client = load.client(seed)?;
            load.clients.push(client.clone());
            for asker in 0..demand.askers {
                let asker = Asker {
                    client: client.clone(),
                    name: Arc::from(format!("client-{number}")),
                    recorder: recorder.clone(),
                    shards,
                    pairs: load.pairs.clone(),
                    revised: if number == 0 { &OLD } else { &NEW },
                    random: seed << 8 | asker as u64,
                };
                load.askers.spawn(asker.run(demand.beat, load.stop.clone()));
            }
        }
        Ok(load)
    }

    /// From now on pairs are asked for.
    pub fn ask_for_pairs(&self) {
        self.pairs.store(true, Ordering::Relaxed);
    }

    /// Asks once for a pair, which must not be decided by a cluster whose nodes do not all know how:
    /// no part of the history.
    pub async fn is_pair_refused(&self) -> Result<bool> {
        let client = self.client(u64::MAX - 1)?;
        let asked = PAIR.iter().map(|counter| counter.asked(1));
        let (decision, _) = client.acquire(asked.collect()).await;
        client.shutdown().await;
        Ok(decision == Decision::Exhausted(Bound::Level))
    }

    /// Stops asking, waits until everything is answered and given back, and looks what every
    /// counter shows then.
    pub async fn settle(mut self) -> Result {
        self.stop.cancel();
        while let Some(ended) = self.askers.join_next().await {
            ended?;
        }
        for client in &self.clients {
            client.shutdown().await;
        }
        self.peek().await?;
        self.recorder.phase(Phase::Settled);
        Ok(())
    }

    /// Asks what every counter shows, and records the answers: while nobody asks for units, that
    /// is what was really taken.
    async fn peek(&self) -> Result {
        let client = self.client(u64::MAX)?;
        for counter in [&HOT[..], &COLD, &RETURNED, &PAIR].concat() {
            let request = self.recorder.request();
            let ask = Ask::Peek {
                items: vec![counter.recorded(0, self.shards)],
            };
            self.recorder.note(What::Sent {
                request,
                client: "observer".to_owned(),
                id: None,
                ask,
            });
            let shown = client.peek(vec![counter.asked(0)]).await?;
            let answer = Answer::Peeked {
                items: states(&shown),
            };
            self.recorder.note(What::Answered {
                request,
                answer,
                position: None,
            });
        }
        client.shutdown().await;
        Ok(())
    }

    fn client(&self, seed: u64) -> Result<Client> {
        let addresses = self.nodes.iter().map(SocketAddr::to_string).collect();
        let config = Config::new(addresses, seed);
        let dialer = self.reach.dialer(config.connect_timeout);
        Ok(Client::start(config, dialer, self.recorder.clock())?)
    }
}

/// One caller.
struct Asker {
    client: Client,
    name: Arc<str>,
    recorder: Recorder,
    shards: u32,
    pairs: Arc<AtomicBool>,
    revised: &'static [Counter],
    random: u64,
}

// === impl Asker ===

impl Asker {
    async fn run(mut self, beat: Duration, stop: CancellationToken) {
        let mut beats = tokio::time::interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = beats.tick() => {}
            }
            self.ask().await;
        }
    }

    async fn ask(&mut self) {
        let (counters, units, gives_back) = self.choose();
        let request = self.recorder.request();
        let items = counters
            .iter()
            .map(|counter| counter.recorded(units, self.shards));
        self.recorder.note(What::Sent {
            request,
            client: self.name.to_string(),
            id: None,
            ask: Ask::Acquire {
                items: items.collect(),
            },
        });
        let asked = counters.iter().map(|counter| counter.asked(units));
        let (decision, ticket) = self.client.acquire(asked.collect()).await;
        let (answer, position) = recorded(decision);
        self.recorder.note(What::Answered {
            request,
            answer,
            position,
        });
        if let Some(ticket) = ticket {
            self.use_ticket(request, ticket, gives_back);
        }
    }

    /// As a gateway does: checks the admission at the last moment, and then forwards or gives back.
    fn use_ticket(&self, request: u64, ticket: Ticket, gives_back: bool) {
        // Before the check: valid then, it is valid now.
        let now_us = self.recorder.now_us();
        if gives_back || !ticket.is_valid() {
            self.recorder.note_at(now_us, What::GivenBack { request });
            ticket.refund();
        } else {
            self.recorder.note_at(now_us, What::Forwarded { request });
        }
    }

    /// Which counters are asked for how many units each, and whether they are given back.
    fn choose(&mut self) -> (&'static [Counter], u64, bool) {
        let draw = self.draw();
        let one = |counters: &'static [Counter]| {
            let at = usize::try_from(draw >> 32).unwrap_or(0) % counters.len();
            &counters[at..=at]
        };
        let units = 1 + (draw >> 16) % 3;
        match draw % 12 {
            0..=3 => (one(&HOT), units, false),
            4..=6 => (one(&COLD), units, false),
            7..=8 => (one(&RETURNED), units, (draw >> 8).is_multiple_of(3)),
            9 => (&SLIDING, units, false),
            10 => (self.revised, units, false),
            _ if self.pairs.load(Ordering::Relaxed) => (&PAIR, units, false),
            _ => (one(&COLD), units, false),
        }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.random;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn recorded(decision: Decision) -> (Answer, Option<Position>) {
    match decision {
        Decision::Admitted { items, position } => {
            let answer = Answer::Admitted {
                valid_for_ms: None,
                items: states(&items),
            };
            (answer, Some(place(position)))
        }
        Decision::Denied {
            binding,
            retry_after,
            items,
            path,
            position,
        } => {
            let answer = Answer::Denied {
                binding,
                retry_after_ms: retry_after
                    .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
                items: states(&items),
                cached: path == Path::DenyCache,
            };
            (answer, position.map(place))
        }
        Decision::Exhausted(_) => (Answer::Exhausted, None),
        Decision::Invalid(_) => (Answer::Invalid, None),
        Decision::Unavailable => (Answer::Unknown, None),
    }
}

fn place(position: quotum_client::Position) -> Position {
    Position {
        shard: position.shard,
        term: position.term,
        index: position.index,
    }
}
