//! Reservations over two states, as two shards are: clients that reserve in both, confirm in both,
//! use what is confirmed, and end between any two steps.

use proptest::collection::vec;
use proptest::prelude::*;
use smallvec::smallvec;

use super::model::OPEN;
use super::*;
use crate::{Algorithm, Epoch, Key, Window};

const START_MS: u64 = 1_767_610_800_000;
const WINDOW: Window = Window::Minute;

/// A call, and how far it has come.
#[derive(Debug, Clone)]
struct Call {
    seq: u64,
    units: u64,
    stage: usize,
    /// Until when each of its two confirmations may be used.
    use_until_ms: [u64; 2],
}

#[derive(Debug, Clone)]
enum Step {
    Begin {
        units: u64,
    },
    /// The next step of one of the calls.
    Go {
        call: prop::sample::Index,
    },
    /// A client ends: its call is never heard of again, or its units are given back.
    End {
        call: prop::sample::Index,
        refunds: bool,
    },
    /// A single shard is asked by somebody else.
    Acquire {
        shard: usize,
        units: u64,
    },
    Wait {
        ms: u64,
    },
    /// The state goes through a snapshot.
    Snapshot,
}

fn any_step() -> impl Strategy<Value = Step> {
    let call = || any::<prop::sample::Index>();
    prop_oneof![
        4 => (1..4_u64).prop_map(|units| Step::Begin { units }),
        12 => call().prop_map(|call| Step::Go { call }),
        2 => (call(), any::<bool>()).prop_map(|(call, refunds)| Step::End { call, refunds }),
        2 => (0..2_usize, 1..4_u64).prop_map(|(shard, units)| Step::Acquire { shard, units }),
        4 => prop_oneof![0..300_u64, 900..1_100_u64, Just(20_000_u64)]
            .prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Snapshot),
    ]
}

struct World {
    shards: [State; 2],
    now: LogTime,
    calls: Vec<Call>,
    next_seq: u64,
    /// Units in use, by the end of their window: of both shards, and of one alone.
    used: Vec<(LogTime, u64)>,
    alone: [Vec<(LogTime, u64)>; 2],
    /// Confirmed, and never given back: by clients that ended before they used it.
    lost: [Vec<(LogTime, u64)>; 2],
}

const MAX: [u64; 2] = [6, 5];

impl World {
    fn new() -> Self {
        let mut shards = [State::new(1), State::new(2)];
        let now = LogTime::from_ms(START_MS);
        for shard in &mut shards {
            shard.caps = Caps {
                counters_max: 10,
                tenant_counters_max: 10,
            };
            assert_eq!(shard.apply(now, &OPEN), Outcome::Opened { epoch: Epoch(1) });
        }
        Self {
            shards,
            now,
            calls: Vec::new(),
            next_seq: 1,
            used: Vec::new(),
            alone: [Vec::new(), Vec::new()],
            lost: [Vec::new(), Vec::new()],
        }
    }

    fn items(shard: usize, units: u64) -> Items {
        smallvec![Item {
            key: Key::new(b"k").unwrap(),
            max: MAX[shard],
            revision: 1,
            window: WINDOW,
            algorithm: Algorithm::Fixed,
            units,
            shadow: false,
        }]
    }

    fn id(seq: u64) -> RequestId {
        RequestId {
            epoch: Epoch(1),
            seq,
        }
    }

    fn end(&self) -> LogTime {
        WINDOW.interval(self.now).end
    }

    fn sum(&self, units: &[(LogTime, u64)]) -> u64 {
        let end = self.end();
        let now = units.iter().filter(|(until, _)| *until == end);
        now.map(|(_, units)| units).sum()
    }

    /// Units that stay charged in a shard for good.
    fn sure(&self, shard: usize) -> u64 {
        let confirmed = self
            .calls
            .iter()
            .filter(|call| call.stage > 2 + shard && call.use_until_ms[shard] == self.end().ms - 1);
        let confirmed: u64 = confirmed.map(|call| call.units).sum();
        confirmed
            + self.sum(&self.used)
            + self.sum(&self.alone[shard])
            + self.sum(&self.lost[shard])
    }

    /// A denial is final, so it must rest on units that are not merely held.
    fn check_denied(&self, shard: usize, units: u64) {
        assert!(
            self.sure(shard) + units > MAX[shard],
            "denied in shard {shard}"
        );
    }

