use prost::Message;
use quotum_limit::{
    Algorithm, Bound, Caller, Command, Epoch, Item, ItemState, Key, Outcome, Refusal, Window,
};

use super::*;

fn item() -> Item {
    Item {
        key: Key::new(b"k").unwrap(),
        max: 30,
        revision: 4,
        window: Window::Minute,
        algorithm: Algorithm::Fixed,
        units: 2,
        shadow: true,
    }
}

#[test]
fn commands_survive_the_wire() {
    let id = RequestId {
        epoch: Epoch(7),
        seq: 3,
    };
    let other = Item {
        window: Window::duration(90_000).unwrap(),
        algorithm: Algorithm::Sliding,
        ..item()
    };
    let commands = vec![
        Command::Open { caller: Caller(5) },
        Command::Acquire {
            id,
            acked_seq: 2,
            items: [item(), other].into_iter().collect(),
        },
        Command::Refund { id },
        Command::Reserve {
            id,
            acked_seq: 2,
            items: [item()].into_iter().collect(),
        },
        Command::Confirm { id },
        Command::Peek {
            items: [item()].into_iter().collect(),
        },
    ];
    let request = counter::DecideRequest {
        epoch: 7,
        acked_seq: 2,
        commands: commands.iter().cloned().map(command_to_wire).collect(),
        ..Default::default()
    };
    let bytes = request.encode_to_vec();
    let decoded = counter::DecideRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(decoded.into_commands(), Ok(commands));
}

#[test]
fn outcomes_survive_the_wire() {
    let state = ItemState {
        fits: false,
        remaining: 1,
        max: 3,
        reset_after_ms: 900,
    };
    let items: ItemStates = [state].into_iter().collect();
    let outcomes = [
        Outcome::Opened { epoch: Epoch(9) },
        Outcome::Admitted {
            valid_for_ms: 5,
            items: items.clone(),
        },
        Outcome::Denied {
            binding: 0,
            retry_after_ms: None,
            items: items.clone(),
        },
        Outcome::Denied {
            binding: 0,
            retry_after_ms: Some(0),
            items: items.clone(),
        },
        Outcome::Cancelled,
        Outcome::Expired,
        Outcome::Reserved {
            hold_for_ms: 900,
            items: items.clone(),
        },
        Outcome::Contended {
            binding: 0,
            retry_after_ms: 900,
            items: items.clone(),
        },
        Outcome::Exhausted(Bound::Counters),
        Outcome::Exhausted(Bound::Requests),
        Outcome::Exhausted(Bound::Epochs),
        Outcome::Exhausted(Bound::Ids),
        Outcome::Exhausted(Bound::Tenant),
        Outcome::Invalid(Refusal::IdReused),
        Outcome::Refunded { units: 4 },
        Outcome::Peeked { items },
    ];
    for outcome in outcomes {
        let wire = counter::Outcome::from(outcome.clone()).encode_to_vec();
        let decoded = counter::Outcome::decode(wire.as_slice()).unwrap();
        assert_eq!(Outcome::try_from(decoded), Ok(outcome));
    }
}

#[test]
fn a_malformed_command_is_named_by_its_place() {
    let acquire = |item: counter::Item| counter::DecideRequest {
        commands: vec![counter::Command {
            kind: Some(command::Kind::Acquire(command::Acquire {
                seq: 1,
                items: vec![item],
            })),
        }]
        .into(),
        ..Default::default()
    };
    let good = counter::Item::from(item());
    let cases = [
        (
            counter::Item {
                key: bytes::Bytes::new(),
                ..good.clone()
            },
            "key",
        ),
        (
            counter::Item {
                window: None,
                ..good.clone()
            },
            "window",
        ),
        (
            counter::Item {
                window: Some(item::Window::WindowMs(5)),
                ..good.clone()
            },
            "window_ms",
        ),
        (
            counter::Item {
                window: Some(item::Window::Calendar(77)),
                ..good.clone()
            },
            "calendar",
        ),
        (
            counter::Item {
                algorithm: 9,
                ..good
            },
            "algorithm",
        ),
    ];
    for (item, place) in cases {
        let error = acquire(item).into_commands().unwrap_err();
        assert_eq!(error.place, format!("commands[0].acquire.items[0].{place}"));
    }
    let empty = counter::DecideRequest {
        commands: vec![counter::Command { kind: None }].into(),
        ..Default::default()
    };
    assert_eq!(empty.into_commands().unwrap_err().place, "commands[0].kind");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_conversion_panic(bytes in proptest::collection::vec(0_u8.., 0..200)) {
        if let Ok(request) = counter::DecideRequest::decode(bytes.as_slice()) {
            let _ = request.into_commands();
        }
        if let Ok(outcome) = counter::Outcome::decode(bytes.as_slice()) {
            let _ = Outcome::try_from(outcome);
        }
    }
}
