use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use quotum_limit::limits::{ITEMS_MAX, UNITS_MAX};
use quotum_limit::{Algorithm, Epoch, Item, Key, RequestId, Window};

use super::*;
use crate::command_to_wire;
use crate::counter;

/// The message as the generated code would have it.
#[derive(Clone, PartialEq, Message)]
struct Generated {
    #[prost(uint64, tag = "1")]
    tag: u64,
    #[prost(uint32, tag = "2")]
    shard: u32,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint64, tag = "4")]
    acked_seq: u64,
    #[prost(message, repeated, tag = "5")]
    commands: Vec<Command>,
    #[prost(bool, tag = "6")]
    forwarded: bool,
    #[prost(enumeration = "Api", tag = "7")]
    api: i32,
}

impl From<Generated> for DecideRequest {
    fn from(generated: Generated) -> Self {
        Self {
            tag: generated.tag,
            shard: generated.shard,
            epoch: generated.epoch,
            acked_seq: generated.acked_seq,
            commands: generated.commands.into(),
            forwarded: generated.forwarded,
            api: generated.api,
        }
    }
}

fn any_item() -> impl Strategy<Value = Item> {
    let window = prop_oneof![
        Just(Window::Second),
        Just(Window::Month),
        (1_001_u64..50_000).prop_map(|ms| Window::duration(ms).unwrap()),
    ];
    let numbers = (0..=UNITS_MAX, 0_u64..1 << 40, 0_u64..4);
    (
        vec(any::<u8>(), 1..=128),
        numbers,
        window,
        any::<[bool; 2]>(),
    )
        .prop_map(
            |(key, (max, revision, units), window, [slides, shadow])| Item {
                key: Key::new(&key).unwrap(),
                max,
                revision,
                window,
                algorithm: match slides {
                    true => Algorithm::Sliding,
                    false => Algorithm::Fixed,
                },
                units,
                shadow,
            },
        )
}

fn any_command() -> impl Strategy<Value = quotum_limit::Command> {
    use quotum_limit::Command::*;
    let epoch = Epoch(0);
    let items = vec(any_item(), 1..=ITEMS_MAX).prop_map(Items::from_vec);
    (0_u64.., items, 0..8_u8).prop_map(move |(seq, items, kind)| {
        let id = RequestId { epoch, seq };
        let acked_seq = 0;
        match kind {
            0 => Open {
                caller: quotum_limit::Caller(seq),
            },
            1 => Refund { id },
            2 => Peek { items },
            3 => Reserve {
                id,
                acked_seq,
                items,
            },
            _ => Acquire {
                id,
                acked_seq,
                items,
            },
        }
    })
}

fn any_request() -> impl Strategy<Value = Generated> {
    let numbers = (0_u64.., 0_u32..3, 0_u64.., 0_u64.., any::<bool>(), 0..9_i32);
    (numbers, vec(any_command(), 0..6)).prop_map(|(numbers, commands)| {
        let (tag, shard, epoch, acked_seq, forwarded, api) = numbers;
        Generated {
            tag,
            shard,
            epoch,
            acked_seq,
            commands: commands.into_iter().map(command_to_wire).collect(),
            forwarded,
            api,
        }
    })
}

/// Reads bytes both ways, and says what became of them: that must be one thing.
fn read(bytes: &[u8]) -> Option<DecideRequest> {
    let ours = DecideRequest::decode(bytes);
    let generated = Generated::decode(bytes).map(DecideRequest::from);
    match (ours, generated) {
        (Ok(ours), Ok(generated)) => {
            let commands = generated.into_commands();
            assert_eq!(ours.clone().into_commands(), commands);
            // As it is passed on to a leader.
            let passed_on = DecideRequest::decode(&ours.encode_to_vec()[..]).unwrap();
            assert_eq!(passed_on.into_commands(), commands);
            Some(ours)
        }
        (Err(_), Err(_)) => None,
        (ours, generated) => panic!("{ours:?} is not {generated:?}"),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_what_the_generated_code_writes_and_reads(generated in any_request()) {
        let bytes = generated.encode_to_vec();
        let request = read(&bytes).unwrap();
        prop_assert_eq!(request.encoded_len(), bytes.len());
        prop_assert_eq!(request.encode_to_vec(), bytes);
        // No acquire was left to the generated code, but for those without a seq.
        for asked in &request.commands.0 {
            if let Asked::Message(Command { kind: Some(command::Kind::Acquire(acquire)) }) = asked {
                prop_assert_eq!(acquire.seq, 0);
            }
        }
    }

    #[test]
    fn damaged_bytes_mean_what_they_mean_to_the_generated_code(
        generated in any_request(), damage in vec((any::<prop::sample::Index>(), 0_u8..), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = generated.encode_to_vec();
        read(&bytes[..cut.index(bytes.len() + 1)]);
        if !bytes.is_empty() {
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            read(&bytes);
        }
    }

    #[test]
    fn parts_of_a_command_may_come_in_any_order_and_twice(
        pieces in vec((0..10_usize, 0_u64..200), 0..8), seqs in vec(0_u64..3, 0..3),
    ) {
        // Fields of an item, known or not, as they come.
        let mut item = Vec::new();
        for (field, number) in pieces {
            match field {
                0 | 1 => item.extend([key_of(1, 2), 1, number as u8]),
                9 => item.extend([key_of(9, 0), 0]),
                field => {
                    item.push(key_of(field as u8, 0));
                    prost::encoding::encode_varint(number, &mut item);
                }
            }
        }
        let mut acquire = Vec::new();
        for seq in seqs {
            acquire.extend([key_of(1, 0), seq as u8]);
        }
        acquire.extend([key_of(2, 2), item.len() as u8]);
        acquire.extend(item);
        let mut command = vec![key_of(2, 2), acquire.len() as u8];
        command.extend(&acquire);
        // The same kind twice in a command is merged.
        for times in 1..=2 {
            let command = command.repeat(times);
            let mut bytes = vec![key_of(5, 2)];
            prost::encoding::encode_varint(command.len() as u64, &mut bytes);
            bytes.extend(command);
            read(&bytes);
        }
    }
}

/// The key of a field, of one byte.
fn key_of(field: u8, wire_type: u8) -> u8 {
    field << 3 | wire_type
}

#[test]
fn an_acquire_without_an_item_or_with_too_many_is_refused_by_its_place() {
    for count in [0, ITEMS_MAX + 1] {
        let item = counter::Item {
            key: bytes::Bytes::from_static(b"k"),
            window: Some(counter::item::Window::Calendar(2)),
            ..Default::default()
        };
        let acquire = command::Acquire {
            seq: 1,
            items: vec![item; count],
        };
        let request = DecideRequest {
            commands: vec![Command {
                kind: Some(command::Kind::Acquire(acquire)),
            }]
            .into(),
            ..Default::default()
        };
        let request = read(&request.encode_to_vec()).unwrap();
        let error = request.into_commands().unwrap_err();
        assert_eq!(error.place, "commands[0].acquire.items");
    }
}
