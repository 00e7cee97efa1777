//! Coverage: whether a run had enough in it to count. A run in which nothing happened proves
//! nothing, however sound its history is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::index::Index;

/// What a run must have had, and how often it had it, in the shards that decide requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    pub leader_changes: usize,
    pub snapshot_installs: usize,
    /// Ids that were decided more than once.
    pub duplicates: usize,
    pub denials: usize,
    pub unknown_outcomes: usize,
}

// === impl Coverage ===

impl Coverage {
    pub(crate) fn of(index: &Index) -> Self {
        let deciding = index.deciding_shards();
        let mut terms: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for (_, _, shard, term) in &index.leaders {
            if deciding.contains(shard) {
                terms.entry(*shard).or_default().insert(*term);
            }
        }
        let installs = index.snapshots.iter();
        let mut ids = BTreeMap::new();
        for request in index.requests.values().filter(|one| one.is_acquire()) {
            if let Some(id) = request.id.filter(|_| !request.is_unknown()) {
                let shard = request.items().first().and_then(|item| item.shard);
                *ids.entry((shard, id)).or_insert(0_usize) += 1;
            }
        }
        let mut logged = BTreeMap::new();
        for ((shard, _), entry) in &index.entries {
            for command in entry.commands.iter() {
                if let (Some(id), crate::history::Ask::Acquire { .. }) = (command.id, &command.ask)
                {
                    *logged.entry((*shard, id)).or_insert(0_usize) += 1;
                }
            }
        }
        let again = |times: &&usize| **times > 1;
        let acquires = || index.requests.values().filter(|one| one.is_acquire());
        let denied = |answer: &crate::history::Answer| answer.is_denied();
        Self {
            leader_changes: terms.values().map(|terms| terms.len() - 1).sum(),
            snapshot_installs: installs.filter(|shard| deciding.contains(shard)).count(),
            duplicates: ids
                .values()
                .filter(again)
                .count()
                .max(logged.values().filter(again).count()),
            denials: acquires()
                .filter(|one| one.answered().is_some_and(denied))
                .count(),
            unknown_outcomes: acquires().filter(|one| one.is_unknown()).count(),
        }
    }

    /// What the run lacks.
    pub fn missing(&self) -> Vec<&'static str> {
        let parts = [
            ("leader change", self.leader_changes),
            ("snapshot install", self.snapshot_installs),
            ("duplicate", self.duplicates),
            ("denial", self.denials),
            ("unknown outcome", self.unknown_outcomes),
        ];
        let lacking = parts.into_iter().filter(|(_, times)| *times == 0);
        lacking.map(|(name, _)| name).collect()
    }

    pub fn is_enough(&self) -> bool {
        self.missing().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use crate::history::Answer;
    use crate::sample::{Sample, admitted, denied, item};

    #[test]
    fn a_run_counts_when_everything_happened_in_it() {
        let mut sample = Sample::new();
        assert_eq!(sample.report().coverage.missing().len(), 5);
        // In another group, which decides nothing.
        sample.leader(1, 7, 1).leader(2, 7, 2).snapshot(3, 7, 10);
        sample.ask(1, Some((1, 1)), vec![item("k", 1, 1)]);
        sample.told(1, admitted(&[0], 1, 500), Some(5));
        sample.ask(2, Some((1, 1)), vec![item("k", 1, 1)]);
        sample.told(2, admitted(&[0], 1, 400), Some(6));
        sample.ask(3, Some((1, 2)), vec![item("k", 1, 1)]);
        sample.told(3, denied(0, 1, 400), Some(7));
        assert_eq!(sample.report().coverage.missing().len(), 3);
        sample.leader(1, 0, 1).leader(2, 0, 2).snapshot(3, 0, 10);
        assert_eq!(sample.report().coverage.missing(), ["unknown outcome"]);
        sample.ask(4, Some((1, 3)), vec![item("k", 1, 1)]);
        sample.told(4, Answer::Unknown, None);
        assert!(sample.report().coverage.is_enough());
    }
}
