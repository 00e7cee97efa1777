//! I8: what is reserved is held until it is confirmed, given back, or a second of log time has
//! passed, and no longer: it is confirmed while it is held and never after, and only what is
//! confirmed stays charged.

use super::violation;
use crate::index::Index;
use crate::replay::{Kind, Replay};
use crate::report::Violation;

pub(super) fn check(_index: &Index, replay: &Replay) -> Vec<Violation> {
    let wrong = replay.of_kind(&[Kind::Hold]);
    wrong
        .map(|difference| violation("I8", difference.at_us, difference.what.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::history::{Answer, Command, Item};
    use crate::sample::{
        Sample, acquire, admitted, confirm, contended, denied, item, open, refund, reserve,
        reserved,
    };

    /// One limit of a minute.
    fn minute(max: u64, units: u64) -> Vec<Item> {
        let mut item = item("k", max, units);
        item.window_ms = 60_000;
        vec![item]
    }

    /// Two of two units are held from 5.1 s on.
    fn held() -> Sample {
        let mut sample = Sample::new();
        let held = reserve((1, 1), minute(2, 2), reserved(&[0], 2, 54_900));
        sample.entry(1, 5_100, vec![open(1), held]);
        sample
    }

    /// The same, and what came at a later log time.
    fn held_until(log_ms: u64, commands: Vec<Command>) -> Sample {
        let mut sample = held();
        sample.wait_us((log_ms - 5_100) * 1_000);
        sample.entry(2, log_ms, commands);
        sample
    }

    #[test]
    fn what_is_confirmed_in_time_stays_and_what_is_not_is_free_again() {
        let kept = confirm((1, 1), admitted(&[0], 2, 54_000));
        let mut sample = held_until(6_000, vec![kept]);
        let full = acquire((1, 2), minute(2, 1), denied(0, 2, 50_000));
        let again = confirm((1, 1), admitted(&[0], 2, 50_000));
        sample.wait_us(4_000_000);
        sample.entry(3, 10_000, vec![full, again]);
        assert_eq!(sample.violated(), Vec::<&str>::new());
        let free = acquire((1, 2), minute(2, 1), admitted(&[1], 2, 53_900));
        let late = confirm((1, 1), Answer::Cancelled);
        let back = refund((1, 1), Answer::Refunded { units: 0 });
        let sample = held_until(6_100, vec![free, late, back]);
        assert_eq!(sample.violated(), Vec::<&str>::new());
    }

    #[test]
    fn a_hold_that_is_confirmed_after_its_end_is_caught() {
        for (log_ms, violated) in [(6_099, vec![]), (6_100, vec!["I8"])] {
            let kept = confirm((1, 1), admitted(&[0], 2, 60_000 - log_ms));
            let sample = held_until(log_ms, vec![kept]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_hold_that_ends_before_its_time_is_caught() {
        for (log_ms, violated) in [(6_100, vec![]), (6_099, vec!["I8"])] {
            let late = confirm((1, 1), Answer::Cancelled);
            let sample = held_until(log_ms, vec![late]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_reservation_that_takes_for_good_or_for_longer_is_caught() {
        let mut for_long = reserved(&[0], 2, 54_900);
        if let Answer::Reserved { hold_for_ms, .. } = &mut for_long {
            *hold_for_ms = 60_000;
        }
        for answer in [admitted(&[0], 2, 54_900), for_long] {
            let mut sample = Sample::new();
            let wrong = reserve((1, 1), minute(2, 2), answer);
            sample.entry(1, 5_100, vec![open(1), wrong]);
            assert_eq!(sample.violated(), ["I8"]);
        }
    }

    #[test]
    fn what_was_acquired_or_never_was_cannot_be_confirmed() {
        let acquired = acquire((1, 1), minute(2, 1), admitted(&[1], 2, 54_900));
        for (answer, violated) in [
            (Answer::Invalid, vec![]),
            (admitted(&[1], 2, 54_900), vec!["I8"]),
        ] {
            let mut sample = Sample::new();
            let kept = confirm((1, 1), answer);
            sample.entry(1, 5_100, vec![open(1), acquired.clone(), kept]);
            assert_eq!(sample.violated(), violated);
        }
        for (answer, violated) in [
            (Answer::Cancelled, vec![]),
            (admitted(&[1], 2, 54_900), vec!["I8"]),
        ] {
            let mut sample = Sample::new();
            sample.entry(1, 5_100, vec![open(1), confirm((1, 7), answer)]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_denial_is_final_only_where_units_are_used_for_good() {
        // Held only: it may be free again in a second.
        for (answer, violated) in [
            (contended(0, 2, 54_800), vec![]),
            (denied(0, 2, 54_800), vec!["NU"]),
        ] {
            let sample = held_until(5_200, vec![acquire((1, 2), minute(2, 1), answer)]);
            assert_eq!(sample.violated(), violated);
        }
        // Confirmed: nothing to wait for but the window's end.
        for (answer, violated) in [
            (denied(0, 2, 54_800), vec![]),
            (contended(0, 2, 54_800), vec!["I8"]),
        ] {
            let kept = confirm((1, 1), admitted(&[0], 2, 54_800));
            let full = reserve((1, 2), minute(2, 1), answer);
            let sample = held_until(5_200, vec![kept, full]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_reservation_is_charged_once() {
        let again = reserve((1, 1), minute(9, 2), {
            let mut answer = reserved(&[7], 9, 54_800);
            if let Answer::Reserved { hold_for_ms, .. } = &mut answer {
                *hold_for_ms = 900;
            }
            answer
        });
        let anew = reserve((1, 1), minute(9, 2), reserved(&[5], 9, 54_800));
        for (second, violated) in [(again, vec![]), (anew, vec!["I3"])] {
            let mut sample = Sample::new();
            let first = reserve((1, 1), minute(9, 2), reserved(&[7], 9, 54_900));
            sample.entry(1, 5_100, vec![open(1), first]);
            sample.entry(2, 5_200, vec![second]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_hold_is_given_back_once() {
        for (units, violated) in [(2, vec![]), (0, vec!["I12"])] {
            let back = refund((1, 1), Answer::Refunded { units });
            let late = confirm((1, 1), Answer::Cancelled);
            let sample = held_until(5_200, vec![back, late]);
            assert_eq!(sample.violated(), violated);
        }
    }
}
