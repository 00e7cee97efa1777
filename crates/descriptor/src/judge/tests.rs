use std::collections::BTreeMap;

use proptest::prelude::*;
use quotum_limit::{Batch, Bound, Caps, Command, Epoch, LogTime, RequestId, Stamp, State};

use super::*;
use crate::config::{Config, File};
use crate::plan::{Asked, Entry, Request};

const FILE: &str = "
domain: d
descriptors:
  - {key: a, rate_limit: {unit: hour, requests_per_unit: 4}}
  - {key: b, rate_limit: {unit: hour, requests_per_unit: 2}}
  - {key: s, shadow_mode: true, rate_limit: {unit: hour, requests_per_unit: 2}}
  - {key: q, quota_mode: true, rate_limit: {unit: hour, requests_per_unit: 2}}
  - {key: r, quota_mode: true, rate_limit: {unit: hour, requests_per_unit: 3}, metadata: {m: r}}
  - {key: u, rate_limit: {unlimited: true}}
  - {key: t, x_takes_rest: true, rate_limit: {unit: hour, requests_per_unit: 9}}
";

fn asked(key: &'static str, hits: u64) -> Asked<'static> {
    Asked {
        entries: vec![Entry { key, value: "v" }],
        limit: None,
        hits,
    }
}

/// The counters of a shard, as the service uses them.
struct Counters {
    state: State,
    seq: u64,
    config: Config,
}

struct Answer {
    is_over: bool,
    codes: Vec<bool>,
    remaining: Vec<u32>,
}

fn apply(state: &mut State, command: Command) -> Outcome {
    let batch = Batch {
        stamp: Stamp {
            log: LogTime::from_ms(1_000),
            ..Stamp::default()
        },
        caps: Caps {
            counters_max: 1_000,
            tenant_counters_max: 1_000,
        },
        commands: vec![command],
    };
    state.apply_batch(&batch).remove(0)
}

impl Counters {
    fn new() -> Self {
        let mut state = State::new(1);
        let caller = quotum_limit::Caller::default();
        apply(&mut state, Command::Open { caller });
        let file = File {
            name: "f".into(),
            text: FILE.into(),
        };
        Self {
            state,
            seq: 0,
            config: Config::parse(&[file], 1).unwrap(),
        }
    }

    fn ask(&mut self, descriptors: &[(&'static str, u64)]) -> Answer {
        let request = Request {
            domain: "d",
            descriptors: descriptors
                .iter()
                .map(|(key, hits)| asked(key, *hits))
                .collect(),
        };
        let plan = Plan::new(&self.config, &request).unwrap();
        self.seq += 1;
        let id = RequestId {
            epoch: Epoch(1),
            seq: self.seq,
        };
        let items = plan.items.clone();
        let outcome = match plan.items.is_empty() {
            true => None,
            false => {
                let acquire = Command::Acquire {
                    id,
                    acked_seq: 0,
                    items,
                };
                Some(apply(&mut self.state, acquire))
            }
        };
        let judgement = match &outcome {
            None => plan.undecided(),
            Some(outcome) => plan.judge(outcome).unwrap(),
        };
        if judgement.undo {
            apply(&mut self.state, Command::Refund { id });
        }
        Answer {
            is_over: judgement.is_over,
            codes: judgement.statuses.iter().map(|s| s.is_over).collect(),
            remaining: judgement.statuses.iter().map(|s| s.remaining).collect(),
        }
    }
}

#[test]
fn a_denied_request_charges_nothing_anywhere() {
    let mut counters = Counters::new();
    assert!(!counters.ask(&[("a", 1), ("b", 2)]).is_over);
    let answer = counters.ask(&[("a", 1), ("b", 1), ("u", 1), ("none", 1)]);
    assert!(answer.is_over);
    assert_eq!(answer.codes, [false, true, false, false]);
    assert_eq!(answer.remaining, [3, 0, u32::MAX, 0]);
    assert_eq!(counters.ask(&[("a", 0)]).remaining, [3]);
}

#[test]
fn a_shadow_limit_denies_nothing_and_shows_itself() {
    let mut counters = Counters::new();
    assert!(!counters.ask(&[("s", 2)]).is_over);
    let answer = counters.ask(&[("s", 1), ("a", 1)]);
    assert!(!answer.is_over);
    assert_eq!(answer.codes, [false, false]);
    assert_eq!(answer.remaining, [0, 3]);
}

#[test]
fn quota_limits_deny_when_all_of_them_do() {
    let mut counters = Counters::new();
    assert!(!counters.ask(&[("q", 2), ("r", 2)]).is_over);
    let answer = counters.ask(&[("q", 1), ("r", 1)]);
    assert!(!answer.is_over, "r has one left");
    assert_eq!(answer.codes, [true, false]);
    let answer = counters.ask(&[("q", 1), ("r", 1), ("a", 1)]);
    assert!(answer.is_over);
    assert_eq!(answer.codes, [true, true, false]);
    assert_eq!(
        answer.remaining,
        [0, 0, 4],
        "what a had taken is given back"
    );
    assert_eq!(counters.ask(&[("a", 0)]).remaining, [4]);
}

#[test]
fn to_look_is_over_where_nothing_is_left() {
    let mut counters = Counters::new();
    assert!(!counters.ask(&[("b", 0)]).is_over);
    counters.ask(&[("b", 2)]);
    assert!(counters.ask(&[("b", 0)]).is_over);
    assert!(counters.ask(&[("b", 0), ("a", 1)]).is_over);
    assert_eq!(
        counters.ask(&[("a", 0)]).remaining,
        [4],
        "nothing stays charged"
    );
}

#[test]
fn a_denied_request_takes_the_rest_where_its_hits_have_happened() {
    let mut counters = Counters::new();
    counters.ask(&[("t", 7), ("a", 1)]);
    let request = Request {
        domain: "d",
        descriptors: ["t", "a"].map(|key| asked(key, 3)).into(),
    };
    let plan = Plan::new(&counters.config, &request).unwrap();
    let id = RequestId {
        epoch: Epoch(1),
        seq: 99,
    };
    let acquire = Command::Acquire {
        id,
        acked_seq: 0,
        items: plan.items.clone(),
    };
    let outcome = apply(&mut counters.state, acquire);
    let rest = plan.rest(&outcome);
    let units: Vec<_> = rest.iter().map(|item| (item.units, item.shadow)).collect();
    assert_eq!(units, [(2, true)], "a fits, and t has two left");
}

#[test]
fn where_no_counter_can_be_made_all_but_shadow_limits_deny() {
    let counters = Counters::new();
    let of = |key| {
        let request = Request {
            domain: "d",
            descriptors: vec![asked(key, 1)],
        };
        let plan = Plan::new(&counters.config, &request).unwrap();
        assert_eq!(plan.judge(&Outcome::Exhausted(Bound::Counters)), None);
        plan.exhausted().is_over
    };
    assert!(of("a") && of("q"));
    assert!(!of("s") && !of("u"));
}

#[test]
fn usage_counts_the_hits_near_the_limit() {
    let counters = Counters::new();
    let request = Request {
        domain: "d",
        descriptors: vec![asked("a", 5)],
    };
    let plan = Plan::new(&counters.config, &request).unwrap();
    let state = ItemState {
        fits: true,
        remaining: 7,
        max: 50,
        reset_after_ms: 1,
    };
    let items = std::iter::once(state).collect();
    let outcome = Outcome::Admitted {
        valid_for_ms: 1,
        items,
    };
    let judgement = plan.judge(&outcome).unwrap();
    let usage = judgement.usages[0];
    assert_eq!((usage.keys, usage.hits, usage.near), (["a", ""], 5, 3));
}

/// Whether a request is over, and what it takes of each key.
fn naive(
    used: &BTreeMap<&str, u64>,
    asked: &[(&'static str, u64)],
) -> (bool, Vec<(&'static str, u64)>) {
    let max = |key: &str| match key {
        "a" => Some(4),
        "b" | "s" | "q" => Some(2),
        "r" => Some(3),
        _ => None,
    };
    let mut over = BTreeMap::new();
    for (key, _) in asked {
        let Some(max) = max(key) else { continue };
        let wanted: u64 = asked
            .iter()
            .filter(|(k, _)| k == key)
            .map(|(_, hits)| hits)
            .sum();
        let left = max - used.get(key).copied().unwrap_or(0);
        over.insert(
            *key,
            if wanted == 0 {
                left == 0
            } else {
                wanted > left
            },
        );
    }
    let enforced = ["a", "b"].iter().any(|key| over.get(key) == Some(&true));
    let quotas: Vec<bool> = ["q", "r"]
        .iter()
        .filter_map(|key| over.get(key).copied())
        .collect();
    let is_over = enforced || (!quotas.is_empty() && quotas.iter().all(|over| *over));
    let takes = asked
        .iter()
        .filter(|(key, _)| !is_over && over.get(key) == Some(&false));
    (is_over, takes.copied().collect())
}

proptest! {
    #[test]
    fn requests_are_decided_as_the_rules_say(
        requests in prop::collection::vec(
            prop::collection::vec((prop::sample::select(vec!["a", "b", "s", "q", "r", "u", "x"]), 0..3_u64), 1..5),
            1..12,
        ),
    ) {
        let mut counters = Counters::new();
        let mut used: BTreeMap<&str, u64> = BTreeMap::new();
        for asked in &requests {
            let (is_over, takes) = naive(&used, asked);
            for (key, hits) in takes {
                *used.entry(key).or_default() += hits;
            }
            let answer = counters.ask(asked);
            prop_assert_eq!(answer.is_over, is_over, "{:?} after {:?}", asked, used);
            prop_assert_eq!(answer.codes.len(), asked.len());
        }
    }
}
