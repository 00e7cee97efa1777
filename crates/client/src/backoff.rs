//! Pauses after failures: each twice as long as the one before, less a random part, so that many
//! clients do not come back at once. Random by the seed alone.

use std::time::Duration;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};
use quotum_limit::route::mix;

#[derive(Debug)]
pub(crate) struct Backoff {
    random: u64,
    next: Duration,
}

// === impl Backoff ===

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            next: BACKOFF_MIN,
        }
    }

    /// The next pause: from a half to the whole of what it would be without the random part.
    pub(crate) fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(BACKOFF_MAX);
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let part = u32::try_from(mix(self.random) >> 48).expect("16 bits");
        whole / 2 + whole / 2 * part / (1 << 16)
    }

    pub(crate) fn reset(&mut self) {
        self.next = BACKOFF_MIN;
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
}
