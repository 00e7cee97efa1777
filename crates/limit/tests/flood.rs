//! A flood of keys: five million different ones, in five windows, against a bound of 200,000. What
//! is beyond it is refused, memory stays below what the bound says, and the sweep keeps up.
//!
//! In a test binary of its own, because the memory of the process is measured too.

use quotum_limit::limits::{COUNTER_BYTES_MAX, COUNTERS_BASE_BYTES_MAX};
use quotum_limit::{
    Algorithm, Batch, Bound, Caller, Caps, Command, Epoch, Item, Key, LogTime, Outcome, RequestId,
    Stamp, State, Window,
};

const CAPS: Caps = Caps {
    counters_max: 200_000,
    tenant_counters_max: 200_000,
};
const KEYS: u64 = 5_000_000;
const KEYS_PER_WINDOW: u64 = 1_000_000;
const BATCH: u64 = 2_000;
const START_MS: u64 = 1_767_610_800_000;

/// Keys as policies make them: of a server, a grant, a tool and a counter.
fn key(n: u64) -> Key {
    let bytes = format!("\x01\x06server\x12grant-{n:012}\x08send_sms\x08per_hour\x03\x01");
    Key::new(bytes.as_bytes()).unwrap()
}

fn command(n: u64) -> Command {
    let item = Item {
        key: key(n),
        max: 10,
        revision: 1,
        window: Window::Minute,
        algorithm: Algorithm::Fixed,
        units: 1,
        shadow: false,
    };
    Command::Acquire {
        id: RequestId {
            epoch: Epoch(1),
            seq: n + 1,
        },
        acked_seq: n,
        items: [item].into_iter().collect(),
    }
}

/// The memory that the process has.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = statm.split(' ').nth(1).unwrap();
    pages.parse::<usize>().unwrap() * 4_096
}

#[test]
fn five_million_keys_stay_within_the_bound() {
    let counter_bytes_max = COUNTER_BYTES_MAX + key(0).as_bytes().len() * 9 / 8;
    let bytes_max = COUNTERS_BASE_BYTES_MAX + CAPS.counters_max * counter_bytes_max;
    let before = resident_bytes();
    let mut state = State::new(7);
    let batch = |ms, commands| Batch {
        stamp: Stamp {
            log: LogTime::from_ms(ms),
            reference_ms: 0,
        },
        caps: CAPS,
        commands,
    };
    let caller = Caller(1);
    state.apply_batch(&batch(START_MS, vec![Command::Open { caller }]));
    let (mut admitted, mut refused) = (0, 0);
    for first in (0..KEYS).step_by(BATCH as usize) {
        let ms = START_MS + first / KEYS_PER_WINDOW * 60_000 + 1;
        let commands = (first..first + BATCH).map(command).collect();
        for outcome in state.apply_batch(&batch(ms, commands)) {
            match outcome {
                Outcome::Admitted { .. } => admitted += 1,
                Outcome::Exhausted(Bound::Counters) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(state.counters_live() <= CAPS.counters_max);
        // Those that are over go as fast as others come.
        assert!(state.counters_stored() <= CAPS.counters_max * 9 / 8);
        assert!(state.requests_held() <= 1);
    }
    let windows = KEYS / KEYS_PER_WINDOW;
    assert_eq!(admitted, windows * CAPS.counters_max as u64);
    assert_eq!(admitted + refused, KEYS);
    let bytes = state.counters_bytes();
    assert!(bytes <= bytes_max, "{bytes} bytes, at most {bytes_max}");
    // Of the process too, with a quarter for the allocator, and room for a batch.
    let grown = resident_bytes().saturating_sub(before);
    let grown_max = bytes_max * 5 / 4 + (16 << 20);
    assert!(grown <= grown_max, "{grown} bytes, at most {grown_max}");
}
