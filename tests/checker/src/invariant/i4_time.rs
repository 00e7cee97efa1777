//! I4: log time never goes back along the log, and never runs ahead of real time: between any two
//! entries it advances by no more than the time that really passed, slew and drift allowed for.

use super::violation;
use crate::index::Index;
use crate::limits::{CLOCK_SLACK_US, GIVE_UP_US, SLEW_PPM};
use crate::replay::Replay;
use crate::report::Violation;

pub(super) fn check(index: &Index, _replay: &Replay) -> Vec<Violation> {
    let rate = 1_000_000 + i128::from(SLEW_PPM + 2 * index.drift_ppm);
    let mut found = Vec::new();
    for shard in index.logged_shards() {
        let mut last_ms = 0;
        // When the entry before was there, and when it was stamped at the earliest.
        let mut before: Option<(u64, u64)> = None;
        // The least that log time was ahead of real time so far, both in microseconds.
        let mut least: Option<i128> = None;
        for ((_, at), entry) in index.entries.range((shard, 0)..=(shard, u64::MAX)) {
            let log_us = i128::from(entry.log_ms) * 1_000;
            if entry.log_ms < last_ms {
                let what = format!(
                    "shard {shard} index {at}: log time goes back from {last_ms} to {}",
                    entry.log_ms
                );
                found.push(violation("I4", entry.at_us, what));
            }
            last_ms = entry.log_ms;
            if entry.is_late {
                // Nothing is known of when it was stamped, nor of the one after it.
                before = None;
                continue;
            }
            let ahead = log_us - i128::from(entry.at_us) * rate / 1_000_000;
            if let Some(least) = least
                && ahead - least > i128::from(CLOCK_SLACK_US)
            {
                let what = format!(
                    "shard {shard} index {at}: log time ran {} us ahead of real time",
                    ahead - least
                );
                found.push(violation("I4", entry.at_us, what));
            }
            // It was stamped after the entry before it was there, or had been waited for in vain: that is
            // when it counts from.
            let stamped_us = before.map_or(entry.at_us, |(at_us, stamped_us)| {
                at_us.min(stamped_us.saturating_add(GIVE_UP_US))
            });
            let start = log_us - i128::from(stamped_us) * rate / 1_000_000;
            least = Some(least.map_or(start, |least| least.min(start)));
            before = Some((entry.at_us, stamped_us));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::sample::Sample;

    fn sample(stamps: &[(u64, u64)]) -> Sample {
        let mut sample = Sample::new();
        for (index, (wait_us, log_ms)) in (1..).zip(stamps) {
            sample.wait_us(*wait_us).entry(index, *log_ms, vec![]);
        }
        sample
    }

    #[test]
    fn log_time_that_follows_real_time_or_stalls_is_right() {
        let good = sample(&[
            (0, 5_000),
            (1_000_000, 6_000),
            (500_000, 6_000),
            (1_000_000, 7_400),
        ]);
        assert_eq!(good.violated(), Vec::<&str>::new());
    }

    #[test]
    fn a_leader_without_followers_stamps_an_entry_when_it_has_given_the_last_one_up() {
        // The second is stamped at 0.1 s and the third at 5.1 s; both are there at 6 s.
        let with_last =
            |last| sample(&[(0, 5_000), (6_000_000, 5_100), (0, 10_100), (100_000, last)]);
        assert_eq!(with_last(11_100).violated(), Vec::<&str>::new());
        assert_eq!(with_last(11_600).violated(), ["I4"]);
    }

    #[test]
    fn log_time_that_goes_back_is_caught() {
        assert_eq!(sample(&[(0, 5_000), (1_000_000, 4_999)]).violated(), ["I4"]);
    }

    #[test]
    fn log_time_that_steps_ahead_is_caught() {
        let bad = sample(&[(0, 5_000), (1_000_000, 6_000), (1_000_000, 8_500)]);
        assert_eq!(bad.violated(), ["I4"]);
    }
}
