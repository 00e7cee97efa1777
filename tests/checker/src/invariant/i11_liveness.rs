//! I11: when faults have ended, the cluster serves again in time, and all nodes that must be there
//! end in the same state at the same index, under one leader of each shard.

use std::collections::{BTreeMap, BTreeSet};

use super::violation;
use crate::history::Answer;
use crate::index::{Index, Request, Settled};
use crate::replay::Replay;
use crate::report::Violation;

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let Some(healed) = index.healed else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let from_us = healed.at_us + healed.within_us;
    let until_us = index.until_us();
    let mut asked = 0;
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        if request.sent_us < from_us || request.sent_us > until_us {
            continue;
        }
        asked += 1;
        if !is_served(request, replay) {
            let what = format!(
                "request {} of {} is told {:?} {} us after the faults ended",
                request.number,
                request.client,
                request.answered(),
                request.sent_us - healed.at_us
            );
            found.push(violation("I11", request.sent_us, what));
        }
    }
    if asked == 0 {
        let what = "nothing was asked after the faults had ended".to_owned();
        found.push(violation("I11", from_us, what));
    }
    if let Some(settled) = &index.settled {
        found.extend(parted(index, settled));
        found.extend(absent(index, settled));
    }
    found
}

/// Whether a request is answered. One of a caller that leaves its id to the client, which never asks
/// for what is not there, is decided, unless there are too many counters.
fn is_served(request: &Request, replay: &Replay) -> bool {
    let Some(told) = &request.answer else {
        return false;
    };
    match &told.answer {
        Answer::Unknown => false,
        Answer::Admitted { .. } | Answer::Denied { .. } => true,
        _ if request.id.is_some() => true,
        Answer::Exhausted => replay.may_refuse(request, told.at_us),
        _ => false,
    }
}

/// Nodes that end in another place or state than the others.
fn parted(index: &Index, settled: &Settled) -> Vec<Violation> {
    let mut last = BTreeMap::new();
    let after = |at_us: u64| at_us >= settled.at_us;
    for applied in index.applied.iter().filter(|one| after(one.at_us)) {
        let state = (applied.index, applied.state);
        last.insert((applied.shard, applied.node), state);
    }
    for one in &index.finals {
        last.insert((one.shard, one.node), (one.index, Some(one.state)));
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
            found.push(violation("I11", settled.at_us, what));
        }
    }
    if first.is_empty() {
        let what = "no node tells its final state".to_owned();
        found.push(violation("I11", settled.at_us, what));
    }
    found
}

/// Nodes that must be there in the end and have nothing of a shard, and shards without one leader.
fn absent(index: &Index, settled: &Settled) -> Vec<Violation> {
    let mut whats = Vec::new();
    for shard in &settled.shards {
        let there = index.finals.iter().filter(|one| one.shard == *shard);
        let nodes: BTreeSet<u64> = there.clone().map(|one| one.node).collect();
        let absent = settled.nodes.iter().filter(|node| !nodes.contains(node));
        whats.extend(absent.map(|node| format!("shard {shard}: node {node} has no final state")));
        let leaders: Vec<u64> = there.filter(|one| one.leads).map(|one| one.node).collect();
        if leaders.len() != 1 {
            whats.push(format!(
                "shard {shard} ends with {leaders:?} for its leader"
            ));
        }
    }
    let found = whats.into_iter();
    found
        .map(|what| violation("I11", settled.at_us, what))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::What;
    use crate::history::{Answer, Phase};
    use crate::sample::{Sample, admitted, denied, item};

    fn sample(answer: Answer) -> Sample {
        let mut sample = Sample::new();
        sample.phase(Phase::Healed, 2_000_000).wait_us(2_000_000);
        sample.ask(1, None, vec![item("k", 2, 2)]);
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
        for answer in [Answer::Unknown, Answer::Exhausted, Answer::Invalid] {
            assert_eq!(sample(answer).violated(), ["I11"]);
        }
        let mut silent = Sample::new();
        silent.phase(Phase::Healed, 10);
        assert_eq!(silent.violated(), ["I11"]);
    }

    #[test]
    fn a_node_that_stays_behind_is_caught() {
        let mut sample = sample(admitted(&[0], 2, 500));
        assert_eq!(sample.violated(), Vec::<&str>::new());
        sample.applied(3, 8, (1, 1, 2));
        assert_eq!(sample.violated(), ["I11"]);
    }

    /// Nodes 1 to 3 must be there in the end; what these tell of shard 0, and whether they lead it.
    fn ended(told: &[(u64, bool)]) -> Sample {
        let mut sample = Sample::new();
        sample.phase(Phase::Healed, 10).wait_us(1_000);
        sample.ask(1, None, vec![item("k", 1, 1)]);
        sample.told(1, admitted(&[0], 1, 500), None);
        sample.push(What::Phase {
            phase: Phase::Settled,
            within_us: 0,
            nodes: vec![1, 2, 3],
            shards: vec![0],
        });
        for (node, leads) in told {
            sample.push(What::Final {
                node: *node,
                shard: 0,
                index: 9,
                state: 7,
                leads: *leads,
            });
        }
        sample
    }

    #[test]
    fn all_that_must_be_there_are_under_one_leader() {
        let right = ended(&[(1, false), (2, true), (3, false)]);
        assert_eq!(right.violated(), Vec::<&str>::new());
    }

    #[test]
    fn a_node_that_does_not_come_back_is_caught() {
        assert_eq!(ended(&[(1, false), (2, true)]).violated(), ["I11"]);
    }

    #[test]
    fn no_leader_and_two_leaders_are_caught() {
        for second in [false, true] {
            let sample = ended(&[(1, second), (2, second), (3, false)]);
            assert_eq!(sample.violated(), ["I11"]);
        }
    }
}
