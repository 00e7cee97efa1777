use proptest::prelude::*;

use super::*;
use crate::command::{Bound, Command, Outcome};
use crate::limits::LOG_TIME_MS_MAX;
use crate::state::model;

proptest! {
    #[test]
    fn a_decoded_state_answers_as_the_encoded_one(
        before in model::any_script(), after in model::any_script(),
    ) {
        let mut state = State::new(1);
        model::run(&mut state, &before);
        let bytes = state.encode();
        // Another seed: nothing may depend on how keys are hashed.
        let mut copy = State::decode(&bytes, 2).unwrap();
        prop_assert_eq!(copy.digest(), state.digest());
        prop_assert_eq!(model::run(&mut copy, &after), model::run(&mut state, &after));
        prop_assert_eq!(copy.digest(), state.digest());
    }

    #[test]
    fn every_cut_of_a_snapshot_is_refused(
        script in model::any_script(), cut in any::<prop::sample::Index>(),
    ) {
        let mut state = State::new(1);
        model::run(&mut state, &script);
        let bytes = state.encode();
        prop_assert!(State::decode(&bytes[..cut.index(bytes.len())], 1).is_err());
    }

    #[test]
    fn a_damaged_snapshot_never_panics(
        script in model::any_script(), at in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let mut state = State::new(1);
        model::run(&mut state, &script);
        let mut bytes = state.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(mut decoded) = State::decode(&bytes, 1) {
            model::run(&mut decoded, &script);
        }
    }
}

/// The numbers of a snapshot of nothing, up to where the clients follow.
fn made_up(restored: &[u64], next_epoch: u64) -> Writer {
    let mut out = Writer::default();
    let (log_ms, reference_ms, caps) = (100_000, 0, [10, 10]);
    let head = [VERSION, log_ms, reference_ms];
    for number in head.iter().chain(&caps).chain(restored) {
        out.number(*number);
    }
    out.number(next_epoch);
    out
}

fn decode(mut head: Writer, rest: &[u64]) -> Result<State, DecodeError> {
    for number in rest {
        head.number(*number);
    }
    State::decode(&head.into_bytes(), 1)
}

#[test]
fn numbers_that_later_ones_would_overflow_are_refused() {
    let (not_restored, nothing) = ([0], [0, 0]);
    let last = decode(made_up(&not_restored, EPOCH_MAX), &nothing);
    // All of its epochs are used up.
    let caller = Caller(1);
    let opened = last
        .unwrap()
        .apply(LogTime::ZERO, &Command::Open { caller });
    assert_eq!(opened, Outcome::Exhausted(Bound::Epochs));
    for next_epoch in [EPOCH_MAX + 1, u64::MAX] {
        let refused = decode(made_up(&not_restored, next_epoch), &nothing).unwrap_err();
        assert_eq!(refused.what, "an epoch is too large");
    }
    for at_ms in [LOG_TIME_MS_MAX + 1, u64::MAX] {
        let refused = decode(made_up(&[1, 0, 1, at_ms], 1), &nothing).unwrap_err();
        assert_eq!(refused.what, "a log time is too late");
    }
}

#[test]
fn an_epoch_has_no_more_marks_than_a_snapshot_may_hold() {
    let (epoch, caller, watermark, ahead) = (1, 7, 0, 1);
    let (seen_ms, unmarked_since_ms) = (100_000, 5_000);
    let mut rest = vec![
        1,
        epoch,
        caller,
        watermark,
        ahead,
        seen_ms,
        unmarked_since_ms,
    ];
    rest.push(MARKS_MAX as u64);
    for _ in 0..MARKS_MAX {
        rest.extend([100_000, 1]);
    }
    rest.extend([0, 0]);
    let state = decode(made_up(&[0], 2), &rest).unwrap();
    let again = State::decode(&state.encode(), 1).unwrap();
    assert_eq!(again.digest(), state.digest());
}

#[test]
fn a_number_that_need_not_be_written_is_refused() {
    let held = |marks: u64, units: &[u64]| {
        let mut out = Writer::default();
        for number in [3, Kind::Acquire.code(), 1, marks] {
            out.number(number);
        }
        out.bytes(b"key");
        out.number(crate::Window::Minute.code());
        out.number(1);
        units.iter().for_each(|units| out.number(*units));
        for number in [30, 29, 60_000] {
            out.fixed(number);
        }
        out.into_bytes()
    };
    let decode = |bytes: &[u8]| Slot::decode(&mut Reader::new(bytes)).map(|_| ());
    assert_eq!(decode(&held(marks::FITS, &[])), Ok(()));
    assert_eq!(decode(&held(marks::FITS | marks::UNITS, &[2])), Ok(()));
    assert!(decode(&held(marks::FITS | marks::UNITS, &[1])).is_err());
    assert!(decode(&held(marks::FITS | marks::CHARGED, &[1])).is_err());
    assert!(decode(&held(marks::ALL + 1, &[])).is_err());
}