    /// One step of a call. The order: reserve in 0 and 1, confirm in 0 and 1, use.
    fn go(&mut self, at: usize) {
        let call = self.calls[at].clone();
        let Call {
            seq, units, stage, ..
        } = call;
        let shard = stage % 2;
        let id = Self::id(seq);
        let command = match stage {
            0 | 1 => Command::Reserve {
                id,
                acked_seq: 0,
                items: Self::items(shard, units),
            },
            2 | 3 => Command::Confirm { id },
            _ => {
                self.calls.remove(at);
                let end = self.end();
                // Right before it is forwarded: does the admission hold?
                match call.use_until_ms.iter().all(|until| self.now.ms < *until) {
                    true => self.used.push((end, units)),
                    false => self.give_back(&call),
                }
                return;
            }
        };
        match self.shards[shard].apply(self.now, &command) {
            Outcome::Reserved { .. } => self.calls[at].stage += 1,
            Outcome::Admitted { valid_for_ms, .. } => {
                let until = self.now.ms + valid_for_ms;
                self.calls[at].use_until_ms[shard] = until;
                self.calls[at].stage += 1;
            }
            // Asked again by a later step.
            Outcome::Contended { .. } => {}
            Outcome::Denied { .. } => {
                self.check_denied(shard, units);
                self.calls.remove(at);
                self.give_back(&call);
            }
            Outcome::Cancelled | Outcome::Expired => {
                self.calls.remove(at);
                self.give_back(&call);
            }
            other => panic!("{command:?}: {other:?}"),
        }
    }

    fn give_back(&mut self, call: &Call) {
        for shard in 0..2 {
            let refund = Command::Refund {
                id: Self::id(call.seq),
            };
            let outcome = self.shards[shard].apply(self.now, &refund);
            if outcome == Outcome::Expired {
                self.lose(call, shard);
            }
        }
    }

    /// What is confirmed in a shard stays charged there.
    fn lose(&mut self, call: &Call, shard: usize) {
        if call.stage > 2 + shard {
            let end = LogTime::from_ms(call.use_until_ms[shard] + 1);
            self.lost[shard].push((end, call.units));
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Begin { units } => {
                let (seq, units) = (self.next_seq, *units);
                self.next_seq += 1;
                self.calls.push(Call {
                    seq,
                    units,
                    stage: 0,
                    use_until_ms: [0; 2],
                });
            }
            Step::Go { call } if !self.calls.is_empty() => self.go(call.index(self.calls.len())),
            Step::End { call, refunds } if !self.calls.is_empty() => {
                let call = self.calls.remove(call.index(self.calls.len()));
                if *refunds {
                    self.give_back(&call);
                    return;
                }
                for shard in 0..2 {
                    self.lose(&call, shard);
                }
            }
            Step::Go { .. } | Step::End { .. } => {}
            Step::Acquire { shard, units } => {
                let seq = self.next_seq;
                self.next_seq += 1;
                let acquire = Command::Acquire {
                    id: Self::id(seq),
                    acked_seq: 0,
                    items: Self::items(*shard, *units),
                };
                let end = self.end();
                match self.shards[*shard].apply(self.now, &acquire) {
                    Outcome::Admitted { .. } => self.alone[*shard].push((end, *units)),
                    Outcome::Denied { .. } => self.check_denied(*shard, *units),
                    Outcome::Contended { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Wait { ms } => self.now = self.now.plus_ms(*ms),
            Step::Snapshot => {
                for shard in &mut self.shards {
                    let copy = State::decode(&shard.encode(), 3).unwrap();
                    assert_eq!(copy.digest(), shard.digest());
                    *shard = copy;
                }
            }
        }
        for (shard, max) in MAX.iter().enumerate() {
            assert!(
                self.sum(&self.used) + self.sum(&self.alone[shard]) <= *max,
                "over"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn never_over_and_never_under_wherever_a_client_ends(steps in vec(any_step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        // All that is left ends here: what is held is free, what is confirmed is charged.
        let calls = std::mem::take(&mut world.calls);
        for call in calls {
            for shard in 0..2 {
                world.lose(&call, shard);
            }
        }
        world.now = world.now.plus_ms(HOLD_MS);
        for (shard, max) in MAX.into_iter().enumerate() {
            let sure = world.sure(shard);
            let peek = Command::Peek { items: World::items(shard, 0) };
            let Outcome::Peeked { items } = world.shards[shard].apply(world.now, &peek) else {
                panic!("peeked")
            };
            prop_assert_eq!(items[0].remaining, max - sure);
        }
    }
}
