//! More counters than a node may have: every refusal says so, what is there counts on, and the
//! memory of the process stays within a bound.

use std::time::Duration;

use quotum_api::counter::command::{Acquire, Kind};
use quotum_api::counter::counter_client::CounterClient;
use quotum_api::counter::decide_response::Result as Answer;
use quotum_api::counter::outcome::exhausted::Bound;
use quotum_api::counter::outcome::{Exhausted, Kind as Came};
use quotum_api::counter::{
    AcquireRequest, Command, DecideRequest, Item, OpenRequest, PeekRequest, item,
};
use tonic::transport::Channel;

use crate::nodes::{Node, START_MAX, free_ports};

const COUNTERS_MAX: usize = 10_000;
const TENANT_COUNTERS_MAX: usize = 3_000;
const FLOOD: usize = 30_000;
const BATCH: usize = 1_000;
const KNOWN: usize = 100;
const USED: u64 = 3;
const MAX: u64 = 10;
/// A window that does not end within a test.
const WINDOW_MS: u64 = 366 * 86_400_000;

/// The most memory that the process ever takes: 75 MB when it has started, and what 10,000 counters,
/// the ids of the last requests and a short log may add to that.
const RSS_BYTES_MAX: u64 = 192 << 20;
/// What a flood may add when there is no room left for counters: ids and log only.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// A client with an epoch of its own.
struct Client {
    counter: CounterClient<Channel>,
    epoch: u64,
    seq: u64,
}

/// What became of some commands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    admitted: usize,
    denied: usize,
    exhausted: Vec<(Bound, usize)>,
}

fn item_of(key: Vec<u8>, units: u64) -> Item {
    Item {
        key: key.into(),
        max: MAX,
        revision: 1,
        window: Some(item::Window::WindowMs(WINDOW_MS)),
        units,
        ..Item::default()
    }
}

/// A counter that belongs to no tenant.
fn nobodys(name: &str, number: usize) -> Vec<u8> {
    format!("{name}-{number:08}").into_bytes()
}

/// A counter of a server: the kind of its key, and two texts behind their lengths.
fn of_server(number: usize) -> Vec<u8> {
    let mut key = b"\x03\x04demo\x08".to_vec();
    key.extend(format!("{number:08}").into_bytes());
    key
}

// === impl Client ===

