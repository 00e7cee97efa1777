use smallvec::smallvec;

use super::model::OPEN;
use super::*;
use crate::limits::{
    DEDUP_TTL_MS, EPOCH_IDLE_MS_MAX, EPOCHS_PER_CALLER_MAX, ITEMS_HELD_PER_CALLER_MAX, MARK_MS,
    SLOTS_MAX, UNITS_MAX,
};
use crate::{Algorithm, Epoch, Key, Window};

const NOON: u64 = 1_767_610_800_000; // 2026-01-05T11:00:00Z

struct Bench {
    state: State,
    now: LogTime,
    epoch: Epoch,
    seq: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with_counters_max(1_000)
    }

    fn with_counters_max(counters_max: usize) -> Self {
        let mut state = State::new(7);
        state.caps = Caps {
            counters_max,
            tenant_counters_max: counters_max,
        };
        let now = LogTime::from_ms(NOON);
        let Outcome::Opened { epoch } = state.apply(now, &OPEN) else {
            panic!()
        };
        Self {
            state,
            now,
            epoch,
            seq: 0,
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    fn id(&mut self) -> RequestId {
        self.seq += 1;
        RequestId {
            epoch: self.epoch,
            seq: self.seq,
        }
    }

    fn ask(&mut self, id: RequestId, items: Items) -> Outcome {
        self.state.apply(
            self.now,
            &Command::Acquire {
                id,
                acked_seq: 0,
                items,
            },
        )
    }

    fn take(&mut self, items: Items) -> Outcome {
        let id = self.id();
        self.ask(id, items)
    }

    fn refund(&mut self, id: RequestId) -> Outcome {
        self.state.apply(self.now, &Command::Refund { id })
    }

    fn remaining(&mut self, item: Item) -> u64 {
        match self.state.apply(
            self.now,
            &Command::Peek {
                items: smallvec![item],
            },
        ) {
            Outcome::Peeked { items } => items[0].remaining,
            other => panic!("{other:?}"),
        }
    }
}

fn item(name: &str, max: u64, units: u64) -> Item {
    Item {
        key: Key::new(name.as_bytes()).unwrap(),
        max,
        revision: 1,
        window: Window::Minute,
        algorithm: Algorithm::Fixed,
        units,
        shadow: false,
    }
}

fn admitted(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Admitted { .. } => true,
        Outcome::Denied { .. } => false,
        other => panic!("neither admitted nor denied: {other:?}"),
    }
}

#[test]
fn the_last_unit_is_admitted_and_the_next_denied() {
    let mut bench = Bench::new();
    let taken = (0..31)
        .filter(|_| admitted(&bench.take(smallvec![item("a", 30, 1)])))
        .count();
    assert_eq!(taken, 30);
    bench.wait(60_000);
    assert!(admitted(&bench.take(smallvec![item("a", 30, 30)])));
}

