//! How much memory a live counter takes, and a decision costs: `cargo run --release -p quotum-limit
//! --example memory [COUNTERS]`.

use std::time::Instant;

use quotum_limit::{
    Algorithm, Batch, Caller, Caps, Command, Epoch, Item, Key, LogTime, RequestId, Stamp, State,
    Window,
};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 1_000;

fn key(n: u64) -> Key {
    let bytes = format!("\x01\x06server\x12grant-{n:012}\x08send_sms\x08per_hour\x03\x01");
    Key::new(bytes.as_bytes()).expect("it is short")
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4_096
}

#[expect(clippy::print_stdout, reason = "a program that prints its figures")]
fn main() {
    let counters = std::env::args().nth(1);
    let counters: u64 = counters.and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let caps = Caps {
        counters_max: usize::MAX,
        tenant_counters_max: usize::MAX,
    };
    for algorithm in [Algorithm::Fixed, Algorithm::Sliding] {
        let before = resident_bytes();
        let mut state = State::new(7);
        let stamp = Stamp {
            log: LogTime::from_ms(1_767_610_800_000),
            reference_ms: 0,
        };
        let mut apply = |commands| {
            let batch = Batch {
                stamp,
                caps,
                commands,
            };
            state.apply_batch(&batch)
        };
        apply(vec![Command::Open { caller: Caller(1) }]);
        let mut took = std::time::Duration::ZERO;
        for first in (0..2 * counters).step_by(BATCH as usize) {
            let command = |n| Command::Acquire {
                id: RequestId {
                    epoch: Epoch(1),
                    seq: n + 1,
                },
                acked_seq: first,
                items: [Item {
                    key: key(n % counters),
                    max: 10,
                    revision: 1,
                    window: Window::Hour,
                    algorithm,
                    units: 1,
                    shadow: false,
                }]
                .into_iter()
                .collect(),
            };
            let commands = (first..first + BATCH).map(command).collect();
            let start = Instant::now();
            std::hint::black_box(apply(commands));
            took += start.elapsed();
        }
        let bytes = resident_bytes() - before;
        println!(
            "{algorithm:?}: {counters} counters with keys of {} bytes: {} bytes each as counted, {} \
             of the process; {} ns a decision",
            key(0).as_bytes().len(),
            state.counters_bytes() as u64 / counters,
            bytes / counters,
            took.as_nanos() / u128::from(2 * counters),
        );
    }
}
