//! Pauses after failures: each twice as long as the one before, less a random part, so that many
//! clients do not come back at once. Random by the seed alone.

use std::time::Duration;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, ELECTION_PAUSE, ELECTION_PAUSES};
use quotum_limit::route::mix;

#[derive(Debug)]
pub(crate) struct Backoff {
    random: u64,
    next: Duration,
    /// Pauses for an election since the last success.
    elections: u32,
}

// === impl Backoff ===

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            next: BACKOFF_MIN,
            elections: 0,
        }
    }

    /// The next pause: from a half to the whole of what it would be without the random part.
    pub(crate) fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(BACKOFF_MAX);
        self.part_of(whole)
    }

    /// The next pause while a leader is elected: a short one, as this takes half a second and all
    /// calls wait for it. A cluster that has none for longer is asked as seldom as any that fails.
    pub(crate) fn election_pause(&mut self) -> Duration {
        if self.elections == ELECTION_PAUSES {
            return self.pause();
        }
        self.elections += 1;
        self.part_of(ELECTION_PAUSE)
    }

    pub(crate) fn reset(&mut self) {
        self.next = BACKOFF_MIN;
        self.elections = 0;
    }

    fn part_of(&mut self, whole: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let part = u32::try_from(mix(self.random) >> 48).expect("16 bits");
        whole / 2 + whole / 2 * part / (1 << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_maximum_and_repeat_with_the_seed() {
        let (mut one, mut two) = (Backoff::new(7), Backoff::new(7));
        let pauses: Vec<_> = (0..20).map(|_| one.pause()).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| (BACKOFF_MIN / 2..=BACKOFF_MAX).contains(pause))
        );
        assert!(pauses[19] >= BACKOFF_MAX / 2);
        assert_eq!(pauses, (0..20).map(|_| two.pause()).collect::<Vec<_>>());
        one.reset();
        assert!(one.pause() <= BACKOFF_MIN);
    }

    #[test]
    fn pauses_for_an_election_are_short_until_it_has_taken_too_long() {
        let mut backoff = Backoff::new(7);
        for _ in 0..2 {
            let pauses: Vec<_> = (0..ELECTION_PAUSES)
                .map(|_| backoff.election_pause())
                .collect();
            let short = ELECTION_PAUSE / 2..=ELECTION_PAUSE;
            assert!(pauses.iter().all(|pause| short.contains(pause)));
            assert!(pauses.iter().sum::<Duration>() >= Duration::from_millis(500));
            let longest = (0..10).map(|_| backoff.election_pause()).max();
            assert!(longest >= Some(BACKOFF_MAX / 2));
            backoff.reset();
        }
    }
}
