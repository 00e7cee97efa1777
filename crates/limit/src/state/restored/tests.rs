use smallvec::smallvec;

use crate::command::{Caller, Command, Epoch, Item, Items, Outcome, RequestId};
use crate::state::State;
use crate::{Algorithm, Batch, Caps, Key, LogTime, Stamp, Window};

const MINUTE_MS: u64 = 60_000;
/// Far enough from the start of a minute.
const START_MS: u64 = 1_000 * MINUTE_MS + 20_000;

fn items(key: &str, window: Window) -> Items {
    smallvec![Item {
        key: Key::new(key.as_bytes()).unwrap(),
        max: 5,
        revision: 1,
        window,
        algorithm: Algorithm::Fixed,
        units: 1,
        shadow: false,
    }]
}

fn at(state: &mut State, at_ms: u64, command: Command) -> Outcome {
    let batch = Batch {
        stamp: Stamp {
            log: LogTime::from_ms(at_ms),
            reference_ms: at_ms,
        },
        caps: Caps {
            counters_max: 100,
            tenant_counters_max: 100,
        },
        commands: vec![command],
    };
    state.apply_batch(&batch).remove(0)
}

fn open(state: &mut State, at_ms: u64) -> Epoch {
    let command = Command::Open {
        caller: Caller::default(),
    };
    match at(state, at_ms, command) {
        Outcome::Opened { epoch } => epoch,
        other => panic!("{other:?}"),
    }
}

fn acquire(epoch: Epoch, seq: u64, items: Items) -> Command {
    Command::Acquire {
        id: RequestId { epoch, seq },
        acked_seq: 0,
        items,
    }
}

fn is_admitted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Admitted { .. })
}

/// A state out of a backup, one of whose five units is used, and the epoch that used it.
fn backed_up() -> (State, Epoch) {
    let mut state = State::new(1);
    let epoch = open(&mut state, START_MS);
    let used = acquire(epoch, 1, items("used", Window::Minute));
    assert!(is_admitted(&at(&mut state, START_MS, used)));
    (State::decode(&state.encode(), 2).unwrap(), epoch)
}

#[test]
fn a_restored_state_admits_nothing_until_the_window_of_the_restore_has_ended() {
    let (mut state, _) = backed_up();
    state.restore(false);
    let restored_ms = START_MS + 3 * MINUTE_MS;
    let epoch = open(&mut state, restored_ms);
    let end_ms = 1_004 * MINUTE_MS;
    for (seq, key) in [(1, "used"), (2, "never used")] {
        let denied = at(
            &mut state,
            restored_ms + 10_000,
            acquire(epoch, seq, items(key, Window::Minute)),
        );
        let Outcome::Denied { retry_after_ms, .. } = denied else {
            panic!("{denied:?}")
        };
        let expected = end_ms - restored_ms - 10_000;
        assert!(
            retry_after_ms.is_some_and(|ms| ms.abs_diff(expected) <= 1),
            "{retry_after_ms:?}"
        );
    }
    let hour = acquire(epoch, 3, items("used", Window::Hour));
    assert!(!is_admitted(&at(&mut state, end_ms, hour)));
    // The next minute counts as ever, also after a snapshot in between.
    let mut state = State::decode(&state.encode(), 3).unwrap();
    for seq in 4..=8 {
        let next = acquire(epoch, seq, items("used", Window::Minute));
        assert!(is_admitted(&at(&mut state, end_ms, next)), "{seq}");
    }
    let sixth = acquire(epoch, 9, items("used", Window::Minute));
    assert!(!is_admitted(&at(&mut state, end_ms, sixth)));
    assert_eq!(state.admitted_after_restore(), 0);
}

#[test]
fn the_margin_covers_a_window_that_the_old_cluster_may_have_begun() {
    let (mut state, _) = backed_up();
    state.restore(false);
    let restored_ms = 1_004 * MINUTE_MS - 1_000;
    let epoch = open(&mut state, restored_ms);
    let next = acquire(epoch, 1, items("used", Window::Minute));
    assert!(!is_admitted(&at(&mut state, 1_004 * MINUTE_MS, next)));
    let after = acquire(epoch, 2, items("used", Window::Minute));
    assert!(is_admitted(&at(&mut state, 1_005 * MINUTE_MS, after)));
}

#[test]
fn accepted_overruns_are_counted_until_the_window_has_ended() {
    let (mut state, _) = backed_up();
    state.restore(true);
    let epoch = open(&mut state, START_MS + 1_000);
    for seq in 1..=4 {
        let command = acquire(epoch, seq, items("used", Window::Minute));
        assert!(
            is_admitted(&at(&mut state, START_MS + 1_000, command)),
            "{seq}"
        );
    }
    // What the backup knows of still counts.
    let fifth = acquire(epoch, 5, items("used", Window::Minute));
    assert!(!is_admitted(&at(&mut state, START_MS + 1_000, fifth)));
    assert_eq!(state.admitted_after_restore(), 4);
    let next = acquire(epoch, 6, items("used", Window::Minute));
    assert!(is_admitted(&at(&mut state, START_MS + MINUTE_MS, next)));
    assert_eq!(state.admitted_after_restore(), 4);
}

#[test]
fn no_client_of_before_is_known_or_met_again() {
    let (mut state, before) = backed_up();
    state.restore(true);
    let repeated = acquire(before, 1, items("used", Window::Minute));
    assert_eq!(at(&mut state, START_MS, repeated), Outcome::Expired);
    assert!(open(&mut state, START_MS).0 > before.0 + (1 << 31));
}

#[test]
fn replicas_tell_a_restored_state_from_another() {
    let (mut state, _) = backed_up();
    let mut restored = state.clone();
    restored.clients = state.clients.clone();
    restored.restored = None;
    assert_eq!(state.digest(), restored.digest());
    state.restore(false);
    restored.restore(true);
    assert_ne!(state.digest(), restored.digest());
    let decoded = State::decode(&state.encode(), 9).unwrap();
    assert_eq!(decoded.digest(), state.digest());
}
