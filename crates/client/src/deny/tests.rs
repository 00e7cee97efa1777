use proptest::prelude::*;

use super::*;

fn item(key: &str, units: u64) -> Item {
    Item {
        key: Key::new(key.as_bytes()).unwrap(),
        max: 10,
        revision: 5,
        window: Window::Minute,
        algorithm: Algorithm::Fixed,
        units,
        shadow: false,
    }
}

fn state(remaining: u64, reset_after_ms: u64) -> ItemState {
    ItemState {
        fits: false,
        remaining,
        max: 10,
        reset_after_ms,
    }
}

fn cache(remaining: u64, reset_after_ms: u64) -> DenyCache {
    let mut cache = DenyCache::default();
    let states = [state(remaining, reset_after_ms)];
    cache.learn(&[item("a", 4)], &states, (0, Some(reset_after_ms)), 1_000);
    cache
}

#[test]
fn what_asks_for_more_than_remained_is_denied_for_a_second() {
    let cache = cache(3, 20_000);
    let denial = cache.refuse(&[item("a", 4)], 501_000).unwrap();
    assert_eq!((denial.binding, denial.retry_after_ms), (0, Some(19_500)));
    assert_eq!(denial.items.as_slice(), [state(3, 19_500)]);
    assert!(
        cache.refuse(&[item("a", 3)], 501_000).is_none(),
        "it may fit"
    );
    assert!(
        cache.refuse(&[item("b", 4)], 501_000).is_none(),
        "another counter"
    );
    assert!(
        cache
            .refuse(&[item("a", 4)], 1_000 + DENIAL_US_MAX)
            .is_none(),
        "too old"
    );
}

#[test]
fn a_sliding_denial_holds_until_the_first_units_come_back_and_says_when_enough_have() {
    let sliding = |units| Item {
        algorithm: Algorithm::Sliding,
        ..item("a", units)
    };
    let mut cache = DenyCache::default();
    // Some units come back after 500 ms, and enough of them for 4 after 7 s.
    cache.learn(&[sliding(4)], &[state(1, 500)], (0, Some(7_000)), 1_000);
    let denial = cache.refuse(&[sliding(4)], 101_000).unwrap();
    assert_eq!(denial.retry_after_ms, Some(6_900));
    let denial = cache.refuse(&[sliding(2)], 101_000).unwrap();
    assert_eq!(denial.retry_after_ms, Some(400), "2 may fit sooner");
    assert!(cache.refuse(&[sliding(1)], 101_000).is_none());
    assert!(cache.refuse(&[sliding(4)], 499_000).is_none(), "1 may be 2");
    assert!(
        cache.refuse(&[item("a", 4)], 101_000).is_none(),
        "another counter"
    );
}

#[test]
fn a_denial_ends_before_its_window_does() {
    let cache = cache(3, 100);
    assert!(cache.refuse(&[item("a", 4)], 1_000 + 99_499).is_some());
    assert!(cache.refuse(&[item("a", 4)], 1_000 + 99_500).is_none());
}

#[test]
fn a_newer_revision_or_another_max_is_asked() {
    let cache = cache(0, 20_000);
    let newer = Item {
        revision: 6,
        ..item("a", 1)
    };
    let raised = Item {
        max: 11,
        ..item("a", 1)
    };
    let older = Item {
        revision: 4,
        ..item("a", 1)
    };
    assert!(cache.refuse(&[newer], 2_000).is_none());
    assert!(cache.refuse(&[raised], 2_000).is_none());
    assert!(cache.refuse(&[older], 2_000).is_some());
}

#[test]
fn units_of_equal_counters_are_summed_and_more_than_max_is_hopeless() {
    let cache = cache(3, 20_000);
    assert!(cache.refuse(&[item("a", 2), item("a", 2)], 2_000).is_some());
    let denial = cache.refuse(&[item("a", 11)], 2_000).unwrap();
    assert_eq!(denial.retry_after_ms, None);
}

#[test]
fn shadow_items_never_deny_and_unknown_counters_are_asked() {
    let cache = cache(3, 20_000);
    assert!(
        cache
            .refuse(
                &[Item {
                    shadow: true,
                    ..item("a", 4)
                }],
                2_000
            )
            .is_none()
    );
    assert!(cache.refuse(&[item("a", 4), item("b", 1)], 2_000).is_none());
}

#[test]
fn the_oldest_denial_goes_first() {
    let mut cache = DenyCache::default();
    for at in 0..=DENIALS_MAX {
        cache.learn(
            &[item(&format!("k{at}"), 1)],
            &[state(0, 20_000)],
            (0, Some(20_000)),
            0,
        );
    }
    assert_eq!(cache.len(), DENIALS_MAX);
    assert!(cache.refuse(&[item("k0", 1)], 1).is_none());
    assert!(cache.refuse(&[item("k1", 1)], 1).is_some());
    cache.clear();
    assert_eq!(cache.len(), 0);
    assert!(cache.refuse(&[item("k1", 1)], 1).is_none());
}

proptest! {
    #[test]
    fn nothing_that_may_fit_is_refused(
        learned in proptest::collection::vec((0_u8..4, 0_u64..12, 0_u64..3_000, 0_u64..3_000_000), 0..40),
        asked in proptest::collection::vec((0_u8..4, 0_u64..14), 1..4),
        now_us in 3_000_000_u64..5_000_000,
    ) {
        let mut cache = DenyCache::default();
        let mut last = BTreeMap::new();
        for (key, remaining, reset_ms, sent_us) in learned {
            cache.learn(&[item(&key.to_string(), 1)], &[state(remaining, reset_ms)], (0, Some(reset_ms)), sent_us);
            last.insert(key, (remaining, reset_ms, sent_us));
        }
        let items: Vec<_> = asked.iter().map(|(key, units)| item(&key.to_string(), *units)).collect();
        if let Some(denial) = cache.refuse(&items, now_us) {
            let (key, _) = asked[denial.binding];
            let units: u64 = asked.iter().filter(|other| other.0 == key).map(|other| other.1).sum();
            let (remaining, reset_ms, sent_us) = last[&key];
            prop_assert!(units > remaining);
            prop_assert!(now_us < sent_us + (reset_ms * 1_000).min(1_000_000));
        }
    }
}
