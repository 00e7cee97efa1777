//! What a sliding limit promises, over every instant: for every a, the units used in (a, a + W] are
//! at most `max`, whenever each of them is used while its admission holds; and what is denied is
//! denied because of units that are younger than the window and three of its sixtieths.

use proptest::collection::vec;
use proptest::prelude::*;
use smallvec::smallvec;

use super::model::OPEN;
use super::*;
use crate::{Algorithm, Epoch, Key, Window};

const START_MS: u64 = 1_767_610_800_000;

/// Units that were admitted: they may be used from `from_ms`, and before `to_ms`.
#[derive(Debug)]
struct Taken {
    seq: u64,
    from_ms: u64,
    to_ms: u64,
    units: u64,
}

fn any_window() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Second),
        Just(Window::Minute),
        Just(Window::duration(1_019).unwrap()),
        Just(Window::duration(7_777).unwrap()),
    ]
}

/// The most units that can be used in any interval (a, a + W], by trying each a at which the count
/// can rise: right before a unit can be used for the last time.
fn most_used(taken: &[Taken], window_ms: u64) -> u64 {
    let within = |before: u64| {
        let used = taken
            .iter()
            .filter(move |other| other.to_ms >= before && other.from_ms < before + window_ms);
        used.map(|other| other.units).sum::<u64>()
    };
    taken
        .iter()
        .map(|last| within(last.to_ms))
        .max()
        .unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_interval_of_a_window_holds_more_than_max(
        window in any_window(),
        max in 1..9_u64,
        steps in vec((0..5_000_u64, 1..4_u64, 0..10_u8), 1..200),
    ) {
        let window_ms = window.length_ms();
        let bucket_ms = window_ms / 60;
        let mut state = State::new(5);
        state.caps = Caps { counters_max: 10, tenant_counters_max: 10 };
        let mut now = LogTime::from_ms(START_MS);
        prop_assert_eq!(state.apply(now, &OPEN), Outcome::Opened { epoch: Epoch(1) });
        let mut taken: Vec<Taken> = Vec::new();
        for (seq, (wait, units, then)) in (1..).zip(steps) {
            // Up to five buckets, or now and then most of a window.
            let wait_ms = match wait {
                4_900.. => window_ms * (wait - 4_900) / 90,
                _ => wait * bucket_ms / 1_000,
            };
            now = now.plus_ms(wait_ms);
            let id = RequestId { epoch: Epoch(1), seq };
            let item = Item {
                key: Key::new(b"k").unwrap(),
                max,
                revision: 1,
                window,
                algorithm: Algorithm::Sliding,
                units,
                shadow: false,
            };
            let acquire = Command::Acquire { id, acked_seq: 0, items: smallvec![item.clone()] };
            match state.apply(now, &acquire) {
                Outcome::Admitted { valid_for_ms, .. } => taken.push(Taken {
                    seq,
                    from_ms: now.ms,
                    // The instant of the stamp is up to a millisecond later.
                    to_ms: now.ms + valid_for_ms + 1,
                    units,
                }),
                Outcome::Denied { retry_after_ms, .. } if units > max => {
                    prop_assert_eq!(retry_after_ms, None);
                }
                Outcome::Denied { retry_after_ms: Some(retry_ms), .. } => {
                    let since = now.ms - window_ms - 3 * bucket_ms;
                    let young = taken.iter().filter(|taken| taken.from_ms > since);
                    prop_assert!(young.map(|taken| taken.units).sum::<u64>() + units > max);
                    // Then it fits, and not a millisecond before.
                    let mut later = state.clone();
                    let peek = Command::Peek { items: smallvec![item.clone()] };
                    let fits = |state: &mut State, after_ms| {
                        match state.apply(now.plus_ms(after_ms), &peek) {
                            Outcome::Peeked { items } => items[0].fits,
                            other => panic!("{other:?}"),
                        }
                    };
                    prop_assert!(!fits(&mut later, retry_ms - 1));
                    prop_assert!(fits(&mut later, retry_ms));
                }
                other => panic!("{other:?}"),
            }
            if let (0, Some(last)) = (then, taken.last()) {
                let id = RequestId { epoch: Epoch(1), seq: last.seq };
                // Too late, it stays charged.
                if state.apply(now, &Command::Refund { id }) != Outcome::Expired {
                    taken.pop();
                }
            }
            if let (1, Some(last)) = (then, taken.last()) {
                // A repeat holds for no longer than the first answer.
                let id = RequestId { epoch: Epoch(1), seq: last.seq };
                let items = smallvec![Item { units: last.units, ..item }];
                let again = state.apply(now, &Command::Acquire { id, acked_seq: 0, items });
                if let Outcome::Admitted { valid_for_ms: ms @ 1.., .. } = again {
                    prop_assert_eq!(now.ms + ms + 1, last.to_ms);
                }
            }
            // What is older shares no interval with what is left.
            taken.retain(|taken| taken.to_ms + 3 * window_ms > now.ms);
            prop_assert!(most_used(&taken, window_ms) <= max);
        }
    }
}
