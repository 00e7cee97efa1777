use quotum_api::counter::{command, decide_response, outcome};

use super::*;

fn nodes(keys: u32, window: Window) -> Nodes {
    Nodes {
        tls: crate::arguments::Tls::default(),
        addresses: vec!["a:1".to_owned()],
        keys,
        max: 1_000_000_000,
        window,
        shard: 3,
    }
}

fn order(ordinal: u64, first_seq: u64, acked_seq: u64) -> Order {
    Order {
        ordinal,
        first_seq,
        acked_seq,
    }
}

fn decided(kinds: Vec<outcome::Kind>) -> Decision {
    let outcome = |kind| counter::Outcome { kind: Some(kind) };
    let message = counter::DecideResponse {
        tag: 77,
        result: Some(decide_response::Result::Decided(quotum_api::Decided::new(
            kinds.into_iter().map(outcome).collect(),
            counter::Position {
                shard: 1,
                term: 2,
                index: 3,
            },
        ))),
        leader: "node:1".to_owned(),
    };
    Decision::decode(&message.encode_to_vec()[..]).unwrap()
}

fn admitted() -> outcome::Kind {
    outcome::Kind::Admitted(outcome::Admitted {
        valid_for_ms: 1_000,
        items: vec![counter::ItemState {
            fits: true,
            remaining: 5,
            max: 9,
            reset_after_ms: 10,
        }],
    })
}

fn denied() -> outcome::Kind {
    outcome::Kind::Denied(outcome::Denied {
        binding: 0,
        retry_after_ms: Some(3),
        items: vec![counter::ItemState::default()],
    })
}

#[test]
fn a_message_reads_as_the_service_reads_it() {
    for window in [Window::Hour, Window::Duration { ms: 90_000 }] {
        let mut writer = Writer::new(&nodes(1_000, window), 500, 3, 1);
        for (first_seq, acked_seq) in [(1, 0), (127, 126), (16_383, 300), (1 << 40, 1 << 39)] {
            let mut bytes = Vec::new();
            writer.decide(order(9, first_seq, acked_seq), &mut bytes);
            let message = counter::DecideRequest::decode(&bytes[..]).unwrap();
            assert_eq!((message.tag, message.shard, message.epoch), (9, 3, 500));
            assert_eq!((message.acked_seq, message.forwarded), (acked_seq, false));
            assert_eq!(message.commands.len(), 3);
            for (seq, command) in (first_seq..).zip(message.commands.to_messages()) {
                let Some(command::Kind::Acquire(acquire)) = command.kind else {
                    panic!("an acquire")
                };
                assert_eq!(acquire.seq, seq);
                let item = quotum_limit::Item::try_from(acquire.items[0].clone()).unwrap();
                assert_eq!(
                    (item.max, item.units, item.window),
                    (1_000_000_000, 1, window)
                );
            }
            assert!(message.into_commands().is_ok());
        }
    }
}

#[test]
fn a_unary_request_reads_as_the_service_reads_it() {
    let mut writer = Writer::new(&nodes(16, Window::Minute), 500, 1, 1);
    let message = counter::AcquireRequest::decode(writer.acquire(order(4, 5, 2))).unwrap();
    assert_eq!((message.shard, message.epoch), (3, 500));
    assert_eq!((message.seq, message.acked_seq), (5, 2));
    assert_eq!(message.items.len(), 1);
    assert!(message.items[0].key.starts_with(crate::keys::PREFIX));
}

#[test]
fn every_key_is_as_likely_as_any_other() {
    let mut writer = Writer::new(&nodes(20, Window::Hour), 1, 1, 7);
    let mut counts = std::collections::BTreeMap::new();
    for seq in 1..=20_000 {
        let message = counter::AcquireRequest::decode(writer.acquire(order(0, seq, 0))).unwrap();
        *counts.entry(message.items[0].key.clone()).or_insert(0_u32) += 1;
    }
    assert_eq!(counts.len(), 20);
    assert!(
        counts.values().all(|count| (800..1_200).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn admissions_and_denials_are_counted() {
    let answer = decided(vec![admitted(), denied(), admitted()]);
    assert_eq!(answer.tag, 77);
    let counted = answer.count(3);
    assert_eq!(
        (counted.admitted, counted.denied, counted.errors),
        (2, 1, 0)
    );
}

#[test]
fn an_outcome_that_is_no_decision_is_an_error() {
    for kind in [
        outcome::Kind::Expired(outcome::Expired {}),
        outcome::Kind::Exhausted(outcome::Exhausted { bound: 2 }),
        outcome::Kind::Invalid(outcome::Invalid::default()),
        outcome::Kind::Cancelled(outcome::Cancelled {}),
    ] {
        let counted = decided(vec![admitted(), kind]).count(2);
        assert_eq!((counted.admitted, counted.errors), (1, 1));
        assert!(counted.complaint.is_some());
    }
}

#[test]
fn a_message_that_was_not_decided_is_an_error_for_each_command() {
    let message = counter::DecideResponse {
        tag: 1,
        result: Some(decide_response::Result::NotDecided(counter::NotDecided {
            reason: counter::not_decided::Reason::Overloaded.into(),
            message: "full".to_owned(),
        })),
        leader: String::new(),
    };
    let counted = Decision::decode(&message.encode_to_vec()[..])
        .unwrap()
        .count(16);
    assert_eq!(counted.errors, 16);
    assert_eq!(counted.complaint.as_deref(), Some("Overloaded: full"));
    assert_eq!(Decision::default().count(2).errors, 2);
    assert_eq!(decided(vec![admitted()]).count(2).errors, 2);
}

#[test]
fn a_request_of_envoys_api_has_a_key_of_those_asked_for() {
    let mut writer = Writer::of_envoy(16, 1);
    let mut values = std::collections::BTreeSet::new();
    for _ in 0..500 {
        let message = RateLimitRequest::decode(writer.should_rate_limit()).unwrap();
        assert_eq!((message.domain.as_str(), message.hits_addend), ("bench", 1));
        let [entry] = &message.descriptors[0].entries[..] else {
            panic!("{message:?}")
        };
        assert_eq!(entry.key, "key");
        values.insert(entry.value.clone());
    }
    assert_eq!(values.len(), 16);
    assert!(values.contains("load-0000000f"), "{values:?}");
}

#[test]
fn a_unary_answer_is_counted() {
    let answer = |kind| {
        let message = counter::AcquireResponse {
            outcome: Some(counter::Outcome { kind: Some(kind) }),
            ..Default::default()
        };
        Acquired::decode(&message.encode_to_vec()[..])
            .unwrap()
            .count()
    };
    assert_eq!(answer(admitted()).admitted, 1);
    assert_eq!(answer(denied()).denied, 1);
    assert_eq!(Acquired::default().count().errors, 1);
}
