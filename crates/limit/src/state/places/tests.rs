use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Insert(u32),
    Remove(prop::sample::Index),
    Shrink,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few different hashes, so that most of them meet; and such as lie at both ends.
    let hash = prop_oneof![0..4_u32, u32::MAX - 3..=u32::MAX, any::<u32>()];
    let step = prop_oneof![
        6 => hash.prop_map(Step::Insert),
        4 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => Just(Step::Shrink),
    ];
    prop::collection::vec(step, 0..200)
}

/// As a part uses it: the last item takes the place of one that is removed.
fn run(steps: &[Step]) -> (Places, Vec<u32>) {
    let (mut places, mut hashes) = (Places::default(), Vec::new());
    for step in steps {
        match step {
            Step::Insert(hash) => {
                let at = hashes.len() as u32;
                places.insert(*hash, at, |at| hashes[at as usize]);
                hashes.push(*hash);
            }
            Step::Remove(_) if hashes.is_empty() => {}
            Step::Remove(which) => {
                let at = which.index(hashes.len());
                places.remove(hashes[at], at as u32, |at| hashes[at as usize]);
                let last = hashes.len() - 1;
                if last > at {
                    places.relocate(hashes[last], last as u32, at as u32);
                }
                hashes.swap_remove(at);
            }
            Step::Shrink => places.shrink(|at| hashes[at as usize]),
        }
    }
    (places, hashes)
}

proptest! {
    #[test]
    fn every_item_is_found_and_nothing_else(steps in steps()) {
        let (places, hashes) = run(&steps);
        for (at, hash) in hashes.iter().enumerate() {
            let at = at as u32;
            prop_assert_eq!(places.find(*hash, |other| other == at), Some(at));
        }
        let mut shown = BTreeMap::new();
        for slot in places.slots.iter().filter(|slot| **slot != 0) {
            prop_assert!(shown.insert(place(*slot), ()).is_none());
        }
        prop_assert_eq!(shown.len(), hashes.len());
        prop_assert_eq!(places.find(77, |_| false), None);
    }

    #[test]
    fn what_was_removed_leaves_no_trace(steps in steps()) {
        let (places, hashes) = run(&steps);
        // From its home to its slot there is no gap: so no search ends before it, and none goes on
        // for longer than in a table that was made of these items alone.
        for (at, hash) in hashes.iter().enumerate() {
            let mut index = places.home(*hash);
            while places.slots[index] == 0 || place(places.slots[index]) != at as u32 {
                prop_assert!(places.slots[index] != 0);
                index = places.after(index);
            }
        }
    }
}

#[test]
fn it_is_between_half_and_four_fifths_full_and_gives_memory_back() {
    let hash = |at: u32| at.wrapping_mul(0x9e37_79b9);
    let mut places = Places::default();
    for at in 0..5_000 {
        places.insert(hash(at), at, hash);
        let slots = places.slots.len();
        assert!(places.len * 5 <= slots * 4, "{at}");
        assert!(at < 50 || places.len * 2 > slots, "{at}");
    }
    for at in (10..5_000).rev() {
        places.remove(hash(at), at, hash);
    }
    places.shrink(hash);
    assert!(places.bytes() <= 4 * 32);
    assert!((0..10).all(|at| places.find(hash(at), |other| other == at) == Some(at)));
    for at in (0..10).rev() {
        places.remove(hash(at), at, hash);
    }
    places.shrink(hash);
    assert_eq!((places.bytes(), places.find(hash(0), |_| true)), (0, None));
}
