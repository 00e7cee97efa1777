//! I7: what is committed never changes: every node that applies an index applies the same entry, and
//! terms do not fall along the log.
//!
//! Not that a term has one leader: ours are elected by term and node, so that in one term a node
//! with a higher id may follow one with a lower. What both commit must still be one log.

use std::collections::BTreeMap;

use super::violation;
use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

pub(super) fn check(index: &Index, _replay: &Replay) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut entries: BTreeMap<(u32, u64), (u64, u64, u64)> = BTreeMap::new();
    for applied in &index.applied {
        let (Some(term), Some(entry)) = (applied.term, applied.entry) else {
            continue;
        };
        let place = (applied.shard, applied.index);
        let first = *entries.entry(place).or_insert((term, entry, applied.node));
        if (first.0, first.1) != (term, entry) {
            let what = format!(
                "shard {} index {}: nodes {} and {} applied different entries",
                applied.shard, applied.index, first.2, applied.node
            );
            found.push(violation("I7", applied.at_us, what));
        }
    }
    let mut before: Option<(u32, u64, u64)> = None;
    for ((shard, at), (term, ..)) in entries {
        if let Some((_, last, last_term)) = before.filter(|(of, ..)| *of == shard)
            && term < last_term
        {
            let what = format!(
                "shard {shard}: the term falls from {last_term} at {last} to {term} at {at}"
            );
            found.push(violation("I7", index.end_us, what));
        }
        before = Some((shard, at, term));
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::sample::Sample;

    #[test]
    fn an_entry_that_changes_is_caught() {
        let mut sample = Sample::new();
        sample.applied(1, 5, (1, 9, 77)).applied(2, 5, (1, 9, 77));
        assert_eq!(sample.violated(), Vec::<&str>::new());
        sample.applied(3, 5, (2, 9, 77));
        assert_eq!(sample.violated(), ["I7"]);
    }

    #[test]
    fn a_term_that_falls_is_caught() {
        let mut sample = Sample::new();
        sample.applied(1, 5, (2, 8, 77)).applied(1, 6, (1, 9, 78));
        assert_eq!(sample.violated(), ["I7"]);
    }
}
