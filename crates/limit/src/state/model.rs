//! A naive model of the decision core, and scripts that run on both.
//!
//! The model keeps every charge for ever in one list and counts by adding up; it knows no tables,
//! watermarks, marks or sweeps, and it remembers every request id.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::limits::DEDUP_TTL_MS;
use crate::{Algorithm, Epoch, Key, Window};

/// One step of a script: wait, then send a command.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    wait_ms: u64,
    action: Action,
}

#[derive(Debug, Clone)]
enum Action {
    /// A new request.
    Acquire(Items),
    /// The same request as `back` requests ago.
    Repeat {
        back: usize,
    },
    Refund {
        back: usize,
    },
    /// Refunds a request that is sent only later, if ever.
    RefundAhead,
}

const CAPS: Caps = Caps {
    counters_max: 1_000,
    tenant_counters_max: 1_000,
};

/// Opens an epoch.
pub(crate) const OPEN: Command = Command::Open { caller: Caller(7) };

const START_MS: u64 = 1_767_610_800_000;
const KEYS: [&[u8]; 4] = [b"a", b"b", b"c", b"dd"];

fn any_item() -> impl Strategy<Value = Item> {
    (
        0..KEYS.len(),
        0..6_u64,
        0..4_u64,
        0..3_u64,
        prop::bool::weighted(0.2),
        0..3_usize,
        0..2_u8,
    )
        .prop_map(
            |(key, max, units, revision, shadow, window, algorithm)| Item {
                key: Key::new(KEYS[key]).unwrap(),
                max,
                revision,
                window: [
                    Window::Second,
                    Window::Minute,
                    Window::Duration { ms: 7_000 },
                ][window],
                algorithm: Algorithm::from_code(algorithm).unwrap(),
                units,
                shadow,
            },
        )
}

pub(crate) fn any_script() -> impl Strategy<Value = Vec<Step>> {
    let action = prop_oneof![
        6 => vec(any_item(), 1..4).prop_map(|items| Action::Acquire(Items::from_vec(items))),
        2 => (0..4_usize).prop_map(|back| Action::Repeat { back }),
        2 => (0..4_usize).prop_map(|back| Action::Refund { back }),
        1 => Just(Action::RefundAhead),
    ];
    let wait = prop_oneof![4 => 0..400_u64, 1 => 0..DEDUP_TTL_MS / 5];
    let step = (wait, action).prop_map(|(wait_ms, action)| Step { wait_ms, action });
    vec(step, 0..60)
}

/// The commands of a script, with their times.
fn commands(epoch: Epoch, start: LogTime, script: &[Step]) -> Vec<(LogTime, Command)> {
    let mut now = start;
    let mut sent: Vec<(LogTime, RequestId, Items)> = Vec::new();
    let mut seq = 0;
    let mut ahead: Option<LogTime> = None;
    let mut out = Vec::new();
    for step in script {
        now = now.plus_ms(step.wait_ms);
        // A script refers to nothing that may be forgotten: the model forgets nothing.
        let earlier = |back: usize| {
            let (at, id, items) = sent[sent.len().checked_sub(back + 1)?].clone();
            (now.since(at) < DEDUP_TTL_MS).then_some((id, items))
        };
        let command = match &step.action {
            Action::Acquire(items) => {
                seq += 1;
                // An id is as old as its refund, if that came first.
                let mut seen = ahead.take().unwrap_or(now);
                if now.since(seen) >= DEDUP_TTL_MS {
                    seq += 1;
                    seen = now;
                }
                let id = RequestId { epoch, seq };
                sent.push((seen, id, items.clone()));
                Command::Acquire {
                    id,
                    acked_seq: 0,
                    items: items.clone(),
                }
            }
            Action::Repeat { back } => match earlier(*back) {
                Some((id, items)) => Command::Acquire {
                    id,
                    acked_seq: 0,
                    items,
                },
                None => continue,
            },
            Action::Refund { back } => match earlier(*back) {
                Some((id, _)) => Command::Refund { id },
                None => continue,
            },
            Action::RefundAhead => {
                ahead.get_or_insert(now);
                let seq = seq + 1;
                Command::Refund {
                    id: RequestId { epoch, seq },
                }
            }
        };
        out.push((now, command));
    }
    out
}

/// Runs a script on a state, after what was applied to it before.
pub(crate) fn run(state: &mut State, script: &[Step]) -> Vec<Outcome> {
    state.caps = CAPS;
    let start = state.last_stamp().log.max(LogTime::from_ms(START_MS));
    let Outcome::Opened { epoch } = state.apply(start, &OPEN) else {
        panic!("no epoch to open")
    };
    commands(epoch, start, script)
        .iter()
        .map(|(at, command)| state.apply(*at, command))
        .collect()
}