#[test]
fn a_denial_says_when_it_ends_and_what_is_left() {
    let mut bench = Bench::new();
    bench.wait(12_000);
    bench.take(smallvec![item("a", 10, 7)]);
    let outcome = bench.take(smallvec![item("a", 10, 4)]);
    let Outcome::Denied {
        binding: 0,
        retry_after_ms: Some(48_000),
        items,
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!((items[0].remaining, items[0].reset_after_ms), (3, 48_000));
}

#[test]
fn units_over_max_are_denied_for_ever() {
    let mut bench = Bench::new();
    let outcome = bench.take(smallvec![item("a", 3, 4)]);
    assert!(
        matches!(
            outcome,
            Outcome::Denied {
                retry_after_ms: None,
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[test]
fn one_denying_item_leaves_every_counter_alone() {
    let mut bench = Bench::new();
    bench.take(smallvec![item("full", 1, 1)]);
    assert!(!admitted(
        &bench.take(smallvec![item("free", 5, 1), item("full", 1, 1)])
    ));
    assert_eq!(bench.remaining(item("free", 5, 0)), 5);
}

#[test]
fn of_several_denying_items_the_longest_wait_binds() {
    let mut bench = Bench::new();
    let hour = Item {
        window: Window::Hour,
        ..item("h", 1, 1)
    };
    bench.take(smallvec![item("m", 1, 1), hour.clone()]);
    let outcome = bench.take(smallvec![item("m", 1, 1), hour]);
    assert!(
        matches!(
            outcome,
            Outcome::Denied {
                binding: 1,
                retry_after_ms: Some(3_600_000),
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[test]
fn equal_keys_in_one_command_are_summed() {
    let mut bench = Bench::new();
    assert!(!admitted(
        &bench.take(smallvec![item("a", 3, 2), item("a", 3, 2)])
    ));
    assert!(admitted(
        &bench.take(smallvec![item("a", 3, 2), item("a", 3, 1)])
    ));
    assert_eq!(bench.remaining(item("a", 3, 0)), 0);
    let outcome = bench.take(smallvec![item("a", 3, 1), item("a", 4, 1)]);
    assert_eq!(outcome, Outcome::Invalid(Refusal::ConflictingItems));
}

#[test]
fn a_retried_request_counts_once() {
    let mut bench = Bench::new();
    let id = bench.id();
    let first = bench.ask(id, smallvec![item("a", 5, 2)]);
    assert_eq!(bench.ask(id, smallvec![item("a", 5, 2)]), first);
    assert_eq!(bench.remaining(item("a", 5, 0)), 3);
    bench.wait(1_500);
    let Outcome::Admitted { valid_for_ms, .. } = bench.ask(id, smallvec![item("a", 5, 2)]) else {
        panic!()
    };
    assert_eq!(
        valid_for_ms,
        60_000 - 1_500 - 1,
        "valid_for is computed afresh"
    );
    let other = bench.ask(id, smallvec![item("a", 5, 1)]);
    assert_eq!(other, Outcome::Invalid(Refusal::IdReused));
}

#[test]
fn a_denied_request_stays_denied_under_its_id() {
    let mut bench = Bench::new();
    let holder = bench.id();
    bench.ask(holder, smallvec![item("a", 1, 1)]);
    let id = bench.id();
    assert!(!admitted(&bench.ask(id, smallvec![item("a", 1, 1)])));
    bench.refund(holder);
    assert!(!admitted(&bench.ask(id, smallvec![item("a", 1, 1)])));
    assert!(admitted(&bench.take(smallvec![item("a", 1, 1)])));
}

#[test]
fn a_refund_gives_back_once() {
    let mut bench = Bench::new();
    let id = bench.id();
    bench.ask(id, smallvec![item("a", 5, 3), item("b", 5, 1)]);
    assert_eq!(bench.refund(id), Outcome::Refunded { units: 4 });
    assert_eq!(bench.refund(id), Outcome::Refunded { units: 0 });
    assert_eq!(bench.remaining(item("a", 5, 0)), 5);
    assert_eq!(
        bench.ask(id, smallvec![item("a", 5, 3)]),
        Outcome::Cancelled
    );
}

#[test]
fn a_refund_before_its_request_cancels_it() {
    let mut bench = Bench::new();
    let id = bench.id();
    assert_eq!(bench.refund(id), Outcome::Refunded { units: 0 });
    assert_eq!(
        bench.ask(id, smallvec![item("a", 5, 3)]),
        Outcome::Cancelled
    );
    assert_eq!(bench.remaining(item("a", 5, 0)), 5);
}

#[test]
fn a_refund_never_reaches_the_next_window() {
    let mut bench = Bench::new();
    bench.wait(55_000);
    let id = bench.id();
    bench.ask(id, smallvec![item("a", 5, 3)]);
    bench.wait(6_000);
    bench.take(smallvec![item("a", 5, 4)]);
    assert_eq!(bench.refund(id), Outcome::Refunded { units: 0 });
    assert_eq!(bench.remaining(item("a", 5, 0)), 1);
}

#[test]
fn a_raised_max_of_an_old_revision_admits_nothing() {
    let mut bench = Bench::new();
    let at = |revision, max| Item {
        revision,
        ..item("a", max, 1)
    };
    for _ in 0..3 {
        bench.take(smallvec![at(1, 30)]);
    }
    // Revision 2 lowers it, and is denied: the counter has seen it all the same.
    assert!(!admitted(&bench.take(smallvec![at(2, 2)])));
    assert!(!admitted(&bench.take(smallvec![at(1, 30)])));
    assert!(admitted(&bench.take(smallvec![at(3, 4)])));
    assert!(!admitted(&bench.take(smallvec![at(3, 4)])));
}

#[test]
fn a_shadow_item_counts_and_never_denies() {
    let mut bench = Bench::new();
    let shadow = Item {
        shadow: true,
        ..item("s", 1, 1)
    };
    for fits in [true, false, false] {
        let Outcome::Admitted { items, .. } = bench.take(smallvec![shadow.clone()]) else {
            panic!()
        };
        assert_eq!(items[0].fits, fits);
    }
    assert_eq!(bench.remaining(item("s", 1, 0)), 0);
}

#[test]
fn an_unknown_epoch_is_never_charged() {
    let mut bench = Bench::new();
    let id = RequestId {
        epoch: Epoch(99),
        seq: 1,
    };
    assert_eq!(bench.ask(id, smallvec![item("a", 5, 1)]), Outcome::Expired);
    assert_eq!(bench.refund(id), Outcome::Expired);
    assert_eq!(bench.remaining(item("a", 5, 0)), 5);
}

#[test]
fn an_acknowledged_id_is_expired_not_recounted() {
    let mut bench = Bench::new();
    let first = bench.id();
    bench.ask(first, smallvec![item("a", 5, 1)]);
    let second = bench.id();
    let command = Command::Acquire {
        id: second,
        acked_seq: 1,
        items: smallvec![item("a", 5, 1)],
    };
    assert!(admitted(&bench.state.apply(bench.now, &command)));
    assert_eq!(
        bench.ask(first, smallvec![item("a", 5, 1)]),
        Outcome::Expired
    );
    assert_eq!(bench.remaining(item("a", 5, 0)), 3);
}

#[test]
fn a_forgotten_id_is_expired_not_recounted() {
    let mut bench = Bench::new();
    let id = bench.id();
    let day = Item {
        window: Window::Day,
        ..item("a", 5, 1)
    };
    bench.ask(id, smallvec![day.clone()]);
    for _ in 0..4 {
        bench.wait(DEDUP_TTL_MS);
        let fresh = bench.id();
        bench.ask(fresh, smallvec![item("b", 1, 1)]);
    }
    assert_eq!(bench.ask(id, smallvec![day.clone()]), Outcome::Expired);
    assert_eq!(bench.remaining(Item { units: 0, ..day }), 4);
    assert!(
        bench.state.requests_held() <= 2,
        "old requests are forgotten"
    );
}

#[test]
fn a_seq_far_ahead_is_refused_and_costs_no_memory() {
    let mut bench = Bench::new();
    let far = RequestId {
        epoch: bench.epoch,
        seq: SLOTS_MAX + 1,
    };
    assert_eq!(
        bench.ask(far, smallvec![item("a", 5, 1)]),
        Outcome::Exhausted(Bound::Requests)
    );
    assert_eq!(bench.refund(far), Outcome::Exhausted(Bound::Requests));
    assert_eq!(bench.state.requests_held(), 0);
}

#[test]
fn a_seq_at_the_end_of_the_range_costs_one_slot() {
    let mut bench = Bench::new();
    let far = RequestId {
        epoch: bench.epoch,
        seq: SLOTS_MAX,
    };
    let first = bench.ask(far, smallvec![item("a", 5, 1)]);
    assert_eq!(bench.state.requests_held(), 1);
    assert_eq!(bench.ask(far, smallvec![item("a", 5, 1)]), first);
    // Those before it are decided as they come, and forgotten with it.
    assert!(admitted(&bench.take(smallvec![item("a", 5, 1)])));
    assert_eq!(bench.state.requests_held(), 2);
    bench.wait(MARK_MS);
    bench.remaining(item("a", 5, 0));
    bench.wait(DEDUP_TTL_MS);
    bench.remaining(item("a", 5, 0));
    assert_eq!(bench.state.requests_held(), 0);
    assert_eq!(bench.ask(far, smallvec![item("a", 5, 1)]), Outcome::Expired);
}

#[test]
fn ids_are_forgotten_without_their_client() {
    let mut bench = Bench::new();
    bench.take(smallvec![item("a", 5, 1)]);
    let other = bench.state.apply(bench.now, &OPEN);
    assert!(matches!(other, Outcome::Opened { .. }));
    for wait in [MARK_MS, DEDUP_TTL_MS] {
        assert_eq!(bench.state.items_held(), 1);
        bench.wait(wait);
        bench.remaining(item("a", 5, 0));
    }
    assert_eq!(
        (bench.state.items_held(), bench.state.epochs_open()),
        (0, 2)
    );
    bench.wait(EPOCH_IDLE_MS_MAX);
    bench.remaining(item("a", 5, 0));
    assert_eq!(bench.state.epochs_open(), 0);
}

#[test]
fn another_command_of_the_same_shape_is_no_repeat() {
    let mut bench = Bench::new();
    let id = bench.id();
    let asked = item("a", 5, 1);
    assert!(admitted(&bench.ask(id, smallvec![asked.clone()])));
    let others = [
        Item {
            key: Key::new(b"b").unwrap(),
            ..asked.clone()
        },
        Item {
            max: 6,
            ..asked.clone()
        },
        Item {
            revision: 2,
            ..asked.clone()
        },
        Item {
            window: Window::Hour,
            ..asked.clone()
        },
        Item {
            units: 2,
            ..asked.clone()
        },
        Item {
            shadow: true,
            ..asked.clone()
        },
    ];
    for other in others {
        let outcome = bench.ask(id, smallvec![other]);
        assert_eq!(outcome, Outcome::Invalid(Refusal::IdReused));
    }
    let twice = bench.ask(id, smallvec![asked.clone(), asked]);
    assert_eq!(twice, Outcome::Invalid(Refusal::IdReused));
}

#[test]
fn one_caller_leaves_epochs_for_the_others() {
    let mut bench = Bench::new();
    let open = |bench: &mut Bench, caller| {
        let caller = Caller(caller);
        bench.state.apply(bench.now, &Command::Open { caller })
    };
    for _ in 0..EPOCHS_PER_CALLER_MAX {
        assert!(matches!(open(&mut bench, 1), Outcome::Opened { .. }));
    }
    assert_eq!(open(&mut bench, 1), Outcome::Exhausted(Bound::Epochs));
    assert!(matches!(open(&mut bench, 2), Outcome::Opened { .. }));
    bench.wait(EPOCH_IDLE_MS_MAX);
    assert!(matches!(open(&mut bench, 1), Outcome::Opened { .. }));
    assert_eq!(bench.state.epochs_open(), 1, "idle epochs are gone");
}

#[test]
fn one_caller_leaves_room_for_the_ids_of_others() {
    let mut bench = Bench::new();
    let other = bench
        .state
        .apply(bench.now, &Command::Open { caller: Caller(8) });
    let Outcome::Opened { epoch: other } = other else {
        panic!("{other:?}")
    };
    let full: Items = (0..16).map(|_| item("a", 1, 0)).collect();
    let mut refused = None;
    for _ in 0..=ITEMS_HELD_PER_CALLER_MAX / 16 {
        let id = bench.id();
        let outcome = bench.ask(id, full.clone());
        if outcome == Outcome::Exhausted(Bound::Ids) {
            refused = Some(id);
        }
    }
    assert_eq!(bench.state.items_held(), ITEMS_HELD_PER_CALLER_MAX);
    let refused = refused.expect("the last one was refused");
    assert_eq!(bench.refund(refused), Outcome::Exhausted(Bound::Ids));
    // A repeat needs no room, and the other caller has its own.
    let repeat = RequestId { seq: 1, ..refused };
    assert!(admitted(&bench.ask(repeat, full.clone())));
    let id = RequestId {
        epoch: other,
        seq: 1,
    };
    assert!(admitted(&bench.ask(id, full.clone())));
    // What is acknowledged makes room.
    let command = Command::Acquire {
        id: refused,
        acked_seq: 1,
        items: full,
    };
    assert!(admitted(&bench.state.apply(bench.now, &command)));
}

#[test]
fn at_the_cap_a_new_counter_is_refused_and_the_others_go_on() {
    let mut bench = Bench::with_counters_max(2);
    assert!(admitted(
        &bench.take(smallvec![item("a", 5, 1), item("b", 5, 1)])
    ));
    let id = bench.id();
    let outcome = bench.ask(id, smallvec![item("c", 5, 1), item("a", 5, 1)]);
    assert_eq!(outcome, Outcome::Exhausted(Bound::Counters));
    assert!(admitted(&bench.take(smallvec![item("a", 5, 1)])));
    assert_eq!(
        bench.remaining(item("a", 5, 0)),
        3,
        "a refused command charges nothing"
    );
    bench.wait(60_000);
    assert!(
        admitted(&bench.take(smallvec![item("c", 5, 1)])),
        "room when the windows have passed"
    );
}

#[test]
fn one_tenant_leaves_counters_for_the_others() {
    let mut bench = Bench::with_counters_max(4);
    bench.state.caps.tenant_counters_max = 2;
    let of = |grant: u8, name: u8| Item {
        key: Key::new(&[1, 1, b's', 1, grant, name]).unwrap(),
        ..item("-", 5, 1)
    };
    assert!(admitted(&bench.take(smallvec![of(b'a', 1), of(b'a', 2)])));
    let third = bench.take(smallvec![of(b'a', 3)]);
    assert_eq!(third, Outcome::Exhausted(Bound::Tenant));
    assert!(
        admitted(&bench.take(smallvec![of(b'a', 1)])),
        "old ones go on"
    );
    // A command that would take a tenant over it takes nothing.
    let both = bench.take(smallvec![of(b'b', 1), of(b'b', 2), of(b'b', 3)]);
    assert_eq!(both, Outcome::Exhausted(Bound::Tenant));
    assert!(admitted(&bench.take(smallvec![of(b'b', 1), of(b'b', 2)])));
    let full = bench.take(smallvec![of(b'c', 1)]);
    assert_eq!(full, Outcome::Exhausted(Bound::Counters));
    // The same after a snapshot, and room when the windows are over, swept or not.
    bench.state = State::decode(&bench.state.encode(), 9).unwrap();
    let third = bench.take(smallvec![of(b'a', 3)]);
    assert_eq!(third, Outcome::Exhausted(Bound::Tenant));
    bench.wait(60_000);
    assert!(admitted(&bench.take(smallvec![of(b'a', 3), of(b'a', 1)])));
    let third = bench.take(smallvec![of(b'a', 2)]);
    assert_eq!(third, Outcome::Exhausted(Bound::Tenant));
}

#[test]
fn log_time_never_goes_back() {
    let mut bench = Bench::new();
    bench.wait(59_000);
    bench.take(smallvec![item("a", 1, 1)]);
    bench.now = LogTime::from_ms(NOON - 3_600_000);
    assert!(!admitted(&bench.take(smallvec![item("a", 1, 1)])));
    assert_eq!(
        bench.state.last_stamp().log,
        LogTime::from_ms(NOON + 59_000)
    );
}

#[test]
fn malformed_commands_are_refused() {
    let mut bench = Bench::new();
    let id = RequestId {
        epoch: bench.epoch,
        seq: 0,
    };
    assert_eq!(
        bench.ask(id, smallvec![item("a", 1, 1)]),
        Outcome::Invalid(Refusal::SeqZero)
    );
    assert_eq!(
        bench.take(smallvec![]),
        Outcome::Invalid(Refusal::ItemCount)
    );
    let many = std::iter::repeat_n(item("a", 1, 0), 17).collect();
    assert_eq!(bench.take(many), Outcome::Invalid(Refusal::ItemCount));
    for bad in [
        item("a", 1, UNITS_MAX + 1),
        item("a", UNITS_MAX + 1, 1),
        item("a", 1, u64::MAX),
    ] {
        assert_eq!(
            bench.take(smallvec![bad]),
            Outcome::Invalid(Refusal::UnitsTooLarge)
        );
    }
}

#[test]
fn a_frozen_copy_does_not_see_later_commands() {
    let mut bench = Bench::new();
    bench.take(smallvec![item("a", 5, 1)]);
    let frozen = bench.state.clone();
    let digest = frozen.digest();
    bench.take(smallvec![item("a", 5, 1)]);
    assert_eq!(frozen.digest(), digest);
    assert_ne!(bench.state.digest(), digest);
}

#[test]
fn passed_windows_are_swept_and_the_digest_does_not_see_it() {
    let mut bench = Bench::with_counters_max(100_000);
    for n in 0..5_000 {
        bench.take(smallvec![item(&format!("k{n}"), 1, 1)]);
    }
    bench.wait(60_000);
    bench.take(smallvec![item("live", 1, 1)]);
    let digest = bench.state.digest();
    assert_eq!(bench.state.counters_live(), 1);
    for _ in 0..200 {
        bench.state.advance(bench.state.last_stamp(), 0);
    }
    assert_eq!(bench.state.counters.stored(), 1);
    assert_eq!(bench.state.digest(), digest);
}
