use quotum_limit::{Algorithm, Batch, Caller, Caps, Epoch, Item, Key, RequestId, Stamp, Window};

use super::*;

const NOW: LogTime = LogTime::from_ms(1_767_610_800_000);

fn acquire(seq: u64, key: &[u8]) -> Command {
    let item = Item {
        key: Key::new(key).unwrap(),
        max: 1,
        revision: 1,
        window: Window::Minute,
        algorithm: Algorithm::Fixed,
        units: 1,
        shadow: false,
    };
    Command::Acquire {
        id: RequestId {
            epoch: Epoch(1),
            seq,
        },
        acked_seq: 0,
        items: [item].into_iter().collect(),
    }
}

fn apply(state: &mut State, at: LogTime, commands: Vec<Command>) -> Vec<Outcome> {
    state.apply_batch(&Batch {
        stamp: Stamp {
            log: at,
            reference_ms: 0,
        },
        caps: Caps {
            counters_max: 1,
            tenant_counters_max: 1,
        },
        commands,
    })
}

/// A state whose only counter is `a`, taken by seq 1.
fn full() -> State {
    let mut state = State::new(1);
    let open = Command::Open { caller: Caller(1) };
    apply(&mut state, NOW, vec![open, acquire(1, b"a")]);
    state
}

/// Two messages.
fn mixed() -> Vec<Vec<Command>> {
    let refund = Command::Refund {
        id: RequestId {
            epoch: Epoch(1),
            seq: 9,
        },
    };
    vec![
        vec![acquire(2, b"b"), acquire(1, b"a")],
        vec![acquire(3, b"a"), acquire(4, b"c"), refund, acquire(5, b"d")],
    ]
}

#[test]
fn what_is_refused_here_is_what_applying_it_refuses() {
    let mut state = full();
    let (proposed, refused) = sift(&state, NOW, 1, mixed());
    let places: Vec<_> = refused.iter().map(|(place, _)| *place).collect();
    let lens: Vec<_> = proposed.iter().map(Vec::len).collect();
    assert_eq!((places, lens), (vec![0, 3, 5], vec![1, 2]));
    let decided = apply(&mut state, NOW, proposed.concat());
    let expected = apply(&mut full(), NOW, mixed().concat());
    assert_eq!(join(refused, decided), expected);
}

#[test]
fn a_state_that_is_behind_refuses_nothing() {
    let later = NOW.plus_ms(REFUSE_FRESH_MS + 1);
    assert_eq!(sift(&full(), later, 1, mixed()), (mixed(), Vec::new()));
}

#[test]
fn with_room_everything_is_proposed() {
    let mut state = full();
    let later = NOW.plus_ms(60_000);
    apply(&mut state, later, Vec::new());
    assert_eq!(sift(&state, later, 1, mixed()), (mixed(), Vec::new()));
}

#[test]
fn what_some_node_does_not_know_is_never_proposed() {
    let id = RequestId {
        epoch: Epoch(1),
        seq: 9,
    };
    let Command::Acquire { items, .. } = acquire(9, b"a") else {
        unreachable!("it is one")
    };
    let reserve = Command::Reserve {
        id,
        acked_seq: 0,
        items,
    };
    let confirm = Command::Confirm { id };
    let messages = vec![
        vec![reserve.clone(), acquire(8, b"b")],
        vec![confirm.clone(), acquire(7, b"b")],
    ];
    let state = State::new(1);
    let (proposed, refused) = sift(&state, NOW, 1, messages.clone());
    assert_eq!(proposed, [[acquire(8, b"b")], [acquire(7, b"b")]]);
    assert_eq!(refused, [(0, Bound::Level), (2, Bound::Level)]);
    assert_eq!(
        sift(&state, NOW, 2, messages.clone()),
        (messages, Vec::new())
    );
}
