use futures_util::FutureExt;
use quotum_limit::limits::BATCH_COMMANDS_MAX;
use quotum_limit::{Caller, Epoch, Item, Key, RequestId, Window};

use super::*;
use crate::limits::ENTRY_BYTES_MAX;

/// So many commands, with one item each.
fn message(commands: usize, key: &[u8]) -> Vec<Command> {
    message_of(commands, 1, key)
}

fn message_of(commands: usize, items: usize, key: &[u8]) -> Vec<Command> {
    let item = Item {
        key: Key::new(key).unwrap(),
        max: 1,
        revision: 1,
        window: Window::Month,
        algorithm: quotum_limit::Algorithm::Fixed,
        units: 1,
        shadow: false,
    };
    let id = RequestId {
        epoch: Epoch(1),
        seq: 1,
    };
    let acquire = Command::Acquire {
        id,
        acked_seq: 0,
        items: vec![item; items].into_iter().collect(),
    };
    vec![acquire; commands]
}

/// Whether a message waits now, and is not refused.
fn is_taken(proposer: &Proposer, commands: Vec<Command>) -> bool {
    match proposer.decide(commands).now_or_never() {
        None => true,
        Some(Err(ProposeError::Overloaded)) => false,
        other => panic!("{other:?}"),
    }
}

/// Asks until it is refused, and tells how often it was not.
fn flood(proposer: &Proposer, commands: &[Command]) -> usize {
    let taken = (0..=PROPOSE_QUEUE_MAX).take_while(|_| is_taken(proposer, commands.to_vec()));
    taken.count()
}

#[test]
fn a_flood_of_full_batches_is_bounded_in_decisions() {
    let (proposer, _incoming) = open();
    let full = message(BATCH_COMMANDS_MAX, b"k");
    let taken = flood(&proposer, &full);
    assert_eq!(taken, PROPOSE_COMMANDS_MAX / BATCH_COMMANDS_MAX);
    let waiting = *proposer.waiting.lock().unwrap();
    assert_eq!(waiting.commands, PROPOSE_COMMANDS_MAX);
    assert!(waiting.bytes <= PROPOSE_BYTES_MAX);
    assert!(!is_taken(&proposer, message(1, b"k")));
}

#[test]
fn a_flood_of_long_keys_is_bounded_in_bytes() {
    let (proposer, _incoming) = open();
    let key = [b'k'; quotum_limit::limits::KEY_BYTES_MAX];
    let one = Size::of(&message_of(1, 8, &key)).bytes;
    let largest = message_of(ENTRY_BYTES_MAX / one, 8, &key);
    let each = Size::of(&largest).bytes;
    assert_eq!(flood(&proposer, &largest), PROPOSE_BYTES_MAX / each);
    let waiting = *proposer.waiting.lock().unwrap();
    assert!(waiting.bytes <= PROPOSE_BYTES_MAX && waiting.commands < PROPOSE_COMMANDS_MAX);
}

#[test]
fn a_flood_of_empty_messages_is_bounded_too() {
    let (proposer, _incoming) = open();
    assert_eq!(flood(&proposer, &[]), PROPOSE_QUEUE_MAX);
}

#[test]
fn a_client_with_all_its_batches_in_flight_is_not_refused() {
    // What the load generator has waiting at the most: see `benches/load`.
    let (in_flight, batch) = (512, 64);
    let (proposer, _incoming) = open();
    let open = Command::Open { caller: Caller(1) };
    for _ in 0..in_flight {
        assert!(is_taken(&proposer, message(batch, b"a-key-of-some-length")));
    }
    assert!(is_taken(&proposer, vec![open]), "and others beside it");
}

#[tokio::test]
async fn what_is_taken_out_of_the_queue_makes_room() {
    let (proposer, mut incoming) = open();
    let full = message(BATCH_COMMANDS_MAX, b"k");
    let taken = flood(&proposer, &full);
    let mut queued = VecDeque::new();
    assert!(incoming.take(&mut queued).await);
    assert_eq!(queued.len(), taken);
    assert!(!is_taken(&proposer, full.clone()), "it waits all the same");
    drop(queued.pop_front());
    assert!(is_taken(&proposer, full.clone()));
    assert!(!is_taken(&proposer, full));
    drop((queued, incoming));
    assert_eq!(*proposer.waiting.lock().unwrap(), Size::default());
}
