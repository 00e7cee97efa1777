use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn what_is_pushed_stays_in_its_place(runs in vec(vec(any::<u8>(), 1..=7), 0..60)) {
        let mut chunks: Chunks<u8, 16> = Chunks::default();
        let mut places = Vec::new();
        for run in &runs {
            let at = chunks.push(run);
            prop_assert_eq!(at / 16, (at + run.len() - 1) / 16, "it lies in one chunk");
            prop_assert_eq!(chunks.end(), at + run.len());
            places.push(at);
        }
        for (at, run) in places.iter().zip(&runs) {
            prop_assert_eq!(chunks.slice(*at, run.len()), &run[..]);
        }
        let held: Vec<u8> = chunks.iter().copied().collect();
        prop_assert_eq!(held, runs.concat());
    }

    /// Items one by one, as records are.
    #[test]
    fn it_is_a_list(pushes in vec(any::<Option<u32>>(), 0..200)) {
        let mut chunks: Chunks<u32, 8> = Chunks::default();
        let mut model = Vec::new();
        for push in pushes {
            match push {
                Some(item) => {
                    prop_assert_eq!(chunks.push(&[item]), model.len());
                    model.push(item);
                }
                None => {
                    if let Some(item) = model.pop() {
                        prop_assert_eq!(chunks.pop(), item);
                    }
                    chunks.shrink();
                }
            }
            prop_assert_eq!(chunks.end(), model.len());
            prop_assert_eq!(chunks.iter().copied().collect::<Vec<_>>(), model.clone());
            if let Some(last) = model.last_mut() {
                *last ^= 1;
                *chunks.get_mut(chunks.end() - 1) ^= 1;
                prop_assert_eq!(chunks.get(chunks.end() - 1), &*last);
            }
        }
    }
}

#[test]
fn full_chunks_have_no_room_and_the_last_has_little() {
    let mut chunks: Chunks<u64, 32> = Chunks::default();
    for item in 0..320 {
        chunks.push(&[item]);
    }
    assert_eq!(chunks.more.len(), 9);
    assert!(chunks.more.iter().all(|chunk| chunk.capacity() == 32));
    for items in 321..340 {
        chunks.push(&[items]);
        let last = chunks.more.last().unwrap();
        assert!(
            last.capacity() <= last.len() + 4,
            "{} for {}",
            last.capacity(),
            last.len()
        );
    }
    while chunks.end() > 1 {
        chunks.pop();
    }
    chunks.shrink();
    assert!(
        chunks.bytes() < 512,
        "{} bytes for one item",
        chunks.bytes()
    );
}
