use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

pub(crate) fn any_item() -> impl Strategy<Value = Item> {
    (
        vec(any::<u8>(), 1..40),
        0..=1_u64 << 53,
        any::<u64>(),
        prop_oneof![1_u64..=6, Just(90_000), Just(600_000)],
        0..=1_u64 << 53,
        any::<bool>(),
        0..2_u8,
    )
        .prop_map(
            |(key, max, revision, window, units, shadow, algorithm)| Item {
                key: Key::new(&key).unwrap(),
                max,
                revision,
                window: Window::from_code(window).unwrap(),
                algorithm: Algorithm::from_code(algorithm).unwrap(),
                units,
                shadow,
            },
        )
}

fn any_command() -> impl Strategy<Value = Command> {
    let id = (any::<u64>(), any::<u64>()).prop_map(|(epoch, seq)| RequestId {
        epoch: Epoch(epoch),
        seq,
    });
    let items = || vec(any_item(), 0..=ITEMS_MAX).prop_map(Items::from_vec);
    prop_oneof![
        any::<u64>().prop_map(|caller| Command::Open {
            caller: Caller(caller)
        }),
        (id.clone(), any::<u64>(), items()).prop_map(|(id, acked_seq, items)| Command::Acquire {
            id,
            acked_seq,
            items
        }),
        id.clone().prop_map(|id| Command::Refund { id }),
        id.clone().prop_map(|id| Command::Confirm { id }),
        (id, any::<u64>(), items()).prop_map(|(id, acked_seq, items)| Command::Reserve {
            id,
            acked_seq,
            items
        }),
        items().prop_map(|items| Command::Peek { items }),
    ]
}

fn any_batch() -> impl Strategy<Value = Batch> {
    (
        0..=LOG_TIME_MS_MAX,
        any::<u64>(),
        any::<(usize, usize)>(),
        vec(any_command(), 0..20),
    )
        .prop_map(|(log, reference_ms, caps, commands)| Batch {
            stamp: Stamp {
                log: LogTime::from_ms(log),
                reference_ms,
            },
            caps: Caps {
                counters_max: caps.0,
                tenant_counters_max: caps.1,
            },
            commands,
        })
}

proptest! {
    #[test]
    fn a_batch_survives_the_round_trip(batch in any_batch()) {
        prop_assert_eq!(Batch::decode(&batch.encode().into()), Ok(batch));
    }

    #[test]
    fn every_cut_of_a_batch_is_refused(batch in any_batch(), cut in any::<prop::sample::Index>()) {
        let bytes = Bytes::from(batch.encode());
        prop_assert!(Batch::decode(&bytes.slice(..cut.index(bytes.len()))).is_err());
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        if let Ok(batch) = Batch::decode(&bytes) {
            prop_assert_eq!(batch.encode(), bytes);
        }
    }
}

#[test]
fn a_claimed_size_allocates_nothing() {
    let mut out = Writer::default();
    for number in [VERSION, 0, 0, 0, 0, BATCH_COMMANDS_MAX as u64] {
        out.number(number);
    }
    let bytes = Bytes::from(out.into_bytes());
    let error = Batch::decode(&bytes).unwrap_err();
    assert_eq!(
        error,
        DecodeError {
            offset: bytes.len(),
            what: "the bytes end within a number"
        }
    );
}

#[test]
fn another_version_is_refused() {
    let batch = Batch {
        stamp: Stamp::default(),
        caps: Caps {
            counters_max: 1,
            tenant_counters_max: 1,
        },
        commands: Vec::new(),
    };
    let mut bytes = batch.encode();
    bytes[0] = 1;
    assert_eq!(
        Batch::decode(&bytes.into()).unwrap_err().what,
        "unknown version of a log entry"
    );
}