impl Client {
    async fn open(address: String) -> Self {
        let opening = async {
            loop {
                if let Ok(mut counter) = CounterClient::connect(address.clone()).await
                    && let Ok(opened) = counter.open(OpenRequest { shard: 0 }).await
                {
                    let epoch = opened.into_inner().epoch;
                    return Self {
                        counter,
                        epoch,
                        seq: 0,
                    };
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let opened = tokio::time::timeout(START_MAX, opening).await;
        opened.expect("a node that decides")
    }

    /// Takes units of all these counters, each by a command of its own.
    async fn take(&mut self, items: Vec<Item>) -> Tally {
        let mut tally = Tally::default();
        for items in items.chunks(BATCH) {
            let acked_seq = self.seq;
            let commands = items.iter().map(|item| {
                self.seq += 1;
                let acquire = Acquire {
                    seq: self.seq,
                    items: vec![item.clone()],
                };
                Command {
                    kind: Some(Kind::Acquire(acquire)),
                }
            });
            let commands = commands.collect();
            let request = DecideRequest {
                epoch: self.epoch,
                acked_seq,
                commands,
                ..DecideRequest::default()
            };
            let answer = self.counter.decide_batch(request).await.unwrap();
            match answer.into_inner().result {
                Some(Answer::Decided(decided)) => {
                    let outcomes = decided.into_outcomes();
                    assert_eq!(outcomes.len(), items.len());
                    outcomes
                        .into_iter()
                        .for_each(|outcome| tally.count(outcome.kind));
                }
                other => panic!("not decided: {other:?}"),
            }
        }
        tally
    }

    /// How much of each of these counters is left.
    async fn left(&mut self, items: &[Item]) -> Vec<u64> {
        let mut left = Vec::new();
        for item in items {
            let request = PeekRequest {
                shard: 0,
                items: vec![item.clone()],
            };
            let answer = self.counter.peek(request).await.unwrap().into_inner();
            match answer.outcome.and_then(|outcome| outcome.kind) {
                Some(Came::Peeked(peeked)) => left.push(peeked.items[0].remaining),
                other => panic!("{other:?}"),
            }
        }
        left
    }
}

// === impl Tally ===

impl Tally {
    fn count(&mut self, kind: Option<Came>) {
        match kind {
            Some(Came::Admitted(_)) => self.admitted += 1,
            Some(Came::Denied(_)) => self.denied += 1,
            Some(Came::Exhausted(Exhausted { bound })) => {
                let bound = Bound::try_from(bound).unwrap();
                match self.exhausted.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, count)) => *count += 1,
                    None => self.exhausted.push((bound, 1)),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A figure of the process, in bytes.
fn memory(pid: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let text = line.unwrap().trim_start_matches(':').trim();
    1_024 * text.strip_suffix(" kB").unwrap().parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_keys_is_refused_and_counters_that_are_there_count_on() {
    let folder = tempfile::tempdir().unwrap();
    let ports: [u16; 3] = free_ports();
    let settings = [
        ("QUOTUM_COUNTERS_MAX", COUNTERS_MAX.to_string()),
        (
            "QUOTUM_TENANT_COUNTERS_MAX",
            TENANT_COUNTERS_MAX.to_string(),
        ),
        ("QUOTUM_SEGMENT_BYTES", (1 << 20).to_string()),
    ];
    let own = format!("localhost:{}", ports[1]);
    let node = Node::start(folder.path(), &ports, &own, &settings);
    let mut client = Client::open(format!("http://127.0.0.1:{}", ports[0])).await;

    let known = |units| -> Vec<Item> {
        let keys = (0..KNOWN).map(|number| nobodys("known", number));
        keys.map(|key| item_of(key, units)).collect()
    };
    assert_eq!(client.take(known(USED)).await.admitted, KNOWN);

    let of_one: Vec<Item> = (0..2 * TENANT_COUNTERS_MAX)
        .map(|number| item_of(of_server(number), 1))
        .collect();
    let tally = client.take(of_one.clone()).await;
    assert_eq!((tally.admitted, tally.denied), (TENANT_COUNTERS_MAX, 0));
    assert_eq!(tally.exhausted, [(Bound::Tenant, TENANT_COUNTERS_MAX)]);

    let flood = |name: &str| -> Vec<Item> {
        let keys = (0..FLOOD).map(|number| nobodys(name, number));
        keys.map(|key| item_of(key, 1)).collect()
    };
    let tally = client.take(flood("flood")).await;
    let room = COUNTERS_MAX - TENANT_COUNTERS_MAX - KNOWN;
    assert_eq!((tally.admitted, tally.denied), (room, 0));
    assert_eq!(tally.exhausted, [(Bound::Counters, FLOOD - room)]);

    let full = memory(node.pid(), "VmRSS");
    let tally = client.take(flood("more")).await;
    assert_eq!((tally.admitted, tally.denied), (0, 0));
    assert_eq!(tally.exhausted, [(Bound::Counters, FLOOD)]);
    let (after, most) = (memory(node.pid(), "VmRSS"), memory(node.pid(), "VmHWM"));
    assert!(after < full + GROWTH_BYTES_MAX, "from {full} to {after}");
    assert!(most < RSS_BYTES_MAX, "{most}");

    // A single request is told by its outcome, and not by the status of the call.
    let request = AcquireRequest {
        items: vec![item_of(nobodys("alone", 0), 1)],
        ..AcquireRequest::default()
    };
    let alone = client.counter.acquire(request).await.unwrap().into_inner();
    let mut tally = Tally::default();
    tally.count(alone.outcome.unwrap().kind);
    assert_eq!(tally.exhausted, [(Bound::Counters, 1)]);

    assert_eq!(client.left(&known(1)).await, [MAX - USED; KNOWN]);
    let rest = client.take(known(MAX - USED)).await;
    assert_eq!(rest.admitted, KNOWN);
    let beyond = client.take(known(1)).await;
    assert_eq!((beyond.denied, &beyond.exhausted[..]), (KNOWN, &[][..]));
    let of_one = client.take(of_one[..BATCH].to_vec()).await;
    assert_eq!(of_one.admitted, BATCH, "the tenant's own count on");
}
