//! What a decision costs in the core alone: no network, no log, one thread.
//!
//! `cargo bench -p quotum-limit`, on a quiet machine. The figure is per entry of 1,024 commands;
//! `thrpt` is decisions a second. Compare the lines of one run with each other.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use quotum_limit::{
    Algorithm, Batch, Caller, Caps, Command, Entry, Epoch, Item, Key, LogTime, Outcome, RequestId,
    Stamp, State, Window,
};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENTRY_COMMANDS: u64 = 1_024;
const CAPS: Caps = Caps {
    counters_max: 2_000_000,
    tenant_counters_max: 2_000_000,
};
const START_MS: u64 = 1_700_000_000_000;

/// A client that draws ids, acknowledges what is answered, and goes round its keys.
struct Client {
    epoch: Epoch,
    seq: u64,
    keys: u64,
    max: u64,
}

impl Client {
    fn open(state: &mut State, keys: u64, max: u64) -> Self {
        let opened = state.apply_batch(&batch(vec![Command::Open { caller: Caller(1) }]));
        let Some(Outcome::Opened { epoch }) = opened.into_iter().next() else {
            panic!("a fresh state opens an epoch");
        };
        Self {
            epoch,
            seq: 0,
            keys,
            max,
        }
    }

    fn entry(&mut self) -> Batch {
        let acked_seq = self.seq;
        let commands = (0..ENTRY_COMMANDS).map(|_| {
            self.seq += 1;
            let id = RequestId {
                epoch: self.epoch,
                seq: self.seq,
            };
            // A step that has no divisor in common with the number of keys.
            let key = self.seq.wrapping_mul(7_919) % self.keys;
            let items = [item(key, self.max)].into_iter().collect();
            Command::Acquire {
                id,
                acked_seq,
                items,
            }
        });
        batch(commands.collect())
    }
}

fn item(key: u64, max: u64) -> Item {
    let name = format!("\u{4}demo\u{8}agent-12\u{15}send_interactive_flow-{key:08x}");
    Item {
        key: Key::new(name.as_bytes()).expect("a short key"),
        max,
        revision: 1,
        window: Window::Hour,
        algorithm: Algorithm::Fixed,
        units: 1,
        shadow: false,
    }
}

fn batch(commands: Vec<Command>) -> Batch {
    Batch {
        stamp: Stamp {
            log: LogTime::from_ms(START_MS),
            reference_ms: START_MS,
        },
        caps: CAPS,
        commands,
    }
}

/// What is measured: counters, and the max of each.
const CASES: [(&str, u64, u64); 3] = [
    ("admit, 10k counters", 10_000, 1_000_000_000),
    ("admit, 1M counters", 1_000_000, 1_000_000_000),
    ("deny, 10k counters", 10_000, 0),
];

/// A state that has the counters, and their client.
fn filled(keys: u64, max: u64) -> (State, Client) {
    let mut state = State::new(1);
    let mut client = Client::open(&mut state, keys, max);
    for _ in 0..keys.div_ceil(ENTRY_COMMANDS) {
        state.apply_batch(&client.entry());
    }
    (state, client)
}

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(ENTRY_COMMANDS));
    for (name, keys, max) in CASES {
        let (mut state, mut client) = filled(keys, max);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || client.entry(),
                |entry| black_box(state.apply_batch(&entry)),
                BatchSize::SmallInput,
            );
        });
    }
    let mut state = State::new(1);
    let mut client = Client::open(&mut state, 10_000, 1_000_000_000);
    let entry = client.entry();
    state.apply_batch(&entry);
    group.bench_function("repeat", |bencher| {
        bencher.iter(|| black_box(state.apply_batch(&entry)));
    });
    group.finish();
}

/// What a replica does for each entry of its log: what is encoded is decoded and decided.
fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(ENTRY_COMMANDS));
    for (name, keys, max) in CASES {
        let (mut state, mut client) = filled(keys, max);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || bytes::Bytes::from(client.entry().encode()),
                |bytes| {
                    let entry = Entry::open(&bytes).expect("it was encoded");
                    let answer = |outcome| {
                        black_box(outcome);
                    };
                    state.apply_entry(entry, answer).expect("it was encoded");
                    // To be freed when it is not measured.
                    bytes
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn entries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("entry");
    group.throughput(Throughput::Elements(ENTRY_COMMANDS));
    let mut client = Client::open(&mut State::new(1), 10_000, 1_000_000_000);
    let entry = client.entry();
    let bytes = bytes::Bytes::from(entry.encode());
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(entry.encode()));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| black_box(Batch::decode(&bytes)).is_ok());
    });
    group.finish();
}

criterion_group!(benches, decide, apply, entries);
criterion_main!(benches);
