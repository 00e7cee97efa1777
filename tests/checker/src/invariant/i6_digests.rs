//! I6: replicas that have applied the same entries are in the same state.

use std::collections::BTreeMap;

use super::violation;
use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

pub(super) fn check(index: &Index, _replay: &Replay) -> Vec<Violation> {
    let mut states: BTreeMap<(u32, u64), (u64, u64)> = BTreeMap::new();
    let mut found = Vec::new();
    for applied in &index.applied {
        let Some(state) = applied.state else { continue };
        let place = (applied.shard, applied.index);
        let (first, node) = *states.entry(place).or_insert((state, applied.node));
        if first != state {
            let what = format!(
                "shard {} index {}: nodes {node} and {} are in different states",
                applied.shard, applied.index, applied.node
            );
            found.push(violation("I6", applied.at_us, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::sample::Sample;

    #[test]
    fn replicas_that_part_are_caught() {
        let mut sample = Sample::new();
        sample.applied(1, 5, (1, 9, 77)).applied(2, 5, (1, 9, 77));
        sample.applied(1, 6, (1, 9, 78));
        assert_eq!(sample.violated(), Vec::<&str>::new());
        sample.applied(3, 6, (1, 9, 79));
        assert_eq!(sample.violated(), ["I6"]);
    }
}
