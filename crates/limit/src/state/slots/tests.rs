use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::tests::any_item;
use crate::state::verdict::{Held, Kind, Verdict};
use crate::{Item, LogTime};

fn resolved(item: Item, kind: Kind) -> Slot {
    let held = Held {
        charged: item.units,
        hopeless: false,
        fits: true,
        remaining: 1,
        max: item.max,
        end: LogTime::from_ms(7_000),
        reset_at: LogTime::from_ms(8_000),
        until: LogTime::from_ms(9_000),
        item,
    };
    Slot::Resolved(Verdict {
        admitted: true,
        kind,
        held: [held].into_iter().collect(),
    })
}

fn any_slot() -> impl Strategy<Value = Slot> {
    let kind = prop_oneof![
        Just(Kind::Acquire),
        Just(Kind::Confirmed),
        (1_u64..1 << 40).prop_map(|ms| Kind::Reserve(LogTime::from_ms(ms))),
    ];
    prop_oneof![
        Just(Slot::Cancelled),
        (any_item(), kind).prop_map(|(item, kind)| resolved(item, kind)),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Put(u64, Slot),
    DropTo(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..400, any_slot()).prop_map(|(seq, slot)| Step::Put(seq, slot)),
        1 => (0_u64..400).prop_map(Step::DropTo),
    ]
}

fn text(slot: &Slot) -> String {
    format!("{slot:?}")
}

proptest! {
    #[test]
    fn what_is_put_is_found_until_it_is_dropped(steps in vec(any_step(), 1..120)) {
        let mut slots = Slots::default();
        let mut model: BTreeMap<u64, Slot> = BTreeMap::new();
        for step in steps {
            // A snapshot holds the blocks: they are copied before they change.
            let snapshot = slots.clone();
            let before: Vec<_> = model.iter().map(|(seq, slot)| (*seq, text(slot))).collect();
            match step {
                Step::Put(seq, slot) => {
                    let old = slots.put(seq, &slot).as_ref().map(text);
                    prop_assert_eq!(old, model.insert(seq, slot).as_ref().map(text));
                }
                Step::DropTo(watermark) => {
                    slots.drop_to(watermark);
                    model.retain(|seq, _| *seq > watermark);
                }
            }
            let held: Vec<_> = slots.iter().map(|(seq, slot)| (seq, text(&slot))).collect();
            let expected: Vec<_> = model.iter().map(|(seq, slot)| (*seq, text(slot))).collect();
            prop_assert_eq!(held, expected);
            prop_assert_eq!(slots.len(), model.len());
            prop_assert_eq!(slots.weight(), model.values().map(Slot::weight).sum::<usize>());
            for seq in [1, 63, 64, 65, 399] {
                prop_assert_eq!(slots.contains(seq), model.contains_key(&seq));
                prop_assert_eq!(
                    slots.get(seq).as_ref().map(text),
                    model.get(&seq).map(text)
                );
            }
            let kept: Vec<_> = snapshot.iter().map(|(seq, slot)| (seq, text(&slot))).collect();
            prop_assert_eq!(kept, before);
        }
    }
}

/// The same id may be cancelled, or confirmed and cancelled, any number of times.
#[test]
fn what_replaces_a_slot_takes_no_more_room() {
    let mut slots = Slots::default();
    let item = Item {
        key: crate::Key::new(b"k").unwrap(),
        max: 30,
        revision: 1,
        window: crate::Window::Minute,
        algorithm: crate::Algorithm::Fixed,
        units: 1,
        shadow: false,
    };
    slots.put(
        5,
        &resolved(item.clone(), Kind::Reserve(LogTime::from_ms(1_000))),
    );
    let bytes = |slots: &Slots| slots.blocks[&0].bytes.len();
    let first = bytes(&slots);
    slots.put(5, &resolved(item, Kind::Confirmed));
    for _ in 0..1_000 {
        slots.put(5, &Slot::<Item>::Cancelled);
    }
    assert_eq!(bytes(&slots), first);
}
