//! I11: when faults have ended, the cluster serves again in time, and its nodes end in the same
//! state at the same index.

use std::collections::BTreeMap;

use super::violation;
use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

pub(super) fn check(index: &Index, _replay: &Replay) -> Vec<Violation> {
    let Some(healed) = index.healed else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let from_us = healed.at_us + healed.within_us;
    let until_us = index.settled_us.unwrap_or(index.end_us);
    let mut asked = 0;
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        if request.sent_us < from_us || request.sent_us > until_us {
            continue;
        }
        asked += 1;
        if request.is_unknown() {
            let what = format!(
                "request {} of {} is unanswered {} us after the faults ended",
                request.number,
                request.client,
                request.sent_us - healed.at_us
            );
            found.push(violation("I11", request.sent_us, what));
        }
    }
    if asked == 0 {
        let what = "nothing was asked after the faults had ended".to_owned();
        found.push(violation("I11", from_us, what));
    }
    found.extend(parted(index));
    found
}

/// Nodes that end in another place or state than the others.
fn parted(index: &Index) -> Vec<Violation> {
    let Some(settled_us) = index.settled_us else {
        return Vec::new();
    };
    let mut last = BTreeMap::new();
    for applied in index.applied.iter().filter(|one| one.at_us >= settled_us) {
        let state = (applied.index, applied.state);
        last.insert((applied.shard, applied.node), state);
    }
    let mut found = Vec::new();
    let mut first: BTreeMap<u32, (u64, (u64, Option<u64>))> = BTreeMap::new();
    for ((shard, node), state) in last {
        let (other, expected) = *first.entry(shard).or_insert((node, state));
        if expected != state {
            let what = format!(
                "shard {shard}: node {other} ends at {}, node {node} at {}, or in another state",
                expected.0, state.0
            );
            found.push(violation("I11", settled_us, what));
        }
    }
    if first.is_empty() {
        let what = "no node tells its final state".to_owned();
        found.push(violation("I11", settled_us, what));
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::history::{Answer, Phase};
    use crate::sample::{Sample, denied, item};

    fn sample(answer: Answer) -> Sample {
        let mut sample = Sample::new();
        sample.phase(Phase::Healed, 2_000_000).wait_us(2_000_000);
        sample.ask(1, None, vec![item("k", 1, 2)]);
        sample.told(1, answer, None);
        sample.phase(Phase::Settled, 0);
        sample.applied(1, 9, (1, 2, 3)).applied(2, 9, (1, 2, 3));
        sample
    }

    #[test]
    fn a_cluster_that_serves_again_and_agrees_is_right() {
        let mut denial = denied(1, 1, 500);
        if let Answer::Denied { retry_after_ms, .. } = &mut denial {
            *retry_after_ms = None;
        }
        assert_eq!(sample(denial).violated(), Vec::<&str>::new());
    }

    #[test]
    fn a_cluster_that_does_not_serve_again_is_caught() {
        assert_eq!(sample(Answer::Unknown).violated(), ["I11"]);
        let mut silent = Sample::new();
        silent.phase(Phase::Healed, 10);
        assert_eq!(silent.violated(), ["I11"]);
    }

    #[test]
    fn a_node_that_stays_behind_is_caught() {
        let mut sample = sample(Answer::Exhausted);
        assert_eq!(sample.violated(), Vec::<&str>::new());
        sample.applied(3, 8, (1, 1, 2));
        assert_eq!(sample.violated(), ["I11"]);
    }
}
