use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use quotum_limit::ItemStates;

use super::*;

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1_u64..300, Just(u64::MAX), any::<u64>()]
}

fn any_states() -> impl Strategy<Value = ItemStates> {
    let state = (any::<bool>(), any_number(), any_number(), any_number());
    let state = state.prop_map(|(fits, remaining, max, reset_after_ms)| ItemState {
        fits,
        remaining,
        max,
        reset_after_ms,
    });
    vec(state, 1..=16).prop_map(ItemStates::from_vec)
}

fn any_outcome() -> impl Strategy<Value = limit::Outcome> {
    use limit::Outcome::*;
    prop_oneof![
        (any_number(), any_states()).prop_map(|(valid_for_ms, items)| Admitted {
            valid_for_ms,
            items
        }),
        (
            0_usize..16,
            proptest::option::of(any_number()),
            any_states()
        )
            .prop_map(|(binding, retry_after_ms, items)| Denied {
                binding,
                retry_after_ms,
                items
            }),
        (any_number(), any_states())
            .prop_map(|(hold_for_ms, items)| Reserved { hold_for_ms, items }),
        any_number().prop_map(|units| Refunded { units }),
        any_states().prop_map(|items| Peeked { items }),
        Just(Cancelled),
        Just(Expired),
        Just(Exhausted(limit::Bound::Tenant)),
        Just(Invalid(limit::Refusal::SeqZero)),
    ]
}

/// The message as the generated code would have it.
#[derive(Clone, PartialEq, Message)]
struct Generated {
    #[prost(message, repeated, tag = "1")]
    outcomes: Vec<Outcome>,
    #[prost(message, optional, tag = "2")]
    position: Option<Position>,
}

const POSITION: Position = Position {
    shard: 1,
    term: 300,
    index: 70_000,
};

proptest! {
    #[test]
    fn it_is_written_as_the_generated_code_would(outcomes in vec(any_outcome(), 0..20)) {
        let messages: Vec<Outcome> = outcomes.iter().cloned().map(Into::into).collect();
        let expected = Generated { outcomes: messages.clone(), position: Some(POSITION) };
        let expected = expected.encode_to_vec();
        let core = Decided::of_core(outcomes, POSITION);
        prop_assert_eq!(core.encoded_len(), expected.len());
        prop_assert_eq!(core.encode_to_vec(), expected.clone());
        let sent = Decided::new(messages.clone(), POSITION);
        prop_assert_eq!(sent.encoded_len(), expected.len());
        prop_assert_eq!(sent.encode_to_vec(), expected.clone());

        let read = Decided::decode(&expected[..]).unwrap();
        prop_assert_eq!(read.position, Some(POSITION));
        prop_assert_eq!(read.len(), messages.len());
        prop_assert_eq!(read.into_outcomes(), messages.clone());
        prop_assert_eq!(core.into_outcomes(), messages);
    }
}

#[test]
fn what_is_no_message_is_refused() {
    assert!(Decided::decode(&b"\x0a\x05\x12"[..]).is_err());
    // A field of a later version is passed over.
    assert!(Decided::decode(&b"\x18\x01"[..]).unwrap().is_empty());
}