#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Cancelled,
    Admitted(Items, Vec<Charge>),
    Denied(Items),
}

/// What the model says of one outcome: enough to compare, without its durations.
#[derive(Debug, PartialEq)]
enum Seen {
    Admitted(Vec<(bool, u64)>),
    Denied(Vec<(bool, u64)>),
    Refunded(u64),
    Cancelled,
    Invalid(Refusal),
}

#[derive(Default)]
struct Model {
    charges: Vec<Charge>,
    revisions: Vec<(Key, Window, Algorithm, u64, u64, u64)>,
    /// How often a sliding counter has begun to live, and until when it lives.
    lives: BTreeMap<(Key, Window), (u64, LogTime)>,
    fates: BTreeMap<RequestId, Fate>,
    answers: BTreeMap<RequestId, Vec<(bool, u64)>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Charge {
    key: Key,
    window: Window,
    algorithm: Algorithm,
    at: LogTime,
    units: u64,
}

impl Charge {
    /// When these units count no more.
    fn end(&self) -> LogTime {
        match self.algorithm {
            Algorithm::Fixed => self.window.interval(self.at).end,
            Algorithm::Sliding => {
                let window_ms = self.window.length_ms();
                let bucket_ms = window_ms / 60;
                let kept = window_ms.div_ceil(bucket_ms) + 2;
                LogTime::from_ms((self.at.ms / bucket_ms + kept) * bucket_ms)
            }
        }
    }
}

impl Model {
    fn charged(&self, item: &Item, now: LogTime) -> u64 {
        let same = |c: &&Charge| {
            c.key == item.key && c.window == item.window && c.algorithm == item.algorithm
        };
        let charges = self.charges.iter().filter(same);
        charges
            .filter(|charge| charge.end() > now)
            .map(|charge| charge.units)
            .sum()
    }

    /// Names the time for which a counter keeps what it has learned.
    fn life(&self, item: &Item, now: LogTime) -> u64 {
        match item.algorithm {
            Algorithm::Fixed => item.window.interval(now).end.ms,
            Algorithm::Sliding => {
                let counter = (item.key.clone(), item.window);
                match self.lives.get(&counter) {
                    Some((life, end)) if *end > now => *life,
                    Some((life, _)) => life + 1,
                    None => 0,
                }
            }
        }
    }

    /// The max of the highest revision seen by a counter that was ever charged in this life.
    fn in_force(&self, item: &Item, now: LogTime) -> u64 {
        let life = self.life(item, now);
        let mut best = (item.revision, item.max);
        let seen = self.revisions.iter();
        let of_counter = |r: &&(Key, Window, Algorithm, u64, u64, u64)| {
            (&r.0, r.1, r.2, r.3) == (&item.key, item.window, item.algorithm, life)
        };
        for (.., revision, max) in seen.filter(of_counter) {
            best = match revision.cmp(&best.0) {
                std::cmp::Ordering::Greater => (*revision, *max),
                std::cmp::Ordering::Equal => (best.0, best.1.min(*max)),
                std::cmp::Ordering::Less => best,
            };
        }
        best.1
    }

    fn see(&mut self, item: &Item, now: LogTime, max: u64) {
        let life = self.life(item, now);
        let (key, revision) = (item.key.clone(), item.revision);
        let seen = (key, item.window, item.algorithm, life, revision, max);
        self.revisions.push(seen);
    }

    /// A counter exists from its first charge: only then does it learn.
    fn learn(&mut self, items: &Items, now: LogTime) {
        for item in items {
            let life = self.life(item, now);
            let known = |r: &(Key, Window, Algorithm, u64, u64, u64)| {
                (&r.0, r.1, r.2, r.3) == (&item.key, item.window, item.algorithm, life)
            };
            if self.revisions.iter().any(known) {
                self.see(item, now, item.max);
            }
        }
    }

    fn acquire(&mut self, now: LogTime, id: RequestId, items: &Items) -> Seen {
        for (at, a) in items.iter().enumerate() {
            for b in &items[..at] {
                let same = a.key == b.key && a.window == b.window;
                let what = |i: &Item| (i.max, i.revision, i.shadow, i.algorithm);
                if same && what(a) != what(b) {
                    return Seen::Invalid(Refusal::ConflictingItems);
                }
            }
        }
        match self.fates.get(&id) {
            Some(Fate::Cancelled) => return Seen::Cancelled,
            Some(Fate::Admitted(first, _) | Fate::Denied(first)) if first != items => {
                return Seen::Invalid(Refusal::IdReused);
            }
            Some(Fate::Admitted(..)) => return Seen::Admitted(self.answers[&id].clone()),
            Some(Fate::Denied(_)) => return Seen::Denied(self.answers[&id].clone()),
            None => {}
        }
        let mut states = Vec::new();
        let mut denied = false;
        for item in items {
            let same = |other: &&Item| other.key == item.key && other.window == item.window;
            let wanted: u64 = items.iter().filter(same).map(|other| other.units).sum();
            let remaining = self
                .in_force(item, now)
                .saturating_sub(self.charged(item, now));
            let fits = wanted <= remaining;
            denied |= !fits && !item.shadow;
            states.push((fits, remaining, wanted));
        }
        self.learn(items, now);
        if denied {
            let answer: Vec<_> = states.iter().map(|s| (s.0, s.1)).collect();
            self.fates.insert(id, Fate::Denied(items.clone()));
            self.answers.insert(id, answer.clone());
            return Seen::Denied(answer);
        }
        let mut charges = Vec::new();
        for (item, state) in items.iter().zip(&mut states) {
            if !state.0 {
                continue;
            }
            state.1 -= state.2;
            if item.units > 0 {
                let charge = Charge {
                    key: item.key.clone(),
                    window: item.window,
                    algorithm: item.algorithm,
                    at: now,
                    units: item.units,
                };
                let max = self.in_force(item, now);
                self.see(item, now, max);
                if item.algorithm == Algorithm::Sliding {
                    let life = (self.life(item, now), charge.end());
                    self.lives.insert((item.key.clone(), item.window), life);
                }
                charges.push(charge);
            }
        }
        self.charges.extend(charges.iter().cloned());
        let answer: Vec<_> = states.iter().map(|s| (s.0, s.1)).collect();
        self.fates
            .insert(id, Fate::Admitted(items.clone(), charges));
        self.answers.insert(id, answer.clone());
        Seen::Admitted(answer)
    }

    fn refund(&mut self, now: LogTime, id: RequestId) -> Seen {
        let fate = self.fates.insert(id, Fate::Cancelled);
        let Some(Fate::Admitted(_, charges)) = fate else {
            return Seen::Refunded(0);
        };
        let mut units = 0;
        for charge in charges.into_iter().filter(|charge| charge.end() > now) {
            let at = self
                .charges
                .iter()
                .position(|other| *other == charge)
                .unwrap();
            self.charges.swap_remove(at);
            units += charge.units;
        }
        Seen::Refunded(units)
    }
}

fn seen(outcome: Outcome) -> Seen {
    let brief = |items: ItemStates| items.iter().map(|s| (s.fits, s.remaining)).collect();
    match outcome {
        Outcome::Admitted { items, .. } => Seen::Admitted(brief(items)),
        Outcome::Denied { items, .. } => Seen::Denied(brief(items)),
        Outcome::Refunded { units } => Seen::Refunded(units),
        Outcome::Cancelled => Seen::Cancelled,
        Outcome::Invalid(refusal) => Seen::Invalid(refusal),
        other => panic!("the model has no {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_core_decides_as_the_model(script in any_script()) {
        let mut state = State::new(3);
        let outcomes = run(&mut state, &script);
        let mut model = Model::default();
        let sent = commands(Epoch(1), LogTime::from_ms(START_MS), &script);
        for ((at, command), outcome) in sent.iter().zip(outcomes) {
            let expected = match command {
                Command::Acquire { id, items, .. } => model.acquire(*at, *id, items),
                Command::Refund { id } => model.refund(*at, *id),
                other => panic!("scripts have no {other:?}"),
            };
            prop_assert_eq!(seen(outcome), expected, "{:?}", command);
        }
    }

    #[test]
    fn two_replicas_agree_whatever_they_sweep(script in any_script()) {
        let mut one = State::new(1);
        let mut two = State::new(99);
        let outcomes = run(&mut one, &script);
        two.caps = CAPS;
        two.apply(LogTime::from_ms(START_MS), &OPEN);
        for ((at, command), outcome) in
            commands(Epoch(1), LogTime::from_ms(START_MS), &script).iter().zip(outcomes)
        {
            two.advance(Stamp { log: *at, reference_ms: 0 }, 1_000);
            prop_assert_eq!(two.apply(*at, command), outcome);
        }
        prop_assert_eq!(one.digest(), two.digest());
    }
}
